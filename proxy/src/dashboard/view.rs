//! What the page is told, as JSON. Every text from the wire has been made harmless here; the page only ever shows it as
//! text.

use super::news::{Answer, Beginning, Ending, Progress};
use crate::report::safe;
use crate::trace::{ClosedBy, End, Experiment, How, Leg, Outcome, Phase, PhaseRecord};
use serde::Serialize;
use std::collections::BTreeMap;

/// Phases of one session on the page. There are 20, of which two run on each leg; a peer that goes through one over and
/// over, as by reactivation, fills no page.
const MOST_PHASES: usize = 48;
/// Characters of a sentence on the page.
const LONGEST_SENTENCE: usize = 400;

/// One session.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct SessionView {
    pub(super) id: String,
    /// In the order in which they began, from 1.
    pub(super) number: u64,
    pub(super) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) arm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<String>,
    /// Milliseconds since 1970.
    pub(super) started_ms: i64,
    pub(super) phases: Vec<PhaseView>,
    /// The phase that it is in, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<&'static str>,
    /// How often rdpscope changed bytes.
    pub(super) altered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<VerdictView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<EndView>,
    pub(super) is_over: bool,
}

/// A phase that ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PhaseView {
    pub(super) phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) leg: Option<Leg>,
    pub(super) us: u64,
    pub(super) outcome: Outcome,
    pub(super) inferred: bool,
}

/// Why a session ended.
#[derive(Debug, Clone, Serialize)]
pub(super) struct VerdictView {
    pub(super) id: &'static str,
    pub(super) confidence: String,
    pub(super) phase: &'static str,
    pub(super) summary: String,
    /// Whether something is wrong.
    pub(super) is_fault: bool,
    /// Whether the session came to the end that its user wanted.
    pub(super) is_good: bool,
}

/// How a session ended.
#[derive(Debug, Clone, Serialize)]
pub(super) struct EndView {
    pub(super) us: u64,
    pub(super) closed_by: ClosedBy,
    pub(super) how: How,
    pub(super) bytes_up: u64,
    pub(super) bytes_down: u64,
}

/// All sessions of the run in numbers.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Totals {
    /// Sessions that run.
    pub(super) active: u64,
    /// Those that are over, by verdict.
    pub(super) verdicts: BTreeMap<&'static str, u64>,
    /// Sessions that are over and no longer on the page.
    pub(super) left: u64,
    /// Sessions that run and that the page has no room for.
    pub(super) unseen: u64,
}

/// The experiment.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ExperimentView {
    /// What there is so far, with the conclusion that it allows.
    #[serde(flatten)]
    pub(super) experiment: Experiment,
    /// The attempt that is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<AttemptView>,
}

/// An attempt under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    /// Which of all that were begun, those that did not count included; what the button names.
    pub turn: u64,
    /// Its number among those that count, from 1.
    pub number: usize,
    /// How many there will be, as far as is known now.
    pub total: usize,
    /// The arm's letter.
    pub letter: String,
    /// The arm's name.
    pub arm: String,
    /// The arm in words.
    pub description: String,
    /// Where to connect; absent where a client is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_to: Option<String>,
}

/// What has changed since the last time, or all there is.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Change {
    pub(super) sessions: Vec<SessionView>,
    /// Ids of sessions that left the page.
    pub(super) gone: Vec<String>,
    pub(super) totals: Totals,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) experiment: Option<ExperimentView>,
}

impl EndView {
    /// A session that was relayed has always been ended by somebody.
    fn of(end: &End) -> Option<EndView> {
        Some(EndView {
            us: end.t_us,
            closed_by: end.closed_by?,
            how: end.how?,
            bytes_up: end.bytes_up,
            bytes_down: end.bytes_down,
        })
    }
}

impl SessionView {
    pub(super) fn begin(&mut self, beginning: &Beginning) {
        self.target = safe::name(&beginning.target);
        self.arm = beginning.arm.as_deref().map(safe::name);
        self.started_ms = beginning.started_ms;
    }

    pub(super) fn progress(&mut self, progress: &Progress) {
        self.client = progress.client.as_deref().map(safe::name).or(self.client.take());
        self.current = progress.current.map(Phase::id).or(self.current);
        self.altered += progress.altered;
        let room = MOST_PHASES.saturating_sub(self.phases.len());
        let told = progress.phases.iter().filter(|phase| is_told(phase));
        self.phases.extend(told.take(room).map(PhaseView::of));
    }

    /// Takes the place of all that was known: some of it may have been dropped on the way.
    pub(super) fn end(&mut self, ending: &Ending) {
        self.begin(&ending.beginning);
        self.phases.clear();
        self.altered = 0;
        self.progress(&ending.progress);
        self.current = None;
        self.is_over = true;
        self.verdict = ending.verdict.as_ref().map(VerdictView::of);
        self.end = ending.end.as_ref().and_then(EndView::of);
    }
}

/// Whether a phase has a place of its own: that a client connected says its address, and how it ended the end.
fn is_told(phase: &PhaseRecord) -> bool {
    phase.phase != Phase::Closed && (phase.phase, phase.leg) != (Phase::Tcp, Some(Leg::Client))
}

impl PhaseView {
    fn of(record: &PhaseRecord) -> PhaseView {
        PhaseView {
            phase: record.phase.id(),
            // That of TCP is always the way to the server.
            leg: record.leg.filter(|_| record.phase != Phase::Tcp),
            us: record.duration_us(),
            outcome: record.outcome,
            inferred: record.inferred,
        }
    }
}

impl VerdictView {
    fn of(answer: &Answer) -> VerdictView {
        VerdictView {
            id: answer.id.as_str(),
            confidence: answer.confidence.to_string(),
            phase: answer.phase.id(),
            summary: sentence(&answer.summary),
            is_fault: answer.is_fault,
            is_good: answer.is_good,
        }
    }
}

impl ExperimentView {
    pub(super) fn new(mut experiment: Experiment, attempt: Option<AttemptView>) -> ExperimentView {
        for arm in &mut experiment.arms {
            arm.description = sentence(&arm.description);
            arm.name = safe::name(&arm.name);
        }
        experiment.conclusion.because = sentence(&experiment.conclusion.because);
        experiment.confounders.iter_mut().for_each(|confounder| confounder.text = sentence(&confounder.text));
        ExperimentView { experiment, attempt }
    }
}

/// A sentence that may hold text from the wire: harmless, and cut where it would fill the page.
fn sentence(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST_SENTENCE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    safe::neutralise(&short, false)
}
