//! Experiments: the same session over and over, with one thing changed in every other attempt, until it is clear
//! whether that decides about the outcome, and what exactly does.
//!
//! Nothing here connects: [`Experiment::due`] says which arm is due, [`Experiment::note`] takes the record of what
//! came of it, and [`Experiment::finish`] concludes.

mod bisection;
mod conclusion;
mod confounding;
mod factor;
mod progress;
mod schedule;
mod statistics;
#[cfg(test)]
mod tests;
mod transport;
mod untried;
mod verdict;

pub use factor::{Arm, ArmSettings, Factor, FactorError, Role};
pub use progress::{Depth, counts, furthest};
pub use schedule::{Attempt, Experiment};
pub use statistics::{Tally, fisher_exact};

use crate::trace::{self, ExperimentArm, ExperimentConclusion, ExperimentRun, Verdict, VerdictId};
use confounding::Confounders;

/// What an experiment came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Its line.
    pub line: trace::Experiment,
    /// The verdict that it proves; absent where it proves none.
    pub proven: Option<Verdict>,
    /// Why the session fails as far as the sessions tell by themselves; absent where it does not fail.
    pub observed: Option<Verdict>,
    /// Whether the session fails as it is, in one attempt at least.
    pub fails: bool,
}

impl Finished {
    /// Whether there is something to mend.
    pub fn has_fault(&self) -> bool {
        self.fails || self.proven.is_some() || self.observed.is_some()
    }
}

impl Experiment {
    /// What follows from the attempts so far.
    pub fn finish(&self) -> Finished {
        let confounders = Confounders::of(self);
        let found = conclusion::conclude(self, &confounders);
        let arms = self.arms.iter().map(shown).collect();
        let conclusion = ExperimentConclusion {
            effect: found.effect,
            guilty: found.guilty.clone(),
            p_value: found.p_value,
            because: found.because.join(" "),
        };
        let line = trace::Experiment {
            factor: self.factor.word().to_owned(),
            arms,
            conclusion,
            confounders: confounders.shown(found.decided_by),
        };
        Finished {
            line,
            proven: verdict::proven(self, &found),
            observed: verdict::observed(self).cloned(),
            fails: self.bar().is_some(),
        }
    }
}

fn shown(state: &schedule::ArmState) -> ExperimentArm {
    let run = |observed: &schedule::Observed| {
        let record = &observed.record;
        let reached = record.summary.as_ref().and_then(|summary| summary.reached);
        ExperimentRun {
            reached,
            reached_us: reached.and_then(|phase| progress::came_through_us(record, phase)),
            began: progress::began(record),
            verdict: record.verdict.as_ref().map_or(VerdictId::ClientClosed, |verdict| verdict.id),
            session: record.header.as_ref().map(|header| header.session.clone()).unwrap_or_default(),
        }
    };
    ExperimentArm {
        name: state.arm.name.clone(),
        description: state.arm.description.clone(),
        runs: state.observed.iter().map(run).collect(),
    }
}
