//! Real clients and servers: each pair meets directly, then through rdpscope, and both must end the same way.

use crate::support::certificates::{certificates, signed_rsa};
use crate::support::left_out::{left_out_without, say_left_out};
use crate::support::peers::{
    ClientRun, FreeRdp, Rdesktop, Shadow, ShadowSecurity, Socat, Xfreerdp, Xrdp, XrdpSetup, free_port,
};
use crate::support::rdpscope::{Finished, Rdpscope};
use std::net::SocketAddr;

/// The account of the shadow server.
pub(super) const RIGHT: [&str; 2] = ["/u:test", "/p:Right-1234"];
/// The same with another password.
pub(super) const WRONG: [&str; 2] = ["/u:test", "/p:Wrong-5678"];

/// Ends that a session which was active may come to: the harness ends the client, and how that looks is the client's.
const ENDED_WHILE_ACTIVE: [&str; 2] = ["healthy", "client-closed"];

/// True, after saying so, when one of these programs is missing.
pub(super) fn left_out(programs: &[&[&'static str]]) -> bool {
    left_out_without(&programs.concat())
}

/// Runs a client directly, then through rdpscope with `arguments`; both runs must end the same way.
pub(super) fn directly_and_through(
    server: SocketAddr,
    arguments: &[&str],
    client: impl Fn(u16) -> ClientRun,
) -> (ClientRun, Finished) {
    let direct = client(server.port());
    println!("direct: {}", direct.summary());
    let rdpscope = Rdpscope::start(server, 1, arguments);
    let through = client(rdpscope.address.port());
    println!("through rdpscope: {}", through.summary());
    let finished = rdpscope.finish();
    assert_eq!(
        direct.ending(),
        through.ending(),
        "directly:\n{}\nthrough rdpscope:\n{}\nrdpscope:\n{}",
        direct.tail(),
        through.tail(),
        finished.stderr
    );
    (direct, finished)
}

/// No password of these tests may be in anything that rdpscope wrote.
fn assert_no_secret(finished: &Finished) {
    let lines = finished.sessions.iter().map(ToString::to_string);
    let written =
        lines.chain(finished.stdout.iter().map(ToString::to_string)).chain([finished.stderr.clone()]);
    for text in written {
        assert!(!text.contains("Right-1234") && !text.contains("Wrong-5678"), "a password in:\n{text}");
    }
}

/// A session over TLS that reaches the desktop.
fn assert_active_over_tls(direct: &ClientRun, finished: &Finished, tls_version: &str) {
    assert!(direct.active, "{}", direct.tail());
    assert_no_secret(finished);
    let session = finished.session();
    session.assert_verdict(&ENDED_WHILE_ACTIVE);
    session.assert_reached(&["tcp", "x224", "tls"]);
    session.assert_events(&["connection_request", "connection_confirm", "client_hello", "server_hello"]);
    assert_eq!(session.summary()["tls_version"], tls_version, "{session}");
    let visible = !session.summary()["certificate"].is_null();
    assert_eq!(visible, tls_version == "TLS1.2", "the certificate is visible up to TLS 1.2:\n{session}");
}

fn tls_to_xrdp(version: FreeRdp, setup: &XrdpSetup<'_>, tls_version: &str) {
    let xrdp = Xrdp::start(setup);
    let client = Xfreerdp::new(version, &["/sec:tls", RIGHT[0], RIGHT[1]]);
    let (direct, finished) = directly_and_through(xrdp.address, &[], |port| client.run(port));
    assert_active_over_tls(&direct, &finished, tls_version);
    let session = finished.session();
    assert_eq!(session.summary()["selected_protocol"], "SSL", "{session}");
    assert_eq!(session.outcome("credssp").unwrap_or("skipped"), "skipped", "no NLA here:\n{session}");
}

#[test]
fn xfreerdp2_to_xrdp_over_tls13() {
    if !left_out(&[&Xfreerdp::programs(FreeRdp::Two), &["xrdp"]]) {
        tls_to_xrdp(FreeRdp::Two, &Xrdp::setup(), "TLS1.3");
    }
}

#[test]
fn xfreerdp3_to_xrdp_over_tls13() {
    if !left_out(&[&Xfreerdp::programs(FreeRdp::Three), &["xrdp"]]) {
        tls_to_xrdp(FreeRdp::Three, &Xrdp::setup(), "TLS1.3");
    }
}

#[test]
fn xfreerdp2_to_xrdp_over_tls12_with_an_rsa_key() {
    if !left_out(&[&Xfreerdp::programs(FreeRdp::Two), &["xrdp", "openssl"]]) {
        let setup = XrdpSetup { tls_versions: "TLSv1.2", certificate: signed_rsa(), ..Xrdp::setup() };
        tls_to_xrdp(FreeRdp::Two, &setup, "TLS1.2");
    }
}

#[test]
fn xfreerdp3_to_xrdp_over_tls12() {
    if !left_out(&[&Xfreerdp::programs(FreeRdp::Three), &["xrdp"]]) {
        tls_to_xrdp(FreeRdp::Three, &XrdpSetup { tls_versions: "TLSv1.2", ..Xrdp::setup() }, "TLS1.2");
    }
}

/// NLA between the client and the shadow server of one FreeRDP generation.
fn nla(version: FreeRdp, account: [&str; 2]) -> Option<(ClientRun, Finished)> {
    if left_out(&[&Xfreerdp::programs(version), &Shadow::programs(version)]) {
        return None;
    }
    let shadow = Shadow::start(version, ShadowSecurity::Nla);
    let client = Xfreerdp::new(version, &["/sec:nla", account[0], account[1]]);
    Some(directly_and_through(shadow.address, &[], |port| client.run(port)))
}

fn nla_with_the_right_password(version: FreeRdp) {
    if let Some((direct, finished)) = nla(version, RIGHT) {
        assert_active_over_tls(&direct, &finished, "TLS1.3");
        let session = finished.session();
        assert_eq!(session.summary()["selected_protocol"], "HYBRID", "{session}");
        session.assert_reached(&["credssp"]);
    }
}

/// `verdicts`: FreeRDP 2 leaves the closing to the server, with FreeRDP 3 both close at once and either may be first.
fn nla_with_the_wrong_password(version: FreeRdp, verdicts: &[&str]) {
    if let Some((direct, finished)) = nla(version, WRONG) {
        assert!(!direct.active && direct.exit_code.is_some_and(|code| code != 0), "{}", direct.tail());
        assert_no_secret(&finished);
        let session = finished.session();
        session.assert_reached(&["tcp", "x224", "tls"]);
        // A status that would name the reason is encrypted, so the phase is all that can be known.
        session.assert_verdict(verdicts);
        assert_eq!(session.verdict()["phase"], "credssp", "{session}");
    }
}

#[test]
fn nla_to_shadow2_with_the_right_password() {
    nla_with_the_right_password(FreeRdp::Two);
}

#[test]
fn nla_to_shadow3_with_the_right_password() {
    nla_with_the_right_password(FreeRdp::Three);
}

#[test]
fn nla_to_shadow2_with_the_wrong_password() {
    nla_with_the_wrong_password(FreeRdp::Two, &["server-closed"]);
}

#[test]
fn nla_to_shadow3_with_the_wrong_password() {
    nla_with_the_wrong_password(FreeRdp::Three, &["server-closed", "client-closed"]);
}

#[test]
fn rdesktop_to_xrdp_over_classic_rdp_security() {
    if left_out(&[&Rdesktop::PROGRAMS, &["xrdp"]]) {
        return;
    }
    if !Xrdp::can_do_classic_security() {
        return say_left_out("xrdp's keys for classic RDP security are readable to root only");
    }
    let xrdp = Xrdp::start(&XrdpSetup { security_layer: "rdp", ..Xrdp::setup() });
    let (direct, finished) = directly_and_through(xrdp.address, &[], Rdesktop::run);
    assert!(direct.active, "{}", direct.tail());
    let session = finished.session();
    session.assert_verdict(&ENDED_WHILE_ACTIVE);
    session.assert_reached(&["tcp", "x224", "mcs", "channels", "info"]);
    assert_eq!(session.outcome("tls").unwrap_or("skipped"), "skipped", "{session}");
}

#[test]
fn xfreerdp2_to_shadow2_over_classic_rdp_without_encryption() {
    if left_out(&[&Xfreerdp::programs(FreeRdp::Two), &Shadow::programs(FreeRdp::Two)]) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Two, ShadowSecurity::Rdp);
    let client = Xfreerdp::new(FreeRdp::Two, &["/sec:rdp", RIGHT[0], RIGHT[1]]);
    let (direct, finished) = directly_and_through(shadow.address, &[], |port| client.run(port));
    assert!(direct.active, "{}", direct.tail());
    assert_no_secret(&finished);
    let session = finished.session();
    session.assert_verdict(&ENDED_WHILE_ACTIVE);
    // Nothing is hidden here, so every phase is seen.
    session.assert_reached(&[
        "tcp",
        "x224",
        "mcs",
        "channels",
        "info",
        "licensing",
        "capabilities",
        "finalization",
        "active",
    ]);
}

/// A client that trusts only the test authority meets an xrdp that shows `setup`'s certificate.
pub(super) fn checked_certificate(version: FreeRdp, setup: &XrdpSetup<'_>) -> (ClientRun, Finished) {
    let xrdp = Xrdp::start(setup);
    let client = Xfreerdp::new(version, &["/sec:tls", RIGHT[0], RIGHT[1]]);
    let client = client.trusting_only(&certificates().authority_file);
    directly_and_through(xrdp.address, &[], |port| client.run(port))
}

fn refused_certificates_over_tls12(version: FreeRdp) {
    if left_out(&[&Xfreerdp::programs(version), &["xrdp"]]) {
        return;
    }
    let made = certificates();
    let faults = [
        (&made.expired, "certificate-expired"),
        (&made.not_yet_valid, "certificate-not-yet-valid"),
        (&made.self_signed, "certificate-untrusted"),
        (&made.wrong_name, "certificate-name-mismatch"),
    ];
    for (certificate, verdict) in faults {
        let setup = XrdpSetup { tls_versions: "TLSv1.2", certificate, ..Xrdp::setup() };
        let (direct, finished) = checked_certificate(version, &setup);
        assert_eq!((direct.active, direct.exit_code), (false, Some(143)), "{}", direct.tail());
        let session = finished.session();
        session.assert_verdict(&[verdict]);
        assert_ne!(session.verdict()["confidence"], "confirmed", "no alert says so:\n{session}");
        // The server answers the client's alert by its own end, which may be seen before the client's.
        assert_eq!(session.end()["closed_by"], "client", "{session}");
    }
}

#[test]
fn xfreerdp2_refuses_bad_certificates_over_tls12() {
    refused_certificates_over_tls12(FreeRdp::Two);
}

#[test]
fn xfreerdp3_refuses_bad_certificates_over_tls12() {
    refused_certificates_over_tls12(FreeRdp::Three);
}

fn refused_certificate_over_tls13(version: FreeRdp) {
    if left_out(&[&Xfreerdp::programs(version), &["xrdp"]]) {
        return;
    }
    let setup = XrdpSetup { tls_versions: "TLSv1.3", certificate: &certificates().expired, ..Xrdp::setup() };
    let (direct, finished) = checked_certificate(version, &setup);
    assert_eq!((direct.active, direct.exit_code), (false, Some(143)), "{}", direct.tail());
    // The certificate is encrypted: that it was refused may be seen, that it is expired may not.
    finished.session().assert_verdict(&["certificate-rejected", "client-closed"]);
}

#[test]
fn xfreerdp2_refuses_an_expired_certificate_over_tls13() {
    refused_certificate_over_tls13(FreeRdp::Two);
}

#[test]
fn xfreerdp3_refuses_an_expired_certificate_over_tls13() {
    refused_certificate_over_tls13(FreeRdp::Three);
}

#[test]
fn a_good_certificate_is_no_fault_to_a_client_that_checks() {
    if left_out(&[&Xfreerdp::programs(FreeRdp::Two), &["xrdp"]]) {
        return;
    }
    let (direct, finished) =
        checked_certificate(FreeRdp::Two, &XrdpSetup { tls_versions: "TLSv1.2", ..Xrdp::setup() });
    assert_active_over_tls(&direct, &finished, "TLS1.2");
}

/// A client that insists on one protocol meets a server that refuses it.
fn refused_negotiation(server: SocketAddr, protocol: &str, failure_code: u32, verdict: &str) {
    let client = Xfreerdp::new(FreeRdp::Two, &[protocol, RIGHT[0], RIGHT[1]]);
    let (direct, finished) = directly_and_through(server, &[], |port| client.run(port));
    assert_eq!((direct.active, direct.exit_code), (false, Some(133)), "{}", direct.tail());
    let session = finished.session();
    session.assert_confirmed(verdict);
    session.assert_events(&["connection_request", "negotiation_failure"]);
    assert_eq!(session.summary()["failure_code"], failure_code, "{session}");
}

#[test]
fn xrdp_refuses_tls() {
    if !left_out(&[&Xfreerdp::programs(FreeRdp::Two), &["xrdp"]]) {
        // It refuses with no failure code: it chooses the old RDP security, and the client leaves.
        let xrdp = Xrdp::start(&XrdpSetup { security_layer: "rdp", ..Xrdp::setup() });
        let client = Xfreerdp::new(FreeRdp::Two, &["/sec:tls"]);
        let (direct, finished) = directly_and_through(xrdp.address, &[], |port| client.run(port));
        assert!(!direct.active, "{}", direct.tail());
        let session = finished.session();
        session.assert_verdict(&["tls-refused-by-server"]);
        assert_eq!(session.summary()["selected_protocol"], "RDP", "{session}");
    }
}

#[test]
fn shadow_requires_tls() {
    if !left_out(&[&Xfreerdp::programs(FreeRdp::Two), &Shadow::programs(FreeRdp::Two)]) {
        let shadow = Shadow::start(FreeRdp::Two, ShadowSecurity::Tls);
        refused_negotiation(shadow.address, "/sec:rdp", 1, "tls-required");
    }
}

#[test]
fn shadow_requires_nla() {
    if !left_out(&[&Xfreerdp::programs(FreeRdp::Two), &Shadow::programs(FreeRdp::Two)]) {
        let shadow = Shadow::start(FreeRdp::Two, ShadowSecurity::Nla);
        refused_negotiation(shadow.address, "/sec:tls", 5, "nla-required");
    }
}

#[test]
fn xrdp_offers_no_nla() {
    if left_out(&[&Xfreerdp::programs(FreeRdp::Two), &["xrdp"]]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let client = Xfreerdp::new(FreeRdp::Two, &["/sec:nla", RIGHT[0], RIGHT[1]]);
    let (direct, finished) = directly_and_through(xrdp.address, &[], |port| client.run(port));
    assert_eq!((direct.active, direct.exit_code), (false, Some(133)), "{}", direct.tail());
    finished.session().assert_verdict(&["nla-not-offered"]);
}

#[test]
fn nobody_listens() {
    if left_out(&[&Xfreerdp::programs(FreeRdp::Two)]) {
        return;
    }
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let client = Xfreerdp::new(FreeRdp::Two, &["/sec:tls"]);
    let rdpscope = Rdpscope::start(nobody, 1, &[]);
    // FreeRDP gives one of two codes for a refused connection, by where its own thread was when it learnt of it.
    for run in [client.run(nobody.port()), client.run(rdpscope.address.port())] {
        println!("{}", run.summary());
        assert!(!run.active && matches!(run.exit_code, Some(141 | 147)), "{}", run.tail());
    }
    rdpscope.finish().session().assert_confirmed("tcp-refused");
}

/// The harness itself: these run without rdpscope, so a failure here is not its fault.
mod harness {
    use super::*;

    #[test]
    fn a_plain_relay_changes_nothing_and_carries_one_connection() {
        if left_out(&[&Xfreerdp::programs(FreeRdp::Two), &["xrdp", "socat"]]) {
            return;
        }
        let xrdp = Xrdp::start(&Xrdp::setup());
        let relay = Socat::start(xrdp.address);
        let client = Xfreerdp::new(FreeRdp::Two, &["/sec:tls", RIGHT[0], RIGHT[1]]);
        let (direct, relayed) = (client.run(xrdp.address.port()), client.run(relay.address.port()));
        assert!(direct.active, "{}", direct.tail());
        assert_eq!(direct.ending(), relayed.ending(), "{}", relayed.tail());
        assert_eq!(relay.connections(), 1);
    }
}
