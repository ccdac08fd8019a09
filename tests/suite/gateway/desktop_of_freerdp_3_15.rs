//! FreeRDP 3.15, the first of its generation that takes a gateway's port, through rdpscope.

use super::desktop::assert_desktop;
use super::inner::account;
use super::{TWO_CONNECTIONS, WEBSOCKET, relay};
use crate::support::gateway::{Gateway, Logon, PASSWORD, Setup, USER};
use crate::support::left_out::left_out_without;
use crate::support::peers::{ClientRun, Xfreerdp, Xrdp};
use crate::support::rdpscope::Finished;
use tempfile::TempDir;

/// One attempt through a gateway with `logon`, or nothing where there is no such client.
fn attempt(logon: Logon, transport: &str, flags: &[&str]) -> Option<(ClientRun, Finished)> {
    let newer = |arguments: &[&str]| Xfreerdp::newer(arguments);
    newer(&[])?;
    if left_out_without(&["Xvfb", "xrdp", "chroot"]) {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup { logon, ..Setup::default() });
    let relay = relay(xrdp.address, gateway.address, 1, flags);
    let way = format!("/gateway:g:{},u:{USER},p:{PASSWORD},type:{transport}", relay.address);
    let run = newer(&[&way, "/sec:tls", "/u:a", "/p:b"])?.run(xrdp.address.port());
    println!("{}", run.summary());
    Some((run, relay.finish()))
}

fn desktop(transport: &str) {
    let Some((run, finished)) = attempt(Logon::default(), transport, &[]) else { return };
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    assert_desktop(finished.session(), transport);
    finished.assert_nowhere(PASSWORD);
}

#[test]
fn over_a_websocket() {
    desktop(WEBSOCKET);
}

#[test]
fn over_two_connections() {
    desktop(TWO_CONNECTIONS);
}

/// TLS inside the tunnel ends in rdpscope, too, which knows the account that the client signs its calls by.
#[test]
fn over_rpc() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let account = account(&folder, USER, PASSWORD);
    let flags = ["--inner-cert", "fresh", "--gateway-credentials", &account];
    let Some((run, finished)) = attempt(Logon::default(), "rpc", &flags) else { return };
    assert!(run.active, "{}\n{}\n{}", run.tail(), finished.stderr, finished.session());
    let session = finished.session();
    session.assert_reached(&["gateway-tunnel", "gateway-channel", "active"]);
    assert_eq!(session.summary()["transport"], "gateway-rpc");
    for leg in ["client", "server"] {
        assert_eq!(session.outcome_on("tls", leg), Some("ok"), "{leg}:\n{session}");
    }
    finished.assert_nowhere(PASSWORD);
}

#[test]
fn it_knows_no_basic_and_the_verdict_says_what_the_gateway_offers() {
    let basic = Logon { schemes: vec!["Basic"], ..Logon::default() };
    let Some((run, finished)) = attempt(basic, WEBSOCKET, &[]) else { return };
    assert!(!run.active);
    finished.session().assert_verdict(&["gateway-auth-failed"]);
    let summary = finished.session().verdict()["summary"].to_string();
    assert!(summary.contains("takes a logon by Basic alone"), "{summary}");
}
