use super::RpcObserver;
use crate::observe::SessionObserver;
use crate::trace::{Detail, Event, GatewayMessage, Phase, Reframing, Side};
use crate::wire::rpch::encode::*;
use crate::wire::rpch::tsproxy::{
    AUTHORIZE_TUNNEL, CLOSE_CHANNEL, CLOSE_TUNNEL, CREATE_CHANNEL, CREATE_TUNNEL, MAKE_TUNNEL_CALL,
    SEND_TO_SERVER, SETUP_RECEIVE_PIPE,
};
use crate::wire::tsgu::Packet;

/// What xfreerdp 2.11.7 and 3.10.3 and a scripted gateway said, up to the first encrypted records of the RDP inside: a
/// connection, a side and a PDU a line. The passwords are made up.
const FREERDP_2: &str = include_str!("tests/freerdp-2.txt");
const FREERDP_3: &str = include_str!("tests/freerdp-3.txt");

/// Connections in the recordings.
const IN: u32 = 1;
const OUT: u32 = 2;

const FIRST: u8 = 1;
const LAST: u8 = 2;
const ONLY: u8 = 3;

type Sent = (u32, Side, Vec<u8>);

fn recorded(text: &str) -> Vec<Sent> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let connection = words.next().expect("a connection").parse().expect("a number");
        let side = if words.next() == Some("client") { Side::Client } else { Side::Server };
        (connection, side, hex::decode(words.next().expect("a PDU")).expect("hex"))
    };
    text.lines().map(line).collect()
}

#[derive(Debug, Default)]
struct Watched {
    observer: RpcObserver,
    inner: SessionObserver,
    events: Vec<Event>,
}

impl Watched {
    fn send(&mut self, connection: u32, from: Side, bytes: &[u8]) {
        self.observer.data(7, connection, from, bytes, &mut self.events, &mut self.inner);
    }

    /// Sends all of it in pieces of at most `most` bytes.
    fn of(sent: &[Sent], most: usize) -> Watched {
        let mut watched = Watched::default();
        for (connection, side, bytes) in sent {
            bytes.chunks(most).for_each(|piece| watched.send(*connection, *side, piece));
        }
        watched
    }

    /// A connection whose tunnel and channel are there, and whose receive pipe is call 8.
    fn with_pipe() -> Watched {
        let mut watched = Watched::default();
        watched.send(OUT, Side::Client, &conn_a1(1));
        watched.send(IN, Side::Client, &conn_b1(1));
        watched.send(IN, Side::Client, &request(ONLY, 8, SETUP_RECEIVE_PIPE, &context(), SIGNED));
        watched.events.clear();
        watched
    }

    fn up(&mut self, bytes: &[u8]) {
        self.send(IN, Side::Client, bytes);
    }

    fn down(&mut self, bytes: &[u8]) {
        self.send(OUT, Side::Server, bytes);
    }

    fn told(&self) -> Vec<String> {
        self.events.iter().map(told).collect()
    }

    fn json(&self) -> String {
        serde_json::to_string(&self.events).expect("events become JSON")
    }
}

/// `connection side phase what`, in short.
fn told(event: &Event) -> String {
    let side = event.from.map(|side| side.to_string()).unwrap_or_default();
    let connection = event.connection.map(|connection| connection.to_string()).unwrap_or_default();
    let what = match &event.detail {
        Detail::Gateway(GatewayMessage::Rts { name, .. }) => name.clone().unwrap_or("RTS".to_owned()),
        Detail::Gateway(GatewayMessage::ChannelReplaced { predecessor, .. }) => {
            format!("replaces {predecessor}")
        }
        Detail::Gateway(GatewayMessage::Rpc { pdu, call, status, .. }) => {
            let status = status.as_ref().map(|status| format!(" {:#x}", status.value)).unwrap_or_default();
            format!("{pdu} {}{status}", call.as_deref().unwrap_or("-"))
        }
        Detail::Gateway(GatewayMessage::TunnelPacket(packet)) => packet.name().to_owned(),
        Detail::Gateway(GatewayMessage::BodyReframed { how, offset }) => format!("{how:?} at {offset}"),
        Detail::Malformed { structure, reason, .. } => format!("{structure}: {reason}"),
        Detail::ObservationStopped { .. } => "stopped".to_owned(),
        Detail::ConnectionRequest(_) => "connection request".to_owned(),
        Detail::ConnectionConfirm(_) => "connection confirm".to_owned(),
        other => format!("{other:?}").chars().take_while(|letter| letter.is_alphabetic()).collect(),
    };
    format!("{connection} {side} {} {what}", event.phase)
}

#[test]
fn two_versions_of_freerdp_and_the_rdp_inside_are_told() {
    for (recording, request_length) in [(FREERDP_2, 43), (FREERDP_3, 53)] {
        let watched = Watched::of(&recorded(recording), usize::MAX);
        let expected = [
            "1 client gateway-http CONN/B1",
            "2 client gateway-http CONN/A1",
            "2 server gateway-http CONN/A3",
            "2 server gateway-http CONN/C2",
            "1 client gateway-auth bind -",
            "2 server gateway-auth bind_ack -",
            "1 client gateway-auth auth_3 -",
            "1 client gateway-tunnel request TsProxyCreateTunnel",
            "1 client gateway-tunnel tunnel_create",
            "2 server gateway-tunnel response TsProxyCreateTunnel 0x0",
            "2 server gateway-tunnel tunnel_response",
            "1 client gateway-tunnel request TsProxyAuthorizeTunnel",
            "1 client gateway-tunnel tunnel_auth",
            "2 server gateway-tunnel response TsProxyAuthorizeTunnel 0x0",
            "2 server gateway-tunnel tunnel_auth_response",
            "1 client gateway-tunnel request TsProxyMakeTunnelCall",
            "1 client gateway-channel request TsProxyCreateChannel",
            "1 client gateway-channel channel_create",
            "2 server gateway-channel response TsProxyCreateChannel 0x0",
            "2 server gateway-channel channel_response",
            "1 client gateway-channel request TsProxySetupReceivePipe",
            "1 client gateway-channel request TsProxySendToServer",
            "1 client gateway-channel data",
            " client x224 connection request",
            "2 server gateway-channel response TsProxySendToServer 0x0",
            "2 server gateway-channel response TsProxySetupReceivePipe",
            "2 server gateway-channel data",
            " server x224 connection confirm",
            " client tls ClientHello",
            " server tls ServerHello",
        ];
        assert_eq!(watched.told()[..expected.len()], expected);
        let packets = watched.events.iter().filter_map(|event| match &event.detail {
            Detail::Gateway(GatewayMessage::TunnelPacket(packet)) => Some(packet.clone()),
            _ => None,
        });
        let packets: Vec<_> = packets.collect();
        let lab_client =
            Packet::TunnelAuth { client_name: "lab-client".to_owned(), statement_of_health_length: None };
        let target = Packet::ChannelCreate {
            resources: vec!["target.example".to_owned()],
            alternatives: Vec::new(),
            port: 3389,
            protocol: 3,
        };
        assert!(packets.contains(&lab_client) && packets.contains(&target), "{packets:?}");
        assert!(packets.contains(&Packet::Data { length: request_length }), "{packets:?}");
    }
}

#[test]
fn freerdp_signs_its_calls_with_ntlm_and_leaves_them_readable() {
    for recording in [FREERDP_2, FREERDP_3] {
        let watched = Watched::of(&recorded(recording), usize::MAX);
        let levels = watched.events.iter().filter_map(|event| match &event.detail {
            Detail::Gateway(GatewayMessage::Rpc { security: Some(security), .. }) => {
                Some((security.authentication.name.clone()?, security.level.name.clone()?))
            }
            _ => None,
        });
        let signed = ("RPC_C_AUTHN_WINNT".to_owned(), "RPC_C_AUTHN_LEVEL_PKT_INTEGRITY".to_owned());
        let levels: Vec<_> = levels.collect();
        assert!(levels.len() > 10 && levels.iter().all(|level| *level == signed), "{levels:?}");
    }
}

#[test]
fn any_pieces_give_the_same_events_and_the_same_count() {
    for recording in [FREERDP_2, FREERDP_3] {
        let sent = recorded(recording);
        let whole = Watched::of(&sent, usize::MAX);
        for most in [1, 2, 3, 7, 15, 16, 17, 100] {
            let pieces = Watched::of(&sent, most);
            assert_eq!(whole.events, pieces.events, "in pieces of {most}");
            for side in [Side::Client, Side::Server] {
                assert_eq!(whole.observer.traffic(side), pieces.observer.traffic(side));
            }
        }
        // All that a side sends on a connection at once, too: the PDUs stand one behind the other.
        let mut joined = Watched::default();
        for (connection, side) in [(OUT, Side::Client), (IN, Side::Client), (OUT, Side::Server)] {
            let bytes = sent.iter().filter(|(at, from, _)| (*at, *from) == (connection, side));
            joined.send(connection, side, &bytes.flat_map(|(.., bytes)| bytes.clone()).collect::<Vec<_>>());
        }
        for side in [Side::Client, Side::Server] {
            assert_eq!(whole.observer.traffic(side), joined.observer.traffic(side));
        }
    }
}

#[test]
fn no_token_no_cookie_and_no_statement_of_health_is_kept() {
    let (token, cookie, health) = (*b"CANARYTOKENCANARYTOKEN", *b"CANARYCOOKIE", *b"CANARYHEALTH");
    let mut watched = Watched::with_pipe();
    for kind in [11, 14, 16] {
        watched.up(&pdu(kind, ONLY, 2, &[0; 12], Some((10, 5, &token))));
    }
    watched.up(&request(ONLY, 3, CREATE_TUNNEL, &create_tunnel_with_cookie(&cookie, true), SIGNED));
    watched.up(&request(ONLY, 4, AUTHORIZE_TUNNEL, &authorize_tunnel("odd", &health), SIGNED));
    let mut broken = create_tunnel_with_cookie(&cookie, false);
    broken.truncate(broken.len() - 4);
    watched.up(&request(ONLY, 5, CREATE_TUNNEL, &broken, SIGNED));
    watched.up(&[b"CANARY it is no RPC ", &token[..]].concat());
    let json = watched.json();
    let lengths = ["\"paa_cookie_length\":12", "\"statement_of_health_length\":12", "\"token_length\":22"];
    assert!(lengths.iter().all(|length| json.contains(length)), "{json}");
    for secret in [&b"CANARY"[..], &[0xa5; 4]] {
        let hidden = !json.contains(&hex::encode(secret)) && !json.contains("CANARY");
        assert!(hidden, "{json}");
    }

    for recording in [FREERDP_2, FREERDP_3] {
        let json = Watched::of(&recorded(recording), usize::MAX).json();
        // The name in the tokens stands nowhere else; those of the client and the target are told.
        assert!(!json.contains("gwuser") && !json.contains(&hex::encode(utf16("gwuser"))), "{json}");
        assert!(json.contains("lab-client") && !json.contains("4e544c4d"), "{json}");
    }
}

#[test]
fn a_call_in_fragments_is_read_when_it_is_whole() {
    let mut watched = Watched::with_pipe();
    let stub = send_to_server(&[&[3, 0, 0, 11, 6, 0xe0, 0], &[0, 0, 0, 0]]);
    let (first, rest) = stub.split_at(22);
    let (second, third) = rest.split_at(9);
    watched.up(&request(FIRST, 9, SEND_TO_SERVER, first, SIGNED));
    watched.up(&request(0, 9, SEND_TO_SERVER, second, SIGNED));
    assert_eq!(watched.told(), Vec::<String>::new());
    watched.up(&request(LAST, 9, SEND_TO_SERVER, third, SIGNED));
    assert_eq!(
        watched.told(),
        [
            "1 client gateway-channel request TsProxySendToServer",
            "1 client gateway-channel data",
            " client x224 connection request"
        ]
    );
    assert_eq!(watched.observer.traffic(Side::Client), (1, 11));
}

#[test]
fn the_pipe_runs_beside_other_answers_and_ends_with_its_return_value() {
    let mut watched = Watched::with_pipe();
    watched.up(&request(ONLY, 4, MAKE_TUNNEL_CALL, &context(), SIGNED));
    watched.down(&response(FIRST, 8, &[3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12], SIGNED));
    let message = tunnel_call_response(2, "Down at noon.");
    watched.down(&response(FIRST, 4, &message[..10], SIGNED));
    watched.down(&response(0, 8, &[0x34, 0, 2, 0, 8, 0, 1, 0, 0, 0], SIGNED));
    watched.down(&response(LAST, 4, &message[10..], SIGNED));
    watched.down(&response(LAST, 8, &longs(&[0xa0]), SIGNED));
    assert_eq!(
        watched.told(),
        [
            "1 client gateway-tunnel request TsProxyMakeTunnelCall",
            "2 server gateway-channel response TsProxySetupReceivePipe",
            "2 server gateway-channel data",
            " server x224 connection confirm",
            "2 server gateway-tunnel response TsProxyMakeTunnelCall 0x0",
            "2 server gateway-tunnel service_message",
            "2 server gateway-channel response TsProxySetupReceivePipe 0xa0",
            "2 server closed close_channel",
        ]
    );
    assert_eq!(watched.observer.traffic(Side::Server), (2, 19));
}

/// What would be two sessions in one observer is one, and the other is said not to be followed.
#[test]
fn the_rdp_of_a_second_channel_is_not_mixed_with_that_of_the_first() {
    const REQUEST: [u8; 11] = [3, 0, 0, 11, 6, 0xe0, 0, 0, 0, 0, 0];
    const CONFIRM: [u8; 19] = [3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 1, 0, 0, 0];
    let of_other = |mut stub: Vec<u8>| {
        stub[4..20].fill(9);
        stub
    };
    let mut watched = Watched::with_pipe();
    let (second_in, second_out) = (3, 4);
    watched.send(second_out, Side::Client, &conn_a1(2));
    watched.send(second_in, Side::Client, &conn_b1(2));
    watched.send(
        second_in,
        Side::Client,
        &request(ONLY, 8, SETUP_RECEIVE_PIPE, &of_other(context()), SIGNED),
    );
    watched.events.clear();
    watched.up(&request(ONLY, 9, SEND_TO_SERVER, &send_to_server(&[&REQUEST]), SIGNED));
    for call in [9, 10] {
        let other = of_other(send_to_server(&[&REQUEST]));
        watched.send(second_in, Side::Client, &request(ONLY, call, SEND_TO_SERVER, &other, SIGNED));
        watched.send(second_out, Side::Server, &response(FIRST, 8, &CONFIRM, SIGNED));
    }
    watched.down(&response(FIRST, 8, &CONFIRM, SIGNED));
    let told = watched.told();
    let count = |what: &str| told.iter().filter(|line| line.ends_with(what)).count();
    assert_eq!((count("connection request"), count("connection confirm")), (1, 1), "{told:?}");
    assert_eq!(count("stopped"), 2, "once for each side: {told:?}");
    assert!(told.contains(&"3 client gateway-channel stopped".to_owned()), "{told:?}");
    assert_eq!(watched.observer.traffic(Side::Client), (1, 11));
    assert_eq!(watched.observer.traffic(Side::Server), (1, 19));
}

/// Where a tunnel over another transport has the session, no channel of RPC has it.
#[test]
fn a_session_elsewhere_is_not_mixed_with_what_is_in_rpc() {
    let mut watched = Watched::with_pipe();
    watched.observer.follow_none();
    watched.up(&request(
        ONLY,
        9,
        SEND_TO_SERVER,
        &send_to_server(&[&[3, 0, 0, 11, 6, 0xe0, 0, 0, 0, 0, 0]]),
        SIGNED,
    ));
    assert!(watched.told().iter().any(|line| line.ends_with("stopped")), "{:?}", watched.told());
    assert_eq!(watched.observer.traffic(Side::Client), (0, 0));
}

#[test]
fn calls_of_two_virtual_connections_are_kept_apart_and_a_new_channel_belongs_to_its_own() {
    let mut watched = Watched::with_pipe();
    let (second_in, second_out, new_out) = (3, 4, 5);
    watched.send(second_out, Side::Client, &conn_a1(2));
    watched.send(second_in, Side::Client, &conn_b1(2));
    watched.send(second_in, Side::Client, &request(ONLY, 8, CLOSE_TUNNEL, &context(), SIGNED));
    watched.send(second_out, Side::Server, &response(ONLY, 8, &[context(), longs(&[0])].concat(), SIGNED));
    let replaced = rts(4, &[version(), cookie(1), cookie(0xaa), cookie(3), longs(&[0, 0x10000])]);
    watched.send(new_out, Side::Client, &replaced);
    watched.observer.ended(9, OUT, Side::Client, &mut watched.events);
    watched.observer.ended(9, OUT, Side::Server, &mut watched.events);
    watched.send(new_out, Side::Server, &response(FIRST, 8, b"\x03\0", SIGNED));
    let told = watched.told();
    assert_eq!(
        told[2..],
        [
            "3 client closed request TsProxyCloseTunnel",
            "4 server closed response TsProxyCloseTunnel 0x0",
            "5 client gateway-http replaces 2",
            "5 client gateway-http OUT_R1/A3 or OUT_R2/A3",
            "5 server gateway-channel response TsProxySetupReceivePipe",
            "5 server gateway-channel data",
        ]
    );
}

#[test]
fn what_comes_again_and_again_is_told_once() {
    let mut watched = Watched::with_pipe();
    let ack = rts(2, &[longs(&[13, 3]), [longs(&[1, 4096, 61440]), vec![0xaa; 16]].concat()]);
    for call in 10..1000 {
        watched.up(&ack);
        watched.down(&rts(1, &[]));
        watched.up(&request(ONLY, call, SEND_TO_SERVER, &send_to_server(&[b"\x03\0\0\x0b"]), SIGNED));
        watched.down(&response(ONLY, call, &longs(&[0]), SIGNED));
        watched.down(&response(ONLY, call, &longs(&[0]), SIGNED));
        watched.up(&request(ONLY, call, call as u16, &[], None));
    }
    assert!(watched.events.len() < 20, "{:?}", watched.told());
    assert_eq!(watched.observer.traffic(Side::Client).0, 990);
    watched.up(&request(ONLY, 2000, SEND_TO_SERVER, &send_to_server(&[b"."]), SIGNED));
    watched.events.clear();
    watched.down(&response(ONLY, 2000, &longs(&[0x4e3]), SIGNED));
    assert_eq!(watched.told(), ["2 server gateway-channel response TsProxySendToServer 0x4e3"]);
}

#[test]
fn faults_are_told_with_their_calls_and_end_the_pipe() {
    let mut watched = Watched::with_pipe();
    watched.up(&request(ONLY, 3, CREATE_CHANNEL, &create_channel(&["odd"], &[], 3389), SIGNED));
    watched.events.clear();
    watched.down(&fault(3, 5));
    watched.down(&fault(8, 0x8007_071a));
    watched.down(&pdu(13, ONLY, 2, &[1, 0], None));
    assert_eq!(
        watched.told(),
        [
            "2 server gateway-channel fault TsProxyCreateChannel 0x5",
            "2 server gateway-channel fault TsProxySetupReceivePipe 0x8007071a",
            "2 server closed close_channel",
            "2 server gateway-auth bind_nak - 0x1",
        ]
    );
}

#[test]
fn calls_that_are_encrypted_are_named_and_counted_and_no_more() {
    let hidden: Trailer<'_> = Some((10, 6, &[1; 16]));
    let mut watched = Watched::with_pipe();
    watched.up(&request(ONLY, 2, CREATE_TUNNEL, &create_tunnel(0x1f), hidden));
    watched.down(&response(ONLY, 2, &longs(&[1, 2, 3]), hidden));
    watched.up(&request(ONLY, 9, SEND_TO_SERVER, &[7; 50], hidden));
    watched.down(&response(FIRST, 8, &[7; 60], hidden));
    assert_eq!(
        watched.told(),
        [
            "1 client gateway-tunnel request TsProxyCreateTunnel",
            "1 client gateway-tunnel stopped",
            "2 server gateway-tunnel response TsProxyCreateTunnel",
            "1 client gateway-channel request TsProxySendToServer",
            "2 server gateway-channel response TsProxySetupReceivePipe",
        ]
    );
    assert_eq!(watched.observer.traffic(Side::Client), (1, 50));
    assert_eq!(watched.observer.traffic(Side::Server), (1, 60));
}

#[test]
fn garbage_stops_its_direction_and_is_told_with_its_place() {
    let mut watched = Watched::with_pipe();
    let first = response(FIRST, 8, b"\x03", SIGNED);
    watched.down(&first);
    watched.events.clear();
    watched.down(b"<html>");
    watched.down(&response(FIRST, 8, b"\x03", SIGNED));
    let place = format!("2 server gateway-http {:?} at {}", Reframing::Garbage, first.len());
    assert_eq!(watched.told(), [place, "2 server gateway-http stopped".to_owned()]);
    assert!(watched.observer.is_opaque(OUT, Side::Server) && !watched.observer.is_opaque(IN, Side::Client));
    assert!(watched.inner.is_opaque(Side::Server), "RDP is missing from here on");
    watched.up(&request(ONLY, 3, CLOSE_CHANNEL, &context(), SIGNED));
    assert_eq!(watched.events.last().map(|event| event.phase), Some(Phase::Closed));
}

#[test]
fn hostile_lengths_and_fragments_without_end_are_bounded() {
    let mut watched = Watched::with_pipe();
    let mut zero = request(ONLY, 1, 1, &[], None);
    zero[8..10].fill(0);
    watched.send(7, Side::Client, &zero);
    assert!(watched.observer.is_opaque(7, Side::Client));
    watched.events.clear();

    // Three calls that each would be far longer than what is kept, at once.
    let piece = [7; 60_000];
    for call in [21, 22, 23] {
        watched.up(&request(FIRST, call, CREATE_TUNNEL, &piece, None));
    }
    for call in (0..30).map(|turn| 21 + turn % 3) {
        watched.up(&request(0, call, CREATE_TUNNEL, &piece, None));
    }
    let too_long = "1 client gateway-tunnel RPC stub: longer than any call to a gateway";
    assert_eq!(watched.told(), [too_long; 3]);
    watched.events.clear();
    watched.up(&request(LAST, 21, CREATE_TUNNEL, &piece, None));
    watched.up(&request(ONLY, 30, CREATE_TUNNEL, &create_tunnel(1), None));
    assert_eq!(watched.told().len(), 2, "the next call is read: {:?}", watched.told());

    // As many calls as there are numbers, none of them answered: the pipe is not forgotten over them.
    for call in 100..1000 {
        watched.up(&request(ONLY, call, CREATE_CHANNEL, &[], None));
    }
    watched.events.clear();
    watched.down(&response(LAST, 8, &longs(&[0x4ca]), SIGNED));
    assert_eq!(watched.events.len(), 2, "{:?}", watched.told());
}

#[test]
fn a_pdu_that_never_comes_whole_is_told_at_the_end() {
    let mut watched = Watched::with_pipe();
    let whole = request(ONLY, 9, SEND_TO_SERVER, &send_to_server(&[b"."]), SIGNED);
    watched.up(&whole[..whole.len() - 1]);
    watched.observer.ended(9, IN, Side::Client, &mut watched.events);
    watched.observer.ended(9, OUT, Side::Server, &mut watched.events);
    watched.observer.ended(9, 99, Side::Server, &mut watched.events);
    assert_eq!(watched.told(), ["1 client gateway-http RPC PDU: ends too early"]);
}
