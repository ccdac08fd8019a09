//! What the tests of the capture stages share: frames made to order, and a sink that writes down what it is told.

use super::{FlowId, FlowOpened, FlowSink, Missing, Nanoseconds};
use crate::trace::{How, Side, TcpEvidence};
use etherparse::{IpNumber, PacketBuilder, PacketBuilderStep, TcpHeader};
use std::net::SocketAddr;

pub(crate) const ETHERNET: u16 = 1;
pub(crate) const RAW: u16 = 101;
pub(crate) const MILLISECOND: Nanoseconds = 1_000_000;
pub(crate) const SECOND: Nanoseconds = 1000 * MILLISECOND;

pub(crate) fn client() -> SocketAddr {
    "10.0.0.1:50000".parse().unwrap()
}

pub(crate) fn server() -> SocketAddr {
    "10.0.0.2:3389".parse().unwrap()
}

/// An IPv4 packet from the client's address to the server's that holds a TCP segment.
pub(crate) fn tcp_packet(from: Side, payload: &[u8], header: impl FnOnce(&mut TcpHeader)) -> Vec<u8> {
    let ends = [([10, 0, 0, 1], 50000), ([10, 0, 0, 2], 3389)];
    let (source, destination) = (ends[from.index()], ends[1 - from.index()]);
    let mut tcp = TcpHeader::new(source.1, destination.1, 1000, 1024);
    header(&mut tcp);
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(source.0, destination.0, 64).tcp_header(tcp);
    builder.write(&mut packet, payload).unwrap();
    packet
}

/// An IPv4 packet from the client's address to the server's that holds a UDP datagram.
pub(crate) fn udp_packet(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(50000, 3389);
    builder.write(&mut packet, payload).unwrap();
    packet
}

/// The packet of a builder that stopped at IP.
pub(crate) fn ip_packet(
    builder: PacketBuilderStep<etherparse::IpHeaders>,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = Vec::new();
    builder.write(&mut packet, IpNumber(protocol), payload).unwrap();
    packet
}

/// Below a link header of Ethernet.
pub(crate) fn ethernet(tags: &[u16], packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    let kind: u16 = if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
    frame.extend(kind.to_be_bytes());
    frame.extend(packet);
    frame
}

/// Writes down what it is told, a line a call; data of one side that follows data of the same side is joined.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) lines: Vec<String>,
    pub(crate) streams: Vec<[Vec<u8>; 2]>,
    pub(crate) evidence: Vec<Option<TcpEvidence>>,
    /// Streams of this side are opaque.
    pub(crate) opaque: Option<Side>,
}

impl Told {
    fn say(&mut self, flow: FlowId, line: String) {
        self.lines.push(format!("{} {line}", flow.0));
    }
}

impl FlowSink for Told {
    fn opened(&mut self, flow: FlowId, _at: Nanoseconds, opened: FlowOpened) {
        let key = opened.key;
        let guessed = if opened.roles_guessed { " guessed" } else { "" };
        self.say(flow, format!("{:?} {} > {}{guessed}", key.transport, key.client, key.server));
        self.streams.push(Default::default());
    }

    fn data(&mut self, flow: FlowId, _at: Nanoseconds, from: Side, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "empty chunks are not told");
        self.streams[flow.0 as usize][from.index()].extend(bytes);
        self.say(flow, format!("{from} {}", String::from_utf8_lossy(bytes)));
    }

    fn missing(&mut self, flow: FlowId, _at: Nanoseconds, missing: Missing) {
        let bytes = missing.bytes.map_or("unknown".into(), |bytes| bytes.to_string());
        self.say(flow, format!("{} misses {bytes} {:?}", missing.from, missing.reason));
    }

    fn ended(&mut self, flow: FlowId, _at: Nanoseconds, from: Side, how: How) {
        self.say(flow, format!("{from} ended {how:?}"));
    }

    fn datagram(&mut self, flow: FlowId, _at: Nanoseconds, from: Side, bytes: &[u8], whole: usize) {
        self.say(flow, format!("{from} datagram {} of {whole}", String::from_utf8_lossy(bytes)));
    }

    fn closed(&mut self, flow: FlowId, _at: Nanoseconds, tcp: Option<TcpEvidence>) {
        self.evidence.push(tcp);
        self.say(flow, "closed".into());
    }

    fn is_opaque(&self, _flow: FlowId, from: Side) -> bool {
        self.opaque == Some(from)
    }

    fn unseen(&mut self, flow: FlowId, _at: Nanoseconds, from: Side, count: u64) {
        self.say(flow, format!("{from} unseen {count}"));
    }

    fn secrets(&mut self, key_log: &[u8]) {
        self.lines.push(format!("secrets {}", key_log.len()));
    }

    fn unreachable(&mut self, flow: FlowId, _at: Nanoseconds, from: Side) {
        self.say(flow, format!("{from} unreachable"));
    }
}
