//! One attempt to reach a desktop through an RD Gateway: all its connections, the tunnel in them, and the session of RDP
//! inside the tunnel.
//!
//! Fed is what is inside TLS of each connection, in the order in which it came, in any pieces. The RDP inside the
//! tunnel goes to the same observer as a direct connection.

mod outer;
mod udp;

pub use outer::OuterTls;
pub use udp::GatewayUdpObserver;

use super::session::SessionObserver;
use crate::trace::{Event, How, Micros, Side, Transport};

/// Follows the connections of one attempt.
#[derive(Debug, Default)]
pub struct GatewayObserver {
    inner: SessionObserver,
}

impl GatewayObserver {
    /// What `from` sent on `connection`, inside TLS; what it tells is added to `out`.
    pub fn data(
        &mut self,
        _t_us: Micros,
        _connection: u32,
        _from: Side,
        _bytes: &[u8],
        _out: &mut Vec<Event>,
    ) {
    }

    /// `from` ended its direction of `connection`.
    pub fn ended(&mut self, _t_us: Micros, _connection: u32, _from: Side, _how: How, _out: &mut Vec<Event>) {}

    /// Bytes of `from` on `connection` went by unseen.
    pub fn lost(&mut self, _connection: u32, _from: Side) {}

    /// Whether nothing more can be learnt from what `from` sends on `connection`.
    pub fn is_opaque(&self, _connection: u32, _from: Side) -> bool {
        true
    }

    /// RDG-Connection-Id of this connection, once the head of its first request has come.
    pub fn connection_id(&self, _connection: u32) -> Option<&str> {
        None
    }

    /// Whether the head of the first request has come, or what came is no HTTP.
    pub fn has_spoken(&self, _connection: u32) -> bool {
        false
    }

    /// What carries the tunnel, once that is known.
    pub fn transport(&self) -> Option<Transport> {
        None
    }

    /// The session of RDP inside the tunnel.
    pub fn inner(&mut self) -> &mut SessionObserver {
        &mut self.inner
    }
}
