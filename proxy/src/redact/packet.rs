//! Packets taken apart and put together again, and the streams that they carry.

use super::capture::Packet;
use crate::capture::Whole;
use etherparse::{IpNumber, Ipv4Header, Ipv6Header, TcpHeader, TcpHeaderSlice, UdpHeader, UdpHeaderSlice};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// A packet with a whole transport header; `None` for everything else.
pub(super) fn packet(at: u64, whole: &Whole<'_>) -> Option<Packet> {
    let (transport, header, source, destination) = match IpNumber(whole.protocol) {
        IpNumber::TCP => {
            let header = TcpHeaderSlice::from_slice(whole.payload).ok()?;
            (Transport::Tcp, header.slice().len(), header.source_port(), header.destination_port())
        }
        IpNumber::UDP => {
            let header = UdpHeaderSlice::from_slice(whole.payload).ok()?;
            (Transport::Udp, header.slice().len(), header.source_port(), header.destination_port())
        }
        _ => return None,
    };
    Some(Packet {
        at,
        source: SocketAddr::new(whole.source, source),
        destination: SocketAddr::new(whole.destination, destination),
        time_to_live: whole.time_to_live,
        transport,
        header,
        bytes: whole.payload.to_vec(),
        length: whole.length,
        comments: Vec::new(),
    })
}

/// The sequence number of a segment's first byte.
pub(super) fn sequence(packet: &Packet) -> u32 {
    let header = TcpHeaderSlice::from_slice(&packet.bytes[..packet.header]);
    header.map_or(0, |header| header.sequence_number().wrapping_add(u32::from(header.syn())))
}

/// The whole IP packet, with the checksums that it should have. Of one that the file has a part of, the transport's
/// checksum cannot be known and is zero.
pub(super) fn rebuilt(packet: &Packet) -> Vec<u8> {
    let (header, payload) = packet.bytes.split_at(packet.header);
    let is_whole = packet.length == packet.bytes.len();
    let mut bytes = Vec::with_capacity(packet.bytes.len() + Ipv6Header::LEN);
    let length = u16::try_from(packet.length).unwrap_or(0);
    let number = match packet.transport {
        Transport::Tcp => IpNumber::TCP,
        Transport::Udp => IpNumber::UDP,
    };
    match (packet.source.ip(), packet.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            let payload_length = length.min(u16::MAX - Ipv4Header::MIN_LEN as u16);
            let Ok(mut ip) =
                Ipv4Header::new(payload_length, packet.time_to_live, number, source, destination)
            else {
                return bytes;
            };
            ip.header_checksum = ip.calc_header_checksum();
            bytes.extend_from_slice(&ip.to_bytes());
            bytes.extend(transport_header(packet.transport, header, is_whole, |transport| match transport {
                Checked::Tcp(tcp) => tcp.calc_checksum_ipv4(&ip, payload).ok(),
                Checked::Udp(udp) => udp.calc_checksum_ipv4(&ip, payload).ok(),
            }));
        }
        (source, destination) => {
            let v6 = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            let ip = Ipv6Header {
                payload_length: length,
                next_header: number,
                hop_limit: packet.time_to_live,
                source: v6(source),
                destination: v6(destination),
                ..Ipv6Header::default()
            };
            bytes.extend_from_slice(&ip.to_bytes());
            bytes.extend(transport_header(packet.transport, header, is_whole, |transport| match transport {
                Checked::Tcp(tcp) => tcp.calc_checksum_ipv6(&ip, payload).ok(),
                Checked::Udp(udp) => udp.calc_checksum_ipv6(&ip, payload).ok(),
            }));
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// A header whose checksum is to be computed.
enum Checked<'a> {
    Tcp(&'a TcpHeader),
    Udp(&'a UdpHeader),
}

/// The transport header with its checksum; with zero where that cannot be known.
fn transport_header(
    transport: Transport,
    header: &[u8],
    is_whole: bool,
    checksum: impl Fn(Checked<'_>) -> Option<u16>,
) -> Vec<u8> {
    let mut bytes = header.to_vec();
    let (place, sum) = match transport {
        Transport::Tcp => {
            let sum = TcpHeader::from_slice(header).ok().and_then(|(tcp, _)| checksum(Checked::Tcp(&tcp)));
            (16, sum)
        }
        Transport::Udp => {
            let sum = UdpHeader::from_slice(header).ok().and_then(|(udp, _)| checksum(Checked::Udp(&udp)));
            (6, sum)
        }
    };
    let sum = if is_whole { sum.unwrap_or(0) } else { 0 };
    if let Some(field) = bytes.get_mut(place..place + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// What of a stream can hold a name: everything but application data of TLS, which is encrypted, and in which a short name
/// would be found by chance.
pub(super) fn searchable(stream: &[u8]) -> Vec<Range<usize>> {
    const TPKT: [u8; 2] = [3, 0];
    const TLS_MAJOR: u8 = 3;
    const TLS_CONTENT: std::ops::RangeInclusive<u8> = 20..=24;
    const APPLICATION_DATA: u8 = 23;
    let mut ranges = Vec::new();
    let mut place = 0;
    while let Some(header) = stream.get(place..place + 5) {
        let (is_encrypted, length) = match header {
            [version, reserved, high, low, _] if [*version, *reserved] == TPKT => {
                (false, usize::from(u16::from_be_bytes([*high, *low])).max(4))
            }
            [content, TLS_MAJOR, _, high, low] if TLS_CONTENT.contains(content) => {
                (*content == APPLICATION_DATA, 5 + usize::from(u16::from_be_bytes([*high, *low])))
            }
            _ => break,
        };
        let end = stream.len().min(place + length);
        if !is_encrypted {
            ranges.push(place..end);
        }
        place = end;
    }
    ranges.push(place..stream.len());
    ranges
}

/// The segments of one direction as runs of bytes without a hole; bytes that were sent twice stand in each run once.
pub(super) struct Stream {
    runs: Vec<Vec<u8>>,
    /// By segment: its number, its run, its place in it, its length.
    segments: Vec<(usize, usize, usize, usize)>,
}

impl Stream {
    /// Puts segments (sequence number, bytes, number) in order.
    pub(super) fn from_segments(segments: Vec<(u32, Vec<u8>, usize)>) -> Stream {
        let Some(first) = segments.first().map(|(sequence, ..)| *sequence) else {
            return Stream { runs: Vec::new(), segments: Vec::new() };
        };
        // Half of the numbers lie before the first one, half behind: a stream wraps after 4 GiB, beyond what is held.
        let mut placed: Vec<(i64, Vec<u8>, usize)> = segments
            .into_iter()
            .map(|(sequence, bytes, number)| (i64::from(sequence.wrapping_sub(first) as i32), bytes, number))
            .collect();
        placed.sort_by_key(|(place, ..)| *place);
        let mut stream = Stream { runs: Vec::new(), segments: Vec::new() };
        let mut run_begins = 0;
        for (place, bytes, number) in placed {
            let end = stream.runs.last().map(|run| run_begins + run.len() as i64);
            if end.is_none_or(|end| place > end) {
                stream.runs.push(Vec::new());
                run_begins = place;
            }
            let index = stream.runs.len() - 1;
            let run = &mut stream.runs[index];
            let offset = usize::try_from(place - run_begins).unwrap_or(0);
            let new = run.len().saturating_sub(offset).min(bytes.len());
            run.extend_from_slice(&bytes[new..]);
            stream.segments.push((number, index, offset, bytes.len()));
        }
        stream
    }

    /// The runs in their order.
    pub(super) fn runs_mut(&mut self) -> impl Iterator<Item = &mut Vec<u8>> {
        self.runs.iter_mut()
    }

    /// The segments with what the runs now have in their places.
    pub(super) fn into_segments(self) -> impl Iterator<Item = (usize, Vec<u8>)> {
        let Stream { runs, segments } = self;
        segments
            .into_iter()
            .map(move |(number, run, offset, length)| (number, runs[run][offset..offset + length].to_vec()))
    }
}
