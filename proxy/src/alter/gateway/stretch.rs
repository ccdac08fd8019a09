//! What cuts the content of a body into stretches: chunks, frames of WebSocket, or nothing.

use crate::trace::Framing;
use crate::wire::Malformed;
use crate::wire::http::{Body, Part as BodyPart};
use crate::wire::websocket::{FrameHeader, Frames, Piece};
use std::ops::Range;

/// A part of a body. What was taken from the input before it, and is not in it, frames it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Content.
    Content {
        /// As it came.
        bytes: &'a [u8],
        /// What it is masked with, the first of it for the first byte.
        mask: Option<[u8; 4]>,
    },
    /// Something is over: what frames the content behind it begins here.
    Boundary,
    /// There is no more content.
    End,
}

/// Cuts one body.
#[derive(Debug)]
pub(super) enum Stretches {
    /// Of HTTP.
    Body(Body),
    /// Behind an upgrade.
    Websocket(Frames, Option<FrameHeader>),
}

impl Stretches {
    pub(super) fn new(form: Framing) -> Stretches {
        match form {
            Framing::Upgraded => Stretches::Websocket(Frames::default(), None),
            form => Stretches::Body(Body::new(form)),
        }
    }

    /// Takes the next part from the front of `input`; `None` when all of it is used.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Result<Part<'a>, Malformed>> {
        match self {
            Stretches::Body(body) => Some(body.next(input)?.map(|part| match part {
                BodyPart::Data(bytes) => Part::Content { bytes, mask: None },
                BodyPart::End => Part::End,
            })),
            Stretches::Websocket(frames, frame) => loop {
                let is_control = frame.is_some_and(|frame| frame.is_control());
                match frames.next(input)? {
                    Ok(Piece::Header(header)) if header.reserved != 0 => {
                        let reason = "it uses an extension";
                        return Some(Err(Malformed::new("WebSocket frame", 0, reason)));
                    }
                    Ok(Piece::Header(header)) => *frame = Some(header),
                    Ok(Piece::Payload { .. }) if is_control => {}
                    Ok(Piece::Payload { bytes, mask }) => return Some(Ok(Part::Content { bytes, mask })),
                    Ok(Piece::End(_)) => return Some(Ok(Part::Boundary)),
                    Err(malformed) => return Some(Err(malformed)),
                }
            },
        }
    }
}

/// Where in `framing` the length of content stands that became `less` bytes shorter, and what stands there then; none
/// where it cannot be found.
pub(super) fn resized(form: Framing, framing: &[u8], less: usize) -> Option<(Range<usize>, Vec<u8>)> {
    let shorter = |length: u64| length.checked_sub(less as u64);
    if form == Framing::Chunked {
        let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
        let start = framing.iter().position(is_digit)?;
        let digits = start..start + framing[start..].iter().take_while(|byte| is_digit(byte)).count();
        let size = std::str::from_utf8(&framing[digits.clone()]).ok()?;
        let size = shorter(u64::from_str_radix(size, 16).ok()?)?;
        return Some((digits, format!("{size:x}").into_bytes()));
    }
    let (header, whole) = FrameHeader::decode(framing).ok()??;
    let first = *framing.first()?;
    let length = shorter(header.length)?;
    // Lengths take the fewest bytes that hold them (RFC 6455 5.2).
    let shorter = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=125), _) => vec![first, length],
        (_, Ok(length)) => [&[first, 126][..], &length.to_be_bytes()].concat(),
        _ => [&[first, 127][..], &length.to_be_bytes()].concat(),
    };
    Some((0..whole, shorter))
}
