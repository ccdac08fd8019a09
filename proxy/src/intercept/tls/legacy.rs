//! The second TLS stack, OpenSSL: TLS 1.0 to 1.3, CBC suites, RSA key exchange, short keys.

use super::ending::{StreamEnd, fatal, read_ending};
use super::error::{HandshakeError, HandshakeFailure};
use super::key_log::KeyLog;
use super::version::TlsVersion;
use super::{Offer, ServerIdentity, ServerLeg, Tee, TlsStream, dns_name, subject_public_key};
use crate::trace::Side;
use crate::wire::tls::Alert;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::pkey::PKey;
use openssl::ssl::{
    Error, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use rdpscope_certs::Identity;
use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_openssl::SslStream;

/// Everything but suites without a certificate; level 0 also takes short keys and old hashes.
const CIPHERS: &str = "ALL:!aNULL:@SECLEVEL=0";
/// SSL_OP_LEGACY_SERVER_CONNECT: servers from before RFC 5746 are reached too. Renegotiation itself is refused.
const LEGACY_SERVER_CONNECT: u64 = 4;
/// ERR_LIB_SSL: the library within OpenSSL whose reasons these are.
const SSL_LIBRARY: i32 = 20;
/// SSL_AD_REASON_OFFSET: an alert that was received is this much more than its description.
const ALERT_OFFSET: i32 = 1000;
/// ERR_R_FATAL: reasons with this bit are failures of OpenSSL itself.
const INTERNAL_REASONS: i32 = 1 << 18;
/// SSL_R_… of OpenSSL 3 for finding nothing in common: NO_SUITABLE_KEY_SHARE, NO_SUITABLE_SIGNATURE_ALGORITHM,
/// NO_PROTOCOLS_AVAILABLE, NO_SHARED_CIPHER, UNSUPPORTED_PROTOCOL, UNSUPPORTED_SSL_VERSION, WRONG_CIPHER_RETURNED,
/// WRONG_SSL_VERSION, NO_SHARED_SIGNATURE_ALGORITHMS, VERSION_TOO_LOW, NO_SHARED_GROUPS.
const NOTHING_IN_COMMON: [i32; 11] = [101, 118, 191, 193, 258, 259, 261, 266, 376, 396, 410];

/// Performs the handshake with the server.
pub(super) async fn connect<S>(stream: Tee<S>, offer: &Offer) -> Result<ServerLeg<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let session = client_session(offer).and_then(|session| with_key_log(session, stream.key_log()));
    let stream = session.and_then(|session| SslStream::new(session, stream));
    let mut stream = Box::new(stream.map_err(|error| ours(Side::Server, &error))?);
    match Pin::new(&mut *stream).connect().await {
        Ok(()) => {
            let chain = peer_chain(stream.ssl()).map_err(|error| ours(Side::Server, &error))?;
            Ok(ServerLeg {
                public_key: chain.first().and_then(|leaf| subject_public_key(leaf)),
                chain,
                // OpenSSL goes no further without it.
                signature_ok: Some(true),
                asked_for_certificate: false,
                protocol: stream.ssl().selected_alpn_protocol().map(<[u8]>::to_vec),
                stream: TlsStream::from_openssl(stream),
            })
        }
        Err(error) => Err(failed(Side::Server, &error, &mut stream).await),
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
    let context = identity.legacy.as_ref().map_err(|error| ours(Side::Client, error))?;
    let session = Ssl::new(context).and_then(|session| with_key_log(session, stream.key_log()));
    let stream = session.and_then(|session| SslStream::new(session, stream));
    let mut stream = Box::new(stream.map_err(|error| ours(Side::Client, &error))?);
    match Pin::new(&mut *stream).accept().await {
        Ok(()) => Ok(TlsStream::from_openssl(stream)),
        Err(error) => Err(failed(Side::Client, &error, &mut stream).await),
    }
}

/// Serves `identity` to clients.
pub(super) fn server_context(identity: &Identity) -> Result<SslContext, ErrorStack> {
    let mut context = context(SslMethod::tls_server())?;
    context.set_num_tickets(0)?;
    context.set_private_key(&*PKey::private_key_from_pkcs8(identity.key.pkcs8())?)?;
    context.set_certificate(&*X509::from_der(identity.leaf())?)?;
    for der in identity.chain.iter().skip(1) {
        context.add_extra_chain_cert(X509::from_der(der)?)?;
    }
    Ok(context.build())
}

fn client_session(offer: &Offer) -> Result<Ssl, ErrorStack> {
    let mut context = context(SslMethod::tls_client())?;
    context.set_verify(SslVerifyMode::NONE);
    context.set_min_proto_version(Some(openssl_version(offer.versions.minimum())))?;
    context.set_max_proto_version(Some(openssl_version(offer.versions.maximum())))?;
    let mut session = Ssl::new(&context.build())?;
    if let Some(name) = offer.server_name.as_deref().and_then(dns_name) {
        session.set_hostname(name.as_ref())?;
    }
    if !offer.protocols.is_empty() {
        session.set_alpn_protos(&protocol_names(&offer.protocols))?;
    }
    Ok(session)
}

/// ProtocolNameList without its length (RFC 7301 3.1). A name too long for it is left out.
fn protocol_names(names: &[String]) -> Vec<u8> {
    let entry = |name: &String| Some([&[u8::try_from(name.len()).ok()?], name.as_bytes()].concat());
    names.iter().filter_map(entry).flatten().collect()
}

/// What both sides have in common: all versions and suites, no resumption, no renegotiation.
fn context(method: SslMethod) -> Result<SslContextBuilder, ErrorStack> {
    let mut context = SslContextBuilder::new(method)?;
    context.set_min_proto_version(Some(SslVersion::TLS1))?;
    context.set_cipher_list(CIPHERS)?;
    let key_log = key_log_index()?;
    context.set_keylog_callback(move |session, line| {
        if let Some(wanted) = session.ex_data(key_log) {
            wanted.line(line);
        }
    });
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_options(
        SslOptions::NO_TICKET
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::from_bits_retain(LEGACY_SERVER_CONNECT),
    );
    Ok(context)
}

/// Where a session of OpenSSL keeps who wants its secrets.
fn key_log_index() -> Result<Index<Ssl, KeyLog>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, KeyLog>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let index = Ssl::new_ex_index()?;
    // Whoever was faster has one that is as good.
    Ok(*INDEX.get_or_init(|| index))
}

fn with_key_log(mut session: Ssl, key_log: Option<KeyLog>) -> Result<Ssl, ErrorStack> {
    if let Some(key_log) = key_log {
        session.set_ex_data(key_log_index()?, key_log);
    }
    Ok(session)
}

fn openssl_version(version: TlsVersion) -> SslVersion {
    match version {
        TlsVersion::Tls10 => SslVersion::TLS1,
        TlsVersion::Tls11 => SslVersion::TLS1_1,
        TlsVersion::Tls12 => SslVersion::TLS1_2,
        TlsVersion::Tls13 => SslVersion::TLS1_3,
    }
}

/// The version that was agreed on, as on the wire.
pub(super) fn version(session: &SslRef) -> Option<u16> {
    let version = session.version2()?;
    TlsVersion::ALL.into_iter().find(|known| openssl_version(*known) == version).map(TlsVersion::number)
}

/// The cipher suite that was agreed on, as on the wire.
pub(super) fn cipher_suite(session: &SslRef) -> Option<u16> {
    Some(u16::from_be_bytes(session.current_cipher()?.protocol_id()))
}

fn peer_chain(session: &SslRef) -> Result<Vec<Vec<u8>>, ErrorStack> {
    let chain = session.peer_cert_chain();
    chain.into_iter().flatten().map(|certificate| certificate.to_der()).collect()
}

/// Reads as [`AsyncRead::poll_read`] does; FIN without close_notify, which OpenSSL does not tell from close_notify here,
/// becomes an error.
pub(super) fn poll_read<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut SslStream<Tee<S>>,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buffer.filled().len();
    let room = buffer.remaining() > 0;
    let result = ready!(Pin::new(&mut *stream).poll_read(context, buffer));
    let nothing = buffer.filled().len() == before;
    if room && nothing && stream.get_ref().is_at_end() {
        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    Poll::Ready(result)
}

/// The fatal alert that an error of a [`TlsStream`] stands for.
pub(super) fn alert_received(error: &io::Error) -> Option<Alert> {
    alert_in(error.get_ref()?.downcast_ref::<Error>()?.ssl_error()?)
}

fn reasons(stack: &ErrorStack) -> impl Iterator<Item = i32> + '_ {
    stack.errors().iter().filter(|error| error.library_code() == SSL_LIBRARY).map(|error| error.reason_code())
}

fn alert_in(stack: &ErrorStack) -> Option<Alert> {
    reasons(stack).find_map(|reason| u8::try_from(reason - ALERT_OFFSET).ok()).map(fatal)
}

fn ours(peer: Side, error: &ErrorStack) -> HandshakeError {
    HandshakeError::new(peer, HandshakeFailure::Ours(words(error)))
}

/// Sends FIN, and reads the error.
async fn failed<S>(peer: Side, error: &Error, stream: &mut SslStream<Tee<S>>) -> HandshakeError
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let tee = stream.get_mut();
    let failure = failure(error, tee.is_at_end());
    // The handshake has failed already; that the peer may be gone adds nothing.
    let _ = tee.shutdown().await;
    HandshakeError { alert_sent: tee.alert_sent(), ..HandshakeError::new(peer, failure) }
}

fn failure(error: &Error, at_end: bool) -> HandshakeFailure {
    if let Some(error) = error.io_error() {
        return HandshakeFailure::Ended(read_ending(error));
    }
    let Some(stack) = error.ssl_error().filter(|stack| !stack.errors().is_empty() && !at_end) else {
        return HandshakeFailure::Ended(StreamEnd::Fin);
    };
    if let Some(alert) = alert_in(stack) {
        HandshakeFailure::Ended(StreamEnd::Alert(alert))
    } else if reasons(stack).any(|reason| NOTHING_IN_COMMON.contains(&reason)) {
        HandshakeFailure::NothingInCommon(words(stack))
    } else if reasons(stack).any(|reason| reason & INTERNAL_REASONS != 0) {
        HandshakeFailure::Ours(words(stack))
    } else {
        HandshakeFailure::Ended(StreamEnd::Broken(words(stack)))
    }
}

/// OpenSSL's reasons, without its files and lines.
fn words(stack: &ErrorStack) -> String {
    let reasons: Vec<_> = stack.errors().iter().filter_map(|error| error.reason()).collect();
    if reasons.is_empty() { "no reason given".to_owned() } else { reasons.join(", ") }
}
