//! One body of HTTP, or the frames of WebSocket after an upgrade, and what is changed in it.

use super::change::{self, Change};
use super::packet::{self, Next, SideChannel, Walk};
use super::stretch::{self, Part, Stretches};
use crate::trace::{Framing, Side};
use crate::wire::{Malformed, websocket};
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
    form: Framing,
    stretches: Stretches,
    /// Absent where nothing is to be found.
    walk: Option<Walk>,
    /// Bytes of `raw` that are understood.
    parsed: usize,
    /// Where in `raw` that begins which frames the next content.
    framing: usize,
    /// Content that waits, unmasked.
    content: Vec<u8>,
    /// Where it stands in `raw`.
    spans: Vec<Span>,
}

/// Content that stands together.
#[derive(Debug, Clone)]
struct Span {
    at: Range<usize>,
    /// What it is masked with, the first of it for the first byte.
    mask: Option<[u8; 4]>,
    /// What frames it, where it is the beginning of a stretch.
    framing: Option<Range<usize>>,
}

/// Where something stood that says how long a stretch is, and what stands there then.
type Resized = (Range<usize>, Vec<u8>);

impl Body {
    /// A body that is framed like `form`; `tunnel` says whose packets are in it, if any.
    pub(super) fn new(form: Framing, tunnel: Option<Side>) -> Body {
        let has_preamble = |from| from == Side::Server && form != Framing::Upgraded;
        Body {
            form,
            stretches: Stretches::new(form),
            walk: tunnel.map(|from| Walk::new(from, has_preamble(from))),
            parsed: 0,
            framing: 0,
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
            let mut rest = &raw[self.parsed..];
            let part = self.stretches.next(&mut rest);
            self.parsed = raw.len() - rest.len();
            match part {
                Some(Ok(Part::Content { bytes, mask })) => self.take(bytes, mask),
                Some(Ok(Part::Boundary)) => self.framing = self.parsed,
                Some(Ok(Part::End)) => {
                    going.extend(raw.drain(..self.parsed));
                    return Step::Ended;
                }
                Some(Err(malformed)) if self.walk.is_none() => return Step::NoBody(malformed),
                Some(Err(malformed)) => return Step::NoTunnel(malformed),
                None => break,
            }
        }
        self.pass_end_of_chunk(raw);
        self.release(raw, going);
        if raw.len() > LONGEST_HELD {
            return Step::NoTunnel(too_scattered());
        }
        Step::NeedMore
    }

    fn carrier(&self) -> Carrier {
        if self.form == Framing::Upgraded { Carrier::Websocket } else { Carrier::OneWay }
    }

    /// Content that ends where what is understood ends.
    fn take(&mut self, bytes: &[u8], mask: Option<[u8; 4]>) {
        let at = self.parsed - bytes.len()..self.parsed;
        let framing = Some(self.framing..at.start).filter(|framing| !framing.is_empty());
        self.framing = self.parsed;
        if self.walk.is_none() {
            return;
        }
        let start = self.content.len();
        self.content.resize(start + bytes.len(), 0);
        websocket::unmask(bytes, mask, &mut self.content[start..]);
        match self.spans.last_mut() {
            Some(last) if last.at.end == at.start => last.at.end = at.end,
            _ => self.spans.push(Span { at, mask, framing }),
        }
    }

    /// The first byte of `raw` that may still be changed.
    fn waits_from(&self) -> usize {
        match self.spans.first() {
            Some(Span { framing: Some(framing), .. }) => framing.start,
            Some(span) => span.at.start,
            None if self.walk.is_some() => self.framing,
            None => self.parsed,
        }
    }

    /// The line end behind a chunk's content goes on with that: who reads chunks waits for it.
    fn pass_end_of_chunk(&mut self, raw: &[u8]) {
        let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        if self.form == Framing::Chunked && self.spans.is_empty() {
            self.framing += raw[self.framing..self.parsed].iter().take_while(is_line_end).count();
        }
    }

    /// Moves what no longer waits from `raw` to `going`.
    fn release(&mut self, raw: &mut Vec<u8>, going: &mut Vec<u8>) {
        let count = self.waits_from();
        going.extend(raw.drain(..count));
        self.parsed -= count;
        self.framing = self.framing.saturating_sub(count);
        for span in &mut self.spans {
            for at in std::iter::once(&mut span.at).chain(&mut span.framing) {
                *at = at.start - count..at.end - count;
            }
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
            span.framing = None;
            if let Some(mask) = &mut span.mask {
                mask.rotate_left(taken % 4);
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
                    *place = byte ^ span.mask.map_or(0, |mask| mask[index % 4]);
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
        let taken_out = self.stands_alone(raw, length, found.range().len());
        let changed = change::without(packet, &found, taken_out.is_some());
        changes.extend(change::channel_response(packet, &found, taken_out.is_some()));
        let Some((at, framing)) = taken_out else {
            self.patch(raw, 0, &changed);
            return Ok(());
        };
        raw.splice(at..at + length, changed);
        if let Some((at, resized)) = framing {
            changes.push(change::framing(self.form, &raw[at.clone()], &resized));
            raw.splice(at, resized);
        }
        Ok(())
    }

    /// Where a packet of so many bytes at the front can become `less` bytes shorter, and what becomes of that which says
    /// how long it is. Another length would shift what stands under a mask.
    fn stands_alone(&self, raw: &[u8], length: usize, less: usize) -> Option<(usize, Option<Resized>)> {
        let span = self.spans.first().filter(|span| span.at.len() >= length && span.mask.is_none())?;
        match self.form {
            Framing::UntilClose => Some((span.at.start, None)),
            Framing::Chunked | Framing::Upgraded => {
                let framing = span.framing.clone()?;
                let (at, resized) = stretch::resized(self.form, &raw[framing.clone()], less)?;
                let at = framing.start + at.start..framing.start + at.end;
                Some((span.at.start, Some((at, resized))))
            }
            Framing::None | Framing::Length(_) => None,
        }
    }
}

fn too_scattered() -> Malformed {
    Malformed::new("HTTP_PACKET", 0, "it is cut into too many pieces")
}
