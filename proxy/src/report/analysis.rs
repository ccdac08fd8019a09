//! What was found in captures: a row for each attempt, then those that failed in full.

use super::layout::{Look, Page};
use super::{Style, safe, time};
use crate::trace::{ClosedBy, Confidence, Micros, Phase, Record, Transport, VerdictId};

/// The heading of a column.
const ENDED_BY: &str = "ended by";
/// Columns of a time of day with milliseconds.
const TIME_COLUMNS: usize = 12;

/// One attempt in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// RFC 3339.
    pub started: String,
    /// Who dialled.
    pub client: String,
    /// Who was dialled.
    pub server: String,
    /// The last phase that came to a good end.
    pub reached: Option<Phase>,
    /// Who ended it; absent where the capture ends before.
    pub ended_by: Option<ClosedBy>,
    /// Why it ended.
    pub verdict: VerdictId,
    /// Whether something is wrong.
    pub is_fault: bool,
    /// How sure.
    pub confidence: Confidence,
}

impl AttemptRow {
    /// The row of a record that has its verdict.
    pub fn of(record: &Record) -> Option<AttemptRow> {
        let (header, verdict) = (record.header.as_ref()?, record.verdict.as_ref()?);
        let summary = record.summary.as_ref();
        let is_udp = summary.is_some_and(|summary| summary.transport == Some(Transport::Udp));
        let udp_alone = Some(Phase::Udp).filter(|_| is_udp && !verdict.id.is_fault());
        let end = |address: Option<&String>| address.cloned().unwrap_or_else(|| "?".to_owned());
        Some(AttemptRow {
            started: header.started.clone(),
            client: end(summary.and_then(|summary| summary.client.as_ref())),
            server: end(summary.and_then(|summary| summary.server.as_ref())),
            reached: summary.and_then(|summary| summary.reached).or(udp_alone),
            ended_by: record.end.as_ref().and_then(|end| end.closed_by),
            verdict: verdict.id,
            is_fault: verdict.is_fault(),
            confidence: verdict.confidence,
        })
    }
}

/// The answer, and a row for each attempt, in their order.
pub fn table(rows: &[AttemptRow], style: &Style) -> String {
    let mut page = Page::new(style, "");
    page.heading(&answer(rows));
    page.blank();
    let arrow = if style.ascii { "->" } else { "→" };
    let ends: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {arrow} {}", safe::name(&row.client), safe::name(&row.server)))
        .collect();
    let who = ends.iter().map(|ends| ends.chars().count()).max().unwrap_or_default();
    let reached = |row: &AttemptRow| row.reached.map_or("nothing", Phase::id);
    let far = rows.iter().map(|row| reached(row).len()).max().unwrap_or_default().max("reached".len());
    let number = rows.len().to_string().len();
    let head = format!(
        "{:>number$}  {:<TIME_COLUMNS$}  {:<who$}  {:<far$}  {ENDED_BY}  verdict",
        "#",
        "time (UTC)",
        format!("client {arrow} server"),
        "reached"
    );
    page.row(&style.paint(Look::Faint, &head));
    for ((place, row), ends) in (1..).zip(rows).zip(&ends) {
        let look = if row.is_fault { Look::Bad } else { Look::Good };
        let verdict = style.paint(look, row.verdict.as_str());
        page.row(&format!(
            "{place:>number$}  {:<TIME_COLUMNS$}  {ends:<who$}  {:<far$}  {:<ended$}  {verdict} ({})",
            clock(&row.started),
            reached(row),
            ended_by(row.ended_by),
            row.confidence,
            ended = ENDED_BY.len()
        ));
    }
    page.finish().unwrap_or_default()
}

/// `2 of 3 attempts failed: nla-required, certificate-rejected`.
fn answer(rows: &[AttemptRow]) -> String {
    let mut faults: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.is_fault) {
        if !faults.contains(&row.verdict.as_str()) {
            faults.push(row.verdict.as_str());
        }
    }
    let failed = rows.iter().filter(|row| row.is_fault).count();
    match (failed, rows.len()) {
        (0, 1) => "The one attempt shows no fault.".to_owned(),
        (0, all) => format!("None of {all} attempts shows a fault."),
        (failed, all) => format!("{failed} of {all} attempts failed: {}", faults.join(", ")),
    }
}

fn ended_by(who: Option<ClosedBy>) -> &'static str {
    match who {
        Some(ClosedBy::Client) => "client",
        Some(ClosedBy::Server) => "server",
        Some(ClosedBy::Proxy) => "rdpscope",
        None => "(open)",
    }
}

/// The time of day.
fn clock(started: &str) -> String {
    match started.parse::<jiff::Timestamp>() {
        Ok(at) => at.strftime("%H:%M:%S%.3f").to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// What a file was: `customer.pcapng: 1207 packets in 12.3 s from 2024-05-06 12:00:01 UTC`.
pub fn file_line(name: &str, packets: u64, span: Option<(jiff::Timestamp, Micros)>) -> String {
    let name = safe::name(name);
    let packets = if packets == 1 { "1 packet".to_owned() } else { format!("{packets} packets") };
    match span {
        Some((first, lasted)) => {
            let from = first.strftime("%Y-%m-%d %H:%M:%S UTC");
            format!("{name}: {packets} in {} from {from}", time::short(lasted))
        }
        None => format!("{name}: {packets}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { color: false, width: 80, verbose: 0, ascii: true };

    fn row(verdict: VerdictId) -> AttemptRow {
        AttemptRow {
            started: "2024-05-06T12:00:01.25Z".to_owned(),
            client: "10.0.0.1:50000".to_owned(),
            server: "10.0.0.2:3389".to_owned(),
            reached: Some(Phase::X224),
            ended_by: Some(ClosedBy::Server),
            verdict,
            is_fault: verdict.is_fault(),
            confidence: Confidence::Likely,
        }
    }

    #[test]
    fn the_first_line_is_the_answer() {
        let rows = [row(VerdictId::NlaRequired), row(VerdictId::Healthy), row(VerdictId::NlaRequired)];
        let table = table(&rows, &STYLE);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "2 of 3 attempts failed: nla-required");
        assert_eq!(
            lines[3],
            "1  12:00:01.250  10.0.0.1:50000 -> 10.0.0.2:3389  x224     server    nla-required (likely)"
        );
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn nothing_from_the_file_reaches_the_terminal_as_it_is() {
        let bad = AttemptRow { client: "\x1b[2J".to_owned(), ..row(VerdictId::Healthy) };
        assert!(!table(&[bad], &STYLE).contains('\x1b'));
        assert!(!file_line("a\x1b[31m.pcap", 1, None).contains('\x1b'));
    }
}
