//! What waits for what while a tunnel is set up: through rdpscope not one message more than without it. What is counted is
//! who has the word on each connection, and how often it changes hands, so that no clock decides.

use super::relay;
use crate::support::gateway::packet::DATA;
use crate::support::gateway::{Client, Gateway, Logon, Seen, Setup, Tunnel, What};
use rustls::SupportedProtocolVersion;
use rustls::version::TLS12;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// TLS that has one way to go.
const ONE_WAY: &[&SupportedProtocolVersion] = &[&TLS12];

/// Who sends on which connection, in turn.
type Turns = Arc<Mutex<Vec<(usize, &'static str)>>>;

/// Passes connections on, and notes whose turn it is on each.
struct Tap {
    address: SocketAddr,
    turns: Turns,
}

impl Tap {
    /// Before `far`; what it passes on ends with its connections.
    fn before(far: SocketAddr) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("it is bound");
        let turns = Turns::default();
        let noted = turns.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            for (number, near) in listener.incoming().enumerate() {
                let near = near.expect("the listener lives");
                let far = TcpStream::connect(far).expect("the far side listens");
                for end in [&near, &far] {
                    end.set_nodelay(true).expect("a socket takes its options");
                }
                let [other_near, other_far] =
                    [&near, &far].map(|end| end.try_clone().expect("a socket is cloned"));
                let (up, down) = (noted.clone(), noted.clone());
                thread::spawn(move || pass(near, far, || note(&up, (number, "client"))));
                thread::spawn(move || pass(other_far, other_near, || note(&down, (number, "gateway"))));
            }
        });
        Tap { address, turns }
    }

    fn turns(&self) -> Vec<(usize, &'static str)> {
        self.turns.lock().expect("nobody panics with it").clone()
    }
}

/// Notes before it passes on: whatever answers is noted later.
fn pass(mut from: TcpStream, mut to: TcpStream, note: impl Fn()) {
    let mut piece = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        note();
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    // The other side may have gone first.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn note(turns: &Turns, turn: (usize, &'static str)) {
    let mut turns = turns.lock().expect("nobody panics with it");
    if turns.last() != Some(&turn) {
        turns.push(turn);
    }
}

/// A gateway that asks nobody for a password.
fn gateway(target: SocketAddr) -> Gateway {
    let tunnel = Tunnel { target: Some(target), udp: Some((3391, b"cookie".to_vec())), ..Tunnel::default() };
    Gateway::start(Setup { tls_versions: ONE_WAY, logon: Logon::open(), tunnel, ..Setup::default() })
}

/// A client with an open channel.
fn opened(address: SocketAddr, is_websocket: bool) -> Client {
    let mut client = Client::connect(address);
    if is_websocket {
        assert!(client.upgrade(None).expect("it answers").contains(" 101 "));
    } else {
        client.two_connections(|| Client::connect(address)).expect("it grants an OUT channel");
    }
    assert_eq!(client.open("srv", 3389).map(|channel| channel.error), Ok(0));
    client
}

/// What was asked and said, in its order.
fn said(gateway: &Gateway) -> Vec<Seen> {
    let is_said =
        |seen: &Seen| matches!(seen.what, What::Request(_) | What::FromClient(_) | What::ToClient(_));
    gateway.seen().into_iter().filter(is_said).collect()
}

#[test]
fn a_tunnel_is_set_up_in_as_many_turns_as_without_rdpscope() {
    let target = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let target = target.local_addr().expect("it is bound");
    for is_websocket in [true, false] {
        let direct = gateway(target);
        let tap = Tap::before(direct.address);
        drop(opened(tap.address, is_websocket));
        let expected = tap.turns();
        assert!(expected.len() >= 14, "TLS, HTTP and four packets and their answers: {expected:?}");

        let far = gateway(target);
        let at_gateway = Tap::before(far.address);
        let relay = relay(target, at_gateway.address, 1, &[]);
        let at_client = Tap::before(relay.address);
        let client = opened(at_client.address, is_websocket);
        assert_eq!(at_client.turns(), expected, "between the client and rdpscope");
        assert_eq!(at_gateway.turns(), expected, "between rdpscope and the gateway");
        assert_eq!(said(&far), said(&direct));
        drop(client);
        relay.finish().session().assert_reached(&["gateway-tunnel", "gateway-channel"]);
    }
}

/// Each byte that the target sends is with the client before there is a next one that could push it.
#[test]
fn what_comes_down_waits_for_nothing() {
    let target = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = target.local_addr().expect("it is bound");
    for flags in [&[][..], &["--tcp-only"]] {
        for is_websocket in [true, false] {
            let gateway = gateway(address);
            let relay = relay(address, gateway.address, 1, flags);
            let mut client = opened(relay.address, is_websocket);
            let (mut server, _) = target.accept().expect("the gateway connects");
            for byte in 0..50 {
                server.write_all(&[byte]).expect("the gateway reads");
                let packet = client.next_packet().expect("it comes");
                assert_eq!((packet.kind(), packet.counted_at(0)), (DATA, &[byte][..]), "{flags:?}");
            }
            drop((client, server));
            relay.finish();
        }
    }
}
