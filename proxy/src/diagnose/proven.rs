//! The verdict that an experiment proves, with what the catalogue advises for that cause.

use super::catalogue::rules;
use super::facts::Facts;
use crate::trace::{Alternative, Confidence, Evidence, Fix, Phase, Record, Summary, Verdict, VerdictId};

/// What an experiment has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// The phase that fails.
    pub phase: Phase,
    /// One sentence: the answer.
    pub summary: String,
    /// What says so.
    pub evidence: Vec<Evidence>,
}

/// The verdict `id` that an experiment has proved, together with `others` that hold as well; names in what mends it are
/// those of `record`.
pub fn proven(id: VerdictId, others: &[VerdictId], record: &Record, proof: Proof) -> Verdict {
    let unknown = Summary::default();
    let facts = Facts::new(record, record.summary.as_deref().unwrap_or(&unknown), false);
    let mut fix: Vec<Fix> = Vec::new();
    for cause in std::iter::once(&id).chain(others) {
        let advised = rules().find(|rule| rule.id == *cause).map(|rule| rule.fix).unwrap_or_default();
        for remedy in advised.iter().map(|remedy| remedy.filled(&facts)) {
            if !fix.contains(&remedy) {
                fix.push(remedy);
            }
        }
    }
    let confirmed = |id: &VerdictId| Alternative { id: *id, confidence: Confidence::Confirmed };
    Verdict {
        id,
        confidence: Confidence::Confirmed,
        phase: proof.phase,
        summary: proof.summary,
        evidence: proof.evidence,
        by_user: false,
        ruled_out: Vec::new(),
        alternatives: others.iter().map(confirmed).collect(),
        next: Vec::new(),
        fix,
    }
}
