//! The private key of a server whose key exchange is RSA encryption (RFC 5246 section 7.4.7.1).

use super::secrets::Secret;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPublicKey as _};
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

/// ClientHello's version and 46 random bytes.
const PREMASTER_SECRET_LENGTH: usize = 48;

/// Why a private key was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RsaKeyError {
    /// Neither PEM nor DER with a private key in it.
    #[error(
        "reading the private key: there is none in PKCS #1 or PKCS #8 here, as PEM or DER; export it in one of these, or as PFX"
    )]
    NoPrivateKey,
    /// Encrypted with a passphrase.
    #[error("reading the private key: it is encrypted with a passphrase; decrypt it first")]
    Encrypted,
    /// Another algorithm.
    #[error(
        "reading the private key: it is not an RSA key, and only RSA key exchange can be decrypted with one; use a key log"
    )]
    NotRsa,
}

/// An RSA private key; `rsa` overwrites it when dropped.
pub(super) struct RsaKey {
    private: RsaPrivateKey,
    public: Vec<u8>,
}

impl RsaKey {
    pub(super) fn read(bytes: &[u8]) -> Result<RsaKey, RsaKeyError> {
        let private = if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
            from_pem(bytes)?
        } else {
            from_der(bytes)?
        };
        let public = private.to_public_key().to_pkcs1_der().map_err(|_| RsaKeyError::NoPrivateKey)?;
        Ok(RsaKey { private, public: public.into_vec() })
    }

    pub(super) fn is_private_of(&self, public: &[u8]) -> bool {
        self.public == public
    }

    pub(super) fn decrypt_premaster(&self, encrypted: &[u8]) -> Option<Secret> {
        let secret = Zeroizing::new(self.private.decrypt(Pkcs1v15Encrypt, encrypted).ok()?);
        (secret.len() == PREMASTER_SECRET_LENGTH).then_some(secret)
    }
}

/// RSAPublicKey of a certificate in DER; `None` where that cannot be read.
pub(super) fn public_key_of(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, x509) = X509Certificate::from_der(certificate).ok()?;
    Some(x509.public_key().subject_public_key.data.to_vec())
}

fn from_pem(bytes: &[u8]) -> Result<RsaPrivateKey, RsaKeyError> {
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(PrivateKeyDer::Pkcs1(der)) => {
            RsaPrivateKey::from_pkcs1_der(der.secret_pkcs1_der()).map_err(|_| RsaKeyError::NoPrivateKey)
        }
        Ok(PrivateKeyDer::Pkcs8(der)) => from_pkcs8(der.secret_pkcs8_der()),
        Ok(_) => Err(RsaKeyError::NotRsa),
        Err(pem::Error::NoItemsFound) if is_encrypted(bytes) => Err(RsaKeyError::Encrypted),
        Err(_) => Err(RsaKeyError::NoPrivateKey),
    }
}

fn from_der(bytes: &[u8]) -> Result<RsaPrivateKey, RsaKeyError> {
    RsaPrivateKey::from_pkcs1_der(bytes).or_else(|_| from_pkcs8(bytes))
}

fn from_pkcs8(der: &[u8]) -> Result<RsaPrivateKey, RsaKeyError> {
    let info = rsa::pkcs8::PrivateKeyInfo::try_from(der).map_err(|_| RsaKeyError::NoPrivateKey)?;
    if info.algorithm.oid != rsa::pkcs1::ALGORITHM_OID {
        return Err(RsaKeyError::NotRsa);
    }
    RsaPrivateKey::from_pkcs8_der(der).map_err(|_| RsaKeyError::NoPrivateKey)
}

/// PKCS #8 says so in its label, the older form in a header.
fn is_encrypted(pem: &[u8]) -> bool {
    let has = |wanted: &[u8]| pem.windows(wanted.len()).any(|window| window == wanted);
    has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED")
}
