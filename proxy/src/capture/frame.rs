//! One frame of a capture file, whatever the format of the file.

use super::Nanoseconds;

/// A frame as the capturing machine wrote it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its number in the file, from 1.
    pub number: u64,
    /// When it was seen.
    pub at: Nanoseconds,
    /// What it begins with: a number of the LINKTYPE registry.
    pub link: u16,
    /// Its bytes, as many as the file has.
    pub bytes: &'a [u8],
    /// How long it was on the wire.
    pub length: u32,
}
