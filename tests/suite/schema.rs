//! The JSON Schema of the trace is what the types say, and what the observers say of real sessions fits it.

use crate::support::captures::{self, Observed};
use crate::support::pcap::{self, Transport};
use crate::support::schema;
use rdpscope::observe::UdpObserver;
use rdpscope::trace::{Detail, Event, Leg, Line, Phase, SCHEMA_VERSION, Side};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Set to write the schema anew.
const UPDATE_VARIABLE: &str = "UPDATE_SCHEMA";

#[test]
fn the_schema_in_the_repository_is_that_of_the_types() {
    let mut schema = schemars::schema_for!(Line);
    schema.insert("title".to_owned(), json!(format!("a line of trace.jsonl, version {SCHEMA_VERSION}")));
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        std::fs::write(schema::file(), &text).expect("the schema is written");
    }
    let kept = std::fs::read_to_string(schema::file()).unwrap_or_default();
    assert!(
        kept == text,
        "{} is out of date; write it anew with {UPDATE_VARIABLE}=1 cargo test -p rdpscope --test suite schema",
        schema::file().display()
    );
}

#[test]
fn what_is_no_trace_line_breaks_the_schema() {
    let end = json!({
        "type": "end", "t_us": 5, "closed_by": "client", "how": "mcs-ultimatum", "bytes_up": 1, "bytes_down": 2,
    });
    schema::assert_valid(&end);
    for (field, wrong) in
        [("type", json!("ending")), ("how", json!("gone")), ("t_us", json!(-1)), ("bytes_up", json!("1"))]
    {
        let mut line = end.clone();
        line[field] = wrong;
        assert!(!schema::is_valid(&line), "{line}");
    }
    let event = json!({"type": "event", "t_us": 1, "leg": "client", "phase": "x224", "event": "direct_tls"});
    schema::assert_valid(&event);
    for (field, wrong) in [("event", json!("nothing_known")), ("phase", json!("x225")), ("leg", json!(null))]
    {
        let mut line = event.clone();
        line[field] = wrong;
        assert!(!schema::is_valid(&line), "{line}");
    }
}

#[test]
fn lines_of_real_sessions_fit_the_schema_and_survive_json() {
    let Some(folder) = captures::folder() else { return };
    let mut kinds = BTreeMap::new();
    for (name, truth) in captures::truths(&folder) {
        for conversation in captures::conversations(&folder, &name, &truth) {
            check_all(&conversation.name, &captures::observe(&conversation.wire), &mut kinds);
            if let Some(inside) = captures::observe_inside(&conversation) {
                check_all(&conversation.name, &inside, &mut kinds);
            }
        }
        check(
            &name,
            &udp_lines(&folder.join(truth["file"].as_str().expect("the capture's name"))),
            &mut kinds,
        );
    }
    for file in
        captures::files(&folder.join("lab")).iter().filter(|file| file.extension() == Some("pcapng".as_ref()))
    {
        let name = file.display().to_string();
        let packets = pcap::packets(file);
        let ports: BTreeSet<u16> = packets.iter().map(|packet| packet.destination.port()).collect();
        for pieces in
            ports.iter().filter(|port| **port < 20_000).flat_map(|port| captures::reassemble(&packets, *port))
        {
            check_all(&name, &captures::observe(&pieces), &mut kinds);
        }
    }
    println!("{} lines fit the schema and are the same after JSON", kinds.values().sum::<usize>());
    println!("kinds of events: {kinds:?}");
    for kind in [
        "connection_request",
        "certificate",
        "demand_active",
        "credssp_turn",
        "ts_request",
        "font_map",
        "syn",
    ] {
        assert!(kinds.contains_key(kind), "no capture has {kind}");
    }
}

fn check_all(name: &str, observed: &Observed, kinds: &mut BTreeMap<String, usize>) {
    check(name, &observed.lines, kinds);
}

/// Each line against the schema, and through JSON and back.
fn check(name: &str, lines: &[Line], kinds: &mut BTreeMap<String, usize>) {
    for line in lines {
        let text = serde_json::to_string(line).expect("a line is JSON");
        let json: Value = serde_json::from_str(&text).expect("JSON is read");
        schema::assert_valid(&json);
        let back: Line = text.parse().unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        // Not the lines: a certificate's own bytes stand beside the trace, not in it.
        assert_eq!(serde_json::to_string(&back).expect("a line is JSON"), text, "{name}");
        let kind = json["event"].as_str().or(json["type"].as_str()).unwrap_or_default();
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
}

/// What the observers say of every UDP flow of a capture, each datagram as one of its own flow's.
fn udp_lines(file: &Path) -> Vec<Line> {
    let mut flows: BTreeMap<_, UdpObserver> = BTreeMap::new();
    let mut lines = Vec::new();
    for packet in pcap::packets(file).iter().filter(|packet| packet.transport == Transport::Udp) {
        let from = if packet.destination.port() == 3389 { Side::Client } else { Side::Server };
        let ends = [packet.source, packet.destination];
        let flow = (*ends.iter().min().expect("two ends"), *ends.iter().max().expect("two ends"));
        let mut messages = Vec::new();
        let observer = flows.entry(flow).or_default();
        observer.datagram(packet.t_us, from, &packet.payload, &mut messages);
        observer.tick(packet.t_us + 5_000_000, &mut messages);
        lines.extend(messages.into_iter().map(|message| {
            Line::Event(Event {
                t_us: packet.t_us,
                leg: Leg::Client,
                from: Some(from),
                connection: None,
                phase: Phase::Udp,
                inferred: false,
                detail: Detail::Udp(message),
            })
        }));
    }
    lines
}
