//! HTTP/1.0 and HTTP/1.1 (RFC 9112) as a gateway's clients and servers speak it: heads with order, case and spelling
//! kept, and bodies by how they are framed. A body's bytes are passed on, never kept.

pub mod authentication;
pub(crate) mod base64;
pub mod body;
pub mod chunked;
pub mod head;
pub mod header;
pub mod http2;

pub use authentication::Authentication;
pub use body::{Body, Part};
pub use head::{Framing, RequestHead, ResponseHead, head_length};
pub use header::HttpHeader;

/// Bytes of the longest head that is read. The longest that is meant to work brings a Kerberos ticket, of which Windows
/// takes 64 KiB before it is written in base64.
pub const LONGEST_HEAD: usize = 128 * 1024;

/// Headers of the longest head that is read; no peer is known to send thirty.
pub const MOST_HEADERS: usize = 128;

/// What every connection of HTTP/2 begins with (RFC 9113 3.4), up to the empty line.
pub const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Whether bytes that begin like this can be a request: a method and a space. `bytes` are the first of it, at most
/// [`crate::wire::greeting::TELLING_LENGTH`]; a method that is longer than they are is taken for one.
pub fn may_be_request(bytes: &[u8]) -> bool {
    let line = after_empty_lines(bytes);
    let method = line.iter().take_while(|byte| **byte != b' ');
    line.first() != Some(&b' ') && method.clone().all(|byte| is_token(*byte))
}

/// Whether bytes that begin like this can be a response.
pub fn may_be_response(bytes: &[u8]) -> bool {
    let line = after_empty_lines(bytes);
    let name = b"HTTP/";
    line.len() >= name.len() && line.starts_with(name) || line.len() < name.len() && name.starts_with(line)
}

/// Empty lines before a message are passed over (RFC 9112 2.2).
fn after_empty_lines(bytes: &[u8]) -> &[u8] {
    let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    bytes.get(empty..).unwrap_or_default()
}

/// tchar (RFC 9110 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_http_is_told_from_anything_else_by_its_first_bytes() {
        for request in
            [&b"RDG_OUT_DATA /re"[..], b"GET / HTTP/1.1\r\n", b"\r\nGET / HTTP/1.", b"PRI * HTTP/2.0\r\n"]
        {
            assert!(may_be_request(request), "{request:?}");
        }
        for other in
            [&b"\x03\0\0\x13"[..], b" GET / HTTP/1.1", b"\x16\x03\x01\x02\0", b"\x01\0\0\0\x0e\0\0\0"]
        {
            assert!(!may_be_request(other), "{other:?}");
        }
        assert!(may_be_response(b"HTTP/1.1 200 OK") && may_be_response(b"HT") && may_be_response(b""));
        assert!(!may_be_response(b"\0\0\x12\x04") && !may_be_response(b"SSH-2.0-OpenSSH"));
    }
}
