//! Both ends of real TLS for relays that intercept: TLS 1.3 with one cipher suite, without resumption.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::cipher_suite::TLS13_AES_256_GCM_SHA384;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};

use crate::wire;

/// The name in every certificate.
const NAME: &str = "localhost";

/// The kind of key for which an intercepting relay shows a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafKey {
    /// RSA of 2048 bits, as Windows makes it.
    Rsa,
    /// ECDSA over P-256.
    P256,
}

/// The client's end of a session.
pub type ClientEnd = StreamOwned<ClientConnection, TcpStream>;
/// The server's end of a session.
pub type ServerEnd = StreamOwned<ServerConnection, TcpStream>;

/// What both ends are made of. The server's key is P-256 for every relay: it costs the generator little.
#[derive(Debug, Clone)]
pub struct Ends {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Ends {
    /// New, with a key of its own.
    pub fn new() -> Result<Self> {
        let provider = CryptoProvider {
            cipher_suites: vec![TLS13_AES_256_GCM_SHA384],
            kx_groups: vec![ring::kx_group::X25519],
            ..ring::default_provider()
        };
        let provider = Arc::new(provider);
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything))
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&key)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())?;
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }

    /// A client that has said nothing yet.
    pub fn client(&self) -> Result<ClientConnection> {
        Ok(ClientConnection::new(Arc::clone(&self.client), ServerName::try_from(NAME)?)?)
    }

    /// A server that has heard nothing yet.
    pub fn server(&self) -> Result<ServerConnection> {
        Ok(ServerConnection::new(Arc::clone(&self.server))?)
    }

    /// The client's handshake on a new connection, after X.224 where it `negotiates`.
    pub fn connect(&self, mut stream: TcpStream, negotiates: bool) -> Result<ClientEnd> {
        if negotiates {
            stream.write_all(&wire::connection_request(Some(wire::PROTOCOL_SSL)))?;
            let mut confirm = wire::connection_confirm(Some(wire::PROTOCOL_SSL));
            stream.read_exact(&mut confirm).context("no connection confirm")?;
        }
        let mut connection = self.client()?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).context("the client's handshake")?;
        }
        Ok(StreamOwned::new(connection, stream))
    }

    /// The server's handshake on a connection that arrived, after X.224 where it `negotiates`.
    pub fn accept(&self, mut stream: TcpStream, negotiates: bool) -> Result<ServerEnd> {
        if negotiates {
            let mut request = wire::connection_request(Some(wire::PROTOCOL_SSL));
            stream.read_exact(&mut request).context("no connection request")?;
            stream.write_all(&wire::connection_confirm(Some(wire::PROTOCOL_SSL)))?;
        }
        self.answer(stream)
    }

    /// The server's handshake where nothing comes before it.
    pub fn answer(&self, mut stream: TcpStream) -> Result<ServerEnd> {
        let mut connection = self.server()?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).context("the server's handshake")?;
        }
        Ok(StreamOwned::new(connection, stream))
    }
}

/// A PEM file with a certificate, its issuer and its key such as `rdpscope proxy --cert fresh` shows.
pub fn mint(rdpscope: &Path, key: LeafKey, folder: &Path) -> Result<PathBuf> {
    let file = folder.join("leaf.pem");
    let mut command = Command::new(rdpscope);
    command.args(["cert", "mint", "--for", NAME, "--cert", "fresh", "-o"]).arg(&file);
    if key == LeafKey::P256 {
        command.arg("--key").arg(write_key(folder)?);
    }
    let output = command.output().context("cannot run rdpscope cert mint")?;
    ensure!(
        output.status.success(),
        "rdpscope cert mint failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(file)
}

/// A file with a new P-256 key.
pub fn write_key(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("key.pem");
    fs::write(&file, rcgen::KeyPair::generate()?.serialize_pem())?;
    Ok(file)
}

/// Accepts every certificate without a look, so that the generator costs little.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
