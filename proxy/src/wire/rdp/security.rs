//! Security headers (MS-RDPBCGR 2.2.8.1.1.2) and the Security Exchange PDU (2.2.1.10).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::named::Flags;
use crate::wire::{Malformed, Reader};

/// Bytes of the basic security header.
pub const BASIC_HEADER_LENGTH: usize = 4;

/// `SEC_EXCHANGE_PKT`: Security Exchange PDU.
pub const SEC_EXCHANGE_PKT: u16 = 0x0001;
/// `SEC_TRANSPORT_REQ`: Initiate Multitransport Request PDU.
pub const SEC_TRANSPORT_REQ: u16 = 0x0002;
/// `SEC_TRANSPORT_RSP`: Initiate Multitransport Response PDU.
pub const SEC_TRANSPORT_RSP: u16 = 0x0004;
/// `SEC_ENCRYPT`: what follows the header is encrypted.
pub const SEC_ENCRYPT: u16 = 0x0008;
/// `SEC_INFO_PKT`: Client Info PDU.
pub const SEC_INFO_PKT: u16 = 0x0040;
/// `SEC_LICENSE_PKT`: licensing PDU.
pub const SEC_LICENSE_PKT: u16 = 0x0080;
/// `SEC_REDIRECTION_PKT`: Standard Security Server Redirection PDU.
pub const SEC_REDIRECTION_PKT: u16 = 0x0400;
/// `SEC_AUTODETECT_REQ`: Server Auto-Detect Request PDU.
pub const SEC_AUTODETECT_REQ: u16 = 0x1000;
/// `SEC_AUTODETECT_RSP`: Client Auto-Detect Response PDU.
pub const SEC_AUTODETECT_RSP: u16 = 0x2000;
/// `SEC_HEARTBEAT`: Heartbeat PDU.
pub const SEC_HEARTBEAT: u16 = 0x4000;

/// The bits that say which PDU follows.
pub const SEC_KINDS: u16 = SEC_EXCHANGE_PKT
    | SEC_TRANSPORT_REQ
    | SEC_TRANSPORT_RSP
    | SEC_INFO_PKT
    | SEC_LICENSE_PKT
    | SEC_REDIRECTION_PKT
    | SEC_AUTODETECT_REQ
    | SEC_AUTODETECT_RSP
    | SEC_HEARTBEAT;

const FLAGS: &[(u32, &str)] = &[
    (0x0001, "SEC_EXCHANGE_PKT"),
    (0x0002, "SEC_TRANSPORT_REQ"),
    (0x0004, "SEC_TRANSPORT_RSP"),
    (0x0008, "SEC_ENCRYPT"),
    (0x0010, "SEC_RESET_SEQNO"),
    (0x0020, "SEC_IGNORE_SEQNO"),
    (0x0040, "SEC_INFO_PKT"),
    (0x0080, "SEC_LICENSE_PKT"),
    (0x0200, "SEC_LICENSE_ENCRYPT"),
    (0x0400, "SEC_REDIRECTION_PKT"),
    (0x0800, "SEC_SECURE_CHECKSUM"),
    (0x1000, "SEC_AUTODETECT_REQ"),
    (0x2000, "SEC_AUTODETECT_RSP"),
    (0x4000, "SEC_HEARTBEAT"),
    (0x8000, "SEC_FLAGSHI_VALID"),
];

/// Names the flags of a security header.
pub fn named_flags(flags: u16) -> Flags {
    Flags::new(flags.into(), FLAGS)
}

/// Reads the basic security header: its flags, and what follows it.
pub fn basic_header(payload: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    let mut reader = Reader::new("TS_SECURITY_HEADER", payload);
    let flags = reader.u16_le()?;
    reader.take(2)?;
    Ok((flags, reader.rest()))
}

/// Security Exchange PDU: the encrypted client random, of which only the length is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecurityExchange {
    /// Bytes of the encrypted client random as claimed.
    pub encrypted_client_random_length: u32,
}

/// Decodes the Security Exchange PDU behind its security header.
pub fn security_exchange(body: &[u8]) -> Result<SecurityExchange, Malformed> {
    let encrypted_client_random_length = Reader::new("TS_SECURITY_PACKET", body).u32_le()?;
    Ok(SecurityExchange { encrypted_client_random_length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_exchange() {
        let (flags, rest) = basic_header(&[0x01, 0x02, 0, 0, 72, 0, 0, 0, 0xAA]).unwrap();
        assert_eq!(named_flags(flags).names, ["SEC_EXCHANGE_PKT", "SEC_LICENSE_ENCRYPT"]);
        assert_eq!(security_exchange(rest).unwrap().encrypted_client_random_length, 72);
        assert_eq!(basic_header(&[8, 0, 0]).unwrap_err().structure, "TS_SECURITY_HEADER");
    }
}
