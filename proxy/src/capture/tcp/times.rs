//! How long the bytes of one side take to be acknowledged.

use crate::capture::Nanoseconds;
use crate::capture::packet::Segment;
use crate::trace::Micros;

/// Times of which a middle one counts: a receiver may hold some acknowledgments back (RFC 1122 section 4.2.3.2), hardly most.
const MOST_TIMES: usize = 4;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    measured: Option<Measured>,
    latest: [Option<Nanoseconds>; MOST_TIMES],
    next: usize,
}

/// The segment that is measured.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Behind its last byte.
    end: u32,
    sent_at: Nanoseconds,
    /// The sender's clock when something was sent again meanwhile.
    again: Option<u32>,
}

impl Times {
    /// Bytes were sent. An acknowledgment of what was sent twice does not tell of which (RFC 6298 section 3), unless it echoes
    /// the sender's clock (RFC 7323 section 4).
    pub(super) fn sent(&mut self, segment: &Segment<'_>, at: Nanoseconds, is_again: bool) {
        let end = segment.sequence.wrapping_add(segment.length());
        let clock = segment.timestamps.map(|[own, _]| own);
        match (is_again, &mut self.measured) {
            (false, None) => self.measured = Some(Measured { end, sent_at: at, again: None }),
            (false, Some(_)) => {}
            (true, Some(measured)) if clock.is_some() => measured.again = measured.again.or(clock),
            (true, _) => self.measured = None,
        }
    }

    /// The other side has what it acknowledges.
    pub(super) fn acknowledged(&mut self, segment: &Segment<'_>, at: Nanoseconds) {
        let has = |measured: &mut Measured| {
            let reaches = |acknowledgment: u32| (acknowledgment.wrapping_sub(measured.end) as i32) >= 0;
            segment.acknowledgment.is_some_and(reaches)
        };
        let Some(Measured { sent_at, again, .. }) = self.measured.take_if(has) else { return };
        let is_of_first = |again: u32| {
            segment.timestamps.is_some_and(|[_, echoed]| (echoed.wrapping_sub(again) as i32) < 0)
        };
        if again.is_none_or(is_of_first) {
            self.latest[self.next] = Some(at.saturating_sub(sent_at));
            self.next = (self.next + 1) % MOST_TIMES;
        }
    }

    /// What the last times are about; `None` where there were too few.
    pub(super) fn usual_us(&self) -> Option<Micros> {
        let times: Option<Vec<Nanoseconds>> = self.latest.iter().copied().collect();
        let mut times = times?;
        times.sort_unstable();
        // The lower of the two in the middle: one that was held back is not among the lower half.
        times.get((MOST_TIMES - 1) / 2).map(|usual| usual / 1000)
    }
}
