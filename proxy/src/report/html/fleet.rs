//! The targets of a probe side by side: a heat map of what differs.

use super::parts::{Place, scroll, shortened};
use crate::report::document::{Document, Fleet, Host};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Rows of the map; of more the working ones at its end are left out.
const MOST_HOSTS: usize = 400;
/// Characters of a value in its cell.
const LONGEST_VALUE: usize = 60;

pub(super) fn section(document: &Document, fleet: &Fleet) -> Markup {
    let columns: Vec<Column> =
        (0..fleet.properties.len()).map(|place| Column::of(document, fleet, place)).collect();
    let (differing, alike): (Vec<&Column>, Vec<&Column>) = columns.iter().partition(|column| column.differs);
    let mut hosts: Vec<&Host> = fleet.hosts.iter().collect();
    hosts.sort_by_key(|host| !document.subjects[host.subject].fails());
    html! {
        section aria-labelledby="fleet" {
            h2 id="fleet" { "Targets side by side" }
            @if !differing.is_empty() {
                p { "Only what differs is shown. " span.bad-ink { "≠" } " marks a value that most of those that work do not have; "
                    "· is not known." }
                (scroll("Targets side by side", map(document, &hosts, &differing)))
            }
            @if !alike.is_empty() {
                details {
                    summary { "The same for all of which it is known: " (alike.len()) " properties" }
                    ul { @for column in &alike { li { (column.name) ": " (column.usual.as_deref().unwrap_or("not known")) } } }
                }
            }
        }
    }
}

/// One property of all targets.
struct Column {
    place: usize,
    name: &'static str,
    differs: bool,
    /// What most of those have that work, or of all where none does.
    usual: Option<String>,
}

impl Column {
    fn of(document: &Document, fleet: &Fleet, place: usize) -> Column {
        let class = |host: &Host| {
            host.values.get(place).and_then(Option::as_ref).map(|value| value.class.to_string())
        };
        let working = fleet.hosts.iter().filter(|host| !document.subjects[host.subject].fails());
        let usual = most_common(working.filter_map(class))
            .or_else(|| most_common(fleet.hosts.iter().filter_map(class)));
        let mut classes = fleet.hosts.iter().filter_map(class);
        let first = classes.next();
        let differs = classes.any(|other| Some(&other) != first.as_ref());
        Column { place, name: fleet.properties[place], differs, usual }
    }
}

fn most_common(classes: impl Iterator<Item = String>) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    classes.for_each(|class| *counts.entry(class).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(class, _)| class)
}

fn map(document: &Document, hosts: &[&Host], columns: &[&Column]) -> Markup {
    html! {
        table.heat {
            caption {
                "Targets that fail stand first"
                @if hosts.len() > MOST_HOSTS { "; " (hosts.len() - MOST_HOSTS) " more are not shown" }
            }
            thead {
                tr {
                    th scope="col" { "Target" }
                    @for column in columns { th scope="col" { (column.name) } }
                }
            }
            tbody { @for host in hosts.iter().take(MOST_HOSTS) { (row(document, host, columns)) } }
        }
    }
}

fn row(document: &Document, host: &Host, columns: &[&Column]) -> Markup {
    let subject = &document.subjects[host.subject];
    let (class, sign) = if subject.fails() { ("bad-ink", "✗") } else { ("good-ink", "✓") };
    html! {
        tr {
            th scope="row" {
                span.(class) { (sign) "\u{a0}" }
                a href={ "#" (Place::among(host.subject).id("top")) } { (subject.target()) }
                @if let Some(verdict) = &subject.record.verdict { div.soft.small { (verdict.id) } }
            }
            @for column in columns { (cell(host, column, subject.fails())) }
        }
    }
}

fn cell(host: &Host, column: &Column, fails: bool) -> Markup {
    let class = if fails { "bad" } else { "doubt" };
    let value = host.values.get(column.place).and_then(Option::as_ref);
    html! {
        @match value {
            None => { td.soft { "·" } }
            Some(value) if Some(&*value.class) == column.usual.as_deref() => { td { (shortened(&value.words, LONGEST_VALUE)) } }
            Some(value) => { td.(class) { span.{ (class) "-ink" } { "≠ " } (shortened(&value.words, LONGEST_VALUE)) } }
        }
    }
}
