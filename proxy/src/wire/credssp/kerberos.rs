//! What a Kerberos token shows in clear (RFC 4121 4.1, RFC 4120).

use super::{der, spnego};
use crate::wire::Reader;
use crate::wire::named::{Code, byte_text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// error-code (RFC 4120 7.5.9), the ones that a server or its clients meet.
pub const ERROR_CODES: &[(u32, &str)] = &[
    (1, "KDC_ERR_NAME_EXP"),
    (3, "KDC_ERR_BAD_PVNO"),
    (6, "KDC_ERR_C_PRINCIPAL_UNKNOWN"),
    (7, "KDC_ERR_S_PRINCIPAL_UNKNOWN"),
    (12, "KDC_ERR_POLICY"),
    (13, "KDC_ERR_BADOPTION"),
    (14, "KDC_ERR_ETYPE_NOSUPP"),
    (18, "KDC_ERR_CLIENT_REVOKED"),
    (20, "KDC_ERR_TGT_REVOKED"),
    (23, "KDC_ERR_KEY_EXPIRED"),
    (24, "KDC_ERR_PREAUTH_FAILED"),
    (25, "KDC_ERR_PREAUTH_REQUIRED"),
    (27, "KDC_ERR_MUST_USE_USER2USER"),
    (29, "KDC_ERR_SVC_UNAVAILABLE"),
    (31, "KRB_AP_ERR_BAD_INTEGRITY"),
    (32, "KRB_AP_ERR_TKT_EXPIRED"),
    (33, "KRB_AP_ERR_TKT_NYV"),
    (34, "KRB_AP_ERR_REPEAT"),
    (35, "KRB_AP_ERR_NOT_US"),
    (36, "KRB_AP_ERR_BADMATCH"),
    (37, "KRB_AP_ERR_SKEW"),
    (38, "KRB_AP_ERR_BADADDR"),
    (39, "KRB_AP_ERR_BADVERSION"),
    (40, "KRB_AP_ERR_MSG_TYPE"),
    (41, "KRB_AP_ERR_MODIFIED"),
    (42, "KRB_AP_ERR_BADORDER"),
    (44, "KRB_AP_ERR_BADKEYVER"),
    (45, "KRB_AP_ERR_NOKEY"),
    (46, "KRB_AP_ERR_MUT_FAIL"),
    (60, "KRB_ERR_GENERIC"),
    (68, "KDC_ERR_WRONG_REALM"),
    (69, "KRB_AP_ERR_USER_TO_USER_REQUIRED"),
];

/// Encryption types (RFC 3961, RFC 3962, RFC 4757, RFC 8009).
pub const ENCRYPTION_TYPES: &[(u32, &str)] = &[
    (1, "des-cbc-crc"),
    (3, "des-cbc-md5"),
    (17, "aes128-cts-hmac-sha1-96"),
    (18, "aes256-cts-hmac-sha1-96"),
    (19, "aes128-cts-hmac-sha256-128"),
    (20, "aes256-cts-hmac-sha384-192"),
    (23, "rc4-hmac"),
    (24, "rc4-hmac-exp"),
];

/// Parts of a service's name that are shown: `TERMSRV` and the host, for some services a realm.
const MOST_NAME_PARTS: usize = 4;

/// A Kerberos token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum KerberosToken {
    /// AP-REQ: the ticket's realm and service are in clear, the rest is a secret.
    ApReq {
        /// The ticket's realm.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        realm: Option<String>,
        /// The ticket's service, `TERMSRV/name`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// The encryption type of the ticket.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encryption_type: Option<Code>,
    },
    /// AP-REP.
    ApRep,
    /// KRB-ERROR.
    Error {
        /// error-code.
        code: Code,
    },
    /// A token of another kind, as user-to-user has them: TOK_ID.
    Other {
        /// TOK_ID.
        token_id: u16,
    },
}

impl KerberosToken {
    /// Reads a token with the header of GSS-API (RFC 4121 4.1), or the bare message that DCE leaves of it. `None` where
    /// it is neither.
    pub fn decode(token: &[u8]) -> Option<Self> {
        let Some(framed) = der::only(token, der::application(0)) else { return message(token) };
        let mut reader = Reader::new("Kerberos token", framed);
        let identifier = der::element(&mut reader).ok()?;
        let mechanism = spnego::mechanism(identifier.body)?;
        if identifier.tag != der::OBJECT_IDENTIFIER || !mechanism.starts_with("Kerberos") {
            return None;
        }
        let token_id = reader.u16_be().ok()?;
        Some(message(reader.rest()).unwrap_or(KerberosToken::Other { token_id }))
    }
}

/// AP-REQ, AP-REP or KRB-ERROR (RFC 4120 5.5, 5.9).
fn message(bytes: &[u8]) -> Option<KerberosToken> {
    let fields =
        |number| der::only(bytes, der::application(number)).and_then(|body| der::only(body, der::SEQUENCE));
    if let Some(request) = fields(14) {
        return Some(ap_req(request));
    }
    if fields(15).is_some() {
        return Some(KerberosToken::ApRep);
    }
    let code = der::find(fields(30)?, der::context(6))?;
    let code = der::integer(der::only(code, der::INTEGER)?)?;
    Some(KerberosToken::Error { code: Code::new(code, ERROR_CODES) })
}

fn ap_req(fields: &[u8]) -> KerberosToken {
    let ticket = der::find(fields, der::context(3)).and_then(|ticket| der::only(ticket, der::application(1)));
    let ticket = ticket.and_then(|ticket| der::only(ticket, der::SEQUENCE)).unwrap_or_default();
    let realm = der::find(ticket, der::context(1)).and_then(|realm| der::only(realm, der::GENERAL_STRING));
    let encrypted = der::find(ticket, der::context(3)).and_then(|part| der::only(part, der::SEQUENCE));
    let kind = encrypted.and_then(|part| der::find(part, der::context(0)));
    let kind = kind.and_then(|kind| der::only(kind, der::INTEGER)).and_then(der::integer);
    KerberosToken::ApReq {
        realm: realm.map(byte_text),
        service: der::find(ticket, der::context(2)).and_then(service),
        encryption_type: kind.map(|kind| Code::new(kind, ENCRYPTION_TYPES)),
    }
}

/// PrincipalName (RFC 4120 5.2.2) with slashes between its parts.
fn service(name: &[u8]) -> Option<String> {
    let parts = der::find(der::only(name, der::SEQUENCE)?, der::context(1))?;
    let parts = der::elements(der::only(parts, der::SEQUENCE)?);
    let parts = parts.filter(|part| part.tag == der::GENERAL_STRING).take(MOST_NAME_PARTS);
    let service = parts.map(|part| byte_text(part.body)).collect::<Vec<_>>().join("/");
    Some(service).filter(|service| !service.is_empty())
}
