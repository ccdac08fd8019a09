//! Retransmissions, segments out of order, lost ones and zero windows, by the definitions that Wireshark's TCP analysis
//! has, so that both count the same.

use crate::capture::Nanoseconds;
use crate::capture::packet::Segment;

/// A segment that fills a gap so soon is out of order; without a round trip time this one is taken.
const USUAL_ROUND_TRIP: Nanoseconds = 3_000_000;
/// A segment so soon behind repeated acknowledgments is a fast retransmission.
const FAST_RETRANSMISSION: Nanoseconds = 20_000_000;
/// Repeated acknowledgments that ask for it.
const ACKNOWLEDGMENTS_REPEATED: u32 = 2;

/// What one segment shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Its bytes had been sent before.
    pub(super) is_retransmission: bool,
    /// They had even been acknowledged.
    pub(super) is_needless: bool,
    /// It came after later ones.
    pub(super) is_out_of_order: bool,
    /// Segments before it are not there.
    pub(super) is_after_lost: bool,
    /// Its sender takes no more bytes.
    pub(super) is_zero_window: bool,
    /// It asks whether the other side is still there, with a byte or without.
    pub(super) is_keep_alive: bool,
}

/// Of one direction.
#[derive(Debug, Clone, Default)]
struct Direction {
    /// The highest sequence number that follows what was sent.
    next: Option<u32>,
    /// When that was sent.
    next_at: Nanoseconds,
    window: Option<u16>,
    acknowledged: Option<u32>,
    acknowledged_at: Nanoseconds,
    repeated: u32,
    was_keep_alive: bool,
}

/// Of both directions of a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Analysis {
    directions: [Direction; 2],
    syn_at: Option<Nanoseconds>,
    round_trip: Option<Nanoseconds>,
}

fn is_after(left: u32, right: u32) -> bool {
    (left.wrapping_sub(right) as i32) > 0
}

impl Analysis {
    /// Takes the next segment of the side with index `from`.
    pub(super) fn segment(&mut self, at: Nanoseconds, from: usize, segment: &Segment<'_>) -> Shown {
        self.measure(at, segment);
        let mut shown = Shown::default();
        let mut is_keep_alive = false;
        let is_probe = self.is_window_probe(from, segment);
        if !is_probe {
            let sender = &self.directions[from];
            shown.is_zero_window = segment.window == 0 && is_plain(segment);
            shown.is_after_lost =
                !segment.is_reset && sender.next.is_some_and(|next| is_after(segment.sequence, next));
            is_keep_alive = segment.length() <= 1
                && sender.next.is_some_and(|next| segment.sequence == next.wrapping_sub(1))
                && is_plain(segment);
            self.count_repeated(from, segment);
        }
        if segment.acknowledgment.unwrap_or(0) != self.directions[from].acknowledged.unwrap_or(0) {
            self.directions[from].repeated = 0;
        }
        if (segment.length() > 0 || segment.is_syn || segment.is_fin) && !is_keep_alive {
            (shown.is_retransmission, shown.is_out_of_order) = self.sent_before(at, from, segment);
            shown.is_needless = shown.is_retransmission && self.is_acknowledged(from, segment);
        }
        shown.is_keep_alive = is_keep_alive;
        self.remember(at, from, segment, is_probe, is_keep_alive);
        shown
    }

    /// From the SYN to the acknowledgment that completes the handshake.
    fn measure(&mut self, at: Nanoseconds, segment: &Segment<'_>) {
        match (segment.is_syn, segment.acknowledgment) {
            (true, None) => self.syn_at = Some(at),
            (false, Some(_)) if self.round_trip.is_none() => {
                self.round_trip =
                    self.syn_at.map(|syn_at| at.saturating_sub(syn_at)).filter(|time| *time > 0);
            }
            _ => {}
        }
    }

    /// One byte where the other side's window is closed.
    fn is_window_probe(&self, from: usize, segment: &Segment<'_>) -> bool {
        segment.length() == 1
            && self.directions[from].next == Some(segment.sequence)
            && self.directions[1 - from].window == Some(0)
    }

    fn count_repeated(&mut self, from: usize, segment: &Segment<'_>) {
        let answers_keep_alive = self.directions[1 - from].was_keep_alive;
        let sender = &mut self.directions[from];
        let is_repeated = segment.length() == 0
            && segment.window != 0
            && sender.window == Some(segment.window)
            && sender.next == Some(segment.sequence)
            && sender.acknowledged == segment.acknowledgment
            && is_plain(segment);
        if is_repeated && !answers_keep_alive {
            sender.repeated += 1;
        }
    }

    /// Whether a segment that takes up sequence numbers is a retransmission, or out of order.
    fn sent_before(&self, at: Nanoseconds, from: usize, segment: &Segment<'_>) -> (bool, bool) {
        const RETRANSMISSION: (bool, bool) = (true, false);
        const OUT_OF_ORDER: (bool, bool) = (false, true);
        let (sender, receiver) = (&self.directions[from], &self.directions[1 - from]);
        let end = segment.sequence.wrapping_add(segment.length());
        if self.is_acknowledged(from, segment) {
            return RETRANSMISSION;
        }
        let Some(next) = sender.next else { return (false, false) };
        // More than a keep-alive or a window probe began with: the first byte was sent before, the others are new.
        let is_grown_probe = segment.length() > 1 && next.wrapping_sub(1) == segment.sequence;
        if is_grown_probe || !is_after(next, segment.sequence) {
            return (false, false);
        }
        let is_asked_for = receiver.repeated >= ACKNOWLEDGMENTS_REPEATED
            && receiver.acknowledged == Some(segment.sequence)
            && at.saturating_sub(receiver.acknowledged_at) < FAST_RETRANSMISSION;
        let threshold = self.round_trip.unwrap_or(USUAL_ROUND_TRIP);
        let is_soon = at.saturating_sub(sender.next_at) < threshold && next != end;
        if is_soon && !is_asked_for { OUT_OF_ORDER } else { RETRANSMISSION }
    }

    /// Whether the other side has all bytes of a segment.
    fn is_acknowledged(&self, from: usize, segment: &Segment<'_>) -> bool {
        let end = segment.sequence.wrapping_add(segment.length());
        let acknowledged = self.directions[1 - from].acknowledged;
        segment.length() > 0 && acknowledged.is_some_and(|acknowledged| !is_after(end, acknowledged))
    }

    fn remember(
        &mut self,
        at: Nanoseconds,
        from: usize,
        segment: &Segment<'_>,
        is_probe: bool,
        is_keep_alive: bool,
    ) {
        let sender = &mut self.directions[from];
        let flags = u32::from(segment.is_syn || segment.is_fin);
        let next = segment.sequence.wrapping_add(segment.length()).wrapping_add(flags);
        if !is_probe && sender.next.is_none_or(|before| is_after(next, before)) {
            (sender.next, sender.next_at) = (Some(next), at);
        }
        sender.window = Some(segment.window);
        sender.acknowledged = segment.acknowledgment;
        sender.acknowledged_at = at;
        sender.was_keep_alive = is_keep_alive;
    }
}

fn is_plain(segment: &Segment<'_>) -> bool {
    !segment.is_syn && !segment.is_fin && !segment.is_reset
}
