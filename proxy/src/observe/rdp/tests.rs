use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::wire::gcc::tests::{block, connect_pdu};
use crate::wire::gcc::{CS_CORE, SC_MCS_MSGCHANNEL, SC_NET, SC_SECURITY};
use crate::wire::rdp::capabilities::tests::demand_body;
use crate::wire::rdp::client_info::tests::info_body;
use crate::wire::rdp::share::tests::{control_pdu, data_pdu};

const CLIENT: Side = Side::Client;
const SERVER: Side = Side::Server;
const IO: u16 = 1003;
const STATIC: u16 = 1004;
const MESSAGE: u16 = 1008;

pub(in crate::observe) type Step = (Side, Vec<u8>);

fn packet(pdu: &[u8]) -> Vec<u8> {
    let length = (pdu.len() + 7) as u16;
    [&[3, 0], &length.to_be_bytes()[..], &X224_DATA, pdu].concat()
}

fn send(from: Side, channel_id: u16, payload: &[u8]) -> Step {
    let choice = if from == CLIENT { 0x64 } else { 0x68 };
    let [high, low] = channel_id.to_be_bytes();
    let length = (payload.len() as u16 | 0x8000).to_be_bytes();
    (from, packet(&[&[choice, 0, 6, high, low, 0x70], &length[..], payload].concat()))
}

fn secured(from: Side, channel_id: u16, flags: u16, body: &[u8]) -> Step {
    send(from, channel_id, &[&flags.to_le_bytes()[..], &[0, 0], body].concat())
}

/// MCS up to the channel joins; `method` and `level` of classic security.
pub(in crate::observe) fn connect(method: u8, level: u8) -> Vec<Step> {
    let response = [
        block(SC_SECURITY, &[method, 0, 0, 0, level, 0, 0, 0]),
        block(SC_NET, &[0xEB, 3, 1, 0, 0xEC, 3]),
        block(SC_MCS_MSGCHANNEL, &[0xF0, 3]),
    ];
    vec![
        (CLIENT, packet(&connect_pdu(0x65, &[block(CS_CORE, &[0; 212])]))),
        (SERVER, packet(&connect_pdu(0x66, &response))),
        (CLIENT, packet(&[4, 1, 0, 1, 0])),
        (CLIENT, packet(&[0x28])),
        (SERVER, packet(&[0x2E, 0, 0, 6])),
        (CLIENT, packet(&[0x38, 0, 6, 3, 0xEB])),
        (SERVER, packet(&[0x3E, 0, 0, 6, 3, 0xEB, 3, 0xEB])),
    ]
}

/// Everything that follows the joins when PDUs are readable, up to an active session.
pub(in crate::observe) fn readable() -> Vec<Step> {
    let texts = ["CONTOSO", "anna", "hunter2-canary", "hunter2-canary.exe", ""];
    vec![
        secured(CLIENT, IO, 0x0040, &info_body(texts)),
        secured(SERVER, MESSAGE, 0x1000, &[6, 0, 1, 0, 1, 0x10]),
        secured(CLIENT, MESSAGE, 0x2000, &[6, 1, 1, 0, 0, 0]),
        secured(SERVER, MESSAGE, 0x1000, &[8, 0, 2, 0, 2, 0, 2, 0, 9, 9]),
        secured(SERVER, MESSAGE, 0x1000, &[8, 0, 3, 0, 2, 0, 2, 0, 9, 9]),
        secured(SERVER, IO, 0x0080, &[0xFF, 3, 16, 0, 7, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0]),
        secured(
            SERVER,
            MESSAGE,
            0x0002,
            &[[9, 0, 0, 0, 1, 0, 0, 0].as_slice(), b"hunter2-canary!!"].concat(),
        ),
        secured(CLIENT, MESSAGE, 0x0004, &[9, 0, 0, 0, 4, 0x40, 0, 0x80]),
        send(SERVER, IO, &control_pdu(1, &demand_body())),
        send(CLIENT, IO, &control_pdu(3, &[&demand_body()[..4], &[0xEA, 3], &demand_body()[4..]].concat())),
        send(CLIENT, IO, &data_pdu(0x1F, &[1, 0, 0xEA, 3])),
        send(CLIENT, IO, &data_pdu(0x14, &[4, 0, 0, 0, 0, 0, 0, 0])),
        send(CLIENT, IO, &data_pdu(0x2B, &[0; 24])),
        send(CLIENT, IO, &data_pdu(0x27, &[0; 8])),
        send(SERVER, IO, &[data_pdu(0x1F, &[1, 0, 0xEA, 3]), data_pdu(0x28, &[0; 8])].concat()),
    ]
}

/// What an active session shows: volume, and the few PDUs that matter.
fn active() -> Vec<Step> {
    vec![
        (SERVER, vec![0, 4, 0xAA, 0xBB]),
        (SERVER, [&[0, 0x81, 0x00], &[3; 253][..]].concat()),
        (CLIENT, vec![4, 3, 0x55]),
        send(SERVER, STATIC, &[0x40, 0, 0, 0, 1, 2, 3]),
        send(SERVER, IO, &data_pdu(0x02, &[0; 40])),
        secured(SERVER, MESSAGE, 0x4000, &[0, 30, 3, 5]),
        secured(SERVER, MESSAGE, 0x4000, &[0, 30, 3, 5]),
        secured(SERVER, MESSAGE, 0x1000, &[6, 0, 1, 0, 1, 0]),
        secured(SERVER, MESSAGE, 0x1000, &[14, 0, 1, 0, 0x40, 8, 3, 0, 0, 0, 4, 0, 0, 0]),
        send(SERVER, IO, &data_pdu(0x26, &[2, 0, 0, 0])),
        send(SERVER, IO, &[4, 0, 0x16, 0]),
        send(SERVER, IO, &control_pdu(1, &demand_body())),
        send(CLIENT, IO, &data_pdu(0x24, &[])),
        send(SERVER, IO, &data_pdu(0x25, &[])),
        send(SERVER, IO, &data_pdu(0x2F, &[0x0B, 0, 0, 0])),
        (SERVER, packet(&[0x21, 0x80])),
    ]
}

fn run(observer: &mut RdpObserver, steps: &[Step]) -> Vec<RdpMessage> {
    let mut out = Vec::new();
    for (from, bytes) in steps {
        observer.data(*from, bytes, &mut out);
    }
    out
}

/// The event names, as they stand in the trace.
fn names(messages: &[RdpMessage]) -> Vec<String> {
    let name = |message| serde_json::to_value(message).unwrap()["event"].as_str().unwrap().to_owned();
    messages.iter().map(name).collect()
}

#[test]
fn a_session_under_tls_from_connect_initial_to_the_ultimatum() {
    let mut observer = RdpObserver::new(true);
    let messages = run(&mut observer, &[connect(0, 0), readable()].concat());
    assert_eq!(
        names(&messages),
        [
            "connect_initial",
            "connect_response",
            "erect_domain_request",
            "attach_user_request",
            "attach_user_confirm",
            "channel_join_request",
            "channel_join_confirm",
            "client_info",
            "auto_detect",
            "auto_detect",
            "auto_detect",
            "license",
            "multitransport_request",
            "multitransport_response",
            "demand_active",
            "confirm_active",
            "synchronize",
            "control",
            "other_share_data",
            "font_list",
            "synchronize",
            "font_map",
        ]
    );
    assert_eq!(observer.phase(), Phase::Active);
    assert_eq!(phase(&messages[11]), Some(Phase::Licensing));

    let messages = run(&mut observer, &active());
    assert_eq!(
        names(&messages),
        [
            "fast_path_started",
            "fast_path_started",
            "heartbeat",
            "auto_detect",
            "save_session_info",
            "deactivate_all",
            "demand_active",
            "shutdown_request",
            "shutdown_denied",
            "set_error_info",
            "disconnect_provider_ultimatum",
        ]
    );
    let expected = Counts { fast_path_pdus: 2, fast_path_bytes: 260, channel_pdus: 1, channel_bytes: 7 };
    assert_eq!(observer.counts(SERVER), expected);
    assert_eq!(observer.counts(CLIENT).fast_path_bytes, 3);
}

#[test]
fn nothing_secret_is_in_the_messages_and_they_survive_json() {
    let steps = [connect(0, 0), readable(), active()].concat();
    let messages = run(&mut RdpObserver::new(true), &steps);
    let json = serde_json::to_string(&messages).unwrap();
    assert!(!json.contains("canary") && !json.contains("hunter2"), "{json}");
    assert!(json.contains("anna") && json.contains("CONTOSO"));
    assert_eq!(serde_json::from_str::<Vec<RdpMessage>>(&json).unwrap(), messages);
}

#[test]
fn classic_security_without_encryption_reads_like_tls() {
    let mut observer = RdpObserver::new(false);
    run(&mut observer, &[connect(0, 0), readable()].concat());
    assert_eq!(observer.phase(), Phase::Active);
}

#[test]
fn under_classic_encryption_only_the_kinds_show_and_each_only_once() {
    let mut steps = connect(2, 3);
    steps.push(secured(CLIENT, IO, 0x0001, &[72, 0, 0, 0, 1, 2, 3]));
    steps.push(secured(CLIENT, IO, 0x0048, &[0xCC; 40]));
    steps.push(secured(SERVER, IO, 0x0080, &[0x01, 3, 40, 0]));
    for length in 0..50 {
        steps.push(secured(SERVER, IO, if length % 2 == 0 { 0x0008 } else { 0x0808 }, &[0xCC; 60]));
    }
    steps.push((SERVER, vec![0x80, 4, 1, 2]));
    steps.push((SERVER, packet(&[0x21, 0x80])));
    let mut observer = RdpObserver::new(false);
    let messages = run(&mut observer, &steps);
    assert_eq!(
        names(&messages[7..]),
        [
            "security_exchange",
            "encrypted",
            "license",
            "encrypted",
            "fast_path_started",
            "disconnect_provider_ultimatum",
        ]
    );
    let phases: Vec<_> = messages[7..].iter().map(phase).collect();
    assert_eq!(
        phases[..5],
        [
            Some(Phase::Info),
            Some(Phase::Info),
            Some(Phase::Licensing),
            Some(Phase::Capabilities),
            Some(Phase::Active)
        ]
    );
    assert_eq!(observer.phase(), Phase::Active);
}

#[test]
fn encryption_level_low_leaves_the_server_readable_behind_its_header() {
    let mut steps = connect(2, 1);
    steps.push(secured(SERVER, IO, 0, &control_pdu(1, &demand_body())));
    steps.push(secured(SERVER, IO, 0, &data_pdu(0x2F, &[9, 0, 0, 0])));
    let messages = run(&mut RdpObserver::new(false), &steps);
    assert_eq!(names(&messages[7..]), ["demand_active", "set_error_info"]);
}

#[test]
fn refusals_before_licensing_and_redirections_in_both_forms() {
    let redirect = [0, 4, 12, 0, 2, 0, 0, 0, 0x80, 0, 0, 0];
    let mut steps = connect(0, 0);
    steps.push(send(SERVER, IO, &data_pdu(0x2F, &[9, 0, 0, 0])));
    steps.push(send(SERVER, IO, &control_pdu(10, &[&[0, 0], &redirect[..]].concat())));
    steps.push(secured(SERVER, IO, 0x0400, &redirect));
    let messages = run(&mut RdpObserver::new(true), &steps);
    assert_eq!(names(&messages[7..]), ["set_error_info", "server_redirection", "server_redirection"]);
    assert!(matches!(&messages[7], RdpMessage::SetErrorInfo(info) if info.error_info == 9));
}

#[test]
fn the_data_of_a_static_channel_is_never_taken_for_a_pdu() {
    let mut steps = connect(0, 0);
    for flags in [0x0040, 0x0002, 0x0080, 0x0400] {
        steps.push(secured(CLIENT, STATIC, flags, &[0xFF; 64]));
    }
    steps.push(send(SERVER, STATIC, &data_pdu(0x2F, &[9, 0, 0, 0])));
    let mut observer = RdpObserver::new(true);
    assert_eq!(run(&mut observer, &steps).len(), 7);
    assert_eq!((observer.counts(CLIENT).channel_pdus, observer.counts(SERVER).channel_pdus), (4, 1));
}

#[test]
fn lost_framing_is_told_once_and_ends_only_its_own_direction() {
    let mut observer = RdpObserver::new(true);
    let tls = (CLIENT, vec![0x16, 3, 1, 0, 5, 1]);
    let messages = run(&mut observer, &[connect(0, 0), vec![tls.clone(), tls]].concat());
    assert_eq!(names(&messages[7..]), ["malformed"]);
    assert!(observer.is_lost(CLIENT) && !observer.is_lost(SERVER));
    assert_eq!(
        names(&run(&mut observer, &[(SERVER, packet(&[0x21, 0x80]))])),
        ["disconnect_provider_ultimatum"]
    );
}

#[test]
fn broken_pdus_do_not_stop_the_session_and_do_not_flood() {
    let mut steps = connect(0, 0);
    steps.extend((0..100).map(|_| send(SERVER, IO, &control_pdu(1, &[1, 2]))));
    steps.push((SERVER, packet(&[0x21, 0x80])));
    let messages = run(&mut RdpObserver::new(true), &steps);
    assert_eq!(messages.len(), 7 + MALFORMED_LIMIT + 1);
    let RdpMessage::Malformed { structure, offset, .. } = &messages[7] else { panic!("not malformed") };
    assert_eq!((structure.as_str(), *offset), ("TS_DEMAND_ACTIVE_PDU", 0));
}

#[test]
fn endless_measuring_does_not_fill_the_trace() {
    let mut observer = RdpObserver::new(true);
    run(&mut observer, &[connect(0, 0), readable()].concat());
    let result = secured(CLIENT, MESSAGE, 0x2000, &[14, 1, 0, 0, 11, 0, 8, 0, 0, 0, 0, 4, 0, 0]);
    assert_eq!(run(&mut observer, &vec![result; 1000]).len(), RESULT_LIMIT);
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let side = || prop_oneof![Just(CLIENT), Just(SERVER)];
    let flags = prop_oneof![
        Just(0x40),
        Just(0x80),
        Just(0x400),
        Just(2),
        Just(4),
        Just(0x1000),
        Just(0x2000),
        Just(8),
        any::<u16>()
    ];
    let channel = prop_oneof![Just(IO), Just(MESSAGE), Just(STATIC), any::<u16>()];
    let bytes = || prop::collection::vec(any::<u8>(), 0..80);
    prop::collection::vec(
        prop_oneof![
            (side(), bytes()).prop_map(|(side, bytes)| (side, bytes)),
            (side(), bytes()).prop_map(|(side, bytes)| (side, packet(&bytes))),
            (side(), channel, flags, bytes())
                .prop_map(|(side, channel, flags, bytes)| secured(side, channel, flags, &bytes)),
            (side(), 0_u8..16, bytes()).prop_map(|(side, kind, body)| send(
                side,
                IO,
                &control_pdu(kind, &body)
            )),
            (side(), any::<u8>(), bytes()).prop_map(|(side, kind, body)| send(
                side,
                IO,
                &data_pdu(kind, &body)
            )),
            (side(), bytes())
                .prop_map(|(side, body)| (side, packet(&connect_pdu(0x65, &[block(CS_CORE, &body)])))),
        ],
        0..12,
    )
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same_messages(
        wanted in any_steps(),
        begin in 0_usize..3,
        encrypted_transport in any::<bool>(),
        sizes in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let mut steps = match begin {
            0 => Vec::new(),
            1 => connect(0, 0),
            _ => [connect(2, 1), readable()].concat(),
        };
        steps.extend(wanted);
        let whole = run(&mut RdpObserver::new(encrypted_transport), &steps);

        let mut observer = RdpObserver::new(encrypted_transport);
        let (mut pieces, mut size) = (Vec::new(), sizes.iter().cycle());
        for (from, bytes) in &steps {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*size.next().unwrap()));
                observer.data(*from, piece, &mut pieces);
                rest = after;
            }
        }
        prop_assert_eq!(whole, pieces);
        for direction in &observer.directions {
            prop_assert!(direction.pending.len() <= tpkt::TPKT_LIMIT);
        }
    }

    #[test]
    fn changed_bytes_of_a_session_break_nothing(
        changes in prop::collection::vec((any::<Index>(), any::<Index>(), any::<u8>()), 1..6),
        encrypted_transport in any::<bool>(),
    ) {
        let mut steps = [connect(0, 0), readable(), active()].concat();
        for (step, place, value) in changes {
            let step = step.index(steps.len());
            let bytes = &mut steps[step].1;
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let messages = run(&mut RdpObserver::new(encrypted_transport), &steps);
        let json = serde_json::to_string(&messages).unwrap();
        prop_assert!(!json.contains("hunter2"), "{}", json);
    }
}
