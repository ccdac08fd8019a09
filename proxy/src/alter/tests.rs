mod captures;

use super::*;
use crate::trace::Leg;
use crate::wire::credssp::LONGEST_TS_REQUEST;
use crate::wire::gcc::tests::{block, connect_pdu};
use proptest::prelude::*;
use std::collections::VecDeque;

const STRIP: Alterations = Alterations { strip_nla: true, udp_off: false };
const UDP: Alterations = Alterations { strip_nla: false, udp_off: true };
const BOTH: Alterations = Alterations { strip_nla: true, udp_off: true };
const NONE: Alterations = Alterations { strip_nla: false, udp_off: false };

type Step = (Side, Vec<u8>);

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

/// A connection request with a cookie.
fn request(flags: u8, protocols: u8) -> Vec<u8> {
    let cookie = b"Cookie: mstshash=anna\r\n";
    let length = 11 + cookie.len() + 8;
    let head = [3, 0, 0, length as u8, length as u8 - 5, 0xE0, 0, 0, 0, 0, 0];
    [&head[..], cookie, &[1, flags, 8, 0, protocols, 0, 0, 0]].concat()
}

fn confirm(protocol: u8) -> Vec<u8> {
    [&bytes("03000013 0ed00000123400 021f0800")[..], &[protocol, 0, 0, 0]].concat()
}

fn packet(pdu: &[u8]) -> Vec<u8> {
    [&[3, 0], &(pdu.len() as u16 + 7).to_be_bytes()[..], &[2, 0xF0, 0x80], pdu].concat()
}

fn connect_initial() -> Vec<u8> {
    let mut core = vec![0; 212];
    core[208] = 1;
    packet(&connect_pdu(0x65, &[block(0xC001, &core), block(0xC00D, &[7]), block(0xC00A, &[5, 3, 0, 0])]))
}

fn connect_response(requested: u8) -> Vec<u8> {
    let core = [4, 0, 8, 0, requested, 0, 0, 0];
    packet(&connect_pdu(0x66, &[block(0x0C01, &core), block(0x0C08, &[1, 1, 0, 0])]))
}

/// A TSRequest of `length` bytes, long enough for a length of two bytes.
fn ts_request(length: u16) -> Vec<u8> {
    [&[0x30, 0x82], &(length - 4).to_be_bytes()[..], &vec![0xA0; usize::from(length) - 4]].concat()
}

/// What went through a gate.
#[derive(Debug, Default)]
struct Run {
    input: [Vec<u8>; 2],
    messages: [Vec<Vec<u8>>; 2],
    notes: Vec<Note>,
}

impl Run {
    fn feed(&mut self, gate: &mut Gate, from: Side, bytes: &[u8]) {
        self.input[from.index()].extend_from_slice(bytes);
        gate.pass(7, from, bytes, &mut self.messages[from.index()], &mut self.notes);
    }

    fn finish(&mut self, gate: &mut Gate) {
        for side in [Side::Client, Side::Server] {
            gate.flush(side, &mut self.messages[side.index()]);
            assert!(gate.is_open(side));
        }
    }

    fn of(mut gate: Gate, steps: &[Step], chunk: usize) -> Run {
        let mut run = Run::default();
        for (side, bytes) in steps {
            bytes.chunks(chunk).for_each(|chunk| run.feed(&mut gate, *side, chunk));
        }
        run.finish(&mut gate);
        run
    }

    fn output(&self, from: Side) -> Vec<u8> {
        self.messages[from.index()].concat()
    }

    fn altered(&self) -> Vec<&Altered> {
        let mut changes = Vec::new();
        for note in &self.notes {
            if let Note::Altered(altered) = note {
                changes.push(altered);
            }
        }
        changes
    }

    /// Every change as `structure.field before after offset why`.
    fn changes(&self) -> Vec<String> {
        let told = |change: &&Altered| {
            let Altered { structure, field, before, after, why, .. } = *change;
            format!("{structure}.{field} {before} {after} {why}")
        };
        self.altered().iter().map(told).collect()
    }

    fn reasons(&self) -> Vec<(&'static str, &str)> {
        let mut reasons = Vec::new();
        for note in &self.notes {
            if let Note::NotAltered(NotAltered { setting, reason, .. }) = note {
                reasons.push((*setting, reason.as_str()));
            }
        }
        reasons
    }

    /// The output is the input with the recorded changes made, in the message each names, and with nothing else.
    fn differs_only_as_recorded(&self) {
        for side in [Side::Client, Side::Server] {
            let mut expected = self.input[side.index()].clone();
            let on_this_leg =
                self.altered().into_iter().filter(|change| change.leg == side.opposite().into());
            for change in on_this_leg {
                let (before, after) = (bytes(&change.before), bytes(&change.after));
                let mut start = 0;
                let made = self.messages[side.index()].iter().any(|message| {
                    let at = start + change.offset;
                    start += message.len();
                    let is_here = message.get(change.offset..change.offset + 4) == Some(&after[..])
                        && expected.get(at..at + 4) == Some(&before[..]);
                    if is_here {
                        expected[at..at + 4].copy_from_slice(&after);
                    }
                    is_here
                });
                assert!(made, "{change:?}");
            }
            assert_eq!(self.output(side), expected, "what the {side} sent");
        }
    }
}

fn negotiated(alterations: Alterations, requested: u8, selected: u8) -> Gate {
    let mut gate = Gate::for_negotiation(alterations);
    let mut run = Run::default();
    run.feed(&mut gate, Side::Client, &request(0, requested));
    run.feed(&mut gate, Side::Server, &confirm(selected));
    gate
}

#[test]
fn without_alterations_the_negotiation_is_open_at_once() {
    let gate = Gate::for_negotiation(NONE);
    assert!(gate.is_open(Side::Client) && gate.is_open(Side::Server));
    for protocol in [None, Some(1), Some(2), Some(4), Some(8), Some(16)] {
        let gate = gate.inside_tls(protocol);
        let frames = matches!(protocol, None | Some(2 | 8));
        assert_eq!(gate.is_open(Side::Client), !frames, "{protocol:?}");
    }
}

#[test]
fn nla_is_stripped_from_the_request_and_the_request_given_back() {
    let mut gate = Gate::for_negotiation(STRIP);
    let mut run = Run::default();
    run.feed(&mut gate, Side::Client, &request(8, 0x1B)[..40]);
    assert!(!gate.is_open(Side::Client) && run.output(Side::Client).is_empty(), "half a request is held");
    run.feed(&mut gate, Side::Client, &request(8, 0x1B)[40..]);
    assert!(gate.is_open(Side::Client) && !gate.is_open(Side::Server));
    run.feed(&mut gate, Side::Server, &confirm(1));
    assert!(gate.is_open(Side::Server), "TLS begins");
    assert_eq!(run.output(Side::Client), request(8, 0x11));

    let mut gate = gate.inside_tls(Some(1));
    assert!(gate.is_open(Side::Client), "serverSelectedProtocol is what the server selected");
    let mut inside = Run::default();
    inside.feed(&mut gate, Side::Client, &connect_initial());
    inside.feed(&mut gate, Side::Server, &connect_response(0x11));
    assert!(gate.is_open(Side::Server));
    assert_eq!(inside.output(Side::Client), connect_initial());
    assert_eq!(inside.output(Side::Server), connect_response(0x1B));
    assert_eq!(
        [run.changes(), inside.changes()].concat(),
        [
            "RDP_NEG_REQ.requestedProtocols 1b000000 11000000 --nla strip",
            "SC_CORE.clientRequestedProtocols 11000000 1b000000 --nla strip"
        ]
    );
    let change = run.altered()[0];
    assert_eq!((change.t_us, change.leg, change.phase, change.offset), (7, Leg::Server, Phase::X224, 38));
    assert_eq!(inside.altered()[0].leg, Leg::Client);
    run.differs_only_as_recorded();
    inside.differs_only_as_recorded();
}

#[test]
fn what_the_server_made_up_itself_is_not_put_right() {
    let gate = negotiated(STRIP, 3, 1).inside_tls(Some(1));
    let run = Run::of(gate, &[(Side::Server, connect_response(9))], 99);
    assert_eq!((run.output(Side::Server), run.notes), (connect_response(9), vec![]));
}

#[test]
fn a_server_that_falls_back_to_rdp_in_clear_is_followed() {
    for confirm in [confirm(0), bytes("0300000b 06d00000123400")] {
        let steps = [
            (Side::Client, request(0, 3)),
            (Side::Server, confirm),
            (Side::Client, connect_initial()),
            (Side::Server, connect_response(1)),
        ];
        let run = Run::of(Gate::for_negotiation(BOTH), &steps, 5);
        assert_eq!(
            run.changes(),
            [
                "RDP_NEG_REQ.requestedProtocols 03000000 01000000 --nla strip",
                "CS_MULTITRANSPORT.flags 05030000 00000000 --udp off",
                "SC_MULTITRANSPORT.flags 01010000 00000000 --udp off",
                "SC_CORE.clientRequestedProtocols 01000000 03000000 --nla strip",
            ]
        );
        run.differs_only_as_recorded();
    }
}

#[test]
fn what_the_client_did_not_offer_it_does_not_get() {
    let cases = [
        (0, 0x2, "no TLS without it"),
        (0, 0xE, "no TLS without it"),
        (1, 0x3, "Restricted Admin"),
        (2, 0xB, "Remote Credential Guard"),
    ];
    for (flags, protocols, reason) in cases {
        let mut gate = Gate::for_negotiation(STRIP);
        let mut run = Run::default();
        run.feed(&mut gate, Side::Client, &request(flags, protocols));
        assert_eq!(run.output(Side::Client), request(flags, protocols));
        let [(NLA_STRIP, told)] = run.reasons()[..] else { panic!("{:?}", run.notes) };
        assert!(told.contains(reason), "{told}");
        assert!(gate.is_open(Side::Client) && gate.is_open(Side::Server));
    }
}

#[test]
fn a_client_that_offers_no_nla_needs_no_change() {
    for protocols in [0, 1, 4, 5] {
        let run = Run::of(Gate::for_negotiation(STRIP), &[(Side::Client, request(0, protocols))], 3);
        assert_eq!((run.output(Side::Client), run.notes), (request(0, protocols), vec![]));
    }
}

#[test]
fn a_preconnection_pdu_goes_first() {
    let preconnection = bytes("180000000000000002000000000000000300410042000000");
    for alterations in [STRIP, UDP] {
        let steps = [(Side::Client, [&preconnection[..], &request(0, 3)].concat())];
        let run = Run::of(Gate::for_negotiation(alterations), &steps, 1);
        assert_eq!(run.messages[0][0], preconnection);
        assert_eq!(run.altered().len(), usize::from(alterations.strip_nla));
        run.differs_only_as_recorded();
    }
}

#[test]
fn direct_tls_is_let_through_and_said_not_to_be_stripped() {
    let hello = bytes("16030102000100");
    let mut gate = Gate::for_negotiation(BOTH);
    let mut run = Run::default();
    run.feed(&mut gate, Side::Client, &hello);
    assert!(gate.is_open(Side::Client));
    assert_eq!(run.output(Side::Client), hello);
    assert_eq!(run.reasons(), [(NLA_STRIP, "the client begins with TLS and negotiates nothing")]);
    let inside = [(Side::Client, [ts_request(300), request(0, 0), connect_initial()].concat())];
    let run = Run::of(gate.inside_tls(None), &inside, 50);
    assert_eq!(run.messages[0][..2], [ts_request(300), request(0, 0)]);
    assert_eq!(run.changes(), ["CS_MULTITRANSPORT.flags 05030000 00000000 --udp off"]);
}

#[test]
fn credssp_goes_on_message_by_message_in_whatever_pieces_it_came() {
    let short = bytes("3005 a003020106");
    let messages = [short.clone(), ts_request(1500), ts_request(40_000)];
    for (protocol, alterations) in [(2, NONE), (8, NONE), (8, BOTH)] {
        for chunk in [1, 7, 1024, 1 << 20] {
            let mut gate = Gate::for_negotiation(alterations).inside_tls(Some(protocol));
            let mut run = Run::default();
            for side in [Side::Client, Side::Server] {
                let sent = messages.concat();
                sent.chunks(chunk).for_each(|chunk| run.feed(&mut gate, side, chunk));
                assert_eq!(run.messages[side.index()], messages);
            }
            if protocol == 8 {
                let result = [5, 0, 0, 0];
                result.chunks(chunk).for_each(|chunk| run.feed(&mut gate, Side::Server, chunk));
                assert_eq!(run.messages[1][3], result, "the Early User Authorization Result");
            }
            run.feed(&mut gate, Side::Client, &connect_initial()[..4]);
            assert_eq!(gate.is_open(Side::Client), alterations == NONE);
            run.feed(&mut gate, Side::Client, &connect_initial()[4..]);
            run.feed(&mut gate, Side::Server, &connect_response(1));
            assert!(gate.is_open(Side::Client) && gate.is_open(Side::Server));
            assert_eq!(run.altered().len(), if alterations == NONE { 0 } else { 2 });
            run.differs_only_as_recorded();
        }
    }
}

#[test]
fn rdstls_and_rdsaad_are_skipped() {
    let password = bytes("010002000100 0200 0303 0400 03000000 0000 0100 03");
    let cookie = bytes("010002000200 07000000 0300 030003");
    let capabilities = bytes("0100010001000100");
    let response = bytes("01000400010000000000");
    for logon in [password, cookie] {
        let steps = [
            (Side::Server, capabilities.clone()),
            (Side::Client, logon.clone()),
            (Side::Server, response.clone()),
            (Side::Client, connect_initial()),
            (Side::Server, connect_response(4)),
        ];
        for chunk in [1, 6, 1000] {
            let run = Run::of(Gate::for_negotiation(UDP).inside_tls(Some(4)), &steps, chunk);
            assert_eq!(run.altered().len(), 2, "{:?}", run.notes);
            assert_eq!(run.messages[0][0], logon);
            run.differs_only_as_recorded();
        }
    }
    let assertion = br#"{"rdp_assertion":"a"}"#.to_vec();
    let steps = [(Side::Client, assertion), (Side::Client, connect_initial())];
    for chunk in [1, 6, 1000] {
        let mut gate = Gate::for_negotiation(UDP).inside_tls(Some(16));
        let mut run = Run::default();
        run.feed(&mut gate, Side::Client, b"{\"");
        assert_eq!(run.output(Side::Client), b"{\"", "nothing of it is held");
        let run = Run::of(gate, &steps, chunk);
        assert_eq!(run.altered().len(), 1, "{:?}", run.notes);
        run.differs_only_as_recorded();
    }
}

#[test]
fn what_cannot_be_read_goes_on_as_it_came_and_is_said() {
    let cut_gcc = packet(&bytes("7f65 82 0010 04 0e 00050014 7c0001 44756364 0000 00"));
    let cases: [(&str, Vec<u8>); 8] = [
        ("no RDP key", cut_gcc),
        ("a Connect Response of the client", connect_response(1)),
        ("a domain PDU first", packet(&[0x28])),
        ("a data TPDU without MCS", bytes("03000007 02f080")),
        ("fast-path", bytes("00 05 010203")),
        ("a TPKT shorter than its header", bytes("03000003")),
        ("an X.224 TPDU that is too long", bytes("03000200 ffe0")),
        ("a TSRequest where none is awaited", ts_request(99)),
    ];
    for (name, sent) in cases {
        for chunk in [1, 1000] {
            let steps = [(Side::Client, sent.clone()), (Side::Client, connect_initial())];
            let run = Run::of(Gate::for_negotiation(UDP).inside_tls(Some(1)), &steps, chunk);
            assert_eq!(run.output(Side::Client), run.input[0], "{name}");
            let [(UDP_OFF, reason)] = run.reasons()[..] else { panic!("{name}: {:?}", run.notes) };
            assert!(reason.starts_with("what the client sent is not what was awaited: "), "{name}: {reason}");
        }
    }
}

#[test]
fn nothing_longer_than_a_tsrequest_can_be_is_held() {
    let indefinite = bytes("3080 a0");
    let endless = bytes("3084 01000000 a0");
    for sent in [indefinite, endless] {
        let mut gate = Gate::for_negotiation(NONE).inside_tls(Some(2));
        let mut run = Run::default();
        run.feed(&mut gate, Side::Client, &sent);
        assert!(gate.is_open(Side::Client) && run.notes.is_empty());
        assert_eq!(run.output(Side::Client), sent);
    }
    for (length, waits) in [("3083 03fffb", true), ("3083 03fffc", false)] {
        let mut gate = Gate::for_negotiation(NONE).inside_tls(Some(2));
        let mut run = Run::default();
        run.feed(&mut gate, Side::Client, &bytes(length));
        assert_eq!(!gate.is_open(Side::Client), waits, "{length} of at most {}", LONGEST_TS_REQUEST);
    }
}

#[test]
fn of_what_never_gets_to_mcs_only_the_negotiation_is_missed() {
    let steps = [(Side::Client, b"GET / HTTP/1.1\r\n".to_vec()), (Side::Server, b"HTTP/1.1 400".to_vec())];
    let run = Run::of(Gate::for_negotiation(BOTH), &steps, 1);
    let settings: Vec<_> = run.reasons().into_iter().map(|(setting, _)| setting).collect();
    assert_eq!(settings, [NLA_STRIP]);
    run.differs_only_as_recorded();
}

#[test]
fn a_connect_response_that_cannot_be_read_is_missed_for_both() {
    let gate = negotiated(BOTH, 3, 1).inside_tls(Some(1));
    let run = Run::of(gate, &[(Side::Server, packet(&bytes("7f66 04 0401 0000")))], 1);
    let settings: Vec<_> = run.reasons().into_iter().map(|(setting, _)| setting).collect();
    assert_eq!(settings, [NLA_STRIP, UDP_OFF]);
    run.differs_only_as_recorded();
}

#[test]
fn a_refusal_opens_the_gate() {
    let mut gate = Gate::for_negotiation(BOTH);
    let mut run = Run::default();
    run.feed(&mut gate, Side::Client, &request(0, 3));
    run.feed(&mut gate, Side::Server, &bytes("03000013 0ed00000123400 0300080005000000"));
    assert!(gate.is_open(Side::Client) && gate.is_open(Side::Server));
}

#[test]
fn what_is_held_when_the_gate_opens_goes_first() {
    let mut gate = Gate::for_negotiation(BOTH);
    let mut run = Run::default();
    run.feed(&mut gate, Side::Client, &request(0, 3));
    run.feed(&mut gate, Side::Client, &[3, 0]);
    run.feed(&mut gate, Side::Server, &confirm(1));
    assert!(!gate.is_open(Side::Client), "two bytes are held");
    run.feed(&mut gate, Side::Client, &[9]);
    assert_eq!(run.messages[0][1], [3, 0, 9]);
    assert!(gate.is_open(Side::Client));
}

/// Steps of real messages, arbitrary bytes and halves.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let message = prop_oneof![
        any::<[u8; 2]>().prop_map(|[flags, protocols]| request(flags & 11, protocols & 31)),
        any::<u8>().prop_map(|protocol| confirm(protocol & 15)),
        Just(connect_initial()),
        any::<u8>().prop_map(connect_response),
        (8_u16..600).prop_map(ts_request),
        Just(bytes("00000000")),
        Just(bytes("0100010001000100")),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    let side = prop_oneof![Just(Side::Client), Just(Side::Server)];
    let step = (side, message, 0..20_usize).prop_map(|(side, mut message, cut)| {
        message.truncate(message.len().saturating_sub(cut.saturating_sub(15)));
        (side, message)
    });
    proptest::collection::vec(step, 0..8)
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_and_only_what_is_recorded_differs(
        steps in steps(),
        strip_nla: bool,
        udp_off: bool,
        protocol in prop_oneof![Just(None), Just(Some(0)), Just(Some(2)), Just(Some(4)), Just(Some(8)), Just(Some(16))],
        cuts in proptest::collection::vec(1..50_usize, 1..20),
    ) {
        let gate = || {
            let gate = Gate::for_negotiation(Alterations { strip_nla, udp_off });
            if protocol == Some(0) { gate } else { gate.inside_tls(protocol) }
        };
        let whole = Run::of(gate(), &steps, usize::MAX);
        whole.differs_only_as_recorded();
        if !strip_nla && !udp_off {
            prop_assert_eq!(&whole.notes, &vec![]);
        }
        let mut cuts: VecDeque<_> = cuts.into();
        let (mut gate, mut pieces) = (gate(), Run::default());
        for (side, bytes) in &steps {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts[0].min(rest.len()));
                pieces.feed(&mut gate, *side, piece);
                cuts.rotate_left(1);
                rest = after;
            }
        }
        pieces.finish(&mut gate);
        prop_assert_eq!(&whole.notes, &pieces.notes);
        for side in [Side::Client, Side::Server] {
            prop_assert_eq!(whole.output(side), pieces.output(side));
        }
    }
}
