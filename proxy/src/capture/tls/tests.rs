//! Connections made here with a real TLS library, recorded in memory, and what is read of them.

mod bad_input;
mod recorded;
mod sessions;

use super::{Decryption, Secrets, TlsStream};
use crate::observe::Opened;
use crate::trace::Side;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, KeyLog, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite, SupportedProtocolVersion,
};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

/// Keeps a key log in memory.
#[derive(Debug, Default)]
struct Log(Mutex<String>);

impl KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut text = self.0.lock().unwrap();
        writeln!(text, "{label} {} {}", hex::encode(client_random), hex::encode(secret)).unwrap();
    }
}

/// A client and a server that trust each other, and the key log of the client.
struct Peers {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    log: Arc<Log>,
    server_certificate: Vec<u8>,
}

/// What two peers may be told to do.
struct Choice {
    suites: Vec<SupportedCipherSuite>,
    version: &'static SupportedProtocolVersion,
    server_groups: Vec<&'static dyn SupportedKxGroup>,
    client_certificate: bool,
    early_data: bool,
    tickets: bool,
}

impl Choice {
    fn new(version: &'static SupportedProtocolVersion) -> Choice {
        Choice {
            suites: ring::ALL_CIPHER_SUITES.to_vec(),
            version,
            server_groups: ring::ALL_KX_GROUPS.to_vec(),
            client_certificate: false,
            early_data: false,
            tickets: true,
        }
    }
}

fn provider(choice: &Choice, groups: &[&'static dyn SupportedKxGroup]) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: choice.suites.clone(),
        kx_groups: groups.to_vec(),
        ..ring::default_provider()
    })
}

fn leaf(issuer: &CertifiedIssuer<'_, KeyPair>) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

impl Peers {
    fn new(choice: &Choice) -> Peers {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let (certificate, key) = leaf(&authority);
        let log = Arc::new(Log::default());

        let server_provider = provider(choice, &choice.server_groups);
        let server = ServerConfig::builder_with_provider(Arc::clone(&server_provider));
        let server = server.with_protocol_versions(&[choice.version]).unwrap();
        let server = if choice.client_certificate {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), server_provider);
            server.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            server.with_no_client_auth()
        };
        let mut server = server.with_single_cert(vec![certificate.clone()], key).unwrap();
        server.max_early_data_size = if choice.early_data { 1 << 14 } else { 0 };
        if choice.tickets {
            server.ticketer = ring::Ticketer::new().unwrap();
        }

        let client = ClientConfig::builder_with_provider(provider(choice, ring::ALL_KX_GROUPS));
        let client = client.with_protocol_versions(&[choice.version]).unwrap().with_root_certificates(roots);
        let mut client = if choice.client_certificate {
            let (certificate, key) = leaf(&authority);
            client.with_client_auth_cert(vec![certificate], key).unwrap()
        } else {
            client.with_no_client_auth()
        };
        client.enable_early_data = choice.early_data;
        client.key_log = Arc::clone(&log) as Arc<dyn KeyLog>;
        let server_certificate = certificate.to_vec();
        Peers { client: Arc::new(client), server: Arc::new(server), log, server_certificate }
    }

    fn connect(&self) -> Session {
        let name = ServerName::try_from("localhost").unwrap();
        Session {
            client: ClientConnection::new(Arc::clone(&self.client), name).unwrap(),
            server: ServerConnection::new(Arc::clone(&self.server)).unwrap(),
            recorded: Recorded::default(),
        }
    }

    fn secrets(&self) -> Arc<Secrets> {
        let secrets = Secrets::new();
        let outcome = secrets.add_key_log(self.log.0.lock().unwrap().as_bytes());
        assert_eq!(outcome.not_understood, 0);
        Arc::new(secrets)
    }
}

/// What went over the wire, and what stood inside.
#[derive(Debug, Clone, Default)]
struct Recorded {
    wire: Vec<(Side, Vec<u8>)>,
    inside: [Vec<u8>; 2],
}

struct Session {
    client: ClientConnection,
    server: ServerConnection,
    recorded: Recorded,
}

impl Session {
    /// Carries bytes between the two until neither has more to say.
    fn settle(&mut self) {
        loop {
            let mut bytes = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut bytes).unwrap();
            }
            let mut input = &bytes[..];
            while !input.is_empty() {
                self.server.read_tls(&mut input).unwrap();
                self.server.process_new_packets().unwrap();
                let mut early = Vec::new();
                if let Some(mut data) = self.server.early_data() {
                    data.read_to_end(&mut early).unwrap();
                }
                read_all(&mut self.server.reader());
            }
            let mut answer = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut answer).unwrap();
            }
            let mut input = &answer[..];
            while !input.is_empty() {
                self.client.read_tls(&mut input).unwrap();
                self.client.process_new_packets().unwrap();
                read_all(&mut self.client.reader());
            }
            if bytes.is_empty() && answer.is_empty() {
                return;
            }
            let sides = [(Side::Client, bytes), (Side::Server, answer)];
            self.recorded.wire.extend(sides.into_iter().filter(|(_, bytes)| !bytes.is_empty()));
        }
    }

    fn send(&mut self, from: Side, bytes: &[u8]) {
        match from {
            Side::Client => self.client.writer().write_all(bytes).unwrap(),
            Side::Server => self.server.writer().write_all(bytes).unwrap(),
        }
        self.recorded.inside[from.index()].extend_from_slice(bytes);
        self.settle();
    }

    /// A conversation with messages of several sizes, the last beyond one record.
    fn talk(&mut self) {
        self.settle();
        for length in [1, 100, 20_000] {
            self.send(Side::Client, &vec![0x63; length]);
            self.send(Side::Server, &vec![0x73; length]);
        }
    }

    fn close(mut self) -> Recorded {
        self.client.send_close_notify();
        self.settle();
        self.server.send_close_notify();
        self.settle();
        self.recorded
    }
}

fn read_all(reader: &mut rustls::Reader<'_>) {
    let mut bytes = Vec::new();
    // Nothing to read yet is an error to `read_to_end`.
    let _ = reader.read_to_end(&mut bytes);
}

/// What is read of `wire`, cut into pieces of the sizes in turn.
fn read_in(secrets: &Arc<Secrets>, wire: &[(Side, Vec<u8>)], sizes: &[usize]) -> (TlsStream, Vec<Opened>) {
    let (mut stream, mut items) = (TlsStream::new(Arc::clone(secrets)), Vec::new());
    let mut sizes = sizes.iter().cycle();
    for (from, bytes) in wire {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
            stream.data(*from, chunk, &mut items);
            rest = later;
        }
    }
    (stream, items)
}

fn read(secrets: &Arc<Secrets>, wire: &[(Side, Vec<u8>)]) -> (TlsStream, Vec<Opened>) {
    read_in(secrets, wire, &[usize::MAX])
}

/// The plaintext of each side.
fn plaintext(items: &[Opened]) -> [Vec<u8>; 2] {
    let mut sides = [Vec::new(), Vec::new()];
    for item in items {
        if let Opened::Plaintext { from, bytes } = item {
            assert!(!bytes.is_empty());
            sides[from.index()].extend_from_slice(bytes);
        }
    }
    sides
}

/// Reads the session and finds everything in it that was said; answers what else there was.
fn assert_read(secrets: &Arc<Secrets>, recorded: &Recorded) -> Vec<Opened> {
    let (stream, items) = read(secrets, &recorded.wire);
    assert!(plaintext(&items) == recorded.inside, "{stream:?}");
    assert!(matches!(stream.status(), Decryption::Decrypting { .. }), "{stream:?}");
    assert_eq!(read_in(secrets, &recorded.wire, &[1, 7, 4000]).1, items);
    items.into_iter().filter(|item| !matches!(item, Opened::Plaintext { .. })).collect()
}
