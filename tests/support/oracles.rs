//! What must hold for any bytes at all: one function a parser or observer, for the fuzzer and for ordinary tests.
//!
//! Each fails by a panic, its own or that of the code under test.

#[path = "oracles_changes.rs"]
mod changes;
#[path = "oracles_files.rs"]
mod files;
#[path = "oracles_gateway.rs"]
mod gateway;
#[path = "oracles_peers.rs"]
mod peers;
#[path = "oracles_profile.rs"]
mod profile;
#[path = "oracles_redaction.rs"]
mod redaction;
#[path = "oracles_secrets.rs"]
mod secrets;
#[path = "oracles_words.rs"]
mod words;

use rdpscope::alter::{Alterations, Gate, Note};
use rdpscope::observe::gateway::rpc::RpcObserver;
use rdpscope::observe::{InsideObserver, SessionObserver, Timeline, UdpObserver};
use rdpscope::trace::{Event, How, Line, Micros, Side, UdpMessage};
use rdpscope::wire::credssp::{self, NegoToken, TsRequest};
use rdpscope::wire::rdsaad::RdsAadPdu;
use rdpscope::wire::rdstls::RdstlsPdu;
use rdpscope::wire::tls::{
    Alert, ClientHello, HandshakeReader, RecordReader, ServerHello, ServerKeyExchange,
};
use rdpscope::wire::{
    Decoded, early_user_authorization, gcc, greeting, mcs, preconnection, rdp, rdpeudp, rdpeudp2, tls, tpkt,
    x224,
};
use rdpscope_certs::inspect::inspect;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// What judges the bytes that a fuzzer thought of.
pub(crate) type Oracle = fn(&[u8]);

/// Every oracle by the name of its fuzz target and of its folder in the corpus.
pub(crate) const ORACLES: [(&str, Oracle); 40] = [
    ("x224", x224_negotiation),
    ("preconnection", preconnection_pdu),
    ("tls_records", tls_records),
    ("client_hello", client_hello),
    ("certificate", certificate),
    ("mcs", mcs_and_gcc),
    ("rdp", rdp_pdus),
    ("rdpeudp", rdpeudp_datagram),
    ("credssp", credssp),
    ("session_observer", session_observer),
    ("inside_observer", inside_observer),
    ("udp_observer", udp_observer),
    ("alter_gate", alter_gate),
    ("rpc_observer", rpc_observer),
    ("http", gateway::http),
    ("websocket", gateway::websocket),
    ("tsgu", gateway::tsgu),
    ("gateway_observer", gateway::gateway_observer),
    ("capture", files::capture),
    ("trace", files::trace),
    ("rdp_file", profile::rdp_file),
    ("rpc", gateway::rpc),
    ("gateway_udp", gateway::gateway_udp),
    ("gateway_gate", changes::gateway_gate),
    ("tunnel_splitter", changes::tunnel_splitter),
    ("impairment", changes::impairment),
    ("proxy_talk", changes::proxy_talk),
    ("first_hello", peers::first_hello),
    ("upstream_proxy", peers::upstream_proxy),
    ("credssp_server", peers::credssp_server),
    ("credssp_client", peers::credssp_client),
    ("decryption", secrets::decryption),
    ("private_key", secrets::private_key),
    ("terminated_observer", secrets::terminated_observer),
    ("mirror", secrets::mirror),
    ("words", words::words),
    ("event_log", words::event_log),
    ("certificate_file", words::certificate_file),
    ("redaction", redaction::redaction),
    ("bundle", redaction::bundle),
];

/// JSON that any input may make, besides what grows with its length: keys, names and hashes of one structure.
const MOST_JSON: usize = 16 * 1024;
/// JSON bytes that one byte of input may make. The worst is a list of two-byte numbers that are all named.
const MOST_JSON_PER_BYTE: usize = 64;
/// Events that a byte may make: an inferred one beside what was seen, and the line of a phase that ended before.
const MOST_LINES_PER_BYTE: usize = 4;
/// Lines that need no byte: the two endings, and the phases that they close.
const MOST_LINES_WITHOUT_BYTES: usize = 32;

fn x224_negotiation(bytes: &[u8]) {
    decoded(bytes, tpkt::tpkt_header);
    decoded(bytes, tpkt::fast_path_header);
    decoded(bytes, x224::decode);
    if let Some((tpkt::Pdu::Slow { payload }, length)) = decoded(bytes, tpkt::next_pdu) {
        assert!(payload.start <= payload.end && payload.end <= length, "{payload:?} of {length}");
    }
    match x224::decode(bytes) {
        Ok(Some((x224::Tpdu::ConnectionRequest(request), _))) => survives_json(bytes, &request),
        Ok(Some((x224::Tpdu::ConnectionConfirm(confirm), _))) => survives_json(bytes, &confirm),
        Ok(Some((x224::Tpdu::NegotiationFailure(failure), _))) => survives_json(bytes, &failure),
        _ => {}
    }
}

fn preconnection_pdu(bytes: &[u8]) {
    if let Some((pdu, _)) = decoded(bytes, preconnection::decode) {
        assert!(preconnection::may_start(bytes));
        survives_json(bytes, &pdu);
    }
    let known = greeting::recognise(bytes);
    let early = bytes.get(..greeting::TELLING_LENGTH).and_then(greeting::recognise);
    assert!(bytes.len() < greeting::TELLING_LENGTH || known == early, "{known:?} after {early:?}");
}

/// Records, the messages in them and what those say, the same for any chunking.
fn tls_records(bytes: &[u8]) {
    let whole = tls_told(&[bytes]);
    assert!(whole.len() <= bytes.len() + 1, "{} of {} bytes", whole.len(), bytes.len());
    assert_eq!(whole, tls_told(&bytes.chunks(1).collect::<Vec<_>>()));
    assert_eq!(whole, tls_told(&pieces(bytes)));
}

fn tls_told(pieces: &[&[u8]]) -> Vec<String> {
    let (mut records, mut messages) = (RecordReader::new(), HandshakeReader::new());
    let mut told = Vec::new();
    for mut piece in pieces.iter().copied() {
        while let Some(record) = records.next(&mut piece) {
            told.push(format!("{record:?}"));
            let Ok(record) = record else { continue };
            let fragment = record.fragment.unwrap_or_default();
            let mut rest = &fragment[..];
            while let Some(message) = messages.next(&mut rest) {
                told.push(format!("{message:?}"));
            }
            assert!(rest.is_empty(), "a reader without a message has read everything");
        }
        assert!(piece.is_empty(), "a reader without a record has read everything");
    }
    told.push(format!("{:?} {:?}", records.unfinished(), messages.unfinished()));
    told
}

/// The bodies of every handshake message that is read, and alerts.
fn client_hello(bytes: &[u8]) {
    value(bytes, ClientHello::decode(bytes, 0x0303));
    value(bytes, ServerHello::decode(bytes));
    value(bytes, Alert::decode(bytes));
    for version in ["TLS1.0", "TLS1.2"] {
        for cipher_suite in [0x0033, 0xc014, 0xc030] {
            let _no_json = ServerKeyExchange::decode(bytes, cipher_suite, version);
        }
    }
    for certificate in tls::certificate_list(bytes).unwrap_or_default() {
        assert!(certificate.len() <= bytes.len());
    }
}

fn certificate(bytes: &[u8]) {
    let Ok(certificate) = inspect(bytes) else { return };
    survives_json(bytes, &certificate);
    certificate.weaknesses().iter().for_each(|weakness| assert!(!weakness.to_string().is_empty()));
    for unix_seconds in [i64::MIN, 0, i64::MAX] {
        assert!(!certificate.validity_words(unix_seconds).is_empty());
    }
    for name in ["localhost", "127.0.0.1", "[::1]", "", ".", "*"] {
        let _either = certificate.matches_name(name) | certificate.permits_server_authentication();
    }
}

fn mcs_and_gcc(bytes: &[u8]) {
    let pdu = match mcs::decode(bytes) {
        Ok(pdu) => pdu,
        Err(malformed) => return assert!(malformed.offset <= bytes.len(), "{malformed}"),
    };
    match pdu {
        mcs::McsPdu::ConnectInitial(connect) => {
            value(bytes, gcc::client_data(bytes, &connect));
            blocks_are_inside(bytes, gcc::client_blocks(bytes, &connect));
        }
        mcs::McsPdu::ConnectResponse(connect) => {
            value(bytes, gcc::server_data(bytes, &connect));
            blocks_are_inside(bytes, gcc::server_blocks(bytes, &connect));
        }
        mcs::McsPdu::SendDataRequest(data) | mcs::McsPdu::SendDataIndication(data) => {
            assert!(bytes.get(data.payload.clone()).is_some(), "{data:?}");
        }
        _ => {}
    }
}

fn blocks_are_inside(bytes: &[u8], list: Result<gcc::BlockList, rdpscope::wire::Malformed>) {
    let Ok(list) = list else { return };
    for block in &list.blocks {
        assert!(block.offset + usize::from(block.length) <= bytes.len(), "{block:?}");
    }
    for offset in [
        gcc::server_selected_protocol_offset(&list.blocks),
        gcc::client_requested_protocols_offset(&list.blocks),
        gcc::multitransport_flags_offset(&list.blocks),
    ] {
        assert!(offset.is_none_or(|offset| offset + 4 <= bytes.len()), "{offset:?} of {}", bytes.len());
    }
}

/// Every body that stands behind a security header or a share header.
fn rdp_pdus(bytes: &[u8]) {
    value(bytes, rdp::security::security_exchange(bytes));
    value(bytes, rdp::client_info::client_info(bytes));
    value(bytes, rdp::licensing::license(bytes));
    value(bytes, rdp::redirection::server_redirection(bytes));
    value(bytes, rdp::multitransport::multitransport_request(bytes));
    value(bytes, rdp::multitransport::multitransport_response(bytes));
    value(bytes, rdp::autodetect::autodetect(bytes));
    value(bytes, rdp::heartbeat::heartbeat(bytes));
    value(bytes, rdp::capabilities::demand_active(bytes));
    value(bytes, rdp::capabilities::confirm_active(bytes));
    value(bytes, rdp::logon::save_session_info(bytes));
    value(bytes, rdp::share::synchronize(bytes));
    value(bytes, rdp::share::control(bytes));
    value(bytes, rdp::share::set_error_info(bytes));
    value(bytes, rdp::share::status_info(bytes));
    value(bytes, rdp::share::auto_reconnect_status(bytes));
    let _no_json = (rdp::security::basic_header(bytes), rdp::share::share_data(bytes));
    if let Ok(control) = rdp::share::share_control(bytes) {
        assert!((4..=bytes.len()).contains(&control.total_length), "{control:?}");
    }
}

fn rdpeudp_datagram(bytes: &[u8]) {
    if let Ok(datagram) = rdpeudp::Datagram::decode(bytes) {
        assert!(datagram.payload.is_none_or(|payload| payload.offset <= bytes.len()), "{datagram:?}");
        assert!(datagram.version() <= 3 && !(datagram.is_syn() && datagram.is_syn_ack()), "{datagram:?}");
    }
    if let Ok(packet) = rdpeudp2::Packet::decode(bytes) {
        assert!(packet.data.len() < bytes.len(), "{packet:?}");
    }
    let _either = rdpeudp::RecordProtocol::of(bytes);
}

/// Every message of an authentication inside TLS, and the tokens in CredSSP by themselves.
fn credssp(bytes: &[u8]) {
    let told = credssp::message_length(bytes);
    match decoded(bytes, TsRequest::decode) {
        Some((request, length)) => {
            assert_eq!(told, Ok(Some(length)), "its length is known from its header");
            survives_json(bytes, &request);
        }
        None => {
            assert!(
                !told.is_ok_and(|length| length.is_some_and(|length| length > credssp::LONGEST_TS_REQUEST))
            );
        }
    }
    survives_json(bytes, &NegoToken::decode(bytes));
    if let Some((pdu, _)) = decoded(bytes, RdstlsPdu::decode) {
        survives_json(bytes, &pdu);
    }
    if let Some((pdu, _)) = decoded(bytes, RdsAadPdu::decode) {
        survives_json(bytes, &pdu);
    }
    decoded(bytes, early_user_authorization::decode);
}

/// A conversation: the same lines for any chunking, which survive JSON and are no more than the bytes account for.
///
/// The first byte chooses how it begins, so that a fuzzer does not have to find a valid X.224 exchange: without one,
/// or with the confirm that selects RDP, SSL, HYBRID or HYBRID_EX. Then follow steps: a byte whose top bit is the side
/// and which with the next byte is the number of bytes that this side sends, and those bytes.
fn session_observer(bytes: &[u8]) {
    let steps = conversation(bytes);
    let whole = observed(&steps, |sent| vec![sent]);
    for other in [observed(&steps, |sent| sent.chunks(1).collect()), observed(&steps, pieces)] {
        for (line, other) in whole.lines.iter().zip(&other.lines) {
            assert_eq!(line, other, "in other pieces");
        }
        assert_eq!(whole, other, "in other pieces");
    }

    are_bounded(&whole.lines, steps.iter().map(|(_, sent)| sent.len()).sum());
}

/// The lines are no more, and no longer, than the bytes that were sent account for.
fn are_bounded(lines: &[Line], sent: usize) {
    assert!(lines.len() <= sent * MOST_LINES_PER_BYTE + MOST_LINES_WITHOUT_BYTES, "{lines:?}");
    let json: usize = lines.iter().map(line_length).sum();
    assert!(
        json <= MOST_JSON + sent * MOST_JSON_PER_BYTE,
        "{json} bytes of JSON for {sent} bytes: {lines:?}"
    );
}

type Steps = Vec<(Side, Vec<u8>)>;

fn conversation(bytes: &[u8]) -> Steps {
    let Some((beginning, rest)) = bytes.split_first() else { return Steps::new() };
    let mut steps = match beginning % 5 {
        0 => Steps::new(),
        beginning => x224_exchange(&[0, 1, 2, 8][usize::from(beginning) - 1..][..1]),
    };
    steps.extend(steps_in(rest));
    steps
}

/// Steps: a byte whose top bit is the side and which with the next byte is the number of bytes that this side sends, and
/// those bytes.
fn steps_in(mut rest: &[u8]) -> Steps {
    let mut steps = Steps::new();
    while let [first, second, after @ ..] = rest {
        let side = if first & 0x80 == 0 { Side::Client } else { Side::Server };
        let length = usize::from(first & 0x7f) << 8 | usize::from(*second);
        let (sent, after) = after.split_at(length.min(after.len()));
        steps.push((side, sent.to_vec()));
        rest = after;
    }
    steps
}

/// A request without cookie that asks for everything, and the confirm that selects `protocol`.
fn x224_exchange(protocol: &[u8]) -> Steps {
    let request = [3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 11, 0, 0, 0];
    let confirm = [&[3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0], protocol, &[0, 0, 0]].concat();
    vec![(Side::Client, request.to_vec()), (Side::Server, confirm)]
}

/// All that a session observer tells.
#[derive(Debug, PartialEq)]
struct Observed {
    lines: Vec<Line>,
    opaque: [bool; 2],
    alerted: [bool; 2],
    announced_end: Option<rdpscope::trace::Side>,
}

fn observed<'a>(steps: &'a Steps, cut: impl Fn(&'a [u8]) -> Vec<&'a [u8]>) -> Observed {
    let mut observer = SessionObserver::default();
    let (mut timeline, mut lines) = (Timeline::default(), Vec::new());
    let mut take = |events: Vec<Event>| events.into_iter().for_each(|event| timeline.push(event, &mut lines));
    let mut t_us: Micros = 0;
    for (side, sent) in steps {
        t_us += 1000;
        for piece in cut(sent) {
            let mut events = Vec::new();
            observer.data(t_us, *side, piece, &mut events);
            take(events);
        }
    }
    let mut events = Vec::new();
    observer.ended(t_us, Side::Client, How::Fin, &mut events);
    observer.ended(t_us, Side::Server, How::Reset, &mut events);
    take(events);
    timeline.finish(t_us, &mut lines);
    Observed {
        lines,
        opaque: [observer.is_opaque(Side::Client), observer.is_opaque(Side::Server)],
        alerted: [observer.alerted(Side::Client), observer.alerted(Side::Server)],
        announced_end: observer.announced_end(),
    }
}

/// The protocols that the first byte of an inner conversation chooses from.
const SELECTED_PROTOCOLS: [Option<u32>; 7] =
    [None, Some(1), Some(2), Some(4), Some(8), Some(0x10), Some(0x20)];

/// What stands inside TLS, likewise: the first byte chooses the selected protocol, then follow steps.
fn inside_observer(bytes: &[u8]) {
    let Some((protocol, rest)) = bytes.split_first() else { return };
    let protocol = SELECTED_PROTOCOLS[usize::from(*protocol) % SELECTED_PROTOCOLS.len()];
    let steps = steps_in(rest);
    let whole = observed_inside(protocol, &steps, |sent| vec![sent]);
    assert_eq!(whole, observed_inside(protocol, &steps, |sent| sent.chunks(1).collect()), "in single bytes");
    assert_eq!(whole, observed_inside(protocol, &steps, pieces), "in other pieces");
    are_bounded(&whole.lines, steps.iter().map(|(_, sent)| sent.len()).sum());
}

fn observed_inside<'a>(
    protocol: Option<u32>,
    steps: &'a Steps,
    cut: impl Fn(&'a [u8]) -> Vec<&'a [u8]>,
) -> Observed {
    let mut observer = InsideObserver::new(protocol);
    let (mut timeline, mut lines) = (Timeline::default(), Vec::new());
    let mut t_us: Micros = 0;
    let mut events = Vec::new();
    for (side, sent) in steps {
        t_us += 1000;
        cut(sent).into_iter().for_each(|piece| observer.data(t_us, *side, piece, &mut events));
    }
    observer.ended(t_us, Side::Client, &mut events);
    observer.ended(t_us, Side::Server, &mut events);
    events.into_iter().for_each(|event| timeline.push(event, &mut lines));
    timeline.finish(t_us, &mut lines);
    Observed {
        lines,
        opaque: [observer.is_opaque(Side::Client), observer.is_opaque(Side::Server)],
        alerted: [false; 2],
        announced_end: observer.announced_end(),
    }
}

/// Datagrams: a byte whose top bit is the side and whose other bits are the seconds that passed, a byte for the length,
/// and the datagram. A length of 255 stands for the datagram with zeros up to the MTU.
fn udp_observer(bytes: &[u8]) {
    const MTU: usize = 1232;
    let (mut observer, mut messages) = (UdpObserver::new(), Vec::new());
    let (mut t_us, mut count, mut rest) = (0, 0, bytes);
    while let [first, second, after @ ..] = rest {
        let side = if first & 0x80 == 0 { Side::Client } else { Side::Server };
        let (sent, after) = after.split_at(usize::from(*second).min(after.len()));
        let mut datagram = sent.to_vec();
        if *second == u8::MAX {
            datagram.resize(MTU, 0);
        }
        t_us += u64::from(first & 0x7f) * 1_000_000;
        observer.tick(t_us, &mut messages);
        observer.datagram(t_us, side, &datagram, &mut messages);
        (count, rest) = (count + 1, after);
    }
    observer.finish(t_us, &mut messages);
    let summary = observer.summary();
    assert_eq!(summary.datagrams_up + summary.datagrams_down, count as u64);
    // A datagram tells one thing, what it opens and what it carries; the silence before it of each side, too.
    assert!(messages.len() <= 4 * (count + 1), "{} messages for {count} datagrams", messages.len());
    messages.iter().for_each(|message: &UdpMessage| {
        json_length(message);
    });
    json_length(summary);
}

/// RPC over HTTP on two connections: steps of the side and the connection, top bits of a byte, the length in its other bits
/// and the next byte, and the bytes of the body.
fn rpc_observer(bytes: &[u8]) {
    let (mut steps, mut rest, mut sent) = (Vec::new(), bytes, 0);
    while let [first, second, after @ ..] = rest {
        let side = if first & 0x80 == 0 { Side::Client } else { Side::Server };
        let length = usize::from(first & 0x3f) << 8 | usize::from(*second);
        let (body, after) = after.split_at(length.min(after.len()));
        steps.push((1 + u32::from(first >> 6 & 1), side, body));
        sent += body.len();
        rest = after;
    }
    let whole = observed_rpc(&steps, |body| vec![body]);
    assert_eq!(whole, observed_rpc(&steps, |body| body.chunks(1).collect()), "in single bytes");
    assert_eq!(whole, observed_rpc(&steps, pieces), "in other pieces");
    let (lines, traffic) = whole;
    are_bounded(&lines, sent);
    let rdp: u64 = traffic.iter().map(|(_, bytes)| bytes).sum();
    assert!(rdp <= sent as u64, "{rdp} bytes of RDP in {sent}");
}

/// What is told, and the traffic of both sides.
type ObservedRpc = (Vec<Line>, [(u64, u64); 2]);

fn observed_rpc<'a>(steps: &[(u32, Side, &'a [u8])], cut: impl Fn(&'a [u8]) -> Vec<&'a [u8]>) -> ObservedRpc {
    let (mut observer, mut inner) = (RpcObserver::default(), SessionObserver::default());
    let (mut timeline, mut lines) = (Timeline::default(), Vec::new());
    let mut t_us: Micros = 0;
    let mut events = Vec::new();
    for (connection, side, body) in steps {
        t_us += 1000;
        for piece in cut(body) {
            observer.data(t_us, *connection, *side, piece, &mut events, &mut inner);
        }
    }
    for (connection, side) in [(1, Side::Client), (1, Side::Server), (2, Side::Client), (2, Side::Server)] {
        observer.ended(t_us, connection, side, &mut events);
    }
    events.into_iter().for_each(|event| timeline.push(event, &mut lines));
    timeline.finish(t_us, &mut lines);
    (lines, [Side::Client, Side::Server].map(|side| observer.traffic(side)))
}

/// A conversation through a gate: the same for any chunking, nothing lost, and nothing different but what is recorded.
///
/// The first byte says what is to be changed (bits 0 and 1) and, in the bits above, in what: the negotiation in clear, or
/// inside TLS without X.224, with SSL, HYBRID, RDSTLS, HYBRID_EX or RDSAAD. Then follows a conversation.
fn alter_gate(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let steps = conversation(rest);
    let gate = || {
        let alterations = Alterations { strip_nla: first & 1 != 0, udp_off: first & 2 != 0 };
        let gate = Gate::for_negotiation(alterations);
        let inside =
            [None, Some(None), Some(Some(1)), Some(Some(2)), Some(Some(4)), Some(Some(8)), Some(Some(16))];
        match inside[usize::from(first >> 2) % inside.len()] {
            None => gate,
            Some(protocol) => gate.inside_tls(protocol),
        }
    };
    let whole = gated(gate(), &steps, |sent| vec![sent]);
    for side in [Side::Client, Side::Server] {
        let sent =
            steps.iter().filter(|(from, _)| *from == side).flat_map(|(_, sent)| sent).copied().collect();
        assert_eq!(whole.output(side), whole.with_changes(side, sent), "{whole:?}");
    }
    for other in [gated(gate(), &steps, |sent| sent.chunks(1).collect()), gated(gate(), &steps, pieces)] {
        assert_eq!(whole.notes, other.notes, "in other pieces");
        assert_eq!(whole.open, other.open, "in other pieces");
        for side in [Side::Client, Side::Server] {
            assert_eq!(whole.output(side), other.output(side), "in other pieces");
        }
    }
}

/// What went through a gate.
#[derive(Debug)]
struct Gated {
    messages: [Vec<Vec<u8>>; 2],
    notes: Vec<Note>,
    /// Before the ends of the streams.
    open: [bool; 2],
}

fn gated<'a>(mut gate: Gate, steps: &'a Steps, cut: impl Fn(&'a [u8]) -> Vec<&'a [u8]>) -> Gated {
    let (mut messages, mut notes) = ([Vec::new(), Vec::new()], Vec::new());
    for (side, sent) in steps.iter().filter(|(_, sent)| !sent.is_empty()) {
        for piece in cut(sent) {
            gate.pass(0, *side, piece, &mut messages[side.index()], &mut notes);
        }
    }
    let open = [Side::Client, Side::Server].map(|side| gate.is_open(side));
    [Side::Client, Side::Server].into_iter().for_each(|side| gate.flush(side, &mut messages[side.index()]));
    Gated { messages, notes, open }
}

impl Gated {
    fn output(&self, from: Side) -> Vec<u8> {
        self.messages[from.index()].concat()
    }

    /// What `from` sent with the recorded changes made, each at its offset in the first message that shows it.
    fn with_changes(&self, from: Side, mut sent: Vec<u8>) -> Vec<u8> {
        for note in &self.notes {
            let Note::Altered(change) = note else { continue };
            if change.leg != from.opposite().into() {
                continue;
            }
            let decoded = |text| hex_bytes(text).expect("bytes are written in hex");
            let (before, after) = (decoded(&change.before), decoded(&change.after));
            assert!(before.len() == after.len() && before != after, "{change:?}");
            let mut start = 0;
            for message in &self.messages[from.index()] {
                let place =
                    sent.get_mut(start + change.offset..).and_then(|rest| rest.get_mut(..before.len()));
                let shown = message.get(change.offset..).is_some_and(|rest| rest.starts_with(&after));
                if let (true, Some(place)) = (shown, place)
                    && *place == before
                {
                    place.copy_from_slice(&after);
                    break;
                }
                start += message.len();
            }
        }
        sent
    }
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// A decoder takes no more than it was given, and says nothing else when more follows.
fn decoded<T: Debug + PartialEq>(bytes: &[u8], decode: impl Fn(&[u8]) -> Decoded<T>) -> Option<(T, usize)> {
    match decode(bytes) {
        Ok(Some((value, consumed))) => {
            assert!((1..=bytes.len()).contains(&consumed), "{consumed} of {} bytes: {value:?}", bytes.len());
            let longer = [bytes, &[0xff; 8]].concat();
            assert_eq!(decode(&longer), Ok(Some((value, consumed))), "with more bytes behind it");
            decode(bytes).ok().flatten()
        }
        Ok(None) => None,
        Err(malformed) => {
            assert!(malformed.offset <= bytes.len(), "{malformed} in {} bytes", bytes.len());
            None
        }
    }
}

/// A value of a whole message is in the trace as it is; a fault lies inside the message.
fn value<T>(bytes: &[u8], decoded: Result<T, rdpscope::wire::Malformed>)
where
    T: Debug + PartialEq + Serialize + DeserializeOwned,
{
    match decoded {
        Ok(value) => survives_json(bytes, &value),
        Err(malformed) => assert!(malformed.offset <= bytes.len(), "{malformed} in {} bytes", bytes.len()),
    }
}

fn survives_json<T: Debug + Serialize + DeserializeOwned>(bytes: &[u8], value: &T) {
    let length = json_length(value);
    let most = MOST_JSON + bytes.len() * MOST_JSON_PER_BYTE;
    assert!(length <= most, "{length} bytes of JSON for {} bytes: {value:?}", bytes.len());
}

/// Bytes of the JSON, which reads back as what it was.
fn json_length<T: Serialize + DeserializeOwned>(value: &T) -> usize {
    length_of_json(value, |json| serde_json::from_str(json))
}

/// The same of a line of a trace.
fn line_length(line: &Line) -> usize {
    length_of_json(line, str::parse)
}

fn length_of_json<T: Serialize>(value: &T, read: impl FnOnce(&str) -> serde_json::Result<T>) -> usize {
    let json = serde_json::to_string(value).expect("it becomes JSON");
    let back = read(&json).unwrap_or_else(|error| panic!("{error} in {json}"));
    // Not the values: a certificate's own bytes stand beside the trace, not in it.
    assert_eq!(serde_json::to_string(&back).expect("it becomes JSON again"), json);
    json.len()
}

/// Cuts `bytes` into pieces of 1 to 64 bytes that look random and are the same every time.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let seed = bytes.iter().fold(bytes.len() as u64, |seed, byte| seed.rotate_left(5) ^ u64::from(*byte));
    let mut random = Random::new(seed);
    let (mut rest, mut pieces) = (bytes, Vec::new());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + random.below(64)));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Numbers that look random and are the same for the same seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    /// Begins the sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next, below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % limit.max(1) as u64) as usize
    }
}
