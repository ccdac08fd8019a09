//! The same bytes in other pieces give the same events.

use crate::support::captures::{self, Chunking};
use rdpscope::trace::Outcome;

const CHUNKINGS: [Chunking; 5] = [
    Chunking::Bytes,
    Chunking::Joined,
    Chunking::Random(1),
    Chunking::Random(20_240_506),
    Chunking::Random(0xdead_beef),
];

#[test]
fn events_do_not_depend_on_where_the_bytes_are_cut() {
    let Some(folder) = captures::folder() else { return };
    let mut events = 0;
    for (name, truth) in captures::truths(&folder) {
        for conversation in captures::conversations(&folder, &name, &truth) {
            let as_sent = captures::observe(&captures::cut(&conversation.wire, Chunking::AsSent));
            for chunking in CHUNKINGS {
                let otherwise = captures::observe(&captures::cut(&conversation.wire, chunking));
                let differs = as_sent.lines.iter().zip(&otherwise.lines).find(|(left, right)| left != right);
                assert_eq!(differs, None, "{} with {chunking:?}", conversation.name);
                assert_eq!(
                    as_sent.lines.len(),
                    otherwise.lines.len(),
                    "{} with {chunking:?}",
                    conversation.name
                );
            }
            events += as_sent.lines.len();
        }
    }
    assert!(events > 0);
    println!("{events} trace lines, each the same for {} other ways to cut", CHUNKINGS.len());
}

#[test]
fn events_inside_tls_do_not_depend_on_where_the_bytes_are_cut() {
    let Some(folder) = captures::folder() else { return };
    let mut events = 0;
    for (name, truth) in captures::truths(&folder) {
        for conversation in captures::conversations(&folder, &name, &truth) {
            let protocol = conversation.truth["x224_selected_protocol"].as_u64();
            let Some((pieces, protocol)) = conversation.inside.as_ref().zip(protocol) else { continue };
            let protocol = u32::try_from(protocol).expect("32 bits");
            let inside = |chunking| captures::inside(protocol, &captures::cut(pieces, chunking));
            let as_sent = inside(Chunking::AsSent);
            for chunking in CHUNKINGS {
                assert_eq!(as_sent.lines, inside(chunking).lines, "{} with {chunking:?}", conversation.name);
            }
            events += as_sent.lines.len();
        }
    }
    assert!(events > 0);
    println!("{events} lines of what is inside TLS, each the same for {} other ways to cut", CHUNKINGS.len());
}

/// Pieces after which the handshakes of every capture are over.
const BEGINNING: usize = 12;

/// A recording that begins in mid-session has nothing to say about how the session was set up.
#[test]
fn without_the_beginning_nothing_is_claimed() {
    let Some(folder) = captures::folder() else { return };
    let mut recordings = 0;
    for (name, truth) in captures::truths(&folder) {
        for conversation in captures::conversations(&folder, &name, &truth) {
            let Some(later @ [_, ..]) = conversation.wire.get(BEGINNING..) else { continue };
            let observed = captures::observe(later);
            let summary = &observed.summary;
            let claims = (&summary.requested_protocols, &summary.selected_protocol, &summary.tls_version);
            assert_eq!(claims, (&None, &None, &None), "{}", conversation.name);
            assert_eq!(summary.reached, None, "{}: {:?}", conversation.name, observed.lines);
            let failed = observed.phases().find(|phase| phase.outcome == Outcome::Failed);
            assert_eq!(failed, None, "{}", conversation.name);
            recordings += 1;
        }
    }
    assert!(recordings > 0);
}
