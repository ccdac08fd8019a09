//! Tests of taking frames apart.

use super::*;
use crate::capture::FlowTransport;
use crate::capture::scripted::{
    ETHERNET, RAW, SECOND, client, ethernet, ip_packet, server, tcp_packet, udp_packet,
};
use crate::trace::Side;
use etherparse::{IpFragOffset, Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, PacketBuilder};
use proptest::prelude::*;

fn frame(link: u16, bytes: &[u8]) -> Frame<'_> {
    Frame { number: 1, at: 0, link, bytes, length: bytes.len() as u32 }
}

/// The text of the datagram in a frame, or of why it was passed over.
fn datagram(link: u16, bytes: &[u8]) -> String {
    let mut packets = Packets::default();
    match packets.read(&frame(link, bytes)) {
        Some(Packet::Udp(datagram)) => String::from_utf8_lossy(datagram.bytes).into_owned(),
        Some(other) => format!("{other:?}"),
        None => packets.into_passed_over().iter().map(|(kind, _)| kind.to_string()).collect(),
    }
}

fn below(header: usize, kind_at: usize) -> Vec<u8> {
    let mut bytes = vec![0; header];
    bytes[kind_at] = 8;
    bytes.extend(udp_packet(b"udp"));
    bytes
}

#[test]
fn every_link_type_gives_the_same_datagram() {
    let packet = udp_packet(b"udp");
    for (link, bytes) in [
        (0, [&[2, 0, 0, 0], packet.as_slice()].concat()),
        (108, [&[0, 0, 0, 2], packet.as_slice()].concat()),
        (ETHERNET, ethernet(&[], &packet)),
        (ETHERNET, ethernet(&[0x8100], &packet)),
        (ETHERNET, ethernet(&[0x88a8, 0x8100], &packet)),
        (12, packet.clone()),
        (RAW, packet.clone()),
        (228, packet.clone()),
        (113, below(16, 14)),
        (276, below(20, 0)),
    ] {
        assert_eq!(datagram(link, &bytes), "udp", "link type {link}");
    }
}

#[test]
fn what_belongs_to_no_flow_is_counted_by_kind() {
    let arp = [[2; 12].as_slice(), &[0x08, 0x06], &[0; 28]].concat();
    let spanning_tree = [[2; 12].as_slice(), &[0, 0x26], &[0x42; 40]].concat();
    let gre = ip_packet(PacketBuilder::ipv4([1, 1, 1, 1], [2, 2, 2, 2], 9), 47, b"inside");
    let echo = ip_packet(PacketBuilder::ipv4([1, 1, 1, 1], [2, 2, 2, 2], 9), 1, &[8, 0, 0, 0, 0, 0, 0, 0]);
    for (link, bytes, said) in [
        (127, [0; 60].as_slice(), "link type 127 (IEEE 802.11 with radiotap)"),
        (ETHERNET, &arp, "EtherType 0x0806 (ARP)"),
        (ETHERNET, &spanning_tree, "IEEE 802.3 without an EtherType"),
        (ETHERNET, &arp[..13], "broken headers"),
        (RAW, &gre, "IP protocol 47 (GRE)"),
        (RAW, &echo, "ICMP"),
        (RAW, &[0x45; 10], "broken headers"),
        (RAW, &[], "broken headers"),
    ] {
        assert_eq!(datagram(link, bytes), said);
    }
}

#[test]
fn a_segment_is_taken_apart() {
    let packet = tcp_packet(Side::Server, b"hello", |header| {
        (header.sequence_number, header.window_size) = (99, 512);
        (header.ack, header.acknowledgment_number) = (true, 7);
        (header.syn, header.fin, header.rst) = (true, true, true);
        let size = etherparse::TcpOptionElement::MaximumSegmentSize(1400);
        header.set_options(&[etherparse::TcpOptionElement::Noop, size]).unwrap();
    });
    let mut packets = Packets::default();
    let Some(Packet::Tcp(segment)) = packets.read(&frame(RAW, &packet)) else { panic!("no segment") };
    assert_eq!((segment.source, segment.destination), (server(), client()));
    assert_eq!((segment.sequence, segment.acknowledgment), (99, Some(7)));
    assert!(segment.is_syn && segment.is_fin && segment.is_reset);
    assert_eq!((segment.window, segment.maximum_segment_size), (512, Some(1400)));
    assert_eq!((segment.bytes, segment.cut, segment.time_to_live), (b"hello".as_slice(), 0, 64));
}

#[test]
fn a_segment_tells_clocks_and_what_came_twice() {
    use etherparse::TcpOptionElement::{Noop, SelectiveAcknowledgement, Timestamp};
    let options = |first, second| {
        let packet = tcp_packet(Side::Server, b"", |header| {
            (header.ack, header.acknowledgment_number) = (true, 1000);
            let sacked = SelectiveAcknowledgement(first, [second, None, None]);
            header.set_options(&[Noop, Noop, Timestamp(5, 3), Noop, Noop, sacked]).unwrap();
        });
        let mut packets = Packets::default();
        let Some(Packet::Tcp(segment)) = packets.read(&frame(RAW, &packet)) else { panic!("no segment") };
        (segment.timestamps, segment.repeated)
    };
    let clocks = Some([5, 3]);
    assert_eq!(options((900, 1000), None), (clocks, Some((900, 1000))), "acknowledged before");
    assert_eq!(options((2000, 2100), None), (clocks, None), "it waits for what is missing");
    assert_eq!(
        options((2000, 2100), Some((1900, 2200))),
        (clocks, Some((2000, 2100))),
        "a part of what waits"
    );
    assert_eq!(options((2000, 2100), Some((3000, 3100))), (clocks, None));
}

#[test]
fn padding_is_not_payload_and_cut_bytes_are_known() {
    let mut padded = tcp_packet(Side::Client, b"", |_| {});
    padded.extend([0; 6]);
    let mut packets = Packets::default();
    let Some(Packet::Tcp(segment)) = packets.read(&frame(RAW, &padded)) else { panic!("no segment") };
    assert_eq!(segment.length(), 0);
    let packet = tcp_packet(Side::Client, b"long payload", |_| {});
    let cut = Frame { length: packet.len() as u32, ..frame(RAW, &packet[..packet.len() - 8]) };
    let Some(Packet::Tcp(segment)) = packets.read(&cut) else { panic!("no segment") };
    assert_eq!((segment.bytes, segment.cut), (b"long".as_slice(), 8));
}

#[test]
fn a_segment_that_the_network_card_will_cut_has_no_total_length() {
    let mut packet = tcp_packet(Side::Client, b"large", |_| {});
    packet[2..4].copy_from_slice(&[0, 0]);
    let mut packets = Packets::default();
    let Some(Packet::Tcp(segment)) = packets.read(&frame(RAW, &packet)) else { panic!("no segment") };
    assert_eq!((segment.bytes, segment.cut), (b"large".as_slice(), 0));
}

/// An IPv6 packet with extension headers, or with one fragment of the datagram.
fn ipv6(extensions: &[u8], first: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header {
        payload_length: (extensions.len() + payload.len()) as u16,
        next_header: first.into(),
        hop_limit: 64,
        source: [1; 16],
        destination: [2; 16],
        ..Default::default()
    };
    [header.to_bytes().as_slice(), extensions, payload].concat()
}

fn extension(next: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    Ipv6RawExtHeader::new_raw(next.into(), &vec![0; length]).unwrap().write(&mut bytes).unwrap();
    bytes
}

const UDP: u8 = 17;

fn udp(text: &[u8]) -> Vec<u8> {
    [&[0xc3, 0x50, 0x0d, 0x3d], (text.len() as u16 + 8).to_be_bytes().as_slice(), &[0, 0], text].concat()
}

#[test]
fn ipv6_extension_headers_are_passed() {
    let extensions = [extension(43, 6), extension(60, 14), extension(UDP, 6)].concat();
    assert_eq!(datagram(RAW, &ipv6(&extensions, 0, &udp(b"six"))), "six");
    assert_eq!(datagram(RAW, &ipv6(&extensions[..4], 0, &[])), "broken headers");
    let atomic = Ipv6FragmentHeader::new(UDP.into(), IpFragOffset::ZERO, false, 5).to_bytes();
    assert_eq!(datagram(RAW, &ipv6(&atomic, 44, &udp(b"whole"))), "whole");
    assert_eq!(datagram(ETHERNET, &ethernet(&[], &ipv6(&[], UDP, &udp(b"plain")))), "plain");
    let endless = extension(0, 6).repeat(20);
    assert_eq!(datagram(RAW, &ipv6(&endless, 0, &udp(b"never"))), "broken headers");
}

/// Fragments of a UDP datagram in packets of `size` bytes.
fn fragments(text: &[u8], size: usize, identification: u16) -> Vec<Vec<u8>> {
    let whole = udp(text);
    let parts: Vec<&[u8]> = whole.chunks(size).collect();
    let packet = |(place, part): (usize, &&[u8])| {
        let mut packet = ip_packet(PacketBuilder::ipv4([1, 1, 1, 1], [2, 2, 2, 2], 9), UDP, part);
        packet[4..6].copy_from_slice(&identification.to_be_bytes());
        let more = if place + 1 < parts.len() { 0x2000 } else { 0 };
        packet[6..8].copy_from_slice(&(more | (place * size / 8) as u16).to_be_bytes());
        packet
    };
    parts.iter().enumerate().map(packet).collect()
}

/// Reads frames; the datagrams that came of them, and what was passed over.
fn read_all(frames: &[Vec<u8>], every: u64) -> (Vec<String>, Vec<(PassedOver, u64)>) {
    let (mut packets, mut texts) = (Packets::default(), Vec::new());
    for (place, bytes) in frames.iter().enumerate() {
        if let Some(Packet::Udp(datagram)) =
            packets.read(&Frame { at: place as u64 * every, ..frame(RAW, bytes) })
        {
            texts.push(String::from_utf8_lossy(datagram.bytes).into_owned());
        }
    }
    (texts, packets.into_passed_over().iter().collect())
}

#[test]
fn fragments_become_their_datagram_in_any_order() {
    let text = "a datagram that came in several fragments";
    let mut frames = fragments(text.as_bytes(), 16, 5);
    assert_eq!(frames.len(), 4);
    for _ in 0..frames.len() {
        frames.rotate_left(1);
        assert_eq!(read_all(&frames, 0), (vec![text.to_owned()], vec![]));
    }
    frames.insert(2, frames[1].clone());
    assert_eq!(read_all(&frames, 0).0, [text], "one came twice");
}

#[test]
fn fragments_of_ipv6_become_their_datagram() {
    let whole = udp(b"sixteen and more bytes of it");
    let part = |offset: usize, bytes: &[u8], more: bool| {
        let place = IpFragOffset::try_new(offset as u16 / 8).unwrap();
        ipv6(&Ipv6FragmentHeader::new(UDP.into(), place, more, 77).to_bytes(), 44, bytes)
    };
    let frames = [part(16, &whole[16..], false), part(0, &whole[..16], true)];
    assert_eq!(read_all(&frames, 0), (vec!["sixteen and more bytes of it".to_owned()], vec![]));
}

#[test]
fn fragments_that_disagree_are_given_up() {
    let mut frames = fragments(b"the true text of this datagram", 16, 5);
    let mut other = frames[1].clone();
    other[25] ^= 1;
    frames.insert(1, other);
    let (texts, counts) = read_all(&frames, 0);
    assert_eq!(texts, [""; 0]);
    assert_eq!(counts, [(PassedOver::FragmentsIncomplete, 1), (PassedOver::FragmentsOverlap, 3)]);
}

#[test]
fn fragments_without_the_rest_are_counted() {
    let mut frames = fragments(b"never seen as a whole, not at all", 16, 5);
    frames.remove(1);
    assert_eq!(read_all(&frames, 0), (vec![], vec![(PassedOver::FragmentsIncomplete, 2)]));
    let late = fragments(b"so late that others may have the number", 16, 5);
    assert_eq!(read_all(&late, 61 * SECOND), (vec![], vec![(PassedOver::FragmentsIncomplete, 3)]));
}

#[test]
fn a_flood_of_first_fragments_is_bounded() {
    let flood: Vec<Vec<u8>> = (0..2000)
        .map(|number| fragments(b"a datagram of two fragments", 24, number).swap_remove(0))
        .collect();
    let (_, counts) = read_all(&flood, 0);
    assert_eq!(counts, [(PassedOver::FragmentsIncomplete, 1024), (PassedOver::FragmentsTooMany, 976)]);
}

#[test]
fn icmp_quotes_what_did_not_arrive() {
    let syn = tcp_packet(Side::Client, b"", |header| header.syn = true);
    let icmp = |code: u8, quoted: &[u8]| {
        let message = [&[3, code, 0, 0, 0, 0, 0, 0], quoted].concat();
        ip_packet(PacketBuilder::ipv4([10, 0, 0, 254], [10, 0, 0, 1], 64), 1, &message)
    };
    let quoted =
        Quoted { transport: FlowTransport::Tcp, source: client(), destination: server(), sequence: 1000 };
    let mut packets = Packets::default();
    assert_eq!(packets.read(&frame(RAW, &icmp(13, &syn[..28]))), Some(Packet::Unreachable(quoted)));
    assert_eq!(packets.read(&frame(RAW, &icmp(13, &syn[..27]))), None);
    assert_eq!(packets.read(&frame(RAW, &icmp(4, &syn))), None, "too long is not unreachable");
    let message = [&[1, 4, 0, 0, 0, 0, 0, 0], ipv6(&[], UDP, &udp(b"lost")).as_slice()].concat();
    let Some(Packet::Unreachable(quoted)) = packets.read(&frame(RAW, &ipv6(&[], 58, &message))) else {
        panic!("no quotation");
    };
    assert_eq!((quoted.transport, quoted.destination.port()), (FlowTransport::Udp, 3389));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        link in prop::sample::select(vec![0_u16, 1, 101, 108, 113, 276, 9]),
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        kind in any::<Option<[u8; 2]>>(),
        length in any::<u32>(),
    ) {
        if let (Some([version, protocol]), RAW) = (kind, link) && bytes.len() > 9 {
            bytes[0] = if version % 2 == 0 { 0x45 } else { 0x60 };
            bytes[if version % 2 == 0 { 9 } else { 6 }] = [1, 6, 17, 44, 0, 58][usize::from(protocol) % 6];
        }
        let mut packets = Packets::default();
        packets.read(&Frame { length, ..frame(link, &bytes) });
        packets.read(&Frame { length, ..frame(link, &bytes) });
    }
}
