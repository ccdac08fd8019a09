//! The packets of the tunnel (MS-TSGU 2.2.10) as far as UDP is offered in them.

use crate::trace::Side;
use crate::wire::Malformed;
use crate::wire::tsgu::header::{self, Header, LENGTH};
use crate::wire::tsgu::packets::LONGEST_HUNT;
use std::ops::Range;

/// HTTP_TUNNEL_RESPONSE.fieldsPresent (2.2.5.3.7).
const TUNNEL_ID: u16 = 1;
const CAPABILITIES: u16 = 2;
/// HTTP_CHANNEL_RESPONSE.fieldsPresent (2.2.5.3.2).
const CHANNEL_ID: u16 = 1;
const AUTHN_COOKIE: u16 = 2;
const UDP_PORT: u16 = 4;

/// All fields of a channel response, the cookie at its longest.
const LONGEST_CHANNEL_RESPONSE: usize = 8 + 8 + 4 + 2 + 2 + 65_535;

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
    /// What stands before the first packet, where that is yet to be found.
    preamble: Option<Preamble>,
}

/// Bytes before the first packet. They go on as they come: clients wait for them before they say anything. So may the
/// first packet, in which nothing is ever to be changed.
#[derive(Debug, Default)]
struct Preamble {
    passed: usize,
    /// The last of them, with which a header may begin.
    tail: Vec<u8>,
}

impl Walk {
    pub(super) fn new(from: Side, has_preamble: bool) -> Walk {
        Walk { from, skip: 0, preamble: has_preamble.then(Preamble::default) }
    }

    /// What is at the front of `content`. What is to be passed counts as gone; of packets that are of interest nothing
    /// is, until [`Walk::leave`].
    pub(super) fn next(&mut self, content: &[u8]) -> Result<Next, Malformed> {
        if let Some(preamble) = self.preamble.take() {
            return self.hunt(preamble, content);
        }
        if self.skip == 0 {
            let Some(header) = header_at_front(content)? else { return Ok(Next::Wait) };
            let length = header.length as usize;
            let next = match (self.from, header.packet_type) {
                (_, header::DATA) => return Err(malformed("data comes before the channel is open")),
                (Side::Client, header::TUNNEL_CREATE) => capabilities(LENGTH, length, content),
                (Side::Server, header::TUNNEL_RESPONSE) => tunnel_response(length, content),
                (Side::Server, header::CHANNEL_RESPONSE) if length > LONGEST_CHANNEL_RESPONSE => {
                    Err(malformed("the channel response is too long"))
                }
                (Side::Server, header::CHANNEL_RESPONSE) if content.len() < length => Ok(Some(Next::Wait)),
                (Side::Server, header::CHANNEL_RESPONSE) => Ok(Some(Next::ChannelResponse(length))),
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
        if let Some(header) = header_at_front(content)? {
            self.skip = header.length as usize;
        }
        Ok(())
    }

    fn hunt(&mut self, preamble: Preamble, content: &[u8]) -> Result<Next, Malformed> {
        let Preamble { passed, mut tail } = preamble;
        let behind = tail.len();
        tail.extend_from_slice(content);
        let headers = tail.windows(LENGTH).filter_map(<[u8]>::first_chunk).map(|it| Header::decode(*it));
        let first = headers.enumerate().find(|(_, header)| header.is_convincing());
        let is_near = |at: usize| (passed + at + LENGTH - 1).saturating_sub(behind) as u64 <= LONGEST_HUNT;
        if let Some((at, header)) = first.filter(|(at, _)| is_near(*at)) {
            // Whether it begins in what is gone or not: it is passed over like what stands before it.
            self.skip = (at + header.length as usize).saturating_sub(behind);
            return self.next(content);
        }
        let passed = passed + content.len();
        if passed as u64 > LONGEST_HUNT {
            return Err(malformed("no packet comes"));
        }
        tail.drain(..tail.len().saturating_sub(LENGTH - 1));
        self.preamble = Some(Preamble { passed, tail });
        Ok(if content.is_empty() { Next::Wait } else { Next::Pass(content.len()) })
    }
}

/// The header of the packet at the front, once it is there.
pub(super) fn header_at_front(content: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some(header) = content.first_chunk().map(|header| Header::decode(*header)) else { return Ok(None) };
    let can_be_one = header.is_known() || header.reserved == 0;
    if !can_be_one || !header.can_be_walked() {
        return Err(malformed("there is no packet where one is due"));
    }
    Ok(Some(header))
}

fn tunnel_response(length: usize, content: &[u8]) -> Result<Option<Next>, Malformed> {
    // serverVersion, statusCode, fieldsPresent and reserved.
    const FIXED: usize = LENGTH + 10;
    if length < FIXED {
        return Err(malformed("the tunnel response is too short"));
    }
    let Some(fields) = word(content, LENGTH + 6) else { return Ok(Some(Next::Wait)) };
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
    pub(super) const FIELDS_PRESENT: Range<usize> = LENGTH + 4..LENGTH + 6;

    /// What is in a whole packet; none where it says nothing of a side channel.
    pub(super) fn of(packet: &[u8]) -> Result<Option<SideChannel>, Malformed> {
        let too_short = || malformed("the channel response ends before its fields");
        let fields = word(packet, Self::FIELDS_PRESENT.start).ok_or_else(too_short)?;
        let mut at = LENGTH + 8 + if fields & CHANNEL_ID == 0 { 0 } else { 4 };
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
