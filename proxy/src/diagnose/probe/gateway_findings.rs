//! What is worth knowing of a gateway that was probed, without being a fault.

use super::super::facts::{Author, Facts};
use super::super::findings::Findings;
use super::super::nla::skew_words;
use super::super::words::{capital, list};
use super::gateway::{asked, is_open, websocket_speaks};
use super::network::{computer_name, is_same_machine, typed_name};
use super::{HelloAnswer, Phase, Probe, VerdictId};
use crate::trace::{
    GatewayAnswer, GatewayCheck, GatewayRequest, GatewayTunnelFailure, GatewayUdpCheck, HttpHeader,
    HttpResponse, Reframing, Transport,
};
use crate::wire::tsgu::{Packet, UDP_TRANSPORT};

/// Adds everything worth knowing of `check`.
pub(super) fn add(facts: &Facts<'_>, probe: &Probe, check: &GatewayCheck, findings: &mut Findings) {
    transports(check, findings);
    front(check, findings);
    logon(facts, probe, check, findings);
    kdc_proxy(check, findings);
    tunnel(check, findings);
    if let Some(udp) = &check.udp {
        side_channel(udp, findings);
    }
}

fn response(check: &GatewayCheck, request: GatewayRequest) -> Option<&HttpResponse> {
    check.request(request)?.response()
}

fn transports(check: &GatewayCheck, findings: &mut Findings) {
    let websocket = response(check, GatewayRequest::Websocket);
    if let Some(response) = websocket.filter(|_| !is_open(check, GatewayRequest::Websocket))
        && is_open(check, GatewayRequest::OutChannel)
    {
        let text = format!(
            "WebSocket is not to be had: {} answers {} where it should be agreed on; clients fall back to two connections.",
            Author::of(response).words(),
            response.status
        );
        findings.add("gateway-websocket-unavailable", Phase::GatewayHttp, text);
    }
    if is_open(check, GatewayRequest::RpcOut) {
        let text = "The gateway takes RPC over HTTP as well, which only clients of old need.";
        findings.add("gateway-rpc-available", Phase::GatewayHttp, text.to_owned());
    }
    if let Some(old) = check.request(GatewayRequest::OldHttp)
        && response(check, GatewayRequest::OldHttp).is_some_and(|it| matches!(it.status, 200 | 401))
    {
        let text = format!("{} passes where the same in HTTP/1.1 does not.", asked(old));
        findings.add("gateway-old-http-passes", Phase::GatewayHttp, text);
    }
    if check.alpn.as_ref().is_some_and(|alpn| alpn.selected.as_deref() == Some("h2")) {
        let text = "Offered HTTP/2 (ALPN h2), the port selects it, as Windows does: a box on the way that offers it to the \
                    gateway cannot pass the gateway's methods on.";
        findings.add("gateway-http2-preferred", Phase::GatewayTls, text.to_owned());
    }
}

/// What stands before the gateway, as far as its responses tell.
fn front(check: &GatewayCheck, findings: &mut Findings) {
    let mut names: Vec<String> = Vec::new();
    for response in check.requests.iter().filter_map(|it| it.response()) {
        let author = Author::of(response);
        let words = author.words();
        if !matches!(author, Author::Windows(_) | Author::Unnamed) && !names.contains(&words) {
            names.push(words);
        }
    }
    if !names.is_empty() {
        let text = format!("Something else than Windows answers for the gateway: {}.", list(&names));
        findings.add("gateway-front", Phase::GatewayHttp, text);
    }
    let has_capital = |header: &HttpHeader| header.name.bytes().any(|letter| letter.is_ascii_uppercase());
    let is_respelled = |it: &&HttpResponse| it.headers.len() > 1 && !it.headers.iter().any(has_capital);
    if response(check, GatewayRequest::Websocket).filter(is_respelled).is_some() {
        let text =
            "No header of the gateway's response has a capital letter: a box on the way has rewritten them.";
        findings.add("gateway-headers-rewritten", Phase::GatewayHttp, text.to_owned());
    }
}

fn logon(facts: &Facts<'_>, probe: &Probe, check: &GatewayCheck, findings: &mut Findings) {
    let Some(logon) = &check.logon else { return };
    let schemes = if logon.schemes.is_empty() { "no scheme at all".to_owned() } else { list(&logon.schemes) };
    findings.add(
        "gateway-schemes",
        Phase::GatewayAuth,
        format!("The gateway offers {schemes} for the logon."),
    );
    if logon.schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("Basic")) {
        let text = "The gateway takes Basic, with which the password is in clear inside TLS: whoever takes TLS apart on the \
                    way reads it.";
        findings.add("gateway-basic-offered", Phase::GatewayAuth, text.to_owned());
    }
    if let Some(failure) = &logon.failure {
        let text = format!("The gateway offers NTLM and did not go on with it: {failure}.");
        findings.add("gateway-ntlm-not-answered", Phase::GatewayAuth, text);
    }
    if let Some(skew) = super::logon::skew_seconds(facts) {
        let words = capital(&skew_words(skew)).replace("The server", "The gateway");
        let text = format!("{words}: too far apart for Kerberos.");
        findings.add_unless_verdict(VerdictId::NlaClockSkew, Phase::GatewayAuth, text);
    }
    let Some(challenge) = &logon.challenge else { return };
    let itself = computer_name(probe);
    let domain = challenge.dns_domain.as_deref().or(challenge.netbios_domain.as_deref());
    let named: Vec<String> = [
        itself.map(|name| format!("calls itself {name}")),
        domain.filter(|domain| !domain.is_empty()).map(|domain| format!("belongs to {domain}")),
        challenge.version.as_ref().map(|version| format!("runs {}", version.words())),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !named.is_empty() {
        findings.add("gateway-identity", Phase::GatewayAuth, format!("The gateway {}.", list(&named)));
    }
    let is_certified = probe.certificate.as_ref().is_some_and(|certificate| certificate.name_matches);
    if let (Some(itself), Some(typed)) = (itself, typed_name(probe))
        && !is_same_machine(itself, typed)
        && !is_certified
    {
        let text = format!("The machine that answered calls itself {itself}, not {typed}.");
        findings.add("other-machine-answered", Phase::GatewayAuth, text);
    }
}

fn kdc_proxy(check: &GatewayCheck, findings: &mut Findings) {
    let Some(asked) = check.request(GatewayRequest::KdcProxy) else { return };
    let text = match &asked.answer {
        GatewayAnswer::Response(response) => match response.status {
            404 | 405 | 410 | 501 | 502..=504 => format!(
                "There is no KDC proxy beside the gateway ({} is answered {}): clients outside reach no domain \
                 controller and log on by NTLM.",
                asked.path, response.status
            ),
            401 | 403 | 407 => return,
            status => format!("There is a KDC proxy beside the gateway: {} answers {status}.", asked.path),
        },
        _ => return,
    };
    findings.add("gateway-kdc-proxy", Phase::GatewayHttp, text);
}

fn tunnel(check: &GatewayCheck, findings: &mut Findings) {
    let is_chunked = check.tunnels.iter().any(|tunnel| tunnel.reframed.contains(&Reframing::Chunked));
    if is_chunked && websocket_speaks(check) {
        let text = "WebSocket works, and over two connections a box on the way puts the OUT channel into chunks, which \
                    FreeRDP of old does not take.";
        findings.add("gateway-out-channel-chunked", Phase::GatewayTunnel, text.to_owned());
    }
    let rpc = check.tunnels.iter().find(|tunnel| tunnel.transport == Transport::GatewayRpc);
    if let Some(failure) = rpc.and_then(|tunnel| tunnel.failure.as_ref()) {
        let why = match failure {
            GatewayTunnelFailure::NotGranted { method, status } => format!("{method} is answered {status}"),
            GatewayTunnelFailure::Silent { after } => format!("nothing comes after {after}"),
            GatewayTunnelFailure::Closed { after, .. } => format!("the connection is ended after {after}"),
        };
        let text = format!(
            "RPC over HTTP is granted, and {why}: clients that fall back to it do not come through. A box on the way that \
             holds a body back until it is whole does that."
        );
        findings.add("gateway-rpc-broken", Phase::GatewayTunnel, text);
    }
    for tunnel in &check.tunnels {
        for packet in &tunnel.packets {
            let Packet::TunnelResponse { capabilities: Some(capabilities), .. } = packet else { continue };
            let udp = if capabilities.value & UDP_TRANSPORT == 0 { "offers no UDP" } else { "offers UDP" };
            let text = format!("The gateway opens a tunnel without a logon and {udp} in it.");
            findings.add("gateway-tunnel-without-logon", Phase::GatewayTunnel, text);
            return;
        }
    }
}

fn side_channel(udp: &GatewayUdpCheck, findings: &mut Findings) {
    let answers = [&udp.with_correlation, &udp.without_correlation];
    let is_answered =
        |answer: &HelloAnswer| !matches!(answer, HelloAnswer::Silent | HelloAnswer::NotReached { .. });
    match answers.map(is_answered) {
        [true, _] => {
            let text = format!("The gateway's side channel answers on UDP {}.", udp.address);
            findings.add("gateway-udp-answers", Phase::Udp, text);
        }
        [false, true] => {
            let text = format!(
                "UDP {} answers a DTLS hello and not one with the bytes that clients put behind it: something on the way \
                 drops what it does not know, and the gateway's side channel is lost.",
                udp.address
            );
            findings.add_unless_verdict(VerdictId::UdpBlocked, Phase::Udp, text);
        }
        [false, false] if answers.iter().any(|answer| **answer == HelloAnswer::Silent) => {
            let text = format!(
                "UDP {} is not answered, blocked or not offered: sessions through the gateway run over TCP alone.",
                udp.address
            );
            findings.add_unless_verdict(VerdictId::UdpBlocked, Phase::Udp, text);
        }
        [false, false] => {
            let text = format!("Nothing listens on UDP {}: sessions run over TCP alone.", udp.address);
            findings.add("udp-off", Phase::Udp, text);
        }
    }
}
