//! ServerHello and HelloRetryRequest (RFC 8446 sections 4.1.3 and 4.1.4).

use super::super::{Malformed, Reader};
use super::extension::{self, Faults, protocol_names, text};
use super::fingerprint;
use super::names::{self, CodePoint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `random` of a HelloRetryRequest: SHA-256 of "HelloRetryRequest".
pub const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
/// The end of `random` of a server that could do TLS 1.3 and chose 1.2.
const DOWNGRADE_TO_TLS_1_2: &[u8] = b"DOWNGRD\x01";
/// The end of `random` of a server that could do TLS 1.2 or 1.3 and chose less.
const DOWNGRADE_TO_TLS_1_1: &[u8] = b"DOWNGRD\x00";

/// A mark in ServerHello.random: the server can do more than it chose, because the client did not offer more, or
/// because something on the way removed the offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DowngradeSentinel {
    /// Able to do TLS 1.3, chose 1.2.
    #[serde(rename = "TLS1.2")]
    Tls12,
    /// Able to do TLS 1.2 or 1.3, chose 1.1 or older.
    #[serde(rename = "TLS1.1-or-older")]
    Tls11OrOlder,
}

/// What a server chose, or asks the client to choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerHello {
    /// The version really chosen: supported_versions where it is there, else legacy_version.
    pub version: String,
    /// legacy_version of the message.
    pub legacy_version: String,
    /// The cipher suite chosen.
    pub cipher_suite: CodePoint,
    /// The group of key_share (TLS 1.3): the server's own share, or in a HelloRetryRequest the group it asks for.
    pub key_share_group: Option<CodePoint>,
    /// Bytes of the session id, echoed in TLS 1.3, the server's own in TLS 1.2.
    pub session_id_length: u8,
    /// Extension types in the server's order.
    pub extensions: Vec<u16>,
    /// The application protocol chosen, where it is visible (TLS 1.2 and older).
    pub alpn: Option<String>,
    /// Whether extended_master_secret was accepted.
    pub extended_master_secret: bool,
    /// Whether a session ticket will be sent (TLS 1.2).
    pub session_ticket: bool,
    /// Whether a pre_shared_key was accepted: resumption in TLS 1.3.
    pub pre_shared_key: bool,
    /// Whether secure renegotiation is confirmed.
    pub renegotiation_info: bool,
    /// True where this is a HelloRetryRequest: the client is asked for another ClientHello.
    pub is_hello_retry_request: bool,
    /// The downgrade mark, if any.
    pub downgrade_sentinel: Option<DowngradeSentinel>,
    /// JA3S: MD5 of `ja3s_full`.
    pub ja3s: String,
    /// JA3S before hashing.
    pub ja3s_full: String,
    /// What in the message breaks the format; the rest was read all the same.
    pub faults: Vec<String>,
}

impl ServerHello {
    /// Reads the body of a handshake message of type 2. An error only where the part up to the compression method
    /// is broken; later faults are in [`ServerHello::faults`].
    pub fn decode(body: &[u8]) -> Result<ServerHello, Malformed> {
        let mut reader = Reader::new("ServerHello", body);
        let legacy_version = reader.u16_be()?;
        let random: [u8; 32] = reader.array()?;
        let session_id_length = reader.u8()?;
        reader.take(usize::from(session_id_length))?;
        let cipher_suite = reader.u16_be()?;
        let _compression_method = reader.u8()?;

        let mut faults = Faults::default();
        let blocks = extension::extensions(&mut reader, &mut faults);
        let extensions: Vec<u16> = blocks.iter().map(|&(extension_type, _)| extension_type).collect();
        let has = |extension_type: u16| extensions.contains(&extension_type);
        let mut data = |wanted: u16, structure: &'static str| {
            let &(_, data) = blocks.iter().find(|&&(extension_type, _)| extension_type == wanted)?;
            // Both extensions begin with a number; in a ServerHello a key share follows the group.
            faults.recover(Reader::new(structure, data).u16_be().map(Some))
        };
        let version = data(extension::SUPPORTED_VERSIONS, "supported_versions").unwrap_or(legacy_version);
        let key_share_group = data(extension::KEY_SHARE, "key_share").map(names::named_group);
        let alpn = blocks
            .iter()
            .find(|&&(extension_type, _)| extension_type == extension::APPLICATION_LAYER_PROTOCOL_NEGOTIATION)
            .and_then(|&(_, data)| faults.recover(protocol_names(data)).first().map(|name| text(name)));
        let ja3s_full = fingerprint::ja3s_full(legacy_version, cipher_suite, &extensions);

        Ok(ServerHello {
            version: names::version(version).into_owned(),
            legacy_version: names::version(legacy_version).into_owned(),
            cipher_suite: names::cipher_suite(cipher_suite),
            key_share_group,
            session_id_length,
            alpn,
            extended_master_secret: has(extension::EXTENDED_MASTER_SECRET),
            session_ticket: has(extension::SESSION_TICKET),
            pre_shared_key: has(extension::PRE_SHARED_KEY),
            renegotiation_info: has(extension::RENEGOTIATION_INFO),
            is_hello_retry_request: random == HELLO_RETRY_REQUEST,
            downgrade_sentinel: downgrade_sentinel(&random),
            ja3s: fingerprint::md5_hex(&ja3s_full),
            ja3s_full,
            extensions,
            faults: faults.into_notes(),
        })
    }
}

fn downgrade_sentinel(random: &[u8; 32]) -> Option<DowngradeSentinel> {
    if random.ends_with(DOWNGRADE_TO_TLS_1_2) {
        Some(DowngradeSentinel::Tls12)
    } else if random.ends_with(DOWNGRADE_TO_TLS_1_1) {
        Some(DowngradeSentinel::Tls11OrOlder)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello(random: [u8; 32], cipher_suite: [u8; 2], extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend(random);
        body.extend([1, 5]);
        body.extend(cipher_suite);
        body.push(0);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        body
    }

    #[test]
    fn the_real_version_and_group_of_tls_1_3_stand_in_extensions() {
        let body = hello([9; 32], [0x13, 2], &[0, 51, 0, 5, 0, 29, 0, 1, 7, 0, 43, 0, 2, 3, 4]);
        let hello = ServerHello::decode(&body).unwrap();
        assert_eq!((&*hello.version, &*hello.legacy_version), ("TLS1.3", "TLS1.2"));
        assert_eq!(hello.cipher_suite.to_string(), "TLS_AES_256_GCM_SHA384");
        assert_eq!(hello.key_share_group.unwrap().to_string(), "x25519");
        assert_eq!(hello.ja3s_full, "771,4866,51-43");
        assert!(!hello.is_hello_retry_request);
        assert_eq!(hello.faults, Vec::<String>::new());
    }

    #[test]
    fn a_hello_retry_request_names_the_group_it_wants() {
        let body = hello(HELLO_RETRY_REQUEST, [0x13, 1], &[0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 24]);
        let hello = ServerHello::decode(&body).unwrap();
        assert!(hello.is_hello_retry_request);
        assert_eq!(hello.key_share_group.unwrap().to_string(), "secp384r1");
    }

    #[test]
    fn the_downgrade_mark_and_a_broken_extension() {
        let mut random = [9; 32];
        random[24..].copy_from_slice(b"DOWNGRD\x01");
        let body = hello(random, [0xc0, 0x30], &[0xff, 1, 0, 1, 0, 0, 16, 0, 1, 4, 0, 23, 0, 0]);
        let hello = ServerHello::decode(&body).unwrap();
        assert_eq!(hello.downgrade_sentinel, Some(DowngradeSentinel::Tls12));
        assert_eq!(hello.version, "TLS1.2");
        assert!(hello.renegotiation_info && hello.extended_master_secret);
        assert_eq!(hello.alpn, None);
        assert_eq!(hello.faults.len(), 1);
    }

    proptest! {
        #[test]
        fn never_panics(mut body in proptest::collection::vec(any::<u8>(), 0..200), tail in any::<bool>()) {
            if tail { body = hello([1; 32], [0, 4], &body) }
            let _ = ServerHello::decode(&body);
        }
    }
}
