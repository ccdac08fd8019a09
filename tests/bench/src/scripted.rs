//! RDP inside TLS, by the builders of the scenario tests.

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
}

#[path = "../../support/scripted/rdp.rs"]
pub mod rdp;
