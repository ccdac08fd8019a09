//! The beginning of a connection of HTTP/2 (RFC 9113), as far as it tells what the connection is for, and one request in it.

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

/// What a client begins with: the preface, and its settings, of which there are none (RFC 9113 3.4).
pub const CLIENT_BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The stream of a client's first request.
const FIRST_STREAM: [u8; 4] = [0, 0, 0, 1];
const END_STREAM_AND_HEADERS: u8 = 0x5;
/// In the static table: `:authority`, `:method`, and `:scheme` that is `https`.
const AUTHORITY: u8 = 1;
const METHOD: u8 = 2;
const SCHEME_HTTPS: u8 = 0x87;
/// `:status` in the static table, with its values.
const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
const STATUS: usize = 8;
/// The digits 0 to 2 are coded by their values in five bits, those from 3 on by their values and so much in six
/// (RFC 7541 B).
const LONG_DIGITS: u32 = 0x16;

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

/// A request without a body on the first stream; no field of it is compressed or to be remembered (RFC 7541 6.2.2).
pub fn first_request(method: &str, path: &str, authority: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![SCHEME_HTTPS];
    // Their names have fewer than sixteen predecessors in the static table.
    for (name, value) in [(METHOD, method), (*PATHS.start() as u8, path), (AUTHORITY, authority)] {
        block.push(name);
        put_string(value, &mut block);
    }
    for (name, value) in headers {
        block.push(0);
        put_string(&name.to_ascii_lowercase(), &mut block);
        put_string(value, &mut block);
    }
    let [_, length @ ..] = (block.len() as u32).to_be_bytes();
    [&length[..], &[HEADERS, END_STREAM_AND_HEADERS], &FIRST_STREAM, &block].concat()
}

/// The status of the answer on the first stream in what a server sent, once it has come and where it can be read.
pub fn first_status(bytes: &[u8]) -> Option<u16> {
    let mut rest = bytes;
    loop {
        let [a, b, c, kind, flags, stream @ ..] = *rest.first_chunk::<FRAME_HEADER>()?;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
        let payload = rest.get(FRAME_HEADER..FRAME_HEADER + length)?;
        if kind == HEADERS && stream == FIRST_STREAM {
            return status(payload, flags);
        }
        rest = rest.get(FRAME_HEADER + length..)?;
    }
}

/// `:status` in the block of a HEADERS frame, of which it is the first field (RFC 9113 8.3).
fn status(payload: &[u8], flags: u8) -> Option<u16> {
    let mut reader = fields(payload, flags)?;
    loop {
        let first = reader.u8().ok()?;
        let number = integer(&mut reader, first, prefix(first))?;
        let index = number.checked_sub(STATUS).filter(|index| *index < STATUSES.len());
        match first {
            0x20..=0x3f => {}
            0x80.. => return STATUSES.get(index?).copied(),
            _ => {
                let (value, is_coded) = index.and_then(|_| string(&mut reader))?;
                return if is_coded { digits(value) } else { std::str::from_utf8(value).ok()?.parse().ok() };
            }
        }
    }
}

/// Three digits by their Huffman code.
fn digits(coded: &[u8]) -> Option<u16> {
    let mut first = [0xff; 4];
    first.iter_mut().zip(coded).for_each(|(byte, coded)| *byte = *coded);
    let mut bits = u32::from_be_bytes(first);
    let mut value = 0;
    for _ in 0..3 {
        let (digit, length) = match bits >> 27 {
            short @ 0..=2 => (short, 5),
            _ => ((bits >> 26).checked_sub(LONG_DIGITS).filter(|digit| *digit < 10)?, 6),
        };
        value = value * 10 + digit;
        bits <<= length;
    }
    u16::try_from(value).ok()
}

/// The fields in the payload of a HEADERS frame.
fn fields(payload: &[u8], flags: u8) -> Option<Reader<'_>> {
    let mut reader = Reader::new("HEADERS", payload);
    let before = usize::from(flags & PADDED != 0) + if flags & PRIORITY != 0 { 5 } else { 0 };
    reader.take(before).ok()?;
    Some(reader)
}

/// Bits of the number in the first byte of a field (RFC 7541 6).
fn prefix(first: u8) -> u32 {
    match first {
        0x80.. => 7,
        0x40..=0x7f => 6,
        0x20..=0x3f => 5,
        _ => 4,
    }
}

/// `:path` in the block of a HEADERS frame (RFC 7541 6).
fn path(payload: &[u8], flags: u8) -> Option<String> {
    let mut reader = fields(payload, flags)?;
    while !reader.is_empty() {
        let first = reader.u8().ok()?;
        let number = integer(&mut reader, first, prefix(first))?;
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

/// A string that is not coded.
fn put_string(text: &str, out: &mut Vec<u8>) {
    const MOST: usize = 0x7f;
    let mut length = text.len();
    if length < MOST {
        out.push(length as u8);
    } else {
        out.push(MOST as u8);
        length -= MOST;
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
    }
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_it_is_read() {
        let path = format!("/{}", "a".repeat(100));
        let request = first_request("RDG_OUT_DATA", &path, "gw.corp.example", &[("Accept", "*/*")]);
        let bytes = [CLIENT_BEGINNING, &request].concat();
        let behind_the_head = &bytes[crate::wire::http::HTTP2_PREFACE.len()..];
        assert_eq!(first_path(behind_the_head), Ok(Some(path)));
        assert!(request.windows(10).any(|window| window == b"\x06accept\x03*/"), "names are in lower case");
        let long = first_request("GET", "/", &"b".repeat(400), &[]);
        assert!(long.windows(5).any(|window| window == [AUTHORITY, 0x7f, 0x91, 0x02, b'b']), "{long:?}");
    }

    #[test]
    fn the_status_of_an_answer_is_read_in_every_way_in_which_it_is_written() {
        for (block, status) in [
            (&b"\x88"[..], Some(200)),
            (b"\x8d\x0f\x0d\x01x", Some(404)),
            (b"\x48\x03401", Some(401)),
            (b"\x08\x03503", Some(503)),
            (b"\x20\x48\x82\x68\x01", Some(401)),
            (b"\x48\x82\x64\x02", Some(302)),
            (b"\x48\x82\xff\xff", None),
            (b"\x84", None),
            (b"\x48\x0340", None),
            (b"", None),
        ] {
            let settings = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
            let head = [0, 0, block.len() as u8, HEADERS, 4, 0, 0, 0, 1];
            let bytes = [&settings[..], &head, block].concat();
            assert_eq!(first_status(&bytes), status, "{block:?}");
            assert_eq!(first_status(&bytes[..settings.len() + 3]), None, "it has not come");
        }
    }

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
