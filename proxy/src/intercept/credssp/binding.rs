//! pubKeyAuth: the proof that both ends see the same TLS key (MS-CSSP 3.1.5.1.1).

use super::ts_request::NONCE_LENGTH;
use sha2::{Digest, Sha256};

const CLIENT_TO_SERVER: &[u8] = b"CredSSP Client-To-Server Binding Hash\0";
const SERVER_TO_CLIENT: &[u8] = b"CredSSP Server-To-Client Binding Hash\0";

/// The first version that sends a hash over a nonce in place of the key itself (CVE-2018-0886).
pub(super) const FIRST_WITH_HASH: u32 = 5;

/// How the key is proven: by the key itself, or by a hash over the client's nonce.
#[derive(Debug, Clone)]
pub(super) struct Binding<'a> {
    public_key: &'a [u8],
    nonce: Option<[u8; NONCE_LENGTH]>,
}

impl<'a> Binding<'a> {
    /// For the version that both ends speak; `None` when it needs a nonce and there is none.
    pub(super) fn new(version: u32, public_key: &'a [u8], nonce: Option<[u8; NONCE_LENGTH]>) -> Option<Self> {
        match (version < FIRST_WITH_HASH, nonce) {
            (true, _) => Some(Binding { public_key, nonce: None }),
            (false, Some(nonce)) => Some(Binding { public_key, nonce: Some(nonce) }),
            (false, None) => None,
        }
    }

    /// What the client seals.
    pub(super) fn of_client(&self) -> Vec<u8> {
        match &self.nonce {
            Some(nonce) => self.hash(CLIENT_TO_SERVER, nonce),
            None => self.public_key.to_vec(),
        }
    }

    /// What the server seals: without a nonce the key, its first byte one higher.
    pub(super) fn of_server(&self) -> Vec<u8> {
        match &self.nonce {
            Some(nonce) => self.hash(SERVER_TO_CLIENT, nonce),
            None => {
                let mut key = self.public_key.to_vec();
                if let Some(first) = key.first_mut() {
                    *first = first.wrapping_add(1);
                }
                key
            }
        }
    }

    fn hash(&self, direction: &[u8], nonce: &[u8]) -> Vec<u8> {
        Sha256::new()
            .chain_update(direction)
            .chain_update(nonce)
            .chain_update(self.public_key)
            .finalize()
            .to_vec()
    }
}
