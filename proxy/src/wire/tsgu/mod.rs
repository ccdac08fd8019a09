//! Packets of an RD Gateway's HTTP transport (MS-TSGU 2.2.10), the same over WebSocket and over two connections.
//!
//! What authenticates somebody is never kept: cookies, tokens and statements of health are lengths.

pub mod header;
mod packet;
pub mod packets;
pub mod status;

pub use packets::{Found, Packets};

use super::named::{Code, Flags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// HTTP_CAPABILITY_UDP_TRANSPORT (MS-TSGU 2.2.5.3.9).
pub const UDP_TRANSPORT: u32 = 0x20;

/// Bytes of a data packet before its data: the header, and the length of the data (MS-TSGU 2.2.10.6).
pub const DATA_HEAD: usize = 10;

/// Bytes of RDP that one data packet can hold.
pub const MOST_DATA: usize = 0xFFFF;

/// HTTP_DATA_PACKET (2.2.10.6) with the first [`MOST_DATA`] bytes of `data`.
pub fn data_packet(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let data = &data[..usize::from(length)];
    let mut packet = packet_header(header::DATA, DATA_HEAD + data.len());
    packet.extend_from_slice(&length.to_le_bytes());
    packet.extend_from_slice(data);
    packet
}

/// HTTP_CLOSE_PACKET (2.2.10.4) without a fault: the channel ends.
pub fn close_packet() -> Vec<u8> {
    const STATUS: [u8; 4] = [0; 4];
    let mut packet = packet_header(header::CLOSE_CHANNEL, header::LENGTH + STATUS.len());
    packet.extend_from_slice(&STATUS);
    packet
}

fn packet_header(packet_type: u16, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let mut packet = Vec::with_capacity(length as usize);
    packet.extend_from_slice(&packet_type.to_le_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(&length.to_le_bytes());
    packet
}

/// A packet of the tunnel. The name in JSON is the specification's in snake case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "packet", rename_all = "snake_case")]
pub enum Packet {
    /// HTTP_HANDSHAKE_REQUEST_PACKET (2.2.10.10).
    HandshakeRequest {
        /// `"1.0"`.
        version: String,
        /// clientVersion.
        client_version: u16,
        /// HTTP_EXTENDED_AUTH.
        extended_auth: Flags,
    },
    /// HTTP_HANDSHAKE_RESPONSE_PACKET (2.2.10.11).
    HandshakeResponse {
        /// errorCode.
        status: Code,
        /// `"1.0"`.
        version: String,
        /// serverVersion.
        server_version: u16,
        /// HTTP_EXTENDED_AUTH.
        extended_auth: Flags,
    },
    /// HTTP_EXTENDED_AUTH_PACKET (2.2.10.7).
    ExtendedAuthMsg {
        /// errorCode.
        status: Code,
        /// Bytes of the token, which is not kept.
        token_length: usize,
    },
    /// HTTP_TUNNEL_PACKET (2.2.10.18).
    TunnelCreate {
        /// HTTP_CAPABILITY_TYPE.
        capabilities: Flags,
        /// Bytes of the PAA cookie, which is not kept; absent where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paa_cookie_length: Option<usize>,
        /// Whether this is the tunnel of a reauthentication.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reauthentication: bool,
    },
    /// HTTP_TUNNEL_RESPONSE (2.2.10.20).
    TunnelResponse {
        /// serverVersion.
        server_version: u16,
        /// statusCode.
        status: Code,
        /// tunnelId.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tunnel_id: Option<u32>,
        /// HTTP_CAPABILITY_TYPE; absent where the field is not there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        capabilities: Option<Flags>,
        /// The message to which the user has to consent, its beginning.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        consent_message: Option<String>,
    },
    /// HTTP_TUNNEL_AUTH_PACKET (2.2.10.14).
    TunnelAuth {
        /// The client's name.
        client_name: String,
        /// Bytes of the statement of health, which is not kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        statement_of_health_length: Option<usize>,
    },
    /// HTTP_TUNNEL_AUTH_RESPONSE (2.2.10.16).
    TunnelAuthResponse {
        /// errorCode.
        status: Code,
        /// HTTP_TUNNEL_REDIR_FLAGS.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redirection: Option<Flags>,
        /// Idle timeout, minutes; 0 for none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idle_timeout_minutes: Option<u32>,
    },
    /// HTTP_CHANNEL_PACKET (2.2.10.2).
    ChannelCreate {
        /// Names of the target, in the order in which the gateway tries them.
        resources: Vec<String>,
        /// Further names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        alternatives: Vec<String>,
        /// The target's port.
        port: u16,
        /// 3 for RDP.
        protocol: u16,
    },
    /// HTTP_CHANNEL_RESPONSE (2.2.10.4).
    ChannelResponse {
        /// errorCode.
        status: Code,
        /// channelId.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel_id: Option<u32>,
        /// The port of the UDP side channel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        udp_port: Option<u16>,
        /// Bytes of the cookie for it, which is not kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        udp_cookie_length: Option<usize>,
    },
    /// HTTP_DATA_PACKET (2.2.10.6).
    Data {
        /// Bytes of RDP.
        length: usize,
    },
    /// HTTP_SERVICE_MESSAGE (2.2.10.13).
    ServiceMessage {
        /// What the user is shown, its beginning.
        text: String,
    },
    /// HTTP_REAUTH_MESSAGE (2.2.10.12).
    ReauthMessage,
    /// HTTP_KEEPALIVE_PACKET (2.2.10.9).
    Keepalive,
    /// HTTP_CLOSE_PACKET (2.2.10.5) with type HTTP_PACKET_TYPE_CLOSE_CHANNEL.
    CloseChannel {
        /// statusCode.
        status: Code,
    },
    /// The same as its answer.
    CloseChannelResponse {
        /// statusCode.
        status: Code,
    },
    /// Of a type that the specification does not list.
    Unknown {
        /// packetType.
        packet_type: u16,
        /// packetLength, bytes.
        length: u32,
    },
}

impl Packet {
    /// The packet's name, as JSON has it.
    pub fn name(&self) -> &'static str {
        match self {
            Packet::HandshakeRequest { .. } => "handshake_request",
            Packet::HandshakeResponse { .. } => "handshake_response",
            Packet::ExtendedAuthMsg { .. } => "extended_auth_msg",
            Packet::TunnelCreate { .. } => "tunnel_create",
            Packet::TunnelResponse { .. } => "tunnel_response",
            Packet::TunnelAuth { .. } => "tunnel_auth",
            Packet::TunnelAuthResponse { .. } => "tunnel_auth_response",
            Packet::ChannelCreate { .. } => "channel_create",
            Packet::ChannelResponse { .. } => "channel_response",
            Packet::Data { .. } => "data",
            Packet::ServiceMessage { .. } => "service_message",
            Packet::ReauthMessage => "reauth_message",
            Packet::Keepalive => "keepalive",
            Packet::CloseChannel { .. } => "close_channel",
            Packet::CloseChannelResponse { .. } => "close_channel_response",
            Packet::Unknown { .. } => "unknown",
        }
    }

    /// The status that an answer carries.
    pub fn status(&self) -> Option<&Code> {
        match self {
            Packet::HandshakeResponse { status, .. }
            | Packet::ExtendedAuthMsg { status, .. }
            | Packet::TunnelResponse { status, .. }
            | Packet::TunnelAuthResponse { status, .. }
            | Packet::ChannelResponse { status, .. }
            | Packet::CloseChannel { status }
            | Packet::CloseChannelResponse { status } => Some(status),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
