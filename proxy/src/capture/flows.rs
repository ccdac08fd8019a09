//! The open flows: each packet to its own, within bounds.

use super::packet::{Datagram, Packet, Quoted, Segment};
use super::tcp::{Connection, is_server, roles};
use super::{FlowId, FlowKey, FlowOpened, FlowSink, FlowTransport, Nanoseconds};
use crate::trace::Side;
use ahash::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

/// Flows that are open at once: more than the busiest gateway has, and what a scan of every port opens is closed again.
const MOST_OPEN: usize = 32_768;
/// So long a connection that is over still takes its last acknowledgments and resets, before they would look like another.
const LINGER: Nanoseconds = 10_000_000_000;

/// The ends of a flow, the lower address first: both directions are the same flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    is_tcp: bool,
    lower: SocketAddr,
    higher: SocketAddr,
}

impl Ends {
    fn new(transport: FlowTransport, one: SocketAddr, other: SocketAddr) -> Self {
        let is_tcp = transport == FlowTransport::Tcp;
        Self { is_tcp, lower: one.min(other), higher: one.max(other) }
    }
}

/// In few large parts, because every packet is looked up. The hasher has a secret: who sends packets cannot choose ends that
/// collide.
impl Hash for Ends {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let address = |end: SocketAddr| match end.ip() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        state.write_u128(address(self.lower));
        state.write_u128(address(self.higher));
        let ports = u64::from(self.lower.port()) << 32 | u64::from(self.higher.port());
        state.write_u64(ports << 1 | u64::from(self.is_tcp));
    }
}

#[derive(Debug)]
enum Kind {
    Tcp(Box<Connection>),
    Udp { client: SocketAddr },
}

#[derive(Debug)]
struct Open {
    flow: FlowId,
    latest: Nanoseconds,
    /// A packet came since the last look for idle flows.
    is_busy: bool,
    is_lingering: bool,
    kind: Kind,
}

/// The open flows.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    open: HashMap<Ends, Open, RandomState>,
    /// In the order in which they are looked at when room is needed.
    turns: VecDeque<(FlowId, Ends)>,
    /// Connections that are over, with the time when each is closed.
    lingering: VecDeque<(Nanoseconds, FlowId, Ends)>,
    /// Bytes that wait in all connections.
    waiting: usize,
    count: u64,
}

impl Flows {
    /// Flows that there were so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The next packet, which frame `frame` brought.
    pub(crate) fn packet(
        &mut self,
        at: Nanoseconds,
        frame: u64,
        packet: &Packet<'_>,
        sink: &mut dyn FlowSink,
    ) {
        self.close_lingering(at, sink);
        match packet {
            Packet::Tcp(segment) => self.segment(at, frame, segment, sink),
            Packet::Udp(datagram) => self.datagram(at, frame, datagram, sink),
            Packet::Unreachable(quoted) => self.unreachable(at, quoted, sink),
        }
    }

    /// The file ends: closes every flow, in the order in which they began.
    pub(crate) fn finish(&mut self, sink: &mut dyn FlowSink) {
        let mut open: Vec<Open> = std::mem::take(&mut self.open).into_values().collect();
        open.sort_unstable_by_key(|open| open.flow);
        open.into_iter().for_each(|open| self.close(open, sink));
    }

    fn segment(&mut self, at: Nanoseconds, frame: u64, segment: &Segment<'_>, sink: &mut dyn FlowSink) {
        let ends = Ends::new(FlowTransport::Tcp, segment.source, segment.destination);
        if let Some(open) = self.open.get_mut(&ends)
            && let Kind::Tcp(connection) = &mut open.kind
            && !connection.is_succeeded_by(segment)
        {
            (open.is_busy, open.latest) = (true, open.latest.max(at));
            connection.segment(at, segment, &mut self.waiting, sink);
            if connection.is_over() && !open.is_lingering {
                open.is_lingering = true;
                self.lingering.push_back((at.saturating_add(LINGER), open.flow, ends));
            }
            return;
        }
        if let Some(predecessor) = self.open.remove(&ends) {
            self.close(predecessor, sink);
        }
        // What only acknowledges or resets is the rest of a connection of which the file has nothing else.
        if segment.is_syn || segment.length() > 0 {
            self.open_tcp(at, frame, ends, segment, sink);
        }
    }

    fn open_tcp(
        &mut self,
        at: Nanoseconds,
        frame: u64,
        ends: Ends,
        segment: &Segment<'_>,
        sink: &mut dyn FlowSink,
    ) {
        let (client, server, roles_guessed) = roles(segment);
        let key = FlowKey { transport: FlowTransport::Tcp, client, server };
        let flow = self.begin(at, FlowOpened { key, roles_guessed, first_frame: frame }, sink);
        let mut connection = Box::new(Connection::new(flow, key, at));
        connection.segment(at, segment, &mut self.waiting, sink);
        self.insert(at, flow, ends, Kind::Tcp(connection));
    }

    fn datagram(&mut self, at: Nanoseconds, frame: u64, datagram: &Datagram<'_>, sink: &mut dyn FlowSink) {
        let ends = Ends::new(FlowTransport::Udp, datagram.source, datagram.destination);
        if !self.open.contains_key(&ends) {
            let is_answer = is_server(datagram.source, datagram.destination);
            let (client, server) = match is_answer {
                true => (datagram.destination, datagram.source),
                false => (datagram.source, datagram.destination),
            };
            let key = FlowKey { transport: FlowTransport::Udp, client, server };
            let opened = FlowOpened { key, roles_guessed: is_answer, first_frame: frame };
            let flow = self.begin(at, opened, sink);
            self.insert(at, flow, ends, Kind::Udp { client });
        }
        let Some(open) = self.open.get_mut(&ends) else { return };
        (open.is_busy, open.latest) = (true, open.latest.max(at));
        if let Kind::Udp { client } = open.kind {
            let from = if datagram.source == client { Side::Client } else { Side::Server };
            sink.datagram(open.flow, open.latest, from, datagram.bytes, datagram.whole);
        }
    }

    fn unreachable(&mut self, at: Nanoseconds, quoted: &Quoted, sink: &mut dyn FlowSink) {
        let ends = Ends::new(quoted.transport, quoted.source, quoted.destination);
        let Some(open) = self.open.get_mut(&ends) else { return };
        open.latest = open.latest.max(at);
        let client = match &mut open.kind {
            Kind::Tcp(connection) => {
                connection.unreachable(quoted);
                connection.client()
            }
            Kind::Udp { client } => *client,
        };
        let from = if quoted.source == client { Side::Client } else { Side::Server };
        sink.unreachable(open.flow, open.latest, from);
    }

    fn begin(&mut self, at: Nanoseconds, opened: FlowOpened, sink: &mut dyn FlowSink) -> FlowId {
        self.make_room(sink);
        let flow = FlowId(self.count);
        self.count += 1;
        sink.opened(flow, at, opened);
        flow
    }

    fn insert(&mut self, at: Nanoseconds, flow: FlowId, ends: Ends, kind: Kind) {
        let open = Open { flow, latest: at, is_busy: false, is_lingering: false, kind };
        self.open.insert(ends, open);
        self.turns.push_back((flow, ends));
    }

    /// Closes flows that have been idle for longest until one more may open. Each that was busy since its last turn gets
    /// another turn, so that a turn costs no more than a packet did.
    fn make_room(&mut self, sink: &mut dyn FlowSink) {
        while self.open.len() >= MOST_OPEN
            && let Some((flow, ends)) = self.turns.pop_front()
        {
            let Some(open) = self.open.get_mut(&ends).filter(|open| open.flow == flow) else { continue };
            if std::mem::take(&mut open.is_busy) {
                self.turns.push_back((flow, ends));
            } else if let Some(open) = self.open.remove(&ends) {
                self.close(open, sink);
            }
        }
        self.forget_closed_turns();
    }

    /// Flows that were closed leave their turns behind; no more of them are kept than flows may be open.
    fn forget_closed_turns(&mut self) {
        if self.turns.len() > 2 * MOST_OPEN {
            let open = &self.open;
            self.turns.retain(|(flow, ends)| open.get(ends).is_some_and(|open| open.flow == *flow));
        }
    }

    fn close_lingering(&mut self, at: Nanoseconds, sink: &mut dyn FlowSink) {
        // Where the clock of the file stands still, nothing would ever be due.
        while let Some((due, flow, ends)) = self.lingering.front().copied()
            && (due <= at || self.lingering.len() > MOST_OPEN)
        {
            self.lingering.pop_front();
            if self.open.get(&ends).is_some_and(|open| open.flow == flow)
                && let Some(open) = self.open.remove(&ends)
            {
                self.close(open, sink);
            }
        }
    }

    fn close(&mut self, open: Open, sink: &mut dyn FlowSink) {
        match open.kind {
            Kind::Tcp(connection) => {
                let (at, evidence) = connection.close(&mut self.waiting, sink);
                sink.closed(open.flow, at, Some(evidence));
            }
            Kind::Udp { .. } => sink.closed(open.flow, open.latest, None),
        }
    }
}

#[cfg(test)]
mod tests;
