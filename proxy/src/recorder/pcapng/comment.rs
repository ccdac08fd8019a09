//! What rdpscope says beside the packets of a session.

use super::entry::Lost;
use crate::trace::{Leg, Line, PhaseRecord, Record};
use std::collections::BTreeSet;
use std::time::Duration;

/// Before and behind the numbers in what is said of a loss.
const LOSS: [&str; 3] =
    ["rdpscope: ", " packets with ", " bytes before this one are missing; they came faster than is recorded"];

/// What is said of a line of the trace, where anything is.
pub(super) fn of_line(line: &Line) -> Option<String> {
    match line {
        Line::Phase(phase) => Some(of_phase(phase)),
        Line::Altered(altered) => Some(format!("rdpscope changed {} in {}", altered.field, altered.message)),
        Line::Verdict(verdict) => Some(format!("verdict {}: {}", verdict.id, verdict.summary)),
        _ => None,
    }
}

/// What is said of packets that there was no room for.
pub(super) fn of_loss(lost: Lost) -> String {
    let [before, between, behind] = LOSS;
    format!("{before}{}{between}{}{behind}", lost.packets, lost.bytes)
}

/// What rdpscope may have said in the capture of a session with these records.
#[derive(Debug, Default)]
pub(crate) struct Own(BTreeSet<String>);

impl Own {
    /// All that their lines make it say.
    pub(crate) fn of(records: &[Record]) -> Own {
        let lines = records.iter().cloned().flat_map(Record::into_lines);
        Own(lines.filter_map(|line| of_line(&line)).collect())
    }

    /// Whether `text` looks like what rdpscope says about a whole capture.
    pub(crate) fn is_about_file(&self, text: &str) -> bool {
        !self.0.is_empty() && text.starts_with(ABOUT_FILE)
    }

    /// Whether it said `text`, and nobody else.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.0.contains(text) || is_of_loss(text)
    }
}

/// What is said about a whole capture begins with this and the version.
pub(super) const ABOUT_FILE: &str = "rdpscope ";

fn is_of_loss(text: &str) -> bool {
    let [before, between, behind] = LOSS;
    let numbers = text.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
    let numbers = numbers.and_then(|rest| rest.split_once(between));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(packets, bytes)| is_number(packets) && is_number(bytes))
}

fn of_phase(phase: &PhaseRecord) -> String {
    let leg = match phase.leg {
        Some(Leg::Client) => ", client leg",
        Some(Leg::Server) => ", server leg",
        Some(Leg::Proxy) | None => "",
    };
    let took = Duration::from_micros(phase.end_us.saturating_sub(phase.start_us));
    let inferred = if phase.inferred { " (inferred)" } else { "" };
    format!(
        "phase {} {}{inferred}, {:.1} ms{leg}",
        phase.phase,
        phase.outcome.id(),
        took.as_secs_f64() * 1000.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Outcome, Phase};

    #[test]
    fn what_rdpscope_says_is_known_by_the_trace_and_nothing_else_is() {
        let phase = PhaseRecord {
            phase: Phase::Tls,
            leg: Some(Leg::Client),
            start_us: 1_000,
            end_us: 3_500,
            outcome: Outcome::Failed,
            inferred: false,
            waiting_for_client_us: None,
            waiting_for_server_us: None,
        };
        let record = Record { phases: vec![phase], ..Record::default() };
        let own = Own::of(&[record]);
        assert!(own.has("phase tls failed, 2.5 ms, client leg"));
        assert!(own.has(&of_loss(Lost { packets: 3, bytes: 4000 })));
        for foreign in [
            "phase tls ok, 2.5 ms, client leg",
            "phase tls failed, 2.5 ms, client leg of mia",
            "rdpscope: mia packets with 1 bytes before this one are missing; they came faster than is recorded",
        ] {
            assert!(!own.has(foreign), "{foreign}");
        }
    }
}
