//! When which bytes of one direction may go on: a line with a rate, a latency that varies, and pieces of a size.

use super::{CHUNK_GAP_US, ImpairmentError, Shape};
use crate::trace::Micros;
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes held for one direction. Without a rate it is the window that bounds what is on its way, and no system gives a
/// connection more than this by itself (Linux 6 MiB, Windows 16 MiB): it is the latency that slows, not rdpscope.
const MOST_HELD: usize = 16 << 20;
/// Bytes that wait for a line with a rate: as a router does, it holds a little, so that what comes last is not seconds
/// old, and the line is never idle.
const QUEUE: usize = 16 * 1024;
/// At a rate bytes leave in pieces of this size, a segment of Ethernet, so that they trickle.
const SEGMENT: usize = 1_448;
/// How late a timer may be, with room to spare: so long the line must have something to do by itself.
const TIMER_SLACK: Duration = Duration::from_millis(10);
const NANOS: u64 = 1_000;

/// Bytes that wait.
#[derive(Debug)]
struct Piece {
    due: Micros,
    bytes: Vec<u8>,
    taken: usize,
}

/// One direction of an impaired connection: bytes go in with the moment at which they came, and come out, in their
/// order, when they are due. Times are microseconds of any clock that does not go back.
#[derive(Debug)]
pub struct Shaper {
    shape: Shape,
    random: u64,
    waiting: VecDeque<Piece>,
    held: usize,
    /// When the line has taken everything so far, nanoseconds.
    line_free: u64,
    /// When the last piece is due: none overtakes another.
    last_due: Micros,
    /// When the last piece was gone.
    gone: Option<Micros>,
    end: Option<Micros>,
}

/// Whether a line of this shape never has to wait for memory.
pub(super) fn fits(shape: &Shape) -> Result<(), ImpairmentError> {
    let Some(rate) = shape.rate else { return Ok(()) };
    let delay = shape.latency + shape.jitter;
    let needed = on_its_way(shape, rate);
    if needed > (MOST_HELD - QUEUE) as u64 {
        return Err(ImpairmentError::Memory { rate, delay_ms: delay.as_millis(), needed, most: MOST_HELD });
    }
    Ok(())
}

/// Bytes that have left onto the line and have not arrived, or will leave before the next timer.
fn on_its_way(shape: &Shape, rate: u64) -> u64 {
    let delay = shape.latency + shape.jitter + TIMER_SLACK;
    let bits = u128::from(rate) * delay.as_micros() / 1_000_000;
    u64::try_from(bits / 8).unwrap_or(u64::MAX)
}

impl Shaper {
    /// A line of this shape; the same `seed` gives the same jitter.
    pub fn new(shape: Shape, seed: u64) -> Shaper {
        Shaper {
            shape,
            random: seed,
            waiting: VecDeque::new(),
            held: 0,
            line_free: 0,
            last_due: 0,
            gone: None,
            end: None,
        }
    }

    /// How many bytes it takes now.
    pub fn room(&self) -> usize {
        let most = match self.shape.rate {
            Some(rate) => usize::try_from(on_its_way(&self.shape, rate)).unwrap_or(MOST_HELD) + QUEUE,
            None => MOST_HELD,
        };
        most.min(MOST_HELD).saturating_sub(self.held)
    }

    /// Takes `bytes`, which came at `now`.
    pub fn push(&mut self, now: Micros, bytes: &[u8]) {
        let jitter = self.next_jitter();
        let largest = match (self.shape.chunk, self.shape.rate) {
            (Some(chunk), Some(_)) => chunk.min(SEGMENT),
            (Some(chunk), None) => chunk,
            (None, Some(_)) => SEGMENT,
            (None, None) => usize::MAX,
        };
        for piece in bytes.chunks(largest) {
            let arrives = self.through_line(now, piece.len());
            let due = self.after_latency(arrives, jitter);
            self.held += piece.len();
            self.waiting.push_back(Piece { due, bytes: piece.to_vec(), taken: 0 });
        }
    }

    /// The stream ended at `now`, behind everything that was taken.
    pub fn finish(&mut self, now: Micros) {
        let jitter = self.next_jitter();
        let arrives = self.through_line(now, 0);
        self.end = Some(self.after_latency(arrives, jitter));
    }

    /// When something may go on that may not yet; `None` where nothing waits.
    pub fn due(&self) -> Option<Micros> {
        match self.waiting.front() {
            Some(piece) => Some(self.not_before(piece)),
            None => self.end,
        }
    }

    /// What may go on at `now`, in one write.
    pub fn next(&self, now: Micros) -> Option<&[u8]> {
        let piece = self.waiting.front().filter(|piece| self.not_before(piece) <= now)?;
        piece.bytes.get(piece.taken..)
    }

    /// `count` bytes of [`Shaper::next`] went on at `now`.
    pub fn took(&mut self, now: Micros, count: usize) {
        let Some(piece) = self.waiting.front_mut() else { return };
        let count = count.min(piece.bytes.len() - piece.taken);
        piece.taken += count;
        self.held -= count;
        if piece.taken == piece.bytes.len() {
            self.waiting.pop_front();
            self.gone = Some(now);
        }
    }

    /// Whether every byte has gone on.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether every byte has gone on, and the end of the stream may at `now`.
    pub fn has_ended(&self, now: Micros) -> bool {
        self.is_empty() && self.end.is_some_and(|end| end <= now)
    }

    /// Forgets what waits: nobody takes it any more.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.held = 0;
    }

    fn not_before(&self, piece: &Piece) -> Micros {
        match (self.shape.chunk, self.gone) {
            (Some(_), Some(gone)) if piece.taken == 0 => piece.due.max(gone + CHUNK_GAP_US),
            _ => piece.due,
        }
    }

    /// When the line has taken `length` more bytes.
    fn through_line(&mut self, now: Micros, length: usize) -> Micros {
        let Some(rate) = self.shape.rate else { return now };
        let takes = length as u128 * 8 * 1_000_000_000 / u128::from(rate);
        let takes = u64::try_from(takes).unwrap_or(u64::MAX);
        self.line_free = self.line_free.max(now.saturating_mul(NANOS)).saturating_add(takes);
        self.line_free.div_ceil(NANOS)
    }

    fn after_latency(&mut self, arrives: Micros, jitter: Micros) -> Micros {
        let latency = u64::try_from(self.shape.latency.as_micros()).unwrap_or(u64::MAX);
        self.last_due = self.last_due.max(arrives.saturating_add(latency).saturating_add(jitter));
        self.last_due
    }

    fn next_jitter(&mut self) -> Micros {
        let most = u64::try_from(self.shape.jitter.as_micros()).unwrap_or(u64::MAX);
        if most == 0 {
            return 0;
        }
        // SplitMix64 (Steele, Lea and Flood 2014).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most.saturating_add(1)
    }
}
