//! What only a capture shows: TCP below the bytes, and what the file does not have.

use super::{Micros, Side};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that is known from a capture and never from a relay. The event's `from` says whose bytes it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum CaptureMessage {
    /// What TCP shows below the bytes, told when the connection is over.
    TcpEvidence(Box<TcpEvidence>),
    /// Bytes of the connection are not in the file; what they would have said cannot be known.
    BytesMissing {
        /// How many; absent where that cannot be known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
        /// Why.
        reason: MissingReason,
    },
    /// Nobody saw who dialled: client and server were told apart by their ports.
    RolesGuessed,
    /// TLS of this connection is decrypted from here on.
    TlsOpened {
        /// Version and cipher suite, in words.
        how: String,
    },
    /// What follows in TLS could not be decrypted, though its beginning was.
    DecryptionStopped {
        /// Why.
        reason: String,
    },
}

/// What the segments of one TCP connection say beside their bytes. Arrays have the client first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpEvidence {
    /// From the first SYN to the SYN+ACK as the capturing machine saw it.
    pub syn_answer_us: Option<Micros>,
    /// From the SYN+ACK to the client's ACK: with `syn_answer_us` the round trip between both ends.
    pub ack_us: Option<Micros>,
    /// SYNs that were sent.
    pub syns: u32,
    /// Who answered the SYN and in which way; `None` where nobody did, or the file begins later.
    pub syn_answer: Option<SynAnswer>,
    /// Maximum segment size that each side announced.
    pub maximum_segment_size: [Option<u16>; 2],
    /// The largest payload that each side sent in one segment.
    pub largest_segment: [u32; 2],
    /// Segments that carried bytes.
    pub segments: [u64; 2],
    /// Segments whose bytes had been sent before.
    pub retransmissions: [u64; 2],
    /// Of those, segments whose bytes the other side had, as its answers show: their acknowledgment was late, and nothing lost.
    #[serde(default)]
    pub needless: [u64; 2],
    /// Segments that came after later ones.
    pub out_of_order: [u64; 2],
    /// Segments whose bytes were acknowledged or passed over and are not in the file.
    pub lost: [u64; 2],
    /// Segments with a window of zero.
    pub zero_windows: [u64; 2],
    /// How long bytes of each side took to be acknowledged, as the capturing machine saw it: the second shortest of the last
    /// four times. Absent with fewer.
    #[serde(default, skip_serializing_if = "is_none_of_both")]
    pub acknowledged_us: [Option<Micros>; 2],
    /// What one side sent again and again at the end, to which nothing came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<Unanswered>,
    /// Time to live (hop limit) of each side's first packet.
    pub time_to_live: [Option<u8>; 2],
    /// The first packet of a side whose time to live differs from that of its first one: another machine sent it.
    pub time_to_live_changes: Vec<TimeToLiveChange>,
}

fn is_none_of_both(times: &[Option<Micros>; 2]) -> bool {
    *times == [None; 2]
}

/// Bytes that were sent again until the connection was given up, or the file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unanswered {
    /// When they were sent first.
    pub t_us: Micros,
    /// Who sent them.
    pub from: Side,
    /// How often they were sent again.
    pub again: u32,
    /// For how long neither side had sent a byte before.
    pub quiet_us: Micros,
    /// From the first time to the last.
    pub for_us: Micros,
}

/// How a SYN was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SynAnswer {
    /// SYN and ACK.
    Accepted,
    /// RST.
    Reset,
    /// ICMP: unreachable or prohibited.
    Unreachable,
}

/// A packet that came another way than its side's first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeToLiveChange {
    /// When.
    pub t_us: Micros,
    /// In whose name it was sent.
    pub from: Side,
    /// Time to live of the side's first packet.
    pub first: u8,
    /// Of this one.
    pub here: u8,
    /// It resets the connection.
    pub is_reset: bool,
}

/// Bytes that belong to a connection and are not in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MissingReason {
    /// The file begins in the middle of the connection.
    BeganEarlier,
    /// The capturing machine missed packets: the peer acknowledged the bytes.
    NotCaptured,
    /// The peer asked for them to the end, though it had what follows them: they were lost on the way.
    NeverArrived,
    /// Packets were cut to the snapshot length.
    SnapshotLength,
    /// The segments overlap and disagree.
    OverlapDiffers,
    /// So much came out of order that what waits was given up.
    TooMuchWaiting,
}
