//! Headers of packets that were never on a wire as they stand here, with right checksums.

use super::entry::Flags;
use super::file::words;
use etherparse::checksum::Sum16BitWords;
use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder, TcpHeader};
use std::net::{IpAddr, SocketAddr};

/// Bytes of one segment at most: an IPv4 packet has 65535, with both headers.
pub(super) const LARGEST_SEGMENT: usize = 65_535 - 20 - 20;
/// Hops that a packet may have which no router has seen.
const TTL: u8 = 64;
/// What a receiver takes at once, without the scale that only kernels know.
const WINDOW: u16 = u16::MAX;

/// What stands in the header of a segment beside its ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: Flags,
    pub(super) psh: bool,
}

/// The headers of a segment with `length` bytes of payload, whose words have this `sum`.
pub(super) fn of_segment(
    frame: &mut Vec<u8>,
    (source, destination): (SocketAddr, SocketAddr),
    fields: Fields,
    (length, sum): (usize, Sum16BitWords),
) -> Result<(), String> {
    let Fields { sequence, acknowledgement, flags, psh } = fields;
    let mut header = TcpHeader {
        acknowledgment_number: acknowledgement,
        syn: flags.syn,
        ack: flags.ack,
        fin: flags.fin,
        rst: flags.rst,
        psh,
        ..TcpHeader::new(source.port(), destination.port(), sequence, WINDOW)
    };
    let length = u16::try_from(header.header_len() + length).map_err(words)?;
    let sum = match ip(source, destination, length)? {
        IpHeaders::Ipv4(ip, _) => {
            frame.extend_from_slice(&ip.to_bytes());
            sum.add_slice(&ip.source).add_slice(&ip.destination)
        }
        IpHeaders::Ipv6(ip, _) => {
            frame.extend_from_slice(&ip.to_bytes());
            sum.add_slice(&ip.source).add_slice(&ip.destination)
        }
    };
    let sum = sum.add_2bytes([0, IpNumber::TCP.0]).add_2bytes(length.to_be_bytes());
    header.checksum = sum.add_slice(&header.to_bytes()).ones_complement().to_be();
    frame.extend_from_slice(&header.to_bytes());
    Ok(())
}

/// A whole datagram.
pub(super) fn datagram(
    frame: &mut Vec<u8>,
    (source, destination): (SocketAddr, SocketAddr),
    payload: &[u8],
) -> Result<(), String> {
    let packet = PacketBuilder::ip(ip(source, destination, 0)?).udp(source.port(), destination.port());
    packet.write(frame, payload).map_err(words)
}

fn ip(source: SocketAddr, destination: SocketAddr, length: u16) -> Result<IpHeaders, String> {
    Ok(match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Ipv4Header::new(length, TTL, IpNumber::TCP, source.octets(), destination.octets());
            let mut header = header.map_err(words)?;
            header.header_checksum = header.calc_header_checksum();
            IpHeaders::Ipv4(header, Default::default())
        }
        (source, destination) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            let header = Ipv6Header {
                payload_length: length,
                next_header: IpNumber::TCP,
                hop_limit: TTL,
                source: octets(source),
                destination: octets(destination),
                ..Default::default()
            };
            IpHeaders::Ipv6(header, Default::default())
        }
    })
}
