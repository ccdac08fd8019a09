//! The events as they stand in the trace.

use super::parts::{Place, Share};
use crate::trace::Record;
use maud::{Markup, html};

/// Characters of one event; a ClientHello has some three thousand.
const LONGEST: usize = 8_000;

pub(super) fn section(record: &Record, place: &Place, share: Share) -> Markup {
    let count = record.events.len();
    let shown = count.min(share.raw);
    html! {
        @if count > 0 {
            section.raw aria-labelledby=(place.id("raw")) {
                (place.part("raw", "Raw events"))
                details {
                    summary {
                        @if shown < count { "The first " (shown) " of " (count) " events as JSON; the others are in the trace" }
                        @else { (count) " events as JSON" }
                    }
                    pre tabindex="0" {
                        @for event in &record.events[..shown] { (json(event)) "\n" }
                    }
                }
            }
        }
    }
}

fn json(event: &crate::trace::Event) -> String {
    // Serialising these types into memory cannot fail.
    super::parts::shortened(&serde_json::to_string(event).unwrap_or_default(), LONGEST)
}
