//! One conversation over reliable transport, up to the answer to a TLS hello.

use super::{
    HELLO_WITHIN, LARGEST_DATAGRAM, SYN_WITHIN, dial, initial_sequence_number, read_answer, unanswered,
};
use crate::probe::hello;
use crate::probe::tls::answer::{AnswerReader, Until};
use crate::trace::{HelloAnswer, UdpAnswer};
use ironrdp_core::MonotonicInstant;
use ironrdp_rdpeudp::pdu::UdpVersion;
use ironrdp_rdpeudp::{ConnectionConfig, Event, RdpeudpConnection};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// The version that a SYN offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// MS-RDPEUDP, version 1.
    One,
    /// MS-RDPEUDP, version 2.
    Two,
    /// MS-RDPEUDP2. The cookie that a session would have is unknown, so a server that checks it answers with version 2.
    Three,
}

/// SHA-256 of a cookie that no session has.
const COOKIE_HASH: [u8; 32] = [0; 32];

/// What came of a SYN, and of the TLS hello for `hello_for` where the SYN was answered.
pub(super) async fn open(
    server: SocketAddr,
    version: Version,
    hello_for: Option<&str>,
) -> (UdpAnswer, Option<HelloAnswer>) {
    let mut conversation = match Conversation::begin(server, version).await {
        Ok(conversation) => conversation,
        Err(error) => return (unanswered(&error, 0), None),
    };
    let answer = conversation.syn_answer().await;
    let tls = match (hello_for, &answer) {
        (Some(server_name), UdpAnswer::SynAck { .. }) => {
            Some(conversation.hello_answer(hello::usual(server_name).records()).await)
        }
        _ => None,
    };
    (answer, tls)
}

struct Conversation {
    socket: UdpSocket,
    connection: RdpeudpConnection,
    began: Instant,
    sent: u32,
    /// What the server said over the transport and nobody has read.
    said: Vec<u8>,
}

impl Conversation {
    async fn begin(server: SocketAddr, version: Version) -> io::Result<Conversation> {
        let began = Instant::now();
        let config = ConnectionConfig {
            initial_sequence_number: initial_sequence_number(),
            cookie_hash: Some(COOKIE_HASH),
            offer_version: match version {
                Version::One => UdpVersion::V1,
                Version::Two => UdpVersion::V2,
                Version::Three => UdpVersion::V3,
            },
            ..ConnectionConfig::default()
        };
        let connection = RdpeudpConnection::connect(config, moment(began))
            .map_err(|error| io::Error::other(error.to_string()))?;
        let socket = dial(server).await?;
        Ok(Conversation { socket, connection, began, sent: 0, said: Vec::new() })
    }

    async fn syn_answer(&mut self) -> UdpAnswer {
        let deadline = self.began + SYN_WITHIN;
        loop {
            match self.turn(deadline).await {
                Ok(Some(datagram)) => return read_answer(&datagram, self.began, self.sent),
                Ok(None) if Instant::now() < deadline => {}
                Ok(None) => return UdpAnswer::Silent { sent: self.sent },
                Err(error) => return unanswered(&error, self.sent),
            }
        }
    }

    async fn hello_answer(&mut self, hello: Vec<u8>) -> HelloAnswer {
        if self.connection.send(hello).is_err() {
            return HelloAnswer::NotReached { reason: "the transport was not opened".to_owned() };
        }
        let deadline = Instant::now() + HELLO_WITHIN;
        let mut reader = AnswerReader::new(Until::Hello);
        loop {
            let turned = self.turn(deadline).await;
            if let Some(answered) = reader.push(&std::mem::take(&mut self.said)) {
                return answered.answer;
            }
            if turned.is_err() || Instant::now() >= deadline {
                return reader.end(None).answer;
            }
        }
    }

    /// Sends what is due and waits for a datagram, until something else is due or `deadline`.
    async fn turn(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        self.connection.handle_timeout(moment(self.began));
        while let Some(due) = self.connection.poll_transmit(moment(self.began)) {
            self.socket.send(&due.contents).await?;
            self.sent += 1;
        }
        let next = self.connection.poll_timeout().map(|at| self.began + since_first(at));
        let until = next.map_or(deadline, |next| next.min(deadline));
        let mut buffer = [0; LARGEST_DATAGRAM];
        let Ok(received) = timeout_at(until, self.socket.recv(&mut buffer)).await else { return Ok(None) };
        let datagram = buffer[..received?].to_vec();
        let length = datagram.len();
        // A datagram that is none of RDP-UDP changes nothing in the connection; the caller sees it all the same.
        let _ = self.connection.handle_datagram(&mut buffer[..length], moment(self.began));
        while let Some(event) = self.connection.poll_event() {
            if let Event::DataReceived(data) = event {
                self.said.extend(data);
            }
        }
        Ok(Some(datagram))
    }
}

/// The connection's own clock, which has no zero.
fn moment(began: Instant) -> MonotonicInstant {
    let passed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
    MonotonicInstant::from_millis(1 + passed)
}

fn since_first(at: MonotonicInstant) -> Duration {
    Duration::from_millis(at.as_millis().saturating_sub(1))
}
