//! Numbers that keep their value beside the specification's name for it, so that none is lost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A set of bits: the raw value and the names of those bits that have one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flags {
    /// All bits as they were on the wire.
    pub value: u32,
    /// Names of the known bits that are set, in the order of the table.
    pub names: Vec<String>,
}

impl Flags {
    /// Names the bits of `value` from `table`.
    pub fn new(value: u32, table: &[(u32, &str)]) -> Self {
        let set = table.iter().filter(|(bit, _)| value & bit != 0);
        Flags { value, names: set.map(|(_, name)| (*name).to_owned()).collect() }
    }

    /// True when every bit of `bits` is set.
    pub fn contains(&self, bits: u32) -> bool {
        self.value & bits == bits
    }
}

/// One value of an enumeration: the raw number and its name, when it has one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Code {
    /// The number on the wire.
    pub value: u32,
    /// The specification's name, `None` for a number it does not list.
    pub name: Option<String>,
}

impl Code {
    /// Looks `value` up in `table`.
    pub fn new(value: u32, table: &[(u32, &str)]) -> Self {
        let name = table.iter().find(|(number, _)| *number == value).map(|(_, name)| (*name).to_owned());
        Code { value, name }
    }
}

/// Characters kept of one text field; the longest name MS-RDPBCGR allows is 512 bytes of UTF-16.
pub const TEXT_LIMIT: usize = 256;

/// UTF-16LE text up to the first NUL, at most [`TEXT_LIMIT`] characters; what is not Unicode becomes U+FFFD.
pub fn utf16_text(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| match pair {
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    });
    char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .take(TEXT_LIMIT)
        .collect()
}

/// Text of one byte a character up to the first NUL, at most [`TEXT_LIMIT`] characters, read as Latin-1.
pub fn byte_text(bytes: &[u8]) -> String {
    bytes.iter().take_while(|byte| **byte != 0).take(TEXT_LIMIT).map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_numbers_that_have_no_name() {
        let flags = Flags::new(0x8005, &[(1, "ONE"), (2, "TWO"), (4, "FOUR")]);
        assert_eq!((flags.value, flags.names.join(" ")), (0x8005, "ONE FOUR".to_owned()));
        assert!(flags.contains(0x8001) && !flags.contains(3));
        assert_eq!(Code::new(2, &[(2, "TWO")]).name.as_deref(), Some("TWO"));
        assert_eq!(Code::new(9, &[(2, "TWO")]), Code { value: 9, name: None });
    }

    #[test]
    fn text_ends_at_nul_and_at_the_limit() {
        assert_eq!(utf16_text(&[b'P', 0, b'C', 0, 0, 0, b'x', 0]), "PC");
        assert_eq!(utf16_text(&[0x00, 0xD8, b'a', 0, 7]), "\u{FFFD}a", "a lone surrogate and an odd byte");
        assert_eq!(byte_text(b"rdpdr\0zz"), "rdpdr");
        assert_eq!(byte_text(&[b'a'; 1000]).len(), TEXT_LIMIT);
    }
}
