//! Events into the facts of a summary.

mod gateway;

use crate::trace::{
    CertificateSummary, ConnectError, CredsspSummary, Detail, Event, Leg, Phase, Side, Summary, Transport,
};
use crate::wire::credssp::TsRequest;
use crate::wire::x224::ConnectionRequest;
use rdpscope_certs::inspect::Certificate;

/// Adds what `event` tells to `summary`.
pub(super) fn note(summary: &mut Summary, event: &Event) {
    note_transport(summary, event.phase);
    if is_of_another_tls(summary, event) {
        return;
    }
    match &event.detail {
        Detail::Accepted { peer, .. } => summary.client = Some(peer.clone()),
        Detail::Connected { address, .. } => summary.server = Some(address.clone()),
        Detail::ConnectFailed { address, error: ConnectError::Refused | ConnectError::Reset, .. } => {
            summary.server.get_or_insert_with(|| address.clone());
        }
        // What was connected to until then was the proxy.
        Detail::UpstreamProxyRefused { .. } => summary.server = None,
        Detail::TcpInfo(info) if event.leg == Leg::Server => summary.rtt_us = info.rtt_us.map(u64::from),
        Detail::ConnectionRequest(request) => note_request(summary, request),
        Detail::ConnectionConfirm(confirm) => {
            summary.selected_protocol = Some(confirm.selected_protocol_name.clone());
        }
        Detail::NegotiationFailure(failure) => summary.failure_code = Some(failure.code),
        // What rdpscope itself says where it terminates TLS is no fact about client or server.
        Detail::ClientHello(hello) if event.from == Some(Side::Client) => {
            summary.sni = hello.server_name.clone();
            summary.tls_client_max = Some(hello.max_version.clone());
            summary.ja3 = Some(hello.ja3.clone());
            summary.ja4 = Some(hello.ja4.clone());
        }
        Detail::ServerHello(hello) if event.from == Some(Side::Server) => {
            summary.tls_version = Some(hello.version.clone());
            summary.cipher = hello.cipher_suite.name.as_deref().map(str::to_owned);
            summary.cipher_id = Some(format!("{:#06x}", hello.cipher_suite.id));
        }
        Detail::Certificate { chain, .. } => {
            summary.certificate = chain.first().map(|first| certificate(first))
        }
        Detail::TsRequest(request) if event.from.is_some() => note_credssp(summary, request),
        Detail::Gateway(message) => gateway::note(summary, message),
        Detail::Rdp(message) => {
            if let Some(code) = message.error_info() {
                summary.error_info = Some(format!("{code:#010x}"));
            }
        }
        _ => {}
    }
}

/// A session is direct until a gateway has to do with it; what carries it then is for the gateway's protocol to tell.
fn note_transport(summary: &mut Summary, phase: Phase) {
    if (Phase::GatewayTcp..=Phase::GatewayChannel).contains(&phase) {
        summary.gateway.get_or_insert_default();
        summary.transport.take_if(|transport| *transport == Transport::Tcp);
    } else if summary.gateway.is_none() {
        summary.transport.get_or_insert(Transport::Tcp);
    }
}

/// With a gateway there are several handshakes of TLS: the summary's is the first with the gateway. Those inside the tunnel
/// and on further connections stay in the events.
fn is_of_another_tls(summary: &Summary, event: &Event) -> bool {
    let is_known = match &event.detail {
        Detail::ClientHello(_) => summary.ja3.is_some(),
        Detail::ServerHello(_) => summary.cipher_id.is_some(),
        Detail::Certificate { .. } => summary.certificate.is_some(),
        _ => return false,
    };
    summary.gateway.is_some() && (is_known || event.phase != Phase::GatewayTls)
}

fn note_request(summary: &mut Summary, request: &ConnectionRequest) {
    summary.requested_protocols = Some(request.requested_protocol_names.clone());
    summary.cookie = request.cookie.clone();
}

fn note_credssp(summary: &mut Summary, request: &TsRequest) {
    let nothing = CredsspSummary { version: None, mechanism: None, status: None };
    let credssp = summary.credssp.get_or_insert(nothing);
    // Each end says its own version, and the lower one is used.
    credssp.version = Some(credssp.version.map_or(request.version, |other| other.min(request.version)));
    if let Some(mechanism) = request.mechanism() {
        credssp.mechanism = Some(mechanism.to_owned());
    }
    if let Some(code) = request.failure() {
        credssp.status = Some(format!("{:#010x}", code.value));
    }
}

fn certificate(certificate: &Certificate) -> CertificateSummary {
    CertificateSummary {
        subject_cn: certificate.subject_cn.clone(),
        issuer_cn: certificate.issuer_cn.clone(),
        sans: certificate.sans.clone(),
        not_before: certificate.not_before.clone(),
        not_after: certificate.not_after.clone(),
        sha1: certificate.sha1.clone(),
        sha256: certificate.sha256.clone(),
        self_signed: certificate.self_signed,
    }
}
