//! What comes out of TLS, and what is said where nothing does.

use crate::trace::Side;
use crate::wire::tls::{Alert, names};
use std::fmt;

/// What stood inside TLS. One record gives at most one [`TlsItem::Plaintext`], whatever the pieces in which it came.
/// Debugging shows its length alone: passwords travel there.
#[derive(Clone, PartialEq, Eq)]
pub enum TlsItem {
    /// Application data of one record, never empty. Early data of TLS 1.3 is among it.
    Plaintext {
        /// Who sent it.
        from: Side,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// An alert that was encrypted on the wire; a clear one shows without keys.
    Alert {
        /// Who sent it.
        from: Side,
        /// Level and description.
        alert: Alert,
    },
    /// A Certificate message that was encrypted on the wire: every one of TLS 1.3, and those of a renegotiation.
    Certificate {
        /// Who sent it.
        from: Side,
        /// DER certificates, the sender's own first; empty where a client has none to show.
        chain: Vec<Vec<u8>>,
    },
    /// A ClientHello inside the encrypted connection: a second handshake begins (RFC 5246 section 7.4.1.2).
    Renegotiation,
    /// Nothing more of this side will be read; told once a side, at the place where reading ended.
    Unreadable {
        /// Whose bytes.
        from: Side,
        /// Why. Never [`Decryption::NotYet`] or [`Decryption::Decrypting`].
        why: Decryption,
    },
}

/// Whether the encrypted bytes are read, are not, or cannot be. Displays as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decryption {
    /// Nothing encrypted has come, so no key has been needed.
    NotYet,
    /// Records are opened with keys that their authentication proves.
    Decrypting {
        /// ProtocolVersion, 0x0304 for TLS 1.3.
        version: u16,
        /// Cipher suite by its number.
        suite: u16,
    },
    /// No secret of this connection was given.
    NoSecrets,
    /// Secrets were given that should open it and do not, or that cannot.
    SecretsDoNotFit {
        /// In what they fail.
        reason: Misfit,
    },
    /// The connection uses what this program does not decrypt: a cipher suite, a version, compression, by its name.
    Unsupported {
        /// Its name.
        what: String,
    },
    /// The capture has not all of the connection that is needed.
    Incomplete {
        /// What is missing.
        hole: Hole,
    },
    /// The bytes break TLS, or were changed on the way.
    Broken {
        /// Number of the record among those of its side, from 1.
        record: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The consumer said that it needs no more.
    Stopped,
}

/// In what secrets fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// The secret found for it does not open its first encrypted record.
    NotAuthentic,
    /// The key log has a secret of a length that the cipher suite's hash does not have.
    Length,
    /// Private keys were given, and the server's certificate has another.
    OtherPrivateKey,
    /// The private key is that of the server's certificate, and does not open the client's key exchange.
    KeyExchange,
    /// A private key was given, and the key exchange does not depend on it (forward secrecy).
    ForwardSecrecy,
    /// A private key was given, and the session was resumed from one that the capture does not show.
    Resumed,
}

/// What of a connection a capture does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hole {
    /// The ClientHello or the ServerHello.
    Handshake,
    /// The ClientKeyExchange.
    KeyExchange,
    /// Bytes in the middle of this side.
    Bytes,
}

impl fmt::Debug for TlsItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsItem::Plaintext { from, bytes } => write!(f, "Plaintext({from:?}, {} bytes)", bytes.len()),
            TlsItem::Alert { from, alert } => write!(f, "Alert({from:?}, {alert:?})"),
            TlsItem::Certificate { from, chain } => {
                write!(f, "Certificate({from:?}, {} certificates)", chain.len())
            }
            TlsItem::Renegotiation => f.write_str("Renegotiation"),
            TlsItem::Unreadable { from, why } => write!(f, "Unreadable({from:?}, {why:?})"),
        }
    }
}

impl Decryption {
    /// Whether plaintext can still come: nothing has ended the reading.
    pub fn is_open(&self) -> bool {
        matches!(self, Decryption::NotYet | Decryption::Decrypting { .. })
    }
}

impl fmt::Display for Decryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decryption::NotYet => f.write_str("nothing encrypted has been seen yet"),
            Decryption::Decrypting { version, suite } => {
                write!(f, "decrypted, {} with {}", names::version(*version), names::cipher_suite(*suite))
            }
            Decryption::NoSecrets => f.write_str("not decrypted: no secret of this connection was given"),
            Decryption::SecretsDoNotFit { reason } => write!(f, "not decrypted: {reason}"),
            Decryption::Unsupported { what } => write!(f, "not decrypted: {what} is not supported"),
            Decryption::Incomplete { hole } => write!(f, "cannot be decrypted: the capture lacks {hole}"),
            Decryption::Broken { record, reason } => {
                write!(f, "decrypted no further: record {record} of this side: {reason}")
            }
            Decryption::Stopped => f.write_str("decrypted as far as it was needed"),
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Misfit::NotAuthentic => "the secret given for this connection does not open its records",
            Misfit::Length => "the key log's secret for this connection has a length that its cipher suite does not use",
            Misfit::OtherPrivateKey => "the private key is not that of the server's certificate",
            Misfit::KeyExchange => "the private key of the server's certificate does not open the client's key exchange",
            Misfit::ForwardSecrecy => {
                "the key exchange has forward secrecy, so that a private key does not help and a key log is needed"
            }
            Misfit::Resumed => {
                "the session was resumed from one that the capture does not show, so that a private key does not help"
            }
        })
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hole::Handshake => "the beginning of its handshake",
            Hole::KeyExchange => "its key exchange",
            Hole::Bytes => "bytes of this side",
        })
    }
}
