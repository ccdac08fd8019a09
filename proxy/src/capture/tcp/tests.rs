//! Tests of connections.

use super::evidence::GIVEN_UP_AFTER;
use super::*;
use crate::capture::FlowTransport;
use crate::capture::scripted::{MILLISECOND, SECOND, Told, client, server};
use crate::trace::SynAnswer;
use proptest::prelude::*;

/// Initial sequence numbers; the client's wraps soon.
const CLIENT: u32 = u32::MAX - 20;
const SERVER: u32 = 7000;

/// A connection that is fed by hand.
struct Fed {
    connection: Connection,
    told: Told,
    waiting: usize,
    now: Nanoseconds,
}

fn segment(from: Side, offset: u32, bytes: &[u8]) -> Segment<'_> {
    let (source, destination, first) = match from {
        Side::Client => (client(), server(), CLIENT),
        Side::Server => (server(), client(), SERVER),
    };
    Segment {
        source,
        destination,
        time_to_live: 64,
        sequence: first.wrapping_add(offset),
        acknowledgment: None,
        is_syn: false,
        is_fin: false,
        is_reset: false,
        window: 1024,
        maximum_segment_size: None,
        timestamps: None,
        repeated: None,
        bytes,
        cut: 0,
    }
}

/// An acknowledgment by `from` of what the other side sent up to `offset`.
fn acknowledging(from: Side, own: u32, offset: u32) -> Segment<'static> {
    let first = if from == Side::Client { SERVER } else { CLIENT };
    Segment { acknowledgment: Some(first.wrapping_add(offset)), ..segment(from, own, &[]) }
}

impl Fed {
    fn new() -> Self {
        let key = FlowKey { transport: FlowTransport::Tcp, client: client(), server: server() };
        let mut told = Told::default();
        told.streams.push(Default::default());
        Self { connection: Connection::new(FlowId(0), key, 0), told, waiting: 0, now: 0 }
    }

    /// After a handshake.
    fn open() -> Self {
        let mut fed = Self::new();
        let syn = segment(Side::Client, 0, &[]);
        fed.take(Segment { is_syn: true, maximum_segment_size: Some(1460), ..syn });
        fed.take(Segment { is_syn: true, ..acknowledging(Side::Server, 0, 1) });
        fed.take(acknowledging(Side::Client, 1, 1));
        fed
    }

    fn take(&mut self, segment: Segment<'_>) {
        self.now += MILLISECOND;
        self.connection.segment(self.now, &segment, &mut self.waiting, &mut self.told);
    }

    fn send(&mut self, offset: u32, text: &str) {
        self.take(segment(Side::Client, offset, text.as_bytes()));
    }

    fn close(mut self) -> (Vec<String>, TcpEvidence) {
        let (_, evidence) = self.connection.close(&mut self.waiting, &mut self.told);
        assert_eq!(self.waiting, 0, "what waited is given back");
        (self.told.lines, evidence)
    }
}

#[test]
fn segments_in_order_are_told_as_they_come() {
    let mut fed = Fed::open();
    fed.send(1, "one ");
    fed.take(segment(Side::Server, 1, b"answer"));
    fed.send(5, "two");
    let (lines, evidence) = fed.close();
    assert_eq!(lines, ["0 client one ", "0 server answer", "0 client two"]);
    assert_eq!((evidence.syns, evidence.segments, evidence.largest_segment), (1, [2, 1], [4, 6]));
    assert_eq!((evidence.syn_answer, evidence.syn_answer_us), (Some(SynAnswer::Accepted), Some(1000)));
    assert_eq!((evidence.ack_us, evidence.maximum_segment_size), (Some(1000), [Some(1460), None]));
}

#[test]
fn what_came_early_waits_and_what_came_twice_is_told_once() {
    let mut fed = Fed::open();
    fed.send(5, "two ");
    fed.send(9, "three ");
    fed.send(1, "one ");
    fed.send(1, "one two three ");
    fed.send(13, "e four");
    let (lines, evidence) = fed.close();
    assert_eq!(lines, ["0 client one ", "0 client two ", "0 client three ", "0 client four"]);
    assert_eq!((evidence.out_of_order[0], evidence.lost[0]), (1, 1));
}

#[test]
fn a_hole_is_decided_when_the_other_side_acknowledged_it() {
    let mut fed = Fed::open();
    fed.send(5, "behind");
    fed.take(acknowledging(Side::Server, 1, 11));
    assert_eq!(fed.told.lines, [""; 0], "the segment may still come");
    fed.now += 50 * MILLISECOND;
    fed.take(acknowledging(Side::Server, 1, 11));
    assert_eq!(fed.told.lines, ["0 client misses 4 NotCaptured", "0 client behind"]);
    fed.send(1, "late");
    fed.send(11, "more");
    assert_eq!(fed.told.lines[2..], ["0 client more"]);
}

#[test]
fn a_segment_written_behind_its_acknowledgment_is_not_missing() {
    let mut fed = Fed::open();
    fed.take(acknowledging(Side::Server, 1, 5));
    fed.send(1, "here");
    fed.now += SECOND;
    fed.take(acknowledging(Side::Server, 1, 5));
    assert_eq!(fed.close().0, ["0 client here"]);
}

#[test]
fn what_waits_at_the_end_is_told_with_its_hole() {
    let mut fed = Fed::open();
    fed.send(5, "behind");
    assert_eq!(fed.close().0, ["0 client misses 4 NotCaptured", "0 client behind"]);
}

#[test]
fn a_connection_without_its_beginning_says_so() {
    let mut fed = Fed::new();
    fed.send(100, "middle");
    fed.take(segment(Side::Server, 50, b"answer"));
    let (lines, evidence) = fed.close();
    let said = ["0 client misses unknown BeganEarlier", "0 client middle"];
    assert_eq!(lines[..2], said);
    assert_eq!(lines[2..], ["0 server misses unknown BeganEarlier", "0 server answer"]);
    assert_eq!((evidence.syns, evidence.syn_answer), (0, None));
}

#[test]
fn bytes_cut_to_the_snapshot_length_are_a_hole() {
    let mut fed = Fed::open();
    fed.take(Segment { cut: 10, ..segment(Side::Client, 1, b"head") });
    fed.send(15, "next");
    let lines = fed.close().0;
    assert_eq!(lines, ["0 client head", "0 client misses 10 SnapshotLength", "0 client next"]);
}

#[test]
fn segments_that_disagree_are_neither_of_them() {
    let mut fed = Fed::open();
    fed.send(5, "left");
    fed.send(5, "rite");
    fed.send(1, "one ");
    fed.send(9, "end");
    let lines = fed.close().0;
    assert_eq!(lines, ["0 client one ", "0 client misses 4 OverlapDiffers", "0 client end"]);
}

#[test]
fn what_waits_is_bounded() {
    let mut fed = Fed::open();
    let part = [7; 60_000];
    for number in 0..80 {
        fed.take(segment(Side::Client, 100 + number * 60_000, &part));
        assert!(fed.waiting <= 4 * 1024 * 1024 + part.len());
    }
    assert_eq!(fed.told.lines[0], "0 client misses 99 TooMuchWaiting");
    assert_eq!(fed.told.streams[0][0].len(), 80 * 60_000);

    let mut fed = Fed::open();
    for number in 0..10_000 {
        fed.send(10 + 2 * number, "x");
    }
    assert!(fed.waiting < 5000);
}

#[test]
fn what_waits_in_all_connections_is_bounded() {
    let mut fed = Fed::open();
    let (others, part) = (64 * 1024 * 1024 - 1000, [7; 600]);
    fed.waiting = others;
    fed.take(segment(Side::Client, 700, &part));
    assert_eq!(fed.told.lines, [""; 0]);
    fed.take(segment(Side::Client, 1400, &part));
    assert_eq!(fed.told.lines[0], "0 client misses 699 TooMuchWaiting");
    assert_eq!((fed.told.streams[0][0].len(), fed.waiting), (600, others + 600), "no more than is needed");
}

#[test]
fn a_fin_counts_when_everything_before_it_is_there() {
    let mut fed = Fed::open();
    fed.take(Segment { is_fin: true, ..segment(Side::Client, 5, b"bye") });
    assert_eq!(fed.told.lines, [""; 0]);
    fed.send(1, "one ");
    fed.take(acknowledging(Side::Server, 1, 9));
    fed.now += SECOND;
    fed.take(Segment { is_fin: true, ..acknowledging(Side::Server, 1, 9) });
    fed.take(acknowledging(Side::Client, 9, 2));
    assert!(fed.connection.is_over());
    let lines = fed.close().0;
    assert_eq!(lines, ["0 client one ", "0 client bye", "0 client ended Fin", "0 server ended Fin"]);
}

#[test]
fn a_fin_that_was_not_captured_is_no_missing_byte() {
    let mut fed = Fed::open();
    fed.send(1, "one");
    fed.now += SECOND;
    fed.take(acknowledging(Side::Server, 1, 5));
    fed.now += SECOND;
    fed.take(acknowledging(Side::Server, 1, 5));
    assert_eq!(fed.close().0, ["0 client one"]);
}

#[test]
fn a_reset_is_told_behind_the_bytes_before_it() {
    let mut fed = Fed::open();
    fed.send(5, "behind");
    fed.take(Segment { is_reset: true, ..segment(Side::Client, 11, &[]) });
    assert!(fed.connection.is_over());
    fed.take(Segment { is_reset: true, ..segment(Side::Client, 11, &[]) });
    fed.take(segment(Side::Server, 1, b"under way"));
    let lines = fed.close().0;
    let said =
        ["0 client misses 4 NotCaptured", "0 client behind", "0 client ended Reset", "0 server under way"];
    assert_eq!(lines, said);
}

#[test]
fn keep_alives_and_window_probes_bring_no_bytes() {
    let mut fed = Fed::open();
    fed.send(1, "one");
    fed.send(3, "?");
    fed.take(Segment { window: 0, ..acknowledging(Side::Server, 1, 4) });
    fed.send(4, "t");
    fed.send(4, "two");
    let (lines, evidence) = fed.close();
    assert_eq!(lines, ["0 client one", "0 client t", "0 client wo"]);
    assert_eq!((evidence.zero_windows, evidence.retransmissions), ([0, 1], [0, 0]));
}

#[test]
fn what_is_sent_again_is_counted_and_not_told() {
    let mut fed = Fed::open();
    fed.send(1, "one");
    fed.now += SECOND;
    fed.send(1, "one");
    fed.take(acknowledging(Side::Server, 1, 4));
    fed.send(1, "one");
    let (lines, evidence) = fed.close();
    assert_eq!(lines, ["0 client one"]);
    assert_eq!((evidence.retransmissions, evidence.segments), ([2, 0], [3, 0]));
}

#[test]
fn an_opaque_stream_is_only_counted() {
    let mut fed = Fed::open();
    fed.send(1, "one");
    fed.send(8, "early");
    fed.told.opaque = Some(Side::Client);
    fed.send(4, "four");
    fed.send(13, "x");
    fed.send(13, "x");
    fed.take(segment(Side::Server, 1, b"told"));
    fed.take(Segment { is_fin: true, ..segment(Side::Client, 14, &[]) });
    assert_eq!(fed.waiting, 0);
    let lines = fed.close().0;
    let said =
        ["0 client one", "0 client unseen 9", "0 client unseen 1", "0 server told", "0 client ended Fin"];
    assert_eq!(lines, said);
}

#[test]
fn a_reset_from_another_distance_shows_a_middlebox() {
    let mut fed = Fed::open();
    fed.take(segment(Side::Server, 1, b"hello"));
    fed.take(Segment { time_to_live: 63, ..segment(Side::Server, 6, b"again") });
    for _ in 0..3 {
        fed.take(Segment { time_to_live: 250, is_reset: true, ..segment(Side::Server, 11, &[]) });
    }
    let changes = fed.close().1.time_to_live_changes;
    let seen: Vec<(u8, u8, bool)> =
        changes.iter().map(|change| (change.first, change.here, change.is_reset)).collect();
    assert_eq!(seen, [(64, 63, false), (64, 250, true)]);
    assert_eq!((changes[0].t_us, changes[0].from), (5000, Side::Server));
}

#[test]
fn a_refused_syn_names_who_refused() {
    let syn = Segment { is_syn: true, ..segment(Side::Client, 0, &[]) };
    let mut fed = Fed::new();
    fed.take(syn);
    fed.now += SECOND;
    fed.take(syn);
    fed.take(Segment { is_reset: true, ..acknowledging(Side::Server, 0, 1) });
    let (lines, evidence) = fed.close();
    assert_eq!((lines.as_slice(), evidence.syns), (["0 server ended Reset".to_owned()].as_slice(), 2));
    assert_eq!((evidence.syn_answer, evidence.syn_answer_us), (Some(SynAnswer::Reset), None));
    assert_eq!(evidence.retransmissions, [1, 0]);

    let mut fed = Fed::new();
    fed.take(syn);
    let quoted = |sequence| Quoted {
        transport: FlowTransport::Tcp,
        source: client(),
        destination: server(),
        sequence,
    };
    fed.connection.unreachable(&quoted(CLIENT + 1));
    assert_eq!(fed.connection.gathering.evidence.syn_answer, None, "of another connection");
    fed.connection.unreachable(&quoted(CLIENT));
    assert_eq!(fed.close().1.syn_answer, Some(SynAnswer::Unreachable));
}

#[test]
fn a_new_syn_begins_another_connection() {
    let fed = Fed::open();
    let syn = Segment { is_syn: true, ..segment(Side::Client, 0, &[]) };
    assert!(!fed.connection.is_succeeded_by(&syn));
    assert!(fed.connection.is_succeeded_by(&Segment { sequence: 5, ..syn }));
    assert!(!fed.connection.is_succeeded_by(&segment(Side::Client, 77, b"data")));
    let answer = Segment { is_syn: true, ..acknowledging(Side::Server, 0, 1) };
    assert!(!fed.connection.is_succeeded_by(&answer));
    assert!(fed.connection.is_succeeded_by(&Segment { sequence: 5, ..answer }));
}

#[test]
fn roles_are_guessed_only_without_a_syn() {
    let data = segment(Side::Server, 0, b"x");
    assert_eq!(roles(&data), (client(), server(), true));
    let other: SocketAddr = "10.0.0.3:1337".parse().unwrap();
    let high: SocketAddr = "10.0.0.4:49152".parse().unwrap();
    assert_eq!(roles(&Segment { source: other, destination: high, ..data }), (high, other, true));
    let syn = Segment { is_syn: true, source: other, destination: high, ..data };
    assert_eq!(roles(&syn), (other, high, false));
    assert_eq!(roles(&Segment { acknowledgment: Some(1), ..syn }), (high, other, false));
}

proptest! {
    /// However a stream is cut, repeated, overlapped and mixed up, the same bytes come out.
    #[test]
    fn any_order_gives_the_same_bytes(
        stream in proptest::collection::vec(any::<u8>(), 1..600),
        first in any::<u32>(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 1_usize..80), 0..40),
        order in any::<u64>(),
    ) {
        // The pieces of a whole cover, and any others.
        let mut pieces: Vec<(usize, usize)> =
            (0..stream.len()).step_by(37).map(|start| (start, (start + 37).min(stream.len()))).collect();
        pieces.extend(cuts.iter().map(|(place, length)| {
            let start = place.index(stream.len());
            (start, (start + length).min(stream.len()))
        }));
        let mut state = order | 1;
        for place in (1..pieces.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pieces.swap(place, (state >> 33) as usize % (place + 1));
        }
        let mut fed = Fed::new();
        let begin = Segment { is_syn: true, sequence: first, ..segment(Side::Client, 0, &[]) };
        fed.take(begin);
        for (start, end) in pieces {
            let sequence = first.wrapping_add(1 + start as u32);
            fed.take(Segment { sequence, ..segment(Side::Client, 0, &stream[start..end]) });
        }
        prop_assert_eq!(&fed.told.streams[0][0], &stream);
        prop_assert_eq!(fed.waiting, 0);
    }

    /// Segments that make no sense together neither panic nor leave anything waiting behind.
    #[test]
    fn any_segments_are_survived(
        segments in proptest::collection::vec(
            (any::<u32>(), any::<Option<u32>>(), any::<[bool; 4]>(), 0_usize..2000, 0_u32..70_000, any::<u16>()),
            0..60,
        ),
    ) {
        let bytes = [b'x'; 2000];
        let mut fed = Fed::new();
        for (sequence, acknowledgment, [server, is_syn, is_fin, is_reset], length, cut, window) in segments {
            let from = if server { Side::Server } else { Side::Client };
            let sequence = if cut % 3 == 0 { sequence } else { CLIENT.wrapping_add(cut) };
            fed.take(Segment {
                sequence, acknowledgment, is_syn, is_fin, is_reset, window, cut,
                ..segment(from, 0, &bytes[..length])
            });
        }
        fed.close();
    }
}

#[test]
fn what_is_asked_for_to_the_end_never_arrived() {
    let mut fed = Fed::open();
    fed.send(5, "behind");
    fed.take(acknowledging(Side::Server, 1, 1));
    fed.send(11, "more");
    fed.take(acknowledging(Side::Server, 1, 1));
    let (lines, _) = fed.close();
    assert_eq!(lines, ["0 client misses 4 NeverArrived", "0 client behind", "0 client more"]);
}

#[test]
fn a_file_with_one_direction_does_not_know_what_arrived() {
    let mut fed = Fed::open();
    fed.send(5, "behind");
    let (lines, _) = fed.close();
    assert_eq!(lines, ["0 client misses 4 NotCaptured", "0 client behind"]);
}

#[test]
fn bytes_that_nobody_answers_are_told_with_the_silence_before() {
    let mut fed = Fed::open();
    fed.send(1, "one");
    fed.take(acknowledging(Side::Server, 1, 4));
    fed.now += 60 * SECOND;
    // One that asks whether the other side is there, with the byte that was sent last, and its answer.
    fed.send(3, "e");
    fed.take(acknowledging(Side::Server, 1, 4));
    fed.now += 30 * SECOND;
    for _ in 0..=GIVEN_UP_AFTER {
        fed.send(4, "two");
        fed.now += SECOND;
    }
    let unanswered = fed.close().1.unanswered.unwrap();
    assert_eq!((unanswered.from, unanswered.again), (Side::Client, GIVEN_UP_AFTER));
    assert_eq!(unanswered.quiet_us / 1_000_000, 90);
    assert_eq!(unanswered.for_us / 1_000_000, u64::from(GIVEN_UP_AFTER));
}

#[test]
fn one_packet_of_the_other_side_is_an_answer() {
    let mut fed = Fed::open();
    for _ in 0..=2 * GIVEN_UP_AFTER {
        fed.send(1, "one");
        fed.now += SECOND;
    }
    fed.take(acknowledging(Side::Server, 1, 1));
    assert_eq!(fed.close().1.unanswered, None);

    // What it had sent before is none.
    let mut fed = Fed::open();
    fed.take(segment(Side::Server, 1, b"hello"));
    for _ in 0..=GIVEN_UP_AFTER {
        fed.send(1, "one");
        fed.now += SECOND;
        fed.take(segment(Side::Server, 1, b"hello"));
    }
    assert_eq!(fed.close().1.unanswered.map(|it| it.from), Some(Side::Client));
}

#[test]
fn a_middle_one_of_the_last_times_counts_and_nothing_that_was_sent_twice() {
    let mut fed = Fed::open();
    for turn in 0..5 {
        fed.send(1 + 2 * turn, "xy");
        fed.now += u64::from(turn) * SECOND;
        fed.take(acknowledging(Side::Server, 1, 3 + 2 * turn));
    }
    // The first, a millisecond, is forgotten by now.
    fed.send(11, "xy");
    fed.send(11, "xy");
    fed.take(acknowledging(Side::Server, 1, 13));
    let [client, server] = fed.close().1.acknowledged_us;
    assert_eq!((client.map(|us| us / 1_000_000), server), (Some(2), None));
}

#[test]
fn what_only_acknowledgments_tell_of_is_missing_and_not_silence() {
    let mut fed = Fed::new();
    fed.take(Segment { is_syn: true, ..segment(Side::Client, 0, &[]) });
    fed.take(acknowledging(Side::Client, 1, 1));
    fed.send(1, "request");
    fed.take(acknowledging(Side::Client, 8, 20));
    let (lines, _) = fed.close();
    assert_eq!(lines, ["0 client request", "0 server misses 19 NotCaptured"]);
}

#[test]
fn what_comes_twice_after_it_was_acknowledged_was_late_and_not_lost() {
    let mut fed = Fed::open();
    fed.send(1, "one");
    fed.take(acknowledging(Side::Server, 1, 4));
    fed.now += SECOND;
    fed.send(1, "one");
    fed.send(4, "two");
    fed.now += SECOND;
    fed.send(4, "two");
    let evidence = fed.close().1;
    assert_eq!((evidence.retransmissions[0], evidence.needless[0]), (2, 1));
}

/// A segment of the client, or what the server answers to it, with the client's clock in it.
fn clocked(segment: Segment<'_>, clock: u32) -> Segment<'_> {
    let clocks = if segment.source == client() { [clock, 0] } else { [0, clock] };
    Segment { timestamps: Some(clocks), ..segment }
}

#[test]
fn an_answer_to_the_first_of_what_was_sent_again_shows_a_slow_way_and_no_loss() {
    let mut fed = Fed::open();
    for turn in 0..4 {
        let offset = 1 + 4 * turn;
        let clock = 10_000 * turn;
        for again in 0..3 {
            fed.take(clocked(segment(Side::Client, offset, b"slow"), clock + 1000 * again));
            fed.now += SECOND;
        }
        fed.take(clocked(acknowledging(Side::Server, 1, offset + 4), clock));
    }
    let evidence = fed.close().1;
    assert_eq!((evidence.retransmissions[0], evidence.needless[0]), (8, 8));
    assert_eq!(evidence.acknowledged_us[0].map(|us| us / 1_000_000), Some(3));

    // What is answered is the second: the first was lost, and the third was needless.
    let mut fed = Fed::open();
    for again in 0..3 {
        fed.take(clocked(segment(Side::Client, 1, b"lost"), 1000 * again));
        fed.now += SECOND;
    }
    fed.take(clocked(acknowledging(Side::Server, 1, 5), 1000));
    let evidence = fed.close().1;
    assert_eq!((evidence.retransmissions[0], evidence.needless[0]), (2, 1));
}

#[test]
fn what_is_reported_to_have_come_twice_was_not_lost_unless_its_acknowledgment_was() {
    let twice = |offset: u32| Segment {
        repeated: Some((CLIENT.wrapping_add(offset), CLIENT.wrapping_add(offset + 4))),
        ..acknowledging(Side::Server, 1, offset + 4)
    };
    let mut fed = Fed::open();
    fed.send(1, "slow");
    fed.now += SECOND;
    fed.send(1, "slow");
    fed.take(acknowledging(Side::Server, 1, 5));
    fed.take(twice(1));
    fed.take(twice(1));
    fed.send(5, "mute");
    fed.now += SECOND;
    fed.send(5, "mute");
    fed.take(twice(5));
    let evidence = fed.close().1;
    assert_eq!((evidence.retransmissions[0], evidence.needless[0]), (2, 1));
}
