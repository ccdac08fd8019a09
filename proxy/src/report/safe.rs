//! Text from the wire made harmless: a terminal obeys control characters, and readers are misled by characters that
//! turn the direction of writing or are not seen at all. Everything that is laid out goes through [`neutralise`].

use std::borrow::Cow;

/// Characters shown of one name, subject or greeting. Longer ones are shortened: a certificate may hold 64 KiB of
/// subject, and 100 characters are longer than any host name in use.
const LONGEST_NAME: usize = 100;

/// `text` with every dangerous character replaced by a visible escape such as `\x1b` or `\u{202e}`; with `ascii`
/// everything outside of ASCII as well. What is harmless stays as it is, so that doing it twice changes nothing.
pub fn neutralise(text: &str, ascii: bool) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => harmless.push_str("\\n"),
            '\r' => harmless.push_str("\\r"),
            '\t' => harmless.push_str("\\t"),
            _ if character.is_ascii_control() => {
                harmless.push_str(&format!("\\x{:02x}", u32::from(character)))
            }
            _ if is_dangerous(character) || (ascii && !character.is_ascii()) => {
                harmless.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            _ => harmless.push(character),
        }
    }
    harmless
}

/// Lines for a terminal: whatever else it would obey than their ends is shown instead, and with `color` not the colours
/// (SGR of ECMA-48 8.3.117) that are ours. Names in what is laid out went through [`neutralise`] before; this holds for what did not,
/// such as an error that names a file.
pub fn lines(text: &str, color: bool) -> Cow<'_, str> {
    if !text.contains(|character| character != '\n' && is_dangerous(character)) {
        return Cow::Borrowed(text);
    }
    let (mut harmless, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(character) = rest.chars().next() {
        let length = match character {
            '\n' => 1,
            '\x1b' if color => color_length(rest),
            _ => 0,
        };
        let (kept, other) = rest.split_at(length);
        harmless.push_str(kept);
        rest = other;
        if length == 0 {
            let (dangerous, other) = rest.split_at(character.len_utf8());
            harmless.push_str(&neutralise(dangerous, false));
            rest = other;
        }
    }
    Cow::Owned(harmless)
}

/// Bytes of the colour that `text` begins with; 0 where it begins with anything else.
fn color_length(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let length = parameters.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if parameters.as_bytes().get(length) == Some(&b'm') { "\x1b[m".len() + length } else { 0 }
}

/// JSON that says the same without a character that a terminal obeys or a reader does not see: those stand in strings
/// alone, where they may be escaped (RFC 8259 7).
pub fn json(text: &str) -> Cow<'_, str> {
    if text.split('\n').all(is_plain) {
        return Cow::Borrowed(text);
    }
    let stays = |character: char| character == '\n' || !is_dangerous(character);
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        if stays(character) {
            harmless.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            harmless.push_str(&format!("\\u{unit:04x}"));
        }
    }
    Cow::Owned(harmless)
}

/// A name from the wire for the middle of a sentence: harmless, and cut where it would fill the screen.
pub fn name(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST_NAME).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    neutralise(&short, false)
}

/// Whether there is nothing but ASCII that is seen: so is nearly every text, and to look at its bytes takes a sixth of the
/// time that its characters take.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Controls, line and paragraph separators, bidirectional controls, and characters that leave no trace on the screen.
fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(neutralise("a\x1b[2Jb", false), "a\\x1b[2Jb");
        assert_eq!(neutralise("GET\r\n\tx\0\x7f", false), "GET\\r\\n\\tx\\x00\\x7f");
        assert_eq!(neutralise("\u{9b}2J \u{85}", false), "\\u{9b}2J \\u{85}");
        assert_eq!(
            neutralise("moc.\u{202e}evil\u{2066}\u{200b}", false),
            "moc.\\u{202e}evil\\u{2066}\\u{200b}"
        );
    }

    #[test]
    fn ordinary_names_stay_and_ascii_terminals_get_ascii() {
        assert_eq!(neutralise("CN=Büro-Süd, O=東京", false), "CN=Büro-Süd, O=東京");
        assert_eq!(neutralise("CN=Büro", true), "CN=B\\u{fc}ro");
    }

    #[test]
    fn long_names_are_shortened_by_characters() {
        let short = name(&"ü".repeat(5000));
        assert_eq!(short.chars().count(), LONGEST_NAME + 3);
        assert_eq!(name("srv10"), "srv10");
    }

    #[test]
    fn lines_keep_their_ends_and_colours_that_are_ours() {
        let text = "\x1b[1;31mred\x1b[0m\n\x1b[2J\x1b]0;title\x07 \u{9b}1m\u{202e}";
        assert_eq!(lines(text, true), "\x1b[1;31mred\x1b[0m\n\\x1b[2J\\x1b]0;title\\x07 \\u{9b}1m\\u{202e}");
        assert_eq!(lines("\x1b[31mred", false), "\\x1b[31mred");
        assert!(matches!(lines("two\nlines of Büro-Süd", true), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn json_says_the_same_without_what_is_dangerous(text in any::<String>(), place in 0..=4_usize) {
            let text = format!("{text}{}", ["\u{9b}2J", "\u{202e}", "\u{e0041}", "\u{85}", ""][place]);
            let written = serde_json::to_string(&text).unwrap();
            let harmless = json(&written);
            prop_assert!(!harmless.chars().any(is_dangerous));
            prop_assert_eq!(serde_json::from_str::<String>(&harmless).unwrap(), text);
        }

        #[test]
        fn no_line_has_anything_dangerous(text in any::<String>(), color in any::<bool>()) {
            let harmless = lines(&text, color).replace('\n', "");
            let rest: String = if color { harmless.replace('\x1b', "") } else { harmless };
            prop_assert!(!rest.chars().any(is_dangerous));
        }

        #[test]
        fn nothing_dangerous_is_left_and_twice_is_once(text in any::<String>(), ascii in any::<bool>()) {
            let harmless = neutralise(&text, ascii);
            prop_assert!(!harmless.chars().any(is_dangerous));
            prop_assert!(!ascii || harmless.is_ascii());
            prop_assert_eq!(&neutralise(&harmless, ascii), &harmless);
        }
    }
}
