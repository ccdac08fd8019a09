//! Sealing with an NTLM session key: confidentiality with extended session security (MS-NLMP 3.4).

use md5::{Digest, Md5};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

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
        sealed.extend(self.sending.stream.apply(message));
        let signature = self.sending.signature(message);
        sealed[..SIGNATURE_LENGTH].copy_from_slice(&signature);
        sealed
    }

    /// The message in `sealed`; `None` when the signature is not the other end's.
    pub(super) fn open(&mut self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (signature, message) = sealed.split_at_checked(SIGNATURE_LENGTH)?;
        let message = Zeroizing::new(self.receiving.stream.apply(message));
        (self.receiving.signature(&message) == signature).then_some(message)
    }

    /// The signature over SPNEGO's list of mechanisms.
    pub(super) fn sign_mechanism_list(&mut self, list: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.sending.signature_apart(list)
    }

    /// Whether `signature` is the other end's over SPNEGO's list of mechanisms.
    pub(super) fn verifies_mechanism_list(&mut self, list: &[u8], signature: &[u8]) -> bool {
        self.receiving.signature_apart(list) == signature
    }
}

struct Direction {
    signing_key: Zeroizing<[u8; KEY_LENGTH]>,
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
        Direction {
            signing_key: key(signing),
            stream: Rc4::new(&key(sealing)),
            sequence_number: 0,
            encrypts_checksum,
        }
    }

    /// MAC (MS-NLMP 3.4.4.2).
    fn signature(&mut self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        let sequence_number = self.sequence_number.to_le_bytes();
        self.sequence_number = self.sequence_number.wrapping_add(1);
        let digest = hmac_md5(&self.signing_key, &[&sequence_number, message]);
        let mut signature = [0; SIGNATURE_LENGTH];
        signature[..4].copy_from_slice(&VERSION);
        signature[4..12].copy_from_slice(&digest[..8]);
        if self.encrypts_checksum {
            let checksum = self.stream.apply(&digest[..8]);
            signature[4..12].copy_from_slice(&checksum);
        }
        signature[12..].copy_from_slice(&sequence_number);
        signature
    }

    /// The same, with the stream left where it was: mechListMIC must not advance it (MS-SPNG 3.3.5.1).
    fn signature_apart(&mut self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        let before = self.stream.clone();
        let signature = self.signature(message);
        self.stream = before;
        signature
    }
}

/// HMAC (RFC 2104) over MD5, with a key that is no longer than a block.
fn hmac_md5(key: &[u8; KEY_LENGTH], message: &[&[u8]]) -> [u8; 16] {
    const BLOCK: usize = 64;
    let padded = |pad: u8| {
        let mut block = Zeroizing::new([pad; BLOCK]);
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let mut inner = Md5::new().chain_update(*padded(0x36));
    message.iter().for_each(|part| inner.update(part));
    Md5::new().chain_update(*padded(0x5C)).chain_update(inner.finalize()).finalize().into()
}

/// RC4, which is all that NTLM has.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    fn new(key: &[u8; KEY_LENGTH]) -> Self {
        let mut state: [u8; 256] = std::array::from_fn(|index| index as u8);
        let mut j = 0_u8;
        for i in 0..state.len() {
            j = j.wrapping_add(state[i]).wrapping_add(key[i % KEY_LENGTH]);
            state.swap(i, usize::from(j));
        }
        Rc4 { state, i: 0, j: 0 }
    }

    fn apply(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.iter().map(|byte| byte ^ self.next()).collect()
    }

    fn next(&mut self) -> u8 {
        self.i = self.i.wrapping_add(1);
        let at_i = self.state[usize::from(self.i)];
        self.j = self.j.wrapping_add(at_i);
        self.state.swap(usize::from(self.i), usize::from(self.j));
        let at_j = self.state[usize::from(self.i)];
        self.state[usize::from(at_i.wrapping_add(at_j))]
    }
}
