//! An RD Gateway, as a probe finds it: whether there is one, what of its transports comes through, and who is in the way.

use super::super::facts::{Author, Facts, header};
use super::super::rule::{Conclusion, Rule};
use super::super::words::{SECOND, list, span};
use super::{certificate, network, rule, tls};
use crate::trace::{
    Confidence, GatewayAnswer, GatewayCheck, GatewayLogonCheck, GatewayRequest, GatewayRequestCheck,
    GatewayTunnelCheck, GatewayTunnelFailure, HelloAnswer, How, HttpResponse, Micros, Phase, Probe,
    Reframing, Transport, VerdictId,
};
use crate::wire::http::http2::is_server_preface;
use crate::wire::tsgu::Packet;

pub(in super::super) const FAMILIES: &[&[Rule]] = &[RULES, tls::RULES, certificate::RULES, HEALTHY];

const AGAIN: &[&str] = &["rdpscope probe {target} --gateway {gateway}"];
const VARY: &[&str] = &[
    "rdpscope ab {target} --gateway {gateway} --vary gateway-transport",
    "rdpscope proxy {target} --gateway {gateway}",
];
/// Statuses with which a box says that what it forwards to does not answer.
const NOTHING_BEHIND: [u16; 3] = [502, 503, 504];
/// Schemes that only a gateway or another service of Windows asks for.
const OF_GATEWAYS: [&str; 4] = ["NTLM", "Negotiate", "PAA", "SSPI_NTLM"];
/// The requests that ask for a tunnel.
const FOR_A_TUNNEL: [GatewayRequest; 3] =
    [GatewayRequest::Websocket, GatewayRequest::OutChannel, GatewayRequest::RpcOut];
/// Bytes behind a head come with it; so much later something has held them.
const HELD_US: Micros = 2 * SECOND;

const RULES: &[Rule] = &[
    rule(
        VerdictId::DnsFailure,
        "the answer of the resolver",
        network::dns_failure,
        &["Resolve-DnsName {host}", "rdpscope probe {target} --gateway IP-ADDRESS-OF-{host}"],
    ),
    rule(
        VerdictId::GatewayUnreachable,
        "several connection attempts to each address of the gateway, or what a box before it answers in its place",
        unreachable,
        &["Test-NetConnection {host} -Port {port}"],
    ),
    rule(
        VerdictId::DnsMismatch,
        "a gateway with several addresses, and several connection attempts to each",
        network::some_addresses,
        &["Resolve-DnsName {host}", "rdpscope probe {target} --gateway IP-ADDRESS-OF-{host}"],
    ),
    rule(
        VerdictId::LinkLossy,
        "several connection attempts to one address of the gateway, of which some vanish",
        network::lossy,
        AGAIN,
    ),
    rule(
        VerdictId::GatewayNotAGateway,
        "the answers to requests for a tunnel, and to others on the same port",
        not_a_gateway,
        AGAIN,
    ),
    Rule {
        depends_on: &[VerdictId::GatewayUnreachable, VerdictId::GatewayNotAGateway],
        ..rule(
            VerdictId::GatewayTransportBlocked,
            "a request for each transport of a gateway, and others on the same port",
            blocked,
            VARY,
        )
    },
    Rule {
        depends_on: &[
            VerdictId::GatewayUnreachable,
            VerdictId::GatewayNotAGateway,
            VerdictId::GatewayTransportBlocked,
        ],
        ..rule(
            VerdictId::GatewayResponseMalformed,
            "the responses to requests for a tunnel, and the tunnel where one is opened before a logon",
            malformed,
            VARY,
        )
    },
];

const HEALTHY: &[Rule] = &[Rule {
    id: VerdictId::Healthy,
    needs: "every check of a gateway up to the logon",
    depends_on: FAULTS,
    is_last_resort: false,
    judge: healthy,
    next: &["rdpscope proxy {target} --gateway {gateway}"],
    fix: &[],
}];

/// Everything that a probe can find to be wrong with a gateway.
const FAULTS: &[VerdictId] = &[
    VerdictId::DnsFailure,
    VerdictId::DnsMismatch,
    VerdictId::LinkLossy,
    VerdictId::GatewayUnreachable,
    VerdictId::GatewayNotAGateway,
    VerdictId::GatewayTransportBlocked,
    VerdictId::GatewayResponseMalformed,
    VerdictId::ProtocolError,
    VerdictId::TlsVersionMismatch,
    VerdictId::TlsCipherMismatch,
    VerdictId::ServerKeyUnusable,
    VerdictId::TlsStalled,
    VerdictId::TlsInspected,
    VerdictId::CertificateExpired,
    VerdictId::CertificateNotYetValid,
    VerdictId::CertificateNameMismatch,
    VerdictId::CertificateWrongUsage,
    VerdictId::CertificateWeak,
    VerdictId::CertificateRejected,
];

fn checks<'a>(facts: &Facts<'a>) -> Option<(&'a Probe, &'a GatewayCheck)> {
    let probe = facts.probe?;
    Some((probe, probe.gateway.as_deref()?))
}

fn name(facts: &Facts<'_>) -> String {
    facts.fill("{gateway}")
}

/// `RDG_OUT_DATA (WebSocket)`.
pub(super) fn asked(check: &GatewayRequestCheck) -> String {
    match check.request {
        GatewayRequest::Websocket => format!("{} (WebSocket)", check.method),
        GatewayRequest::OldHttp => format!("{} (HTTP/1.0)", check.method),
        GatewayRequest::KdcProxy | GatewayRequest::Page | GatewayRequest::Options => {
            format!("{} {}", check.method, check.path)
        }
        _ => check.method.clone(),
    }
}

/// The same with what came back.
fn asked_and_answered(check: &GatewayRequestCheck) -> String {
    let answer = match &check.answer {
        GatewayAnswer::Response(response) => {
            let reason = response.reason.trim();
            let space = if reason.is_empty() { "" } else { " " };
            format!("is answered {}{space}{reason} by {}", response.status, Author::of(response).words())
        }
        GatewayAnswer::Closed { how: How::Reset } => "is answered with a reset of the connection".to_owned(),
        GatewayAnswer::Closed { .. } => "is answered with the end of the connection".to_owned(),
        GatewayAnswer::Silent => format!("gets no answer within {}", span(check.took_us)),
        GatewayAnswer::OtherProtocol { .. } => "is answered in something that is no HTTP".to_owned(),
        GatewayAnswer::NotReached { reason } => format!("could not be asked: {reason}"),
    };
    format!("{} {answer}", asked(check))
}

fn with_answers(conclusion: Conclusion, check: &GatewayCheck) -> Conclusion {
    let answers = check.requests.iter().map(asked_and_answered);
    answers.fold(conclusion, |conclusion, text| conclusion.seen(0, text))
}

fn status(check: &GatewayCheck, request: GatewayRequest) -> Option<u16> {
    Some(check.request(request)?.response()?.status)
}

/// The gateway lets this transport pass, as far as can be seen without a logon.
pub(super) fn is_open(check: &GatewayCheck, request: GatewayRequest) -> bool {
    let granted = if request == GatewayRequest::Websocket { 101 } else { 200 };
    status(check, request).is_some_and(|status| status == 401 || status == granted)
}

/// Whether anything that came back could only come from a gateway.
fn shows_itself(check: &GatewayCheck) -> bool {
    let asks = |response: &HttpResponse| {
        let is_of_gateways =
            |scheme: &str| OF_GATEWAYS.iter().any(|known| known.eq_ignore_ascii_case(scheme));
        response.status == 401 && response.challenges.iter().any(|it| is_of_gateways(&it.scheme))
    };
    let mut asked = FOR_A_TUNNEL.into_iter().filter_map(|request| check.request(request)?.response());
    speaks(check) || asked.any(|response| asks(response) || response.status == 101)
}

/// Whether anything was answered inside a tunnel.
fn speaks(check: &GatewayCheck) -> bool {
    check.tunnels.iter().any(|tunnel| !tunnel.packets.is_empty() || !tunnel.pdus.is_empty())
}

/// Whether the gateway answers inside a tunnel over WebSocket.
pub(super) fn websocket_speaks(check: &GatewayCheck) -> bool {
    tunnel(check, Transport::GatewayWebsocket).is_some_and(|tunnel| !tunnel.packets.is_empty())
}

/// Who answers beside `refuses`: what stands behind the box that refuses.
fn itself(check: &GatewayCheck, refuses: &Author) -> Option<Author> {
    let authors = check.requests.iter().filter_map(GatewayRequestCheck::response).map(Author::of);
    let mut others = authors.filter(|author| author != refuses && *author != Author::Unnamed);
    others.find(|author| matches!(author, Author::Windows(_)))
}

fn unreachable(facts: &Facts<'_>) -> Option<Conclusion> {
    let (_, check) = checks(facts)?;
    let of_tcp =
        network::refused(facts).or_else(|| network::filtered(facts)).or_else(|| network::reset(facts));
    let Some(of_tcp) = of_tcp else { return nothing_behind(facts, check) };
    let summary = format!("The gateway {} cannot be reached: {}", name(facts), of_tcp.summary);
    Some(Conclusion { summary, phase: Phase::GatewayTcp, ..of_tcp })
}

/// A box before the gateway answers all that is asked, and says that what it forwards to does not.
fn nothing_behind(facts: &Facts<'_>, check: &GatewayCheck) -> Option<Conclusion> {
    let responses: Vec<&HttpResponse> =
        FOR_A_TUNNEL.into_iter().filter_map(|request| check.request(request)?.response()).collect();
    let first = responses.first()?;
    let says_so = |response: &&HttpResponse| {
        NOTHING_BEHIND.contains(&response.status) && !response.reason.starts_with("RPC Error")
    };
    let author = Author::of(first);
    if !responses.iter().all(says_so) || matches!(author, Author::Windows(_)) {
        return None;
    }
    let summary = format!(
        "What answers as the gateway {} says that there is none behind it: {} {} from {}.",
        name(facts),
        first.status,
        first.reason.trim(),
        author.words()
    );
    let conclusion = Conclusion::likely(Phase::GatewayHttp, summary);
    Some(with_answers(conclusion.or_possibly(&[VerdictId::GatewayTransportBlocked]), check))
}

fn not_a_gateway(facts: &Facts<'_>) -> Option<Conclusion> {
    let (probe, check) = checks(facts)?;
    let Some(websocket) = check.request(GatewayRequest::Websocket) else {
        return speaks_no_tls(facts, probe);
    };
    if let GatewayAnswer::OtherProtocol { first_bytes } = &websocket.answer
        && !is_http_2(first_bytes)
    {
        let summary = format!("What answers as the gateway {} speaks no HTTP inside TLS.", name(facts));
        let conclusion = Conclusion::confirmed(Phase::GatewayHttp, summary);
        return Some(conclusion.seen(0, format!("its first bytes are {first_bytes}")));
    }
    if shows_itself(check) || is_open(check, GatewayRequest::OutChannel) {
        return None;
    }
    let response = websocket.response()?;
    let said = match response.status {
        404 | 410 => "knows no such path",
        405 | 501 => "does not know the methods of a gateway",
        200..=299 => "answers with a page of its own",
        300..=399 => "sends the client elsewhere",
        _ => return None,
    };
    let author = Author::of(response);
    if itself(check, &author).is_some() {
        return None;
    }
    let kind = header(&response.headers, "Content-Type").map(|kind| format!(" ({kind})")).unwrap_or_default();
    let summary = format!(
        "What answers as {} is a web server and no gateway: {} {said}, {} is answered {}{kind}.",
        name(facts),
        author.words(),
        asked(websocket),
        response.status,
    );
    let conclusion = Conclusion::likely(Phase::GatewayHttp, summary);
    Some(with_answers(conclusion.or_possibly(&[VerdictId::GatewayTransportBlocked]), check))
}

fn speaks_no_tls(facts: &Facts<'_>, probe: &Probe) -> Option<Conclusion> {
    let mut versions = probe.tls.as_ref()?.versions.values();
    let first_bytes = versions.find_map(|answer| match answer {
        HelloAnswer::Other { first_bytes } => Some(first_bytes),
        _ => None,
    })?;
    let summary = format!("What answers as the gateway {} speaks no TLS.", name(facts));
    let conclusion = Conclusion::confirmed(Phase::GatewayTls, summary);
    Some(conclusion.seen(0, format!("its first bytes are {first_bytes}")))
}

fn blocked(facts: &Facts<'_>) -> Option<Conclusion> {
    let (_, check) = checks(facts)?;
    let websocket = check.request(GatewayRequest::Websocket)?;
    let conclusion = proxy_wants_a_logon(check)
        .or_else(|| only_http_2(facts, check))
        .or_else(|| refused(check))
        .or_else(|| stripped(websocket))
        .or_else(|| swallowed(facts, check))
        .or_else(|| dead_behind_the_upgrade(facts, check))?;
    Some(with_answers(conclusion, check))
}

/// 407 comes from a proxy, never from a gateway (RFC 9110 15.5.8).
fn proxy_wants_a_logon(check: &GatewayCheck) -> Option<Conclusion> {
    let asked_to = FOR_A_TUNNEL
        .into_iter()
        .find_map(|request| check.request(request).filter(|_| status(check, request) == Some(407)))?;
    let summary = format!(
        "A proxy on the way wants a logon of its own and lets {} not pass without it.",
        asked(asked_to)
    );
    Some(Conclusion::confirmed(Phase::GatewayHttp, summary))
}

/// Whether these first bytes of an answer are those of HTTP/2.
fn is_http_2(first_bytes: &str) -> bool {
    hex::decode(first_bytes).is_ok_and(|bytes| is_server_preface(&bytes))
}

/// Whether what came back in HTTP/1.1 is the end of the connection, or HTTP/2.
fn knows_no_http_1(answer: &GatewayAnswer) -> bool {
    match answer {
        GatewayAnswer::Closed { .. } => true,
        GatewayAnswer::OtherProtocol { first_bytes } => is_http_2(first_bytes),
        _ => false,
    }
}

/// HTTP/2 is agreed on where it is offered, and HTTP/1.1 is answered with nothing or in HTTP/2.
fn only_http_2(facts: &Facts<'_>, check: &GatewayCheck) -> Option<Conclusion> {
    let alpn = check.alpn.as_ref()?;
    let answers: Vec<&GatewayAnswer> =
        FOR_A_TUNNEL.into_iter().filter_map(|request| Some(&check.request(request)?.answer)).collect();
    let is_deaf = answers.len() == FOR_A_TUNNEL.len() && answers.iter().all(|answer| knows_no_http_1(answer));
    let answers_in_it = answers.iter().any(
        |answer| matches!(answer, GatewayAnswer::OtherProtocol { first_bytes } if is_http_2(first_bytes)),
    );
    let is_spoken = alpn.selected.as_deref() == Some("h2") || answers_in_it;
    let speaks_both = alpn.alone.as_ref().is_some_and(|alone| !knows_no_http_1(&alone.http1));
    if !is_spoken || !is_deaf || speaks_both {
        return None;
    }
    let what = format!(
        "What answers as {} speaks HTTP/2 alone, in which a gateway's methods do not exist: it is a box before the \
         gateway, and every request in HTTP/1.1 ends with its connection",
        name(facts)
    );
    let prefers = "of h2 and http/1.1 it selects h2";
    // The same request in both versions: what is behind the box answers it in the one that no client of a gateway speaks.
    let behind = alpn.alone.as_ref().filter(|alone| alone.http2).and_then(|alone| alone.http2_status);
    if let Some(status @ (200 | 401)) = behind {
        let summary = format!("{what}; behind it RDG_OUT_DATA is served, {status} in HTTP/2.");
        let conclusion = Conclusion::confirmed(Phase::GatewayHttp, summary).seen(0, prefers);
        let both = format!("RDG_OUT_DATA is answered {status} in HTTP/2, and in HTTP/1.1 with no HTTP/1.1");
        return Some(conclusion.seen(0, both));
    }
    let conclusion = Conclusion::likely(Phase::GatewayHttp, format!("{what}."));
    Some(conclusion.or_possibly(&[VerdictId::GatewayNotAGateway]).seen(0, prefers))
}

/// Neither WebSocket nor two connections are let through.
fn refused(check: &GatewayCheck) -> Option<Conclusion> {
    let websocket = check.request(GatewayRequest::Websocket)?;
    let out = check.request(GatewayRequest::OutChannel)?;
    let is_refused = |it: &GatewayRequestCheck| {
        let by_status = |response: &HttpResponse| !matches!(response.status, 100 | 101 | 200 | 401);
        it.response().is_some_and(by_status) || matches!(it.answer, GatewayAnswer::Closed { .. })
    };
    if !is_refused(websocket) || !is_refused(out) || speaks(check) {
        return None;
    }
    let rpc = if is_open(check, GatewayRequest::RpcOut) {
        "; RPC over HTTP comes through, for clients that still have it"
    } else {
        ""
    };
    let Some(response) = websocket.response().or(out.response()) else {
        let summary = format!(
            "The connection is ended after each request for a tunnel, without an answer: something on the way does not \
             let the gateway's methods pass{rpc}."
        );
        let conclusion = Conclusion::likely(Phase::GatewayHttp, summary);
        return Some(conclusion.or_possibly(&[VerdictId::GatewayNotAGateway]));
    };
    let author = Author::of(response);
    let itself = itself(check, &author);
    let beside = match &itself {
        Some(itself) => format!("; behind it answers {}", itself.words()),
        None => String::new(),
    };
    let summary = format!(
        "WebSocket and HTTP over two connections are refused by {}: {} is answered {} {}{beside}{rpc}.",
        author.words(),
        asked(websocket),
        response.status,
        response.reason.trim(),
    );
    let confidence = if itself.is_some() { Confidence::Confirmed } else { Confidence::Likely };
    let conclusion = Conclusion::new(confidence, Phase::GatewayHttp, summary);
    let no_sign = itself.is_none() && !shows_itself(check);
    Some(if no_sign { conclusion.or_possibly(&[VerdictId::GatewayNotAGateway]) } else { conclusion })
}

/// A 101 without what makes it one (RFC 6455 4.2.2).
fn stripped(websocket: &GatewayRequestCheck) -> Option<Conclusion> {
    let response = websocket.response().filter(|response| response.status == 101)?;
    let missing = ["Upgrade", "Connection", "Sec-WebSocket-Accept"]
        .into_iter()
        .find(|name| !response.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name)))?;
    let summary = format!(
        "The gateway's consent to WebSocket was stripped on the way: the 101 has no {missing}, so that a client cannot \
         take it; it comes from {}.",
        Author::of(response).words()
    );
    Some(Conclusion::confirmed(Phase::GatewayHttp, summary))
}

/// Whether this request got no answer at all, although the port answers.
fn is_silent(check: &GatewayCheck, request: GatewayRequest) -> bool {
    check.request(request).is_some_and(|it| it.answer == GatewayAnswer::Silent)
}

fn swallowed(facts: &Facts<'_>, check: &GatewayCheck) -> Option<Conclusion> {
    if !is_silent(check, GatewayRequest::Websocket) {
        return None;
    }
    let beside = if is_open(check, GatewayRequest::OutChannel) {
        ", and without WebSocket the same request is: clients wait a whole time-out before they fall back"
    } else {
        ""
    };
    let summary = format!(
        "RDG_OUT_DATA (WebSocket) to {} is not answered{beside}: something on the way swallows it, or the answer to it.",
        name(facts)
    );
    Some(Conclusion::likely(Phase::GatewayHttp, summary).or_possibly(&[VerdictId::GatewayResponseMalformed]))
}

fn tunnel(check: &GatewayCheck, transport: Transport) -> Option<&GatewayTunnelCheck> {
    check.tunnels.iter().find(|tunnel| tunnel.transport == transport)
}

fn dead_behind_the_upgrade(facts: &Facts<'_>, check: &GatewayCheck) -> Option<Conclusion> {
    let tunnel = tunnel(check, Transport::GatewayWebsocket).filter(|tunnel| tunnel.packets.is_empty())?;
    let after = match tunnel.failure.as_ref()? {
        GatewayTunnelFailure::Silent { after } if after == "handshake_request" => after,
        _ => return None,
    };
    let summary = format!(
        "WebSocket is agreed on with {}, and nothing comes through it: a box on the way lets the 101 pass and not what \
         follows it.",
        name(facts)
    );
    let conclusion = Conclusion::likely(Phase::GatewayTunnel, summary);
    Some(conclusion.seen(0, format!("no answer to {after} came through WebSocket")))
}

/// Who answers the requests for a tunnel, for the end of a sentence.
fn culprit(check: &GatewayCheck) -> String {
    let mut names: Vec<String> = Vec::new();
    for request in [GatewayRequest::OutChannel, GatewayRequest::Websocket, GatewayRequest::Page] {
        let author = check.request(request).and_then(GatewayRequestCheck::response).map(Author::of);
        names.extend(author.map(|author| author.words()));
    }
    names.first().map_or_else(String::new, |name| format!("; the answers come from {name}"))
}

fn malformed(facts: &Facts<'_>) -> Option<Conclusion> {
    let (_, check) = checks(facts)?;
    let conclusion = reframed(check)
        .or_else(|| withheld(check))
        .or_else(|| endless(check))
        .or_else(|| broken_logon(check))?;
    Some(with_answers(conclusion, check))
}

fn reframed(check: &GatewayCheck) -> Option<Conclusion> {
    let how = check.tunnels.iter().find_map(|tunnel| tunnel.reframed.first())?;
    // Only clients without WebSocket meet them, and those of Windows take chunks.
    if *how == Reframing::Chunked && websocket_speaks(check) {
        return None;
    }
    let (what, confidence) = match how {
        Reframing::Chunked => (
            "put into chunks (Transfer-Encoding: chunked), where a gateway sends its tunnel as it is",
            Confidence::Likely,
        ),
        Reframing::UnannouncedChunks => {
            ("given the sizes of chunks in its body without announcing chunks", Confidence::Confirmed)
        }
        Reframing::Garbage => ("mixed with bytes that are no packet of the tunnel", Confidence::Confirmed),
        // rdpscope leaves, too, and which came first is not known.
        Reframing::Truncated => return None,
    };
    let summary =
        format!("The gateway's response was {what}: a box on the way altered it{}.", culprit(check));
    Some(Conclusion::new(confidence, Phase::GatewayTunnel, summary))
}

fn withheld(check: &GatewayCheck) -> Option<Conclusion> {
    let beside = if is_open(check, GatewayRequest::Websocket) { "; WebSocket is answered" } else { "" };
    if is_silent(check, GatewayRequest::OutChannel) {
        let summary = format!(
            "RDG_OUT_DATA for two connections is not answered{beside}: a box on the way holds the response back until it \
             has enough of it{}.",
            culprit(check)
        );
        let conclusion = Conclusion::likely(Phase::GatewayHttp, summary);
        return Some(conclusion.or_possibly(&[VerdictId::GatewayTransportBlocked]));
    }
    let tunnel = tunnel(check, Transport::GatewayHttp)?;
    let is_late = tunnel.first_bytes_us.is_none_or(|us| us >= HELD_US);
    let is_silent = matches!(&tunnel.failure, Some(GatewayTunnelFailure::Silent { .. }));
    let is_held = is_late && tunnel.failure.is_none();
    if !(is_silent || is_held) {
        return None;
    }
    let what = if is_late {
        "the bytes behind the head of the OUT channel do not come: a box on the way holds the response back until it has \
         enough of it"
    } else {
        "what is sent into the IN channel is not answered: a box on the way holds it back until it has more of it"
    };
    let summary = format!("Over two connections {what}{beside}{}.", culprit(check));
    Some(Conclusion::likely(Phase::GatewayTunnel, summary))
}

/// A refusal or a question whose end nobody can know: neither a length nor chunks nor the connection's end.
fn endless(check: &GatewayCheck) -> Option<Conclusion> {
    let is_endless = |request: &GatewayRequest| {
        let check = check.request(*request).filter(|it| it.is_complete == Some(false))?;
        check.response().filter(|response| response.status >= 400).map(|response| (check, response))
    };
    let (endless, response) = FOR_A_TUNNEL.iter().find_map(is_endless)?;
    let summary = format!(
        "The response {} to {} has no end that a client could see, by neither Content-Length nor chunks nor the \
         connection's end: a client waits in vain{}.",
        response.status,
        asked(endless),
        culprit(check)
    );
    Some(Conclusion::likely(Phase::GatewayHttp, summary))
}

/// NTLM logs on a connection and not a request (MS-NTHT 3.1.5): one that ends between its messages makes it impossible.
fn broken_logon(check: &GatewayCheck) -> Option<Conclusion> {
    let logon: &GatewayLogonCheck = check.logon.as_ref()?;
    if logon.stayed_open != Some(false) {
        return None;
    }
    let summary = format!(
        "The connection is ended in the middle of a logon by NTLM, which is bound to its connection: a box on the way \
         ends each connection after one response{}.",
        culprit(check)
    );
    let conclusion = Conclusion::likely(Phase::GatewayAuth, summary);
    Some(conclusion.seen(0, "the response that asks for NTLM's next message announces or brings the end"))
}

fn healthy(facts: &Facts<'_>) -> Option<Conclusion> {
    let (probe, check) = checks(facts)?;
    if !shows_itself(check) {
        return None;
    }
    let has_tunnel = |packet: &Packet| matches!(packet, Packet::TunnelResponse { .. });
    let packets = || check.tunnels.iter().flat_map(|tunnel| &tunnel.packets);
    let schemes = check.logon.as_ref().map(|logon| logon.schemes.clone()).unwrap_or_default();
    let (how_far, phase) = if packets().any(has_tunnel) {
        ("the tunnel up to where credentials are due".to_owned(), Phase::GatewayTunnel)
    } else if check.tunnels.iter().any(|tunnel| tunnel.pdus.iter().any(|pdu| pdu == "bind_ack")) {
        ("RPC over HTTP up to where credentials are due".to_owned(), Phase::GatewayTunnel)
    } else if packets().next().is_some() {
        ("the handshake of the tunnel".to_owned(), Phase::GatewayTunnel)
    } else if check.logon.as_ref().is_some_and(|logon| logon.challenge.is_some()) {
        ("the logon up to the gateway's challenge".to_owned(), Phase::GatewayAuth)
    } else {
        ("the question for a logon".to_owned(), Phase::GatewayHttp)
    };
    let always = probe.flaky.is_empty();
    let but = if always { "" } else { "; not every check had the same answer each time" };
    let summary = format!(
        "Everything up to the logon at the gateway {} works: name, TCP, TLS, HTTP and {how_far}{but}. What is behind the \
         logon, the target among it, a probe cannot know.",
        name(facts)
    );
    // A box that is no Windows may go to the gateway on another connection for each request, which no logon by NTLM
    // survives and no probe sees.
    let is_windows = check
        .request(GatewayRequest::Websocket)
        .and_then(GatewayRequestCheck::response)
        .is_some_and(|response| matches!(Author::of(response), Author::Windows(_)));
    let is_sure = always && (is_windows || speaks(check));
    let confidence = if is_sure { Confidence::Confirmed } else { Confidence::Likely };
    let conclusion = Conclusion::new(confidence, phase, summary);
    let conclusion = match &schemes[..] {
        [] => conclusion,
        schemes => conclusion.seen(0, format!("the gateway offers {}", list(schemes))),
    };
    Some(with_answers(conclusion, check))
}
