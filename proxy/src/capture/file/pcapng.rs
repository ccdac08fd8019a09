//! Packets of pcapng: sections, interfaces, and the three kinds of packet block (draft-ietf-opsawg-pcapng section 4).

use super::blocks::{
    Block, Blocks, DECRYPTION_SECRETS, ENHANCED_PACKET, INTERFACE_DESCRIPTION, PACKET, SECTION_HEADER,
    SIMPLE_PACKET,
};
use super::damage::{DamageKind, Damages};
use super::endian::Endian;
use super::record::{Found, LONGEST_PACKET, Record};
use super::secrets;
use super::window::Window;
use crate::capture::Nanoseconds;
use std::io::{Read, Result};

/// Interfaces of one section that are followed: more than any machine has, and a limit for a file that describes nothing
/// else.
const MOST_INTERFACES: usize = 65_536;

const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

/// Block head: type and length.
const HEAD: usize = 8;

/// An interface of a section.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link: u16,
    /// 0 where packets are not cut.
    snapshot_length: u32,
    resolution: Resolution,
    /// Seconds that are added to each time.
    offset: i64,
}

/// Units of time in a second.
#[derive(Debug, Clone, Copy)]
enum Resolution {
    /// 10 to the power of this.
    Ten(u8),
    /// 2 to the power of this.
    Two(u8),
}

impl Resolution {
    const MICROSECONDS: Resolution = Resolution::Ten(6);

    fn nanoseconds(self, units: u64) -> u64 {
        let units = u128::from(units);
        let nanoseconds = match self {
            Resolution::Ten(power @ 0..=9) => units * 10_u128.pow(9 - u32::from(power)),
            Resolution::Ten(power) => {
                10_u128.checked_pow(u32::from(power) - 9).map_or(0, |divisor| units / divisor)
            }
            Resolution::Two(power) => (units * 1_000_000_000) >> power.min(127),
        };
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }
}

/// The reader of packets.
#[derive(Debug)]
pub(super) struct PcapNg {
    blocks: Blocks,
    interfaces: Vec<Interface>,
    /// Time of the latest packet: simple packets have none of their own.
    latest: Nanoseconds,
    /// Packets that were passed over because of damage.
    passed_over: u64,
}

/// What a packet block has before its data.
struct PacketHead {
    interface: u32,
    units: Option<u64>,
    captured: u32,
    length: u32,
    /// Bytes before the data, counted from the block's beginning.
    size: usize,
}

impl PcapNg {
    /// At the beginning of a file.
    pub(super) fn new() -> Self {
        Self { blocks: Blocks::new(), interfaces: Vec::new(), latest: 0, passed_over: 0 }
    }

    /// Packets that were passed over since the last call.
    pub(super) fn take_passed_over(&mut self) -> u64 {
        std::mem::take(&mut self.passed_over)
    }

    /// The next packet or key log; `None` at the end of the file. Fails where reading fails.
    pub(super) fn next<R: Read>(
        &mut self,
        window: &mut Window<R>,
        damages: &mut Damages,
    ) -> Result<Option<Found>> {
        while let Some(block) = self.blocks.next(window, damages)? {
            let offset = window.offset();
            match block.kind {
                SECTION_HEADER => self.interfaces.clear(),
                INTERFACE_DESCRIPTION => {
                    if let Err(damage) = self.describe(block.body(window.bytes())) {
                        damages.push(offset, damage);
                    }
                }
                ENHANCED_PACKET | SIMPLE_PACKET | PACKET => match self.packet(block, window.bytes()) {
                    Ok((record, damage)) => {
                        damage.into_iter().for_each(|damage| damages.push(offset, damage));
                        return Ok(Some(Found::Packet(record)));
                    }
                    Err(damage) => {
                        damages.push(offset, damage);
                        self.passed_over += 1;
                    }
                },
                DECRYPTION_SECRETS => {
                    let body = block.body(window.bytes());
                    if let Some(Ok(text)) = secrets::key_log(self.blocks.endian, body) {
                        return Ok(Some(Found::KeyLog(HEAD + text.start..HEAD + text.end)));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn describe(&mut self, body: &[u8]) -> std::result::Result<(), DamageKind> {
        let endian = self.blocks.endian;
        let (Some(link), Some(snapshot_length)) = (endian.u16(body, 0), endian.u32(body, 4)) else {
            return Err(DamageKind::BlockLength { length: (body.len() + 12) as u32 });
        };
        if self.interfaces.len() == MOST_INTERFACES {
            return Err(DamageKind::TooManyInterfaces);
        }
        let (resolution, offset) = (Resolution::MICROSECONDS, 0);
        let mut interface = Interface { link, snapshot_length, resolution, offset };
        interface.take_options(endian, body.get(8..).unwrap_or_default());
        self.interfaces.push(interface);
        Ok(())
    }

    /// The packet of a block, and what is wrong with it where it can be read nevertheless.
    fn packet(
        &mut self,
        block: Block,
        window: &[u8],
    ) -> std::result::Result<(Record, Option<DamageKind>), DamageKind> {
        let body = block.body(window);
        let head = match block.kind {
            ENHANCED_PACKET => enhanced(self.blocks.endian, body),
            PACKET => obsolete(self.blocks.endian, body),
            _ => self.simple(body),
        };
        let head = head.ok_or(DamageKind::BlockLength { length: block.length as u32 })?;
        let interface = self.interfaces.get(head.interface as usize).copied();
        let interface = interface.ok_or(DamageKind::UnknownInterface { interface: head.interface })?;
        if head.captured > LONGEST_PACKET {
            return Err(DamageKind::PacketTooLong { captured: head.captured });
        }
        if let Some(units) = head.units {
            let since = interface.resolution.nanoseconds(units);
            self.latest = since.saturating_add_signed(interface.offset.saturating_mul(1_000_000_000));
        }
        let room = block.length - 4 - head.size;
        let there = room.min(head.captured as usize);
        let damage = (there < head.captured as usize)
            .then_some(DamageKind::PacketBeyondBlock { captured: head.captured });
        let place = head.size..head.size + there;
        let length = head.length.max(there as u32);
        Ok((Record { at: self.latest, link: interface.link, length, place }, damage))
    }

    /// A simple packet came through the first interface, which says to how many bytes it was cut.
    fn simple(&self, body: &[u8]) -> Option<PacketHead> {
        let length = self.blocks.endian.u32(body, 0)?;
        let cut_to = self.interfaces.first().map_or(0, |interface| interface.snapshot_length);
        let captured = if cut_to == 0 { length } else { length.min(cut_to) };
        Some(PacketHead { interface: 0, units: None, captured, length, size: HEAD + 4 })
    }
}

fn enhanced(endian: Endian, body: &[u8]) -> Option<PacketHead> {
    let [interface, high, low, captured, length] = numbers(endian, body, [0, 4, 8, 12, 16])?;
    let units = Some(u64::from(high) << 32 | u64::from(low));
    Some(PacketHead { interface, units, captured, length, size: HEAD + 20 })
}

fn obsolete(endian: Endian, body: &[u8]) -> Option<PacketHead> {
    let interface = u32::from(endian.u16(body, 0)?);
    let [high, low, captured, length] = numbers(endian, body, [4, 8, 12, 16])?;
    let units = Some(u64::from(high) << 32 | u64::from(low));
    Some(PacketHead { interface, units, captured, length, size: HEAD + 20 })
}

fn numbers<const N: usize>(endian: Endian, body: &[u8], places: [usize; N]) -> Option<[u32; N]> {
    let last = places.last().copied()?;
    endian.u32(body, last)?;
    Some(places.map(|place| endian.u32(body, place).unwrap_or_default()))
}

impl Interface {
    fn take_options(&mut self, endian: Endian, mut options: &[u8]) {
        while let (Some(code), Some(length)) = (endian.u16(options, 0), endian.u16(options, 2)) {
            let value = options.get(4..4 + usize::from(length)).unwrap_or_default();
            match (code, value) {
                (0, _) => return,
                (OPTION_TIME_RESOLUTION, [power, ..]) if power & 0x80 == 0 => {
                    self.resolution = Resolution::Ten(*power);
                }
                (OPTION_TIME_RESOLUTION, [power, ..]) => self.resolution = Resolution::Two(power & 0x7f),
                (OPTION_TIME_OFFSET, value) => self.offset = endian.i64(value, 0).unwrap_or(0),
                _ => {}
            }
            let padded = 4 + usize::from(length).next_multiple_of(4);
            options = options.get(padded..).unwrap_or_default();
        }
    }
}
