//! Captures of real sessions in the folder that `RDP_CAPTURES` names, and what the observers say of them.
//!
//! `truth/NAME.json` is what tshark says, `streams/NAME.STREAM.tcp.jsonl` the bytes of one connection with their times,
//! `….tls.jsonl` what stood inside its TLS, record by record. `lab/*.pcapng` has neither.

use super::left_out::say_left_out;
use super::pcap::{self, Packet, Transport};
use rdpscope::observe::{InsideObserver, SessionObserver, Timeline};
use rdpscope::trace::{Event, How, Line, PhaseRecord, Side, Summary};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Bytes that one side sent, and when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece {
    /// Microseconds since the connection's first byte.
    pub(crate) t_us: u64,
    /// Who sent them.
    pub(crate) from: Side,
    /// Number of the frame in the capture.
    pub(crate) frame: u64,
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
}

/// One TCP connection of a capture with its truth.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// `NAME.STREAM`.
    pub(crate) name: String,
    /// Its row in the truth.
    pub(crate) truth: Value,
    /// What went over the wire.
    pub(crate) wire: Vec<Piece>,
    /// What stood inside TLS, where the capture's keys are known.
    pub(crate) inside: Option<Vec<Piece>>,
}

/// What the observers say of a connection.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Every line of a trace that they write.
    pub(crate) lines: Vec<Line>,
    /// The facts.
    pub(crate) summary: Summary,
}

impl Observed {
    /// The events among the lines.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.lines.iter().filter_map(|line| match line {
            Line::Event(event) => Some(event),
            _ => None,
        })
    }

    /// The phases among the lines.
    pub(crate) fn phases(&self) -> impl Iterator<Item = &PhaseRecord> {
        self.lines.iter().filter_map(|line| match line {
            Line::Phase(phase) => Some(phase),
            _ => None,
        })
    }
}

/// The folder of captures; without it the test is left out, and says so.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = pcap::folder("captures");
    if folder.is_none() {
        say_left_out("RDP_CAPTURES names no folder of captures");
    }
    folder
}

/// Every truth file with its capture's name, in the order of their names.
pub(crate) fn truths(folder: &Path) -> Vec<(String, Value)> {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned());
    let mut truths: Vec<(String, Value)> =
        files(&folder.join("truth")).iter().filter_map(|path| Some((name(path)?, read_json(path)))).collect();
    truths.sort_by(|left, right| left.0.cmp(&right.0));
    truths
}

/// Every TCP connection of the capture `name` for which there is a truth.
pub(crate) fn conversations(folder: &Path, name: &str, truth: &Value) -> Vec<Conversation> {
    let rows = truth["conversations"].as_array().expect("conversations");
    rows.iter()
        .filter_map(|row| {
            let name = format!("{name}.{}", row["stream"].as_u64()?);
            let stream = |kind: &str| pieces(&folder.join("streams").join(format!("{name}.{kind}.jsonl")));
            let wire = stream("tcp").unwrap_or_else(|| panic!("no stream of {name}"));
            Some(Conversation { wire, inside: stream("tls"), truth: row.clone(), name })
        })
        .collect()
}

/// The files of a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry is read").path()).collect()
}

fn read_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pieces(path: &Path) -> Option<Vec<Piece>> {
    let text = std::fs::read_to_string(path).ok()?;
    // Bytes that came out of order, and frames whose time was lost, are there when what precedes them is.
    let mut latest_us = 0;
    let piece = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        latest_us = line["t_us"].as_u64().unwrap_or(0).max(latest_us);
        Piece {
            t_us: latest_us,
            from: if line["from"] == "client" { Side::Client } else { Side::Server },
            frame: line["frame"].as_u64().expect("frame"),
            bytes: hex::decode(line["hex"].as_str().expect("hex")).expect("bytes in hex"),
        }
    };
    Some(text.lines().map(piece).collect())
}

/// Feeds the pieces to the observers as a relay would, and ends both directions.
pub(crate) fn observe(pieces: &[Piece]) -> Observed {
    let mut observer = SessionObserver::default();
    let mut events = Vec::new();
    for piece in pieces {
        observer.data(piece.t_us, piece.from, &piece.bytes, &mut events);
    }
    let end_us = pieces.last().map_or(0, |piece| piece.t_us);
    for side in [Side::Client, Side::Server] {
        observer.ended(end_us, side, How::Fin, &mut events);
    }
    lines(events, end_us)
}

/// The events as the lines of a trace.
pub(crate) fn lines(events: Vec<Event>, end_us: u64) -> Observed {
    let (mut timeline, mut lines) = (Timeline::default(), Vec::new());
    events.into_iter().for_each(|event| timeline.push(event, &mut lines));
    timeline.finish(end_us, &mut lines);
    let summary = timeline.summary().clone();
    lines.push(Line::Summary(Box::new(summary.clone())));
    Observed { lines, summary }
}

/// What stands inside TLS of an RDP connection whose keys are known, as a relay that terminates TLS sees it.
pub(crate) fn observe_inside(conversation: &Conversation) -> Option<Observed> {
    let protocol = conversation.truth["x224_selected_protocol"].as_u64()?;
    Some(inside(u32::try_from(protocol).expect("32 bits"), conversation.inside.as_ref()?))
}

/// Feeds decrypted pieces to the observer of what was negotiated as `protocol`.
pub(crate) fn inside(protocol: u32, pieces: &[Piece]) -> Observed {
    let mut observer = InsideObserver::new(Some(protocol));
    let mut events = Vec::new();
    for piece in pieces {
        observer.data(piece.t_us, piece.from, &piece.bytes, &mut events);
    }
    let end_us = pieces.last().map_or(0, |piece| piece.t_us);
    for side in [Side::Client, Side::Server] {
        observer.ended(end_us, side, &mut events);
    }
    lines(events, end_us)
}

/// How bytes are cut before the observers see them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chunking {
    /// As in the capture.
    AsSent,
    /// One byte at a time.
    Bytes,
    /// Successive pieces of one side joined.
    Joined,
    /// Pieces of up to 4000 bytes from a generator with this seed.
    Random(u64),
}

/// The same bytes in other pieces; where time must not tell them apart, all at one moment.
pub(crate) fn cut(pieces: &[Piece], chunking: Chunking) -> Vec<Piece> {
    let mut runs: Vec<Piece> = Vec::new();
    for piece in pieces {
        let piece = Piece { t_us: 0, frame: 0, ..piece.clone() };
        match runs.last_mut() {
            Some(run) if run.from == piece.from && !matches!(chunking, Chunking::AsSent) => {
                run.bytes.extend(piece.bytes);
            }
            _ => runs.push(piece),
        }
    }
    let mut size: Box<dyn FnMut() -> usize> = match chunking {
        Chunking::AsSent | Chunking::Joined => Box::new(|| usize::MAX),
        Chunking::Bytes => Box::new(|| 1),
        Chunking::Random(seed) => sizes(seed),
    };
    let mut cut = Vec::new();
    for run in runs {
        let mut rest = &run.bytes[..];
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(size().min(rest.len()));
            cut.push(Piece { t_us: 0, frame: 0, from: run.from, bytes: chunk.to_vec() });
            rest = later;
        }
    }
    cut
}

/// xorshift64*; small sizes as likely as large ones, because headers are small.
fn sizes(seed: u64) -> Box<dyn FnMut() -> usize> {
    let mut state = seed | 1;
    Box::new(move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let number = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        let most = if number & 1 == 0 { 12 } else { 4000 };
        1 + (number >> 1) as usize % most
    })
}

/// The TCP connections to `port`, in the order in which they began. Simple: a segment that does not follow what is there
/// waits for the gap to close, what was seen before is skipped.
pub(crate) fn reassemble(packets: &[Packet], port: u16) -> Vec<Vec<Piece>> {
    let mut connections: BTreeMap<(SocketAddr, SocketAddr), Connection> = BTreeMap::new();
    for (place, packet) in packets.iter().enumerate() {
        let Transport::Tcp { sequence, syn, .. } = packet.transport else { continue };
        let (from, key) = match (packet.destination.port() == port, packet.source.port() == port) {
            (true, false) => (Side::Client, (packet.source, packet.destination)),
            (false, true) => (Side::Server, (packet.destination, packet.source)),
            _ => continue,
        };
        let connection =
            connections.entry(key).or_insert_with(|| Connection { first: place, ..Default::default() });
        let piece = Piece { t_us: packet.t_us, from, frame: place as u64 + 1, bytes: packet.payload.clone() };
        connection.segment(sequence.wrapping_add(u32::from(syn)), syn, piece);
    }
    let mut connections: Vec<Connection> = connections.into_values().collect();
    connections.sort_by_key(|connection| connection.first);
    connections.into_iter().map(|connection| connection.pieces).collect()
}

#[derive(Debug, Default)]
struct Connection {
    first: usize,
    expected: [Option<u32>; 2],
    waiting: Vec<(u32, Piece)>,
    pieces: Vec<Piece>,
}

impl Connection {
    fn segment(&mut self, sequence: u32, syn: bool, piece: Piece) {
        let expected = &mut self.expected[piece.from.index()];
        if syn {
            *expected = Some(sequence);
        }
        expected.get_or_insert(sequence);
        self.waiting.push((sequence, piece));
        while let Some(place) =
            self.waiting.iter().position(|(sequence, piece)| self.follows(*sequence, piece))
        {
            let (sequence, mut piece) = self.waiting.swap_remove(place);
            let expected = self.expected[piece.from.index()].get_or_insert(sequence);
            let seen = expected.wrapping_sub(sequence) as usize;
            piece.bytes.drain(..seen.min(piece.bytes.len()));
            *expected = expected.wrapping_add(piece.bytes.len() as u32);
            if !piece.bytes.is_empty() {
                self.pieces.push(piece);
            }
        }
    }

    /// Whether it begins at, or before, what is expected.
    fn follows(&self, sequence: u32, piece: &Piece) -> bool {
        const HALF: u32 = 1 << 31;
        self.expected[piece.from.index()].is_none_or(|expected| expected.wrapping_sub(sequence) < HALF)
    }
}
