//! One TCP connection of a capture: its two streams put in order, and what its segments say beside their bytes.

mod again;
mod analysis;
mod evidence;
mod stream;
mod times;

use super::packet::{Quoted, Segment};
use super::{FlowId, FlowKey, FlowSink, Nanoseconds};
use crate::trace::{MissingReason, Side, TcpEvidence};
use evidence::Gathering;
use std::net::SocketAddr;
use stream::{Stream, Telling};

/// Ports that servers of Remote Desktop and its gateways listen on.
const SERVER_PORTS: [u16; 2] = [3389, 443];

/// A connection that the file has a part of, at least.
#[derive(Debug)]
pub(crate) struct Connection {
    flow: FlowId,
    key: FlowKey,
    streams: [Stream; 2],
    gathering: Gathering,
    /// Sequence number of the client's SYN.
    client_syn: Option<u32>,
    /// Sequence number of the server's SYN.
    server_syn: Option<u32>,
    /// Time of the latest segment; it never goes back.
    latest: Nanoseconds,
    was_reset: bool,
}

/// Who dialled whom, as far as one segment shows; `true` where it is a guess.
pub(crate) fn roles(segment: &Segment<'_>) -> (SocketAddr, SocketAddr, bool) {
    let (source, destination) = (segment.source, segment.destination);
    match (segment.is_syn, segment.acknowledgment.is_some()) {
        (true, false) => (source, destination, false),
        (true, true) => (destination, source, false),
        _ if is_server(source, destination) => (destination, source, true),
        _ => (source, destination, true),
    }
}

/// Whether `this` looks more like a listener than `other`: a port of the protocols that are looked for, or the lower one.
pub(crate) fn is_server(this: SocketAddr, other: SocketAddr) -> bool {
    let known = |address: SocketAddr| SERVER_PORTS.iter().position(|port| *port == address.port());
    match (known(this), known(other)) {
        (None, None) => this.port() < other.port(),
        (this, other) => this.map_or(usize::MAX, |place| place) < other.map_or(usize::MAX, |place| place),
    }
}

impl Connection {
    /// Before its first segment, which comes at `at`.
    pub(crate) fn new(flow: FlowId, key: FlowKey, at: Nanoseconds) -> Self {
        Self {
            flow,
            key,
            streams: [Stream::default(), Stream::default()],
            gathering: Gathering::new(at),
            client_syn: None,
            server_syn: None,
            latest: at,
            was_reset: false,
        }
    }

    /// Who dialled.
    pub(crate) fn client(&self) -> SocketAddr {
        self.key.client
    }

    /// Whether a segment begins another connection between the same ends.
    pub(crate) fn is_succeeded_by(&self, segment: &Segment<'_>) -> bool {
        let syn_of = |address: SocketAddr| {
            if address == self.key.client { self.client_syn } else { self.server_syn }
        };
        segment.is_syn
            && match segment.acknowledgment {
                None => syn_of(segment.source) != Some(segment.sequence),
                Some(_) => {
                    segment.source != self.key.server
                        || self.server_syn.is_some_and(|sequence| sequence != segment.sequence)
                }
            }
    }

    /// Whether nothing more is expected: both sides have ended, or one has reset the connection.
    pub(crate) fn is_over(&self) -> bool {
        self.was_reset || self.streams.iter().all(Stream::has_ended)
    }

    /// The next segment. `in_all` are the bytes that wait in all connections.
    pub(crate) fn segment(
        &mut self,
        at: Nanoseconds,
        segment: &Segment<'_>,
        in_all: &mut usize,
        sink: &mut dyn FlowSink,
    ) {
        self.latest = self.latest.max(at);
        let at = self.latest;
        let from = if segment.source == self.key.client { Side::Client } else { Side::Server };
        self.gathering.segment(at, from, segment);
        self.begin(from, segment, sink);
        let mut telling = Telling { sink, flow: self.flow, from, at };
        let [sender, receiver] = self.both(from);
        if let Some(acknowledgment) = segment.acknowledgment {
            receiver.acknowledged(acknowledgment, at);
        }
        if segment.is_reset {
            sender.reset(in_all, &mut telling);
            self.was_reset = true;
            return;
        }
        if segment.length() > 0 || segment.is_fin {
            sender.segment(segment, in_all, &mut telling);
        }
        sender.decide(in_all, &mut telling);
        telling.from = from.opposite();
        receiver.decide(in_all, &mut telling);
    }

    /// An ICMP message quotes a segment of this connection.
    pub(crate) fn unreachable(&mut self, quoted: &Quoted) {
        if quoted.source == self.key.client && self.client_syn == Some(quoted.sequence) {
            self.gathering.unreachable();
        }
    }

    /// Nothing more will come of it.
    pub(crate) fn close(mut self, in_all: &mut usize, sink: &mut dyn FlowSink) -> (Nanoseconds, TcpEvidence) {
        for from in [Side::Client, Side::Server] {
            let mut telling = Telling { sink, flow: self.flow, from, at: self.latest };
            let stream = &mut self.streams[from.index()];
            stream.finish(in_all, &mut telling);
            stream.forget(in_all);
        }
        (self.latest, self.gathering.finish())
    }

    fn both(&mut self, from: Side) -> [&mut Stream; 2] {
        let [client, server] = &mut self.streams;
        match from {
            Side::Client => [client, server],
            Side::Server => [server, client],
        }
    }

    /// Where the streams begin: behind the SYNs, and where none was seen, with what comes first.
    fn begin(&mut self, from: Side, segment: &Segment<'_>, sink: &mut dyn FlowSink) {
        if segment.is_syn {
            let syn = if from == Side::Client { &mut self.client_syn } else { &mut self.server_syn };
            syn.get_or_insert(segment.sequence);
            self.streams[from.index()].begin(segment.sequence.wrapping_add(1));
            if let Some(acknowledgment) = segment.acknowledgment {
                self.streams[from.opposite().index()].begin(acknowledgment);
            }
        } else if !self.streams[from.index()].has_begun() && !segment.is_reset {
            let mut telling = Telling { sink, flow: self.flow, from, at: self.latest };
            telling.missing(None, MissingReason::BeganEarlier);
            self.streams[from.index()].begin(segment.sequence);
        }
        // Where only what the client sends was captured, its acknowledgments tell what the server has sent.
        if let (Side::Client, Some(_), None) = (from, self.client_syn, self.server_syn)
            && let Some(acknowledgment) = segment.acknowledgment.filter(|_| !segment.is_reset)
        {
            self.streams[Side::Server.index()].begin(acknowledgment);
        }
    }
}

#[cfg(test)]
mod tests;
