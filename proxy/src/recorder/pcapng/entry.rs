//! What waits to be written: packets of both legs, and what is said beside them.

use super::SAME_SEGMENT;
use crate::trace::Side;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// The two ends of a connection or a flow of datagrams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ends {
    /// On the leg of this side.
    pub(super) side: Side,
    /// rdpscope's end.
    pub(super) us: SocketAddr,
    /// The other.
    pub(super) peer: SocketAddr,
}

/// Flags of a TCP segment (RFC 9293 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags {
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
}

/// The transport of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// A segment, or several where its bytes do not fit into one.
    Tcp {
        /// Of its first byte.
        sequence: u32,
        acknowledgement: u32,
        flags: Flags,
    },
    Udp,
    /// What is inside TLS, as Wireshark exports it.
    Inside,
}

/// One packet with the place of its bytes in its batch.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) ends: Arc<Ends>,
    pub(super) from_us: bool,
    pub(super) transport: Transport,
    pub(super) payload: Range<usize>,
    pub(super) comments: Vec<String>,
}

/// Something of a session, at its time.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Instant,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Packet(Packet),
    /// For the packet that is nearest before.
    Comment(String),
    /// For the packet that comes next.
    Lost(Lost),
}

/// What there was no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lost {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Entries with their bytes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) bytes: Vec<u8>,
    /// Lines of NSS key log format, which stand before all packets that are not written yet.
    pub(super) secrets: String,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.secrets.is_empty()
    }

    /// What it counts for in the queue.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + self.entries.len() * super::ENTRY_BYTES
    }

    /// One more packet, or more of the last one.
    pub(super) fn packet(
        &mut self,
        at: Instant,
        ends: &Arc<Ends>,
        from_us: bool,
        transport: Transport,
        bytes: &[u8],
    ) {
        if self.join(at, ends, from_us, transport, bytes) {
            return;
        }
        let payload = self.keep(bytes);
        let packet = Packet { ends: ends.clone(), from_us, transport, payload, comments: Vec::new() };
        self.entries.push(Entry { at, kind: Kind::Packet(packet) });
    }

    /// Adds what is the next of the segment that was told last; false where it is not.
    fn join(
        &mut self,
        at: Instant,
        ends: &Arc<Ends>,
        from_us: bool,
        transport: Transport,
        bytes: &[u8],
    ) -> bool {
        let Some(Entry { at: since, kind: Kind::Packet(last) }) = self.entries.last_mut() else {
            return false;
        };
        let Transport::Tcp { sequence, acknowledgement, flags } = transport else { return false };
        let next = Transport::Tcp {
            sequence: sequence.wrapping_sub(last.payload.len() as u32),
            acknowledgement,
            flags,
        };
        let joins = !bytes.is_empty()
            && !last.payload.is_empty()
            && last.payload.end == self.bytes.len()
            && Arc::ptr_eq(&last.ends, ends)
            && (last.from_us, last.transport) == (from_us, next)
            && at.saturating_duration_since(*since) < SAME_SEGMENT;
        if joins {
            self.bytes.extend_from_slice(bytes);
            last.payload.end = self.bytes.len();
        }
        joins
    }

    /// Keeps `bytes`. Those of the packet before are not kept a second time: what passes through is the same on both
    /// legs.
    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        if let Some(Kind::Packet(last)) = self.entries.last().map(|entry| &entry.kind)
            && !bytes.is_empty()
            && self.bytes.get(last.payload.clone()) == Some(bytes)
        {
            return last.payload.clone();
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Takes all of `other` behind its own.
    pub(super) fn append(&mut self, mut other: Batch) {
        let start = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.secrets.push_str(&other.secrets);
        self.entries.extend(other.entries.into_iter().map(|mut entry| {
            if let Kind::Packet(packet) = &mut entry.kind {
                packet.payload = packet.payload.start + start..packet.payload.end + start;
            }
            entry
        }));
    }

    /// Says `text` beside the last packet that was there at `at`; false where there is none.
    pub(super) fn comment(&mut self, at: Instant, text: &str) -> bool {
        let is_before = |entry: &&mut Entry| entry.at <= at && matches!(entry.kind, Kind::Packet(_));
        match self.entries.iter_mut().rev().find(is_before).map(|entry| &mut entry.kind) {
            Some(Kind::Packet(packet)) => {
                packet.comments.push(text.to_owned());
                true
            }
            _ => false,
        }
    }
}
