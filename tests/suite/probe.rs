//! What a probe finds of real servers.

#[cfg(feature = "nla")]
use crate::support::certificates::certificates;
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xrdp, XrdpSetup};
#[cfg(feature = "nla")]
use crate::support::peers::{Iron, Reached};
#[cfg(feature = "nla")]
use ironrdp_pdu::nego::SecurityProtocol;
use rdpscope::probe::{Settings, probe};
use rdpscope::trace::{NegotiationAnswer, Outcome, Phase, Probe, Record};
use std::net::SocketAddr;

/// Two clocks of one machine, and a server that takes its time.
const SAME_CLOCK_US: i64 = 60_000_000;

fn probed(server: SocketAddr, settings: &Settings) -> Record {
    let target = format!("localhost:{}", server.port()).parse().expect("it is a target");
    let settings = Settings { address: server.to_string().parse().ok(), ..settings.clone() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let record = runtime.expect("a runtime is made").block_on(probe(&target, &settings));
    let found = record.probe.as_ref().expect("a probe has its line");
    assert!(found.connections <= settings.most_connections(1), "{found:?}");
    assert!(found.flaky.is_empty(), "{:?}", found.flaky);
    record
}

/// Whether a client is taken that asks for these protocols.
fn takes(found: &Probe, protocols: &[&str]) -> bool {
    let check = found.negotiation.iter().find(|check| check.requested_protocols == protocols);
    matches!(check.expect("it was asked").answer, NegotiationAnswer::Selected { .. })
}

fn outcome(record: &Record, phase: Phase) -> Option<Outcome> {
    record.phase(phase).map(|record| record.outcome)
}

fn found(record: &Record) -> &Probe {
    record.probe.as_ref().expect("a probe has its line")
}

#[test]
fn a_server_that_requires_network_level_authentication() {
    if left_out_without(&Shadow::programs(FreeRdp::Three)) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Three, ShadowSecurity::Nla);
    let record = probed(shadow.address, &Settings::default());
    let found = found(&record);
    assert!(takes(found, &["SSL", "HYBRID"]) && takes(found, &["SSL", "HYBRID", "HYBRID_EX"]));
    assert!(!takes(found, &["SSL"]) && !takes(found, &["RDP"]));
    let credssp = found.credssp.as_ref().expect("it was asked");
    let challenge = credssp.challenge.as_ref().expect("NTLM is answered");
    assert!(challenge.netbios_computer.is_some());
    assert!(credssp.clock_skew_us.is_some_and(|skew| skew.abs() < SAME_CLOCK_US), "{credssp:?}");
    let certificate = found.certificate.as_ref().expect("it shows one");
    assert!(certificate.name_matches && !certificate.trusted, "{certificate:?}");
    assert!(found.tls.as_ref().is_some_and(|tls| tls.suites.contains_key("TLS1.3")), "{:?}", found.tls);
    assert_eq!(outcome(&record, Phase::Tls), Some(Outcome::Ok));
    // Nobody was logged on: the server waits for what never comes.
    assert_eq!(outcome(&record, Phase::Credssp), Some(Outcome::Unfinished));
}

#[test]
fn a_server_that_forces_classic_security() {
    if left_out_without(&Shadow::programs(FreeRdp::Two)) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Two, ShadowSecurity::Rdp);
    let record = probed(shadow.address, &Settings::default());
    let found = found(&record);
    assert!(takes(found, &["RDP"]));
    assert!(found.certificate.is_none() && found.credssp.is_none() && found.tls.is_none());
    let classic = found.classic.as_ref().expect("it was asked");
    // This server encrypts nothing of it.
    assert_eq!((classic.methods.as_slice(), classic.refused.len()), (&["NONE".to_owned()][..], 0));
    assert!(!found.left_out.is_empty());
}

#[test]
fn a_server_without_network_level_authentication() {
    if left_out_without(&["xrdp"]) {
        return;
    }
    let xrdp = Xrdp::start(&XrdpSetup { tls_versions: "TLSv1.2", ..Xrdp::setup() });
    let record = probed(xrdp.address, &Settings::default());
    let found = found(&record);
    assert!(takes(found, &["SSL"]));
    assert!(found.credssp.is_none());
    if Xrdp::can_do_classic_security() {
        let classic = found.classic.as_ref().expect("it was asked");
        assert_eq!(classic.methods, ["128BIT_ENCRYPTION_FLAG"]);
        assert_eq!(classic.level.as_deref(), Some("ENCRYPTION_LEVEL_HIGH"));
    }
    let tls = found.tls.as_ref().expect("it was scanned");
    assert!(tls.suites.contains_key("TLS1.2") && !tls.suites.contains_key("TLS1.3"), "{tls:?}");
    assert_eq!(outcome(&record, Phase::Credssp), Some(Outcome::Skipped));
    assert_eq!(record.summary.expect("it has one").reached, Some(Phase::Tls));
}

#[cfg(feature = "nla")]
#[test]
fn early_user_authorization_is_not_waited_for() {
    let both = SecurityProtocol::HYBRID | SecurityProtocol::HYBRID_EX;
    let iron = Iron::start(both, &certificates().signed, "test", "Right-1234");
    let record = probed(iron.address, &Settings { tls: false, ..Settings::default() });
    let credssp = found(&record).credssp.as_ref().expect("it was asked");
    assert!(credssp.challenge.is_some(), "{credssp:?}");
    // It saw TLS, and then a client that left in the middle of CredSSP.
    let reached = iron.outcome();
    assert!(reached.contains(&Reached::Tls) && !reached.contains(&Reached::Credssp), "{reached:?}");
}
