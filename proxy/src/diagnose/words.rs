//! Numbers as people read them.

use crate::trace::{How, Micros};

const MILLISECOND: Micros = 1_000;
/// One second in microseconds.
pub(super) const SECOND: Micros = 1_000_000;
const MINUTE: Micros = 60 * SECOND;
const HOUR: Micros = 60 * MINUTE;

/// A span of time in the unit that suits it.
pub(super) fn span(us: Micros) -> String {
    match us {
        0..MILLISECOND => "less than 1 ms".to_owned(),
        MILLISECOND..SECOND => format!("{} ms", us / MILLISECOND),
        // Up to two minutes, tenths of a second still matter for time-outs.
        SECOND..=119_999_999 => format!("{}.{} s", us / SECOND, us % SECOND / (SECOND / 10)),
        _ if us < 2 * HOUR => format!("{} min", us / MINUTE),
        _ => format!("{} h", us / HOUR),
    }
}

/// "closed" or "reset", after the side that did it.
pub(super) fn ended(how: Option<How>) -> &'static str {
    match how {
        Some(How::Reset) => "reset the connection",
        Some(How::Timeout) => "answered nothing any more",
        _ => "closed the connection",
    }
}

/// Names in one line, or `nothing`.
pub(super) fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// The same with a capital letter at its start.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_unit_that_suits_them() {
        let spans = [0, 1_500, 999_999, 1_000_000, 10_450_000, 120_000_000, 7_200_000_000].map(span);
        assert_eq!(spans, ["less than 1 ms", "1 ms", "999 ms", "1.0 s", "10.4 s", "2 min", "2 h"]);
    }
}
