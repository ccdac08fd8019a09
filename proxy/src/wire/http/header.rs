//! Headers as they were, and which of their values may be shown.

use crate::wire::named::TEXT_LIMIT;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Headers whose values say what a box on the way did and never who somebody is. All others are shown by name and
/// length: cookies, tokens, names of users, and whatever a box thinks of.
const SHOWN: &[&str] = &[
    "accept",
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "pragma",
    "proxy-connection",
    "rdg-auth-scheme",
    "rdg-client-appbuild",
    "rdg-client-generation",
    "rdg-connection-id",
    "rdg-correlation-id",
    "retry-after",
    "sec-websocket-extensions",
    "sec-websocket-version",
    "server",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// A header as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpHeader {
    /// Its name as spelled.
    pub name: String,
    /// Its value, its beginning; absent where it may hold a secret, or who somebody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Bytes of the value.
    pub length: usize,
}

impl HttpHeader {
    /// The header `name` with as much of `value` as may be shown.
    pub fn new(name: &str, value: &[u8]) -> HttpHeader {
        let known = name.to_ascii_lowercase();
        let shown = SHOWN.contains(&known.as_str());
        let text = String::from_utf8_lossy(value);
        let text = match known.as_str() {
            "host" => text.rsplit_once('@').map_or(&*text, |(_, host)| host),
            "rdg-auth-scheme" => shown_scheme(&text),
            _ => &text,
        };
        HttpHeader { name: beginning(name), value: shown.then(|| beginning(text)), length: value.len() }
    }
}

/// Letters of the longest scheme that is shown, which is SSPI_NTLM among those in use.
const LONGEST_SCHEME: usize = 12;

/// The scheme that a client logs on by, without the logon that a careless client puts behind it or in its place.
pub(super) fn shown_scheme(value: &str) -> &str {
    value.split_whitespace().next().filter(|scheme| scheme.len() <= LONGEST_SCHEME).unwrap_or_default()
}

/// The first [`TEXT_LIMIT`] characters.
pub(super) fn beginning(text: &str) -> String {
    text.chars().take(TEXT_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_where_it_is_on_the_list_only() {
        let shown = |name| HttpHeader::new(name, b"value").value;
        for name in ["Server", "VIA", "RDG-Connection-Id", "content-length"] {
            assert_eq!(shown(name).as_deref(), Some("value"), "{name}");
        }
        for name in
            ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "RDG-User-Id", "X-Forwarded-For"]
        {
            assert_eq!(shown(name), None, "{name}");
        }
        let long = HttpHeader::new("Server", &[b'a'; 1000]);
        assert_eq!((long.value.map(|value| value.len()), long.length), (Some(TEXT_LIMIT), 1000));
    }
}
