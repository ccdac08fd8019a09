//! AS-REP of MIT's KDC for a library that takes Windows' only.
//!
//! What AS-REP seals is an EncASRepPart, and MIT's KDC has always marked it as the EncTGSRepPart that has the same
//! fields; clients are to take both (RFC 4120 5.4.2). The `sspi` crate in use takes the first alone.

use super::der::{Elements, INTEGER, OCTET_STRING, SEQUENCE, context};
use super::kerberos_shape::{AS_REP, GENERAL_STRING, PA_ETYPE_INFO_2};
use crate::wire::Malformed;
use picky_krb::constants::key_usages::AS_REP_ENC;
use picky_krb::crypto::CipherSuite;
use zeroize::Zeroizing;

/// EncASRepPart and EncTGSRepPart: `[APPLICATION 25]` and `[APPLICATION 26]`.
const OF_AS_REP: u8 = 0x79;
const OF_TGS_REP: u8 = 0x7A;

/// Marks what an AS-REP seals as its own; anything else is left as it is. `answer` has passed the check of its shape.
pub(super) fn mark_as_its_own(answer: &mut [u8], password: &str) {
    let Ok(Some(Sealed { salt, suite, length })) = sealed(answer) else { return };
    let Ok(suite) = CipherSuite::try_from(&suite[..]) else { return };
    let (suite, cipher) = (suite.cipher(), answer.len() - length..);
    let key = suite.generate_key_from_password(password.as_bytes(), &salt).map(Zeroizing::new);
    let Ok(key) = key else { return };
    let part = suite.decrypt(&key, AS_REP_ENC, &answer[cipher.clone()]).map(Zeroizing::new);
    let Ok(mut part) = part else { return };
    match part.first_mut() {
        Some(tag) if *tag == OF_TGS_REP => *tag = OF_AS_REP,
        _ => return,
    }
    if let Ok(sealed) = suite.encrypt(&key, AS_REP_ENC, &part)
        && sealed.len() == length
    {
        answer[cipher].copy_from_slice(&sealed);
    }
}

/// What an AS-REP seals, and with what.
struct Sealed {
    salt: Vec<u8>,
    /// etype.
    suite: Vec<u8>,
    /// Bytes of cipher, the last field of the message.
    length: usize,
}

/// `None` where it is no AS-REP, or does not say the salt.
fn sealed(answer: &[u8]) -> Result<Option<Sealed>, Malformed> {
    let name = "AS-REP";
    let mut outer = Elements::new(name, answer);
    let Some(message) = outer.optional(AS_REP)? else { return Ok(None) };
    let mut fields = Elements::new(name, Elements::new(name, message).take(SEQUENCE)?);
    fields.take(context(0))?;
    fields.take(context(1))?;
    let padata = fields.optional_explicit(context(2), SEQUENCE)?.unwrap_or_default();
    for number in 3..6 {
        fields.take(context(number))?;
    }
    let encrypted = fields.optional_explicit(context(6), SEQUENCE)?.unwrap_or_default();
    let mut encrypted = Elements::new("EncryptedData", encrypted);
    let suite = encrypted.optional_explicit(context(0), INTEGER)?.unwrap_or_default().to_vec();
    encrypted.optional(context(1))?;
    let length = encrypted.optional_explicit(context(2), OCTET_STRING)?.unwrap_or_default().len();
    Ok(salt(padata)?.map(|salt| Sealed { salt, suite, length }))
}

/// The salt of the first PA-ETYPE-INFO2.
fn salt(padata: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut padata = Elements::new("PA-DATA", padata);
    while !padata.is_empty() {
        let mut fields = Elements::new("PA-DATA", padata.take(SEQUENCE)?);
        let kind = fields.optional_explicit(context(1), INTEGER)?;
        let value = fields.optional_explicit(context(2), OCTET_STRING)?;
        let (Some([PA_ETYPE_INFO_2]), Some(value)) = (kind, value) else { continue };
        let mut entries = Elements::new("PA-ETYPE-INFO2", value);
        let mut entries = Elements::new("PA-ETYPE-INFO2", entries.take(SEQUENCE)?);
        let mut entry = Elements::new("PA-ETYPE-INFO2", entries.take(SEQUENCE)?);
        entry.optional(context(0))?;
        return Ok(entry.optional_explicit(context(1), GENERAL_STRING)?.map(<[u8]>::to_vec));
    }
    Ok(None)
}
