//! What no gateway and no client should send, through rdpscope: it arrives as it was sent, whatever rdpscope was asked to
//! change, and the trace names it.

use super::{connection, scripted};
use crate::support::rdpscope::{Finished, Rdpscope};
use crate::support::scripted::terminated::{Received, TlsEnd};
use rustls::version::TLS12;
use std::net::TcpListener;

/// Nothing to change, and what may have to be changed in each packet.
const SETTINGS: [&[&str]; 2] = [&[], &["--gateway-udp", "off"]];

const UPGRADE: &[u8] = b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: \
websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Bo/pJSYjHyDxu69C1p98dw==\r\nRDG-Connection-Id: {A}\r\n\r\n";
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
const OUT: &[u8] =
    b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\nHost: gw\r\nRDG-Connection-Id: {A}\r\n\r\n";
const IN: &[u8] = b"RDG_IN_DATA /remoteDesktopGateway/ HTTP/1.1\r\nHost: gw\r\nRDG-Connection-Id: {A}\r\n\
Transfer-Encoding: chunked\r\n\r\n";
pub(super) const RPC_IN: &[u8] =
    b"RPC_IN_DATA /rpc/rpcproxy.dll?localhost:3388 HTTP/1.1\r\nHost: gw\r\nContent-Length: 1073741824\r\n\r\n";
const GRANTED: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
/// HANDSHAKE_REQUEST and HANDSHAKE_RESPONSE (MS-TSGU 2.2.10.10 and 2.2.10.11).
const ASKS: &[u8] = &[1, 0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0];
const ANSWERS: &[u8] = &[2, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];

/// Who sends.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    Client,
    Gateway,
}

/// A frame of WebSocket around `payload`, with a length of eight bytes where `is_long`.
fn frame(from: From, opcode: u8, payload: &[u8], is_long: bool) -> Vec<u8> {
    let mask = if matches!(from, From::Client) { 0x80 } else { 0 };
    let length = payload.len();
    let mut bytes = vec![0x80 | opcode];
    match u8::try_from(length) {
        Ok(length @ 0..=125) if !is_long => bytes.push(mask | length),
        _ => {
            bytes.push(mask | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    if mask != 0 {
        // A mask of zeros leaves the payload as it is.
        bytes.extend([0; 4]);
    }
    bytes.extend(payload);
    bytes
}

fn binary(from: From, payload: &[u8]) -> Vec<u8> {
    frame(from, 2, payload, false)
}

/// A packet that says it is `length` bytes long.
fn packet(kind: u16, length: u32, body: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), body].concat()
}

fn chunk(payload: &[u8], extension: &str) -> Vec<u8> {
    [format!("{:x}{extension}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat()
}

/// Sends everything in turn, each piece on its connection, in pieces of `size`, and sees it arrive as it was sent.
pub(super) fn passes(flags: &[&str], size: usize, steps: &[(usize, From, Vec<u8>)]) -> Finished {
    let (relay, listener) = scripted(1, flags);
    let mut ends: Vec<(TlsEnd, TlsEnd)> = Vec::new();
    for (number, from, bytes) in steps {
        while ends.len() <= *number {
            ends.push(open(&relay, &listener));
        }
        let (client, gateway) = &mut ends[*number];
        let (sender, receiver) = match from {
            From::Client => (client, gateway),
            From::Gateway => (gateway, client),
        };
        std::thread::scope(|scope| {
            let received = scope.spawn(|| receiver.receive(bytes.len()));
            bytes.chunks(size).for_each(|piece| sender.send(piece));
            let received = received.join().expect("it does not panic");
            let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
            assert!(
                received == *bytes,
                "{flags:?}, {from:?} on connection {number}: {:?} arrives as {:?}",
                shown(bytes),
                shown(&received)
            );
        });
    }
    for (client, gateway) in &mut ends {
        gateway.close_notify();
        gateway.finish();
        // What was held for want of the rest comes before it.
        while matches!(client.next(), Received::Record(_)) {}
    }
    drop(ends);
    relay.finish()
}

fn open(relay: &Rdpscope, listener: &TcpListener) -> (TlsEnd, TlsEnd) {
    connection(relay, listener, &TLS12)
}

/// What the trace names as broken, as `structure: reason`.
fn named(finished: &Finished) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let malformed = finished.session().events_named("malformed");
    malformed
        .iter()
        .map(|event| format!("{}: {}", text(&event["structure"]), text(&event["reason"])))
        .collect()
}

fn packets(finished: &Finished) -> Vec<String> {
    let packets = finished.session().events_named("tunnel_packet");
    packets.iter().map(|event| event["packet"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn packets_of_no_bytes_of_four_gibibytes_and_past_their_frame() {
    const PAST: &[u8] = &[0x0D, 0, 0, 0, 200, 0, 0, 0];
    let broken = [
        (packet(0x0D, 0, &[]), Some("packetLength is less than its header")),
        (packet(0x0D, u32::MAX, &[]), Some("packetLength is more than any packet's")),
        (PAST.to_vec(), None),
    ];
    for flags in SETTINGS {
        for (broken, reason) in &broken {
            let (client, gateway) = (From::Client, From::Gateway);
            let finished = passes(
                flags,
                usize::MAX,
                &[
                    (0, client, UPGRADE.to_vec()),
                    (0, gateway, SWITCHING.to_vec()),
                    (0, client, binary(client, ASKS)),
                    (0, gateway, binary(gateway, broken)),
                    (0, gateway, binary(gateway, ANSWERS)),
                ],
            );
            let named = named(&finished);
            assert!(packets(&finished).contains(&"handshake_request".to_owned()), "{}", finished.session());
            match reason {
                Some(reason) => assert!(named.iter().any(|it| it.contains(reason)), "{reason}: {named:?}"),
                // The next frame is taken for the rest of it, and the end comes too early.
                None => assert!(!named.is_empty(), "{}", finished.session()),
            }
        }
    }
}

#[test]
fn websocket_in_single_bytes_with_long_lengths_and_a_flood_of_pings() {
    let (client, gateway) = (From::Client, From::Gateway);
    for flags in SETTINGS {
        let finished = passes(
            flags,
            1,
            &[
                (0, client, UPGRADE.to_vec()),
                (0, gateway, SWITCHING.to_vec()),
                (0, client, frame(client, 2, ASKS, true)),
                (0, gateway, frame(gateway, 2, ANSWERS, true)),
            ],
        );
        assert_eq!(packets(&finished), ["handshake_request", "handshake_response"]);
        assert_eq!(named(&finished), [""; 0]);

        let pings = frame(gateway, 9, b"are you there", false).repeat(5_000);
        let finished = passes(
            flags,
            usize::MAX,
            &[
                (0, client, UPGRADE.to_vec()),
                (0, gateway, SWITCHING.to_vec()),
                (0, client, binary(client, ASKS)),
                (0, gateway, pings),
                (0, gateway, binary(gateway, ANSWERS)),
            ],
        );
        assert_eq!(packets(&finished), ["handshake_request", "handshake_response"]);
        let told = finished.session().events_named("websocket_control").len();
        assert!((1..=16).contains(&told), "{told} of 5000 pings are told");
    }
}

/// One that RFC 6455 forbids, and one that nobody will ever fill.
#[test]
fn frames_of_lengths_that_never_come() {
    let (client, gateway) = (From::Client, From::Gateway);
    for flags in SETTINGS {
        for (length, reason) in [(u64::MAX, Some("a length whose first bit is set")), (u64::MAX >> 1, None)] {
            let frame = [&[0x82, 127][..], &length.to_be_bytes(), ANSWERS].concat();
            let finished = passes(
                flags,
                usize::MAX,
                &[
                    (0, client, UPGRADE.to_vec()),
                    (0, gateway, SWITCHING.to_vec()),
                    (0, client, binary(client, ASKS)),
                    (0, gateway, frame),
                    (0, client, binary(client, &packet(0x0D, 8, &[]))),
                ],
            );
            match reason {
                Some(reason) => {
                    let named = named(&finished);
                    assert!(named.iter().any(|it| it.contains(reason)), "{reason}: {named:?}");
                }
                None => assert!(packets(&finished).contains(&"handshake_response".to_owned())),
            }
        }
    }
}

/// Where RDP is taken out of the tunnel, what is none goes on as it came, and it is said that it does.
#[test]
fn what_is_no_tunnel_passes_by_tls_that_was_to_end_inside_it() {
    let (client, gateway) = (From::Client, From::Gateway);
    for broken in [packet(0x0D, 0, &[]), packet(0x0D, u32::MAX, &[])] {
        let finished = passes(
            &["--inner-cert", "fresh"],
            usize::MAX,
            &[
                (0, client, UPGRADE.to_vec()),
                (0, gateway, SWITCHING.to_vec()),
                (0, client, binary(client, ASKS)),
                (0, gateway, broken),
                (0, gateway, b"and whatever follows".to_vec()),
            ],
        );
        let not_altered = finished.session().event("not_altered");
        assert_eq!(not_altered["setting"], "--inner-cert", "{not_altered}");
    }
    let chunked = b"HTTP/1.1 200 Success\r\nTransfer-Encoding: chunked\r\n\r\n";
    let asks =
        b"RPC_OUT_DATA /rpc/rpcproxy.dll?localhost:3388 HTTP/1.1\r\nHost: gw\r\nContent-Length: 76\r\n\r\n";
    let steps =
        [(0, client, asks.to_vec()), (0, gateway, chunked.to_vec()), (0, gateway, chunk(&[5, 0], ""))];
    let finished = passes(&["--inner-cert", "fresh"], usize::MAX, &steps);
    let reason = finished.session().event("not_altered")["reason"].to_string();
    assert!(reason.contains("results of calls over RPC come in chunks"), "{reason}");
    assert!(reason.contains("--gateway-transport"), "{reason}");
    let steps = [(0, client, RPC_IN.to_vec()), (0, client, vec![9; 40]), (0, client, vec![7; 40])];
    let finished = passes(&["--inner-cert", "fresh"], usize::MAX, &steps);
    let not_altered = finished.session().event("not_altered");
    assert!(not_altered["reason"].to_string().contains("no RPC"), "{not_altered}");
}

#[test]
fn chunks_with_extensions_and_trailers() {
    let (client, gateway) = (From::Client, From::Gateway);
    for flags in SETTINGS {
        let finished = passes(
            flags,
            7,
            &[
                (0, client, OUT.to_vec()),
                (0, gateway, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
                (0, gateway, chunk(&[0xAB, 0xCD].repeat(5), ";box=\"a; b\"")),
                (1, client, IN.to_vec()),
                (1, client, chunk(ASKS, ";name=value;other")),
                (0, gateway, chunk(ANSWERS, "")),
                (1, client, b"0;last\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n".to_vec()),
            ],
        );
        assert_eq!(packets(&finished), ["handshake_request", "handshake_response"], "{}", finished.session());
        assert_eq!(named(&finished), [""; 0]);
    }
}

#[test]
fn a_head_of_a_mebibyte() {
    let long =
        format!("RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\nX-Long: {}\r\n\r\n", "a".repeat(1 << 20));
    for flags in [SETTINGS[0], SETTINGS[1], &["--gateway-transport", "http"]] {
        let finished = passes(
            flags,
            usize::MAX,
            &[(0, From::Client, long.clone().into_bytes()), (0, From::Gateway, GRANTED.to_vec())],
        );
        let named = named(&finished);
        assert!(named.iter().any(|it| it.contains("a head longer than any peer's")), "{named:?}");
    }
}

#[test]
fn a_response_whose_head_has_a_mebibyte() {
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "a".repeat(1 << 20)).into_bytes();
    for flags in SETTINGS {
        let steps = [(0, From::Client, OUT.to_vec()), (0, From::Gateway, long.clone())];
        let named = named(&passes(flags, usize::MAX, &steps));
        assert!(named.iter().any(|it| it.contains("a head longer than any peer's")), "{named:?}");
    }
}

#[test]
fn in_without_out_and_two_out_with_one_id() {
    let (client, gateway) = (From::Client, From::Gateway);
    for flags in SETTINGS {
        let alone = [(0, client, IN.to_vec()), (0, client, chunk(ASKS, ""))];
        let finished = passes(flags, usize::MAX, &alone);
        assert_eq!(named(&finished), ["RDG_IN_DATA: no OUT channel with this RDG-Connection-Id"]);
        let two = [
            (0, client, OUT.to_vec()),
            (0, gateway, GRANTED.to_vec()),
            (1, client, OUT.to_vec()),
            (1, gateway, GRANTED.to_vec()),
            (1, gateway, [&[0xAB; 10][..], ANSWERS].concat()),
        ];
        let finished = passes(flags, usize::MAX, &two);
        assert_eq!(named(&finished), ["RDG_OUT_DATA: a second OUT channel with this RDG-Connection-Id"]);
    }
}

/// A front that speaks HTTP/2 alone and says so, as most do when they are asked in HTTP/1.1.
#[test]
fn a_request_that_is_answered_in_http_2() {
    let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
    let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    for flags in SETTINGS {
        let answer = [&settings[..], &goaway].concat();
        let steps = [(0, From::Client, UPGRADE.to_vec()), (0, From::Gateway, answer)];
        let finished = passes(flags, 5, &steps);
        let session = finished.session();
        session.assert_verdict(&["gateway-transport-blocked"]);
        assert_eq!(session.verdict()["confidence"], "likely", "{}", session.verdict());
        assert!(session.verdict()["summary"].to_string().contains("HTTP/2"), "{}", session.verdict());
    }
}

#[test]
fn a_gateway_of_http_1_0() {
    let (client, gateway) = (From::Client, From::Gateway);
    for flags in SETTINGS {
        let finished = passes(
            flags,
            usize::MAX,
            &[
                (0, client, OUT.to_vec()),
                (0, gateway, b"HTTP/1.0 200 OK\r\n\r\n".to_vec()),
                (0, gateway, vec![0xAB; 10]),
                (1, client, IN.to_vec()),
                (1, client, chunk(ASKS, "")),
                (0, gateway, ANSWERS.to_vec()),
            ],
        );
        assert_eq!(packets(&finished), ["handshake_request", "handshake_response"], "{}", finished.session());
        let versions = finished.session().events_named("http_response");
        assert_eq!(versions[0]["version"], "HTTP/1.0");
    }
}
