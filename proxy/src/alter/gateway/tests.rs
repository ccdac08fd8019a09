pub(super) mod traffic;

use super::*;
use crate::trace::{Altered, Leg, Transport};
use proptest::prelude::*;
use std::collections::VecDeque;
use traffic::{
    CANARY, Carried, TOKEN, channel_response, chunk, frame, handshake_response, out_answer, packet, request,
    tunnel_create, tunnel_response,
};

const UDP: GatewayAlterations = GatewayAlterations { udp_off: true, transport: TransportChoice::Auto };

fn only(transport: TransportChoice) -> GatewayAlterations {
    GatewayAlterations { udp_off: false, transport }
}

type Sent = (Side, Vec<u8>);

/// What went through a gate.
#[derive(Debug, Default, PartialEq)]
struct Run {
    output: [Vec<u8>; 2],
    notes: Vec<Note>,
    refusal: Option<Refusal>,
    open: [bool; 2],
}

impl Run {
    fn feed(&mut self, gate: &mut GatewayGate, from: Side, bytes: &[u8]) {
        let mut out = Vec::new();
        gate.pass(7, from, bytes, &mut out, &mut self.notes);
        self.output[from.index()].extend(out.concat());
        self.refusal = self.refusal.take().or(gate.take_refusal());
    }

    fn finish(&mut self, gate: &mut GatewayGate) {
        for side in [Side::Client, Side::Server] {
            self.open[side.index()] = gate.is_open(side);
            let mut out = Vec::new();
            gate.flush(side, &mut out);
            self.output[side.index()].extend(out.concat());
        }
    }

    fn of(alterations: GatewayAlterations, sent: &[Sent], chunk: usize) -> Run {
        let (mut gate, mut run) = (GatewayGate::new(alterations, 3), Run::default());
        for (side, bytes) in sent {
            bytes.chunks(chunk).for_each(|chunk| run.feed(&mut gate, *side, chunk));
        }
        run.finish(&mut gate);
        run
    }

    /// The same however the bytes come.
    fn always(alterations: GatewayAlterations, sent: &[Sent]) -> Run {
        let whole = Run::of(alterations, sent, usize::MAX);
        for chunk in [1, 2, 7, 64] {
            assert_eq!(Run::of(alterations, sent, chunk), whole, "in pieces of {chunk}");
        }
        whole
    }

    fn altered(&self) -> Vec<&Altered> {
        let mut altered = Vec::new();
        for note in &self.notes {
            altered.extend(if let Note::Altered(change) = note { Some(change) } else { None });
        }
        altered
    }

    /// Every change as `message field before after`.
    fn changes(&self) -> Vec<String> {
        let told = |change: &&Altered| {
            format!("{} {} {} {}", change.message, change.field, change.before, change.after)
        };
        self.altered().iter().map(told).collect()
    }

    fn reasons(&self) -> Vec<(&'static str, &str)> {
        let mut reasons = Vec::new();
        for note in &self.notes {
            if let Note::NotAltered(not) = note {
                reasons.push((not.setting, not.reason.as_str()));
            }
        }
        reasons
    }
}

fn sent(sent: &[Sent], from: Side) -> Vec<u8> {
    sent.iter().filter(|(side, _)| *side == from).flat_map(|(_, bytes)| bytes.clone()).collect()
}

/// Asks for WebSocket, is asked to log on, and is let in.
fn upgrade() -> Vec<Sent> {
    let unauthorized =
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 5\r\n\r\nnever".to_vec();
    let switching =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec();
    vec![
        (Side::Client, request("RDG_OUT_DATA", true, "Content-Length: 0\r\n")),
        (Side::Server, unauthorized),
        (Side::Client, request("RDG_OUT_DATA", true, "Authorization: NTLM TlRMTVNTUAAD\r\n")),
        (Side::Server, switching),
    ]
}

fn websocket(with_udp: bool) -> Vec<Sent> {
    let (client, server) = (
        |packet: &[u8]| (Side::Client, frame(packet, true)),
        |packet: &[u8]| (Side::Server, frame(packet, false)),
    );
    let mut session = upgrade();
    let caps = if with_udp { 0x3F } else { 0x1F };
    session.extend([
        client(&packet(1, &[1, 0, 0, 0, 0, 0])),
        server(&handshake_response()),
        client(&tunnel_create(caps)),
        server(&tunnel_response(caps)),
        client(&packet(6, &[0, 0, 2, 0, b'a', 0])),
        server(&packet(7, &[0; 16])),
        client(&packet(8, &[1, 0, 0x3D, 0x0D, 3, 0, 2, 0, b'a', 0])),
        server(&channel_response(with_udp.then_some(Carried::Both), &[])),
    ]);
    session
}

fn data() -> Vec<Sent> {
    let rdp = packet(0xA, &[3, 0, 1, 2, 3]);
    vec![(Side::Client, frame(&rdp, true)), (Side::Server, frame(&rdp, false))]
}

/// Two connections: that of RDG_OUT_DATA, and that of RDG_IN_DATA.
fn two_connections(out: &[u8], in_body: &[Vec<u8>]) -> [Vec<Sent>; 2] {
    let opened = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    [
        vec![
            (Side::Client, request("RDG_OUT_DATA", false, "Content-Length: 0\r\n")),
            (Side::Server, out.to_vec()),
        ],
        vec![
            (Side::Client, request("RDG_IN_DATA", false, "Transfer-Encoding: chunked\r\n")),
            (Side::Client, in_body.iter().flat_map(|packet| chunk(packet, "")).collect()),
            (Side::Server, opened),
        ],
    ]
}

fn gateway_packets(carried: Carried) -> Vec<Vec<u8>> {
    vec![
        handshake_response(),
        tunnel_response(0x3F),
        packet(7, &[0; 16]),
        channel_response(Some(carried), &[]),
    ]
}

#[test]
fn with_nothing_to_change_the_gate_is_open_at_once() {
    let gate = GatewayGate::new(GatewayAlterations::default(), 1);
    assert!(gate.is_open(Side::Client) && gate.is_open(Side::Server));
    let run = Run::always(GatewayAlterations::default(), &websocket(true));
    assert_eq!(run.output[1], sent(&websocket(true), Side::Server));
    assert_eq!(run.notes, []);
}

#[test]
fn udp_is_taken_out_of_websocket_frames_on_both_legs() {
    let session = [websocket(true), data()].concat();
    let run = Run::always(UDP, &session);
    assert_eq!(
        run.changes(),
        [
            "TUNNEL_CREATE capsFlags 3f000000 1f000000",
            "TUNNEL_RESPONSE capsFlags 3f000000 1f000000",
            "CHANNEL_RESPONSE packetLength 31000000 14000000",
            "CHANNEL_RESPONSE fieldsPresent 0700 0100",
            "CHANNEL_RESPONSE udpPort 3f0d ",
            "CHANNEL_RESPONSE authnCookie.cbLen 1900 ",
            "CHANNEL_RESPONSE Payload length 8231 8214",
        ]
    );
    let expected = [websocket(false), data()].concat();
    assert_eq!(run.output[0], sent(&expected, Side::Client));
    assert_eq!(run.output[1], sent(&expected, Side::Server));
    assert_eq!(run.open, [true, true]);
    let first = run.altered()[0];
    assert_eq!((first.leg, first.connection, first.phase), (Leg::Server, Some(3), Phase::GatewayTunnel));
    assert_eq!((first.structure.as_str(), first.offset), ("HTTP_TUNNEL_PACKET", 8));
    assert!(run.altered().iter().all(|change| change.why == GATEWAY_UDP_OFF));
    let records = serde_json::to_string(&run.altered()).unwrap();
    assert!(!records.contains(&hex::encode(CANARY)) && !records.contains("NTLM"), "{records}");
}

#[test]
fn a_session_without_udp_is_not_changed() {
    let session = [websocket(false), data()].concat();
    let run = Run::always(UDP, &session);
    assert_eq!(run.notes, []);
    for side in [Side::Client, Side::Server] {
        assert_eq!(run.output[side.index()], sent(&session, side));
    }
}

#[test]
fn the_gate_opens_with_the_channel_and_holds_no_packet_that_stays_as_it_is() {
    let (mut gate, mut run) = (GatewayGate::new(UDP, 1), Run::default());
    let session = websocket(true);
    for (side, bytes) in &session[..7] {
        run.feed(&mut gate, *side, bytes);
    }
    assert!(gate.is_open(Side::Client) && !gate.is_open(Side::Server), "the client's part is over");
    let before = run.output[1].len();
    let authorized = frame(&packet(7, &[0; 16]), false);
    run.feed(&mut gate, Side::Server, &session[7].1);
    run.feed(&mut gate, Side::Server, &authorized[..12]);
    assert_eq!(run.output[1].len() - before, session[7].1.len() + 12, "half of another packet goes on");
    run.feed(&mut gate, Side::Server, &authorized[12..]);
    let response = frame(&channel_response(Some(Carried::Both), &[]), false);
    let before = run.output[1].len();
    run.feed(&mut gate, Side::Server, &response[..response.len() - 1]);
    assert_eq!(run.output[1].len(), before, "what becomes shorter waits until it is whole");
    run.feed(&mut gate, Side::Server, &response[response.len() - 1..]);
    assert!(gate.is_open(Side::Server));
}

#[test]
fn over_two_connections_each_gate_changes_its_side() {
    let packets = gateway_packets(Carried::Both).concat();
    let changed = [
        handshake_response(),
        tunnel_response(0x1F),
        packet(7, &[0; 16]),
        channel_response(None, &[]),
        b"\x0a\0\0\0 whatever follows".to_vec(),
    ]
    .concat();
    let preamble = b"\x02\0\0\0random\x02\0\0\0\x12".to_vec();
    let head = out_answer("");
    let out = [&head[..], &preamble, &packets, b"\x0a\0\0\0 whatever follows"].concat();
    let [out, incoming] =
        two_connections(&out, &[packet(1, &[1, 0, 0, 0, 0, 0]), tunnel_create(0x3F), packet(0xA, &[9; 40])]);
    let run = Run::always(UDP, &out);
    assert_eq!(run.output[1], [head, preamble, changed].concat());
    assert_eq!(run.changes().len(), 5, "nothing around it says how long it is: {:?}", run.changes());
    assert_eq!(run.output[0], sent(&out, Side::Client));
    let run = Run::always(UDP, &incoming);
    assert_eq!(run.changes(), ["TUNNEL_CREATE capsFlags 3f000000 1f000000"]);
    let mut expected = sent(&incoming, Side::Client);
    let at = expected.windows(4).position(|window| window == [0x3F, 0, 0, 0]).unwrap();
    expected[at] = 0x1F;
    assert_eq!(run.output[0], expected);
    assert_eq!(run.open, [true, true]);
}

#[test]
fn a_chunk_around_the_channel_response_is_made_to_fit() {
    let head = out_answer("Transfer-Encoding: chunked\r\n");
    let chunked = |packets: &[Vec<u8>]| {
        let chunks = packets.iter().flat_map(|packet| chunk(packet, ";box=1"));
        head.iter()
            .copied()
            .chain(chunk(&[1; 10], ""))
            .chain(chunks)
            .chain(*b"0\r\n\r\n")
            .collect::<Vec<u8>>()
    };
    let out = chunked(&gateway_packets(Carried::Both));
    let run = Run::always(UDP, &two_connections(&out, &[])[0]);
    let changed =
        [handshake_response(), tunnel_response(0x1F), packet(7, &[0; 16]), channel_response(None, &[])];
    assert_eq!(String::from_utf8_lossy(&run.output[1]), String::from_utf8_lossy(&chunked(&changed)));
    let [.., size] = run.altered()[..] else { panic!("{:?}", run.notes) };
    assert_eq!((size.field.as_str(), size.after.as_str()), ("chunk-size", &*hex::encode("14")));
}

#[test]
fn where_its_length_has_to_stay_the_fields_become_zeros() {
    let packets = gateway_packets(Carried::Both).concat();
    let in_place = {
        let mut response = channel_response(Some(Carried::Both), &[]);
        response[12] = 1;
        response[20..].fill(0);
        [handshake_response(), tunnel_response(0x1F), packet(7, &[0; 16]), response].concat()
    };
    let length = format!("Content-Length: {}\r\n", packets.len());
    let fixed = |packets: &[u8]| [&out_answer(&length)[..], packets].concat();
    let bytewise = |packets: &[u8]| {
        let chunks = packets.iter().flat_map(|byte| chunk(&[*byte], ""));
        [out_answer("Transfer-Encoding: chunked\r\n"), chunks.collect()].concat()
    };
    for (out, expected) in [(fixed(&packets), fixed(&in_place)), (bytewise(&packets), bytewise(&in_place))] {
        let run = Run::always(UDP, &two_connections(&out, &[])[0]);
        assert_eq!(run.output[1], expected);
        let response = ["fieldsPresent 0700 0100", "udpPort 3f0d 0000", "authnCookie.cbLen 1900 0000"];
        assert_eq!(run.changes()[1..], response.map(|change| format!("CHANNEL_RESPONSE {change}")));
    }
}

#[test]
fn what_a_channel_response_carries_is_all_that_is_taken_out() {
    for (carried, count) in [(Carried::Port, 4), (Carried::Cookie, 4), (Carried::Both, 5)] {
        let session =
            [upgrade(), vec![(Side::Server, frame(&channel_response(Some(carried), b"more"), false))]]
                .concat();
        let run = Run::always(UDP, &session);
        let expected =
            [upgrade(), vec![(Side::Server, frame(&channel_response(None, b"more"), false))]].concat();
        assert_eq!(run.output[1], sent(&expected, Side::Server));
        assert_eq!(run.changes().len(), count, "with the frame's length: {:?}", run.changes());
    }
}

#[test]
fn packets_that_share_a_frame_or_are_cut_into_several_are_found() {
    let response = channel_response(Some(Carried::Both), &[]);
    let together = frame(&[response.clone(), packet(0xA, &[7; 300])].concat(), false);
    let shorter = frame(&[channel_response(None, &[]), packet(0xA, &[7; 300])].concat(), false);
    let run = Run::always(UDP, &[upgrade(), vec![(Side::Server, together)]].concat());
    assert!(run.output[1].ends_with(&shorter));
    assert_eq!(run.changes().last().unwrap(), "CHANNEL_RESPONSE Payload length 827e0165 827e0148");

    let second = frame(&[packet(7, &[0; 16]), response.clone()].concat(), false);
    let run = Run::always(UDP, &[upgrade(), vec![(Side::Server, second.clone())]].concat());
    assert_eq!(
        run.output[1].len(),
        sent(&upgrade(), Side::Server).len() + second.len(),
        "it ends a frame only"
    );
    assert_eq!(run.changes().len(), 3);

    let create = tunnel_create(0x3F);
    for cut in 1..create.len() {
        let ping = [0x89, 0x81, 1, 2, 3, 4, 5];
        let pieces = [frame(&create[..cut], true), ping.to_vec(), frame(&create[cut..], true)].concat();
        let run = Run::always(UDP, &[upgrade(), vec![(Side::Client, pieces)]].concat());
        let create = tunnel_create(0x1F);
        let pieces = [frame(&create[..cut], true), ping.to_vec(), frame(&create[cut..], true)].concat();
        assert!(run.output[0].ends_with(&pieces), "cut at {cut}");
    }
}

#[test]
fn a_gateway_that_knows_no_websocket_answers_with_an_out_channel() {
    let session = [
        (Side::Client, request("RDG_OUT_DATA", true, "")),
        (Side::Server, [out_answer(""), gateway_packets(Carried::Port).concat()].concat()),
    ];
    let run = Run::always(UDP, &session);
    assert_eq!(run.changes().len(), 4);
    assert_eq!(run.open, [true, true]);
}

#[test]
fn over_rpc_there_is_nothing_to_clear_and_that_is_said_once() {
    let session = [
        (Side::Client, request("RPC_IN_DATA", false, "Content-Length: 0\r\n")),
        (Side::Server, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec()),
        (Side::Client, request("RPC_IN_DATA", false, "Content-Length: 1073741824\r\n")),
        (Side::Client, vec![5; 300]),
    ];
    let run = Run::always(UDP, &session);
    assert_eq!(run.output[0], sent(&session, Side::Client));
    let [(GATEWAY_UDP_OFF, reason)] = run.reasons()[..] else { panic!("{:?}", run.notes) };
    assert!(reason.starts_with("RPC over HTTP has neither"), "{reason}");
    assert_eq!(run.open, [true, true]);
}

#[test]
fn what_asks_for_websocket_is_taken_out_and_nothing_else() {
    let asked = "Sec-WebSocket-Protocol: bearer.header-canary-7654321\r\nAuthorization: NTLM header-canary-7654321\r\n";
    let session = [
        (Side::Client, request("RDG_OUT_DATA", true, "")),
        (Side::Server, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec()),
        (Side::Client, request("RDG_OUT_DATA", true, asked)),
        (Side::Server, out_answer("")),
        (Side::Server, gateway_packets(Carried::Both).concat()),
    ];
    let run = Run::always(only(TransportChoice::Http), &session);
    let second = request("RDG_OUT_DATA", false, "Authorization: NTLM header-canary-7654321\r\n");
    assert_eq!(run.output[0], [request("RDG_OUT_DATA", false, ""), second].concat());
    assert_eq!(run.output[1], sent(&session, Side::Server));
    let round = [
        format!("connection {} {}", hex::encode("Upgrade"), hex::encode("Keep-Alive")),
        format!("Upgrade {} ", hex::encode("websocket")),
        "Sec-WebSocket-Version  ".to_owned(),
        "Sec-WebSocket-Key  ".to_owned(),
    ];
    let rounds = [&round[..], &round[..], &["Sec-WebSocket-Protocol  ".to_owned()]].concat();
    let rounds: Vec<_> = rounds.iter().map(|change| format!("RDG_OUT_DATA request {change}")).collect();
    assert_eq!(run.changes(), rounds);
    assert!(run.altered().iter().all(|change| change.why == "--gateway-transport http"));
    assert_eq!((run.altered()[0].offset, run.altered()[0].phase), (84, Phase::GatewayHttp));
    let records = serde_json::to_string(&run.altered()).unwrap();
    assert!(!records.contains(&hex::encode(TOKEN)), "{records}");
    assert_eq!((run.refusal, run.open), (None, [true, true]));

    let both = GatewayAlterations { udp_off: true, transport: TransportChoice::Http };
    let run = Run::always(both, &session);
    assert_eq!(run.changes().len(), rounds.len() + 5, "UDP goes from the OUT channel that came of it");
}

#[test]
fn other_transports_are_refused_as_by_a_gateway_without_them() {
    use Transport::{GatewayHttp, GatewayRpc, GatewayWebsocket};
    use TransportChoice::{Http, Rpc, Websocket};
    let methods = [
        ("RDG_OUT_DATA", true, GatewayWebsocket),
        ("RDG_OUT_DATA", false, GatewayHttp),
        ("RDG_IN_DATA", false, GatewayHttp),
        ("RPC_IN_DATA", false, GatewayRpc),
        ("RPC_OUT_DATA", false, GatewayRpc),
    ];
    for (choice, allowed) in [(Websocket, GatewayWebsocket), (Http, GatewayHttp), (Rpc, GatewayRpc)] {
        for (method, upgrade, transport) in methods {
            let asked = [request(method, upgrade, "Content-Length: 0\r\n"), b"early".to_vec()].concat();
            for udp_off in [false, true] {
                let alterations = GatewayAlterations { udp_off, transport: choice };
                let run = Run::always(alterations, &[(Side::Client, asked.clone())]);
                let is_allowed = transport == allowed || choice == Http && transport == GatewayWebsocket;
                assert_eq!(run.refusal.is_none(), is_allowed, "{method} {choice}");
                if let Some(refusal) = run.refusal {
                    assert_eq!(run.output[0], b"", "nothing of it goes on");
                    assert_eq!((refusal.transport, refusal.status), (transport, 404));
                    assert!(refusal.response.starts_with(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"));
                }
            }
        }
    }
}

#[test]
fn every_request_of_a_connection_is_judged() {
    let session = [
        (Side::Client, request("POST", false, "Content-Length: 3\r\n")),
        (Side::Client, b"abc".to_vec()),
        (
            Side::Server,
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        ),
        (Side::Client, request("RDG_OUT_DATA", true, "")),
    ];
    for udp_off in [false, true] {
        let alterations = GatewayAlterations { udp_off, transport: TransportChoice::Rpc };
        let run = Run::always(alterations, &session);
        assert_eq!(run.output[0], sent(&session[..2], Side::Client));
        assert_eq!(run.output[1], sent(&session, Side::Server));
        assert_eq!(run.refusal.map(|refusal| refusal.transport), Some(Transport::GatewayWebsocket));
        assert_eq!(run.notes, []);
    }
}

#[test]
fn an_allowed_upgrade_opens_the_gate() {
    let run = Run::always(only(TransportChoice::Websocket), &[websocket(true), data()].concat());
    assert_eq!((run.open, run.notes, run.refusal), ([true, true], vec![], None));
    assert_eq!(run.output[1], sent(&[websocket(true), data()].concat(), Side::Server));
}

#[test]
fn other_options_of_a_connection_stay() {
    let asked = b"RDG_OUT_DATA / HTTP/1.1\r\nConnection: keep-alive , Upgrade\r\nUPGRADE:websocket\r\nUpgrade: h2c\r\n\r\n";
    let run = Run::always(only(TransportChoice::Http), &[(Side::Client, asked.to_vec())]);
    let expected = b"RDG_OUT_DATA / HTTP/1.1\r\nConnection: keep-alive\r\nUpgrade: h2c\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&run.output[0]), String::from_utf8_lossy(expected));
}

#[test]
fn what_cannot_be_read_goes_on_as_it_came_and_is_said() {
    let served = |bytes: Vec<u8>| [upgrade(), vec![(Side::Server, bytes)]].concat();
    let asked = |bytes: Vec<u8>| [upgrade(), vec![(Side::Client, bytes)]].concat();
    let out = |bytes: &[u8]| two_connections(&[&out_answer(""), bytes].concat(), &[])[0].clone();
    let huge = [9, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    let cases: Vec<(&str, Vec<Sent>)> = vec![
        ("no HTTP", vec![(Side::Client, b"\x03\0\0\x13\x0e\xe0".to_vec())]),
        (
            "a head of 1 MiB",
            vec![(Side::Client, [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; 1 << 20]].concat())],
        ),
        (
            "no answer of HTTP",
            vec![
                (Side::Client, request("RDG_OUT_DATA", false, "")),
                (Side::Server, b"SSH-2.0-x\r\n".to_vec()),
            ],
        ),
        ("a length of zero", served(frame(&[5, 0, 0, 0, 0, 0, 0, 0], false))),
        ("a length of 4 GiB", served(frame(&huge, false))),
        ("a channel response of 128 KiB", served(frame(&[9, 0, 0, 0, 0, 0, 2, 0], false))),
        ("no packet at all", asked(frame(b"GET / HTTP/1.1", true))),
        ("an extension of WebSocket", served(vec![0xC2, 1, 1])),
        ("a tunnel request without capsFlags", asked(frame(&packet(4, &[0; 3]), true))),
        ("a tunnel response without statusCode", served(frame(&packet(5, &[0; 3]), false))),
        (
            "a tunnel response without capsFlags",
            served(frame(&packet(5, &[0, 0, 0, 0, 0, 0, 2, 0, 0, 0]), false)),
        ),
        ("a channel response without its port", served(frame(&packet(9, &[0, 0, 0, 0, 4, 0, 0, 0]), false))),
        ("a cookie past the end", served(frame(&packet(9, &[0, 0, 0, 0, 2, 0, 0, 0, 9, 0, 1]), false))),
        ("data before the channel", asked(frame(&packet(0xA, &[0, 0]), true))),
        ("nothing but a preamble", out(&[1; 70_000])),
        (
            "a chunk without a size",
            two_connections(&[&out_answer("Transfer-Encoding: chunked\r\n"), &b"xyz\r\n"[..]].concat(), &[])
                [0]
            .clone(),
        ),
    ];
    for (name, session) in cases {
        let run = Run::of(UDP, &session, usize::MAX);
        for side in [Side::Client, Side::Server] {
            assert_eq!(run.output[side.index()], sent(&session, side), "{name}");
        }
        assert_eq!(run, Run::of(UDP, &session, 13), "{name}");
        let [(GATEWAY_UDP_OFF, reason)] = run.reasons()[..] else { panic!("{name}: {:?}", run.notes) };
        assert!(reason.starts_with("what the "), "{name}: {reason}");
    }
}

#[test]
fn without_http_no_transport_can_be_refused() {
    let run = Run::always(only(TransportChoice::Rpc), &[(Side::Client, b"\x16\x03\x01".to_vec())]);
    let [("--gateway-transport rpc", reason)] = run.reasons()[..] else { panic!("{:?}", run.notes) };
    assert!(reason.contains("cannot be read as HTTP"), "{reason}");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let run = Run::always(UDP, &[(Side::Client, preface.clone())]);
    assert_eq!((run.output[0].clone(), run.notes), (preface, vec![]), "it carries no tunnel");
}

#[test]
fn a_packet_in_more_pieces_than_are_waited_for_stays_as_it_is() {
    let response = channel_response(Some(Carried::Both), &[0; 40_000]);
    let body: Vec<u8> = response.iter().flat_map(|byte| chunk(&[*byte], "")).collect();
    let head = [out_answer("Transfer-Encoding: chunked\r\n"), chunk(&handshake_response(), "")].concat();
    let session = two_connections(&[head, body].concat(), &[])[0].clone();
    for chunk in [usize::MAX, 100_001, 999] {
        let run = Run::of(UDP, &session, chunk);
        assert_eq!(run.output[1], sent(&session, Side::Server));
        let [(GATEWAY_UDP_OFF, reason)] = run.reasons()[..] else { panic!("{:?}", run.notes) };
        assert!(reason.contains("too many pieces"), "{reason}");
    }
}

#[test]
fn what_is_held_at_the_end_goes_on() {
    let half = [
        upgrade(),
        vec![(Side::Server, frame(&channel_response(Some(Carried::Both), &[]), false)[..20].to_vec())],
    ];
    let run = Run::always(UDP, &half.concat());
    assert_eq!(run.output[1], sent(&half.concat(), Side::Server));
    let run = Run::always(only(TransportChoice::Http), &[(Side::Client, b"RDG_OUT_D".to_vec())]);
    assert_eq!(run.output[0], b"RDG_OUT_D");
}

/// Steps of real messages, arbitrary bytes and halves.
fn sessions() -> impl Strategy<Value = Vec<Sent>> {
    let masked = |side| side == Side::Client;
    let packets = prop_oneof![
        any::<u8>().prop_map(|caps| tunnel_create(caps.into())),
        any::<u8>().prop_map(|caps| tunnel_response(caps.into())),
        prop_oneof![Just(None), Just(Some(Carried::Port)), Just(Some(Carried::Both))]
            .prop_map(|carried| channel_response(carried, &[])),
        (1..12_u16, proptest::collection::vec(any::<u8>(), 0..30))
            .prop_map(|(kind, body)| packet(kind, &body)),
        Just(handshake_response()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    let side = || prop_oneof![Just(Side::Client), Just(Side::Server)];
    let message = (side(), proptest::collection::vec(packets, 1..4), 0..30_usize, 0..3_u8).prop_map(
        move |(side, packets, cut, form)| {
            let bytes = packets.concat();
            let mut message = match form {
                0 => bytes,
                1 => chunk(&bytes, ""),
                _ => frame(&bytes, masked(side)),
            };
            message.truncate(message.len().saturating_sub(cut.saturating_sub(25)));
            (side, message)
        },
    );
    let out = |framing: &'static str| {
        vec![(Side::Client, request("RDG_OUT_DATA", false, "")), (Side::Server, out_answer(framing))]
    };
    let beginning = prop_oneof![
        Just(upgrade()),
        Just(out("")),
        Just(out("Transfer-Encoding: chunked\r\n")),
        Just(out("Content-Length: 70\r\n")),
        Just(two_connections(b"", &[])[1].clone()),
        Just(vec![(Side::Client, request("RPC_OUT_DATA", false, "Content-Length: 76\r\n"))]),
        Just(vec![]),
    ];
    (beginning, proptest::collection::vec(message, 0..8)).prop_map(|(first, more)| [first, more].concat())
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same(
        session in sessions(),
        udp_off: bool,
        choice in proptest::sample::select(&TransportChoice::ALL),
        cuts in proptest::collection::vec(1..50_usize, 1..20),
    ) {
        let alterations = GatewayAlterations { udp_off, transport: choice };
        let whole = Run::of(alterations, &session, usize::MAX);
        let mut cuts: VecDeque<_> = cuts.into();
        let (mut gate, mut pieces) = (GatewayGate::new(alterations, 3), Run::default());
        for (side, bytes) in &session {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts[0].min(rest.len()));
                pieces.feed(&mut gate, *side, piece);
                cuts.rotate_left(1);
                rest = after;
            }
        }
        pieces.finish(&mut gate);
        prop_assert_eq!(&whole, &pieces);
        if whole.altered().is_empty() && whole.refusal.is_none() {
            for side in [Side::Client, Side::Server] {
                prop_assert_eq!(&whole.output[side.index()], &sent(&session, side));
            }
        }
        if alterations == GatewayAlterations::default() {
            prop_assert!(whole.notes.is_empty() && whole.refusal.is_none());
        }
    }
}

/// A client that waits for what stands before the first packet, and a gateway that waits for the end of a chunk, would
/// wait for ever.
#[test]
fn nothing_is_held_that_the_other_side_waits_for() {
    for size in [1, 3, usize::MAX] {
        let (mut gate, mut run) = (GatewayGate::new(UDP, 3), Run::default());
        let asked = request("RDG_OUT_DATA", false, "\r\n");
        let answered = [out_answer("Content-Length: 4294967296\r\n"), vec![0xAB; 10]].concat();
        for (from, bytes) in [(Side::Client, asked), (Side::Server, answered)] {
            let sent = bytes.clone();
            bytes.chunks(size.min(bytes.len())).for_each(|piece| run.feed(&mut gate, from, piece));
            assert_eq!(run.output[from.index()], sent, "in pieces of {size}");
        }
        let (mut gate, mut run) = (GatewayGate::new(UDP, 3), Run::default());
        let head = request("RDG_IN_DATA", false, "Transfer-Encoding: chunked\r\n\r\n");
        let sent = [head, chunk(&packet(1, &[1, 0, 0, 0, 0, 0]), "")].concat();
        sent.chunks(size.min(sent.len())).for_each(|piece| run.feed(&mut gate, Side::Client, piece));
        assert_eq!(run.output[Side::Client.index()], sent, "in pieces of {size}");
    }
}
