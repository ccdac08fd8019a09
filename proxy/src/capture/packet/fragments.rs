//! Datagrams that came in fragments, put together within bounds.

use super::network::{Fragment, Network};
use super::{PassedOver, PassedOverCounts};
use crate::capture::Nanoseconds;
use std::collections::HashMap;
use std::net::IpAddr;

/// Datagrams that may wait for fragments at once. Real traffic has a few; a flood of first fragments ends here.
const MOST_DATAGRAMS: usize = 1024;
/// Bytes of all fragments that may wait.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Fragments of one datagram: 64 KiB in the smallest fragments that links make.
const MOST_FRAGMENTS: usize = 128;
/// The longest datagram.
const LONGEST_DATAGRAM: usize = 65_535;
/// How long fragments wait for the others; hosts give up after 30 to 60 s (RFC 8200 section 4.5).
const PATIENCE: Nanoseconds = 60 * 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    identification: u32,
}

#[derive(Debug)]
struct Datagram {
    since: Nanoseconds,
    /// Where the last fragment ends.
    length: Option<usize>,
    parts: Vec<(usize, Vec<u8>)>,
}

/// The datagrams that wait for fragments.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    waiting: HashMap<Key, Datagram>,
    bytes: usize,
    whole: Vec<u8>,
}

impl Fragments {
    /// Takes a fragment; `true` where its datagram is whole now and is [`Fragments::whole`]. What is given up is counted.
    pub(super) fn take(
        &mut self,
        at: Nanoseconds,
        packet: &Network<'_>,
        fragment: Fragment,
        given_up: &mut PassedOverCounts,
    ) -> bool {
        if packet.payload.len() < packet.length || fragment.offset + packet.length > LONGEST_DATAGRAM {
            given_up.add(PassedOver::FragmentsIncomplete, 1);
            return false;
        }
        let key = Key {
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            identification: fragment.identification,
        };
        if self.waiting.get(&key).is_some_and(|datagram| datagram.is_stale(at)) {
            given_up.add(PassedOver::FragmentsIncomplete, self.forget(&key));
        }
        if !self.has_room(&key, packet.payload.len()) {
            given_up.add(PassedOver::FragmentsIncomplete, self.forget_stale(at));
        }
        if !self.has_room(&key, packet.payload.len()) {
            given_up.add(PassedOver::FragmentsTooMany, 1);
            return false;
        }
        let datagram = self.waiting.entry(key).or_insert_with(|| Datagram::new(at));
        match datagram.add(fragment, packet.payload) {
            Ok(added) => self.bytes += added,
            Err(reason) => given_up.add(reason, self.forget(&key) + 1),
        }
        self.complete(&key)
    }

    /// The datagram that became whole last.
    pub(super) fn whole(&self) -> &[u8] {
        &self.whole
    }

    /// Fragments that still wait.
    pub(super) fn left(&self) -> u64 {
        self.waiting.values().map(|datagram| datagram.parts.len() as u64).sum()
    }

    fn has_room(&self, key: &Key, bytes: usize) -> bool {
        self.bytes + bytes <= MOST_BYTES
            && (self.waiting.len() < MOST_DATAGRAMS || self.waiting.contains_key(key))
    }

    /// At a bound those that waited too long make room.
    fn forget_stale(&mut self, at: Nanoseconds) -> u64 {
        let stale = |(key, datagram): (&Key, &Datagram)| datagram.is_stale(at).then_some(*key);
        let stale: Vec<Key> = self.waiting.iter().filter_map(stale).collect();
        stale.iter().map(|key| self.forget(key)).sum()
    }

    fn forget(&mut self, key: &Key) -> u64 {
        let Some(datagram) = self.waiting.remove(key) else { return 0 };
        self.bytes -= datagram.parts.iter().map(|(_, part)| part.len()).sum::<usize>();
        datagram.parts.len() as u64
    }

    fn complete(&mut self, key: &Key) -> bool {
        let Some(datagram) = self.waiting.get(key) else { return false };
        let mut end = 0;
        let is_whole = datagram.parts.iter().all(|(offset, part)| {
            let follows = *offset <= end;
            end = end.max(offset + part.len());
            follows
        });
        if !is_whole || datagram.length != Some(end) {
            return false;
        }
        self.whole.clear();
        self.whole.resize(end, 0);
        for (offset, part) in &datagram.parts {
            self.whole[*offset..offset + part.len()].copy_from_slice(part);
        }
        self.forget(key);
        true
    }
}

impl Datagram {
    fn new(since: Nanoseconds) -> Self {
        Self { since, length: None, parts: Vec::new() }
    }

    fn is_stale(&self, at: Nanoseconds) -> bool {
        at.saturating_sub(self.since) > PATIENCE
    }

    /// Adds a part; how many bytes that were. One that is there already adds none.
    fn add(&mut self, fragment: Fragment, bytes: &[u8]) -> Result<usize, PassedOver> {
        let end = fragment.offset + bytes.len();
        if self.parts.iter().any(|(offset, part)| differ(*offset, part, fragment.offset, bytes)) {
            return Err(PassedOver::FragmentsOverlap);
        }
        if !fragment.more && self.length.is_some_and(|length| length != end) {
            return Err(PassedOver::FragmentsOverlap);
        }
        if !fragment.more {
            self.length = Some(end);
        }
        if self.parts.iter().any(|(offset, part)| *offset <= fragment.offset && end <= offset + part.len()) {
            return Ok(0);
        }
        if self.parts.len() == MOST_FRAGMENTS {
            return Err(PassedOver::FragmentsTooMany);
        }
        let place = self.parts.partition_point(|(offset, _)| *offset < fragment.offset);
        self.parts.insert(place, (fragment.offset, bytes.to_vec()));
        Ok(bytes.len())
    }
}

/// Whether two parts disagree where they overlap.
fn differ(left: usize, left_bytes: &[u8], right: usize, right_bytes: &[u8]) -> bool {
    let from = left.max(right);
    let to = (left + left_bytes.len()).min(right + right_bytes.len());
    from < to && left_bytes[from - left..to - left] != right_bytes[from - right..to - right]
}
