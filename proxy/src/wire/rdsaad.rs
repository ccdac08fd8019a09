//! RDS-AAD: sign-in with Entra ID inside TLS (MS-RDPBCGR 2.2.18). The assertion logs on and is not kept.

use super::credssp::status;
use super::named::Code;
use super::{Decoded, Malformed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const STRUCTURE: &str = "RDS-AAD PDU";

/// Bytes of the longest text. The assertion is a signed token with another token of some 3 KiB in it; while a text is not
/// whole it is read again from its start with each piece.
pub const LONGEST_TEXT: usize = 32 * 1024;

/// Keys that are shown of an unknown text, and characters of each.
const MOST_KEYS: usize = 8;
const LONGEST_KEY: usize = 32;

/// HRESULTs that are no NTSTATUS.
const RESULTS: &[(u32, &str)] = &[(0, "S_OK"), (0x8007_0005, "E_ACCESSDENIED")];

/// One RDS-AAD PDU, a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "pdu", rename_all = "snake_case")]
pub enum RdsAadPdu {
    /// Server Nonce PDU.
    ServerNonce {
        /// Bytes of the nonce.
        nonce_length: usize,
    },
    /// Authentication Request PDU.
    AuthenticationRequest {
        /// Bytes of the assertion.
        assertion_length: usize,
    },
    /// Authentication Result PDU.
    AuthenticationResult {
        /// authentication_result, an HRESULT.
        result: Code,
    },
    /// JSON that is none of these, as the object's keys.
    Other {
        /// The keys.
        keys: Vec<String>,
    },
}

impl RdsAadPdu {
    /// Decodes the JSON text at the front of `bytes`, which has no length: it ends with its object.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let text = &bytes[..bytes.len().min(LONGEST_TEXT)];
        if text.first().is_some_and(|first| *first != b'{') {
            return Err(Malformed::new(STRUCTURE, 0, "not a JSON object"));
        }
        let mut texts = serde_json::Deserializer::from_slice(text).into_iter::<Map<String, Value>>();
        match texts.next() {
            Some(Ok(object)) => Ok(Some((RdsAadPdu::of(&object), texts.byte_offset()))),
            Some(Err(error)) if !error.is_eof() => Err(Malformed::new(STRUCTURE, 0, "not JSON")),
            _ if text.len() == LONGEST_TEXT => Err(Malformed::new(STRUCTURE, 0, "longer than any peer's")),
            _ => Ok(None),
        }
    }

    fn of(object: &Map<String, Value>) -> Self {
        let length = |name: &str| object.get(name).and_then(Value::as_str).map(str::len);
        if let Some(nonce_length) = length("ts_nonce") {
            RdsAadPdu::ServerNonce { nonce_length }
        } else if let Some(assertion_length) = length("rdp_assertion") {
            RdsAadPdu::AuthenticationRequest { assertion_length }
        } else if let Some(result) = object.get("authentication_result").and_then(hresult) {
            RdsAadPdu::AuthenticationResult { result }
        } else {
            let keys = object.keys().take(MOST_KEYS);
            RdsAadPdu::Other { keys: keys.map(|key| key.chars().take(LONGEST_KEY).collect()).collect() }
        }
    }
}

/// An HRESULT, as a number with or without its sign.
fn hresult(value: &Value) -> Option<Code> {
    let number = value.as_i64()?;
    let value = u32::try_from(number).or_else(|_| i32::try_from(number).map(i32::cast_unsigned)).ok()?;
    let code = Code::new(value, RESULTS);
    Some(if code.name.is_some() { code } else { status::named(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> RdsAadPdu {
        for end in 0..text.len() {
            assert_eq!(RdsAadPdu::decode(&text.as_bytes()[..end]), Ok(None), "{end} of {text}");
        }
        let (pdu, consumed) = RdsAadPdu::decode(format!("{text}\0{{").as_bytes()).unwrap().unwrap();
        assert_eq!(consumed, text.len());
        pdu
    }

    #[test]
    fn each_pdu_and_none_of_its_secrets() {
        assert_eq!(decoded(r#"{"ts_nonce":"canary"}"#), RdsAadPdu::ServerNonce { nonce_length: 6 });
        let request = decoded(r#"{ "rdp_assertion": "canary.{\"}.secret" }"#);
        assert_eq!(request, RdsAadPdu::AuthenticationRequest { assertion_length: 17 });
        let name = |text| match decoded(text) {
            RdsAadPdu::AuthenticationResult { result } => (result.value, result.name),
            other => panic!("{other:?}"),
        };
        assert_eq!(name(r#"{"authentication_result":0}"#), (0, Some("S_OK".to_owned())));
        let denied = (0x8007_0005, Some("E_ACCESSDENIED".to_owned()));
        assert_eq!(name(r#"{"authentication_result":-2147024891}"#), denied);
        assert_eq!(name(r#"{"authentication_result":2147942405}"#), denied);
        let failure = (0xd000_006d, Some("STATUS_LOGON_FAILURE".to_owned()));
        assert_eq!(name(r#"{"authentication_result":-805306259}"#), failure);
        assert_eq!(
            decoded(r#"{"a":"canary","b":[{}]}"#),
            RdsAadPdu::Other { keys: vec!["a".into(), "b".into()] }
        );
    }

    #[test]
    fn what_is_not_json_or_never_ends_is_malformed() {
        assert!(RdsAadPdu::decode(&[3, 0, 0, 19]).is_err());
        assert!(RdsAadPdu::decode(b"{\"a\" 1}").is_err());
        let endless = format!("{{\"a\":\"{}", "x".repeat(LONGEST_TEXT));
        assert_eq!(RdsAadPdu::decode(&endless.as_bytes()[..LONGEST_TEXT - 1]), Ok(None));
        assert!(RdsAadPdu::decode(endless.as_bytes()).is_err());
        let nested = "{\"a\":".repeat(1000);
        assert!(RdsAadPdu::decode(nested.as_bytes()).is_err(), "deeper than the stack should go");
    }
}
