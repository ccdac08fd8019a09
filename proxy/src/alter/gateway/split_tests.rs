//! What is taken out of tunnels, and what is left.

use super::tests::traffic::{
    channel_response, chunk, frame, handshake_response, out_answer, packet, request, tunnel_create,
};
use super::*;
use crate::trace::INNER_CERT;
use crate::wire::tsgu::{Found, Packets, data_packet};
use crate::wire::websocket::{Frames, Piece, unmask};
use proptest::prelude::*;

const KEY: [u8; 4] = [9, 8, 7, 6];

type Sent = (Side, Vec<u8>);

/// What came of each side.
#[derive(Debug, Default, PartialEq)]
struct Run {
    other: [Vec<u8>; 2],
    data: [Vec<u8>; 2],
    /// What went on behind the end of RDP.
    end: [Vec<u8>; 2],
    notes: Vec<Note>,
    takes: [bool; 2],
    open: [bool; 2],
}

impl Run {
    fn of(sent: &[Sent], piece: usize) -> Run {
        let (mut splitter, mut run) = (TunnelSplitter::new(3), Run::default());
        for (side, bytes) in sent {
            for bytes in bytes.chunks(piece) {
                let mut splits = Vec::new();
                splitter.pass(7, *side, bytes, &mut splits, &mut run.notes);
                for split in splits {
                    let (place, bytes) = match split {
                        Split::Other(bytes) | Split::Rpc(bytes) => (&mut run.other, bytes),
                        Split::Data(bytes) => (&mut run.data, bytes),
                        Split::End(bytes) => (&mut run.end, bytes),
                    };
                    place[side.index()].extend(bytes);
                }
            }
        }
        run.takes = [Side::Client, Side::Server].map(|side| splitter.takes_data(side));
        run.open = [Side::Client, Side::Server].map(|side| splitter.is_open(side));
        run
    }

    /// The same however the bytes come.
    fn always(sent: &[Sent]) -> Run {
        let whole = Run::of(sent, usize::MAX);
        for piece in [1, 2, 7, 64] {
            assert_eq!(Run::of(sent, piece), whole, "in pieces of {piece}");
        }
        whole
    }
}

/// Its first letters are digits of a chunk's size.
#[test]
fn a_request_in_the_place_of_the_first_chunk_goes_on_whole() {
    const ANEW: &[u8] = b"ADDED /remoteDesktopGateway/ HTTP/1.1\r\nHost: gateway.example\r\n\r\n";
    let sent = [
        (Side::Client, request("RDG_IN_DATA", false, "Transfer-Encoding: chunked\r\n")),
        (Side::Server, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec()),
        (Side::Client, ANEW.to_vec()),
    ];
    let run = Run::always(&sent);
    assert!(run.other[0].ends_with(ANEW) && run.notes.is_empty(), "{run:?}");
}

fn upgraded() -> Vec<Sent> {
    vec![
        (Side::Client, request("RDG_OUT_DATA", true, "")),
        (Side::Server, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec()),
    ]
}

fn keepalive() -> Vec<u8> {
    packet(0xD, &[])
}

fn close() -> Vec<u8> {
    packet(0x10, &[0; 4])
}

#[test]
fn rdp_comes_out_of_a_websocket_and_the_rest_goes_on_as_it_was() {
    let mut sent = upgraded();
    let heads: [Vec<u8>; 2] = [sent[0].1.clone(), sent[1].1.clone()];
    let ping = [0x89, 0x80, 1, 2, 3, 4];
    let of_client = [
        frame(&tunnel_create(0x20), true),
        frame(&data_packet(b"hel"), true),
        ping.to_vec(),
        frame(&keepalive(), true),
        frame(&data_packet(b"lo"), true),
        frame(&close(), true),
    ];
    let of_server =
        [frame(&handshake_response(), false), frame(&data_packet(b"world"), false), frame(&close(), false)];
    sent.push((Side::Client, of_client.concat()));
    sent.push((Side::Server, of_server.concat()));
    let run = Run::always(&sent);
    let left = [&of_client[0], &ping.to_vec(), &of_client[3]].map(Vec::as_slice).concat();
    assert_eq!(run.other[0], [&heads[0][..], &left].concat());
    assert_eq!(run.other[1], [&heads[1][..], &of_server[0]].concat());
    assert_eq!(run.data, [b"hello".to_vec(), b"world".to_vec()]);
    assert_eq!(run.end, [of_client[5].clone(), of_server[2].clone()]);
    assert_eq!((run.takes, run.notes), ([true; 2], Vec::new()));
}

#[test]
fn packets_that_share_a_frame_or_span_several_are_told_apart() {
    let mut sent = upgraded();
    let both = [channel_response(None, &[]), data_packet(b"abc")].concat();
    let cut = [frame(&both[..11], false), frame(&both[11..], false)].concat();
    sent.push((Side::Server, cut));
    let run = Run::always(&sent);
    assert_eq!(run.data[1], b"abc");
    assert!(run.other[1].ends_with(&frame(&channel_response(None, &[]), false)));
}

#[test]
fn rdp_comes_out_of_two_connections() {
    let head = request("RDG_IN_DATA", false, "Transfer-Encoding: chunked\r\n");
    let body =
        [chunk(&tunnel_create(0x20), ""), chunk(&data_packet(b"hello"), ";x=y"), b"0\r\n\r\n".to_vec()];
    let incoming = Run::always(&[(Side::Client, [head.clone(), body.concat()].concat())]);
    let create = tunnel_create(0x20);
    let again = [format!("{:X}\r\n", create.len()).into_bytes(), create, b"\r\n".to_vec()].concat();
    assert_eq!(incoming.other[0], [head, again].concat());
    assert_eq!((&incoming.data[0][..], &incoming.end[0][..]), (&b"hello"[..], &b"0\r\n\r\n"[..]));
    assert_eq!((incoming.takes, incoming.notes), ([true, false], Vec::new()));

    let preamble = [0xA5; 100];
    let packets = [handshake_response(), data_packet(b"world"), keepalive()];
    let answer = [&preamble[..], &packets.concat()].concat();
    let answered = b"HTTP/1.1 200 OK\r\n\r\n";
    let outgoing = Run::always(&[
        (Side::Client, request("RDG_OUT_DATA", false, "")),
        (Side::Server, [&answered[..], &answer].concat()),
    ]);
    let left = [&answered[..], &preamble, &packets[0], &packets[2]].concat();
    assert_eq!((&outgoing.other[1], &outgoing.data[1][..]), (&left, &b"world"[..]));
    assert_eq!(outgoing.takes, [false, true]);
}

#[test]
fn a_client_that_was_refused_asks_again_in_the_place_of_the_body() {
    let head = request("RDG_IN_DATA", false, "Transfer-Encoding: chunked\r\n");
    let refused = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec();
    let run = Run::of(
        &[
            (Side::Client, head.clone()),
            (Side::Server, refused),
            (Side::Client, [head.clone(), chunk(&data_packet(b"x"), "")].concat()),
        ],
        usize::MAX,
    );
    assert_eq!((&run.other[0], &run.data[0][..]), (&[&head[..], &head].concat(), &b"x"[..]));
}

#[test]
fn channels_of_rpc_are_for_others_to_take_apart() {
    for method in ["RPC_IN_DATA", "RPC_OUT_DATA"] {
        let asked = [request(method, false, "Content-Length: 80\r\n"), vec![5; 80]].concat();
        let answer = [&b"HTTP/1.1 200 Success\r\nContent-Length: 1073741824\r\n\r\n"[..], &[6; 90]].concat();
        let sent = [(Side::Client, asked.clone()), (Side::Server, answer.clone())];
        let mut splitter = TunnelSplitter::new(1);
        let (mut splits, mut notes) = (Vec::new(), Vec::new());
        for (from, bytes) in &sent {
            splitter.pass(0, *from, bytes, &mut splits, &mut notes);
        }
        let pieces: Vec<&[u8]> = splits
            .iter()
            .filter_map(|split| match split {
                Split::Rpc(piece) => Some(&piece[..]),
                _ => None,
            })
            .collect();
        let expected: &[&[u8]] = if method == "RPC_OUT_DATA" { &[&[5; 80], &[6; 90]] } else { &[&[5; 80]] };
        assert_eq!((pieces, notes), (expected.to_vec(), Vec::new()), "{method}");
        let carries = if method == "RPC_OUT_DATA" { Side::Server } else { Side::Client };
        assert_eq!(splitter.rpc(), Some(carries));
    }
}

#[test]
fn what_cannot_be_split_goes_on_whole_and_that_is_said() {
    let reason = |run: &Run| match &run.notes[..] {
        [Note::NotAltered(not)] if not.setting == INNER_CERT => not.reason.clone(),
        notes => panic!("{notes:?}"),
    };
    let rpc = [request("RPC_IN_DATA", false, "Transfer-Encoding: chunked\r\n"), chunk(&[5; 80], "")].concat();
    let run = Run::of(&[(Side::Client, rpc.clone())], usize::MAX);
    assert!(reason(&run).contains("over RPC"), "{run:?}");
    assert_eq!((&run.other[0], run.open), (&rpc, [true; 2]));

    let mut sent = upgraded();
    sent.push((Side::Client, frame(&[0xFF; 16], true)));
    sent.push((Side::Client, b"and whatever follows".to_vec()));
    let run = Run::of(&sent, usize::MAX);
    assert!(reason(&run).contains("no tunnel"), "{run:?}");
    let payload = &sent[2].1[6..];
    assert!(run.other[0].ends_with(&[payload, &sent[3].1].concat()), "{run:?}");

    let smtp = Run::of(&[(Side::Server, b"220 mail ESMTP\r\n".to_vec())], usize::MAX);
    assert!(reason(&smtp).contains("cannot be read as HTTP"), "{smtp:?}");
    assert_eq!(smtp.other[1], b"220 mail ESMTP\r\n");
}

/// The RDP in data packets that were wrapped, and whether there is anything else.
fn unwrapped(bytes: &[u8]) -> (Vec<u8>, bool) {
    let (mut packets, mut data, mut is_pure, mut input) = (Packets::default(), Vec::new(), true, bytes);
    while let Some(found) = packets.next(&mut input) {
        match found {
            Found::Data(bytes) => data.extend_from_slice(bytes),
            Found::Packet(packet) => is_pure &= packet.name() == "data",
            _ => is_pure = false,
        }
    }
    (data, is_pure && packets.is_at_boundary())
}

proptest! {
    #[test]
    fn what_is_wrapped_can_be_read(data in proptest::collection::vec(any::<u8>(), 1..70_000)) {
        let mut splitter = TunnelSplitter::new(1);
        for (side, bytes) in upgraded() {
            splitter.pass(0, side, &bytes, &mut Vec::new(), &mut Vec::new());
        }
        for side in [Side::Client, Side::Server] {
            let wrapped = splitter.wrap(side, &data, KEY);
            let (mut frames, mut plain, mut input) = (Frames::default(), Vec::new(), &wrapped[..]);
            while let Some(piece) = frames.next(&mut input) {
                match piece.unwrap() {
                    Piece::Header(header) => {
                        prop_assert_eq!(header.mask, (side == Side::Client).then_some(KEY));
                    }
                    Piece::Payload { bytes, mask } => {
                        let start = plain.len();
                        plain.resize(start + bytes.len(), 0);
                        unmask(bytes, mask, &mut plain[start..]);
                    }
                    Piece::End(_) => {}
                }
            }
            prop_assert!(frames.is_at_boundary());
            prop_assert_eq!(unwrapped(&plain), (data.clone(), true));
        }
    }

    #[test]
    fn any_chunking_gives_the_same(
        packets in proptest::collection::vec(
            (prop_oneof![Just(0xA_u16), Just(0xB), Just(0xD), 0_u16..20], proptest::collection::vec(any::<u8>(), 0..60)),
            0..12,
        ),
        noise in proptest::collection::vec(any::<u8>(), 0..30),
        cut in 1_usize..40,
        piece in 1_usize..30,
    ) {
        let content: Vec<u8> = packets.iter().flat_map(|(kind, body)| packet(*kind, body)).chain(noise).collect();
        let framed = |is_masked| content.chunks(cut).flat_map(move |part| frame(part, is_masked)).collect::<Vec<u8>>();
        let mut sent = upgraded();
        sent.push((Side::Client, framed(true)));
        sent.push((Side::Server, framed(false)));
        let head = request("RDG_IN_DATA", false, "Transfer-Encoding: chunked\r\n");
        let chunked: Vec<u8> = content.chunks(cut).flat_map(|part| chunk(part, "")).collect();
        let incoming = vec![(Side::Client, [head, chunked].concat())];
        let outgoing = vec![
            (Side::Client, request("RDG_OUT_DATA", false, "")),
            (Side::Server, [out_answer("").as_slice(), &content].concat()),
        ];
        for sent in [sent, incoming, outgoing] {
            let (pieces, whole) = (Run::of(&sent, piece), Run::of(&sent, usize::MAX));
            prop_assert_eq!(&pieces.data, &whole.data);
            prop_assert_eq!(pieces.notes.len(), whole.notes.len());
        }
    }
}
