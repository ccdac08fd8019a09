//! The usual TLS stack, rustls: TLS 1.2 and 1.3 with authenticated ciphers and ephemeral keys.

use super::ending::{StreamEnd, read_ending};
use super::error::{HandshakeError, HandshakeFailure};
use super::need;
use super::verifier::{EmptyHanded, Witness};
use super::version::{TlsVersion, VersionRange};
use super::{Offer, ServerIdentity, ServerLeg, Tee, TlsStream, dns_name, subject_public_key};
use crate::trace::Side;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use rustls::{ClientConfig, ProtocolVersion, ServerConfig, SupportedProtocolVersion};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Performs the handshake with the server.
pub(super) async fn connect<S>(stream: Tee<S>, offer: &Offer) -> Result<ServerLeg<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let versions = supported(offer.versions);
    if versions.is_empty() {
        return Err(nothing_offered(offer.versions));
    }
    let shared = client_config(&versions)
        .map_err(|error| HandshakeError::new(Side::Server, HandshakeFailure::Ours(error.to_string())))?;
    let mut config = ClientConfig::clone(&shared);
    let witness = Arc::new(Witness::new(config.crypto_provider().signature_verification_algorithms));
    config.dangerous().set_certificate_verifier(Arc::clone(&witness) as Arc<_>);
    let empty_handed = Arc::new(EmptyHanded::default());
    config.client_auth_cert_resolver = Arc::clone(&empty_handed) as Arc<_>;
    let (name, enable_sni) = server_name(offer.server_name.as_deref());
    config.enable_sni = enable_sni;
    if let Some(key_log) = stream.key_log() {
        config.key_log = Arc::new(key_log);
    }
    config.alpn_protocols = offer.protocols.iter().map(|name| name.clone().into_bytes()).collect();

    let handshake = Box::pin(TlsConnector::from(Arc::new(config)).connect(name, stream).into_fallible());
    match handshake.await {
        Ok(stream) => {
            let seen = witness.seen();
            Ok(ServerLeg {
                protocol: stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec),
                stream: TlsStream::from_rustls(stream.into()),
                public_key: seen.chain.first().and_then(|leaf| subject_public_key(leaf)),
                chain: seen.chain,
                signature_ok: seen.signature_ok,
                asked_for_certificate: empty_handed.was_asked.load(Ordering::Relaxed),
            })
        }
        Err((error, stream)) => {
            let mut failed = failed(Side::Server, &error, stream).await;
            failed.error.needs_legacy =
                need::of_server(&error, offer.versions, failed.server_hello_version, failed.received);
            failed.error.chain = witness.seen().chain;
            Err(failed.error)
        }
    }
}

/// Performs the handshake with the client.
pub(super) async fn accept<S>(
    stream: Tee<S>,
    identity: &ServerIdentity,
) -> Result<TlsStream<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = match stream.key_log() {
        None => Arc::clone(&identity.usual),
        Some(key_log) => {
            let mut config = ServerConfig::clone(&identity.usual);
            config.key_log = Arc::new(key_log);
            Arc::new(config)
        }
    };
    let acceptor = TlsAcceptor::from(config);
    match Box::pin(acceptor.accept(stream).into_fallible()).await {
        Ok(stream) => Ok(TlsStream::from_rustls(stream.into())),
        Err((error, stream)) => Err(failed(Side::Client, &error, stream).await.error),
    }
}

fn supported(range: VersionRange) -> Vec<&'static SupportedProtocolVersion> {
    let known = [(TlsVersion::Tls13, &rustls::version::TLS13), (TlsVersion::Tls12, &rustls::version::TLS12)];
    known.into_iter().filter(|(version, _)| range.contains(*version)).map(|(_, known)| known).collect()
}

fn nothing_offered(range: VersionRange) -> HandshakeError {
    let need = format!("only {range} of TLS may be offered to the server");
    HandshakeError {
        needs_legacy: Some(need),
        ..HandshakeError::new(
            Side::Server,
            HandshakeFailure::Ours("its usual TLS stack begins with TLS 1.2".to_owned()),
        )
    }
}

/// What connections that offer `versions` have in common. Made once: rustls makes room for hundreds of sessions to resume,
/// before it is told that there are none, and that takes longer than a handshake's own reading.
fn client_config(versions: &[&'static SupportedProtocolVersion]) -> Result<Arc<ClientConfig>, rustls::Error> {
    static MADE: Mutex<Vec<(Vec<ProtocolVersion>, Arc<ClientConfig>)>> = Mutex::new(Vec::new());
    let wanted: Vec<ProtocolVersion> = versions.iter().map(|known| known.version).collect();
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, config)) = made.iter().find(|(versions, _)| *versions == wanted) {
        return Ok(Arc::clone(config));
    }
    let config = Arc::new(make_client_config(versions)?);
    made.push((wanted, Arc::clone(&config)));
    Ok(config)
}

fn make_client_config(versions: &[&'static SupportedProtocolVersion]) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let witness = Arc::new(Witness::new(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(witness)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What rustls takes as the server's name, and whether it is to be sent.
fn server_name(name: Option<&str>) -> (ServerName<'static>, bool) {
    match name.and_then(dns_name) {
        Some(name) => (ServerName::DnsName(name), true),
        None => (ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0]))), false),
    }
}

struct Failed {
    error: HandshakeError,
    server_hello_version: Option<u16>,
    received: u64,
}

/// Sends the alert that rustls left behind, and reads the error.
async fn failed<S: AsyncWrite + Unpin>(peer: Side, error: &io::Error, mut stream: Tee<S>) -> Failed {
    // The handshake has failed already; that the peer may be gone adds nothing.
    let _ = stream.shutdown().await;
    Failed {
        error: HandshakeError {
            alert_sent: stream.alert_sent(),
            ..HandshakeError::new(peer, failure(error))
        },
        server_hello_version: stream.server_hello_version(),
        received: stream.received(),
    }
}

fn failure(error: &io::Error) -> HandshakeFailure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::PeerIncompatible(reason)) => {
            HandshakeFailure::NothingInCommon(format!("{reason:?}"))
        }
        Some(error) if is_ours(error) => HandshakeFailure::Ours(error.to_string()),
        Some(rustls::Error::AlertReceived(_)) | None => HandshakeFailure::Ended(read_ending(error)),
        Some(error) => HandshakeFailure::Ended(StreamEnd::Broken(error.to_string())),
    }
}

fn is_ours(error: &rustls::Error) -> bool {
    use rustls::Error;
    matches!(
        error,
        Error::EncryptError
            | Error::FailedToGetCurrentTime
            | Error::FailedToGetRandomBytes
            | Error::General(_)
            | Error::InconsistentKeys(_)
            | Error::Other(_)
    )
}
