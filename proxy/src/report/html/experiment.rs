//! An experiment as a matrix: its arms, their attempts, and what follows.

use super::parts::{Place, scroll, tone, tone_of};
use crate::experiment::Finished;
use crate::report::document::Document;
use crate::report::experiment::subject;
use crate::report::time;
use crate::trace::{ExperimentArm, ExperimentConfounder, ExperimentRun};
use maud::{Markup, html};

pub(super) fn section(document: &Document, finished: &Finished, place: &Place) -> Markup {
    let line = &finished.line;
    let content = html! {
        p { strong { "Varied: " } (subject(&line.factor)) ". " strong { "Conclusion: " } (line.conclusion.effect.id())
            @if let Some(guilty) = &line.conclusion.guilty { ", guilty: " strong { (guilty) } }
            ". "
            @if let Some(p_value) = line.conclusion.p_value {
                strong { "p-value: " } (format!("{p_value:.3}"))
                span.soft { " (Fisher’s exact test, two-sided: how often chance alone would set the arms apart so far)" }
            }
        }
        (scroll("The experiment as a matrix", matrix(document, &line.arms)))
        @if !line.confounders.is_empty() {
            (place.small_part("What would be otherwise without rdpscope"))
            ul { @for confounder in &line.confounders { (told(confounder)) } }
        }
    };
    place.section("experiment", "The experiment", Some(content))
}

fn matrix(document: &Document, arms: &[ExperimentArm]) -> Markup {
    let runs = arms.iter().map(|arm| arm.runs.len()).max().unwrap_or_default();
    html! {
        table.matrix {
            caption { "Each arm with its attempts: the last phase that began, and why the attempt ended" }
            thead {
                tr {
                    th scope="col" { "Arm" }
                    @for number in 1..=runs { th scope="col" { "Attempt " (number) } }
                }
            }
            tbody {
                @for arm in arms {
                    tr {
                        th scope="row" { (arm.name) div.soft.small { (arm.description) } }
                        @for number in 0..runs {
                            @match arm.runs.get(number) {
                                Some(run) => { (cell(document, run)) }
                                None => { td.soft { "not tried" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(document: &Document, run: &ExperimentRun) -> Markup {
    let session = document.subjects.iter().find(|subject| subject.session() == Some(run.session.as_str()));
    let (class, sign) = match session.and_then(|session| session.record.verdict.as_ref()) {
        Some(verdict) if verdict.id == run.verdict => tone_of(verdict),
        _ => tone(run.verdict),
    };
    let told = document.place_of(&run.session);
    html! {
        td.(class) {
            span.{ (class) "-ink" } { (sign) " " }
            @match told {
                Some(place) => { a href={ "#" (Place::among(place).id("top")) } { (run.verdict) } }
                None => { (run.verdict) }
            }
            div.soft.small {
                @match run.began { Some(phase) => { "in " (phase) } None => { "before anything" } }
                @if let Some(us) = run.reached_us { ", after " (time::short(us)) }
            }
        }
    }
}

fn told(confounder: &ExperimentConfounder) -> Markup {
    html! {
        li {
            @if confounder.forbids { strong { "Forbids a conclusion: " } }
            "arm " (confounder.arm) ": " (confounder.text)
            @if !confounder.way_round.is_empty() { " Instead: " (confounder.way_round.join("; ")) "." }
        }
    }
}
