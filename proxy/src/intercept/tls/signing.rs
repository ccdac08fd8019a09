//! Keys that ring refuses, for the TLS stack that is built on it: RSA below 2048 bits.

use rdpscope_certs::key::{Hash, KeyKind, PrivateKey};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, OtherError, SignatureAlgorithm, SignatureScheme};
use std::sync::Arc;

/// Bytes of DigestInfo before the digest, the longest (RFC 8017 9.2), and of the padding at least.
const PKCS1_OVERHEAD: usize = 19 + 11;
/// Bytes besides hash and salt in EMSA-PSS (RFC 8017 9.1.1).
const PSS_OVERHEAD: usize = 2;

/// A key that signs by itself, without ring.
#[derive(Debug)]
pub(super) struct OwnKey(pub(super) Arc<PrivateKey>);

/// What we sign with, best first.
const SCHEMES: [(SignatureScheme, How, Hash); 8] = [
    (SignatureScheme::RSA_PSS_SHA256, How::Pss, Hash::Sha256),
    (SignatureScheme::RSA_PSS_SHA384, How::Pss, Hash::Sha384),
    (SignatureScheme::RSA_PSS_SHA512, How::Pss, Hash::Sha512),
    (SignatureScheme::RSA_PKCS1_SHA256, How::Pkcs1, Hash::Sha256),
    (SignatureScheme::RSA_PKCS1_SHA384, How::Pkcs1, Hash::Sha384),
    (SignatureScheme::RSA_PKCS1_SHA512, How::Pkcs1, Hash::Sha512),
    (SignatureScheme::ECDSA_NISTP256_SHA256, How::Ecdsa(KeyKind::P256), Hash::Sha256),
    (SignatureScheme::ECDSA_NISTP384_SHA384, How::Ecdsa(KeyKind::P384), Hash::Sha384),
];

#[derive(Debug, Clone, Copy)]
enum How {
    Pss,
    Pkcs1,
    Ecdsa(KeyKind),
}

impl How {
    fn is_possible(self, kind: KeyKind, hash_length: usize) -> bool {
        match (self, kind) {
            (How::Pss, KeyKind::Rsa { bits }) => 2 * hash_length + PSS_OVERHEAD <= (bits - 1).div_ceil(8),
            (How::Pkcs1, KeyKind::Rsa { bits }) => hash_length + PKCS1_OVERHEAD <= bits.div_ceil(8),
            (How::Ecdsa(curve), kind) => curve == kind,
            (How::Pss | How::Pkcs1, _) => false,
        }
    }
}

fn length(hash: Hash) -> usize {
    match hash {
        Hash::Md5 => 16,
        Hash::Sha1 => 20,
        Hash::Sha256 => 32,
        Hash::Sha384 => 48,
        Hash::Sha512 => 64,
    }
}

impl SigningKey for OwnKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let kind = self.0.kind();
        let possible = SCHEMES.into_iter().filter(|(_, how, hash)| how.is_possible(kind, length(*hash)));
        let (scheme, how, hash) = possible.into_iter().find(|(scheme, ..)| offered.contains(scheme))?;
        Some(Box::new(OwnSigner { key: Arc::clone(&self.0), scheme, how, hash }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.kind() {
            KeyKind::Rsa { .. } => SignatureAlgorithm::RSA,
            KeyKind::P256 | KeyKind::P384 => SignatureAlgorithm::ECDSA,
        }
    }
}

#[derive(Debug)]
struct OwnSigner {
    key: Arc<PrivateKey>,
    scheme: SignatureScheme,
    how: How,
    hash: Hash,
}

impl Signer for OwnSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = match self.how {
            How::Pss => self.key.sign_pss(self.hash, message),
            How::Pkcs1 | How::Ecdsa(_) => self.key.sign(self.hash, message),
        };
        signature.map_err(|error| Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(bits: usize, offered: &[SignatureScheme]) -> Option<SignatureScheme> {
        let possible = SCHEMES
            .into_iter()
            .filter(|(_, how, hash)| how.is_possible(KeyKind::Rsa { bits }, length(*hash)));
        possible.map(|(scheme, ..)| scheme).find(|scheme| offered.contains(scheme))
    }

    #[test]
    fn a_short_key_signs_only_what_fits_into_it() {
        let key = PrivateKey::generate(KeyKind::Rsa { bits: 512 }).unwrap();
        for (scheme, how, hash) in SCHEMES {
            let signed = match how {
                How::Pss => key.sign_pss(hash, b"x").is_ok(),
                How::Pkcs1 => key.sign(hash, b"x").is_ok(),
                How::Ecdsa(_) => false,
            };
            assert_eq!(signed, how.is_possible(key.kind(), length(hash)), "{scheme:?}");
        }
        assert_eq!(
            chosen(1024, &[SignatureScheme::RSA_PSS_SHA512, SignatureScheme::RSA_PKCS1_SHA512]),
            Some(SignatureScheme::RSA_PKCS1_SHA512)
        );
        assert_eq!(chosen(1024, &[SignatureScheme::RSA_PSS_SHA512]), None);
        assert_eq!(chosen(2048, &[SignatureScheme::ECDSA_NISTP256_SHA256]), None);
    }
}
