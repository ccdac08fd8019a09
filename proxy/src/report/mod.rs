//! A record and its verdict as text for a terminal: the answer first, then why, then what to do.
//!
//! Nothing here prints, looks at a terminal or asks a clock. Every text from the wire passes [`safe::neutralise`] when
//! it is laid out.

mod layout;
mod live;
pub mod safe;
mod screen;
mod time;
mod verdict;
mod words;

#[cfg(test)]
mod tests;

pub use layout::Style;
pub use live::LiveText;
pub use screen::Screen;

use crate::trace::{Line, Micros, Record};

/// A finished, or broken off, record as text: every phase, then the verdict.
pub fn text(record: &Record, style: &Style) -> String {
    let label = record.header.as_ref().map_or("without a header", |header| &header.session);
    let mut live = LiveText::new(label, *style);
    let header = record.header.iter().map(|header| Line::Trace(header.clone()));
    let findings = record.findings.iter().map(|finding| Line::Finding(finding.clone()));
    let verdict = record.verdict.iter().map(|verdict| Line::Verdict(Box::new(verdict.clone())));
    let lines = header.chain(in_order(record)).chain(findings).chain(verdict);
    let mut texts: Vec<String> = lines.filter_map(|line| live.line(&line)).collect();
    texts.extend(live.conclude(record.end.as_ref()));
    texts.join("\n")
}

/// What was seen and changed and the phases it belongs to, in the order of time; a phase after its last event.
fn in_order(record: &Record) -> impl Iterator<Item = Line> {
    let mut lines: Vec<(Micros, u8, Line)> = Vec::new();
    lines.extend(record.events.iter().map(|event| (event.t_us, 0, Line::Event(event.clone()))));
    lines.extend(record.altered.iter().map(|altered| (altered.t_us, 0, Line::Altered(altered.clone()))));
    lines.extend(record.phases.iter().map(|phase| (phase.end_us, 1, Line::Phase(phase.clone()))));
    lines.sort_by_key(|(t_us, rank, _)| (*t_us, *rank));
    lines.into_iter().map(|(_, _, line)| line)
}
