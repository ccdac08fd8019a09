//! A flow of datagrams: the side channel of a session, or all that the capture has of it.

use super::direct::udp_events;
use super::recording::{Finished, Names, Recording};
use crate::capture::{FlowKey, FlowOpened, Nanoseconds};
use crate::observe::UdpObserver;
use crate::trace::{ClosedBy, How, Side, Transport};
use crate::wire::rdpeudp::Datagram;

/// The port of RDP.
pub(super) const RDP_PORT: u16 = 3389;
/// SYN and SYN+ACK are padded to the least MTU (MS-RDPEUDP 2.2.2.5), so that nothing shorter is one.
const SHORTEST_SYN: usize = 1132;
const MTU: std::ops::RangeInclusive<u16> = 1132..=1232;

/// Whether this datagram of a client asks for RDP-UDP beyond doubt.
pub(super) fn is_syn(bytes: &[u8]) -> bool {
    bytes.len() >= SHORTEST_SYN
        && Datagram::decode(bytes).is_ok_and(|datagram| {
            let fits = datagram
                .syn_data
                .is_some_and(|syn| MTU.contains(&syn.up_stream_mtu) && MTU.contains(&syn.down_stream_mtu));
            datagram.is_syn() && fits
        })
}

/// RDP-UDP whose TCP connection is not in the capture.
#[derive(Debug)]
pub(super) struct Alone {
    key: FlowKey,
    first_frame: u64,
    recording: Recording,
    observer: UdpObserver,
    last: Nanoseconds,
}

impl Alone {
    pub(super) fn new(at: Nanoseconds, opened: FlowOpened) -> Alone {
        Alone {
            key: opened.key,
            first_frame: opened.first_frame,
            recording: Recording::new(at),
            observer: UdpObserver::new(),
            last: at,
        }
    }

    pub(super) fn datagram(&mut self, at: Nanoseconds, from: Side, bytes: &[u8]) {
        let t_us = self.recording.at(at);
        self.last = at;
        self.recording.bytes[from.index()] += bytes.len() as u64;
        let mut messages = Vec::new();
        self.observer.datagram(t_us, from, bytes, &mut messages);
        self.recording.push(udp_events(t_us, Some(from), messages));
    }

    /// The flow is over at `at`; `None` where none of its datagrams is RDP-UDP.
    pub(super) fn close(
        mut self,
        at: Nanoseconds,
        (stream, id): (u64, String),
        capture: &str,
    ) -> Option<Finished> {
        let t_us = self.recording.at(at);
        let mut messages = Vec::new();
        self.observer.finish(t_us, &mut messages);
        self.recording.push(udp_events(t_us, None, messages));
        let told = self.observer.summary().clone();
        if told.not_rdpeudp == told.datagrams_up + told.datagrams_down {
            return None;
        }
        let summary = self.recording.summary_mut();
        summary.udp = Some(told);
        summary.transport = Some(Transport::Udp);
        summary.client = Some(self.key.client.to_string());
        summary.server = Some(self.key.server.to_string());
        let names = Names::new(capture, self.key, self.first_frame, &[], &[stream]);
        // Datagrams have no end that anybody could see.
        let ended: Option<(ClosedBy, How)> = None;
        Some(self.recording.finish(at, names, ended, id))
    }
}
