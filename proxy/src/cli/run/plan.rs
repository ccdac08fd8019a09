//! The steps of a run as data: what each is called, what is said before it, and which the verdicts propose.

use crate::cli::arguments::{Arguments, Command};
use crate::experiment::Factor;
use crate::trace::{Confidence, Phase, Record, Verdict, VerdictId};
use clap::Parser;

/// A step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The probe.
    Probe,
    /// The user's own client through the relay.
    Client,
    /// One experiment.
    Experiment(Factor),
}

impl Step {
    /// Its name in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Step::Probe => "probe",
            Step::Client => "client",
            Step::Experiment(_) => "experiment",
        }
    }

    /// What an experiment varies.
    pub(super) fn factor(self) -> Option<Factor> {
        match self {
            Step::Experiment(factor) => Some(factor),
            Step::Probe | Step::Client => None,
        }
    }

    /// What it is for, in a line.
    pub(super) fn explanation(self, runs: u16) -> String {
        match self {
            Step::Probe => {
                "rdpscope speaks to the server itself, without a client and without a logon".to_owned()
            }
            Step::Client => {
                "your own client connects through rdpscope, which passes every byte unchanged and sees where it ends"
                    .to_owned()
            }
            Step::Experiment(factor) => {
                let arms = factor.arms(&[]).map_or(2, |arms| arms.len()).max(2);
                let attempts = arms * usize::from(runs);
                let more = if factor.is_certificate() { ", some more if it is, to name what in it" } else { "" };
                format!(
                    "is it {}? Your client connects {attempts} times in turn, every other time with just that changed{more}",
                    factor.subject()
                )
            }
        }
    }
}

/// Whether nothing more has to be found out.
pub(super) fn is_settled(verdict: &Verdict) -> bool {
    verdict.confidence == Confidence::Confirmed && verdict.id.is_fault()
}

/// Whether a client would come further than the probe of `record`: not where nothing answers.
pub(super) fn is_worth_a_client(record: &Record) -> bool {
    let is_settled = record.verdict.as_ref().is_some_and(is_settled);
    let reached = record.summary.as_ref().and_then(|summary| summary.reached);
    !is_settled && reached >= Some(Phase::Tcp)
}

/// Whether the session of `verdict` shows that there is nothing to look for.
pub(super) fn is_fine(verdict: &Verdict) -> bool {
    verdict.id == VerdictId::Healthy
}

/// The experiments that `verdict` proposes, in its order.
pub(super) fn proposed(verdict: &Verdict) -> Vec<Factor> {
    let mut factors = Vec::new();
    for factor in verdict.next.iter().filter_map(|command| factor(command)) {
        if !factors.contains(&factor) {
            factors.push(factor);
        }
    }
    factors
}

/// What a proposed command varies; none where it is no experiment.
fn factor(command: &str) -> Option<Factor> {
    match Arguments::try_parse_from(shlex::split(command)?).ok()?.command {
        Command::Ab(ab) => Some(ab.vary),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(id: VerdictId, confidence: Confidence, next: &[&str]) -> Verdict {
        Verdict {
            id,
            confidence,
            phase: Phase::Tls,
            summary: "It is so.".to_owned(),
            evidence: vec![],
            ruled_out: vec![],
            alternatives: vec![],
            next: next.iter().map(|command| (*command).to_owned()).collect(),
            by_user: false,
            fix: vec![],
        }
    }

    #[test]
    fn every_experiment_of_the_catalogue_is_a_step() {
        let mut steps = 0;
        for command in crate::diagnose::rules().flat_map(|rule| rule.next) {
            let filled = command.replace("{target}", "srv10").replace("{gateway}", "gw.corp.example");
            let filled = filled.replace("{host}", "srv10").replace("{port}", "3389");
            assert_eq!(factor(&filled).is_some(), command.starts_with("rdpscope ab "), "{command}");
            steps += usize::from(factor(&filled).is_some());
        }
        assert!(steps > 10, "{steps}");
    }

    #[test]
    fn experiments_come_in_the_verdicts_order_and_once() {
        let next = [
            "rdpscope probe srv10",
            "rdpscope ab srv10 --vary mss",
            "ping -f -l 1472 srv10",
            "rdpscope ab srv10 --gateway gw --vary gateway-udp",
            "rdpscope ab srv10:3389 --vary mss",
        ];
        let verdict = verdict(VerdictId::TlsStalled, Confidence::Likely, &next);
        assert_eq!(proposed(&verdict), [Factor::Mss, Factor::GatewayUdp]);
    }

    #[test]
    fn only_a_proved_fault_settles_it() {
        assert!(is_settled(&verdict(VerdictId::TcpRefused, Confidence::Confirmed, &[])));
        assert!(!is_settled(&verdict(VerdictId::CertificateExpired, Confidence::Likely, &[])));
        assert!(!is_settled(&verdict(VerdictId::Healthy, Confidence::Confirmed, &[])));
    }

    #[test]
    fn each_step_says_what_it_is_for_in_a_line() {
        for step in Factor::ALL.map(Step::Experiment).into_iter().chain([Step::Probe, Step::Client]) {
            let words = step.explanation(3);
            assert!(!words.contains('\n') && words.len() < 200, "{words}");
        }
        assert!(Step::Experiment(Factor::Cert).explanation(3).contains("6 times"));
    }
}
