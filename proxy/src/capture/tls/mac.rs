//! The HMAC of records whose cipher does not authenticate (RFC 5246 section 6.2.3.1).

use super::opener::Fault;
use super::suite::MacAlgorithm;
use crate::wire::tls::RecordHeader;
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384};

impl MacAlgorithm {
    /// Bytes of its key and of its output.
    pub(super) fn length(self) -> usize {
        match self {
            MacAlgorithm::Md5 => 16,
            MacAlgorithm::Sha1 => 20,
            MacAlgorithm::Sha256 => 32,
            MacAlgorithm::Sha384 => 48,
        }
    }
}

enum Keyed {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
}

/// The HMAC of one side.
pub(super) struct RecordMac {
    keyed: Keyed,
    length: usize,
}

/// What stands before the content where a record is authenticated: sequence number, type, version, length.
pub(super) fn pseudo_header(sequence: u64, header: RecordHeader, length: usize) -> [u8; 13] {
    let mut bytes = [0; 13];
    bytes[..8].copy_from_slice(&sequence.to_be_bytes());
    bytes[8..11].copy_from_slice(&header.to_bytes()[..3]);
    bytes[11..].copy_from_slice(&(length as u16).to_be_bytes());
    bytes
}

impl RecordMac {
    pub(super) fn new(algorithm: MacAlgorithm, key: &[u8]) -> RecordMac {
        let keyed = match algorithm {
            MacAlgorithm::Md5 => Keyed::Md5(keyed(key)),
            MacAlgorithm::Sha1 => Keyed::Sha1(keyed(key)),
            MacAlgorithm::Sha256 => Keyed::Sha256(keyed(key)),
            MacAlgorithm::Sha384 => Keyed::Sha384(keyed(key)),
        };
        RecordMac { keyed, length: algorithm.length() }
    }

    /// Bytes of a MAC.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Takes the MAC off the end of `fragment` and compares it with that of what stands before.
    pub(super) fn check_and_remove(
        &self,
        sequence: u64,
        header: RecordHeader,
        fragment: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let content = fragment.len().checked_sub(self.length).ok_or(Fault::TooShort)?;
        let (content_bytes, mac) = fragment.split_at(content);
        if !self.is_of(sequence, header, content_bytes, mac) {
            return Err(Fault::NotAuthentic);
        }
        fragment.truncate(content);
        Ok(())
    }

    fn is_of(&self, sequence: u64, header: RecordHeader, content: &[u8], mac: &[u8]) -> bool {
        let before = pseudo_header(sequence, header, content.len());
        match &self.keyed {
            Keyed::Md5(keyed) => verify(keyed, &before, content, mac),
            Keyed::Sha1(keyed) => verify(keyed, &before, content, mac),
            Keyed::Sha256(keyed) => verify(keyed, &before, content, mac),
            Keyed::Sha384(keyed) => verify(keyed, &before, content, mac),
        }
    }
}

fn keyed<M: Mac + hmac::digest::KeyInit>(key: &[u8]) -> M {
    <M as Mac>::new_from_slice(key).expect("an HMAC takes keys of any length")
}

fn verify<M: Mac + Clone>(keyed: &M, before: &[u8], content: &[u8], mac: &[u8]) -> bool {
    keyed.clone().chain_update(before).chain_update(content).verify_slice(mac).is_ok()
}
