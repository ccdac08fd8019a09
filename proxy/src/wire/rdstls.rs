//! RDSTLS: the logon after a redirection by a broker (MS-RDPBCGR 2.2.17). Cookies and passwords are not kept.

use super::named::{Code, utf16_text};
use super::{Decoded, Malformed, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const STRUCTURE: &str = "RDSTLS PDU";

/// version, in front of every PDU.
const VERSION: u16 = 1;
const CAPABILITIES: u16 = 1;
const AUTHENTICATION_REQUEST: u16 = 2;
const AUTHENTICATION_RESPONSE: u16 = 4;
/// dataType of a request with a password; every other PDU has the same number for its only kind.
const PASSWORD: u16 = 1;
const AUTO_RECONNECT_COOKIE: u16 = 2;

/// resultCode (MS-RDPBCGR 2.2.17.3).
const RESULTS: &[(u32, &str)] = &[
    (0, "RDSTLS_RESULT_SUCCESS"),
    (5, "RDSTLS_RESULT_ACCESS_DENIED"),
    (0x52e, "RDSTLS_RESULT_LOGON_FAILURE"),
    (0x530, "RDSTLS_RESULT_INVALID_LOGON_HOURS"),
    (0x532, "RDSTLS_RESULT_PASSWORD_EXPIRED"),
    (0x533, "RDSTLS_RESULT_ACCOUNT_DISABLED"),
    (0x773, "RDSTLS_RESULT_PASSWORD_MUST_CHANGE"),
    (0x775, "RDSTLS_RESULT_ACCOUNT_LOCKED_OUT"),
];

/// One RDSTLS PDU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "pdu", rename_all = "snake_case")]
pub enum RdstlsPdu {
    /// RDSTLS Capabilities PDU.
    Capabilities {
        /// supportedVersions.
        versions: u16,
    },
    /// RDSTLS Authentication Request PDU with a redirected password.
    PasswordRequest {
        /// The redirection GUID, where it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redirection_guid: Option<String>,
        /// UserName.
        user: String,
        /// Domain.
        domain: String,
        /// Bytes of the encrypted password.
        password_length: usize,
    },
    /// RDSTLS Authentication Request PDU with an auto-reconnect cookie.
    CookieRequest {
        /// SessionID.
        session_id: u32,
        /// Bytes of the cookie.
        cookie_length: usize,
    },
    /// RDSTLS Authentication Response PDU.
    Response {
        /// resultCode, a Win32 error.
        result: Code,
    },
}

impl RdstlsPdu {
    /// Decodes the PDU at the front of `bytes`. Its fields are counted by 16 bits, so that it cannot be longer than 256 KiB.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(STRUCTURE, bytes);
        let mut head = [0; 3];
        for (at, word) in head.iter_mut().enumerate() {
            if reader.remaining() < 2 {
                return Ok(None);
            }
            *word = reader.u16_le()?;
            if at == 0 && *word != VERSION {
                return Err(Malformed::new(STRUCTURE, 0, "another version"));
            }
        }
        let pdu = match (head[1], head[2]) {
            (CAPABILITIES, 1) => fixed::<2>(&mut reader)
                .map(|versions| RdstlsPdu::Capabilities { versions: u16::from_le_bytes(versions) }),
            (AUTHENTICATION_REQUEST, PASSWORD) => password_request(&mut reader),
            (AUTHENTICATION_REQUEST, AUTO_RECONNECT_COOKIE) => cookie_request(&mut reader),
            (AUTHENTICATION_RESPONSE, 1) => fixed::<4>(&mut reader)
                .map(|result| RdstlsPdu::Response { result: Code::new(u32::from_le_bytes(result), RESULTS) }),
            _ => return Err(Malformed::new(STRUCTURE, 2, "another pduType or dataType")),
        };
        Ok(pdu.map(|pdu| (pdu, reader.offset())))
    }

    /// Whether it is the client's last word before MCS.
    pub fn is_request(&self) -> bool {
        matches!(self, RdstlsPdu::PasswordRequest { .. } | RdstlsPdu::CookieRequest { .. })
    }
}

/// `None`: the bytes end before the field does.
fn fixed<const N: usize>(reader: &mut Reader<'_>) -> Option<[u8; N]> {
    reader.array().ok()
}

/// A field behind its own length.
fn counted<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = u16::from_le_bytes(fixed(reader)?);
    reader.take(length.into()).ok()
}

fn password_request(reader: &mut Reader<'_>) -> Option<RdstlsPdu> {
    let guid = counted(reader)?;
    let (user, domain, password) = (counted(reader)?, counted(reader)?, counted(reader)?);
    Some(RdstlsPdu::PasswordRequest {
        redirection_guid: Some(utf16_text(guid)).filter(|guid| is_guid(guid)),
        user: utf16_text(user),
        domain: utf16_text(domain),
        password_length: password.len(),
    })
}

fn cookie_request(reader: &mut Reader<'_>) -> Option<RdstlsPdu> {
    let session_id = u32::from_le_bytes(fixed(reader)?);
    Some(RdstlsPdu::CookieRequest { session_id, cookie_length: counted(reader)?.len() })
}

/// Brokers send the text of a GUID, in base64 or as registries write it.
fn is_guid(text: &str) -> bool {
    const LENGTHS: [usize; 3] = [24, 36, 38];
    LENGTHS.contains(&text.len())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+/=-{}".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    fn counted(fields: &[&[u8]]) -> Vec<u8> {
        fields.iter().flat_map(|field| [&(field.len() as u16).to_le_bytes(), *field].concat()).collect()
    }

    fn decoded(bytes: &[u8]) -> RdstlsPdu {
        for end in 0..bytes.len() {
            assert_eq!(RdstlsPdu::decode(&bytes[..end]), Ok(None), "{end} of {}", bytes.len());
        }
        let (pdu, consumed) = RdstlsPdu::decode(&[bytes, &[3, 0]].concat()).unwrap().unwrap();
        assert_eq!(consumed, bytes.len());
        pdu
    }

    #[test]
    fn each_pdu_and_none_of_its_secrets() {
        assert_eq!(decoded(&[1, 0, 1, 0, 1, 0, 1, 0]), RdstlsPdu::Capabilities { versions: 1 });

        let guid = "vD2j9AAAQ0KqR7v+1UeM9Q==";
        let fields = counted(&[&utf16(guid), &utf16("anna"), &utf16("EXAMPLE"), b"canary-secret"]);
        let request = decoded(&[&[1, 0, 2, 0, 1, 0], &fields[..]].concat());
        let expected = RdstlsPdu::PasswordRequest {
            redirection_guid: Some(guid.to_owned()),
            user: "anna".to_owned(),
            domain: "EXAMPLE".to_owned(),
            password_length: 13,
        };
        assert_eq!(request, expected);

        let cookie = counted(&[b"canary-cookie"]);
        let request = decoded(&[&[1, 0, 2, 0, 2, 0, 7, 0, 0, 0], &cookie[..]].concat());
        assert_eq!(request, RdstlsPdu::CookieRequest { session_id: 7, cookie_length: 13 });

        let RdstlsPdu::Response { result } = decoded(&[1, 0, 4, 0, 1, 0, 0x75, 7, 0, 0]) else { panic!() };
        assert_eq!(result.name.as_deref(), Some("RDSTLS_RESULT_ACCOUNT_LOCKED_OUT"));
    }

    #[test]
    fn what_is_no_guid_is_not_shown() {
        let fields = counted(&[&utf16("some other text"), b"", b"", b""]);
        let request = decoded(&[&[1, 0, 2, 0, 1, 0], &fields[..]].concat());
        assert!(matches!(request, RdstlsPdu::PasswordRequest { redirection_guid: None, .. }), "{request:?}");
    }

    #[test]
    fn other_protocols_are_malformed() {
        assert!(RdstlsPdu::decode(&[3, 0]).is_err());
        assert!(RdstlsPdu::decode(&[1, 0, 3, 0, 1, 0]).is_err());
        assert!(RdstlsPdu::decode(&[1, 0, 2, 0, 3, 0]).is_err());
    }
}
