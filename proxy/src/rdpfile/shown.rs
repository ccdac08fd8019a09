//! Text from a profile in a sentence.

/// Characters of a value that are shown; addresses and lists of devices are shorter.
const LONGEST_SHOWN: usize = 80;

/// `text` in quotes, what a terminal would obey escaped, and cut where it would fill the screen.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(LONGEST_SHOWN).collect();
    match short.len() < text.len() {
        true => format!("{:?}", short + "..."),
        false => format!("{short:?}"),
    }
}

/// The same for an address, in front of which somebody may have written a logon.
pub(super) fn quoted_place(text: &str) -> String {
    quoted(text.rsplit_once('@').map_or(text, |(_, place)| place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        assert_eq!(quoted("a\u{1b}[2J\u{202e}"), "\"a\\u{1b}[2J\\u{202e}\"");
        assert_eq!(quoted(&"x".repeat(100)).len(), LONGEST_SHOWN + 5);
    }
}
