//! The few pieces of DER (X.690) that taking a certificate apart and putting it together again needs.

/// Tag of an OBJECT IDENTIFIER.
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
/// Tag of an OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// Tag of a BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// Tag of an INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// Tag of a BOOLEAN.
pub(crate) const BOOLEAN: u8 = 0x01;
/// Tag of a SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// Tag of a UTCTime.
pub(crate) const UTC_TIME: u8 = 0x17;
/// Tag of a GeneralizedTime.
pub(crate) const GENERALIZED_TIME: u8 = 0x18;

/// Tags of this number and above take more than one byte (X.690 8.1.2.4); certificates have none.
const LONG_TAG: u8 = 0x1f;
/// Lengths of up to this many bytes are read: 4 GiB, more than any file here.
const MAXIMUM_LENGTH_BYTES: usize = 4;

/// One element as it stands in its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// Identifier octet.
    pub(crate) tag: u8,
    /// Content octets.
    pub(crate) content: &'a [u8],
    /// Identifier, length and content.
    pub(crate) whole: &'a [u8],
}

/// Reads the element at the start of `input`; also returns what follows it.
pub(crate) fn read(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = input.split_first()?;
    if tag & LONG_TAG == LONG_TAG {
        return None;
    }
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > MAXIMUM_LENGTH_BYTES {
            return None;
        }
        let (bytes, after) = rest.split_at_checked(count)?;
        length =
            bytes.iter().try_fold(0usize, |sum, &byte| sum.checked_mul(256)?.checked_add(byte.into()))?;
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    let (whole, _) = input.split_at_checked(input.len() - after.len())?;
    Some((Element { tag, content, whole }, after))
}

/// Reads elements to the end of `input`.
pub(crate) fn read_all(mut input: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    while !input.is_empty() {
        let (element, rest) = read(input)?;
        elements.push(element);
        input = rest;
    }
    Some(elements)
}

/// Writes an element.
pub(crate) fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|&byte| byte != 0).unwrap_or(length.len() - 1)..];
    match significant {
        [short] if *short < 0x80 => element.push(*short),
        long => {
            element.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            element.extend_from_slice(long);
        }
    }
    element.extend_from_slice(content);
    element
}

/// Writes an element whose content is `parts` one after the other.
pub(crate) fn write_parts(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    write(tag, &parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_are_the_shortest() {
        assert_eq!(write(4, &[]), [4, 0]);
        assert_eq!(write(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(write(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(write(4, &[0; 256])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn cut_or_endless_elements_are_refused() {
        for bad in [&[][..], &[4], &[4, 1], &[4, 0x80, 0, 0], &[4, 0x85, 0, 0, 0, 0, 1, 1], &[0x1f, 1, 0]] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(read_all(&[4, 0, 4]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tag in 0u8..0x1f, content in proptest::collection::vec(any::<u8>(), 0..400)) {
            let written = write(tag, &content);
            let (element, rest) = read(&written).unwrap();
            prop_assert_eq!((element.tag, element.content, element.whole), (tag, &content[..], &written[..]));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_all(&bytes);
        }
    }
}
