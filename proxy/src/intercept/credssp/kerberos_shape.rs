//! The shape of what a KDC and a server send for Kerberos (RFC 4120, RFC 4121), checked before the library computes
//! with it: its decoder panics on bytes that are no DER.

use super::der::{self, Elements, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, context};
use super::spnego::{INITIAL_TOKEN, KERBEROS, MS_KERBEROS};
use crate::wire::Malformed;
use crate::wire::reader::Reader;

const BOOLEAN: u8 = 0x01;
pub(super) const BIT_STRING: u8 = 0x03;
const UTF_8_STRING: u8 = 0x0C;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const GENERAL_STRING: u8 = 0x1B;
const CONSTRUCTED: u8 = 0x20;

pub(super) const AS_REP: u8 = application(11);
const TGS_REP: u8 = application(13);
pub(super) const AP_REP: u8 = application(15);
pub(super) const KRB_ERROR: u8 = application(30);

/// TOK_ID of AP-REP (RFC 4121 4.1).
pub(super) const AP_REP_TOKEN: [u8; 2] = [2, 0];
/// PA-ETYPE-INFO2, the one element of padata that the library reads.
pub(super) const PA_ETYPE_INFO_2: u8 = 19;
/// KDC_ERR_PREAUTH_REQUIRED, which every logon begins with.
const PREAUTH_REQUIRED: u32 = 25;
/// KRB_AP_ERR_SKEW, after which the library asks again by the KDC's clock.
pub(super) const CLOCK_SKEW: u32 = 37;

/// Elements in elements, at most: a ticket in an answer has eight.
const DEEPEST: usize = 16;
/// Bytes of `YYYYMMDDHHMMSSZ`, the one form of time that Kerberos has.
const TIME_LENGTH: usize = 15;

/// Bytes of a Wrap token before what is sealed (RFC 4121 4.2.6.2).
pub(super) const WRAP_HEADER: usize = 16;
/// Bytes that sealing adds to a message besides: a confounder, the header once more, a checksum of 96 bits.
const SEALING: usize = 16 + WRAP_HEADER + 12;
/// Flags of a Wrap token: sent by the acceptor, sealed.
const FROM_ACCEPTOR_SEALED: u8 = 0x03;

pub(super) const fn application(number: u8) -> u8 {
    0x60 | number
}

/// What a KDC answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Something that the logon goes on with.
    Usable,
    /// KRB-ERROR with this error-code, which ends it.
    Refusal(u32),
}

/// Checks what a KDC answered, without its length.
pub(super) fn check_answer(bytes: &[u8]) -> Result<Answer, Malformed> {
    let name = "an answer of the KDC";
    walk(name, bytes, 0)?;
    let tag = bytes.first().copied().unwrap_or_default();
    let mut outer = Elements::new(name, bytes);
    let mut message = Elements::new(name, outer.take(tag)?);
    outer.end()?;
    let mut fields = Elements::new(name, message.take(SEQUENCE)?);
    match tag {
        AS_REP | TGS_REP => {
            fields.take(context(0))?;
            fields.take(context(1))?;
            if let Some(elements) = fields.optional_explicit(context(2), SEQUENCE)? {
                check_pre_authentication(elements)?;
            }
            Ok(Answer::Usable)
        }
        KRB_ERROR => check_error(fields),
        _ => Err(fields.malformed("it is neither AS-REP, TGS-REP nor KRB-ERROR")),
    }
}

/// KRB-ERROR (RFC 4120 5.9.1).
fn check_error(mut fields: Elements<'_>) -> Result<Answer, Malformed> {
    for number in 0..6 {
        fields.optional(context(number))?;
    }
    let code = fields.optional_explicit(context(6), INTEGER)?;
    let code =
        code.filter(|code| code.len() <= 4).ok_or_else(|| fields.malformed("there is no error-code"))?;
    let code = code.iter().fold(0, |number, &byte| number << 8 | u32::from(byte));
    if ![PREAUTH_REQUIRED, CLOCK_SKEW].contains(&code) {
        return Ok(Answer::Refusal(code));
    }
    for number in 7..12 {
        fields.optional(context(number))?;
    }
    if let Some(data) = fields.optional_explicit(context(12), OCTET_STRING)? {
        let mut outer = Elements::new("METHOD-DATA", data);
        walk("METHOD-DATA", data, 0)?;
        check_pre_authentication(outer.take(SEQUENCE)?)?;
        outer.end()?;
    }
    Ok(Answer::Usable)
}

/// PA-DATA, one after another (RFC 4120 5.2.7), already walked through.
fn check_pre_authentication(elements: &[u8]) -> Result<(), Malformed> {
    let mut elements = Elements::new("PA-DATA", elements);
    while !elements.is_empty() {
        let mut fields = Elements::new("PA-DATA", elements.take(SEQUENCE)?);
        let kind = fields.optional_explicit(context(1), INTEGER)?;
        let value = fields.optional_explicit(context(2), OCTET_STRING)?;
        if let (Some([PA_ETYPE_INFO_2]), Some(value)) = (kind, value) {
            walk("PA-ETYPE-INFO2", value, 0)?;
        }
    }
    Ok(())
}

/// Checks the server's AP-REP with the header of GSS-API (RFC 4121 4.1).
pub(super) fn check_ap_rep(token: &[u8]) -> Result<(), Malformed> {
    let name = "AP-REP";
    let mut outer = Elements::new(name, token);
    let framed = outer.take(INITIAL_TOKEN)?;
    outer.end()?;
    let mut reader = Reader::new(name, framed);
    if reader.u8()? != OBJECT_IDENTIFIER {
        return Err(reader.malformed("it names no mechanism"));
    }
    let length = der::length(&mut reader)?;
    if ![&KERBEROS, &MS_KERBEROS].contains(&&reader.take(length)?.try_into().unwrap_or_default()) {
        return Err(reader.malformed("the mechanism is not Kerberos"));
    }
    if reader.array()? != AP_REP_TOKEN || reader.rest().first() != Some(&AP_REP) {
        return Err(reader.malformed("it is another message"));
    }
    walk(name, reader.rest(), 0)
}

/// A Wrap token of the server with its bytes in the order that the library counts on (MS-KILE 3.4.5.4.1): turned right
/// by 28 and EC, whatever its RRC says.
pub(super) fn turned(sealed: &[u8]) -> Result<Vec<u8>, Malformed> {
    const TURNED_BY: u16 = 28;
    let mut reader = Reader::new("Wrap token", sealed);
    if reader.array()? != [5, 4] {
        return Err(reader.malformed("it is another token"));
    }
    let [flags, filler] = reader.array()?;
    if flags & FROM_ACCEPTOR_SEALED != FROM_ACCEPTOR_SEALED || filler != 0xFF {
        return Err(reader.malformed("the server did not seal it"));
    }
    let (extra, rotation) = (usize::from(reader.u16_be()?), usize::from(reader.u16_be()?));
    reader.take(8)?;
    let length = reader.remaining();
    if length < SEALING + extra {
        return Err(reader.malformed("ends too early"));
    }
    let mut turned = sealed.to_vec();
    turned[6..8].copy_from_slice(&TURNED_BY.to_be_bytes());
    let body = &mut turned[WRAP_HEADER..];
    body.rotate_left(rotation % length);
    body.rotate_right(usize::from(TURNED_BY) + extra);
    Ok(turned)
}

/// One element and everything in it: DER as Kerberos uses it, whose tags are all explicit and have one byte.
fn walk(name: &'static str, bytes: &[u8], depth: usize) -> Result<(), Malformed> {
    let mut reader = Reader::new(name, bytes);
    walk_next(name, &mut reader, depth)?;
    if reader.is_empty() { Ok(()) } else { Err(reader.malformed("more follows than belongs there")) }
}

fn walk_next(name: &'static str, reader: &mut Reader<'_>, depth: usize) -> Result<(), Malformed> {
    let tag = reader.u8()?;
    let start = reader.offset();
    let length = der::length(reader)?;
    if reader.offset() - start != der::length_of_length(length) {
        return Err(reader.malformed("a length that is not as short as it can be"));
    }
    let content = reader.take(length)?;
    if depth == DEEPEST {
        return Err(reader.malformed("elements in too many elements"));
    }
    let fits = match tag {
        SEQUENCE => {
            let mut elements = Reader::new(name, content);
            while !elements.is_empty() {
                walk_next(name, &mut elements, depth + 1)?;
            }
            true
        }
        // Application and context tags hold one element.
        _ if tag & 0x1F != 0x1F && matches!(tag & 0xC0, 0x40 | 0x80) && tag & CONSTRUCTED != 0 => {
            walk(name, content, depth + 1)?;
            true
        }
        BOOLEAN => content.len() == 1,
        INTEGER => (1..=8).contains(&content.len()),
        BIT_STRING => content.first().is_some_and(|unused| *unused < 8) && content.len() > 1,
        OCTET_STRING => true,
        UTF_8_STRING => std::str::from_utf8(content).is_ok(),
        GENERAL_STRING => content.is_ascii(),
        GENERALIZED_TIME => {
            let digits = content.strip_suffix(b"Z").unwrap_or_default();
            content.len() == TIME_LENGTH && digits.iter().all(u8::is_ascii_digit)
        }
        _ => return Err(reader.malformed("an element of a type that Kerberos does not have")),
    };
    if fits { Ok(()) } else { Err(reader.malformed("an element that is not of its type")) }
}
