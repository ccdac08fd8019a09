//! HTTP_PACKET_HEADER (MS-TSGU 2.2.10.8): which packet it is and how long.

/// Bytes of the header.
pub const LENGTH: usize = 8;

/// Bytes of the longest packet that is read. Most have one field of up to 64 KiB, some two.
pub const LONGEST_PACKET: u32 = 192 * 1024;

/// HTTP_PACKET_TYPE (MS-TSGU 2.2.5.3.3).
pub const HANDSHAKE_REQUEST: u16 = 0x1;
/// Its answer.
pub const HANDSHAKE_RESPONSE: u16 = 0x2;
/// A token of extended authentication.
pub const EXTENDED_AUTH_MSG: u16 = 0x3;
/// The tunnel is asked for.
pub const TUNNEL_CREATE: u16 = 0x4;
/// Its answer.
pub const TUNNEL_RESPONSE: u16 = 0x5;
/// The tunnel's authorization is asked for.
pub const TUNNEL_AUTH: u16 = 0x6;
/// Its answer.
pub const TUNNEL_AUTH_RESPONSE: u16 = 0x7;
/// The channel is asked for.
pub const CHANNEL_CREATE: u16 = 0x8;
/// Its answer.
pub const CHANNEL_RESPONSE: u16 = 0x9;
/// Bytes of RDP.
pub const DATA: u16 = 0xA;
/// Something for the user to read.
pub const SERVICE_MESSAGE: u16 = 0xB;
/// The client is to authenticate again.
pub const REAUTH_MESSAGE: u16 = 0xC;
/// Nothing, so that nobody forgets the connection.
pub const KEEPALIVE: u16 = 0xD;
/// The channel ends.
pub const CLOSE_CHANNEL: u16 = 0x10;
/// Its answer.
pub const CLOSE_CHANNEL_RESPONSE: u16 = 0x11;

/// Each type: number, the specification's name, bytes of the shortest and the longest packet.
const TYPES: &[(u16, &str, u32, u32)] = &[
    (HANDSHAKE_REQUEST, "HTTP_HANDSHAKE_REQUEST_PACKET", 14, 14),
    (HANDSHAKE_RESPONSE, "HTTP_HANDSHAKE_RESPONSE_PACKET", 18, 18),
    (EXTENDED_AUTH_MSG, "HTTP_EXTENDED_AUTH_PACKET", 14, 14 + 0xFFFF),
    (TUNNEL_CREATE, "HTTP_TUNNEL_PACKET", 16, LONGEST_PACKET),
    (TUNNEL_RESPONSE, "HTTP_TUNNEL_RESPONSE", 18, LONGEST_PACKET),
    (TUNNEL_AUTH, "HTTP_TUNNEL_AUTH_PACKET", 12, LONGEST_PACKET),
    (TUNNEL_AUTH_RESPONSE, "HTTP_TUNNEL_AUTH_RESPONSE", 16, LONGEST_PACKET),
    (CHANNEL_CREATE, "HTTP_CHANNEL_PACKET", 14, LONGEST_PACKET),
    (CHANNEL_RESPONSE, "HTTP_CHANNEL_RESPONSE", 16, LONGEST_PACKET),
    (DATA, "HTTP_DATA_PACKET", 10, 10 + 0xFFFF),
    (SERVICE_MESSAGE, "HTTP_SERVICE_MESSAGE", 10, 10 + 0xFFFF),
    (REAUTH_MESSAGE, "HTTP_REAUTH_MESSAGE", 16, 16),
    (KEEPALIVE, "HTTP_KEEPALIVE_PACKET", 8, 8),
    (CLOSE_CHANNEL, "HTTP_CLOSE_PACKET", 12, 12),
    (CLOSE_CHANNEL_RESPONSE, "HTTP_CLOSE_PACKET", 12, 12),
];

/// The header of a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// packetType.
    pub packet_type: u16,
    /// reserved, which is 0.
    pub reserved: u16,
    /// packetLength: bytes of the packet, the header included.
    pub length: u32,
}

impl Header {
    /// Reads the header.
    pub fn decode([a, b, c, d, e, f, g, h]: [u8; LENGTH]) -> Header {
        Header {
            packet_type: u16::from_le_bytes([a, b]),
            reserved: u16::from_le_bytes([c, d]),
            length: u32::from_le_bytes([e, f, g, h]),
        }
    }

    /// Whether the specification lists the type.
    pub fn is_known(&self) -> bool {
        self.row().is_some()
    }

    /// Whether the length is one that can be walked over.
    pub fn can_be_walked(&self) -> bool {
        (LENGTH as u32..=LONGEST_PACKET).contains(&self.length)
    }

    /// Whether bytes of which nothing is known are the header of a packet.
    pub fn is_convincing(&self) -> bool {
        let fits = |(_, _, least, most): &(u16, &str, u32, u32)| (*least..=*most).contains(&self.length);
        self.reserved == 0 && self.row().is_some_and(fits)
    }

    /// The specification's name of the packet.
    pub fn structure(&self) -> &'static str {
        self.row().map_or("HTTP_PACKET_HEADER", |(_, name, _, _)| name)
    }

    fn row(&self) -> Option<&'static (u16, &'static str, u32, u32)> {
        TYPES.iter().find(|(packet_type, ..)| *packet_type == self.packet_type)
    }
}

/// The specification's name of the packet that begins like this.
pub(super) fn structure(packet: &[u8]) -> &'static str {
    let header = packet.first_chunk().map(|header| Header::decode(*header));
    header.unwrap_or_default().structure()
}
