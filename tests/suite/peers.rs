//! Real clients and servers: each pair meets directly, then through rdpscope, and both must end the same way.

use crate::support::certificates::{certificates, signed_rsa};
use crate::support::left_out::left_out_without;
use crate::support::peers::{ClientRun, FreeRdp, Rdesktop, Shadow, ShadowSecurity, Xfreerdp, Xrdp};
use crate::support::rdpscope::{Finished, Rdpscope};
use std::net::SocketAddr;

const BOTH: [FreeRdp; 2] = [FreeRdp::Two, FreeRdp::Three];

/// The account of the shadow server.
const RIGHT: [&str; 2] = ["/u:test", "/p:Right-1234"];
/// The same with another password.
const WRONG: [&str; 2] = ["/u:test", "/p:Wrong-5678"];

/// Ends that a session which was active may come to: the harness ends the client, and how that looks is the client's.
const ENDED_WHILE_ACTIVE: [&str; 2] = ["healthy", "client-closed"];

/// True, after saying so, when one of these programs is missing.
fn left_out(programs: &[&[&'static str]]) -> bool {
    left_out_without(&programs.concat())
}

/// Runs a client directly, then through rdpscope with `arguments`; both runs must end the same way.
fn directly_and_through(
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
    let written = lines.chain(finished.stdout.iter().map(ToString::to_string)).chain([finished.stderr.clone()]);
    for text in written {
        assert!(!text.contains("Right-1234") && !text.contains("Wrong-5678"), "a password in:\n{text}");
    }
}

fn tls_to_xrdp(version: FreeRdp, setup: &crate::support::peers::XrdpSetup<'_>, tls_version: &str) {
    if left_out(&[&Xfreerdp::programs(version), &["xrdp"]]) {
        return;
    }
    let xrdp = Xrdp::start(setup);
    let client = Xfreerdp::new(version, &["/sec:tls", RIGHT[0], RIGHT[1]]);
    let (direct, finished) = directly_and_through(xrdp.address, &[], |port| client.run(port));
    assert!(direct.active, "{}", direct.tail());
    assert_no_secret(&finished);
    let session = finished.session();
    session.assert_verdict(&ENDED_WHILE_ACTIVE);
    session.assert_reached(&["tcp", "x224", "tls"]);
    session.assert_events(&["connection_request", "connection_confirm", "client_hello", "server_hello"]);
    let summary = session.summary();
    assert_eq!(summary["selected_protocol"], "SSL", "{session}");
    assert_eq!(summary["tls_version"], tls_version, "{session}");
    assert_eq!(summary["certificate"].is_null(), tls_version == "TLS1.3", "visible up to TLS 1.2:\n{session}");
    assert_eq!(session.outcome("credssp").unwrap_or("skipped"), "skipped", "no NLA here:\n{session}");
}

#[test]
fn xfreerdp2_over_tls13_to_xrdp() {
    tls_to_xrdp(FreeRdp::Two, &Xrdp::setup(), "TLS1.3");
}

#[test]
fn xfreerdp3_over_tls13_to_xrdp() {
    tls_to_xrdp(FreeRdp::Three, &Xrdp::setup(), "TLS1.3");
}
