//! HTTP_PACKET (MS-TSGU 2.2.10): built and cut out of a stream.

/// PacketType, `u16` reserved, PacketLength with these eight bytes.
const HEADER: usize = 8;
/// A DATA packet of the most that its 16-bit length holds, and more than any other packet here.
const LONGEST: usize = HEADER + 2 + 0xFFFF;

pub(crate) const HANDSHAKE_REQUEST: u16 = 0x01;
pub(crate) const HANDSHAKE_RESPONSE: u16 = 0x02;
pub(crate) const EXTENDED_AUTH: u16 = 0x03;
pub(crate) const TUNNEL_CREATE: u16 = 0x04;
pub(crate) const TUNNEL_RESPONSE: u16 = 0x05;
pub(crate) const TUNNEL_AUTH: u16 = 0x06;
pub(crate) const TUNNEL_AUTH_RESPONSE: u16 = 0x07;
pub(crate) const CHANNEL_CREATE: u16 = 0x08;
pub(crate) const CHANNEL_RESPONSE: u16 = 0x09;
pub(crate) const DATA: u16 = 0x0A;
pub(crate) const SERVICE_MESSAGE: u16 = 0x0B;
pub(crate) const KEEPALIVE: u16 = 0x0D;
pub(crate) const CLOSE_CHANNEL: u16 = 0x10;
pub(crate) const CLOSE_CHANNEL_RESPONSE: u16 = 0x11;

/// One packet, with its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Header and body.
    pub(crate) bytes: Vec<u8>,
}

impl Packet {
    /// A packet of this type.
    pub(crate) fn new(kind: u16, body: &[u8]) -> Packet {
        let length = u32::try_from(HEADER + body.len()).expect("a packet of these tests is short");
        let bytes = [&kind.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), body].concat();
        Packet { bytes }
    }

    /// PacketType.
    pub(crate) fn kind(&self) -> u16 {
        u16::from_le_bytes([self.bytes[0], self.bytes[1]])
    }

    /// What follows the header.
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }

    /// The 16-bit field at `offset` of the body; 0 where the body ends before.
    pub(crate) fn u16_at(&self, offset: usize) -> u16 {
        self.body().get(offset..offset + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    /// The 32-bit field at `offset` of the body; 0 where the body ends before.
    pub(crate) fn u32_at(&self, offset: usize) -> u32 {
        let bytes = self.body().get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }

    /// The bytes after the 16-bit length at `offset` of the body; none where the body ends before.
    pub(crate) fn counted_at(&self, offset: usize) -> &[u8] {
        let start = offset + 2;
        self.body().get(start..start + usize::from(self.u16_at(offset))).unwrap_or_default()
    }
}

/// The packets of a stream, whatever pieces it comes in.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    waiting: Vec<u8>,
}

impl Packets {
    /// Takes the next piece.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next whole packet; `Err` where what comes is none.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, String> {
        let Some(header) = self.waiting.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if !(HEADER..=LONGEST).contains(&length) {
            return Err(format!("a packet of {length} bytes"));
        }
        if self.waiting.len() < length {
            return Ok(None);
        }
        let rest = self.waiting.split_off(length);
        Ok(Some(Packet { bytes: std::mem::replace(&mut self.waiting, rest) }))
    }
}

/// Text as UTF-16 with its NUL.
pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// UTF-16 as text, up to its first NUL.
pub(crate) fn from_utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let text: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
    String::from_utf16_lossy(&text)
}

/// `bytes` behind their 16-bit length.
pub(crate) fn counted(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a field of these tests is short");
    [&length.to_le_bytes()[..], bytes].concat()
}
