//! Heads of requests and responses.

use super::authentication::Authentication;
use super::header::{HttpHeader, beginning, shown_scheme};
use super::{MOST_HEADERS, after_empty_lines};
use crate::wire::Malformed;
use httparse::{EMPTY_HEADER, Header, ParserConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Letters of a query's name that are kept; a gateway's have up to eight.
const LONGEST_QUERY_NAME: usize = 32;
/// Names kept of a query; a gateway's client sends up to seven.
const MOST_QUERY_NAMES: usize = 32;

const REQUEST: &str = "HTTP request";
const RESPONSE: &str = "HTTP response";

/// How the body of an HTTP message ends (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// When the connection ends.
    UntilClose,
    /// The connection is no longer HTTP.
    Upgraded,
}

/// The head of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// The method as spelled.
    pub method: String,
    /// The path as spelled, without its query.
    pub path: String,
    /// Names in the query; values can hold cookies.
    pub query_names: Vec<String>,
    /// `"HTTP/1.1"`.
    pub version: &'static str,
    /// Every header in its order and spelling.
    pub headers: Vec<HttpHeader>,
    /// RDG-Connection-Id, or ConId in the query.
    pub connection_id: Option<String>,
    /// RDG-Correlation-Id, or CorId in the query.
    pub correlation_id: Option<String>,
    /// RDG-Auth-Scheme, or AuthS in the query.
    pub auth_scheme: Option<String>,
    /// Whether WebSocket is asked for.
    pub upgrade: bool,
    /// What the Authorization header brings.
    pub authorization: Option<Authentication>,
    /// How the body is framed.
    pub framing: Framing,
    /// Bytes of the head.
    pub length: usize,
    /// What breaks the format in it, where the rest can be read all the same.
    pub fault: Option<Malformed>,
}

/// The head of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The reason phrase as spelled.
    pub reason: String,
    /// `"HTTP/1.1"`.
    pub version: &'static str,
    /// Every header in its order and spelling.
    pub headers: Vec<HttpHeader>,
    /// What WWW-Authenticate and Proxy-Authenticate ask for, in their order.
    pub challenges: Vec<Authentication>,
    /// How the body is framed.
    pub framing: Framing,
    /// Bytes of the head.
    pub length: usize,
    /// What breaks the format in it, where the rest can be read all the same.
    pub fault: Option<Malformed>,
}

/// Bytes of the head at the front, empty lines before it and the one behind it included; `None` while it is not whole.
/// `searched` bytes are known not to hold its end.
pub fn head_length(bytes: &[u8], searched: usize) -> Option<usize> {
    let start = bytes.len() - after_empty_lines(bytes).len();
    let from = searched.saturating_sub(2).max(start);
    let line_ends = bytes.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b'\n');
    line_ends.into_iter().find_map(|(at, _)| match bytes.get(at + 1..) {
        Some([b'\n', ..]) => Some(at + 2),
        Some([b'\r', b'\n', ..]) => Some(at + 3),
        _ => None,
    })
}

impl RequestHead {
    /// Reads a whole head.
    pub fn decode(head: &[u8]) -> Result<RequestHead, Malformed> {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let mut fault = None;
        if let Err(error) = request.parse(head) {
            fault = Some(malformed(REQUEST, error));
            headers = [EMPTY_HEADER; MOST_HEADERS];
            request = httparse::Request::new(&mut headers);
            lenient().parse_request(&mut request, head).map_err(|error| malformed(REQUEST, error))?;
        }
        let target = request.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let read = Headers(request.headers);
        let (framing, framing_fault) = read.request_framing();
        let text = |name: &str, in_query: &str| read.text(name).or_else(|| query_value(query, in_query));
        Ok(RequestHead {
            method: beginning(request.method.unwrap_or_default()),
            path: beginning(shown_path(path)),
            query_names: query_names(query),
            version: version(request.version),
            connection_id: text("RDG-Connection-Id", "ConId"),
            correlation_id: text("RDG-Correlation-Id", "CorId"),
            auth_scheme: text("RDG-Auth-Scheme", "AuthS").map(|scheme| shown_scheme(&scheme).to_owned()),
            upgrade: read.tokens("Upgrade").any(|token| token.eq_ignore_ascii_case("websocket")),
            authorization: read.values("Authorization").next().map(Authentication::read),
            framing,
            headers: read.described(),
            length: head.len(),
            fault: fault.or(framing_fault.map(|reason| Malformed::new(REQUEST, 0, reason))),
        })
    }
}

impl ResponseHead {
    /// Reads a whole head that answers a request of `method`, where one is known.
    pub fn decode(head: &[u8], method: Option<&str>) -> Result<ResponseHead, Malformed> {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let mut fault = None;
        if let Err(error) = response.parse(head) {
            fault = Some(malformed(RESPONSE, error));
            headers = [EMPTY_HEADER; MOST_HEADERS];
            response = httparse::Response::new(&mut headers);
            lenient().parse_response(&mut response, head).map_err(|error| malformed(RESPONSE, error))?;
        }
        let status = response.code.unwrap_or_default();
        let read = Headers(response.headers);
        let (framing, framing_fault) = read.response_framing(status, method);
        let asked = read.values("WWW-Authenticate").chain(read.values("Proxy-Authenticate"));
        Ok(ResponseHead {
            status,
            reason: beginning(response.reason.unwrap_or_default()),
            version: version(response.version),
            challenges: Authentication::challenges(asked),
            framing,
            headers: read.described(),
            length: head.len(),
            fault: fault.or(framing_fault.map(|reason| Malformed::new(RESPONSE, 0, reason))),
        })
    }
}

/// What peers get wrong and others let pass.
fn lenient() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true)
        .ignore_invalid_headers_in_requests(true);
    config
}

fn malformed(structure: &'static str, error: httparse::Error) -> Malformed {
    let reason = match error {
        httparse::Error::HeaderName => "a header's name is not valid",
        httparse::Error::HeaderValue => "a header's value is not valid",
        httparse::Error::NewLine => "a line end is not valid",
        httparse::Error::Status => "the status is not valid",
        httparse::Error::Token => "a character is not valid where a name stands",
        httparse::Error::TooManyHeaders => "more headers than any peer sends",
        httparse::Error::Version => "the version is not valid",
    };
    Malformed::new(structure, 0, reason)
}

fn version(minor: Option<u8>) -> &'static str {
    if minor == Some(0) { "HTTP/1.0" } else { "HTTP/1.1" }
}

fn query_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A path without what may log on: a user and a password before the host, and parameters behind `;` or `#`.
fn shown_path(target: &str) -> &str {
    let authority = target.split_once("://").map_or(target, |(_, rest)| rest);
    let authority = if authority.starts_with('/') { "" } else { authority };
    let length = authority.find('/').unwrap_or(authority.len());
    let path = match authority[..length].rfind('@') {
        Some(at) => &authority[at + 1..],
        None => target,
    };
    path.split([';', '#']).next().unwrap_or_default()
}

fn query_names(query: &str) -> Vec<String> {
    // What has no value may be one, and the last of base64 looks like a name.
    let has_value = |value: &str| value.bytes().any(|byte| byte != b'=');
    let is_name = |name: &str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        name.len() <= LONGEST_QUERY_NAME && name.bytes().all(letters)
    };
    let named = query.split('&').filter_map(|pair| pair.split_once('='));
    let named = named.filter(|(name, value)| is_name(name) && has_value(value));
    named.map(|(name, _)| beginning(name)).take(MOST_QUERY_NAMES).collect()
}

fn query_value(query: &str, name: &str) -> Option<String> {
    query_pairs(query).find(|(found, _)| *found == name).map(|(_, value)| beginning(value))
}

/// The headers of a message.
struct Headers<'a, 'b>(&'a [Header<'b>]);

impl<'b> Headers<'_, 'b> {
    fn raw(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'b str> {
        self.raw(name).filter_map(|value| std::str::from_utf8(value).ok())
    }

    fn tokens(&self, name: &str) -> impl Iterator<Item = &'b str> {
        self.values(name).flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.values(name).next().map(|value| beginning(value.trim()))
    }

    fn described(&self) -> Vec<HttpHeader> {
        self.0.iter().map(|header| HttpHeader::new(header.name, header.value)).collect()
    }

    /// Whether the last transfer coding is chunked; `None` where there is none.
    fn chunked(&self) -> Option<bool> {
        self.tokens("Transfer-Encoding").last().map(|coding| coding.eq_ignore_ascii_case("chunked"))
    }

    /// Content-Length, of which several must agree.
    fn content_length(&self) -> Result<Option<u64>, &'static str> {
        let mut agreed = None;
        for value in self.raw("Content-Length") {
            let text = std::str::from_utf8(value).map_err(|_| "Content-Length is no number")?;
            for number in text.split(',').map(str::trim) {
                let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                let number: u64 =
                    number.parse().ok().filter(|_| digits).ok_or("Content-Length is no number")?;
                if agreed.replace(number).is_some_and(|before| before != number) {
                    return Err("two different Content-Length");
                }
            }
        }
        Ok(agreed)
    }

    fn request_framing(&self) -> (Framing, Option<&'static str>) {
        match (self.chunked(), self.content_length()) {
            (Some(true), Ok(None)) => (Framing::Chunked, None),
            (Some(true), _) => (Framing::Chunked, Some("both Transfer-Encoding and Content-Length")),
            (Some(false), _) => (Framing::UntilClose, Some("the last transfer coding is not chunked")),
            (None, Ok(length)) => (length.map_or(Framing::None, Framing::Length), None),
            (None, Err(reason)) => (Framing::None, Some(reason)),
        }
    }

    fn response_framing(&self, status: u16, method: Option<&str>) -> (Framing, Option<&'static str>) {
        if status == 101 {
            return (Framing::Upgraded, None);
        }
        if status < 200 || status == 204 || status == 304 || method == Some("HEAD") {
            return (Framing::None, None);
        }
        match (self.chunked(), self.content_length()) {
            (Some(true), Ok(None)) => (Framing::Chunked, None),
            (Some(true), _) => (Framing::Chunked, Some("both Transfer-Encoding and Content-Length")),
            (Some(false), _) => (Framing::UntilClose, None),
            (None, Ok(length)) => (length.map_or(Framing::UntilClose, Framing::Length), None),
            (None, Err(reason)) => (Framing::UntilClose, Some(reason)),
        }
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
