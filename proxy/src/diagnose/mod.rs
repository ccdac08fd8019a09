//! Why a session ended: a catalogue of rules over its finished record.
//!
//! Each [`Rule`] looks at [`Facts`], which are gathered once, and answers with a [`Conclusion`] or not at all. Rules
//! whose cause would only be a consequence of another that holds are silent; of the others the surest is the verdict
//! and the rest are its alternatives.

mod catalogue;
pub mod cause;
mod certificate;
mod confounders;
mod ending;
mod exclusions;
mod facts;
mod findings;
mod gateway;
mod impaired;
mod inspection;
mod interception;
mod link;
mod logon_status;
mod loss;
mod negotiation;
mod network;
mod nla;
mod probe;
mod proven;
mod recorded;
mod rule;
mod session;
#[cfg(test)]
mod tests;
mod tls;
mod udp;
mod whose;
mod words;

pub use catalogue::rules;
pub use confounders::Confounder;
pub use facts::Facts;
pub use proven::{Proof, proven};
pub use rule::{Conclusion, Remedy, Rule};

use crate::trace::{Alternative, Confidence, Finding, Record, Summary, Verdict, VerdictId};
use std::cmp::Reverse;

/// What is known besides the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Context {
    /// The same client connected again after this session and got further.
    pub came_back: bool,
}

/// What follows from a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// Why the session ended.
    pub verdict: Verdict,
    /// What else is worth knowing.
    pub findings: Vec<Finding>,
}

/// Why the session of `record` ended. A summary in the record is believed in who ended it and how.
pub fn diagnose(record: &Record, context: &Context) -> Diagnosis {
    let unknown = Summary::default();
    let facts = Facts::new(record, record.summary.as_deref().unwrap_or(&unknown), context.came_back);
    let verdict = reach_verdict(&facts);
    let findings = match facts.probe {
        Some(probe) => probe::findings(&facts, probe, verdict.id),
        None => findings::all(&facts, verdict.id),
    };
    Diagnosis { verdict, findings }
}

/// What in the session of `record` would be otherwise without rdpscope, so that a comparison with it would mislead.
pub fn confounders(record: &Record, context: &Context) -> Vec<Confounder> {
    let unknown = Summary::default();
    let summary = record.summary.as_deref().unwrap_or(&unknown);
    confounders::all(&Facts::new(record, summary, context.came_back))
}

/// Whether the client cut the connection at a place and in a way in which it may only be asking its user something,
/// so that it is worth waiting whether it comes back.
pub fn may_be_a_prompt(record: &Record, summary: &Summary) -> bool {
    Facts::new(record, summary, false).may_be_a_prompt()
}

fn reach_verdict(facts: &Facts<'_>) -> Verdict {
    let mut held = holding(facts);
    held.retain(|(rule, conclusion)| {
        impaired::leaves_standing(facts, rule, conclusion)
            && recorded::leaves_standing(facts, rule, conclusion)
    });
    let resort = recorded::last_resort(facts).unwrap_or_else(|| ending::last_resort(facts));
    if held.is_empty() {
        return verdict(facts, resort.0, resort.1, &[]);
    }
    held.sort_by_key(|(_, conclusion)| Reverse(conclusion.confidence));
    let (rule, conclusion) = held.remove(0);
    let conclusion = match rule.id {
        VerdictId::Healthy => recorded::as_sure_as_known(facts, conclusion),
        _ => conclusion,
    };
    let mut others: Vec<_> = held.iter().map(|(rule, conclusion)| (rule.id, conclusion.confidence)).collect();
    if conclusion.confidence == Confidence::Possible {
        others.push((resort.0.id, Confidence::Possible));
    }
    verdict(facts, rule, conclusion, &others)
}

/// The rules that hold and are not silenced by another that does; those of last resort aside.
fn holding(facts: &Facts<'_>) -> Vec<(&'static Rule, Conclusion)> {
    let reasons = catalogue::rules_for(facts).filter(|rule| !rule.is_last_resort);
    let mut held: Vec<_> = reasons.filter_map(|rule| (rule.judge)(facts).map(|it| (rule, it))).collect();
    let ids: Vec<VerdictId> = held.iter().map(|(rule, _)| rule.id).collect();
    held.retain(|(rule, _)| !rule.depends_on.iter().any(|cause| ids.contains(cause)));
    held
}

fn verdict(
    facts: &Facts<'_>,
    rule: &'static Rule,
    conclusion: Conclusion,
    others: &[(VerdictId, Confidence)],
) -> Verdict {
    let conclusion = gateway::at_the_gateway(facts, rule, conclusion);
    let conclusion = recorded::with_foreign_reset(facts, conclusion);
    let alternatives = alternatives(rule.id, others, &conclusion.alternatives);
    let mut evidence = conclusion.evidence;
    evidence.sort_by_key(|evidence| evidence.t_us);
    let of_rule = conclusion.next_instead.unwrap_or(rule.next).iter().map(|command| facts.fill(command));
    let proposed = conclusion.next.into_iter().chain(of_rule);
    let mut next: Vec<String> = Vec::new();
    for command in proposed {
        if !next.contains(&command) {
            next.push(command);
        }
    }
    let fix = conclusion.fix.unwrap_or_else(|| catalogue::fix_of(rule));
    Verdict {
        id: rule.id,
        confidence: conclusion.confidence,
        phase: conclusion.phase,
        summary: conclusion.summary,
        evidence,
        by_user: conclusion.by_user,
        ruled_out: ruled_out(facts, rule.id, &alternatives),
        alternatives,
        next,
        fix: fix.iter().map(|remedy| remedy.filled(facts)).collect(),
    }
}

/// Each cause once, at its surest, likeliest first.
fn alternatives(
    verdict: VerdictId,
    others: &[(VerdictId, Confidence)],
    suggested: &[(VerdictId, Confidence)],
) -> Vec<Alternative> {
    let mut alternatives: Vec<Alternative> = Vec::new();
    for &(id, confidence) in others.iter().chain(suggested) {
        match alternatives.iter_mut().find(|known| known.id == id) {
            _ if id == verdict => {}
            Some(known) => known.confidence = known.confidence.max(confidence),
            None => alternatives.push(Alternative { id, confidence }),
        }
    }
    alternatives.sort_by_key(|alternative| Reverse(alternative.confidence));
    alternatives
}

/// A session that did not fail needs no list of what it did not fail of. A probe that found nothing does: somebody asked
/// it because something fails.
fn ruled_out(facts: &Facts<'_>, verdict: VerdictId, alternatives: &[Alternative]) -> Vec<VerdictId> {
    let exclusions = match facts.probe {
        Some(_) => probe::EXCLUSIONS,
        None if verdict == VerdictId::Healthy => return Vec::new(),
        None => exclusions::EXCLUSIONS,
    };
    let mut ruled_out = Vec::new();
    for exclusion in exclusions.iter().chain(gateway::EXCLUSIONS).filter(|exclusion| (exclusion.holds)(facts))
    {
        for id in exclusion.causes {
            let is_open = *id == verdict || alternatives.iter().any(|alternative| alternative.id == *id);
            if !is_open && !ruled_out.contains(id) {
                ruled_out.push(*id);
            }
        }
    }
    ruled_out
}
