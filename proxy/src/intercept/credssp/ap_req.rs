//! What a client brings for Kerberos: AP-REQ, and what it seals (RFC 4120 5.3, 5.5.1).

use super::der::{self, Elements, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, context};
use super::kerberos_shape::{BIT_STRING, GENERAL_STRING, GENERALIZED_TIME, application};
use super::spnego::{INITIAL_TOKEN, KERBEROS, MS_KERBEROS, USER_TO_USER};
use crate::wire::Malformed;
use crate::wire::reader::Reader;
use zeroize::Zeroizing;

const TICKET: u8 = application(1);
const AUTHENTICATOR: u8 = application(2);
const ENC_TICKET_PART: u8 = application(3);
const AP_REQ: u8 = application(14);

/// TOK_ID of AP-REQ (RFC 4121 4.1).
const TOKEN: [u8; 2] = [1, 0];
/// USE-SESSION-KEY of APOptions: the ticket is sealed with the key of another ticket.
const USE_SESSION_KEY: u8 = 0x40;
/// `invalid` of TicketFlags, in the first byte.
const INVALID: u8 = 0x01;

/// AP-REQ, as far as it is in clear.
#[derive(Clone, Copy)]
pub(super) struct ApReq<'a> {
    /// The mechanism that its framing names, which the answer's names too.
    pub(super) mechanism: &'a [u8],
    /// Whether the ticket is sealed with the key of another ticket, and not with a service's.
    pub(super) is_user_to_user: bool,
    /// The ticket's realm, as it is in the message.
    pub(super) realm: &'a [u8],
    /// PrincipalName of the ticket's service, without its header.
    pub(super) service: &'a [u8],
    pub(super) ticket: Sealed<'a>,
    pub(super) authenticator: Sealed<'a>,
}

/// EncryptedData.
#[derive(Clone, Copy)]
pub(super) struct Sealed<'a> {
    /// etype.
    pub(super) encryption: u32,
    /// kvno.
    pub(super) version: Option<u32>,
    pub(super) cipher: &'a [u8],
}

/// EncTicketPart, as far as it is judged. Times are seconds since 1970.
pub(super) struct Ticket {
    pub(super) is_invalid: bool,
    /// keytype and keyvalue of the session key.
    pub(super) encryption: u32,
    pub(super) key: Zeroizing<Vec<u8>>,
    pub(super) client: Principal,
    pub(super) starts: i64,
    pub(super) ends: i64,
}

/// Authenticator, as far as it is judged and answered to.
pub(super) struct Authenticator<'a> {
    pub(super) client: Principal,
    /// ctime, seconds since 1970.
    pub(super) time: i64,
    /// ctime as it is in the message.
    pub(super) time_text: &'a [u8],
    /// cusec as it is in the message.
    pub(super) microseconds: &'a [u8],
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) name: String,
    pub(super) realm: String,
}

impl<'a> ApReq<'a> {
    /// From a token with the header of GSS-API; `None` where it is another message of Kerberos.
    pub(super) fn decode(token: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let name = "AP-REQ";
        let Some(Framed { mechanism, kind: TOKEN, message }) = unframed(name, token)? else {
            return Ok(None);
        };
        let mut fields = fields(name, message, AP_REQ)?;
        // pvno and msg-type.
        fields.take(context(0))?;
        fields.take(context(1))?;
        let options = required(&mut fields, 2, BIT_STRING)?;
        let ticket = fields.take(context(3))?;
        let authenticator = sealed(&mut fields, 4)?;

        let mut fields = self::fields("Ticket", ticket, TICKET)?;
        fields.take(context(0))?;
        let realm = required(&mut fields, 1, GENERAL_STRING)?;
        let service = required(&mut fields, 2, SEQUENCE)?;
        let ticket = sealed(&mut fields, 3)?;
        // The first byte counts the bits that do not count.
        let is_user_to_user = options.get(1).is_some_and(|options| options & USE_SESSION_KEY != 0);
        Ok(Some(ApReq { mechanism, is_user_to_user, realm, service, ticket, authenticator }))
    }
}

impl Ticket {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let name = "EncTicketPart";
        let mut fields = fields(name, bytes, ENC_TICKET_PART)?;
        let flags = required(&mut fields, 0, BIT_STRING)?;
        let mut key = Elements::new("EncryptionKey", required(&mut fields, 1, SEQUENCE)?);
        let encryption = unsigned(required(&mut key, 0, INTEGER)?);
        let key = Zeroizing::new(required(&mut key, 1, OCTET_STRING)?.to_vec());
        let client = principal(&mut fields, 2)?;
        // transited.
        fields.take(context(4))?;
        let authenticated = required(&mut fields, 5, GENERALIZED_TIME)?;
        let authenticated = time(&fields, authenticated)?;
        let starts = fields.optional_explicit(context(6), GENERALIZED_TIME)?;
        let starts = starts.map_or(Ok(authenticated), |starts| time(&fields, starts))?;
        let ends = required(&mut fields, 7, GENERALIZED_TIME)?;
        let ends = time(&fields, ends)?;
        let is_invalid = flags.get(1).is_some_and(|flags| flags & INVALID != 0);
        Ok(Ticket { is_invalid, encryption, key, client, starts, ends })
    }
}

impl<'a> Authenticator<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = fields("Authenticator", bytes, AUTHENTICATOR)?;
        fields.take(context(0))?;
        let client = principal(&mut fields, 1)?;
        // The checksum of GSS-API: which flags the client set.
        fields.optional(context(3))?;
        let microseconds = required(&mut fields, 4, INTEGER)?;
        let time_text = required(&mut fields, 5, GENERALIZED_TIME)?;
        let time = time(&fields, time_text)?;
        Ok(Authenticator { client, time, time_text, microseconds })
    }
}

/// What the header of GSS-API (RFC 4121 4.1) holds.
pub(super) struct Framed<'a> {
    pub(super) mechanism: &'a [u8],
    /// TOK_ID.
    pub(super) kind: [u8; 2],
    pub(super) message: &'a [u8],
}

/// A token with that header; `None` where its mechanism is not Kerberos.
pub(super) fn unframed<'a>(name: &'static str, token: &'a [u8]) -> Result<Option<Framed<'a>>, Malformed> {
    let mut outer = Elements::new(name, token);
    let framed = outer.take(INITIAL_TOKEN)?;
    outer.end()?;
    let mut reader = Reader::new(name, framed);
    if reader.u8()? != OBJECT_IDENTIFIER {
        return Err(reader.malformed("it names no mechanism"));
    }
    let length = der::length(&mut reader)?;
    let mechanism = reader.take(length)?;
    if ![&KERBEROS[..], &MS_KERBEROS, &USER_TO_USER].contains(&mechanism) {
        return Ok(None);
    }
    Ok(Some(Framed { mechanism, kind: reader.array()?, message: reader.rest() }))
}

/// The fields of a message with this tag.
pub(super) fn fields<'a>(name: &'static str, bytes: &'a [u8], tag: u8) -> Result<Elements<'a>, Malformed> {
    let mut outer = Elements::new(name, bytes);
    let mut message = Elements::new(name, outer.take(tag)?);
    outer.end()?;
    let fields = Elements::new(name, message.take(SEQUENCE)?);
    message.end()?;
    Ok(fields)
}

/// The content of the next field, which must be there.
pub(super) fn required<'a>(fields: &mut Elements<'a>, number: u8, tag: u8) -> Result<&'a [u8], Malformed> {
    let field = fields.optional_explicit(context(number), tag)?;
    field.ok_or_else(|| fields.malformed("a field is missing"))
}

pub(super) fn sealed<'a>(fields: &mut Elements<'a>, number: u8) -> Result<Sealed<'a>, Malformed> {
    let mut fields = Elements::new("EncryptedData", required(fields, number, SEQUENCE)?);
    let encryption = unsigned(required(&mut fields, 0, INTEGER)?);
    let version = fields.optional_explicit(context(1), INTEGER)?.map(unsigned);
    let cipher = required(&mut fields, 2, OCTET_STRING)?;
    Ok(Sealed { encryption, version, cipher })
}

/// Realm and name of a client, in fields of these numbers.
fn principal(fields: &mut Elements<'_>, first: u8) -> Result<Principal, Malformed> {
    let realm = text(required(fields, first, GENERAL_STRING)?);
    let name = self::name(required(fields, first + 1, SEQUENCE)?)?;
    Ok(Principal { name, realm })
}

/// PrincipalName (RFC 4120 5.2.2), with slashes between its parts.
pub(super) fn name(bytes: &[u8]) -> Result<String, Malformed> {
    let mut fields = Elements::new("PrincipalName", bytes);
    fields.take(context(0))?;
    let mut parts = Elements::new("PrincipalName", required(&mut fields, 1, SEQUENCE)?);
    let mut name = text(parts.take(GENERAL_STRING)?);
    while !parts.is_empty() {
        name = format!("{name}/{}", text(parts.take(GENERAL_STRING)?));
    }
    Ok(name)
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// KerberosTime (RFC 4120 5.2.3), `YYYYMMDDHHMMSSZ`, in seconds since 1970.
fn time(fields: &Elements<'_>, bytes: &[u8]) -> Result<i64, Malformed> {
    let digits = bytes.strip_suffix(b"Z").filter(|digits| digits.len() == 14);
    let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_digit)).unwrap_or_default();
    let mut pairs = digits.chunks_exact(2).map(|pair| (pair[0] - b'0') * 10 + (pair[1] - b'0'));
    let mut pair = || pairs.next().map(i16::from).unwrap_or_default();
    let year = pair() * 100 + pair();
    let [month, day, hour, minute, second] = [(); 5].map(|()| pair() as i8);
    let time = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0);
    let time = time.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC));
    time.map(|time| time.timestamp().as_second()).map_err(|_| fields.malformed("a time that is none"))
}

/// Numbers of 32 bits, of which some write the higher ones as negative.
pub(super) fn unsigned(integer: &[u8]) -> u32 {
    integer.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}
