//! What was sent again though it had arrived: a way that is slower than its sender thinks makes for that, and loses nothing.

use crate::capture::packet::Segment;
use std::collections::VecDeque;

/// Segments sent again of which it is not known whether that was needed: more than a sender has on the way that doubles its
/// patience each time.
const MOST_REMEMBERED: usize = 64;

/// Segments that one side sent again.
#[derive(Debug, Clone, Default)]
pub(super) struct Again {
    segments: VecDeque<Resent>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
struct Resent {
    start: u32,
    end: u32,
    /// Its sender's clock then.
    clock: Option<u32>,
    /// The other side has its bytes, and did not say that they came twice.
    is_acknowledged: bool,
}

fn is_before(left: u32, right: u32) -> bool {
    (left.wrapping_sub(right) as i32) < 0
}

impl Again {
    /// Bytes that were not acknowledged were sent again.
    pub(super) fn sent(&mut self, segment: &Segment<'_>) {
        if self.segments.len() == MOST_REMEMBERED {
            self.segments.pop_front();
        }
        let (start, end) = (segment.sequence, segment.sequence.wrapping_add(segment.length()));
        let clock = segment.timestamps.map(|[own, _]| own);
        self.segments.push_back(Resent { start, end, clock, is_acknowledged: false });
    }

    /// The other side answers: how many of the segments, of which that was not known, had arrived before they were sent again.
    ///
    /// Either its answer echoes a clock from before then (RFC 3522), or it acknowledged the bytes first and reported later that
    /// they came twice (RFC 2883). Where it does both at once its first answer may have been lost, which is a loss.
    pub(super) fn answered(&mut self, segment: &Segment<'_>) -> u64 {
        let Some(acknowledgment) = segment.acknowledgment else { return 0 };
        let echoed = segment.timestamps.map(|[_, echoed]| echoed);
        let mut needless = self.reported(segment.repeated);
        self.segments.retain_mut(|resent| {
            if resent.is_acknowledged || is_before(acknowledgment, resent.end) {
                return true;
            }
            match (echoed, resent.clock) {
                (Some(echoed), Some(clock)) => needless += u64::from(is_before(echoed, clock)),
                _ => resent.is_acknowledged = !resent.is_in(segment.repeated),
            }
            resent.is_acknowledged
        });
        needless
    }

    /// One report is of one segment.
    fn reported(&mut self, repeated: Option<(u32, u32)>) -> u64 {
        let is_it = |resent: &Resent| resent.is_acknowledged && resent.is_in(repeated);
        let known = self.segments.iter().position(is_it);
        u64::from(known.and_then(|index| self.segments.remove(index)).is_some())
    }
}

impl Resent {
    fn is_in(&self, range: Option<(u32, u32)>) -> bool {
        range.is_some_and(|(start, end)| is_before(self.start, end) && is_before(start, self.end))
    }
}
