//! WebSocket and the methods of the gateway, refused or swallowed on the way.

use super::super::facts::{Author, Exchange, Facts, Gateway, header};
use super::super::rule::{Conclusion, Remedy, Rule};
use super::super::words::{SECOND, span};
use super::reach::with_answers;
use super::{PROBE, VARY_TRANSPORT, rule, unless};
use crate::trace::{How, Micros, Phase, Role, Side, Transport, VerdictId, Where};

/// What refuses a method does so at once; so much later it is a time-out.
const AT_ONCE_US: Micros = 2 * SECOND;
/// A gateway answers a head or a handshake within a round trip; nobody waits so long for nothing.
pub(super) const HUNG_US: Micros = 5 * SECOND;
/// Statuses that have another meaning than a refusal of the method: the tunnel, a logon, a gateway that is missing.
const NO_REFUSAL: [u16; 4] = [100, 101, 200, 401];

pub(super) const RULES: &[Rule] = &[
    unless(
        rule(
            VerdictId::GatewayTransportBlocked,
            "requests for a tunnel, and how they were answered or left without an answer",
            blocked,
            VARY_TRANSPORT,
            &[
                Remedy::by_hand(
                    Where::Network,
                    "Let the box that answers pass the methods RDG_OUT_DATA and RDG_IN_DATA and the header `Upgrade: \
                     websocket` on to {gateway}; haproxy does with `mode http` and no rule on methods, nginx with \
                     `proxy_http_version 1.1` and the headers Upgrade and Connection set, which lets WebSocket pass.",
                ),
                Remedy::by_hand(
                    Where::Network,
                    "Or let it pass TLS to {gateway} through without opening it.",
                ),
                Remedy::command(
                    Where::Client,
                    "Until then let the client use RPC over HTTP, if the box lets that pass; it holds for new \
                     connections, and the value 0 takes it back.",
                    "reg add \"HKCU\\Software\\Microsoft\\Terminal Server Client\" /v RDGClientTransport /t REG_DWORD \
                     /d 1 /f",
                ),
            ],
        ),
        &[VerdictId::Healthy, VerdictId::GatewayUnreachable, VerdictId::GatewayNotAGateway],
    ),
    rule(
        VerdictId::ClientClosed,
        "a refusal of rdpscope's own, as --gateway-transport asks for, and no other transport after it",
        refused_by_us,
        PROBE,
        &[],
    ),
];

fn blocked(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway_without_channel().filter(|gateway| !gateway.speaks())?;
    let conclusion = proxy_wants_a_logon(gateway)
        .or_else(|| refused(gateway))
        .or_else(|| stripped(gateway))
        .or_else(|| answered_in_http_2(gateway))
        .or_else(|| cut(facts, gateway))
        .or_else(|| hung(facts, gateway))?;
    Some(with_answers(conclusion, gateway))
}

/// 407 comes from a proxy, never from a gateway (RFC 9110 15.5.8).
fn proxy_wants_a_logon(gateway: &Gateway<'_>) -> Option<Conclusion> {
    let (exchange, _) = gateway.last_answered().filter(|(_, response)| response.what.status == 407)?;
    let summary = format!(
        "A proxy on the way to {} wants a logon of its own and lets {} not pass without it.",
        gateway.name,
        exchange.asked()
    );
    Some(Conclusion::confirmed(Phase::GatewayHttp, summary))
}

/// Who answers a request in HTTP/1.1 with the settings of HTTP/2 speaks nothing else.
fn answered_in_http_2(gateway: &Gateway<'_>) -> Option<Conclusion> {
    let t_us = gateway.http2?;
    let mut asked = gateway.tunnel_exchanges().filter(|exchange| exchange.request.is_some());
    let first = asked.next()?;
    if first.response.is_some() || asked.any(|exchange| exchange.response.is_some()) {
        return None;
    }
    let summary = format!(
        "What answers as {} speaks HTTP/2 alone, in which a gateway's methods do not exist: it is a box before the \
         gateway, and answers {} in HTTP/1.1 with settings of HTTP/2.",
        gateway.name,
        first.asked()
    );
    let conclusion = Conclusion::likely(Phase::GatewayHttp, summary);
    let conclusion = conclusion.or_possibly(&[VerdictId::GatewayNotAGateway]);
    Some(conclusion.seen(t_us, "a request in HTTP/1.1 is answered in HTTP/2 (SETTINGS)"))
}

fn refused(gateway: &Gateway<'_>) -> Option<Conclusion> {
    let (exchange, response) = gateway.last_answered()?;
    let status = response.what.status;
    let is_page = status == 200 && exchange.role() == Role::Websocket && gateway.tunnels.is_empty();
    if NO_REFUSAL.contains(&status) && !is_page {
        return None;
    }
    let author = Author::of(response.what);
    let itself = gateway_itself(gateway).filter(|itself| *itself != author);
    let what = match exchange.role() {
        Role::Websocket => "WebSocket to the gateway",
        Role::RpcIn | Role::RpcOut => "RPC over HTTP to the gateway",
        _ => "HTTP to the gateway",
    };
    let beside = match &itself {
        Some(itself) => format!("; the gateway itself answers as {}", itself.words()),
        None => String::new(),
    };
    let summary = format!(
        "{what} is refused by {}: {} {}{beside}.",
        author.words(),
        exchange.asked_and_answered(),
        response.what.reason.trim(),
    );
    let conclusion = match itself {
        Some(_) => Conclusion::confirmed(Phase::GatewayHttp, summary),
        None => Conclusion::likely(Phase::GatewayHttp, summary),
    };
    let no_sign = !gateway.shows_itself();
    Some(if no_sign { conclusion.or_possibly(&[VerdictId::GatewayNotAGateway]) } else { conclusion })
}

/// Who answers where the gateway asks for a logon or opens a tunnel.
fn gateway_itself(gateway: &Gateway<'_>) -> Option<Author> {
    let is_its_own = |exchange: &&Exchange<'_>| {
        exchange.response.is_some_and(|it| it.what.status == 401 && !it.what.challenges.is_empty())
    };
    let response = gateway.tunnel_exchanges().find(is_its_own)?.response?;
    Some(Author::of(response.what))
}

/// A 101 without what makes it one (RFC 6455 4.2.2).
fn stripped(gateway: &Gateway<'_>) -> Option<Conclusion> {
    let (_, response) = gateway.last_answered().filter(|(_, response)| response.what.status == 101)?;
    let missing = ["Upgrade", "Connection", "Sec-WebSocket-Accept"]
        .into_iter()
        .find(|name| !response.what.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name)))?;
    let summary = format!(
        "The gateway's consent to WebSocket was stripped on the way: the 101 has no {missing}, so that the client \
         cannot take it; it comes from {}.",
        Author::of(response.what).words()
    );
    Some(Conclusion::confirmed(Phase::GatewayHttp, summary))
}

/// The connection is cut right after a method that had not been answered on it before.
fn cut(facts: &Facts<'_>, gateway: &Gateway<'_>) -> Option<Conclusion> {
    let last = gateway.tunnel_exchanges().next_back().filter(|last| last.response.is_none())?;
    let request = last.request?;
    let end = gateway.ends.get(&last.connection).filter(|end| end.what.0 == Side::Server)?;
    let after = end.t_us.saturating_sub(request.t_us);
    let was_answered = |it: &Exchange<'_>| it.connection == last.connection && it.response.is_some();
    if after > AT_ONCE_US + facts.impaired.delay_us || gateway.tunnel_exchanges().any(was_answered) {
        return None;
    }
    let how = if end.what.1 == How::Reset { "reset" } else { "closed" };
    let summary = format!(
        "The connection to {} was {how} {} after {}, without an answer: something on the way does not let the \
         gateway's methods pass.",
        gateway.name,
        span(after),
        last.asked()
    );
    let conclusion = match end.what.1 {
        How::Reset => Conclusion::likely(Phase::GatewayHttp, summary),
        _ => Conclusion::possible(Phase::GatewayHttp, summary),
    };
    let conclusion = conclusion.or_possibly(&[VerdictId::GatewayNotAGateway, VerdictId::GatewayUnreachable]);
    Some(conclusion.seen(end.t_us, format!("the gateway's side {how} the connection without an answer")))
}

/// Nothing comes back: no head, or a head and then nothing through WebSocket.
fn hung(facts: &Facts<'_>, gateway: &Gateway<'_>) -> Option<Conclusion> {
    let last = gateway.tunnel_exchanges().next_back()?;
    let patience = HUNG_US + facts.impaired.delay_us;
    if let Some(tunnel) = gateway.tunnels.last() {
        let asked = gateway.packets.iter().find(|packet| packet.what.0 == Side::Client)?.t_us;
        let waited = facts.left_after(asked);
        if tunnel.what.0 != Transport::GatewayWebsocket || waited < patience {
            return None;
        }
        let summary = format!(
            "WebSocket was agreed on with {}, and then nothing came through it for {}: a box on the way lets the 101 \
             pass and not what follows it, or the gateway hangs.",
            gateway.name,
            span(waited)
        );
        let conclusion = Conclusion::likely(Phase::GatewayTunnel, summary);
        let conclusion = conclusion.or_possibly(&[VerdictId::GatewayUnreachable]);
        return Some(
            conclusion.seen(asked, "the client begins the tunnel (handshake_request); no answer came"),
        );
    }
    let request = last.request.filter(|_| last.response.is_none())?;
    let waited = facts.left_after(request.t_us);
    let was_answered = gateway.last_answered().is_some();
    if waited < patience
        || last.role() != Role::Websocket && (was_answered || last.role() == Role::OutChannel)
    {
        return None;
    }
    let summary = format!(
        "{} to {} was not answered within {}: something on the way swallows it, or the answer to it, or the \
         gateway hangs.",
        last.asked(),
        gateway.name,
        span(waited)
    );
    let conclusion = match last.role() {
        Role::Websocket => Conclusion::likely(Phase::GatewayHttp, summary),
        _ => Conclusion::possible(Phase::GatewayHttp, summary),
    };
    let conclusion =
        conclusion.or_possibly(&[VerdictId::GatewayResponseMalformed, VerdictId::GatewayUnreachable]);
    Some(conclusion.seen(request.t_us, format!("{}; no answer came", request_words(last))))
}

/// What the client asked, with what makes it WebSocket.
pub(super) fn request_words(exchange: &Exchange<'_>) -> String {
    let upgrade = exchange.request.and_then(|request| header(&request.what.headers, "Upgrade"));
    match upgrade {
        Some(upgrade) => format!("the client asks {} with `Upgrade: {upgrade}`", exchange.asked()),
        None => format!("the client asks {}", exchange.asked()),
    }
}

fn refused_by_us(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway_without_channel()?;
    let refused = gateway.refused.last()?;
    let (transport, status) = refused.what;
    let later =
        gateway.exchanges.iter().any(|it| it.request.is_some_and(|request| request.t_us > refused.t_us));
    if later {
        return None;
    }
    let summary = format!(
        "rdpscope refused {} with {status}, as --gateway-transport asks, and the client tried no other transport; that \
         says nothing of the gateway.",
        transport_words(transport)
    );
    let conclusion = Conclusion::confirmed(Phase::GatewayHttp, summary);
    Some(conclusion.seen(refused.t_us, format!("rdpscope answers the client {status}")))
}

/// What carries a tunnel, for people.
pub(super) fn transport_words(transport: Transport) -> &'static str {
    match transport {
        Transport::GatewayWebsocket => "WebSocket",
        Transport::GatewayHttp => "HTTP over two connections",
        Transport::GatewayRpc => "RPC over HTTP",
        Transport::Tcp | Transport::Udp => "a direct connection",
    }
}
