//! Packets of capture files for tests: pcap and pcapng, with the link types that captures of RDP come in.

use etherparse::{LinuxSllHeader, NetSlice, SlicedPacket, TransportSlice};
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder of captures that `RDP_CAPTURES` names; without it the test is left out, and says so.
pub(crate) fn folder(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RDP_CAPTURES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("{test}: left out, RDP_CAPTURES names no folder of captures");
    }
    folder
}

/// A UDP datagram or a TCP segment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packet {
    /// Microseconds since the first frame of the file.
    pub(crate) t_us: u64,
    /// Who sent it.
    pub(crate) source: SocketAddr,
    /// Whom it was sent to.
    pub(crate) destination: SocketAddr,
    /// The header that matters to a reader of streams.
    pub(crate) transport: Transport,
    /// What it carries.
    pub(crate) payload: Vec<u8>,
}

/// The transport of a [`Packet`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Transport {
    /// UDP.
    Udp,
    /// TCP, with what reassembly needs.
    Tcp {
        /// Sequence number of the first byte (of the SYN where `syn`).
        sequence: u32,
        /// SYN flag.
        syn: bool,
        /// FIN flag.
        fin: bool,
        /// RST flag.
        rst: bool,
    },
}

/// Every UDP datagram and TCP segment of the file, in its order; everything else is passed over.
pub(crate) fn packets(path: &Path) -> Vec<Packet> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let frames = if bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) { pcapng(&bytes) } else { pcap(&bytes) };
    let start = frames.first().map_or(Duration::ZERO, |frame| frame.0);
    frames
        .iter()
        .filter_map(|(time, link, frame)| {
            let t_us = time.saturating_sub(start).as_micros() as u64;
            packet(t_us, *link, frame)
        })
        .collect()
}

type Frame = (Duration, DataLink, Vec<u8>);

fn pcap(bytes: &[u8]) -> Vec<Frame> {
    let reader = PcapReader::new(bytes).expect("a pcap header");
    let link = reader.header().datalink;
    let frame = |packet: pcap_file::pcap::PcapPacket<'_>| (packet.timestamp(), link, packet.data().to_vec());
    reader.into_iter().map(|packet| frame(packet.expect("a pcap packet"))).collect()
}

fn pcapng(bytes: &[u8]) -> Vec<Frame> {
    let mut reader = PcapNgReader::new(bytes).expect("a pcapng section");
    let mut frames = Vec::new();
    while let Some(block) = reader.next_block() {
        let (block, state) = block.expect("a pcapng block");
        if let Block::EnhancedPacket(packet) = block {
            let interface = &state.interfaces()[packet.interface_id as usize];
            frames.push((packet.timestamp, interface.linktype, packet.data.to_vec()));
        }
    }
    frames
}

fn packet(t_us: u64, link: DataLink, frame: &[u8]) -> Option<Packet> {
    let sliced = slice(link, frame)?;
    let (source, destination): (IpAddr, IpAddr) = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        Some(NetSlice::Ipv6(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        _ => return None,
    };
    let (ports, transport, payload) = match &sliced.transport {
        Some(TransportSlice::Udp(udp)) => {
            ((udp.source_port(), udp.destination_port()), Transport::Udp, udp.payload())
        }
        Some(TransportSlice::Tcp(tcp)) => {
            let sequence = tcp.sequence_number();
            let transport = Transport::Tcp { sequence, syn: tcp.syn(), fin: tcp.fin(), rst: tcp.rst() };
            ((tcp.source_port(), tcp.destination_port()), transport, tcp.payload())
        }
        _ => return None,
    };
    let (source, destination) = (SocketAddr::new(source, ports.0), SocketAddr::new(destination, ports.1));
    Some(Packet { t_us, source, destination, transport, payload: payload.to_vec() })
}

/// Loopback (4 bytes of address family), Linux cooked (two versions), raw IP and Ethernet.
fn slice(link: DataLink, frame: &[u8]) -> Option<SlicedPacket<'_>> {
    const SLL2_HEADER: usize = 20;
    let sliced = match link {
        DataLink::ETHERNET => SlicedPacket::from_ethernet(frame),
        DataLink::LINUX_SLL => SlicedPacket::from_ip(frame.get(LinuxSllHeader::LEN..)?),
        DataLink::LINUX_SLL2 => SlicedPacket::from_ip(frame.get(SLL2_HEADER..)?),
        DataLink::NULL | DataLink::LOOP => SlicedPacket::from_ip(frame.get(4..)?),
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => SlicedPacket::from_ip(frame),
        _ => return None,
    };
    sliced.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn ip_frame() -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(50000, 3389)
            .write(&mut frame, b"udp")
            .unwrap();
        frame
    }

    #[test]
    fn every_link_type_gives_the_same_datagram() {
        let below = |header: usize| [vec![0; header], ip_frame()].concat();
        let mut ethernet = below(14);
        ethernet[12] = 8;
        for (link, frame) in [
            (DataLink::ETHERNET, ethernet),
            (DataLink::LINUX_SLL, below(16)),
            (DataLink::LINUX_SLL2, below(20)),
            (DataLink::NULL, below(4)),
            (DataLink::LOOP, below(4)),
            (DataLink::RAW, below(0)),
            (DataLink::IPV4, below(0)),
        ] {
            let packet = packet(7, link, &frame).unwrap_or_else(|| panic!("{link:?}"));
            assert_eq!((packet.t_us, packet.payload.as_slice()), (7, b"udp".as_slice()), "{link:?}");
            assert_eq!(packet.source, "10.0.0.1:50000".parse().unwrap());
            assert_eq!((packet.destination.port(), packet.transport), (3389, Transport::Udp));
        }
    }

    #[test]
    fn a_tcp_segment_keeps_its_flags() {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(50000, 3389, 99, 1024);
        builder.syn().write(&mut frame, &[]).unwrap();
        let segment = packet(0, DataLink::RAW, &frame).unwrap();
        assert_eq!(segment.transport, Transport::Tcp { sequence: 99, syn: true, fin: false, rst: false });
        assert!(packet(0, DataLink::PRONET, &frame).is_none());
    }

    #[test]
    fn a_file_is_read_from_its_first_frame_on() {
        let mut file = Vec::new();
        let header = pcap_file::pcap::PcapHeader { datalink: DataLink::RAW, ..Default::default() };
        let mut writer = pcap_file::pcap::PcapWriter::with_header(&mut file, header).unwrap();
        for seconds in [100, 103] {
            let frame = ip_frame();
            let length = frame.len() as u32;
            let packet =
                pcap_file::pcap::PcapPacket::new(Duration::from_secs(seconds), length, frame).unwrap();
            writer.write_packet(&packet).unwrap();
        }
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), &file).unwrap();
        let times: Vec<u64> = packets(path.path()).iter().map(|packet| packet.t_us).collect();
        assert_eq!(times, [0, 3_000_000]);
    }
}
