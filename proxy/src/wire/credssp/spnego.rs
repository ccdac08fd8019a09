//! SPNEGO: which mechanism authenticates (RFC 4178, MS-SPNG).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The envelope around a mechanism's token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spnego {
    /// mechTypes of NegTokenInit, in the order of preference: `Kerberos`, `NTLM`, `NEGOEX`…, or the object identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mechanisms: Vec<String>,
    /// supportedMech of NegTokenResp: what the server chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_mechanism: Option<String>,
    /// negState of NegTokenResp: `accept-completed`, `accept-incomplete`, `reject`, `request-mic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}
