//! How the characters of a profile stand in bytes.

use std::fmt;

/// How a file's characters stand in bytes. What is no Unicode is read as Latin-1, where every byte is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 or plain ASCII.
    Utf8 {
        /// EF BB BF stands in front.
        mark: bool,
    },
    /// UTF-16, the low byte first: with the mark, what mstsc writes.
    Utf16Little {
        /// FF FE stands in front.
        mark: bool,
    },
    /// UTF-16, the high byte first.
    Utf16Big {
        /// FE FF stands in front.
        mark: bool,
    },
    /// One byte a character.
    Latin,
}

/// What makes bytes no text in their encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// No UTF-8, in a file whose mark says that it is.
    NotUtf8,
    /// Half of a pair of UTF-16 without the other.
    LoneSurrogate,
    /// Half of a unit of UTF-16 at the end of the file.
    OddByte,
}

/// Units that are looked at where no mark tells; a few lines.
const TELLING_UNITS: usize = 128;

impl Encoding {
    /// What `bytes` are written in.
    pub fn of(bytes: &[u8]) -> Encoding {
        match bytes {
            [0xff, 0xfe, ..] => Encoding::Utf16Little { mark: true },
            [0xfe, 0xff, ..] => Encoding::Utf16Big { mark: true },
            [0xef, 0xbb, 0xbf, ..] => Encoding::Utf8 { mark: true },
            _ if has_zeros(bytes, 1) => Encoding::Utf16Little { mark: false },
            _ if has_zeros(bytes, 0) => Encoding::Utf16Big { mark: false },
            _ if std::str::from_utf8(bytes).is_ok() => Encoding::Utf8 { mark: false },
            _ => Encoding::Latin,
        }
    }

    /// What stands in front of the first character.
    pub fn mark(self) -> &'static [u8] {
        match self {
            Encoding::Utf8 { mark: true } => b"\xef\xbb\xbf",
            Encoding::Utf16Little { mark: true } => b"\xff\xfe",
            Encoding::Utf16Big { mark: true } => b"\xfe\xff",
            _ => b"",
        }
    }

    /// Bytes of one unit.
    pub(super) fn width(self) -> usize {
        match self {
            Encoding::Utf16Little { .. } | Encoding::Utf16Big { .. } => 2,
            Encoding::Utf8 { .. } | Encoding::Latin => 1,
        }
    }

    /// The number of one whole unit.
    pub(super) fn unit(self, bytes: &[u8]) -> u16 {
        match (self, bytes) {
            (Encoding::Utf16Big { .. }, [high, low]) => u16::from_be_bytes([*high, *low]),
            (_, [low, high]) => u16::from_le_bytes([*low, *high]),
            (_, bytes) => bytes.first().copied().unwrap_or_default().into(),
        }
    }

    /// `bytes`, which have no mark in front, as text, and what makes them none.
    pub fn decode(self, bytes: &[u8]) -> (String, Option<Damage>) {
        match self {
            Encoding::Latin => (bytes.iter().map(|byte| char::from(*byte)).collect(), None),
            Encoding::Utf8 { .. } => match std::str::from_utf8(bytes) {
                Ok(text) => (text.to_owned(), None),
                Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Some(Damage::NotUtf8)),
            },
            Encoding::Utf16Little { .. } | Encoding::Utf16Big { .. } => {
                let pairs = bytes.chunks_exact(2);
                let is_odd = !pairs.remainder().is_empty();
                let units: Vec<u16> = pairs.map(|pair| self.unit(pair)).collect();
                let text = String::from_utf16_lossy(&units);
                let is_broken = char::decode_utf16(units).any(|character| character.is_err());
                match (is_odd, is_broken) {
                    (true, _) => (text, Some(Damage::OddByte)),
                    (false, true) => (text, Some(Damage::LoneSurrogate)),
                    (false, false) => (text, None),
                }
            }
        }
    }

    /// `text` in bytes, without a mark. A character that there is none for becomes a question mark.
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Encoding::Utf8 { .. } => text.as_bytes().to_vec(),
            Encoding::Utf16Little { .. } => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Encoding::Utf16Big { .. } => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Encoding::Latin => {
                text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect()
            }
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Utf8 { mark: false } => "UTF-8",
            Encoding::Utf8 { mark: true } => "UTF-8 with a byte order mark",
            Encoding::Utf16Little { mark: true } => "UTF-16 (little endian)",
            Encoding::Utf16Little { mark: false } => "UTF-16 (little endian) without a byte order mark",
            Encoding::Utf16Big { mark: true } => "UTF-16 (big endian)",
            Encoding::Utf16Big { mark: false } => "UTF-16 (big endian) without a byte order mark",
            Encoding::Latin => "an 8-bit code page",
        })
    }
}

/// Whether of the first pairs of bytes more than half have a zero at `place` alone, as ASCII has in UTF-16.
fn has_zeros(bytes: &[u8], place: usize) -> bool {
    let pairs = bytes.chunks_exact(2).take(TELLING_UNITS);
    let all = pairs.len();
    let zero = pairs.filter(|pair| pair[place] == 0 && pair[1 - place] != 0).count();
    zero * 2 > all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_told_by_its_mark_or_by_its_zeros() {
        for (bytes, encoding) in [
            (&b""[..], Encoding::Utf8 { mark: false }),
            (b"full address:s:a", Encoding::Utf8 { mark: false }),
            (b"\xef\xbb\xbffull", Encoding::Utf8 { mark: true }),
            (b"\xff\xfef\0u\0", Encoding::Utf16Little { mark: true }),
            (b"f\0u\0l\0", Encoding::Utf16Little { mark: false }),
            (b"\0f\0u\0l", Encoding::Utf16Big { mark: false }),
            (b"\xfe\xff\0f", Encoding::Utf16Big { mark: true }),
            (b"caf\xe9", Encoding::Latin),
            (b"full\0\0\0\0address", Encoding::Utf8 { mark: false }),
        ] {
            assert_eq!(Encoding::of(bytes), encoding, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_told_and_not_lost() {
        let wide = Encoding::Utf16Little { mark: true };
        assert_eq!(wide.decode(b"a\0\x00\xd8b\0"), ("a\u{fffd}b".to_owned(), Some(Damage::LoneSurrogate)));
        assert_eq!(wide.decode(b"a\0b"), ("a".to_owned(), Some(Damage::OddByte)));
        assert_eq!(
            Encoding::Utf8 { mark: true }.decode(b"\xe9"),
            ("\u{fffd}".to_owned(), Some(Damage::NotUtf8))
        );
    }

    #[test]
    fn a_character_without_a_byte_becomes_a_question_mark() {
        assert_eq!(Encoding::Latin.encode("é€"), b"\xe9?");
    }
}
