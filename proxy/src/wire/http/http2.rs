//! The beginning of a connection of HTTP/2 (RFC 9113), as far as it tells what the connection is for.

use crate::wire::Reader;

/// Bytes behind the preface's head in which the first request is looked for. Clients send a few settings before it.
pub const LONGEST_BEGINNING: usize = 4 * 1024;

/// The rest of the preface.
const REST_OF_PREFACE: usize = b"SM\r\n\r\n".len();
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
/// Bytes of one setting.
const SETTING: u32 = 6;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// `:path` in the static table (RFC 7541 A): `/` and `/index.html`.
const PATHS: std::ops::RangeInclusive<usize> = 4..=5;

/// Paths by their Huffman code (RFC 7541 B). Without its whole table, no others can be read.
const CODES: &[(&[u8], &str)] = &[(&[0x63, 0x34, 0x84, 0xd7, 0x61, 0xfc, 0xfa], "/KdcProxy")];

/// The path of the first request in what a client sends behind [`super::HTTP2_PREFACE`]; `Ok(None)` while that has not
/// come whole, `Err` where it cannot be read.
pub fn first_path(bytes: &[u8]) -> Result<Option<String>, Unreadable> {
    let mut rest = bytes.get(REST_OF_PREFACE..).unwrap_or_default();
    while let Some([a, b, c, kind, flags, ..]) = rest.get(..FRAME_HEADER) {
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).map_err(|_| Unreadable)?;
        let Some(payload) = rest.get(FRAME_HEADER..FRAME_HEADER + length) else { break };
        if *kind == HEADERS {
            return path(payload, *flags).map(Some).ok_or(Unreadable);
        }
        rest = &rest[FRAME_HEADER + length..];
    }
    if bytes.len() > LONGEST_BEGINNING { Err(Unreadable) } else { Ok(None) }
}

/// Whether a server that says this first speaks HTTP/2: it begins with a SETTINGS frame, whatever it is asked (RFC 9113 3.4,
/// 6.5).
pub fn is_server_preface(bytes: &[u8]) -> bool {
    let Some([a, b, c, kind, flags, stream @ ..]) = bytes.first_chunk::<FRAME_HEADER>() else { return false };
    let length = u32::from_be_bytes([0, *a, *b, *c]);
    *kind == SETTINGS && *flags == 0 && *stream == [0; 4] && length.is_multiple_of(SETTING)
}

/// The first request is not there, or its path is compressed in a way that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// `:path` in the block of a HEADERS frame (RFC 7541 6).
fn path(payload: &[u8], flags: u8) -> Option<String> {
    let mut reader = Reader::new("HEADERS", payload);
    let before = usize::from(flags & PADDED != 0) + if flags & PRIORITY != 0 { 5 } else { 0 };
    reader.take(before).ok()?;
    while !reader.is_empty() {
        let first = reader.u8().ok()?;
        let prefix = match first {
            0x80.. => 7,
            0x40..=0x7f => 6,
            0x20..=0x3f => 5,
            _ => 4,
        };
        let number = integer(&mut reader, first, prefix)?;
        match first {
            0x80.. if number == *PATHS.start() => return Some("/".to_owned()),
            0x80.. if number == *PATHS.end() => return Some("/index.html".to_owned()),
            0x20..=0x3f | 0x80.. => continue,
            _ if number == 0 => drop(string(&mut reader)?),
            _ => {}
        }
        let (value, is_coded) = string(&mut reader)?;
        if PATHS.contains(&number) {
            return readable(value, is_coded);
        }
    }
    None
}

fn readable(value: &[u8], is_coded: bool) -> Option<String> {
    if is_coded {
        return CODES.iter().find(|(code, _)| *code == value).map(|(_, path)| (*path).to_owned());
    }
    // A query can hold anything.
    let path = value.split(|byte| *byte == b'?').next()?;
    Some(crate::wire::named::byte_text(path))
}

/// An integer whose first bits stand in `first` (RFC 7541 5.1); none that is needed here has more than two bytes.
fn integer(reader: &mut Reader<'_>, first: u8, prefix: u32) -> Option<usize> {
    let most = (1_usize << prefix) - 1;
    let start = usize::from(first) & most;
    if start < most {
        return Some(start);
    }
    let next = reader.u8().ok()?;
    (next & 0x80 == 0).then_some(most + usize::from(next))
}

/// A string, and whether it is coded (RFC 7541 5.2).
fn string<'a>(reader: &mut Reader<'a>) -> Option<(&'a [u8], bool)> {
    let first = reader.u8().ok()?;
    let length = integer(reader, first, 7)?;
    Some((reader.take(length).ok()?, first & 0x80 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(block: &[u8]) -> Vec<u8> {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0];
        let headers = [0, 0, block.len() as u8, HEADERS, 4, 0, 0, 0, 1];
        [b"SM\r\n\r\n", &settings[..], &headers, block].concat()
    }

    #[test]
    fn a_server_begins_with_its_settings() {
        for bytes in [&b"\0\0\0\x04\0\0\0\0\0"[..], b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"] {
            assert!(is_server_preface(bytes), "{bytes:?}");
            assert!(!is_server_preface(&bytes[..FRAME_HEADER - 1]));
        }
        // An acknowledgement, settings that are cut, another stream, and a tunnel of a gateway.
        for bytes in [
            b"\0\0\0\x04\x01\0\0\0\0",
            b"\0\0\x05\x04\0\0\0\0\0",
            b"\0\0\0\x04\0\0\0\0\x01",
            b"\x02\0\0\0\x12\0\0\0\0",
        ] {
            assert!(!is_server_preface(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn the_path_of_the_first_request_is_read_where_it_can_be() {
        let coded = [&[0x83, 0x44, 0x87][..], CODES[0].0, &[0x87]].concat();
        for (block, path) in [
            (&coded[..], Some("/KdcProxy")),
            (b"\x83\x04\x08/a?token", Some("/a")),
            (b"\x3f\x01\x82\x84", Some("/")),
            (b"\x40\x01x\x01y\x85", Some("/index.html")),
            (b"\x44\x81\xff", None),
            (b"\x83\x44\x20", None),
            (b"", None),
        ] {
            let bytes = beginning(block);
            assert_eq!(
                first_path(&bytes),
                path.map(|path| Some(path.to_owned())).ok_or(Unreadable),
                "{block:?}"
            );
            assert_eq!(first_path(&bytes[..bytes.len() - block.len() - 1]), Ok(None));
        }
        assert_eq!(first_path(&[0; LONGEST_BEGINNING + 1]), Err(Unreadable));
    }
}
