//! One direction of a tunnel, taken out of what carries it and put back: RDP comes out of its data packets and goes into
//! new ones, and every other packet goes on whole, in a frame or a chunk of its own.

use super::packet;
use super::split::Split;
use crate::trace::{Framing, Side};
use crate::wire::http::{Body, Part as BodyPart};
use crate::wire::tsgu::header::{self, Header, LENGTH};
use crate::wire::tsgu::packets::LONGEST_HUNT;
use crate::wire::tsgu::{DATA_HEAD, MOST_DATA, close_packet, data_packet};
use crate::wire::websocket::{FrameHeader, Frames, Piece, opcode, unmask};
use crate::wire::{Malformed, http};

/// What every tunnel of a client over two connections begins with: HTTP_HANDSHAKE_REQUEST_PACKET.
pub(super) const FIRST_BYTE: u8 = 1;

/// The end of a chunked body (RFC 9112 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Of the two numbers of [`Rewritten`].
const CAME: usize = 0;
const WRITTEN: usize = 1;

/// See the module.
#[derive(Debug)]
pub(super) struct Carried {
    from: Side,
    carrier: Carrier,
    /// Of the first chunk's size, which may yet turn out to be the client's next request.
    first_size: Vec<u8>,
    /// Of a packet or its header that is not whole.
    packet: Vec<u8>,
    /// What the frame was masked with in which it began.
    packet_mask: Option<[u8; 4]>,
    part: Part,
    rewritten: Rewritten,
}

/// What of a direction was written anew, though what is in it may be the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// Bytes of frame headers, or of what frames chunks, that came, and that were written in their place.
    pub(super) framing: [u64; 2],
    /// Headers of HTTP_DATA_PACKET, the same.
    pub(super) data_packets: [u64; 2],
}

impl Rewritten {
    /// Both together.
    pub(super) fn and(self, other: Rewritten) -> Rewritten {
        let sum = |one: [u64; 2], two: [u64; 2]| [one[0] + two[0], one[1] + two[1]];
        Rewritten {
            framing: sum(self.framing, other.framing),
            data_packets: sum(self.data_packets, other.data_packets),
        }
    }
}

#[derive(Debug)]
enum Carrier {
    Websocket(Websocket),
    Body(Body),
}

#[derive(Debug, Default)]
struct Websocket {
    frames: Frames,
    /// A control frame that is not whole, as it came.
    control: Option<Vec<u8>>,
    mask: Option<[u8; 4]>,
}

/// What the next bytes of content are.
#[derive(Debug)]
enum Part {
    /// Something that stands before the first packet; its last bytes, and how many there were.
    Preamble { last: [u8; LENGTH], seen: u64 },
    /// Of the packet behind it.
    First(usize),
    /// Of a header, with the length of the data in a packet that has some.
    Header,
    /// Of a packet of so many bytes.
    Packet(usize),
    /// Data, and what the packet has behind it.
    Data { left: usize, behind: usize },
}

/// What is no tunnel, and how many bytes are left from there on.
pub(super) type NoTunnel = (Malformed, usize);

/// Where a direction came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// All bytes were taken.
    On,
    /// The body is over, and so many bytes are left.
    Over(usize),
    /// The client has left the body that it had announced and asks anew with so many bytes.
    Anew(usize),
}

impl Carried {
    /// Both sides' packets behind an upgrade.
    pub(super) fn websocket(from: Side) -> Carried {
        Carried::new(from, Carrier::Websocket(Websocket::default()), Part::Header)
    }

    /// The packets of one side in a body.
    pub(super) fn body(from: Side, framing: Framing) -> Carried {
        let part = match from {
            Side::Client => Part::Header,
            Side::Server => Part::Preamble { last: [0; LENGTH], seen: 0 },
        };
        Carried::new(from, Carrier::Body(Body::new(framing)), part)
    }

    fn new(from: Side, carrier: Carrier, part: Part) -> Carried {
        let rewritten = Rewritten::default();
        let (first_size, packet) = (Vec::new(), Vec::new());
        Carried { from, carrier, first_size, packet, packet_mask: None, part, rewritten }
    }

    /// What came of a first chunk's size before the bytes that show that it is none.
    pub(super) fn take_first_size(&mut self) -> Vec<u8> {
        let size = std::mem::take(&mut self.first_size);
        self.met_content(size.len());
        size
    }

    /// What was written anew so far.
    pub(super) fn rewritten(&self) -> Rewritten {
        self.rewritten
    }

    /// In what the packets stand, in the specification's word; none where nothing frames them.
    pub(super) fn framed_in(&self) -> Option<&'static str> {
        match &self.carrier {
            Carrier::Websocket(_) => Some("WebSocket frame"),
            Carrier::Body(Body::Chunked(_)) => Some("chunk"),
            Carrier::Body(_) => None,
        }
    }

    /// Whether the next thing in this direction may be a packet of ours.
    pub(super) fn is_between_packets(&self) -> bool {
        !matches!(self.part, Part::Preamble { .. } | Part::First(_))
    }

    /// Packets with `data`, framed; `key` masks them where the client's are masked.
    pub(super) fn wrap(&mut self, data: &[u8], key: [u8; 4]) -> Vec<u8> {
        let mut wrapped = Vec::new();
        for data in data.chunks(MOST_DATA) {
            self.rewritten.data_packets[WRITTEN] += 1;
            wrapped.extend(self.frame(&data_packet(data), Some(key)));
        }
        wrapped
    }

    /// The packet that closes the channel, framed.
    pub(super) fn wrap_close(&mut self, key: [u8; 4]) -> Vec<u8> {
        self.frame(&close_packet(), Some(key))
    }

    /// Takes `bytes` of this direction.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut Vec<Split>) -> Result<Went, NoTunnel> {
        let went = match self.carrier {
            Carrier::Websocket(_) => self.take_frames(bytes, out).map(|()| Went::On),
            Carrier::Body(_) => self.take_body(bytes, out),
        };
        let left = match &went {
            Ok(Went::On) => 0,
            Ok(Went::Over(left) | Went::Anew(left)) | Err((_, left)) => *left,
        };
        // What is content was taken off where it was met.
        let framing = &mut self.rewritten.framing[CAME];
        *framing = framing.wrapping_add((bytes.len() - left) as u64);
        went
    }

    fn take_frames(&mut self, mut bytes: &[u8], out: &mut Vec<Split>) -> Result<(), NoTunnel> {
        loop {
            let left = bytes.len();
            let no_tunnel = |malformed| (malformed, left);
            let Carrier::Websocket(websocket) = &mut self.carrier else { return Ok(()) };
            let Some(piece) = websocket.frames.next(&mut bytes) else { return Ok(()) };
            match piece.map_err(no_tunnel)? {
                Piece::Header(header) => websocket.begin(header).map_err(no_tunnel)?,
                Piece::Payload { bytes, mask } => {
                    if let Some(control) = &mut websocket.control {
                        control.extend_from_slice(bytes);
                        self.met_content(bytes.len());
                        continue;
                    }
                    let mut plain = vec![0; bytes.len()];
                    unmask(bytes, mask, &mut plain);
                    let mask = websocket.mask;
                    self.content(&plain, mask, out).map_err(no_tunnel)?;
                }
                Piece::End(header) => {
                    let Some(frame) = websocket.control.take() else { continue };
                    self.wrote_framing(frame.len() as u64 - header.length);
                    let is_close = header.opcode == opcode::CLOSE;
                    out.push(if is_close { Split::End(frame) } else { Split::Other(frame) });
                }
            }
        }
    }

    fn take_body(&mut self, mut bytes: &[u8], out: &mut Vec<Split>) -> Result<Went, NoTunnel> {
        loop {
            let before = bytes;
            let Carrier::Body(body) = &mut self.carrier else { return Ok(Went::On) };
            let is_untouched = |body: &Body| matches!(body, Body::Chunked(chunks) if chunks.is_untouched());
            let was_untouched = is_untouched(body);
            let part = body.next(&mut bytes);
            if !is_untouched(body) {
                self.first_size.clear();
            } else if part.is_none() {
                self.first_size.extend_from_slice(before);
            }
            match part {
                None => return Ok(Went::On),
                Some(Ok(BodyPart::Data(data))) => {
                    self.content(data, None, out).map_err(|malformed| (malformed, before.len()))?;
                }
                Some(Ok(BodyPart::End)) => {
                    let is_chunked = matches!(self.carrier, Carrier::Body(Body::Chunked(_)));
                    let end = if is_chunked { LAST_CHUNK.to_vec() } else { Vec::new() };
                    self.wrote_framing(end.len() as u64);
                    out.push(Split::End(end));
                    return Ok(Went::Over(bytes.len()));
                }
                Some(Err(_))
                    if was_untouched
                        && self.from == Side::Client
                        && http::may_be_request(self.first_size.get(..1).unwrap_or(&before[..1])) =>
                {
                    return Ok(Went::Anew(before.len()));
                }
                Some(Err(malformed)) => return Err((malformed, before.len())),
            }
        }
    }

    fn content(
        &mut self,
        mut bytes: &[u8],
        mask: Option<[u8; 4]>,
        out: &mut Vec<Split>,
    ) -> Result<(), Malformed> {
        self.met_content(bytes.len());
        while !bytes.is_empty() {
            match &mut self.part {
                Part::Preamble { .. } => {
                    let passed = self.preamble(bytes)?;
                    let framed = self.frame(&bytes[..passed], mask);
                    out.push(Split::Other(framed));
                    bytes = &bytes[passed..];
                }
                Part::First(left) => {
                    let passed = taken(&mut bytes, *left);
                    *left -= passed.len();
                    let is_over = *left == 0;
                    let framed = self.frame(passed, mask);
                    out.push(Split::Other(framed));
                    if is_over {
                        self.part = Part::Header;
                    }
                }
                Part::Data { left, .. } if *left > 0 => {
                    let data = taken(&mut bytes, *left);
                    *left -= data.len();
                    out.push(Split::Data(data.to_vec()));
                }
                Part::Data { behind, .. } => *behind -= taken(&mut bytes, *behind).len(),
                Part::Header => {
                    if self.packet.is_empty() {
                        self.packet_mask = mask;
                    }
                    let wanted = if self.packet.len() < LENGTH { LENGTH } else { DATA_HEAD };
                    let missing = wanted - self.packet.len();
                    self.packet.extend_from_slice(taken(&mut bytes, missing));
                    self.header()?;
                }
                Part::Packet(length) => {
                    let missing = *length - self.packet.len();
                    self.packet.extend_from_slice(taken(&mut bytes, missing));
                }
            }
            self.settle(out);
        }
        Ok(())
    }

    /// How many of these bytes stand before the first packet, or are of its header.
    fn preamble(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let Part::Preamble { last, seen } = &mut self.part else { return Ok(0) };
        for (at, byte) in bytes.iter().enumerate() {
            last.rotate_left(1);
            last[LENGTH - 1] = *byte;
            *seen += 1;
            let header = Header::decode(*last);
            if *seen >= LENGTH as u64 && header.is_convincing() {
                self.part = Part::First(header.length as usize - LENGTH);
                return Ok(at + 1);
            }
            if *seen > LONGEST_HUNT {
                return Err(Malformed::new("HTTP_PACKET", 0, "no packet comes"));
            }
        }
        Ok(bytes.len())
    }

    /// More of a header has come.
    fn header(&mut self) -> Result<(), Malformed> {
        let Some(header) = packet::header_at_front(&self.packet)? else { return Ok(()) };
        let length = header.length as usize;
        match (header.packet_type, self.packet.get(LENGTH..DATA_HEAD)) {
            (header::DATA, _) if length < DATA_HEAD => {
                return Err(Malformed::new("HTTP_DATA_PACKET", 4, "it is too short"));
            }
            (header::DATA, None) => {}
            (header::DATA, Some(announced)) => {
                let announced = packet::word(announced, 0).map_or(0, usize::from);
                let room = length - DATA_HEAD;
                let left = announced.min(room);
                self.part = Part::Data { left, behind: room - left };
                self.packet.clear();
                self.rewritten.data_packets[CAME] += 1;
            }
            _ => self.part = Part::Packet(length),
        }
        Ok(())
    }

    /// A packet may be over.
    fn settle(&mut self, out: &mut Vec<Split>) {
        match self.part {
            Part::Data { left: 0, behind: 0 } | Part::First(0) => self.part = Part::Header,
            Part::Packet(length) if self.packet.len() == length => {
                let packet = std::mem::take(&mut self.packet);
                let mask = self.packet_mask;
                let framed = self.frame(&packet, mask);
                let packet_type = packet::word(&packet, 0);
                let closes =
                    [header::CLOSE_CHANNEL, header::CLOSE_CHANNEL_RESPONSE].map(Some).contains(&packet_type);
                out.push(if closes { Split::End(framed) } else { Split::Other(framed) });
                self.part = Part::Header;
            }
            _ => {}
        }
    }

    /// So many bytes that came are no framing.
    fn met_content(&mut self, count: usize) {
        let framing = &mut self.rewritten.framing[CAME];
        *framing = framing.wrapping_sub(count as u64);
    }

    fn wrote_framing(&mut self, count: u64) {
        self.rewritten.framing[WRITTEN] += count;
    }

    /// `content` in a frame or a chunk of its own, where there are such. Only clients mask (RFC 6455 5.1).
    fn frame(&mut self, content: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
        let framed = self.framed(content, key);
        self.wrote_framing((framed.len() - content.len()) as u64);
        framed
    }

    fn framed(&self, content: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
        match &self.carrier {
            Carrier::Websocket(_) => {
                let mask = key.filter(|_| self.from == Side::Client);
                let length = content.len() as u64;
                let header = FrameHeader { fin: true, reserved: 0, opcode: opcode::BINARY, mask, length };
                let mut framed = header.encode();
                let start = framed.len();
                framed.resize(start + content.len(), 0);
                unmask(content, mask, &mut framed[start..]);
                framed
            }
            Carrier::Body(Body::Chunked(_)) => {
                let size = format!("{:X}\r\n", content.len());
                [size.as_bytes(), content, b"\r\n"].concat()
            }
            Carrier::Body(_) => content.to_vec(),
        }
    }
}

impl Websocket {
    fn begin(&mut self, header: FrameHeader) -> Result<(), Malformed> {
        if let Some(fault) = header.fault() {
            return Err(fault);
        }
        if header.reserved != 0 {
            return Err(Malformed::new("WebSocket frame", 0, "it uses an extension"));
        }
        self.control = header.is_control().then(|| header.encode());
        self.mask = header.mask;
        Ok(())
    }
}

/// The first bytes, at most `most`, which are then taken.
fn taken<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    taken
}
