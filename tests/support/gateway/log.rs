//! What a gateway saw and did, in its order, for a test to look at and to wait for.

use super::packet::{DATA, Packet};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// One thing, and the TCP connection that it happened on: 0 is the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) what: What,
}

/// Of a two-connection tunnel the packets stand on its OUT connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// TLS is up; the client asked for this name.
    Connected { server_name: Option<String> },
    /// A request's head, as it came.
    Request(Vec<u8>),
    /// A response's head, as it went.
    Response(String),
    /// Somebody was let in.
    LoggedOn { scheme: &'static str, user: String },
    /// Somebody was not.
    Refused { reason: &'static str },
    /// A packet from the client, of DATA only the header.
    FromClient(Packet),
    /// A packet to the client, of DATA only the header.
    ToClient(Packet),
    /// A PDU of RPC over HTTP from the client, by its name.
    Call(&'static str),
    /// It ended, for this reason.
    Ended(String),
}

/// The list, which grows while others wait.
#[derive(Debug, Default)]
pub(super) struct Log {
    seen: Mutex<Vec<Seen>>,
    grown: Condvar,
}

impl Log {
    pub(super) fn add(&self, connection: usize, what: What) {
        self.seen.lock().expect("nobody panics with the list").push(Seen { connection, what });
        self.grown.notify_all();
    }

    pub(super) fn all(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panics with the list").clone()
    }

    pub(super) fn wait_for(&self, within: Duration, wanted: impl Fn(&What) -> bool) -> Option<Seen> {
        let deadline = Instant::now() + within;
        let mut seen = self.seen.lock().expect("nobody panics with the list");
        loop {
            if let Some(found) = seen.iter().find(|it| wanted(&it.what)) {
                return Some(found.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            seen = self.grown.wait_timeout(seen, left).expect("nobody panics with the list").0;
        }
    }
}

/// A packet as it is kept: what a session is about would fill the memory.
pub(super) fn kept(packet: &Packet) -> Packet {
    match packet.kind() {
        DATA => Packet { bytes: packet.bytes[..8].to_vec() },
        _ => packet.clone(),
    }
}
