//! RDS-AAD: sign-in with Entra ID inside TLS (MS-RDPBCGR 2.2.18). The assertion logs on and is not kept.

use super::named::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One RDS-AAD PDU, a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "pdu", rename_all = "snake_case")]
pub enum RdsAadPdu {
    /// Server Nonce PDU.
    ServerNonce {
        /// Bytes of the nonce.
        nonce_length: usize,
    },
    /// Authentication Request PDU.
    AuthenticationRequest {
        /// Bytes of the assertion.
        assertion_length: usize,
    },
    /// Authentication Result PDU.
    AuthenticationResult {
        /// authentication_result, an HRESULT.
        result: Code,
    },
    /// JSON that is none of these, as the object's keys.
    Other {
        /// The keys.
        keys: Vec<String>,
    },
}
