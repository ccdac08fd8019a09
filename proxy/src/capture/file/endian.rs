//! Numbers in the byte order of the machine that wrote the file.

/// A byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// Two bytes at `place`.
    pub(super) fn u16(self, bytes: &[u8], place: usize) -> Option<u16> {
        let number = array(bytes, place)?;
        Some(match self {
            Endian::Little => u16::from_le_bytes(number),
            Endian::Big => u16::from_be_bytes(number),
        })
    }

    /// Four bytes at `place`.
    pub(super) fn u32(self, bytes: &[u8], place: usize) -> Option<u32> {
        let number = array(bytes, place)?;
        Some(match self {
            Endian::Little => u32::from_le_bytes(number),
            Endian::Big => u32::from_be_bytes(number),
        })
    }

    /// Eight bytes at `place`, signed.
    pub(super) fn i64(self, bytes: &[u8], place: usize) -> Option<i64> {
        let number = array(bytes, place)?;
        Some(match self {
            Endian::Little => i64::from_le_bytes(number),
            Endian::Big => i64::from_be_bytes(number),
        })
    }
}

fn array<const N: usize>(bytes: &[u8], place: usize) -> Option<[u8; N]> {
    bytes.get(place..place.checked_add(N)?)?.try_into().ok()
}
