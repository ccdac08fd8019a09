//! Private keys: made, loaded, signing.
//!
//! RSA comes from the `rsa` crate and not from the TLS library, which neither makes RSA keys nor touches those below
//! 2048 bits, and short keys are among the faults to be shown.

use md5::Digest as _;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use rand::rngs::OsRng;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPublicKey as _};
use rsa::pkcs8::{
    AssociatedOid as _, DecodePrivateKey as _, EncodePrivateKey as _, ObjectIdentifier, PrivateKeyInfo,
};
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, Pss, RsaPrivateKey};
use std::fmt;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// `rsaEncryption` (RFC 8017 A.1).
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `id-ecPublicKey` (RFC 5480 2.1.1).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// The shortest hash that a P-384 signature takes: half the size of its field.
const MINIMUM_P384_HASH: usize = 24;

/// What sort of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with a modulus of this many bits.
    Rsa {
        /// Bits of the modulus.
        bits: usize,
    },
    /// ECDSA over P-256.
    P256,
    /// ECDSA over P-384.
    P384,
}

impl KeyKind {
    /// What Windows makes for Remote Desktop by itself.
    pub const WINDOWS: KeyKind = KeyKind::Rsa { bits: 2048 };
    /// An RSA key that current clients refuse as too short.
    pub const WEAK: KeyKind = KeyKind::Rsa { bits: 1024 };
}

impl fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyKind::Rsa { bits } => write!(formatter, "RSA {bits}"),
            KeyKind::P256 => formatter.write_str("ECDSA P-256"),
            KeyKind::P384 => formatter.write_str("ECDSA P-384"),
        }
    }
}

/// The hash of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// MD5, broken.
    Md5,
    /// SHA-1, refused by current clients.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Why a key could not be made, read or used. Holds nothing of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The generator failed.
    #[error("cannot make a key of the kind {kind}: {reason}")]
    Generate {
        /// What was to be made.
        kind: KeyKind,
        /// What failed.
        reason: String,
    },
    /// A well-formed key of an algorithm not known here.
    #[error("the private key is neither RSA nor ECDSA over P-256 or P-384 (it is {algorithm})")]
    Unsupported {
        /// Object identifier of the algorithm or the curve.
        algorithm: String,
    },
    /// Bytes that are no key.
    #[error("the private key cannot be read")]
    Malformed,
    /// The key is too short for the hash, or the key is no RSA key.
    #[error("a key of the kind {kind} cannot make a signature with {hash:?}")]
    Sign {
        /// The key's kind.
        kind: KeyKind,
        /// The hash asked for.
        hash: Hash,
    },
}

#[derive(Clone)]
enum Secret {
    Rsa(Box<RsaPrivateKey>),
    P256(p256::SecretKey),
    P384(p384::SecretKey),
}

/// A private key, overwritten in memory when dropped.
#[derive(Clone)]
pub struct PrivateKey {
    secret: Secret,
    pkcs8: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PrivateKey({})", self.kind())
    }
}

impl PrivateKey {
    /// Makes a key. RSA takes its time: about half a second for 2048 bits.
    pub fn generate(kind: KeyKind) -> Result<PrivateKey, KeyError> {
        let secret = match kind {
            KeyKind::Rsa { bits } => RsaPrivateKey::new(&mut OsRng, bits)
                .map(|key| Secret::Rsa(Box::new(key)))
                .map_err(|error| KeyError::Generate { kind, reason: error.to_string() })?,
            KeyKind::P256 => Secret::P256(p256::SecretKey::random(&mut OsRng)),
            KeyKind::P384 => Secret::P384(p384::SecretKey::random(&mut OsRng)),
        };
        PrivateKey::new(secret)
    }

    /// Reads PKCS #8 (RFC 5208).
    pub fn from_pkcs8(der: &[u8]) -> Result<PrivateKey, KeyError> {
        let info = PrivateKeyInfo::try_from(der).map_err(|_| KeyError::Malformed)?;
        let unsupported =
            |algorithm: ObjectIdentifier| KeyError::Unsupported { algorithm: algorithm.to_string() };
        let secret = match info.algorithm.oid {
            RSA_ENCRYPTION => RsaPrivateKey::from_pkcs8_der(der).ok().map(|key| Secret::Rsa(Box::new(key))),
            EC_PUBLIC_KEY => match info.algorithm.parameters_oid().map_err(|_| KeyError::Malformed)? {
                p256::NistP256::OID => p256::SecretKey::from_pkcs8_der(der).ok().map(Secret::P256),
                p384::NistP384::OID => p384::SecretKey::from_pkcs8_der(der).ok().map(Secret::P384),
                curve => return Err(unsupported(curve)),
            },
            algorithm => return Err(unsupported(algorithm)),
        };
        PrivateKey::new(secret.ok_or(KeyError::Malformed)?)
    }

    /// Reads PKCS #1 (RFC 8017 A.1.2).
    pub fn from_pkcs1(der: &[u8]) -> Result<PrivateKey, KeyError> {
        let key = RsaPrivateKey::from_pkcs1_der(der).map_err(|_| KeyError::Malformed)?;
        PrivateKey::new(Secret::Rsa(Box::new(key)))
    }

    /// Reads SEC 1 (RFC 5915), which tells the curve by itself or by its length.
    pub fn from_sec1(der: &[u8]) -> Result<PrivateKey, KeyError> {
        let secret = (p256::SecretKey::from_sec1_der(der).map(Secret::P256))
            .or_else(|_| p384::SecretKey::from_sec1_der(der).map(Secret::P384))
            .map_err(|_| KeyError::Malformed)?;
        PrivateKey::new(secret)
    }

    fn new(secret: Secret) -> Result<PrivateKey, KeyError> {
        let pkcs8 = match &secret {
            Secret::Rsa(key) => key.to_pkcs8_der(),
            Secret::P256(key) => key.to_pkcs8_der(),
            Secret::P384(key) => key.to_pkcs8_der(),
        };
        let pkcs8 = pkcs8.map_err(|_| KeyError::Malformed)?.to_bytes();
        let public = match &secret {
            Secret::Rsa(key) => {
                key.to_public_key().to_pkcs1_der().map_err(|_| KeyError::Malformed)?.into_vec()
            }
            Secret::P256(key) => key.public_key().to_encoded_point(false).as_bytes().to_vec(),
            Secret::P384(key) => key.public_key().to_encoded_point(false).as_bytes().to_vec(),
        };
        Ok(PrivateKey { secret, pkcs8, public })
    }

    /// What sort of key it is.
    pub fn kind(&self) -> KeyKind {
        match &self.secret {
            Secret::Rsa(key) => KeyKind::Rsa { bits: key.n().bits() },
            Secret::P256(_) => KeyKind::P256,
            Secret::P384(_) => KeyKind::P384,
        }
    }

    /// The private key in PKCS #8 DER.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Whether this is the key of the certificate in `der`. False where that cannot be read.
    pub fn belongs_to(&self, der: &[u8]) -> bool {
        X509Certificate::from_der(der)
            .is_ok_and(|(_, x509)| x509.public_key().subject_public_key.data.as_ref() == self.public)
    }

    /// Signs the hash of `message`: RSASSA-PKCS1-v1_5 or ECDSA (in DER).
    pub fn sign(&self, hash: Hash, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let digest = hash.digest(message);
        let signature = match &self.secret {
            Secret::Rsa(key) => key.sign_with_rng(&mut OsRng, hash.pkcs1(), &digest).ok(),
            Secret::P256(key) => p256::ecdsa::SigningKey::from(key)
                .sign_prehash(&digest)
                .ok()
                .map(|signature: p256::ecdsa::Signature| signature.to_der().as_bytes().to_vec()),
            Secret::P384(key) => p384::ecdsa::SigningKey::from(key)
                .sign_prehash(&widen(digest))
                .ok()
                .map(|signature: p384::ecdsa::Signature| signature.to_der().as_bytes().to_vec()),
        };
        signature.ok_or(KeyError::Sign { kind: self.kind(), hash })
    }

    /// Signs the hash of `message` with RSASSA-PSS, the salt as long as the hash, as TLS 1.3 does (RFC 8446 4.2.3).
    /// Together with [`PrivateKey::sign`] this is what a TLS server needs whose library refuses a short key.
    pub fn sign_pss(&self, hash: Hash, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let error = KeyError::Sign { kind: self.kind(), hash };
        match &self.secret {
            Secret::Rsa(key) => {
                key.sign_with_rng(&mut OsRng, hash.pss(), &hash.digest(message)).map_err(|_| error)
            }
            _ => Err(error),
        }
    }
}

/// Zeros on the left change nothing in the number that ECDSA signs.
fn widen(mut digest: Vec<u8>) -> Vec<u8> {
    let missing = MINIMUM_P384_HASH.saturating_sub(digest.len());
    digest.splice(0..0, std::iter::repeat_n(0, missing));
    digest
}

impl Hash {
    fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Hash::Md5 => md5::Md5::digest(message).to_vec(),
            Hash::Sha1 => sha1::Sha1::digest(message).to_vec(),
            Hash::Sha256 => sha2::Sha256::digest(message).to_vec(),
            Hash::Sha384 => sha2::Sha384::digest(message).to_vec(),
            Hash::Sha512 => sha2::Sha512::digest(message).to_vec(),
        }
    }

    fn pkcs1(self) -> Pkcs1v15Sign {
        match self {
            Hash::Md5 => Pkcs1v15Sign::new::<md5::Md5>(),
            Hash::Sha1 => Pkcs1v15Sign::new::<sha1::Sha1>(),
            Hash::Sha256 => Pkcs1v15Sign::new::<sha2::Sha256>(),
            Hash::Sha384 => Pkcs1v15Sign::new::<sha2::Sha384>(),
            Hash::Sha512 => Pkcs1v15Sign::new::<sha2::Sha512>(),
        }
    }

    fn pss(self) -> Pss {
        match self {
            Hash::Md5 => Pss::new::<md5::Md5>(),
            Hash::Sha1 => Pss::new::<sha1::Sha1>(),
            Hash::Sha256 => Pss::new::<sha2::Sha256>(),
            Hash::Sha384 => Pss::new::<sha2::Sha384>(),
            Hash::Sha512 => Pss::new::<sha2::Sha512>(),
        }
    }
}

impl rcgen::PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self.secret {
            Secret::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
            Secret::P256(_) => &rcgen::PKCS_ECDSA_P256_SHA256,
            Secret::P384(_) => &rcgen::PKCS_ECDSA_P384_SHA384,
        }
    }
}

impl rcgen::SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let hash = if self.kind() == KeyKind::P384 { Hash::Sha384 } else { Hash::Sha256 };
        PrivateKey::sign(self, hash, message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mint::self_signed;
    use crate::testing::{as_text, openssl, openssl_is_here, rsa_key};
    use proptest::prelude::*;
    use rsa::pkcs1::EncodeRsaPrivateKey as _;

    fn p256_secret(key: &PrivateKey) -> p256::SecretKey {
        p256::SecretKey::from_pkcs8_der(key.pkcs8()).unwrap()
    }

    #[test]
    fn keys_survive_every_form() {
        for kind in [KeyKind::P256, KeyKind::P384] {
            let key = PrivateKey::generate(kind).unwrap();
            let again = PrivateKey::from_pkcs8(key.pkcs8()).unwrap();
            assert_eq!((again.kind(), &again.public, again.pkcs8()), (kind, &key.public, key.pkcs8()));
        }
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let sec1 = p256_secret(&key).to_sec1_der().unwrap();
        assert_eq!(PrivateKey::from_sec1(&sec1).unwrap().public, key.public);
        let rsa = RsaPrivateKey::from_pkcs8_der(rsa_key().pkcs8()).unwrap();
        let pkcs1 = rsa.to_pkcs1_der().unwrap();
        let again = PrivateKey::from_pkcs1(pkcs1.as_bytes()).unwrap();
        assert_eq!((again.kind(), &again.public), (KeyKind::WINDOWS, &rsa_key().public));
    }

    #[test]
    fn a_key_belongs_to_its_own_certificate_alone() {
        let (one, other) = (self_signed("a", 0, 1).unwrap(), self_signed("a", 0, 1).unwrap());
        assert!(one.key.belongs_to(one.leaf()));
        assert!(!one.key.belongs_to(other.leaf()));
        assert!(!rsa_key().belongs_to(one.leaf()));
        assert!(!one.key.belongs_to(b"no certificate"));
    }

    #[test]
    fn nothing_of_the_key_is_in_its_debug_form_or_in_errors() {
        assert_eq!(format!("{:?}", rsa_key()), "PrivateKey(RSA 2048)");
        let mut damaged = rsa_key().pkcs8().to_vec();
        damaged.truncate(damaged.len() / 2);
        let error = PrivateKey::from_pkcs8(&damaged).unwrap_err();
        assert_eq!(error.to_string(), "the private key cannot be read");
    }

    #[test]
    fn other_algorithms_are_named() {
        // Ed25519, RFC 8410 10.3.
        let mut ed25519 = hex::decode("302e020100300506032b657004220420").unwrap();
        ed25519.extend([7; 32]);
        assert_eq!(
            PrivateKey::from_pkcs8(&ed25519).unwrap_err().to_string(),
            "the private key is neither RSA nor ECDSA over P-256 or P-384 (it is 1.3.101.112)"
        );
    }

    #[test]
    fn what_no_key_can_sign_is_an_error() {
        let ecdsa = PrivateKey::generate(KeyKind::P256).unwrap();
        let error = ecdsa.sign_pss(Hash::Sha256, b"x").unwrap_err();
        assert_eq!(error.to_string(), "a key of the kind ECDSA P-256 cannot make a signature with Sha256");
        let short = PrivateKey::generate(KeyKind::Rsa { bits: 512 }).unwrap();
        assert!(short.sign(Hash::Sha512, b"x").is_err());
    }

    #[test]
    fn openssl_verifies_the_signatures() {
        if !openssl_is_here() {
            return;
        }
        let weak = PrivateKey::generate(KeyKind::WEAK).unwrap();
        assert_eq!(weak.kind(), KeyKind::WEAK);
        let (p256, p384) =
            (PrivateKey::generate(KeyKind::P256).unwrap(), PrivateKey::generate(KeyKind::P384).unwrap());
        for key in [&weak, rsa_key(), &p256, &p384] {
            for (hash, name) in [(Hash::Sha1, "-sha1"), (Hash::Sha256, "-sha256"), (Hash::Sha384, "-sha384")]
            {
                verify(key, &key.sign(hash, b"message").unwrap(), &[name]);
                if let KeyKind::Rsa { .. } = key.kind() {
                    let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", name];
                    verify(key, &key.sign_pss(hash, b"message").unwrap(), &pss);
                }
            }
        }
    }

    fn verify(key: &PrivateKey, signature: &[u8], options: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let public = rcgen::PublicKeyData::subject_public_key_info(key);
        let public = file("public.pem", crate::load::pem("PUBLIC KEY", &public).as_bytes());
        let (signature, message) = (file("signature", signature), file("message", b"message"));
        let files = ["-verify", as_text(&public), "-signature", as_text(&signature), as_text(&message)];
        let said = openssl(&[&["dgst"], options, &files].concat());
        assert!(said.contains("Verified OK"), "{:?} {options:?}: {said}", key.kind());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (
                PrivateKey::from_pkcs8(&bytes), PrivateKey::from_pkcs1(&bytes), PrivateKey::from_sec1(&bytes)
            );
        }

        #[test]
        fn damaged_keys_are_read_without_panic(at in 0usize..200, value in any::<u8>()) {
            let mut bytes = PrivateKey::generate(KeyKind::P256).unwrap().pkcs8().to_vec();
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = PrivateKey::from_pkcs8(&bytes);
        }
    }
}
