//! The phases as a waterfall, and the same as a table.

use super::parts::{Place, moment, scroll, shortened};
use super::scale::Scale;
use crate::report::story::{Story, ToldPhase, leg, outcome};
use crate::report::time;
use crate::trace::{Leg, Outcome};
use maud::{Markup, html};

/// The picture's own units; one is a CSS pixel where the page is wide.
const WIDTH: f64 = 1060.0;
/// Where the axis begins and ends.
const LEFT: f64 = 190.0;
const RIGHT: f64 = 960.0;
/// The first row, and the room for one.
const TOP: f64 = 34.0;
const ROW: f64 = 30.0;
/// A bar.
const BAR: f64 = 14.0;
/// What took no time that was measured is still a mark.
const NARROWEST: f64 = 3.0;
/// Rows of the picture; an attempt with many connections to a gateway has more phases, which the table has.
const MOST_ROWS: usize = 60;
/// Room that the words of a pause need.
const PAUSE_ROOM: f64 = 46.0;

pub(super) fn section(story: &Story, place: &Place) -> Markup {
    let content = (!story.phases.is_empty()).then(|| {
        html! {
            (picture(story, place))
            (scroll("Phases as a table", table(story)))
            @if let Some(ending) = &story.ending { p { strong { "The end: " } (ending) "." } }
        }
    });
    place.section("phases", "Phases", content)
}

fn picture(story: &Story, place: &Place) -> Markup {
    let told: Vec<&ToldPhase> =
        story.phases.iter().filter(|it| it.record.outcome != Outcome::Skipped).collect();
    let shown = &told[..told.len().min(MOST_ROWS)];
    let moments = shown.iter().flat_map(|it| [it.record.start_us, it.record.end_us]);
    let scale = Scale::new(moments, LEFT, RIGHT);
    let bottom = TOP + ROW * shown.len() as f64;
    let hatch = place.id("hatch");
    let (title, description) = (place.id("waterfall-title"), place.id("waterfall-text"));
    html! {
        figure {
            (scroll("Waterfall of the phases", html! {
                svg viewBox={ "0 0 " (WIDTH) " " (bottom + 8.0) } role="img" aria-labelledby={ (title) " " (description) } {
                    title id=(title) { "Waterfall of the phases" }
                    desc id=(description) { (described(shown)) }
                    defs {
                        pattern id=(hatch) width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                            line.hatch x1="0" y1="0" x2="0" y2="7" {}
                        }
                    }
                    (axis(&scale, bottom))
                    @for (row, it) in shown.iter().enumerate() { (bar(it, TOP + ROW * row as f64, &scale, &hatch)) }
                }
            }))
            figcaption {
                "Time runs from left to right and is drawn by its logarithm between two marks, so that a pause of seconds leaves "
                "room for milliseconds; the number on the right is how long each phase took. "
                @if shown.iter().any(|it| it.record.inferred) {
                    "Hatched: judged by the sizes and timing of encrypted records alone. "
                }
                @if shown.iter().any(|it| it.record.outcome == Outcome::Failed) { "✗ failed. " }
                @if shown.iter().any(|it| it.record.outcome == Outcome::Unfinished) { "⊘ cut in the middle. " }
                @if told.len() > shown.len() { (told.len() - shown.len()) " more phases are in the table." }
            }
        }
    }
}

/// The picture in a sentence.
fn described(phases: &[&ToldPhase]) -> String {
    let parts: Vec<String> = phases
        .iter()
        .map(|it| {
            format!(
                "{} {} after {}",
                it.name,
                outcome(it.record.outcome).1,
                time::short(it.record.duration_us())
            )
        })
        .collect();
    format!("{}. The table below has the same.", parts.join(", "))
}

fn axis(scale: &Scale, bottom: f64) -> Markup {
    let ticks = scale.ticks();
    let last = ticks.len().saturating_sub(1);
    html! {
        @for pause in scale.pauses() {
            rect.gap x=(tidy(pause.from)) y=(TOP - 6.0) width=(tidy(pause.to - pause.from)) height=(bottom - TOP + 6.0) {}
            @if pause.to - pause.from > PAUSE_ROOM {
                text.faint x=(tidy((pause.from + pause.to) / 2.0)) y=(bottom + 4.0) text-anchor="middle" { (time::short(pause.us)) }
            }
        }
        line.axis x1=(LEFT) y1=(TOP - 6.0) x2=(RIGHT) y2=(TOP - 6.0) {}
        @for (place, (us, at)) in ticks.iter().enumerate() {
            line.rule x1=(tidy(*at)) y1=(TOP - 10.0) x2=(tidy(*at)) y2=(bottom) {}
            text.faint x=(tidy(*at)) y=(TOP - 15.0) text-anchor=(if place == last { "end" } else if place == 0 { "start" } else { "middle" }) {
                (time::short(*us))
            }
        }
    }
}

fn bar(told: &ToldPhase, y: f64, scale: &Scale, hatch: &str) -> Markup {
    let record = &told.record;
    let from = scale.place(record.start_us);
    let width = (scale.place(record.end_us) - from).max(NARROWEST);
    let class = match record.outcome {
        Outcome::Failed => "failed",
        Outcome::Unfinished => "cut",
        Outcome::Ok | Outcome::Skipped => "ok",
    };
    let (sign, _) = outcome(record.outcome);
    html! {
        text x="0" y=(y + 13.0) {
            (shortened(told.name, 24))
            tspan.faint dx="7" { (side(record.leg, told.name)) }
        }
        rect.(class) x=(tidy(from)) y=(y + 2.0) width=(tidy(width)) height=(BAR) rx="2" {}
        @if record.inferred {
            rect x=(tidy(from)) y=(y + 2.0) width=(tidy(width)) height=(BAR) rx="2" fill={ "url(#" (hatch) ")" } {}
        }
        @if record.outcome != Outcome::Ok {
            text.{ "sign-" (class) } x=(tidy(from + width + 5.0)) y=(y + 14.0) { (sign) }
        }
        text x=(WIDTH) y=(y + 13.0) text-anchor="end" { (time::short(record.duration_us())) }
    }
}

/// The leg in the picture's margin, where the name does not say it.
fn side(of: Option<Leg>, name: &str) -> &'static str {
    match of {
        Some(Leg::Client) if !name.ends_with("client") => "client",
        Some(Leg::Server) if !name.ends_with("server") => "server",
        _ => "",
    }
}

/// A tenth of a pixel is as exact as a picture is.
fn tidy(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn table(story: &Story) -> Markup {
    let waits = story.phases.iter().any(|it| it.record.waiting_for_client_us.is_some());
    html! {
        table.stack.course {
            caption { "The same in numbers. Times count from the beginning of the session." }
            thead {
                tr {
                    th scope="col" { "Phase" }
                    th scope="col" { "Between" }
                    th scope="col" { "Outcome" }
                    th.number scope="col" { "Began" }
                    th.number scope="col" { "Took" }
                    @if waits {
                        th.number scope="col" { "Client’s part" }
                        th.number scope="col" { "Server’s part" }
                    }
                    th scope="col" { "What happened" }
                }
            }
            tbody { @for told in &story.phases { (row(told, waits)) } }
        }
    }
}

fn row(told: &ToldPhase, waits: bool) -> Markup {
    let record = &told.record;
    let (sign, word) = outcome(record.outcome);
    let ink = match record.outcome {
        Outcome::Failed => "bad-ink",
        Outcome::Unfinished => "doubt-ink",
        Outcome::Ok => "good-ink",
        Outcome::Skipped => "soft",
    };
    let is_there = record.outcome != Outcome::Skipped;
    html! {
        tr {
            th.nowrap scope="row" { (told.name) }
            td.nowrap data-name="Between" { (leg(record.leg)) }
            td data-name="Outcome" {
                span.nowrap.(ink) { (sign) " " (word) }
                @if record.inferred { " (by sizes and timing)" }
            }
            td.number data-name="Began" { @if is_there { (moment(record.start_us)) } }
            td.number data-name="Took" { @if is_there { (moment(record.duration_us())) } }
            @if waits {
                @for (name, waited) in [("Client’s part", record.waiting_for_client_us), ("Server’s part", record.waiting_for_server_us)] {
                    td.number data-name=(name) { @if let Some(us) = waited { (moment(us)) } }
                }
            }
            td { (told.words.join("; ")) }
        }
    }
}
