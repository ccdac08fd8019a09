//! Several subjects on one page: the answer over all, and a line for each.

use super::answer::{headline as of_subject, tone as tone_of};
use super::parts::{Place, badge, capital, scroll, shortened};
use crate::report::document::{Document, Subject};
use maud::{Markup, html};

/// Characters of a subject's answer in its line.
const LONGEST_ANSWER: usize = 160;
/// Lines of the list; more are counted.
const MOST_LISTED: usize = 2_000;

/// The answer over all, in one sentence.
pub(super) fn headline(document: &Document) -> String {
    if let Some(subject) = document.subjects.iter().find(|subject| subject.record.experiment.is_some()) {
        return of_subject(document, subject);
    }
    let count = document.subjects.len();
    let failing = document.subjects.iter().filter(|subject| subject.fails()).count();
    let noun = if document.fleet.is_some() { "targets" } else { "sessions" };
    match failing {
        0 => format!("None of {count} {noun} failed."),
        failing if failing == count => format!("All {count} {noun} failed."),
        failing => format!("{failing} of {count} {noun} failed."),
    }
}

pub(super) fn head(document: &Document) -> Markup {
    let experiment = document.subjects.iter().find(|subject| subject.record.experiment.is_some());
    let fails = document.subjects.iter().any(Subject::fails);
    let tone = experiment.map_or(if fails { "bad" } else { "good" }, |subject| tone_of(document, subject));
    let difference = document.fleet.iter().flat_map(|fleet| &fleet.comparison.sentences);
    html! {
        div.verdict.(tone) {
            h1 id="answer" { (headline(document)) }
            @for sentence in difference { p { (begun(sentence)) "." } }
        }
    }
}

/// A sentence as it begins: a name at its front stays as its owner writes it.
fn begun(sentence: &str) -> String {
    if sentence.starts_with("the ") { capital(sentence) } else { sentence.to_owned() }
}

/// Each subject with its verdict; the first `told` are further down.
pub(super) fn list(document: &Document, told: usize) -> Markup {
    let listed: Vec<(usize, &Subject)> =
        document.subjects.iter().enumerate().filter(|(_, it)| !super::is_at_the_top(document, it)).collect();
    let count = listed.len();
    html! {
        nav aria-labelledby="index" {
            section {
                h2 id="index" { "What is on this page" }
                (scroll("What is on this page", html! {
                    table.stack.index {
                        caption {
                            (count) " in all"
                            @if count > MOST_LISTED { ", the first " (MOST_LISTED) " of them here" }
                        }
                        thead {
                            tr {
                                th scope="col" { "What" }
                                th scope="col" { "Verdict" }
                                th scope="col" { "Reached" }
                                th scope="col" { "Began" }
                                th scope="col" { "Answer" }
                            }
                        }
                        tbody {
                            @for (place, subject) in listed.iter().take(MOST_LISTED) {
                                (line(document, subject, *place, *place < told))
                            }
                        }
                    }
                }))
            }
        }
    }
}

fn line(document: &Document, subject: &Subject, place: usize, is_told: bool) -> Markup {
    let reached = subject.record.summary.as_ref().and_then(|summary| summary.reached);
    html! {
        tr {
            th scope="row" {
                @if is_told { a href={ "#" (Place::among(place).id("top")) } { (subject.title()) } }
                @else { (subject.title()) }
                @if let Some(arm) = document.arm_of(subject) { div.soft.small { "arm " (arm) } }
            }
            td data-name="Verdict" { @if let Some(verdict) = &subject.record.verdict { (badge(verdict)) } }
            td.nowrap data-name="Reached" { @if let Some(phase) = reached { (phase) } }
            td.nowrap data-name="Began" {
                @if let Some(started) = subject.started() { (started.strftime("%Y-%m-%d %H:%M:%S").to_string()) }
            }
            td { (shortened(&of_subject(document, subject), LONGEST_ANSWER)) }
        }
    }
}
