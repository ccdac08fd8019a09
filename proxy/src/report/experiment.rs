//! What an experiment came to: the answer, why, what to do; then every arm with its attempts.

use super::layout::{Look, Style};
use super::verdict::Block;
use crate::experiment::Finished;
use crate::trace::{ExperimentArm, ExperimentEffect, ExperimentRun, VerdictId};

/// A finished experiment as text, without a line end at the end; `trace` is the folder with its sessions.
pub fn experiment(finished: &Finished, trace: Option<&str>, style: &Style) -> String {
    let mut block = Block::new(style);
    answer(finished, &mut block);
    block.item("why", Look::Heading, &finished.line.conclusion.because);
    if let Some(verdict) = finished.proven.as_ref().or(finished.observed.as_ref()) {
        block.fixes(&verdict.fix);
    }
    let width = finished.line.arms.iter().map(|arm| arm.name.chars().count()).max().unwrap_or_default();
    block.list("arms", finished.line.arms.iter().map(|arm| row(arm, width)));
    let round = |steps: &[String]| {
        if steps.is_empty() { String::new() } else { format!(" Instead: {}.", steps.join("; ")) }
    };
    let notes = finished.line.confounders.iter().map(|it| {
        let weight = if it.forbids { "not conclusive" } else { "confounder" };
        format!("{weight} (arm {}): {}{}", it.arm, it.text, round(&it.way_round))
    });
    block.list("note", notes);
    if let Some(trace) = trace {
        block.item("trace", Look::Heading, trace);
    }
    block.page.finish().unwrap_or_default()
}

fn answer(finished: &Finished, block: &mut Block<'_>) {
    if let Some(verdict) = &finished.proven {
        let text = format!("{} ({}): {}", verdict.id, verdict.confidence, verdict.summary);
        return block.item("VERDICT", Look::Bad, &text);
    }
    let factor = &finished.line.factor;
    let effect = finished.line.conclusion.effect.id();
    match (finished.line.conclusion.effect, &finished.observed) {
        (ExperimentEffect::NotCause, None) => {
            block.item(
                "RESULT",
                Look::Good,
                &format!("no fault: the session works whatever {factor} is ({effect})."),
            );
        }
        (ExperimentEffect::NotCause, Some(verdict)) => {
            let text = format!(
                "{factor} is not the cause ({effect}); the sessions show {} ({}): {}",
                verdict.id, verdict.confidence, verdict.summary
            );
            block.item("RESULT", Look::Bad, &text);
        }
        _ => {
            block.item("RESULT", Look::Doubtful, &format!("{effect}: whether it is {factor} is not proved."))
        }
    }
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

fn outcome(run: &ExperimentRun) -> String {
    let phase = run.began.map_or("nothing", |phase| phase.id());
    match run.verdict {
        VerdictId::Healthy => phase.to_owned(),
        verdict => format!("{phase} {verdict}"),
    }
}
