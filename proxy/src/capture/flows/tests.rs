//! Tests of the table of open flows.

use super::*;
use crate::capture::reassembly::Reassembly;
use crate::capture::scripted::{RAW, SECOND, Told, tcp_packet, udp_packet};
use crate::capture::{Contents, Frame};
use etherparse::TcpHeader;

/// Reads packets, each with its time.
fn read(packets: &[(Nanoseconds, Vec<u8>)]) -> (Told, Contents) {
    let (mut told, mut reassembly) = (Told::default(), Reassembly::default());
    for (place, (at, bytes)) in packets.iter().enumerate() {
        let length = bytes.len() as u32;
        let frame = Frame { number: place as u64 + 1, at: *at, link: RAW, bytes, length };
        reassembly.frame(&frame, &mut told);
    }
    let contents = reassembly.finish(&mut told);
    (told, contents)
}

fn syn(header: &mut TcpHeader) {
    header.syn = true;
}

fn answer(header: &mut TcpHeader) {
    (header.syn, header.ack, header.acknowledgment_number) = (true, true, 1001);
}

fn data(header: &mut TcpHeader) {
    header.sequence_number = 1001;
}

#[test]
fn both_directions_are_one_flow() {
    let (told, contents) = read(&[
        (0, tcp_packet(Side::Client, b"", syn)),
        (1, tcp_packet(Side::Server, b"", answer)),
        (2, tcp_packet(Side::Client, b"ask", data)),
        (3, tcp_packet(Side::Server, b"say", data)),
        (4, udp_packet(b"beside")),
    ]);
    let said = [
        "0 Tcp 10.0.0.1:50000 > 10.0.0.2:3389",
        "0 client ask",
        "0 server say",
        "1 Udp 10.0.0.1:50000 > 10.0.0.2:3389",
        "1 client datagram beside of 6",
        "0 closed",
        "1 closed",
    ];
    assert_eq!(told.lines, said);
    assert_eq!((contents.frames, contents.flows, contents.span), (5, 2, Some((0, 4))));
}

#[test]
fn ports_that_are_used_again_are_another_flow() {
    let again = |header: &mut TcpHeader| (header.syn, header.sequence_number) = (true, 5);
    let (told, _) = read(&[
        (0, tcp_packet(Side::Client, b"", syn)),
        (1, tcp_packet(Side::Client, b"", syn)),
        (2, tcp_packet(Side::Client, b"", again)),
    ]);
    let said = [
        "0 Tcp 10.0.0.1:50000 > 10.0.0.2:3389",
        "0 closed",
        "1 Tcp 10.0.0.1:50000 > 10.0.0.2:3389",
        "1 closed",
    ];
    assert_eq!(told.lines, said);
    assert_eq!(told.evidence[0].as_ref().unwrap().syns, 2);
}

#[test]
fn what_comes_after_a_reset_is_no_other_flow() {
    let reset = |header: &mut TcpHeader| (header.rst, header.sequence_number) = (true, 1001);
    let (told, contents) = read(&[
        (0, tcp_packet(Side::Client, b"", syn)),
        (SECOND, tcp_packet(Side::Client, b"", reset)),
        (2 * SECOND, tcp_packet(Side::Server, b"late", data)),
        (30 * SECOND, tcp_packet(Side::Server, b"", |header| header.ack = true)),
        (31 * SECOND, udp_packet(b"time passes")),
    ]);
    assert_eq!(told.lines[1], "0 client ended Reset");
    let close = told.lines.iter().position(|line| line == "0 closed").unwrap();
    let opened = told.lines.iter().position(|line| line.starts_with("1 Udp")).unwrap();
    assert!(close < opened, "closed when its time was over: {:?}", told.lines);
    assert_eq!(contents.flows, 2);
}

#[test]
fn roles_of_datagrams_follow_who_spoke_first() {
    let ends = |told: &Told| told.lines[0].clone();
    let (told, _) = read(&[(0, udp_packet(b"x"))]);
    assert_eq!(ends(&told), "0 Udp 10.0.0.1:50000 > 10.0.0.2:3389");
    let mut reversed = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64).udp(3389, 50000);
    builder.write(&mut reversed, b"y").unwrap();
    let (told, _) = read(&[(0, reversed)]);
    assert_eq!(ends(&told), "0 Udp 10.0.0.1:50000 > 10.0.0.2:3389 guessed");
    assert_eq!(told.lines[1], "0 server datagram y of 1");
}

#[test]
fn an_unreachable_port_is_told_to_its_flow() {
    let datagram = udp_packet(b"anybody there?");
    let message = [&[3, 3, 0, 0, 0, 0, 0, 0], &datagram[..28]].concat();
    let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64);
    let icmp = crate::capture::scripted::ip_packet(builder, 1, &message);
    let (told, contents) = read(&[(0, icmp.clone()), (1, datagram), (2, icmp)]);
    assert_eq!(told.lines[2..], ["0 client unreachable", "0 closed"]);
    assert_eq!((contents.flows, contents.passed_over.total()), (1, 0));
}

#[test]
fn open_flows_are_bounded_and_busy_ones_stay() {
    let (mut told, mut reassembly) = (Told::default(), Reassembly::default());
    let scan = MOST_OPEN as u64 + 2000;
    let mut number = 0;
    let mut feed = |at: u64, bytes: &[u8], told: &mut Told| {
        number += 1;
        let frame = Frame { number, at, link: RAW, bytes, length: bytes.len() as u32 };
        reassembly.frame(&frame, told);
    };
    feed(0, &tcp_packet(Side::Client, b"", syn), &mut told);
    for scanned in 0..scan {
        let mut packet = Vec::new();
        let target = [172, 16, (scanned >> 8) as u8, scanned as u8];
        let ports = (40_000 + (scanned >> 16) as u16, 3389);
        let builder = etherparse::PacketBuilder::ipv4([10, 9, 9, 9], target, 64);
        builder.tcp(ports.0, ports.1, 5, 1).syn().write(&mut packet, b"").unwrap();
        feed(scanned, &packet, &mut told);
        if scanned % 1000 == 0 {
            feed(scanned, &tcp_packet(Side::Client, b"", syn), &mut told);
        }
    }
    let closed = told.lines.iter().filter(|line| line.ends_with("closed")).count() as u64;
    assert_eq!(closed, scan + 1 - MOST_OPEN as u64);
    assert!(!told.lines.contains(&"0 closed".to_owned()), "it was busy");
    assert!(told.lines.contains(&"1 closed".to_owned()), "it was idle for longest");
    let contents = reassembly.finish(&mut told);
    assert_eq!(contents.flows, scan + 1);
}
