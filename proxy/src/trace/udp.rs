//! What can be seen of an RDP-UDP side channel.

use super::Side;
use crate::wire::rdpeudp::RecordProtocol;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that was seen on the RDP-UDP side channel (MS-RDPEUDP, MS-RDPEUDP2). Times are microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum UdpMessage {
    /// The client asks for a connection.
    Syn {
        /// 1 for the first; more are repetitions because no answer came.
        attempt: u32,
        /// What it says.
        #[serde(flatten)]
        syn: Syn,
        /// uCorrelationId, hex: the same as in the X.224 request of the TCP connection.
        correlation_id: Option<String>,
        /// Whether a hash of the multitransport cookie is there (version 3).
        cookie_hash: bool,
    },
    /// The server answers.
    SynAck {
        /// 1 for the first; more are repetitions because the client's acknowledgement did not come.
        attempt: u32,
        /// What it says.
        #[serde(flatten)]
        syn: Syn,
    },
    /// The client's first datagram after the answer: the connection is open.
    Established {
        /// The version the server chose.
        version: Option<u8>,
        /// Since the first SYN; absent where that was not seen.
        took_us: Option<u64>,
    },
    /// The first TLS or DTLS handshake record of a side, inside the connection.
    HandshakeRecord {
        /// Which of the two.
        protocol: RecordProtocol,
    },
    /// Datagrams without the handshake before them: whether the connection was opened cannot be known.
    BeginningNotSeen,
    /// A datagram that is not RDP-UDP; only the first few are told one by one.
    NotRdpeudp {
        /// Bytes of the datagram.
        length: usize,
        /// A TLS or DTLS handshake record that stands alone, as on a gateway's side channel.
        protocol: Option<RecordProtocol>,
        /// What kept it from being read.
        reason: String,
    },
    /// No answer to any SYN.
    Unanswered {
        /// How many there were.
        syn_count: u32,
        /// Since the first.
        waited_us: u64,
    },
    /// A side of an open connection has stopped sending; where it is told twice the later one counts.
    Silence {
        /// Who fell silent.
        side: Side,
        /// For how long.
        for_us: u64,
        /// Datagrams it had sent until then.
        after_datagrams: u64,
    },
}

/// What SYN and SYN+ACK have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Syn {
    /// Version: 1, 2 or 3; absent where `udp_version` is none that is known.
    pub version: Option<u8>,
    /// uUdpVer as sent; absent in version 1.
    pub udp_version: Option<u16>,
    /// The names of uFlags.
    pub flags: Vec<String>,
    /// RDPUDP_FLAG_SYNLOSSY: the transport may lose data.
    pub lossy: bool,
    /// uUpStreamMtu, bytes, as sent.
    pub up_mtu: u16,
    /// uDownStreamMtu, bytes, as sent.
    pub down_mtu: u16,
    /// Bytes of the datagram, padding included.
    pub length: usize,
}

/// The side channel in one piece. What cannot be known is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UdpSummary {
    /// Version the client offered: 1, 2 or 3.
    pub client_version: Option<u8>,
    /// Version the server answered with: 1, 2 or 3.
    pub server_version: Option<u8>,
    /// Whether the three-way handshake finished; absent where the beginning was not seen.
    pub established: Option<bool>,
    /// SYNs of the client, repetitions included.
    pub syn_count: u32,
    /// SYN+ACKs of the server, repetitions included.
    pub syn_ack_count: u32,
    /// The protocol of the client's first handshake record.
    pub protocol: Option<RecordProtocol>,
    /// Datagrams from client to server.
    pub datagrams_up: u64,
    /// Datagrams from server to client.
    pub datagrams_down: u64,
    /// Payload bytes from client to server.
    pub bytes_up: u64,
    /// Payload bytes from server to client.
    pub bytes_down: u64,
    /// Datagrams that are not RDP-UDP.
    pub not_rdpeudp: u64,
    /// When the client sent last.
    pub last_from_client_us: Option<u64>,
    /// When the server sent last.
    pub last_from_server_us: Option<u64>,
}
