//! Real TLS flights, made by two rustls ends in memory and then played as bytes.

use super::Side;
use crate::support::certificates::{Certificate, certificates};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, Connection, DigitallySignedStruct, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme, SupportedProtocolVersion,
};
use std::io::Write;
use std::sync::Arc;

/// Turns after which two ends that still have something to say are broken.
const MOST_TURNS: usize = 20;

/// What the client makes of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Accepts any.
    Anything,
    /// Accepts what is good under the test authority.
    Authority,
}

/// A client and a server that have not spoken yet.
pub(crate) struct Handshake {
    client: Connection,
    server: Connection,
}

/// What went over the wire, a flight at a time.
pub(crate) type Flights = Vec<(Side, Vec<u8>)>;

impl Handshake {
    /// Of one TLS `version` only, the server showing `certificate`.
    pub(crate) fn new(
        version: &'static SupportedProtocolVersion,
        certificate: &Certificate,
        trust: Trust,
    ) -> Self {
        Handshake::of(client_config(version, trust), server_config(version, certificate))
    }

    /// The same with a client that tells its secrets to `key_log`.
    pub(crate) fn logged(
        version: &'static SupportedProtocolVersion,
        certificate: &Certificate,
        key_log: Arc<dyn rustls::KeyLog>,
    ) -> Self {
        let mut client = client(version, Trust::Anything).with_no_client_auth();
        client.key_log = key_log;
        Handshake::of(Arc::new(client), server_config(version, certificate))
    }

    fn of(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("a valid name");
        let client = ClientConnection::new(client, name);
        let server = ServerConnection::new(server);
        Handshake {
            client: client.expect("a client is made").into(),
            server: server.expect("a server is made").into(),
        }
    }

    /// The client's first flight only.
    pub(crate) fn client_hello(mut self) -> Vec<u8> {
        flight(&mut self.client)
    }

    /// Every flight until both have nothing more to say: the handshake is done, or one has refused it.
    pub(crate) fn flights(&mut self) -> Flights {
        let mut flights = Flights::new();
        for turn in 0..MOST_TURNS {
            let (side, from, to) = match turn % 2 {
                0 => (Side::Client, &mut self.client, &mut self.server),
                _ => (Side::Server, &mut self.server, &mut self.client),
            };
            let bytes = flight(from);
            // An error becomes an alert, which is the next flight.
            feed(to, &bytes);
            if !bytes.is_empty() {
                flights.push((side, bytes));
            } else if !to.wants_write() {
                return flights;
            }
        }
        panic!("the handshake does not end: {flights:?}")
    }

    /// True when both ends finished it.
    pub(crate) fn is_done(&self) -> bool {
        !self.client.is_handshaking() && !self.server.is_handshaking()
    }

    /// `plaintext` as a side's next records.
    pub(crate) fn application_data(&mut self, side: Side, plaintext: &[u8]) -> (Side, Vec<u8>) {
        let connection = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        connection.writer().write_all(plaintext).expect("memory takes what is written");
        (side, flight(connection))
    }
}

/// A client of one TLS `version` only.
pub(crate) fn client_config(version: &'static SupportedProtocolVersion, trust: Trust) -> Arc<ClientConfig> {
    Arc::new(client(version, trust).with_no_client_auth())
}

/// The same with a certificate of its own, where it is asked for one.
pub(crate) fn client_config_with(
    version: &'static SupportedProtocolVersion,
    trust: Trust,
    certificate: &Certificate,
) -> Arc<ClientConfig> {
    let (chain, key) = certificate.for_rustls();
    let client = client(version, trust).with_client_auth_cert(chain, key);
    Arc::new(client.expect("key and certificate belong together"))
}

fn client(
    version: &'static SupportedProtocolVersion,
    trust: Trust,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]);
    let client = client.expect("ring has every version");
    match trust {
        Trust::Anything => {
            client.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnything(provider)))
        }
        Trust::Authority => {
            let mut roots = RootCertStore::empty();
            roots.add(certificates().authority_der.clone()).expect("the authority is a certificate");
            client.with_root_certificates(roots)
        }
    }
}

/// A server of one TLS `version` only that shows `certificate`.
pub(super) fn server_config(
    version: &'static SupportedProtocolVersion,
    certificate: &Certificate,
) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let (chain, key) = certificate.for_rustls();
    let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
    let server = server.expect("ring has every version").with_no_client_auth().with_single_cert(chain, key);
    Arc::new(server.expect("key and certificate belong together"))
}

fn flight(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).expect("memory takes what is written");
    }
    bytes
}

fn feed(connection: &mut Connection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let read = connection.read_tls(&mut bytes).expect("memory gives what is read");
        if connection.process_new_packets().is_err() || read == 0 {
            return;
        }
    }
}

#[derive(Debug)]
struct AcceptAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
