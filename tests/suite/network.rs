//! What a network does to a session: packets that vanish, are refused or cut, and names with several addresses.

use crate::support::certificates::certificates;
use crate::support::netns::{Network, SERVER_NAME, SERVER_V4, SERVER_V6};
use crate::support::rdpscope::{Finished, Rdpscope, Session};
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{
    HYBRID, SSL, connection_confirm, connection_request, negotiation_failure,
};
use crate::support::scripted::tls::{Handshake, Trust};
use crate::support::scripted::{Conversation, Ends, read_once};
use rustls::version::TLS13;
use socket2::SockRef;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// How long a client waits before it gives up: more than the three seconds that a verdict wants to have waited.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same for TLS, whose verdict wants five.
pub(super) const PATIENCE_WITH_TLS: Duration = Duration::from_secs(6);
/// Longer than any step takes here.
const WITHIN: Duration = Duration::from_secs(20);

pub(super) const PORT: u16 = 3389;
pub(super) const TARGET: &str = "10.99.0.2:3389";

impl Network {
    /// rdpscope on the client's machine, for one session.
    pub(super) fn start(&self, target: &str) -> Rdpscope {
        Rdpscope::start_as(self.rdpscope(), target, &["--listen", "127.0.0.1:0", "--sessions", "1"])
    }

    /// A listener on the IPv4 address of the server's machine; its IPv6 address refuses.
    pub(super) fn listener(&self) -> TcpListener {
        self.at_server(|| TcpListener::bind((SERVER_V4, PORT)).expect("nobody else is there"))
    }

    fn connect(&self, address: SocketAddr) -> TcpStream {
        let client = self.at_client(|| TcpStream::connect(address).expect("rdpscope listens"));
        client.set_read_timeout(Some(WITHIN)).expect("a socket takes its options");
        client
    }

    pub(super) fn connect_ends(&self, rdpscope: &Rdpscope, listener: &TcpListener) -> Ends {
        self.at_client(|| Ends::connect(rdpscope.address, listener))
    }
}

/// What a user sees of a server that cannot be reached: the client asks and is cut, or gives up.
pub(super) fn attempt(network: &Network, target: &str) -> Finished {
    let rdpscope = network.start(target);
    let mut client = network.connect(rdpscope.address);
    client.set_read_timeout(Some(PATIENCE)).expect("a socket takes its options");
    // Where it is cut at once the request may come too late.
    let _ = client.write_all(&connection_request("alice", SSL | HYBRID));
    // An answer, a cut or nothing at all: the trace says which it was.
    let _ = read_once(&mut client, &mut [0; 64]);
    drop(client);
    rdpscope.finish()
}

fn confidence(session: &Session) -> &str {
    session.verdict()["confidence"].as_str().unwrap_or_default()
}

#[test]
fn without_a_word_it_listens_on_loopback_where_the_manual_says() {
    let Some(network) = Network::new() else { return };
    for (arguments, address) in
        [(&[][..], "127.0.0.1:13389"), (&["--gateway", SERVER_NAME][..], "127.0.0.1:13443")]
    {
        let rdpscope = Rdpscope::start_as(network.rdpscope(), SERVER_NAME, arguments);
        assert_eq!(rdpscope.address.to_string(), address);
    }
}

#[test]
fn a_syn_that_vanishes_is_filtered() {
    let Some(network) = Network::new() else { return };
    network.fault("tcp dport 3389 tcp flags syn / syn,ack drop");
    let _listener = network.listener();
    let finished = attempt(&network, TARGET);
    let session = finished.session();
    session.assert_verdict(&["tcp-filtered"]);
    assert_eq!(confidence(session), "likely", "{session}");
    assert_eq!(session.event("connect_abandoned")["address"], TARGET);
    session.assert_end("client", "fin");
}

#[test]
fn a_syn_that_is_rejected_is_refused() {
    let Some(network) = Network::new() else { return };
    network.fault("tcp dport 3389 reject with tcp reset");
    let _listener = network.listener();
    let finished = attempt(&network, TARGET);
    finished.session().assert_confirmed("tcp-refused");
    assert_eq!(finished.session().event("connect_failed")["error"], "refused");
}

#[test]
fn a_network_that_says_unreachable_is_believed() {
    for answer in ["host-unreachable", "admin-prohibited"] {
        let Some(network) = Network::new() else { return };
        network.fault(&format!("tcp dport 3389 reject with icmp type {answer}"));
        let finished = attempt(&network, TARGET);
        let session = finished.session();
        session.assert_verdict(&["tcp-filtered"]);
        assert_eq!(session.event("connect_failed")["error"], "unreachable", "{session}");
        let summary = session.verdict()["summary"].as_str().unwrap_or_default();
        assert!(summary.contains("unreachable"), "{summary}");
    }
}

#[test]
fn a_machine_without_a_route_says_so() {
    let Some(network) = Network::new() else { return };
    let finished = attempt(&network, "192.0.2.1:3389");
    let session = finished.session();
    session.assert_verdict(&["tcp-filtered"]);
    assert_eq!(session.event("connect_failed")["error"], "unreachable", "{session}");
}

#[test]
fn a_reset_on_the_request_is_a_reset() {
    let Some(network) = Network::new() else { return };
    // A TPKT header at the start of the segment's payload.
    network.fault("tcp dport 3389 @ih,0,16 0x0300 reject with tcp reset");
    let _listener = network.listener();
    let finished = attempt(&network, TARGET);
    let session = finished.session();
    session.assert_confirmed("tcp-reset");
    session.assert_end("server", "reset");
    session.assert_reached(&["tcp"]);
}

/// A session that came to its ClientHello, whose record header the fault matches.
pub(super) fn until_the_client_hello(
    network: &Network,
    listener: &TcpListener,
) -> (Rdpscope, TcpStream, TcpStream) {
    let rdpscope = network.start(TARGET);
    let agreed = Conversation::new().client(connection_request("alice", SSL)).server(connection_confirm(SSL));
    let ends = agreed.play_open(network.connect_ends(&rdpscope, listener));
    let (mut client, server) = ends.into_streams();
    let hello = Handshake::new(&TLS13, &certificates().signed, Trust::Anything).client_hello();
    client.write_all(&hello).expect("rdpscope takes it");
    (rdpscope, client, server)
}

#[test]
fn a_client_hello_that_vanishes_stalls_tls() {
    let Some(network) = Network::new() else { return };
    network.fault("tcp dport 3389 @ih,0,16 0x1603 drop");
    let listener = network.listener();
    let (rdpscope, client, server) = until_the_client_hello(&network, &listener);
    client.set_read_timeout(Some(PATIENCE_WITH_TLS)).expect("a socket takes its options");
    read_once(&mut &client, &mut [0; 64]).expect_err("nothing comes");
    drop(client);
    // The server never sees that the client has gone, and still the user gets a verdict.
    let finished = rdpscope.finish();
    drop(server);
    let session = finished.session();
    session.assert_verdict(&["tls-stalled"]);
    assert_eq!(session.verdict()["phase"], "tls", "{session}");
    session.assert_end("client", "fin");
    let retransmitted = session.events_named("tcp_info").into_iter().find(|event| event["leg"] == "server");
    let retransmitted = retransmitted.and_then(|event| event["retransmitted_segments"].as_u64());
    assert!(retransmitted > Some(0), "the system knows that it sent again:\n{session}");
}

#[test]
fn a_client_hello_that_is_answered_by_a_reset_is_no_mystery() {
    let Some(network) = Network::new() else { return };
    network.fault("tcp dport 3389 @ih,0,16 0x1603 reject with tcp reset");
    let listener = network.listener();
    let (rdpscope, mut client, server) = until_the_client_hello(&network, &listener);
    let error = read_once(&mut client, &mut [0; 64]).expect_err("the reset passes through");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let finished = rdpscope.finish();
    drop(server);
    let session = finished.session();
    session.assert_verdict(&["server-key-unusable"]);
    session.assert_end("server", "reset");
}

#[test]
fn a_server_that_is_gone_without_a_word_is_half_open() {
    let Some(network) = Network::new() else { return };
    let listener = network.listener();
    let rdpscope = network.start(TARGET);
    let agreed = Conversation::new().client(connection_request("alice", SSL)).server(connection_confirm(SSL));
    let ends = agreed.play_open(network.connect_ends(&rdpscope, &listener));
    network.fault("tcp dport 3389 drop");
    let (mut client, server) = ends.into_streams();
    client.write_all(&[0x16, 3, 1]).expect("rdpscope takes it");
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("a socket takes its options");
    drop(client);
    let finished = rdpscope.finish();
    drop(server);
    let session = finished.session();
    session.assert_end("client", "reset");
    session.assert_reached(&["tcp", "x224"]);
    assert_eq!(session.summary()["reached"], "x224", "{session}");
}

fn addresses(session: &Session, event: &str) -> Vec<String> {
    let events = session.events_named(event);
    events.iter().map(|event| event["address"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The server's addresses in the order in which RFC 6724 and RFC 8305 have them tried.
fn both() -> [String; 2] {
    [format!("[{SERVER_V6}]:{PORT}"), format!("{SERVER_V4}:{PORT}")]
}

/// A server whose name has two addresses, of which only the second takes connections.
fn second_address(network: &Network) -> Finished {
    let listener = network.listener();
    let rdpscope = network.start(SERVER_NAME);
    let conversation = Conversation::new().client(connection_request("alice", SSL));
    let conversation = conversation.server(negotiation_failure(5)).finish(Server);
    conversation.play(network.connect_ends(&rdpscope, &listener));
    let finished = rdpscope.finish();
    let session = finished.session();
    assert_eq!(session.event("resolved")["addresses"], serde_json::json!(both()), "{session}");
    assert_eq!(addresses(session, "connecting"), both(), "{session}");
    assert_eq!(addresses(session, "connected"), both()[1..], "{session}");
    assert_eq!(session.summary()["server"], both()[1], "{session}");
    session.assert_confirmed("nla-required");
    session.assert_reached(&["dns", "tcp"]);
    finished
}

#[test]
fn the_second_address_is_tried_at_once_when_the_first_refuses() {
    let Some(network) = Network::new() else { return };
    let finished = second_address(&network);
    let session = finished.session();
    assert_eq!(addresses(session, "connect_failed"), both()[..1], "{session}");
}

#[test]
fn the_second_address_is_tried_beside_the_first_when_that_is_silent() {
    let Some(network) = Network::new() else { return };
    network.fault("ip6 nexthdr tcp drop");
    let finished = second_address(&network);
    let session = finished.session();
    assert_eq!(addresses(session, "connect_abandoned"), both()[..1]);
    let waited = session.event("connect_abandoned")["took_us"].as_u64();
    assert!(waited >= Some(250_000), "RFC 8305 gives the first 250 ms:\n{session}");
}

#[test]
fn udp_goes_to_the_address_that_tcp_found() {
    let Some(network) = Network::new() else { return };
    let listener = network.listener();
    let sockets = [SERVER_V6, SERVER_V4].map(|address| {
        let socket = network.at_server(|| UdpSocket::bind((address, PORT)).expect("nobody else is there"));
        socket.set_read_timeout(Some(WITHIN)).expect("a socket takes its options");
        socket
    });
    let rdpscope = network.start(SERVER_NAME);
    let ends = network.connect_ends(&rdpscope, &listener);
    rdpscope.wait_for(|line| line["event"] == "connected");
    let client = network.at_client(|| UdpSocket::bind("127.0.0.1:0").expect("nobody else is there"));
    client.send_to(b"a datagram", rdpscope.address).expect("a datagram is sent");
    let [over_v6, over_v4] = sockets;
    let mut buffer = [0; 64];
    let length = over_v4.recv(&mut buffer).expect("it arrives where TCP arrived");
    assert_eq!(&buffer[..length], b"a datagram");
    over_v6.set_nonblocking(true).expect("a socket takes its options");
    over_v6.recv(&mut buffer).expect_err("and nowhere else");
    Conversation::new().finish(Client).play(ends);
    rdpscope.finish();
}
