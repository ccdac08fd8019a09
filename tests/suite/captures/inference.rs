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
    let name = |detail: &Detail| match detail {
        Detail::CredsspTurn { .. } => Some("ts_request".to_owned()),
        Detail::EarlyUserAuthorizationResult { .. } => Some("early_user_authorization_result".to_owned()),
        Detail::EncryptedMessage { name, .. } if name.starts_with("license_") => Some("license".to_owned()),
        Detail::EncryptedMessage { name, .. } => Some(name.clone()),
        Detail::SessionTraffic => Some("active".to_owned()),
        _ => None,
    };
    let inferred = observed.events().filter(|event| event.inferred);
    inferred.filter_map(|event| Some((name(&event.detail)?, event.t_us, event.from?))).collect()
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
            let is_active = real.iter().any(|(message, ..)| message == "active");
            assert_eq!(observed.summary.reached == Some(Phase::Active), is_active, "{}", conversation.name);
            assert_eq!(inferred.len(), real.len(), "{}: {inferred:?}", conversation.name);
            println!("{}: {} messages inferred where they were", conversation.name, real.len());
            compared += real.len();
        }
    }
    println!("{compared} messages, each inferred with its name, sender and time");
    assert!(compared > 0);
}

/// How many TSRequests a conversation has, where it comes to, and the frame with the Font Map, where TLS was not opened:
/// by hand, from the sizes that MS-RDPBCGR and MS-CSSP prescribe.
const UNOPENED: [(&str, usize, Phase, Option<u64>); 4] = [
    (
        "microsoft-prot-od-netcaps__MS-RDSOD_Example_1_Win10RS3_x64_WS2016RS1_X64_Domain.pcap.0",
        5,
        Phase::Active,
        Some(64),
    ),
    ("ndpi__rdp.pcap.0", 5, Phase::Tls, None),
    ("zeek__rdp-to-ssl.pcap.0", 4, Phase::Tls, None),
    ("zeek__rdp-to-ssl.pcap.1", 5, Phase::Active, Some(74)),
];

#[test]
fn sessions_that_nobody_can_open_come_as_far_as_they_came() {
    let Some(folder) = captures::folder() else { return };
    let mut found = 0;
    for (name, truth) in captures::truths(&folder) {
        for conversation in captures::conversations(&folder, &name, &truth) {
            let expected = UNOPENED.iter().find(|(name, ..)| *name == conversation.name);
            let Some((name, turns, reached, font_map)) = expected else { continue };
            let observed = captures::observe(&conversation.wire);
            assert_eq!(observed.summary.reached, Some(*reached), "{name}");
            assert_active(name, &observed, &conversation.wire, *font_map);
            let inferred = inferred(&observed);
            let requests = inferred.iter().filter(|(message, ..)| message == "ts_request").count();
            assert_eq!(requests, *turns, "{name}");
            println!("{name}: reached {reached}, {turns} TSRequests");
            found += 1;
        }
    }
    assert_eq!(found, UNOPENED.len());
}

/// Fails unless the session became active with the frame that holds the Font Map, or did not where there is none.
pub(super) fn assert_active(name: &str, observed: &Observed, wire: &[Piece], font_map: Option<u64>) {
    let expected = font_map.map(|frame| {
        let piece = wire.iter().find(|piece| piece.frame == frame);
        piece.unwrap_or_else(|| panic!("{name} has no frame {frame}")).t_us
    });
    let active = inferred(observed).into_iter().find(|(message, ..)| message == "active");
    assert_eq!(active.map(|(_, t_us, _)| t_us), expected, "{name}: when it became active");
}
