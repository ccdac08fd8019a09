//! Names in a program that has glibc in it: only by what is in it, too.

/// glibc looks names up by services that `/etc/nsswitch.conf` names, and loads those that are not part of it (mdns,
/// resolve, sss, …) as libraries of the very version that the program was linked with. On another system they are of
/// another version, and what then happens is undefined: a program with glibc in it keeps to the hosts file and DNS.
/// What is linked dynamically asks as every program of the system does. Called once, before anything is looked up.
#[cfg(all(target_os = "linux", target_env = "gnu", target_feature = "crt-static"))]
#[allow(unsafe_code)]
pub(crate) fn stay_in_this_program() {
    unsafe extern "C" {
        /// `<nss.h>`; 0 where it is done.
        fn __nss_configure_lookup(
            database: *const libc::c_char,
            services: *const libc::c_char,
        ) -> libc::c_int;
    }
    for (database, services) in [(c"hosts", c"files dns"), (c"passwd", c"files")] {
        // SAFETY: both are strings that end in a NUL and live as long as the program; no other thread runs yet. It fails
        // only for a database that glibc does not know, and these it does.
        unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
    }
}

/// Nothing of glibc is in this program.
#[cfg(not(all(target_os = "linux", target_env = "gnu", target_feature = "crt-static")))]
pub(crate) fn stay_in_this_program() {}
