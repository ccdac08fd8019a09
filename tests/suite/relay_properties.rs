//! The pump over real loopback sockets: any bytes, in any pieces, with any ending, arrive as they were sent.

use crate::support::oracles::Random;
use proptest::prelude::*;
use rdpscope::relay::pump::{Ending, PumpEnd, Tap, pump, reset};
use rdpscope::relay::socket::Socket;
use rdpscope::trace::Side;
use socket2::SockRef;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long one conversation may take before it counts as hanging.
const HANGS_AFTER: Duration = Duration::from_secs(30);
/// A receive buffer small enough for a sender to be held up.
const SMALL_BUFFER: usize = 4096;
/// The most bytes of a side in random conversations.
const MOST_BYTES: usize = 1 << 20;

/// What one side does, besides reading to the end.
#[derive(Debug, Clone)]
struct Part {
    length: usize,
    /// Sizes of its writes, over and over.
    pieces: Vec<usize>,
    /// Size of its reads; small ones also get a small receive buffer.
    read: usize,
}

/// How a conversation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Each sends FIN when it has sent everything.
    Together,
    /// This side sends FIN, and the other sends everything only after it has seen that.
    HalfClosed(Side),
    /// This side resets when all has arrived on both sides.
    Reset(Side),
    /// This side sends FIN, and resets when all has arrived; the other does not end.
    ResetAfterFin(Side),
    /// This side resets when it has sent everything, wherever that is by then; the other sends nothing.
    ResetAtOnce(Side),
}

impl End {
    /// Who resets.
    fn resetting(self) -> Option<Side> {
        match self {
            End::Together | End::HalfClosed(_) => None,
            End::Reset(side) | End::ResetAfterFin(side) | End::ResetAtOnce(side) => Some(side),
        }
    }
}

/// What passed the tap.
#[derive(Debug, Default)]
struct Seen {
    /// Bytes of each side after which nobody needs to look.
    opaque_after: Option<usize>,
    bytes: [Vec<u8>; 2],
    unseen: [u64; 2],
    endings: Vec<(Side, Ending)>,
}

impl Tap for Seen {
    fn data(&mut self, _at: Instant, from: Side, bytes: &[u8]) {
        assert!(!bytes.is_empty());
        self.bytes[from.index()].extend_from_slice(bytes);
    }

    fn unseen(&mut self, _at: Instant, from: Side, count: u64) {
        assert!(self.is_opaque(from));
        self.unseen[from.index()] += count;
    }

    fn is_opaque(&self, _from: Side) -> bool {
        self.opaque_after.is_some_and(|after| self.bytes.iter().any(|bytes| bytes.len() >= after))
    }

    fn ended(&mut self, _at: Instant, from: Side, ending: Ending) {
        self.endings.push((from, ending));
    }
}

fn random_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..length.div_ceil(4)).flat_map(|_| (random.below(1 << 32) as u32).to_le_bytes()).take(length).collect()
}

/// Two connected sockets.
async fn pair(read: usize) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port is free");
    if read <= SMALL_BUFFER {
        // Inherited by what is accepted, and in time for its window.
        SockRef::from(&listener).set_recv_buffer_size(SMALL_BUFFER).expect("a socket takes its options");
    }
    let address = listener.local_addr().expect("a listener has an address");
    let relay = TcpStream::connect(address).await.expect("loopback connects");
    let (peer, _) = listener.accept().await.expect("the connection is accepted");
    for stream in [&relay, &peer] {
        stream.set_nodelay(true).expect("a socket takes its options");
    }
    (relay, peer)
}

/// How a side's reading ended.
#[derive(Debug, PartialEq, Eq)]
enum Arrived {
    Fin,
    Reset,
}

/// What the two sides know of each other, so that nothing depends on timing.
#[derive(Debug, Clone)]
struct Progress {
    /// Bytes that arrived at each side, by the side that sent them.
    arrived: watch::Sender<[usize; 2]>,
    /// Whose FIN has arrived at the other side.
    finished: watch::Sender<[bool; 2]>,
}

async fn read(
    mut half: OwnedReadHalf,
    from: Side,
    size: usize,
    progress: Progress,
) -> (Vec<u8>, Arrived, OwnedReadHalf) {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        match half.read(&mut buffer).await {
            Ok(0) => {
                progress.finished.send_modify(|finished| finished[from.index()] = true);
                return (bytes, Arrived::Fin, half);
            }
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                progress.arrived.send_modify(|arrived| arrived[from.index()] = bytes.len());
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                return (bytes, Arrived::Reset, half);
            }
            Err(error) => panic!("reading what the {from} sent: {error}"),
        }
    }
}

async fn write(
    mut half: OwnedWriteHalf,
    side: Side,
    bytes: &[u8],
    pieces: &[usize],
    end: End,
    lengths: [usize; 2],
    progress: Progress,
) {
    if end == End::HalfClosed(side.opposite()) {
        let mut finished = progress.finished.subscribe();
        finished
            .wait_for(|finished| finished[side.opposite().index()])
            .await
            .expect("the other side is read");
    }
    let (mut rest, mut sizes) = (bytes, pieces.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(*sizes.next().expect("there are sizes")));
        half.write_all(piece).await.expect("the relay takes it");
        rest = after;
    }
    if end == End::ResetAfterFin(side) {
        half.shutdown().await.expect("a direction is ended");
        let mut finished = progress.finished.subscribe();
        finished.wait_for(|finished| finished[side.index()]).await.expect("the other side reads");
    }
    if end.resetting() == Some(side) {
        if end != End::ResetAtOnce(side) {
            let mut arrived = progress.arrived.subscribe();
            arrived.wait_for(|arrived| *arrived == lengths).await.expect("both sides read");
        }
        SockRef::from(half.as_ref()).set_linger(Some(Duration::ZERO)).expect("a socket takes its options");
        half.forget();
    } else if end.resetting().is_some() {
        half.as_ref().ready(Interest::ERROR).await.expect("the reset arrives");
        half.forget();
    } else {
        half.shutdown().await.expect("a direction is ended");
    }
}

/// Plays one conversation through the pump and judges what arrived; answers with what the tap saw.
async fn play(parts: [Part; 2], end: End, opaque_after: Option<usize>) -> Seen {
    let (client_at_relay, client) = pair(parts[0].read).await;
    let (server_at_relay, server) = pair(parts[1].read).await;
    let (mut client_at_relay, mut server_at_relay) =
        (Socket::from(client_at_relay), Socket::from(server_at_relay));
    let sent = [random_bytes(1, parts[0].length), random_bytes(2, parts[1].length)];
    let lengths = [sent[0].len(), sent[1].len()];
    let progress = Progress { arrived: watch::Sender::new([0, 0]), finished: watch::Sender::new([false; 2]) };
    let side = |side: Side, stream: TcpStream| {
        let (part, bytes) = (&parts[side.index()], &sent[side.index()]);
        let (reader, writer) = stream.into_split();
        let reading = read(reader, side.opposite(), part.read, progress.clone());
        let writing = write(writer, side, bytes, &part.pieces, end, lengths, progress.clone());
        async move {
            if end.resetting() == Some(side) {
                // Its own reading ends with its reset, not before and not by itself.
                tokio::select! {
                    biased;
                    () = writing => None,
                    (bytes, arrived, _) = reading => panic!("{} bytes and {arrived:?}", bytes.len()),
                }
            } else {
                let ((bytes, arrived, _half), ()) = tokio::join!(reading, writing);
                Some((bytes, arrived))
            }
        }
    };
    let relayed = async {
        let mut seen = Seen { opaque_after, ..Seen::default() };
        let was_reset = pump(&mut client_at_relay, &mut server_at_relay, &mut seen).await == PumpEnd::Reset;
        if was_reset {
            for stream in [&client_at_relay, &server_at_relay] {
                reset(stream);
            }
        }
        drop((client_at_relay, server_at_relay));
        (seen, was_reset)
    };
    let all = async { tokio::join!(relayed, side(Side::Client, client), side(Side::Server, server)) };
    let ((seen, was_reset), at_client, at_server) =
        tokio::time::timeout(HANGS_AFTER, all).await.unwrap_or_else(|_| panic!("hangs: {end:?} {parts:?}"));

    assert_eq!(was_reset, end.resetting().is_some(), "{end:?}");
    for (from, arrived) in [(Side::Server, at_client), (Side::Client, at_server)] {
        let Some((bytes, how)) = arrived else { continue };
        let sent = &sent[from.index()];
        let is_whole = end != End::ResetAtOnce(from);
        assert!(sent.starts_with(&bytes), "the bytes of the {from} arrive as they were sent: {end:?}");
        assert!(!is_whole || bytes.len() == sent.len(), "the bytes of the {from} arrive: {end:?}");
        let is_reset = [End::Reset(from), End::ResetAtOnce(from)].contains(&end);
        let expected = if is_reset { Arrived::Reset } else { Arrived::Fin };
        assert_eq!(how, expected, "of the {from}, {end:?}");
    }
    judge_tap(&seen, &sent, end);
    seen
}

fn judge_tap(seen: &Seen, sent: &[Vec<u8>; 2], end: End) {
    for (side, sent) in [Side::Client, Side::Server].into_iter().zip(sent) {
        let bytes = &seen.bytes[side.index()];
        let unseen = seen.unseen[side.index()];
        if end == End::ResetAtOnce(side) {
            assert!(sent.starts_with(bytes), "the tap sees the bytes of the {side}: {end:?}");
            continue;
        }
        assert_eq!(bytes.len() as u64 + unseen, sent.len() as u64, "of the {side}, {end:?}");
        assert!(unseen > 0 || bytes == sent, "the tap sees the bytes of the {side}: {end:?}");
    }
    let (first, _) = seen.endings.first().expect("an ending was told");
    match end {
        End::Together => assert_eq!(seen.endings.len(), 2),
        End::HalfClosed(side) => {
            assert_eq!(seen.endings, [(side, Ending::Fin), (side.opposite(), Ending::Fin)]);
        }
        End::Reset(side) | End::ResetAtOnce(side) => assert_eq!(seen.endings, [(side, Ending::Reset)]),
        End::ResetAfterFin(side) => assert_eq!((*first, seen.endings.len()), (side, 1)),
    }
}

fn run(parts: [Part; 2], end: End, opaque_after: Option<usize>) -> Seen {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime is made");
    runtime.block_on(play(parts, end, opaque_after))
}

fn part() -> impl Strategy<Value = Part> {
    let length = prop_oneof![Just(0), 1..200_usize, 200..MOST_BYTES];
    let pieces = prop_oneof![
        prop::collection::vec(1..5000_usize, 1..8),
        prop::collection::vec(10_000..300_000_usize, 1..4),
    ];
    let read = prop_oneof![512..SMALL_BUFFER, 16 * 1024..256 * 1024_usize];
    (length, pieces, read).prop_map(|(length, pieces, read)| Part { length, pieces, read })
}

fn end() -> impl Strategy<Value = End> {
    let side = prop_oneof![Just(Side::Client), Just(Side::Server)];
    prop_oneof![
        Just(End::Together),
        side.clone().prop_map(End::HalfClosed),
        // Only Linux tells of a reset where nobody reads any more.
        side.prop_map(if cfg!(target_os = "linux") { End::ResetAfterFin } else { End::Reset }),
        prop_oneof![Just(Side::Client), Just(Side::Server)].prop_map(End::Reset),
    ]
}

proptest! {
    // Each is a conversation of up to two MiB through real sockets.
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_in_any_pieces_arrive_as_they_were_sent_with_their_ending(
        client in part(),
        server in part(),
        end in end(),
        opaque_after in prop::option::of(0..200_000_usize),
    ) {
        run([client, server], end, opaque_after);
    }
}

/// A sender in large pieces against a reader that takes little at a time.
fn held_up(length: usize) -> Part {
    Part { length, pieces: vec![200_000], read: SMALL_BUFFER }
}

#[test]
fn a_slow_reader_holds_the_sender_up_and_loses_nothing() {
    let seen = run([held_up(6 << 20), held_up(3 << 20)], End::Together, None);
    assert_eq!(seen.unseen, [0, 0]);
}

#[test]
fn what_nobody_looks_at_passes_unseen_and_whole() {
    for end in [End::Together, End::HalfClosed(Side::Server), End::Reset(Side::Client)] {
        let seen = run([held_up(6 << 20), held_up(3 << 20)], end, Some(64 * 1024));
        if cfg!(target_os = "linux") {
            assert!(seen.unseen.iter().all(|unseen| *unseen > 1 << 20), "{:?} {end:?}", seen.unseen);
        }
    }
}

#[test]
fn a_reset_comes_through_to_a_slow_reader_and_what_it_reads_before_is_what_was_sent() {
    let silent = Part { length: 0, pieces: vec![1], read: SMALL_BUFFER };
    for opaque_after in [None, Some(0)] {
        run([silent.clone(), held_up(2 << 20)], End::ResetAtOnce(Side::Server), opaque_after);
        run([held_up(2 << 20), silent.clone()], End::ResetAtOnce(Side::Client), opaque_after);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_reset_after_the_end_of_a_direction_is_passed_on() {
    let part = Part { length: 1000, pieces: vec![100], read: 1 << 16 };
    for side in [Side::Client, Side::Server] {
        run([part.clone(), part.clone()], End::ResetAfterFin(side), None);
    }
}
