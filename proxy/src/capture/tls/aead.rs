//! Ciphers that authenticate by themselves: AES-GCM, AES-CCM (RFC 6655) and ChaCha20-Poly1305.

use super::opener::Fault;
use super::suite::Aead;
use aes::{Aes128, Aes256};
use ccm::Ccm;
use ccm::aead::generic_array::typenum::Unsigned as _;
use ccm::aead::{AeadInPlace, KeyInit as _, Tag};
use ccm::consts::{U8, U12, U16};
use ring::aead::{self, LessSafeKey, Nonce, UnboundKey};

/// A key of one side.
pub(super) enum AeadKey {
    Ring(Box<LessSafeKey>),
    Aes128Ccm(Box<Ccm<Aes128, U16, U12>>),
    Aes256Ccm(Box<Ccm<Aes256, U16, U12>>),
    Aes128Ccm8(Box<Ccm<Aes128, U8, U12>>),
    Aes256Ccm8(Box<Ccm<Aes256, U8, U12>>),
}

impl AeadKey {
    /// `None` where the key has not the cipher's length.
    pub(super) fn new(cipher: Aead, key: &[u8]) -> Option<AeadKey> {
        let ring = |algorithm| {
            let key = UnboundKey::new(algorithm, key).ok()?;
            Some(AeadKey::Ring(Box::new(LessSafeKey::new(key))))
        };
        match cipher {
            Aead::Aes128Gcm => ring(&aead::AES_128_GCM),
            Aead::Aes256Gcm => ring(&aead::AES_256_GCM),
            Aead::ChaCha20Poly1305 => ring(&aead::CHACHA20_POLY1305),
            Aead::Aes128Ccm => Some(AeadKey::Aes128Ccm(Box::new(Ccm::new_from_slice(key).ok()?))),
            Aead::Aes256Ccm => Some(AeadKey::Aes256Ccm(Box::new(Ccm::new_from_slice(key).ok()?))),
            Aead::Aes128Ccm8 => Some(AeadKey::Aes128Ccm8(Box::new(Ccm::new_from_slice(key).ok()?))),
            Aead::Aes256Ccm8 => Some(AeadKey::Aes256Ccm8(Box::new(Ccm::new_from_slice(key).ok()?))),
        }
    }

    /// Bytes that authenticate, behind the ciphertext.
    pub(super) fn tag_length(&self) -> usize {
        match self {
            AeadKey::Ring(_) | AeadKey::Aes128Ccm(_) | AeadKey::Aes256Ccm(_) => 16,
            AeadKey::Aes128Ccm8(_) | AeadKey::Aes256Ccm8(_) => 8,
        }
    }

    /// Opens what begins at `start` and leaves nothing but the plaintext in `fragment`.
    pub(super) fn open(
        &self,
        nonce: [u8; 12],
        additional: &[u8],
        fragment: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), Fault> {
        let tag_at = fragment.len().checked_sub(self.tag_length()).filter(|at| *at >= start);
        let tag_at = tag_at.ok_or(Fault::TooShort)?;
        let opened = match self {
            AeadKey::Ring(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                let opened = key.open_in_place(nonce, aead::Aad::from(additional), &mut fragment[start..]);
                opened.is_ok()
            }
            AeadKey::Aes128Ccm(key) => open_ccm(&**key, nonce, additional, &mut fragment[start..]),
            AeadKey::Aes256Ccm(key) => open_ccm(&**key, nonce, additional, &mut fragment[start..]),
            AeadKey::Aes128Ccm8(key) => open_ccm(&**key, nonce, additional, &mut fragment[start..]),
            AeadKey::Aes256Ccm8(key) => open_ccm(&**key, nonce, additional, &mut fragment[start..]),
        };
        if !opened {
            return Err(Fault::NotAuthentic);
        }
        fragment.truncate(tag_at);
        fragment.drain(..start);
        Ok(())
    }
}

/// `sealed` is the ciphertext, at whose place the plaintext then stands, and the tag.
fn open_ccm<C>(key: &C, nonce: [u8; 12], additional: &[u8], sealed: &mut [u8]) -> bool
where
    C: AeadInPlace<NonceSize = U12>,
{
    let (message, tag) = sealed.split_at_mut(sealed.len() - C::TagSize::USIZE);
    key.decrypt_in_place_detached((&nonce).into(), additional, message, Tag::<C>::from_slice(tag)).is_ok()
}
