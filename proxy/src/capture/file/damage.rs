//! What is wrong with a capture file: data, not an error.

use std::fmt;

/// Damages kept of one file: who reads a list wants its first ones, and a file can be broken everywhere.
const MOST_DAMAGES: usize = 32;

/// Something wrong in a capture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where, in bytes from the file's beginning (after decompression).
    pub offset: u64,
    /// What.
    pub kind: DamageKind,
}

/// What can be wrong in a capture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamageKind {
    /// The file ends inside a block or record.
    Truncated,
    /// The block's two lengths differ, or no block has such a length.
    BlockLength {
        /// As the block's head has it.
        length: u32,
    },
    /// A section begins with no byte order that there is.
    ByteOrder,
    /// A record of a pcap file has lengths or a time that cannot be.
    Record {
        /// Bytes that the record claims to hold.
        captured: u32,
    },
    /// A packet that claims to have more bytes than its block.
    PacketBeyondBlock {
        /// What it claims.
        captured: u32,
    },
    /// A packet longer than any link carries; it is passed over.
    PacketTooLong {
        /// What it claims.
        captured: u32,
    },
    /// A packet of an interface that is not described; it is passed over.
    UnknownInterface {
        /// The number of the interface.
        interface: u32,
    },
    /// More interfaces than are followed.
    TooManyInterfaces,
    /// The decompressor could not go on.
    Compression {
        /// Its words.
        reason: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: ", self.offset)?;
        match &self.kind {
            DamageKind::Truncated => write!(f, "the file ends in the middle of a packet or block"),
            DamageKind::BlockLength { length } => write!(f, "a block has a wrong length ({length})"),
            DamageKind::ByteOrder => write!(f, "a section has no byte order"),
            DamageKind::Record { captured } => {
                write!(f, "a packet's header makes no sense (it claims {captured} bytes)")
            }
            DamageKind::PacketBeyondBlock { captured } => {
                write!(f, "a packet claims {captured} bytes, more than its block has")
            }
            DamageKind::PacketTooLong { captured } => {
                write!(f, "a packet claims {captured} bytes, more than any link carries")
            }
            DamageKind::UnknownInterface { interface } => {
                write!(f, "a packet came through interface {interface}, which the file does not describe")
            }
            DamageKind::TooManyInterfaces => write!(f, "the file describes too many interfaces"),
            DamageKind::Compression { reason } => write!(f, "the compressed data is damaged ({reason})"),
        }
    }
}

/// The damages of a file, the first ones kept and the others counted.
#[derive(Debug, Default)]
pub(super) struct Damages {
    kept: Vec<Damage>,
    left_out: u64,
}

impl Damages {
    /// One more.
    pub(super) fn push(&mut self, offset: u64, kind: DamageKind) {
        if self.kept.len() < MOST_DAMAGES {
            self.kept.push(Damage { offset, kind });
        } else {
            self.left_out += 1;
        }
    }

    /// Those that were kept, and how many there were beside.
    pub(super) fn into_parts(self) -> (Vec<Damage>, u64) {
        (self.kept, self.left_out)
    }
}
