//! Share control and share data headers (MS-RDPBCGR 2.2.8.1.1.1) and the small share data PDUs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error_info::error_info;
use crate::wire::named::Code;
use crate::wire::{Malformed, Reader};

/// `PDUTYPE_DEMANDACTIVEPDU`.
pub const PDUTYPE_DEMANDACTIVEPDU: u8 = 1;
/// `PDUTYPE_CONFIRMACTIVEPDU`.
pub const PDUTYPE_CONFIRMACTIVEPDU: u8 = 3;
/// `PDUTYPE_DEACTIVATEALLPDU`.
pub const PDUTYPE_DEACTIVATEALLPDU: u8 = 6;
/// `PDUTYPE_DATAPDU`.
pub const PDUTYPE_DATAPDU: u8 = 7;
/// `PDUTYPE_SERVER_REDIR_PKT`.
pub const PDUTYPE_SERVER_REDIR_PKT: u8 = 10;

/// `PDUTYPE2_UPDATE`.
pub const PDUTYPE2_UPDATE: u8 = 0x02;
/// `PDUTYPE2_CONTROL`.
pub const PDUTYPE2_CONTROL: u8 = 0x14;
/// `PDUTYPE2_POINTER`.
pub const PDUTYPE2_POINTER: u8 = 0x1B;
/// `PDUTYPE2_INPUT`.
pub const PDUTYPE2_INPUT: u8 = 0x1C;
/// `PDUTYPE2_SYNCHRONIZE`.
pub const PDUTYPE2_SYNCHRONIZE: u8 = 0x1F;
/// `PDUTYPE2_SHUTDOWN_REQUEST`.
pub const PDUTYPE2_SHUTDOWN_REQUEST: u8 = 0x24;
/// `PDUTYPE2_SHUTDOWN_DENIED`.
pub const PDUTYPE2_SHUTDOWN_DENIED: u8 = 0x25;
/// `PDUTYPE2_SAVE_SESSION_INFO`.
pub const PDUTYPE2_SAVE_SESSION_INFO: u8 = 0x26;
/// `PDUTYPE2_FONTLIST`.
pub const PDUTYPE2_FONTLIST: u8 = 0x27;
/// `PDUTYPE2_FONTMAP`.
pub const PDUTYPE2_FONTMAP: u8 = 0x28;
/// `PDUTYPE2_SET_ERROR_INFO_PDU`.
pub const PDUTYPE2_SET_ERROR_INFO_PDU: u8 = 0x2F;
/// `PDUTYPE2_ARC_STATUS_PDU`.
pub const PDUTYPE2_ARC_STATUS_PDU: u8 = 0x32;
/// `PDUTYPE2_STATUS_INFO_PDU`.
pub const PDUTYPE2_STATUS_INFO_PDU: u8 = 0x36;

/// `PACKET_COMPRESSED` in `compressedType`.
const PACKET_COMPRESSED: u8 = 0x20;
/// The protocol version in the upper bits of `pduType`.
const PROTOCOL_VERSION: u16 = 0x10;

const DATA_TYPES: &[(u32, &str)] = &[
    (0x02, "PDUTYPE2_UPDATE"),
    (0x14, "PDUTYPE2_CONTROL"),
    (0x1B, "PDUTYPE2_POINTER"),
    (0x1C, "PDUTYPE2_INPUT"),
    (0x1F, "PDUTYPE2_SYNCHRONIZE"),
    (0x21, "PDUTYPE2_REFRESH_RECT"),
    (0x22, "PDUTYPE2_PLAY_SOUND"),
    (0x23, "PDUTYPE2_SUPPRESS_OUTPUT"),
    (0x24, "PDUTYPE2_SHUTDOWN_REQUEST"),
    (0x25, "PDUTYPE2_SHUTDOWN_DENIED"),
    (0x26, "PDUTYPE2_SAVE_SESSION_INFO"),
    (0x27, "PDUTYPE2_FONTLIST"),
    (0x28, "PDUTYPE2_FONTMAP"),
    (0x29, "PDUTYPE2_SET_KEYBOARD_INDICATORS"),
    (0x2B, "PDUTYPE2_BITMAPCACHE_PERSISTENT_LIST"),
    (0x2C, "PDUTYPE2_BITMAPCACHE_ERROR_PDU"),
    (0x2D, "PDUTYPE2_SET_KEYBOARD_IME_STATUS"),
    (0x2E, "PDUTYPE2_OFFSCRCACHE_ERROR_PDU"),
    (0x2F, "PDUTYPE2_SET_ERROR_INFO_PDU"),
    (0x30, "PDUTYPE2_DRAWNINEGRID_ERROR_PDU"),
    (0x31, "PDUTYPE2_DRAWGDIPLUS_ERROR_PDU"),
    (0x32, "PDUTYPE2_ARC_STATUS_PDU"),
    (0x36, "PDUTYPE2_STATUS_INFO_PDU"),
    (0x37, "PDUTYPE2_MONITOR_LAYOUT_PDU"),
];

const CONTROL_ACTIONS: &[(u32, &str)] = &[
    (1, "CTRLACTION_REQUEST_CONTROL"),
    (2, "CTRLACTION_GRANTED_CONTROL"),
    (3, "CTRLACTION_DETACH"),
    (4, "CTRLACTION_COOPERATE"),
];

const STATUS_CODES: &[(u32, &str)] = &[
    (0x401, "TS_STATUS_FINDING_DESTINATION"),
    (0x402, "TS_STATUS_LOADING_DESTINATION"),
    (0x403, "TS_STATUS_BRINGING_SESSION_ONLINE"),
    (0x404, "TS_STATUS_REDIRECTING_TO_DESTINATION"),
    (0x501, "TS_STATUS_VM_LOADING"),
    (0x502, "TS_STATUS_VM_WAKING"),
    (0x503, "TS_STATUS_VM_STARTING"),
    (0x504, "TS_STATUS_VM_STARTING_MONITORING"),
    (0x505, "TS_STATUS_VM_RETRYING_MONITORING"),
];

/// Share control header and what follows it inside `totalLength`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareControl<'a> {
    /// Low four bits of `pduType`.
    pub pdu_type: u8,
    /// Sender's channel; absent in the short Deactivate All that old servers send.
    pub pdu_source: Option<u16>,
    /// What follows the header.
    pub body: &'a [u8],
    /// Bytes of the whole PDU.
    pub total_length: usize,
}

/// Share data header behind the share control header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareData<'a> {
    /// `pduType2`.
    pub pdu_type2: u8,
    /// The body is bulk-compressed.
    pub compressed: bool,
    /// What follows the header.
    pub body: &'a [u8],
}

/// Synchronize PDU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Synchronize {
    /// Channel id of the target user.
    pub target_user: u16,
}

/// Control PDU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Control {
    /// `action`.
    pub action: Code,
}

/// Set Error Info PDU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetErrorInfo {
    /// `errorInfo`; 0 says that there is no error.
    pub error_info: u32,
    /// The specification's name, `None` for an unknown code.
    pub name: Option<String>,
    /// What it means to an administrator.
    pub meaning: Option<String>,
}

/// Status Info PDU: what a broker is doing while the user waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusInfo {
    /// `statusCode`.
    pub status_code: Code,
}

/// Auto-Reconnect Status PDU: the server refused to reconnect automatically.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AutoReconnectStatus {
    /// `arcStatus`.
    pub arc_status: u32,
}

/// A share data PDU of which only the type is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OtherShareData {
    /// `pduType2`.
    pub pdu_type2: Code,
    /// Its body is bulk-compressed.
    pub compressed: bool,
}

impl OtherShareData {
    /// Names the type of `data`.
    pub fn new(data: &ShareData<'_>) -> Self {
        OtherShareData {
            pdu_type2: Code::new(data.pdu_type2.into(), DATA_TYPES),
            compressed: data.compressed,
        }
    }
}

/// True when `payload` begins with a share control header whose length fits. A security header never does:
/// its upper half (`flagsHi`) is zero where `pduType` has the protocol version.
pub fn begins_share_control(payload: &[u8]) -> bool {
    share_control(payload).is_ok()
}

/// Reads the share control header at the start of `payload`.
pub fn share_control(payload: &[u8]) -> Result<ShareControl<'_>, Malformed> {
    const NAME: &str = "TS_SHARECONTROLHEADER";
    let mut reader = Reader::new(NAME, payload);
    let total_length = usize::from(reader.u16_le()?);
    let pdu_type = reader.u16_le()?;
    if pdu_type & 0xFFF0 != PROTOCOL_VERSION {
        return Err(Malformed::new(NAME, 2, "protocol version is not 1"));
    }
    let after_length = total_length.checked_sub(reader.offset()).filter(|rest| *rest <= reader.remaining());
    let rest =
        reader.take(after_length.ok_or_else(|| Malformed::new(NAME, 0, "totalLength does not fit"))?)?;
    let (pdu_source, body) = match rest.split_first_chunk::<2>() {
        Some((source, body)) => (Some(u16::from_le_bytes(*source)), body),
        None => (None, rest),
    };
    Ok(ShareControl { pdu_type: (pdu_type & 0x0F) as u8, pdu_source, body, total_length })
}

/// Reads the share data header, given what follows the share control header.
pub fn share_data(body: &[u8]) -> Result<ShareData<'_>, Malformed> {
    let mut reader = Reader::new("TS_SHAREDATAHEADER", body);
    reader.take(4 + 1 + 1 + 2)?;
    let pdu_type2 = reader.u8()?;
    let compressed = reader.u8()? & PACKET_COMPRESSED != 0;
    reader.take(2)?;
    Ok(ShareData { pdu_type2, compressed, body: reader.rest() })
}

/// Decodes the body of a Synchronize PDU.
pub fn synchronize(body: &[u8]) -> Result<Synchronize, Malformed> {
    let mut reader = Reader::new("TS_SYNCHRONIZE_PDU", body);
    reader.take(2)?;
    Ok(Synchronize { target_user: reader.u16_le()? })
}

/// Decodes the body of a Control PDU.
pub fn control(body: &[u8]) -> Result<Control, Malformed> {
    let action = Reader::new("TS_CONTROL_PDU", body).u16_le()?;
    Ok(Control { action: Code::new(action.into(), CONTROL_ACTIONS) })
}

/// Decodes the body of a Set Error Info PDU.
pub fn set_error_info(body: &[u8]) -> Result<SetErrorInfo, Malformed> {
    let code = Reader::new("TS_SET_ERROR_INFO_PDU", body).u32_le()?;
    let known = error_info(code);
    Ok(SetErrorInfo {
        error_info: code,
        name: known.map(|known| known.name.to_owned()),
        meaning: known.map(|known| known.meaning.to_owned()),
    })
}

/// Decodes the body of a Status Info PDU.
pub fn status_info(body: &[u8]) -> Result<StatusInfo, Malformed> {
    let status_code = Reader::new("TS_STATUS_INFO_PDU", body).u32_le()?;
    Ok(StatusInfo { status_code: Code::new(status_code, STATUS_CODES) })
}

/// Decodes the body of an Auto-Reconnect Status PDU.
pub fn auto_reconnect_status(body: &[u8]) -> Result<AutoReconnectStatus, Malformed> {
    Ok(AutoReconnectStatus { arc_status: Reader::new("TS_AUTORECONNECT_STATUS_PDU", body).u32_le()? })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A share data PDU with its two headers.
    pub(crate) fn data_pdu(pdu_type2: u8, body: &[u8]) -> Vec<u8> {
        let header = [0xEA, 3, 1, 0, 0, 1, body.len() as u8, 0, pdu_type2, 0, 0, 0];
        control_pdu(PDUTYPE_DATAPDU, &[&header, body].concat())
    }

    /// A share control PDU.
    pub(crate) fn control_pdu(pdu_type: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() + 6) as u16;
        [&length.to_le_bytes()[..], &[0x10 | pdu_type, 0, 0xEA, 3], body].concat()
    }

    #[test]
    fn error_info_with_and_without_a_name() {
        let pdu = data_pdu(PDUTYPE2_SET_ERROR_INFO_PDU, &[0x0B, 0, 0, 0]);
        let control = share_control(&pdu).unwrap();
        assert_eq!((control.pdu_type, control.pdu_source, control.total_length), (7, Some(0x3EA), 22));
        let data = share_data(control.body).unwrap();
        assert_eq!((data.pdu_type2, data.compressed), (0x2F, false));
        let info = set_error_info(data.body).unwrap();
        assert_eq!(info.name.as_deref(), Some("ERRINFO_RPC_INITIATED_DISCONNECT_BYUSER"));
        assert_eq!(set_error_info(&[0xAD, 0xDE, 0, 0]).unwrap().name, None);
        assert!(set_error_info(&[1]).is_err());
    }

    #[test]
    fn a_security_header_is_not_a_share_control_header() {
        assert!(!begins_share_control(&[0x80, 0, 0, 0, 0xFF, 3, 16, 0]));
        assert!(!begins_share_control(&[0xFF, 0, 0x17, 0, 0xEA, 3]), "longer than its bytes");
        assert!(!begins_share_control(&[3, 0, 0x17, 0]), "shorter than its header");
        assert!(begins_share_control(&control_pdu(PDUTYPE_DEACTIVATEALLPDU, &[])));
        let short = share_control(&[4, 0, 0x16, 0, 0xAA]).unwrap();
        assert_eq!((short.pdu_type, short.pdu_source, short.body), (6, None, &[][..]));
    }

    #[test]
    fn the_small_pdus() {
        assert_eq!(synchronize(&[1, 0, 0xEA, 3]).unwrap().target_user, 1002);
        assert_eq!(control(&[4, 0, 0, 0]).unwrap().action.name.as_deref(), Some("CTRLACTION_COOPERATE"));
        let status = status_info(&[1, 5, 0, 0]).unwrap().status_code;
        assert_eq!(status.name.as_deref(), Some("TS_STATUS_VM_LOADING"));
        assert_eq!(auto_reconnect_status(&[9, 0, 0, 0]).unwrap().arc_status, 9);
        let other = share_data(&[0, 0, 0, 0, 0, 0, 0, 0, 0x37, 0x20, 0, 0, 7]).unwrap();
        let other = OtherShareData::new(&other);
        assert_eq!(other.pdu_type2.name.as_deref(), Some("PDUTYPE2_MONITOR_LAYOUT_PDU"));
        assert!(other.compressed && share_data(&[0; 11]).is_err());
    }
}
