//! A packet of either format, found but not yet borrowed.

use crate::capture::Nanoseconds;
use std::ops::Range;

/// Longest packet that is believed. Loopback and offloading hosts record up to 512 KiB at once, no link carries more.
pub(super) const LONGEST_PACKET: u32 = 1024 * 1024;

/// Where a packet stands in the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// When it was seen.
    pub(super) at: Nanoseconds,
    /// LINKTYPE number.
    pub(super) link: u16,
    /// Length on the wire.
    pub(super) length: u32,
    /// Its bytes in the window.
    pub(super) place: Range<usize>,
}

/// What a file has next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A packet.
    Packet(Record),
    /// The text of a TLS key log, at this place in the window.
    KeyLog(Range<usize>),
}
