//! What must hold for any bytes in a file: captures and traces.

use super::{MOST_LINES_PER_BYTE, MOST_LINES_WITHOUT_BYTES, line_length};
use rdpscope::capture::file;
use rdpscope::capture::session::{Options, Sessions};
use rdpscope::capture::tls::Secrets;
use rdpscope::report::{self, Document, Style, Subject};
use rdpscope::trace::{Line, Problem, read};
use std::path::Path;
use std::sync::Arc;

/// The addresses and ports of the two sides of a packed conversation.
const ENDS: [([u8; 4], u16); 2] = [([192, 0, 2, 1], 50000), ([192, 0, 2, 2], 3389)];
/// LINKTYPE_RAW: packets begin with IP.
pub(super) const RAW: u32 = 101;

/// Everything that text can show, without colours, which are rdpscope's own escapes.
const STYLE: Style = Style { color: false, width: 100, verbose: 2, ascii: false };

/// A capture: attempts are found or not, and each makes a trace that reads back. The first byte chooses: a file as it is
/// (0), or segments that are packed into one, see [`packed`].
pub(super) fn capture(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let packed = (*kind != 0).then(|| packed(rest));
    let bytes = packed.as_deref().unwrap_or(rest);
    let secrets = Arc::new(Secrets::new());
    if let Ok(inside) = std::str::from_utf8(rest) {
        secrets.add_key_log(inside.as_bytes());
    }
    let options =
        Options { capture: "any".into(), ids: "any".into(), gateways: Vec::new(), knows_command: |_| true };
    let mut records = Vec::new();
    let mut sessions = Sessions::new(options, secrets, |analysed| records.push(analysed.record));
    let outcome = file::read_bytes(Path::new("any"), bytes, &mut sessions);
    let totals = sessions.finish();
    assert_eq!(totals.attempts, records.len() as u64);
    if let Ok(outcome) = outcome {
        assert!(records.len() as u64 <= outcome.contents.frames, "{records:?}");
    }
    for record in records {
        assert!(record.verdict.is_some() && record.summary.is_some(), "{record:?}");
        let lines = record.into_lines();
        let most = bytes.len() * MOST_LINES_PER_BYTE + MOST_LINES_WITHOUT_BYTES;
        assert!(lines.len() <= most, "{} lines of {} bytes", lines.len(), bytes.len());
        reads_back(&lines);
    }
}

/// A trace of these lines is read without a problem and says the same.
fn reads_back(lines: &[Line]) {
    let text = text(lines);
    let reading = read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    // Of the version that the first line names there is nothing else to say.
    let other = |problem: &&Problem| !matches!(problem, Problem::OtherSchema { .. });
    assert!(reading.problems.iter().find(other).is_none(), "{:?}: {text}", reading.problems);
    let [record] = &reading.records[..] else { panic!("{} records: {text}", reading.records.len()) };
    assert_eq!(self::text(&record.clone().into_lines()), text);
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| serde_json::to_string(line).expect("it becomes JSON") + "\n").collect()
}

/// A pcap file of TCP segments, see [`segments`].
fn packed(steps: &[u8]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4_u32.to_le_bytes(), [2, 0, 4, 0], [0; 4], [0; 4]].concat();
    file.extend(65_535_u32.to_le_bytes());
    file.extend(RAW.to_le_bytes());
    for (time, packet) in segments(steps) {
        for field in [time / 1_000_000, time % 1_000_000, packet.len() as u32, packet.len() as u32] {
            file.extend(field.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

/// Packets with their times in microseconds: a byte that says how a segment differs from the next one in order (see
/// [`Segment`]), two bytes for its length, and what it carries.
pub(super) fn segments(mut steps: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut packets = Vec::new();
    let (mut next, mut time) = ([1_u32, u32::MAX - 5], 0_u32);
    while let [how, high, low, after @ ..] = steps {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (payload, after) = after.split_at(length);
        let side = usize::from(how >> 7);
        let segment = Segment { how: how & 0x7f, side, sequence: next[side], acknowledged: next[1 - side] };
        time = time.wrapping_add(if how & 0x40 == 0 { 1_000 } else { 20_000_000 });
        packets.push((time, segment.packet(payload)));
        next[side] = segment.after(payload.len());
        steps = after;
    }
    packets
}

/// A segment and what is wrong with it: the low three bits are its flags (SYN, FIN, RST), the next three whether it comes
/// again, leaves a hole, overlaps or is cut short.
struct Segment {
    how: u8,
    side: usize,
    sequence: u32,
    acknowledged: u32,
}

impl Segment {
    fn start(&self) -> u32 {
        match self.how >> 3 & 7 {
            1 => self.sequence.wrapping_sub(100),
            2 => self.sequence.wrapping_add(100),
            3 => self.sequence.wrapping_sub(1),
            _ => self.sequence,
        }
    }

    /// Where the next one of its side begins.
    fn after(&self, length: usize) -> u32 {
        let flags = u32::from(self.how & 1) + u32::from(self.how >> 1 & 1);
        let end = self.start().wrapping_add(length as u32).wrapping_add(flags);
        // One that comes again does not go back.
        if end.wrapping_sub(self.sequence) < 1 << 31 { end } else { self.sequence }
    }

    fn packet(&self, payload: &[u8]) -> Vec<u8> {
        const ACK: u8 = 0x10;
        let flags = [2, 1, 4].iter().enumerate().filter(|(bit, _)| self.how >> bit & 1 == 1);
        let flags = flags.fold(ACK, |flags, (_, flag)| flags | flag);
        let ((source, source_port), (destination, destination_port)) = (ENDS[self.side], ENDS[1 - self.side]);
        let whole = 40 + payload.len() as u16;
        let mut packet = vec![0x45, 0];
        packet.extend(whole.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend([source, destination].concat());
        packet.extend([source_port.to_be_bytes(), destination_port.to_be_bytes()].concat());
        packet.extend([self.start().to_be_bytes(), self.acknowledged.to_be_bytes()].concat());
        packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(payload);
        if self.how >> 3 & 7 == 4 {
            packet.truncate(packet.len() - payload.len() / 2);
        }
        packet
    }
}

/// A trace: what is read of it makes a trace that reads back the same, and reports that say nothing a terminal or a browser
/// would obey.
pub(super) fn trace(bytes: &[u8]) {
    let Ok(reading) = read(bytes) else { return };
    for record in &reading.records {
        let lines = record.clone().into_lines();
        lines.iter().for_each(|line| assert!(line_length(line) > 0));
        if !lines.is_empty() {
            reads_back(&lines);
        }
    }
    let subjects = reading.records.into_iter().map(|record| Subject::new(record, "any".into())).collect();
    let document = Document { subjects, ..Document::default() };
    let shown = report::document_text(&document, &STYLE);
    let obeyed = |c: &char| c.is_control() && *c != '\n';
    assert!(!shown.chars().any(|c| obeyed(&c)), "{shown:?}");
    assert!(!report::html(&document).contains("<script"), "a script is in the page");
    assert!(
        !report::markdown(&document).chars().any(|c| obeyed(&c)),
        "a control character is in the Markdown"
    );
}
