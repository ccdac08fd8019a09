//! The one conversation that goes as a client's would: TCP, TLS, a request for WebSocket, and NTLM up to its challenge or
//! the tunnel up to where credentials are due. The observers see all of it.

use super::CONVERSATION;
use super::channel::{Came, Channel, Ear, NotSecured};
use super::lane::Lane;
use super::record::Recorded;
use super::request::{Request, connection_id};
use crate::intercept::tls::Stack;
use crate::probe::way::{Connection, Way};
use crate::probe::{certificate, credssp};
use crate::trace::{
    CertificateCheck, Detail, GatewayAnswer, GatewayLogonCheck, GatewayRequest, GatewayRequestCheck,
    HttpResponse, Leg, Phase, Side,
};
use crate::wire::credssp::ntlm::{NtlmChallenge, NtlmMessage};
use crate::wire::credssp::{MechanismToken, NegoToken};
use crate::wire::http::base64;
use std::time::{Duration, Instant};

/// How long a box takes at most to end a connection with whose response it is done.
const END_FOLLOWS_WITHIN: Duration = Duration::from_millis(300);
/// The schemes that carry NTLM, the plainer first.
const CARRY_NTLM: [&str; 2] = ["NTLM", "Negotiate"];

/// What came of it.
#[derive(Default)]
pub(super) struct Conversed {
    /// The certificate, where one came.
    pub(super) certificate: Option<CertificateCheck>,
    /// How the other checks get there; absent where TLS does not come up.
    pub(super) lane: Option<Lane>,
    pub(super) websocket: Option<GatewayRequestCheck>,
    pub(super) logon: Option<GatewayLogonCheck>,
}

/// Everything on a connection that was reached.
pub(super) async fn converse(
    record: &Recorded,
    way: &Way,
    host: &str,
    began: Instant,
    mut connection: Connection,
) -> Conversed {
    let need = match secure(record, way, &mut connection, &Stack::Usual).await {
        Ok(channel) => return inside(record, way, host, began, channel, Stack::Usual).await,
        Err(NotSecured::Failed(error)) if error.needs_legacy.is_some() && Stack::LEGACY_IS_BUILT_IN => {
            error.needs_legacy.unwrap_or_default()
        }
        Err(not) => return not_secured(record, way, not).await,
    };
    drop(connection);
    let detail = Detail::LegacyTls { reason: need.clone() };
    record.say(Leg::Server, None, Phase::GatewayTls, detail);
    let mut connection = match way.open().await {
        Ok(connection) => connection,
        Err(error) => {
            record.close(&format!("there is no connection for the second TLS stack: {error}"));
            return Conversed::default();
        }
    };
    let stack = Stack::Legacy { need };
    match secure(record, way, &mut connection, &stack).await {
        Ok(channel) => inside(record, way, host, began, channel, stack.clone()).await,
        Err(not) => not_secured(record, way, not).await,
    }
}

async fn secure<'c>(
    record: &Recorded,
    way: &Way,
    connection: &'c mut Connection,
    stack: &Stack,
) -> Result<Channel<'c>, NotSecured> {
    let wire = record.clone();
    let tap = move |at: Instant, sent_by_us: bool, bytes: &[u8]| {
        wire.wire(CONVERSATION, at, sent_by_us, bytes);
    };
    Channel::open(way, connection, CONVERSATION, stack, &[], tap).await
}

/// TLS is not up, and why.
async fn not_secured(record: &Recorded, way: &Way, not: NotSecured) -> Conversed {
    record.close(&not.words());
    let NotSecured::Failed(error) = not else { return Conversed::default() };
    record.certificate(CONVERSATION, &error.chain);
    Conversed { certificate: judged(record, error.chain, way).await, ..Conversed::default() }
}

/// TLS is up.
async fn inside(
    record: &Recorded,
    way: &Way,
    host: &str,
    began: Instant,
    mut channel: Channel<'_>,
    stack: Stack,
) -> Conversed {
    record.certificate(CONVERSATION, &channel.chain);
    record.say(Leg::Server, Some(Side::Server), Phase::GatewayTls, Detail::HandshakeComplete);
    let chain = std::mem::take(&mut channel.chain);
    let talk = async {
        let mut ear = Ear::new(began, Some(record.clone()));
        let id = connection_id();
        let request = Request::new(GatewayRequest::Websocket, host, &id);
        let asked = channel.ask(&mut ear, &request, way.answer_timeout).await;
        let logon = match asked.response().filter(|response| response.status == 401) {
            Some(response) => Some(log_on(way, &mut ear, &mut channel, request, response).await),
            None => None,
        };
        record.close(match &asked.answer {
            GatewayAnswer::Silent => "nothing came back for too long",
            _ => "what a probe asks was asked; the rest needs credentials",
        });
        channel.farewell().await;
        (asked, logon)
    };
    let (certificate, (websocket, logon)) = tokio::join!(judged(record, chain, way), talk);
    let lane = Lane { way: way.clone(), stack, host: host.to_owned() };
    Conversed { certificate, lane: Some(lane), websocket: Some(websocket), logon }
}

/// The certificate with what this machine thinks of it, which is told, too.
async fn judged(record: &Recorded, chain: Vec<Vec<u8>>, way: &Way) -> Option<CertificateCheck> {
    let check = certificate::check(chain, way).await?;
    record.say(Leg::Proxy, None, Phase::GatewayTls, certificate::judged(&check));
    Some(check)
}

/// The first message of NTLM on the same connection, as NTLM needs it, and the gateway's answer. Nothing is answered to
/// the challenge.
async fn log_on(
    way: &Way,
    ear: &mut Ear,
    channel: &mut Channel<'_>,
    request: Request<'_>,
    asked: &HttpResponse,
) -> GatewayLogonCheck {
    let mut schemes: Vec<String> = Vec::new();
    for challenge in asked.challenges.iter().filter(|challenge| !challenge.scheme.is_empty()) {
        if !schemes.contains(&challenge.scheme) {
            schemes.push(challenge.scheme.clone());
        }
    }
    let offered = |scheme: &&str| schemes.iter().any(|its| its.eq_ignore_ascii_case(scheme));
    let Some(scheme) = CARRY_NTLM.into_iter().find(offered) else {
        return GatewayLogonCheck { schemes, ..GatewayLogonCheck::default() };
    };
    let check = GatewayLogonCheck {
        schemes: schemes.clone(),
        scheme: Some(scheme.to_owned()),
        ..GatewayLogonCheck::default()
    };
    if is_announced_end(asked) || ended(ear, channel).await {
        let failure = "the connection was ended with the response that asks for the logon".to_owned();
        return GatewayLogonCheck { failure: Some(failure), stayed_open: Some(false), ..check };
    }
    let request = Request { ntlm: Some(scheme), ..request };
    let answer = channel.ask(ear, &request, way.answer_timeout).await;
    let now_us = jiff::Timestamp::now().as_microsecond();
    let Some(challenge) = challenge(channel.received()) else {
        let failure = match &answer.answer {
            GatewayAnswer::Response(response) => {
                format!("the answer was {} without an NTLM challenge", response.status)
            }
            GatewayAnswer::Closed { .. } => "the connection was ended without an answer".to_owned(),
            _ => "nothing came back for too long".to_owned(),
        };
        return GatewayLogonCheck { failure: Some(failure), ..check };
    };
    let announced = answer.response().is_some_and(is_announced_end);
    GatewayLogonCheck {
        clock_skew_us: credssp::skew(&challenge, now_us, channel.round_trip_us()),
        challenge: Some(challenge),
        stayed_open: Some(!announced && !ended(ear, channel).await),
        ..check
    }
}

fn is_announced_end(response: &HttpResponse) -> bool {
    response.headers.iter().any(|header| {
        let says_close = header.value.as_deref().is_some_and(|value| value.eq_ignore_ascii_case("close"));
        header.name.eq_ignore_ascii_case("Connection") && says_close
    })
}

async fn ended(ear: &mut Ear, channel: &mut Channel<'_>) -> bool {
    matches!(channel.listen(ear, END_FOLLOWS_WITHIN).await, Came::End(_))
}

/// The challenge in the head of a response.
fn challenge(response: &[u8]) -> Option<NtlmChallenge> {
    let text = String::from_utf8_lossy(response);
    text.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let (_, token) =
            value.trim().split_once(' ').filter(|_| name.eq_ignore_ascii_case("WWW-Authenticate"))?;
        match NegoToken::decode(&base64::decode(token.trim())?).mechanism? {
            MechanismToken::Ntlm(NtlmMessage::Challenge(challenge)) => Some(*challenge),
            _ => None,
        }
    })
}
