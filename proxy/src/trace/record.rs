//! A whole trace in memory.

use super::{
    Altered, Detail, End, Event, Experiment, Finding, Header, Line, Phase, PhaseRecord, Probe, Summary,
    Verdict,
};

/// Everything a trace says, in the order in which it was said; what conclusions are drawn from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// What it is of; absent until the first line was read.
    pub header: Option<Header>,
    /// What was seen.
    pub events: Vec<Event>,
    /// Phases that ended.
    pub phases: Vec<PhaseRecord>,
    /// What rdpscope changed.
    pub altered: Vec<Altered>,
    /// True, but not the cause.
    pub findings: Vec<Finding>,
    /// What the checks of a probe found; absent where a client was watched.
    pub probe: Option<Box<Probe>>,
    /// The session in one line.
    pub summary: Option<Box<Summary>>,
    /// Why it ended.
    pub verdict: Option<Verdict>,
    /// The experiment that it belongs to.
    pub experiment: Option<Box<Experiment>>,
    /// How it ended.
    pub end: Option<End>,
}

impl Record {
    /// Adds one line.
    pub fn push(&mut self, line: Line) {
        match line {
            Line::Trace(header) => self.header = Some(header),
            Line::Event(event) => self.events.push(event),
            Line::Phase(phase) => self.phases.push(phase),
            Line::Altered(altered) => self.altered.push(altered),
            Line::Finding(finding) => self.findings.push(finding),
            Line::Probe(probe) => self.probe = Some(probe),
            Line::Summary(summary) => self.summary = Some(summary),
            Line::Verdict(verdict) => self.verdict = Some(*verdict),
            Line::Experiment(experiment) => self.experiment = Some(experiment),
            Line::End(end) => self.end = Some(end),
            // It is not of one target.
            Line::Comparison(_) => {}
        }
    }

    /// Whether nothing was seen: it is of no session and no target.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.phases.is_empty() && self.probe.is_none()
    }

    /// Everything it says as the lines of a trace: what was seen and the phases in the order in which they were told, then what
    /// follows from them.
    pub fn into_lines(self) -> Vec<Line> {
        let mut lines: Vec<Line> = self.header.into_iter().map(Line::Trace).collect();
        let mut phases = self.phases.into_iter().peekable();
        for event in self.events {
            while let Some(phase) = phases.next_if(|phase| phase.end_us < event.t_us) {
                lines.push(Line::Phase(phase));
            }
            lines.push(Line::Event(event));
        }
        lines.extend(phases.map(Line::Phase));
        lines.extend(self.altered.into_iter().map(Line::Altered));
        lines.extend(self.probe.map(Line::Probe));
        lines.extend(self.summary.map(Line::Summary));
        lines.extend(self.findings.into_iter().map(Line::Finding));
        lines.extend(self.verdict.map(|verdict| Line::Verdict(Box::new(verdict))));
        lines.extend(self.experiment.map(Line::Experiment));
        lines.extend(self.end.map(Line::End));
        lines
    }

    /// The first event for which `pick` has an answer, with that answer.
    pub fn find<'a, T>(&'a self, pick: impl Fn(&'a Detail) -> Option<T>) -> Option<(&'a Event, T)> {
        self.events.iter().find_map(|event| pick(&event.detail).map(|found| (event, found)))
    }

    /// The last event for which `pick` has an answer, with that answer.
    pub fn find_last<'a, T>(&'a self, pick: impl Fn(&'a Detail) -> Option<T>) -> Option<(&'a Event, T)> {
        self.events.iter().rev().find_map(|event| pick(&event.detail).map(|found| (event, found)))
    }

    /// The last record of a phase.
    pub fn phase(&self, phase: Phase) -> Option<&PhaseRecord> {
        self.phases.iter().rev().find(|record| record.phase == phase)
    }
}

impl FromIterator<Line> for Record {
    fn from_iter<I: IntoIterator<Item = Line>>(lines: I) -> Self {
        let mut record = Record::default();
        lines.into_iter().for_each(|line| record.push(line));
        record
    }
}
