//! What the two sides agreed on in a handshake, and the keys that follow from it with the secrets that were given.

use super::decryption::{Decryption, Hole, Misfit};
use super::hash::{Hash, prf, session_hash};
use super::hello::{ClientSide, ServerSide};
use super::opener::{Opener, SideKeys, key_block_lengths};
use super::secrets::{Label, Secret, Secrets};
use super::suite::{Cipher, Suite, TLS_1_3_SUITES, is_of_tls_1_3};
use crate::trace::Side;
use crate::wire::tls::handshake::message_type;
use crate::wire::tls::names::{self, TLS_1_0, TLS_1_3};
use crate::wire::tls::{HandshakeMessage, certificate_list};
use crate::wire::{Malformed, Reader};

const MASTER_SECRET_LENGTH: usize = 48;
/// The most of a handshake that is kept for its hash. That of a Windows server with a chain of certificates is below 10 KiB.
const MAXIMUM_TRANSCRIPT: usize = 512 * 1024;

/// One handshake of a connection.
#[derive(Default)]
pub(super) struct Handshake {
    pub(super) client: Option<ClientSide>,
    pub(super) server: Option<ServerSide>,
    /// A HelloRetryRequest came, which only TLS 1.3 has.
    pub(super) is_retried: bool,
    server_certificate: Option<Vec<u8>>,
    encrypted_premaster: Option<Vec<u8>>,
    /// Messages up to the ClientKeyExchange, for an extended master secret.
    transcript: Vec<u8>,
    session_hash: Option<Vec<u8>>,
    new_ticket: Vec<u8>,
    master_secret: Option<Secret>,
}

impl Handshake {
    /// The version the server chose, if it has.
    pub(super) fn version(&self) -> Option<u16> {
        self.server.as_ref().map(|server| server.version)
    }

    /// Takes a message of TLS 1.2 or older, or a hello of any version. A HelloRetryRequest chooses nothing.
    pub(super) fn message(&mut self, from: Side, message: &HandshakeMessage) -> Result<(), Malformed> {
        self.write_down(message);
        match (message.message_type, from) {
            (message_type::CLIENT_HELLO, Side::Client) => {
                self.client = Some(ClientSide::read(&message.body)?)
            }
            (message_type::SERVER_HELLO, Side::Server) => {
                let server = ServerSide::read(&message.body)?;
                if server.is_hello_retry_request() {
                    self.is_retried = true;
                } else {
                    self.server = Some(server);
                }
            }
            (message_type::CERTIFICATE, Side::Server) => {
                let chain = certificate_list(&message.body)?;
                self.server_certificate = chain.first().map(|der| der.to_vec());
            }
            (message_type::CLIENT_KEY_EXCHANGE, Side::Client) => self.client_key_exchange(&message.body),
            (message_type::NEW_SESSION_TICKET, Side::Server) => {
                self.new_ticket = new_session_ticket(&message.body)?.to_vec();
            }
            _ => {}
        }
        Ok(())
    }

    fn write_down(&mut self, message: &HandshakeMessage) {
        let is_needed = self.session_hash.is_none() && message.message_type != message_type::HELLO_REQUEST;
        if is_needed && self.transcript.len() + message.body.len() <= MAXIMUM_TRANSCRIPT {
            let [_, length @ ..] = (message.body.len() as u32).to_be_bytes();
            self.transcript.push(message.message_type);
            self.transcript.extend_from_slice(&length);
            self.transcript.extend_from_slice(&message.body);
        }
    }

    fn client_key_exchange(&mut self, body: &[u8]) {
        let mut reader = Reader::new("ClientKeyExchange", body);
        let encrypted = reader.u16_be().and_then(|length| reader.take(usize::from(length)));
        self.encrypted_premaster = Some(encrypted.unwrap_or_default().to_vec());
        let transcript = std::mem::take(&mut self.transcript);
        if let Some(server) = &self.server {
            let hash = Suite::of(server.suite).map_or(Hash::Sha256, |suite| suite.hash);
            self.session_hash = Some(session_hash(server.version, hash, &transcript));
        }
    }

    /// The keys of `from` after its ChangeCipherSpec in TLS 1.2 and older.
    pub(super) fn keys_of_key_block(&mut self, secrets: &Secrets, from: Side) -> Result<Opener, Decryption> {
        let (suite, version) = self.supported()?;
        let master_secret = match &self.master_secret {
            Some(secret) => secret.clone(),
            None => self.master_secret(secrets, &suite, version)?,
        };
        self.remember(secrets, &master_secret);
        let keys = self.split_key_block(&suite, version, &master_secret, from);
        self.master_secret = Some(master_secret);
        keys
    }

    /// The keys of `from` in TLS 1.3 and the traffic secret that they come from.
    pub(super) fn keys_of_traffic(
        &self,
        secrets: &Secrets,
        label: Label,
    ) -> Result<(Opener, Secret), Decryption> {
        let (suite, _) = self.supported()?;
        let random = &self.client.as_ref().ok_or(NO_HANDSHAKE)?.random;
        let secret = secrets.of_random(random, label).ok_or_else(|| lacking(secrets, None))?;
        if secret.len() != suite.hash.length() {
            return Err(misfit(Misfit::Length));
        }
        let opener = Opener::of_traffic_secret(&suite, &secret).ok_or_else(|| unsupported(suite.id))?;
        Ok((opener, secret))
    }

    /// The keys that early data may have: before the ServerHello nobody tells the suite (RFC 8446 section 4.2.10).
    pub(super) fn keys_of_early_data(&self, secrets: &Secrets) -> Vec<Opener> {
        let Some(client) = &self.client else { return Vec::new() };
        let Some(secret) = secrets.of_random(&client.random, Label::ClientEarlyTraffic) else {
            return Vec::new();
        };
        let suites = TLS_1_3_SUITES.into_iter().filter_map(Suite::of);
        let fitting = suites.filter(|suite| suite.hash.length() == secret.len());
        fitting.filter_map(|suite| Opener::of_traffic_secret(&suite, &secret)).collect()
    }

    /// The suite the server chose, if it can be decrypted.
    pub(super) fn suite(&self) -> Option<Suite> {
        self.supported().ok().map(|(suite, _)| suite)
    }

    /// Whether there is a secret of TLS 1.3 for this purpose.
    pub(super) fn has_secret(&self, secrets: &Secrets, label: Label) -> bool {
        self.client.as_ref().is_some_and(|client| secrets.of_random(&client.random, label).is_some())
    }

    /// The suite and version, if they can be decrypted.
    fn supported(&self) -> Result<(Suite, u16), Decryption> {
        let (Some(_), Some(server)) = (&self.client, &self.server) else { return Err(NO_HANDSHAKE) };
        if !(TLS_1_0..=TLS_1_3).contains(&server.version) {
            return Err(Decryption::Unsupported { what: names::version(server.version).into_owned() });
        }
        if server.compression != 0 {
            let what = format!("compression method {}", server.compression);
            return Err(Decryption::Unsupported { what });
        }
        let suite = Suite::of(server.suite).ok_or_else(|| unsupported(server.suite))?;
        if is_of_tls_1_3(suite.id) != (server.version == TLS_1_3) {
            return Err(unsupported(suite.id));
        }
        Ok((suite, server.version))
    }

    /// By the key log, or by what the ClientKeyExchange carries, or by the session that is resumed.
    fn master_secret(&self, secrets: &Secrets, suite: &Suite, version: u16) -> Result<Secret, Decryption> {
        let (Some(client), Some(server)) = (&self.client, &self.server) else { return Err(NO_HANDSHAKE) };
        if let Some(secret) = secrets.of_random(&client.random, Label::MasterSecret) {
            return Ok(secret);
        }
        if let Some(premaster) = self.premaster_secret(secrets, suite) {
            return Ok(self.master_of_premaster(&premaster, suite, version));
        }
        let resumed = [&server.session_id, &client.ticket].into_iter().filter(|name| !name.is_empty());
        let mut resumed = resumed.filter_map(|name| secrets.of_session(name));
        resumed.next().ok_or_else(|| lacking(secrets, Some((self, suite))))
    }

    fn premaster_secret(&self, secrets: &Secrets, suite: &Suite) -> Option<Secret> {
        let encrypted = self.encrypted_premaster.as_ref()?;
        let random = &self.client.as_ref()?.random;
        let logged = secrets.of_random(random, Label::PremasterSecret);
        logged.or_else(|| {
            let by_exchange = suite.has_rsa_key_exchange().then(|| {
                secrets.of_encrypted_premaster(encrypted).or_else(|| secrets.decrypt_premaster(encrypted))
            });
            by_exchange.flatten()
        })
    }

    fn master_of_premaster(&self, premaster: &[u8], suite: &Suite, version: u16) -> Secret {
        let (client, server) = self.randoms();
        let extended = self.server.as_ref().is_some_and(|server| server.extended_master_secret);
        match self.session_hash.as_deref().filter(|_| extended) {
            Some(hash) => {
                let label = b"extended master secret";
                prf(version, suite.hash, premaster, label, &[hash], MASTER_SECRET_LENGTH)
            }
            None => {
                let seed: [&[u8]; 2] = [&client, &server];
                prf(version, suite.hash, premaster, b"master secret", &seed, MASTER_SECRET_LENGTH)
            }
        }
    }

    fn randoms(&self) -> ([u8; 32], [u8; 32]) {
        let client = self.client.as_ref().map(|client| client.random).unwrap_or_default();
        (client, self.server.as_ref().map(|server| server.random).unwrap_or_default())
    }

    /// A later connection may resume this session by its number or by the ticket.
    fn remember(&self, secrets: &Secrets, master_secret: &[u8]) {
        let session_id = self.server.iter().map(|server| &server.session_id);
        for name in session_id.chain([&self.new_ticket]).filter(|name| !name.is_empty()) {
            secrets.remember_session(name, master_secret);
        }
    }

    fn split_key_block(
        &self,
        suite: &Suite,
        version: u16,
        master_secret: &[u8],
        from: Side,
    ) -> Result<Opener, Decryption> {
        let (client, server) = self.randoms();
        let (mac, key, vector) = key_block_lengths(version, suite.cipher);
        let seed: [&[u8]; 2] = [&server, &client];
        let block =
            prf(version, suite.hash, master_secret, b"key expansion", &seed, 2 * (mac + key + vector));
        let (macs, rest) = block.split_at(2 * mac);
        let (keys, vectors) = rest.split_at(2 * key);
        let own =
            |both: &'_ [u8], length: usize| from.index() * length..from.index() * length + both.len() / 2;
        let keys = SideKeys {
            mac: &macs[own(macs, mac)],
            key: &keys[own(keys, key)],
            vector: &vectors[own(vectors, vector)],
        };
        let encrypt_then_mac = self.server.as_ref().is_some_and(|server| server.encrypt_then_mac)
            && matches!(suite.cipher, Cipher::Block(..));
        Opener::of_key_block(version, suite, encrypt_then_mac, &keys).ok_or_else(|| unsupported(suite.id))
    }
}

const NO_HANDSHAKE: Decryption = Decryption::Incomplete { hole: Hole::Handshake };

fn misfit(reason: Misfit) -> Decryption {
    Decryption::SecretsDoNotFit { reason }
}

fn unsupported(suite: u16) -> Decryption {
    Decryption::Unsupported { what: names::cipher_suite(suite).to_string() }
}

/// Why no secret was found: with private keys given, why they do not help. `older` is the handshake of TLS 1.2 or older.
fn lacking(secrets: &Secrets, older: Option<(&Handshake, &Suite)>) -> Decryption {
    if !secrets.has_rsa_keys() {
        return Decryption::NoSecrets;
    }
    let Some((handshake, _)) = older.filter(|(_, suite)| suite.has_rsa_key_exchange()) else {
        return misfit(Misfit::ForwardSecrecy);
    };
    if handshake.encrypted_premaster.is_none() {
        return misfit(Misfit::Resumed);
    }
    let certificate = handshake.server_certificate.as_deref();
    match certificate.and_then(|certificate| secrets.has_key_of(certificate)) {
        Some(true) => misfit(Misfit::KeyExchange),
        Some(false) | None => misfit(Misfit::OtherPrivateKey),
    }
}

fn new_session_ticket(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new("NewSessionTicket", body);
    reader.u32_be()?;
    let length = usize::from(reader.u16_be()?);
    reader.take(length)
}
