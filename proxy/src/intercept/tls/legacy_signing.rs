//! RSA signatures by OpenSSL for the TLS stack that is built on ring. An intercepted session makes one, and it is the
//! dearest part of it.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer as OpenSslSigner};
use rdpscope_certs::Identity;
use rdpscope_certs::key::KeyKind;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, OtherError, SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::sync::Arc;

/// RSA keys below this many bits are too short for some of the schemes.
const MINIMUM_BITS: usize = 2048;

/// What we sign with, in the order in which ring prefers.
const SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA256,
];

/// The key of `identity`, where it is RSA and OpenSSL takes it.
pub(super) fn rsa(identity: &Identity) -> Option<Arc<dyn SigningKey>> {
    let KeyKind::Rsa { bits: MINIMUM_BITS.. } = identity.key.kind() else { return None };
    let key = PKey::private_key_from_pkcs8(identity.key.pkcs8()).ok()?;
    Some(Arc::new(RsaKey(key)))
}

struct RsaKey(PKey<Private>);

impl fmt::Debug for RsaKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RsaKey")
    }
}

impl SigningKey for RsaKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = SCHEMES.into_iter().find(|scheme| offered.contains(scheme))?;
        Some(Box::new(RsaSigner { key: self.0.clone(), scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

struct RsaSigner {
    key: PKey<Private>,
    scheme: SignatureScheme,
}

impl fmt::Debug for RsaSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RsaSigner({:?})", self.scheme)
    }
}

impl RsaSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let (hash, is_pss) = match self.scheme {
            SignatureScheme::RSA_PSS_SHA512 => (MessageDigest::sha512(), true),
            SignatureScheme::RSA_PSS_SHA384 => (MessageDigest::sha384(), true),
            SignatureScheme::RSA_PSS_SHA256 => (MessageDigest::sha256(), true),
            SignatureScheme::RSA_PKCS1_SHA512 => (MessageDigest::sha512(), false),
            SignatureScheme::RSA_PKCS1_SHA384 => (MessageDigest::sha384(), false),
            _ => (MessageDigest::sha256(), false),
        };
        let mut signer = OpenSslSigner::new(hash, &self.key)?;
        if is_pss {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            // RFC 8446 4.2.3: as long as the digest, which is also that of the mask.
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        signer.sign_oneshot_to_vec(message)
    }
}

impl Signer for RsaSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        RsaSigner::sign(self, message).map_err(|error| Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdpscope_certs::key::PrivateKey;
    use rustls::crypto::ring;
    use x509_parser::prelude::FromDer as _;

    fn identity(kind: KeyKind) -> Identity {
        Identity { chain: Vec::new(), key: PrivateKey::generate(kind).unwrap() }
    }

    #[test]
    fn ring_takes_every_kind_of_signature() {
        let identity = identity(KeyKind::WINDOWS);
        let key = rsa(&identity).unwrap();
        let public = PKey::private_key_from_pkcs8(identity.key.pkcs8()).unwrap().public_key_to_der().unwrap();
        let (_, spki) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&public).unwrap();
        for scheme in SCHEMES {
            let signer = key.choose_scheme(&[scheme]).unwrap();
            let signature = signer.sign(b"message").unwrap();
            let known = ring::default_provider().signature_verification_algorithms;
            let (_, algorithms) = known.mapping.iter().find(|(known, _)| *known == scheme).unwrap();
            let verified = algorithms.iter().any(|one| {
                one.verify_signature(&spki.subject_public_key.data, b"message", &signature).is_ok()
            });
            assert!(verified, "{scheme:?}");
        }
    }

    #[test]
    fn short_and_other_keys_are_left_to_others() {
        assert!(rsa(&identity(KeyKind::WEAK)).is_none());
        assert!(rsa(&identity(KeyKind::P256)).is_none());
    }
}
