//! Reading captures: what files become, against what tshark says of them.

use crate::support::captures::{folder, truths};
use crate::support::flows::{Collected, Flow};
use rdpscope::capture::{FlowTransport, file};
use rdpscope::trace::Side;
use serde_json::Value;
use std::path::Path;

/// Where the truth and we differ for a reason: capture, field, why.
const EXPLAINED: [(&str, &str, &str); 2] = [
    (
        "ntlm-downgrade-failure.pcapng \"10.10.0.131 49780\"",
        "end_of_stream",
        "a side ends once: the client's reset comes after its own FIN",
    ),
    ("rdp_tls_ntlmssp_access_denied", "roles_guessed", "no SYN is in the file, so nobody saw who dialled"),
];

/// Compares field by field and prints a table.
#[derive(Debug, Default)]
struct Table {
    compared: usize,
    lines: Vec<String>,
    mismatches: Vec<String>,
}

impl Table {
    fn compare(&mut self, conversation: &str, field: &str, truth: String, ours: String) {
        self.compared += 1;
        if truth == ours {
            return;
        }
        let explained = EXPLAINED.iter().find(|(name, of, _)| conversation.contains(name) && *of == field);
        let line = format!("{conversation} {field}: tshark {truth}, ours {ours}");
        match explained {
            Some((.., why)) => self.lines.push(format!("{line} (explained: {why})")),
            None => self.mismatches.push(line),
        }
    }

    fn finish(self, least: usize) {
        println!("{} fields compared, {} mismatches", self.compared, self.mismatches.len());
        self.lines.iter().for_each(|line| println!("{line}"));
        assert!(self.mismatches.is_empty(), "{}", self.mismatches.join("\n"));
        assert!(self.compared >= least, "{} fields compared", self.compared);
    }
}

fn read(path: &Path) -> (Collected, file::ReadOutcome) {
    let mut collected = Collected::default();
    let outcome = file::read(path, &mut collected).unwrap_or_else(|error| panic!("{error}"));
    (collected, outcome)
}

/// As the truth writes addresses: with a blank before the port.
fn address(address: std::net::SocketAddr) -> String {
    format!("{} {}", address.ip(), address.port())
}

fn milliseconds(row: &Value, field: &str) -> String {
    row[field].as_f64().map_or("none".into(), |value| format!("{value:.3}"))
}

#[test]
fn every_conversation_agrees_with_tshark() {
    let Some(folder) = folder() else { return };
    let mut table = Table::default();
    for (name, truth) in truths(&folder) {
        let (collected, outcome) = read(&folder.join(truth["file"].as_str().expect("file")));
        let count = |transport| {
            collected.flows.iter().filter(|flow| flow.opened.key.transport == transport).count().to_string()
        };
        table.compare(&name, "frames", truth["frames"].to_string(), outcome.contents.frames.to_string());
        table.compare(&name, "damage", "[]".into(), format!("{:?}", outcome.damage));
        table.compare(&name, "tcp", truth["tcp_conversations"].to_string(), count(FlowTransport::Tcp));
        table.compare(&name, "udp", truth["udp_conversations"].to_string(), count(FlowTransport::Udp));
        let rows = truth["conversations"].as_array().expect("conversations");
        for row in rows {
            let transport = if row["kind"] == "rdpudp" { FlowTransport::Udp } else { FlowTransport::Tcp };
            let ends = [row["client"].as_str(), row["server"].as_str()];
            let mut flows = collected.flows.iter().filter(|flow| {
                let key = flow.opened.key;
                key.transport == transport
                    && [Some(address(key.client).as_str()), Some(address(key.server).as_str())] == ends
            });
            let conversation = format!("{name} {}", row["client"]);
            let flow = flows.next().unwrap_or_else(|| panic!("{conversation}: no such flow"));
            match transport {
                FlowTransport::Tcp => tcp_row(&mut table, &conversation, row, flow),
                FlowTransport::Udp => udp_row(&mut table, &conversation, row, flow),
            }
        }
    }
    table.finish(200);
}

fn tcp_row(table: &mut Table, conversation: &str, row: &Value, flow: &Flow) {
    let evidence = flow.evidence.as_ref().expect("evidence of TCP");
    let sum = |counts: [u64; 2]| counts.iter().sum::<u64>().to_string();
    let answer = evidence.syn_answer_us.map_or("none".into(), |time| format!("{:.3}", time as f64 / 1000.0));
    for (field, ours) in [
        ("first_frame", flow.opened.first_frame.to_string()),
        ("roles_guessed", flow.opened.roles_guessed.to_string()),
        ("syn_count", evidence.syns.to_string()),
        ("retransmissions", sum(evidence.retransmissions)),
        ("out_of_order", sum(evidence.out_of_order)),
        ("lost_segments", sum(evidence.lost)),
        ("zero_windows", sum(evidence.zero_windows)),
        ("bytes_client", flow.bytes(Side::Client).len().to_string()),
        ("bytes_server", flow.bytes(Side::Server).len().to_string()),
    ] {
        table.compare(conversation, field, row[field].to_string(), ours);
    }
    table.compare(conversation, "syn_to_synack_ms", milliseconds(row, "syn_to_synack_ms"), answer);
    let end = row["end_of_stream"].as_str().expect("end_of_stream").to_owned();
    table.compare(conversation, "end_of_stream", end, flow.end_of_stream());
}

fn udp_row(table: &mut Table, conversation: &str, row: &Value, flow: &Flow) {
    for (side, packets, bytes) in
        [(Side::Client, "packets_client", "bytes_client"), (Side::Server, "packets_server", "bytes_server")]
    {
        let datagrams: Vec<usize> =
            flow.datagrams.iter().filter(|(from, ..)| *from == side).map(|(.., whole)| *whole).collect();
        table.compare(conversation, packets, row[packets].to_string(), datagrams.len().to_string());
        table.compare(
            conversation,
            bytes,
            row[bytes].to_string(),
            datagrams.iter().sum::<usize>().to_string(),
        );
    }
}
