//! What runs inside TLS before MCS: CredSSP (MS-CSSP) with SPNEGO, NTLM and Kerberos in it, and what may stand in its
//! place. Only what is no secret is kept of them: of the rest, lengths.

mod der;
pub mod kdc_proxy;
pub mod kerberos;
pub mod ntlm;
pub mod spnego;
pub mod status;
pub mod windows;

use super::named::Code;
use super::{Decoded, Malformed, Reader};
use kerberos::KerberosToken;
use ntlm::NtlmMessage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spnego::Spnego;

/// Bytes of the longest TSRequest that is read. Its largest part is a Kerberos ticket: Windows takes none of more than 64 KiB,
/// and what delegates credentials with Remote Credential Guard holds a few of them.
pub const LONGEST_TS_REQUEST: usize = 256 * 1024;

/// Tokens kept of one negoTokens; no peer is known to send two.
const MOST_TOKENS: usize = 16;

const STRUCTURE: &str = "TSRequest";

const VERSION: u8 = der::context(0);
const NEGO_TOKENS: u8 = der::context(1);
const AUTH_INFO: u8 = der::context(2);
const PUB_KEY_AUTH: u8 = der::context(3);
const ERROR_CODE: u8 = der::context(4);
const CLIENT_NONCE: u8 = der::context(5);

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

/// The length of the TSRequest at the front, its header included, as soon as that is there: who relays whole messages needs
/// no more. What is longer than [`LONGEST_TS_REQUEST`] is [`Malformed`] before its bytes have come.
pub fn message_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    match bytes.first() {
        None => return Ok(None),
        Some(&der::SEQUENCE) => {}
        Some(_) => return Err(Malformed::new(STRUCTURE, 0, "not a SEQUENCE")),
    }
    let Some(header) = der::header(bytes).map_err(|reason| Malformed::new(STRUCTURE, 1, reason))? else {
        return Ok(None);
    };
    let length = header.header_length.saturating_add(header.length);
    if length > LONGEST_TS_REQUEST {
        return Err(Malformed::new(STRUCTURE, 1, "longer than any peer's"));
    }
    Ok(Some(length))
}

impl TsRequest {
    /// Decodes the TSRequest at the front of `bytes`. A field whose type is another is [`Malformed`], a field that the
    /// specification does not have is passed over, and a token that cannot be read is kept by its length.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let Some(length) = message_length(bytes)? else { return Ok(None) };
        let Some(message) = bytes.get(..length) else { return Ok(None) };
        let mut reader = Reader::new(STRUCTURE, message);
        reader.take(length - der::only(message, der::SEQUENCE).unwrap_or_default().len())?;
        let mut request = TsRequest::default();
        let mut version = None;
        while !reader.is_empty() {
            let at = reader.offset();
            let wrong = || Malformed::new(STRUCTURE, at, "a field is not of its type");
            let field = der::element(&mut reader)?;
            let octets = || der::only(field.body, der::OCTET_STRING).ok_or_else(wrong);
            let number = || der::only(field.body, der::INTEGER).and_then(der::integer).ok_or_else(wrong);
            match field.tag {
                VERSION => version = Some(number()?),
                NEGO_TOKENS => request.nego_tokens = tokens(field.body).ok_or_else(wrong)?,
                AUTH_INFO => request.auth_info_length = Some(octets()?.len()),
                PUB_KEY_AUTH => request.pub_key_auth_length = Some(octets()?.len()),
                ERROR_CODE => request.error_code = Some(status::named(number()?)),
                CLIENT_NONCE => request.client_nonce = !octets()?.is_empty(),
                _ => {}
            }
        }
        request.version = version.ok_or_else(|| reader.malformed("no version"))?;
        Ok(Some((request, length)))
    }

    /// The mechanism that authenticates, `NTLM` or `Kerberos`, where this message shows it.
    pub fn mechanism(&self) -> Option<&'static str> {
        self.nego_tokens.iter().find_map(|token| match &token.mechanism {
            Some(MechanismToken::Ntlm(_)) => Some("NTLM"),
            Some(MechanismToken::Kerberos(_)) => Some("Kerberos"),
            None => None,
        })
    }

    /// The server's word that the authentication failed.
    pub fn failure(&self) -> Option<&Code> {
        self.error_code.as_ref().filter(|code| code.value != 0)
    }
}

/// NegoData: a SEQUENCE OF SEQUENCE { [0] OCTET STRING }.
fn tokens(field: &[u8]) -> Option<Vec<NegoToken>> {
    let list = der::only(field, der::SEQUENCE)?;
    let entries = der::elements(list).take(MOST_TOKENS);
    let tokens =
        entries.filter_map(|entry| der::only(der::find(entry.body, der::context(0))?, der::OCTET_STRING));
    Some(tokens.map(NegoToken::decode).collect())
}

impl NegoToken {
    /// Reads a token of SPNEGO, or of NTLM or Kerberos without it.
    pub fn decode(token: &[u8]) -> Self {
        let (spnego, inner) = match Spnego::decode(token) {
            Some((spnego, inner)) => (Some(spnego), inner),
            None => (None, Some(token)),
        };
        NegoToken { length: token.len(), spnego, mechanism: inner.and_then(mechanism) }
    }
}

fn mechanism(token: &[u8]) -> Option<MechanismToken> {
    let ntlm = NtlmMessage::decode(token).ok().map(MechanismToken::Ntlm);
    ntlm.or_else(|| KerberosToken::decode(token).map(MechanismToken::Kerberos))
}

#[cfg(test)]
#[path = "../../../tests/support/scripted/credssp.rs"]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
