//! Who said what, and when.

use super::parts::{Place, Share, moment, scroll};
use crate::report::document::Subject;
use crate::report::story::{Message, Messages, Speaker, messages};
use maud::{Markup, html};

/// Messages at the beginning that are always in sight: the way to a desktop has some fifty.
const FIRST: usize = 40;
/// Messages at the end that are always in sight: there the reason is.
const LAST: usize = 15;

pub(super) fn section(subject: &Subject, place: &Place, share: Share) -> Markup {
    let told = messages(&subject.record, subject.target(), share.messages);
    let content = (!told.messages.is_empty()).then(|| html! { (tables(&told)) });
    place.section("talk", "Who said what", content)
}

fn tables(told: &Messages) -> Markup {
    let all = &told.messages[..];
    if all.len() <= FIRST + LAST {
        return scroll("Messages", table("Every message in its order", all));
    }
    let (first, rest) = all.split_at(FIRST);
    let (middle, last) = rest.split_at(rest.len() - LAST);
    html! {
        (scroll("The first messages", table("The first messages", first)))
        details {
            summary {
                (middle.len()) " messages between"
                @if told.left_out > 0 { ", and " (told.left_out) " more that are in the trace alone" }
            }
            (scroll("Messages between", table("Messages between", middle)))
        }
        (scroll("The last messages", table("The last messages", last)))
    }
}

fn table(caption: &str, messages: &[Message]) -> Markup {
    html! {
        table.stack.talk {
            caption { (caption) ", each in the column of the side that sent it" }
            thead {
                tr {
                    th.when scope="col" { "Time" }
                    th scope="col" { "Client" }
                    th scope="col" { "rdpscope" }
                    th scope="col" { "Server" }
                }
            }
            tbody { @for message in messages { (row(message)) } }
        }
    }
}

fn row(message: &Message) -> Markup {
    html! {
        tr {
            th.when scope="row" { (moment(message.t_us)) }
            @match message.speaker {
                Speaker::Client => { td.client { (said(message, "client →", "client")) } td {} td {} }
                Speaker::Rdpscope => { td {} td.own { (said(message, "rdpscope", "own")) } td {} }
                Speaker::Server => { td {} td {} td.server { (said(message, far_side(message), "server")) } }
            }
        }
    }
}

fn far_side(message: &Message) -> &'static str {
    if message.phase.id().starts_with("gateway") { "← gateway" } else { "← server" }
}

fn said(message: &Message, who: &str, class: &str) -> Markup {
    html! {
        span.who.(class) { (who) }
        span.soft.small {
            " " (message.phase)
            @if let Some(number) = message.connection { ", connection " (number) }
            @if message.inferred { ", judged by its size" }
        }
        span.said {
            @if message.failed { strong.bad-ink { "✗ " } }
            (message.text)
        }
    }
}
