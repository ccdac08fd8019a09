//! How a body is cut into stretches: frames of WebSocket (RFC 6455 5.2), chunks (RFC 9112 7.1), or none.

use crate::trace::Framing;
use crate::wire::Malformed;

/// The longest line with a chunk's size that is waited for, and the longest trailer.
const LONGEST_LINE: usize = 4096;

/// What stands at the front.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// So many bytes that are no content and begin none.
    Framing(usize),
    /// The header of a stretch, so many bytes long, with what it says of its content.
    Header(usize, Stretch),
    /// So many bytes of content.
    Content(usize),
    /// There is no more content.
    End,
}

/// What its header says of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Bytes of its content.
    pub(super) length: u64,
    /// What its content is masked with.
    pub(super) mask: Option<[u8; 4]>,
}

/// Cuts one body.
#[derive(Debug)]
pub(super) struct Stretches {
    pub(super) form: Framing,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// A header is next.
    Header,
    /// So many bytes of content.
    Content(u64),
    /// So many bytes of a control frame.
    Control(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// The trailers behind the last chunk.
    Trailers,
}

impl Stretches {
    pub(super) fn new(form: Framing) -> Stretches {
        let place = match form {
            Framing::Length(length) => Place::Content(length),
            Framing::UntilClose => Place::Content(u64::MAX),
            _ => Place::Header,
        };
        Stretches { form, place }
    }

    /// The part at the front of `bytes`; none where more are needed to tell it.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Option<Part>, Malformed> {
        match self.place {
            Place::Content(0) if matches!(self.form, Framing::Length(_)) => Ok(Some(Part::End)),
            Place::Content(0) => {
                self.place = if self.form == Framing::Chunked { Place::ChunkEnd } else { Place::Header };
                Ok(Some(Part::Framing(0)))
            }
            Place::Control(0) => {
                self.place = Place::Header;
                Ok(Some(Part::Framing(0)))
            }
            _ if bytes.is_empty() => Ok(None),
            Place::Content(left) => {
                let count = count(left, bytes);
                // Of a body until close nobody counts.
                self.place =
                    Place::Content(if self.form == Framing::UntilClose { left } else { left - count as u64 });
                Ok(Some(Part::Content(count)))
            }
            Place::Control(left) => {
                let count = count(left, bytes);
                self.place = Place::Control(left - count as u64);
                Ok(Some(Part::Framing(count)))
            }
            Place::Header if self.form == Framing::Chunked => self.chunk(bytes),
            Place::Header => self.frame(bytes),
            Place::ChunkEnd => Ok(line(bytes)?.map(|length| {
                self.place = Place::Header;
                Part::Framing(length)
            })),
            Place::Trailers => Ok(line(bytes)?.map(|length| {
                if bytes[..length].trim_ascii().is_empty() {
                    self.place = Place::Content(0);
                    self.form = Framing::Length(0);
                }
                Part::Framing(length)
            })),
        }
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<Option<Part>, Malformed> {
        let Some(length) = line(bytes)? else { return Ok(None) };
        let digits = chunk_digits(&bytes[..length]);
        let size =
            std::str::from_utf8(&bytes[..digits]).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
        let size = size.ok_or(Malformed::new("chunk", 0, "its size is no number"))?;
        self.place = if size == 0 { Place::Trailers } else { Place::Content(size) };
        Ok(Some(Part::Header(length, Stretch { length: size, mask: None })))
    }

    fn frame(&mut self, bytes: &[u8]) -> Result<Option<Part>, Malformed> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Malformed::new("WebSocket frame", 0, "it uses an extension"));
        }
        let (length, at) = match second & 0x7F {
            126 => (rest.first_chunk().map(|length| u64::from(u16::from_be_bytes(*length))), 2),
            127 => (rest.first_chunk().map(|length| u64::from_be_bytes(*length)), 8),
            length => (Some(u64::from(length)), 0),
        };
        let mask = (second & 0x80 != 0).then(|| rest.get(at..)?.first_chunk().copied());
        let (Some(length), Some(mask)) = (length, mask.map_or(Some(None), |mask| mask.map(Some))) else {
            return Ok(None);
        };
        let header = 2 + at + mask.map_or(0, |mask: [u8; 4]| mask.len());
        if first & 0x08 != 0 {
            self.place = Place::Control(length);
            return Ok(Some(Part::Framing(header)));
        }
        self.place = Place::Content(length);
        Ok(Some(Part::Header(header, Stretch { length, mask })))
    }
}

fn count(left: u64, bytes: &[u8]) -> usize {
    bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))
}

/// The length of the line at the front, with its end.
fn line(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    match bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') {
        Some(end) => Ok(Some(end + 1)),
        None if bytes.len() >= LONGEST_LINE => Err(Malformed::new("chunk", 0, "a line without end")),
        None => Ok(None),
    }
}

/// Digits at the start of a line with a chunk's size.
pub(super) fn chunk_digits(line: &[u8]) -> usize {
    line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count()
}

/// The header of a stretch, with another length.
pub(super) fn resized(form: Framing, header: &[u8], length: u64) -> Vec<u8> {
    if form == Framing::Chunked {
        let digits = chunk_digits(header);
        return [format!("{length:x}").as_bytes(), &header[digits..]].concat();
    }
    // Lengths take the fewest bytes that hold them (RFC 6455 5.2).
    let first = header.first().copied().unwrap_or_default();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=125), _) => vec![first, length],
        (_, Ok(length)) => [&[first, 126][..], &length.to_be_bytes()].concat(),
        _ => [&[first, 127][..], &length.to_be_bytes()].concat(),
    }
}
