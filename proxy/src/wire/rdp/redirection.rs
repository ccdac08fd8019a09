//! Server Redirection Packet (MS-RDPBCGR 2.2.13.1): where a broker sends the client, without secrets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::named::{Flags, utf16_text};
use crate::wire::{Malformed, Reader};

/// Addresses kept of `TargetNetAddresses`; a server with more interfaces than that is not known.
pub const ADDRESS_LIMIT: usize = 32;

const LB_TARGET_NET_ADDRESS: u32 = 0x1;
const LB_LOAD_BALANCE_INFO: u32 = 0x2;
const LB_USERNAME: u32 = 0x4;
const LB_DOMAIN: u32 = 0x8;
const LB_PASSWORD: u32 = 0x10;
const LB_TARGET_FQDN: u32 = 0x100;
const LB_TARGET_NETBIOS_NAME: u32 = 0x200;
const LB_TARGET_NET_ADDRESSES: u32 = 0x800;
const LB_CLIENT_TSV_URL: u32 = 0x1000;
const LB_REDIRECTION_GUID: u32 = 0x8000;
const LB_TARGET_CERTIFICATE: u32 = 0x1_0000;

const FLAGS: &[(u32, &str)] = &[
    (LB_TARGET_NET_ADDRESS, "LB_TARGET_NET_ADDRESS"),
    (LB_LOAD_BALANCE_INFO, "LB_LOAD_BALANCE_INFO"),
    (LB_USERNAME, "LB_USERNAME"),
    (LB_DOMAIN, "LB_DOMAIN"),
    (LB_PASSWORD, "LB_PASSWORD"),
    (0x20, "LB_DONTSTOREUSERNAME"),
    (0x40, "LB_SMARTCARD_LOGON"),
    (0x80, "LB_NOREDIRECT"),
    (LB_TARGET_FQDN, "LB_TARGET_FQDN"),
    (LB_TARGET_NETBIOS_NAME, "LB_TARGET_NETBIOS_NAME"),
    (LB_TARGET_NET_ADDRESSES, "LB_TARGET_NET_ADDRESSES"),
    (LB_CLIENT_TSV_URL, "LB_CLIENT_TSV_URL"),
    (0x2000, "LB_SERVER_TSV_CAPABLE"),
    (0x4000, "LB_PASSWORD_IS_PK_ENCRYPTED"),
    (LB_REDIRECTION_GUID, "LB_REDIRECTION_GUID"),
    (LB_TARGET_CERTIFICATE, "LB_TARGET_CERTIFICATE"),
];

/// `RDP_SERVER_REDIRECTION_PACKET`; a field whose flag is not set is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerRedirection {
    /// `SessionID` on the target.
    pub session_id: u32,
    /// `RedirFlags`.
    pub redirection_flags: Flags,
    /// `TargetNetAddress`.
    pub target_net_address: Option<String>,
    /// Bytes of `LoadBalanceInfo`.
    pub load_balance_info_length: Option<u32>,
    /// Bytes of `UserName`.
    pub user_name_length: Option<u32>,
    /// Bytes of `Domain`.
    pub domain_length: Option<u32>,
    /// Bytes of `Password`.
    pub password_length: Option<u32>,
    /// `TargetFQDN`.
    pub target_fqdn: Option<String>,
    /// `TargetNetBiosName`.
    pub target_net_bios_name: Option<String>,
    /// Bytes of `TsvUrl`.
    pub tsv_url_length: Option<u32>,
    /// Bytes of `TargetCertificate`, which the client compares with the one of the next connection.
    pub target_certificate_length: Option<u32>,
    /// `TargetNetAddresses`, at most [`ADDRESS_LIMIT`].
    pub target_net_addresses: Vec<String>,
}

/// Decodes a redirection packet, starting at its own `Flags`.
pub fn server_redirection(packet: &[u8]) -> Result<ServerRedirection, Malformed> {
    let mut reader = Reader::new("RDP_SERVER_REDIRECTION_PACKET", packet);
    reader.take(2 + 2)?;
    let session_id = reader.u32_le()?;
    let flags = reader.u32_le()?;
    let mut next = |flag| if flags & flag != 0 { field(&mut reader).map(Some) } else { Ok(None) };

    let target_net_address = next(LB_TARGET_NET_ADDRESS)?;
    let load_balance_info = next(LB_LOAD_BALANCE_INFO)?;
    let (user_name, domain, password) = (next(LB_USERNAME)?, next(LB_DOMAIN)?, next(LB_PASSWORD)?);
    let (target_fqdn, target_net_bios_name) = (next(LB_TARGET_FQDN)?, next(LB_TARGET_NETBIOS_NAME)?);
    let tsv_url = next(LB_CLIENT_TSV_URL)?;
    next(LB_REDIRECTION_GUID)?;
    let target_certificate = next(LB_TARGET_CERTIFICATE)?;
    let addresses = next(LB_TARGET_NET_ADDRESSES)?;

    let length = |field: Option<&[u8]>| field.and_then(|bytes| u32::try_from(bytes.len()).ok());
    Ok(ServerRedirection {
        session_id,
        redirection_flags: Flags::new(flags, FLAGS),
        target_net_address: target_net_address.map(utf16_text),
        load_balance_info_length: length(load_balance_info),
        user_name_length: length(user_name),
        domain_length: length(domain),
        password_length: length(password),
        target_fqdn: target_fqdn.map(utf16_text),
        target_net_bios_name: target_net_bios_name.map(utf16_text),
        tsv_url_length: length(tsv_url),
        target_certificate_length: length(target_certificate),
        target_net_addresses: addresses.map(target_net_addresses).transpose()?.unwrap_or_default(),
    })
}

fn field<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let length = reader.u32_le()?;
    let length = usize::try_from(length).map_err(|_| reader.malformed("field longer than any PDU"))?;
    reader.take(length)
}

fn target_net_addresses(bytes: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut reader = Reader::new("TARGET_NET_ADDRESSES", bytes);
    let count = reader.u32_le()?;
    let mut addresses = Vec::new();
    while addresses.len() < ADDRESS_LIMIT && (addresses.len() as u64) < u64::from(count) {
        addresses.push(utf16_text(field(&mut reader)?));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::super::client_info::tests::utf16;
    use super::*;

    fn field_of(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
    }

    fn packet(flags: u32, fields: &[Vec<u8>]) -> Vec<u8> {
        [&[0, 4, 0, 0, 2, 0, 0, 0][..], &flags.to_le_bytes(), &fields.concat()].concat()
    }

    #[test]
    fn where_to_and_never_with_what() {
        let addresses =
            [2_u32.to_le_bytes().to_vec(), field_of(&utf16("10.0.0.8\0")), field_of(&utf16("fe80::1"))]
                .concat();
        let fields = [
            field_of(&utf16("10.0.0.8\0")),
            field_of(b"tsv://hunter2-canary"),
            field_of(&utf16("hunter2-canary\0")),
            field_of(&utf16("host.contoso.com\0")),
            field_of(&[0xAA; 9]),
            field_of(&addresses),
        ];
        let flags = 0x1 | 0x2 | 0x10 | 0x100 | 0x800 | 0x1_0000;
        let redirection = server_redirection(&packet(flags, &fields)).unwrap();
        assert_eq!(redirection.session_id, 2);
        assert_eq!(redirection.target_net_address.as_deref(), Some("10.0.0.8"));
        assert_eq!(redirection.target_fqdn.as_deref(), Some("host.contoso.com"));
        assert_eq!(redirection.target_net_addresses, ["10.0.0.8", "fe80::1"]);
        assert_eq!((redirection.password_length, redirection.user_name_length), (Some(30), None));
        assert_eq!(
            (redirection.load_balance_info_length, redirection.target_certificate_length),
            (Some(20), Some(9))
        );
        assert_eq!(redirection.redirection_flags.names.len(), 6);
        assert!(!serde_json::to_string(&redirection).unwrap().contains("canary"));
    }

    #[test]
    fn a_field_that_is_not_there_is_named() {
        assert_eq!(server_redirection(&packet(1, &[])).unwrap_err().offset, 12);
        assert!(server_redirection(&packet(1, &[vec![0xFF; 4]])).is_err());
        let endless = [&0xFFFF_FFFF_u32.to_le_bytes()[..], &[0; 8]].concat();
        assert!(server_redirection(&packet(0x800, &[field_of(&endless)])).is_err());
    }
}
