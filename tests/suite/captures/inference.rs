//! What sizes of encrypted records tell, against what stood inside.

use crate::support::captures::{self, Conversation, Observed, Piece};
use rdpscope::observe::rdp::RdpObserver;
use rdpscope::trace::{Detail, Phase, RdpMessage, Side};
use serde_json::json;
use std::collections::BTreeMap;

/// A message by its name, when it was whole, and who sent it.
pub(super) type Message = (String, u64, Side);

/// What the observers infer of the connection sequence.
pub(super) fn inferred(observed: &Observed) -> Vec<Message> {
    let of_event = |detail: &Detail| match detail {
        Detail::CredsspTurn { .. } => Some("ts_request"),
        Detail::EarlyUserAuthorizationResult { .. } => Some("early_user_authorization_result"),
        Detail::EncryptedMessage { name, .. } if name.starts_with("license_") => Some("license"),
        Detail::EncryptedMessage { name, .. } => Some(name.as_str()).map(leak),
        Detail::SessionTraffic => Some("active"),
        _ => None,
    };
    let inferred = observed.events().filter(|event| event.inferred);
    inferred
        .filter_map(|event| Some((of_event(&event.detail)?.to_owned(), event.t_us, event.from?)))
        .collect()
}

fn leak(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

/// The messages of the connection sequence in a decrypted stream, up to the Font Map; their times are those at which
/// their frames stand on the wire.
fn real(conversation: &Conversation, inside: &[Piece]) -> Vec<Message> {
    let on_the_wire: BTreeMap<u64, u64> =
        conversation.wire.iter().map(|piece| (piece.frame, piece.t_us)).collect();
    let mut observer = RdpObserver::new(true);
    let mut messages = Vec::new();
    let mut connecting = false;
    for piece in inside {
        let t_us = on_the_wire[&piece.frame];
        let mut say = |name: &str| messages.push((name.to_owned(), t_us, piece.from));
        connecting |= piece.bytes.starts_with(&[3, 0]);
        if !connecting {
            say(if piece.bytes.len() == 4 { "early_user_authorization_result" } else { "ts_request" });
            continue;
        }
        let mut told = Vec::new();
        observer.data(piece.from, &piece.bytes, &mut told);
        for message in told {
            if is_connecting(&message) {
                let json = json!(message);
                say(json["event"].as_str().expect("a name"));
            }
            if message == RdpMessage::FontMap {
                say("active");
                return messages;
            }
        }
    }
    messages
}

fn is_connecting(message: &RdpMessage) -> bool {
    let phase = rdpscope::observe::rdp::phase(message);
    phase.is_some_and(|phase| (Phase::Mcs..=Phase::Finalization).contains(&phase))
}

#[test]
fn what_sizes_tell_is_what_was_inside() {
    let Some(folder) = captures::folder() else { return };
    let mut compared = 0;
    for (name, truth) in captures::truths(&folder) {
        for conversation in captures::conversations(&folder, &name, &truth) {
            let Some(inside) = &conversation.inside else { continue };
            let observed = captures::observe(&conversation.wire);
            let is_rdp = conversation.truth["kind"] == "rdp";
            let real = if is_rdp { real(&conversation, inside) } else { Vec::new() };
            let inferred = inferred(&observed);
            for (place, pair) in inferred.iter().zip(&real).enumerate() {
                assert_eq!(pair.0, pair.1, "{}: message {place}", conversation.name);
            }
            assert_eq!(inferred.len(), real.len(), "{}: {inferred:?}", conversation.name);
            println!("{}: {} messages inferred where they were", conversation.name, real.len());
            compared += real.len();
        }
    }
    println!("{compared} messages, each inferred with its name, sender and time");
    assert!(compared > 0);
}

#[test]
fn dump() {
    let Some(folder) = captures::folder() else { return };
    for (name, truth) in captures::truths(&folder) {
        for conversation in captures::conversations(&folder, &name, &truth) {
            if conversation.inside.is_some() { continue }
            let observed = captures::observe(&conversation.wire);
            println!("## {}", conversation.name);
            for m in inferred(&observed) { println!("   {m:?}"); }
        }
    }
    for file in captures::files(&folder.join("lab")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with("pcapng") || name.starts_with("rdpeudp") { continue }
        let readme = std::fs::read_to_string(folder.join("lab/README.md")).unwrap();
        let stem = name.trim_end_matches(".pcapng");
        let row = readme.lines().find(|l| l.starts_with(&format!("| {stem} |"))).unwrap();
        let ports: Vec<u16> = row.split('|').nth(2).unwrap().split(',').map(|p| p.trim().parse().unwrap()).collect();
        let packets = crate::support::pcap::packets(&file);
        for port in ports {
            for (i, pieces) in captures::reassemble(&packets, port).iter().enumerate() {
                let observed = captures::observe(pieces);
                println!("## {name} {port} {i}: {:?} {:?} {:?} {:?} reached {:?}", observed.summary.requested_protocols, observed.summary.selected_protocol, observed.summary.tls_version, observed.summary.failure_code, observed.summary.reached);
                for m in inferred(&observed) { println!("   {m:?}"); }
            }
        }
    }
}
