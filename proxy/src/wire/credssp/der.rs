//! As much DER (X.690) as CredSSP needs: definite lengths, tags of one byte. Lengths that are not the shortest are taken, as
//! peers write them.

use crate::wire::{Malformed, Reader};

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const GENERAL_STRING: u8 = 0x1b;
pub(super) const SEQUENCE: u8 = 0x30;

/// The tag of the number `number` of a class: `[number]`, constructed.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// `[APPLICATION number]`, constructed.
pub(super) const fn application(number: u8) -> u8 {
    0x60 | number
}

/// Bytes of a length's own length: enough for what no peer sends, and no number overflows.
const MOST_LENGTH_BYTES: usize = 4;

/// Tag and length in front of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tag: u8,
    /// Bytes of the header itself.
    pub(super) header_length: usize,
    /// Bytes of the content.
    pub(super) length: usize,
}

/// One element without its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
}

/// The header at the front; `Ok(None)` where it is not whole, `Err` says what is wrong with it.
pub(super) fn header(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let [tag, first, rest @ ..] = bytes else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err("a tag of more than one byte");
    }
    let count = match first {
        0..=0x7f => {
            return Ok(Some(Header { tag: *tag, header_length: 2, length: usize::from(*first) }));
        }
        0x80 => return Err("a length that is not definite"),
        _ => usize::from(first & 0x7f),
    };
    if count > MOST_LENGTH_BYTES {
        return Err("a length of more than four bytes");
    }
    let Some(digits) = rest.get(..count) else { return Ok(None) };
    let length = digits.iter().fold(0, |length: u32, digit| length << 8 | u32::from(*digit));
    Ok(Some(Header { tag: *tag, header_length: 2 + count, length: length as usize }))
}

/// Takes the element at the front of `reader`.
pub(super) fn element<'a>(reader: &mut Reader<'a>) -> Result<Element<'a>, Malformed> {
    let header = header(reader.rest()).map_err(|reason| reader.malformed(reason))?;
    let header = header.ok_or_else(|| reader.malformed("ends too early"))?;
    reader.take(header.header_length)?;
    Ok(Element { tag: header.tag, body: reader.take(header.length)? })
}

/// The elements of `bytes`, up to the first that is broken.
pub(super) fn elements(bytes: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut reader = Reader::new("DER", bytes);
    std::iter::from_fn(move || element(&mut reader).ok())
}

/// The content of the first element, if that has this tag.
pub(super) fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    elements(bytes).next().filter(|element| element.tag == tag).map(|element| element.body)
}

/// The content of the first element of `bytes` with this tag.
pub(super) fn find(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    elements(bytes).find(|element| element.tag == tag).map(|element| element.body)
}

/// The content of an INTEGER as 32 bits: of up to four bytes with their sign, or of five with a leading zero.
pub(super) fn integer(body: &[u8]) -> Option<u32> {
    match body {
        [0, digits @ ..] if digits.len() == 4 => integer(digits),
        [first, ..] if body.len() <= 4 => {
            let sign = if first & 0x80 == 0 { 0 } else { u32::MAX };
            Some(body.iter().fold(sign, |value, digit| value << 8 | u32::from(*digit)))
        }
        _ => None,
    }
}

/// Numbers of an object identifier that are shown; the longest in use has ten.
const MOST_ARCS: usize = 16;

/// The content of an OBJECT IDENTIFIER in dotted form; `None` where it is none.
pub(super) fn object_identifier(body: &[u8]) -> Option<String> {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc: u64 = 0;
    for byte in body {
        arc = arc.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(std::mem::take(&mut arc));
        }
    }
    let whole = body.last().is_some_and(|last| last & 0x80 == 0);
    let (first, rest) = arcs.split_first().filter(|_| whole && arcs.len() < MOST_ARCS)?;
    let top = (*first / 40).min(2);
    let numbers = [top, first - 40 * top].into_iter().chain(rest.iter().copied());
    Some(numbers.map(|number| number.to_string()).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_each_form() {
        let length =
            |hex: &str| header(&hex::decode(hex).unwrap()).map(|found| found.map(|found| found.length));
        assert_eq!(length("3005"), Ok(Some(5)));
        assert_eq!(length("308105"), Ok(Some(5)), "not the shortest, and clear");
        assert_eq!(length("3084ffffffff"), Ok(Some(0xffff_ffff)));
        assert_eq!([length("30"), length("3082"), length("308201")], [Ok(None), Ok(None), Ok(None)]);
        assert!([length("3080"), length("3085"), length("30ff"), length("3f05")].iter().all(Result::is_err));
    }

    #[test]
    fn numbers_with_and_without_a_leading_zero() {
        assert_eq!(integer(&[6]), Some(6));
        assert_eq!(integer(&[0x80, 0x09, 0x03, 0x02]), Some(0x8009_0302));
        assert_eq!(integer(&[0, 0xc0, 0, 0, 0x6d]), Some(0xc000_006d));
        assert_eq!(integer(&[0xff]), Some(u32::MAX));
        assert_eq!([integer(&[]), integer(&[1, 0, 0, 0, 0]), integer(&[0; 6])], [None, None, None]);
    }

    #[test]
    fn object_identifiers() {
        let text = |hex: &str| object_identifier(&hex::decode(hex).unwrap());
        assert_eq!(text("2b0601050502").as_deref(), Some("1.3.6.1.5.5.2"));
        assert_eq!(text("2a864886f712010202").as_deref(), Some("1.2.840.113554.1.2.2"));
        assert_eq!(text("883703").as_deref(), Some("2.999.3"));
        assert_eq!([text(""), text("2b86"), text("2bffffffffffffffffffff7f")], [None, None, None]);
    }
}
