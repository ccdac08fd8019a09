//! What a box on the way makes of the gateway's responses: other frames, held bytes, other spelling, another version of
//! HTTP.

use super::super::facts::{Author, Exchange, Facts, Gateway, Seen, header};
use super::super::rule::{Conclusion, Remedy, Rule};
use super::super::words::span;
use super::reach::{answer_words, with_answers};
use super::transport::{HUNG_US, request_words, transport_words};
use super::{VARY_TRANSPORT, rule, unless};
use crate::trace::{
    Framing, How, HttpHeader, HttpResponse, Micros, Phase, Reframing, Role, Side, Transport, VerdictId, Where,
};

pub(super) const RULES: &[Rule] = &[unless(
    rule(
        VerdictId::GatewayResponseMalformed,
        "the heads of HTTP, how their bodies are framed, and when the bytes of the tunnel come",
        malformed,
        VARY_TRANSPORT,
        &[
            Remedy::by_hand(
                Where::Network,
                "On the box that answers for {gateway}, let responses pass as they come: in nginx `proxy_buffering off; \
                 proxy_request_buffering off; chunked_transfer_encoding off;` and `proxy_http_version 1.1`, in haproxy \
                 `option http-no-delay` and no `option http-buffer-request`.",
            ),
            Remedy::by_hand(Where::Network, "Or let it pass TLS to {gateway} through without opening it."),
            Remedy::by_hand(
                Where::Network,
                "Where it does WebSocket, forward `Upgrade` and `Connection`: what is inside WebSocket has no body that \
                 could be framed anew.",
            ),
        ],
    ),
    &[
        VerdictId::Healthy,
        VerdictId::GatewayUnreachable,
        VerdictId::GatewayNotAGateway,
        VerdictId::GatewayTransportBlocked,
    ],
)];

fn malformed(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway_without_channel()?;
    let conclusion = reframed(gateway)
        .or_else(|| other_http(facts, gateway))
        .or_else(|| withheld(facts, gateway))
        .or_else(|| endless(facts, gateway))
        .or_else(|| broken_logon(gateway))
        .or_else(|| respelled(facts, gateway))?;
    Some(with_answers(conclusion, gateway))
}

/// Who answered last, for the end of a sentence: `; it is written by nginx`.
fn culprit(gateway: &Gateway<'_>) -> String {
    match gateway.last_answered().map(|(_, response)| Author::of(response.what)) {
        Some(author) => format!("; the answers come from {}", author.words()),
        None => String::new(),
    }
}

fn reframed(gateway: &Gateway<'_>) -> Option<Conclusion> {
    let first = gateway.reframed.first()?;
    let (how, offset) = first.what;
    let what = match how {
        Reframing::Chunked => {
            "put into chunks (Transfer-Encoding: chunked), where a gateway sends its tunnel as it is"
        }
        Reframing::UnannouncedChunks => "given the sizes of chunks in its body without announcing chunks",
        Reframing::Garbage => "mixed with bytes that are no packet of the tunnel",
        Reframing::Truncated => "ended while the tunnel was open",
    };
    let summary =
        format!("The gateway's response was {what}: a box on the way altered it{}.", culprit(gateway));
    let conclusion = match how {
        Reframing::UnannouncedChunks | Reframing::Garbage => {
            Conclusion::confirmed(Phase::GatewayTunnel, summary)
        }
        // Clients of Windows take chunks; an end may be the gateway's own.
        Reframing::Chunked => Conclusion::likely(Phase::GatewayTunnel, summary),
        Reframing::Truncated if gateway.failures().is_empty() && has_length(gateway) => {
            Conclusion::likely(Phase::GatewayTunnel, summary)
        }
        Reframing::Truncated => return None,
    };
    Some(conclusion.seen(first.t_us, format!("{} bytes into the body: {what}", offset)))
}

/// The OUT channel has a length, which a gateway never gives it but for RPC.
fn has_length(gateway: &Gateway<'_>) -> bool {
    gateway.tunnel_exchanges().any(|exchange| {
        let framing = exchange.response.map(|response| (response.what.status, response.what.framing));
        exchange.role() == Role::OutChannel && matches!(framing, Some((200, Framing::Length(_))))
    })
}

fn other_http(facts: &Facts<'_>, gateway: &Gateway<'_>) -> Option<Conclusion> {
    let t_us = gateway.http2.filter(|_| gateway.tunnel_exchanges().next().is_none() && !facts.is_inside())?;
    let summary = format!(
        "What answers as {} insists on HTTP/2, in which a gateway's methods do not exist: it is a box before the \
         gateway.",
        gateway.name
    );
    let conclusion = Conclusion::likely(Phase::GatewayHttp, summary);
    Some(conclusion.or_possibly(&[VerdictId::GatewayNotAGateway]).seen(t_us, "HTTP/2 is agreed on"))
}

/// The bytes are under way and do not come: a box waits for more of them, or for the end.
fn withheld(facts: &Facts<'_>, gateway: &Gateway<'_>) -> Option<Conclusion> {
    let patience = HUNG_US + facts.impaired.delay_us;
    let is_websocket = |tunnel: &Seen<(Transport, u32, Micros)>| tunnel.what.0 == Transport::GatewayWebsocket;
    if gateway.speaks() || gateway.tunnels.last().is_some_and(is_websocket) {
        return None;
    }
    if let Some(late) = gateway.tunnels.iter().find(|tunnel| tunnel.what.2 >= patience) {
        let (transport, _, took) = late.what;
        let summary = format!(
            "The first bytes of the tunnel ({}) came {} after their head: a box on the way holds the response back \
             until it has enough of it{}.",
            transport_words(transport),
            span(took),
            culprit(gateway)
        );
        let conclusion = Conclusion::likely(Phase::GatewayTunnel, summary);
        return Some(conclusion.seen(late.t_us, "the first bytes of the body come"));
    }
    let handshake = gateway.packets.iter().find(|packet| packet.what.0 == Side::Client);
    let in_channel = gateway.tunnel_exchanges().find(|it| matches!(it.role(), Role::InChannel | Role::RpcIn));
    let sent = handshake.map(|packet| packet.t_us).or(in_channel.and_then(|it| Some(it.request?.t_us)));
    if let Some(t_us) = sent.filter(|t_us| facts.left_after(*t_us) >= patience) {
        let summary = format!(
            "The client began the tunnel over two connections and heard nothing for {}: a box on the way holds back \
             what the client sends, or what the gateway answers, until it has more of it{}.",
            span(facts.left_after(t_us)),
            culprit(gateway)
        );
        let conclusion = Conclusion::likely(Phase::GatewayTunnel, summary);
        return Some(conclusion.seen(t_us, "the client sends its first packet; no answer came"));
    }
    let last = gateway.tunnel_exchanges().next_back().filter(|last| last.response.is_none())?;
    let request = last.request.filter(|request| facts.left_after(request.t_us) >= patience)?;
    let asked = last.asked();
    let waited = span(facts.left_after(request.t_us));
    let conclusion = if gateway.last_answered().is_some() {
        let summary = format!(
            "{asked} was not answered within {waited}, although what came before it was: a box on the way holds the \
             response back until it has enough of it{}.",
            culprit(gateway)
        );
        Conclusion::likely(Phase::GatewayHttp, summary)
    } else {
        let summary = format!(
            "{asked} to {} was not answered within {waited}: a box on the way swallows it, or holds the response back \
             until it has enough of it.",
            gateway.name
        );
        Conclusion::possible(Phase::GatewayHttp, summary)
    };
    Some(
        conclusion.or_possibly(&[VerdictId::GatewayTransportBlocked]).seen(request.t_us, request_words(last)),
    )
}

/// A refusal or a question whose end nobody can know: neither a length nor chunks nor the connection's end.
fn endless(facts: &Facts<'_>, gateway: &Gateway<'_>) -> Option<Conclusion> {
    let (exchange, response) = gateway.last_answered()?;
    let what = response.what;
    let was_closed = gateway.ends.get(&exchange.connection).is_some_and(|end| end.what.0 == Side::Server);
    let waited = facts.left_after(response.t_us);
    if what.framing != Framing::UntilClose
        || what.status < 400
        || was_closed
        || waited < HUNG_US + facts.impaired.delay_us
    {
        return None;
    }
    let summary = format!(
        "The response {} {} has neither Content-Length nor chunks and the connection was not closed after it: the \
         client waited {} for its end{}.",
        what.status,
        what.reason.trim(),
        span(waited),
        culprit(gateway)
    );
    let conclusion = Conclusion::likely(Phase::GatewayHttp, summary);
    Some(conclusion.seen(response.t_us, answer_words(exchange)))
}

/// NTLM logs on a connection and not a request (MS-NTHT 3.1.5): one that ends between its messages makes it impossible.
fn broken_logon(gateway: &Gateway<'_>) -> Option<Conclusion> {
    let in_a_round = |exchange: &Exchange<'_>| {
        let asks = |response: &HttpResponse| response.challenges.iter().any(|it| it.token.is_some());
        exchange.response.is_some_and(|response| response.what.status == 401 && asks(response.what))
    };
    let (exchange, response) = gateway.last_answered().filter(|(exchange, _)| in_a_round(exchange))?;
    let says_so =
        header(&response.what.headers, "Connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
    let next = gateway.tunnel_exchanges().find_map(|it| it.request.filter(|next| next.t_us > response.t_us));
    // After the client's next message the end may be the answer to that.
    let ended_before = |end: &&Seen<(Side, How)>| next.is_none_or(|next| end.t_us <= next.t_us);
    let end = gateway.ends.get(&exchange.connection).filter(|end| end.what.0 == Side::Server);
    if !says_so && end.filter(ended_before).is_none() {
        return None;
    }
    let summary = format!(
        "The connection was closed in the middle of a logon by NTLM, which is bound to its connection: a box on the way \
         ends each connection after one response{}.",
        culprit(gateway)
    );
    let conclusion = Conclusion::likely(Phase::GatewayAuth, summary);
    let conclusion =
        conclusion.seen(response.t_us, "the response with NTLM's challenge announces or brings the end");
    Some(conclusion.or_possibly(&[VerdictId::GatewayAuthFailed]))
}

/// Names of headers are the same in any case, and HTTP/1 servers write them with capitals: one that writes none has
/// been through HTTP/2 or a proxy that normalises. By itself that breaks only what is badly written.
fn respelled(facts: &Facts<'_>, gateway: &Gateway<'_>) -> Option<Conclusion> {
    let (_, response) = gateway.last_answered()?;
    let accepted = matches!(response.what.status, 101 | 200);
    let gave_up = facts.ended_by(Side::Client) && !gateway.speaks() && accepted;
    if !gave_up || !is_respelled(response.what) {
        return None;
    }
    let summary = format!(
        "The client gave up after a response whose headers a box on the way has rewritten ({}){}.",
        spelling(response.what),
        culprit(gateway)
    );
    let conclusion = Conclusion::possible(Phase::GatewayHttp, summary);
    Some(conclusion.seen(response.t_us, "no header of the response has a capital letter"))
}

/// Whether no header is written with a capital letter.
pub(super) fn is_respelled(response: &HttpResponse) -> bool {
    let has_capital = |header: &HttpHeader| header.name.bytes().any(|letter| letter.is_ascii_uppercase());
    response.headers.len() > 1 && !response.headers.iter().any(has_capital)
}

/// Some of the names as they are spelled.
pub(super) fn spelling(response: &HttpResponse) -> String {
    let names: Vec<&str> = response.headers.iter().take(3).map(|header| header.name.as_str()).collect();
    names.join(", ")
}
