//! What opens TLS: lines of a key log, and private keys of servers.

use super::key_log::{self, Line};
use super::rsa_key::RsaKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use zeroize::Zeroizing;

pub use super::rsa_key::RsaKeyError;

/// Sessions whose master secret is kept so that their resumption can be read; a capture with more resumes the later ones.
const MAXIMUM_SESSIONS: usize = 4096;

/// Bytes that are overwritten when dropped.
pub(super) type Secret = Zeroizing<Vec<u8>>;

/// The secrets that a key log has of one client random, by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Label {
    /// `CLIENT_RANDOM`: the master secret of TLS 1.2 and older.
    MasterSecret,
    /// `PMS_CLIENT_RANDOM`: the premaster secret.
    PremasterSecret,
    /// `CLIENT_EARLY_TRAFFIC_SECRET`.
    ClientEarlyTraffic,
    /// `CLIENT_HANDSHAKE_TRAFFIC_SECRET`.
    ClientHandshakeTraffic,
    /// `SERVER_HANDSHAKE_TRAFFIC_SECRET`.
    ServerHandshakeTraffic,
    /// `CLIENT_TRAFFIC_SECRET_0`.
    ClientTraffic,
    /// `SERVER_TRAFFIC_SECRET_0`.
    ServerTraffic,
}

/// How a key log was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyLogOutcome {
    /// Lines whose secret can open TLS.
    pub taken: u64,
    /// Lines of a known purpose that opens nothing here: exporters, QUIC, encrypted hellos.
    pub not_needed: u64,
    /// Lines that are none of a key log. Blank lines and comments are counted nowhere.
    pub not_understood: u64,
    /// Number of the first line that was not understood, from 1.
    pub first_not_understood: Option<u64>,
}

#[derive(Default)]
struct Held {
    by_random: HashMap<([u8; 32], Label), Secret>,
    by_encrypted_premaster: HashMap<[u8; 8], Secret>,
    by_session: HashMap<Vec<u8>, Secret>,
    given_sessions: usize,
    rsa_keys: Vec<RsaKey>,
}

/// Secrets shared by the streams of a capture. Streams look up when they need a key, so that a Decryption Secrets Block
/// which stands later in the file than the beginning of a connection is still in time for its first encrypted record.
#[derive(Default)]
pub struct Secrets {
    held: RwLock<Held>,
}

impl Secrets {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the text of a key log (NSS format): a file, or the content of a Decryption Secrets Block of type TLS Key Log.
    /// Unusable lines are counted and passed over. Lines must be whole: the end of `text` ends a line.
    pub fn add_key_log(&self, text: &[u8]) -> KeyLogOutcome {
        let mut outcome = KeyLogOutcome::default();
        let mut held = self.write();
        for (number, line) in key_log::lines(text) {
            match line {
                Line::OfRandom { label, random, secret } => {
                    held.by_random.insert((random, label), secret);
                    outcome.taken += 1;
                }
                Line::OfEncryptedPremaster { beginning, secret } => {
                    held.by_encrypted_premaster.insert(beginning, secret);
                    outcome.taken += 1;
                }
                Line::OfSession { id, secret } => {
                    held.given_sessions += usize::from(held.by_session.insert(id, secret).is_none());
                    outcome.taken += 1;
                }
                Line::NotNeeded => outcome.not_needed += 1,
                Line::NotUnderstood => {
                    outcome.not_understood += 1;
                    outcome.first_not_understood.get_or_insert(number);
                }
            }
        }
        outcome
    }

    /// Takes the private key of a server: PEM or DER, PKCS #1 or PKCS #8, not encrypted. It opens connections whose key
    /// exchange is RSA encryption.
    pub fn add_rsa_key(&self, bytes: &[u8]) -> Result<(), RsaKeyError> {
        let key = RsaKey::read(bytes)?;
        self.write().rsa_keys.push(key);
        Ok(())
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        let held = self.read();
        held.by_random.is_empty()
            && held.by_encrypted_premaster.is_empty()
            && held.given_sessions == 0
            && held.rsa_keys.is_empty()
    }

    pub(super) fn of_random(&self, random: &[u8; 32], label: Label) -> Option<Secret> {
        self.read().by_random.get(&(*random, label)).cloned()
    }

    pub(super) fn of_encrypted_premaster(&self, encrypted: &[u8]) -> Option<Secret> {
        let beginning = encrypted.first_chunk::<8>()?;
        self.read().by_encrypted_premaster.get(beginning).cloned()
    }

    pub(super) fn of_session(&self, id_or_ticket: &[u8]) -> Option<Secret> {
        self.read().by_session.get(id_or_ticket).cloned()
    }

    /// Remembers the master secret of a session that a later connection may resume.
    pub(super) fn remember_session(&self, id_or_ticket: &[u8], master_secret: &[u8]) {
        let mut held = self.write();
        if held.by_session.len() < MAXIMUM_SESSIONS + held.given_sessions {
            held.by_session
                .entry(id_or_ticket.to_vec())
                .or_insert_with(|| Zeroizing::new(master_secret.to_vec()));
        }
    }

    pub(super) fn has_rsa_keys(&self) -> bool {
        !self.read().rsa_keys.is_empty()
    }

    /// Whether one of the private keys is that of the certificate; `None` where there is no certificate that can be read.
    pub(super) fn has_key_of(&self, certificate: &[u8]) -> Option<bool> {
        let public = super::rsa_key::public_key_of(certificate)?;
        Some(self.read().rsa_keys.iter().any(|key| key.is_private_of(&public)))
    }

    /// The premaster secret that a ClientKeyExchange carries, by whichever private key opens it.
    pub(super) fn decrypt_premaster(&self, encrypted: &[u8]) -> Option<Secret> {
        self.read().rsa_keys.iter().find_map(|key| key.decrypt_premaster(encrypted))
    }

    // A reader or writer that panicked left whole entries behind: each change is one insertion.
    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.read();
        f.debug_struct("Secrets")
            .field("key_log_lines", &(held.by_random.len() + held.by_encrypted_premaster.len()))
            .field("sessions", &held.by_session.len())
            .field("rsa_keys", &held.rsa_keys.len())
            .finish()
    }
}
