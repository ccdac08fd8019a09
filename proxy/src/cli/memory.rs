//! What is in memory stays there: passwords, keys, and what users type.

/// Keeps the system from writing the memory of this process to a core dump, and on Linux other programs of the same user
/// from reading it (PR_SET_DUMPABLE of prctl(2)). What is started from here has its own setting again. Where the system
/// refuses, the program runs all the same.
pub(super) fn keep_private() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    #[cfg(all(unix, not(target_os = "linux")))]
    let _ = rustix::process::setrlimit(
        rustix::process::Resource::Core,
        rustix::process::Rlimit { current: Some(0), maximum: Some(0) },
    );
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn no_core_dump_is_written() {
        super::keep_private();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    }
}
