//! A record and its verdict as text for a terminal: the answer first, then why, then what to do.
//!
//! Nothing here prints, looks at a terminal or asks a clock. Every text from the wire passes [`safe::neutralise`] when
//! it is laid out.

pub mod analysis;
mod compare;
mod document;
mod experiment;
mod html;
mod layout;
mod live;
mod markdown;
pub mod probe;
pub mod safe;
mod screen;
mod story;
mod time;
mod verdict;
mod words;

#[cfg(test)]
mod tests;

pub use compare::{Contrast, Difference, Weight, contrast, contrast_text};
pub use document::{Document, Fleet, Host, HostValue, NotTwo, Subject};
pub use experiment::{KeptExperiment, experiment};
pub use html::html;
pub use layout::Style;
pub(crate) use layout::wrap;
pub use live::LiveText;
pub use markdown::markdown;
pub use screen::{MOST_FOLLOWED, Screen, Shown};

use crate::trace::{Altered, Event, Line, Micros, Phase, PhaseRecord, Record};

/// A finished, or broken off, record as text: every phase, then the verdict.
pub fn text(record: &Record, style: &Style) -> String {
    let (mut course, verdict) = course_and_verdict(record, style);
    course.extend(verdict.map(|verdict| format!("\n{verdict}")));
    course.join("\n")
}

/// The same the other way round: the answer first.
pub fn answer_first(record: &Record, style: &Style) -> String {
    let (course, verdict) = course_and_verdict(record, style);
    let course = course.join("\n");
    match verdict {
        Some(verdict) => format!("{verdict}\n\n{course}"),
        None => course,
    }
}

/// Every phase, and apart from them the verdict.
fn course_and_verdict(record: &Record, style: &Style) -> (Vec<String>, Option<String>) {
    let label = record.header.as_ref().map_or("without a header", |header| &header.session);
    let mut live = LiveText::new(label, *style);
    let header = record.header.iter().map(|header| Line::Trace(header.clone()));
    let findings = record.findings.iter().map(|finding| Line::Finding(finding.clone()));
    let verdict = record.verdict.iter().map(|verdict| Line::Verdict(Box::new(verdict.clone())));
    let mut texts: Vec<String> = header.filter_map(|line| live.line(&line)).collect();
    texts.extend(in_order(record).filter_map(|seen| live.seen(seen)));
    texts.extend(findings.chain(verdict).filter_map(|line| live.line(&line)));
    texts.extend(match &record.end {
        Some(end) => live.line(&Line::End(end.clone())),
        None => live.cut_short(),
    });
    (texts, live.verdict())
}

/// Everything that `document` tells, one after the other; experiments and what sets the targets of a probe apart first.
pub fn document_text(document: &Document, style: &Style) -> String {
    let (experiments, others): (Vec<&Subject>, Vec<&Subject>) =
        document.subjects.iter().partition(|subject| subject.record.experiment.is_some());
    if let (Some(contrast), 0) = (&document.contrast, style.verbose) {
        return contrast_text(contrast, style);
    }
    let mut parts: Vec<String> =
        document.contrast.iter().map(|contrast| contrast_text(contrast, style)).collect();
    for subject in experiments {
        let kept = KeptExperiment { file: Some(&subject.source), traces: None };
        parts.extend(document.finished(&subject.record).map(|finished| experiment(&finished, kept, style)));
    }
    if let Some(fleet) = &document.fleet {
        let probed = others.iter().filter(|subject| subject.record.probe.is_some());
        let rows: Vec<probe::Row> = probed.map(|subject| probe::Row::new(&subject.record)).collect();
        parts.push(probe::summary_table(&rows, &fleet.comparison, style));
    }
    for subject in others {
        let told = match &subject.record.probe {
            Some(_) => probe::text(&subject.record, style),
            None => text(&subject.record, style),
        };
        let notes = subject.notes().into_iter().map(|note| format!("\n{note}"));
        parts.push(told + &notes.collect::<String>());
    }
    parts.join("\n\n")
}

/// What stands in a record in the order of time.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Event(&'a Event),
    Altered(&'a Altered),
    Phase(&'a PhaseRecord),
}

impl Seen<'_> {
    fn to_line(self) -> Line {
        match self {
            Seen::Event(event) => Line::Event(event.clone()),
            Seen::Altered(altered) => Line::Altered(altered.clone()),
            Seen::Phase(phase) => Line::Phase(phase.clone()),
        }
    }
}

/// What was seen and changed, and the phases, in the order of time; at the same time in the order of phases, a phase
/// after its events.
fn in_order(record: &Record) -> impl Iterator<Item = Seen<'_>> {
    let events = record.events.iter().map(|it| ((it.t_us, it.phase, false), Seen::Event(it)));
    let altered = record.altered.iter().map(|it| ((it.t_us, it.phase, false), Seen::Altered(it)));
    let phases = record.phases.iter().map(|it| ((it.end_us, it.phase, true), Seen::Phase(it)));
    let mut seen: Vec<((Micros, Phase, bool), Seen<'_>)> = events.chain(altered).chain(phases).collect();
    seen.sort_by_key(|(key, _)| *key);
    seen.into_iter().map(|(_, seen)| seen)
}
