//! What runs inside TLS before MCS: CredSSP (MS-CSSP) with SPNEGO, NTLM and Kerberos in it, and what may stand in its
//! place. Only what is no secret is kept of them: of the rest, lengths.

pub mod kerberos;
pub mod ntlm;
pub mod spnego;

use super::named::Code;
use kerberos::KerberosToken;
use ntlm::NtlmMessage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spnego::Spnego;

/// TSRequest (MS-CSSP 2.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TsRequest {
    /// version: 2 to 6.
    pub version: u32,
    /// negoTokens, mostly one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nego_tokens: Vec<NegoToken>,
    /// Bytes of authInfo, which holds the user's credentials; they are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_info_length: Option<usize>,
    /// Bytes of pubKeyAuth, which binds the authentication to the key of TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pub_key_auth_length: Option<usize>,
    /// errorCode, an NTSTATUS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<Code>,
    /// Whether there is a clientNonce (version 5 and later).
    pub client_nonce: bool,
}

/// One entry of negoTokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NegoToken {
    /// Bytes of the token.
    pub length: usize,
    /// The SPNEGO envelope; absent where the mechanism's token stands bare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spnego: Option<Spnego>,
    /// The mechanism's own token, where one is in it and known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<MechanismToken>,
}

/// The token of a security mechanism.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "mechanism", rename_all = "snake_case")]
pub enum MechanismToken {
    /// NTLM (MS-NLMP).
    Ntlm(NtlmMessage),
    /// Kerberos (RFC 4121).
    Kerberos(KerberosToken),
}
