//! What an experiment came to: the answer, why, what to do; then every arm with its attempts.

use super::layout::{Look, Style};
use super::verdict::Block;
use crate::experiment::{Factor, Finished};
use crate::trace::{ExperimentArm, ExperimentEffect, ExperimentRun, VerdictId};

/// Where an experiment was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptExperiment<'a> {
    /// The file with its lines.
    pub file: Option<&'a str>,
    /// The folder with a folder for each of its sessions.
    pub traces: Option<&'a str>,
}

/// A finished experiment as text, without a line end at the end.
pub fn experiment(finished: &Finished, kept: KeptExperiment<'_>, style: &Style) -> String {
    let mut block = Block::new(style);
    answer(finished, &mut block);
    block.item("why", Look::Heading, &finished.line.conclusion.because);
    block.list("first", first_steps(finished).into_iter());
    if let Some(verdict) = finished.proven.as_ref().or(finished.observed.as_ref()) {
        block.fixes(&verdict.fix);
    }
    let width = finished.line.arms.iter().map(|arm| arm.name.chars().count()).max().unwrap_or_default();
    block.list("arms", finished.line.arms.iter().map(|arm| row(arm, width)));
    let round = |steps: &[String]| {
        if steps.is_empty() { String::new() } else { format!(" Instead: {}.", steps.join("; ")) }
    };
    let noted = finished.line.confounders.iter().filter(|confounder| !confounder.forbids);
    let notes = noted.map(|it| format!("confounder (arm {}): {}{}", it.arm, it.text, round(&it.way_round)));
    block.list("note", notes);
    for (heading, path) in [("experiment", kept.file), ("trace", kept.traces)] {
        if let Some(path) = path {
            block.item(heading, Look::Heading, path);
        }
    }
    block.page.finish().unwrap_or_default()
}

fn answer(finished: &Finished, block: &mut Block<'_>) {
    let (look, text) = answer_words(finished);
    block.item(if finished.proven.is_some() { "VERDICT" } else { "RESULT" }, look, &text);
}

/// How to do without what forbids a conclusion, before the experiment is run again.
pub(super) fn first_steps(finished: &Finished) -> Vec<String> {
    let forbidding = finished.line.confounders.iter().filter(|confounder| confounder.forbids);
    let ways = forbidding.filter(|confounder| !confounder.way_round.is_empty());
    ways.map(|confounder| format!("{}. Then run it again.", confounder.way_round.join("; "))).collect()
}

/// What the experiment came to, in a sentence or two.
pub(super) fn answer_words(finished: &Finished) -> (Look, String) {
    let (look, answer, shows) = answer_parts(finished);
    (look, [Some(answer), shows].into_iter().flatten().collect::<Vec<_>>().join(" "))
}

/// The same, with what the sessions show by themselves apart.
pub(super) fn answer_parts(finished: &Finished) -> (Look, String, Option<String>) {
    if let Some(verdict) = &finished.proven {
        let answer = format!("{} ({}): {}", verdict.id, verdict.confidence, verdict.summary);
        return (Look::Bad, answer, None);
    }
    let conclusion = &finished.line.conclusion;
    let effect = conclusion.effect.id();
    let subject = subject(&finished.line.factor);
    let shows = finished.observed.as_ref().map(|verdict| {
        format!("The sessions show {} ({}): {}", verdict.id, verdict.confidence, verdict.summary)
    });
    let (look, answer) = match (conclusion.effect, finished.fails) {
        (ExperimentEffect::NotCause, false) if finished.observed.is_none() => {
            (Look::Good, format!("no fault: the session works as it is ({effect})."))
        }
        (ExperimentEffect::NotCause, false) => {
            (Look::Bad, format!("the session works as it is, but not in every arm ({effect})."))
        }
        (ExperimentEffect::NotCause, true) => (Look::Bad, format!("{subject} is not the cause ({effect}).")),
        (ExperimentEffect::Cause, _) => (Look::Bad, format!("{subject} is the cause ({effect}).")),
        (ExperimentEffect::Inconclusive, _) => {
            (Look::Doubtful, format!("{effect}: whether {subject} is the cause is not proved."))
        }
    };
    (look, answer, shows)
}

/// What was varied in words; a factor that this version does not know as it stands.
pub(super) fn subject(factor: &str) -> &str {
    factor.parse().map(Factor::subject).unwrap_or(factor)
}

/// `fresh        active ×3`
fn row(arm: &ExperimentArm, width: usize) -> String {
    let mut groups: Vec<(String, usize)> = Vec::new();
    for outcome in arm.runs.iter().map(outcome) {
        match groups.last_mut() {
            Some((last, count)) if *last == outcome => *count += 1,
            _ => groups.push((outcome, 1)),
        }
    }
    let groups: Vec<String> = groups.iter().map(|(outcome, count)| format!("{count} x {outcome}")).collect();
    format!("{:<width$}  {}", arm.name, groups.join(", "))
}

pub(super) fn outcome(run: &ExperimentRun) -> String {
    let phase = run.began.map_or("nothing", |phase| phase.id());
    match run.verdict {
        VerdictId::Healthy => phase.to_owned(),
        verdict => format!("{phase} {verdict}"),
    }
}
