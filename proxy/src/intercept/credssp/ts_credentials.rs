//! TSCredentials, what authInfo holds once it is opened (MS-CSSP 2.2.1.2).

use super::credentials::Credentials;
use super::der::{Elements, INTEGER, OCTET_STRING, SEQUENCE, context, element, explicit};
use crate::wire::Malformed;
use zeroize::Zeroizing;

/// TSPasswordCreds.
const PASSWORD: u8 = 1;

/// What a client delegates to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delegation {
    /// User name and password, as usual.
    Password,
    /// Empty names and an empty password: Restricted Admin.
    Nothing,
    /// Another credType: 2 a smart card, 6 Remote Credential Guard.
    Other(u8),
}

/// TSCredentials with the user's name and password.
pub(super) fn encode(credentials: &Credentials) -> Zeroizing<Vec<u8>> {
    let utf_16 = |text: &str| -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * text.len()));
        bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        bytes
    };
    let field = |number: u8, text: &str| {
        let octets = Zeroizing::new(element(OCTET_STRING, &utf_16(text)));
        Zeroizing::new(element(context(number), &octets))
    };
    let fields =
        [field(0, credentials.domain()), field(1, credentials.user()), field(2, credentials.password())];
    let mut password_credentials = Zeroizing::new(Vec::with_capacity(fields.iter().map(|f| f.len()).sum()));
    for field in &fields {
        password_credentials.extend_from_slice(field);
    }
    let password_credentials = Zeroizing::new(element(SEQUENCE, &password_credentials));
    let octets = Zeroizing::new(element(OCTET_STRING, &password_credentials));
    let octets = Zeroizing::new(element(context(1), &octets));
    let kind = explicit(context(0), INTEGER, &[PASSWORD]);
    let mut both = Zeroizing::new(Vec::with_capacity(kind.len() + octets.len()));
    both.extend_from_slice(&kind);
    both.extend_from_slice(&octets);
    Zeroizing::new(element(SEQUENCE, &both))
}

/// What kind of TSCredentials these are; nothing of what they hold is kept.
pub(super) fn delegation(bytes: &[u8]) -> Result<Delegation, Malformed> {
    let mut outer = Elements::new("TSCredentials", bytes);
    let mut fields = Elements::new("TSCredentials", outer.take(SEQUENCE)?);
    outer.end()?;
    let kind = match fields.optional_explicit(context(0), INTEGER)? {
        Some(&[kind]) => kind,
        _ => return Err(fields.malformed("there is no credType")),
    };
    let content = fields.optional_explicit(context(1), OCTET_STRING)?;
    let content = content.ok_or_else(|| fields.malformed("there are no credentials"))?;
    if kind != PASSWORD {
        return Ok(Delegation::Other(kind));
    }
    let mut outer = Elements::new("TSPasswordCreds", content);
    let mut fields = Elements::new("TSPasswordCreds", outer.take(SEQUENCE)?);
    for number in [0, 1] {
        fields.optional_explicit(context(number), OCTET_STRING)?;
    }
    let password = fields.optional_explicit(context(2), OCTET_STRING)?;
    Ok(if password.is_some_and(|password| !password.is_empty()) {
        Delegation::Password
    } else {
        Delegation::Nothing
    })
}
