//! A ClientHello as clients of today send it, and what came of it.

use super::tls::{answer, random};
use crate::trace::HelloAnswer;
use crate::wire::tls::names::{TLS_1_2, TLS_1_3, group};
use crate::wire::tls::{HelloOffer, dtls};
use std::net::IpAddr;

/// The suites of TLS 1.3, and those of TLS 1.2 with forward secrecy and without, that servers of RDP are set to.
const SUITES: [u16; 15] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0xc013, 0xc014, 0x009c, 0x009d,
    0x002f, 0x0035,
];
/// Those of RSA and ECDSA with SHA-2, of RSA-PSS, and with SHA-1 for servers of old.
const SIGNATURE_SCHEMES: [u16; 10] =
    [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201, 0x0203];
/// What a hello names the server, which is never an address (RFC 6066 section 3).
pub(super) fn server_name(host: &str) -> Option<String> {
    host.parse::<IpAddr>().is_err().then(|| host.to_owned())
}

/// TLS 1.2 and 1.3 without a key share, so that a server of TLS 1.3 asks for one and its answer is small.
pub(super) fn usual(host: &str) -> HelloOffer {
    HelloOffer {
        versions: vec![TLS_1_3, TLS_1_2],
        groups: vec![group::X25519, group::SECP256R1, group::SECP384R1],
        ..up_to_tls_1_2(host)
    }
}

/// The same in one record of DTLS 1.2.
pub(super) fn usual_dtls(host: &str) -> Vec<u8> {
    // A message made here has all the fields that could be missing.
    dtls::client_hello(&up_to_tls_1_2(host).message()).unwrap_or_default()
}

fn up_to_tls_1_2(host: &str) -> HelloOffer {
    HelloOffer {
        legacy_version: TLS_1_2,
        suites: SUITES.to_vec(),
        groups: vec![group::SECP256R1, group::SECP384R1],
        signature_schemes: SIGNATURE_SCHEMES.to_vec(),
        server_name: self::server_name(host),
        random: random().unwrap_or_default(),
        ..HelloOffer::default()
    }
}

/// What a datagram's payload answers to a hello of DTLS.
pub(super) fn dtls_answer(said: &[u8]) -> Option<HelloAnswer> {
    Some(match dtls::answer(said)? {
        dtls::Answer::HelloVerifyRequest => HelloAnswer::CookieRequested,
        dtls::Answer::ServerHello(hello) => HelloAnswer::Accepted(hello),
        dtls::Answer::Alert(alert) => answer::alert(&alert),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_no_server_name() {
        assert_eq!(usual("10.0.0.1").server_name, None);
        assert_eq!(usual("srv10.corp.example").server_name.as_deref(), Some("srv10.corp.example"));
        assert_eq!(usual_dtls("srv10")[..3], [22, 0xFE, 0xFD]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = dtls_answer(&bytes);
        }
    }
}
