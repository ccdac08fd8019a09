//! What a capture shows that no relay sees, and what it cannot show: behind bytes that are not in the file nothing is
//! concluded from what is missing.

use super::ending::{CLIENT_CLOSED, SERVER_CLOSED, who_ended};
use super::facts::{Facts, Hole, Seen};
use super::findings::Findings;
use super::rule::{Conclusion, Remedy, Rule};
use super::words::span;
use crate::trace::{
    CaptureMessage, Confidence, Event, How, Micros, MissingReason, Phase, Side, TcpEvidence, TcpInfo,
    TimeToLiveChange, Transport, VerdictId, Where,
};

/// A receiver may hold an acknowledgment back so long (RFC 1122 section 4.2.3.2).
const HELD_BACK_US: Micros = 500_000;

const CAPTURE_AGAIN: &[Remedy] = &[Remedy::command(
    Where::Client,
    "Capture again: whole packets, from before the client connects until after it has failed, on a machine that keeps up.",
    "pktmon start --capture --pkt-size 0 --file-name rdp.etl",
)];

pub(super) const RULES: &[Rule] = &[Rule {
    id: VerdictId::Healthy,
    needs: "RDP-UDP without its TCP connection, which only a capture has",
    depends_on: &[],
    is_last_resort: false,
    judge: udp_alone,
    next: &[],
    fix: &[],
}];

impl<'a> Facts<'a> {
    /// Takes what only a capture shows.
    pub(super) fn note_capture(&mut self, event: &'a Event, message: &'a CaptureMessage) {
        let t_us = event.t_us;
        match message {
            CaptureMessage::TcpEvidence(evidence) => {
                let segments = |evidence: &TcpEvidence| evidence.segments.iter().sum::<u64>();
                // Of several connections the one that carried most.
                if self.tcp.is_some_and(|known| segments(known.what) >= segments(evidence)) {
                    return;
                }
                self.tcp = Some(Seen { t_us, what: evidence });
                let round_trip = round_trip(evidence);
                let count = |count: u64| u32::try_from(count).ok();
                let link = |from: Side, rtt_us| TcpInfo {
                    rtt_us,
                    retransmitted_segments: count(lost_on_the_way(evidence, from)),
                    segments_out: count(evidence.segments[from.index()]),
                    ..TcpInfo::default()
                };
                let rtt_us = round_trip.and_then(count);
                self.links = [Some(link(Side::Server, None)), Some(link(Side::Client, rtt_us))];
            }
            CaptureMessage::BytesMissing { count, reason: MissingReason::NeverArrived } => {
                let from = event.from.unwrap_or(Side::Client);
                self.never_arrived.get_or_insert(Seen { t_us, what: (from, count.unwrap_or_default()) });
            }
            CaptureMessage::BytesMissing { count, reason } => {
                let from = event.from.unwrap_or(Side::Client);
                let what = Hole::Missing { from, count: *count, reason: *reason };
                self.hole.get_or_insert(Seen { t_us, what });
            }
            CaptureMessage::DecryptionStopped { reason } => {
                self.hole.get_or_insert(Seen { t_us, what: Hole::Undecrypted { reason } });
            }
            CaptureMessage::TlsOpened { .. } if event.phase == Phase::GatewayTls => {
                let gateway = self.gateway.get_or_insert_default();
                gateway.tls.entry(event.connection.unwrap_or_default()).or_default().opened = true;
            }
            CaptureMessage::TlsOpened { .. } => self.tls.opened = true,
            CaptureMessage::RolesGuessed => {}
        }
    }

    /// A reset that another machine sent in the name of the side that seems to have ended the session by it.
    pub(super) fn foreign_reset(&self) -> Option<&'a TimeToLiveChange> {
        let changes = &self.tcp?.what.time_to_live_changes;
        changes.iter().find(|change| change.is_reset && self.ended_by(change.from))
    }
}

/// Segments that had to be sent again, as far as a capture tells: not those that had only come too late.
fn lost_on_the_way(evidence: &TcpEvidence, from: Side) -> u64 {
    evidence.retransmissions[from.index()].saturating_sub(evidence.needless[from.index()])
}

/// The round trip between both ends: that of the handshake, or a longer one since that no delay of acknowledgments explains.
fn round_trip(evidence: &TcpEvidence) -> Option<Micros> {
    let at_first = evidence.syn_answer_us.zip(evidence.ack_us).map(|(there, back)| there + back);
    let since = evidence.acknowledged_us.into_iter().flatten().filter(|time| *time > HELD_BACK_US).sum();
    at_first.max(Some(since).filter(|since| *since > 0))
}

/// Whether a conclusion holds although bytes are missing: it was proved before, or rests on a desktop that was there.
pub(super) fn leaves_standing(facts: &Facts<'_>, rule: &Rule, conclusion: &Conclusion) -> bool {
    let Some(hole) = facts.hole else { return true };
    let was_proved = conclusion.confidence == Confidence::Confirmed
        && !conclusion.evidence.is_empty()
        && conclusion.evidence.iter().all(|evidence| evidence.t_us <= hole.t_us);
    was_proved || rule.id == VerdictId::Healthy
}

/// That a session worked stands, though what ended it may have been said where bytes are missing.
pub(super) fn as_sure_as_known(facts: &Facts<'_>, conclusion: Conclusion) -> Conclusion {
    let hides_the_end = facts.hole.is_some_and(|hole| hole.t_us < facts.ending.t_us);
    match conclusion.confidence {
        Confidence::Confirmed if hides_the_end && conclusion.phase == Phase::Active => {
            Conclusion { confidence: Confidence::Likely, ..conclusion }
        }
        _ => conclusion,
    }
}

/// What is said where nothing can be known.
pub(super) fn last_resort(facts: &Facts<'_>) -> Option<(&'static Rule, Conclusion)> {
    let hole = facts.hole?;
    let what = hole_words(hole.what);
    let begins = matches!(hole.what, Hole::Missing { reason: MissingReason::BeganEarlier, .. });
    let so_far = match facts.active_for() {
        Some(_) => "the session worked until then, and what ended it cannot be known".to_owned(),
        None if begins => "how the session was set up cannot be known, nor what ended it".to_owned(),
        None => format!("from {} on what happened cannot be known", span(hole.t_us)),
    };
    let summary = format!("No verdict is possible: {what}, so that {so_far}.");
    let conclusion = Conclusion::possible(facts.stopped_in(), summary)
        .seen(hole.t_us, what)
        .seen(facts.ending.t_us, who_ended(facts))
        .advise(CAPTURE_AGAIN);
    let was_cut = facts.ended_by(Side::Server) && facts.ending.how == Some(How::Reset);
    Some((if was_cut { &SERVER_CLOSED } else { &CLIENT_CLOSED }, conclusion))
}

fn hole_words(hole: Hole<'_>) -> String {
    match hole {
        Hole::Undecrypted { reason } => format!("TLS could be decrypted only in part ({reason})"),
        Hole::Missing { reason: MissingReason::BeganEarlier, .. } => {
            "the capture begins in the middle of the connection".to_owned()
        }
        Hole::Missing { from, count, reason } => {
            let count = count.map_or("bytes".to_owned(), |count| format!("{count} bytes"));
            let why = match reason {
                MissingReason::SnapshotLength => "packets are cut to the snapshot length",
                MissingReason::OverlapDiffers => "segments overlap and disagree",
                MissingReason::TooMuchWaiting => "too much came out of order",
                MissingReason::NotCaptured | MissingReason::NeverArrived | MissingReason::BeganEarlier => {
                    "packets were not captured"
                }
            };
            format!("the capture lacks {count} of the {from} ({why})")
        }
    }
}

/// Adds that a reset was not sent by the side in whose name it came.
pub(super) fn with_foreign_reset(facts: &Facts<'_>, conclusion: Conclusion) -> Conclusion {
    match facts.foreign_reset() {
        Some(change) if facts.ending.how == Some(How::Reset) => {
            conclusion.seen(change.t_us, foreign_words(change))
        }
        _ => conclusion,
    }
}

fn foreign_words(change: &TimeToLiveChange) -> String {
    format!(
        "the reset in the {}'s name came with TTL {} and its other packets with {}: a firewall or another machine on the \
         way sent it",
        change.from, change.here, change.first
    )
}

/// What is worth knowing beside the verdict.
pub(super) fn findings(facts: &Facts<'_>, findings: &mut Findings) {
    if let Some(change) = facts.foreign_reset() {
        let text = format!("{}.", super::words::capital(&foreign_words(change)));
        findings.add("reset-by-another-machine", Phase::Tcp, text);
    }
    // Where no verdict was possible, it says why itself.
    let is_told = matches!(findings.verdict(), VerdictId::ClientClosed | VerdictId::ServerClosed);
    if let Some(hole) = facts.hole.filter(|_| !is_told) {
        let text = format!("{}.", super::words::capital(&hole_words(hole.what)));
        findings.add("capture-incomplete", Phase::Tcp, text);
    }
    let Some(tcp) = facts.tcp else { return };
    for (side, count) in [Side::Client, Side::Server].into_iter().zip(tcp.what.zero_windows) {
        if count > 0 {
            let text = format!(
                "The {side} had no room to receive {count} times (zero window): it was too busy to read what came."
            );
            findings.add("zero-window", Phase::Tcp, text);
        }
    }
}

fn udp_alone(facts: &Facts<'_>) -> Option<Conclusion> {
    let udp = facts.summary.udp.as_ref().filter(|_| facts.summary.transport == Some(Transport::Udp))?;
    if facts.udp.unanswered.is_some() || facts.udp_is_half_open().is_some() {
        return None;
    }
    let beside = "the session's TCP connection is not in the capture";
    let conclusion = match facts.udp.established {
        Some(t_us) => {
            let version = udp.server_version.map(|version| format!(" version {version}")).unwrap_or_default();
            let summary = format!("RDP-UDP{version} was opened; {beside}.");
            Conclusion::likely(Phase::Udp, summary).seen(t_us, "the connection is open on both sides")
        }
        None if facts.udp.answered => Conclusion::possible(
            Phase::Udp,
            format!("The server answered over UDP, and the capture shows no more; {beside}."),
        ),
        None => Conclusion::possible(
            Phase::Udp,
            format!("RDP-UDP was in progress; its beginning is not in the capture, and {beside}."),
        ),
    };
    Some(conclusion)
}
