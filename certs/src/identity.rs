//! A chain of certificates together with the key of its first.

use crate::key::PrivateKey;

/// What a TLS server shows and what it proves it with.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Certificates in DER, the server's own first.
    pub chain: Vec<Vec<u8>>,
    /// The key of the first certificate.
    pub key: PrivateKey,
}

impl Identity {
    /// The server's own certificate in DER.
    pub fn leaf(&self) -> &[u8] {
        self.chain.first().map_or(&[], Vec::as_slice)
    }
}
