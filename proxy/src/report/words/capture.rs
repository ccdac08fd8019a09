//! What only a capture shows, in words.

use crate::report::{safe, time};
use crate::trace::{CaptureMessage, Detail, Event, MissingReason, Side, TcpEvidence, Unanswered};

pub(super) fn describe(events: &[Event]) -> Vec<String> {
    events.iter().filter_map(clause).collect()
}

fn clause(event: &Event) -> Option<String> {
    match &event.detail {
        Detail::Capture(CaptureMessage::TcpEvidence(evidence)) => below(evidence),
        _ => None,
    }
}

/// What TCP shows below the bytes, where there is something to tell.
fn below(evidence: &TcpEvidence) -> Option<String> {
    let mut parts = Vec::new();
    if let Some((there, back)) = evidence.syn_answer_us.zip(evidence.ack_us) {
        parts.push(format!("round trip {}", time::short(there + back)));
    }
    for side in [Side::Client, Side::Server] {
        let again = evidence.retransmissions[side.index()];
        if again > 0 {
            let all = evidence.segments[side.index()];
            parts.push(format!("{again} of {all} segments of the {side} sent again"));
        }
    }
    for side in [Side::Client, Side::Server] {
        let lost = evidence.lost[side.index()];
        if lost > 0 {
            parts.push(format!("{lost} segments of the {side} are not in the capture"));
        }
    }
    if let Some(unanswered) = evidence.unanswered {
        let Unanswered { from, again, for_us, .. } = unanswered;
        let other = from.opposite();
        parts.push(format!(
            "at the end the {from} sent the same {again} times again in {}, and nothing came back from the {other}",
            time::short(for_us)
        ));
    }
    if parts.is_empty() { None } else { Some(parts.join(", ")) }
}

/// What takes the ground from under all that follows.
pub(in crate::report) fn warning(event: &Event) -> Option<String> {
    let Detail::Capture(message) = &event.detail else { return None };
    let who = event.from.map_or("a side".to_owned(), |side| format!("the {side}"));
    Some(match message {
        CaptureMessage::BytesMissing { reason: MissingReason::BeganEarlier, .. } => {
            "the capture begins in the middle of this connection: what was before cannot be known".to_owned()
        }
        CaptureMessage::BytesMissing { count, reason: MissingReason::NeverArrived } => {
            let count = count.map_or("bytes".to_owned(), |count| format!("{count} bytes"));
            format!("{count} of {who} were lost on the way: its peer asked for them to the end")
        }
        CaptureMessage::BytesMissing { count, reason } => {
            let count = count.map_or("bytes".to_owned(), |count| format!("{count} bytes"));
            let why = match reason {
                MissingReason::SnapshotLength => "packets were cut to the snapshot length",
                MissingReason::OverlapDiffers => "its segments overlap and disagree",
                MissingReason::TooMuchWaiting => "too much came out of order",
                MissingReason::NotCaptured | MissingReason::NeverArrived | MissingReason::BeganEarlier => {
                    "packets were not captured"
                }
            };
            format!("{count} of {who} are not in the capture ({why}): what follows cannot be known")
        }
        CaptureMessage::RolesGuessed => {
            "nobody saw who dialled: client and server are told apart by their ports".to_owned()
        }
        CaptureMessage::DecryptionStopped { reason } => {
            format!("what follows of {who} is not decrypted: {}", safe::name(reason))
        }
        CaptureMessage::TcpEvidence(_) | CaptureMessage::TlsOpened { .. } => return None,
    })
}
