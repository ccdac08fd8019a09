//! Evidence: a long capture read by rdpscope and by tshark, and long traces made into reports.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use etherparse::PacketBuilder;
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use serde_json::Value;

use crate::timed::{median, timed};
use crate::wire;

/// Times that each takes its turn.
const ROUNDS: usize = 3;
/// How much faster than tshark a capture is to be read.
const FASTER_THAN_TSHARK: f64 = 10.0;
/// Time that a report may take.
const LONGEST_REPORT: Duration = Duration::from_secs(1);
/// Events of a long trace.
const EVENTS: usize = 100_000;
/// Sessions whose events are repeated: through a gateway, refused by one, and with a server alone.
const TRACES: [&str; 3] = ["healthy", "gateway-policy-denied", "certificate-expired"];

/// What a server sends in a session of the capture.
const SESSION: usize = 1 << 20;
/// Payload of a full segment on Ethernet with time stamps.
const SEGMENT: usize = 1448;
/// Between two packets.
const STEP: Duration = Duration::from_micros(20);

/// Lines for below the table: of a capture of so many bytes, and of the traces.
pub fn run(rdpscope: &Path, capture_length: u64) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let mut lines = vec![reading(rdpscope, folder.path(), capture_length)?.to_string()];
    for name in TRACES {
        lines.push(report(rdpscope, folder.path(), name)?.to_string());
    }
    Ok(lines)
}

/// A capture read by both.
#[derive(Debug)]
struct Reading {
    megabytes: u64,
    sessions: usize,
    rdpscope: Duration,
    tshark: Duration,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rdpscope, tshark] = [self.rdpscope, self.tshark].map(|time| time.as_secs_f64());
        let faster = tshark / rdpscope;
        write!(
            f,
            "analyze of a capture of {} MB with {} sessions, median of {ROUNDS}: {rdpscope:.2} s, tshark -Y rdp {tshark:.2} s: \
             {faster:.1} times as fast; asked at least {FASTER_THAN_TSHARK}: {}",
            self.megabytes,
            self.sessions,
            yes(faster >= FASTER_THAN_TSHARK)
        )
    }
}

/// A long trace made into a page.
#[derive(Debug)]
struct Report {
    name: &'static str,
    megabytes: u64,
    took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { name, megabytes, took } = self;
        write!(
            f,
            "report of a trace of {EVENTS} events ({name}, repeated, {megabytes} MB), median of {ROUNDS}: {:.2} s; asked \
             below {:.0}: {}",
            took.as_secs_f64(),
            LONGEST_REPORT.as_secs_f64(),
            yes(*took < LONGEST_REPORT)
        )
    }
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "NO" }
}

fn reading(rdpscope: &Path, folder: &Path, length: u64) -> Result<Reading> {
    let path = folder.join("long.pcapng");
    let sessions = capture(&path, length).context("cannot write the capture")?;
    let megabytes = fs::metadata(&path)?.len() / 1_000_000;
    let judged = verdicts(rdpscope, &path)?;
    ensure!(judged == sessions, "analyze judged {judged} sessions of {sessions}");
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        times[0].push(timed(Command::new(rdpscope).arg("analyze").arg(&path))?);
        times[1].push(timed(Command::new("tshark").args(["-n", "-Y", "rdp", "-r"]).arg(&path))?);
    }
    fs::remove_file(&path)?;
    let [rdpscope, tshark] = times.map(median);
    Ok(Reading { megabytes, sessions, rdpscope, tshark })
}

/// How many sessions of the capture have a verdict.
fn verdicts(rdpscope: &Path, capture: &Path) -> Result<usize> {
    let output = Command::new(rdpscope).args(["analyze", "--json"]).arg(capture).output()?;
    let text = String::from_utf8(output.stdout).context("analyze --json is not text")?;
    Ok(text.lines().filter(|line| line.starts_with(r#"{"type":"verdict""#)).count())
}

fn report(rdpscope: &Path, folder: &Path, name: &'static str) -> Result<Report> {
    let (trace, page) = (folder.join("trace.jsonl"), folder.join("report.html"));
    long_trace(name, &trace)?;
    let megabytes = fs::metadata(&trace)?.len() / 1_000_000;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut command = Command::new(rdpscope);
        command.arg("report").arg(&trace).args(["--format", "html", "-o"]).arg(&page);
        times.push(timed(&mut command)?);
    }
    Ok(Report { name, megabytes, took: median(times) })
}

/// The example trace of this name with its events again and again, each time later.
fn long_trace(name: &str, path: &Path) -> Result<()> {
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/traces")
        .join(name)
        .with_extension("jsonl");
    let text = fs::read_to_string(&example).with_context(|| format!("cannot read {}", example.display()))?;
    let (events, rest): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with(r#"{"type":"event""#));
    let events: Vec<Value> = events.into_iter().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let at = |event: &Value| event["t_us"].as_u64().unwrap_or_default();
    let span = events.iter().map(at).max().context("a trace without events")? + 1;
    let (head, tail) = rest.split_first().context("a trace without a first line")?;

    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "{head}")?;
    for (number, event) in events.iter().cycle().take(EVENTS).enumerate() {
        let mut event = event.clone();
        event["t_us"] = (at(&event) + span * (number / events.len()) as u64).into();
        writeln!(file, "{event}")?;
    }
    tail.iter().try_for_each(|line| writeln!(file, "{line}"))?;
    Ok(file.flush()?)
}

/// Writes sessions of [`SESSION`] bytes until the file has `length`, and answers how many.
fn capture(path: &Path, length: u64) -> Result<usize> {
    let writer = PcapNgWriter::new(BufWriter::new(File::create(path)?))?;
    let mut capture = Capture { writer, at: Duration::from_secs(1_700_000_000), written: 0 };
    capture.writer.write_pcapng_block(InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0))?;
    let bulk: Vec<u8> = (0..SESSION / wire::RECORD_PAYLOAD)
        .flat_map(|seed| wire::application_record(wire::RECORD_PAYLOAD, seed as u64))
        .collect();
    let mut sessions = 0;
    while capture.written < length {
        sessions += 1;
        capture.session(sessions, &bulk)?;
    }
    capture.writer.into_inner().flush()?;
    Ok(sessions)
}

/// A file of packets that is written.
struct Capture {
    writer: PcapNgWriter<BufWriter<File>>,
    at: Duration,
    written: u64,
}

/// One connection: the client's address and port, and what each side sends next.
struct Connection {
    client: (Ipv4Addr, u16),
    next: [u32; 2],
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

impl Capture {
    fn session(&mut self, number: usize, bulk: &[u8]) -> Result<()> {
        let number = u32::try_from(number)?;
        let client = Ipv4Addr::from_bits(Ipv4Addr::new(10, 1, 0, 0).to_bits() + number);
        let connection = &mut Connection { client: (client, 50_000), next: [number << 8, number << 16] };
        self.segment(connection, From::Client, Flags::Syn, &[])?;
        self.segment(connection, From::Server, Flags::Syn, &[])?;
        self.segment(connection, From::Client, Flags::None, &[])?;
        for (from, message) in [
            (From::Client, wire::connection_request(Some(wire::PROTOCOL_SSL))),
            (From::Server, wire::connection_confirm(Some(wire::PROTOCOL_SSL))),
            (From::Client, wire::client_hello()),
            (From::Server, wire::server_flight()),
            (From::Client, wire::client_finish()),
            (From::Server, wire::server_finish()),
        ] {
            self.message(connection, from, &message)?;
        }
        self.message(connection, From::Server, bulk)?;
        self.segment(connection, From::Client, Flags::Fin, &[])?;
        self.segment(connection, From::Server, Flags::Fin, &[])?;
        self.segment(connection, From::Client, Flags::None, &[])
    }

    /// In full segments, every second of which is acknowledged.
    fn message(&mut self, connection: &mut Connection, from: From, bytes: &[u8]) -> Result<()> {
        let other = if from == From::Client { From::Server } else { From::Client };
        for pair in bytes.chunks(2 * SEGMENT) {
            for segment in pair.chunks(SEGMENT) {
                self.segment(connection, from, Flags::None, segment)?;
            }
            self.segment(connection, other, Flags::None, &[])?;
        }
        Ok(())
    }

    fn segment(
        &mut self,
        connection: &mut Connection,
        from: From,
        flags: Flags,
        payload: &[u8],
    ) -> Result<()> {
        let server = (Ipv4Addr::new(10, 0, 0, 1), 3389);
        let [mine, theirs] = if from == From::Client { [0, 1] } else { [1, 0] };
        let (source, destination) =
            if from == From::Client { (connection.client, server) } else { (server, connection.client) };
        let mut packet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4(source.0.octets(), destination.0.octets(), 64)
            .tcp(source.1, destination.1, connection.next[mine], u16::MAX);
        if flags != Flags::Syn || from == From::Server {
            packet = packet.ack(connection.next[theirs]);
        }
        packet = match flags {
            Flags::Syn => packet.syn(),
            Flags::Fin => packet.fin(),
            Flags::None => packet,
        };
        let mut frame = Vec::with_capacity(packet.size(payload.len()));
        packet.write(&mut frame, payload)?;
        connection.next[mine] = connection.next[mine]
            .wrapping_add(u32::try_from(payload.len())?)
            .wrapping_add(u32::from(flags != Flags::None));
        self.at += STEP;
        let block = EnhancedPacketBlock {
            timestamp: self.at,
            original_len: u32::try_from(frame.len())?,
            data: frame.into(),
            ..EnhancedPacketBlock::default()
        };
        self.written += self.writer.write_pcapng_block(block)? as u64;
        Ok(())
    }
}

/// The flag besides ACK that a segment has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flags {
    None,
    Syn,
    Fin,
}
