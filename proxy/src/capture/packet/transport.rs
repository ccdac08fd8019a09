//! TCP segments, UDP datagrams, and the ICMP messages that quote them.

use super::PassedOver;
use super::network::{Network, network};
use crate::capture::FlowTransport;
use etherparse::{TcpOptionElement, TcpSlice, UdpHeaderSlice};
use std::net::SocketAddr;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

const DESTINATION_UNREACHABLE: u8 = 3;
/// "Fragmentation needed": the way is open, the packet was too long (RFC 792).
const FRAGMENTATION_NEEDED: u8 = 4;
const DESTINATION_UNREACHABLE_V6: u8 = 1;
const ICMP_HEADER: usize = 8;

/// What a packet means to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// A TCP segment.
    Tcp(Segment<'a>),
    /// A UDP datagram.
    Udp(Datagram<'a>),
    /// Somebody says that what is quoted did not arrive.
    Unreachable(Quoted),
}

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) time_to_live: u8,
    pub(crate) sequence: u32,
    /// Only where the ACK flag is set.
    pub(crate) acknowledgment: Option<u32>,
    pub(crate) is_syn: bool,
    pub(crate) is_fin: bool,
    pub(crate) is_reset: bool,
    /// As it stands in the header, not scaled.
    pub(crate) window: u16,
    /// Option of a SYN.
    pub(crate) maximum_segment_size: Option<u16>,
    /// Its sender's clock, and the other side's as it was last heard (RFC 7323 section 3).
    pub(crate) timestamps: Option<[u32; 2]>,
    /// Bytes that came again to the sender of this, which has them: from the first to behind the last (RFC 2883).
    pub(crate) repeated: Option<(u32, u32)>,
    /// What it carries, as much as the file has.
    pub(crate) bytes: &'a [u8],
    /// Bytes behind those that the file does not have.
    pub(crate) cut: u32,
}

impl Segment<'_> {
    /// Bytes that it carried on the wire.
    pub(crate) fn length(&self) -> u32 {
        self.bytes.len() as u32 + self.cut
    }
}

/// A UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// As much as the file has.
    pub(crate) bytes: &'a [u8],
    /// Its length on the wire.
    pub(crate) whole: usize,
}

/// What an ICMP message quotes of the packet that did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quoted {
    pub(crate) transport: FlowTransport,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// Of TCP.
    pub(crate) sequence: u32,
}

/// What is inside an IP packet that is whole.
pub(super) fn transport<'a>(packet: &Network<'a>) -> Result<Packet<'a>, PassedOver> {
    match packet.protocol {
        TCP => tcp(packet).map(Packet::Tcp),
        UDP => udp(packet).map(Packet::Udp),
        ICMP => {
            unreachable(packet, |head| head[0] == DESTINATION_UNREACHABLE && head[1] != FRAGMENTATION_NEEDED)
        }
        ICMPV6 => unreachable(packet, |head| head[0] == DESTINATION_UNREACHABLE_V6),
        protocol => Err(PassedOver::IpProtocol(protocol)),
    }
}

fn tcp<'a>(packet: &Network<'a>) -> Result<Segment<'a>, PassedOver> {
    let header = TcpSlice::from_slice(packet.payload).map_err(|_| PassedOver::Broken)?;
    let options = Options::of(&header);
    Ok(Segment {
        source: SocketAddr::new(packet.source, header.source_port()),
        destination: SocketAddr::new(packet.destination, header.destination_port()),
        time_to_live: packet.time_to_live,
        sequence: header.sequence_number(),
        acknowledgment: header.ack().then(|| header.acknowledgment_number()),
        is_syn: header.syn(),
        is_fin: header.fin(),
        is_reset: header.rst(),
        window: header.window_size(),
        maximum_segment_size: options.maximum_segment_size.filter(|_| header.syn()),
        timestamps: options.timestamps,
        repeated: options.repeated,
        bytes: &packet.payload[header.header_slice().len()..],
        cut: (packet.length - packet.payload.len()) as u32,
    })
}

/// Options of a segment.
#[derive(Default)]
struct Options {
    maximum_segment_size: Option<u16>,
    timestamps: Option<[u32; 2]>,
    repeated: Option<(u32, u32)>,
}

impl Options {
    fn of(header: &TcpSlice<'_>) -> Options {
        let mut options = Options::default();
        for option in header.options_iterator() {
            match option {
                Ok(TcpOptionElement::MaximumSegmentSize(size)) => options.maximum_segment_size = Some(size),
                Ok(TcpOptionElement::Timestamp(own, echoed)) => options.timestamps = Some([own, echoed]),
                Ok(TcpOptionElement::SelectiveAcknowledgement(first, more)) => {
                    let second = more.first().copied().flatten();
                    options.repeated = Some(first)
                        .filter(|first| is_repeated(*first, second, header.acknowledgment_number()));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        options
    }
}

/// Whether the first block of a selective acknowledgment tells of bytes that came again: they were acknowledged before, or
/// are a part of the second block (RFC 2883 section 4).
fn is_repeated(first: (u32, u32), second: Option<(u32, u32)>, acknowledgment: u32) -> bool {
    let is_not_after = |left: u32, right: u32| (left.wrapping_sub(right) as i32) <= 0;
    is_not_after(first.1, acknowledgment)
        || second.is_some_and(|second| is_not_after(second.0, first.0) && is_not_after(first.1, second.1))
}

fn udp<'a>(packet: &Network<'a>) -> Result<Datagram<'a>, PassedOver> {
    let header = UdpHeaderSlice::from_slice(packet.payload).map_err(|_| PassedOver::Broken)?;
    let head = header.slice().len();
    // 0 where the network card cuts a long datagram into many.
    let announced = usize::from(header.length());
    let length = if announced == 0 { packet.length } else { announced.min(packet.length) };
    let whole = length.checked_sub(head).ok_or(PassedOver::Broken)?;
    let bytes = &packet.payload[head..];
    Ok(Datagram {
        source: SocketAddr::new(packet.source, header.source_port()),
        destination: SocketAddr::new(packet.destination, header.destination_port()),
        bytes: &bytes[..whole.min(bytes.len())],
        whole,
    })
}

fn unreachable<'a>(
    packet: &Network<'a>,
    is_unreachable: impl Fn(&[u8; ICMP_HEADER]) -> bool,
) -> Result<Packet<'a>, PassedOver> {
    let (head, quoted) = packet.payload.split_first_chunk().ok_or(PassedOver::Broken)?;
    if !is_unreachable(head) {
        return Err(PassedOver::Icmp);
    }
    let quoted = network(quoted, quoted.len()).map_err(|_| PassedOver::Icmp)?;
    let transport = match quoted.protocol {
        TCP => FlowTransport::Tcp,
        UDP => FlowTransport::Udp,
        _ => return Err(PassedOver::Icmp),
    };
    // The quotation has at least the first 8 bytes (RFC 792): both ports, and TCP's sequence number.
    let Some([source, more_source, destination, more_destination, sequence @ ..]) =
        quoted.payload.first_chunk::<8>()
    else {
        return Err(PassedOver::Icmp);
    };
    let port = |high: &u8, low: &u8| u16::from_be_bytes([*high, *low]);
    Ok(Packet::Unreachable(Quoted {
        transport,
        source: SocketAddr::new(quoted.source, port(source, more_source)),
        destination: SocketAddr::new(quoted.destination, port(destination, more_destination)),
        sequence: u32::from_be_bytes(*sequence),
    }))
}
