//! Many targets: a line each as they come, then a table, counts, and what is different about the ones that fail.

use super::{count, started, time};
use crate::report::layout::{Look, Page};
use crate::report::{Style, safe, words};
use crate::trace::{Comparison, Confidence, Micros, Phase, Record, VerdictId};
use std::cmp::Reverse;

/// Columns of a target's name; longer ones push the rest of their line.
const MOST_TARGET_COLUMNS: usize = 40;
/// Working targets that the table lists; of more only the number is told, except with `-v`.
const MOST_WORKING_LISTED: usize = 20;
/// Columns before the counts and the differences.
const INDENT: usize = 11;

/// What the table keeps of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The target, `host:port`.
    pub target: String,
    /// Its verdict and how sure that is.
    pub verdict: Option<(VerdictId, Confidence)>,
    /// The last phase that came to a good end.
    pub reached: Option<Phase>,
    /// How long its probe took, µs.
    pub took_us: Micros,
    /// What is worth a glance, in words.
    pub facts: String,
}

impl Row {
    /// What `record` says of its target.
    pub fn new(record: &Record) -> Row {
        let probe = record.probe.as_ref();
        Row {
            target: probe.map(|probe| probe.target.clone()).unwrap_or_default(),
            verdict: record.verdict.as_ref().map(|verdict| (verdict.id, verdict.confidence)),
            reached: record.summary.as_ref().and_then(|summary| summary.reached),
            took_us: probe.map_or(0, |probe| probe.took_us),
            facts: facts(record),
        }
    }

    /// Whether its verdict is a fault.
    pub fn fails(&self) -> bool {
        self.verdict.is_some_and(|(id, _)| id.is_fault())
    }

    fn verdict(&self) -> (&'static str, String) {
        match self.verdict {
            Some((id, confidence)) => (id.as_str(), confidence.to_string()),
            None => ("no verdict", String::new()),
        }
    }

    fn reached(&self) -> &'static str {
        self.reached.map_or("-", Phase::id)
    }

    fn mark(&self, style: &Style) -> String {
        match self.fails() {
            true => style.paint(Look::Bad, "FAIL"),
            false => style.paint(Look::Good, "ok  "),
        }
    }
}

/// One target as it comes; `columns` is the width of the longest target.
pub fn progress_line(row: &Row, columns: usize, style: &Style) -> String {
    let columns = columns.min(MOST_TARGET_COLUMNS);
    let target = safe::neutralise(&row.target, style.ascii);
    let (verdict, confidence) = row.verdict();
    let reached = row.reached.map_or_else(String::new, |phase| format!(", {phase} done"));
    let mut text = format!("{verdict} ({confidence}){reached}");
    if !row.facts.is_empty() {
        text += &format!(": {}", row.facts);
    }
    let mut page = Page::new(style, "");
    let width = 4 + 1 + columns.max(target.chars().count()) + 1;
    page.beside(&format!("{} {target:<columns$} ", row.mark(style)), width, &text);
    page.finish().unwrap_or_default()
}

/// All targets, the failing ones first; then how many there are of each verdict, and in what they differ.
pub fn summary_table(rows: &[Row], comparison: &Comparison, style: &Style) -> String {
    let mut page = Page::new(style, "");
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_cached_key(|row| {
        let verdict = row.verdict.map(|(id, confidence)| (id, Reverse(confidence)));
        (!row.fails(), verdict, natural_order(&row.target))
    });
    let columns = sorted.iter().map(|row| row.target.chars().count()).max().unwrap_or_default();
    let columns = columns.min(MOST_TARGET_COLUMNS);
    let working = sorted.iter().filter(|row| !row.fails()).count();
    let folds = working > MOST_WORKING_LISTED && style.verbose == 0;
    let heads = ["target", "verdict", "sure", "reached", "time"];
    page.row(&style.paint(Look::Heading, &format!("     {}", cells(heads, columns))));
    for row in sorted.iter().filter(|row| row.fails() || !folds) {
        page.row(&line(row, columns, style));
    }
    if folds {
        page.beside("", 0, &format!("{working} more work (-v lists them)"));
    }
    page.blank();
    heading(&mut page, style, "TARGETS", &counts(comparison));
    for (place, sentence) in comparison.sentences.iter().enumerate() {
        heading(&mut page, style, if place == 0 { "difference" } else { "" }, sentence);
    }
    page.finish().unwrap_or_default()
}

fn heading(page: &mut Page<'_>, style: &Style, name: &str, text: &str) {
    page.beside(&style.paint(Look::Heading, &format!("{name:<INDENT$}")), INDENT, text);
}

fn line(row: &Row, columns: usize, style: &Style) -> String {
    let (verdict, confidence) = row.verdict();
    let target = safe::neutralise(&row.target, style.ascii);
    let took = time::short(row.took_us);
    format!("{} {}", row.mark(style), cells([&target, verdict, &confidence, row.reached(), &took], columns))
}

/// Target, verdict, confidence, phase reached and time, in columns.
fn cells([target, verdict, confidence, reached, took]: [&str; 5], columns: usize) -> String {
    format!("{target:<columns$} {verdict:<24} {confidence:<9} {reached:<8} {took:>7}")
}

/// `2 of 10 targets fail: certificate-expired 1, tcp-refused 1, healthy 8`.
fn counts(comparison: &Comparison) -> String {
    let Comparison { targets, failing, without_result, .. } = comparison;
    let mut verdicts: Vec<(&String, &usize)> = comparison.verdicts.iter().collect();
    verdicts.sort_by_key(|(_, count)| Reverse(**count));
    let verdicts: Vec<String> = verdicts.iter().map(|(id, count)| format!("{count} {id}")).collect();
    let fail = if *failing == 1 { "fails" } else { "fail" };
    let mut text = format!("{failing} of {} {fail}", count(*targets as u64, "target"));
    if !verdicts.is_empty() {
        text += &format!(": {}", verdicts.join(", "));
    }
    if *without_result > 0 {
        text += &format!("; {without_result} more were not finished");
    }
    text
}

/// What sorts `srv2` before `srv10`: what is no digit as it is, and numbers by their size.
pub fn natural_order(target: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = target;
    while !rest.is_empty() {
        let number_at = rest.find(|character: char| character.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(number_at);
        let end = after.find(|character: char| !character.is_ascii_digit()).unwrap_or(after.len());
        let (number, after) = after.split_at(end);
        parts.push((text.to_owned(), number.parse().unwrap_or_default()));
        rest = after;
    }
    parts
}

fn facts(record: &Record) -> String {
    let mut facts = Vec::new();
    if let Some(summary) = &record.summary {
        facts.extend(summary.selected_protocol.as_deref().map(safe::name));
        facts.extend(summary.tls_version.as_deref().map(words::version));
    }
    let Some(probe) = &record.probe else { return facts.join(", ") };
    let certificate = probe.certificate.as_ref().and_then(|check| check.chain.first());
    if let Some((certificate, now)) = certificate.zip(started(record)) {
        facts.push(format!("certificate {}", certificate.validity_words(now)));
    }
    if let Some(challenge) = probe.challenge() {
        facts.extend(challenge.netbios_computer.as_deref().map(safe::name));
        facts.extend(challenge.version.map(|version| version.words()));
    }
    let connected = probe.tcp.iter().flat_map(|check| check.rounds.iter().flatten()).min();
    facts.extend(connected.map(|us| format!("connects in {}", time::short(*us))));
    facts.join(", ")
}
