//! What the system of the client says by itself, where rdpscope runs on it: Windows' event log, and mstsc.

pub mod event_log;
mod logged;
pub mod mstsc;
#[cfg(any(windows, test))]
mod question;

pub use logged::logged;
#[cfg(windows)]
pub(crate) use question::program as program_of_windows;

/// Ends the process with this number and those that it has started, which Windows would let go on.
#[cfg(windows)]
pub(crate) fn end_with_all_it_started(process: u32) {
    let mut command = std::process::Command::new(question::program("taskkill.exe"));
    command.args(["/T", "/F", "/PID", &process.to_string()]);
    // One that has ended by itself in the meantime is what is wanted.
    if let Err(reason) = question::ask(command, std::time::Duration::from_secs(5)) {
        tracing::debug!("{reason}");
    }
}
