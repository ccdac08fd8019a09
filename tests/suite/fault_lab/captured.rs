//! The faults as captures of real sessions show them, which `RDP_CAPTURES` names: bytes and nothing else.

use super::Judged;
use crate::support::captures::{folder, reassemble};
use crate::support::pcap::{self, Packet, Transport};
use rdpscope::diagnose::{Context, diagnose};
use rdpscope::observe::{SessionObserver, Timeline};
use rdpscope::trace::{Event, How, Line, Record, Side};
use std::net::SocketAddr;

/// The verdict on one TCP connection with a server on `port`, counted from 0 in the order in which they began.
pub(super) fn connection(file: &str, port: u16, number: usize) -> Option<Judged> {
    let packets = pcap::packets(&folder()?.join(file));
    let pieces = reassemble(&packets, port).swap_remove(number);
    let ends = ends(&packets, port, number);
    let mut observer = SessionObserver::default();
    let mut timeline = Timeline::default();
    let mut lines = Vec::new();
    let mut tell = |events: Vec<Event>| events.into_iter().for_each(|event| timeline.push(event, &mut lines));
    for piece in &pieces {
        let mut events = Vec::new();
        observer.data(piece.t_us, piece.from, &piece.bytes, &mut events);
        tell(events);
    }
    for (t_us, side, how) in &ends {
        let mut events = Vec::new();
        observer.ended(*t_us, *side, *how, &mut events);
        tell(events);
    }
    timeline.finish(ends.last().map_or(0, |end| end.0), &mut lines);
    let summary = Line::Summary(Box::new(timeline.summary().clone()));
    let record: Record = lines.into_iter().chain([summary]).collect();
    Some(Judged::of(&diagnose(&record, &Context::default()).verdict))
}

/// How the sides of a connection ended it, in their order.
fn ends(packets: &[Packet], port: u16, number: usize) -> Vec<(u64, Side, How)> {
    let mut clients: Vec<SocketAddr> = Vec::new();
    let mut ends: Vec<(u64, Side, How)> = Vec::new();
    for packet in packets {
        let Transport::Tcp { fin, rst, .. } = packet.transport else { continue };
        let (client, side) = match (packet.destination.port() == port, packet.source.port() == port) {
            (true, _) => (packet.source, Side::Client),
            (_, true) => (packet.destination, Side::Server),
            _ => continue,
        };
        if !clients.contains(&client) {
            clients.push(client);
        }
        let is_first = ends.iter().all(|end| end.1 != side);
        if (fin || rst) && is_first && clients.get(number) == Some(&client) {
            ends.push((packet.t_us, side, if rst { How::Reset } else { How::Fin }));
        }
    }
    ends
}
