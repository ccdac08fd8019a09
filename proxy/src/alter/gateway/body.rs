//! One body of HTTP, or the frames of WebSocket after an upgrade, and what is changed in it.

use super::change::{self, Change};
use super::packet::{self, Next, SideChannel, Walk};
use super::stretch::{self, Part, Stretch, Stretches};
use crate::trace::{Framing, Side};
use crate::wire::Malformed;
use std::ops::Range;

/// Bytes of a packet that are waited for at most, with everything that cuts it into pieces: the longest channel response,
/// and as much again.
const LONGEST_HELD: usize = 128 * 1024;

/// What carries the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// Both sides' packets.
    Websocket,
    /// A body with the packets of one side.
    OneWay,
}

/// Where going through a body came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More bytes are needed.
    NeedMore,
    /// The body is over; what is left belongs to another message.
    Ended,
    /// The last packet that is to be changed went by; what is left goes on as it is.
    Settled(Carrier),
    /// What is left is no tunnel, and goes on as it is.
    NoTunnel(Malformed),
    /// What is left is no body, and goes on as it is.
    NoBody(Malformed),
}

/// A body under way.
#[derive(Debug)]
pub(super) struct Body {
    stretches: Stretches,
    /// Absent where nothing is to be found.
    walk: Option<Walk>,
    /// Bytes of `raw` that are understood.
    parsed: usize,
    /// The header of a stretch whose content is next.
    begun: Option<Header>,
    /// The mask of the stretch that is open, and where in it the next byte is.
    mask: Option<Mask>,
    /// Content that waits, unmasked.
    content: Vec<u8>,
    /// Where it stands in `raw`.
    spans: Vec<Span>,
}

#[derive(Debug, Clone)]
struct Header {
    at: Range<usize>,
    stretch: Stretch,
}

#[derive(Debug, Clone, Copy)]
struct Mask {
    key: [u8; 4],
    next: usize,
}

/// Content that stands together.
#[derive(Debug, Clone)]
struct Span {
    at: Range<usize>,
    mask: Option<Mask>,
    /// The header before it, where it is the beginning of a stretch.
    header: Option<Header>,
}

impl Body {
    /// A body that is framed like `form`; `tunnel` says whose packets are in it, if any.
    pub(super) fn new(form: Framing, tunnel: Option<Side>) -> Body {
        let has_preamble = |from| from == Side::Server && form != Framing::Upgraded;
        Body {
            stretches: Stretches::new(form),
            walk: tunnel.map(|from| Walk::new(from, has_preamble(from))),
            parsed: 0,
            begun: None,
            mask: None,
            content: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Goes through `raw`, from which what may go on is moved to `going`. Of what is settled or cannot be read nothing is
    /// moved.
    pub(super) fn step(&mut self, raw: &mut Vec<u8>, going: &mut Vec<u8>, changes: &mut Vec<Change>) -> Step {
        loop {
            match self.walk_on(raw, changes) {
                Ok(None) => {}
                Ok(Some(step)) => return step,
                Err(malformed) => return Step::NoTunnel(malformed),
            }
            match self.stretches.next(&raw[self.parsed..]) {
                Ok(Some(Part::End)) => {
                    going.extend(raw.drain(..self.parsed));
                    return Step::Ended;
                }
                Ok(Some(part)) => self.take(&part, raw),
                Ok(None) => break,
                Err(malformed) if self.walk.is_none() => return Step::NoBody(malformed),
                Err(malformed) => return Step::NoTunnel(malformed),
            }
        }
        self.release(raw, going);
        if raw.len() > LONGEST_HELD {
            return Step::NoTunnel(too_scattered());
        }
        Step::NeedMore
    }

    fn carrier(&self) -> Carrier {
        if self.stretches.form == Framing::Upgraded { Carrier::Websocket } else { Carrier::OneWay }
    }

    fn take(&mut self, part: &Part, raw: &[u8]) {
        let start = self.parsed;
        match part {
            Part::Framing(length) => self.parsed += length,
            Part::Header(length, stretch) => {
                self.parsed += length;
                self.mask = stretch.mask.map(|key| Mask { key, next: 0 });
                self.begun = Some(Header { at: start..self.parsed, stretch: *stretch });
            }
            Part::Content(length) => {
                self.parsed += length;
                if self.walk.is_some() {
                    self.content(start..self.parsed, raw);
                }
            }
            Part::End => {}
        }
    }

    fn content(&mut self, at: Range<usize>, raw: &[u8]) {
        let header = self.begun.take();
        let mask = self.mask;
        let key = |index: usize| mask.map_or(0, |mask| mask.key[(mask.next + index) % 4]);
        self.content.extend(raw[at.clone()].iter().enumerate().map(|(index, byte)| byte ^ key(index)));
        if let Some(mask) = &mut self.mask {
            mask.next = (mask.next + at.len()) % 4;
        }
        match self.spans.last_mut() {
            Some(last) if last.at.end == at.start && header.is_none() => last.at.end = at.end,
            _ => self.spans.push(Span { at, mask, header }),
        }
    }

    /// The first byte of `raw` that may still be changed.
    fn waits_from(&self) -> usize {
        let start = |header: &Option<Header>| header.as_ref().map(|header| header.at.start);
        match self.spans.first() {
            Some(span) => start(&span.header).unwrap_or(span.at.start),
            None => start(&self.begun).filter(|_| self.walk.is_some()).unwrap_or(self.parsed),
        }
    }

    /// Moves what no longer waits from `raw` to `going`.
    fn release(&mut self, raw: &mut Vec<u8>, going: &mut Vec<u8>) {
        let count = self.waits_from();
        going.extend(raw.drain(..count));
        self.parsed -= count;
        let back = |at: &mut Range<usize>| *at = at.start - count..at.end - count;
        let headers = self.spans.iter_mut().filter_map(|span| span.header.as_mut());
        headers.for_each(|header| back(&mut header.at));
        self.spans.iter_mut().for_each(|span| back(&mut span.at));
        self.begun = self.begun.take().filter(|header| header.at.start >= count);
        if let Some(header) = &mut self.begun {
            back(&mut header.at);
        }
    }

    /// Goes through the packets of the content that waits.
    fn walk_on(&mut self, raw: &mut Vec<u8>, changes: &mut Vec<Change>) -> Result<Option<Step>, Malformed> {
        loop {
            let Some(walk) = &mut self.walk else { return Ok(None) };
            let from = walk.from;
            match walk.next(&self.content)? {
                Next::Wait => return Ok(None),
                Next::Pass(count) => self.settle(count),
                Next::Capabilities(at) => {
                    walk.leave(&self.content)?;
                    self.is_together(at.end)?;
                    let before = packet::number(&self.content, at.start).unwrap_or_default();
                    if let Some(change) = change::capabilities(from, at.start, before) {
                        self.patch(raw, at.start, &change.after);
                        changes.push(change);
                    }
                    if from == Side::Client {
                        return Ok(Some(Step::Settled(self.carrier())));
                    }
                }
                Next::ChannelResponse(length) => {
                    self.is_together(length)?;
                    self.channel_response(raw, length, changes)?;
                    return Ok(Some(Step::Settled(self.carrier())));
                }
            }
        }
    }

    /// So many bytes of content do not wait any longer.
    fn settle(&mut self, count: usize) {
        self.content.drain(..count);
        let mut left = count;
        while let Some(span) = self.spans.first_mut().filter(|_| left > 0) {
            let taken = left.min(span.at.len());
            left -= taken;
            span.at.start += taken;
            span.header = None;
            if let Some(mask) = &mut span.mask {
                mask.next += taken;
            }
            if span.at.is_empty() {
                self.spans.remove(0);
            }
        }
    }

    /// Whether so many bytes of content are not cut into more pieces than are waited for; one answer, however they came.
    fn is_together(&self, count: usize) -> Result<(), Malformed> {
        let mut left = count;
        for span in &self.spans {
            if left <= span.at.len() {
                let extent = span.at.start + left - self.waits_from();
                return if extent > LONGEST_HELD { Err(too_scattered()) } else { Ok(()) };
            }
            left -= span.at.len();
        }
        Ok(())
    }

    /// Writes `bytes` over the content at `at`, under its masks.
    fn patch(&self, raw: &mut [u8], at: usize, bytes: &[u8]) {
        let mut before = 0;
        for span in &self.spans {
            for (index, place) in raw[span.at.clone()].iter_mut().enumerate() {
                let byte = (before + index).checked_sub(at).and_then(|index| bytes.get(index));
                if let Some(byte) = byte {
                    *place = byte ^ span.mask.map_or(0, |mask| mask.key[(mask.next + index) % 4]);
                }
            }
            before += span.at.len();
        }
    }

    fn channel_response(
        &mut self,
        raw: &mut Vec<u8>,
        length: usize,
        changes: &mut Vec<Change>,
    ) -> Result<(), Malformed> {
        let packet = &self.content[..length];
        let Some(found) = SideChannel::of(packet)? else { return Ok(()) };
        let Some((at, header)) = self.stands_alone(length) else {
            changes.extend(change::channel_response(packet, &found, false));
            self.patch(raw, 0, &change::without(packet, &found, false));
            return Ok(());
        };
        changes.extend(change::channel_response(packet, &found, true));
        raw.splice(at..at + length, change::without(packet, &found, true));
        if let Some(header) = header {
            let form = self.stretches.form;
            let before = raw[header.at.clone()].to_vec();
            let after = stretch::resized(form, &before, header.stretch.length - found.range().len() as u64);
            changes.push(change::stretch(form == Framing::Chunked, &before, &after));
            raw.splice(header.at, after);
        }
        Ok(())
    }

    /// Where a packet of so many bytes at the front can become shorter, and what says how long it is. Another length
    /// would shift what stands under a mask.
    fn stands_alone(&self, length: usize) -> Option<(usize, Option<Header>)> {
        let span = self.spans.first()?;
        match self.stretches.form {
            Framing::UntilClose => Some((span.at.start, None)),
            Framing::Chunked | Framing::Upgraded => {
                let header = span.header.clone()?;
                let fits = header.stretch.length >= length as u64 && span.mask.is_none();
                fits.then_some((span.at.start, Some(header)))
            }
            Framing::None | Framing::Length(_) => None,
        }
    }
}

fn too_scattered() -> Malformed {
    Malformed::new("HTTP_PACKET", 0, "it is cut into too many pieces")
}
