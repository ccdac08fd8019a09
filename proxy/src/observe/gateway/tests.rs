mod hostile;
#[path = "../../../../tests/support/scripted/tunnel.rs"]
mod samples;

use super::*;
use crate::observe::Timeline;
use crate::trace::{GatewayMessage, Line, Outcome, PhaseRecord, Reframing, Summary};
use crate::wire::tsgu::Packet;
use proptest::prelude::*;
use samples::*;

/// When, on which connection, from whom, what.
pub(super) type Steps = Vec<(Micros, u32, Side, Vec<u8>)>;

/// RDP in clear, so that what comes behind is not opaque.
const CONNECTION_REQUEST: &[u8] = &[3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0, 0];
const CONNECTION_CONFIRM: &[u8] = &[3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 0, 0, 0, 0];

/// What is told of `steps`, after which every direction ends.
pub(super) fn observe(steps: &Steps) -> (Vec<Event>, GatewayObserver) {
    cut(steps, usize::MAX)
}

/// The same in pieces of at most `size` bytes.
fn cut(steps: &Steps, size: usize) -> (Vec<Event>, GatewayObserver) {
    let (mut observer, mut events) = (GatewayObserver::default(), Vec::new());
    for (t_us, connection, side, bytes) in steps {
        for piece in bytes.chunks(size) {
            observer.data(*t_us, *connection, *side, piece, &mut events);
        }
    }
    let end_us = steps.last().map_or(0, |(t_us, ..)| *t_us);
    let connections: std::collections::BTreeSet<u32> = steps.iter().map(|(_, number, ..)| *number).collect();
    for connection in connections {
        for side in [Side::Client, Side::Server] {
            observer.ended(end_us, connection, side, How::Fin, &mut events);
        }
    }
    (events, observer)
}

/// The name of each event in JSON.
pub(super) fn names(events: &[Event]) -> Vec<String> {
    let name = |event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned();
    events.iter().map(name).collect()
}

fn messages(events: &[Event]) -> impl Iterator<Item = &GatewayMessage> {
    events.iter().filter_map(|event| match &event.detail {
        Detail::Gateway(message) => Some(message),
        _ => None,
    })
}

/// Packets by name, each with who sent it on which connection.
fn packets(events: &[Event]) -> Vec<String> {
    let told = events.iter().filter_map(|event| match &event.detail {
        Detail::Gateway(GatewayMessage::TunnelPacket(packet)) => {
            Some(format!("{} {} {}", event.connection.unwrap(), event.from.unwrap(), packet.name()))
        }
        _ => None,
    });
    told.collect()
}

/// What is wrong, as it is told.
fn faults(events: &[Event]) -> Vec<String> {
    let told = events.iter().filter_map(|event| match &event.detail {
        Detail::Malformed { structure, reason, .. } => Some(format!("{structure}: {reason}")),
        Detail::ObservationStopped { reason } => Some(reason.clone()),
        Detail::Gateway(GatewayMessage::BodyReframed { how, offset }) => Some(format!("{how:?} at {offset}")),
        _ => None,
    });
    told.collect()
}

fn timeline(events: Vec<Event>) -> (Vec<PhaseRecord>, Summary) {
    let (mut timeline, mut lines) = (Timeline::default(), Vec::new());
    let end_us = events.last().map_or(0, |event| event.t_us);
    events.into_iter().for_each(|event| timeline.push(event, &mut lines));
    timeline.finish(end_us, &mut lines);
    let phases =
        lines.into_iter().filter_map(|line| if let Line::Phase(phase) = line { Some(phase) } else { None });
    (phases.collect(), timeline.summary().clone())
}

fn outcomes(phases: &[PhaseRecord]) -> Vec<(Phase, Outcome)> {
    phases.iter().map(|record| (record.phase, record.outcome)).collect()
}

/// Gives the steps the times 1000, 2000…
fn timed(steps: impl IntoIterator<Item = (u32, Side, Vec<u8>)>) -> Steps {
    let timed = steps.into_iter().zip(1..);
    timed.map(|((connection, side, bytes), place)| (place * 1000, connection, side, bytes)).collect()
}

/// What both sides say in the tunnel, up to the answer to X.224, and the end.
fn conversation() -> Vec<(Side, Vec<u8>)> {
    let mut said = Vec::new();
    for (request, answer) in tunnel() {
        said.extend([(Side::Client, request), (Side::Server, answer)]);
    }
    said.push((Side::Client, data(CONNECTION_REQUEST)));
    said.push((Side::Server, data(CONNECTION_CONFIRM)));
    said.extend([Side::Client, Side::Server].map(|side| (side, keepalive())));
    said.push((Side::Client, close(false, 0)));
    said.push((Side::Server, close(true, 0)));
    said
}

/// A session over WebSocket.
pub(super) fn websocket() -> Steps {
    let mut steps = vec![(1, Side::Client, upgrade("")), (1, Side::Server, switching())];
    steps.extend(
        conversation().into_iter().map(|(side, bytes)| (1, side, frame(0x82, &bytes, side == Side::Client))),
    );
    timed(steps)
}

/// A session over two connections: OUT is 1, IN is 2. `reframe` gets what the server sends, and whether it is the first.
fn two_connections(out_headers: &str, reframe: impl Fn(&[u8]) -> Vec<u8>) -> Steps {
    let mut steps = vec![
        (1, Side::Client, request("RDG_OUT_DATA", "")),
        (1, Side::Server, [granted(out_headers), reframe(&[0xAB, 0xCD].repeat(5))].concat()),
        (2, Side::Client, request("RDG_IN_DATA", "Transfer-Encoding: chunked\r\n")),
        (2, Side::Server, granted("Content-Length: 0\r\n")),
    ];
    steps.extend(conversation().into_iter().map(|(side, bytes)| match side {
        Side::Client => (2, side, chunk(&bytes)),
        Side::Server => (1, side, reframe(&bytes)),
    }));
    timed(steps)
}

/// What [`conversation`] is in the trace.
fn expected_packets(client: u32, server: u32) -> Vec<String> {
    let names = [
        "handshake_request",
        "handshake_response",
        "tunnel_create",
        "tunnel_response",
        "tunnel_auth",
        "tunnel_auth_response",
        "channel_create",
        "channel_response",
        "data",
        "data",
        "keepalive",
        "keepalive",
        "close_channel",
        "close_channel_response",
    ];
    let sides = [(client, Side::Client), (server, Side::Server)];
    names
        .iter()
        .zip(sides.iter().cycle())
        .map(|(name, (number, side))| format!("{number} {side} {name}"))
        .collect()
}

#[test]
fn a_session_over_websocket_is_told_from_its_first_head_to_the_rdp_inside() {
    let (events, observer) = observe(&websocket());
    assert_eq!(packets(&events), expected_packets(1, 1));
    assert_eq!(faults(&events), Vec::<String>::new());
    assert_eq!(observer.connection_id(1), Some(CONNECTION_ID));
    assert_eq!(observer.transport(), Some(Transport::GatewayWebsocket));
    assert!(observer.belonging(1).is_some());
    let (phases, summary) = timeline(events);
    let expected = [
        (Phase::GatewayHttp, Outcome::Ok),
        (Phase::GatewayAuth, Outcome::Skipped),
        (Phase::GatewayTunnel, Outcome::Ok),
        (Phase::GatewayChannel, Outcome::Ok),
        (Phase::X224, Outcome::Ok),
        (Phase::Tls, Outcome::Skipped),
        (Phase::Credssp, Outcome::Skipped),
        (Phase::Closed, Outcome::Ok),
    ];
    assert_eq!(outcomes(&phases), expected);
    assert_eq!(summary.transport, Some(Transport::GatewayWebsocket));
    let gateway = summary.gateway.unwrap();
    assert_eq!(gateway.udp_offered, Some(true));
    assert_eq!(
        (gateway.packets["data"], gateway.packets["keepalive"], gateway.packets["close_channel"]),
        (2, 2, 1)
    );
    assert_eq!(gateway.status, None);
}

#[test]
fn two_connections_are_one_tunnel_by_their_connection_id() {
    let (events, observer) = observe(&two_connections("", <[u8]>::to_vec));
    assert_eq!(packets(&events), expected_packets(2, 1));
    assert_eq!(faults(&events), Vec::<String>::new());
    assert_eq!(observer.transport(), Some(Transport::GatewayHttp));
    assert_eq!([observer.connection_id(1), observer.connection_id(2)], [Some(CONNECTION_ID); 2]);
    let began: Vec<_> = messages(&events)
        .filter_map(|message| match message {
            GatewayMessage::TunnelBegan { transport, preamble, took_us } => {
                Some((*transport, *preamble, *took_us))
            }
            _ => None,
        })
        .collect();
    assert_eq!(began, [(Transport::GatewayHttp, 0, 2000), (Transport::GatewayHttp, 10, 4000)]);
    let (phases, summary) = timeline(events);
    assert!(outcomes(&phases).contains(&(Phase::GatewayChannel, Outcome::Ok)), "{phases:?}");
    assert_eq!(summary.reached, Some(Phase::X224));
}

#[test]
fn chunks_in_an_out_channel_are_named_and_the_tunnel_is_read_all_the_same() {
    let announced = two_connections("Transfer-Encoding: chunked\r\n", chunk);
    // A box that cuts where it likes.
    let pieces = |bytes: &[u8]| bytes.chunks(7).flat_map(chunk).collect();
    for (steps, fault) in [
        (announced, "Chunked at 0"),
        (two_connections("", chunk), "UnannouncedChunks at 0"),
        (two_connections("", pieces), "UnannouncedChunks at 0"),
    ] {
        let (events, _) = observe(&steps);
        assert_eq!(packets(&events), expected_packets(2, 1));
        assert_eq!(faults(&events), [fault]);
    }
}

#[test]
fn rounds_of_authentication_have_their_phase() {
    let mut steps = vec![
        (1, Side::Client, upgrade("")),
        (1, Side::Server, unauthorized(false)),
        (1, Side::Client, upgrade(&ntlm(None))),
        (1, Side::Server, unauthorized(true)),
        (1, Side::Client, upgrade(&ntlm(Some(true)))),
    ];
    let granted = [steps.clone(), vec![(1, Side::Server, switching())]].concat();
    let (events, _) = observe(&timed(granted));
    let seen: Vec<Phase> =
        events.iter().filter(|event| event.phase != Phase::Closed).map(|event| event.phase).collect();
    use Phase::{GatewayAuth, GatewayHttp};
    assert_eq!(seen, [GatewayHttp, GatewayHttp, GatewayAuth, GatewayAuth, GatewayAuth, GatewayAuth]);
    let tokens: Vec<_> = messages(&events)
        .filter_map(|message| match message {
            GatewayMessage::HttpRequest(head) => head.authorization.clone(),
            GatewayMessage::HttpResponse(head) => head.challenges.first().cloned(),
            _ => None,
        })
        .map(|authentication| (authentication.token.unwrap_or_default(), authentication.channel_bindings))
        .collect();
    let token = |token: &str, bound| (token.to_owned(), bound);
    assert_eq!(
        tokens,
        [
            token("", None),
            token("NTLM negotiate", None),
            token("NTLM challenge", None),
            token("NTLM authenticate", Some(true)),
        ]
    );
    let (phases, _) = timeline(events);
    assert_eq!(outcomes(&phases)[..2], [(GatewayHttp, Outcome::Ok), (GatewayAuth, Outcome::Ok)]);

    steps.push((1, Side::Server, unauthorized(false)));
    let (phases, _) = timeline(observe(&timed(steps)).0);
    assert_eq!(outcomes(&phases)[..2], [(GatewayHttp, Outcome::Ok), (GatewayAuth, Outcome::Failed)]);
}

#[test]
fn a_client_that_falls_back_is_followed_to_the_transport_that_works() {
    let refused = b"HTTP/1.1 403 Forbidden\r\nVia: 1.1 box\r\nContent-Length: 0\r\n\r\n".to_vec();
    let mut steps = vec![(9, Side::Client, upgrade("")), (9, Side::Server, refused)];
    let fallback = two_connections("", <[u8]>::to_vec);
    steps.extend(fallback.into_iter().map(|(_, connection, side, bytes)| (connection, side, bytes)));
    let (events, observer) = observe(&timed(steps));
    assert_eq!(observer.transport(), Some(Transport::GatewayHttp));
    assert_eq!(packets(&events), expected_packets(2, 1));
    let (phases, summary) = timeline(events);
    assert_eq!(outcomes(&phases)[0], (Phase::GatewayHttp, Outcome::Ok));
    assert_eq!(summary.transport, Some(Transport::GatewayHttp));
}

#[test]
fn an_answer_of_200_to_a_request_for_websocket_is_an_out_channel() {
    let mut steps = two_connections("", <[u8]>::to_vec);
    steps[0].3 = upgrade("");
    let (events, observer) = observe(&steps);
    assert_eq!(packets(&events), expected_packets(2, 1));
    assert_eq!(observer.transport(), Some(Transport::GatewayHttp));
}

#[test]
fn a_policy_that_refuses_fails_its_phase() {
    let [handshake, tunnel, ..] = tunnel();
    let denied = packet(7, &[0xDA, 0x59, 7, 0x80, 0, 0, 0, 0]);
    let said = [
        (Side::Client, handshake.0),
        (Side::Server, handshake.1),
        (Side::Client, tunnel.0),
        (Side::Server, denied),
    ];
    let mut steps = vec![(1, Side::Client, upgrade("")), (1, Side::Server, switching())];
    steps.extend(said.map(|(side, bytes)| (1, side, frame(0x82, &bytes, side == Side::Client))));
    let (phases, summary) = timeline(observe(&timed(steps)).0);
    assert!(outcomes(&phases).contains(&(Phase::GatewayTunnel, Outcome::Failed)), "{phases:?}");
    assert_eq!(summary.gateway.unwrap().status.as_deref(), Some("0x800759da"));
}

#[test]
fn a_gateway_that_ends_the_body_of_an_open_tunnel_is_named() {
    let mut steps = two_connections("", <[u8]>::to_vec);
    steps.truncate(steps.len() - 4);
    let (mut observer, mut events) = (GatewayObserver::default(), Vec::new());
    for (t_us, connection, side, bytes) in &steps {
        observer.data(*t_us, *connection, *side, bytes, &mut events);
    }
    observer.ended(99_000, 1, Side::Server, How::Reset, &mut events);
    let sent = tunnel().iter().map(|(_, answer)| answer.len()).sum::<usize>();
    let offset = 10 + sent + data(CONNECTION_CONFIRM).len();
    assert_eq!(faults(&events), [format!("Truncated at {offset}")]);
    let traffic = messages(&events).last().unwrap();
    assert!(
        matches!(traffic, GatewayMessage::TunnelTraffic { data_packets: 1, data_bytes: 19, .. }),
        "{traffic:?}"
    );
    let ends: Vec<_> =
        events.iter().filter(|event| matches!(event.detail, Detail::StreamEnded { .. })).collect();
    assert_eq!(
        ends.iter().map(|event| event.connection).collect::<Vec<_>>(),
        [None, Some(1)],
        "inside, and outside"
    );
}

#[test]
fn a_client_that_leaves_both_its_connections_cuts_nothing_short() {
    let mut steps = two_connections("", <[u8]>::to_vec);
    steps.truncate(steps.len() - 4);
    let (events, _) = observe(&steps);
    assert_eq!(faults(&events), Vec::<String>::new());
}

#[test]
fn keepalives_are_counted_with_the_longest_time_between_them() {
    let mut steps = websocket();
    let keepalives = [60, 120, 240, 300]
        .map(|seconds| (seconds * 1_000_000, 1, Side::Client, frame(0x82, &keepalive(), true)));
    let at = steps.len() - 2;
    steps.truncate(at);
    steps.extend(keepalives);
    let (events, _) = observe(&steps);
    let traffic = messages(&events).find_map(|message| match message {
        GatewayMessage::TunnelTraffic { keepalives, longest_keepalive_gap_us, .. } => {
            Some((*keepalives, *longest_keepalive_gap_us))
        }
        _ => None,
    });
    assert_eq!(traffic, Some((5, Some(120_000_000))));
    let (_, summary) = timeline(events);
    assert_eq!(summary.gateway.unwrap().packets["keepalive"], 6, "with the server's one");
}

#[test]
fn data_that_nobody_can_read_is_counted_and_not_looked_into() {
    let (mut observer, mut events) = (GatewayObserver::default(), Vec::new());
    for (t_us, connection, side, bytes) in websocket().iter().take(10) {
        observer.data(*t_us, *connection, *side, bytes, &mut events);
    }
    // Not RDP: the observer inside gives up.
    let noise = frame(0x82, &data(&[0xff; 300]), true);
    observer.data(50_000, 1, Side::Client, &noise, &mut events);
    observer.data(50_000, 1, Side::Server, &frame(0x82, &data(b"SSH-2.0-OpenSSH_9"), false), &mut events);
    assert!(observer.inner().is_opaque(Side::Client) && !observer.is_opaque(1, Side::Client));
    let before = events.len();
    for count in 1..200_u64 {
        let two = [data(&[0xee; 200]), data(&[0xdd; 60])].concat();
        for piece in frame(0x82, &two, true).chunks(33) {
            observer.data(50_000 + count, 1, Side::Client, piece, &mut events);
        }
    }
    assert_eq!(events.len(), before);
    observer.ended(60_000, 1, Side::Client, How::Fin, &mut events);
    let traffic = messages(&events[before..]).next().unwrap();
    let GatewayMessage::TunnelTraffic { data_packets, data_bytes, .. } = traffic else {
        panic!("{traffic:?}")
    };
    assert_eq!((*data_packets, *data_bytes), (1 + 199 * 2, 300 + 199 * 260));
}

#[test]
fn kerberos_by_way_of_the_gateway_is_named_and_is_no_phase() {
    let body = [&[0x30, 18, 0xa0, 5, 4, 3, 0, 0, 1, 0xa1, 9, 0x1b, 7][..], b"CONTOSO"].concat();
    let head = format!("POST /KdcProxy HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n".to_vec();
    let steps =
        timed([(1, Side::Client, [head.into_bytes(), body.clone()].concat()), (1, Side::Server, answer)]);
    let (events, _) = observe(&steps);
    let expected = GatewayMessage::KdcProxy { realm: Some("CONTOSO".to_owned()), length: body.len() };
    assert!(messages(&events).any(|message| *message == expected), "{events:?}");
    let (phases, _) = timeline(events);
    assert_eq!(outcomes(&phases), [(Phase::Closed, Outcome::Ok)]);
}

#[test]
fn no_secret_is_told() {
    let mut steps = websocket();
    steps.splice(
        0..0,
        [
            (1, 1, Side::Client, upgrade(&ntlm(None))),
            (2, 1, Side::Server, unauthorized(true)),
            (
                3,
                1,
                Side::Client,
                upgrade(&format!("{}Proxy-Authorization: Basic {CANARY}\r\n", ntlm(Some(false)))),
            ),
            (4, 1, Side::Server, unauthorized(false)),
            (
                5,
                1,
                Side::Client,
                upgrade(&format!("Authorization: {CANARY}\r\nX-Forwarded-For: {CANARY}\r\n")),
            ),
            (6, 1, Side::Server, unauthorized(false)),
        ],
    );
    let extended = packet(3, &[&[0, 0, 0, 0, 24, 0][..], CANARY.as_bytes()].concat());
    steps.push((99_000, 1, Side::Client, frame(0x82, &extended, true)));
    steps.push((99_000, 1, Side::Client, frame(0x88, &[&[3, 0xe8][..], CANARY.as_bytes()].concat(), true)));
    let (events, _) = observe(&steps);
    assert_eq!(packets(&events).len(), 15);
    let text = serde_json::to_string(&events).unwrap();
    let wide: String = CANARY.chars().map(|letter| format!("{letter}\0")).collect();
    let mut forms = vec![CANARY.to_owned(), hex::encode(CANARY), hex::encode(&wide)];
    // Wherever it begins in base64, this much of it is there.
    for shift in 0..3 {
        for text in [CANARY, &wide] {
            let encoded = base64(&[&[0; 3][..shift], text.as_bytes()].concat());
            forms.push(encoded[4..28].to_owned());
        }
    }
    for form in forms {
        assert!(!text.contains(&form), "{form} in {text}");
    }
}

proptest! {
    #[test]
    fn any_chunking_tells_the_same(size in 1_usize..40, kind in 0_usize..4) {
        let pieces = |bytes: &[u8]| bytes.chunks(7).flat_map(chunk).collect();
        let steps = match kind {
            0 => websocket(),
            1 => two_connections("", <[u8]>::to_vec),
            2 => two_connections("Transfer-Encoding: chunked\r\n", chunk),
            _ => two_connections("", pieces),
        };
        prop_assert_eq!(cut(&steps, size).0, observe(&steps).0);
    }

    #[test]
    fn any_chunking_of_broken_conversations_tells_the_same(
        size in 1_usize..40,
        over_websocket in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut steps = if over_websocket { websocket() } else { two_connections("", chunk) };
        for (step, place, byte) in changes {
            let at = step.index(steps.len());
            let bytes = &mut steps[at].3;
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        prop_assert_eq!(cut(&steps, size).0, observe(&steps).0);
    }
}

#[test]
fn nothing_is_kept_of_a_connection_that_is_gone() {
    let mut observer = GatewayObserver::default();
    let mut events = Vec::new();
    for connection in 1..1000 {
        observer.data(0, connection, Side::Client, b"GET / HTTP/1.1\r\n\r\n", &mut events);
        observer.ended(0, connection, Side::Client, How::Reset, &mut events);
        observer.forget(connection);
    }
    assert!(observer.connections.is_empty());
}
