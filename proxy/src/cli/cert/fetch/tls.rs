//! A handshake that takes every certificate, because it is to be looked at and not to be relied on.

use crate::relay::connect::plain_reason;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, PeerIncompatible, SignatureScheme};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// The certificates that the server shows, its own first, or why none came. `host` goes into SNI where it is a name. A
/// server that ends the handshake after it has shown them, as one does that wants a certificate of the client, is no
/// failure.
pub(super) async fn fetch_chain<S>(stream: S, host: &str) -> Result<Vec<Vec<u8>>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let keep = Arc::new(Keep { provider: provider.clone(), chain: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(keep.clone())
        .with_no_client_auth();
    // Addresses do not go into SNI, nor does what is no ASCII name.
    let name = ServerName::try_from(host.to_owned())
        .unwrap_or_else(|_| ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into()));
    let ended = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let chain = std::mem::take(&mut *keep.chain.lock().unwrap_or_else(PoisonError::into_inner));
    match ended {
        _ if !chain.is_empty() => Ok(chain),
        Ok(_) => Err("it shows no certificate".to_owned()),
        Err(error) => Err(why(&error)),
    }
}

/// What ended a handshake, in a few words about the server.
pub(super) fn why(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => why_tls(error),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            io::ErrorKind::ConnectionReset => "it reset the connection".to_owned(),
            _ => plain_reason(error),
        },
    }
}

fn why_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "it speaks no TLS version from 1.2 on".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "no cipher suite in common, as with servers of the time of Windows 2012".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("it sent the alert {alert:?}"),
        rustls::Error::InvalidMessage(_) => "its answer is no TLS".to_owned(),
        other => other.to_string(),
    }
}

/// Keeps what the server shows.
#[derive(Debug)]
struct Keep {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<Vec<u8>>>,
}

impl ServerCertVerifier for Keep {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = std::iter::once(end_entity).chain(intermediates).map(|certificate| certificate.to_vec());
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = shown.collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    /// Those that the library can check, and those of odd servers: nothing is checked here.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let odd = [
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PKCS1_SHA1,
        ];
        self.provider.signature_verification_algorithms.supported_schemes().into_iter().chain(odd).collect()
    }
}
