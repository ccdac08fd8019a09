//! Every byte that rdpscope changed.

use super::parts::{Place, moment, scroll};
use crate::trace::{Altered, Detail, Event, Leg, Record};
use maud::{Markup, html};

/// Changes in the table; a long experiment changes the same field of each attempt, and the trace has them all.
const MOST_SHOWN: usize = 200;

pub(super) fn section(record: &Record, place: &Place) -> Markup {
    let refused: Vec<(&Event, String)> = record.events.iter().filter_map(not_altered).collect();
    let is_something = !record.altered.is_empty() || !refused.is_empty();
    let content = is_something.then(|| {
        html! {
            @if !record.altered.is_empty() { (scroll("What rdpscope changed", table(&record.altered))) }
            @if !refused.is_empty() {
                ul { @for (event, text) in &refused { li { (moment(event.t_us)) ": " (text) } } }
            }
        }
    });
    place.section("alterations", "What rdpscope changed", content)
}

fn not_altered(event: &Event) -> Option<(&Event, String)> {
    match &event.detail {
        Detail::NotAltered { setting, reason } => {
            Some((event, format!("{setting} changed nothing: {reason}")))
        }
        _ => None,
    }
}

fn table(altered: &[Altered]) -> Markup {
    html! {
        table.stack {
            caption {
                "Each changed field, as it came and as it was sent on. Everything else passed as it was."
                @if altered.len() > MOST_SHOWN { " " (altered.len() - MOST_SHOWN) " more are in the trace." }
            }
            thead {
                tr {
                    th.number scope="col" { "Time" }
                    th scope="col" { "Message" }
                    th scope="col" { "Field" }
                    th scope="col" { "Before" }
                    th scope="col" { "After" }
                    th scope="col" { "Why" }
                }
            }
            tbody { @for change in altered.iter().take(MOST_SHOWN) { (row(change)) } }
        }
    }
}

fn row(change: &Altered) -> Markup {
    let to = match change.leg {
        Leg::Client => "to the client",
        Leg::Server => "to the server",
        Leg::Proxy => "by rdpscope",
    };
    html! {
        tr {
            th.number scope="row" { (moment(change.t_us)) }
            td data-name="Message" { (change.message) ", " (to) }
            td data-name="Field" { (change.structure) "." (change.field) ", byte " (change.offset) }
            td data-name="Before" { (bytes(&change.before, "not told")) }
            td data-name="After" { (bytes(&change.after, "taken out")) }
            td data-name="Why" { code { (change.why) } }
        }
    }
}

/// What an empty field means is said instead of it.
fn bytes(hex: &str, empty: &str) -> Markup {
    html! { @if hex.is_empty() { (empty) } @else { code { (hex) } } }
}
