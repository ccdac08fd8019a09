//! NTLM messages (MS-NLMP 2.2). Responses, session keys and message integrity codes can be attacked offline: only
//! their lengths are kept.

use crate::wire::named::Flags;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of the three messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum NtlmMessage {
    /// NEGOTIATE_MESSAGE.
    Negotiate(NtlmNegotiate),
    /// CHALLENGE_MESSAGE.
    Challenge(Box<NtlmChallenge>),
    /// AUTHENTICATE_MESSAGE.
    Authenticate(Box<NtlmAuthenticate>),
}

/// VERSION (MS-NLMP 2.2.2.10).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WindowsVersion {
    /// ProductMajorVersion.
    pub major: u8,
    /// ProductMinorVersion.
    pub minor: u8,
    /// ProductBuild, by which releases of Windows are told apart.
    pub build: u16,
}

/// NEGOTIATE_MESSAGE (MS-NLMP 2.2.1.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NtlmNegotiate {
    /// NegotiateFlags.
    pub flags: Flags,
    /// DomainName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Workstation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workstation: Option<String>,
    /// Version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<WindowsVersion>,
}

/// CHALLENGE_MESSAGE (MS-NLMP 2.2.1.2) with the attributes of its TargetInfo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NtlmChallenge {
    /// NegotiateFlags.
    pub flags: Flags,
    /// TargetName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_name: Option<String>,
    /// Version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<WindowsVersion>,
    /// MsvAvNbComputerName: the machine that really answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netbios_computer: Option<String>,
    /// MsvAvNbDomainName; the computer's own name in a workgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netbios_domain: Option<String>,
    /// MsvAvDnsComputerName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_computer: Option<String>,
    /// MsvAvDnsDomainName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_domain: Option<String>,
    /// MsvAvDnsTreeName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_forest: Option<String>,
    /// MsvAvTimestamp: the server's clock, µs since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_unix_us: Option<i64>,
}

/// AUTHENTICATE_MESSAGE (MS-NLMP 2.2.1.3) with the attributes that the client repeats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NtlmAuthenticate {
    /// NegotiateFlags.
    pub flags: Flags,
    /// DomainName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// UserName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Workstation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workstation: Option<String>,
    /// Version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<WindowsVersion>,
    /// Bytes of LmChallengeResponse.
    pub lm_response_length: usize,
    /// Bytes of NtChallengeResponse: 24 in NTLMv1, more in NTLMv2.
    pub nt_response_length: usize,
    /// Whether MsvAvFlags says that there is a message integrity code.
    pub has_mic: bool,
    /// MsvAvTargetName: the service principal name that the client believes it talks to, `TERMSRV/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_spn: Option<String>,
    /// Whether MsvAvFlags says that the target name comes from an untrusted source.
    pub untrusted_spn: bool,
    /// Whether MsvAvChannelBindings has a hash; absent where the client sends no such attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_bindings: Option<bool>,
}
