use super::super::{Context, confounders};
use super::script::{HYBRID, Made, SSL, Script, failure, handshake_13, request, session_traffic};
use super::terminated::Terminated;
use super::{assert_verdict, has_finding};
use crate::trace::{Altered, Confidence, How, Leg, Line, Phase, Record, Side, VerdictId};

/// A ClientHello without extensions: clients that dialled an address name nobody.
fn nameless() -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 4, 0x13, 0x01, 0xc0, 0x30, 1, 0]].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    super::script::record(22, &[&[1], &length[1..], &body[..]].concat())
}

fn ids(script: Script) -> Vec<&'static str> {
    confounders(&script.record(), &Context::default()).iter().map(|confounder| confounder.id).collect()
}

fn mirror(client_hello: Vec<u8>) -> Terminated {
    Terminated { mode: "mirror", client_hello, ..Terminated::default() }
}

#[test]
fn a_client_that_dials_this_machine_is_counted() {
    for client_hello in [super::script::client_hello("localhost"), nameless()] {
        let found = ids(mirror(client_hello).complete().end(Side::Client, How::Fin));
        assert!(found.contains(&"confounder-dialled-name"), "{found:?}");
        assert!(found.contains(&"confounder-authority"), "{found:?}");
    }
    let named = ids(mirror(super::script::client_hello("srv10")).complete().end(Side::Client, How::Fin));
    assert!(!named.contains(&"confounder-dialled-name"), "{named:?}");
    let both = Made { name: "localhost", ..Made::default() };
    let fresh = Terminated {
        shown: both,
        client_hello: super::script::client_hello("localhost"),
        ..Terminated::default()
    };
    assert!(!ids(fresh.complete().end(Side::Client, How::Fin)).contains(&"confounder-dialled-name"));
}

#[test]
fn a_target_on_this_machine_has_this_machines_name() {
    let mut record = mirror(nameless()).complete().end(Side::Client, How::Fin).record();
    record.header.as_mut().unwrap().target = "localhost:13390".to_owned();
    let found = confounders(&record, &Context::default());
    assert!(found.iter().all(|confounder| confounder.id != "confounder-dialled-name"), "{found:?}");
}

#[test]
fn the_way_round_names_the_server() {
    let record = mirror(nameless()).complete().end(Side::Client, How::Fin).record();
    let found = confounders(&record, &Context::default());
    let trap = found.iter().find(|confounder| confounder.id == "confounder-dialled-name").unwrap();
    for line in
        ["127.0.0.2 srv10", "--listen 127.0.0.2:13389 --address 10.0.0.5:3389", "mstsc /v:srv10:13389"]
    {
        assert!(trap.way_round.iter().any(|step| step.contains(line)), "{line}: {:?}", trap.way_round);
    }
    assert!(trap.finding().text.contains("no fault of the server"));
}

#[test]
fn in_a_healthy_session_the_trap_did_no_harm() {
    let hidden = |script: Script| handshake_13(script);
    let script = session_traffic(hidden(Script::negotiated(SSL, SSL)));
    assert!(!has_finding(&script.end(Side::Client, How::Fin).diagnose(), "confounder-dialled-name"));
    let healthy = mirror(nameless()).complete().active().end(Side::Client, How::Fin);
    assert!(!has_finding(&healthy.diagnose(), "confounder-dialled-name"));
}

fn stripped(script: Script) -> super::Diagnosis {
    let mut record: Record = script.record();
    record.push(Line::Altered(Altered {
        t_us: 1,
        leg: Leg::Server,
        connection: None,
        phase: Phase::X224,
        message: "X.224 Connection Request".to_owned(),
        structure: "RDP_NEG_REQ".to_owned(),
        field: "requestedProtocols".to_owned(),
        offset: 15,
        before: "03000000".to_owned(),
        after: "01000000".to_owned(),
        why: crate::trace::NLA_STRIP.to_owned(),
    }));
    super::super::diagnose(&record, &Context::default())
}

#[test]
fn nla_that_rdpscope_took_out_is_not_the_servers() {
    let insists =
        || Script::connected().client(&request(SSL | HYBRID)).server(&failure(5)).end(Side::Server, How::Fin);
    let diagnosis = stripped(insists());
    assert_verdict(&diagnosis, VerdictId::NlaRequired, Confidence::Confirmed);
    assert!(diagnosis.verdict.summary.contains("rdpscope took out"), "{}", diagnosis.verdict.summary);
    assert!(!insists().diagnose().verdict.summary.contains("rdpscope"));

    let leaves = || Script::negotiated(SSL | HYBRID, SSL).end(Side::Client, How::Fin);
    let diagnosis = stripped(leaves());
    assert_verdict(&diagnosis, VerdictId::NlaNotOffered, Confidence::Likely);
    assert!(diagnosis.verdict.summary.contains("not the server's doing"), "{}", diagnosis.verdict.summary);
    assert!(!diagnosis.verdict.ruled_out.contains(&VerdictId::NlaLogonFailed));
    assert!(has_finding(&diagnosis, "confounder-nla-stripped") && !has_finding(&diagnosis, "nla-off"));
}

#[test]
fn a_prompt_is_counted_by_who_came_back() {
    let record = || Script::negotiated(SSL | HYBRID, HYBRID).end(Side::Client, How::Fin).record();
    let count = |came_back| {
        let found = confounders(&record(), &Context { came_back });
        found.iter().filter(|confounder| confounder.id == "confounder-prompt").count()
    };
    assert_eq!((count(true), count(false)), (1, 0));
}
