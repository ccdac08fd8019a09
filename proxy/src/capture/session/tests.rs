//! Attempts from flows as reassembly hands them on.

use super::*;
use crate::capture::file;
use crate::trace::{Detail, RdpMessage, SynAnswer, TimeToLiveChange, VerdictId};
use crate::wire::x224;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::path::Path;

const MS: Nanoseconds = 1_000_000;
const SECOND: Nanoseconds = 1_000 * MS;
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5)), RDP_PORT);
/// X.224 confirm that selects TLS, and one that refuses because NLA is demanded.
const CHOOSES_TLS: &str = "030000130ed000001234000201080001000000";
const DEMANDS_NLA: &str = "030000130ed00000123400030008000500000000";

/// What a file of these calls comes to.
struct File {
    sessions: Sessions<Box<dyn FnMut(Analysed)>>,
    told: std::rc::Rc<std::cell::RefCell<Vec<Analysed>>>,
    flows: u64,
}

impl File {
    fn new() -> File {
        let told: std::rc::Rc<std::cell::RefCell<Vec<Analysed>>> = std::rc::Rc::default();
        let into = told.clone();
        let options = Options {
            capture: "test.pcap".to_owned(),
            ids: "test".to_owned(),
            gateways: Vec::new(),
            knows_command: |_| true,
        };
        let hand_on: Box<dyn FnMut(Analysed)> = Box::new(move |analysed| into.borrow_mut().push(analysed));
        File { sessions: Sessions::new(options, Arc::default(), hand_on), told, flows: 0 }
    }

    fn open(&mut self, at: Nanoseconds, transport: FlowTransport, server: SocketAddr) -> FlowId {
        let id = FlowId(self.flows);
        self.flows += 1;
        let client = SocketAddr::from(([10, 0, 0, 9], 50_000 + u16::try_from(id.0).unwrap()));
        let key = FlowKey { transport, client, server };
        self.sessions.opened(id, at, FlowOpened { key, roles_guessed: false, first_frame: id.0 + 1 });
        id
    }

    fn tcp(&mut self, at: Nanoseconds) -> FlowId {
        self.open(at, FlowTransport::Tcp, SERVER)
    }

    fn asks(&mut self, id: FlowId, at: Nanoseconds, protocols: u32) {
        self.sessions.data(id, at, Side::Client, &x224::encode_request(Some("me"), protocols));
    }

    fn answers(&mut self, id: FlowId, at: Nanoseconds, confirm: &str) {
        self.sessions.data(id, at, Side::Server, &hex::decode(confirm).unwrap());
    }

    fn finish(self) -> (Vec<Analysed>, Totals) {
        let totals = self.sessions.finish();
        (self.told.take(), totals)
    }

    fn judged(self) -> Vec<VerdictId> {
        self.finish().0.iter().map(|it| it.record.verdict.as_ref().unwrap().id).collect()
    }
}

fn accepted() -> TcpEvidence {
    TcpEvidence {
        syns: 1,
        syn_answer: Some(SynAnswer::Accepted),
        syn_answer_us: Some(400),
        ack_us: Some(100),
        ..TcpEvidence::default()
    }
}

#[test]
fn syns_without_an_answer_a_refusal_and_an_unreachable_host_are_attempts() {
    for (answer, syns, lasted, expected) in [
        (None, 3, 7 * SECOND, VerdictId::TcpFiltered),
        (None, 1, SECOND, VerdictId::TcpFiltered),
        (Some(SynAnswer::Reset), 1, MS, VerdictId::TcpRefused),
        (Some(SynAnswer::Unreachable), 1, MS, VerdictId::TcpFiltered),
    ] {
        let mut file = File::new();
        let flow = file.tcp(SECOND);
        let evidence = TcpEvidence { syns, syn_answer: answer, ..TcpEvidence::default() };
        file.sessions.closed(flow, SECOND + lasted, Some(evidence));
        assert_eq!(file.judged(), [expected], "{answer:?}");
    }
}

#[test]
fn a_server_that_cuts_or_hangs_is_seen_to_do_so() {
    let mut cut = File::new();
    let flow = cut.tcp(0);
    cut.asks(flow, MS, 3);
    cut.sessions.ended(flow, 2 * MS, Side::Server, How::Reset);
    cut.sessions.closed(flow, 2 * MS, Some(accepted()));
    assert_eq!(cut.judged(), [VerdictId::TcpReset]);
    let mut hangs = File::new();
    let flow = hangs.tcp(0);
    hangs.asks(flow, MS, 3);
    // Another flow shows how long the file goes on.
    let other = hangs.open(20 * SECOND, FlowTransport::Udp, SocketAddr::from(([10, 0, 0, 1], 53)));
    hangs.sessions.datagram(other, 20 * SECOND, Side::Client, b"question", 8);
    hangs.sessions.closed(flow, MS, Some(accepted()));
    let (told, totals) = hangs.finish();
    assert_eq!(told[0].record.verdict.as_ref().unwrap().id, VerdictId::RdpSilent);
    let end = told[0].record.end.as_ref().unwrap();
    assert_eq!((end.closed_by, end.how, totals.other.udp), (None, None, 1));
}

#[test]
fn connections_without_a_byte_are_attempts_where_rdp_is_spoken_later() {
    let elsewhere = SocketAddr::from(([10, 0, 0, 7], 13_390));
    let mut file = File::new();
    let refused = file.open(0, FlowTransport::Tcp, elsewhere);
    let other = file.open(0, FlowTransport::Tcp, SocketAddr::from(([10, 0, 0, 8], 8_080)));
    let evidence = TcpEvidence { syns: 1, syn_answer: Some(SynAnswer::Reset), ..TcpEvidence::default() };
    file.sessions.closed(refused, MS, Some(evidence.clone()));
    file.sessions.closed(other, MS, Some(evidence));
    let works = file.open(SECOND, FlowTransport::Tcp, elsewhere);
    file.asks(works, SECOND + MS, 1);
    file.answers(works, SECOND + 2 * MS, DEMANDS_NLA);
    file.sessions.ended(works, SECOND + 3 * MS, Side::Client, How::Reset);
    file.sessions.closed(works, SECOND + 3 * MS, Some(accepted()));
    let (told, totals) = file.finish();
    let ids: Vec<VerdictId> = told.iter().map(|it| it.record.verdict.as_ref().unwrap().id).collect();
    assert_eq!(ids, [VerdictId::TcpRefused, VerdictId::NlaRequired]);
    assert_eq!(totals.other.tcp, 1);
    let settings = &told[1].record.header.as_ref().unwrap().settings;
    assert_eq!(settings["tcp_streams"], serde_json::json!([2]));
}

#[test]
fn a_client_that_came_back_and_got_further_only_asked_its_user() {
    for (later, expected) in [(5 * SECOND, VerdictId::ClientPrompted), (90 * SECOND, VerdictId::ClientClosed)]
    {
        let mut file = File::new();
        let first = file.tcp(0);
        file.sessions.ended(first, 3 * SECOND, Side::Client, How::Fin);
        file.sessions.ended(first, 3 * SECOND, Side::Server, How::Fin);
        let (again, came) = (file.tcp(3 * SECOND + later), 3 * SECOND + later);
        file.asks(again, came + MS, 1);
        file.answers(again, came + 2 * MS, CHOOSES_TLS);
        // What TCP lingers for is told only now.
        file.sessions.closed(first, 3 * SECOND, Some(accepted()));
        file.sessions.closed(again, came + SECOND, Some(accepted()));
        let judged = file.judged();
        assert_eq!((judged.len(), judged[0]), (2, expected), "after {later} ns");
    }
}

#[test]
fn a_client_that_comes_back_after_its_first_connection_is_closed_is_waited_for() {
    let mut file = File::new();
    let first = file.tcp(0);
    file.sessions.ended(first, SECOND, Side::Client, How::Reset);
    file.sessions.closed(first, SECOND, Some(accepted()));
    assert!(file.told.borrow().is_empty(), "its verdict waits");
    let again = file.tcp(20 * SECOND);
    file.asks(again, 20 * SECOND, 1);
    file.answers(again, 21 * SECOND, DEMANDS_NLA);
    file.sessions.closed(again, 22 * SECOND, Some(accepted()));
    let judged = file.judged();
    assert_eq!(judged, [VerdictId::NlaRequired, VerdictId::ClientClosed], "no further is no return");
}

/// A ClientHello of TLS 1.2 with one cipher suite.
const CLIENT_HELLO: &str =
    "160303002d0100002903030101010101010101010101010101010101010101010101010101010101010101000002c02f0100";

#[test]
fn a_hole_takes_the_ground_from_what_is_missing_behind_it() {
    let mut file = File::new();
    let flow = file.tcp(0);
    file.asks(flow, MS, 3);
    let missing = Missing { from: Side::Server, bytes: Some(1460), reason: MissingReason::NotCaptured };
    file.sessions.missing(flow, 2 * MS, missing);
    file.sessions.ended(flow, 20 * SECOND, Side::Client, How::Fin);
    file.sessions.closed(flow, 20 * SECOND, Some(accepted()));
    let (told, _) = file.finish();
    let verdict = told[0].record.verdict.as_ref().unwrap();
    assert_eq!(
        (verdict.id, verdict.confidence),
        (VerdictId::ClientClosed, crate::trace::Confidence::Possible)
    );
    assert!(verdict.summary.contains("the capture lacks 1460 bytes of the server"), "{}", verdict.summary);
    assert_eq!(told[0].record.summary.as_ref().unwrap().bytes_down, 1460);
}

#[test]
fn what_was_proved_before_a_hole_stands() {
    let mut file = File::new();
    let flow = file.tcp(0);
    file.asks(flow, MS, 1);
    file.answers(flow, 2 * MS, DEMANDS_NLA);
    let missing = Missing { from: Side::Client, bytes: None, reason: MissingReason::SnapshotLength };
    file.sessions.missing(flow, 3 * MS, missing);
    file.sessions.closed(flow, 3 * MS, Some(accepted()));
    assert_eq!(file.judged(), [VerdictId::NlaRequired]);
}

#[test]
fn a_file_that_begins_in_the_middle_knows_nothing_of_the_beginning() {
    let mut file = File::new();
    let flow = file.tcp(0);
    for from in [Side::Client, Side::Server] {
        let missing = Missing { from, bytes: None, reason: MissingReason::BeganEarlier };
        file.sessions.missing(flow, 0, missing);
    }
    file.sessions.data(flow, MS, Side::Client, b"\x17\x03\x03\x00\x100123456789abcdef");
    file.sessions.ended(flow, 2 * MS, Side::Server, How::Fin);
    file.sessions.closed(flow, 2 * MS, Some(TcpEvidence::default()));
    let (told, _) = file.finish();
    let verdict = told[0].record.verdict.as_ref().unwrap();
    assert!(verdict.summary.contains("begins in the middle"), "{}", verdict.summary);
    assert_eq!(told[0].record.summary.as_ref().unwrap().reached.map(Phase::id), Some("tcp"));
}

#[test]
fn a_beginning_without_its_syn_is_one_all_the_same() {
    let mut file = File::new();
    let flow = file.tcp(0);
    let earlier = |from| Missing { from, bytes: None, reason: MissingReason::BeganEarlier };
    file.sessions.missing(flow, MS, earlier(Side::Client));
    file.asks(flow, MS, 1);
    file.sessions.missing(flow, 2 * MS, earlier(Side::Server));
    file.answers(flow, 2 * MS, DEMANDS_NLA);
    file.sessions.closed(flow, 3 * MS, Some(TcpEvidence::default()));
    let (told, _) = file.finish();
    let record = &told[0].record;
    assert_eq!(record.verdict.as_ref().unwrap().id, VerdictId::NlaRequired);
    let is_missing = |event: &crate::trace::Event| {
        matches!(event.detail, Detail::Capture(crate::trace::CaptureMessage::BytesMissing { .. }))
    };
    assert!(!record.events.iter().any(is_missing));
}

#[test]
fn a_reset_that_another_machine_sent_is_told() {
    let mut file = File::new();
    let flow = file.tcp(0);
    file.asks(flow, MS, 3);
    file.sessions.ended(flow, 2 * MS, Side::Server, How::Reset);
    let change = TimeToLiveChange { t_us: 2_000, from: Side::Server, first: 128, here: 61, is_reset: true };
    let evidence = TcpEvidence { time_to_live_changes: vec![change], ..accepted() };
    file.sessions.closed(flow, 2 * MS, Some(evidence));
    let (told, _) = file.finish();
    let record = &told[0].record;
    assert!(record.findings.iter().any(|finding| finding.id == "reset-by-another-machine"));
    let verdict = record.verdict.as_ref().unwrap();
    assert!(verdict.evidence.iter().any(|evidence| evidence.text.contains("TTL 61")), "{verdict:?}");
}

#[test]
fn datagrams_belong_to_the_session_of_the_same_ends() {
    let mut file = File::new();
    let flow = file.tcp(0);
    file.asks(flow, MS, 1);
    let udp = file.open(2 * MS, FlowTransport::Udp, SERVER);
    let alone = file.open(2 * MS, FlowTransport::Udp, SocketAddr::from(([10, 0, 0, 6], RDP_PORT)));
    for (id, at) in [(udp, 2), (udp, 900), (udp, 1700), (alone, 3), (alone, 1000)] {
        file.sessions.datagram(id, at * MS, Side::Client, &syn(), 1232);
    }
    file.sessions.closed(udp, 1700 * MS, None);
    file.sessions.closed(alone, 5 * SECOND, None);
    file.sessions.ended(flow, 5 * SECOND, Side::Client, How::Fin);
    file.sessions.closed(flow, 5 * SECOND, Some(accepted()));
    let (told, _) = file.finish();
    let summaries: Vec<_> = told.iter().map(|it| it.record.summary.clone().unwrap()).collect();
    let syns = |place: usize| summaries[place].udp.as_ref().map(|udp| udp.syn_count);
    assert_eq!((summaries.len(), syns(0), syns(1)), (2, Some(2), Some(3)));
    assert_eq!(summaries[0].transport, Some(crate::trace::Transport::Udp));
    assert_eq!(told[0].record.verdict.as_ref().unwrap().id, VerdictId::UdpBlocked);
    assert_eq!(summaries[1].transport, Some(crate::trace::Transport::Tcp));
}

fn syn() -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xFF, 0xFF, 0xFF, 0, 64, 0x10, 0x01, 0, 0, 0, 9, 4, 208, 4, 208, 0, 1, 0, 2];
    bytes.resize(1232, 0);
    bytes
}

#[test]
fn other_traffic_is_given_up_at_its_first_bytes() {
    let mut file = File::new();
    let web = file.open(0, FlowTransport::Tcp, SocketAddr::from(([10, 0, 0, 5], 80)));
    assert!(!file.sessions.is_opaque(web, Side::Client));
    file.sessions.data(web, MS, Side::Client, b"GET / HTTP/1.1\r\n\r\n");
    assert!(file.sessions.is_opaque(web, Side::Client) && file.sessions.is_opaque(web, Side::Server));
    let ssh = file.open(0, FlowTransport::Tcp, SocketAddr::from(([10, 0, 0, 5], 22)));
    file.sessions.data(ssh, MS, Side::Server, b"SSH-2.0-x\r\n");
    assert!(file.sessions.is_opaque(ssh, Side::Client));
    let (told, totals) = file.finish();
    assert!(told.is_empty());
    assert_eq!(totals.other.words(), "2 TCP connections, to tcp/22, tcp/80");
}

#[test]
fn an_attempt_is_handed_on_before_the_file_ends() {
    let mut file = File::new();
    let flow = file.tcp(0);
    file.asks(flow, MS, 1);
    file.answers(flow, 2 * MS, DEMANDS_NLA);
    file.sessions.ended(flow, 3 * MS, Side::Client, How::Reset);
    file.sessions.closed(flow, 3 * MS, Some(accepted()));
    assert_eq!(file.told.borrow().len(), 1);
    assert!(file.sessions.flows.is_empty());
}

#[derive(Debug, Clone)]
enum Call {
    Open(bool, u16),
    Data(u8, bool, Vec<u8>),
    Missing(u8, bool),
    Ended(u8, bool, bool),
    Closed(u8),
    Unseen(u8, bool),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let beginnings = prop_oneof![
        Just(x224::encode_request(None, 11)),
        Just(hex::decode(CHOOSES_TLS).unwrap()),
        Just(hex::decode(CLIENT_HELLO).unwrap()),
        Just(b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\nRDG-Connection-Id: {1}\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec()),
        Just(syn()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let port = prop_oneof![Just(RDP_PORT), Just(443), Just(3391)];
    let call = prop_oneof![
        2 => (any::<bool>(), port).prop_map(|(tcp, port)| Call::Open(tcp, port)),
        8 => (any::<u8>(), any::<bool>(), beginnings).prop_map(|(id, side, bytes)| Call::Data(id, side, bytes)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(id, side)| Call::Missing(id, side)),
        1 => (any::<u8>(), any::<bool>(), any::<bool>()).prop_map(|(id, side, fin)| Call::Ended(id, side, fin)),
        1 => any::<u8>().prop_map(Call::Closed),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(id, side)| Call::Unseen(id, side)),
    ];
    prop::collection::vec(call, 0..60)
}

proptest! {
    #[test]
    fn no_flow_brings_the_analysis_down(calls in calls()) {
        let mut file = File::new();
        let side = |client| if client { Side::Client } else { Side::Server };
        for (place, call) in calls.into_iter().enumerate() {
            let at = place as u64 * 700 * MS;
            let flow = |id: u8| FlowId(u64::from(id) % file.flows.max(1));
            match call {
                Call::Open(tcp, port) => {
                    let transport = if tcp { FlowTransport::Tcp } else { FlowTransport::Udp };
                    file.open(at, transport, SocketAddr::from(([10, 0, 0, 5], port)));
                }
                Call::Data(id, from, bytes) => {
                    let id = flow(id);
                    match file.sessions.flows.get(&id).map(|flow| flow.key.transport) {
                        Some(FlowTransport::Udp) => {
                            file.sessions.datagram(id, at, side(from), &bytes, bytes.len());
                        }
                        _ => file.sessions.data(id, at, side(from), &bytes),
                    }
                }
                Call::Missing(id, from) => {
                    let reason = MissingReason::NotCaptured;
                    let missing = Missing { from: side(from), bytes: Some(1), reason };
                    let id = flow(id);
                    file.sessions.missing(id, at, missing);
                }
                Call::Ended(id, from, fin) => {
                    let how = if fin { How::Fin } else { How::Reset };
                    let id = flow(id);
                    file.sessions.ended(id, at, side(from), how);
                }
                Call::Closed(id) => {
                    let id = flow(id);
                    file.sessions.closed(id, at, Some(accepted()));
                }
                Call::Unseen(id, from) => {
                    let id = flow(id);
                    file.sessions.unseen(id, at, side(from), 100);
                }
            }
        }
        let (told, _) = file.finish();
        for analysed in told {
            prop_assert!(analysed.record.verdict.is_some() && analysed.record.end.is_some());
        }
    }

    #[test]
    fn no_file_brings_the_analysis_down(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut pcap = hex::decode("d4c3b2a1020004000000000000000000ffff000001000000").unwrap();
        pcap.extend(&bytes);
        for bytes in [&bytes, &pcap] {
            let mut file = File::new();
            let _ = file::read_bytes(Path::new("x"), bytes, &mut file.sessions);
            file.finish();
        }
    }
}

/// A message of RDP is told wherever it stands.
#[test]
fn events_of_a_session_in_clear_are_those_of_the_observers() {
    let mut file = File::new();
    let flow = file.open(0, FlowTransport::Tcp, SocketAddr::from(([10, 0, 0, 5], 4_000)));
    file.asks(flow, MS, 0);
    file.answers(flow, 2 * MS, "030000130ed000001234000200080000000000");
    let ultimatum = hex::decode("0300000902f0802180").unwrap();
    file.sessions.data(flow, 3 * MS, Side::Server, &ultimatum);
    file.sessions.ended(flow, 4 * MS, Side::Client, How::Reset);
    file.sessions.closed(flow, 4 * MS, Some(accepted()));
    let (told, _) = file.finish();
    let record = &told[0].record;
    let said = |event: &crate::trace::Event| match &event.detail {
        Detail::Rdp(message) => matches!(**message, RdpMessage::DisconnectProviderUltimatum { .. }),
        _ => false,
    };
    assert!(record.events.iter().any(said));
    let summary = record.summary.as_ref().unwrap();
    assert_eq!((summary.closed_by, summary.how), (Some(Side::Server.into()), Some(How::McsUltimatum)));
    assert_eq!(summary.rtt_us, Some(500));
}
