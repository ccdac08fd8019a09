//! How the reading of TLS stands, and what is said where nothing comes out of it.

use crate::wire::tls::names;
use std::fmt;

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
