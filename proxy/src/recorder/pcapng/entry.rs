//! What waits to be written: packets of both legs, and what is said beside them.

use super::{MOST_SPARES, MUCH, SAME_SEGMENT};
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
    /// Where the last bytes of each side lie that did not yet go out on the other leg.
    passing: [Range<usize>; 2],
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
        let payload = self.keep(if from_us { ends.side.opposite() } else { ends.side }, from_us, bytes);
        if !self.join(at, ends, from_us, transport, &payload) {
            let packet = Packet { ends: ends.clone(), from_us, transport, payload, comments: Vec::new() };
            self.entries.push(Entry { at, kind: Kind::Packet(packet) });
        }
    }

    /// Adds what is the next of the segment that was told last; false where it is not.
    fn join(
        &mut self,
        at: Instant,
        ends: &Arc<Ends>,
        from_us: bool,
        transport: Transport,
        payload: &Range<usize>,
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
        let joins = !payload.is_empty()
            && !last.payload.is_empty()
            && last.payload.end == payload.start
            && Arc::ptr_eq(&last.ends, ends)
            && (last.from_us, last.transport) == (from_us, next)
            && at.saturating_duration_since(*since) < SAME_SEGMENT;
        if joins {
            last.payload.end = payload.end;
        }
        joins
    }

    /// Keeps `bytes` that came `from` a side. What goes out as it came in is not kept a second time: what passes through is
    /// the same on both legs, though often in other pieces.
    fn keep(&mut self, from: Side, from_us: bool, bytes: &[u8]) -> Range<usize> {
        let passing = &mut self.passing[from.index()];
        if from_us && !bytes.is_empty() {
            let shared = passing.start..passing.start + bytes.len();
            if shared.end <= passing.end && self.bytes[shared.clone()] == *bytes {
                passing.start = shared.end;
                return shared;
            }
        }
        let kept = self.bytes.len()..self.bytes.len() + bytes.len();
        self.bytes.extend_from_slice(bytes);
        if !from_us {
            let is_next = passing.end == kept.start && passing.start < passing.end;
            *passing = if is_next { passing.start..kept.end } else { kept.clone() };
        }
        kept
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

/// Memory of batches that were written, for sessions with much to tell: new memory costs more than what is copied into it.
#[derive(Debug, Default)]
pub(super) struct Spares {
    batches: Vec<Batch>,
}

impl Spares {
    /// Room for a session that told so many bytes last time.
    pub(super) fn room_for(&mut self, bytes: usize) -> Batch {
        let is_for_much = bytes >= MUCH;
        if is_for_much { self.batches.pop().unwrap_or_default() } else { Batch::default() }
    }

    /// Takes the memory of a batch that is no longer needed.
    pub(super) fn give(&mut self, batch: Batch) {
        let Batch { mut entries, mut bytes, .. } = batch;
        if bytes.capacity() >= MUCH && self.batches.len() < MOST_SPARES {
            entries.clear();
            bytes.clear();
            self.batches.push(Batch { entries, bytes, ..Batch::default() });
        }
    }

    /// Nobody has much to tell any more.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
    }
}
