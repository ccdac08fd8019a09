//! Packets of the classic format (draft-ietf-opsawg-pcap): a header, then record after record.

use super::damage::{DamageKind, Damages};
use super::endian::Endian;
use super::record::{Found, LONGEST_PACKET, Record};
use super::window::Window;
use std::io::{Read, Result};

const MICROSECOND_MAGIC: u32 = 0xa1b2_c3d4;
const NANOSECOND_MAGIC: u32 = 0xa1b2_3c4d;

/// The file's header.
pub(super) const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// Two records that follow each other behind damage are believed to be no further apart.
const ONE_DAY: u32 = 24 * 60 * 60;
/// Bytes of damage that are looked through before the window is moved on.
const SEARCH_STEP: usize = 256 * 1024;

/// The reader of packets.
#[derive(Debug)]
pub(super) struct Pcap {
    endian: Endian,
    /// Nanoseconds of one unit of the fraction.
    unit: u64,
    link: u16,
    /// Bytes at the window's beginning that have been given.
    given: usize,
}

/// The header of a record.
#[derive(Debug, Clone, Copy)]
struct RecordHeader {
    seconds: u32,
    fraction: u32,
    captured: u32,
    length: u32,
}

impl Pcap {
    /// From the file's header; `None` where it is none.
    pub(super) fn from_header(header: &[u8]) -> Option<Self> {
        let endian = [Endian::Little, Endian::Big];
        let kinds = endian.into_iter().flat_map(|endian| [(endian, 1000), (endian, 1)]);
        let (endian, unit) = kinds.into_iter().find(|(endian, unit)| {
            let magic = if *unit == 1 { NANOSECOND_MAGIC } else { MICROSECOND_MAGIC };
            endian.u32(header, 0) == Some(magic)
        })?;
        // The upper bits say whether frames end in a check sum.
        let link = (endian.u32(header, 20)? & 0xffff) as u16;
        Some(Self { endian, unit, link, given: FILE_HEADER })
    }

    /// The next packet; `None` at the end of the file. Fails where reading fails.
    pub(super) fn next<R: Read>(
        &mut self,
        window: &mut Window<R>,
        damages: &mut Damages,
    ) -> Result<Option<Found>> {
        window.pass(std::mem::take(&mut self.given));
        loop {
            let there = window.want(RECORD_HEADER)?;
            if there == 0 {
                return Ok(None);
            }
            let offset = window.offset();
            let Some(header) = self.header(window.bytes(), 0) else {
                damages.push(offset, DamageKind::Truncated);
                return Ok(None);
            };
            let size = RECORD_HEADER + header.captured as usize;
            if header.captured <= LONGEST_PACKET
                && window.want(size)? >= size
                && (self.is_believed(header) || self.is_followed(window, header, size)?)
            {
                self.given = size;
                return Ok(Some(Found::Packet(self.record(header))));
            }
            let is_found = self.find_record(window)?;
            let is_cut = !is_found && header.captured <= LONGEST_PACKET;
            let damage = DamageKind::Record { captured: header.captured };
            damages.push(offset, if is_cut { DamageKind::Truncated } else { damage });
            if !is_found {
                return Ok(None);
            }
        }
    }

    fn record(&self, header: RecordHeader) -> Record {
        let at = u64::from(header.seconds) * 1_000_000_000 + u64::from(header.fraction) * self.unit;
        let length = header.length.max(header.captured);
        Record { at, link: self.link, length, place: RECORD_HEADER..RECORD_HEADER + header.captured as usize }
    }

    fn header(&self, bytes: &[u8], place: usize) -> Option<RecordHeader> {
        let number = |field: usize| self.endian.u32(bytes, place + 4 * field);
        Some(RecordHeader {
            seconds: number(0)?,
            fraction: number(1)?,
            captured: number(2)?,
            length: number(3)?,
        })
    }

    /// Moves the window to the next record behind damage; `false` where none is.
    fn find_record<R: Read>(&self, window: &mut Window<R>) -> Result<bool> {
        let mut place = 1;
        while window.want(place + RECORD_HEADER)? >= place + RECORD_HEADER {
            if self.is_record(window, place)? {
                window.pass(place);
                return Ok(true);
            }
            place += 1;
            if place > SEARCH_STEP {
                window.pass(SEARCH_STEP);
                place -= SEARCH_STEP;
            }
        }
        Ok(false)
    }

    /// Whether a record that could be one is at `place`, and behind it another or the end of the file.
    fn is_record<R: Read>(&self, window: &mut Window<R>, place: usize) -> Result<bool> {
        match self.header(window.bytes(), place) {
            Some(header) if self.is_believed(header) && header.captured > 0 => {
                self.is_followed(window, header, place + RECORD_HEADER + header.captured as usize)
            }
            _ => Ok(false),
        }
    }

    /// Whether a record of about the same time, or the end of the file, is at `place`.
    fn is_followed<R: Read>(
        &self,
        window: &mut Window<R>,
        header: RecordHeader,
        place: usize,
    ) -> Result<bool> {
        let there = window.want(place + RECORD_HEADER)?;
        let next = self.header(window.bytes(), place);
        let is_next =
            |next: RecordHeader| self.is_believed(next) && next.seconds.abs_diff(header.seconds) < ONE_DAY;
        Ok(there == place || next.is_some_and(is_next))
    }

    fn is_believed(&self, header: RecordHeader) -> bool {
        header.captured <= header.length
            && header.length <= LONGEST_PACKET
            && u64::from(header.fraction) * self.unit < 1_000_000_000
    }
}
