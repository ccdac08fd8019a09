//! What the system of the client says by itself, where rdpscope runs on it: Windows' event log, and mstsc.

pub mod event_log;
mod logged;
pub mod mstsc;
#[cfg(any(windows, test))]
mod question;

pub use logged::logged;
