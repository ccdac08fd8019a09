//! NDR, the transfer syntax of the stubs (C706 14), little endian: as much of it as MS-TSGU's structures use.

use crate::wire::named::utf16_text;
use crate::wire::{Malformed, Reader};

/// Reads values at their alignment, which counts from the stub's start.
#[derive(Debug)]
pub(super) struct Ndr<'a>(Reader<'a>);

impl<'a> Ndr<'a> {
    /// A cursor at the start of `stub`; `structure` is the name used in errors.
    pub(super) fn new(structure: &'static str, stub: &'a [u8]) -> Self {
        Ndr(Reader::new(structure, stub))
    }

    /// An error at the present offset.
    pub(super) fn malformed(&self, reason: &'static str) -> Malformed {
        self.0.malformed(reason)
    }

    /// An unsigned short.
    pub(super) fn short(&mut self) -> Result<u16, Malformed> {
        self.align(2)?;
        self.0.u16_le()
    }

    /// An unsigned long.
    pub(super) fn long(&mut self) -> Result<u32, Malformed> {
        self.align(4)?;
        self.0.u32_le()
    }

    /// Skips an unsigned hyper.
    pub(super) fn skip_hyper(&mut self) -> Result<(), Malformed> {
        self.align(8)?;
        self.0.take(8).map(drop)
    }

    /// Skips a context handle or a GUID: a long and 16 bytes, or 16 bytes, both aligned like a long.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        self.align(4)?;
        self.0.take(count).map(drop)
    }

    /// A pointer: whether it leads anywhere. What it leads to follows the structure that it stands in.
    pub(super) fn pointer(&mut self) -> Result<bool, Malformed> {
        Ok(self.long()? != 0)
    }

    /// A pointer that has to lead somewhere.
    pub(super) fn required_pointer(&mut self) -> Result<(), Malformed> {
        if self.pointer()? { Ok(()) } else { Err(self.malformed("a null pointer to what is needed")) }
    }

    /// A union's discriminant: the value that chose the arm, and again in the union itself.
    pub(super) fn arm(&mut self) -> Result<u32, Malformed> {
        let chosen = self.long()?;
        if self.long()? == chosen {
            Ok(chosen)
        } else {
            Err(self.malformed("two values for the arm of a union"))
        }
    }

    /// A conformant array of bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.long()? as usize;
        self.0.take(count)
    }

    /// A conformant and varying string of UTF-16: its text up to a limit.
    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        let (most, _offset, count) = (self.long()?, self.long()?, self.long()?);
        if count > most {
            return Err(self.malformed("a string longer than its array"));
        }
        // On a machine of 32 bits twice the count could be too much; such a string is not there either.
        let bytes = self.0.take((count as usize).saturating_mul(2))?;
        Ok(utf16_text(bytes))
    }

    fn align(&mut self, boundary: usize) -> Result<(), Malformed> {
        let padding = self.0.offset().next_multiple_of(boundary) - self.0.offset();
        self.0.take(padding).map(drop)
    }
}
