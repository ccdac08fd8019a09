//! What is true of the way through a gateway and worth knowing without being the cause.

use super::super::facts::{Author, Exchange, Facts, Gateway, is_loopback_name};
use super::super::findings::{Findings, GATEWAYS_NAME, shown_for_other_name};
use super::super::inspection::inspector;
use super::super::words::span;
use super::middlebox::{is_respelled, spelling};
use super::transport::transport_words;
use super::udp;
use crate::trace::{Micros, Phase, Reframing, Role, Side, Transport, VerdictId};
use crate::wire::named::Flags;
use crate::wire::tsgu::{Packet, UDP_TRANSPORT};

/// HTTP_TUNNEL_REDIR_ENABLE_ALL and what the bits forbid (MS-TSGU 2.2.5.3.7).
const ENABLE_ALL: u32 = 0x8000_0000;
const DISABLE_ALL: u32 = 0x4000_0000;
const FORBIDDEN: [(u32, &str); 5] = [
    (0x1, "drives"),
    (0x2, "printers"),
    (0x4, "ports"),
    (0x8, "the clipboard"),
    (0x10, "plug and play devices"),
];

/// Adds everything worth knowing of the gateway.
pub(in super::super) fn add(facts: &Facts<'_>, findings: &mut Findings) {
    let Some(gateway) = &facts.gateway else { return };
    other_target(facts, gateway, findings);
    fallback(gateway, findings);
    correlation(gateway, findings);
    altered_on_the_way(gateway, findings);
    policies(gateway, findings);
    side_channel(facts, gateway, findings);
    other_issuer(facts, gateway, findings);
    if let Some(tls) = gateway.last_tls() {
        let mut beside = Findings::beside(findings.verdict());
        shown_for_other_name(tls, GATEWAYS_NAME, &mut beside);
        super::name_in_findings(&mut beside.found);
        findings.found.append(&mut beside.found);
    }
    if let Some(certificate) = gateway.last_tls().and_then(|tls| tls.certificate.as_ref()) {
        if let Some(issuer) = inspector(certificate.chain) {
            let text = format!(
                "The issuer of the gateway's certificate, {issuer}, is one of those that take TLS apart on the way."
            );
            findings.add_unless_verdict(VerdictId::TlsInspected, Phase::GatewayTls, text);
        } else {
            let mut beside = Findings::beside(VerdictId::Healthy);
            super::super::findings::certificate(certificate, &mut beside);
            super::name_in_findings(&mut beside.found);
            findings.found.append(&mut beside.found);
        }
    }
}

/// The client asked the gateway for something else than what rdpscope was told.
fn other_target(facts: &Facts<'_>, gateway: &Gateway<'_>, findings: &mut Findings) {
    let Some(asked) = gateway.asked_for() else { return };
    let (names, port) = asked.what;
    let is_name = |name: &String| {
        name.eq_ignore_ascii_case(&facts.host) || is_loopback_name(name) && is_loopback_name(&facts.host)
    };
    let is_it = names.iter().any(is_name) && port.to_string() == facts.port;
    if facts.host.is_empty() || names.is_empty() || is_it {
        return;
    }
    let text = format!(
        "The client asked the gateway for {}, port {port}, and not for {}:{}, which rdpscope was told: policies go by the \
         name that the client asks for.",
        names.join(", "),
        facts.host,
        facts.port
    );
    findings.add("gateway-other-target", Phase::GatewayChannel, text);
}

/// Connections of one attempt go to one gateway: where they are shown certificates of different issuers, one of the ways is
/// another's.
fn other_issuer(facts: &Facts<'_>, gateway: &Gateway<'_>, findings: &mut Findings) {
    let mut issuers: Vec<&str> = Vec::new();
    for certificate in gateway.tls.values().filter_map(|tls| tls.certificate.as_ref()) {
        if !issuers.contains(&certificate.leaf.issuer.as_str()) {
            issuers.push(&certificate.leaf.issuer);
        }
    }
    if issuers.len() > 1 {
        let text = format!(
            "Connections of this attempt were shown certificates of different issuers ({}): something takes TLS apart on one \
             of the ways to the gateway, or two machines answer for it. `rdpscope probe {{target}} --gateway {{gateway}} \
             --other-path PATH` compares the ways, where PATH is another proxy or address.",
            issuers.join("; ")
        );
        findings.add_unless_verdict(VerdictId::TlsInspected, Phase::GatewayTls, facts.fill(&text));
    }
}

/// A transport that was refused or left before the one that carried the tunnel, and what that cost.
fn fallback(gateway: &Gateway<'_>, findings: &mut Findings) {
    let Some(tunnel) = gateway.tunnels.last() else { return };
    let (chosen, ..) = tunnel.what;
    let of = |exchange: &Exchange<'_>| match exchange.role() {
        Role::Websocket => Some(Transport::GatewayWebsocket),
        Role::OutChannel | Role::InChannel => Some(Transport::GatewayHttp),
        Role::RpcIn | Role::RpcOut => Some(Transport::GatewayRpc),
        Role::KdcProxy | Role::Other => None,
    };
    let other = |exchange: &&Exchange<'_>| of(exchange).is_some_and(|transport| transport != chosen);
    let mut before = gateway.tunnel_exchanges().filter(other);
    let Some(first) = before.next() else { return };
    let last = before.next_back().unwrap_or(first);
    let Some(began) = first.request.map(|request| request.t_us) else { return };
    let next = gateway.tunnel_exchanges().find(|exchange| of(exchange) == Some(chosen));
    let resumed = next.and_then(|exchange| exchange.request).map_or(tunnel.t_us, |request| request.t_us);
    let cost: Micros = resumed.saturating_sub(began);
    let by_us = gateway.refused.iter().any(|refused| Some(refused.what.0) == of(last));
    let why = match (by_us, last.response) {
        (true, _) => "rdpscope refused it, as --gateway-transport asks".to_owned(),
        (false, Some(response)) => {
            format!("it was answered {} by {}", response.what.status, Author::of(response.what).words())
        }
        (false, None) => "it was not answered".to_owned(),
    };
    let text = format!(
        "The client first tried {}: {why}; it fell back to {}, which cost {}.",
        of(last).map_or("another transport", transport_words),
        transport_words(chosen),
        span(cost)
    );
    findings.add("gateway-transport-fallback", Phase::GatewayHttp, text);
}

fn correlation(gateway: &Gateway<'_>, findings: &mut Findings) {
    let id = gateway.exchanges.iter().find_map(|it| it.request?.what.correlation_id.as_deref());
    if let Some(id) = id {
        let text = format!("The correlation id under which the gateway logs this attempt is {id}.");
        findings.add("gateway-correlation-id", Phase::GatewayHttp, text);
    }
}

/// Traces of a box that did no harm, or not the harm that the verdict tells.
fn altered_on_the_way(gateway: &Gateway<'_>, findings: &mut Findings) {
    let responses: Vec<_> = gateway.tunnel_exchanges().filter_map(|exchange| exchange.response).collect();
    if let Some(response) = responses.iter().find(|response| is_respelled(response.what)) {
        let text = format!(
            "A box before the gateway rewrites the names of headers ({}); clients that compare them letter by letter \
             fail.",
            spelling(response.what)
        );
        findings.add("gateway-headers-rewritten", Phase::GatewayHttp, text);
    }
    let mut authors = responses.iter().map(|response| Author::of(response.what));
    if let Some(Author::Via(via)) = authors.find(|author| matches!(author, Author::Via(_))) {
        let text = format!("Responses of the gateway come through the proxy {via} (header Via).");
        findings.add("gateway-behind-proxy", Phase::GatewayHttp, text);
    }
    let chunked = gateway.reframed.iter().find(|it| matches!(it.what.0, Reframing::Chunked));
    if chunked.is_some() {
        let text =
            "A box before the gateway puts the tunnel into chunks, which old clients cannot read.".to_owned();
        findings.add_unless_verdict(VerdictId::GatewayResponseMalformed, Phase::GatewayTunnel, text);
    }
}

/// What the gateway's policies ask of the session.
fn policies(gateway: &Gateway<'_>, findings: &mut Findings) {
    for packet in &gateway.packets {
        match packet.what.1 {
            Packet::TunnelResponse { consent_message: Some(message), .. } if !message.is_empty() => {
                let text = format!(
                    "The gateway shows its users a message to which they have to consent: {message}."
                );
                findings.add("gateway-consent", Phase::GatewayTunnel, text.replace("..", "."));
            }
            Packet::ServiceMessage { text } if !text.is_empty() => {
                let text = format!("The gateway's administrator sent a message: {text}.").replace("..", ".");
                findings.add("gateway-service-message", Phase::GatewayChannel, text);
            }
            Packet::TunnelAuthResponse { redirection, idle_timeout_minutes, .. } => {
                redirections(redirection.as_ref(), findings);
                if let Some(minutes) = idle_timeout_minutes.filter(|minutes| *minutes > 0) {
                    let text = format!("The gateway ends sessions that are idle for {minutes} minute(s).");
                    findings.add("gateway-idle-timeout", Phase::GatewayTunnel, text);
                }
            }
            _ => {}
        }
    }
}

fn redirections(flags: Option<&Flags>, findings: &mut Findings) {
    let Some(flags) = flags.filter(|flags| flags.value & ENABLE_ALL == 0) else { return };
    let forbidden: Vec<&str> =
        FORBIDDEN.iter().filter(|(bit, _)| flags.value & bit != 0).map(|(_, name)| *name).collect();
    let what = match (flags.value & DISABLE_ALL != 0, forbidden.as_slice()) {
        (true, _) => "everything".to_owned(),
        (false, []) => return,
        (false, forbidden) => forbidden.join(", "),
    };
    let text = format!("The gateway's policy forbids to redirect {what} into the session.");
    findings.add("gateway-redirection-forbidden", Phase::GatewayTunnel, text);
}

fn side_channel(facts: &Facts<'_>, gateway: &Gateway<'_>, findings: &mut Findings) {
    if let Some((what, _)) = udp::is_blocked(facts) {
        let text = format!("UDP through the gateway is blocked: {what}, so the session runs over TCP alone.");
        findings.add_unless_verdict(VerdictId::UdpBlocked, Phase::Udp, text);
    } else if let Some((what, _)) = udp::is_half_open(facts) {
        findings.add_unless_verdict(VerdictId::UdpHalfOpen, Phase::Udp, format!("{what}."));
    }
    let asked = gateway.packet(Side::Client, |packet| match packet {
        Packet::TunnelCreate { capabilities, .. } => Some(capabilities.contains(UDP_TRANSPORT)),
        _ => None,
    });
    let granted = gateway.packet(Side::Server, |packet| match packet {
        Packet::ChannelResponse { status, udp_port, .. } if status.value == 0 => Some(*udp_port),
        _ => None,
    });
    let (Some(asked), Some(granted)) = (asked, granted) else { return };
    let text = match (asked.what, granted.what) {
        (true, Some(port)) => format!("The gateway offers its side channel over UDP, port {port}."),
        (true, None) => {
            "The client can do UDP through the gateway, and the gateway offers none: the session runs over TCP alone."
                .to_owned()
        }
        (false, _) => return,
    };
    findings.add("gateway-udp", Phase::GatewayChannel, text);
}
