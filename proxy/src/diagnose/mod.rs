//! Why a session ended.
use crate::trace::{Confidence, Finding, Phase, Record, Summary, Verdict, VerdictId};

/// What is known besides the record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context {
    /// The client came back and got further.
    pub came_back: bool,
}

/// What follows from a record.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// Why it ended.
    pub verdict: Verdict,
    /// True, but not the cause.
    pub findings: Vec<Finding>,
}

/// Stands in until the catalogue is merged.
pub fn diagnose(_record: &Record, _context: &Context) -> Diagnosis {
    let verdict = Verdict {
        id: VerdictId::Healthy,
        confidence: Confidence::Possible,
        phase: Phase::Closed,
        summary: String::new(),
        evidence: vec![],
        ruled_out: vec![],
        alternatives: vec![],
        next: vec![],
        fix: vec![],
    };
    Diagnosis { verdict, findings: vec![] }
}

/// Stands in until the catalogue is merged.
pub fn may_be_a_prompt(_record: &Record, _summary: &Summary) -> bool {
    false
}
