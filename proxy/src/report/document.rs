//! What a report is of: sessions, targets and experiments, from one file or several.

use super::compare::{Contrast, contrast};
use super::safe;
use crate::diagnose::{self, Context};
use crate::experiment::Finished;
use crate::trace::{Comparison, Experiment, Record, Verdict};
use serde::Serialize;
use std::borrow::Cow;

/// Everything that one report tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// Sessions, targets and experiments in their order.
    pub subjects: Vec<Subject>,
    /// Several targets of a probe side by side.
    pub fleet: Option<Fleet>,
    /// The two subjects held against each other, where that was asked for.
    pub contrast: Option<Contrast>,
    /// What is to be known of the files: what could not be read. A sentence each, without its full stop.
    pub notes: Vec<String>,
}

/// One session, target or experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// What was recorded.
    pub record: Record,
    /// Where it was read from.
    pub source: String,
    /// The trace had no verdict: the one in the record was made by this reading.
    pub judged_here: bool,
}

/// The targets of a probe side by side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    /// What sets the failing ones apart.
    pub comparison: Comparison,
    /// The names of what is compared, in the order of the phases.
    pub properties: Vec<&'static str>,
    /// The targets, in the order of the document's subjects.
    pub hosts: Vec<Host>,
}

/// One target of a fleet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Host {
    /// The place of its subject.
    pub subject: usize,
    /// What is known of it: the class of each of the fleet's properties and the exact words.
    pub values: Vec<Option<HostValue>>,
}

/// What is known of a target in one respect.
#[derive(Debug, Clone, PartialEq)]
pub struct HostValue {
    /// What is compared.
    pub class: Cow<'static, str>,
    /// How it is told.
    pub words: String,
}

impl Subject {
    /// A record as it was read; judged here where it should have a verdict and has none.
    pub fn new(mut record: Record, source: String) -> Subject {
        let is_due = record.verdict.is_none() && record.experiment.is_none() && !record.is_empty();
        if is_due {
            let diagnosis = diagnose::diagnose(&record, &Context::default());
            record.verdict = Some(diagnosis.verdict);
            record.findings = diagnosis.findings;
        }
        Subject { record, source, judged_here: is_due }
    }

    /// What the user named.
    pub fn target(&self) -> &str {
        let of_header = self.record.header.as_ref().map(|header| header.target.as_str());
        let of_probe = || self.record.probe.as_ref().map(|probe| probe.target.as_str());
        of_header.or_else(of_probe).unwrap_or("an unknown target")
    }

    /// The session's id; nothing where it has none.
    pub fn session(&self) -> Option<&str> {
        self.record.header.as_ref().map(|header| header.session.as_str())
    }

    /// The wall clock at its beginning.
    pub fn started(&self) -> Option<jiff::Timestamp> {
        let of_header = self.record.header.as_ref().map(|header| header.started.as_str());
        let of_probe = || self.record.probe.as_ref().map(|probe| probe.started.as_str());
        of_header.or_else(of_probe)?.parse().ok()
    }

    /// What it is, in a few words: `session with srv10:3389`.
    pub fn title(&self) -> String {
        let target = safe::name(self.target());
        let Record { experiment, probe, .. } = &self.record;
        match (experiment, probe) {
            (Some(experiment), _) if self.record.header.is_none() => {
                format!("Experiment: {}", safe::name(&experiment.factor))
            }
            (Some(experiment), _) => format!("Experiment with {target}: {}", safe::name(&experiment.factor)),
            (None, Some(_)) => format!("Probe of {target}"),
            (None, None) => format!("Session with {target}"),
        }
    }

    /// Whether its verdict is a fault.
    pub fn fails(&self) -> bool {
        self.record.verdict.as_ref().is_some_and(Verdict::is_fault)
    }

    /// What is to be known of the record itself, beyond what it says.
    pub fn notes(&self) -> Vec<&'static str> {
        let is_session = self.record.probe.is_none() && self.record.experiment.is_none();
        let mut notes = Vec::new();
        if self.judged_here {
            notes.push("The trace has no verdict: this one was made by this reading, from what is there.");
        }
        if is_session && self.record.end.is_none() {
            notes.push("The trace breaks off before the end of the session.");
        }
        notes
    }
}

/// Why nothing can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "--compare takes two sessions, one that works and one that fails, and here {count} were read; name the folder or file of each"
)]
pub struct NotTwo {
    /// How many there are.
    pub count: usize,
}

impl Document {
    /// Holds the second subject against the first; where only the first fails they change places.
    pub fn compare(&mut self) -> Result<(), NotTwo> {
        let [working, failing] = &self.subjects[..] else {
            return Err(NotTwo { count: self.subjects.len() });
        };
        if working.fails() && !failing.fails() {
            self.subjects.swap(0, 1);
        }
        self.contrast = Some(contrast(&self.subjects[0], &self.subjects[1]));
        Ok(())
    }

    /// The experiment of `record` with what the sessions of this document add to it.
    pub fn finished(&self, record: &Record) -> Option<Finished> {
        let line = Experiment::clone(record.experiment.as_deref()?);
        let runs = line.arms.first().into_iter().flat_map(|arm| &arm.runs);
        // From the last on, which is the one that the experiment itself tells.
        let mut failing = runs.rev().filter(|run| run.verdict.is_fault()).peekable();
        let fails = failing.peek().is_some();
        let last = failing.find_map(|run| self.place_of(&run.session));
        let observed = last.and_then(|place| self.subjects[place].record.verdict.clone());
        Some(Finished { proven: record.verdict.clone(), observed, fails, line })
    }

    /// The experiment that the other subjects belong to, where there is one.
    pub fn experiment(&self) -> Option<&Subject> {
        let mut experiments = self.subjects.iter().filter(|subject| subject.record.experiment.is_some());
        experiments.next().filter(|_| experiments.next().is_none())
    }

    /// The arm of the experiment to which the session belongs.
    pub fn arm_of<'a>(&'a self, subject: &'a Subject) -> Option<&'a str> {
        let experiment = self.experiment()?.record.experiment.as_ref()?;
        let of_settings =
            subject.record.header.as_ref().and_then(|header| header.settings.get("arm")?.as_str());
        let session = subject.session()?;
        let arm = experiment.arms.iter().find(|arm| arm.runs.iter().any(|run| run.session == session));
        arm.map(|arm| arm.name.as_str()).or(of_settings)
    }

    /// The place of the subject with this session's id.
    pub fn place_of(&self, session: &str) -> Option<usize> {
        self.subjects.iter().position(|subject| subject.session() == Some(session))
    }

    /// The conclusion of each subject, as a value for one line of JSON.
    pub fn conclusions(&self) -> impl Iterator<Item = impl Serialize> {
        self.subjects.iter().map(|subject| {
            let Record { header, summary, verdict, findings, experiment, end, .. } = &subject.record;
            ConclusionLine {
                kind: "report",
                source: &subject.source,
                target: subject.target(),
                trace: header.as_ref(),
                experiment: experiment.as_deref(),
                summary: summary.as_deref(),
                verdict: verdict.as_ref(),
                judged_here: subject.judged_here,
                findings,
                end: end.as_ref(),
                notes: subject.notes().into_iter().map(str::to_owned).chain(self.notes.clone()).collect(),
            }
        })
    }
}

/// What a record came to, in one line of JSON.
#[derive(Serialize)]
struct ConclusionLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// The file.
    source: &'a str,
    target: &'a str,
    /// The first line of the trace.
    trace: Option<&'a crate::trace::Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    experiment: Option<&'a crate::trace::Experiment>,
    summary: Option<&'a crate::trace::Summary>,
    verdict: Option<&'a Verdict>,
    /// The verdict was made by this reading.
    judged_here: bool,
    findings: &'a [crate::trace::Finding],
    end: Option<&'a crate::trace::End>,
    notes: Vec<String>,
}
