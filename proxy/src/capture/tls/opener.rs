//! Opens the records of one side under one set of keys, in order.

use super::aead::AeadKey;
use super::block::BlockOpener;
use super::hash::{Hash, expand_label};
use super::mac::RecordMac;
use super::suite::{Aead, Cipher, Suite};
use crate::wire::tls::names::TLS_1_3;
use crate::wire::tls::{ContentType, RecordHeader};
use rc4::{KeyInit as _, Rc4, StreamCipher as _};

/// The longest plaintext of a record (RFC 8446 section 5.1).
const MAXIMUM_PLAINTEXT: usize = 1 << 14;
/// The longest ciphertext beyond the plaintext: TLS 1.3 allows 256 bytes, older versions 2048.
const MAXIMUM_EXPANSION_1_3: usize = 256;
/// TLSCiphertext.nonce_explicit of AES-GCM and AES-CCM in TLS 1.2 (RFC 5288 section 3, RFC 6655 section 3).
const EXPLICIT_NONCE_LENGTH: usize = 8;

/// Why a record cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    NotAuthentic,
    TooShort,
    TooLong,
    NoContentType,
    SequenceUsedUp,
}

impl Fault {
    /// Of the record, in a few words.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Fault::NotAuthentic => "does not authenticate, so it was changed or bytes before it are missing",
            Fault::TooShort => "too short for its cipher",
            Fault::TooLong => "longer than TLS allows",
            Fault::NoContentType => "nothing but padding",
            Fault::SequenceUsedUp => "beyond the last sequence number",
        }
    }
}

enum Kind {
    /// TLS 1.3, and ChaCha20-Poly1305 in TLS 1.2: the nonce is the vector combined with the sequence number.
    Combined {
        key: AeadKey,
        vector: [u8; 12],
    },
    /// AES-GCM and AES-CCM in TLS 1.2: the greater part of the nonce is in the record.
    Explicit {
        key: AeadKey,
        salt: [u8; 4],
    },
    Block(Box<BlockOpener>),
    Rc4 {
        cipher: Box<Rc4>,
        mac: RecordMac,
    },
    Null {
        mac: RecordMac,
    },
}

/// The keys of one side, and how many records they have opened.
pub(super) struct Opener {
    version: u16,
    suite: u16,
    kind: Kind,
    sequence: u64,
}

/// What the key block gives one side (RFC 5246 section 6.3).
pub(super) struct SideKeys<'a> {
    pub(super) mac: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) vector: &'a [u8],
}

/// Bytes that a key block has for one side: MAC key, key, vector. TLS 1.0 alone takes the vector of CBC from there.
pub(super) fn key_block_lengths(version: u16, cipher: Cipher) -> (usize, usize, usize) {
    use crate::wire::tls::names::TLS_1_0;
    match cipher {
        Cipher::Aead(aead @ Aead::ChaCha20Poly1305) => (0, aead.key_length(), 12),
        Cipher::Aead(aead) => (0, aead.key_length(), 4),
        Cipher::Block(block, mac) => {
            let vector = if version == TLS_1_0 { block.block_length() } else { 0 };
            (mac.length(), block.key_length(), vector)
        }
        Cipher::Rc4(mac) => (mac.length(), 16, 0),
        Cipher::Null(mac) => (mac.length(), 0, 0),
    }
}

impl Opener {
    /// Keys of TLS 1.3 from a traffic secret of the length of the suite's hash (RFC 8446 section 7.3). `None` for suites
    /// that TLS 1.3 does not have.
    pub(super) fn of_traffic_secret(suite: &Suite, secret: &[u8]) -> Option<Opener> {
        let Cipher::Aead(aead) = suite.cipher else { return None };
        let key = expand_label(suite.hash, secret, "key", aead.key_length());
        let vector = expand_label(suite.hash, secret, "iv", 12);
        let kind =
            Kind::Combined { key: AeadKey::new(aead, &key)?, vector: vector.as_slice().try_into().ok()? };
        Some(Opener { version: TLS_1_3, suite: suite.id, kind, sequence: 0 })
    }

    /// Keys of TLS 1.2 and older, each of the length that [`key_block_lengths`] says. `None` where one is not.
    pub(super) fn of_key_block(
        version: u16,
        suite: &Suite,
        encrypt_then_mac: bool,
        keys: &SideKeys<'_>,
    ) -> Option<Opener> {
        let kind = match suite.cipher {
            Cipher::Aead(aead @ Aead::ChaCha20Poly1305) => {
                Kind::Combined { key: AeadKey::new(aead, keys.key)?, vector: keys.vector.try_into().ok()? }
            }
            Cipher::Aead(aead) => {
                Kind::Explicit { key: AeadKey::new(aead, keys.key)?, salt: keys.vector.try_into().ok()? }
            }
            Cipher::Block(block, mac) => {
                let mac = RecordMac::new(mac, keys.mac);
                Kind::Block(Box::new(BlockOpener::new(block, mac, encrypt_then_mac, keys)?))
            }
            Cipher::Rc4(mac) => {
                let cipher = Box::new(Rc4::new_from_slice(keys.key).ok()?);
                Kind::Rc4 { cipher, mac: RecordMac::new(mac, keys.mac) }
            }
            Cipher::Null(mac) => Kind::Null { mac: RecordMac::new(mac, keys.mac) },
        };
        Some(Opener { version, suite: suite.id, kind, sequence: 0 })
    }

    /// Whether they are of TLS 1.3, where protected records look like application data.
    pub(super) fn is_of_1_3(&self) -> bool {
        self.version == TLS_1_3
    }

    /// What the two sides agreed on.
    pub(super) fn version_and_suite(&self) -> (u16, u16) {
        (self.version, self.suite)
    }

    /// Whether these keys have opened a record.
    pub(super) fn is_proven(&self) -> bool {
        self.sequence > 0
    }

    /// Opens the next record in place: `fragment` then holds its plaintext, and the answer is what that is. After a fault
    /// `fragment` holds nothing of use.
    pub(super) fn open(
        &mut self,
        header: RecordHeader,
        fragment: &mut Vec<u8>,
    ) -> Result<ContentType, Fault> {
        if self.sequence == u64::MAX {
            return Err(Fault::SequenceUsedUp);
        }
        let content_type = if self.is_of_1_3() {
            self.open_1_3(header, fragment)?
        } else {
            self.open_older(header, fragment)?;
            header.content_type
        };
        if fragment.len() > MAXIMUM_PLAINTEXT {
            return Err(Fault::TooLong);
        }
        self.sequence += 1;
        Ok(content_type)
    }

    fn open_1_3(&mut self, header: RecordHeader, fragment: &mut Vec<u8>) -> Result<ContentType, Fault> {
        if fragment.len() > MAXIMUM_PLAINTEXT + MAXIMUM_EXPANSION_1_3 {
            return Err(Fault::TooLong);
        }
        let Kind::Combined { key, vector } = &self.kind else { return Err(Fault::NotAuthentic) };
        let additional = header.to_bytes();
        key.open(combine(*vector, self.sequence), &additional, fragment, 0)?;
        let content = fragment.iter().rposition(|byte| *byte != 0).ok_or(Fault::NoContentType)?;
        let content_type = ContentType::from_number(fragment[content]).ok_or(Fault::NoContentType)?;
        fragment.truncate(content);
        Ok(content_type)
    }

    fn open_older(&mut self, header: RecordHeader, fragment: &mut Vec<u8>) -> Result<(), Fault> {
        let sequence = self.sequence;
        match &mut self.kind {
            Kind::Combined { key, vector } => {
                let additional = additional_data(sequence, header, fragment.len(), key.tag_length())?;
                key.open(combine(*vector, sequence), &additional, fragment, 0)
            }
            Kind::Explicit { key, salt } => {
                let overhead = EXPLICIT_NONCE_LENGTH + key.tag_length();
                let additional = additional_data(sequence, header, fragment.len(), overhead)?;
                let mut nonce = [0; 12];
                nonce[..4].copy_from_slice(salt);
                nonce[4..].copy_from_slice(&fragment[..EXPLICIT_NONCE_LENGTH]);
                key.open(nonce, &additional, fragment, EXPLICIT_NONCE_LENGTH)
            }
            Kind::Block(block) => block.open(sequence, header, fragment),
            Kind::Rc4 { cipher, mac } => {
                cipher.apply_keystream(fragment);
                mac.check_and_remove(sequence, header, fragment)
            }
            Kind::Null { mac } => mac.check_and_remove(sequence, header, fragment),
        }
    }
}

/// RFC 8446 section 5.3, RFC 7905 section 2.
fn combine(mut vector: [u8; 12], sequence: u64) -> [u8; 12] {
    vector[4..].iter_mut().zip(sequence.to_be_bytes()).for_each(|(byte, of_sequence)| *byte ^= of_sequence);
    vector
}

/// What is authenticated beside a record of `length` bytes, `overhead` of which are not plaintext (RFC 5246 section
/// 6.2.3.3).
fn additional_data(
    sequence: u64,
    header: RecordHeader,
    length: usize,
    overhead: usize,
) -> Result<[u8; 13], Fault> {
    let plaintext = length.checked_sub(overhead).ok_or(Fault::TooShort)?;
    Ok(super::mac::pseudo_header(sequence, header, plaintext))
}

/// The keys of the next generation after a KeyUpdate (RFC 8446 section 7.2).
pub(super) fn next_traffic_secret(hash: Hash, secret: &[u8]) -> super::secrets::Secret {
    expand_label(hash, secret, "traffic upd", hash.length())
}
