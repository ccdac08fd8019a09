//! The lines of a profile, each with its own bytes.

use super::encoding::{Damage, Encoding};

/// A profile as it was read, changed line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    encoding: Encoding,
    lines: Vec<Line>,
}

/// One line with its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Without its end. Characters that the encoding does not have stand as U+FFFD.
    pub text: String,
    /// How it ends.
    pub ending: Ending,
    /// What makes its bytes no text.
    pub damage: Option<Damage>,
    /// What is written; with the end.
    bytes: Vec<u8>,
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// CR LF, as Windows writes it.
    CrLf,
    /// LF alone.
    Lf,
    /// CR alone.
    Cr,
    /// The file ends.
    None,
}

/// `key:type:value`, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The name, without spaces around it.
    pub key: &'a str,
    /// Its type: `i`, `s` or `b`, or what stands there instead.
    pub kind: &'a str,
    /// The rest of the line.
    pub value: &'a str,
}

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Ending::CrLf => "\r\n",
            Ending::Lf => "\n",
            Ending::Cr => "\r",
            Ending::None => "",
        }
    }
}

impl Line {
    /// The setting in it, where it has one.
    pub fn setting(&self) -> Option<Setting<'_>> {
        let (key, rest) = self.text.trim_start_matches('\u{feff}').split_once(':')?;
        let (kind, value) = rest.split_once(':')?;
        Some(Setting { key: key.trim(), kind, value })
    }
}

impl Setting<'_> {
    /// Whether it is called `name`; case does not matter.
    pub fn is(&self, name: &str) -> bool {
        self.key.eq_ignore_ascii_case(name)
    }
}

impl Profile {
    /// Reads `bytes`, whatever they are; [`Profile::bytes`] gives them back.
    pub fn read(bytes: &[u8]) -> Profile {
        let encoding = Encoding::of(bytes);
        let mut rest = &bytes[encoding.mark().len()..];
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let (length, ending) = line_length(encoding, rest);
            let (line, after) = rest.split_at(length);
            lines.push(Line::read(encoding, line, ending));
            rest = after;
        }
        Profile { encoding, lines }
    }

    /// How its characters stand in bytes.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Its lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// What to write: the bytes that were read, but for lines that were changed.
    pub fn bytes(&self) -> Vec<u8> {
        let lines = self.lines.iter().flat_map(|line| &line.bytes);
        self.encoding.mark().iter().chain(lines).copied().collect()
    }

    /// Its settings with the indices of their lines.
    pub fn settings(&self) -> impl Iterator<Item = (usize, Setting<'_>)> {
        self.lines.iter().enumerate().filter_map(|(index, line)| Some((index, line.setting()?)))
    }

    /// The last setting of that name, which is the one that counts where there are several.
    pub fn last(&self, name: &str) -> Option<(usize, Setting<'_>)> {
        self.settings().filter(|(_, setting)| setting.is(name)).last()
    }

    /// The value of the last setting of that name, without spaces around it.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.last(name).map(|(_, setting)| setting.value.trim())
    }

    /// The same as a number; `None` where it is none.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.value(name)?.parse().ok()
    }

    /// Puts `text` in the place of a line's, and leaves its end.
    pub fn replace_text(&mut self, index: usize, text: &str) {
        let encoding = self.encoding;
        if let Some(line) = self.lines.get_mut(index).filter(|line| line.text != text) {
            *line = Line::new(encoding, text, line.ending);
        }
    }

    /// Puts `value` in the place of a setting's.
    pub fn replace_value(&mut self, index: usize, value: &str) {
        let Some(line) = self.lines.get(index) else { return };
        let Some(setting) = line.setting() else { return };
        let before = &line.text[..line.text.len() - setting.value.len()];
        self.replace_text(index, &format!("{before}{value}"));
    }

    /// Takes away the lines with these indices.
    pub fn remove(&mut self, indices: &[usize]) {
        let mut index = 0..;
        self.lines.retain(|_| !index.next().is_some_and(|index| indices.contains(&index)));
    }

    /// Adds a line at the end, which ends as the first one does.
    pub fn append(&mut self, text: &str) {
        let ending = self.lines.first().map_or(Ending::CrLf, |line| line.ending);
        let ending = if ending == Ending::None { Ending::CrLf } else { ending };
        let encoding = self.encoding;
        if let Some(last) = self.lines.last_mut().filter(|last| last.ending == Ending::None) {
            last.ending = ending;
            last.bytes.extend(encoding.encode(ending.text()));
        }
        self.lines.push(Line::new(encoding, text, ending));
    }
}

impl Line {
    fn new(encoding: Encoding, text: &str, ending: Ending) -> Line {
        let mut bytes = encoding.encode(text);
        bytes.extend(encoding.encode(ending.text()));
        Line { text: text.to_owned(), ending, damage: None, bytes }
    }

    fn read(encoding: Encoding, bytes: &[u8], ending: Ending) -> Line {
        let content = &bytes[..bytes.len() - ending.text().len() * encoding.width()];
        let (text, damage) = encoding.decode(content);
        Line { text, ending, damage, bytes: bytes.to_vec() }
    }
}

/// Bytes of the first line with its end, and what that is.
fn line_length(encoding: Encoding, bytes: &[u8]) -> (usize, Ending) {
    const LF: u16 = b'\n' as u16;
    const CR: u16 = b'\r' as u16;
    let width = encoding.width();
    let mut units = bytes.chunks_exact(width).map(|unit| encoding.unit(unit)).enumerate().peekable();
    while let Some((at, unit)) = units.next() {
        match unit {
            LF => return ((at + 1) * width, Ending::Lf),
            CR if units.peek().is_some_and(|(_, next)| *next == LF) => {
                return ((at + 2) * width, Ending::CrLf);
            }
            CR => return ((at + 1) * width, Ending::Cr),
            _ => {}
        }
    }
    (bytes.len(), Ending::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_of_line_end_stays_what_it_was() {
        let profile = Profile::read(b"a:i:1\r\nb:i:2\nc:i:3\rd:i:4");
        let ends: Vec<Ending> = profile.lines().iter().map(|line| line.ending).collect();
        assert_eq!(ends, [Ending::CrLf, Ending::Lf, Ending::Cr, Ending::None]);
        let texts: Vec<&str> = profile.lines().iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["a:i:1", "b:i:2", "c:i:3", "d:i:4"]);
    }

    #[test]
    fn a_change_touches_its_own_line_only() {
        let mut profile = Profile::read(b"\xff\xfea\0:\0s\0:\0x\0\n\0b\0:\0s\0:\0\x00\xd8\n\0");
        profile.replace_value(0, "yz");
        assert_eq!(profile.bytes(), b"\xff\xfea\0:\0s\0:\0y\0z\0\n\0b\0:\0s\0:\0\x00\xd8\n\0");
        profile.remove(&[0]);
        assert_eq!(profile.bytes(), b"\xff\xfeb\0:\0s\0:\0\x00\xd8\n\0");
    }

    #[test]
    fn a_line_is_added_after_a_whole_line() {
        let mut profile = Profile::read(b"a:i:1\nb:i:2");
        profile.append("c:i:3");
        assert_eq!(profile.bytes(), b"a:i:1\nb:i:2\nc:i:3\n");
        let mut empty = Profile::read(b"");
        empty.append("a:i:1");
        assert_eq!(empty.bytes(), b"a:i:1\r\n");
    }

    #[test]
    fn a_value_may_hold_colons_and_a_key_any_case() {
        let profile = Profile::read(b"Full Address:s:[::1]:3389\r\nfull address:s: b \r\nno setting\r\n");
        assert_eq!(profile.settings().count(), 2);
        assert_eq!(profile.lines()[0].setting().map(|setting| setting.value), Some("[::1]:3389"));
        assert_eq!(profile.value("full address"), Some("b"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_given_back(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Profile::read(&bytes).bytes(), bytes);
        }

        #[test]
        fn any_text_is_given_back_in_every_encoding(text in "(\\PC{0,9}[:\r\n]?){0,9}", which in 0..6usize) {
            let encoding = [
                Encoding::Utf8 { mark: false },
                Encoding::Utf8 { mark: true },
                Encoding::Utf16Little { mark: true },
                Encoding::Utf16Little { mark: false },
                Encoding::Utf16Big { mark: true },
                Encoding::Utf16Big { mark: false },
            ][which];
            let bytes = [encoding.mark(), &encoding.encode(&text)].concat();
            prop_assert_eq!(Profile::read(&bytes).bytes(), bytes);
        }

        #[test]
        fn writing_a_value_again_changes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut profile = Profile::read(&bytes);
            for index in 0..profile.lines().len() {
                let value = profile.lines()[index].setting().map(|setting| setting.value.to_owned());
                if let Some(value) = value {
                    profile.replace_value(index, &value);
                }
            }
            prop_assert_eq!(profile.bytes(), bytes);
        }
    }
}
