//! How long the bytes of one side take to be acknowledged.

use crate::capture::Nanoseconds;
use crate::trace::Micros;

/// Times of which the shortest counts: a receiver may hold one acknowledgment back (RFC 1122 section 4.2.3.2), hardly all.
const MOST_TIMES: usize = 4;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    /// Behind which byte the measured segment ends, and when it was sent.
    measured: Option<(u32, Nanoseconds)>,
    latest: [Option<Nanoseconds>; MOST_TIMES],
    next: usize,
}

impl Times {
    /// Bytes before `end` were sent. An acknowledgment of what was sent twice does not tell of which (RFC 6298 section 3).
    pub(super) fn sent(&mut self, end: u32, at: Nanoseconds, is_again: bool) {
        if is_again {
            self.measured = None;
        } else {
            self.measured.get_or_insert((end, at));
        }
    }

    /// The other side has everything before `acknowledgment`.
    pub(super) fn acknowledged(&mut self, acknowledgment: u32, at: Nanoseconds) {
        if let Some((end, sent_at)) = self.measured
            && (acknowledgment.wrapping_sub(end) as i32) >= 0
        {
            self.measured = None;
            self.latest[self.next] = Some(at.saturating_sub(sent_at));
            self.next = (self.next + 1) % MOST_TIMES;
        }
    }

    /// The shortest of the last times; `None` where there were too few.
    pub(super) fn shortest_us(&self) -> Option<Micros> {
        let times: Option<Vec<Nanoseconds>> = self.latest.iter().copied().collect();
        times?.into_iter().min().map(|shortest| shortest / 1000)
    }
}
