//! What else is known: findings, checks of a probe, the gateway, UDP, the session in figures, settings, other causes.

use super::parts::{Place, moment, pairs, scroll};
use crate::report::document::Subject;
use crate::report::live::size;
use crate::report::{Style, probe, time, words};
use crate::trace::{CredsspSummary, Detail, Event, GatewaySummary, Record, Summary, UdpSummary, VerdictId};
use maud::{Markup, html};
use serde::Serialize;
use serde_json::Value;

/// How a probe's checks are worded: everything that is known of them.
const EVERYTHING: Style = Style { color: false, width: 100, verbose: 1, ascii: false };
/// Messages of a gateway in the table; those that follow carry the desktop.
const MOST_OF_GATEWAY: usize = 60;

pub(super) fn findings(record: &Record, place: &Place) -> Markup {
    let content = (!record.findings.is_empty()).then(|| {
        html! {
            p.soft { "True and worth knowing, but not the cause." }
            ul { @for finding in &record.findings { li { span.badge.plain { (finding.phase) } " " (finding.text) } } }
        }
    });
    place.section("findings", "Findings", content)
}

/// What each check of a probe found.
pub(super) fn checks(record: &Record, place: &Place) -> Markup {
    let checks = probe::checks(record, &EVERYTHING);
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for (name, text) in checks {
        match rows.last_mut() {
            Some((_, texts)) if name.is_empty() => texts.push(text),
            _ => rows.push((name.to_owned(), vec![text])),
        }
    }
    place.section(
        "checks",
        "What the checks found",
        (!rows.is_empty()).then(|| pairs("Check by check", &rows)),
    )
}

pub(super) fn gateway(subject: &Subject, place: &Place) -> Markup {
    let record = &subject.record;
    let started = subject.started().map(|at| at.as_microsecond());
    let told: Vec<(&Event, String)> = record
        .events
        .iter()
        .filter(|event| matches!(event.detail, Detail::Gateway(_)))
        .map(|event| (event, words::single(event, subject.target(), started).join("; ")))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let content = (!told.is_empty()).then(|| {
        html! {
            @if let Some(GatewaySummary { packets, .. }) = record.summary.as_ref().and_then(|it| it.gateway.as_ref()) {
                @if !packets.is_empty() {
                    p { "Packets of the tunnel: " (counted(packets)) "." }
                }
            }
            (scroll("Messages of the gateway", gateway_table(&told)))
        }
    });
    place.section("gateway", "The gateway", content)
}

fn counted(packets: &std::collections::BTreeMap<String, u64>) -> String {
    let packets: Vec<String> =
        packets.iter().map(|(name, count)| format!("{count} × {}", name.replace('_', " "))).collect();
    packets.join(", ")
}

fn gateway_table(told: &[(&Event, String)]) -> Markup {
    html! {
        table.stack {
            caption {
                "What was said to the gateway and by it"
                @if told.len() > MOST_OF_GATEWAY { "; " (told.len() - MOST_OF_GATEWAY) " more are in the trace" }
            }
            thead {
                tr {
                    th.number scope="col" { "Time" }
                    th scope="col" { "Connection" }
                    th scope="col" { "Phase" }
                    th scope="col" { "Message" }
                }
            }
            tbody {
                @for (event, text) in told.iter().take(MOST_OF_GATEWAY) {
                    tr {
                        th.number scope="row" { (moment(event.t_us)) }
                        td data-name="Connection" { @if let Some(number) = event.connection { (number) } }
                        td.nowrap data-name="Phase" { (event.phase) }
                        td { (text) }
                    }
                }
            }
        }
    }
}

pub(super) fn udp(record: &Record, place: &Place) -> Markup {
    let udp = record.summary.as_ref().and_then(|summary| summary.udp.as_ref());
    place.section("udp", "UDP", udp.map(|udp| pairs("The side channel over UDP", &udp_rows(udp))))
}

fn udp_rows(udp: &UdpSummary) -> Vec<(String, Vec<String>)> {
    // Serialising our own types into memory cannot fail.
    let values = serde_json::to_value(udp).unwrap_or_default();
    let known = values.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    known.map(|(name, value)| (spaced(name), vec![plain(name, value)])).collect()
}

/// The session in figures.
pub(super) fn summary(record: &Record, place: &Place) -> Markup {
    let rows = record.summary.as_deref().map(summary_rows).unwrap_or_default();
    let content = (!rows.is_empty()).then(|| pairs("What was agreed on and how far it went", &rows));
    place.section("facts", "Facts", content)
}

fn summary_rows(summary: &Summary) -> Vec<(String, Vec<String>)> {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        rows.extend(value.filter(|value| !value.is_empty()).map(|value| (name.to_owned(), vec![value])));
    };
    add("Transport", word(&summary.transport));
    add("Client", summary.client.clone());
    add("Server", summary.server.clone());
    add("Protocols asked for", summary.requested_protocols.as_ref().map(|names| names.join(", ")));
    add("Protocol chosen", summary.selected_protocol.clone());
    add("Failure code", summary.failure_code.map(|code| code.to_string()));
    add("Identity in the cookie", summary.cookie.clone());
    add("Name asked for in TLS", summary.sni.clone());
    add("Client’s highest TLS", summary.tls_client_max.as_deref().map(words::version));
    add("TLS version", summary.tls_version.as_deref().map(words::version));
    add("Cipher suite", joined(&[&summary.cipher, &summary.cipher_id]));
    add("JA3", summary.ja3.clone());
    add("JA4", summary.ja4.clone());
    if let Some(CredsspSummary { version, mechanism, status }) = &summary.credssp {
        add("CredSSP version", version.map(|version| version.to_string()));
        add("CredSSP mechanism", mechanism.clone());
        add("CredSSP status", status.clone());
    }
    add("Error info", summary.error_info.clone());
    add("Gateway’s status", summary.gateway.as_ref().and_then(|gateway| gateway.status.clone()));
    add("Last phase done", summary.reached.map(|phase| phase.id().to_owned()));
    add("Ended by", word(&summary.closed_by));
    add("In which way", word(&summary.how));
    add("Round trip to the server", summary.rtt_us.map(time::short));
    add("Client to server", (summary.bytes_up > 0).then(|| size(summary.bytes_up)));
    add("Server to client", (summary.bytes_down > 0).then(|| size(summary.bytes_down)));
    rows
}

/// The value as JSON names it.
fn word(value: &Option<impl Serialize>) -> Option<String> {
    let value = serde_json::to_value(value.as_ref()?).ok()?;
    value.as_str().map(str::to_owned)
}

fn joined(parts: &[&Option<String>]) -> Option<String> {
    let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_deref()).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

pub(super) fn settings(record: &Record, place: &Place) -> Markup {
    let content = record.header.as_ref().map(|header| {
        let mut rows: Vec<(String, Vec<String>)> = vec![
            ("Session".to_owned(), vec![header.session.clone()]),
            ("Target".to_owned(), vec![header.target.clone()]),
            ("Began".to_owned(), vec![header.started.clone()]),
            ("rdpscope".to_owned(), vec![format!("{}, trace schema {}", header.rdpscope, header.schema)]),
        ];
        rows.extend(
            header
                .settings
                .iter()
                .map(|(name, value)| (format!("--{}", name.replace('_', "-")), vec![plain(name, value)])),
        );
        pairs("How it was recorded", &rows)
    });
    place.section("settings", "Settings", content)
}

/// A value of JSON for people.
fn plain(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if name.ends_with("_us") => {
            number.as_u64().map_or_else(|| number.to_string(), time::short)
        }
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(values) => values.iter().map(|value| plain(name, value)).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn spaced(name: &str) -> String {
    name.trim_end_matches("_us").replace('_', " ")
}

/// What else it could have been, and what it was not.
pub(super) fn possibilities(record: &Record, place: &Place) -> Markup {
    let verdict = record.verdict.as_ref();
    let verdict = verdict.filter(|verdict| !verdict.alternatives.is_empty() || !verdict.ruled_out.is_empty());
    let content = verdict.map(|verdict| {
        html! {
            @if !verdict.alternatives.is_empty() {
                (place.small_part("Also fits"))
                ul { @for other in &verdict.alternatives { li { code { (other.id) } " (" (other.confidence) ")" } } }
            }
            @if !verdict.ruled_out.is_empty() {
                (place.small_part("Ruled out by this session"))
                p { (ids(&verdict.ruled_out)) }
            }
        }
    });
    place.section("possibilities", "What else it could have been", content)
}

fn ids(ids: &[VerdictId]) -> Markup {
    html! {
        @for (place, id) in ids.iter().enumerate() {
            @if place > 0 { ", " }
            code { (id) }
        }
    }
}
