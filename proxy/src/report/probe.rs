//! What a probe found, as text: of one target everything with the answer first, of many a line each and a table.

mod blocks;
mod fleet;
mod gateway;

pub use fleet::{Row, natural_order, progress_line, summary_table};

use super::verdict::Conclusion;
use super::{LiveText, Seen, Style, in_order, time};
use crate::trace::{Detail, Event, Line, Record, Verdict};

/// One target: the verdict, why and what to do; then the phases of one connection, and what each check found.
pub fn text(record: &Record, style: &Style) -> String {
    let conclusion = record.verdict.as_ref().map(|verdict| {
        let conclusion =
            Conclusion { verdict, findings: &record.findings, trace: None, capture: None, session: None };
        conclusion.text(style)
    });
    let parts = [conclusion, timeline(record, style), blocks::text(record, style)];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// One target in short: the verdict, why and what mends it.
pub fn answer(record: &Record, style: &Style) -> String {
    let Some(verdict) = &record.verdict else { return String::new() };
    let verdict = Verdict { next: Vec::new(), ..verdict.clone() };
    Conclusion { verdict: &verdict, findings: &[], trace: None, capture: None, session: None }.text(style)
}

/// What each check found, in their order; of several lines of one check only the first has its name.
pub(super) fn checks(record: &Record, style: &Style) -> Vec<(&'static str, String)> {
    blocks::items(record, style)
}

/// The lines of one target in JSON Lines: what the checks found, the phases of the conversation, findings, summary,
/// verdict. With `events` also everything that was seen in it.
pub fn lines(record: &Record, events: bool) -> Vec<Line> {
    let mut lines: Vec<Line> = record.probe.iter().map(|probe| Line::Probe(probe.clone())).collect();
    let seen = in_order(record).filter(|seen| events || !matches!(seen, Seen::Event(_)));
    lines.extend(seen.map(Seen::to_line));
    lines.extend(record.findings.iter().map(|finding| Line::Finding(finding.clone())));
    lines.extend(record.summary.iter().map(|summary| Line::Summary(summary.clone())));
    lines.extend(record.verdict.iter().map(|verdict| Line::Verdict(Box::new(verdict.clone()))));
    lines
}

/// The phases of the conversation, with their bars.
fn timeline(record: &Record, style: &Style) -> Option<String> {
    let mut live = LiveText::new("", *style).without_heading();
    let header = record.header.iter().map(|header| Line::Trace(header.clone()));
    // Who trusts the certificate stands below, with the rest of what is known of it.
    let is_told = |seen: &Seen<'_>| {
        !matches!(seen, Seen::Event(Event { detail: Detail::CertificateJudged { .. }, .. }))
    };
    let mut texts: Vec<String> = header.filter_map(|line| live.line(&line)).collect();
    texts.extend(in_order(record).filter(is_told).filter_map(|seen| live.seen(seen)));
    if texts.is_empty() { None } else { Some(texts.join("\n")) }
}

/// When the probe began, seconds since 1970.
fn started(record: &Record) -> Option<i64> {
    record.probe.as_ref()?.started.parse::<jiff::Timestamp>().ok().map(|at| at.as_second())
}

/// `1 connection`, `3 connections`.
fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
