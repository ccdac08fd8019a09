//! Frames of WebSocket (RFC 6455 5.2). Their payload is passed on as it came, masked or not.

use super::{Decoded, Malformed, Reader};

/// Bytes of the longest header: two, eight of length, four of mask.
pub const LONGEST_HEADER: usize = 14;

/// Bytes of the longest payload of a control frame (RFC 6455 5.5).
const LONGEST_CONTROL: u64 = 125;

const STRUCTURE: &str = "WebSocket frame";

/// What a frame is (RFC 6455 11.8).
pub mod opcode {
    /// A further fragment.
    pub const CONTINUATION: u8 = 0;
    /// Text.
    pub const TEXT: u8 = 1;
    /// Bytes.
    pub const BINARY: u8 = 2;
    /// The end.
    pub const CLOSE: u8 = 8;
    /// A question whether the other side is there.
    pub const PING: u8 = 9;
    /// Its answer.
    pub const PONG: u8 = 10;
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether it ends its message.
    pub fin: bool,
    /// RSV1 to RSV3, which only an extension sets; RSV1 is 4.
    pub reserved: u8,
    /// One of [`opcode`], or one that has no meaning.
    pub opcode: u8,
    /// What the payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub length: u64,
}

impl FrameHeader {
    /// Reads the header at the front of `bytes`. A length of 64 bits whose first is set is [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Decoded<FrameHeader> {
        let [first, second, ..] = bytes else { return Ok(None) };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let masked = second & 0x80 != 0;
        let whole = 2 + extended + if masked { 4 } else { 0 };
        let Some(header) = bytes.get(..whole) else { return Ok(None) };
        let mut reader = Reader::new(STRUCTURE, header);
        reader.take(2)?;
        let digits = reader.take(extended)?;
        let length = match extended {
            0 => u64::from(second & 0x7f),
            _ => digits.iter().fold(0, |length, digit| length << 8 | u64::from(*digit)),
        };
        if length >> 63 != 0 {
            return Err(Malformed::new(STRUCTURE, 2, "a length whose first bit is set"));
        }
        let mask = if masked { Some(reader.array()?) } else { None };
        let header = FrameHeader {
            fin: first & 0x80 != 0,
            reserved: first >> 4 & 7,
            opcode: first & 0xf,
            mask,
            length,
        };
        Ok(Some((header, whole)))
    }

    /// Its bytes; the length takes the fewest that hold it (RFC 6455 5.2).
    pub fn encode(&self) -> Vec<u8> {
        let first = if self.fin { 0x80 } else { 0 } | (self.reserved & 7) << 4 | self.opcode & 0xf;
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let mut bytes = match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(length @ ..=125), _) => vec![first, masked | length],
            (_, Ok(length)) => [&[first, masked | 126][..], &length.to_be_bytes()].concat(),
            _ => [&[first, masked | 127][..], &self.length.to_be_bytes()].concat(),
        };
        bytes.extend(self.mask.into_iter().flatten());
        bytes
    }

    /// Whether it is a control frame.
    pub fn is_control(&self) -> bool {
        self.opcode & 8 != 0
    }

    /// The name of a control frame.
    pub fn control_name(&self) -> Option<&'static str> {
        match self.opcode {
            opcode::CLOSE => Some("close"),
            opcode::PING => Some("ping"),
            opcode::PONG => Some("pong"),
            _ => None,
        }
    }

    /// What is wrong with it though it can be walked over.
    pub fn fault(&self) -> Option<Malformed> {
        let known = self.opcode <= opcode::BINARY || self.control_name().is_some();
        let reason = match self {
            header if !known => match header.is_control() {
                true => "a control frame of no known kind",
                false => "a frame of no known kind",
            },
            header if header.is_control() && !header.fin => "a control frame in fragments",
            header if header.is_control() && header.length > LONGEST_CONTROL => "a control frame too long",
            _ => return None,
        };
        Some(Malformed::new(STRUCTURE, 0, reason))
    }
}

/// A piece of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A frame begins.
    Header(FrameHeader),
    /// Bytes of its payload as they came.
    Payload {
        /// The bytes.
        bytes: &'a [u8],
        /// What they are masked with, the first of it for the first byte.
        mask: Option<[u8; 4]>,
    },
    /// The frame is over.
    End(FrameHeader),
}

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub struct Frames {
    held: [u8; LONGEST_HEADER],
    held_length: usize,
    frame: Option<FrameHeader>,
    /// Bytes of the frame's payload that have come.
    come: u64,
    lost: bool,
}

impl Frames {
    /// Whether no frame is under way.
    pub fn is_at_boundary(&self) -> bool {
        self.frame.is_none() && self.held_length == 0
    }

    /// Whether a control frame is under way.
    pub fn is_in_control(&self) -> bool {
        self.frame.is_some_and(|frame| frame.is_control())
    }

    /// Takes the next piece from the front of `input`; `None` when all of it is used. After an error nothing more is
    /// told.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Result<Piece<'a>, Malformed>> {
        if self.lost {
            *input = &[];
            return None;
        }
        let Some(frame) = self.frame else { return self.header(input).transpose() };
        if self.come == frame.length {
            self.frame = None;
            return Some(Ok(Piece::End(frame)));
        }
        let left = usize::try_from(frame.length - self.come).unwrap_or(usize::MAX);
        let (bytes, rest) = input.split_at(left.min(input.len()));
        if bytes.is_empty() {
            return None;
        }
        *input = rest;
        let mask = frame.mask.map(|mut mask| {
            mask.rotate_left((self.come % 4) as usize);
            mask
        });
        self.come += bytes.len() as u64;
        Some(Ok(Piece::Payload { bytes, mask }))
    }

    fn header<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, Malformed> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.held[self.held_length] = byte;
            self.held_length += 1;
            let decoded = FrameHeader::decode(&self.held[..self.held_length]);
            let decoded = decoded.inspect_err(|_| self.lost = true)?;
            if let Some((header, _)) = decoded {
                (self.frame, self.come, self.held_length) = (Some(header), 0, 0);
                return Ok(Some(Piece::Header(header)));
            }
        }
        Ok(None)
    }
}

/// Copies `bytes` to the front of `out` without their mask; both are of the same length.
pub fn unmask(bytes: &[u8], mask: Option<[u8; 4]>, out: &mut [u8]) {
    let mask = mask.unwrap_or_default();
    for ((byte, key), plain) in bytes.iter().zip(mask.iter().cycle()).zip(out) {
        *plain = byte ^ key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
        let (mut frames, mut told, mut payload) = (Frames::default(), Vec::new(), Vec::new());
        for mut input in bytes.chunks(piece) {
            while let Some(piece) = frames.next(&mut input) {
                match piece {
                    Ok(Piece::Payload { bytes, mask }) => {
                        let mut plain = vec![0; bytes.len()];
                        unmask(bytes, mask, &mut plain);
                        payload.extend_from_slice(&plain);
                    }
                    other => told.push(format!("{other:?}")),
                }
            }
            assert!(input.is_empty());
        }
        told.push(frames.is_at_boundary().to_string());
        (told, payload)
    }

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(read(&[0x81, 5, b'H', b'e', b'l', b'l', b'o'], 99).1, b"Hello");
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(read(&masked, 3).1, b"Hello");
        let header = |bytes: &[u8]| FrameHeader::decode(bytes).unwrap();
        assert_eq!(header(&[0x82, 0x7e, 1, 0]).map(|(header, at)| (header.length, at)), Some((256, 4)));
        let long = header(&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(long.map(|(header, at)| (header.length, at)), Some((65536, 10)));
        assert_eq!(
            [header(&[0x82]), header(&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0]), header(&[0x82, 0x81, 1])],
            [None; 3]
        );
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written(
            fin in any::<bool>(),
            opcode in 0_u8..16,
            mask in any::<Option<[u8; 4]>>(),
            length in prop_oneof![0_u64..300, 65_000_u64..66_000, 0..u64::MAX / 2],
        ) {
            let header = FrameHeader { fin, reserved: 0, opcode, mask, length };
            let bytes = header.encode();
            prop_assert_eq!(FrameHeader::decode(&bytes), Ok(Some((header, bytes.len()))));
        }
    }

    #[test]
    fn what_breaks_the_rules_is_named() {
        let fault = |first: u8, second: u8| {
            let (header, _) = FrameHeader::decode(&[first, second, 0, 200]).unwrap().unwrap();
            header.fault().map(|fault| fault.reason)
        };
        assert_eq!(fault(0x89, 0), None);
        assert_eq!(fault(0x09, 0), Some("a control frame in fragments"));
        assert_eq!(fault(0x89, 126), Some("a control frame too long"));
        assert_eq!(fault(0x83, 0), Some("a frame of no known kind"));
        assert_eq!(fault(0x8f, 0), Some("a control frame of no known kind"));
        assert!(FrameHeader::decode(&[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1_usize..20) {
            prop_assert_eq!(read(&bytes, piece), read(&bytes, usize::MAX));
        }

        #[test]
        fn a_payload_is_what_was_masked(
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            mask in any::<[u8; 4]>(),
            piece in 1_usize..20,
        ) {
            let mut masked = vec![0; payload.len()];
            unmask(&payload, Some(mask), &mut masked);
            let length = (payload.len() as u64).to_be_bytes();
            let frame = [&[0x82, 0xff][..], &length, &mask, &masked].concat();
            prop_assert_eq!(read(&frame, piece).1, payload);
        }
    }
}
