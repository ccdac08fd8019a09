//! Two sessions side by side: the first difference that can explain the failure, then the others.

use super::parts::scroll;
use crate::report::compare::{CAUTION, Contrast, Difference, aside, first_words, same_words, sides_words};
use maud::{Markup, html};

pub(super) fn section(contrast: &Contrast) -> Markup {
    html! {
        div.verdict.doubt {
            p.eyebrow { span.badge.doubt { "≠ compared" } span { (if contrast.is_as_named { "one that works, one that fails" } else { "two sessions" }) } }
            h1 id="answer" { (first_words(contrast)) }
            @if let Some(Difference { phase, working, failing, .. }) = &contrast.parted {
                p { "The two part in " strong { (phase) } ": " (sides_words(contrast, working, failing)) "." }
            }
            @for note in &contrast.notes { p.note role="note" { (note) } }
            p.soft { (CAUTION) }
        }
        section aria-labelledby="side-by-side" {
            h2 id="side-by-side" { "Side by side" }
            (scroll("Side by side", table(contrast)))
            p.soft { (same_words(contrast)) }
        }
    }
}

fn table(contrast: &Contrast) -> Markup {
    let [works, fails] = match contrast.is_as_named {
        true => ["✓ Works", "✗ Fails"],
        false => ["One", "Other"],
    };
    html! {
        table.stack.contrast {
            caption { "What differs, in the order of the phases; the first that can explain the failure stands first" }
            thead {
                tr {
                    th scope="col" { "Phase" }
                    th scope="col" { "What" }
                    th scope="col" { (works) }
                    th scope="col" { (fails) }
                }
            }
            tbody {
                tr {
                    th scope="row" { "answer" }
                    td { a href="#s1-top" { (contrast.working) } " and " a href="#s2-top" { (contrast.failing) } }
                    td data-name=(works) { (contrast.answers[0]) }
                    td data-name=(fails) { (contrast.answers[1]) }
                }
                @if let Some(difference) = &contrast.first { (row(difference, true, [works, fails])) }
                @for difference in &contrast.others { (row(difference, false, [works, fails])) }
            }
        }
    }
}

fn row(difference: &Difference, is_first: bool, [works, fails]: [&str; 2]) -> Markup {
    let class = if is_first { "doubt" } else { "" };
    html! {
        tr {
            th.nowrap scope="row" { (difference.phase) }
            td.(class) {
                @if is_first { strong { "First: " (difference.what) } } @else { (difference.what) span.soft { (aside(difference)) } }
            }
            td.(class) data-name=(works) { (difference.working) }
            td.(class) data-name=(fails) { (difference.failing) }
        }
    }
}
