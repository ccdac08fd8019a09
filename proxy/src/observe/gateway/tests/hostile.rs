//! What breaks the rules: named, bounded, and no reason to stop where one need not.

use super::*;
use crate::trace::{Framing, Role};
use crate::wire::http::LONGEST_HEAD;

fn told(steps: Vec<(u32, Side, Vec<u8>)>) -> Vec<Event> {
    let steps = timed(steps);
    let whole = observe(&steps).0;
    assert_eq!(cut(&steps, 1).0, whole, "in single bytes");
    whole
}

#[test]
fn a_head_of_a_mebibyte_is_named_and_not_kept() {
    let long = request("RDG_OUT_DATA", &format!("X-Long: {}\r\n", "a".repeat(1 << 20)));
    let answer = [&b"HTTP/1.1 200 OK\r\nX-Long: "[..], &[b'a'; 1 << 20]].concat();
    for (side, bytes, structure) in [(Side::Client, long, "request"), (Side::Server, answer, "response")] {
        let (mut observer, mut events) = (GatewayObserver::default(), Vec::new());
        for piece in bytes.chunks(1000) {
            observer.data(1, 1, side, piece, &mut events);
        }
        let stopped = format!("the HTTP of the {side} cannot be followed");
        assert_eq!(faults(&events), [format!("HTTP {structure}: a head longer than any peer's"), stopped]);
        assert!(observer.is_opaque(1, side) && !observer.is_opaque(1, side.opposite()));
    }
    let just = request("RDG_OUT_DATA", "");
    let filler = "a".repeat(LONGEST_HEAD - just.len() - "X: \r\n".len());
    let events = observe(&timed([(1, Side::Client, request("RDG_OUT_DATA", &format!("X: {filler}\r\n")))])).0;
    assert_eq!(names(&events)[0], "http_request");
}

#[test]
fn another_protocol_is_named() {
    for (bytes, protocol) in [
        (&b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x0b\0\0\0"[..], None),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", Some("SSH")),
        (b"\x05\0", Some("SOCKS")),
    ] {
        let events = told(vec![(1, Side::Client, bytes.to_vec()), (1, Side::Server, vec![7; 30])]);
        let named = events.iter().find_map(|event| match &event.detail {
            Detail::OtherProtocol { protocol, .. } => Some(protocol.clone()),
            _ => None,
        });
        assert_eq!(named, Some(protocol.map(str::to_owned)), "{events:?}");
    }
}

#[test]
fn http_2_is_named_though_the_server_speaks_first() {
    let settings = [0, 0, 0x12, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0x64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let events = told(vec![(1, Side::Server, settings.to_vec()), (1, Side::Client, preface)]);
    assert_eq!(names(&events), ["http2", "stream_ended", "stream_ended"]);
}

#[test]
fn what_comes_behind_the_first_request_of_http_2_is_not_taken_for_http_1() {
    let headers = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x84];
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &headers].concat();
    let more = b"GET of other frames".to_vec();
    let events = told(vec![(1, Side::Client, preface), (1, Side::Client, more)]);
    assert_eq!(names(&events), ["http2", "stream_ended", "stream_ended"]);
}

#[test]
fn a_server_that_speaks_first_and_not_http_is_another_protocol() {
    let events = told(vec![
        (1, Side::Server, b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec()),
        (1, Side::Client, upgrade("")),
        (1, Side::Client, upgrade("")),
    ]);
    assert_eq!(names(&events)[..3], ["http_request", "other_protocol", "observation_stopped"]);
    let events = told(vec![(1, Side::Server, b"220 smtp".to_vec())]);
    assert!(names(&events).contains(&"other_protocol".to_owned()), "{events:?}");
}

#[test]
fn in_without_out_and_two_of_a_kind_are_named() {
    let [(handshake, _), ..] = tunnel();
    let in_channel = |number| {
        [
            (number, Side::Client, request("RDG_IN_DATA", "Transfer-Encoding: chunked\r\n")),
            (number, Side::Client, chunk(&handshake)),
        ]
    };
    let events = told(in_channel(1).to_vec());
    assert_eq!(faults(&events), ["RDG_IN_DATA: no OUT channel with this RDG-Connection-Id"]);
    assert_eq!(packets(&events), ["1 client handshake_request"]);

    let out =
        |number| [(number, Side::Client, request("RDG_OUT_DATA", "")), (number, Side::Server, granted(""))];
    let events = told([out(1), out(2), in_channel(3), in_channel(4)].concat());
    assert_eq!(
        faults(&events),
        [
            "RDG_OUT_DATA: a second OUT channel with this RDG-Connection-Id",
            "RDG_IN_DATA: a second IN channel with this RDG-Connection-Id"
        ]
    );
    assert_eq!(packets(&events), ["3 client handshake_request"]);
}

#[test]
fn a_gateway_that_answers_http_1_0_and_an_in_channel_without_framing_are_followed() {
    let mut steps = two_connections("", <[u8]>::to_vec);
    steps[1].3 = b"HTTP/1.0 200 OK\r\n\r\n".to_vec();
    steps[2].3 = request("RDG_IN_DATA", "");
    for step in steps.iter_mut().skip(4).filter(|(_, _, side, _)| *side == Side::Client) {
        let line = step.3.iter().position(|byte| *byte == b'\n').unwrap();
        step.3 = step.3[line + 1..step.3.len() - 2].to_vec();
    }
    let (events, _) = observe(&steps);
    assert_eq!(packets(&events), expected_packets(2, 1));
    let framings: Vec<_> = messages(&events)
        .filter_map(|message| match message {
            GatewayMessage::HttpResponse(head) => Some((head.role, head.version.clone(), head.framing)),
            _ => None,
        })
        .collect();
    assert_eq!(framings[0], (Role::OutChannel, "HTTP/1.0".to_owned(), Framing::UntilClose));
}

#[test]
fn a_refused_client_may_leave_the_chunks_that_it_announced() {
    let asks = |authorization: &str| {
        request("RDG_IN_DATA", &format!("Transfer-Encoding: chunked\r\n{authorization}"))
    };
    let events = told(vec![
        (1, Side::Client, asks(&ntlm(None))),
        (1, Side::Server, unauthorized(true)),
        (1, Side::Client, asks(&ntlm(Some(false)))),
        (1, Side::Server, granted("Content-Length: 0\r\n")),
    ]);
    assert_eq!(names(&events)[..4], ["http_request", "http_response", "http_request", "http_response"]);
    assert_eq!(faults(&events), Vec::<String>::new());
}

#[test]
fn a_page_in_the_place_of_a_tunnel_is_given_up() {
    let page = [granted("Content-Type: text/html\r\n"), vec![b'<'; 70_000]].concat();
    let (events, observer) =
        observe(&timed([(1, Side::Client, request("RDG_OUT_DATA", "")), (1, Side::Server, page)]));
    assert_eq!(faults(&events), ["no packet of the tunnel is found where one is due"]);
    assert_eq!(observer.transport(), Some(Transport::GatewayHttp));
}

#[test]
fn control_frames_between_fragments_are_no_data_and_a_flood_of_them_is_bounded() {
    let [(request, answer), ..] = tunnel();
    let mut steps = vec![(1, Side::Client, upgrade("")), (1, Side::Server, switching())];
    let (first, second) = request.split_at(5);
    let fragments =
        [frame(0x02, first, true), frame(0x89, b"ping", true), frame(0x80, second, true)].concat();
    steps.extend([(1, Side::Client, fragments), (1, Side::Server, frame(0x82, &answer, false))]);
    steps.push((1, Side::Server, frame(0x8a, b"ping", false).repeat(1000)));
    steps.push((1, Side::Client, frame(0x88, &[3, 0xe8], true)));
    let events = told(steps);
    assert_eq!(packets(&events), ["1 client handshake_request", "1 server handshake_response"]);
    let controls: Vec<_> = messages(&events)
        .filter_map(|message| match message {
            GatewayMessage::WebsocketControl { frame, status, length } => {
                Some((frame.as_str(), *status, *length))
            }
            _ => None,
        })
        .collect();
    assert_eq!(controls.len(), 10, "{controls:?}");
    assert_eq!(controls[0], ("ping", None, 4));
    assert_eq!(controls[9], ("close", Some(1000), 2));
}

#[test]
fn frames_that_cannot_be_followed_end_the_observation_of_their_side() {
    let beginning = || vec![(1, Side::Client, upgrade("")), (1, Side::Server, switching())];
    let compressed = [beginning(), vec![(1, Side::Server, frame(0xc2, b"x", false))]].concat();
    assert_eq!(faults(&told(compressed)), ["frames of WebSocket are compressed or otherwise extended"]);
    let endless = [0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0, 1];
    let events = told([beginning(), vec![(1, Side::Server, endless.to_vec())]].concat());
    assert_eq!(
        faults(&events),
        ["WebSocket frame: a length whose first bit is set", "the frames of WebSocket cannot be followed"]
    );
    let long = [0x82, 127, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 1];
    let events = told([beginning(), vec![(1, Side::Client, long.to_vec())]].concat());
    assert_eq!(faults(&events), ["HTTP_PACKET: ends too early"]);
}

#[test]
fn lengths_of_packets_that_cannot_be_are_named_and_the_rest_is_read() {
    let answer = &tunnel()[0].1;
    for (length, reason) in [
        (0_u32, "packetLength is less than its header"),
        (7, "packetLength is less than its header"),
        (u32::MAX, "packetLength is more than any packet's"),
    ] {
        let mut broken = data(b"abc");
        broken[4..8].copy_from_slice(&length.to_le_bytes());
        let events = told(vec![
            (1, Side::Client, upgrade("")),
            (1, Side::Server, switching()),
            (1, Side::Server, frame(0x82, &broken, false)),
            (1, Side::Server, frame(0x82, answer, false)),
        ]);
        assert_eq!(faults(&events)[0], format!("HTTP_DATA_PACKET: {reason}"));
        assert_eq!(packets(&events), ["1 server handshake_response"]);
    }
}

#[test]
fn garbage_in_a_channel_is_named_with_its_place() {
    let mut steps = two_connections("", <[u8]>::to_vec);
    let answer = steps.iter().rposition(|(_, _, side, _)| *side == Side::Server).unwrap();
    let before = 10
        + conversation()
            .iter()
            .filter(|(side, _)| *side == Side::Server)
            .map(|(_, bytes)| bytes.len())
            .sum::<usize>();
    let offset = before - steps[answer].3.len();
    steps[answer].3.splice(0..0, b"<html>sorry</html>".iter().copied());
    let (events, _) = observe(&steps);
    assert_eq!(faults(&events), [format!("Garbage at {offset}")]);
    assert_eq!(packets(&events), expected_packets(2, 1));
    let reframed = GatewayMessage::BodyReframed { how: Reframing::Garbage, offset: offset as u64 };
    assert!(messages(&events).any(|message| *message == reframed));
}

#[test]
fn bytes_that_went_by_unseen_end_the_observation_of_their_side_alone() {
    let (mut observer, mut events) = (GatewayObserver::default(), Vec::new());
    for (t_us, connection, side, bytes) in websocket().iter().take(4) {
        observer.data(*t_us, *connection, *side, bytes, &mut events);
    }
    observer.lost(1, Side::Client);
    assert!(observer.is_opaque(1, Side::Client) && !observer.is_opaque(1, Side::Server));
    observer.data(9000, 1, Side::Server, &frame(0x82, &tunnel()[1].1, false), &mut events);
    assert!(packets(&events).contains(&"1 server tunnel_response".to_owned()));
    let answer = messages(&events).last().unwrap();
    assert!(matches!(answer, GatewayMessage::TunnelPacket(Packet::TunnelResponse { .. })), "{answer:?}");
}
