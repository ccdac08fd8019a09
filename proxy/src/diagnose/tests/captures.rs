//! Sessions that others recorded, and those of the lab, with what is known of them.

// The reader of capture files belongs to all test programs; the observer of UDP has it, too.
#[allow(clippy::duplicate_mod)]
#[path = "../../../../tests/support/pcap.rs"]
mod pcap;

use super::script::Script;
use super::{Diagnosis, may_also_be};
use crate::trace::{Confidence, How, Side, VerdictId};
use pcap::Transport;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

/// One conversation of the ground truth, its bytes, and its end.
fn stream(folder: &Path, name: &str, index: usize) -> Script {
    let text = |file: String| std::fs::read_to_string(folder.join(file)).unwrap();
    let truth: Value = serde_json::from_str(&text(format!("truth/{name}.json"))).unwrap();
    let conversation = &truth["conversations"][index];
    let mut script = Script::connected_at(truth["first_frame_utc"].as_str().unwrap());
    for line in text(format!("streams/{name}.{index}.tcp.jsonl")).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let from = if line["from"] == "client" { Side::Client } else { Side::Server };
        let bytes = hex::decode(line["hex"].as_str().unwrap()).unwrap();
        script = script.at(line["t_us"].as_u64().unwrap()).bytes(from, &bytes);
    }
    for end in conversation["end_of_stream"].as_str().unwrap().split(", ") {
        script = match end {
            "client FIN" => script.end(Side::Client, How::Fin),
            "client RST" => script.end(Side::Client, How::Reset),
            "server FIN" => script.end(Side::Server, How::Fin),
            "server RST" => script.end(Side::Server, How::Reset),
            _ => script,
        };
    }
    script
}

/// Every TCP conversation of a capture file with a server on `port`, in the order in which they began.
fn conversations(file: &Path, port: u16) -> Vec<Script> {
    let mut order = Vec::new();
    let mut conversations: BTreeMap<SocketAddr, Conversation> = BTreeMap::new();
    for packet in pcap::packets(file) {
        let from_client = packet.destination.port() == port;
        if !from_client && packet.source.port() != port {
            continue;
        }
        let client = if from_client { packet.source } else { packet.destination };
        if !conversations.contains_key(&client) {
            order.push(client);
        }
        let side = if from_client { Side::Client } else { Side::Server };
        conversations.entry(client).or_default().packet(side, &packet);
    }
    order.iter().filter_map(|client| conversations.remove(client)).map(|it| it.script.unwrap()).collect()
}

/// A TCP connection put together again. What arrives out of order waits.
struct Conversation {
    script: Option<Script>,
    next: [Option<u32>; 2],
    early: [BTreeMap<u32, Vec<u8>>; 2],
    ended: [bool; 2],
}

impl Default for Conversation {
    fn default() -> Conversation {
        Conversation {
            script: Some(Script::connected()),
            next: [None; 2],
            early: Default::default(),
            ended: [false; 2],
        }
    }
}

impl Conversation {
    fn packet(&mut self, from: Side, packet: &pcap::Packet) {
        let Transport::Tcp { sequence, syn, fin, rst } = packet.transport else { return };
        let side = from.index();
        let next = *self.next[side].get_or_insert(if syn { sequence.wrapping_add(1) } else { sequence });
        if !packet.payload.is_empty() && sequence.wrapping_sub(next) < u32::MAX / 2 {
            self.early[side].insert(sequence, packet.payload.clone());
        }
        let mut script = self.script.take().unwrap().at(packet.t_us);
        while let Some(bytes) = self.next[side].and_then(|next| self.early[side].remove(&next)) {
            self.next[side] = self.next[side].map(|next| next.wrapping_add(bytes.len() as u32));
            script = script.bytes(from, &bytes);
        }
        if (fin || rst) && !std::mem::replace(&mut self.ended[side], true) {
            script = script.end(from, if rst { How::Reset } else { How::Fin });
        }
        self.script = Some(script);
    }
}

#[test]
fn explore() {
    let Some(folder) = pcap::folder("explore") else { return };
    let mut names: Vec<_> = std::fs::read_dir(folder.join("streams")).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).filter(|n| n.ends_with(".tcp.jsonl")).collect();
    names.sort();
    for name in names {
        let base = name.strip_suffix(".tcp.jsonl").unwrap();
        let (name, index) = base.rsplit_once('.').unwrap();
        let script = stream(&folder, name, index.parse().unwrap());
        show(base, script);
    }
    let mut files: Vec<_> = std::fs::read_dir(folder.join("lab")).unwrap().map(|it| it.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "pcapng")).collect();
    files.sort();
    for file in files {
        for port in [13390, 13395, 13399, 13415, 13420] {
            for script in conversations(&file, port) {
                show(&format!("{} {port}", file.file_name().unwrap().to_string_lossy()), script);
            }
        }
    }
}

fn show(name: &str, script: Script) {
    let record = script.record();
    let prompt = super::super::may_be_a_prompt(&record, &crate::trace::Summary::default());
    let diagnosis = super::super::diagnose(&record, &super::super::Context::default());
    let verdict = &diagnosis.verdict;
    println!("{name}\n   {} {} {} prompt={prompt}\n   {}", verdict.id, verdict.confidence, verdict.phase, verdict.summary);
    println!("   alt {:?}", verdict.alternatives.iter().map(|a| a.id.as_str()).collect::<Vec<_>>());
    for finding in &diagnosis.findings { println!("   - {} {}", finding.id, finding.text); }
}
