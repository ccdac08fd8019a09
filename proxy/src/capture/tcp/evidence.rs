//! What the segments of a connection say beside their bytes, gathered into [`TcpEvidence`].

use super::analysis::Analysis;
use crate::capture::Nanoseconds;
use crate::capture::packet::Segment;
use crate::trace::{Micros, Side, SynAnswer, TcpEvidence, TimeToLiveChange};

/// Gathers the evidence of one connection; times in it count from the connection's first packet.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) evidence: TcpEvidence,
    analysis: Analysis,
    began: Nanoseconds,
    syn_at: Option<Nanoseconds>,
    accepted_at: Option<Nanoseconds>,
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
        }
    }

    /// Takes the next segment of one side.
    pub(super) fn segment(&mut self, at: Nanoseconds, from: Side, segment: &Segment<'_>) {
        let (side, evidence) = (from.index(), &mut self.evidence);
        let shown = self.analysis.segment(at, side, segment);
        evidence.retransmissions[side] += u64::from(shown.is_retransmission);
        evidence.out_of_order[side] += u64::from(shown.is_out_of_order);
        evidence.lost[side] += u64::from(shown.is_after_lost);
        evidence.zero_windows[side] += u64::from(shown.is_zero_window);
        evidence.segments[side] += u64::from(segment.length() > 0);
        evidence.largest_segment[side] = evidence.largest_segment[side].max(segment.length());
        self.take_time_to_live(at, from, segment);
        self.take_handshake(at, from, segment);
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
