//! The X.224 negotiation in words.

use super::{counted, meaning};
use crate::explain::Family;
use crate::report::safe;
use crate::trace::{Detail, Event};
use crate::wire::x224::{ConnectionConfirm, ConnectionRequest, NegotiationFailure};

pub(super) fn describe(events: &[Event]) -> Vec<String> {
    let mut clauses = Vec::new();
    let mut negotiation = Vec::new();
    let mut anomalies = Vec::new();
    for event in events {
        match &event.detail {
            Detail::ConnectionRequest(request) => {
                negotiation.push(asked(request));
                anomalies.extend(&request.anomalies);
            }
            Detail::ConnectionConfirm(confirm) => {
                negotiation.push(chose(confirm));
                anomalies.extend(&confirm.anomalies);
            }
            Detail::NegotiationFailure(failure) => {
                negotiation.push(refused(failure));
                anomalies.extend(&failure.anomalies);
            }
            Detail::PreconnectionPdu(pdu) => {
                let blob = match &pdu.blob {
                    Some(blob) => format!(" for {}", safe::name(blob)),
                    None if pdu.blob_length > 0 => format!(" with {} characters", pdu.blob_length),
                    None => String::new(),
                };
                clauses.push(format!("preconnection PDU{blob}"));
            }
            Detail::DisconnectRequest { reason } => {
                clauses.push(format!("server disconnected (X.224 reason {reason})"))
            }
            Detail::DirectTls => clauses.push("client began with TLS, without asking".to_owned()),
            Detail::OtherProtocol { protocol, first_bytes } => {
                let who = event.from.map(|side| side.to_string()).unwrap_or_default();
                clauses.push(other_protocol(&who, protocol.as_deref(), first_bytes));
            }
            _ => {}
        }
    }
    if !negotiation.is_empty() {
        clauses.insert(0, negotiation.join(", "));
    }
    clauses.extend(counted(anomalies.into_iter().map(|anomaly| format!("odd: {}", safe::name(anomaly)))));
    clauses
}

fn asked(request: &ConnectionRequest) -> String {
    let who =
        request.cookie.as_deref().map(|cookie| format!(" ({})", safe::name(cookie))).unwrap_or_default();
    let routed = if request.routing_token.is_some() { " with a routing token" } else { "" };
    format!("client{who} asked for {}{routed}", protocols(&request.requested_protocol_names))
}

fn chose(confirm: &ConnectionConfirm) -> String {
    format!("server chose {}", protocols(std::slice::from_ref(&confirm.selected_protocol_name)))
}

fn refused(failure: &NegotiationFailure) -> String {
    let name = safe::name(&failure.name);
    match meaning(Family::X224, failure.code) {
        Some(entry) => format!("server refused with {name} ({}): {}", failure.code, entry.meaning),
        None => format!("server refused with {name}"),
    }
}

/// `NLA or TLS (HYBRID_EX)`: in the words of people, strongest first, with the exact name where there are several.
fn protocols(names: &[String]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut exact = None;
    for name in names.iter().rev() {
        let word = match name.as_str() {
            "SSL" => "TLS".to_owned(),
            "HYBRID" | "HYBRID_EX" => {
                exact.get_or_insert(name);
                "NLA".to_owned()
            }
            "RDP" => "RDP security (no TLS)".to_owned(),
            "RDSAAD" => "Entra ID (RDSAAD)".to_owned(),
            other => safe::name(other),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let exact = exact.map(|name| format!(" ({name})")).unwrap_or_default();
    words.join(" or ") + &exact
}

fn other_protocol(who: &str, protocol: Option<&str>, first_bytes: &str) -> String {
    let bytes = hex::decode(first_bytes).unwrap_or_default();
    let printable = bytes.iter().filter(|byte| (0x20..0x7f).contains(*byte)).count();
    let shown = if printable * 2 > bytes.len() {
        format!("\"{}\"", safe::name(&String::from_utf8_lossy(&bytes)))
    } else {
        safe::name(first_bytes)
    };
    format!(
        "{who} does not speak RDP but {}: {shown}",
        protocol.map_or("something else".to_owned(), safe::name)
    )
}
