//! Licensing PDUs (MS-RDPBCGR 2.2.1.12, MS-RDPELE 2.2.2): type, size and error codes, never a licence.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::named::Code;
use crate::wire::{Malformed, Reader};

/// `NEW_LICENSE`.
const NEW_LICENSE: u8 = 0x03;
/// `UPGRADE_LICENSE`.
const UPGRADE_LICENSE: u8 = 0x04;
/// `ERROR_ALERT`.
const ERROR_ALERT: u8 = 0xFF;
/// `STATUS_VALID_CLIENT`.
const STATUS_VALID_CLIENT: u32 = 7;

const MESSAGE_TYPES: &[(u32, &str)] = &[
    (0x01, "LICENSE_REQUEST"),
    (0x02, "PLATFORM_CHALLENGE"),
    (0x03, "NEW_LICENSE"),
    (0x04, "UPGRADE_LICENSE"),
    (0x12, "LICENSE_INFO"),
    (0x13, "NEW_LICENSE_REQUEST"),
    (0x15, "PLATFORM_CHALLENGE_RESPONSE"),
    (0xFF, "ERROR_ALERT"),
];

/// `dwErrorCode` of LICENSE_ERROR_MESSAGE.
pub const ERROR_CODES: &[(u32, &str)] = &[
    (0x1, "ERR_INVALID_SERVER_CERTIFICATE"),
    (0x2, "ERR_NO_LICENSE"),
    (0x3, "ERR_INVALID_MAC"),
    (0x4, "ERR_INVALID_SCOPE"),
    (0x6, "ERR_NO_LICENSE_SERVER"),
    (0x7, "STATUS_VALID_CLIENT"),
    (0x8, "ERR_INVALID_CLIENT"),
    (0xB, "ERR_INVALID_PRODUCTID"),
    (0xC, "ERR_INVALID_MESSAGE_LEN"),
];

const STATE_TRANSITIONS: &[(u32, &str)] = &[
    (1, "ST_TOTAL_ABORT"),
    (2, "ST_NO_TRANSITION"),
    (3, "ST_RESET_PHASE_TO_START"),
    (4, "ST_RESEND_LAST_MESSAGE"),
];

/// A licensing PDU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct License {
    /// `bMsgType`.
    pub message_type: Code,
    /// Licensing version: 2 for RDP 4.0, otherwise 3.
    pub version: u8,
    /// `EXTENDED_ERROR_MSG_SUPPORTED`.
    pub extended_errors: bool,
    /// `wMsgSize` as claimed, preamble included.
    pub message_size: u16,
    /// The error alert, when it is one.
    pub alert: Option<LicenseAlert>,
}

/// `LICENSE_ERROR_MESSAGE`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LicenseAlert {
    /// `dwErrorCode`; `STATUS_VALID_CLIENT` is success.
    pub error_code: Code,
    /// `dwStateTransition`.
    pub state_transition: Code,
}

impl License {
    /// True when this message ends licensing with success.
    pub fn completes(&self) -> bool {
        let kind = self.message_type.value;
        kind == u32::from(NEW_LICENSE)
            || kind == u32::from(UPGRADE_LICENSE)
            || self.alert.as_ref().is_some_and(|alert| alert.error_code.value == STATUS_VALID_CLIENT)
    }
}

/// Decodes a licensing PDU behind its security header.
pub fn license(body: &[u8]) -> Result<License, Malformed> {
    let mut reader = Reader::new("LICENSE_PREAMBLE", body);
    let message_type = reader.u8()?;
    let flags = reader.u8()?;
    let message_size = reader.u16_le()?;
    let alert = if message_type == ERROR_ALERT { Some(alert(reader.rest())?) } else { None };
    Ok(License {
        message_type: Code::new(message_type.into(), MESSAGE_TYPES),
        version: flags & 0x0F,
        extended_errors: flags & 0x80 != 0,
        message_size,
        alert,
    })
}

fn alert(body: &[u8]) -> Result<LicenseAlert, Malformed> {
    let mut reader = Reader::new("LICENSE_ERROR_MESSAGE", body);
    let error_code = Code::new(reader.u32_le()?, ERROR_CODES);
    let state_transition = Code::new(reader.u32_le()?, STATE_TRANSITIONS);
    Ok(LicenseAlert { error_code, state_transition })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_client_is_success_and_other_alerts_are_not() {
        let valid = license(&[0xFF, 0x83, 16, 0, 7, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0]).unwrap();
        assert!(valid.completes() && valid.extended_errors && valid.version == 3);
        let alert = valid.alert.unwrap();
        assert_eq!(alert.error_code.name.as_deref(), Some("STATUS_VALID_CLIENT"));
        assert_eq!(alert.state_transition.name.as_deref(), Some("ST_NO_TRANSITION"));
        let refused = license(&[0xFF, 3, 16, 0, 6, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0]).unwrap();
        assert!(!refused.completes());
        assert_eq!(refused.alert.unwrap().state_transition.name.as_deref(), Some("ST_TOTAL_ABORT"));
    }

    #[test]
    fn other_messages_keep_type_and_size_only() {
        let request = license(&[0x01, 0x03, 0x98, 0x08, 0xAA, 0xBB]).unwrap();
        assert_eq!((request.message_type.value, request.message_size, &request.alert), (1, 0x898, &None));
        assert!(!request.completes());
        assert!(license(&[3, 3, 9, 0]).unwrap().completes());
        assert_eq!(license(&[0xFF, 3, 16, 0, 7]).unwrap_err().structure, "LICENSE_ERROR_MESSAGE");
        assert_eq!(license(&[0x77, 3, 4, 0]).unwrap().message_type.name, None);
    }
}
