//! One direction of a tunnel, from bytes in any pieces to packets. Of those that carry data nothing is kept.

use super::header::{self, Header};
use super::{DATA_HEAD, Packet};
use crate::wire::Malformed;

/// Bytes among which the next packet is looked for. What stands before the first is up to 100 bytes long; a page of
/// HTML in the place of a tunnel is longer, and no packet is in it.
pub const LONGEST_HUNT: u64 = 64 * 1024;

/// So often the next packet is looked for; a direction that breaks more often is not worth following.
const MOST_HUNTS: u32 = 16;

/// Something in a direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a> {
    /// A packet; of one that carries data, its head.
    Packet(Packet),
    /// Bytes of RDP in the packet that was told last.
    Data(&'a [u8]),
    /// A packet that breaks the format. The next one is looked for where its length cannot be right.
    Malformed(Malformed),
    /// No packet where one is due, so many bytes from the start.
    Garbage {
        /// Bytes from the direction's start.
        offset: u64,
    },
    /// The next packet was not found; nothing more is told.
    Lost,
}

/// Follows one direction.
#[derive(Debug)]
pub struct Packets {
    state: State,
    /// Bytes that have come.
    come: u64,
    hunts: u32,
    /// Bytes before the first packet, once that is found.
    preamble: Option<u64>,
}

#[derive(Debug)]
enum State {
    /// The header, and of a data packet its length of data.
    Head {
        bytes: [u8; DATA_HEAD],
        length: usize,
    },
    /// A packet that is kept until it is whole.
    Body {
        packet: Vec<u8>,
        length: usize,
    },
    /// Data, and what the packet has behind it.
    Data {
        left: usize,
        behind: usize,
    },
    /// Bytes of no interest.
    Skip(usize),
    /// Where is the next packet?
    Hunt {
        window: [u8; header::LENGTH],
        length: usize,
        seen: u64,
    },
    Lost,
}

const HEAD: State = State::Head { bytes: [0; DATA_HEAD], length: 0 };
const HUNT: State = State::Hunt { window: [0; header::LENGTH], length: 0, seen: 0 };

impl Default for Packets {
    fn default() -> Self {
        Packets { state: HEAD, come: 0, hunts: 0, preamble: None }
    }
}

impl Packets {
    /// A direction in which something may stand before the first packet.
    pub fn with_preamble() -> Packets {
        Packets { state: HUNT, ..Packets::default() }
    }

    /// Bytes before the first packet, once that is found.
    pub fn preamble(&self) -> Option<u64> {
        self.preamble
    }

    /// Bytes that have come.
    pub fn come(&self) -> u64 {
        self.come
    }

    /// Whether no packet is under way.
    pub fn is_at_boundary(&self) -> bool {
        matches!(self.state, State::Head { length: 0, .. } | State::Lost)
    }

    /// Whether nothing more can be told.
    pub fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// Gives up: bytes went by unseen.
    pub fn lose(&mut self) {
        self.state = State::Lost;
    }

    /// How many of the next bytes tell nothing about packets: data, and what is walked over.
    pub fn payload_ahead(&self) -> usize {
        match &self.state {
            State::Data { left, .. } => *left,
            State::Skip(left) => *left,
            State::Lost => usize::MAX,
            _ => 0,
        }
    }

    /// Passes over `count` bytes unseen, at most [`Packets::payload_ahead`].
    pub fn skip(&mut self, count: usize) {
        self.come += count as u64;
        match &mut self.state {
            State::Data { left, .. } | State::Skip(left) => *left = left.saturating_sub(count),
            _ => {}
        }
        self.settle();
    }

    /// Takes the next thing from the front of `input`; `None` when all of it is used.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Found<'a>> {
        while !input.is_empty() {
            if let State::Skip(_) | State::Lost = self.state {
                let count = self.payload_ahead().min(input.len());
                take(input, count);
                self.skip(count);
                continue;
            }
            if let State::Data { left, .. } = self.state {
                let data = take(input, left.min(input.len()));
                self.skip(data.len());
                return Some(Found::Data(data));
            }
            if let Some(found) = self.collect(input) {
                return Some(found);
            }
        }
        None
    }

    /// Bytes of a header or of a packet that is kept.
    fn collect<'a>(&mut self, input: &mut &'a [u8]) -> Option<Found<'a>> {
        if let State::Body { packet, length } = &mut self.state {
            let bytes = take(input, (*length - packet.len()).min(input.len()));
            packet.extend_from_slice(bytes);
            self.come += bytes.len() as u64;
            if packet.len() < *length {
                return None;
            }
            let decoded = Packet::decode(packet);
            self.state = HEAD;
            return Some(decoded.map_or_else(Found::Malformed, Found::Packet));
        }
        let byte = *take(input, 1).first()?;
        self.come += 1;
        match &mut self.state {
            State::Head { bytes, length } => {
                bytes[*length] = byte;
                *length += 1;
                let (bytes, length) = (*bytes, *length);
                self.head(bytes, length)
            }
            State::Hunt { window, length, seen } => {
                window.rotate_left(1);
                window[header::LENGTH - 1] = byte;
                *length += 1;
                *seen += 1;
                let (window, length, seen) = (*window, *length, *seen);
                self.hunt(window, length, seen)
            }
            _ => None,
        }
    }

    /// A byte more of the header.
    fn head<'a>(&mut self, bytes: [u8; DATA_HEAD], length: usize) -> Option<Found<'a>> {
        let head = Header::decode(*bytes.first_chunk()?);
        if length == header::LENGTH {
            return self.header(head, bytes);
        }
        if length < DATA_HEAD {
            return None;
        }
        let [.., low, high] = bytes;
        let announced = usize::from(u16::from_le_bytes([low, high]));
        let room = head.length as usize - DATA_HEAD;
        let data = announced.min(room);
        self.state = State::Data { left: data, behind: room - data };
        self.settle();
        if announced > room {
            let reason = "cbDataLen goes past the packet";
            return Some(Found::Malformed(Malformed::new(head.structure(), header::LENGTH, reason)));
        }
        Some(Found::Packet(Packet::Data { length: data }))
    }

    /// The header is there.
    fn header<'a>(&mut self, head: Header, bytes: [u8; DATA_HEAD]) -> Option<Found<'a>> {
        let sound = head.can_be_walked() && (head.is_known() || head.reserved == 0);
        if !sound {
            self.look_for_the_next(&bytes[1..header::LENGTH]);
            if !head.is_known() {
                return Some(Found::Garbage { offset: self.come - header::LENGTH as u64 });
            }
            let reason = match head.length {
                0..8 => "packetLength is less than its header",
                _ => "packetLength is more than any packet's",
            };
            return Some(Found::Malformed(Malformed::new(head.structure(), 4, reason)));
        }
        self.preamble.get_or_insert(self.come - header::LENGTH as u64);
        let (packet, length) = (bytes[..header::LENGTH].to_vec(), head.length as usize);
        if head.packet_type == header::DATA && length >= DATA_HEAD {
            return None;
        }
        if head.is_known() && length > header::LENGTH {
            self.state = State::Body { packet, length };
            return None;
        }
        self.state = State::Skip(length - header::LENGTH);
        self.settle();
        Some(Packet::decode(&packet).map_or_else(Found::Malformed, Found::Packet))
    }

    /// A byte more of what is no packet.
    fn hunt<'a>(&mut self, window: [u8; header::LENGTH], length: usize, seen: u64) -> Option<Found<'a>> {
        let head = Header::decode(window);
        if length >= header::LENGTH && head.is_convincing() {
            let mut bytes = [0; DATA_HEAD];
            bytes[..header::LENGTH].copy_from_slice(&window);
            self.state = State::Head { bytes, length: header::LENGTH };
            return self.header(head, bytes);
        }
        if seen > LONGEST_HUNT || self.hunts > MOST_HUNTS {
            self.state = State::Lost;
            return Some(Found::Lost);
        }
        None
    }

    fn look_for_the_next(&mut self, from: &[u8]) {
        self.hunts += 1;
        let mut window = [0; header::LENGTH];
        window[header::LENGTH - from.len()..].copy_from_slice(from);
        self.state = State::Hunt { window, length: from.len(), seen: 0 };
    }

    /// What has nothing left to come is over.
    fn settle(&mut self) {
        if let State::Data { left: 0, behind } = self.state {
            self.state = State::Skip(behind);
        }
        if let State::Skip(0) = self.state {
            self.state = HEAD;
        }
    }
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(count);
    *input = rest;
    taken
}
