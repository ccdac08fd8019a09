//! Kerberos user-to-user, with which `mstsc` and FreeRDP begin (draft-swift-win2k-krb-user2user): the client asks for the
//! ticket-granting ticket of the service's account (TGT-REQ, TGT-REP), and has its own ticket sealed with the key of that
//! one in place of the service's. Only who has the service's key can be given one, for which its KDC is asked here.

use super::ap_rep::{framed, head};
use super::ap_req::{self, Framed, fields, required, sealed, unsigned};
use super::credentials::Kdc;
use super::der::{Elements, INTEGER, OCTET_STRING, SEQUENCE, context, element, explicit};
use super::kerberos::ask_kdc;
use super::kerberos_key::Key;
use super::kerberos_shape::{AS_REP, BIT_STRING, GENERAL_STRING, GENERALIZED_TIME, application};
use super::keytab::Entry;
use super::refusal::Refusal;
use super::spnego::USER_TO_USER;
use crate::wire::Malformed;
use crate::wire::credssp::kerberos::KerberosToken;
use jiff::Timestamp;
use picky_krb::constants::key_usages::{AS_REP_ENC, AS_REQ_TIMESTAMP};
use zeroize::Zeroizing;

const AS_REQ: u8 = application(10);
const AS_REQ_TYPE: u8 = 10;
const TGT_REP_TYPE: u8 = 17;
/// TOK_ID of TGT-REQ and TGT-REP.
const TGT_REQ_TOKEN: [u8; 2] = [4, 0];
const TGT_REP_TOKEN: [u8; 2] = [4, 1];
const PA_ENC_TIMESTAMP: u8 = 2;
/// Seconds that the ticket is asked for: longer than any logon takes.
const LIFE: i64 = 600;

/// A ticket-granting ticket of the service's account.
pub(super) struct Granting {
    /// TGT-REP in the framing of GSS-API.
    pub(super) tgt_rep: Vec<u8>,
    /// What the client's ticket will be sealed with.
    pub(super) key: Key,
}

/// The service that TGT-REQ names, empty where it names none; `None` where the token is another one.
pub(super) fn asked_for(token: &[u8]) -> Result<Option<String>, Malformed> {
    let framed = ap_req::unframed("TGT-REQ", token)?;
    let is_asking = |framed: &Framed<'_>| framed.mechanism == USER_TO_USER && framed.kind == TGT_REQ_TOKEN;
    let Some(Framed { message, .. }) = framed.filter(is_asking) else { return Ok(None) };
    let mut outer = Elements::new("TGT-REQ", message);
    let mut fields = Elements::new("TGT-REQ", outer.take(SEQUENCE)?);
    fields.take(context(0))?;
    fields.take(context(1))?;
    let name = fields.optional_explicit(context(2), SEQUENCE)?;
    name.map_or(Ok(Some(String::new())), |name| ap_req::name(name).map(Some))
}

/// Asks the KDC for a ticket-granting ticket, `now` in seconds since 1970.
pub(super) async fn granting(account: &Entry, key: &Key, kdc: Kdc, now: i64) -> Result<Granting, Refusal> {
    let library = |what: &str| Refusal::Library(what.to_owned());
    let mut nonce = [0; 4];
    super::fill_with_random(&mut nonce).map_err(Refusal::Library)?;
    // A number that is not negative.
    nonce[0] = nonce[0] & 0x3F | 0x40;
    let question =
        as_req(account, key, &nonce, now).ok_or_else(|| library("the question cannot be sealed"))?;
    let (address, answer) = ask_kdc(kdc, &account.realm, &question).await?;
    if let Some(KerberosToken::Error { code }) = KerberosToken::decode(&answer) {
        return Err(Refusal::Kdc { realm: account.realm.clone(), code: code.value });
    }
    let granted = as_rep(&answer, key, &nonce);
    let granted = granted.map_err(|source| Refusal::Malformed { kdc: address, source })?;
    granted.ok_or_else(|| library("it is sealed with another key than the keytab's"))
}

/// AS-REQ (RFC 4120 5.4.1) with the time that proves the key.
fn as_req(account: &Entry, key: &Key, nonce: &[u8], now: i64) -> Option<Vec<u8>> {
    let time = |seconds: i64| {
        let time = Timestamp::from_second(seconds).unwrap_or_default();
        time.strftime("%Y%m%d%H%M%SZ").to_string().into_bytes()
    };
    let stamp = explicit(context(0), GENERALIZED_TIME, &time(now));
    let stamp = key.seal(AS_REQ_TIMESTAMP, &element(SEQUENCE, &stamp)).ok()?;
    let kind = explicit(context(0), INTEGER, &[key.encryption()]);
    let stamp = element(SEQUENCE, &[kind, explicit(context(2), OCTET_STRING, &stamp)].concat());
    let proof =
        [explicit(context(1), INTEGER, &[PA_ENC_TIMESTAMP]), explicit(context(2), OCTET_STRING, &stamp)];
    let parts: Vec<&str> = account.service.split('/').collect();
    let body = [
        explicit(context(0), BIT_STRING, &[0; 5]),
        explicit(context(1), SEQUENCE, &principal(1, &parts)),
        explicit(context(2), GENERAL_STRING, account.realm.as_bytes()),
        explicit(context(3), SEQUENCE, &principal(2, &["krbtgt", &account.realm])),
        explicit(context(5), GENERALIZED_TIME, &time(now + LIFE)),
        explicit(context(7), INTEGER, nonce),
        explicit(context(8), SEQUENCE, &element(INTEGER, &[key.encryption()])),
    ];
    let fields = [
        explicit(context(1), INTEGER, &[5]),
        explicit(context(2), INTEGER, &[AS_REQ_TYPE]),
        explicit(context(3), SEQUENCE, &element(SEQUENCE, &proof.concat())),
        explicit(context(4), SEQUENCE, &body.concat()),
    ];
    Some(explicit(AS_REQ, SEQUENCE, &fields.concat()))
}

/// PrincipalName without its header, with this name-type.
fn principal(kind: u8, parts: &[&str]) -> Vec<u8> {
    let parts: Vec<u8> = parts.iter().flat_map(|part| element(GENERAL_STRING, part.as_bytes())).collect();
    [explicit(context(0), INTEGER, &[kind]), explicit(context(1), SEQUENCE, &parts)].concat()
}

/// AS-REP (RFC 4120 5.4.2); `None` where it is sealed with another key or answers to another question.
pub(super) fn as_rep(answer: &[u8], key: &Key, nonce: &[u8]) -> Result<Option<Granting>, Malformed> {
    let name = "AS-REP";
    let mut message = fields(name, answer, AS_REP)?;
    message.take(context(0))?;
    message.take(context(1))?;
    message.optional(context(2))?;
    message.take(context(3))?;
    message.take(context(4))?;
    let ticket = message.take(context(5))?;
    let part = sealed(&mut message, 6)?;
    let Some(part) = key.open(AS_REP_ENC, part.cipher) else { return Ok(None) };
    let name = "EncASRepPart";
    // Some KDCs mark it as the part of another answer.
    let mut part = fields(name, &part, application(25)).or_else(|_| fields(name, &part, application(26)))?;
    let mut session = Elements::new("EncryptionKey", required(&mut part, 0, SEQUENCE)?);
    let encryption = unsigned(required(&mut session, 0, INTEGER)?);
    let session_key = Zeroizing::new(required(&mut session, 1, OCTET_STRING)?.to_vec());
    part.take(context(1))?;
    if required(&mut part, 2, INTEGER)? != nonce {
        return Ok(None);
    }
    let message = element(SEQUENCE, &[head(TGT_REP_TYPE), element(context(2), ticket)].concat());
    let tgt_rep = framed(&USER_TO_USER, TGT_REP_TOKEN, &message);
    Ok(Key::new(encryption, &session_key).map(|key| Granting { tgt_rep, key }))
}
