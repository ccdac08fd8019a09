//! A Kerberos key and what it seals (RFC 3961, RFC 3962).

use super::ntlm::{Fault, quietly};
use picky_krb::crypto::CipherSuite;
use zeroize::Zeroizing;

/// aes128-cts-hmac-sha1-96 and aes256-cts-hmac-sha1-96, the encryption types that the `picky-krb` crate computes and
/// that are not broken.
const TYPES: [(u32, CipherSuite); 2] =
    [(17, CipherSuite::Aes128CtsHmacSha196), (18, CipherSuite::Aes256CtsHmacSha196)];

/// A key, which is overwritten when this is dropped, and never shown.
pub(super) struct Key {
    suite: CipherSuite,
    bytes: Zeroizing<Vec<u8>>,
}

impl Key {
    /// `None` where the encryption type is another one, or the key has not its length.
    pub(super) fn new(encryption: u32, bytes: &[u8]) -> Option<Key> {
        let (_, suite) = TYPES.into_iter().find(|(known, _)| *known == encryption)?;
        let fits = bytes.len() == suite.cipher().key_size();
        fits.then(|| Key { suite, bytes: Zeroizing::new(bytes.to_vec()) })
    }

    /// A new key of the same encryption type.
    pub(super) fn another(&self) -> Result<Key, Fault> {
        let mut bytes = Zeroizing::new(vec![0; self.bytes.len()]);
        super::fill_with_random(&mut bytes).map_err(Fault::Library)?;
        Ok(Key { suite: self.suite.clone(), bytes })
    }

    /// The number of its encryption type.
    pub(super) fn encryption(&self) -> u8 {
        self.suite.clone().into()
    }

    /// Its bytes, which go into a message that is sealed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What `sealed` holds; `None` where it was not sealed with this key for this `usage` (RFC 4120 7.5.1).
    pub(super) fn open(&self, usage: i32, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        quietly(|| Ok(self.suite.cipher().decrypt(&self.bytes, usage, sealed)?)).map(Zeroizing::new).ok()
    }

    /// The checksum of `message`.
    pub(super) fn checksum(&self, usage: i32, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let hasher = self.suite.cipher().checksum_type().hasher();
        quietly(|| Ok(hasher.checksum(&self.bytes, usage, message)?))
    }

    /// `message`, sealed.
    pub(super) fn seal(&self, usage: i32, message: &[u8]) -> Result<Vec<u8>, Fault> {
        quietly(|| Ok(self.suite.cipher().encrypt(&self.bytes, usage, message)?))
    }
}
