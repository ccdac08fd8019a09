//! RDSTLS: the logon after a redirection by a broker (MS-RDPBCGR 2.2.17). Cookies and passwords are not kept.

use super::named::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One RDSTLS PDU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "pdu", rename_all = "snake_case")]
pub enum RdstlsPdu {
    /// RDSTLS Capabilities PDU.
    Capabilities {
        /// supportedVersions.
        versions: u16,
    },
    /// RDSTLS Authentication Request PDU with a redirected password.
    PasswordRequest {
        /// The redirection GUID, where it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redirection_guid: Option<String>,
        /// UserName.
        user: String,
        /// Domain.
        domain: String,
        /// Bytes of the encrypted password.
        password_length: usize,
    },
    /// RDSTLS Authentication Request PDU with an auto-reconnect cookie.
    CookieRequest {
        /// SessionID.
        session_id: u32,
        /// Bytes of the cookie.
        cookie_length: usize,
    },
    /// RDSTLS Authentication Response PDU.
    Response {
        /// resultCode, a Win32 error.
        result: Code,
    },
}
