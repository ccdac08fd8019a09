//! Framing of the main RDP connection: TPKT (RFC 1006) and fast-path (MS-RDPBCGR 2.2.8.1.2, 2.2.9.1.2).

use std::ops::Range;

use super::{Decoded, Malformed};

/// First byte of every TPKT header.
pub const TPKT_VERSION: u8 = 3;
/// Bytes of a TPKT header.
pub const TPKT_HEADER_LENGTH: usize = 4;
/// Shortest TPKT packet that holds anything: its header and the three bytes of an X.224 data header.
pub const TPKT_MINIMUM: usize = 7;
/// Longest TPKT packet, because the length field has 16 bits; a buffer never has to hold more than this.
pub const TPKT_LIMIT: usize = 0xFFFF;
/// Longest fast-path PDU, because the long form of its length has 15 bits.
pub const FAST_PATH_LIMIT: usize = 0x7FFF;

/// One whole PDU of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pdu {
    /// A TPKT packet; `payload` is the X.224 TPDU inside the decoded slice.
    Slow {
        /// Range of the X.224 TPDU.
        payload: Range<usize>,
    },
    /// A fast-path PDU, of which only the header is read.
    Fast(FastPathHeader),
}

/// First bytes of a fast-path PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FastPathHeader {
    /// Bits 2 to 5 of the first byte: number of input events, reserved in updates.
    pub events: u8,
    /// Bits 6 and 7 of the first byte: 1 secure checksum, 2 encrypted.
    pub flags: u8,
    /// Bytes of the whole PDU, this header included.
    pub length: usize,
}

/// Reads the TPKT header and answers with the length of the whole packet.
pub fn tpkt_header(bytes: &[u8]) -> Decoded<usize> {
    let [version, _reserved, high, low] = match bytes.first_chunk::<TPKT_HEADER_LENGTH>() {
        Some(header) => *header,
        None => return Ok(None),
    };
    if version != TPKT_VERSION {
        return Err(Malformed::new("tpktHeader", 0, "version is not 3"));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < TPKT_MINIMUM {
        return Err(Malformed::new("tpktHeader", 2, "length is below 7"));
    }
    Ok(Some((length, TPKT_HEADER_LENGTH)))
}

/// Reads a fast-path header; the PDU behind it need not be there yet.
pub fn fast_path_header(bytes: &[u8]) -> Decoded<FastPathHeader> {
    let (first, high) = match bytes {
        [first, high, ..] => (*first, *high),
        _ => return Ok(None),
    };
    if first & 3 != 0 {
        return Err(Malformed::new("fpOutputHeader", 0, "neither TPKT nor fast-path"));
    }
    let (length, header_length) = match (high & 0x80 != 0, bytes.get(2)) {
        (false, _) => (usize::from(high), 2),
        (true, Some(low)) => (usize::from(u16::from_be_bytes([high & 0x7F, *low])), 3),
        (true, None) => return Ok(None),
    };
    if length < header_length {
        return Err(Malformed::new("fpOutputHeader", 1, "length is shorter than its own header"));
    }
    let header = FastPathHeader { events: first >> 2 & 0x0F, flags: first >> 6, length };
    Ok(Some((header, header_length)))
}

/// The next whole PDU at the start of `bytes`.
pub fn next_pdu(bytes: &[u8]) -> Decoded<Pdu> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let (pdu, length) = if *first == TPKT_VERSION {
        match tpkt_header(bytes)? {
            Some((length, header)) => (Pdu::Slow { payload: header..length }, length),
            None => return Ok(None),
        }
    } else {
        match fast_path_header(bytes)? {
            Some((header, _)) => (Pdu::Fast(header), header.length),
            None => return Ok(None),
        }
    };
    Ok((bytes.len() >= length).then_some((pdu, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_the_whole_packet_and_names_its_payload() {
        let packet = [3, 0, 0, 8, 2, 0xF0, 0x80, 0x28, 0xAA];
        for end in 0..8 {
            assert_eq!(next_pdu(&packet[..end]), Ok(None));
        }
        assert_eq!(next_pdu(&packet), Ok(Some((Pdu::Slow { payload: 4..8 }, 8))));
    }

    #[test]
    fn reads_both_lengths_of_fast_path() {
        let header = FastPathHeader { events: 1, flags: 2, length: 3 };
        assert_eq!(next_pdu(&[0x84, 3, 9]), Ok(Some((Pdu::Fast(header), 3))));
        let long = FastPathHeader { events: 0, flags: 0, length: 0x7FFF };
        assert_eq!(fast_path_header(&[0, 0xFF, 0xFF]), Ok(Some((long, 3))));
        assert_eq!(fast_path_header(&[0, 0xFF]), Ok(None));
    }

    #[test]
    fn says_what_is_wrong_with_a_header() {
        assert_eq!(next_pdu(&[3, 0, 0, 6]).unwrap_err().reason, "length is below 7");
        assert_eq!(next_pdu(&[0x16, 3, 1]).unwrap_err().reason, "neither TPKT nor fast-path");
        assert_eq!(next_pdu(&[0, 1]).unwrap_err().offset, 1);
        assert_eq!(next_pdu(&[0, 0x80, 2]).unwrap_err().offset, 1, "a long form that could be empty");
        assert_eq!(tpkt_header(&[4, 0, 0, 9]).unwrap_err().offset, 0);
    }
}
