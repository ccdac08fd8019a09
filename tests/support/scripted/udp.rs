//! Two ends of an RDP-UDP connection, as ironrdp-rdpeudp speaks it, over real sockets.

use ironrdp_core::decode;
use ironrdp_rdpeudp::pdu::{UdpVersion, V1Datagram};
use ironrdp_rdpeudp::{ConnectionConfig, Event, MonotonicInstant, RdpeudpConnection};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long the two may take to have told each other something.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(20);
/// How long one end listens before the other has its turn.
const TURN: Duration = Duration::from_millis(5);
/// The largest datagram that these ends send.
const LARGEST: usize = 2048;
/// SHA-256 of the cookie that the server gave the client over TCP; both know it.
const COOKIE_HASH: [u8; 32] = [0x5c; 32];

/// The version that the client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// MS-RDPEUDP, version 1.
    One,
    /// MS-RDPEUDP, version 2.
    Two,
    /// MS-RDPEUDP2.
    Three,
}

/// One end.
#[derive(Debug)]
pub(crate) struct UdpEnd {
    socket: UdpSocket,
    began: Instant,
    config: ConnectionConfig,
    peer: Option<SocketAddr>,
    connection: Option<RdpeudpConnection>,
    /// Every datagram it sent.
    pub(crate) sent: Vec<Vec<u8>>,
    /// Every datagram it received.
    pub(crate) received: Vec<Vec<u8>>,
    told: Vec<u8>,
}

impl UdpEnd {
    /// A client that will ask `server` for a connection.
    pub(crate) fn client(server: SocketAddr, version: Version) -> Self {
        let socket = UdpSocket::bind((server.ip(), 0)).expect("a loopback port is free");
        let mut end = Self::on(socket, version);
        end.peer = Some(server);
        let connection = RdpeudpConnection::connect(end.config.clone(), end.now());
        end.connection = Some(connection.expect("a client begins"));
        end
    }

    /// A server that waits on `socket`.
    pub(crate) fn server(socket: UdpSocket) -> Self {
        Self::on(socket, Version::Three)
    }

    fn on(socket: UdpSocket, version: Version) -> Self {
        socket.set_read_timeout(Some(TURN)).expect("a socket takes its options");
        let offer_version = match version {
            Version::One => UdpVersion::V1,
            Version::Two => UdpVersion::V2,
            Version::Three => UdpVersion::V3,
        };
        let config = ConnectionConfig {
            initial_sequence_number: 0x0123_4567,
            cookie_hash: Some(COOKIE_HASH),
            offer_version,
            ..ConnectionConfig::default()
        };
        let (sent, received, told) = (Vec::new(), Vec::new(), Vec::new());
        UdpEnd { socket, began: Instant::now(), config, peer: None, connection: None, sent, received, told }
    }

    fn now(&self) -> MonotonicInstant {
        let passed = u64::try_from(self.began.elapsed().as_millis()).expect("a test is short");
        MonotonicInstant::from_millis(1 + passed)
    }

    /// Sends what is due, then takes what arrives within a turn.
    pub(crate) fn turn(&mut self) {
        let now = self.now();
        if let (Some(connection), Some(peer)) = (&mut self.connection, self.peer) {
            connection.handle_timeout(now);
            while let Some(transmit) = connection.poll_transmit(now) {
                self.socket.send_to(&transmit.contents, peer).expect("a datagram is sent");
                self.sent.push(transmit.contents);
            }
        }
        let mut buffer = [0; LARGEST];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, from)) => self.take(&buffer[..length], from),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("receiving failed: {error}"),
        }
    }

    fn take(&mut self, datagram: &[u8], from: SocketAddr) {
        self.received.push(datagram.to_owned());
        let now = self.now();
        match &mut self.connection {
            // Its decoder works in place.
            Some(connection) => {
                connection.handle_datagram(&mut datagram.to_owned(), now).expect("it is RDP-UDP")
            }
            None => {
                let syn: V1Datagram = decode(datagram).expect("a SYN");
                let connection = RdpeudpConnection::accept(self.config.clone(), &syn, now);
                self.connection = Some(connection.expect("a server answers"));
                self.peer = Some(from);
            }
        }
        while let Some(event) = self.connection.as_mut().and_then(RdpeudpConnection::poll_event) {
            if let Event::DataReceived(data) = event {
                self.told.extend(data);
            }
        }
    }

    fn is_established(&self) -> bool {
        self.connection.as_ref().is_some_and(RdpeudpConnection::is_established)
    }

    fn say(&mut self, words: &[u8]) {
        let connection = self.connection.as_mut().expect("it is connected");
        connection.send(words.to_owned()).expect("it takes what is said");
    }
}

/// A server on `socket` that says `words` as soon as somebody has said something to it, for as long as `goes_on`.
pub(crate) fn answer(socket: UdpSocket, words: &[u8], goes_on: impl Fn() -> bool) {
    let mut end = UdpEnd::server(socket);
    let mut has_answered = false;
    while goes_on() {
        end.turn();
        if !has_answered && !end.told.is_empty() {
            end.say(words);
            has_answered = true;
        }
    }
}

/// Connects the two, lets each say something, and waits until every datagram has arrived.
pub(crate) fn talk(client: &mut UdpEnd, server: &mut UdpEnd) {
    take_turns(client, server, |client, server| client.is_established() && server.is_established());
    client.say(b"said by the client");
    server.say(b"said by the server");
    take_turns(client, server, |client, server| {
        client.told == b"said by the server"
            && server.told == b"said by the client"
            && client.sent.len() == server.received.len()
            && server.sent.len() == client.received.len()
    });
}

fn take_turns(client: &mut UdpEnd, server: &mut UdpEnd, done: impl Fn(&UdpEnd, &UdpEnd) -> bool) {
    let deadline = Instant::now() + EXCHANGE_WITHIN;
    while !done(client, server) {
        assert!(Instant::now() < deadline, "they do not come together: {client:?} {server:?}");
        client.turn();
        server.turn();
    }
}
