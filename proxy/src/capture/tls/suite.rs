//! What a cipher suite asks for: a cipher, a hash, an exchange of keys. Names and parts come from IANA's table.

use super::hash::Hash;
use crate::wire::tls::names;
use tls_parser::{TlsCipherEnc, TlsCipherEncMode, TlsCipherKx, TlsCipherMac, TlsCipherSuite, TlsPRF};

/// Those of TLS 1.3 (RFC 8446 section B.4), which early data can use: AES-GCM twice, ChaCha20-Poly1305, AES-CCM twice.
pub(super) const TLS_1_3_SUITES: [u16; 5] = [0x1301, 0x1302, 0x1303, 0x1304, 0x1305];

/// A cipher with authentication of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
    Aes128Ccm,
    Aes256Ccm,
    /// With a tag of 8 bytes.
    Aes128Ccm8,
    /// With a tag of 8 bytes.
    Aes256Ccm8,
}

/// A cipher of whole blocks in CBC mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockCipher {
    Aes128,
    Aes256,
    TripleDes,
}

/// The hash of an HMAC beside a cipher that does not authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MacAlgorithm {
    Md5,
    Sha1,
    Sha256,
    Sha384,
}

/// How records are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cipher {
    Aead(Aead),
    Block(BlockCipher, MacAlgorithm),
    Rc4(MacAlgorithm),
    Null(MacAlgorithm),
}

/// A cipher suite that can be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) id: u16,
    pub(super) cipher: Cipher,
    /// Of HKDF in TLS 1.3, of the PRF in TLS 1.2.
    pub(super) hash: Hash,
}

impl Aead {
    pub(super) fn key_length(self) -> usize {
        match self {
            Aead::Aes128Gcm | Aead::Aes128Ccm | Aead::Aes128Ccm8 => 16,
            Aead::Aes256Gcm | Aead::ChaCha20Poly1305 | Aead::Aes256Ccm | Aead::Aes256Ccm8 => 32,
        }
    }
}

impl BlockCipher {
    pub(super) fn key_length(self) -> usize {
        match self {
            BlockCipher::Aes128 => 16,
            BlockCipher::Aes256 => 32,
            BlockCipher::TripleDes => 24,
        }
    }

    pub(super) fn block_length(self) -> usize {
        match self {
            BlockCipher::Aes128 | BlockCipher::Aes256 => 16,
            BlockCipher::TripleDes => 8,
        }
    }
}

impl Suite {
    /// `None` for what this program does not decrypt.
    pub(super) fn of(id: u16) -> Option<Suite> {
        let parts = TlsCipherSuite::from_id(id)?;
        let cipher = match (parts.enc, parts.enc_mode, parts.enc_size) {
            (TlsCipherEnc::Aes, TlsCipherEncMode::Gcm, 128) => Cipher::Aead(Aead::Aes128Gcm),
            (TlsCipherEnc::Aes, TlsCipherEncMode::Gcm, 256) => Cipher::Aead(Aead::Aes256Gcm),
            (TlsCipherEnc::Aes, TlsCipherEncMode::Ccm, size) => Cipher::Aead(ccm(size, parts.name)?),
            (TlsCipherEnc::Chacha20_Poly1305, _, _) => Cipher::Aead(Aead::ChaCha20Poly1305),
            (TlsCipherEnc::Aes, TlsCipherEncMode::Cbc, 128) => {
                Cipher::Block(BlockCipher::Aes128, mac(parts)?)
            }
            (TlsCipherEnc::Aes, TlsCipherEncMode::Cbc, 256) => {
                Cipher::Block(BlockCipher::Aes256, mac(parts)?)
            }
            (TlsCipherEnc::TripleDes, _, _) => Cipher::Block(BlockCipher::TripleDes, mac(parts)?),
            (TlsCipherEnc::Rc4, _, 128) => Cipher::Rc4(mac(parts)?),
            (TlsCipherEnc::Null, _, _) => Cipher::Null(mac(parts)?),
            _ => return None,
        };
        let hash = if parts.prf == TlsPRF::Sha384 { Hash::Sha384 } else { Hash::Sha256 };
        Some(Suite { id, cipher, hash })
    }

    /// Whether the client sends the premaster secret encrypted with the server's public key.
    pub(super) fn has_rsa_key_exchange(&self) -> bool {
        names::is_rsa_key_exchange(self.id)
    }
}

/// Whether the suite is one of TLS 1.3, which no older version can use, and the other way round.
pub(super) fn is_of_tls_1_3(id: u16) -> bool {
    TlsCipherSuite::from_id(id).is_some_and(|parts| parts.kx == TlsCipherKx::Tls13)
}

/// The table has no length of the tag, the names do (RFC 6655 section 4).
fn ccm(key_bits: u16, name: &str) -> Option<Aead> {
    match (key_bits, name.contains("_CCM_8")) {
        (128, false) => Some(Aead::Aes128Ccm),
        (256, false) => Some(Aead::Aes256Ccm),
        (128, true) => Some(Aead::Aes128Ccm8),
        (256, true) => Some(Aead::Aes256Ccm8),
        _ => None,
    }
}

fn mac(parts: &TlsCipherSuite) -> Option<MacAlgorithm> {
    match parts.mac {
        TlsCipherMac::HmacMd5 => Some(MacAlgorithm::Md5),
        TlsCipherMac::HmacSha1 => Some(MacAlgorithm::Sha1),
        TlsCipherMac::HmacSha256 => Some(MacAlgorithm::Sha256),
        TlsCipherMac::HmacSha384 => Some(MacAlgorithm::Sha384),
        TlsCipherMac::Null | TlsCipherMac::HmacSha512 | TlsCipherMac::Aead => None,
    }
}
