//! The chunked transfer coding (RFC 9112 7.1), with extensions and trailers, as far as it tells where a body ends.

use super::body::Part;
use crate::wire::Malformed;

/// Bytes of the longest line that is read: a chunk's size with its extensions, or one trailer.
pub const LONGEST_LINE: usize = 4096;

/// Bytes of all trailers together; none of a gateway's peers sends any.
const LONGEST_TRAILERS: usize = 64 * 1024;

/// The most digits of a size; more could not be counted.
const MOST_DIGITS: u32 = 16;

const STRUCTURE: &str = "chunked-body";

/// Follows one body.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    /// Whether a chunk has begun.
    begun: bool,
}

#[derive(Debug)]
enum State {
    Size(Size),
    Data(u64),
    /// The line end behind a chunk's data.
    DataEnd,
    Trailers {
        line: usize,
        all: usize,
    },
    Over,
}

impl Default for State {
    fn default() -> Self {
        State::Size(Size::default())
    }
}

/// A line with a chunk's size, as far as it has come.
#[derive(Debug, Default, Clone, Copy)]
struct Size {
    value: u64,
    digits: u32,
    /// Bytes of the line.
    length: usize,
    /// The digits are over.
    extension: bool,
}

/// Whether bytes begin with the line of a chunk's size, and one that has data; `None` while that is open.
pub fn begins_with_a_size(bytes: &[u8]) -> Option<bool> {
    // Enough for every size that a body can have, and for an extension.
    const MOST_SIZE_DIGITS: usize = 8;
    const MOST_EXTENSION: usize = 64;
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let has_data = bytes[..digits].iter().any(|digit| *digit != b'0');
    if digits > MOST_SIZE_DIGITS {
        return Some(false);
    }
    match &bytes[digits..] {
        [] => None,
        _ if digits == 0 || !has_data => Some(false),
        [b'\r'] => None,
        [b'\r', next, ..] => Some(*next == b'\n'),
        [b';' | b' ', extension @ ..] => {
            let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
            let text = extension.iter().take_while(|byte| is_text(byte)).count();
            match &extension[text..] {
                _ if text > MOST_EXTENSION => Some(false),
                [] | [b'\r'] => None,
                rest => Some(rest.starts_with(b"\r\n")),
            }
        }
        _ => Some(false),
    }
}

impl Chunks {
    /// Whether no chunk has begun.
    pub fn is_untouched(&self) -> bool {
        !self.begun
    }

    /// Takes the next part from the front of `input`; `None` when all of it is used. After an error or the end nothing
    /// more is taken.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Result<Part<'a>, Malformed>> {
        loop {
            match &mut self.state {
                State::Over => return None,
                State::Data(0) => self.state = State::DataEnd,
                State::Data(left) => {
                    let count = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    if count == 0 {
                        return None;
                    }
                    *left -= count as u64;
                    let (data, rest) = input.split_at(count);
                    *input = rest;
                    return Some(Ok(Part::Data(data)));
                }
                _ => {
                    let (&byte, rest) = input.split_first()?;
                    *input = rest;
                    match self.byte(byte) {
                        Ok(true) => return Some(Ok(Part::End)),
                        Ok(false) => {}
                        Err(reason) => {
                            self.state = State::Over;
                            return Some(Err(Malformed::new(STRUCTURE, 0, reason)));
                        }
                    }
                }
            }
        }
    }

    /// One byte of a line; true when it ends the body.
    fn byte(&mut self, byte: u8) -> Result<bool, &'static str> {
        match &mut self.state {
            State::Size(size) => {
                let line_is_over = size.byte(byte)?;
                if line_is_over {
                    let value = size.value;
                    self.begun = true;
                    self.state = match value {
                        0 => State::Trailers { line: 0, all: 0 },
                        value => State::Data(value),
                    };
                }
            }
            State::DataEnd => match byte {
                b'\r' => {}
                b'\n' => self.state = State::Size(Size::default()),
                _ => return Err("no line end behind a chunk"),
            },
            State::Trailers { line, all } => {
                *all += 1;
                match byte {
                    b'\n' if *line == 0 => {
                        self.state = State::Over;
                        return Ok(true);
                    }
                    b'\n' => *line = 0,
                    b'\r' => {}
                    _ => *line += 1,
                }
                if let State::Trailers { line, all } = &self.state
                    && (*line > LONGEST_LINE || *all > LONGEST_TRAILERS)
                {
                    return Err("trailers without end");
                }
            }
            State::Data(_) | State::Over => {}
        }
        Ok(false)
    }
}

impl Size {
    /// One byte of the line; true when it was the last.
    fn byte(&mut self, byte: u8) -> Result<bool, &'static str> {
        self.length += 1;
        if self.length > LONGEST_LINE {
            return Err("a chunk's size without end");
        }
        let digit = char::from(byte).to_digit(16).filter(|_| !self.extension);
        match (byte, digit) {
            (_, Some(digit)) => {
                self.digits += 1;
                if self.digits > MOST_DIGITS {
                    return Err("a chunk's size of more than 16 digits");
                }
                self.value = self.value << 4 | u64::from(digit);
            }
            _ if self.digits == 0 => return Err("no chunk's size where one is due"),
            (b'\n', _) => return Ok(true),
            (b'\r' | b' ' | b'\t' | b';', _) => self.extension = true,
            _ if self.extension => {}
            _ => return Err("no chunk's size where one is due"),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The data, whether the end was reached, and what was wrong.
    fn read(bytes: &[u8], piece: usize) -> (Vec<u8>, bool, Option<&'static str>, usize) {
        let (mut chunks, mut data, mut over, mut wrong, mut left) =
            (Chunks::default(), Vec::new(), false, None, 0);
        for mut input in bytes.chunks(piece) {
            while let Some(part) = chunks.next(&mut input) {
                match part {
                    Ok(Part::Data(bytes)) => data.extend_from_slice(bytes),
                    Ok(Part::End) => over = true,
                    Err(malformed) => wrong = Some(malformed.reason),
                }
            }
            left += input.len();
        }
        (data, over, wrong, left)
    }

    #[test]
    fn extensions_trailers_and_bare_line_ends_are_no_data() {
        let body = b"4;a=\"b\"\r\nwiki\r\n 5 \r\nx".as_slice();
        assert_eq!(read(body, 99).2, Some("no chunk's size where one is due"), "a space before the size");
        let body = b"4;a=\"b\"\r\nwiki\r\n5 \r\npedia\n0\r\nX: y\r\n\r\nrest".as_slice();
        assert_eq!(read(body, 99), (b"wikipedia".to_vec(), true, None, 4));
    }

    #[test]
    fn a_size_is_told_from_other_bytes_by_its_line() {
        for (bytes, told) in [
            (&b""[..], None),
            (b"a", None),
            (b"a\r", None),
            (b"a\r\n", Some(true)),
            (b"1F;x=y\r", None),
            (b"1F;x=y\r\n\x02", Some(true)),
            (b"0\r\n", Some(false)),
            (b"\x02\0\0\0", Some(false)),
            (b"AB\xcd", Some(false)),
            (b"a\rb", Some(false)),
            (b"123456789", Some(false)),
        ] {
            assert_eq!(begins_with_a_size(bytes), told, "{bytes:?}");
        }
    }

    #[test]
    fn what_has_no_end_is_named_and_bounded() {
        let wrong = |bytes: &[u8]| read(bytes, 7).2;
        assert_eq!(
            wrong(&[b"1;".to_vec(), vec![b'x'; LONGEST_LINE]].concat()),
            Some("a chunk's size without end")
        );
        assert_eq!(wrong(b"11111111111111111\r\n"), Some("a chunk's size of more than 16 digits"));
        assert_eq!(wrong(b"ffffffffffffffff\r\nabc"), None, "so many are still to come");
        assert_eq!(
            wrong(&[b"0\r\n".to_vec(), vec![b'x'; LONGEST_LINE + 1]].concat()),
            Some("trailers without end")
        );
        let trailers =
            b"0\r\n".iter().copied().chain(b"a:b\r\n".iter().copied().cycle().take(LONGEST_TRAILERS + 1));
        assert_eq!(wrong(&trailers.collect::<Vec<_>>()), Some("trailers without end"));
        assert_eq!(wrong(b"2\r\nabX"), Some("no line end behind a chunk"));
        assert_eq!(wrong(b"RDG_IN_DATA"), Some("no chunk's size where one is due"));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            noise in proptest::collection::vec(any::<u8>(), 0..20),
            piece in 1_usize..30,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:X};e\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(&body, piece), (chunks.concat(), true, None, 0));
            body.splice(0..0, noise);
            prop_assert_eq!(read(&body, piece), read(&body, usize::MAX));
        }
    }
}
