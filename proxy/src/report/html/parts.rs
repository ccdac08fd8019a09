//! What every part of the page is made of.

use crate::report::{safe, time};
use crate::trace::{Micros, Verdict, VerdictId};
use maud::{Markup, html};

/// Where on the page something stands: the prefix of its ids, and how deep its headings are.
pub(super) struct Place {
    prefix: String,
    level: u8,
}

/// How much of a long record the page may show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Messages in words.
    pub(super) messages: usize,
    /// Events as JSON.
    pub(super) raw: usize,
}

/// Messages in words on the whole page: a thousand rows are what browsers lay out at once and people can search.
const MOST_MESSAGES: usize = 1_000;
/// Events as JSON on the whole page: with some 500 bytes each, a megabyte.
const MOST_RAW: usize = 2_000;
/// What each of many subjects has at least.
const LEAST_SHARE: usize = 40;

/// What one of `subjects` may take of the page.
pub(super) fn share(subjects: usize) -> Share {
    let part = |whole: usize| (whole / subjects.max(1)).max(LEAST_SHARE);
    Share { messages: part(MOST_MESSAGES), raw: part(MOST_RAW) }
}

impl Place {
    /// The only subject of its page.
    pub(super) fn alone() -> Place {
        Place { prefix: String::new(), level: 1 }
    }

    /// One of several; its place counts from 0.
    pub(super) fn among(place: usize) -> Place {
        Place { prefix: format!("s{}-", place + 1), level: 2 }
    }

    /// `name` as an id that no other subject has.
    pub(super) fn id(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The heading of the whole subject.
    pub(super) fn heading(&self, id: &str, text: &str) -> Markup {
        html! {
            @if self.level == 1 { h1.answer id=(self.id(id)) { (text) } }
            @else { h2.answer id=(self.id(id)) { (text) } }
        }
    }

    /// The heading of a part of it.
    pub(super) fn part(&self, id: &str, text: &str) -> Markup {
        html! {
            @if self.level == 1 { h2 id=(self.id(id)) { (text) } }
            @else { h3 id=(self.id(id)) { (text) } }
        }
    }

    /// The heading of a part of a part.
    pub(super) fn small_part(&self, text: &str) -> Markup {
        html! {
            @if self.level == 1 { h3 { (text) } }
            @else { h4 { (text) } }
        }
    }

    /// A section under a heading; nothing where `content` is nothing.
    pub(super) fn section(&self, id: &str, heading: &str, content: Option<Markup>) -> Markup {
        html! {
            @if let Some(content) = content {
                section aria-labelledby=(self.id(id)) {
                    (self.part(id, heading))
                    (content)
                }
            }
        }
    }
}

/// What is wider than the page scrolls by itself, by keyboard too.
pub(super) fn scroll(label: &str, content: Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (content) } }
}

/// Our own sentence, in which a command stands between backticks.
pub(super) fn prose(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A command to be copied as a whole.
pub(super) fn command(text: &str) -> Markup {
    html! { pre tabindex="0" { code { (safe::neutralise(text, false)) } } }
}

/// Names beside values; a value may be several lines.
pub(super) fn pairs(caption: &str, rows: &[(String, Vec<String>)]) -> Markup {
    html! {
        table.facts {
            caption { (caption) }
            tbody {
                @for (name, values) in rows {
                    tr {
                        th scope="row" { (name) }
                        td { @for value in values { div { (value) } } }
                    }
                }
            }
        }
    }
}

/// A time, with all that is known of it where that is more.
pub(super) fn moment(us: Micros) -> Markup {
    html! { span title={ (us) " µs" } { (time::short(us)) } }
}

/// How a verdict looks and what stands before it: never colour alone.
pub(super) fn tone(id: VerdictId) -> (&'static str, &'static str) {
    match id {
        VerdictId::Healthy => ("good", "✓"),
        id if id.is_fault() => ("bad", "✗"),
        _ => ("doubt", "?"),
    }
}

/// The same of a whole verdict, which may know that its user wanted it.
pub(super) fn tone_of(verdict: &Verdict) -> (&'static str, &'static str) {
    if verdict.is_good() { tone(VerdictId::Healthy) } else { tone(verdict.id) }
}

/// The verdict's id with its sign and how sure it is.
pub(super) fn badge(verdict: &Verdict) -> Markup {
    let (class, sign) = tone_of(verdict);
    html! {
        span.badge.(class) { (sign) " " (verdict.id) }
        " "
        span { (verdict.confidence) }
    }
}

/// `text` as a sentence begins.
pub(super) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// Characters that are given up so that no word is cut.
const LONGEST_CUT_WORD: usize = 24;

/// `text` in at most `most` characters, at the end of a word where one is near.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most || text.chars().count() <= most {
        return text.to_owned();
    }
    let cut: String = text.chars().take(most.saturating_sub(1)).collect();
    let words = cut.rsplit_once(' ').filter(|(_, part)| part.chars().count() <= LONGEST_CUT_WORD);
    let kept = words.map_or(cut.as_str(), |(words, _)| words.trim_end_matches([',', ';', ':', '.']));
    format!("{kept}…")
}
