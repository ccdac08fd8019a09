//! The one way by which every check reaches the target: counted, and negotiated where that is wanted.

use super::budget::{Budget, Place};
use super::negotiation;
use super::tally::Tally;
use super::tcp::Connections;
use crate::relay::connect;
use crate::trace::{ConnectError, Detail, NegotiationAnswer};
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long a server is left in peace that did not take a connection, having taken others.
const PAUSE: Duration = Duration::from_millis(500);

/// How the checks reach the target.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// The address that answered first.
    pub(super) address: SocketAddr,
    /// What is said in server_name where it is a DNS name, and what the certificate is held against.
    pub(super) server_name: String,
    /// True where TLS begins without X.224.
    pub(super) direct: bool,
    /// The largest segment that either side may send, bytes; absent where the system decides.
    pub(super) largest_segment: Option<u32>,
    /// What may still be opened.
    pub(super) budget: Arc<Budget>,
    /// What came of every connection.
    pub(super) connections: Arc<Connections>,
    /// What was answered to whatever is asked more than once.
    pub(super) tally: Arc<Tally>,
    /// How long any one answer may take.
    pub(super) answer_timeout: Duration,
    /// When whatever is still being asked is given up.
    pub(super) deadline: Instant,
}

/// A TCP connection that was counted. Dropped, it is closed and makes room for another.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    _place: Place,
}

/// Why there is no connection on which TLS may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotNegotiated {
    /// What came of the connection request.
    pub(super) answer: NegotiationAnswer,
    /// The same in words.
    pub(super) reason: String,
}

impl Way {
    /// Connects to the first of `addresses` that answers, where the way leads from then on; `say` is told of each attempt.
    pub(super) async fn reach(
        &mut self,
        addresses: &[SocketAddr],
        mut say: impl FnMut(Detail),
    ) -> Option<Connection> {
        let place = self.budget.connection().await.ok()?;
        let mut begun = 0;
        let connected = connect::connect_with(addresses, self.answer_timeout, None, |detail| {
            match &detail {
                Detail::Connecting { .. } => {
                    if begun > 0 {
                        self.budget.beside();
                    }
                    begun += 1;
                }
                Detail::Connected { address, .. } => self.note_connected(address, None),
                Detail::ConnectFailed { address, error, reason, .. } => {
                    self.note_connected(address, Some((*error, reason)));
                }
                _ => {}
            }
            say(detail);
        });
        let stream = connected.await.ok()?;
        self.address = stream.peer_addr().ok()?;
        Connection::new(stream, place).ok()
    }

    /// Opens one more TCP connection, as soon as there is room for it. It sends at once what is written.
    pub(super) async fn open(&self) -> io::Result<Connection> {
        let place = self.budget.connection().await?;
        let began = Instant::now();
        let connected = connect::attempt(self.address, self.answer_timeout, self.largest_segment).await;
        let took_us = connect::micros(began.elapsed());
        self.connections.note(self.address, &connected, took_us);
        let failure =
            connected.as_ref().err().map(|error| (connect::classify(error), connect::plain_reason(error)));
        let failure = failure.as_ref().map(|(error, reason)| (*error, reason.as_str()));
        self.note_connected(&self.address.to_string(), failure);
        Connection::new(connected?, place)
    }

    /// A connection on which a ClientHello may follow: one that was negotiated with the `protocols` of
    /// [`PROTOCOLS`](crate::wire::x224::PROTOCOLS), or a new one where TLS begins at once.
    ///
    /// A server that has had enough of connections gets a pause, and then no more of them.
    pub(super) async fn negotiated(&self, protocols: u32) -> Result<Connection, NotNegotiated> {
        if self.budget.has_had_enough() {
            let answer = NegotiationAnswer::NotConnected { error: ConnectError::Other };
            let reason = "the server takes no more connections; it was left in peace".to_owned();
            return Err(NotNegotiated { answer, reason });
        }
        let first = self.try_negotiated(protocols).await;
        self.budget.note(first.is_ok());
        match first {
            Err(not)
                if not.may_be_too_many() && self.budget.has_served() && !self.budget.has_had_enough() =>
            {
                tokio::time::sleep(PAUSE).await;
                let second = self.try_negotiated(protocols).await;
                self.budget.note(second.is_ok());
                second
            }
            first => first,
        }
    }

    async fn try_negotiated(&self, protocols: u32) -> Result<Connection, NotNegotiated> {
        let mut connection = match self.open().await {
            Ok(connection) => connection,
            Err(error) => {
                let answer = NegotiationAnswer::NotConnected { error: connect::classify(&error) };
                return Err(NotNegotiated { answer, reason: connect::plain_reason(&error) });
            }
        };
        if self.direct {
            return Ok(connection);
        }
        let (answer, _) = negotiation::ask(self, &mut connection, protocols).await;
        match answer {
            NegotiationAnswer::Selected { protocol, .. } if protocol != negotiation::CLASSIC => {
                Ok(connection)
            }
            answer => Err(NotNegotiated { reason: negotiation::words(&answer), answer }),
        }
    }

    /// One more answer to a connection request with these protocols.
    pub(super) fn note_negotiated(&self, protocols: u32, answer: &NegotiationAnswer) {
        let check = format!("X.224 with {}", negotiation::names(protocols).join(", "));
        self.tally.note(check, negotiation::words(answer));
    }

    /// One more connection to `address`, and how it failed where it did.
    pub(super) fn note_connected(&self, address: &str, failure: Option<(ConnectError, &str)>) {
        let answer = match failure {
            None => "connected",
            Some((ConnectError::Refused, _)) => "refused",
            Some((ConnectError::TimedOut, _)) => "no answer",
            Some((ConnectError::Unreachable, _)) => "unreachable",
            Some((ConnectError::Reset, _)) => "reset",
            Some((ConnectError::Other, reason)) => reason,
        };
        self.tally.note(format!("TCP to {address}"), answer);
    }
}

impl NotNegotiated {
    /// Whether a server says it so that has too many connections.
    fn may_be_too_many(&self) -> bool {
        use ConnectError::{Refused, Reset, TimedOut};
        match self.answer {
            NegotiationAnswer::Closed { .. } | NegotiationAnswer::Silent => true,
            NegotiationAnswer::NotConnected { error } => matches!(error, Refused | Reset | TimedOut),
            _ => false,
        }
    }
}

impl Connection {
    /// One that was counted by `place`.
    pub(super) fn new(stream: TcpStream, place: Place) -> io::Result<Connection> {
        // A check is one small message and its answer: it must not wait for a fuller segment.
        stream.set_nodelay(true)?;
        Ok(Connection { stream, _place: place })
    }
}

impl Deref for Connection {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}
