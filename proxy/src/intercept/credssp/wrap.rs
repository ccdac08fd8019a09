//! What a service seals and signs for its client, and what the client does for it (RFC 4121 4.2.6).

use super::kerberos_key::Key;
use super::kerberos_shape::WRAP_HEADER;
use super::ntlm::Fault;
use picky_krb::constants::key_usages::{ACCEPTOR_SEAL, ACCEPTOR_SIGN, INITIATOR_SEAL, INITIATOR_SIGN};
use zeroize::Zeroizing;

/// TOK_ID of a Wrap token.
const TOKEN: [u8; 2] = [5, 4];
/// TOK_ID of a MIC token.
const MIC: [u8; 2] = [4, 4];
const FROM_ACCEPTOR: u8 = 0x01;
const SEALED: u8 = 0x02;
const WITH_ACCEPTORS_KEY: u8 = 0x04;
const FILLER: u8 = 0xFF;
/// RRC, by which Windows turns what is sealed: the length of its header and its checksum, which then come first.
const TURNED_BY: u16 = 28;

/// The context that a service and its client have.
pub(super) struct Context {
    key: Key,
    sequence_number: u64,
}

impl Context {
    /// `key`: the one that AP-REP gave the client; `sequence_number`: the one of our first message.
    pub(super) fn new(key: Key, sequence_number: u32) -> Self {
        Context { key, sequence_number: sequence_number.into() }
    }

    /// The Wrap token of `message`.
    pub(super) fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let flags = FROM_ACCEPTOR | SEALED | WITH_ACCEPTORS_KEY;
        let mut token =
            [&TOKEN[..], &[flags, FILLER, 0, 0, 0, 0], &self.sequence_number.to_be_bytes()].concat();
        self.sequence_number = self.sequence_number.wrapping_add(1);
        let mut body = self.key.seal(ACCEPTOR_SEAL, &Zeroizing::new([message, &token].concat()))?;
        body.rotate_right(usize::from(TURNED_BY));
        token[6..8].copy_from_slice(&TURNED_BY.to_be_bytes());
        token.extend(body);
        Ok(token)
    }

    /// The message in the client's Wrap token; `None` when it is not the client's. TLS keeps the order of messages, so
    /// that their numbers are not looked at.
    pub(super) fn open(&self, token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (header, body) = token.split_first_chunk::<WRAP_HEADER>()?;
        let mut header = *header;
        let [t0, t1, flags, filler, extra @ .., r0, r1] = *header.first_chunk::<8>()?;
        let (extra, turned_by) = (u16::from_be_bytes(extra), u16::from_be_bytes([r0, r1]));
        if [t0, t1] != TOKEN
            || filler != FILLER
            || flags & (FROM_ACCEPTOR | SEALED) != SEALED
            || body.is_empty()
        {
            return None;
        }
        let mut body = body.to_vec();
        let length = body.len();
        body.rotate_left(usize::from(turned_by) % length);
        let mut message = self.key.open(INITIATOR_SEAL, &body)?;
        // What is sealed ends in the header as it was before the body was turned.
        header[6..8].fill(0);
        let end = message.len().checked_sub(WRAP_HEADER + usize::from(extra))?;
        if message[message.len() - WRAP_HEADER..] != header {
            return None;
        }
        message.truncate(end);
        Some(message)
    }

    /// The MIC token of `message`, which is not in it.
    pub(super) fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut token = [&MIC[..], &[FROM_ACCEPTOR | WITH_ACCEPTORS_KEY], &[FILLER; 5]].concat();
        token.extend(self.sequence_number.to_be_bytes());
        self.sequence_number = self.sequence_number.wrapping_add(1);
        let checksum = self.key.checksum(ACCEPTOR_SIGN, &[message, &token].concat())?;
        token.extend(checksum);
        Ok(token)
    }

    /// Whether `token` is the client's MIC token of `message`.
    pub(super) fn verifies(&self, message: &[u8], token: &[u8]) -> bool {
        let Some((header, checksum)) = token.split_first_chunk::<WRAP_HEADER>() else { return false };
        let is_clients = header[..2] == MIC && header[2] & (FROM_ACCEPTOR | SEALED) == 0;
        let expected = self.key.checksum(INITIATOR_SIGN, &[message, header].concat());
        is_clients && expected.is_ok_and(|expected| expected == checksum)
    }
}
