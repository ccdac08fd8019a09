//! The side channel over UDP: relayed, refused and swallowed.

use super::connection;
use crate::support::gateway::{Client, Gateway, Logon, Setup, Tunnel};
use crate::support::rdpscope::{Finished, Rdpscope, program};
use rustls::version::TLS12;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

pub(crate) const PORT: u16 = 3391;

/// An address of this machine that no other test has.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 0x40, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A record of DTLS: handshake, or behind it.
fn record(epoch: u8) -> [u8; 14] {
    [22, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, 0, 1, 0]
}

/// A client that sends datagrams beside its connection; what the relay then told, and what the client saw last.
fn datagrams(mode: &str, answers: bool) -> (Finished, Result<usize, ErrorKind>) {
    let (here, there) = (own_address(), own_address());
    let listener = TcpListener::bind((there, 0)).expect("the address is this machine's");
    let gateway = listener.local_addr().expect("it is bound").to_string();
    let far = UdpSocket::bind((there, PORT)).expect("nobody else has the address");
    far.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket takes its options");
    let listen = format!("{here}:0");
    let flags = ["--listen", &listen, "--sessions", "1", "--gateway", &gateway, "--gateway-udp", mode];
    let relay = Rdpscope::start_as(program(), "srv:3389", &flags);
    let (client, server) = connection(&relay, &listener, &TLS12);
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    near.connect((here, PORT)).expect("a datagram has an address");
    near.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket takes its options");
    let mut buffer = [0; 64];
    let mut seen = Ok(0);
    for epoch in [0, 1] {
        // Refused as soon as the system has said that nobody listens.
        let _ = near.send(&record(epoch));
        if answers {
            let (_, from) = far.recv_from(&mut buffer).expect("it comes through");
            far.send_to(&record(epoch), from).expect("it is taken");
        }
        seen = near.recv(&mut buffer).map_err(|error| error.kind());
    }
    drop((client, server));
    (relay.finish(), seen)
}

/// What was told of the side channel.
fn told(finished: &Finished) -> Vec<String> {
    let events = finished.session().events_named("gateway_udp");
    events.iter().map(|event| event["what"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn relayed_it_is_told_when_it_stands() {
    let (finished, seen) = datagrams("relay", true);
    assert_eq!(seen, Ok(14));
    assert_eq!(told(&finished), ["first_datagram", "first_datagram", "established"]);
}

#[test]
fn swallowed_it_is_never_answered() {
    let (finished, seen) = datagrams("drop", false);
    assert_eq!(seen, Err(ErrorKind::WouldBlock));
    assert_eq!(told(&finished), ["first_datagram", "unanswered"]);
}

#[test]
fn refused_the_client_hears_it_from_the_system() {
    let (finished, seen) = datagrams("refuse", false);
    assert_eq!(seen, Err(ErrorKind::ConnectionRefused));
    assert!(told(&finished).is_empty());
}

#[test]
fn a_port_that_is_taken_here_is_said_once() {
    let here = own_address();
    let taken = UdpSocket::bind((here, 0)).expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port();
    let target = TcpListener::bind((here, 0)).expect("a port is free");
    let target = target.local_addr().expect("it is bound");
    let tunnel = Tunnel { udp: Some((port, b"cookie".to_vec())), ..Tunnel::default() };
    let logon = Logon::open();
    let gateway = Gateway::start(Setup { logon, tunnel, ..Setup::default() });
    let (listen, far) = (format!("{here}:0"), gateway.address.to_string());
    let flags = ["--listen", &listen, "--sessions", "1", "--gateway", &far];
    let relay = Rdpscope::start_as(program(), &target.to_string(), &flags);
    let mut client = Client::connect(relay.address);
    client.upgrade(None).expect("a head");
    let channel = client.open(&target.ip().to_string(), target.port()).expect("a tunnel");
    assert!(channel.udp.is_some_and(|(named, _)| named == port));
    // Another task listens than the one that relays: an attempt that is over has nothing more to say.
    relay.wait_for(|line| line["event"] == "side_channel_not_relayed");
    drop(client);
    let finished = relay.finish();
    let said = finished.session().events_named("side_channel_not_relayed");
    assert_eq!(said.len(), 1, "{}", finished.session());
    assert_eq!(said[0]["port"], port, "{}", finished.session());
    assert!(finished.stderr.contains("UDP is not relayed"), "{}", finished.stderr);
}
