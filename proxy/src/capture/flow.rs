//! What reassembly hands on: flows, and in each the bytes of both sides in order.

use crate::trace::{How, MissingReason, Side, TcpEvidence};
use std::net::SocketAddr;

/// Nanoseconds since 1970 by the clock of the capturing machine.
pub type Nanoseconds = u64;

/// The number of a flow: the order in which flows began in the file, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowTransport {
    /// A TCP connection.
    Tcp,
    /// Datagrams between two ports.
    Udp,
}

/// The two ends of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// TCP or UDP.
    pub transport: FlowTransport,
    /// Who dialled.
    pub client: SocketAddr,
    /// Who was dialled.
    pub server: SocketAddr,
}

/// The beginning of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowOpened {
    /// Its ends.
    pub key: FlowKey,
    /// Nobody saw who dialled: client and server were told apart by their ports.
    pub roles_guessed: bool,
    /// Number of its first packet in the file, from 1, as other analysers count.
    pub first_frame: u64,
}

/// A hole in the bytes of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Whose bytes.
    pub from: Side,
    /// How many; `None` where that cannot be known.
    pub bytes: Option<u64>,
    /// Why.
    pub reason: MissingReason,
}

/// Takes flows as reassembly finds them. Of one flow the calls come in the order of time: `opened` first, then bytes and
/// holes of each side in the order of the stream, each side's `ended` after its last byte, `closed` last. Calls of
/// different flows are interleaved as the file has them.
pub trait FlowSink {
    /// A flow begins with this packet.
    fn opened(&mut self, flow: FlowId, at: Nanoseconds, opened: FlowOpened);
    /// The next bytes of a TCP stream. A chunk is what one segment added; empty ones are not told.
    fn data(&mut self, flow: FlowId, at: Nanoseconds, from: Side, bytes: &[u8]);
    /// The next bytes of a TCP stream are not in the file; what follows comes after them.
    fn missing(&mut self, flow: FlowId, at: Nanoseconds, missing: Missing);
    /// `from` ended its direction of a TCP connection; told at most once a side.
    fn ended(&mut self, flow: FlowId, at: Nanoseconds, from: Side, how: How);
    /// A datagram of a UDP flow; `whole` is its length on the wire where the file has less of it.
    fn datagram(&mut self, flow: FlowId, at: Nanoseconds, from: Side, bytes: &[u8], whole: usize);
    /// Nothing more will come of this flow; `tcp` is absent for UDP. A connection that is still open at the end of the file
    /// is closed without an `ended`.
    fn closed(&mut self, flow: FlowId, at: Nanoseconds, tcp: Option<TcpEvidence>);
    /// Whether nothing more of what `from` sends can be learnt: its bytes need not be put in order any more, only counted.
    fn is_opaque(&self, flow: FlowId, from: Side) -> bool;
    /// `count` bytes of `from` went by that were not told because the flow is opaque.
    fn unseen(&mut self, flow: FlowId, at: Nanoseconds, from: Side, count: u64);
    /// ICMP says that what `from` sent did not arrive: its destination is unreachable, or forbidden. Rare, so nothing needs to
    /// be done about it by default; for TCP the evidence has it, too, where it answers the SYN.
    fn unreachable(&mut self, _flow: FlowId, _at: Nanoseconds, _from: Side) {}
    /// The text of a TLS key log that stands in the file at this place, before the frames that follow: who needs the secrets
    /// from the beginning asks `file::secrets` first, or reads again where some came late.
    fn secrets(&mut self, _key_log: &[u8]) {}
}
