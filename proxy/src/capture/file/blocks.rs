//! The framing of pcapng (draft-ietf-opsawg-pcapng section 3): one block after the other, whatever is in them.
//!
//! Our own and not `pcap-file`'s, whose reader ends at the first block that it cannot take apart, refuses blocks longer
//! than its buffer, and gives every option an owned value: a damaged file is read on here, behind the damage.

use super::damage::{DamageKind, Damages};
use super::endian::Endian;
use super::window::Window;
use std::io::{Read, Result};

/// Block type of a section header; the same in both byte orders.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
/// Block type of an interface description.
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
/// Block type of a packet, obsolete.
pub(super) const PACKET: u32 = 2;
/// Block type of a simple packet.
pub(super) const SIMPLE_PACKET: u32 = 3;
/// Block type of an enhanced packet.
pub(super) const ENHANCED_PACKET: u32 = 6;
/// Block type of decryption secrets.
pub(super) const DECRYPTION_SECRETS: u32 = 10;
/// Name resolution and interface statistics: nothing is read from them, but they show where blocks stand.
const OTHER_KNOWN: [u32; 2] = [4, 5];

/// Type and two lengths.
const SMALLEST_BLOCK: u32 = 12;
/// Longest block that is believed: a packet has at most 1 MiB, and key logs of long captures some megabytes.
const LARGEST_BLOCK: u32 = 16 * 1024 * 1024;
/// Bytes of damage that are looked through before the window is moved on.
const SEARCH_STEP: usize = 256 * 1024;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// A block that is whole in the window, at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Its type.
    pub(super) kind: u32,
    /// With its head and its trailer.
    pub(super) length: usize,
}

impl Block {
    /// What stands between head and trailer.
    pub(super) fn body(self, window: &[u8]) -> &[u8] {
        window.get(8..self.length - 4).unwrap_or_default()
    }
}

/// Why there is no block at the window's beginning.
enum Fault {
    /// It would end behind the file.
    BeyondTheEnd {
        /// Its length.
        length: u32,
    },
    Damage(DamageKind),
}

impl Fault {
    /// A file that goes on behind it was not truncated: the length is wrong.
    fn damage(self, goes_on: bool) -> DamageKind {
        match self {
            Fault::BeyondTheEnd { length } if goes_on => DamageKind::BlockLength { length },
            Fault::BeyondTheEnd { .. } => DamageKind::Truncated,
            Fault::Damage(kind) => kind,
        }
    }
}

/// Goes from block to block.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Of the section.
    pub(super) endian: Endian,
    /// Of the block that was given last.
    length: usize,
}

impl Blocks {
    /// At the beginning of a file.
    pub(super) fn new() -> Self {
        Self { endian: Endian::Little, length: 0 }
    }

    /// The next block; `None` at the end of the file. Fails where reading fails.
    pub(super) fn next<R: Read>(
        &mut self,
        window: &mut Window<R>,
        damages: &mut Damages,
    ) -> Result<Option<Block>> {
        window.pass(std::mem::take(&mut self.length));
        loop {
            if window.want(SMALLEST_BLOCK as usize)? == 0 {
                return Ok(None);
            }
            let offset = window.offset();
            let fault = match self.whole_block(window)? {
                Ok(block) if self.is_closed(window, block) => return Ok(Some(self.give(block))),
                // The head is right where another block follows it.
                Ok(block) if self.is_followed(window, block)? => {
                    damages.push(offset, DamageKind::BlockLength { length: block.length as u32 });
                    return Ok(Some(self.give(block)));
                }
                Ok(block) => Fault::Damage(DamageKind::BlockLength { length: block.length as u32 }),
                Err(fault) => fault,
            };
            let is_found = self.find_block(window)?;
            damages.push(offset, fault.damage(is_found));
            if !is_found {
                return Ok(None);
            }
        }
    }

    fn give(&mut self, block: Block) -> Block {
        self.length = block.length;
        block
    }

    /// Brings the block at the window's beginning into it, and takes the byte order of a section.
    fn whole_block<R: Read>(&mut self, window: &mut Window<R>) -> Result<std::result::Result<Block, Fault>> {
        if window.want(SMALLEST_BLOCK as usize)? < SMALLEST_BLOCK as usize {
            return Ok(Err(Fault::BeyondTheEnd { length: 0 }));
        }
        if Endian::Little.u32(window.bytes(), 0) == Some(SECTION_HEADER) {
            let Some(endian) = byte_order(window.bytes()) else {
                return Ok(Err(Fault::Damage(DamageKind::ByteOrder)));
            };
            self.endian = endian;
        }
        let (kind, length) = self.head(window.bytes(), 0).unwrap_or_default();
        if !is_length(length) {
            return Ok(Err(Fault::Damage(DamageKind::BlockLength { length })));
        }
        let is_whole = window.want(length as usize)? >= length as usize;
        let block = Block { kind, length: length as usize };
        Ok(if is_whole { Ok(block) } else { Err(Fault::BeyondTheEnd { length }) })
    }

    fn head(&self, bytes: &[u8], place: usize) -> Option<(u32, u32)> {
        Some((self.endian.u32(bytes, place)?, self.endian.u32(bytes, place + 4)?))
    }

    /// Whether the trailer repeats the length.
    fn is_closed<R: Read>(&self, window: &Window<R>, block: Block) -> bool {
        self.endian.u32(window.bytes(), block.length - 4) == Some(block.length as u32)
    }

    /// Whether another block, or the end of the file, is where the head says.
    fn is_followed<R: Read>(&self, window: &mut Window<R>, block: Block) -> Result<bool> {
        let there = window.want(block.length + SMALLEST_BLOCK as usize)?;
        Ok(there == block.length || self.is_block(window, block.length)?)
    }

    /// Whether a block of a known type, whole and closed, is at `place` of the window.
    fn is_block<R: Read>(&self, window: &mut Window<R>, place: usize) -> Result<bool> {
        let bytes = window.bytes();
        let is_section = Endian::Little.u32(bytes, place) == Some(SECTION_HEADER);
        let endian = if is_section { bytes.get(place..).and_then(byte_order) } else { Some(self.endian) };
        let Some(blocks) = endian.map(|endian| Blocks { endian, length: 0 }) else { return Ok(false) };
        let Some((kind, length)) = blocks.head(bytes, place) else { return Ok(false) };
        if !is_known(kind) || !is_length(length) {
            return Ok(false);
        }
        window.want(place + length as usize)?;
        Ok(blocks.endian.u32(window.bytes(), place + length as usize - 4) == Some(length))
    }

    /// Moves the window to the next block behind damage; `false` where none is.
    fn find_block<R: Read>(&self, window: &mut Window<R>) -> Result<bool> {
        let mut place = 4;
        while window.want(place + SMALLEST_BLOCK as usize)? >= place + SMALLEST_BLOCK as usize {
            if self.is_block(window, place)? {
                window.pass(place);
                return Ok(true);
            }
            place += 4;
            if place > SEARCH_STEP {
                window.pass(SEARCH_STEP);
                place -= SEARCH_STEP;
            }
        }
        Ok(false)
    }
}

fn byte_order(section: &[u8]) -> Option<Endian> {
    [Endian::Little, Endian::Big].into_iter().find(|endian| endian.u32(section, 8) == Some(BYTE_ORDER_MAGIC))
}

fn is_length(length: u32) -> bool {
    (SMALLEST_BLOCK..=LARGEST_BLOCK).contains(&length) && length.is_multiple_of(4)
}

fn is_known(kind: u32) -> bool {
    matches!(
        kind,
        SECTION_HEADER
            | INTERFACE_DESCRIPTION
            | PACKET
            | SIMPLE_PACKET
            | ENHANCED_PACKET
            | DECRYPTION_SECRETS
    ) || OTHER_KNOWN.contains(&kind)
}
