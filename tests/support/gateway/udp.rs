//! The UDP side channel (MS-TSGU 3.4, 2.2.11): DTLS in its form, without keys. No client here speaks it, so both ends are
//! scripted: the client's two ClientHellos, the first with UDP_CORRELATION_INFO behind it, and then sealed bytes both ways.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Content types and handshake types of DTLS 1.2 (RFC 6347).
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;
const VERSION: [u8; 2] = [0xFE, 0xFD];
/// Where a record's handshake type stands, and where its body begins.
const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;

/// How often a client sends again what is not answered (RFC 6347 4.2.4.1).
const SEND_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The cookie of HelloVerifyRequest.
const HELLO_COOKIE: [u8; 20] = [0xC0; 20];
/// Larger than any datagram here.
const LARGEST: usize = 2048;

/// A gateway's UDP port.
#[derive(Debug)]
pub(crate) struct UdpSide {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    socket: UdpSocket,
    received: mpsc::Receiver<Vec<u8>>,
    thread: Option<JoinHandle<()>>,
}

impl UdpSide {
    /// One that answers each client, or none at all.
    pub(crate) fn start(answers: bool) -> UdpSide {
        UdpSide::start_at((Ipv4Addr::LOCALHOST, 0).into(), answers)
    }

    /// The same at an address that nobody else has.
    pub(crate) fn start_at(address: SocketAddr, answers: bool) -> UdpSide {
        let socket = UdpSocket::bind(address).expect("the address is free");
        let address = socket.local_addr().expect("it is bound");
        let (tell, received) = mpsc::channel();
        let listening = socket.try_clone().expect("a socket is cloned");
        let thread = std::thread::spawn(move || {
            let mut datagram = [0; LARGEST];
            // An empty datagram ends it.
            while let Ok((count @ 1.., client)) = listening.recv_from(&mut datagram) {
                let datagram = &datagram[..count];
                if let Some(answer) = answer(datagram).filter(|_| answers) {
                    // A client that is gone is no matter of the gateway.
                    let _ = listening.send_to(&answer, client);
                }
                if tell.send(datagram.to_vec()).is_err() {
                    return;
                }
            }
        });
        UdpSide { address, socket, received, thread: Some(thread) }
    }

    /// The datagrams that it received since it was asked last.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        self.received.try_iter().collect()
    }

    /// A port where nobody listens, and a datagram is refused.
    pub(crate) fn closed_port() -> u16 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        socket.local_addr().expect("it is bound").port()
    }
}

impl Drop for UdpSide {
    fn drop(&mut self) {
        let _ = self.socket.send_to(&[], self.address);
        if let Some(thread) = self.thread.take() {
            // What it panicked with is printed already.
            let _ = thread.join();
        }
    }
}

/// What a gateway says to a datagram.
fn answer(datagram: &[u8]) -> Option<Vec<u8>> {
    match (datagram.first(), datagram.get(RECORD_HEADER)) {
        (Some(&HANDSHAKE), Some(&CLIENT_HELLO)) if has_cookie(datagram) => {
            let body = [&VERSION[..], &[0x22; 32], &[0, 0xC0, 0x2F, 0]].concat();
            Some(handshake(SERVER_HELLO, 1, &body))
        }
        (Some(&HANDSHAKE), Some(&CLIENT_HELLO)) => {
            let length = u8::try_from(HELLO_COOKIE.len()).expect("it is short");
            let body = [&VERSION[..], &[length], &HELLO_COOKIE].concat();
            Some(handshake(HELLO_VERIFY_REQUEST, 0, &body))
        }
        (Some(&APPLICATION_DATA), _) => Some(sealed(0)),
        _ => None,
    }
}

fn has_cookie(client_hello: &[u8]) -> bool {
    client_hello.windows(HELLO_COOKIE.len()).any(|bytes| bytes == HELLO_COOKIE)
}

/// What a client's attempt comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The gateway said all that it has to say.
    Answered,
    /// It said nothing for as long as the client waits.
    Silent,
    /// Nobody listens there.
    Refused,
}

/// Asks the gateway's UDP port for a channel, waiting `patience` for each answer.
pub(crate) fn attempt(gateway: SocketAddr, correlation_id: [u8; 16], patience: Duration) -> Attempt {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
    socket.connect(gateway).expect("a loopback address is reached");
    let first = [client_hello(&[]), correlation_info(correlation_id)].concat();
    let steps = [
        (first, HANDSHAKE, Some(HELLO_VERIFY_REQUEST)),
        (client_hello(&HELLO_COOKIE), HANDSHAKE, Some(SERVER_HELLO)),
        (sealed(0), APPLICATION_DATA, None),
    ];
    for (datagram, content, message) in steps {
        match exchange(&socket, &datagram, patience) {
            Ok(answer) => {
                assert_eq!(answer.first(), Some(&content), "{answer:02x?}");
                assert!(message.is_none() || answer.get(RECORD_HEADER) == message.as_ref(), "{answer:02x?}");
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Attempt::Refused,
            Err(_) => return Attempt::Silent,
        }
    }
    Attempt::Answered
}

/// Sends until there is an answer.
fn exchange(socket: &UdpSocket, datagram: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut answer = [0; LARGEST];
    loop {
        socket.send(datagram)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left.min(SEND_AGAIN_AFTER)))?;
        match socket.recv(&mut answer) {
            Ok(count) => return Ok(answer[..count].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn client_hello(cookie: &[u8]) -> Vec<u8> {
    let length = u8::try_from(cookie.len()).expect("it is short");
    // No session; one cipher suite; no compression.
    let body = [&VERSION[..], &[0x11; 32], &[0, length], cookie, &[0, 2, 0xC0, 0x2F, 1, 0]].concat();
    handshake(CLIENT_HELLO, u16::from(!cookie.is_empty()), &body)
}

/// UDP_CORRELATION_INFO (MS-TSGU 2.2.11.5), which stands behind the first ClientHello.
fn correlation_info(id: [u8; 16]) -> Vec<u8> {
    let (start, end, length) = (0x1DAA_u16, 0xAA1D_u16, 26_u16);
    [&[0; 4][..], &start.to_le_bytes(), &id, &end.to_le_bytes(), &length.to_le_bytes()].concat()
}

fn handshake(message: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("it is short").to_be_bytes();
    let fragment =
        [&[message][..], &length[1..], &sequence.to_be_bytes(), &[0; 3], &length[1..], body].concat();
    assert_eq!(fragment.len(), HANDSHAKE_HEADER + body.len());
    record(HANDSHAKE, 0, sequence, &fragment)
}

/// A record as it looks once there are keys.
fn sealed(sequence: u16) -> Vec<u8> {
    record(APPLICATION_DATA, 1, sequence, &[0x5E; 64])
}

fn record(content: u8, epoch: u16, sequence: u16, fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).expect("it is short").to_be_bytes();
    let number = [&epoch.to_be_bytes()[..], &[0; 4], &sequence.to_be_bytes()].concat();
    [&[content][..], &VERSION, &number, &length, fragment].concat()
}
