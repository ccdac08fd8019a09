//! One attempt to reach a desktop through an RD Gateway: all its connections, the tunnel in them, and the session of RDP
//! inside the tunnel.
//!
//! Fed is what is inside TLS of each connection, in the order in which it came, in any pieces. The RDP inside the
//! tunnel goes to the same observer as a direct connection.

mod attempt;
mod connection;
mod ending;
mod heads;
mod outer;
pub mod rpc;
mod tunnel;
mod udp;
mod websocket;

pub use ending::GatewayEnding;
pub use outer::OuterTls;
pub use udp::GatewayUdpObserver;

use super::rdp::follow::event;
use super::session::SessionObserver;
use crate::trace::{Detail, Event, How, Micros, Phase, Side, Transport};
use attempt::Attempt;
use connection::Connection;
use std::collections::BTreeMap;

/// So long a silence before the gateway's side ends a connection is told: idle time-outs are set in whole seconds.
const QUIET_US: Micros = 1_000_000;

/// What the beginning of a connection says of where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belonging {
    /// Its requests have this RDG-Connection-Id.
    ConnectionId(String),
    /// It is a channel of the virtual connection over RPC with this cookie, in hex (MS-RPCH 2.2.3.5.4).
    VirtualConnection(String),
    /// Nothing.
    Unsaid,
}

/// Follows the connections of one attempt.
#[derive(Debug, Default)]
pub struct GatewayObserver {
    connections: BTreeMap<u32, Connection>,
    attempt: Attempt,
}

impl GatewayObserver {
    /// An observer that gives the RDP inside the tunnel to `inner`.
    pub fn with_inner(inner: SessionObserver) -> GatewayObserver {
        GatewayObserver { connections: BTreeMap::new(), attempt: Attempt::new(inner) }
    }

    /// An observer that does not read the RDP inside a tunnel over WebSocket or over two connections: whoever terminates
    /// its TLS tells of it.
    pub fn with_inner_apart() -> GatewayObserver {
        GatewayObserver { connections: BTreeMap::new(), attempt: Attempt::with_inner_apart() }
    }

    /// What `from` sent on `connection`, inside TLS; what it tells is added to `out`.
    pub fn data(&mut self, t_us: Micros, connection: u32, from: Side, bytes: &[u8], out: &mut Vec<Event>) {
        let at = At { t_us, connection, from };
        self.connections.entry(connection).or_default().data(at, bytes, &mut self.attempt, out);
    }

    /// `from` ended its direction of `connection`.
    pub fn ended(&mut self, t_us: Micros, connection: u32, from: Side, how: How, out: &mut Vec<Event>) {
        let at = At { t_us, connection, from };
        let ended = self.connections.entry(connection).or_default();
        let for_us = ended.silence_before_end(at);
        ended.ended(at, how, &mut self.attempt, out);
        if let Some(for_us) = for_us.filter(|for_us| *for_us >= QUIET_US) {
            at.tell(Phase::Closed, Detail::Quiet { for_us }, out);
        }
        at.tell(Phase::Closed, Detail::StreamEnded { how }, out);
    }

    /// Bytes of `from` on `connection` went by unseen.
    pub fn lost(&mut self, connection: u32, from: Side) {
        self.connections.entry(connection).or_default().lost(connection, from, &mut self.attempt);
    }

    /// `connection` is gone, or belongs to another attempt: what is kept of it alone can go. A client that dials over and
    /// over would fill the memory with it.
    pub fn forget(&mut self, connection: u32) {
        self.connections.remove(&connection);
    }

    /// Whether nothing more can be learnt from what `from` sends on `connection`.
    pub fn is_opaque(&self, connection: u32, from: Side) -> bool {
        self.connections.get(&connection).is_some_and(|connection| connection.is_over(from))
    }

    /// RDG-Connection-Id of this connection, once the head of its first request has come.
    pub fn connection_id(&self, connection: u32) -> Option<&str> {
        self.connections.get(&connection)?.id()
    }

    /// What this connection says of where it belongs; absent while that may yet come.
    pub fn belonging(&self, connection: u32) -> Option<Belonging> {
        let spoken = self.connections.get(&connection).filter(|it| it.has_spoken())?;
        if let Some(id) = spoken.id() {
            return Some(Belonging::ConnectionId(id.to_owned()));
        }
        if let Some(cookie) = self.attempt.virtual_connection(connection) {
            return Some(Belonging::VirtualConnection(hex::encode(cookie)));
        }
        let may_come = spoken.is_rpc() && !spoken.is_over(Side::Client);
        (!may_come).then_some(Belonging::Unsaid)
    }

    /// What carries the tunnel, once that is known: of several that were tried the last that began.
    pub fn transport(&self) -> Option<Transport> {
        self.attempt.transport()
    }

    /// TLS inside a tunnel over RPC is terminated: whoever does that tells what is in it.
    pub fn leave_rpc_apart(&mut self) {
        self.attempt.leave_rpc_apart();
    }

    /// The session of RDP inside the tunnel, as it was read.
    pub fn inner_read(&self) -> &SessionObserver {
        self.attempt.inner_read()
    }

    /// The session of RDP inside the tunnel.
    pub fn inner(&mut self) -> &mut SessionObserver {
        self.attempt.inner()
    }
}

/// What every event of some bytes has in common.
#[derive(Debug, Clone, Copy)]
struct At {
    t_us: Micros,
    connection: u32,
    from: Side,
}

impl At {
    fn tell(self, phase: Phase, detail: impl Into<Detail>, out: &mut Vec<Event>) {
        let connection = Some(self.connection);
        out.push(Event { connection, ..event(self.t_us, self.from, phase, detail.into()) });
    }

    /// The same moment of the same connection, from the other side.
    fn opposite(self) -> At {
        At { from: self.from.opposite(), ..self }
    }
}

#[cfg(test)]
mod captures;
#[cfg(test)]
mod tests;
