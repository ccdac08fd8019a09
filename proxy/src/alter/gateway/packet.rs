//! The packets of the tunnel (MS-TSGU 2.2.10) as far as UDP is offered in them.

use crate::trace::Side;
use crate::wire::Malformed;
use std::ops::Range;

/// Bytes of HTTP_PACKET_HEADER.
const HEADER: usize = 8;
/// HTTP_PACKET_TYPE (2.2.5.3.3).
const TUNNEL_CREATE: u16 = 4;
const TUNNEL_RESPONSE: u16 = 5;
const CHANNEL_RESPONSE: u16 = 9;
const DATA: u16 = 0xA;
const LAST_TYPE: u16 = 0x11;
/// HTTP_TUNNEL_RESPONSE.fieldsPresent (2.2.5.3.7).
const TUNNEL_ID: u16 = 1;
const CAPABILITIES: u16 = 2;
/// HTTP_CHANNEL_RESPONSE.fieldsPresent (2.2.5.3.2).
const CHANNEL_ID: u16 = 1;
const AUTHN_COOKIE: u16 = 2;
const UDP_PORT: u16 = 4;

/// Longer than any packet before the data can be: four fields whose lengths have 16 bits.
const LONGEST_PACKET: u32 = 4 * 65_537 + 64;
/// All fields of a channel response, the cookie at its longest.
const LONGEST_CHANNEL_RESPONSE: u32 = 8 + 8 + 4 + 2 + 2 + 65_535;
/// More bytes before the first packet of an OUT channel than any gateway sends; the specification has 100.
const LONGEST_PREAMBLE: usize = 4096;
/// How the gateway's first packet begins: HTTP_HANDSHAKE_RESPONSE_PACKET with its one length.
const HANDSHAKE_RESPONSE: [u8; HEADER] = [2, 0, 0, 0, 18, 0, 0, 0];

/// What is to be done with content of a tunnel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// More of it is needed to tell.
    Wait,
    /// So many bytes are of no interest.
    Pass(usize),
    /// capsFlags stands here in the packet at the front.
    Capabilities(Range<usize>),
    /// A channel response of so many bytes.
    ChannelResponse(usize),
}

/// Goes through the packets of one side.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) from: Side,
    /// Bytes that are left of the packet at the front.
    skip: usize,
    /// Bytes so far before the first packet, where it is yet to be found.
    preamble: Option<usize>,
}

impl Walk {
    pub(super) fn new(from: Side, has_preamble: bool) -> Walk {
        Walk { from, skip: 0, preamble: has_preamble.then_some(0) }
    }

    /// What is at the front of `content`. What is to be passed counts as gone; of packets that are of interest nothing
    /// is, until [`Walk::leave`].
    pub(super) fn next(&mut self, content: &[u8]) -> Result<Next, Malformed> {
        if let Some(passed) = self.preamble {
            return self.hunt(passed, content);
        }
        if self.skip == 0 {
            let Some((kind, length)) = header(content)? else { return Ok(Next::Wait) };
            let next = match (self.from, kind) {
                (_, DATA) => return Err(malformed("data comes before the channel is open")),
                (Side::Client, TUNNEL_CREATE) => capabilities(HEADER, length, content),
                (Side::Server, TUNNEL_RESPONSE) => tunnel_response(length, content),
                (Side::Server, CHANNEL_RESPONSE) if length > LONGEST_CHANNEL_RESPONSE as usize => {
                    Err(malformed("the channel response is too long"))
                }
                (Side::Server, CHANNEL_RESPONSE) if content.len() < length => Ok(Some(Next::Wait)),
                (Side::Server, CHANNEL_RESPONSE) => Ok(Some(Next::ChannelResponse(length))),
                _ => Ok(None),
            };
            if let Some(next) = next? {
                return Ok(next);
            }
            self.skip = length;
        }
        let count = self.skip.min(content.len());
        self.skip -= count;
        Ok(if count == 0 { Next::Wait } else { Next::Pass(count) })
    }

    /// The packet at the front is dealt with and goes on.
    pub(super) fn leave(&mut self, content: &[u8]) -> Result<(), Malformed> {
        if let Some((_, length)) = header(content)? {
            self.skip = length;
        }
        Ok(())
    }

    fn hunt(&mut self, passed: usize, content: &[u8]) -> Result<Next, Malformed> {
        let found = content.windows(HEADER).position(|window| window == HANDSHAKE_RESPONSE);
        let count = found.unwrap_or(content.len().saturating_sub(HEADER - 1));
        if passed + count > LONGEST_PREAMBLE {
            return Err(malformed("no handshake response comes"));
        }
        self.preamble = found.is_none().then_some(passed + count);
        match (count, found) {
            (0, Some(_)) => self.next(content),
            (0, None) => Ok(Next::Wait),
            _ => Ok(Next::Pass(count)),
        }
    }
}

/// Type and length of the packet at the front, once they are there.
fn header(content: &[u8]) -> Result<Option<(u16, usize)>, Malformed> {
    let (Some(kind), Some(reserved), Some(length)) = (word(content, 0), word(content, 2), number(content, 4))
    else {
        return Ok(None);
    };
    if !(1..=LAST_TYPE).contains(&kind) || reserved != 0 || length < HEADER as u32 {
        return Err(malformed("there is no packet where one is due"));
    }
    if length > LONGEST_PACKET && kind != DATA {
        return Err(malformed("a packet is too long"));
    }
    Ok(Some((kind, length as usize)))
}

fn tunnel_response(length: usize, content: &[u8]) -> Result<Option<Next>, Malformed> {
    // serverVersion, statusCode, fieldsPresent and reserved.
    const FIXED: usize = HEADER + 10;
    if length < FIXED {
        return Err(malformed("the tunnel response is too short"));
    }
    let Some(fields) = word(content, HEADER + 6) else { return Ok(Some(Next::Wait)) };
    if fields & CAPABILITIES == 0 {
        return Ok(None);
    }
    capabilities(if fields & TUNNEL_ID == 0 { FIXED } else { FIXED + 4 }, length, content)
}

/// capsFlags of 32 bits at `at` in a packet.
fn capabilities(at: usize, length: usize, content: &[u8]) -> Result<Option<Next>, Malformed> {
    let end = at + 4;
    if length < end {
        return Err(malformed("a packet ends before its capsFlags"));
    }
    Ok(Some(if content.len() < end { Next::Wait } else { Next::Capabilities(at..end) }))
}

/// What a channel response says of the side channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SideChannel {
    /// fieldsPresent as it is.
    pub(super) fields_present: u16,
    pub(super) udp_port: Option<Range<usize>>,
    pub(super) authn_cookie: Option<Range<usize>>,
}

impl SideChannel {
    /// Where fieldsPresent stands in a channel response.
    pub(super) const FIELDS_PRESENT: Range<usize> = HEADER + 4..HEADER + 6;

    /// What is in a whole packet; none where it says nothing of a side channel.
    pub(super) fn of(packet: &[u8]) -> Result<Option<SideChannel>, Malformed> {
        let too_short = || malformed("the channel response ends before its fields");
        let fields = word(packet, Self::FIELDS_PRESENT.start).ok_or_else(too_short)?;
        let mut at = HEADER + 8 + if fields & CHANNEL_ID == 0 { 0 } else { 4 };
        let mut field = |length: usize| {
            let range = at..at + length;
            at = range.end;
            range
        };
        let udp_port = (fields & UDP_PORT != 0).then(|| field(2));
        let authn_cookie = if fields & AUTHN_COOKIE == 0 {
            None
        } else {
            let start = field(0).start;
            let length = word(packet, start).ok_or_else(too_short)?;
            Some(field(2 + usize::from(length)))
        };
        if at > packet.len() {
            return Err(too_short());
        }
        let offered = udp_port.is_some() || authn_cookie.is_some();
        Ok(offered.then_some(SideChannel { fields_present: fields, udp_port, authn_cookie }))
    }

    /// fieldsPresent without the side channel's.
    pub(super) fn fields_left(&self) -> u16 {
        self.fields_present & !(AUTHN_COOKIE | UDP_PORT)
    }

    /// Both fields, which follow each other.
    pub(super) fn range(&self) -> Range<usize> {
        let both = [&self.udp_port, &self.authn_cookie].into_iter().flatten();
        let start = both.clone().map(|field| field.start).min().unwrap_or_default();
        start..both.map(|field| field.end).max().unwrap_or_default()
    }
}

fn malformed(reason: &'static str) -> Malformed {
    Malformed::new("HTTP_PACKET", 0, reason)
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_le_bytes(*word))
}

pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|number| u32::from_le_bytes(*number))
}
