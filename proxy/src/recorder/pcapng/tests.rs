use super::leg::ConnectionCapture;
use super::session::CaptureStart;
use super::*;
use crate::recorder::{SessionId, TraceFolder};
use crate::trace::Side;
use etherparse::{SlicedPacket, TransportSlice};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

const CLIENT: &str = "[2001:db8::7]:50000";
const US_THERE: &str = "[2001:db8::1]:13389";
const US: &str = "10.0.0.1:40000";
const SERVER: &str = "10.0.0.2:3389";

/// What was said in these tests is no TLS and would be blanked.
const EVERYTHING: CaptureSettings = CaptureSettings { secrets: true };

/// What happens on one leg.
#[derive(Debug, Clone)]
enum Happens {
    Received(Vec<u8>),
    Sent(Vec<u8>),
    PeerFinished,
    Finished,
    PeerReset,
    Resets,
}

/// One segment as it stands in a file.
#[derive(Debug, Clone, PartialEq)]
struct Segment {
    interface: u32,
    source: u16,
    sequence: u32,
    acknowledgement: u32,
    syn: bool,
    fin: bool,
    rst: bool,
    payload: Vec<u8>,
    comments: Vec<String>,
}

struct Kept {
    _folder: tempfile::TempDir,
    bytes: Vec<u8>,
    outcome: Outcome,
}

/// The file that comes of what `tell` tells a session.
fn captured(settings: CaptureSettings, tell: impl FnOnce(&Arc<SessionCapture>)) -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let traces = TraceFolder::open(folder.path()).unwrap();
    let id = SessionId::from("one");
    traces.create_session(&id).unwrap();
    let thread = CaptureThread::start(traces.clone(), settings).unwrap();
    let session = thread.handle().begin(start(&id));
    tell(&session);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = runtime.block_on(session.end()).unwrap();
    thread.finish();
    let bytes = std::fs::read(traces.capture_path(&id)).unwrap_or_default();
    Kept { _folder: folder, bytes, outcome }
}

fn start(id: &SessionId) -> CaptureStart {
    CaptureStart {
        id: id.clone(),
        target: "srv10:3389".to_owned(),
        settings: "{}".to_owned(),
        started: jiff::Timestamp::from_second(1_763_755_200).unwrap(),
        began: Instant::now(),
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn client_leg(session: &Arc<SessionCapture>) -> LegCapture {
    let now = Instant::now();
    let connection = ConnectionCapture::of(session.clone());
    let ends = (address(US_THERE), address(CLIENT));
    LegCapture::established(connection, Side::Client, ends, (now, now))
}

fn server_leg(session: &Arc<SessionCapture>) -> LegCapture {
    let now = Instant::now();
    let connection = ConnectionCapture::of(session.clone());
    LegCapture::established(connection, Side::Server, (address(US), address(SERVER)), (now, now))
}

fn segments(file: &[u8]) -> Vec<Segment> {
    let mut reader = PcapNgReader::new(file).unwrap();
    let mut segments = Vec::new();
    while let Some(block) = reader.next_block() {
        let (Block::EnhancedPacket(packet), _) = block.unwrap() else { continue };
        let sliced = SlicedPacket::from_ip(&packet.data).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("TCP alone was told") };
        let comment = |option: &EnhancedPacketOption<'_>| match option {
            EnhancedPacketOption::Common(CommonOption::Comment(text)) => Some(text.to_string()),
            _ => None,
        };
        segments.push(Segment {
            interface: packet.interface_id,
            source: tcp.source_port(),
            sequence: tcp.sequence_number(),
            acknowledgement: tcp.acknowledgment_number(),
            syn: tcp.syn(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            payload: tcp.payload().to_vec(),
            comments: packet.options.iter().filter_map(comment).collect(),
        });
    }
    segments
}

/// Every direction's bytes, with nothing missing between them; SYN and FIN count as one.
fn assembled(segments: &[Segment], source: u16) -> Vec<u8> {
    let (mut bytes, mut next) = (Vec::new(), 1);
    for segment in segments.iter().filter(|segment| segment.source == source && !segment.syn) {
        assert_eq!(segment.sequence as usize, next, "{segment:?}");
        next += segment.payload.len() + usize::from(segment.fin);
        bytes.extend_from_slice(&segment.payload);
    }
    bytes
}

fn happens() -> impl Strategy<Value = Happens> {
    let bytes = || {
        prop_oneof![
            4 => proptest::collection::vec(any::<u8>(), 1..200),
            1 => (60_000_usize..140_000).prop_map(|length| vec![7; length]),
        ]
    };
    prop_oneof![
        4 => bytes().prop_map(Happens::Received),
        4 => bytes().prop_map(Happens::Sent),
        1 => Just(Happens::PeerFinished),
        1 => Just(Happens::Finished),
        1 => Just(Happens::PeerReset),
        1 => Just(Happens::Resets),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_course_gives_a_file_whose_numbers_follow_one_another(
        course in proptest::collection::vec((any::<bool>(), happens()), 0..24),
    ) {
        // A socket says nothing more in a direction that has ended.
        let mut said = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
        let mut ended = [[false, false], [false, false]];
        let kept = captured(EVERYTHING, |session| {
            let legs = [client_leg(session), server_leg(session)];
            for (on_server, what) in &course {
                let (leg, which) = (&legs[usize::from(*on_server)], usize::from(*on_server));
                let now = Instant::now();
                match what {
                    Happens::Received(bytes) if !ended[which][0] => {
                        leg.received(now, bytes);
                        said[which][0].extend_from_slice(bytes);
                    }
                    Happens::Sent(bytes) if !ended[which][1] => {
                        leg.sent(now, bytes);
                        said[which][1].extend_from_slice(bytes);
                    }
                    Happens::PeerFinished if !ended[which][0] => {
                        leg.peer_finished(now);
                        ended[which][0] = true;
                    }
                    Happens::Finished if !ended[which][1] => {
                        leg.finished(now);
                        ended[which][1] = true;
                    }
                    Happens::PeerReset => {
                        leg.peer_reset(now);
                        ended[which] = [true, true];
                    }
                    Happens::Resets => leg.resets(),
                    _ => {}
                }
            }
        });
        let segments = segments(&kept.bytes);
        prop_assert_eq!(kept.outcome.packets as usize, segments.len());
        let sources = [[50000, 13389], [3389, 40000]];
        for (leg, said) in said.iter().enumerate() {
            for (direction, said) in said.iter().enumerate() {
                let source = sources[leg][direction];
                prop_assert!(assembled(&segments, source) == *said, "what {} said", source);
            }
            let of_leg: Vec<&Segment> =
                segments.iter().filter(|segment| segment.interface as usize == leg).collect();
            prop_assert!(of_leg[0].syn && of_leg[1].syn && !of_leg[2].syn);
            let last = of_leg.last().unwrap();
            prop_assert!(last.fin || last.rst || ended[leg][1], "it was closed: {:?}", last);
        }
    }
}

#[test]
fn what_is_said_of_a_moment_stands_beside_the_packet_of_that_moment() {
    let kept = captured(EVERYTHING, |session| {
        let leg = client_leg(session);
        leg.received(Instant::now(), b"request");
        let at = Instant::now();
        std::thread::sleep(2 * SAME_SEGMENT);
        leg.received(Instant::now(), b"later");
        let phase = crate::trace::PhaseRecord {
            phase: crate::trace::Phase::X224,
            leg: None,
            start_us: 0,
            end_us: u64::try_from(at.duration_since(session.start.began).as_micros()).unwrap(),
            outcome: crate::trace::Outcome::Ok,
            inferred: false,
            waiting_for_client_us: None,
            waiting_for_server_us: None,
        };
        session.note(&[crate::trace::Line::Phase(phase)]);
    });
    let segments = segments(&kept.bytes);
    let said: Vec<_> = segments.iter().filter(|segment| !segment.comments.is_empty()).collect();
    assert_eq!(said.len(), 1, "{segments:?}");
    assert_eq!(said[0].payload, b"request");
    assert!(said[0].comments[0].starts_with("phase x224 ok, "), "{:?}", said[0].comments);
}

#[test]
fn secrets_stand_before_the_packets_that_came_with_them_and_only_where_they_are_wanted() {
    let tell = |session: &Arc<SessionCapture>| {
        let leg = server_leg(session);
        leg.received(Instant::now(), b"encrypted");
        ConnectionCapture::of(session.clone()).secret("CLIENT_RANDOM aa bb");
    };
    let kinds = |file: &[u8]| {
        let mut reader = PcapNgReader::new(file).unwrap();
        let mut kinds = String::new();
        while let Some(block) = reader.next_block() {
            kinds.push(match block.unwrap().0 {
                Block::EnhancedPacket(_) => 'p',
                Block::InterfaceDescription(_) => 'i',
                Block::SectionHeader(_) => 's',
                Block::Unknown(block) if block.type_ == 10 => {
                    assert_eq!(&block.value[..8], b"KSLT\x14\0\0\0");
                    assert_eq!(&block.value[8..28], b"CLIENT_RANDOM aa bb\n");
                    'k'
                }
                _ => '?',
            });
        }
        kinds
    };
    let with = captured(CaptureSettings { secrets: true }, tell);
    assert!(kinds(&with.bytes).starts_with("iiikpp"), "{}", kinds(&with.bytes));
    let without = captured(CaptureSettings::default(), tell);
    assert!(kinds(&without.bytes).starts_with("iipp"), "{}", kinds(&without.bytes));
    assert!(!without.bytes.windows(13).any(|window| window == b"CLIENT_RANDOM"));
}

#[test]
fn a_connection_is_captured_where_it_turns_out_to_belong() {
    let mut kept_elsewhere = None;
    let kept = captured(EVERYTHING, |session| {
        let connection = ConnectionCapture::unsettled(session);
        let now = Instant::now();
        let ends = (address(US), address(SERVER));
        let leg = LegCapture::established(connection.clone(), Side::Server, ends, (now, now));
        leg.received(now, b"before");
        kept_elsewhere = Some(captured(EVERYTHING, |other| {
            connection.settle(other);
            leg.received(Instant::now(), b"after");
            drop(leg);
        }));
    });
    assert_eq!(kept.outcome.packets, 0);
    assert_eq!(assembled(&segments(&kept_elsewhere.unwrap().bytes), 3389), b"beforeafter");
}

#[test]
fn what_there_is_no_room_for_is_counted_and_named_in_the_file() {
    let kept = captured(EVERYTHING, |session| {
        let leg = client_leg(session);
        session.handle.queue.add(QUEUE_BYTES);
        leg.received(Instant::now(), &[1; 1000]);
        leg.received(Instant::now(), &[2; 500]);
        session.handle.queue.free(QUEUE_BYTES);
        leg.received(Instant::now(), b"goes on");
    });
    assert_eq!((kept.outcome.lost.packets, kept.outcome.lost.bytes), (2, 1500));
    let segments = segments(&kept.bytes);
    let next = segments.iter().find(|segment| segment.payload == b"goes on").unwrap();
    assert_eq!(next.sequence, 1501, "the gap shows");
    assert!(next.comments[0].contains("2 packets with 1500 bytes before this one are missing"), "{next:?}");
}

#[test]
fn what_passes_through_is_kept_once_for_both_legs_in_whatever_pieces_it_goes_on() {
    let [text, more] = [[1_u8; 5000], [2; 5000]];
    let mut legs = Vec::new();
    let kept = captured(EVERYTHING, |session| {
        legs.extend([client_leg(session), server_leg(session)]);
        let now = Instant::now();
        let before = session.handle.queue.bytes();
        legs[0].received(now, &text);
        legs[1].received(now, &more);
        legs[1].sent(now, &text[..3000]);
        legs[1].sent(now, &text[3000..]);
        legs[0].sent(now, &more);
        let waiting = session.handle.queue.bytes() - before;
        assert!(waiting < 10_000 + 8 * ENTRY_BYTES, "{waiting} bytes wait");
        legs[1].sent(now, b"that did not come from the client");
    });
    let segments = segments(&kept.bytes);
    let sent = [&text[..], b"that did not come from the client"].concat();
    assert_eq!((assembled(&segments, 50000), assembled(&segments, 40000)), (text.to_vec(), sent));
    assert_eq!((assembled(&segments, 3389), assembled(&segments, 13389)), (more.to_vec(), more.to_vec()));
}

#[test]
fn what_comes_for_long_faster_than_is_recorded_is_let_pass_for_a_while() {
    let began = Instant::now();
    let queue = session::Queue::default();
    let piece = MOST_AT_ONCE / 4;
    let comes = |ms: u64| queue.has_room(began + std::time::Duration::from_millis(ms), piece, piece);
    assert!((0..4).all(|_| comes(0)), "all of it at once");
    assert!(!comes(0) && !comes(1), "and no more");
    assert!(!queue.has_room(began, 1, 0), "what goes out of it neither");
    // Six pieces are passed at this rate.
    let until_calm = (6 * piece - MOST_AT_ONCE / 8) as u64 * 1000 / MOST_A_SECOND as u64;
    let is_full = |ms: u64| queue.is_full(began + std::time::Duration::from_millis(ms));
    assert!(is_full(until_calm - 20) && !is_full(until_calm + 20));
    assert!(comes(until_calm + 20));
    // A line of that speed is recorded for ever.
    let a_second = until_calm + 1000;
    assert!(
        (0..100).all(|round| comes(a_second + round * 1000 * piece as u64 / MOST_A_SECOND as u64 + round))
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_ends_the_capture_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let traces = TraceFolder::open(folder.path()).unwrap();
    let id = SessionId::from("one");
    drop(traces.create_session(&id).unwrap());
    std::os::unix::fs::symlink("/dev/full", traces.capture_path(&id)).unwrap();
    let thread = CaptureThread::start(traces, CaptureSettings::default()).unwrap();
    let session = thread.handle().begin(start(&id));
    client_leg(&session).received(Instant::now(), b"request");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = runtime.block_on(session.end()).unwrap();
    assert!(outcome.stopped.is_some_and(|reason| reason.starts_with("the file cannot be made")));
    assert!(!session.goes_on());
    thread.finish();
}
