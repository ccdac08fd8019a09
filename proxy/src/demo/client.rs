//! A client that does what mstsc does with `authentication level:i:1`: finishes the handshake, then judges the dates of
//! the certificate, then goes away without a word, or has its session.

use super::{DemoError, SERVER_NAME, io_error, session};
use crate::trace::Side;
use crate::wire::x224::{LONGEST_TPDU, encode_request};
use rdpscope_certs::inspect::{Validity, inspect};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What mstsc asks for: SSL and HYBRID (MS-RDPBCGR 2.2.1.1.1).
const PROTOCOLS: u32 = 3;

/// What the client's user would be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientReport {
    /// Whether the client went on.
    pub accepted: bool,
    /// What stands in its window.
    pub message: String,
}

/// Connects to `address` and judges the certificate at `now`, seconds since 1970.
pub async fn connect(address: SocketAddr, now: i64) -> Result<ClientReport, DemoError> {
    let mut stream = TcpStream::connect(address).await.map_err(io_error("client", "connect"))?;
    stream.set_nodelay(true).map_err(io_error("client", "connect"))?;
    let request = encode_request(Some("admin"), PROTOCOLS);
    stream.write_all(&request).await.map_err(io_error("client", "send its request"))?;
    let mut confirm = [0; LONGEST_TPDU];
    stream.read(&mut confirm).await.map_err(io_error("client", "read the answer"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(JudgeLater(provider)))
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name =
        ServerName::try_from(SERVER_NAME).map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut stream =
        connector.connect(name, stream).await.map_err(io_error("client", "finish its handshake"))?;
    let expired =
        stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).is_none_or(|certificate| {
            inspect(certificate).is_ok_and(|seen| matches!(seen.validity_at(now), Validity::Expired { .. }))
        });
    if !expired {
        session::play(&mut stream, Side::Client).await.map_err(io_error("client", "have its session"))?;
        stream.shutdown().await.map_err(io_error("client", "close"))?;
        return Ok(ClientReport { accepted: true, message: "The desktop was there.".to_owned() });
    }
    // close_notify, then a reset: the end that FreeRDP and mstsc give to a server that they do not trust.
    stream.shutdown().await.map_err(io_error("client", "close"))?;
    let (stream, _) = stream.into_inner();
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).map_err(io_error("client", "close"))?;
    let message =
        "This computer can't connect to the remote computer. Error code: 0x904. Extended error code: 0x7.";
    Ok(ClientReport { accepted: false, message: message.to_owned() })
}

/// Takes every certificate during the handshake, because the client judges it afterwards.
#[derive(Debug)]
struct JudgeLater(Arc<CryptoProvider>);

impl ServerCertVerifier for JudgeLater {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
