//! Whole records of one side, from bytes in any pieces, each in a buffer that can be decrypted in place.

use crate::wire::Malformed;
use crate::wire::tls::RecordHeader;

const HEADER_LENGTH: usize = 5;

/// Puts the records of one side together.
#[derive(Default)]
pub(super) struct Assembler {
    header: [u8; HEADER_LENGTH],
    header_filled: usize,
    fragment: Vec<u8>,
    records: u64,
}

impl Assembler {
    /// The next record that ends within `input`, which advances past what was read. `None`: all of it was read.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<Result<(RecordHeader, Vec<u8>), Malformed>> {
        let filled = &mut self.header_filled;
        *filled += move_bytes(input, &mut self.header[*filled..]);
        if *filled < HEADER_LENGTH {
            return None;
        }
        let header = match RecordHeader::decode(&self.header) {
            Ok(header) => header,
            Err(malformed) => {
                self.records += 1;
                return Some(Err(malformed));
            }
        };
        let length = usize::from(header.length);
        let (part, rest) = input.split_at((length - self.fragment.len()).min(input.len()));
        self.fragment.reserve_exact(length - self.fragment.len());
        self.fragment.extend_from_slice(part);
        *input = rest;
        if self.fragment.len() < length {
            return None;
        }
        self.records += 1;
        self.header_filled = 0;
        Some(Ok((header, std::mem::take(&mut self.fragment))))
    }

    /// Takes the buffer of a record back, for the next one.
    pub(super) fn give_back(&mut self, mut fragment: Vec<u8>) {
        fragment.clear();
        self.fragment = fragment;
    }

    /// How many records have ended.
    pub(super) fn records(&self) -> u64 {
        self.records
    }
}

fn move_bytes(input: &mut &[u8], to: &mut [u8]) -> usize {
    let (part, rest) = input.split_at(to.len().min(input.len()));
    to[..part.len()].copy_from_slice(part);
    *input = rest;
    part.len()
}
