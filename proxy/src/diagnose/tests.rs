//! Every rule: a session in which it holds, and one close to it in which it must not.

mod captures;
mod certificate;
mod confounders;
mod ending;
mod gateway;
mod impaired;
mod link;
mod negotiation;
mod network;
mod nla;
mod probe;
mod script;
mod session;
mod speed;
mod terminated;
mod tls;
mod udp;

use super::{Diagnosis, rules};
use crate::trace::{Confidence, VerdictId};
use std::collections::HashSet;

/// Fails unless this is the verdict, with this confidence.
#[track_caller]
fn assert_verdict(diagnosis: &Diagnosis, id: VerdictId, confidence: Confidence) {
    let verdict = &diagnosis.verdict;
    assert_eq!((verdict.id, verdict.confidence), (id, confidence), "{verdict:#?}");
    assert!(verdict.summary.ends_with('.') && !verdict.summary.contains('{'), "{}", verdict.summary);
    assert!(!verdict.evidence.is_empty(), "{verdict:#?}");
    assert!(verdict.evidence.is_sorted_by_key(|evidence| evidence.t_us));
    assert!(!verdict.ruled_out.contains(&id));
    for alternative in &verdict.alternatives {
        assert!(!verdict.ruled_out.contains(&alternative.id), "{verdict:#?}");
        assert!(alternative.id != id && alternative.confidence <= confidence, "{verdict:#?}");
    }
}

fn has_finding(diagnosis: &Diagnosis, id: &str) -> bool {
    diagnosis.findings.iter().any(|finding| finding.id == id)
}

fn may_also_be(diagnosis: &Diagnosis, id: VerdictId) -> bool {
    diagnosis.verdict.alternatives.iter().any(|alternative| alternative.id == id)
}

#[test]
fn every_text_of_the_catalogue_is_a_sentence_with_known_names_in_it() {
    let facts_of_nothing = crate::trace::Record::default();
    let summary = crate::trace::Summary::default();
    let facts = super::Facts::new(&facts_of_nothing, &summary, false);
    for rule in rules() {
        assert!(!rule.needs.is_empty());
        for remedy in rule.fix {
            let text = facts.fill(remedy.text);
            assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", rule.id);
            assert!(!text.contains('{'), "{}: {text}", rule.id);
            assert!(remedy.command.is_none_or(|command| !command.contains("  ")), "{}: {remedy:?}", rule.id);
            if remedy.command.is_some_and(|command| command.contains("Restart-Service TermService")) {
                assert!(text.contains("session"), "{}: say what it disturbs: {text}", rule.id);
            }
        }
        for command in rule.next {
            assert!(!facts.fill(command).contains('{'), "{}: {command}", rule.id);
        }
        assert!(!rule.depends_on.contains(&rule.id), "{} depends on itself", rule.id);
    }
}

#[test]
fn every_cause_that_one_session_can_prove_has_a_rule() {
    let known: HashSet<VerdictId> = rules().map(|rule| rule.id).collect();
    for id in VerdictId::ALL {
        assert!(known.contains(id), "{id}");
    }
}

#[test]
fn an_empty_record_has_a_verdict_all_the_same() {
    let diagnosis = super::diagnose(&crate::trace::Record::default(), &super::Context::default());
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Possible);
}
