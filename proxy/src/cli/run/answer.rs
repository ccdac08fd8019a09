//! What a run has found so far, and the one sentence of it to be read out on the phone.

use crate::cli::ab::Conducted;
use crate::experiment::{Factor, Finished};
use crate::report::safe::neutralise;
use crate::trace::{Confidence, ExperimentEffect, Verdict, VerdictId};
use serde::Serialize;

/// What a finding rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Basis {
    /// The probe.
    Probe,
    /// A session of the user's own client.
    Session,
    /// An experiment.
    Experiment,
}

/// The best that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    found: Option<(Verdict, Basis)>,
    /// What experiments have acquitted.
    acquitted: Vec<Factor>,
    /// In an experiment it worked as it is.
    works: bool,
    /// In an experiment it did not, whatever the reason.
    fails: bool,
}

impl Answer {
    /// The best verdict so far.
    pub(super) fn verdict(&self) -> Option<&Verdict> {
        self.found.as_ref().map(|(verdict, _)| verdict)
    }

    /// What it rests on.
    pub(super) fn basis(&self) -> Option<Basis> {
        self.found.as_ref().map(|(_, basis)| *basis)
    }

    /// Whether there is something to mend.
    pub(super) fn is_fault(&self) -> bool {
        self.fails || self.verdict().is_some_and(|verdict| verdict.id.is_fault())
    }

    /// The probe's verdict.
    pub(super) fn probed(&mut self, verdict: Verdict) {
        self.found = Some((verdict, Basis::Probe));
    }

    /// The verdict on a session of the user's own client: a session knows more than a probe, unless it names no cause or
    /// is less sure of it.
    pub(super) fn watched(&mut self, verdict: Verdict) {
        let is_better = match self.verdict() {
            None => true,
            Some(_) if verdict.id == VerdictId::Healthy => true,
            Some(known) if known.id.is_fault() => {
                verdict.id.is_fault() && verdict.confidence >= known.confidence
            }
            Some(_) => true,
        };
        if is_better {
            self.found = Some((verdict, Basis::Session));
        }
    }

    /// What an experiment came to. One that acquits what was suspected leaves only what its sessions show besides.
    pub(super) fn tried(&mut self, factor: Factor, conducted: &Conducted) {
        let Some(finished) = &conducted.finished else { return };
        self.fails = finished.has_fault();
        if let Some(proven) = &finished.proven {
            self.found = Some((proven.clone(), Basis::Experiment));
            return;
        }
        if finished.line.conclusion.effect == ExperimentEffect::NotCause {
            self.acquitted.push(factor);
            self.works = !finished.has_fault();
            self.acquit(finished);
        }
    }

    fn acquit(&mut self, finished: &Finished) {
        let suspected = self.verdict().map(|verdict| verdict.id);
        let other = finished.observed.clone().filter(|observed| Some(observed.id) != suspected);
        self.found = other.map(|verdict| (verdict, Basis::Session));
    }

    /// One sentence for somebody on the phone.
    pub(super) fn sentence(&self, target: &str) -> String {
        let acquitted: Vec<&str> = self.acquitted.iter().map(|factor| factor.subject()).collect();
        let not_it = if acquitted.is_empty() {
            String::new()
        } else {
            format!("; experiments show that it is not {}", acquitted.join(" and not "))
        };
        let Some((verdict, basis)) = &self.found else {
            return match not_it.strip_prefix("; ") {
                Some(_) if self.works => {
                    format!("{target}: it works now, in every attempt of your own client.")
                }
                Some(not_it) => format!("{target}: why it fails is not found yet, but {not_it}."),
                None => format!("{target}: nothing was found out yet."),
            };
        };
        let summary = neutralise(first_sentence(&verdict.summary), false);
        let sure = match (verdict.id.is_fault(), basis, verdict.confidence) {
            (false, ..) => "",
            (_, Basis::Experiment, _) => "; an experiment has proved it",
            (_, _, Confidence::Confirmed) => "; what was seen on the wire proves it",
            (_, _, Confidence::Likely) => "; that is likely, and not proved",
            (_, _, Confidence::Possible) => "; that is one possibility, and not proved",
        };
        format!("{target}: {summary}{sure}{not_it}.")
    }
}

/// The first sentence of a summary without its full stop.
fn first_sentence(summary: &str) -> &str {
    let end = summary
        .match_indices(". ")
        .find(|(place, _)| summary[place + 2..].chars().next().is_some_and(char::is_uppercase));
    end.map_or(summary, |(place, _)| &summary[..place]).trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;
    use crate::trace::{Experiment, ExperimentConclusion, Phase};

    fn verdict(id: VerdictId, confidence: Confidence) -> Verdict {
        Verdict {
            id,
            confidence,
            phase: Phase::Tls,
            summary: format!("It is {id}. More of it."),
            evidence: vec![],
            ruled_out: vec![],
            alternatives: vec![],
            next: vec![],
            by_user: false,
            fix: vec![],
        }
    }

    fn conducted(effect: ExperimentEffect, proven: Option<Verdict>, observed: Option<Verdict>) -> Conducted {
        let conclusion =
            ExperimentConclusion { effect, guilty: None, p_value: None, because: "So it is.".to_owned() };
        let line = Experiment { factor: "cert".to_owned(), arms: vec![], conclusion, confounders: vec![] };
        let finished = Finished { line, proven, observed, fails: true };
        Conducted { exit: Exit::Fault, finished: Some(finished) }
    }

    use Confidence::{Confirmed, Likely, Possible};
    use VerdictId::{CertificateExpired, ClientClosed, Healthy, TlsStalled};

    #[test]
    fn a_session_knows_more_unless_it_names_no_cause() {
        let after = |probe, session| {
            let mut answer = Answer::default();
            answer.probed(probe);
            answer.watched(session);
            (answer.verdict().unwrap().id, answer.basis().unwrap())
        };
        let expired = || verdict(CertificateExpired, Likely);
        assert_eq!(after(expired(), verdict(ClientClosed, Likely)), (CertificateExpired, Basis::Probe));
        assert_eq!(after(expired(), verdict(TlsStalled, Possible)), (CertificateExpired, Basis::Probe));
        assert_eq!(after(expired(), verdict(TlsStalled, Likely)), (TlsStalled, Basis::Session));
        assert_eq!(after(expired(), verdict(Healthy, Confirmed)), (Healthy, Basis::Session));
        assert_eq!(after(verdict(Healthy, Confirmed), expired()), (CertificateExpired, Basis::Session));
    }

    #[test]
    fn what_an_experiment_acquits_is_never_named_as_the_cause() {
        let mut answer = Answer::default();
        answer.probed(verdict(CertificateExpired, Likely));
        let same = Some(verdict(CertificateExpired, Likely));
        answer.tried(Factor::Cert, &conducted(ExperimentEffect::NotCause, None, same));
        assert!(answer.verdict().is_none());
        let sentence = answer.sentence("srv10");
        assert_eq!(
            sentence,
            "srv10: why it fails is not found yet, but experiments show that it is not the server's certificate."
        );
        answer.tried(
            Factor::Mss,
            &conducted(ExperimentEffect::Cause, Some(verdict(TlsStalled, Confirmed)), None),
        );
        assert_eq!(
            answer.sentence("srv10"),
            "srv10: It is tls-stalled; an experiment has proved it; experiments show that it is not the server's \
             certificate."
        );
    }

    #[test]
    fn what_works_in_every_attempt_is_not_called_a_fault() {
        let mut answer = Answer::default();
        answer.probed(verdict(CertificateExpired, Likely));
        let mut works = conducted(ExperimentEffect::NotCause, None, None);
        works.finished.as_mut().unwrap().fails = false;
        answer.tried(Factor::Cert, &works);
        assert!(!answer.is_fault());
        assert_eq!(answer.sentence("srv10"), "srv10: it works now, in every attempt of your own client.");
    }

    #[test]
    fn an_experiment_that_does_not_tell_changes_nothing() {
        let mut answer = Answer::default();
        answer.probed(verdict(CertificateExpired, Likely));
        answer.tried(Factor::Cert, &conducted(ExperimentEffect::Inconclusive, None, None));
        answer.tried(Factor::Cert, &Conducted { exit: Exit::Interrupted, finished: None });
        assert_eq!(
            answer.sentence("srv10"),
            "srv10: It is certificate-expired; that is likely, and not proved."
        );
        assert!(answer.is_fault());
    }

    #[test]
    fn the_sentence_is_one_whatever_the_summary_has() {
        for (summary, first) in [
            ("Everything works. What comes after is unknown.", "Everything works"),
            ("It expired on 2026-11-10 (12 days ago).", "It expired on 2026-11-10 (12 days ago)"),
            ("srv10.corp.example is at 10.0.0.1", "srv10.corp.example is at 10.0.0.1"),
            ("", ""),
        ] {
            assert_eq!(first_sentence(summary), first);
        }
        assert_eq!(Answer::default().sentence("srv10"), "srv10: nothing was found out yet.");
    }
}
