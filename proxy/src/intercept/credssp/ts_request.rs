//! TSRequest (MS-CSSP 2.2.1), read and written.

use super::der::{Elements, INTEGER, OCTET_STRING, SEQUENCE, context, element, explicit};
use crate::wire::Malformed;

/// The version that rdpscope speaks, the highest there is.
pub(super) const OWN_VERSION: u32 = 6;

/// Bytes of clientNonce.
pub(super) const NONCE_LENGTH: usize = 32;

/// A TSRequest with everything in it; unlike the observers' it holds secrets and is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) version: u32,
    pub(super) nego_token: Option<Vec<u8>>,
    pub(super) auth_info: Option<Vec<u8>>,
    pub(super) pub_key_auth: Option<Vec<u8>>,
    pub(super) error_code: Option<u32>,
    pub(super) client_nonce: Option<[u8; NONCE_LENGTH]>,
}

impl Message {
    /// An empty one of our version.
    pub(super) fn new() -> Self {
        Message { version: OWN_VERSION, ..Message::default() }
    }

    /// Reads one from exactly its bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut outer = Elements::new("TSRequest", bytes);
        let mut fields = Elements::new("TSRequest", outer.take(SEQUENCE)?);
        outer.end()?;
        let version = fields.optional_explicit(context(0), INTEGER)?;
        let version = version.ok_or_else(|| fields.malformed("there is no version"))?;
        let version = unsigned(version).ok_or_else(|| fields.malformed("the version is no number"))?;
        let nego_token = match fields.optional_explicit(context(1), SEQUENCE)? {
            Some(tokens) => Some(only_token(tokens)?),
            None => None,
        };
        let auth_info = fields.optional_explicit(context(2), OCTET_STRING)?.map(<[u8]>::to_vec);
        let pub_key_auth = fields.optional_explicit(context(3), OCTET_STRING)?.map(<[u8]>::to_vec);
        let error_code = match fields.optional_explicit(context(4), INTEGER)? {
            Some(code) => Some(unsigned(code).ok_or_else(|| fields.malformed("errorCode is no status"))?),
            None => None,
        };
        let client_nonce = match fields.optional_explicit(context(5), OCTET_STRING)? {
            Some(nonce) => {
                Some(nonce.try_into().map_err(|_| fields.malformed("clientNonce has not 32 bytes"))?)
            }
            None => None,
        };
        fields.end()?;
        Ok(Message { version, nego_token, auth_info, pub_key_auth, error_code, client_nonce })
    }

    /// Its bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = explicit(context(0), INTEGER, &integer(self.version));
        if let Some(token) = &self.nego_token {
            let entry = element(SEQUENCE, &explicit(context(0), OCTET_STRING, token));
            fields.extend(explicit(context(1), SEQUENCE, &entry));
        }
        if let Some(auth_info) = &self.auth_info {
            fields.extend(explicit(context(2), OCTET_STRING, auth_info));
        }
        if let Some(pub_key_auth) = &self.pub_key_auth {
            fields.extend(explicit(context(3), OCTET_STRING, pub_key_auth));
        }
        if let Some(code) = self.error_code {
            // As Windows writes it: four bytes, which makes the number negative.
            fields.extend(explicit(context(4), INTEGER, &code.to_be_bytes()));
        }
        if let Some(nonce) = &self.client_nonce {
            fields.extend(explicit(context(5), OCTET_STRING, nonce));
        }
        element(SEQUENCE, &fields)
    }
}

/// The token of negoTokens; CredSSP sends one at a time.
fn only_token(tokens: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut entries = Elements::new("negoTokens", tokens);
    let mut entry = Elements::new("negoTokens", entries.take(SEQUENCE)?);
    let token = entry.optional_explicit(context(0), OCTET_STRING)?;
    let token = token.ok_or_else(|| entry.malformed("an entry without a token"))?;
    entry.end()?;
    entries.end()?;
    Ok(token.to_vec())
}

/// A number of up to 32 bits: statuses come with four bytes, negative, or with five, the first of them zero.
fn unsigned(integer: &[u8]) -> Option<u32> {
    let bytes = match integer {
        [0, rest @ ..] if rest.len() == 4 => rest,
        [] | [_, _, _, _, _, ..] => return None,
        bytes => bytes,
    };
    Some(bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)))
}

/// The content of an INTEGER that is not negative.
fn integer(number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count().min(3);
    let mut content = bytes[zeros..].to_vec();
    if content[0] & 0x80 != 0 {
        content.insert(0, 0);
    }
    content
}
