//! TLS alerts (RFC 8446 section 6): their names, what they tell the administrator of an RDP host, and the status
//! that Windows shows when its peer sends one.

use super::super::Malformed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// An alert that was sent in clear text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// AlertLevel: 1 warning, 2 fatal.
    pub level: u8,
    /// `"warning"` or `"fatal"`, `null` for another number.
    pub level_name: Option<Cow<'static, str>>,
    /// AlertDescription.
    pub description: u8,
    /// The RFC's name, `"certificate_expired"`, `null` for a number without one.
    pub description_name: Option<Cow<'static, str>>,
}

impl Alert {
    /// Reads the fragment of an alert record. Any length but two bytes is an encrypted alert, or none at all.
    pub fn decode(fragment: &[u8]) -> Result<Alert, Malformed> {
        let &[level, description] = fragment else {
            return Err(Malformed::new("Alert", 0, "not two bytes long, so encrypted or broken"));
        };
        let level_name = match level {
            1 => Some(Cow::Borrowed("warning")),
            2 => Some(Cow::Borrowed("fatal")),
            _ => None,
        };
        let description_name = describe(description).map(|entry| Cow::Borrowed(entry.name));
        Ok(Alert { level, level_name, description, description_name })
    }

    /// Whether it ends the connection: level fatal, or anything that is neither a warning nor known.
    pub fn is_fatal(&self) -> bool {
        self.level != 1
    }

    /// What is known of this alert's description.
    pub fn describe(&self) -> Option<&'static AlertDescription> {
        describe(self.description)
    }
}

/// What is known of an AlertDescription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertDescription {
    /// Its number.
    pub number: u8,
    /// Its name in the RFC.
    pub name: &'static str,
    /// The HRESULT that Schannel hands to a Windows program whose peer sent it, with its symbol.
    pub schannel: Option<(u32, &'static str)>,
    /// What it means for the administrator of an RDP host, in a clause without a full stop.
    pub meaning: &'static str,
}

/// What is known of an alert number.
pub fn describe(number: u8) -> Option<&'static AlertDescription> {
    ALERT_DESCRIPTIONS.iter().find(|entry| entry.number == number)
}

const ILLEGAL_MESSAGE: Option<(u32, &str)> = Some((0x8009_0326, "SEC_E_ILLEGAL_MESSAGE"));
const CERT_UNKNOWN: Option<(u32, &str)> = Some((0x8009_0327, "SEC_E_CERT_UNKNOWN"));
const DECRYPT_FAILURE: Option<(u32, &str)> = Some((0x8009_0330, "SEC_E_DECRYPT_FAILURE"));

const fn entry(
    number: u8,
    name: &'static str,
    schannel: Option<(u32, &'static str)>,
    meaning: &'static str,
) -> AlertDescription {
    AlertDescription { number, name, schannel, meaning }
}

/// Every alert that has a name (RFC 8446 section 6, RFC 5246 section 7.2, RFC 6101, RFC 6066).
pub const ALERT_DESCRIPTIONS: &[AlertDescription] = &[
    entry(
        0,
        "close_notify",
        None,
        "the sender closed the connection in good order; right after the handshake that is a decision, \
         not a TLS fault",
    ),
    entry(
        10,
        "unexpected_message",
        ILLEGAL_MESSAGE,
        "a message came out of order: a middlebox interfered, or plain RDP was sent where TLS was expected",
    ),
    entry(
        20,
        "bad_record_mac",
        Some((0x8009_030f, "SEC_E_MESSAGE_ALTERED")),
        "a record was damaged or altered on the way",
    ),
    entry(
        21,
        "decryption_failed",
        DECRYPT_FAILURE,
        "a record could not be decrypted: damaged or altered on the way",
    ),
    entry(22, "record_overflow", ILLEGAL_MESSAGE, "a record was too long: the peer or a middlebox is broken"),
    entry(30, "decompression_failure", ILLEGAL_MESSAGE, "a compressed record could not be expanded"),
    entry(
        40,
        "handshake_failure",
        ILLEGAL_MESSAGE,
        "client and server share no cipher suite, group or signature scheme; a Windows server logs Schannel \
         event 36874",
    ),
    entry(41, "no_certificate", None, "the client has no certificate to show (SSL 3.0)"),
    entry(42, "bad_certificate", CERT_UNKNOWN, "the certificate is malformed or its signature is wrong"),
    entry(
        43,
        "unsupported_certificate",
        CERT_UNKNOWN,
        "the certificate's key type, usage or signature algorithm is not accepted",
    ),
    entry(44, "certificate_revoked", Some((0x8009_2010, "CRYPT_E_REVOKED")), "the certificate was revoked"),
    entry(
        45,
        "certificate_expired",
        Some((0x8009_0328, "SEC_E_CERT_EXPIRED")),
        "the certificate is outside its validity period by the sender's clock",
    ),
    entry(
        46,
        "certificate_unknown",
        CERT_UNKNOWN,
        "the certificate was refused for a reason the sender does not name",
    ),
    entry(
        47,
        "illegal_parameter",
        ILLEGAL_MESSAGE,
        "a field of the handshake holds a value that is not allowed",
    ),
    entry(
        48,
        "unknown_ca",
        Some((0x8009_0325, "SEC_E_UNTRUSTED_ROOT")),
        "the certificate does not lead to a root that the sender trusts",
    ),
    entry(
        49,
        "access_denied",
        Some((0x8009_030c, "SEC_E_LOGON_DENIED")),
        "access was denied; an RDP server sends this when it refuses the credentials",
    ),
    entry(
        50,
        "decode_error",
        ILLEGAL_MESSAGE,
        "a message could not be decoded: the peer or a middlebox is broken",
    ),
    entry(51, "decrypt_error", DECRYPT_FAILURE, "a signature or the Finished message did not verify"),
    entry(60, "export_restriction", None, "the sender refuses the key length (export rules of TLS 1.0)"),
    entry(
        70,
        "protocol_version",
        Some((0x8009_0302, "SEC_E_UNSUPPORTED_FUNCTION")),
        "client and server share no TLS version",
    ),
    entry(
        71,
        "insufficient_security",
        Some((0x8009_0331, "SEC_E_ALGORITHM_MISMATCH")),
        "the server demands stronger ciphers than the client offers",
    ),
    entry(80, "internal_error", Some((0x8009_0304, "SEC_E_INTERNAL_ERROR")), "the sender failed by itself"),
    entry(86, "inappropriate_fallback", None, "the server refused a retry with a lower TLS version"),
    entry(
        90,
        "user_canceled",
        Some((0x8009_0333, "SEC_E_UNFINISHED_CONTEXT_DELETED")),
        "the handshake was cancelled",
    ),
    entry(100, "no_renegotiation", ILLEGAL_MESSAGE, "the sender does not renegotiate"),
    entry(109, "missing_extension", ILLEGAL_MESSAGE, "the hello lacks an extension that the peer requires"),
    entry(
        110,
        "unsupported_extension",
        ILLEGAL_MESSAGE,
        "the peer answered with an extension that was not offered",
    ),
    entry(
        111,
        "certificate_unobtainable",
        None,
        "the certificate could not be fetched from the address given",
    ),
    entry(
        112,
        "unrecognized_name",
        ILLEGAL_MESSAGE,
        "the server, mostly a TLS front end, does not know the name that the client asked for",
    ),
    entry(
        113,
        "bad_certificate_status_response",
        ILLEGAL_MESSAGE,
        "the revocation status sent with the certificate is invalid",
    ),
    entry(114, "bad_certificate_hash_value", None, "the certificate does not match the hash given for it"),
    entry(
        115,
        "unknown_psk_identity",
        ILLEGAL_MESSAGE,
        "the server does not know the pre-shared key of the session to be resumed",
    ),
    entry(116, "certificate_required", ILLEGAL_MESSAGE, "the server demands a client certificate"),
    entry(
        120,
        "no_application_protocol",
        Some((0x8009_0367, "SEC_E_APPLICATION_PROTOCOL_MISMATCH")),
        "client and server share no application protocol (ALPN)",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_known_alert_has_names_and_a_meaning() {
        let alert = Alert::decode(&[2, 45]).unwrap();
        assert_eq!(alert.level_name.as_deref(), Some("fatal"));
        assert_eq!(alert.description_name.as_deref(), Some("certificate_expired"));
        assert_eq!(alert.describe().unwrap().schannel, Some((0x8009_0328, "SEC_E_CERT_EXPIRED")));
    }

    #[test]
    fn an_unknown_alert_keeps_its_numbers() {
        let alert = Alert::decode(&[7, 200]).unwrap();
        assert_eq!((alert.level, alert.description), (7, 200));
        assert_eq!((&alert.level_name, &alert.description_name), (&None, &None));
        assert_eq!(alert.describe(), None);
    }

    #[test]
    fn an_encrypted_alert_is_not_read() {
        assert!(Alert::decode(&[0; 26]).is_err());
        assert!(Alert::decode(&[]).is_err());
    }

    #[test]
    fn every_entry_stands_alone_and_speaks_in_clauses() {
        let numbers: HashSet<u8> = ALERT_DESCRIPTIONS.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers.len(), ALERT_DESCRIPTIONS.len());
        for entry in ALERT_DESCRIPTIONS {
            assert!(!entry.meaning.ends_with('.') && !entry.meaning.contains("  "), "{}", entry.meaning);
            assert!(entry.meaning.starts_with(|first: char| first.is_ascii_lowercase()), "{}", entry.meaning);
            assert!(entry.name.chars().all(|character| character.is_ascii_lowercase() || character == '_'));
        }
    }
}
