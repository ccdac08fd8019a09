//! The answer: the verdict, why, and what to do.

use super::parts::{Place, badge, capital, command, moment, prose, tone_of};
use crate::report::document::{Document, Subject};
use crate::report::experiment::{answer_parts, first_steps};
use crate::report::layout::Look;
use crate::report::verdict;
use crate::trace::{Fix, Verdict, VerdictId};
use maud::{Markup, html};

/// The answer in one sentence.
pub(super) fn headline(document: &Document, subject: &Subject) -> String {
    if let Some(finished) = document.finished(&subject.record) {
        let words = capital(&answer_parts(&finished).1);
        return finished.proven.map_or(words, |verdict| verdict.summary);
    }
    match &subject.record.verdict {
        Some(verdict) => verdict.summary.clone(),
        None => "There is no verdict: the trace holds nothing to judge by.".to_owned(),
    }
}

/// The colour of its answer.
pub(super) fn tone(document: &Document, subject: &Subject) -> &'static str {
    match &document.finished(&subject.record) {
        Some(finished) => match answer_parts(finished).0 {
            Look::Good => "good",
            Look::Bad => "bad",
            _ => "doubt",
        },
        None => subject.record.verdict.as_ref().map_or("doubt", |verdict| tone_of(verdict).0),
    }
}

pub(super) fn section(document: &Document, subject: &Subject, place: &Place) -> Markup {
    let finished = document.finished(&subject.record);
    let of_experiment = finished.as_ref().and_then(|it| it.proven.as_ref().or(it.observed.as_ref()));
    let verdict = if finished.is_some() { of_experiment } else { subject.record.verdict.as_ref() };
    html! {
        div.verdict.(tone(document, subject)) {
            p.eyebrow {
                @if let Some(verdict) = verdict { (badge(verdict)) }
                span { (subject.title()) }
                @if let Some(started) = subject.started() {
                    span { (started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()) }
                }
            }
            (place.heading("answer", &headline(document, subject)))
            @if let Some(finished) = &finished {
                @if let (_, _, Some(shows)) = answer_parts(finished) { p { strong { (shows) } } }
                p { (finished.line.conclusion.because) }
            }
            @for note in subject.notes() { p.note role="note" { (note) } }
        }
        div.two {
            @if let (Some(verdict), None) = (verdict, &finished) { (why(verdict, place)) }
            @if let Some(finished) = &finished { (first(&first_steps(finished), place)) }
            @if let Some(verdict) = verdict.filter(|verdict| verdict.id != VerdictId::Healthy) {
                (to_do(verdict, place))
            }
        }
    }
}

fn why(verdict: &Verdict, place: &Place) -> Markup {
    let evidence = (!verdict.evidence.is_empty()).then(|| {
        html! {
            ul.evidence {
                @for evidence in &verdict.evidence {
                    li { span.when { (moment(evidence.t_us)) } span { (evidence.text) } }
                }
            }
        }
    });
    place.section("why", "Why", evidence)
}

fn first(steps: &[String], place: &Place) -> Markup {
    let list = (!steps.is_empty()).then(|| html! { ul { @for step in steps { li { (step) } } } });
    place.section("first", "First", list)
}

fn to_do(verdict: &Verdict, place: &Place) -> Markup {
    let is_something = !verdict.fix.is_empty() || !verdict.next.is_empty();
    let steps = is_something.then(|| {
        html! {
            @if !verdict.fix.is_empty() { ol { @for fix in &verdict.fix { (step(fix)) } } }
            @if !verdict.next.is_empty() {
                p { "To know more, run:" }
                @for next in &verdict.next { (command(next)) }
            }
        }
    });
    place.section("to-do", "What to do", steps)
}

fn step(fix: &Fix) -> Markup {
    html! {
        li {
            strong { (capital(verdict::place(fix.place))) ": " } (prose(&fix.text))
            @if let Some(text) = &fix.command { (command(text)) }
        }
    }
}
