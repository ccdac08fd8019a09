mod gateway;

use super::*;
use crate::trace::{
    ClosedBy, Confidence, Detail, Event, ExperimentEffect, Header, Leg, Outcome, Phase, PhaseRecord, Record,
    Side, Summary,
};
use crate::wire::tls::{ClientHello, ServerHello};
use rdpscope_certs::mode::{CertificateMode, Recipe, Repair};
use serde_json::Map;
use std::cell::RefCell;

/// Where an attempt ends, and its verdict.
type Outcomes = (Phase, VerdictId, Confidence);

const WORKS: Outcomes = (Phase::Active, VerdictId::Healthy, Confidence::Confirmed);
const REFUSED: Outcomes = (Phase::Tls, VerdictId::CertificateRejected, Confidence::Possible);
/// NLA over another key.
const BOUND: Outcomes = (Phase::Credssp, VerdictId::NlaKeyBinding, Confidence::Likely);

fn record((began, id, confidence): Outcomes, session: usize) -> Record {
    let phase = |phase, outcome| PhaseRecord {
        phase,
        leg: None,
        start_us: 0,
        end_us: 0,
        outcome,
        inferred: false,
        waiting_for_client_us: None,
        waiting_for_server_us: None,
    };
    let works = began == Phase::Active;
    let last = if works { Outcome::Ok } else { Outcome::Unfinished };
    Record {
        header: Some(Header {
            schema: 1,
            rdpscope: String::new(),
            session: session.to_string(),
            target: "srv10:3389".to_owned(),
            settings: Map::new(),
            started: "2026-11-21T12:00:00Z".to_owned(),
        }),
        phases: vec![phase(Phase::Tcp, Outcome::Ok), phase(began, last)],
        summary: Some(Box::new(Summary {
            reached: Some(if works { Phase::Active } else { Phase::Tcp }),
            closed_by: Some(ClosedBy::Client),
            ..Summary::default()
        })),
        verdict: Some(Verdict {
            id,
            confidence,
            phase: began,
            summary: String::new(),
            evidence: Vec::new(),
            by_user: false,
            ruled_out: Vec::new(),
            alternatives: Vec::new(),
            next: Vec::new(),
            fix: Vec::new(),
        }),
        ..Record::default()
    }
}

fn event(leg: Leg, phase: Phase, detail: Detail) -> Event {
    Event { t_us: 1, leg, from: None, connection: None, phase, inferred: false, detail }
}

/// Runs an experiment against a world that answers each attempt: the arm and how often it has run before.
fn run_records(
    factor: Factor,
    runs: usize,
    world: impl Fn(&Arm, usize) -> Record,
) -> (Finished, Vec<String>) {
    let addresses = ["10.0.0.5".to_owned(), "10.0.0.6".to_owned()];
    let mut experiment = Experiment::new(factor, factor.arms(&addresses).unwrap(), runs);
    let mut order: Vec<String> = Vec::new();
    while let Some(attempt) = experiment.due() {
        assert_eq!(attempt.number, order.len() + 1);
        assert!(attempt.total >= attempt.number && attempt.number < 200, "{attempt:?}");
        let before = order.iter().filter(|name| **name == attempt.arm.name).count();
        order.push(attempt.arm.name.clone());
        experiment.note(&attempt.arm, world(&attempt.arm, before));
    }
    (experiment.finish(), order)
}

fn run(factor: Factor, runs: usize, world: impl Fn(&Arm, usize) -> Outcomes) -> (Finished, Vec<String>) {
    let sessions = RefCell::new(0);
    run_records(factor, runs, |arm, before| {
        *sessions.borrow_mut() += 1;
        record(world(arm, before), *sessions.borrow())
    })
}

/// What a client sees that refuses a certificate for `faults`; the copies are issued by a CA that it trusts, unless the
/// original signs itself.
fn strict(arm: &Arm, faults: &[Repair], signs_itself: bool, otherwise: Outcomes) -> Outcomes {
    let is_refused = match arm.settings.cert.as_ref().expect("an arm of cert") {
        CertificateMode::Mint(Recipe::Fresh) => false,
        CertificateMode::Mint(Recipe::Mirror(repairs)) => faults.iter().any(|fault| {
            let is_made_good = *fault == Repair::Issuer && !signs_itself;
            !is_made_good && !repairs.contains(fault)
        }),
        CertificateMode::Mint(Recipe::Broken(_)) => faults.contains(&Repair::Issuer),
        CertificateMode::Passthrough | CertificateMode::File(_) => !faults.is_empty(),
    };
    if is_refused { REFUSED } else { otherwise }
}

fn conclusion(finished: &Finished) -> (ExperimentEffect, Option<&str>) {
    (finished.line.conclusion.effect, finished.line.conclusion.guilty.as_deref())
}

fn because(finished: &Finished) -> &str {
    &finished.line.conclusion.because
}

fn proven_id(finished: &Finished) -> Option<VerdictId> {
    finished.proven.as_ref().map(|verdict| {
        assert_eq!(verdict.confidence, Confidence::Confirmed);
        assert!(!verdict.fix.is_empty(), "{verdict:?}");
        verdict.id
    })
}

#[test]
fn each_property_is_found_guilty_by_itself() {
    for (fault, verdict) in [
        (Repair::Dates, VerdictId::CertificateExpired),
        (Repair::Names, VerdictId::CertificateNameMismatch),
        (Repair::Usage, VerdictId::CertificateWrongUsage),
        (Repair::Strength, VerdictId::CertificateWeak),
    ] {
        let (finished, order) = run(Factor::Cert, 3, |arm, _| strict(arm, &[fault], false, WORKS));
        assert_eq!(
            conclusion(&finished),
            (ExperimentEffect::Cause, Some(fault.word())),
            "{}",
            because(&finished)
        );
        assert_eq!(proven_id(&finished), Some(verdict));
        let p = finished.line.conclusion.p_value.unwrap();
        assert!((p - 0.1).abs() < 1e-9, "{p}");
        assert_eq!(order.len(), 6 + 6 + 4, "{order:?}");
        let good = format!("mirror+{} (a copy of the server's certificate with ", fault.word());
        assert!(because(&finished).contains(&good), "{}", because(&finished));
        assert!(because(&finished).contains("repaired) passes 3 of 3"), "{}", because(&finished));
        assert!(because(&finished).contains("did not help"), "{}", because(&finished));
    }
}

#[test]
fn an_unknown_issuer_is_guilty_whether_the_certificate_signs_itself_or_not() {
    for signs_itself in [true, false] {
        let (finished, order) =
            run(Factor::Cert, 3, |arm, _| strict(arm, &[Repair::Issuer], signs_itself, WORKS));
        assert_eq!(
            conclusion(&finished),
            (ExperimentEffect::Cause, Some("issuer")),
            "{}",
            because(&finished)
        );
        assert_eq!(proven_id(&finished), Some(VerdictId::CertificateUntrusted));
        assert_eq!(order.contains(&"self-signed".to_owned()), !signs_itself, "{order:?}");
    }
}

#[test]
fn two_faults_at_once_are_both_named() {
    let faults = [Repair::Dates, Repair::Issuer];
    let (finished, order) = run(Factor::Cert, 3, |arm, _| strict(arm, &faults, true, WORKS));
    assert_eq!(
        conclusion(&finished),
        (ExperimentEffect::Cause, Some("dates+issuer")),
        "{}",
        because(&finished)
    );
    let verdict = finished.proven.as_ref().unwrap();
    assert_eq!(verdict.id, VerdictId::CertificateExpired);
    assert_eq!(verdict.alternatives.first().map(|it| it.id), Some(VerdictId::CertificateUntrusted));
    assert!(order.contains(&"mirror+dates,issuer".to_owned()), "{order:?}");
}

#[test]
fn a_certificate_that_no_repair_makes_good_is_guilty_without_a_property() {
    let (finished, _) = run(Factor::Cert, 3, |arm, _| match &arm.settings.cert {
        Some(CertificateMode::Mint(Recipe::Fresh)) => WORKS,
        _ => REFUSED,
    });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Cause, None), "{}", because(&finished));
    assert_eq!(proven_id(&finished), Some(VerdictId::CertificateRejected));
    assert!(because(&finished).contains("not even a copy"), "{}", because(&finished));
}

#[test]
fn two_repairs_that_each_suffice_leave_the_property_open() {
    let (finished, _) = run(Factor::Cert, 3, |arm, _| match arm.name.as_str() {
        "fresh" | "mirror+dates" | "mirror+names" => WORKS,
        _ => REFUSED,
    });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Cause, None));
    assert!(because(&finished).contains("its dates and its names"), "{}", because(&finished));
}

#[test]
fn where_any_certificate_helps_it_is_not_the_certificate() {
    let (finished, _) = run(Factor::Cert, 3, |arm, _| if arm.name == "server" { REFUSED } else { WORKS });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Inconclusive, None), "{}", because(&finished));
    assert!(because(&finished).contains("--vary tls"), "{}", because(&finished));
    assert_eq!(finished.proven, None);
}

#[test]
fn with_nla_the_copies_need_not_reach_the_desktop() {
    let world = |arm: &Arm, _| strict(arm, &[Repair::Dates], false, BOUND);
    let (finished, _) = run_records(Factor::Cert, 3, |arm, before| {
        let mut record = record(world(arm, before), 1);
        if arm.name != "server" {
            let foreseen = Detail::KeyBindingForeseen { advice: Vec::new() };
            record.events.push(event(Leg::Proxy, Phase::Credssp, foreseen));
        }
        record
    });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Cause, Some("dates")), "{}", because(&finished));
    assert!(because(&finished).contains("not counted against the server"), "{}", because(&finished));
    let noted = finished.line.confounders.iter().find(|it| it.id == "confounder-key-binding").unwrap();
    assert!(!noted.forbids);
}

#[test]
fn a_fault_behind_nla_is_not_acquitted_by_an_arm_that_cannot_pass_nla() {
    let failing = |confidence| {
        run_records(Factor::Cert, 3, move |arm, _| {
            let mut record = record((Phase::Credssp, VerdictId::NlaLogonFailed, confidence), 1);
            if arm.name != "server" {
                let foreseen = Detail::KeyBindingForeseen { advice: Vec::new() };
                record.events.push(event(Leg::Proxy, Phase::Credssp, foreseen));
            }
            record
        })
    };
    let (guessed, _) = failing(Confidence::Possible);
    assert_eq!(conclusion(&guessed), (ExperimentEffect::Inconclusive, None), "{}", because(&guessed));
    assert!(guessed.line.confounders.iter().any(|it| it.forbids && it.id == "confounder-key-binding"));
    let (proved, _) = failing(Confidence::Confirmed);
    assert_eq!(conclusion(&proved), (ExperimentEffect::NotCause, None), "{}", because(&proved));
}

#[test]
fn a_server_whose_fault_is_elsewhere_is_not_helped_by_a_certificate() {
    let nla_required = (Phase::X224, VerdictId::NlaRequired, Confidence::Confirmed);
    let (finished, order) = run(Factor::Cert, 3, |_, _| nla_required);
    assert_eq!(conclusion(&finished), (ExperimentEffect::NotCause, None));
    assert!(because(&finished).contains("nla-required (confirmed)"), "{}", because(&finished));
    assert_eq!(finished.proven, None);
    assert_eq!(finished.observed.map(|verdict| verdict.id), Some(VerdictId::NlaRequired));
    assert_eq!(order, ["server", "fresh", "fresh", "server", "server", "fresh"]);
}

#[test]
fn a_fault_inside_rdp_is_not_helped_by_being_readable() {
    let licence = (VerdictId::LicensingFailed, Confidence::Confirmed);
    let (finished, _) = run(Factor::Cert, 3, |arm, _| {
        let began = if arm.name == "server" { Phase::Mcs } else { Phase::Licensing };
        (began, licence.0, licence.1)
    });
    assert_eq!(conclusion(&finished), (ExperimentEffect::NotCause, None), "{}", because(&finished));
}

#[test]
fn a_healthy_session_has_no_fault_in_any_arm() {
    let (finished, _) = run(Factor::Cert, 3, |_, _| WORKS);
    assert_eq!(conclusion(&finished), (ExperimentEffect::NotCause, None));
    assert!(because(&finished).starts_with("The session works in every arm"), "{}", because(&finished));
    assert_eq!((finished.proven, finished.observed), (None, None));
}

#[test]
fn a_flaky_baseline_is_never_called_a_cause() {
    let (finished, order) = run(Factor::Cert, 3, |arm, before| match arm.name.as_str() {
        "server" if before != 1 => REFUSED,
        _ => WORKS,
    });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Inconclusive, None), "{}", because(&finished));
    let p = finished.line.conclusion.p_value.unwrap();
    assert!((p - 0.4).abs() < 1e-9, "{p}");
    assert_eq!(order.len(), 6, "nothing is bisected: {order:?}");
    assert!(because(&finished).contains("more --runs"), "{}", because(&finished));
}

#[test]
fn many_attempts_speak_even_where_one_came_out_the_other_way() {
    let (finished, _) = run(Factor::Udp, 12, |arm, before| match arm.name.as_str() {
        "relay" if before != 1 => (Phase::Tls, VerdictId::UdpHalfOpen, Confidence::Likely),
        _ => WORKS,
    });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Cause, Some("udp")), "{}", because(&finished));
    assert!(finished.line.conclusion.p_value.unwrap() < 0.001);
    assert_eq!(proven_id(&finished), Some(VerdictId::UdpHalfOpen));
}

#[test]
fn one_attempt_of_each_proves_nothing() {
    let (finished, order) = run(Factor::Udp, 1, |arm, _| if arm.name == "relay" { REFUSED } else { WORKS });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Inconclusive, None), "{}", because(&finished));
    assert_eq!(finished.line.conclusion.p_value, Some(1.0));
    assert_eq!(order.len(), 2);
}

#[test]
fn a_clear_answer_ends_it_early() {
    for (world, effect) in [
        (
            (|arm: &Arm, _| if arm.name == "relay" { REFUSED } else { WORKS }) as fn(&Arm, usize) -> Outcomes,
            ExperimentEffect::Cause,
        ),
        (|_, _| REFUSED, ExperimentEffect::NotCause),
        (|_, _| WORKS, ExperimentEffect::NotCause),
    ] {
        let (finished, order) = run(Factor::Udp, 50, world);
        assert_eq!(order.len(), 8, "{order:?}");
        assert_eq!(finished.line.conclusion.effect, effect, "{}", because(&finished));
    }
    let (_, order) = run(Factor::Udp, 10, |arm, before| match arm.name.as_str() {
        "relay" if before == 2 => WORKS,
        "relay" => REFUSED,
        _ => WORKS,
    });
    assert_eq!(order.len(), 20, "an outcome that changes is not clear");
}

#[test]
fn nla_is_a_cause_only_where_the_certificate_was_taken() {
    let world = |began, id| {
        move |arm: &Arm, _| if arm.name == "relay" { (began, id, Confidence::Likely) } else { WORKS }
    };
    let (behind, _) = run(Factor::Nla, 3, world(Phase::Credssp, VerdictId::NlaEncryptionOracle));
    assert_eq!(conclusion(&behind), (ExperimentEffect::Cause, Some("nla")), "{}", because(&behind));
    assert_eq!(proven_id(&behind), Some(VerdictId::NlaEncryptionOracle));
    let (before, _) = run(Factor::Nla, 3, world(Phase::Tls, VerdictId::CertificateRejected));
    assert_eq!(conclusion(&before), (ExperimentEffect::Inconclusive, None), "{}", because(&before));
    assert!(because(&before).contains("--vary cert"));
}

#[test]
fn nla_is_the_cause_of_what_the_sessions_that_fail_in_it_say() {
    for id in [VerdictId::ServerClosed, VerdictId::ClientClosed] {
        let fails = (Phase::Credssp, id, Confidence::Likely);
        let (finished, _) = run(Factor::Nla, 3, |arm, _| if arm.name == "relay" { fails } else { WORKS });
        assert_eq!(conclusion(&finished), (ExperimentEffect::Cause, Some("nla")), "{}", because(&finished));
        let proven = finished.proven.as_ref().expect("a cause has a verdict");
        assert_eq!((proven.id, proven.phase), (id, Phase::Credssp));
        assert!(proven.summary.contains("without NLA it works"), "{}", proven.summary);
    }
}

#[test]
fn nla_that_the_server_demands_is_not_acquitted_for_failing_without() {
    let required = (Phase::X224, VerdictId::NlaRequired, Confidence::Confirmed);
    let refused = (Phase::Credssp, VerdictId::ServerClosed, Confidence::Likely);
    for baseline in [required, refused] {
        let (finished, _) =
            run(Factor::Nla, 3, |arm, _| if arm.name == "relay" { baseline } else { required });
        assert_eq!(conclusion(&finished), (ExperimentEffect::Inconclusive, None), "{}", because(&finished));
        assert!(because(&finished).contains("lets nobody in without NLA"), "{}", because(&finished));
        assert_eq!(finished.observed.map(|verdict| verdict.id), Some(baseline.1));
    }
}

#[test]
fn udp_is_not_acquitted_by_a_port_that_nobody_used() {
    let hangs = (Phase::Licensing, VerdictId::ClientClosed, Confidence::Likely);
    let with = |cert: &'static str| {
        run_records(Factor::Udp, 3, move |_, _| {
            let mut record = record(hangs, 1);
            let header = record.header.as_mut().expect("it has one");
            header.settings.insert("cert".to_owned(), cert.into());
            record
        })
    };
    let (relayed, _) = with("passthrough");
    assert_eq!(conclusion(&relayed), (ExperimentEffect::Inconclusive, None), "{}", because(&relayed));
    assert!(because(&relayed).contains("--cert fresh"), "{}", because(&relayed));
    let (taken_out, _) = with("fresh");
    assert_eq!(conclusion(&taken_out), (ExperimentEffect::NotCause, None), "{}", because(&taken_out));
    assert!(taken_out.fails && taken_out.has_fault(), "a client that leaves is no proof of health");
    let (before, _) = run(Factor::Udp, 3, |_, _| REFUSED);
    assert_eq!(conclusion(&before), (ExperimentEffect::NotCause, None), "UDP comes after TLS");
}

#[test]
fn versions_that_were_not_tried_are_not_acquitted() {
    let (finished, _) =
        run(Factor::Tls, 3, |_, _| (Phase::Tls, VerdictId::TlsVersionMismatch, Confidence::Likely));
    assert_eq!(conclusion(&finished), (ExperimentEffect::Inconclusive, None), "{}", because(&finished));
    let (finished, _) =
        run(Factor::Tls, 3, |_, _| (Phase::Tls, VerdictId::ServerKeyUnusable, Confidence::Likely));
    assert_eq!(conclusion(&finished), (ExperimentEffect::NotCause, None), "{}", because(&finished));
}

#[test]
fn an_address_that_fails_beside_one_that_works_is_told() {
    let refused = (Phase::Tcp, VerdictId::TcpRefused, Confidence::Confirmed);
    let (finished, _) =
        run(Factor::Address, 3, |arm, _| if arm.name == "10.0.0.5" { refused } else { WORKS });
    assert_eq!(conclusion(&finished), (ExperimentEffect::NotCause, None), "{}", because(&finished));
    assert!(because(&finished).contains("fails with the address 10.0.0.5"), "{}", because(&finished));
    assert_eq!(finished.observed.as_ref().map(|verdict| verdict.id), Some(VerdictId::TcpRefused));
    assert!(!finished.fails && finished.has_fault());
}

#[test]
fn a_change_that_was_not_made_concludes_nothing() {
    let (finished, _) = run_records(Factor::Nla, 3, |arm, _| {
        let mut record = record((Phase::Credssp, VerdictId::NlaLogonFailed, Confidence::Possible), 1);
        if arm.name == "strip" {
            let detail =
                Detail::NotAltered { setting: "--nla strip".to_owned(), reason: "too late".to_owned() };
            record.events.push(event(Leg::Client, Phase::X224, detail));
        }
        record
    });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Inconclusive, None), "{}", because(&finished));
    assert!(because(&finished).contains("not conclusive"), "{}", because(&finished));
}

/// The record of a session whose client dialled rdpscope by `localhost`.
fn dialled_localhost(outcome: Outcomes) -> Record {
    let name = b"\0\0\0\x0e\0\x0c\0\0\x09localhost";
    let extensions = u16::try_from(name.len()).unwrap().to_be_bytes();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x30, 1, 0], &extensions, name].concat();
    let client = ClientHello::decode(&body, 0x0303).unwrap();
    assert_eq!(client.server_name.as_deref(), Some("localhost"));
    let server = ServerHello::decode(&[&[3, 3][..], &[8; 32], &[0, 0xc0, 0x30, 0]].concat()).unwrap();
    let mut record = record(outcome, 1);
    let sent = |side, detail| Event { from: Some(side), ..event(Leg::Client, Phase::Tls, detail) };
    record.events.push(sent(Side::Client, Detail::ClientHello(Box::new(client))));
    record.events.push(sent(Side::Server, Detail::ServerHello(Box::new(server))));
    record
}

#[test]
fn a_name_that_only_rdpscope_has_is_no_fault_of_the_server() {
    let world = |faults: &'static [Repair]| {
        move |arm: &Arm, _| match (strict(arm, faults, false, WORKS), arm.name.as_str()) {
            (outcome, "server") => dialled_localhost(outcome),
            (outcome, _) => record(outcome, 1),
        }
    };
    let (names, _) = run_records(Factor::Cert, 3, world(&[Repair::Names]));
    assert_eq!(conclusion(&names), (ExperimentEffect::Inconclusive, None), "{}", because(&names));
    assert!(names.line.confounders.iter().any(|it| it.forbids && it.id == "confounder-dialled-name"));
    assert_eq!(names.proven, None);
    let (dates, _) = run_records(Factor::Cert, 3, world(&[Repair::Dates]));
    assert_eq!(conclusion(&dates), (ExperimentEffect::Cause, Some("dates")), "{}", because(&dates));
    let (both, _) = run_records(Factor::Cert, 3, world(&[Repair::Dates, Repair::Names]));
    assert_eq!(conclusion(&both), (ExperimentEffect::Cause, Some("dates")), "{}", because(&both));
    assert!(because(&both).contains("Its names are refused, too, but"), "{}", because(&both));
}

#[test]
fn a_tls_version_is_a_cause_unless_rdpscope_in_between_is_enough() {
    let fails = (Phase::Tls, VerdictId::TlsVersionMismatch, Confidence::Likely);
    let (finished, _) = run(Factor::Tls, 3, |arm, _| if arm.name == "tls1.2" { WORKS } else { fails });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Cause, Some("tls1.2")), "{}", because(&finished));
    let (finished, _) = run(Factor::Tls, 3, |arm, _| if arm.name == "as-is" { fails } else { WORKS });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Inconclusive, None), "{}", because(&finished));
}

#[test]
fn an_address_that_works_where_the_name_does_not_names_itself() {
    let refused = (Phase::Tcp, VerdictId::TcpFiltered, Confidence::Likely);
    let (finished, _) =
        run(Factor::Address, 3, |arm, _| if arm.name == "10.0.0.6" { WORKS } else { refused });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Cause, Some("10.0.0.6")), "{}", because(&finished));
    assert_eq!(proven_id(&finished), Some(VerdictId::DnsMismatch));
    let p = finished.line.conclusion.p_value.unwrap();
    assert!((p - 0.2).abs() < 1e-9, "two comparisons: {p}");
}

#[test]
fn the_delay_at_which_it_breaks_is_named() {
    let slow = (Phase::Tls, VerdictId::LinkSlow, Confidence::Likely);
    let from = |first: &'static str| {
        move |arm: &Arm, _| if arm.name.len() >= first.len() && *arm.name >= *first { slow } else { WORKS }
    };
    let (finished, _) = run(Factor::Latency, 3, from("300ms"));
    assert_eq!(conclusion(&finished), (ExperimentEffect::Cause, Some("300ms")), "{}", because(&finished));
    assert_eq!(finished.proven.map(|verdict| verdict.id), Some(VerdictId::LinkSlow));
    let (never, _) = run(Factor::Latency, 3, |_, _| WORKS);
    assert_eq!(conclusion(&never), (ExperimentEffect::NotCause, None), "{}", because(&never));
    let (always, _) = run(Factor::Latency, 3, |_, _| slow);
    assert_eq!(conclusion(&always), (ExperimentEffect::Inconclusive, None), "{}", because(&always));
    let (odd, _) = run(Factor::Latency, 3, |arm, _| if arm.name == "300ms" { slow } else { WORKS });
    assert_eq!(conclusion(&odd), (ExperimentEffect::Inconclusive, None), "{}", because(&odd));
}

#[test]
fn an_experiment_that_was_broken_off_concludes_nothing() {
    let mut experiment = Experiment::new(Factor::Cert, Factor::Cert.arms(&[]).unwrap(), 3);
    let nothing = experiment.finish();
    assert_eq!(conclusion(&nothing), (ExperimentEffect::Inconclusive, None));
    for outcome in [REFUSED, WORKS] {
        let attempt = experiment.due().unwrap();
        experiment.note(&attempt.arm, record(outcome, 1));
    }
    let some = experiment.finish();
    assert_eq!(conclusion(&some), (ExperimentEffect::Inconclusive, None), "{}", because(&some));
}

#[test]
fn an_attempt_is_the_connection_that_got_furthest() {
    let prompted = record((Phase::Active, VerdictId::ClientPrompted, Confidence::Confirmed), 1);
    let first = record((Phase::X224, VerdictId::NlaRequired, Confidence::Confirmed), 2);
    let second = record(REFUSED, 3);
    let chosen = furthest(vec![prompted.clone(), second, first]).unwrap();
    assert_eq!(chosen.header.unwrap().session, "3");
    assert_eq!(furthest(vec![prompted]), None, "a question to the user is no attempt");
}

#[test]
fn letters_go_on_after_z() {
    assert_eq!([0, 1, 25, 26, 27, 52].map(schedule::letter), ["A", "B", "Z", "AA", "AB", "BA"]);
}
