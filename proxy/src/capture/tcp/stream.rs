//! One direction of a connection: segments into bytes in their order, each once, and the holes between them named.

use crate::capture::packet::Segment;
use crate::capture::{FlowId, FlowSink, Missing, Nanoseconds};
use crate::trace::{How, MissingReason, Side};
use std::collections::BTreeMap;

/// Bytes of one direction that may wait for earlier ones: what is under way on a long fast link while one segment is
/// sent again.
const MOST_WAITING_BYTES: usize = 4 * 1024 * 1024;
/// Pieces of one direction that may wait, however small.
const MOST_WAITING_PIECES: usize = 4096;
/// Bytes that may wait in all connections together.
const MOST_WAITING_IN_ALL: usize = 64 * 1024 * 1024;
/// The largest window there is, 65,535 scaled by 14 (RFC 7323 section 2.3): nothing further ahead belongs here.
const LARGEST_WINDOW: u64 = 65_535 << 14;
/// A machine that captures with several queues may write a segment behind its acknowledgment; so long it may still come.
const PATIENCE: Nanoseconds = 10_000_000;

/// Positions begin here, so that those before the first byte are positive too.
const ORIGIN: u64 = 1 << 32;

/// Where a stream tells what it has.
pub(crate) struct Telling<'a> {
    pub(crate) sink: &'a mut dyn FlowSink,
    pub(crate) flow: FlowId,
    pub(crate) from: Side,
    pub(crate) at: Nanoseconds,
}

impl Telling<'_> {
    fn data(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.sink.data(self.flow, self.at, self.from, bytes);
        }
    }

    /// A hole of `bytes`.
    pub(crate) fn missing(&mut self, bytes: Option<u64>, reason: MissingReason) {
        if bytes != Some(0) {
            self.sink.missing(self.flow, self.at, Missing { from: self.from, bytes, reason });
        }
    }

    fn ended(&mut self, how: How) {
        self.sink.ended(self.flow, self.at, self.from, how);
    }
}

/// A piece that came before what precedes it.
#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    cut: u32,
    /// Another segment has other bytes here.
    is_disputed: bool,
}

impl Piece {
    fn length(&self) -> u64 {
        self.bytes.len() as u64 + u64::from(self.cut)
    }
}

/// Bytes of a segment at their position.
#[derive(Debug, Clone, Copy)]
struct Placed<'a> {
    position: u64,
    bytes: &'a [u8],
    cut: u32,
}

impl<'a> Placed<'a> {
    fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64 + u64::from(self.cut)
    }

    /// The part from `from` to `to`, both within it.
    fn part(&self, from: u64, to: u64) -> Placed<'a> {
        let place = |position: u64| ((position - self.position) as usize).min(self.bytes.len());
        let bytes = &self.bytes[place(from)..place(to)];
        Placed { position: from, bytes, cut: (to - from) as u32 - bytes.len() as u32 }
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Position of the byte that comes next; its lower 32 bits are the sequence number.
    next: Option<u64>,
    waiting: BTreeMap<u64, Piece>,
    waiting_bytes: usize,
    /// Where the FIN stands.
    fin: Option<u64>,
    /// Up to where the other side has acknowledged.
    acknowledged: u64,
    acknowledged_since: Nanoseconds,
    /// What the other side asked for while something behind it had come.
    asked_for: Option<u64>,
    has_ended: bool,
    is_opaque: bool,
}

impl Stream {
    /// Whether it is known where it goes on.
    pub(crate) fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// The first byte has this sequence number.
    pub(crate) fn begin(&mut self, sequence: u32) {
        self.next.get_or_insert(ORIGIN + u64::from(sequence));
    }

    /// Whether its end was told.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// A segment of this direction. `in_all` are the bytes that wait in all connections.
    pub(crate) fn segment(&mut self, segment: &Segment<'_>, in_all: &mut usize, telling: &mut Telling<'_>) {
        let sequence = segment.sequence.wrapping_add(u32::from(segment.is_syn));
        self.begin(sequence);
        let Some(next) = self.next else { return };
        let placed = Placed { position: position(next, sequence), bytes: segment.bytes, cut: segment.cut };
        if placed.position > next + LARGEST_WINDOW {
            return;
        }
        if segment.is_fin && placed.end() >= next {
            self.fin.get_or_insert(placed.end());
        }
        if placed.end() > next {
            self.take(next, placed, in_all, telling);
        }
        self.end_where_due(telling);
    }

    fn take(&mut self, next: u64, placed: Placed<'_>, in_all: &mut usize, telling: &mut Telling<'_>) {
        if !self.is_opaque && telling.sink.is_opaque(telling.flow, telling.from) {
            self.become_opaque(in_all, telling);
        }
        if self.is_opaque {
            self.count(placed.end(), telling);
        } else if self.waiting.is_empty() && placed.position <= next {
            self.tell(placed.part(next, placed.end()), telling);
        } else {
            self.wait(next, placed, in_all);
            self.tell_waiting(in_all, telling);
            self.keep_bounds(in_all, telling);
        }
    }

    /// The other side has acknowledged what comes before `sequence`.
    pub(crate) fn acknowledged(&mut self, sequence: u32, at: Nanoseconds) {
        let Some(next) = self.next else { return };
        let position = position(next, sequence);
        if !self.waiting.is_empty() {
            self.asked_for = Some(position);
        }
        if position > next && position > self.acknowledged {
            if self.acknowledged <= next {
                self.acknowledged_since = at;
            }
            self.acknowledged = position;
        }
    }

    /// Decides holes that were acknowledged and are not there.
    pub(crate) fn decide(&mut self, in_all: &mut usize, telling: &mut Telling<'_>) {
        let Some(next) = self.next else { return };
        if self.acknowledged > next && telling.at.saturating_sub(self.acknowledged_since) >= PATIENCE {
            self.fill_acknowledged(in_all, telling);
            self.end_where_due(telling);
        }
    }

    /// Nothing more will come: what waits is told with the holes before it.
    pub(crate) fn finish(&mut self, in_all: &mut usize, telling: &mut Telling<'_>) {
        self.fill_acknowledged(in_all, telling);
        while let Some(first) = self.first_waiting() {
            // Who captures only what one side sends never hears what is asked for.
            let is_asked_for = self.asked_for.is_some() && self.asked_for == self.next;
            let reason = if is_asked_for { MissingReason::NeverArrived } else { MissingReason::NotCaptured };
            self.fill(first, reason, telling);
            self.tell_waiting(in_all, telling);
        }
        self.end_where_due(telling);
    }

    /// The sender reset the connection: behind that is nothing.
    pub(crate) fn reset(&mut self, in_all: &mut usize, telling: &mut Telling<'_>) {
        self.finish(in_all, telling);
        if !self.has_ended {
            self.has_ended = true;
            telling.ended(How::Reset);
        }
    }

    /// Gives back what waits of the bound that all connections share.
    pub(crate) fn forget(&mut self, in_all: &mut usize) {
        *in_all -= std::mem::take(&mut self.waiting_bytes);
        self.waiting.clear();
    }

    fn first_waiting(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(position, _)| *position)
    }

    fn tell(&mut self, placed: Placed<'_>, telling: &mut Telling<'_>) {
        self.next = Some(placed.end());
        telling.data(placed.bytes);
        telling.missing(Some(placed.cut.into()), MissingReason::SnapshotLength);
    }

    /// Names what is missing up to `position`.
    fn fill(&mut self, position: u64, reason: MissingReason, telling: &mut Telling<'_>) {
        let Some(next) = self.next.filter(|next| *next < position) else { return };
        self.next = Some(position);
        if self.is_opaque {
            telling.sink.unseen(telling.flow, telling.at, telling.from, position - next);
        } else {
            telling.missing(Some(position - next), reason);
        }
    }

    /// Only where the other side says that there were bytes, or others follow, is there a hole. The FIN takes up a number
    /// of its own; one that was not captured looks like a byte.
    fn fill_acknowledged(&mut self, in_all: &mut usize, telling: &mut Telling<'_>) {
        while let Some(next) = self.next.filter(|next| *next < self.acknowledged) {
            let end = self.fin.unwrap_or(u64::MAX).min(self.acknowledged);
            let to = self.first_waiting().unwrap_or(u64::MAX).min(end);
            if to <= next || (to == next + 1 && self.waiting.is_empty() && self.fin.is_none()) {
                return;
            }
            self.fill(to, MissingReason::NotCaptured, telling);
            self.tell_waiting(in_all, telling);
        }
    }

    /// Keeps the parts of `placed` that nothing else covers, and compares the others.
    fn wait(&mut self, next: u64, placed: Placed<'_>, in_all: &mut usize) {
        let mut from = placed.position.max(next);
        while from < placed.end() {
            if let Some((position, piece)) = self.waiting.range_mut(..=from).next_back()
                && position + piece.length() > from
            {
                let to = placed.end().min(position + piece.length());
                piece.compare(*position, placed.part(from, to));
                from = to;
                continue;
            }
            let behind = self.waiting.range(from..).next().map_or(u64::MAX, |(position, _)| *position);
            let part = placed.part(from, placed.end().min(behind));
            self.keep(part, in_all);
            from = part.end();
        }
    }

    fn keep(&mut self, part: Placed<'_>, in_all: &mut usize) {
        self.waiting_bytes += part.bytes.len();
        *in_all += part.bytes.len();
        let piece = Piece { bytes: part.bytes.to_vec(), cut: part.cut, is_disputed: false };
        self.waiting.insert(part.position, piece);
    }

    /// Tells what waits and follows now.
    fn tell_waiting(&mut self, in_all: &mut usize, telling: &mut Telling<'_>) {
        while let Some(next) = self.next
            && self.first_waiting().is_some_and(|first| first <= next)
            && let Some((position, piece)) = self.waiting.pop_first()
        {
            self.waiting_bytes -= piece.bytes.len();
            *in_all -= piece.bytes.len();
            let placed = Placed { position, bytes: &piece.bytes, cut: piece.cut };
            if placed.end() <= next {
                continue;
            }
            if piece.is_disputed {
                self.fill(placed.end(), MissingReason::OverlapDiffers, telling);
            } else {
                self.tell(placed.part(next, placed.end()), telling);
            }
        }
    }

    /// At a bound the hole that everything waits for is given up.
    fn keep_bounds(&mut self, in_all: &mut usize, telling: &mut Telling<'_>) {
        while self.waiting_bytes > MOST_WAITING_BYTES
            || self.waiting.len() > MOST_WAITING_PIECES
            || (*in_all > MOST_WAITING_IN_ALL && !self.waiting.is_empty())
        {
            let Some(first) = self.first_waiting() else { return };
            self.fill(first, MissingReason::TooMuchWaiting, telling);
            self.tell_waiting(in_all, telling);
        }
    }

    fn become_opaque(&mut self, in_all: &mut usize, telling: &mut Telling<'_>) {
        self.is_opaque = true;
        if let Some((position, piece)) = self.waiting.last_key_value() {
            let end = position + piece.length();
            self.count(end, telling);
        }
        self.forget(in_all);
    }

    fn count(&mut self, end: u64, telling: &mut Telling<'_>) {
        self.fill(end, MissingReason::NotCaptured, telling);
    }

    fn end_where_due(&mut self, telling: &mut Telling<'_>) {
        if !self.has_ended && self.fin.is_some_and(|fin| self.next.is_some_and(|next| next >= fin)) {
            self.has_ended = true;
            telling.ended(How::Fin);
        }
    }
}

impl Piece {
    fn compare(&mut self, position: u64, other: Placed<'_>) {
        let from = (other.position - position) as usize;
        let mine = self.bytes.get(from..).unwrap_or_default();
        let common = mine.len().min(other.bytes.len());
        self.is_disputed |= mine[..common] != other.bytes[..common];
    }
}

/// The position that is nearest to `near` and has this sequence number.
fn position(near: u64, sequence: u32) -> u64 {
    let ahead = sequence.wrapping_sub(near as u32) as i32;
    near.saturating_add_signed(ahead.into())
}
