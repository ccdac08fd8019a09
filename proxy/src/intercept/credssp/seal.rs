//! Sealing with an NTLM session key: confidentiality with extended session security (MS-NLMP 3.4).

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use rc4::{KeyInit, Rc4, StreamCipher};
use zeroize::Zeroizing;

/// Bytes of a session key, and of the keys made from it.
pub(super) const KEY_LENGTH: usize = 16;
/// Bytes of a signature: version, checksum, sequence number.
pub(super) const SIGNATURE_LENGTH: usize = 16;

const VERSION: [u8; 4] = [1, 0, 0, 0];
const CLIENT_SIGNING: &[u8] = b"session key to client-to-server signing key magic constant\0";
const SERVER_SIGNING: &[u8] = b"session key to server-to-client signing key magic constant\0";
const CLIENT_SEALING: &[u8] = b"session key to client-to-server sealing key magic constant\0";
const SERVER_SEALING: &[u8] = b"session key to server-to-client sealing key magic constant\0";

/// Which end of NTLM we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// Seals what we send and opens what we receive.
pub(super) struct Session {
    sending: Direction,
    receiving: Direction,
}

impl Session {
    /// From the exported session key. `encrypts_checksum`: whether NTLMSSP_NEGOTIATE_KEY_EXCH was negotiated.
    pub(super) fn new(end: End, session_key: &[u8; KEY_LENGTH], encrypts_checksum: bool) -> Self {
        let client = Direction::new(session_key, CLIENT_SIGNING, CLIENT_SEALING, encrypts_checksum);
        let server = Direction::new(session_key, SERVER_SIGNING, SERVER_SEALING, encrypts_checksum);
        match end {
            End::Client => Session { sending: client, receiving: server },
            End::Server => Session { sending: server, receiving: client },
        }
    }

    /// The signature and the sealed `message`.
    pub(super) fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; SIGNATURE_LENGTH];
        sealed.extend_from_slice(message);
        self.sending.stream.apply_keystream(&mut sealed[SIGNATURE_LENGTH..]);
        let signature = self.sending.signature(message);
        sealed[..SIGNATURE_LENGTH].copy_from_slice(&signature);
        sealed
    }

    /// The message in `sealed`; `None` when the signature is not the other end's.
    pub(super) fn open(&mut self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (signature, message) = sealed.split_at_checked(SIGNATURE_LENGTH)?;
        let mut message = Zeroizing::new(message.to_vec());
        self.receiving.stream.apply_keystream(&mut message);
        (self.receiving.signature(&message) == signature).then_some(message)
    }

    /// The signature of a message that we send as it is.
    pub(super) fn sign(&mut self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.sending.signature(message)
    }

    /// The signature of a message that the other end sends as it is.
    pub(super) fn sign_for_the_other(&mut self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.receiving.signature(message)
    }

    /// The signature over SPNEGO's list of mechanisms; it comes before anything is sealed.
    pub(super) fn sign_mechanism_list(&mut self, list: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.sending.signature_apart(list)
    }

    /// Whether `signature` is the other end's over SPNEGO's list of mechanisms; it comes before anything is opened.
    pub(super) fn verifies_mechanism_list(&mut self, list: &[u8], signature: &[u8]) -> bool {
        self.receiving.signature_apart(list) == signature
    }
}

struct Direction {
    signing_key: Zeroizing<[u8; KEY_LENGTH]>,
    sealing_key: Zeroizing<[u8; KEY_LENGTH]>,
    stream: Rc4,
    sequence_number: u32,
    encrypts_checksum: bool,
}

impl Direction {
    fn new(session_key: &[u8], signing: &[u8], sealing: &[u8], encrypts_checksum: bool) -> Self {
        let key = |purpose: &[u8]| {
            Zeroizing::new(<[u8; KEY_LENGTH]>::from(
                Md5::new().chain_update(session_key).chain_update(purpose).finalize(),
            ))
        };
        let sealing_key = key(sealing);
        Direction {
            signing_key: key(signing),
            stream: stream(&sealing_key),
            sealing_key,
            sequence_number: 0,
            encrypts_checksum,
        }
    }

    /// MAC (MS-NLMP 3.4.4.2).
    fn signature(&mut self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        let sequence_number = self.sequence_number.to_le_bytes();
        self.sequence_number = self.sequence_number.wrapping_add(1);
        let digest = <Hmac<Md5> as Mac>::new_from_slice(&*self.signing_key)
            .expect("HMAC takes a key of any length")
            .chain_update(sequence_number)
            .chain_update(message)
            .finalize()
            .into_bytes();
        let mut signature = [0; SIGNATURE_LENGTH];
        signature[..4].copy_from_slice(&VERSION);
        signature[4..12].copy_from_slice(&digest[..8]);
        if self.encrypts_checksum {
            self.stream.apply_keystream(&mut signature[4..12]);
        }
        signature[12..].copy_from_slice(&sequence_number);
        signature
    }

    /// The same, with the stream left at its start, where it is before anything was sealed: mechListMIC must not
    /// advance it (MS-SPNG 3.3.5.1).
    fn signature_apart(&mut self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        let signature = self.signature(message);
        self.stream = stream(&self.sealing_key);
        signature
    }
}

/// RC4, which is all that NTLM has.
fn stream(key: &[u8; KEY_LENGTH]) -> Rc4 {
    Rc4::new_from_slice(key).expect("RC4 takes a key of 16 bytes")
}
