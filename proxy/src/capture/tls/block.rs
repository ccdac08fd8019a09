//! Records of a block cipher in CBC mode (RFC 5246 section 6.2.3.2, RFC 7366 for the MAC after encryption).

use super::mac::RecordMac;
use super::opener::{Fault, SideKeys};
use super::suite::BlockCipher;
use crate::wire::tls::RecordHeader;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockCipher as BlockCipherMarker, BlockDecryptMut, InnerIvInit as _, KeyInit as _};
use aes::{Aes128Dec, Aes256Dec};
use des::TdesEde3;

enum Cipher {
    Aes128(Box<Aes128Dec>),
    Aes256(Box<Aes256Dec>),
    TripleDes(Box<TdesEde3>),
}

/// The key of one side, and in TLS 1.0 the block that the next record follows.
pub(super) struct BlockOpener {
    cipher: Cipher,
    mac: RecordMac,
    encrypt_then_mac: bool,
    block_length: usize,
    /// The last block of the record before; `None` where each record brings its own vector (TLS 1.1 and later).
    chained: Option<Vec<u8>>,
}

impl BlockOpener {
    /// With a vector in `keys` records are chained as in TLS 1.0. `None` where the key has not the cipher's length.
    pub(super) fn new(
        block: BlockCipher,
        mac: RecordMac,
        encrypt_then_mac: bool,
        keys: &SideKeys<'_>,
    ) -> Option<BlockOpener> {
        let cipher = match block {
            BlockCipher::Aes128 => Cipher::Aes128(Box::new(Aes128Dec::new_from_slice(keys.key).ok()?)),
            BlockCipher::Aes256 => Cipher::Aes256(Box::new(Aes256Dec::new_from_slice(keys.key).ok()?)),
            BlockCipher::TripleDes => Cipher::TripleDes(Box::new(TdesEde3::new_from_slice(keys.key).ok()?)),
        };
        let chained = (!keys.vector.is_empty()).then(|| keys.vector.to_vec());
        Some(BlockOpener { cipher, mac, encrypt_then_mac, block_length: block.block_length(), chained })
    }

    pub(super) fn open(
        &mut self,
        sequence: u64,
        header: RecordHeader,
        fragment: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if self.encrypt_then_mac {
            self.mac.check_and_remove(sequence, header, fragment)?;
        }
        self.decrypt(fragment)?;
        let padded_mac = if self.encrypt_then_mac { 0 } else { self.mac.length() };
        remove_padding(fragment, padded_mac)?;
        if !self.encrypt_then_mac {
            self.mac.check_and_remove(sequence, header, fragment)?;
        }
        Ok(())
    }

    /// Leaves content, MAC and padding in `fragment`.
    fn decrypt(&mut self, fragment: &mut Vec<u8>) -> Result<(), Fault> {
        let explicit = if self.chained.is_some() { 0 } else { self.block_length };
        if fragment.len() <= explicit || !fragment.len().is_multiple_of(self.block_length) {
            return Err(Fault::TooShort);
        }
        let last = self.chained.is_some().then(|| fragment[fragment.len() - self.block_length..].to_vec());
        let (explicit_vector, blocks) = fragment.split_at_mut(explicit);
        let vector = self.chained.as_deref().unwrap_or(explicit_vector);
        match &self.cipher {
            Cipher::Aes128(cipher) => decrypt_blocks(&**cipher, vector, blocks),
            Cipher::Aes256(cipher) => decrypt_blocks(&**cipher, vector, blocks),
            Cipher::TripleDes(cipher) => decrypt_blocks(&**cipher, vector, blocks),
        }
        self.chained = last;
        fragment.drain(..explicit);
        Ok(())
    }
}

/// `blocks` is whole blocks, `vector` one.
fn decrypt_blocks<C>(cipher: &C, vector: &[u8], blocks: &mut [u8])
where
    C: BlockDecryptMut + BlockCipherMarker + Clone,
{
    let cbc = cbc::Decryptor::<C>::inner_iv_slice_init(cipher.clone(), vector);
    let decrypted = cbc.map(|cbc| cbc.decrypt_padded_mut::<NoPadding>(blocks).map(<[u8]>::len));
    debug_assert_eq!(decrypted.map(|length| length.is_ok()), Ok(true), "whole blocks and a vector of one");
}

/// Takes the padding off, all bytes of which must tell its length, and leaves at least `mac` bytes.
fn remove_padding(fragment: &mut Vec<u8>, mac: usize) -> Result<(), Fault> {
    let padding = fragment.last().copied().ok_or(Fault::TooShort)?;
    let content = fragment.len().checked_sub(usize::from(padding) + 1).ok_or(Fault::NotAuthentic)?;
    if content < mac || fragment[content..].iter().any(|byte| *byte != padding) {
        return Err(Fault::NotAuthentic);
    }
    fragment.truncate(content);
    Ok(())
}
