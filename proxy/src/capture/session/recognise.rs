//! What a connection's first bytes are.

use crate::wire::http::{HTTP2_PREFACE, http2};
use crate::wire::{preconnection, x224};

/// Bytes of a beginning that are looked at before it is given up; an X.224 request behind a preconnection PDU with its text
/// has fewer.
pub(super) const MOST_LOOKED_AT: usize = 8 * 1024;
/// X.224 Connection Request, and where its code stands behind the TPKT header.
const CONNECTION_REQUEST: u8 = 0xe0;
const CODE_AT: usize = 5;
/// Methods that only a client of a gateway uses (MS-TSGU 2.2.3, MS-RPCH 2.1.2.1).
const GATEWAY_METHODS: [&[u8]; 4] = [b"RDG_OUT_DATA ", b"RDG_IN_DATA ", b"RPC_IN_DATA ", b"RPC_OUT_DATA "];
const GATEWAY_PATHS: [&str; 3] = ["/kdcproxy", "/remotedesktopgateway", "/rpc/rpcproxy.dll"];
/// A request line that is not over here is of no client of a gateway.
const LONGEST_REQUEST_LINE: usize = 2048;

/// What a beginning is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// So few bytes do not tell.
    NeedMore,
    /// X.224, perhaps behind a preconnection PDU.
    Rdp,
    /// TLS at once.
    Tls,
    /// HTTP of a gateway, or of a KDC proxy.
    Gateway,
    /// Anything else.
    Other,
}

/// What the client's first bytes on the wire say.
pub(super) fn on_the_wire(bytes: &[u8]) -> Beginning {
    match bytes {
        [] | [0x16] => Beginning::NeedMore,
        [0x16, 3, ..] => Beginning::Tls,
        _ => inside(bytes),
    }
}

/// What the client's first bytes inside TLS say, or without TLS.
pub(super) fn inside(bytes: &[u8]) -> Beginning {
    match connection_request(bytes) {
        Beginning::Other => http(bytes),
        told => told,
    }
}

fn connection_request(bytes: &[u8]) -> Beginning {
    let Some(&first) = bytes.first() else { return Beginning::NeedMore };
    if first == x224::TPKT_VERSION {
        let is_packet = x224::packet_length(bytes).is_some();
        return match bytes.get(CODE_AT) {
            _ if bytes.len() >= x224::TPKT_HEADER_LENGTH && !is_packet => Beginning::Other,
            None => Beginning::NeedMore,
            Some(code) if code & 0xf0 == CONNECTION_REQUEST => Beginning::Rdp,
            Some(_) => Beginning::Other,
        };
    }
    if !preconnection::may_start(bytes) {
        return Beginning::Other;
    }
    match preconnection::decode(bytes) {
        Ok(Some((_, length))) => connection_request(&bytes[length..]),
        Ok(None) if bytes.len() < MOST_LOOKED_AT => Beginning::NeedMore,
        _ => Beginning::Other,
    }
}

fn http(bytes: &[u8]) -> Beginning {
    if may_become(bytes, HTTP2_PREFACE) {
        let behind = bytes.get(HTTP2_PREFACE.len()..).unwrap_or_default();
        return match http2::first_path(behind) {
            Ok(Some(path)) if is_gateway_path(&path) => Beginning::Gateway,
            Ok(None) => Beginning::NeedMore,
            _ => Beginning::Other,
        };
    }
    if GATEWAY_METHODS.iter().any(|method| bytes.starts_with(method)) {
        return Beginning::Gateway;
    }
    let is_text =
        bytes.iter().take(LONGEST_REQUEST_LINE).all(|byte| matches!(byte, 0x20..=0x7e | b'\r' | b'\n'));
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match line.len() < bytes.len() {
        true => {
            let mut words = line.split(|byte| *byte == b' ');
            let path = words.nth(1).map(String::from_utf8_lossy).unwrap_or_default();
            if is_text && is_gateway_path(&path) { Beginning::Gateway } else { Beginning::Other }
        }
        false if is_text && bytes.len() < LONGEST_REQUEST_LINE => Beginning::NeedMore,
        false => Beginning::Other,
    }
}

/// Whether `bytes` begin as `whole` does.
fn may_become(bytes: &[u8], whole: &[u8]) -> bool {
    let common = bytes.len().min(whole.len());
    bytes[..common] == whole[..common]
}

fn is_gateway_path(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    GATEWAY_PATHS.iter().any(|known| path.starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_connection_request_is_found_with_and_without_a_preconnection_pdu() {
        let request = x224::encode_request(Some("me"), 3);
        let preconnection = hex::decode("10000000000000000100000007000000").unwrap();
        let both = [preconnection, request.clone()].concat();
        assert_eq!(on_the_wire(&request), Beginning::Rdp);
        assert_eq!(on_the_wire(&both), Beginning::Rdp);
        assert_eq!(on_the_wire(&both[..19]), Beginning::NeedMore);
    }

    #[test]
    fn what_shares_a_beginning_with_rdp_is_not_it() {
        // ISO transport of other protocols has data or a confirm there, a memory dump anything.
        for (bytes, told) in [
            (&b"\x03\x00\x00\x16\x02\xf0\x80\x32"[..], Beginning::Other),
            (b"\x03\x00\xff\xff\x02\xe0\x80\x32", Beginning::Other),
            (b"GET / HTTP/1.1\r\n", Beginning::Other),
            (b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\n", Beginning::Gateway),
            (b"POST /KdcProxy HTTP/1.1\r\n", Beginning::Gateway),
            (b"SSH-2.0-OpenSSH_9\r\n", Beginning::Other),
            (b"\x16\x03\x01", Beginning::Tls),
            (b"\x00\x00\x00\x00", Beginning::Other),
        ] {
            assert_eq!(on_the_wire(bytes), told, "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn more_bytes_never_change_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let answers: Vec<Beginning> = (0..=bytes.len()).map(|end| on_the_wire(&bytes[..end])).collect();
            let told: Vec<&Beginning> = answers.iter().skip_while(|it| **it == Beginning::NeedMore).collect();
            prop_assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        }
    }
}
