//! ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2).

use super::super::{Malformed, Reader};
use super::extension::{self, Faults, numbers_u16, pairs, protocol_names, text};
use super::fingerprint::{self, ClientHelloNumbers};
use super::names::{self, CodePoint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of `random`.
const RANDOM_LENGTH: usize = 32;
/// NameType host_name (RFC 6066 section 3).
const HOST_NAME: u8 = 0;

/// What a client offers. GREASE values are left out of every list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientHello {
    /// legacy_record_version of the record that carried it.
    pub record_version: String,
    /// legacy_version of the message.
    pub legacy_version: String,
    /// The supported_versions extension, in the client's order.
    pub supported_versions: Vec<String>,
    /// The highest version offered, by supported_versions where it is there, else legacy_version.
    pub max_version: String,
    /// Bytes of legacy_session_id; in TLS 1.2 more than none asks to resume.
    pub session_id_length: u8,
    /// In the client's order.
    pub cipher_suites: Vec<CodePoint>,
    /// legacy_compression_methods; 0 is "null".
    pub compression_methods: Vec<u8>,
    /// Extension types in the client's order.
    pub extensions: Vec<u16>,
    /// server_name: what the user typed, with mstsc also an IP address as text.
    pub server_name: Option<String>,
    /// Application protocols offered.
    pub alpn: Vec<String>,
    /// Groups for key exchange.
    pub supported_groups: Vec<CodePoint>,
    /// Schemes accepted in handshake signatures, and in certificates where `signature_algorithms_cert` is empty.
    pub signature_algorithms: Vec<CodePoint>,
    /// Schemes accepted in certificates.
    pub signature_algorithms_cert: Vec<CodePoint>,
    /// Groups for which a key share came along.
    pub key_share_groups: Vec<CodePoint>,
    /// Whether extended_master_secret is offered.
    pub extended_master_secret: bool,
    /// Whether session_ticket is offered, with or without a ticket.
    pub session_ticket: bool,
    /// Whether pre_shared_key is there: resumption in TLS 1.3.
    pub pre_shared_key: bool,
    /// Whether secure renegotiation is announced, by the extension or by its cipher suite value.
    pub renegotiation_info: bool,
    /// Whether the client sends GREASE (RFC 8701), as browsers do and mstsc does not.
    pub grease: bool,
    /// JA3: MD5 of `ja3_full`.
    pub ja3: String,
    /// JA3 before hashing.
    pub ja3_full: String,
    /// JA4, which does not change where a client shuffles its extensions.
    pub ja4: String,
    /// What in the message breaks the format; the rest was read all the same.
    pub faults: Vec<String>,
}

/// TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746 section 3.3).
const EMPTY_RENEGOTIATION_INFO: u16 = 0x00ff;

/// What stands in the message before any of it is named; GREASE still in.
#[derive(Default)]
struct Raw<'a> {
    legacy_version: u16,
    session_id_length: u8,
    cipher_suites: Vec<u16>,
    compression_methods: Vec<u8>,
    extensions: Vec<(u16, &'a [u8])>,
}

impl ClientHello {
    /// Reads the body of a handshake message of type 1; `record_version` is that of its record. An error only where
    /// the part up to the cipher suites is broken; later faults are in [`ClientHello::faults`].
    pub fn decode(body: &[u8], record_version: u16) -> Result<ClientHello, Malformed> {
        let mut faults = Faults::default();
        let raw = read(body, &mut faults)?;
        let offers = Offers::read(&raw.extensions, &mut faults);

        let extensions: Vec<u16> = raw.extensions.iter().map(|&(extension_type, _)| extension_type).collect();
        let grease = [&raw.cipher_suites, &extensions, &offers.supported_groups, &offers.supported_versions]
            .into_iter()
            .flatten()
            .any(|&value| names::is_grease(value));
        let has = |extension_type: u16| extensions.contains(&extension_type);
        let renegotiation_info =
            has(extension::RENEGOTIATION_INFO) || raw.cipher_suites.contains(&EMPTY_RENEGOTIATION_INFO);
        let supported_versions = without_grease(&offers.supported_versions);
        let numbers = ClientHelloNumbers {
            legacy_version: raw.legacy_version,
            max_version: max_version(&supported_versions, raw.legacy_version),
            cipher_suites: without_grease(&raw.cipher_suites),
            extensions: without_grease(&extensions),
            supported_groups: without_grease(&offers.supported_groups),
            ec_point_formats: offers.ec_point_formats,
            signature_algorithms: without_grease(&offers.signature_algorithms),
            first_alpn: offers.alpn.first().cloned(),
        };
        let ja3_full = fingerprint::ja3_full(&numbers);

        Ok(ClientHello {
            record_version: names::version(record_version).into_owned(),
            legacy_version: names::version(raw.legacy_version).into_owned(),
            supported_versions: supported_versions.iter().map(|&v| names::version(v).into_owned()).collect(),
            max_version: names::version(numbers.max_version).into_owned(),
            session_id_length: raw.session_id_length,
            cipher_suites: named(&numbers.cipher_suites, names::cipher_suite),
            compression_methods: raw.compression_methods,
            server_name: offers.server_name,
            alpn: offers.alpn.iter().map(|name| text(name)).collect(),
            supported_groups: named(&numbers.supported_groups, names::named_group),
            signature_algorithms: named(&numbers.signature_algorithms, names::signature_scheme),
            signature_algorithms_cert: named(
                &without_grease(&offers.signature_algorithms_cert),
                names::signature_scheme,
            ),
            key_share_groups: named(&without_grease(&offers.key_share_groups), names::named_group),
            extended_master_secret: has(extension::EXTENDED_MASTER_SECRET),
            session_ticket: has(extension::SESSION_TICKET),
            pre_shared_key: has(extension::PRE_SHARED_KEY),
            renegotiation_info,
            grease,
            ja3: fingerprint::md5_hex(&ja3_full),
            ja3_full,
            ja4: fingerprint::ja4(&numbers),
            extensions: numbers.extensions,
            faults: faults.into_notes(),
        })
    }
}

fn read<'a>(body: &'a [u8], faults: &mut Faults) -> Result<Raw<'a>, Malformed> {
    let mut reader = Reader::new("ClientHello", body);
    let legacy_version = reader.u16_be()?;
    reader.take(RANDOM_LENGTH)?;
    let session_id_length = reader.u8()?;
    reader.take(usize::from(session_id_length))?;
    let length = usize::from(reader.u16_be()?);
    let cipher_suites = pairs(&mut reader, length)?;
    let compression_methods = faults.recover(byte_list(&mut reader));
    let extensions = extension::extensions(&mut reader, faults);
    Ok(Raw { legacy_version, session_id_length, cipher_suites, compression_methods, extensions })
}

/// What the extensions say, as numbers; GREASE still in.
#[derive(Default)]
struct Offers {
    server_name: Option<String>,
    alpn: Vec<Vec<u8>>,
    supported_versions: Vec<u16>,
    supported_groups: Vec<u16>,
    ec_point_formats: Vec<u8>,
    signature_algorithms: Vec<u16>,
    signature_algorithms_cert: Vec<u16>,
    key_share_groups: Vec<u16>,
}

impl Offers {
    fn read(extensions: &[(u16, &[u8])], faults: &mut Faults) -> Offers {
        let mut offers = Offers::default();
        for &(extension_type, data) in extensions {
            match extension_type {
                extension::SERVER_NAME => offers.server_name = faults.recover(server_name(data)),
                extension::APPLICATION_LAYER_PROTOCOL_NEGOTIATION => {
                    offers.alpn = faults.recover(protocol_names(data));
                }
                extension::SUPPORTED_VERSIONS => {
                    offers.supported_versions = faults.recover(supported_versions(data));
                }
                extension::SUPPORTED_GROUPS => {
                    offers.supported_groups = faults.recover(numbers_u16("supported_groups", data));
                }
                extension::EC_POINT_FORMATS => {
                    offers.ec_point_formats =
                        faults.recover(byte_list(&mut Reader::new("ec_point_formats", data)));
                }
                extension::SIGNATURE_ALGORITHMS => {
                    offers.signature_algorithms = faults.recover(numbers_u16("signature_algorithms", data));
                }
                extension::SIGNATURE_ALGORITHMS_CERT => {
                    offers.signature_algorithms_cert =
                        faults.recover(numbers_u16("signature_algorithms_cert", data));
                }
                extension::KEY_SHARE => offers.key_share_groups = faults.recover(key_share_groups(data)),
                _ => {}
            }
        }
        offers
    }
}

/// A `u8` length and that many bytes.
fn byte_list(reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    let length = usize::from(reader.u8()?);
    Ok(reader.take(length)?.to_vec())
}

fn server_name(data: &[u8]) -> Result<Option<String>, Malformed> {
    let mut reader = Reader::new("server_name", data);
    let length = usize::from(reader.u16_be()?);
    let mut list = Reader::new("ServerNameList", reader.take(length)?);
    while !list.is_empty() {
        let name_type = list.u8()?;
        let length = usize::from(list.u16_be()?);
        let name = list.take(length)?;
        if name_type == HOST_NAME {
            return Ok(Some(text(name)));
        }
    }
    Ok(None)
}

fn supported_versions(data: &[u8]) -> Result<Vec<u16>, Malformed> {
    let mut reader = Reader::new("supported_versions", data);
    let length = usize::from(reader.u8()?);
    pairs(&mut reader, length)
}

fn key_share_groups(data: &[u8]) -> Result<Vec<u16>, Malformed> {
    let mut reader = Reader::new("key_share", data);
    let length = usize::from(reader.u16_be()?);
    let mut shares = Reader::new("client_shares", reader.take(length)?);
    let mut groups = Vec::new();
    while !shares.is_empty() {
        groups.push(shares.u16_be()?);
        let length = usize::from(shares.u16_be()?);
        shares.take(length)?;
    }
    Ok(groups)
}

/// Versions this program does not know, drafts of TLS 1.3 above all, are no candidates.
fn max_version(supported_versions: &[u16], legacy_version: u16) -> u16 {
    let known = supported_versions.iter().copied().filter(|&version| version <= names::TLS_1_3);
    known.max().unwrap_or(legacy_version)
}

fn without_grease(values: &[u16]) -> Vec<u16> {
    values.iter().copied().filter(|&value| !names::is_grease(value)).collect()
}

fn named(values: &[u16], name: fn(u16) -> CodePoint) -> Vec<CodePoint> {
    values.iter().map(|&value| name(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([2, 8, 8]);
        body.extend([0, 6, 0x1a, 0x1a, 0xc0, 0x30, 0x00, 0xff]);
        body.extend([1, 0]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        body
    }

    const ADDRESS_AS_NAME: &[u8] = &[0, 0, 0, 12, 0, 10, 0, 0, 7, b'1', b'0', b'.', b'0', b'.', b'0', b'.'];

    #[test]
    fn reads_lists_without_grease() {
        let extensions = [
            &[0x2a, 0x2a, 0, 0],
            ADDRESS_AS_NAME,
            &[0, 10, 0, 8, 0, 6, 0x3a, 0x3a, 0, 29, 0, 23],
            &[0, 43, 0, 7, 6, 0x4a, 0x4a, 3, 4, 3, 3],
            &[0, 51, 0, 7, 0, 5, 0, 29, 0, 1, 9],
            &[0, 13, 0, 4, 0, 2, 8, 4],
            &[0, 16, 0, 5, 0, 3, 2, b'h', b'2'],
        ]
        .concat();
        let hello = ClientHello::decode(&hello(&extensions), 0x0301).unwrap();
        assert_eq!(hello.faults, Vec::<String>::new());
        assert!(hello.grease);
        assert_eq!((&*hello.record_version, &*hello.legacy_version), ("TLS1.0", "TLS1.2"));
        assert_eq!(hello.supported_versions, ["TLS1.3", "TLS1.2"]);
        assert_eq!(hello.max_version, "TLS1.3");
        assert_eq!(hello.server_name.as_deref(), Some("10.0.0."));
        assert_eq!(hello.alpn, ["h2"]);
        assert_eq!(hello.session_id_length, 2);
        assert_eq!(hello.extensions, [0, 10, 43, 51, 13, 16]);
        assert_eq!(hello.ja3_full, "771,49200-255,0-10-43-51-13-16,29-23,");
        assert!(hello.ja4.starts_with("t13d0206h2_"), "{}", hello.ja4);
        assert!(hello.renegotiation_info, "by the cipher suite value alone");
        let texts = |list: &[CodePoint]| list.iter().map(CodePoint::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&hello.supported_groups), ["x25519", "secp256r1"]);
        assert_eq!(texts(&hello.key_share_groups), ["x25519"]);
        assert_eq!(texts(&hello.signature_algorithms), ["rsa_pss_rsae_sha256"]);
        assert!(!hello.pre_shared_key && !hello.session_ticket && !hello.extended_master_secret);
    }

    #[test]
    fn one_broken_extension_does_not_hide_the_others() {
        let extensions = [&[0, 10, 0, 4, 0, 8, 0, 29][..], ADDRESS_AS_NAME].concat();
        let hello = ClientHello::decode(&hello(&extensions), 0x0301).unwrap();
        assert_eq!(hello.faults, ["supported_groups: ends too early at byte 2"]);
        assert_eq!(hello.server_name.as_deref(), Some("10.0.0."));
        assert_eq!(hello.max_version, "TLS1.2", "legacy_version stands where supported_versions is absent");
    }

    #[test]
    fn a_block_of_extensions_that_breaks_off_keeps_its_beginning() {
        let mut body = hello(&[ADDRESS_AS_NAME, &[0, 23, 0, 9, 1]].concat());
        let parsed = ClientHello::decode(&body, 0x0301).unwrap();
        assert_eq!(parsed.extensions, [0]);
        assert_eq!(parsed.faults.len(), 1);
        body.truncate(body.len() - 5);
        let parsed = ClientHello::decode(&body, 0x0301).unwrap();
        assert_eq!(parsed.extensions, [0]);
        assert_eq!(parsed.faults, ["ClientHello: the extensions are longer than the message at byte 49"]);
    }

    #[test]
    fn a_hello_without_extensions_is_whole() {
        let body = hello(&[]);
        let parsed = ClientHello::decode(&body[..body.len() - 2], 0x0300).unwrap();
        assert_eq!(parsed.faults, Vec::<String>::new());
        assert_eq!(parsed.ja3_full, "771,49200-255,,,");
        assert!(ClientHello::decode(&body[..40], 0x0300).is_err());
    }

    #[test]
    fn faults_are_noted_up_to_a_limit() {
        let broken: Vec<u8> = [0, 10, 0, 0].repeat(100);
        assert_eq!(ClientHello::decode(&hello(&broken), 0x0301).unwrap().faults.len(), 8);
    }

    proptest! {
        #[test]
        fn never_panics(mut body in proptest::collection::vec(any::<u8>(), 0..300), tail in any::<bool>()) {
            if tail { body = hello(&body) }
            let _ = ClientHello::decode(&body, 0x0303);
        }
    }
}
