//! What must hold for any bytes on a connection to a gateway.

use super::{
    MOST_JSON, MOST_JSON_PER_BYTE, MOST_LINES_PER_BYTE, MOST_LINES_WITHOUT_BYTES, decoded, json_length,
    line_length, pieces, survives_json, value,
};
use rdpscope::observe::gateway::GatewayUdpObserver;
use rdpscope::observe::{GatewayObserver, Timeline};
use rdpscope::trace::{Event, How, Line, Micros, Side, Transport};
use rdpscope::wire::Malformed;
use rdpscope::wire::http::{self, Body, Framing, Part, RequestHead, ResponseHead};
use rdpscope::wire::rpch::{rpc, rts, tsproxy};
use rdpscope::wire::tls::dtls;
use rdpscope::wire::tsgu::{Found, Packet, Packets};
use rdpscope::wire::websocket::{FrameHeader, Frames, Piece};

/// Connections that an input can name.
const CONNECTIONS: u32 = 4;

/// Heads, and the bodies of each framing, the same for any chunking.
pub(super) fn http(bytes: &[u8]) {
    let whole = http::head_length(bytes, 0);
    let found = (0..=bytes.len()).find_map(|end| http::head_length(&bytes[..end], end.saturating_sub(1)));
    assert_eq!(whole, found, "in single bytes");
    if let Some(length) = whole {
        let head = &bytes[..length];
        if let Ok(request) = RequestHead::decode(head) {
            assert_eq!(request.length, length);
            request.headers.iter().for_each(|header| survives_json(head, header));
            request.authorization.iter().for_each(|authorization| survives_json(head, authorization));
        }
        if let Ok(response) = ResponseHead::decode(head, None) {
            assert_eq!(response.length, length);
            response.headers.iter().for_each(|header| survives_json(head, header));
            response.challenges.iter().for_each(|challenge| survives_json(head, challenge));
        }
    }
    if let Ok(Some(path)) = http::http2::first_path(bytes) {
        assert!(path.len() <= bytes.len() * 2, "{path:?}");
    }
    for framing in [Framing::None, Framing::Length(9), Framing::Chunked, Framing::UntilClose] {
        let whole = content(framing, &[bytes]);
        assert!(whole.0.len() <= bytes.len());
        assert_eq!(whole, content(framing, &bytes.chunks(1).collect::<Vec<_>>()), "in single bytes");
        assert_eq!(whole, content(framing, &pieces(bytes)), "in other pieces");
    }
}

/// The content of a body, what else was told of it, and the bytes left.
fn content(framing: Framing, pieces: &[&[u8]]) -> (Vec<u8>, Vec<String>, usize) {
    let (mut body, mut data, mut told, mut left) = (Body::new(framing), Vec::new(), Vec::new(), 0);
    // A body of no bytes is over before any come.
    for mut piece in std::iter::once(&[][..]).chain(pieces.iter().copied()) {
        while let Some(part) = body.next(&mut piece) {
            match part {
                Ok(Part::Data(bytes)) => data.extend_from_slice(bytes),
                other => told.push(format!("{other:?}")),
            }
        }
        left += piece.len();
    }
    (data, told, left)
}

/// Frames, the same for any chunking.
pub(super) fn websocket(bytes: &[u8]) {
    if let Some((header, _)) = decoded(bytes, FrameHeader::decode) {
        assert!(header.opcode < 16 && header.length >> 63 == 0, "{header:?}");
    }
    let whole = frames(&[bytes]);
    assert_eq!(whole, frames(&bytes.chunks(1).collect::<Vec<_>>()), "in single bytes");
    assert_eq!(whole, frames(&pieces(bytes)), "in other pieces");
}

fn frames(pieces: &[&[u8]]) -> (Vec<String>, Vec<u8>) {
    let (mut frames, mut told, mut payload) = (Frames::default(), Vec::new(), Vec::new());
    for mut piece in pieces.iter().copied() {
        while let Some(seen) = frames.next(&mut piece) {
            match seen {
                Ok(Piece::Payload { bytes, mask }) => {
                    let mask = mask.unwrap_or_default();
                    payload.extend(bytes.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
                }
                other => told.push(format!("{other:?}")),
            }
        }
        assert!(piece.is_empty(), "what is left is kept");
    }
    told.push(frames.is_at_boundary().to_string());
    (told, payload)
}

/// One packet, and packets in a direction, the same for any chunking and whether or not data is passed over unseen.
pub(super) fn tsgu(bytes: &[u8]) {
    value(bytes, Packet::decode(bytes));
    for preamble in [false, true] {
        let whole = packets(preamble, false, &[bytes]);
        assert_eq!(whole, packets(preamble, false, &bytes.chunks(1).collect::<Vec<_>>()), "in single bytes");
        assert_eq!(whole, packets(preamble, false, &pieces(bytes)), "in other pieces");
        assert_eq!(whole.0, packets(preamble, true, &pieces(bytes)).0, "without its data");
    }
}

fn packets(preamble: bool, skips: bool, pieces: &[&[u8]]) -> (Vec<String>, Vec<u8>) {
    let mut packets = if preamble { Packets::with_preamble() } else { Packets::default() };
    let (mut told, mut data) = (Vec::new(), Vec::new());
    let mut come = 0;
    for mut piece in pieces.iter().copied() {
        come += piece.len() as u64;
        loop {
            let ahead = if skips { packets.payload_ahead().min(piece.len()) } else { 0 };
            packets.skip(ahead);
            piece = &piece[ahead..];
            match packets.next(&mut piece) {
                None if piece.is_empty() => break,
                None => {}
                Some(Found::Data(bytes)) => data.extend_from_slice(bytes),
                Some(found) => told.push(format!("{found:?}")),
            }
        }
        assert_eq!(packets.come(), come);
    }
    told.push(format!("{:?} {} {}", packets.preamble(), packets.is_at_boundary(), packets.is_lost()));
    (told, data)
}

/// An attempt: the same lines for any chunking, which survive JSON and are no more than the bytes account for.
///
/// Steps: a byte whose top bit is the side, whose next two are the connection, and which with the next byte is the number
/// of bytes that this side sends, and those bytes.
pub(super) fn gateway_observer(bytes: &[u8]) {
    let steps = steps(bytes);
    let whole = observed(&steps, |sent| vec![sent]);
    for other in [observed(&steps, |sent| sent.chunks(1).collect()), observed(&steps, pieces)] {
        for (line, other) in whole.lines.iter().zip(&other.lines) {
            assert_eq!(line, other, "in other pieces");
        }
        assert_eq!(whole, other, "in other pieces");
    }
    let sent = steps.iter().map(|(.., sent)| sent.len()).sum::<usize>();
    let most = sent * MOST_LINES_PER_BYTE + MOST_LINES_WITHOUT_BYTES;
    assert!(whole.lines.len() <= most, "{whole:?}");
    let json: usize = whole.lines.iter().map(line_length).sum();
    assert!(
        json <= MOST_JSON + sent * MOST_JSON_PER_BYTE,
        "{json} bytes of JSON for {sent} bytes: {whole:?}"
    );
}

type Steps<'a> = Vec<(u32, Side, &'a [u8])>;

fn steps(mut rest: &[u8]) -> Steps<'_> {
    let mut steps = Steps::new();
    while let [first, second, after @ ..] = rest {
        let side = if first & 0x80 == 0 { Side::Client } else { Side::Server };
        let length = usize::from(first & 0x1f) << 8 | usize::from(*second);
        let (sent, after) = after.split_at(length.min(after.len()));
        steps.push((u32::from(first >> 5) % CONNECTIONS + 1, side, sent));
        rest = after;
    }
    steps
}

/// All that a gateway observer tells.
#[derive(Debug, PartialEq)]
struct Observed {
    lines: Vec<Line>,
    transport: Option<Transport>,
    ids: Vec<Option<String>>,
    spoken: Vec<bool>,
    opaque: Vec<[bool; 2]>,
}

fn observed<'a>(steps: &Steps<'a>, cut: impl Fn(&'a [u8]) -> Vec<&'a [u8]>) -> Observed {
    let mut observer = GatewayObserver::default();
    let mut events: Vec<Event> = Vec::new();
    let mut t_us: Micros = 0;
    for (connection, side, sent) in steps {
        t_us += 1000;
        for piece in cut(sent) {
            observer.data(t_us, *connection, *side, piece, &mut events);
        }
    }
    let connections = 1..=CONNECTIONS;
    let opaque = |number| [Side::Client, Side::Server].map(|side| observer.is_opaque(number, side));
    let opaque = connections.clone().map(opaque).collect();
    for number in connections.clone() {
        observer.ended(t_us, number, Side::Server, How::Fin, &mut events);
        observer.ended(t_us, number, Side::Client, How::Reset, &mut events);
    }
    let (mut timeline, mut lines) = (Timeline::default(), Vec::new());
    events.into_iter().for_each(|event| timeline.push(event, &mut lines));
    timeline.finish(t_us, &mut lines);
    lines.push(Line::Summary(Box::new(timeline.summary().clone())));
    Observed {
        lines,
        transport: observer.transport(),
        ids: connections.clone().map(|number| observer.connection_id(number).map(str::to_owned)).collect(),
        spoken: connections.map(|number| observer.belonging(number).is_some()).collect(),
        opaque,
    }
}

/// Calls of TsProxy that a stub may be of, and one that there is not.
const CALLS: std::ops::RangeInclusive<u16> = 0..=9;

/// One PDU of RPC, and stubs by themselves.
pub(super) fn rpc(bytes: &[u8]) {
    if let Some((header, _)) = decoded(bytes, rpc::Header::decode) {
        let _no_limits = rpc::Pdu::decode(header, bytes).map_err(|malformed| is_inside(bytes, &malformed));
        if rts::is_rts(&header) {
            let _no_limits = rts::Rts::decode(bytes).map_err(|malformed| is_inside(bytes, &malformed));
        }
    }
    for number in CALLS {
        for packet in [tsproxy::request(number, bytes), tsproxy::response(number, bytes)] {
            match packet {
                Ok(packet) => survives_json(bytes, &packet),
                Err(malformed) => is_inside(bytes, &malformed),
            }
        }
    }
    let sent = tsproxy::sent_to_server(bytes).map_or(0, |buffers| buffers.iter().map(|it| it.len()).sum());
    assert!(sent <= bytes.len());
}

fn is_inside(bytes: &[u8], malformed: &Malformed) {
    assert!(malformed.offset <= bytes.len(), "{malformed} in {} bytes", bytes.len());
}

/// Datagrams of the side channel: a byte whose top bit is the side and whose other bits are the seconds that passed, a
/// byte for the length, and the datagram.
pub(super) fn gateway_udp(bytes: &[u8]) {
    /// The first datagram, that it works, and at the end what became of it.
    const MOST_MESSAGES: usize = 4;
    let (mut observer, mut messages) = (GatewayUdpObserver::default(), Vec::new());
    let (mut t_us, mut rest) = (0, bytes);
    while let [first, second, after @ ..] = rest {
        let side = if first & 0x80 == 0 { Side::Client } else { Side::Server };
        let (datagram, after) = after.split_at(usize::from(*second).min(after.len()));
        t_us += u64::from(first & 0x7f) * 1_000_000;
        observer.datagram(t_us, side, datagram, &mut messages);
        rest = after;
    }
    observer.finish(t_us, &mut messages);
    assert!(messages.len() <= MOST_MESSAGES, "{messages:?}");
    messages.iter().for_each(|(_, message)| assert!(json_length(message) > 0));

    let _either = dtls::answer(bytes);
    if let Ok(record) = dtls::client_hello(bytes) {
        assert!(dtls::answer(&record).is_none(), "a client's hello is no answer");
    }
}
