//! Which connections are one attempt.

use super::{connection, connections, relay, scripted};
use crate::support::gateway::{Client, Gateway, Logon, Setup, Tunnel};
use crate::support::rdpscope::Session;
use crate::support::scripted::terminated::{Received, TlsEnd};
use rustls::version::TLS12;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A gateway that asks nobody for a password, and connects everybody to `target`.
fn open_gateway(target: &TcpListener) -> Gateway {
    let address = target.local_addr().expect("a listener has an address");
    let logon = Logon::open();
    let tunnel = Tunnel { target: Some(address), ..Tunnel::default() };
    Gateway::start(Setup { logon, tunnel, ..Setup::default() })
}

/// Asks for a WebSocket under this RDG-Connection-Id.
fn upgrade(client: &mut Client, id: &str) {
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "Bo/pJSYjHyDxu69C1p98dw=="),
        ("RDG-Connection-Id", id),
    ];
    let answer = client.request("RDG_OUT_DATA", "/remoteDesktopGateway/", &fields);
    assert!(answer.expect("the gateway answers").contains(" 101 "));
}

/// Names of the targets that a session's gateway was asked for.
fn asked_for(session: &Session) -> Vec<String> {
    let packets = session.events_named("tunnel_packet");
    let created = packets.iter().filter(|packet| packet["packet"] == "channel_create");
    created.map(|packet| packet["resources"][0].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn two_users_behind_one_address_do_not_mix() {
    let target = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let gateway = open_gateway(&target);
    let relay = relay(target.local_addr().expect("it is bound"), gateway.address, 2, &[]);
    let (mut anna, mut bert) = (Client::connect(relay.address), Client::connect(relay.address));
    upgrade(&mut anna, "{00000000-0000-0000-0000-00000000000A}");
    upgrade(&mut bert, "{00000000-0000-0000-0000-00000000000B}");
    assert_eq!(bert.open("berts", 3389).map(|channel| channel.error), Ok(0));
    assert_eq!(anna.open("annas", 3389).map(|channel| channel.error), Ok(0));
    drop((anna, bert));
    let finished = relay.finish();
    let mut asked: Vec<Vec<String>> = finished.sessions.iter().map(asked_for).collect();
    asked.sort();
    assert_eq!(asked, [["annas"], ["berts"]], "{}", finished.stderr);
    let moved: Vec<_> =
        finished.sessions.iter().flat_map(|session| session.events_named("connection_moved")).collect();
    assert_eq!(moved.len(), 1, "the second was taken for the first's until it spoke");
    for session in &finished.sessions {
        session.assert_reached(&["gateway-tcp", "gateway-tls", "gateway-tunnel", "gateway-channel"]);
    }
}

/// E_PROXY_RAP_ACCESSDENIED, E_PROXY_COOKIE_AUTHENTICATION_ACCESS_DENIED and E_PROXY_INTERNALERROR.
const RAP_DENIED: u32 = 0x8007_59DA;
const COOKIE_DENIED: u32 = 0x8007_59F8;
const INTERNAL_ERROR: u32 = 0x8007_59D8;
/// How long rdpscope waits for a client of which nothing tells whether it comes back.
const RETURN_WINDOW: Duration = Duration::from_secs(5);

/// An attempt that the gateway refuses in its tunnel; the verdict comes before a client that has more to try could be back.
fn refused(tunnel: Tunnel, verdict: &str) {
    let target = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let gateway = Gateway::start(Setup { logon: Logon::open(), tunnel, ..Setup::default() });
    let relay = relay(target.local_addr().expect("it is bound"), gateway.address, 1, &[]);
    let mut client = Client::connect(relay.address);
    upgrade(&mut client, "{00000000-0000-0000-0000-00000000000A}");
    let answer = client.open("srv", 3389).map_or_else(|error| error, |channel| channel.error);
    assert_ne!(answer, 0);
    drop(client);
    let began = Instant::now();
    let finished = relay.finish();
    assert!(began.elapsed() < RETURN_WINDOW, "{:?}", began.elapsed());
    finished.session().assert_verdict(&[verdict]);
}

#[test]
fn a_refusal_for_good_ends_the_attempt_without_a_wait() {
    refused(Tunnel { channel_error: RAP_DENIED, ..Tunnel::default() }, "gateway-policy-denied");
    refused(Tunnel { tunnel_error: COOKIE_DENIED, ..Tunnel::default() }, "gateway-auth-failed");
}

#[test]
fn a_client_that_was_let_in_has_nothing_else_to_try() {
    refused(Tunnel { channel_error: INTERNAL_ERROR, ..Tunnel::default() }, "protocol-error");
}

#[test]
fn a_request_to_the_kdc_proxy_belongs_to_the_attempt() {
    let target = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let gateway = open_gateway(&target);
    let relay = relay(target.local_addr().expect("it is bound"), gateway.address, 1, &[]);
    let mut client = Client::connect(relay.address);
    upgrade(&mut client, "{00000000-0000-0000-0000-00000000000A}");
    assert_eq!(client.open("srv", 3389).map(|channel| channel.error), Ok(0));
    let mut beside = Client::connect(relay.address);
    let answer = beside.request("POST", "/KdcProxy", &[("Content-Length", "0")]);
    assert!(answer.is_ok(), "{answer:?}");
    drop((beside, client));
    let finished = relay.finish();
    assert_eq!(connections(finished.session()).len(), 2, "{}", finished.session());
}

const OUT: &[u8] = b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\nRDG-Connection-Id: {A}\r\n\r\n";

fn say(client: &mut TlsEnd, server: &mut TlsEnd, bytes: &[u8]) {
    client.send(bytes);
    assert_eq!(server.receive(bytes.len()), bytes);
}

#[test]
fn a_second_connection_that_never_comes() {
    let (relay, listener) = scripted(1, &[]);
    let (mut client, mut server) = connection(&relay, &listener, &TLS12);
    say(&mut client, &mut server, OUT);
    say(&mut server, &mut client, b"HTTP/1.1 200 OK\r\nContent-Length: 4294967295\r\n\r\n0123456789");
    server.close_notify();
    server.finish();
    assert_eq!(client.next(), Received::CloseNotify);
    drop((client, server));
    let finished = relay.finish();
    finished.session().assert_end("server", "fin");
    assert_eq!(finished.session().outcome("gateway-channel"), None);
}

#[test]
fn a_client_that_is_refused_and_comes_back_is_one_attempt() {
    let (relay, listener) = scripted(1, &[]);
    for _ in 0..3 {
        let (mut client, mut server) = connection(&relay, &listener, &TLS12);
        say(&mut client, &mut server, OUT);
        say(&mut server, &mut client, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        client.close_notify();
        client.finish();
    }
    let finished = relay.finish();
    assert_eq!(connections(finished.session()).len(), 3, "{}", finished.session());
}
