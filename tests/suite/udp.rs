//! RDP-UDP beside a session of the same client: relayed, refused, swallowed, and when there is no port for it.

use crate::support::process::LOOK_AGAIN;
use crate::support::rdpscope::{Rdpscope, Session, program};
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request, negotiation_failure};
use crate::support::scripted::udp::{UdpEnd, Version, talk};
use crate::support::scripted::{Conversation, Ends, listener};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

/// How long a datagram may take over the loopback.
const WITHIN: Duration = Duration::from_secs(20);

/// TCP and UDP on the same port of the server.
fn server() -> (TcpListener, UdpSocket) {
    let deadline = Instant::now() + WITHIN;
    loop {
        let tcp = listener();
        // Another test may have the port for something else.
        if let Ok(udp) = UdpSocket::bind(address(&tcp)) {
            udp.set_read_timeout(Some(WITHIN)).expect("a socket takes its options");
            return (tcp, udp);
        }
        assert!(Instant::now() < deadline, "no port is free for both");
    }
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a listener has an address")
}

fn udp_client(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
    socket.connect(server).expect("a socket has a peer");
    socket.set_read_timeout(Some(WITHIN)).expect("a socket takes its options");
    socket
}

fn udp_events(session: &Session) -> Vec<&str> {
    let udp = session.lines().iter().filter(|line| line["type"] == "event" && line["phase"] == "udp");
    udp.filter_map(|line| line["event"].as_str()).collect()
}

/// A TCP session that is open, with what came before UDP.
fn open_session(rdpscope: &Rdpscope, listener: &TcpListener) -> (std::net::TcpStream, std::net::TcpStream) {
    let ends = Ends::connect(rdpscope.address, listener);
    let agreed = Conversation::new().client(connection_request("alice", SSL)).server(connection_confirm(SSL));
    agreed.play_open(ends).into_streams()
}

fn relayed(version: Version, number: u8) {
    let (tcp, udp) = server();
    let rdpscope = Rdpscope::start(address(&tcp), 1, &[]);
    let session = open_session(&rdpscope, &tcp);
    let mut client = UdpEnd::client(rdpscope.address, version);
    let mut server = UdpEnd::server(udp);
    talk(&mut client, &mut server);
    drop(session);
    assert!(client.sent == server.received, "datagrams of the client arrive as they were sent");
    assert!(server.sent == client.received, "datagrams of the server arrive as they were sent");

    let finished = rdpscope.finish();
    let session = finished.session();
    // Beside TCP, whose events may stand between them.
    assert_eq!(udp_events(session)[..3], ["syn", "syn_ack", "established"], "{session}");
    assert_eq!(session.event("syn")["version"], number, "{session}");
    assert_eq!(session.event("syn")["cookie_hash"], version == Version::Three, "{session}");
    let summary = &session.summary()["udp"];
    assert_eq!(summary["client_version"], number, "{session}");
    assert_eq!(summary["server_version"], number, "{session}");
    assert_eq!(summary["established"], true, "{session}");
    assert_eq!(summary["datagrams_up"], client.sent.len(), "{session}");
    assert_eq!(summary["datagrams_down"], server.sent.len(), "{session}");
    assert_eq!(summary["not_rdpeudp"], 0, "{session}");
    assert_eq!(session.outcome("udp"), Some("ok"), "{session}");
}

#[test]
fn version_1_passes_unchanged() {
    relayed(Version::One, 1);
}

#[test]
fn version_2_passes_unchanged() {
    relayed(Version::Two, 2);
}

#[test]
fn version_3_passes_unchanged() {
    relayed(Version::Three, 3);
}

/// Sends until the system says that nobody listens.
fn assert_refused(socket: &UdpSocket) {
    let deadline = Instant::now() + WITHIN;
    loop {
        match socket.send(b"is anybody there") {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
            sent => sent.expect("a datagram is sent"),
        };
        assert!(Instant::now() < deadline, "somebody listens");
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn refused(mode: &str) {
    let (tcp, _udp) = server();
    let rdpscope = Rdpscope::start(address(&tcp), 1, &["--udp", mode]);
    let session = open_session(&rdpscope, &tcp);
    assert_refused(&udp_client(rdpscope.address));
    drop(session);
    let finished = rdpscope.finish();
    assert!(finished.session().summary()["udp"].is_null());
    assert_eq!(finished.session().lines()[0]["settings"]["udp"], mode);
}

#[test]
fn refuse_and_off_listen_to_nothing() {
    refused("refuse");
    refused("off");
}

#[test]
fn drop_swallows_and_tells_that_nothing_answered() {
    let (tcp, udp) = server();
    let rdpscope = Rdpscope::start(address(&tcp), 1, &["--udp", "drop"]);
    let session = open_session(&rdpscope, &tcp);
    let mut client = UdpEnd::client(rdpscope.address, Version::Two);
    client.turn();
    rdpscope.wait_for(|line| line["event"] == "syn");
    drop(session);
    let finished = rdpscope.finish();
    udp.set_nonblocking(true).expect("a socket takes its options");
    let nothing = udp.recv(&mut [0; 1]).expect_err("the server hears nothing");
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    assert!(client.received.is_empty(), "nor does the client");
    let session = finished.session();
    assert_eq!(udp_events(session), ["syn", "unanswered"], "{session}");
    assert_eq!(session.outcome("udp"), Some("failed"), "{session}");
    assert_eq!(session.summary()["udp"]["established"], false, "{session}");
    assert_eq!(session.summary()["udp"]["syn_count"], client.sent.len(), "{session}");
}

#[test]
fn a_port_that_another_program_has_for_udp_still_works_for_tcp() {
    let (free, _taken) = server();
    let listen = address(&free).to_string();
    drop(free);
    let listener = listener();
    let target = address(&listener).to_string();
    let rdpscope = Rdpscope::start_as(program(), &target, &["--listen", &listen, "--sessions", "1"]);
    assert_eq!(rdpscope.address.to_string(), listen);
    let conversation = Conversation::new().client(connection_request("alice", SSL));
    let conversation = conversation.server(negotiation_failure(5)).finish(Server);
    conversation.play(Ends::connect(rdpscope.address, &listener));
    let finished = rdpscope.finish();
    finished.session().assert_confirmed("nla-required");
    assert!(finished.stderr.contains("UDP on that port belongs to another program"), "{}", finished.stderr);
}

#[test]
fn a_flow_outlives_its_session_but_not_in_its_trace() {
    let (tcp, udp) = server();
    let rdpscope = Rdpscope::start(address(&tcp), 2, &[]);
    let client = udp_client(rdpscope.address);
    let mut buffer = [0; 64];
    let mut round = |word: &[u8]| {
        client.send(word).expect("a datagram is sent");
        let (length, from) = udp.recv_from(&mut buffer).expect("the server hears it");
        assert_eq!(&buffer[..length], word);
        udp.send_to(word, from).expect("a datagram is sent");
        let length = client.recv(&mut buffer).expect("the client hears the answer");
        assert_eq!(&buffer[..length], word);
        from
    };
    let session = open_session(&rdpscope, &tcp);
    let flow = round(b"in the session");
    drop(session);
    rdpscope.wait_for(|line| line["type"] == "end");
    assert_eq!(round(b"after the session"), flow, "the same flow");
    let conversation = Conversation::new().client(connection_request("alice", SSL)).finish(Client);
    conversation.play(Ends::connect(rdpscope.address, &tcp));
    let finished = rdpscope.finish();
    let datagrams = finished.sessions.iter().map(|session| {
        let udp = &session.summary()["udp"];
        (udp["datagrams_up"].as_u64(), udp["datagrams_down"].as_u64(), udp["not_rdpeudp"].as_u64())
    });
    assert_eq!(datagrams.collect::<Vec<_>>(), [(Some(1), Some(1), Some(2)), (None, None, None)]);
}
