//! What a service answers to AP-REQ: AP-REP or KRB-ERROR, in the framing of GSS-API (RFC 4120 5.5.2, 5.9.1; RFC 4121 4.1).

use super::ap_req::{ApReq, Authenticator};
use super::der::{INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, context, element, explicit};
use super::kerberos_key::Key;
use super::kerberos_shape::{AP_REP, AP_REP_TOKEN, GENERAL_STRING, GENERALIZED_TIME, KRB_ERROR, application};
use super::ntlm::Fault;
use super::spnego::INITIAL_TOKEN;
use picky_krb::constants::key_usages::AP_REP_ENC;
use zeroize::Zeroizing;

const ENC_AP_REP_PART: u8 = application(27);
/// TOK_ID of KRB-ERROR.
const KRB_ERROR_TOKEN: [u8; 2] = [3, 0];

/// pvno, of every message.
const VERSION: u8 = 5;
const AP_REP_TYPE: u8 = 15;
const KRB_ERROR_TYPE: u8 = 30;

/// AP-REP: the client's time proves that we could read it; with it go our own key, and the number of our first message,
/// which has no more and no less than 30 bits.
pub(super) fn ap_rep(
    request: &ApReq<'_>,
    session_key: &Key,
    authenticator: &Authenticator<'_>,
    own_key: &Key,
    sequence_number: u32,
) -> Result<Vec<u8>, Fault> {
    let key_value = Zeroizing::new(element(OCTET_STRING, own_key.bytes()));
    let key_value = Zeroizing::new(element(context(1), &key_value));
    let key_type = explicit(context(0), INTEGER, &[own_key.encryption()]);
    let key = Zeroizing::new(element(SEQUENCE, &Zeroizing::new([&key_type[..], &key_value].concat())));
    let part = Zeroizing::new(
        [
            explicit(context(0), GENERALIZED_TIME, authenticator.time_text),
            explicit(context(1), INTEGER, authenticator.microseconds),
            element(context(2), &key),
            explicit(context(3), INTEGER, &sequence_number.to_be_bytes()),
        ]
        .concat(),
    );
    let part = Zeroizing::new(explicit(ENC_AP_REP_PART, SEQUENCE, &part));
    let cipher = session_key.seal(AP_REP_ENC, &part)?;
    let encrypted = [
        explicit(context(0), INTEGER, &[session_key.encryption()]),
        explicit(context(2), OCTET_STRING, &cipher),
    ];
    let encrypted = explicit(context(2), SEQUENCE, &encrypted.concat());
    let message = explicit(AP_REP, SEQUENCE, &[head(AP_REP_TYPE), encrypted].concat());
    Ok(framed(request.mechanism, AP_REP_TOKEN, &message))
}

/// KRB-ERROR with the time that it is here, `now` in seconds since 1970.
pub(super) fn krb_error(request: &ApReq<'_>, code: u8, now: i64) -> Vec<u8> {
    let now = jiff::Timestamp::from_second(now).unwrap_or_default();
    let fields = [
        head(KRB_ERROR_TYPE),
        explicit(context(4), GENERALIZED_TIME, now.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()),
        explicit(context(5), INTEGER, &[0]),
        explicit(context(6), INTEGER, &[code]),
        explicit(context(9), GENERAL_STRING, request.realm),
        explicit(context(10), SEQUENCE, request.service),
    ];
    framed(request.mechanism, KRB_ERROR_TOKEN, &explicit(KRB_ERROR, SEQUENCE, &fields.concat()))
}

/// pvno and msg-type.
pub(super) fn head(kind: u8) -> Vec<u8> {
    [explicit(context(0), INTEGER, &[VERSION]), explicit(context(1), INTEGER, &[kind])].concat()
}

/// A message with the header of GSS-API (RFC 4121 4.1).
pub(super) fn framed(mechanism: &[u8], token: [u8; 2], message: &[u8]) -> Vec<u8> {
    element(INITIAL_TOKEN, &[&element(OBJECT_IDENTIFIER, mechanism), &token[..], message].concat())
}
