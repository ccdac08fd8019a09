//! Events in plain words.

mod capture;
mod client_log;
mod credssp;
mod gateway;
mod interception;
mod rdp;
mod tcp;
mod tls;
mod x224;

use super::safe;
use crate::explain::{self, Entry, Family};
use crate::trace::{Altered, Detail, Effect, Event, How, Leg, Phase, RdpMessage, Side, UdpMessage};
use std::collections::BTreeMap;

pub(super) use capture::warning as capture_warning;
pub(super) use credssp::{server, skew};
pub(super) use gateway::udp as gateway_udp;
pub(super) use interception::warning;
pub(super) use tls::{certificate, version};

/// What became of bytes that break a format, where rdpscope stood between.
pub(super) const RELAYED: &str = "; relayed all the same";

/// What happened in `events`, the likeliest to matter first; one clause each.
///
/// `target` is what the user named, `host:port`; `started_unix_us` the moment of the events' zero, where it is known.
pub(super) fn describe(events: &[Event], target: &str, started_unix_us: Option<i64>) -> Vec<String> {
    let mut clauses = tcp::describe(events);
    clauses.extend(capture::describe(events));
    clauses.extend(gateway::describe(events));
    clauses.extend(x224::describe(events));
    clauses.extend(tls::describe(events, target));
    clauses.extend(interception::describe(events));
    clauses.extend(credssp::describe(events, started_unix_us));
    clauses.extend(rdp::describe(events));
    clauses.extend(client_log::describe(events));
    let is_other_protocol = |event: &Event| matches!(event.detail, Detail::OtherProtocol { .. });
    if !events.iter().any(is_other_protocol) {
        clauses.extend(events.iter().filter_map(oddity));
    }
    clauses
}

/// One event by itself, also where many of its kind are told by their number alone.
pub(super) fn single(event: &Event, target: &str, started_unix_us: Option<i64>) -> Vec<String> {
    let event = std::slice::from_ref(event);
    let mut clauses = describe(event, target, started_unix_us);
    clauses.extend(by_size(event));
    clauses.extend(stream_end(event).map(str::to_owned));
    clauses
}

/// Which bytes rdpscope changed, and for which setting.
pub(super) fn altered(altered: &Altered) -> String {
    let to = match altered.leg {
        Leg::Client => " to the client",
        Leg::Server => " to the server",
        Leg::Proxy => "",
    };
    let (before, after) = (number(&altered.before), number(&altered.after));
    let Altered { message, structure, field, why, .. } = altered;
    format!("rdpscope changed {structure}.{field} from {before} to {after} in the {message}{to} ({why})")
}

/// The little-endian number of a field, as the specification writes it, or the bytes where they are no such number.
fn number(bytes_hex: &str) -> String {
    match hex::decode(bytes_hex) {
        Ok(bytes) if matches!(bytes.len(), 1 | 2 | 4 | 8) => {
            format!("0x{}", hex::encode(bytes.into_iter().rev().collect::<Vec<u8>>()))
        }
        _ => bytes_hex.to_owned(),
    }
}

/// What a phase that went well has done, where its events need not be told one by one.
pub(super) fn done(phase: Phase) -> Option<&'static str> {
    Some(match phase {
        Phase::Mcs => "client and server told their settings",
        Phase::Channels => "channels joined",
        Phase::Info => "client told who logs on",
        Phase::Licensing => "licensing passed",
        Phase::Capabilities => "capabilities agreed on",
        Phase::Finalization => "desktop made ready",
        _ => return None,
    })
}

/// What the sizes of encrypted records tell, counted.
pub(super) fn by_size(events: &[Event]) -> Option<String> {
    let turns = events.iter().filter(|event| matches!(event.detail, Detail::CredsspTurn { .. })).count();
    let mut names: Vec<(&str, usize)> = Vec::new();
    for event in events {
        let Detail::EncryptedMessage { name, .. } = &event.detail else { continue };
        match names.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => names.push((name, 1)),
        }
    }
    let mut parts = Vec::new();
    if turns > 0 {
        parts.push(format!("{turns} NLA message{}", if turns == 1 { "" } else { "s" }));
    }
    let is_sized =
        |event: &Event| matches!(event.detail, Detail::EarlyUserAuthorizationResult { result: None, .. });
    if events.iter().any(is_sized) {
        parts.push("an authorization result".to_owned());
    }
    parts.extend(names.into_iter().map(|(name, count)| {
        let name = safe::name(&name.replace('_', " "));
        if count == 1 { name } else { format!("{count} x {name}") }
    }));
    if parts.is_empty() { None } else { Some(parts.join(", ")) }
}

/// How a side ended its direction, where that event stands alone.
pub(super) fn stream_end(events: &[Event]) -> Option<&'static str> {
    events.iter().find_map(|event| match event.detail {
        Detail::StreamEnded { how: How::Fin } => Some("FIN"),
        Detail::StreamEnded { how: How::Reset } => Some("RST"),
        _ => None,
    })
}

/// What may happen in any phase.
fn oddity(event: &Event) -> Option<String> {
    let who = event.from.map_or("rdpscope".to_owned(), |side| side.to_string());
    Some(match &event.detail {
        Detail::Malformed { structure, offset, reason, .. } => {
            let (structure, reason) = (safe::name(structure), safe::name(reason));
            format!("{who} sent a broken {structure}: {reason} (offset {offset}){RELAYED}")
        }
        Detail::ObservationStopped { reason } => format!("no longer followed: {}", safe::name(reason)),
        Detail::Captured { packets, dropped, stopped, secrets, .. } => {
            captured(*packets, *dropped, stopped.as_deref(), *secrets)
        }
        Detail::TraceIncomplete { dropped } => format!("the trace lacks {dropped} lines"),
        Detail::Impaired { setting, effect, .. } => {
            let setting = safe::name(setting);
            match effect {
                Effect::Shaped => format!("made worse on request: {setting}"),
                Effect::Stalled => format!("rdpscope lets nothing more pass, on request: {setting}"),
                Effect::Reset => format!("rdpscope resets the connection, on request: {setting}"),
                Effect::Closed => format!("rdpscope closes the connection, on request: {setting}"),
            }
        }
        _ => return None,
    })
}

/// What became of a capture.
fn captured(packets: u64, dropped: u64, stopped: Option<&str>, secrets: bool) -> String {
    let mut text = format!("captured: {packets} packets");
    if secrets {
        text.push_str(" with the secrets of TLS");
    }
    if dropped > 0 {
        text.push_str(&format!(", and {dropped} are missing that came faster than is recorded"));
    }
    if let Some(reason) = stopped {
        text.push_str(&format!("; the capture ends early: {}", safe::name(reason)));
    }
    text
}

/// The side channel, where there is something to tell: whether it went well, and a clause.
pub(super) fn udp(message: &UdpMessage) -> Option<(bool, String)> {
    Some(match message {
        UdpMessage::Established { version, .. } => {
            let version = version.map(|version| format!(" version {version}")).unwrap_or_default();
            (true, format!("RDP-UDP{version} is open"))
        }
        UdpMessage::Unanswered { syn_count, waited_us } => {
            let waited = super::time::short(*waited_us);
            (
                false,
                format!(
                    "client asked {syn_count} times within {waited}, no answer: UDP is blocked on the way"
                ),
            )
        }
        UdpMessage::Silence { side, for_us, after_datagrams } => {
            let silent = super::time::short(*for_us);
            (false, format!("{side} has sent nothing for {silent}, after {after_datagrams} datagrams"))
        }
        UdpMessage::BeginningNotSeen => (true, "RDP-UDP in progress, its beginning was not seen".to_owned()),
        _ => return None,
    })
}

/// The event as something after which `seen_by` ended the session: `the server's certificate`. A side's own last
/// words belong to the ending itself.
pub(super) fn as_moment(event: &Event, seen_by: Side) -> Option<String> {
    if event.from == Some(seen_by) && is_farewell(&event.detail) {
        return None;
    }
    let noun = match &event.detail {
        Detail::ConnectionRequest(_) => "connection request",
        Detail::ConnectionConfirm(_) => "connection confirm",
        Detail::NegotiationFailure(_) => "refusal",
        Detail::ClientHello(_) => "TLS hello",
        Detail::ServerHello(_) => "TLS hello",
        Detail::HelloRetryRequest(_) => "request for another TLS hello",
        Detail::Certificate { .. } => "certificate",
        Detail::Alert(_) => "TLS alert",
        Detail::EncryptedAlert { .. } => "encrypted TLS alert",
        Detail::HandshakeComplete => return Some("the TLS handshake was complete".to_owned()),
        Detail::CredsspTurn { turn, .. } => return Some(format!("NLA message {turn}")),
        Detail::EarlyUserAuthorizationResult { .. } => "authorization result",
        Detail::TsRequest(request) => credssp::noun(request),
        Detail::Rdstls(_) => "RDSTLS message",
        Detail::RdsAad(_) => "Entra ID message",
        Detail::OtherProtocol { .. } => "first bytes",
        Detail::EncryptedMessage { name, .. } => {
            return Some(format!("the {}", safe::name(&name.replace('_', " "))));
        }
        Detail::Rdp(message) => return rdp::as_moment(message, event.from, seen_by),
        Detail::Gateway(message) => {
            let (from, noun) = (event.from?, gateway::noun(message)?);
            let whose = if from == Side::Server { "the gateway's" } else { "the client's" };
            return Some(if from == seen_by { format!("its {noun}") } else { format!("{whose} {noun}") });
        }
        Detail::Connected { .. } => return Some("TCP was connected".to_owned()),
        _ => return None,
    };
    let from = event.from?;
    Some(if from == seen_by { format!("its {noun}") } else { format!("the {from}'s {noun}") })
}

/// Whether with this its sender says that it ends the session.
pub(super) fn is_farewell(detail: &Detail) -> bool {
    match detail {
        Detail::Alert(_) | Detail::EncryptedAlert { .. } => true,
        Detail::Rdp(message) => matches!(**message, RdpMessage::DisconnectProviderUltimatum { .. }),
        _ => false,
    }
}

/// The name of the event in JSON, for the single events of `-v`.
pub(super) fn event_name(detail: &Detail) -> String {
    // Serialising these types into memory cannot fail; without a name the line is still worth its time.
    let json = serde_json::to_value(detail).unwrap_or_default();
    json.get("event").and_then(|name| name.as_str()).unwrap_or_default().to_owned()
}

/// What `code` means in `family`, and in no other.
fn meaning(family: Family, code: u32) -> Option<&'static Entry> {
    let explanation = explain::run(&format!("{}:{code}", family.id()), None).ok()?;
    explanation.meanings.iter().map(|meaning| meaning.entry).find(|entry| entry.code == code)
}

/// Equal clauses once, with their number, in the order of their first.
fn counted(clauses: impl Iterator<Item = String>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut order = Vec::new();
    for clause in clauses {
        let count = counts.entry(clause.clone()).or_default();
        *count += 1;
        if *count == 1 {
            order.push(clause);
        }
    }
    let again = |clause: String| match counts.get(&clause) {
        Some(count) if *count > 1 => format!("{clause} ({count} times)"),
        _ => clause,
    };
    order.into_iter().map(again).collect()
}
