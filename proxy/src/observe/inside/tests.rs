use super::*;
use crate::observe::Timeline;
use crate::observe::rdp::tests::{Step, connect, readable};
use crate::trace::{Line, Outcome, PhaseRecord};
use crate::wire::credssp::LONGEST_TS_REQUEST;
use crate::wire::credssp::samples::*;
use proptest::prelude::*;

const CLIENT: Side = Side::Client;
const SERVER: Side = Side::Server;

/// CredSSP with NTLM, which comes through.
fn ntlm() -> Vec<Step> {
    vec![
        (CLIENT, ts_request(6, &[nego_token(&ntlm_negotiate())])),
        (SERVER, ts_request(5, &[nego_token(&ntlm_challenge(133_000_000_000_000_000))])),
        (CLIENT, ts_request(6, &[nego_token(&ntlm_authenticate("fs01")), pub_key_auth(), client_nonce()])),
        (SERVER, ts_request(5, &[pub_key_auth()])),
        (CLIENT, ts_request(6, &[auth_info()])),
    ]
}

fn session() -> Vec<Step> {
    [connect(0, 0), readable()].concat()
}

/// A whole session of each kind, by its selected protocol.
fn sessions() -> Vec<(Option<u32>, Vec<Step>)> {
    let authorized = vec![(SERVER, vec![0; 4])];
    let [capabilities, request, response] = rdstls_messages(0);
    let rdstls = vec![(SERVER, capabilities), (CLIENT, request), (SERVER, response)];
    let [nonce, request, result] = rdsaad_messages(0);
    let rdsaad = vec![(SERVER, nonce), (CLIENT, request), (SERVER, result)];
    let x224 = vec![
        (CLIENT, hex::decode("030000130ee000000000000100080003000000").unwrap()),
        (SERVER, hex::decode("030000130ed00000123400020008000b000000").unwrap()),
    ];
    vec![
        (Some(1), session()),
        (Some(2), [ntlm(), session()].concat()),
        (Some(8), [ntlm(), authorized.clone(), session()].concat()),
        (Some(4), [rdstls, session()].concat()),
        (Some(0x10), [rdsaad, session()].concat()),
        (None, session()),
        (None, [ntlm(), authorized, session()].concat()),
        (None, [ntlm(), x224.clone(), session()].concat()),
        (None, [x224, session()].concat()),
    ]
}

struct Observed {
    observer: InsideObserver,
    events: Vec<Event>,
}

fn observe<'a>(protocol: Option<u32>, pieces: impl IntoIterator<Item = (Side, &'a [u8])>) -> Observed {
    let mut observed = Observed { observer: InsideObserver::new(protocol), events: Vec::new() };
    for (side, bytes) in pieces {
        observed.observer.data(7, side, bytes, &mut observed.events);
    }
    observed
}

fn whole(protocol: Option<u32>, steps: &[Step]) -> Observed {
    observe(protocol, steps.iter().map(|(side, bytes)| (*side, &bytes[..])))
}

fn names(events: &[Event]) -> Vec<String> {
    let name = |event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned();
    events.iter().map(name).collect()
}

fn phases(protocol: &str, events: Vec<Event>) -> (Vec<PhaseRecord>, Timeline) {
    let (mut timeline, mut lines) = (Timeline::default(), Vec::new());
    timeline.summary_mut().selected_protocol = Some(protocol.to_owned());
    events.into_iter().for_each(|event| timeline.push(event, &mut lines));
    timeline.finish(9, &mut lines);
    let phase = |line| if let Line::Phase(phase) = line { Some(phase) } else { None };
    (lines.into_iter().filter_map(phase).collect(), timeline)
}

#[test]
fn every_way_of_authentication_leads_to_the_desktop() {
    for (protocol, steps) in sessions() {
        let Observed { observer, events } = whole(protocol, &steps);
        let names = names(&events);
        assert!(names.ends_with(&["font_map".to_owned()]), "{protocol:?}: {names:?}");
        assert_eq!((observer.phase(), names.contains(&"malformed".to_owned())), (Phase::Active, false));
        assert!(!observer.is_opaque(CLIENT) && !observer.is_opaque(SERVER));
        let credssp = names.iter().filter(|name| *name == "ts_request").count();
        let inside: Vec<_> = events.iter().filter(|event| event.phase == Phase::Credssp).collect();
        assert!(inside.iter().all(|event| event.leg == event.from.unwrap().into()));
        let others = match protocol {
            Some(4 | 0x10) => 3,
            Some(8) => 1,
            None if names.contains(&"early_user_authorization_result".to_owned()) => 1,
            _ => 0,
        };
        assert_eq!(inside.len(), credssp + others, "{protocol:?}: {names:?}");
    }
}

#[test]
fn a_negotiation_inside_tls_is_read() {
    let (protocol, steps) = sessions().pop().unwrap();
    assert_eq!(
        names(&whole(protocol, &steps).events)[..3],
        ["connection_request", "connection_confirm", "connect_initial"]
    );
}

#[test]
fn the_phase_and_the_summary_of_a_logon_that_succeeds() {
    for (name, protocol, steps) in [
        ("HYBRID", Some(2), [ntlm(), session()].concat()),
        ("HYBRID_EX", Some(8), [ntlm(), vec![(SERVER, vec![0; 4])]].concat()),
    ] {
        let (phases, timeline) = phases(name, whole(protocol, &steps).events);
        assert_eq!(
            (phases[0].phase, phases[0].outcome, phases[0].inferred),
            (Phase::Credssp, Outcome::Ok, false)
        );
        let credssp = timeline.summary().credssp.clone().unwrap();
        assert_eq!(
            (credssp.version, credssp.mechanism.as_deref(), credssp.status),
            (Some(5), Some("NTLM"), None)
        );
    }
}

#[test]
fn the_phase_and_the_summary_of_a_logon_that_fails() {
    let mut steps = ntlm();
    steps.truncate(3);
    steps.push((SERVER, ts_request(5, &[error_code(0xc000_006d)])));
    let (failed, timeline) = phases("HYBRID", whole(Some(2), &steps).events);
    assert_eq!((failed[0].phase, failed[0].outcome), (Phase::Credssp, Outcome::Failed));
    let status = timeline.summary().credssp.clone().unwrap().status;
    assert_eq!((status.as_deref(), timeline.reached()), (Some("0xc000006d"), None));

    let denied = [ntlm(), vec![(SERVER, vec![5, 0, 0, 0])]].concat();
    let (failed, _) = phases("HYBRID_EX", whole(Some(8), &denied).events);
    assert_eq!((failed[0].phase, failed[0].outcome), (Phase::Credssp, Outcome::Failed));
    let steps =
        |[first, second, third]: [Vec<u8>; 3]| vec![(SERVER, first), (CLIENT, second), (SERVER, third)];
    for (name, protocol, steps) in
        [("RDSTLS", 4, steps(rdstls_messages(0x52e))), ("RDSAAD", 16, steps(rdsaad_messages(-2_147_024_891)))]
    {
        let (failed, _) = phases(name, whole(Some(protocol), &steps).events);
        assert_eq!((failed[0].phase, failed[0].outcome), (Phase::Credssp, Outcome::Failed), "{name}");
    }
}

#[test]
fn a_kerberos_logon_is_one() {
    let steps = [
        (
            CLIENT,
            ts_request(
                6,
                &[nego_token(&spnego_init(&[KERBEROS, NTLM], &kerberos_ap_req("CORP.EXAMPLE", "fs01")))],
            ),
        ),
        (SERVER, ts_request(6, &[nego_token(&spnego_response(0, Some(KERBEROS), &kerberos_ap_rep()))])),
    ];
    let (_, timeline) = phases("HYBRID", whole(Some(2), &steps).events);
    assert_eq!(timeline.summary().credssp.clone().unwrap().mechanism.as_deref(), Some("Kerberos"));
}

#[test]
fn what_is_no_authentication_is_told_once_and_without_its_bytes() {
    for protocol in [None, Some(2), Some(4), Some(8), Some(0x10)] {
        let observed =
            observe(protocol, [(CLIENT, &b"secret"[..]), (CLIENT, b"secret"), (CLIENT, b"secret")]);
        assert_eq!(names(&observed.events), ["malformed", "observation_stopped"], "{protocol:?}");
        let json = serde_json::to_string(&observed.events).unwrap();
        assert!(!json.contains(&hex::encode("sec")), "{json}");
        assert!(observed.observer.is_opaque(CLIENT) && !observed.observer.is_opaque(SERVER));
    }
}

#[test]
fn sixteen_mebibytes_are_refused_before_they_come() {
    let header = hex::decode("308401000000a003020106a2").unwrap();
    let observed = observe(Some(2), [(CLIENT, &header[..])]);
    assert_eq!(names(&observed.events), ["malformed", "observation_stopped"]);
    assert_eq!(observed.observer.directions[0].pending.capacity(), 0);
    let longest = [&[0x30, 0x83], &((LONGEST_TS_REQUEST - 5) as u32).to_be_bytes()[1..], &[0; 100]].concat();
    assert!(observe(Some(2), [(CLIENT, &longest[..])]).events.is_empty(), "the longest is waited for");
}

#[test]
fn a_message_that_is_cut_short_is_told_at_the_end() {
    let request = ts_request(6, &[nego_token(&ntlm_negotiate())]);
    let Observed { mut observer, mut events } = observe(Some(8), [(CLIENT, &request[..20])]);
    assert!(events.is_empty());
    observer.ended(8, CLIENT, &mut events);
    observer.ended(8, SERVER, &mut events);
    assert_eq!(names(&events), ["malformed"]);
}

#[test]
fn no_secret_is_told() {
    let canary = String::from_utf8_lossy(&CANARY[..16]).into_owned();
    let canaries = [canary.clone(), hex::encode(&canary), "hunter2".to_owned(), hex::encode("hunter2")];
    for (protocol, steps) in sessions() {
        let pieces = steps.iter().flat_map(|(side, bytes)| bytes.chunks(5).map(|piece| (*side, piece)));
        for observed in [whole(protocol, &steps), observe(protocol, pieces)] {
            let told = format!("{:?}{}", observed.events, serde_json::to_string(&observed.events).unwrap());
            for canary in &canaries {
                assert!(!told.contains(canary), "{protocol:?}: {canary} in {told}");
            }
        }
        // The same bytes where they do not belong.
        for other in [None, Some(1), Some(2), Some(4), Some(8), Some(0x10)] {
            let told = format!("{:?}", whole(other, &steps).events);
            assert!(canaries.iter().all(|canary| !told.contains(canary)), "{other:?}: {told}");
        }
    }
}

fn told(protocol: Option<u32>, pieces: &[Step]) -> (Vec<Event>, [bool; 2]) {
    let Observed { observer, events } = whole(protocol, pieces);
    (events, [observer.is_opaque(CLIENT), observer.is_opaque(SERVER)])
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_events(which in 0_usize..9, sizes in proptest::collection::vec(1_usize..60, 1..20)) {
        let (protocol, steps) = sessions().swap_remove(which);
        let mut sizes = sizes.iter().cycle();
        let mut pieces = Vec::new();
        for (side, bytes) in &steps {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                pieces.push((*side, piece.to_vec()));
                rest = after;
            }
        }
        prop_assert_eq!(told(protocol, &steps), told(protocol, &pieces));
    }

    #[test]
    fn damaged_sessions_are_the_same_in_any_chunking(
        which in 0_usize..9,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
        size in 1_usize..40,
    ) {
        let (protocol, mut steps) = sessions().swap_remove(which);
        for (step, at, byte) in changes {
            let bytes = &mut step.get_mut(&mut steps[..]).1;
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let cut = |(side, bytes): &Step| bytes.chunks(size).map(|piece| (*side, piece.to_vec())).collect::<Vec<_>>();
        let pieces: Vec<Step> = steps.iter().flat_map(cut).collect();
        prop_assert_eq!(told(protocol, &steps), told(protocol, &pieces));
    }
}
