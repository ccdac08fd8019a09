//! Reading back what rdpscope has written, as records: a trace, the output of a probe, an experiment's file, standard
//! output of a whole run. What cannot be read is said, and the rest is read all the same.

mod both;
mod event;
mod line;

use super::{Comparison, Line, Record, SCHEMA_VERSION};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// Types of lines that are named as unknown; the others are only counted.
const MOST_KINDS_NAMED: usize = 5;
/// Characters of such a type that are repeated.
const LONGEST_KIND: usize = 40;
/// Lines of `--json` that belong to no session: where a run listens, its steps, and what all of them came to.
const OF_NO_SESSION: [&str; 3] = ["listening", "step", "run"];
/// The event whose field `session` names another session than its own.
const CONNECTION_MOVED: &str = "connection_moved";
/// What some editors and shells begin a text with: U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// By so many bytes a capture is known.
const LONGEST_MAGIC: usize = 4;

/// What a file held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// The sessions, targets and experiments in it, in the order in which they began.
    pub records: Vec<Record>,
    /// What sets the failing targets apart, of a probe of many.
    pub comparison: Option<Comparison>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// Something that could not be read. Its words are one sentence without its full stop, to stand after a file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The trace is of another version of the format.
    #[error(
        "the trace has schema {found}, written by rdpscope {rdpscope}, and this program reads schema {SCHEMA_VERSION}: \
         what both have in common is shown"
    )]
    OtherSchema {
        /// Its version.
        found: u64,
        /// The program that wrote it.
        rdpscope: String,
    },
    /// The last line was not written to its end.
    #[error("the trace ends in the middle of line {line}: the program that wrote it was stopped")]
    CutShort {
        /// The number of the line, from 1.
        line: usize,
    },
    /// Lines that are not JSON.
    #[error("{}", broken(.first, .count))]
    Broken {
        /// The number of the first, from 1.
        first: usize,
        /// How many.
        count: usize,
    },
    /// Lines of types, or with events, that this version does not know.
    #[error("{count} line{} of a kind that this version does not know {} left out: {}", plural(.count), is(.count), .kinds.join(", "))]
    Unknown {
        /// Their types.
        kinds: Vec<String>,
        /// How many.
        count: usize,
    },
}

/// Bytes that hold no line of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotATrace {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// It begins as capture files do.
    #[error("it is a capture; rdpscope analyze reads those")]
    Capture,
    /// Something else.
    #[error("it is no trace of rdpscope; name a session's folder, a trace.jsonl, or what --json wrote")]
    Other,
}

/// Everything in `bytes`, which may hold several traces after one another, or the lines of several sessions in turn.
pub fn read(bytes: &[u8]) -> Result<Reading, NotATrace> {
    let mut reader = Reader::default();
    bytes.split_inclusive(|byte| *byte == b'\n').for_each(|line| reader.line(line));
    reader.finish()
}

/// Whether a file that begins with `bytes` is a capture, or something compressed, as captures often are.
pub fn is_capture(bytes: &[u8]) -> bool {
    const CAPTURES: [&[u8]; 6] = [
        b"\x0a\x0d\x0d\x0a",
        b"\xd4\xc3\xb2\xa1",
        b"\xa1\xb2\xc3\xd4",
        b"\x4d\x3c\xb2\xa1",
        b"\xa1\xb2\x3c\x4d",
        b"\x1f\x8b",
    ];
    CAPTURES.iter().any(|magic| bytes.starts_with(magic))
}

/// What every line has, whatever else is in it.
#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    session: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
}

/// What a first line of any version has.
#[derive(Deserialize)]
struct AnyHeader {
    schema: u64,
    #[serde(default)]
    rdpscope: String,
}

/// Reads line by line what need not be in memory as a whole; [`read`] does the same with bytes.
#[derive(Default)]
pub struct Reader {
    reading: Reading,
    /// Lines that were taken.
    lines: usize,
    /// The first bytes, by which a capture is known.
    beginning: Vec<u8>,
    /// There was more than white space.
    is_of_text: bool,
    /// The places of the sessions' records.
    sessions: HashMap<String, usize>,
    /// The record to which lines belong that name no session.
    current: Option<usize>,
    broken: Option<(usize, usize)>,
    unknown: usize,
    unknown_kinds: BTreeSet<String>,
    cut: Option<usize>,
    /// Lines that are ours, read or not.
    ours: usize,
}

impl Reader {
    /// Takes the next line with its line end, which only the last may lack.
    pub fn line(&mut self, line: &[u8]) {
        self.lines += 1;
        self.beginning.extend(line.iter().take(LONGEST_MAGIC.saturating_sub(self.beginning.len())));
        self.is_of_text |= !is_blank(line);
        let mark = if self.lines == 1 { BYTE_ORDER_MARK } else { b"" };
        let text = line.strip_prefix(mark).unwrap_or(line);
        match str::from_utf8(text) {
            _ if is_blank(text) => {}
            Ok(line) => self.text(line),
            Err(_) => self.not_ours(text),
        }
    }

    fn text(&mut self, text: &str) {
        // They are most of a long trace.
        if let Ok((tag, event)) = event::read(text) {
            self.ours += 1;
            return self.take(Line::Event(event), &tag);
        }
        let Ok(tag) = serde_json::from_str::<Tag<'_>>(text) else {
            return self.not_ours(text.as_bytes());
        };
        if OF_NO_SESSION.contains(&&*tag.kind) {
            return;
        }
        match line::parse(text, &tag.kind) {
            Ok(line) => {
                self.ours += 1;
                self.take(line, &tag);
            }
            Err(_) => self.not_known(text, &tag),
        }
    }

    /// No line of a trace: broken, cut, or JSON of something else.
    fn not_ours(&mut self, bytes: &[u8]) {
        let is_whole =
            bytes.ends_with(b"\n") || serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        if is_whole {
            let (_, count) = self.broken.get_or_insert((self.lines, 0));
            *count += 1;
        } else {
            self.cut = Some(self.lines);
        }
    }

    /// A line that another version wrote.
    fn not_known(&mut self, text: &str, tag: &Tag<'_>) {
        if let (true, Ok(header)) = (tag.kind == "trace", serde_json::from_str::<AnyHeader>(text)) {
            self.ours += 1;
            self.note_schema(header.schema, &header.rdpscope);
            return self.begin(None);
        }
        self.unknown += 1;
        let kind = match &tag.event {
            Some(event) => format!("{} {event}", tag.kind),
            None => tag.kind.to_string(),
        };
        if self.unknown_kinds.len() <= MOST_KINDS_NAMED {
            self.unknown_kinds.insert(kind.chars().take(LONGEST_KIND).collect());
        }
    }

    fn note_schema(&mut self, schema: u64, rdpscope: &str) {
        let rdpscope = rdpscope.chars().take(LONGEST_KIND).collect();
        let problem = Problem::OtherSchema { found: schema, rdpscope };
        if schema != u64::from(SCHEMA_VERSION) && !self.reading.problems.contains(&problem) {
            self.reading.problems.push(problem);
        }
    }

    fn begin(&mut self, session: Option<&str>) {
        let place = self.reading.records.len();
        self.reading.records.push(Record::default());
        self.current = Some(place);
        if let Some(session) = session {
            self.sessions.insert(session.to_owned(), place);
        }
    }

    fn take(&mut self, line: Line, tag: &Tag<'_>) {
        let named = tag.session.as_deref().filter(|_| tag.event.as_deref() != Some(CONNECTION_MOVED));
        match &line {
            Line::Comparison(comparison) => {
                self.reading.comparison = Some((**comparison).clone());
                return;
            }
            Line::Trace(header) => {
                self.note_schema(header.schema.into(), &header.rdpscope);
                self.begin(Some(&header.session));
            }
            Line::Probe(_) | Line::Experiment(_) if !self.current_is_bare() => self.begin(None),
            _ => {}
        }
        let place = named.and_then(|session| self.sessions.get(session).copied()).or(self.current);
        let place = place.unwrap_or_else(|| {
            self.begin(named);
            self.reading.records.len() - 1
        });
        self.reading.records[place].push(line);
    }

    /// Whether the current record has its first line and nothing else.
    fn current_is_bare(&self) -> bool {
        let record = self.current.and_then(|place| self.reading.records.get(place));
        record.is_some_and(|record| {
            record.events.is_empty()
                && record.phases.is_empty()
                && record.probe.is_none()
                && record.experiment.is_none()
                && record.verdict.is_none()
                && record.end.is_none()
        })
    }

    /// Everything that the lines held.
    pub fn finish(mut self) -> Result<Reading, NotATrace> {
        if self.ours == 0 {
            return Err(self.what_else());
        }
        if let Some((first, count)) = self.broken {
            self.reading.problems.push(Problem::Broken { first, count });
        }
        if self.unknown > 0 {
            let mut kinds: Vec<String> = self.unknown_kinds.into_iter().collect();
            if kinds.len() > MOST_KINDS_NAMED {
                kinds.truncate(MOST_KINDS_NAMED);
                kinds.push("and others".to_owned());
            }
            self.reading.problems.push(Problem::Unknown { kinds, count: self.unknown });
        }
        self.reading.problems.extend(self.cut.map(|line| Problem::CutShort { line }));
        Ok(self.reading)
    }

    fn what_else(&self) -> NotATrace {
        if !self.is_of_text {
            NotATrace::Empty
        } else if is_capture(&self.beginning) {
            NotATrace::Capture
        } else {
            NotATrace::Other
        }
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

fn broken(first: &usize, count: &usize) -> String {
    match count {
        1 => format!("line {first} is no line of a trace and is left out"),
        count => format!("{count} lines, from line {first} on, are no lines of a trace and are left out"),
    }
}

fn plural(count: &usize) -> &'static str {
    if *count == 1 { "" } else { "s" }
}

fn is(count: &usize) -> &'static str {
    if *count == 1 { "is" } else { "are" }
}

#[cfg(test)]
mod tests;
