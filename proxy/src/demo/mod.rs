//! The two ends of `rdpscope demo`: a server whose certificate expired, later renewed, and a client that refuses the
//! first as mstsc does, both over real sockets on loopback.

mod client;
mod server;
mod session;

pub use client::{ClientReport, connect};
pub use server::{DemoCertificate, DemoServer, SERVER_NAME};

use std::io;

/// Why an end of the demo failed; none of this is expected to happen.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A socket failed.
    #[error("the demo's {end} failed to {operation}: {source}")]
    Io {
        /// Server or client.
        end: &'static str,
        /// What it was doing.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error(transparent)]
    Mint(#[from] rdpscope_certs::mint::MintError),
    /// TLS could not be set up.
    #[error("the demo cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Wraps a socket's error.
fn io_error(end: &'static str, operation: &'static str) -> impl Fn(io::Error) -> DemoError {
    move |source| DemoError::Io { end, operation, source }
}
