//! `rdpscope proxy TARGET --gateway`: real clients through rdpscope and the tests' own gateway to a real server, and
//! scripted ones where no real client does what is to be seen.

use crate::support::gateway::{Gateway, PASSWORD, Setup, USER};
use crate::support::left_out::left_out_without;
use crate::support::peers::{ClientRun, FreeRdp, Xfreerdp, Xrdp};
use crate::support::rdpscope::{Finished, Rdpscope};
use std::net::SocketAddr;

/// Transports, as FreeRDP is told of them.
const WEBSOCKET: &str = "http";
const TWO_CONNECTIONS: &str = "http,no-websockets";

/// Whether a client of this version and a server are missing.
fn left_out(version: FreeRdp) -> bool {
    left_out_without(&[&Xfreerdp::programs(version)[..], &["xrdp"]].concat())
}

/// Runs a client whose gateway is `relay`.
fn client(relay: SocketAddr, transport: &str, server: SocketAddr) -> ClientRun {
    let arguments = format!("/g:{relay} /gu:{USER} /gp:{PASSWORD} /gt:{transport} /sec:tls /u:a /p:b");
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let run = Xfreerdp::new(FreeRdp::Two, &arguments).run(server.port());
    println!("{}", run.summary());
    run
}

/// One attempt through a relay with `flags` and a gateway with `setup`.
fn attempt(setup: Setup<'_>, flags: &[&str], transport: &str) -> (ClientRun, Finished) {
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(setup);
    let address = gateway.address.to_string();
    let relay = Rdpscope::start(xrdp.address, 1, &[&["--gateway", &address], flags].concat());
    let run = client(relay.address, transport, xrdp.address);
    (run, relay.finish())
}

#[test]
fn a_desktop_over_a_websocket() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let (run, finished) = attempt(Setup::default(), &[], WEBSOCKET);
    println!("{}", finished.stderr);
    for session in &finished.sessions {
        println!("{:#?}", session);
    }
    assert!(run.active, "{}", run.tail());
}

#[test]
fn a_desktop_over_two_connections() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let (run, finished) = attempt(Setup::default(), &[], TWO_CONNECTIONS);
    println!("{}", finished.stderr);
    assert!(run.active, "{}", run.tail());
}
