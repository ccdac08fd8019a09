//! As much of the heads of HTTP as is needed to know what is asked for and where the body ends.

use crate::trace::{Framing, Role};
use crate::wire::Malformed;

/// The longest head that is waited for: tickets of Kerberos have up to 64 KiB, and a third more in base64.
pub(super) const LONGEST_HEAD: usize = 128 * 1024;
/// More headers than any client or gateway sends.
const MOST_HEADERS: usize = 128;
/// How a client begins that speaks HTTP/2 (RFC 9113 3.4).
pub(super) const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) role: Role,
    pub(super) framing: Framing,
}

/// The head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) framing: Framing,
}

impl Response {
    /// Whether the real one is still to come.
    pub(super) fn is_interim(self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// The head at the front of `bytes`, with its length.
pub(super) fn request(bytes: &[u8]) -> Result<Option<(Request, usize)>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let parsed =
        request.parse(bytes).map_err(|_| Malformed::new("HTTP request", 0, "it breaks the format"))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let upgrade = request
        .headers
        .iter()
        .any(|header| header.name.eq_ignore_ascii_case("upgrade") && names_websocket(header.value));
    let role = match request.method.unwrap_or_default() {
        "RDG_OUT_DATA" if upgrade => Role::Websocket,
        "RDG_OUT_DATA" => Role::OutChannel,
        "RDG_IN_DATA" => Role::InChannel,
        "RPC_OUT_DATA" => Role::RpcOut,
        "RPC_IN_DATA" => Role::RpcIn,
        _ => Role::Other,
    };
    let framing = match framing(request.headers)? {
        Framing::Length(0) | Framing::UntilClose => Framing::None,
        framing => framing,
    };
    Ok(Some((Request { role, framing }, length)))
}

/// The same of a response.
pub(super) fn response(bytes: &[u8]) -> Result<Option<(Response, usize)>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed =
        response.parse(bytes).map_err(|_| Malformed::new("HTTP response", 0, "it breaks the format"))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let status = response.code.unwrap_or_default();
    let framing = match framing(response.headers)? {
        _ if status == 101 => Framing::Upgraded,
        _ if status < 200 || matches!(status, 204 | 304) => Framing::None,
        Framing::Length(0) => Framing::None,
        framing => framing,
    };
    Ok(Some((Response { status, framing }, length)))
}

/// How a body that `headers` announce is framed.
fn framing(headers: &[httparse::Header<'_>]) -> Result<Framing, Malformed> {
    let values = |name: &'static str| {
        let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    if values("transfer-encoding").any(|value| value.ends_with("chunked")) {
        return Ok(Framing::Chunked);
    }
    match values("content-length").next() {
        None => Ok(Framing::UntilClose),
        Some(text) => {
            let malformed = |_| Malformed::new("Content-Length", 0, "is no number");
            text.parse().map(Framing::Length).map_err(malformed)
        }
    }
}

/// Whether a value of Upgrade asks for WebSocket.
pub(super) fn names_websocket(value: &[u8]) -> bool {
    let value = String::from_utf8_lossy(value);
    value.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// A line of a head; without a name where it is no header.
pub(super) struct HeaderLine<'a> {
    /// With its line end.
    pub(super) bytes: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// Where the value stands in the line.
    pub(super) value_at: usize,
}

/// The lines of a head, the first and the empty one among them.
pub(super) fn header_lines(head: &[u8]) -> impl Iterator<Item = HeaderLine<'_>> {
    let mut is_first = true;
    head.split_inclusive(|byte| *byte == b'\n').map(move |bytes| {
        // Empty lines may stand before the first.
        let is_header = !is_first;
        is_first &= bytes.trim_ascii().is_empty();
        let colon = bytes.iter().position(|byte| *byte == b':').filter(|_| is_header);
        let Some(colon) = colon else {
            return HeaderLine { bytes, name: &[], value: &[], value_at: 0 };
        };
        let after = &bytes[colon + 1..];
        let value_at = colon + 1 + after.len() - after.trim_ascii_start().len();
        HeaderLine { bytes, name: bytes[..colon].trim_ascii(), value: after.trim_ascii(), value_at }
    })
}
