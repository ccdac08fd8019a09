//! A report as one page that needs nothing else: no network, no script. The answer first, then why, then what to do;
//! then pictures, each with the same in a table.
//!
//! Every text is escaped by the template, and the whole page passes [`safe::neutralise`] at its end, so that no
//! character from the wire turns the direction of writing or hides.

mod alterations;
mod answer;
mod certificate;
mod compare;
mod experiment;
mod facts;
mod fleet;
mod index;
mod parts;
mod phases;
mod raw;
mod scale;
mod talk;

use super::document::{Document, Subject};
use super::safe;
use super::story::Story;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use parts::{Place, share};

/// The page's only style sheet; what it shares with the dashboard comes first.
const STYLE: &str = concat!(include_str!("common.css"), include_str!("style.css"));
/// Nothing is loaded, nothing runs.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";
/// Subjects told in full; of more the index tells the verdict.
const MOST_SUBJECTS: usize = 100;

/// The whole page.
pub fn html(document: &Document) -> String {
    let page = page(document).into_string();
    let lines: Vec<String> = page.split('\n').map(|line| safe::neutralise(line, false)).collect();
    lines.join("\n")
}

fn page(document: &Document) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="generator" content={ "rdpscope " (env!("CARGO_PKG_VERSION")) };
                title { (title(document)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#answer" { "Skip to the answer" }
                header.top { "rdpscope report" }
                main { (content(document)) }
                footer {
                    p { "Made by rdpscope " (env!("CARGO_PKG_VERSION")) " from " (sources(document)) ". "
                        "Passwords, tickets, cookies and keys are not in it; names and addresses are." }
                }
            }
        }
    }
}

/// The answer, as the window's title too.
fn title(document: &Document) -> String {
    match &document.subjects[..] {
        [only] => format!("{}: {}", safe::name(only.target()), answer::headline(document, only)),
        _ => match &document.contrast {
            Some(contrast) => super::compare::first_words(contrast),
            None => index::headline(document),
        },
    }
}

fn sources(document: &Document) -> String {
    let mut names: Vec<&str> = document.subjects.iter().map(|subject| subject.source.as_str()).collect();
    names.dedup();
    match &names[..] {
        [only] => (*only).to_owned(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => "nothing".to_owned(),
    }
}

fn content(document: &Document) -> Markup {
    let notes = html! {
        @for note in &document.notes { p.note role="note" { (note) } }
    };
    if let [only] = &document.subjects[..] {
        return html! { (notes) (subject(document, only, &Place::alone())) };
    }
    let told = document.subjects.len().min(MOST_SUBJECTS);
    html! {
        @match (&document.contrast, document.experiment()) {
            (Some(contrast), _) => { (compare::section(contrast)) }
            (None, Some(experiment)) => { (subject(document, experiment, &Place::alone())) }
            (None, None) => { (index::head(document)) }
        }
        (notes)
        @if document.contrast.is_none() { (index::list(document, told)) }
        @if let Some(fleet) = &document.fleet { (fleet::section(document, fleet)) }
        @for (place, it) in document.subjects.iter().enumerate().take(told).filter(|(_, it)| !is_at_the_top(document, it)) {
            (subject(document, it, &Place::among(place)))
        }
        @if document.subjects.len() > told {
            p.note { "The other " (document.subjects.len() - told) " are told in the table above alone; make a report of one of "
                "them by naming its folder." }
        }
    }
}

/// The one experiment of the page is its answer.
fn is_at_the_top(document: &Document, subject: &Subject) -> bool {
    document.contrast.is_none()
        && document.experiment().is_some_and(|experiment| std::ptr::eq(experiment, subject))
}

/// One session, target or experiment.
fn subject(document: &Document, subject: &Subject, place: &Place) -> Markup {
    let record = &subject.record;
    let story = Story::of(record);
    let share = share(document.subjects.len());
    html! {
        article id=(place.id("top")) aria-labelledby=(place.id("answer")) {
            (answer::section(document, subject, place))
            @if let Some(finished) = document.finished(record) {
                (experiment::section(document, &finished, place))
            }
            (phases::section(&story, place))
            (certificate::section(subject, place))
            (talk::section(subject, place, share))
            (alterations::section(record, place))
            (facts::findings(record, place))
            (facts::checks(record, place))
            (facts::gateway(subject, place))
            (facts::udp(record, place))
            (facts::summary(record, place))
            (facts::settings(record, place))
            (facts::possibilities(record, place))
            (raw::section(record, place, share))
        }
    }
}
