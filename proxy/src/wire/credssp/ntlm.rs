//! NTLM messages (MS-NLMP 2.2). Responses, session keys and message integrity codes can be attacked offline: only
//! their lengths are kept.

use crate::wire::named::{Flags, byte_text, utf16_text};
use crate::wire::{Malformed, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// First bytes of each message.
const SIGNATURE: &[u8] = b"NTLMSSP\0";

const NEGOTIATE_UNICODE: u32 = 0x0000_0001;
const NEGOTIATE_TARGET_INFO: u32 = 0x0080_0000;
const NEGOTIATE_VERSION: u32 = 0x0200_0000;

/// NegotiateFlags (MS-NLMP 2.2.2.5).
const FLAGS: &[(u32, &str)] = &[
    (NEGOTIATE_UNICODE, "NTLMSSP_NEGOTIATE_UNICODE"),
    (0x0000_0002, "NTLM_NEGOTIATE_OEM"),
    (0x0000_0004, "NTLMSSP_REQUEST_TARGET"),
    (0x0000_0010, "NTLMSSP_NEGOTIATE_SIGN"),
    (0x0000_0020, "NTLMSSP_NEGOTIATE_SEAL"),
    (0x0000_0040, "NTLMSSP_NEGOTIATE_DATAGRAM"),
    (0x0000_0080, "NTLMSSP_NEGOTIATE_LM_KEY"),
    (0x0000_0200, "NTLMSSP_NEGOTIATE_NTLM"),
    (0x0000_0800, "NTLMSSP_ANONYMOUS"),
    (0x0000_1000, "NTLMSSP_NEGOTIATE_OEM_DOMAIN_SUPPLIED"),
    (0x0000_2000, "NTLMSSP_NEGOTIATE_OEM_WORKSTATION_SUPPLIED"),
    (0x0000_8000, "NTLMSSP_NEGOTIATE_ALWAYS_SIGN"),
    (0x0001_0000, "NTLMSSP_TARGET_TYPE_DOMAIN"),
    (0x0002_0000, "NTLMSSP_TARGET_TYPE_SERVER"),
    (0x0008_0000, "NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY"),
    (0x0010_0000, "NTLMSSP_NEGOTIATE_IDENTIFY"),
    (0x0040_0000, "NTLMSSP_REQUEST_NON_NT_SESSION_KEY"),
    (NEGOTIATE_TARGET_INFO, "NTLMSSP_NEGOTIATE_TARGET_INFO"),
    (NEGOTIATE_VERSION, "NTLMSSP_NEGOTIATE_VERSION"),
    (0x2000_0000, "NTLMSSP_NEGOTIATE_128"),
    (0x4000_0000, "NTLMSSP_NEGOTIATE_KEY_EXCH"),
    (0x8000_0000, "NTLMSSP_NEGOTIATE_56"),
];

/// Bytes of an NTLMv2 response before its attributes: NTProofStr, and the head of NTLMv2_CLIENT_CHALLENGE.
const BEFORE_ATTRIBUTES: usize = 16 + 28;
/// 100 ns between 1601, where FILETIME begins, and 1970.
const FILETIME_OF_1970: i64 = 116_444_736_000_000_000;
/// 100 ns in a microsecond.
const FILETIME_PER_US: i64 = 10;

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

impl NtlmMessage {
    /// Reads one whole message. Fields that point outside it are left out.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("NTLM message", bytes);
        if reader.take(SIGNATURE.len())? != SIGNATURE {
            return Err(Malformed::new("NTLM message", 0, "another signature"));
        }
        match reader.u32_le()? {
            1 => Ok(NtlmMessage::Negotiate(NtlmNegotiate::read(Message::new(bytes, 12)?))),
            2 => Ok(NtlmMessage::Challenge(Box::new(NtlmChallenge::read(Message::new(bytes, 20)?)))),
            3 => Ok(NtlmMessage::Authenticate(Box::new(NtlmAuthenticate::read(Message::new(bytes, 60)?)))),
            _ => Err(Malformed::new("NTLM message", SIGNATURE.len(), "another message type")),
        }
    }
}

impl NtlmNegotiate {
    fn read(message: Message<'_>) -> Self {
        // The client cannot know yet whether the server has Unicode.
        let text = |at| message.field(at).filter(|field| !field.is_empty()).map(byte_text);
        NtlmNegotiate {
            flags: message.named_flags(),
            domain: text(16),
            workstation: text(24),
            version: message.version(32),
        }
    }
}

impl NtlmChallenge {
    fn read(message: Message<'_>) -> Self {
        let mut challenge = NtlmChallenge {
            flags: message.named_flags(),
            target_name: message.text(12),
            version: message.version(48),
            ..NtlmChallenge::default()
        };
        let info = if message.flags & NEGOTIATE_TARGET_INFO == 0 { None } else { message.field(40) };
        for (id, value) in attributes(info.unwrap_or_default()) {
            match id {
                1 => challenge.netbios_computer = Some(utf16_text(value)),
                2 => challenge.netbios_domain = Some(utf16_text(value)),
                3 => challenge.dns_computer = Some(utf16_text(value)),
                4 => challenge.dns_domain = Some(utf16_text(value)),
                5 => challenge.dns_forest = Some(utf16_text(value)),
                7 => challenge.timestamp_unix_us = unix_us(value),
                _ => {}
            }
        }
        challenge
    }
}

impl NtlmAuthenticate {
    fn read(message: Message<'_>) -> Self {
        let response = message.field(20).unwrap_or_default();
        let mut authenticate = NtlmAuthenticate {
            flags: message.named_flags(),
            domain: message.text(28),
            user: message.text(36),
            workstation: message.text(44),
            version: message.version(64),
            lm_response_length: message.field(12).unwrap_or_default().len(),
            nt_response_length: response.len(),
            ..NtlmAuthenticate::default()
        };
        for (id, value) in attributes(response.get(BEFORE_ATTRIBUTES..).unwrap_or_default()) {
            match id {
                6 => {
                    let flags = value.first().copied().unwrap_or_default();
                    authenticate.has_mic = flags & 2 != 0;
                    authenticate.untrusted_spn = flags & 4 != 0;
                }
                9 => authenticate.target_spn = Some(utf16_text(value)).filter(|name| !name.is_empty()),
                // Sixteen zero bytes say that the client binds nothing.
                10 => authenticate.channel_bindings = Some(value.iter().any(|byte| *byte != 0)),
                _ => {}
            }
        }
        authenticate
    }
}

/// A message with its NegotiateFlags, by which its other fields are read.
#[derive(Debug, Clone, Copy)]
struct Message<'a> {
    bytes: &'a [u8],
    flags: u32,
}

impl<'a> Message<'a> {
    fn new(bytes: &'a [u8], flags_at: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new("NTLM message", bytes);
        reader.take(flags_at)?;
        Ok(Message { bytes, flags: reader.u32_le()? })
    }

    fn named_flags(&self) -> Flags {
        Flags::new(self.flags, FLAGS)
    }

    /// What the length and offset at `at` point to.
    fn field(&self, at: usize) -> Option<&'a [u8]> {
        let mut reader = Reader::new("NTLM field", self.bytes.get(at..)?);
        let length = usize::from(reader.u16_le().ok()?);
        let _maximum = reader.u16_le().ok()?;
        let offset = reader.u32_le().ok()? as usize;
        self.bytes.get(offset..)?.get(..length)
    }

    fn text(&self, at: usize) -> Option<String> {
        let field = self.field(at).filter(|field| !field.is_empty())?;
        Some(if self.flags & NEGOTIATE_UNICODE != 0 { utf16_text(field) } else { byte_text(field) })
    }

    fn version(&self, at: usize) -> Option<WindowsVersion> {
        let mut reader = Reader::new("VERSION", self.bytes.get(at..)?);
        let version = WindowsVersion {
            major: reader.u8().ok()?,
            minor: reader.u8().ok()?,
            build: reader.u16_le().ok()?,
        };
        (self.flags & NEGOTIATE_VERSION != 0).then_some(version)
    }
}

/// AV_PAIRs (MS-NLMP 2.2.2.1) up to MsvAvEOL.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut reader = Reader::new("AV_PAIR", bytes);
    std::iter::from_fn(move || {
        let id = reader.u16_le().ok().filter(|id| *id != 0)?;
        let length = reader.u16_le().ok()?;
        Some((id, reader.take(length.into()).ok()?))
    })
}

/// A FILETIME as microseconds since 1970.
fn unix_us(filetime: &[u8]) -> Option<i64> {
    let filetime = i64::try_from(u64::from_le_bytes(filetime.try_into().ok()?)).ok()?;
    Some((filetime - FILETIME_OF_1970) / FILETIME_PER_US)
}
