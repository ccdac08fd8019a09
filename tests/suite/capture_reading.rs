//! Reading captures: what files become, against what tshark says of them.

use crate::support::captures::{Conversation, Piece, conversations, files, folder, truths};
use crate::support::flows::{Collected, Flow};
use crate::support::left_out::left_out_without;
use pcap_file::pcap::{PcapPacket, PcapReader, PcapWriter};
use rdpscope::capture::{FlowTransport, file};
use rdpscope::trace::Side;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where the truth and we differ for a reason: capture, field, why.
const EXPLAINED: [(&str, &str, &str); 6] = [
    ("freerdp-test", "times", "frames of the file are not in the order of their times; what a flow tells is"),
    ("rdp_tls_ntlmssp_access_denied", "holes", "no SYN is in the file: what came before is not known"),
    ("MS-RDSOD", "holes", "packets are missing in the file: tshark counts 88 segments before which some are"),
    ("MS-RDSOD", "times", "bytes behind a hole wait until it is certain that nothing fills it"),
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
        let line = format!("{conversation} {field}: tshark {truth:.200}, ours {ours:.200}");
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

#[test]
fn every_byte_agrees_with_the_streams() {
    let Some(folder) = folder() else { return };
    let mut table = Table::default();
    for (name, truth) in truths(&folder) {
        let (collected, _) = read(&folder.join(truth["file"].as_str().expect("file")));
        // Without a stream number it is UDP.
        if truth["conversations"].as_array().expect("conversations").iter().all(|row| row["stream"].is_null())
        {
            continue;
        }
        for conversation in conversations(&folder, &name, &truth) {
            let first = conversation.truth["first_frame"].as_u64().expect("first_frame");
            let mut flows = collected.flows.iter().filter(|flow| flow.opened.first_frame == first);
            let flow = flows.next().unwrap_or_else(|| panic!("{}: no such flow", conversation.name));
            stream_rows(&mut table, &conversation, flow);
        }
    }
    table.finish(50);
}

/// The bytes of both sides, and what was told with the times when it came.
fn stream_rows(table: &mut Table, conversation: &Conversation, flow: &Flow) {
    let name = &conversation.name;
    let wire: Vec<&Piece> = conversation.wire.iter().filter(|piece| !is_about_a_hole(&piece.bytes)).collect();
    for side in [Side::Client, Side::Server] {
        let pieces = wire.iter().filter(|piece| piece.from == side);
        let truth: Vec<u8> = pieces.flat_map(|piece| piece.bytes.clone()).collect();
        table.compare(
            name,
            &format!("bytes of the {side}"),
            hex::encode(truth),
            hex::encode(flow.bytes(side)),
        );
    }
    let begin = flow.chunks.first().map_or(0, |chunk| chunk.0);
    let truth: Vec<(u64, Side, usize)> =
        wire.iter().map(|piece| (piece.t_us, piece.from, piece.bytes.len())).collect();
    // The truth has rounded times.
    let rounded = |(place, (at, side, bytes)): (usize, &(u64, Side, Vec<u8>))| {
        let t_us = (at - begin) / 1000;
        let near = truth.get(place).map(|truth| truth.0).filter(|truth| truth.abs_diff(t_us) <= 1);
        (near.unwrap_or(t_us), *side, bytes.len())
    };
    let ours: Vec<(u64, Side, usize)> = flow.chunks.iter().enumerate().map(rounded).collect();
    let same = truth.iter().zip(&ours).take_while(|(truth, ours)| truth == ours).count();
    table.compare(name, "times", format!("{:?}", &truth[same..]), format!("{:?}", &ours[same..]));
    table.compare(name, "holes", "[]".into(), format!("{:?}", flow.holes));
}

/// What tshark says of each frame of TCP, summed up for each stream and side; the side that sent first is first.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summed {
    first: String,
    syns: u64,
    segments: [u64; 2],
    largest: [u64; 2],
    retransmissions: [u64; 2],
    out_of_order: [u64; 2],
    lost: [u64; 2],
    zero_windows: [u64; 2],
    time_to_live: [Option<u64>; 2],
}

/// What tshark says of every segment of TCP, and behind that of the bytes of the first `count` streams.
fn tshark(file: &Path, count: usize) -> (String, String) {
    const FIELDS: [&str; 13] = [
        "tcp.stream",
        "ip.src",
        "ipv6.src",
        "tcp.srcport",
        "tcp.len",
        "tcp.flags.syn",
        "tcp.flags.ack",
        "tcp.analysis.retransmission",
        "tcp.analysis.out_of_order",
        "tcp.analysis.lost_segment",
        "tcp.analysis.zero_window",
        "ip.ttl",
        "ipv6.hlim",
    ];
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-n", "-Y", "tcp", "-T", "fields", "-E", "occurrence=f"]);
    command.args(FIELDS.iter().flat_map(|field| ["-e", field]));
    let follow = |number| ["-z".to_owned(), format!("follow,tcp,raw,{number}")];
    command.args((0..count).flat_map(follow));
    let output = command.output().expect("tshark runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("tshark writes text");
    let (fields, streams) = text.split_once("\n====").unwrap_or((&text, ""));
    (fields.to_owned(), streams.to_owned())
}

/// From the fields of every segment.
fn summed(lines: &str) -> Vec<Summed> {
    let mut streams: BTreeMap<u64, Summed> = BTreeMap::new();
    for line in lines.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |place: usize| fields[place].parse::<u64>().unwrap_or(0);
        let source = format!("{}{} {}", fields[1], fields[2], fields[3]);
        let stream = streams
            .entry(number(0))
            .or_insert_with(|| Summed { first: source.clone(), ..Default::default() });
        let side = usize::from(stream.first != source);
        stream.syns += u64::from(number(5) == 1 && number(6) == 0);
        stream.segments[side] += u64::from(number(4) > 0);
        stream.largest[side] = stream.largest[side].max(number(4));
        stream.retransmissions[side] += number(7);
        stream.out_of_order[side] += number(8);
        stream.lost[side] += number(9);
        stream.zero_windows[side] += number(10);
        stream.time_to_live[side].get_or_insert(number(11) + number(12));
    }
    streams.into_values().collect()
}

fn ours(flow: &Flow) -> Summed {
    let evidence = flow.evidence.as_ref().expect("evidence of TCP");
    Summed {
        first: address(flow.opened.key.client),
        syns: evidence.syns.into(),
        segments: evidence.segments,
        largest: evidence.largest_segment.map(u64::from),
        retransmissions: evidence.retransmissions,
        out_of_order: evidence.out_of_order,
        lost: evidence.lost,
        zero_windows: evidence.zero_windows,
        time_to_live: evidence.time_to_live.map(|time| time.map(u64::from)),
    }
}

/// tshark writes holes among the bytes, in words.
fn is_about_a_hole(bytes: &[u8]) -> bool {
    bytes.starts_with(b"[") && bytes.ends_with(b" bytes missing in capture file]\0")
}

/// The bytes of both sides of each stream as tshark follows them, the side that sent first before the other; what tshark says
/// of holes between them is left out.
fn followed(lines: &str) -> Vec<[String; 2]> {
    let mut followed: Vec<(usize, [String; 2])> = Vec::new();
    for line in lines.lines() {
        if let Some(number) = line.strip_prefix("Filter: tcp.stream eq ") {
            followed.push((number.parse().expect("a number"), Default::default()));
        }
        let bytes = hex::decode(line.trim()).unwrap_or_default();
        if let Some((_, sides)) = followed.last_mut()
            && !is_about_a_hole(&bytes)
        {
            sides[usize::from(line.starts_with('\t'))].push_str(&hex::encode(bytes));
        }
    }
    followed.sort();
    followed.into_iter().map(|(_, sides)| sides).collect()
}

/// Every capture below the folder.
fn captures(folder: &Path) -> Vec<PathBuf> {
    let is_capture = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng")
    };
    let mut found: Vec<PathBuf> = files(folder)
        .iter()
        .filter(|path| path.is_dir())
        .flat_map(|path| files(path))
        .filter(is_capture)
        .collect();
    found.sort();
    found
}

#[test]
fn every_segment_agrees_with_tshark() {
    let Some(folder) = folder() else { return };
    if left_out_without(&["tshark"]) {
        return;
    }
    let mut table = Table::default();
    for path in captures(&folder) {
        let name = path.strip_prefix(&folder).expect("below").display().to_string();
        let (collected, outcome) = read(&path);
        table.compare(&name, "damage", "[]".into(), format!("{:?}", outcome.damage));
        let of_tcp = |flow: &&Flow| flow.opened.key.transport == FlowTransport::Tcp;
        let flows: Vec<&Flow> = collected.flows.iter().filter(of_tcp).collect();
        let (fields, streams) = tshark(&path, flows.len());
        let truth = summed(fields.trim_start());
        table.compare(&name, "streams", truth.len().to_string(), flows.len().to_string());
        let bytes = followed(&streams);
        assert_eq!(bytes.len(), flows.len(), "{name}");
        for (number, ((flow, truth), bytes)) in flows.iter().zip(truth).zip(bytes).enumerate() {
            let stream = format!("{name} {number}");
            table.compare(&stream, "evidence", format!("{truth:?}"), format!("{:?}", ours(flow)));
            let sides = [Side::Client, Side::Server].map(|side| hex::encode(flow.bytes(side)));
            for (side, (truth, ours)) in bytes.into_iter().zip(sides).enumerate() {
                table.compare(&stream, ["client", "server"][side], truth, ours);
            }
        }
    }
    table.finish(100);
}

/// What a network, or the capturing machine, does to some packets of a capture.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    /// They come a second time, at once or after a while.
    Repeated,
    /// They come up to 5 ms late.
    Late,
    /// They are not there.
    Lost,
}

/// The capture with one packet in twenty harmed, but none that begins or ends a connection.
fn harmed(source: &Path, harm: Harm, mut seed: u64) -> Vec<u8> {
    /// Where Ethernet, IPv4 without options and TCP have the flags.
    const FLAGS: usize = 14 + 20 + 13;
    const SYN_FIN_RST: u8 = 7;
    let bytes = std::fs::read(source).expect("a capture");
    let mut reader = PcapReader::new(&bytes[..]).expect("a pcap header");
    let header = reader.header();
    let mut packets: Vec<(Duration, u32, Vec<u8>)> = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.expect("a packet");
        let (at, length, data) = (packet.timestamp(), packet.orig_len(), packet.data().to_vec());
        let mut draw = |most: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % most
        };
        let is_harmed = data[FLAGS] & SYN_FIN_RST == 0 && draw(20) == 0;
        match harm {
            Harm::Lost if is_harmed => {}
            Harm::Late if is_harmed => {
                packets.push((at + Duration::from_micros([50, 500, 5000][draw(3) as usize]), length, data));
            }
            Harm::Repeated if is_harmed => {
                let later = at + Duration::from_micros([10, 2000, 300_000][draw(3) as usize]);
                packets.extend([(at, length, data.clone()), (later, length, data)]);
            }
            _ => packets.push((at, length, data)),
        }
    }
    packets.sort_by_key(|(at, ..)| *at);
    let mut writer = PcapWriter::with_header(Vec::new(), header).expect("a header is written");
    for (at, length, data) in packets {
        writer.write_packet(&PcapPacket::new(at, length, data).expect("a packet")).expect("it is written");
    }
    writer.into_inner()
}

/// tshark gives late segments up as soon as they are acknowledged; here no byte is missed that the file has.
#[test]
fn harmed_captures_are_counted_as_tshark_counts_them() {
    let Some(folder) = folder() else { return };
    if left_out_without(&["tshark"]) {
        return;
    }
    let made = tempfile::tempdir().expect("a folder");
    let mut table = Table::default();
    for name in ["zeek/rdp-to-ssl.pcap", "zeek/rdp-proprietary-encryption.pcap"] {
        let source = folder.join(name);
        let (whole, _) = read(&source);
        for (harm, seed) in [Harm::Repeated, Harm::Late, Harm::Lost].into_iter().zip(1..) {
            let path = made.path().join("harmed.pcap");
            std::fs::write(&path, harmed(&source, harm, seed)).expect("it is written");
            let (collected, _) = read(&path);
            for ((flow, truth), whole) in
                collected.flows.iter().zip(summed(&tshark(&path, 0).0)).zip(&whole.flows)
            {
                let stream = format!("{name} {harm:?} {}", flow.opened.key.client);
                table.compare(&stream, "evidence", format!("{truth:?}"), format!("{:?}", ours(flow)));
                for side in [Side::Client, Side::Server] {
                    let bytes = whole.bytes(side);
                    assert_eq!(flow.filled(side, &bytes), bytes[..flow.position(side)], "{stream} {side}");
                    let is_complete = flow.position(side) == bytes.len() && flow.holes.is_empty();
                    assert!(is_complete || harm == Harm::Lost, "{stream} {side}: {:?}", flow.holes);
                }
            }
        }
    }
    table.finish(12);
}

/// A capture that anybody can make from another one reads the same.
#[test]
fn other_containers_of_the_same_packets_read_the_same() {
    let Some(folder) = folder() else { return };
    if left_out_without(&["editcap", "gzip"]) {
        return;
    }
    let source = folder.join("zeek/rdp-proprietary-encryption.pcap");
    let (before, _) = read(&source);
    let made = tempfile::tempdir().expect("a folder");
    for (format, format_of_file) in [
        ("pcap", file::FileFormat::Pcap),
        ("nsecpcap", file::FileFormat::Pcap),
        ("pcapng", file::FileFormat::PcapNg),
    ] {
        let path = made.path().join(format);
        let edited = Command::new("editcap").args(["-F", format]).arg(&source).arg(&path).status();
        assert!(edited.expect("editcap runs").success());
        assert!(Command::new("gzip").arg("--keep").arg(&path).status().expect("gzip runs").success());
        for (path, is_gzip) in [(path.clone(), false), (path.with_extension("gz"), true)] {
            let (collected, outcome) = read(&path);
            assert_eq!((outcome.format, outcome.is_gzip), (format_of_file, is_gzip));
            assert_eq!(collected.flows, before.flows, "{format}");
        }
    }
}

/// Cut to a snapshot length, each hole is named and everything else stays where it was.
#[test]
fn a_snapshot_length_makes_holes_and_nothing_else() {
    let Some(folder) = folder() else { return };
    if left_out_without(&["editcap"]) {
        return;
    }
    let source = folder.join("zeek/rdp-to-ssl.pcap");
    let made = tempfile::tempdir().expect("a folder");
    let path = made.path().join("cut");
    let edited = Command::new("editcap").args(["-s", "96"]).arg(&source).arg(&path).status();
    assert!(edited.expect("editcap runs").success());
    let ((whole, _), (cut, outcome)) = (read(&source), read(&path));
    assert!(outcome.contents.cut_frames > 100);
    for (whole, cut) in whole.flows.iter().zip(&cut.flows) {
        assert_eq!(whole.evidence, cut.evidence);
        for side in [Side::Client, Side::Server] {
            assert_eq!(cut.filled(side, &whole.bytes(side)), whole.bytes(side));
        }
    }
}

/// A Decryption Secrets Block is found in every capture of the lab.
#[test]
fn secrets_of_the_lab_are_found() {
    let Some(folder) = folder() else { return };
    let lab = files(&folder.join("lab"));
    let captures = lab.iter().filter(|path| path.extension().is_some_and(|extension| extension == "pcapng"));
    let found: usize = captures
        .map(|path| {
            let secrets = file::secrets(path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(secrets.other_types, [0; 0], "{}", path.display());
            let is_key_log = |log: &[u8]| {
                log.is_empty()
                    || log.windows(14).any(|word| {
                        word == b"CLIENT_RANDOM " || word == b"CLIENT_HANDSHA" || word == b"SERVER_HANDSHA"
                    })
            };
            assert!(secrets.tls_key_logs.iter().all(|log| is_key_log(log)), "{}", path.display());
            secrets.tls_key_logs.len()
        })
        .sum();
    assert!(found >= 10, "{found} key logs");
}
