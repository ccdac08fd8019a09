//! A record taken apart for what has more room than a terminal: each phase with its words, each message with who sent
//! it.

use super::live::phase_name;
use super::{LiveText, Seen, Style, in_order, safe, words};
use crate::trace::{Detail, Event, Leg, Line, Micros, Outcome, Phase, PhaseRecord, Record, Side};

/// How text inside is laid out by [`LiveText`]; nothing of it is shown.
const NO_STYLE: Style = Style { color: false, width: 80, verbose: 0, ascii: false };

/// One phase in words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToldPhase {
    pub(super) record: PhaseRecord,
    /// Its name, of two handshakes with the leg.
    pub(super) name: &'static str,
    /// What happened in it, a clause each.
    pub(super) words: Vec<String>,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    Client,
    Rdpscope,
    Server,
}

/// One message, or something that rdpscope did, in words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) t_us: Micros,
    pub(super) speaker: Speaker,
    pub(super) phase: Phase,
    /// Of an attempt with several connections the number of its own.
    pub(super) connection: Option<u32>,
    pub(super) inferred: bool,
    pub(super) failed: bool,
    pub(super) text: String,
}

/// A record with its phases in words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Story {
    pub(super) phases: Vec<ToldPhase>,
    /// How it ended; nothing where a probe drove the phases itself.
    pub(super) ending: Option<String>,
}

impl Story {
    /// Every phase of `record` in the order in which they began.
    pub(super) fn of(record: &Record) -> Story {
        let mut live = LiveText::new("", NO_STYLE).without_heading();
        record.header.iter().for_each(|header| drop(live.line(&Line::Trace(header.clone()))));
        let mut phases = Vec::new();
        let mut of_udp = Vec::new();
        for seen in in_order(record) {
            match seen {
                Seen::Phase(phase) => {
                    let words = match (phase.phase, phase.leg) {
                        (Phase::Tcp, Some(Leg::Client)) => accepted(record),
                        (Phase::Udp, _) => std::mem::take(&mut of_udp),
                        (Phase::Closed, _) => Vec::new(),
                        _ => live.told_phase(phase),
                    };
                    phases.push(ToldPhase { record: phase.clone(), name: phase_name(phase), words });
                }
                Seen::Event(Event { detail: Detail::Udp(message), .. }) => {
                    of_udp.extend(words::udp(message).map(|(_, text)| text));
                }
                _ => drop(live.seen(seen)),
            }
        }
        phases.sort_by_key(|told| (told.record.start_us, told.record.phase));
        let ending = live.told_end(record.end.as_ref()).join("; ");
        Story { phases, ending: record.probe.is_none().then_some(ending) }
    }
}

fn accepted(record: &Record) -> Vec<String> {
    let peer = record.find(|detail| match detail {
        Detail::Accepted { peer, .. } => Some(peer),
        _ => None,
    });
    peer.map(|(_, peer)| format!("{} connected", safe::name(peer))).into_iter().collect()
}

/// Messages of a record, with how many there is no room for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Messages {
    pub(super) messages: Vec<Message>,
    pub(super) left_out: usize,
}

/// At most `most` messages of `record` in the order of time. Of more those in the middle are left out: at the beginning
/// it is agreed what is spoken, and at the end the reason is.
pub(super) fn messages(record: &Record, target: &str, most: usize) -> Messages {
    let started = record.header.as_ref().and_then(|header| header.started.parse::<jiff::Timestamp>().ok());
    let started = started.map(|at| at.as_microsecond());
    let mut told: Vec<&Event> = record.events.iter().filter(|event| is_told(event)).collect();
    told.sort_by_key(|event| (event.t_us, event.phase));
    let left_out = told.len().saturating_sub(most);
    if left_out > 0 {
        let last = told.split_off(told.len() - most / 2);
        told.truncate(most - last.len());
        told.extend(last);
    }
    let messages = told.into_iter().map(|event| message(event, target, started)).collect();
    Messages { messages, left_out }
}

/// What the system says of TCP belongs to no moment.
fn is_told(event: &Event) -> bool {
    !matches!(event.detail, Detail::TcpInfo(_))
}

fn message(event: &Event, target: &str, started: Option<i64>) -> Message {
    let name = words::event_name(&event.detail).replace('_', " ");
    let clauses = words::single(event, target, started);
    let text = if clauses.is_empty() { name } else { format!("{name}: {}", clauses.join("; ")) };
    Message {
        t_us: event.t_us,
        speaker: match event.from {
            Some(Side::Client) => Speaker::Client,
            Some(Side::Server) => Speaker::Server,
            None => Speaker::Rdpscope,
        },
        phase: event.phase,
        connection: event.connection,
        inferred: event.inferred,
        failed: event.detail.is_failure(),
        text,
    }
}

/// The sign and the word of an outcome: never the one without the other.
pub(super) fn outcome(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Ok => ("✓", "ok"),
        Outcome::Failed => ("✗", "failed"),
        Outcome::Unfinished => ("⊘", "cut"),
        Outcome::Skipped => ("–", "left out"),
    }
}

/// The leg in words.
pub(super) fn leg(leg: Option<Leg>) -> &'static str {
    match leg {
        Some(Leg::Client) => "client – rdpscope",
        Some(Leg::Server) => "rdpscope – server",
        Some(Leg::Proxy) => "rdpscope",
        None => "client – server",
    }
}
