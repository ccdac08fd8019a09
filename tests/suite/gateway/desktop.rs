//! Real clients reach a real desktop, and every phase of the way is told.

use super::{TWO_CONNECTIONS, WEBSOCKET, attempt, client, connections, left_out, relay};
use crate::support::gateway::{Gateway, Logon, PASSWORD, PHASES, Setup, Tunnel, USER, address_with_port_443};
use crate::support::left_out::say_left_out;
use crate::support::peers::{FreeRdp, Xfreerdp, Xrdp};
use crate::support::rdpscope::{Finished, Rdpscope, Session, program};
use std::collections::BTreeSet;

const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.canary";

pub(super) fn assert_desktop(session: &Session, transport: &str) {
    session.assert_reached(&PHASES);
    session.assert_reached(&["active"]);
    for leg in ["client", "server"] {
        assert_eq!(
            session.outcome_on("gateway-tls", leg),
            Some("ok"),
            "TLS on the leg of the {leg}:\n{session}"
        );
    }
    let (name, numbers) = match transport {
        TWO_CONNECTIONS => ("gateway-http", BTreeSet::from([1, 2])),
        _ => ("gateway-websocket", BTreeSet::from([1])),
    };
    assert_eq!(session.summary()["transport"], name, "{session}");
    assert_eq!(connections(session), numbers, "{session}");
    assert_eq!(session.end()["closed_by"], "client", "{session}");
    assert!(session.end()["bytes_down"].as_u64() > Some(1000), "{session}");
}

fn desktop(transport: &str) {
    if left_out(FreeRdp::Two) {
        return;
    }
    let (run, finished) = attempt(Setup::default(), &[], transport);
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

/// A client that has a gateway only on port 443.
fn desktop_of_freerdp_3(transport: &str) {
    if left_out(FreeRdp::Three) {
        return;
    }
    let Some(address) = address_with_port_443() else { return say_left_out("port 443 is kept to root") };
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let (listen, far) = (address.to_string(), gateway.address.to_string());
    let flags = ["--listen", &listen, "--sessions", "1", "--gateway", &far, "--udp", "refuse"];
    let relay = Rdpscope::start_as(program(), &xrdp.address.to_string(), &flags);
    let way = format!("/gateway:g:{address},u:{USER},p:{PASSWORD},type:{transport}");
    let arguments = [&way, "/sec:tls", "/u:a", "/p:b"];
    let run = Xfreerdp::new(FreeRdp::Three, &arguments).run(xrdp.address.port());
    let finished = relay.finish();
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    assert_desktop(finished.session(), transport);
}

#[test]
fn of_freerdp_3_over_a_websocket() {
    desktop_of_freerdp_3(WEBSOCKET);
}

#[test]
fn of_freerdp_3_over_two_connections() {
    desktop_of_freerdp_3(TWO_CONNECTIONS);
}

#[test]
fn with_a_token_and_nobody_sees_it() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let logon = Logon::by_token(TOKEN);
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup { logon, ..Setup::default() });
    let relay = relay(xrdp.address, gateway.address, 1, &[]);
    let run = client(xrdp.address, &format!("/g:{} /gat:{TOKEN} /gt:{WEBSOCKET}", relay.address));
    let finished = relay.finish();
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    finished.session().assert_reached(&["gateway-tunnel", "gateway-channel", "active"]);
    finished.assert_nowhere(TOKEN);
}

#[test]
fn a_wrong_password_is_the_gateways_no() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let relay = relay(xrdp.address, gateway.address, 1, &[]);
    let arguments = format!("/g:{} /gu:{USER} /gp:Wrong-5678 /gt:{WEBSOCKET}", relay.address);
    let run = client(xrdp.address, &arguments);
    let finished = relay.finish();
    assert!(!run.active);
    let session = finished.session();
    assert_ne!(session.outcome("gateway-auth"), Some("ok"), "{session}");
    assert_eq!(session.outcome("gateway-tunnel"), None, "{session}");
    finished.assert_nowhere("Wrong-5678");
}

#[test]
fn behind_tls_that_passes_through() {
    if left_out(FreeRdp::Two) {
        return;
    }
    for (transport, numbers) in [(WEBSOCKET, 1), (TWO_CONNECTIONS, 2)] {
        let (run, finished) = attempt(Setup::default(), &["--cert", "passthrough"], transport);
        assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
        let session = finished.session();
        session.assert_reached(&["gateway-tcp", "gateway-tls"]);
        assert_eq!(session.outcome("gateway-http"), None, "what is inside is not seen:\n{session}");
        assert!(session.summary()["transport"].is_null(), "{session}");
        assert_eq!(connections(session).len(), numbers, "{session}");
        assert_eq!(session.end()["closed_by"], "client", "{session}");
    }
}

/// What was changed, by the fields that name it.
fn altered(finished: &Finished) -> Vec<String> {
    let lines = finished.session().lines().iter().filter(|line| line["type"] == "altered");
    lines.map(|line| line["why"].to_string()).collect()
}

#[test]
fn over_tcp_alone() {
    if left_out(FreeRdp::Two) {
        return;
    }
    for transport in [WEBSOCKET, TWO_CONNECTIONS] {
        let tunnel = Tunnel { udp: Some((3391, b"cookie".to_vec())), ..Tunnel::default() };
        let (run, finished) = attempt(Setup { tunnel, ..Setup::default() }, &["--tcp-only"], transport);
        assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
        let altered = altered(&finished);
        assert!(altered.iter().any(|why| why.contains("--gateway-udp off")), "{altered:?}");
        assert_desktop(finished.session(), transport);
    }
}

#[test]
fn a_client_falls_back_from_a_transport_that_is_refused() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let (run, finished) = attempt(Setup::default(), &["--gateway-transport", "http"], WEBSOCKET);
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    assert_eq!(finished.session().summary()["transport"], "gateway-http");
    let (run, finished) = attempt(Setup::default(), &["--gateway-transport", "websocket"], TWO_CONNECTIONS);
    assert!(!run.active, "a client that has no other gives up");
    let refused = finished.session().events_named("transport_refused");
    assert!(!refused.is_empty(), "{}", finished.session());
}

#[test]
fn over_a_slow_line_that_is_cut_behind_the_channel() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let flags = ["--impair", "latency=20ms", "--impair", "reset-after=gateway-channel"];
    let (run, finished) = attempt(Setup::default(), &flags, TWO_CONNECTIONS);
    assert!(!run.active);
    let session = finished.session();
    session.assert_reached(&["gateway-tcp", "gateway-tls", "gateway-tunnel", "gateway-channel"]);
    session.assert_end("proxy", "reset");
    let shaped = session.events_named("impaired");
    assert_eq!(shaped.iter().filter(|event| event["effect"] == "shaped").count(), 1, "{session}");
}
