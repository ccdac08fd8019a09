//! Lines of a known width from pieces of text: wrapping, colour, and the one place where text becomes harmless.

use super::safe;
use anstyle::{AnsiColor, Style as Ansi};

/// Narrower terminals get lines of this width: below it nothing is left for the words beside the columns.
const NARROWEST: usize = 60;

/// How text is to look; found out by whoever owns the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Colour codes in the text. Nothing is said by colour alone.
    pub color: bool,
    /// Columns.
    pub width: usize,
    /// 1 adds single events, 2 all that is known of them.
    pub verbose: u8,
    /// Only ASCII.
    pub ascii: bool,
}

/// What a piece of text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Good,
    Bad,
    Doubtful,
    Heading,
    Faint,
}

impl Style {
    /// `text` in the colour of `look`.
    pub(super) fn paint(&self, look: Look, text: &str) -> String {
        if !self.color || text.trim().is_empty() {
            return text.to_owned();
        }
        let ansi = match look {
            Look::Good => Ansi::new().fg_color(Some(AnsiColor::Green.into())),
            Look::Bad => Ansi::new().fg_color(Some(AnsiColor::Red.into())).bold(),
            Look::Doubtful => Ansi::new().fg_color(Some(AnsiColor::Yellow.into())),
            Look::Heading => Ansi::new().bold(),
            Look::Faint => Ansi::new().dimmed(),
        };
        format!("{ansi}{text}{ansi:#}")
    }
}

/// Lines under way.
pub(super) struct Page<'a> {
    style: &'a Style,
    /// Stands before every line, for example `#2 `.
    prefix: &'a str,
    lines: Vec<String>,
}

impl<'a> Page<'a> {
    pub(super) fn new(style: &'a Style, prefix: &'a str) -> Page<'a> {
        Page { style, prefix, lines: Vec::new() }
    }

    /// `text` in lines beside `left`, which has `left_width` columns and stands before the first of them.
    pub(super) fn beside(&mut self, left: &str, left_width: usize, text: &str) {
        let room = self.width().saturating_sub(left_width + self.prefix.chars().count());
        let lines = wrap(&safe::neutralise(text, self.style.ascii), room);
        let indent = " ".repeat(left_width);
        for (place, line) in lines.iter().enumerate() {
            let left = if place == 0 { left } else { &indent };
            self.lines.push(format!("{}{left}{line}", self.prefix).trim_end().to_owned());
        }
    }

    /// A line of its own that needs no prefix.
    pub(super) fn heading(&mut self, text: &str) {
        let text = safe::neutralise(text, self.style.ascii);
        self.lines.extend(wrap(&text, self.width()).iter().map(|line| self.style.paint(Look::Heading, line)));
    }

    /// `text` in one line whatever its length, so that it can be copied.
    pub(super) fn whole(&mut self, indent: usize, text: &str) {
        let text = safe::neutralise(text, self.style.ascii);
        self.lines.push(format!("{}{}{text}", self.prefix, " ".repeat(indent)));
    }

    /// A line of columns, laid out and harmless already, whatever its length.
    pub(super) fn row(&mut self, line: &str) {
        self.lines.push(format!("{}{line}", self.prefix).trim_end().to_owned());
    }

    /// An empty line.
    pub(super) fn blank(&mut self) {
        self.lines.push(String::new());
    }

    /// Everything so far, without a line end at the end; nothing where there is nothing.
    pub(super) fn finish(self) -> Option<String> {
        if self.lines.is_empty() { None } else { Some(self.lines.join("\n")) }
    }

    fn width(&self) -> usize {
        self.style.width.max(NARROWEST)
    }
}

/// Breaks `text` at spaces; words longer than a line are cut. At least one line.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > width {
            lines.push(String::new());
            used = 0;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            push(&mut lines, &word);
            lines.push(String::new());
            word = rest;
        }
        if used > 0 {
            push(&mut lines, &[' ']);
            used += 1;
        }
        used += word.len();
        push(&mut lines, &word);
    }
    lines
}

fn push(lines: &mut [String], characters: &[char]) {
    if let Some(line) = lines.last_mut() {
        line.extend(characters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { color: false, width: 60, verbose: 0, ascii: false };

    #[test]
    fn breaks_at_spaces_and_cuts_only_what_is_too_long() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_nothing_dangerous_is_left() {
        let mut page = Page::new(&PLAIN, "#2 ");
        page.beside("left ", 5, &"word \x1b[2J\u{202e} ".repeat(20));
        let text = page.finish().unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 60 && line.starts_with("#2 ")), "{text}");
        assert!(!text.contains(['\x1b', '\u{202e}']));
    }

    #[test]
    fn colour_only_where_it_is_asked_for() {
        assert_eq!(PLAIN.paint(Look::Bad, "FAIL"), "FAIL");
        let coloured = Style { color: true, ..PLAIN }.paint(Look::Bad, "FAIL");
        assert!(coloured.starts_with("\x1b[") && coloured.contains("FAIL") && coloured.ends_with("\x1b[0m"));
    }
}
