//! What the segments of a connection say beside their bytes, gathered into [`TcpEvidence`].

use super::again::Again;
use super::analysis::Analysis;
use super::times::Times;
use crate::capture::Nanoseconds;
use crate::capture::packet::Segment;
use crate::trace::{Micros, Side, SynAnswer, TcpEvidence, TimeToLiveChange, Unanswered};

/// Who has sent the same so often again has waited for some seconds: the first time after some 300 ms, then twice as long
/// each time (RFC 6298 section 5).
pub(super) const GIVEN_UP_AFTER: u32 = 4;

/// Gathers the evidence of one connection; times in it count from the connection's first packet.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) evidence: TcpEvidence,
    analysis: Analysis,
    began: Nanoseconds,
    syn_at: Option<Nanoseconds>,
    accepted_at: Option<Nanoseconds>,
    times: [Times; 2],
    again: [Again; 2],
    /// When a side last sent bytes that it had not sent before.
    bytes_at: Nanoseconds,
    unanswered: Option<Waiting>,
}

/// What one side sent last, while nothing has come from the other side.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    from: Side,
    /// Behind which byte the first of it ends.
    end: u32,
    first_at: Nanoseconds,
    last_at: Nanoseconds,
    again: u32,
    quiet: Nanoseconds,
}

/// What a segment carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    /// Bytes for the first time.
    New,
    /// Bytes that were sent before.
    Again,
}

impl Gathering {
    /// For a connection whose first packet came at `began`.
    pub(super) fn new(began: Nanoseconds) -> Self {
        Self {
            evidence: TcpEvidence::default(),
            analysis: Analysis::default(),
            began,
            syn_at: None,
            accepted_at: None,
            times: Default::default(),
            again: Default::default(),
            bytes_at: began,
            unanswered: None,
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(mut self) -> TcpEvidence {
        self.evidence.acknowledged_us = self.times.each_ref().map(Times::usual_us);
        let given_up = self.unanswered.filter(|waiting| waiting.again >= GIVEN_UP_AFTER);
        self.evidence.unanswered = given_up.map(|waiting| Unanswered {
            t_us: micros(waiting.first_at, self.began),
            from: waiting.from,
            again: waiting.again,
            quiet_us: waiting.quiet / 1000,
            for_us: micros(waiting.last_at, waiting.first_at),
        });
        self.evidence
    }

    /// Takes the next segment of one side.
    pub(super) fn segment(&mut self, at: Nanoseconds, from: Side, segment: &Segment<'_>) {
        let (side, evidence) = (from.index(), &mut self.evidence);
        let shown = self.analysis.segment(at, side, segment);
        evidence.retransmissions[side] += u64::from(shown.is_retransmission);
        evidence.needless[side] += u64::from(shown.is_needless);
        evidence.out_of_order[side] += u64::from(shown.is_out_of_order);
        evidence.lost[side] += u64::from(shown.is_after_lost);
        evidence.zero_windows[side] += u64::from(shown.is_zero_window);
        evidence.segments[side] += u64::from(segment.length() > 0);
        evidence.largest_segment[side] = evidence.largest_segment[side].max(segment.length());
        self.take_time_to_live(at, from, segment);
        self.take_handshake(at, from, segment);
        let sent = match segment.length() {
            0 => Sent::Nothing,
            _ if shown.is_keep_alive => Sent::Nothing,
            _ if shown.is_retransmission => Sent::Again,
            _ => Sent::New,
        };
        self.take_times(at, side, segment, sent);
        self.evidence.needless[1 - side] += self.again[1 - side].answered(segment);
        if sent == Sent::Again && !shown.is_needless {
            self.again[side].sent(segment);
        }
        self.take_waiting(at, from, segment, sent);
    }

    fn take_times(&mut self, at: Nanoseconds, side: usize, segment: &Segment<'_>, sent: Sent) {
        self.times[1 - side].acknowledged(segment, at);
        if sent != Sent::Nothing {
            self.times[side].sent(segment, at, sent == Sent::Again);
        }
    }

    /// Bytes to which nothing has come back. What their sender does then, its end above all, is no answer, nor what the
    /// other side had sent before and sends again.
    fn take_waiting(&mut self, at: Nanoseconds, from: Side, segment: &Segment<'_>, sent: Sent) {
        let is_answered = |waiting: Waiting| {
            let has = |acknowledgment: u32| acknowledgment.wrapping_sub(waiting.end) as i32 >= 0;
            waiting.from != from && (sent != Sent::Again || segment.acknowledgment.is_some_and(has))
        };
        if self.unanswered.is_some_and(is_answered) {
            self.unanswered = None;
        }
        match &mut self.unanswered {
            Some(waiting) if waiting.from == from && sent != Sent::Nothing => {
                waiting.last_at = at;
                waiting.again += u32::from(sent == Sent::Again);
            }
            Some(_) => {}
            None if sent == Sent::New => {
                let quiet = at.saturating_sub(self.bytes_at);
                let end = segment.sequence.wrapping_add(segment.length());
                self.unanswered = Some(Waiting { from, end, first_at: at, last_at: at, again: 0, quiet });
            }
            None => {}
        }
        if sent == Sent::New {
            self.bytes_at = at;
        }
    }

    /// ICMP answered the SYN.
    pub(super) fn unreachable(&mut self) {
        self.evidence.syn_answer.get_or_insert(SynAnswer::Unreachable);
    }

    fn take_handshake(&mut self, at: Nanoseconds, from: Side, segment: &Segment<'_>) {
        let evidence = &mut self.evidence;
        if segment.is_syn {
            let announced = &mut evidence.maximum_segment_size[from.index()];
            *announced = announced.or(segment.maximum_segment_size);
        }
        match (from, segment.is_syn, segment.acknowledgment.is_some()) {
            (Side::Client, true, false) => {
                evidence.syns += 1;
                self.syn_at.get_or_insert(at);
            }
            (Side::Server, true, true) if self.accepted_at.is_none() => {
                // ICMP about an earlier SYN does not outweigh that a later one was accepted.
                evidence.syn_answer = Some(SynAnswer::Accepted);
                evidence.syn_answer_us = self.syn_at.map(|syn_at| micros(at, syn_at));
                self.accepted_at = Some(at);
            }
            (Side::Server, ..) if segment.is_reset && self.syn_at.is_some() => {
                evidence.syn_answer.get_or_insert(SynAnswer::Reset);
            }
            (Side::Client, false, true) if !segment.is_reset && evidence.ack_us.is_none() => {
                evidence.ack_us = self.accepted_at.map(|accepted_at| micros(at, accepted_at));
            }
            _ => {}
        }
    }

    /// Keeps the first packet of a side that came another way, and the first reset that did.
    fn take_time_to_live(&mut self, at: Nanoseconds, from: Side, segment: &Segment<'_>) {
        let here = segment.time_to_live;
        let first = *self.evidence.time_to_live[from.index()].get_or_insert(here);
        if first == here {
            return;
        }
        let is_reset = segment.is_reset;
        let mut told = self.evidence.time_to_live_changes.iter().filter(|change| change.from == from);
        if told.all(|change| is_reset && !change.is_reset) {
            let t_us = micros(at, self.began);
            self.evidence.time_to_live_changes.push(TimeToLiveChange { t_us, from, first, here, is_reset });
        }
    }
}

fn micros(at: Nanoseconds, since: Nanoseconds) -> Micros {
    at.saturating_sub(since) / 1000
}
