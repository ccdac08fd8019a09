//! The one conversation that goes as a client's would: TCP, X.224 as mstsc asks, TLS, CredSSP up to the challenge. The
//! observers see all of it.

use super::negotiation::{self, USUAL};
use super::watched::Watched;
use super::way::{Connection, Way};
use super::{certificate, credssp};
use crate::intercept::tls::{
    self, HandshakeError, HandshakeFailure, Offer, ServerLeg, Stack, StreamEnd, Tee, TlsStream, WireTap,
};
use crate::relay::tcp_info::tcp_info;
use crate::trace::{CertificateCheck, CredsspCheck, Detail, How, Leg, NegotiationAnswer, Phase, Side};
use crate::wire::credssp::TsRequest;
use crate::wire::greeting::TELLING_LENGTH;
use crate::wire::x224;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A handshake waits for the server twice: for its hello and for its last word.
const HANDSHAKE_ANSWERS: u32 = 2;
/// How long the farewell may take of a server that does not read.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// How the names of the protocols with CredSSP begin.
const HYBRID: &str = "HYBRID";

/// What came of TLS.
#[derive(Debug, Default)]
pub(super) struct Talked {
    /// The certificate, where one came.
    pub(super) certificate: Option<CertificateCheck>,
    /// CredSSP, where it was selected.
    pub(super) credssp: Option<CredsspCheck>,
    /// CredSSP, where TLS was refused and came up all the same.
    pub(super) credssp_after_refusal: Option<CredsspCheck>,
}

/// Asks for what mstsc asks for.
pub(super) async fn negotiate(
    watched: &Watched,
    way: &Way,
    connection: &mut Connection,
) -> NegotiationAnswer {
    let mut bytes = Vec::new();
    let request = x224::encode_request(None, USUAL);
    watched.data(Side::Client, &request);
    let exchange = negotiation::exchange(connection, &request, &mut bytes);
    let exchanged = timeout(way.answer_timeout, exchange).await.ok();
    if !bytes.is_empty() {
        watched.data(Side::Server, &bytes);
    }
    // A packet that is not whole, and no more to come: the server has left.
    let left = match &exchanged {
        Some(Ok(())) if !is_whole(&bytes) => Some(How::Fin),
        Some(Err(_)) => Some(How::Reset),
        Some(Ok(())) | None => None,
    };
    let answer = negotiation::judge(&bytes, exchanged);
    way.note_negotiated(USUAL, &answer);
    match (left, &answer) {
        (Some(how), _) => watched.ended(how),
        (None, NegotiationAnswer::Selected { protocol, .. }) if protocol != negotiation::CLASSIC => {}
        (None, NegotiationAnswer::Selected { .. }) => {
            watched.close("classic RDP security was selected, which has no TLS and no CredSSP to ask about");
        }
        (None, NegotiationAnswer::Silent) => {
            watched.close(&late("the connection request", way.answer_timeout))
        }
        (None, answer) => {
            watched.close(&format!("there is nothing more to ask: {}", negotiation::words(answer)))
        }
    }
    note_tcp(watched, connection);
    answer
}

/// Whether the answer is one that was read to its end, or that needs not be.
fn is_whole(bytes: &[u8]) -> bool {
    match bytes.first() {
        None => false,
        Some(&x224::TPKT_VERSION) => !matches!(x224::decode(bytes), Ok(None)),
        Some(_) => bytes.len() >= TELLING_LENGTH,
    }
}

/// TLS, and CredSSP where `protocol` has it.
pub(super) async fn secure(
    watched: &Watched,
    way: &Way,
    mut connection: Connection,
    protocol: &str,
) -> Talked {
    let need = match handshake(way, &mut connection, &Stack::Usual, tap(watched)).await {
        Ok(leg) => return inside(watched, way, leg, protocol).await,
        Err(failed) => match failed.needs_legacy() {
            Some(need) if Stack::LEGACY_IS_BUILT_IN => need,
            _ => return not_secured(watched, way, failed).await,
        },
    };
    drop(connection);
    watched.say(Leg::Server, Phase::Tls, Detail::LegacyTls { reason: need.clone() });
    let mut connection = match way.negotiated(USUAL).await {
        Ok(connection) => connection,
        Err(not) => {
            watched.close(&format!("there is no connection for the second TLS stack: {}", not.reason));
            return Talked::default();
        }
    };
    match handshake(way, &mut connection, &Stack::Legacy { need }, tap(watched)).await {
        Ok(leg) => inside(watched, way, leg, protocol).await,
        Err(failed) => not_secured(watched, way, failed).await,
    }
}

/// Begins TLS at once, where there was no X.224: nothing where that is not spoken either. This is beside the conversation,
/// as no client would do so.
pub(super) async fn direct(way: &Way) -> Option<Talked> {
    let mut connection = way.open().await.ok()?;
    let chain = match handshake(way, &mut connection, &Stack::Usual, |_: Instant, _: bool, _: &[u8]| ()).await
    {
        Ok(mut leg) => {
            farewell(&mut leg.stream).await;
            leg.chain
        }
        Err(Failed::Handshake(error)) if error.speaks_tls() => error.chain,
        Err(_) => return None,
    };
    Some(Talked { certificate: certificate::check(chain, way).await, ..Talked::default() })
}

/// Begins TLS on a connection on which it was refused: nothing where the server keeps to that. Some do not, FreeRDP's among
/// them, and tell by CredSSP who they are. This, too, is beside the conversation, as no client would do so.
pub(super) async fn insist(way: &Way, mut connection: Connection) -> Option<Talked> {
    let unseen = |_: Instant, _: bool, _: &[u8]| ();
    let mut leg = handshake(way, &mut connection, &Stack::Usual, unseen).await.ok()?;
    let asked = ask_credssp(way, &mut leg.stream, |_, _| ()).await;
    farewell(&mut leg.stream).await;
    let check = asked.unwrap_or_else(|instead| credssp::failed(instead.words(way.answer_timeout)));
    Some(Talked { credssp_after_refusal: Some(check), ..Talked::default() })
}

/// A handshake that did not come through.
enum Failed {
    /// It took too long.
    Late(String),
    /// It failed.
    Handshake(Box<HandshakeError>),
}

impl Failed {
    fn needs_legacy(&self) -> Option<String> {
        match self {
            Failed::Late(_) => None,
            Failed::Handshake(error) => error.needs_legacy.clone(),
        }
    }
}

async fn handshake<'c>(
    way: &Way,
    connection: &'c mut Connection,
    stack: &Stack,
    tap: impl WireTap + 'static,
) -> Result<ServerLeg<&'c mut TcpStream>, Failed> {
    let offer = Offer { server_name: Some(way.server_name.clone()), ..Offer::default() };
    let stream: &mut TcpStream = connection;
    let tee = Tee::new(stream, Vec::new(), tap);
    let limit = way.answer_timeout * HANDSHAKE_ANSWERS;
    match timeout(limit, tls::connect(tee, &offer, stack)).await {
        Ok(Ok(leg)) => Ok(leg),
        Ok(Err(error)) => Err(Failed::Handshake(Box::new(error))),
        Err(_) => Err(Failed::Late(late("the TLS handshake", limit))),
    }
}

/// Shows what passes to the observers.
fn tap(watched: &Watched) -> impl WireTap + 'static {
    let watched = watched.clone();
    move |at: Instant, sent_by_us: bool, bytes: &[u8]| watched.wire(at, sent_by_us, bytes)
}

/// TLS is up.
async fn inside(watched: &Watched, way: &Way, mut leg: ServerLeg<&mut TcpStream>, protocol: &str) -> Talked {
    watched.handshake_complete(&leg.chain);
    let asked = async {
        let is_credssp = protocol.starts_with(HYBRID);
        if is_credssp { Some(authenticate(watched, way, &mut leg.stream).await) } else { None }
    };
    let (certificate, credssp) = tokio::join!(judged(watched, leg.chain, way), asked);
    note_tcp(watched, leg.stream.tee().get_ref());
    farewell(&mut leg.stream).await;
    watched.close(match credssp {
        Some(_) => "what a probe asks of CredSSP was asked; the rest needs credentials",
        None => "what a probe asks was asked; the rest is a session",
    });
    Talked { certificate, credssp, ..Talked::default() }
}

/// TLS is not up, and why.
async fn not_secured(watched: &Watched, way: &Way, failed: Failed) -> Talked {
    let error = match failed {
        Failed::Late(reason) => {
            watched.close(&reason);
            return Talked::default();
        }
        Failed::Handshake(error) => error,
    };
    watched.certificate(&error.chain);
    match (&error.failure, &error.needs_legacy) {
        (HandshakeFailure::Ended(end @ (StreamEnd::Fin | StreamEnd::Reset)), _) => watched.tls_ended(end),
        (_, Some(need)) if !Stack::LEGACY_IS_BUILT_IN => {
            watched.close(&format!("{need}, and this build has no second TLS stack"));
        }
        (HandshakeFailure::Ended(end), _) => watched.tls_ended(end),
        _ => watched.close(&error.to_string()),
    }
    Talked { certificate: judged(watched, error.chain, way).await, ..Talked::default() }
}

/// The first message of CredSSP and the server's answer to it, as the observers see them.
async fn authenticate(watched: &Watched, way: &Way, stream: &mut TlsStream<&mut TcpStream>) -> CredsspCheck {
    let asked = ask_credssp(way, stream, |from, bytes| watched.inside(from, bytes)).await;
    asked.unwrap_or_else(|instead| {
        let words = instead.words(way.answer_timeout);
        match &instead {
            Instead::Nothing => watched.close(&words),
            Instead::Ended(end) => watched.tls_ended(end),
            Instead::OtherBytes(_) => {}
        }
        credssp::failed(words)
    })
}

/// What came in the place of the server's first message.
enum Instead {
    /// Nothing for too long.
    Nothing,
    /// The end.
    Ended(StreamEnd),
    /// Something that is no TSRequest, and why.
    OtherBytes(String),
}

impl Instead {
    fn words(&self, limit: Duration) -> String {
        match self {
            Instead::Nothing => late("the first message of CredSSP", limit),
            Instead::Ended(end) => instead_of_an_answer(end),
            Instead::OtherBytes(reason) => format!("the server answered with no TSRequest: {reason}"),
        }
    }
}

/// The first message of CredSSP and the server's answer to it. `seen` is told whatever is said, and by whom.
async fn ask_credssp(
    way: &Way,
    stream: &mut TlsStream<&mut TcpStream>,
    mut seen: impl FnMut(Side, &[u8]),
) -> Result<CredsspCheck, Instead> {
    let message = credssp::first_message();
    seen(Side::Client, &message);
    let asked = timeout(way.answer_timeout, async {
        // What a server says that takes no more is in what it sent, and is read all the same.
        let _ = stream.write_all(&message).await;
        let _ = stream.flush().await;
        read_message(stream, |bytes| seen(Side::Server, bytes)).await
    });
    let answer = asked.await.unwrap_or(Err(Instead::Nothing))?;
    let now_us = jiff::Timestamp::now().as_microsecond();
    let info = tcp_info(stream.tee().get_ref());
    let round_trip_us = info.and_then(|info| info.rtt_us).unwrap_or_default();
    Ok(credssp::judge(&answer, now_us, round_trip_us.into()))
}

/// One TSRequest.
async fn read_message(
    stream: &mut TlsStream<&mut TcpStream>,
    mut seen: impl FnMut(&[u8]),
) -> Result<TsRequest, Instead> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        match stream.read_buf(&mut bytes).await {
            Ok(0) => return Err(Instead::Ended(StreamEnd::CloseNotify)),
            Ok(_) => seen(&bytes[before..]),
            Err(error) => return Err(Instead::Ended(tls::read_ending(&error))),
        }
        match TsRequest::decode(&bytes) {
            Ok(None) => {}
            Ok(Some((message, _))) => return Ok(message),
            Err(malformed) => return Err(Instead::OtherBytes(malformed.to_string())),
        }
    }
}

fn instead_of_an_answer(end: &StreamEnd) -> String {
    match end {
        StreamEnd::CloseNotify | StreamEnd::Fin => {
            "the server closed the connection without an answer".to_owned()
        }
        StreamEnd::Reset => "the server reset the connection without an answer".to_owned(),
        StreamEnd::Alert(alert) => {
            let name = alert.description_name.as_deref().unwrap_or("of a number that is not known");
            format!("the server answered with the TLS alert {name} ({})", alert.description)
        }
        StreamEnd::Broken(reason) => format!("what the server sent cannot be read: {reason}"),
    }
}

/// The certificate with what this machine thinks of it, which is told, too.
async fn judged(watched: &Watched, chain: Vec<Vec<u8>>, way: &Way) -> Option<CertificateCheck> {
    let check = certificate::check(chain, way).await?;
    watched.say(Leg::Proxy, Phase::Tls, certificate::judged(&check));
    Some(check)
}

/// What the system knows of the connection.
fn note_tcp(watched: &Watched, stream: &TcpStream) {
    if let Some(info) = tcp_info(stream) {
        watched.say(Leg::Server, Phase::Tcp, Detail::TcpInfo(info));
    }
}

/// Leaves in good order.
async fn farewell(stream: &mut TlsStream<&mut TcpStream>) {
    // A server that has left needs none.
    let _ = timeout(FAREWELL_TIMEOUT, stream.shutdown()).await;
}

fn late(what: &str, limit: Duration) -> String {
    format!("the server did not answer {what} within {} s", limit.as_secs())
}
