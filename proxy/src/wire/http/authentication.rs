//! Authentication in HTTP (RFC 9110 11, RFC 4559): the scheme and the kind of its token, never the token.

use super::base64;
use crate::wire::credssp::ntlm::NtlmMessage;
use crate::wire::credssp::{MechanismToken, NegoToken};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Challenges kept of one response; gateways offer up to five.
const MOST_CHALLENGES: usize = 16;

/// NtChallengeResponse of NTLMv1, which has no attributes.
const NTLMV1_RESPONSE: usize = 24;

/// A scheme of HTTP authentication and what it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Authentication {
    /// The scheme as spelled; empty where it is none of those that are known.
    pub scheme: String,
    /// What is in its token: `NTLM negotiate`, `NTLM challenge`, `NTLM authenticate`, `Kerberos`; absent where there is
    /// none or it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether NTLM's authenticate message binds to TLS (MsvAvChannelBindings that is not zero); absent where it
    /// cannot be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_bindings: Option<bool>,
    /// Bytes of what follows the scheme.
    pub length: usize,
}

impl Authentication {
    /// Reads the value of Authorization.
    pub fn read(value: &str) -> Authentication {
        let (scheme, credentials) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        let credentials = credentials.trim();
        let (token, channel_bindings) = token(scheme, credentials).unwrap_or_default();
        Authentication {
            scheme: scheme_name(scheme),
            token: token.map(str::to_owned),
            channel_bindings,
            length: credentials.len(),
        }
    }

    /// Reads the values of WWW-Authenticate, each of which can hold several challenges.
    pub fn challenges<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Authentication> {
        values.flat_map(split).map(Authentication::read).take(MOST_CHALLENGES).collect()
    }
}

/// Schemes that are shown. Anything else in the place of one could be the secret itself.
const SCHEMES: &[&str] =
    &["basic", "bearer", "digest", "kerberos", "negotiate", "ntlm", "oauth", "paa", "smartcard", "sspi_ntlm"];

fn scheme_name(scheme: &str) -> String {
    let is_known = SCHEMES.contains(&scheme.to_ascii_lowercase().as_str());
    if is_known { scheme.to_owned() } else { String::new() }
}

/// The kind of the token, and what NTLM's last message says of channel bindings.
fn token(scheme: &str, credentials: &str) -> Option<(Option<&'static str>, Option<bool>)> {
    let carries_tokens = ["negotiate", "ntlm", "sspi_ntlm", "kerberos"];
    if !carries_tokens.contains(&scheme.to_ascii_lowercase().as_str()) || credentials.is_empty() {
        return None;
    }
    match NegoToken::decode(&base64::decode(credentials)?).mechanism? {
        MechanismToken::Kerberos(_) => Some((Some("Kerberos"), None)),
        MechanismToken::Ntlm(NtlmMessage::Negotiate(_)) => Some((Some("NTLM negotiate"), None)),
        MechanismToken::Ntlm(NtlmMessage::Challenge(_)) => Some((Some("NTLM challenge"), None)),
        MechanismToken::Ntlm(NtlmMessage::Authenticate(message)) => {
            let has_attributes = message.nt_response_length > NTLMV1_RESPONSE;
            let bound = has_attributes.then(|| message.channel_bindings.unwrap_or(false));
            Some((Some("NTLM authenticate"), bound))
        }
    }
}

/// The challenges of one header: they are separated by commas, and so are the parameters of each (RFC 9110 11.6.1).
fn split(value: &str) -> Vec<&str> {
    let (mut challenges, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in value.bytes().enumerate() {
        quoted ^= byte == b'"';
        let next = value.get(at + 1..).unwrap_or_default().trim_start();
        let word = next.split([' ', ',']).next().unwrap_or_default();
        if byte == b',' && !quoted && !word.is_empty() && !word.contains('=') {
            challenges.extend(value.get(start..at));
            start = at + 1;
        }
    }
    challenges.extend(value.get(start..));
    challenges.into_iter().map(str::trim).filter(|challenge| !challenge.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_token_is_told_and_the_token_is_not() {
        let negotiate = "Negotiate TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAAKAF1YAAAADw==";
        let read = Authentication::read(negotiate);
        assert_eq!((read.scheme.as_str(), read.token.as_deref()), ("Negotiate", Some("NTLM negotiate")));
        assert_eq!((read.channel_bindings, read.length), (None, 56));
        let basic = Authentication::read("Basic dXNlcjpwYXNzd29yZA==");
        assert_eq!((basic.scheme.as_str(), basic.token, basic.length), ("Basic", None, 20));
        assert_eq!(Authentication::read("dXNlcjpwYXNzd29yZA== x").scheme, "", "not a scheme");
        assert_eq!(Authentication::read("NTLM").length, 0);
    }

    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        let value =
            r#"Negotiate, NTLM,Digest qop="auth, or not",algorithm=MD5-sess, nonce="x", Basic realm=y"#;
        let schemes: Vec<_> = Authentication::challenges([value, "SSPI_NTLM"].into_iter())
            .into_iter()
            .map(|one| one.scheme)
            .collect();
        assert_eq!(schemes, ["Negotiate", "NTLM", "Digest", "Basic", "SSPI_NTLM"]);
        assert_eq!(Authentication::challenges([""].into_iter()), []);
    }
}
