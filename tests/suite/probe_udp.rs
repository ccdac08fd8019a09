//! `probe` asks a server by UDP: each version of a SYN, and a hello over what it opens.

use crate::support::scripted::udp::answer;
use rdpscope::probe::{Settings, probe};
use rdpscope::relay::target::Target;
use rdpscope::trace::{HelloAnswer, UdpAnswer, UdpCheck};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// uFlags of RDPUDP_FEC_HEADER: SYN, SYNLOSSY.
const SYN: u16 = 0x0001;
const SYNLOSSY: u16 = 0x0200;
/// A ServerHello of TLS 1.2 in its record, up to the random.
const SERVER_HELLO: [u8; 11] = [22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];

/// A port with nobody behind TCP, and the socket for UDP on it.
fn ports() -> (TcpListener, UdpSocket) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        // Another test may have the port for something else.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("a listener has an address")) {
            return (tcp, udp);
        }
    }
}

/// What a probe of `address` finds by UDP.
fn asked(address: SocketAddr) -> UdpCheck {
    let target: Target = address.to_string().parse().expect("an address is a target");
    let settings =
        Settings { tls: false, rounds: 1, answer_timeout: Duration::from_secs(1), ..Settings::default() };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let record = runtime.block_on(probe(&target, &settings));
    let probe = record.probe.expect("a probe has found something");
    assert_eq!(probe.conversations, settings.most_conversations());
    probe.udp.expect("UDP was asked for")
}

fn server_hello() -> Vec<u8> {
    let mut hello = SERVER_HELLO.to_vec();
    hello.extend([7; 32]);
    hello.extend([0, 0xC0, 0x2F, 0]);
    hello
}

/// What `serve` does with the socket while the probe asks; it is told when to end.
fn with_server(serve: impl FnOnce(UdpSocket, &(dyn Fn() -> bool + Sync)) + Send) -> UdpCheck {
    let (tcp, udp) = ports();
    let address = tcp.local_addr().expect("a listener has an address");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| serve(udp, &|| !done.load(Ordering::Relaxed)));
        let found = asked(address);
        done.store(true, Ordering::Relaxed);
        found
    })
}

/// Sends what `answer` makes of each datagram.
fn serve(
    socket: &UdpSocket,
    goes_on: &(dyn Fn() -> bool + Sync),
    mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) {
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket takes its options");
    let mut buffer = [0; 2048];
    while goes_on() {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                if let Some(bytes) = answer(&buffer[..length]) {
                    socket.send_to(&bytes, from).expect("a datagram is sent");
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("receiving failed: {error}"),
        }
    }
}

fn flags(datagram: &[u8]) -> u16 {
    u16::from_be_bytes([datagram[6], datagram[7]])
}

#[test]
fn a_server_without_udp_is_told_by_icmp() {
    let (tcp, udp) = ports();
    drop(udp);
    let found = asked(tcp.local_addr().expect("a listener has an address"));
    assert_eq!(found.versions.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    for answer in found.versions.values() {
        assert_eq!(*answer, UdpAnswer::Unreachable);
    }
    assert_eq!((found.tls, found.dtls), (None, None));
}

#[test]
fn a_firewall_that_says_nothing_is_silence_however_often_it_is_asked() {
    // The socket is there and nobody reads from it.
    let found = with_server(|_udp, goes_on| {
        while goes_on() {
            thread::yield_now();
        }
    });
    for answer in found.versions.values() {
        assert!(matches!(answer, UdpAnswer::Silent { sent: 3.. }), "{answer:?}");
    }
    assert_eq!((found.tls, found.dtls), (None, None));
}

#[test]
fn a_hello_of_tls_is_answered_over_the_reliable_transport() {
    let found = with_server(|udp, goes_on| {
        // Only the conversation of version 3, which this end speaks, is let through.
        let (tcp, inner) = ports();
        let inner_address = tcp.local_addr().expect("a listener has an address");
        let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        relay.set_read_timeout(Some(Duration::from_millis(1))).expect("a socket takes its options");
        thread::scope(|scope| {
            scope.spawn(|| answer(inner, &server_hello(), goes_on));
            let mut client = None;
            let mut buffer = [0; 2048];
            udp.set_read_timeout(Some(Duration::from_millis(1))).expect("a socket takes its options");
            while goes_on() {
                if let Ok((length, from)) = udp.recv_from(&mut buffer) {
                    let is_version_3 = buffer[..8] == [0xFF, 0xFF, 0xFF, 0xFF, 0, 64, 0x10, 0x01]
                        && buffer[16..20] == [0, 1, 1, 1];
                    if is_version_3 {
                        client = Some(from);
                    }
                    if client == Some(from) {
                        relay.send_to(&buffer[..length], inner_address).expect("a datagram is sent");
                    }
                }
                if let (Ok((length, _)), Some(client)) = (relay.recv_from(&mut buffer), client) {
                    udp.send_to(&buffer[..length], client).expect("a datagram is sent");
                }
            }
        });
    });
    // The server knows that no session has this cookie, and goes back to version 2 (MS-RDPEUDP 3.1.5.1.3).
    assert!(
        matches!(found.versions[&3], UdpAnswer::SynAck { version: 2, up_stream_mtu: 1232, .. }),
        "{found:?}"
    );
    assert!(matches!(found.versions[&1], UdpAnswer::Silent { .. }), "{found:?}");
    let Some(HelloAnswer::Accepted(hello)) = found.tls else { panic!("no ServerHello: {:?}", found.tls) };
    assert_eq!((hello.version.as_str(), hello.cipher_suite.id), ("TLS1.2", 0xC02F));
}

#[test]
fn a_hello_of_dtls_is_answered_over_the_lossy_transport() {
    let found = with_server(|udp, goes_on| {
        serve(&udp, goes_on, |datagram| {
            if flags(datagram) & (SYN | SYNLOSSY) == SYN | SYNLOSSY {
                // SYN+ACK: acknowledges, window, flags, initial sequence number, both MTUs.
                let mut syn_ack = datagram[8..12].to_vec();
                syn_ack.extend([0, 64, 0, 5, 0, 0, 0, 1, 4, 208, 4, 208]);
                return Some(syn_ack);
            }
            if flags(datagram) & SYN != 0 {
                return None;
            }
            // ACK and DATA: empty vector, both sequence numbers, HelloVerifyRequest in a record.
            let mut said = vec![0, 0, 0, 9, 0, 64, 0, 0x0C, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2];
            said.extend([22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15]);
            said.extend([3, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0xFE, 0xFF, 0]);
            Some(said)
        });
    });
    assert_eq!(found.dtls, Some(HelloAnswer::CookieRequested));
    assert_eq!(found.tls, None, "no SYN over the reliable transport was answered: {found:?}");
}

#[test]
fn something_else_on_the_port_is_shown_by_its_first_bytes() {
    let found = with_server(|udp, goes_on| serve(&udp, goes_on, |_| Some(b"\0\0 TFTP".to_vec())));
    for answer in found.versions.values() {
        assert_eq!(*answer, UdpAnswer::Other { first_bytes: hex::encode(b"\0\0 TFTP") });
    }
}
