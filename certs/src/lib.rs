//! Keys and certificates for rdpscope. Knows nothing of the proxy, of sockets or of the time.

#![warn(missing_docs)]

pub mod inspect;
pub mod mint;
