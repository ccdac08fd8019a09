//! What TLS 1.0 to 1.3 shows to someone without keys (RFC 8446, RFC 5246).
//!
//! [`RecordReader`] splits one direction into records, [`HandshakeReader`] joins their fragments into handshake
//! messages, and the decoders read those messages and [`Alert`]s. [`HelloOffer`] alone is written, not read. Names are
//! IANA's; see [`names`].

pub mod alert;
mod client_hello;
pub mod dtls;
mod extension;
mod fingerprint;
pub mod handshake;
pub mod names;
mod offer;
pub mod record;
mod server_hello;
mod server_key_exchange;

#[cfg(test)]
mod captures;

pub use alert::Alert;
pub use client_hello::ClientHello;
pub use handshake::{HandshakeMessage, HandshakeReader, certificate_list};
pub use names::CodePoint;
pub use offer::HelloOffer;
pub use record::{ContentType, Record, RecordHeader, RecordReader};
pub use server_hello::{DowngradeSentinel, HELLO_RETRY_REQUEST, ServerHello};
pub use server_key_exchange::ServerKeyExchange;
