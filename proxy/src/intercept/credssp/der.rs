//! As much of DER (X.690) as CredSSP and SPNEGO are written in: definite lengths and tags of one byte.

use crate::wire::Malformed;
use crate::wire::reader::Reader;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0A;
pub(super) const SEQUENCE: u8 = 0x30;

/// Bytes of a header at most: tag, length of length, four bytes of length.
pub(super) const LONGEST_HEADER: usize = 6;

/// The tag `[number]`, constructed.
pub(super) const fn context(number: u8) -> u8 {
    0xA0 | number
}

/// Reads elements one after another.
#[derive(Debug, Clone)]
pub(super) struct Elements<'a> {
    reader: Reader<'a>,
}

impl<'a> Elements<'a> {
    /// The elements in `bytes`, which are part of `structure`.
    pub(super) fn new(structure: &'static str, bytes: &'a [u8]) -> Self {
        Elements { reader: Reader::new(structure, bytes) }
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        self.optional(tag)?.ok_or_else(|| self.malformed("an element is missing or has another tag"))
    }

    /// The content of the next element, if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.reader.rest().first() != Some(&tag) {
            return Ok(None);
        }
        self.reader.u8()?;
        let length = length(&mut self.reader)?;
        self.reader.take(length).map(Some)
    }

    /// The next element with this tag, and one element with the tag `inner` in it: its content.
    pub(super) fn optional_explicit(&mut self, tag: u8, inner: u8) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(content) = self.optional(tag)? else { return Ok(None) };
        let mut elements = Elements { reader: Reader::new("an explicitly tagged element", content) };
        let content = elements.take(inner)?;
        elements.end()?;
        Ok(Some(content))
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.reader.is_empty() { Ok(()) } else { Err(self.malformed("more follows than belongs there")) }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    pub(super) fn malformed(&self, reason: &'static str) -> Malformed {
        self.reader.malformed(reason)
    }
}

/// A definite length.
pub(super) fn length(reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    let first = reader.u8()?;
    if first < 0x80 {
        return Ok(usize::from(first));
    }
    let count = usize::from(first & 0x7F);
    if !(1..=4).contains(&count) {
        return Err(reader.malformed("a length that is indefinite or has more than four bytes"));
    }
    Ok(reader.take(count)?.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)))
}

/// Bytes that the shortest form of a length takes.
pub(super) fn length_of_length(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        _ => 1 + (usize::BITS - length.leading_zeros()).div_ceil(8) as usize,
    }
}

/// An element. The result never grows after it was made, so that no copy of a secret is left behind.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let bytes = length.to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|&&byte| byte == 0).count()..];
    let mut element = Vec::with_capacity(2 + significant.len() + length);
    element.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => element.push(short),
        _ => {
            // A length in memory has at most eight bytes.
            element.push(0x80 | significant.len() as u8);
            element.extend_from_slice(significant);
        }
    }
    element.extend_from_slice(content);
    element
}

/// An element in another.
pub(super) fn explicit(outer: u8, tag: u8, content: &[u8]) -> Vec<u8> {
    element(outer, &element(tag, content))
}
