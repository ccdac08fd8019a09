//! Every field of a trace that tshark also knows.

use super::comparison::Comparison;
use super::credssp;
use crate::support::captures::{self, Conversation, Observed};
use crate::support::pcap::{self, Transport};
use rdpscope::observe::UdpObserver;
use rdpscope::trace::{Detail, RdpMessage, Side, Syn, UdpMessage, UdpSummary};
use rdpscope::wire::rdp::security::SEC_INFO_PKT;
use rdpscope::wire::rdpeudp::RecordProtocol;
use rdpscope_certs::inspect::Certificate;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

#[test]
fn the_observers_agree_with_another_analyser_in_every_field() {
    let Some(folder) = captures::folder() else { return };
    let mut comparison = Comparison::default();
    for (name, truth) in captures::truths(&folder) {
        for conversation in captures::conversations(&folder, &name, &truth) {
            comparison.at(&conversation.name);
            let observed = captures::observe(&conversation.wire);
            compare_x224(&mut comparison, &conversation, &observed);
            compare_tls(&mut comparison, &conversation, &observed);
            let inside = captures::observe_inside(&conversation);
            compare_rdp(&mut comparison, &conversation, [Some(&observed), inside.as_ref()]);
            if let Some(inside) = &inside {
                credssp::compare(&mut comparison, &conversation, inside);
            }
            let reached = observed.summary.reached.map_or("nothing", |phase| phase.id());
            comparison.say(&format!(", reached {reached}"));
        }
        let file = folder.join(truth["file"].as_str().expect("the capture's name"));
        for row in truth["conversations"].as_array().expect("conversations") {
            if let Some(stream) = row["udp_stream"].as_u64() {
                comparison.at(&format!("{name}.udp.{stream}"));
                compare_udp(&mut comparison, row, &file);
                comparison.say("");
            }
        }
    }
    comparison.finish();
}

fn detail<T>(observed: &Observed, pick: impl Fn(&Detail) -> Option<&T>) -> Option<(u64, &T)> {
    observed.events().find_map(|event| pick(&event.detail).map(|found| (event.t_us, found)))
}

pub(super) fn compare_x224(comparison: &mut Comparison, conversation: &Conversation, observed: &Observed) {
    let truth = &conversation.truth;
    let summary = &observed.summary;
    let request = detail(observed, |detail| match detail {
        Detail::ConnectionRequest(request) => Some(request),
        _ => None,
    });
    let request = request.map(|(_, request)| request);
    let confirm = detail(observed, |detail| match detail {
        Detail::ConnectionConfirm(confirm) => Some(confirm),
        _ => None,
    });
    let failure = detail(observed, |detail| match detail {
        Detail::NegotiationFailure(failure) => Some(failure),
        _ => None,
    });
    let answered_us = confirm.map(|(t_us, _)| t_us).or(failure.map(|(t_us, _)| t_us));
    let confirm = confirm.map(|(_, confirm)| confirm);
    let failure = failure.map(|(_, failure)| failure);
    let mut field = |name: &str, found: Value| comparison.field(name, found, &truth[name]);

    field("x224_requested_protocols", json!(request.and_then(|request| request.requested_protocols)));
    field("x224_requested_names", json!(summary.requested_protocols));
    field("x224_request_flags", json!(request.and_then(|request| request.flags)));
    field("cookie", json!(summary.cookie));
    field("x224_selected_protocol", json!(confirm.and_then(|confirm| confirm.selected_protocol)));
    field("x224_selected_name", json!(summary.selected_protocol));
    field("x224_confirm_flags", json!(confirm.and_then(|confirm| confirm.flags)));
    field("x224_failure_code", json!(summary.failure_code));
    field("x224_failure_name", json!(failure.map(|failure| &failure.name)));
    let correlation_id = request.and_then(|request| request.correlation_id.as_deref());
    comparison.field("correlation_id", correlation_id, &truth["x224"]["correlation_id"]);
    let x224 = &truth["x224"];
    if request.is_some() {
        comparison.time("x224.confirm_ms", answered_us, &x224["confirm_ms"], &x224["request_ms"]);
    }
}

pub(super) fn compare_tls(comparison: &mut Comparison, conversation: &Conversation, observed: &Observed) {
    let (truth, summary) = (&conversation.truth, &observed.summary);
    comparison.field("tls_client_version_max", &summary.tls_client_max, &truth["tls_client_version_max"]);
    comparison.field("tls_server_version", &summary.tls_version, &truth["tls_server_version"]);
    comparison.field("cipher", &summary.cipher_id, &truth["cipher"]);
    comparison.field("sni", &summary.sni, &truth["sni"]);
    comparison.field("ja3", &summary.ja3, &truth["ja3"]);
    let certificate = summary.certificate.as_ref();
    let subject = certificate.and_then(|certificate| certificate.subject_cn.as_deref());
    comparison.field("cert_subject_cn", subject, &truth["cert_subject_cn"]);
    comparison.field(
        "cert_not_after",
        certificate.map(|certificate| &certificate.not_after),
        &truth["cert_not_after"],
    );
    let tls = &truth["tls"];
    if let Some((_, hello)) = detail(observed, |detail| match detail {
        Detail::ClientHello(hello) => Some(hello),
        _ => None,
    }) {
        let alpn = (!hello.alpn.is_empty()).then(|| hello.alpn.join(","));
        comparison.field("alpn", alpn, &tls["alpn"]);
        comparison.field("client_legacy_version", &hello.legacy_version, &tls["client_legacy_version"]);
        comparison.field("client_record_version", &hello.record_version, &tls["client_record_version"]);
        comparison.field("client_cipher_suites", hello.cipher_suites.len(), &tls["client_cipher_suites"]);
        comparison.field("ja3_full", &hello.ja3_full, &tls["ja3_full"]);
        comparison.field("session_id_length", hello.session_id_length, &tls["client_session_id_length"]);
    }
    let server_hello = detail(observed, |detail| match detail {
        Detail::ServerHello(hello) => Some(hello),
        _ => None,
    });
    comparison.field("ja3s", server_hello.map(|(_, hello)| &hello.ja3s), &truth["ja3s"]);
    let chain = detail(observed, |detail| match detail {
        Detail::Certificate { chain, .. } => Some(chain),
        _ => None,
    });
    compare_chain(comparison, chain.map_or(&[], |(_, chain)| chain), &tls["certificates"]);
    compare_handshake(comparison, conversation, observed);
}

/// tshark's words for extended key usages, and RFC 5280's.
const USAGES: [(&str, &str); 2] =
    [("serverAuth", "TLS Web Server Authentication"), ("clientAuth", "TLS Web Client Authentication")];

fn compare_chain(comparison: &mut Comparison, chain: &[Arc<Certificate>], truth: &Value) {
    let rows = truth.as_array().map_or(&[][..], |rows| rows);
    comparison.field("certificates", chain.len(), &json!(rows.len()));
    for (certificate, truth) in chain.iter().zip(rows) {
        let mut field = |name: &str, found: Value| comparison.field(name, found, &truth[name]);
        field("subject", json!(certificate.subject));
        field("subject_cn", json!(certificate.subject_cn));
        field("issuer_cn", json!(certificate.issuer_cn));
        field("self_issued", json!(certificate.self_issued));
        field("serial", json!(certificate.serial.to_uppercase()));
        field("not_before", json!(certificate.not_before));
        field("not_after", json!(certificate.not_after));
        let key = certificate.key_bits.map(|bits| format!("{}-{bits}", certificate.key_algorithm));
        field("key", json!(key.map(|key| key.replace("RSA", "rsaEncryption"))));
        field("signature_algorithm", json!(certificate.signature_algorithm));
        field("san_dns", json!(certificate.sans));
        let usages = certificate.extended_key_usage.iter().flatten().map(|usage| {
            USAGES.iter().find(|(name, _)| name == usage).map_or(usage.as_str(), |(_, words)| words)
        });
        field("eku", json!(usages.collect::<Vec<_>>()));
        field("sha256", json!(certificate.sha256));
    }
}

/// The clear messages of the handshake, with sender and time.
fn compare_handshake(comparison: &mut Comparison, conversation: &Conversation, observed: &Observed) {
    let found: Vec<(u64, Side, String)> = observed
        .events()
        .filter_map(|event| {
            let name = match &event.detail {
                Detail::ClientHello(_) => "ClientHello".to_owned(),
                Detail::ServerHello(_) => "ServerHello".to_owned(),
                Detail::Certificate { .. } => "Certificate".to_owned(),
                Detail::HandshakeMessage { name, .. } => camel_case(name),
                _ => return None,
            };
            Some((event.t_us, event.from?, name))
        })
        .collect();
    let rows = conversation.truth["tls"]["handshake"].as_array().map_or(&[][..], |rows| rows);
    let clear: Vec<&Value> = rows.iter().filter(|row| row["message"] != "Finished").collect();
    comparison.field("handshake", found.len(), &json!(clear.len()));
    let x224 = &conversation.truth["x224"]["request_ms"];
    let first_byte = match (x224, rows.first()) {
        (Value::Null, Some(hello)) => &hello["ms"],
        _ => x224,
    };
    for ((t_us, from, name), truth) in found.iter().zip(clear) {
        comparison.field("handshake.message", name, &truth["message"]);
        comparison.field("handshake.from", from, &truth["from"]);
        comparison.time(name, Some(*t_us), &truth["ms"], first_byte);
    }
}

fn camel_case(snake_case: &str) -> String {
    let word = |word: &str| word.get(..1).map(|first| first.to_uppercase() + &word[1..]);
    snake_case.split('_').filter_map(word).collect()
}

/// In clear or inside TLS.
pub(super) fn compare_rdp(
    comparison: &mut Comparison,
    conversation: &Conversation,
    observed: [Option<&Observed>; 2],
) {
    let truth = &conversation.truth["rdp"];
    let messages: Vec<RdpMessage> = observed
        .into_iter()
        .flatten()
        .flat_map(Observed::events)
        .filter_map(|event| match &event.detail {
            Detail::Rdp(message) => Some((**message).clone()),
            _ => None,
        })
        .collect();
    compare_settings(comparison, &messages, truth);
    let count = |name: &str| messages.iter().filter(|message| json!(message)["event"] == name).count();
    for (name, truth_name) in [
        ("erect_domain_request", "erectDomainRequest"),
        ("attach_user_request", "attachUserRequest"),
        ("attach_user_confirm", "attachUserConfirm"),
        ("channel_join_request", "channelJoinRequest"),
        ("channel_join_confirm", "channelJoinConfirm"),
        ("disconnect_provider_ultimatum", "disconnectProviderUltimatum"),
    ] {
        comparison.field(name, count(name), &json!(truth[truth_name].as_u64().unwrap_or(0)));
    }
    let is_info = |message: &RdpMessage| match message {
        RdpMessage::ClientInfo(_) => true,
        RdpMessage::Encrypted { flags, .. } => flags.contains(SEC_INFO_PKT.into()),
        _ => false,
    };
    let truly = |name: &str| json!(truth[name].as_bool().unwrap_or(false));
    comparison.field("client_info", messages.iter().any(is_info), &truly("client_info"));
    comparison.field("security_exchange", count("security_exchange") > 0, &truly("security_exchange"));
    let error_infos: Vec<String> = messages
        .iter()
        .filter_map(|message| match message {
            RdpMessage::SetErrorInfo(info) => Some(format!("{:#010x}", info.error_info)),
            _ => None,
        })
        .collect();
    let truth = conversation.truth["derived"]["set_error_info"].clone();
    comparison.field("set_error_info", error_infos, &if truth.is_null() { json!([]) } else { truth });
}

fn compare_settings(comparison: &mut Comparison, messages: &[RdpMessage], truth: &Value) {
    let client = messages.iter().find_map(|message| match message {
        RdpMessage::ConnectInitial(data) => Some(data),
        _ => None,
    });
    comparison.field("connect_initial", client.is_some(), &json!(truth["connect_initial"].is_object()));
    if let Some((data, core)) = client.and_then(|data| Some((data, data.core.as_ref()?))) {
        let truth = &truth["connect_initial"];
        let version = format!("{}.{}", core.version.value >> 16, core.version.value & 0xffff);
        let channels: Vec<&str> = data
            .network
            .iter()
            .flat_map(|network| &network.channels)
            .map(|channel| &channel.name[..])
            .collect();
        let mut field = |name: &str, found: Value| comparison.field(name, found, &truth[name]);
        field("client_build", json!(core.client_build));
        field("client_name", json!(core.client_name));
        field("rdp_version", json!(version));
        field("desktop", json!([core.desktop_width, core.desktop_height]));
        field("keyboard_layout", json!(core.keyboard_layout));
        field("channels", json!(channels));
    }
    let server = messages.iter().find_map(|message| match message {
        RdpMessage::ConnectResponse(response) => Some(&response.data),
        _ => None,
    });
    comparison.field("connect_response", server.is_some(), &json!(truth["connect_response"].is_object()));
    if let Some(security) = server.and_then(|data| data.security.as_ref()) {
        let truth = &truth["connect_response"];
        comparison.field("encryption_method", security.encryption_method.value, &truth["encryption_method"]);
        comparison.field("encryption_level", security.encryption_level.value, &truth["encryption_level"]);
    }
}

fn compare_udp(comparison: &mut Comparison, truth: &Value, file: &Path) {
    let address = |name: &str| {
        let (address, port) = truth[name].as_str().and_then(|text| text.split_once(' ')).expect("an address");
        SocketAddr::new(address.parse().expect("an IP address"), port.parse().expect("a port"))
    };
    let (client, server) = (address("client"), address("server"));
    let (mut observer, mut messages) = (UdpObserver::new(), Vec::new());
    for packet in pcap::packets(file).iter().filter(|packet| packet.transport == Transport::Udp) {
        let from = match (packet.source, packet.destination) {
            ends if ends == (client, server) => Side::Client,
            ends if ends == (server, client) => Side::Server,
            _ => continue,
        };
        observer.datagram(packet.t_us, from, &packet.payload, &mut messages);
    }
    compare_udp_flow(comparison, truth, observer.summary(), &messages);
}

pub(super) fn compare_udp_flow(
    comparison: &mut Comparison,
    truth: &Value,
    summary: &UdpSummary,
    messages: &[UdpMessage],
) {
    let count = |name: &str| json!(truth[name].as_u64().unwrap_or(0));
    comparison.field("packets_client", summary.datagrams_up, &truth["packets_client"]);
    comparison.field("packets_server", summary.datagrams_down, &truth["packets_server"]);
    comparison.field("bytes_client", summary.bytes_up, &truth["bytes_client"]);
    comparison.field("bytes_server", summary.bytes_down, &truth["bytes_server"]);
    comparison.field("client_syn_count", summary.syn_count, &count("client_syn_count"));
    comparison.field("server_syn_count", summary.syn_ack_count, &count("server_syn_count"));
    let known = truth["client_syn"].is_object();
    comparison.field(
        "established",
        summary.established,
        &known.then(|| &truth["established"]).cloned().into(),
    );
    comparison.field("not_rdpeudp", summary.not_rdpeudp, &json!(0));
    if truth["handshake"].is_array() {
        comparison.field("protocol", summary.protocol, &json!(RecordProtocol::Tls));
    }
    for message in messages {
        match message {
            UdpMessage::Syn { syn, correlation_id, .. } => {
                compare_syn(comparison, syn, &truth["client_syn"]);
                comparison.field("correlation_id", correlation_id, &truth["client_syn"]["correlation_id"]);
            }
            UdpMessage::SynAck { syn, .. } => compare_syn(comparison, syn, &truth["server_syn"]),
            _ => {}
        }
    }
}

fn compare_syn(comparison: &mut Comparison, syn: &Syn, truth: &Value) {
    let names = &[
        (0x0001, "SYN"),
        (0x0004, "ACK"),
        (0x0200, "SYNLOSSY"),
        (0x0800, "CORRELATION_ID"),
        (0x1000, "SYNEX"),
    ];
    let flags =
        truth["flags"].as_str().and_then(|hex| u32::from_str_radix(hex.trim_start_matches("0x"), 16).ok());
    let flags = flags.map(|flags| rdpscope::wire::x224::bit_names(flags, names));
    comparison.field("flags", &syn.flags, &json!(flags));
    comparison.field("version", syn.udp_version.map(|version| format!("{version:#06x}")), &truth["version"]);
    comparison.field("lossy", syn.lossy, &truth["lossy"]);
    comparison.field("up_mtu", syn.up_mtu, &truth["up_mtu"]);
    comparison.field("down_mtu", syn.down_mtu, &truth["down_mtu"]);
}
