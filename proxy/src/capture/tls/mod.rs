//! TLS of a capture into plaintext, where its secrets are known: TLS 1.0 to 1.3 (RFC 2246, RFC 4346, RFC 5246, RFC 8446).
//!
//! [`Secrets`] holds what a capture or its owner gives: lines of a key log, private keys of servers. A [`TlsStream`] takes
//! one connection's bytes from the first byte of TLS on and answers with what came out
//! ([`Opened`](crate::observe::Opened)): application data as it was, and what TLS 1.3 says encrypted. [`Decryption`] says
//! of each side whether it is read and, if not, why not. A record that does not authenticate is never guessed at.
//!
//! ```
//! use rdpscope::capture::tls::{Secrets, TlsStream};
//! use rdpscope::observe::Opened;
//! use rdpscope::trace::Side;
//! use std::sync::Arc;
//!
//! let secrets = Arc::new(Secrets::new());
//! let outcome = secrets.add_key_log(b"# no line of use\n");
//! assert_eq!((outcome.taken, outcome.not_understood), (0, 0));
//!
//! let mut stream = TlsStream::new(Arc::clone(&secrets));
//! let mut items = Vec::new();
//! stream.data(Side::Client, &[0x16, 3, 1, 0, 5, 1, 0], &mut items);
//! for item in items {
//!     if let Opened::Plaintext { from, bytes } = item {
//!         println!("{from:?} sent {} bytes", bytes.len());
//!     }
//! }
//! println!("{}", stream.status());
//! ```

mod aead;
mod assembler;
mod block;
mod decryption;
mod hash;
mod hello;
mod key_log;
mod mac;
mod opener;
mod rsa_key;
mod secrets;
mod session;
mod stream;
mod suite;
mod tentative;
#[cfg(test)]
mod tests;

pub use decryption::{Decryption, Hole, Misfit};
pub use secrets::{KeyLogOutcome, RsaKeyError, Secrets};
pub use stream::TlsStream;
