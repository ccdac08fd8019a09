//! What the usual TLS stack cannot do and the second one can.

use super::ending::{StreamEnd, read_ending};
use super::error;
use super::version::{TlsVersion, VersionRange};
use crate::wire::tls::{ClientHello, names};
use rustls::PeerIncompatible;
use rustls::crypto::ring;
use std::io;

/// The oldest version of the usual stack.
const OLDEST: TlsVersion = TlsVersion::Tls12;
/// Alert descriptions with which a server says that it finds nothing it can take (RFC 8446 section 6.2).
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;
const INSUFFICIENT_SECURITY: u8 = 71;

/// Why the client that sent `hello` needs [`super::Stack::Legacy`]; `None` where the usual stack will do.
pub fn of_client(hello: &ClientHello) -> Option<String> {
    let newest = TlsVersion::ALL.into_iter().rev().find(|version| offers(hello, *version));
    if let Some(newest) = newest.filter(|newest| *newest < OLDEST) {
        return Some(format!("the client speaks nothing newer than {newest}"));
    }
    let ours = ring::ALL_CIPHER_SUITES.iter().map(|suite| u16::from(suite.suite()));
    let in_common = ours.into_iter().any(|ours| hello.cipher_suites.iter().any(|theirs| theirs.id == ours));
    (!in_common).then(|| "the client offers no cipher suite of the usual TLS stack".to_owned())
}

fn offers(hello: &ClientHello, version: TlsVersion) -> bool {
    let name = names::version(version.number());
    hello.max_version == name || hello.supported_versions.iter().any(|offered| *offered == name)
}

/// Why the server with which a handshake failed needs [`super::Stack::Legacy`]. `server_hello_version` is what it chose
/// if it came so far, `received` the bytes that came from it.
pub(super) fn of_server(
    failure: &io::Error,
    offered: VersionRange,
    server_hello_version: Option<u16>,
    received: u64,
) -> Option<String> {
    let more_versions = offered.minimum() < OLDEST;
    let more_ciphers = offered.minimum() <= OLDEST;
    let chosen = server_hello_version.and_then(TlsVersion::from_number);
    if let Some(chosen) = chosen.filter(|chosen| *chosen < OLDEST) {
        return more_versions.then(|| format!("the server speaks nothing newer than {chosen}"));
    }
    match read_ending(failure) {
        StreamEnd::Alert(alert) => {
            let name = error::name(&alert);
            match alert.description {
                PROTOCOL_VERSION => {
                    more_versions.then(|| format!("the server refuses TLS 1.2 and newer (alert {name})"))
                }
                HANDSHAKE_FAILURE | INSUFFICIENT_SECURITY => more_ciphers.then(|| {
                    format!(
                        "the server takes no cipher suite, group or signature scheme of the usual TLS stack \
                         (alert {name})"
                    )
                }),
                _ => None,
            }
        }
        StreamEnd::Fin | StreamEnd::Reset if received == 0 && more_ciphers => Some(
            "the server left at the ClientHello without a word, as some do that find nothing in common"
                .to_owned(),
        ),
        _ if more_ciphers && is_incompatible(failure) => {
            Some("the server wants what the usual TLS stack does not have".to_owned())
        }
        _ => None,
    }
}

fn is_incompatible(failure: &io::Error) -> bool {
    let error = failure.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        error,
        Some(rustls::Error::PeerIncompatible(reason))
            if !matches!(reason, PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig)
    )
}
