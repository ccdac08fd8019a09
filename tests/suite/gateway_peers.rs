//! Real clients through the tests' own gateway to a real server, with nothing else in between: what the gateway does right
//! and wrong here is what rdpscope is judged by elsewhere.

use crate::support::gateway::{
    ChannelBindings, Gateway, Logon, PASSWORD, Seen, Setup, USER, What, address_with_port_443, packet,
};
use crate::support::left_out::{left_out_without, say_left_out};
use crate::support::peers::{ClientRun, FreeRdp, Xfreerdp, Xrdp};
use std::net::SocketAddr;

mod faults;
pub(crate) mod iron;
mod middleboxes;
mod rpc;
pub(crate) mod udp;

/// FreeRDP's exit codes.
const ACCESS_DENIED: Option<i32> = Some(155);
const NEGOTIATION_FAILED: Option<i32> = Some(133);

const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.canary";

/// Transports, as FreeRDP is told of them.
const WEBSOCKET: &str = "http";
const TWO_CONNECTIONS: &str = "http,no-websockets";

/// A client of this version, and what it needs: an xrdp and an address for the gateway; `None` where one is missing.
fn parts(version: FreeRdp) -> Option<(Xrdp, SocketAddr)> {
    if left_out_without(&[&Xfreerdp::programs(version)[..], &["xrdp"]].concat()) {
        return None;
    }
    let address = match version {
        FreeRdp::Two => Some(Setup::default().address),
        FreeRdp::Three => address_with_port_443(),
    };
    if address.is_none() {
        say_left_out("port 443 is kept to root");
    }
    address.map(|address| (Xrdp::start(&Xrdp::setup()), address))
}

/// What the client gives the gateway.
#[derive(Debug, Clone, Copy)]
enum Gives<'a> {
    Password(&'a str),
    Token(&'a str),
}

/// Runs a client through `gateway`.
fn through(
    gateway: SocketAddr,
    version: FreeRdp,
    gives: Gives<'_>,
    transport: &str,
    server: SocketAddr,
) -> ClientRun {
    let arguments = match (version, gives) {
        (FreeRdp::Two, Gives::Password(password)) => {
            format!("/g:{gateway} /gu:{USER} /gp:{password} /gt:{transport}")
        }
        (FreeRdp::Two, Gives::Token(token)) => format!("/g:{gateway} /gat:{token} /gt:{transport}"),
        (FreeRdp::Three, Gives::Password(password)) => {
            format!("/gateway:g:{gateway},u:{USER},p:{password},type:{transport}")
        }
        (FreeRdp::Three, Gives::Token(token)) => {
            format!("/gateway:g:{gateway},access-token:{token},type:{transport}")
        }
    };
    let arguments: Vec<&str> = arguments.split(' ').chain(["/sec:tls", "/u:a", "/p:b"]).collect();
    let run = Xfreerdp::new(version, &arguments).run(server.port());
    println!("{}", run.summary());
    run
}

/// Everything that `gateway` saw, for a failure message.
fn told(gateway: &Gateway) -> String {
    let line = |seen: Seen| match seen.what {
        What::Request(head) => format!("{} request\n{}", seen.connection, String::from_utf8_lossy(&head)),
        what => format!("{} {what:?}\n", seen.connection),
    };
    gateway.seen().into_iter().map(line).collect()
}

/// The types of the packets that went each way, of DATA only the first.
fn packets(gateway: &Gateway) -> Vec<u16> {
    let mut kinds: Vec<u16> = Vec::new();
    for seen in gateway.seen() {
        if let What::FromClient(packet) | What::ToClient(packet) = seen.what
            && (packet.kind() != packet::DATA || !kinds.contains(&packet::DATA))
        {
            kinds.push(packet.kind());
        }
    }
    kinds
}

fn assert_desktop_over(gateway: &Gateway, run: &ClientRun, transport: &str) {
    assert!(run.active, "{}\n{}", run.tail(), told(gateway));
    let handshake_to_data = [1, 2, 4, 5, 6, 7, 8, 9, packet::DATA];
    assert_eq!(packets(gateway)[..handshake_to_data.len()], handshake_to_data, "{}", told(gateway));
    let has_in_channel = gateway.requests().iter().any(|head| head.starts_with("RDG_IN_DATA"));
    assert_eq!(has_in_channel, transport == TWO_CONNECTIONS, "{}", told(gateway));
    assert_eq!(gateway.connections(), if has_in_channel { 2 } else { 1 }, "{}", told(gateway));
}

fn with_ntlm(version: FreeRdp, transport: &str) {
    let Some((xrdp, address)) = parts(version) else { return };
    for channel_bindings in [ChannelBindings::Ignored, ChannelBindings::Required] {
        let logon = Logon { channel_bindings, ..Logon::default() };
        let gateway = Gateway::start(Setup { address, logon, ..Setup::default() });
        let run = through(gateway.address, version, Gives::Password(PASSWORD), transport, xrdp.address);
        assert_desktop_over(&gateway, &run, transport);
        let logged_on = |seen: &Seen| matches!(&seen.what, What::LoggedOn { user, .. } if user == USER);
        assert!(gateway.seen().iter().any(logged_on), "{}", told(&gateway));
    }
}

#[test]
fn xfreerdp2_reaches_the_desktop_over_a_websocket() {
    with_ntlm(FreeRdp::Two, WEBSOCKET);
}

#[test]
fn xfreerdp2_reaches_the_desktop_over_two_connections() {
    with_ntlm(FreeRdp::Two, TWO_CONNECTIONS);
}

#[test]
fn xfreerdp3_reaches_the_desktop_over_a_websocket() {
    with_ntlm(FreeRdp::Three, WEBSOCKET);
}

#[test]
fn xfreerdp3_reaches_the_desktop_over_two_connections() {
    with_ntlm(FreeRdp::Three, TWO_CONNECTIONS);
}

fn with_a_wrong_password(version: FreeRdp) {
    let Some((xrdp, address)) = parts(version) else { return };
    for transport in [WEBSOCKET, TWO_CONNECTIONS] {
        let gateway = Gateway::start(Setup { address, ..Setup::default() });
        let run = through(gateway.address, version, Gives::Password("Wrong-5678"), transport, xrdp.address);
        assert_eq!((run.active, run.exit_code), (false, ACCESS_DENIED), "{}\n{}", run.tail(), told(&gateway));
        let refused = What::Refused { reason: "wrong password" };
        assert!(gateway.seen().iter().any(|seen| seen.what == refused), "{}", told(&gateway));
        assert!(packets(&gateway).is_empty(), "{}", told(&gateway));
    }
}

#[test]
fn a_wrong_password_of_xfreerdp2_is_refused() {
    with_a_wrong_password(FreeRdp::Two);
}

#[test]
fn a_wrong_password_of_xfreerdp3_is_refused() {
    with_a_wrong_password(FreeRdp::Three);
}

fn with_a_token(version: FreeRdp) {
    let Some((xrdp, address)) = parts(version) else { return };
    for (token, is_right) in [(TOKEN, true), ("eyJhbGciOiJIUzI1NiJ9.other", false)] {
        let logon = Logon { token: Some(TOKEN.to_owned()), schemes: Vec::new(), ..Logon::default() };
        let gateway = Gateway::start(Setup { address, logon, ..Setup::default() });
        let run = through(gateway.address, version, Gives::Token(token), WEBSOCKET, xrdp.address);
        assert_eq!(run.active, is_right, "{}\n{}", run.tail(), told(&gateway));
        let refused = What::Refused { reason: "another PAA cookie" };
        assert_eq!(gateway.seen().iter().any(|seen| seen.what == refused), !is_right, "{}", told(&gateway));
    }
}

#[test]
fn a_token_of_xfreerdp2_is_checked() {
    with_a_token(FreeRdp::Two);
}

#[test]
fn a_token_of_xfreerdp3_is_checked() {
    with_a_token(FreeRdp::Three);
}

#[test]
fn ntlm_may_go_inside_the_tunnel() {
    let Some((xrdp, address)) = parts(FreeRdp::Three) else { return };
    for (password, is_right) in [(PASSWORD, true), ("Wrong-5678", false)] {
        let logon = Logon { extended: true, ..Logon::default() };
        let gateway = Gateway::start(Setup { address, logon, ..Setup::default() });
        let transport = "http,extauth-sspi-ntlm";
        let run =
            through(gateway.address, FreeRdp::Three, Gives::Password(password), transport, xrdp.address);
        assert_eq!(run.active, is_right, "{}\n{}", run.tail(), told(&gateway));
        let logged_on = What::LoggedOn { scheme: "SSPI_NTLM", user: USER.to_owned() };
        assert_eq!(gateway.seen().iter().any(|seen| seen.what == logged_on), is_right, "{}", told(&gateway));
    }
}
