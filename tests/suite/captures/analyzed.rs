//! What `rdpscope analyze --json` says of whole capture files, field by field against what another analyser says of them.

use super::comparison::Comparison;
use super::credssp;
use super::truth::{compare_rdp, compare_tls, compare_udp_flow, compare_x224};
use crate::analyze::program::{Attempt, analyze};
use crate::support::captures::{self, Conversation, Observed};
use rdpscope::trace::{CaptureMessage, Detail, Event, TcpEvidence, UdpMessage};
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn the_program_agrees_with_another_analyser_in_every_field() {
    let Some(folder) = captures::folder() else { return };
    let mut comparison = Comparison::default();
    for (name, truth) in captures::truths(&folder) {
        let file = folder.join(truth["file"].as_str().expect("the capture's name"));
        let attempts = attempts(&file, truth["secrets"].as_array());
        for row in truth["conversations"].as_array().expect("conversations") {
            if let Some(stream) = row["stream"].as_u64() {
                comparison.at(&format!("{name}.{stream}"));
                compare_tcp(&mut comparison, &attempts, row, stream);
                comparison.say("");
            }
            if let Some(stream) = row["udp_stream"].as_u64() {
                comparison.at(&format!("{name}.udp.{stream}"));
                compare_udp(&mut comparison, &attempts, row, stream);
                comparison.say("");
            }
        }
    }
    comparison.finish();
}

/// What the program says of the file, with the secrets that lie beside it.
fn attempts(file: &Path, _secrets: Option<&Vec<Value>>) -> Vec<Attempt> {
    let key = file.with_file_name("server.key");
    let arguments = if key.exists() { vec!["--key".into(), key.into_os_string()] } else { Vec::new() };
    analyze(&[file], &arguments).attempts
}

/// The attempt that a stream belongs to, and which of its connections it is, from 1.
fn attempt_of<'a>(attempts: &'a [Attempt], kind: &str, stream: u64) -> (&'a Attempt, u32) {
    let place = |attempt: &Attempt| {
        let streams = attempt.header()["settings"][kind].as_array().cloned().unwrap_or_default();
        streams.iter().position(|it| *it == json!(stream))
    };
    let found = attempts.iter().find_map(|attempt| Some((attempt, place(attempt)?)));
    let (attempt, place) = found.unwrap_or_else(|| panic!("stream {stream} is in no attempt"));
    (attempt, u32::try_from(place + 1).expect("few connections"))
}

fn compare_tcp(comparison: &mut Comparison, attempts: &[Attempt], row: &Value, stream: u64) {
    let (attempt, number) = attempt_of(attempts, "tcp_streams", stream);
    let is_gateways = attempt.observed.summary.gateway.is_some();
    let is_its = |event: &&Event| !is_gateways || event.connection == Some(number);
    let events: Vec<Event> = attempt.observed.events().filter(is_its).cloned().collect();
    let evidence = evidence(&events);
    if is_gateways {
        assert!(row["kind"] != "rdp", "{row}");
    } else {
        let address = |name: &str| row[name].as_str().and_then(|text| text.split_once(' '));
        let address = |name| address(name).map(|(ip, port)| format!("{ip}:{port}"));
        let summary = &attempt.observed.summary;
        comparison.field("client", &summary.client, &json!(address("client")));
        comparison.field("server", &summary.server, &json!(address("server")));
        compare_end(comparison, attempt, row);
    }
    compare_below(comparison, &evidence, row);
    let observed = observed(events, (!is_gateways).then_some(attempt));
    let conversation =
        Conversation { name: stream.to_string(), truth: row.clone(), wire: Vec::new(), inside: None };
    compare_x224(comparison, &conversation, &observed);
    compare_tls(comparison, &conversation, &observed);
    compare_rdp(comparison, &conversation, [Some(&observed), None]);
    if !is_gateways && !row["credssp_seen"].is_null() && row["tls_decrypted"] == true {
        credssp::compare(comparison, &conversation, &observed);
    }
}

/// The events with times since the connection's first byte, as the truth has them, and the facts: the program's own, or for
/// one connection of several those that its events tell.
fn observed(mut events: Vec<Event>, whole: Option<&Attempt>) -> Observed {
    let is_speech = |event: &&Event| event.from.is_some() && !matches!(event.detail, Detail::Capture(_));
    let first = events.iter().find(is_speech).map_or(0, |event| event.t_us);
    for event in &mut events {
        event.t_us = event.t_us.saturating_sub(first);
    }
    let mut observed = captures::lines(events, 0);
    if let Some(attempt) = whole {
        observed.summary = attempt.observed.summary.clone();
    }
    observed
}

fn evidence(events: &[Event]) -> TcpEvidence {
    let found = events.iter().find_map(|event| match &event.detail {
        Detail::Capture(CaptureMessage::TcpEvidence(evidence)) => Some((**evidence).clone()),
        _ => None,
    });
    found.expect("what TCP shows is told of each connection")
}

fn compare_below(comparison: &mut Comparison, evidence: &TcpEvidence, row: &Value) {
    comparison.field("syn_count", evidence.syns, &row["syn_count"]);
    let nothing = json!(0.0);
    if evidence.syns > 0 {
        comparison.time("syn_to_synack_ms", evidence.syn_answer_us, &row["syn_to_synack_ms"], &nothing);
    }
    let sum = |counts: [u64; 2]| counts.iter().sum::<u64>();
    comparison.field("zero_windows", sum(evidence.zero_windows), &row["zero_windows"]);
}

/// Who ended it first, where neither a word in clear nor an alert said so before.
fn compare_end(comparison: &mut Comparison, attempt: &Attempt, row: &Value) {
    let summary = &attempt.observed.summary;
    let told = row["end_of_stream"].as_str().unwrap_or_default();
    let first = told.split(", ").next().unwrap_or_default();
    let (by, how) = match first.split_once(' ') {
        Some((by, "FIN")) => (json!(by), json!("fin")),
        Some((by, "RST")) => (json!(by), json!("reset")),
        _ => (Value::Null, Value::Null),
    };
    let found = json!(summary.how);
    if found != "mcs-ultimatum" && found != "alert" {
        comparison.field("closed_by", summary.closed_by, &by);
        comparison.field("how", found, &how);
    }
}

fn compare_udp(comparison: &mut Comparison, attempts: &[Attempt], row: &Value, stream: u64) {
    let (attempt, _) = attempt_of(attempts, "udp_streams", stream);
    let messages: Vec<UdpMessage> = attempt
        .observed
        .events()
        .filter_map(|event| match &event.detail {
            Detail::Udp(message) => Some(message.clone()),
            _ => None,
        })
        .collect();
    let summary = attempt.observed.summary.udp.as_ref().expect("a summary of UDP");
    compare_udp_flow(comparison, row, summary, &messages);
}
