use super::super::names::{self, TLS_1_2, group};
use super::super::{ClientHello, ContentType, HandshakeReader, RecordReader};
use super::*;
use proptest::prelude::*;

/// The body of the one message in `records`, and how many records it took.
fn body_of(records: &[u8]) -> (Vec<u8>, usize) {
    let (mut reader, mut handshake) = (RecordReader::new(), HandshakeReader::new());
    let (mut messages, mut count, mut input) = (Vec::new(), 0, records);
    while let Some(record) = reader.next(&mut input) {
        let record = record.unwrap();
        assert_eq!(record.header.content_type, ContentType::Handshake);
        count += 1;
        let fragment = record.fragment.unwrap();
        let mut fragment = &fragment[..];
        while let Some(message) = handshake.next(&mut fragment) {
            messages.push(message.unwrap());
        }
    }
    assert_eq!((reader.unfinished(), handshake.unfinished()), (None, None));
    let [message] = &messages[..] else { panic!("{} messages", messages.len()) };
    assert_eq!(message.message_type, message_type::CLIENT_HELLO);
    (message.body.clone(), count)
}

fn ids(list: &[names::CodePoint]) -> Vec<u16> {
    list.iter().map(|code_point| code_point.id).collect()
}

fn list(values: std::ops::Range<u16>) -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::btree_set(values, 0..40)
        .prop_map(|set| set.into_iter().filter(|&value| !names::is_grease(value)).collect())
}

prop_compose! {
    fn offer()(
        legacy_version in SSL_3_0..=TLS_1_2,
        versions in list(TLS_1_0..TLS_1_3 + 1),
        suites in list(1..0xffff),
        groups in list(1..600),
        key_shares in proptest::sample::subsequence(
            vec![group::X25519, group::SECP256R1, group::SECP521R1, group::X448, group::FFDHE2048,
                 group::X25519MLKEM768], 0..6),
        signature_schemes in list(1..0xffff),
        server_name in proptest::option::of("[a-z]{1,20}\\.example"),
        random in any::<[u8; 32]>(),
        padded_to in proptest::option::of(0usize..40_000),
    ) -> HelloOffer {
        HelloOffer { legacy_version, versions, suites, groups, key_shares, signature_schemes, server_name, random,
                     padded_to }
    }
}

proptest! {
    #[test]
    fn our_own_decoder_reads_what_was_offered(offer in offer()) {
        let records = offer.records();
        let (body, _) = body_of(&records);
        let record_version = u16::from_be_bytes([records[1], records[2]]);
        let hello = ClientHello::decode(&body, record_version).unwrap();
        prop_assert_eq!(&hello.faults, &Vec::<String>::new());
        prop_assert_eq!(ids(&hello.cipher_suites), offer.suites);
        prop_assert_eq!(hello.legacy_version, names::version(offer.legacy_version));
        prop_assert_eq!(hello.compression_methods, vec![0]);
        if offer.legacy_version == SSL_3_0 {
            prop_assert!(hello.extensions.is_empty());
            prop_assert_eq!(record_version, SSL_3_0);
            return Ok(());
        }
        let versions: Vec<_> = offer.versions.iter().map(|&version| names::version(version).into_owned()).collect();
        prop_assert_eq!(hello.supported_versions, versions);
        prop_assert_eq!(ids(&hello.supported_groups), offer.groups);
        prop_assert_eq!(ids(&hello.signature_algorithms), offer.signature_schemes);
        prop_assert_eq!(hello.server_name, offer.server_name);
        let tls_1_3 = offer.versions.contains(&TLS_1_3);
        prop_assert_eq!(ids(&hello.key_share_groups), if tls_1_3 { offer.key_shares } else { Vec::new() });
        prop_assert!(hello.extended_master_secret && hello.renegotiation_info && !hello.grease);
    }

    #[test]
    fn padding_gives_the_length_asked_for(mut offer in offer(), wanted in 0usize..16_000) {
        offer.legacy_version = TLS_1_2;
        offer.padded_to = None;
        let bare = offer.records().len();
        offer.padded_to = Some(wanted);
        let padded = offer.records().len();
        if wanted <= bare {
            prop_assert_eq!(padded, bare);
        } else {
            prop_assert_eq!(padded, wanted.max(bare + EXTENSION_HEADER_LENGTH));
        }
    }

    #[test]
    fn other_parsers_read_what_was_offered(mut offer in offer()) {
        offer.legacy_version = TLS_1_2;
        offer.versions = vec![TLS_1_3, TLS_1_2];
        offer.padded_to = None;
        offer.suites.push(0x1301);
        offer.groups.push(group::X25519);
        offer.signature_schemes.push(0x0804);
        let records = offer.records();
        let (rest, plaintext) = tls_parser::parse_tls_plaintext(&records).unwrap();
        prop_assert!(rest.is_empty());
        let [tls_parser::TlsMessage::Handshake(tls_parser::TlsMessageHandshake::ClientHello(parsed))] =
            &plaintext.msg[..] else { panic!("{plaintext:?}") };
        let suites: Vec<u16> = parsed.ciphers.iter().map(|suite| suite.0).collect();
        prop_assert_eq!(&suites, &offer.suites);
        let (rest, extensions) = tls_parser::parse_tls_extensions(parsed.ext.unwrap()).unwrap();
        prop_assert!(rest.is_empty() && !extensions.is_empty());

        let mut acceptor = rustls::server::Acceptor::default();
        acceptor.read_tls(&mut &records[..]).unwrap();
        let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().unwrap();
        let hello = accepted.client_hello();
        prop_assert_eq!(hello.server_name(), offer.server_name.as_deref());
        let suites: Vec<u16> = hello.cipher_suites().iter().map(|&suite| suite.into()).collect();
        prop_assert_eq!(suites, offer.suites);
        let schemes: Vec<u16> = hello.signature_schemes().iter().map(|&scheme| scheme.into()).collect();
        prop_assert_eq!(schemes, offer.signature_schemes);
        let groups: Vec<u16> = hello.named_groups().unwrap().iter().map(|&group| group.into()).collect();
        prop_assert_eq!(groups, offer.groups);
    }
}

#[test]
fn a_hello_beyond_a_record_goes_in_several() {
    let offer = HelloOffer {
        legacy_version: TLS_1_2,
        suites: vec![0x1301],
        padded_to: Some(2 * FRAGMENT_LENGTH + 100),
        ..HelloOffer::default()
    };
    let records = offer.records();
    let (body, count) = body_of(&records);
    assert_eq!(count, 3);
    assert_eq!(body.len() + HANDSHAKE_HEADER_LENGTH + RECORD_HEADER_LENGTH, 2 * FRAGMENT_LENGTH + 100);
}

#[test]
fn lists_beyond_their_length_fields_are_cut_to_whole_numbers() {
    let offer = HelloOffer {
        legacy_version: TLS_1_2,
        versions: vec![TLS_1_2; 200],
        suites: vec![0xc030; 40_000],
        ..HelloOffer::default()
    };
    let (body, _) = body_of(&offer.records());
    let hello = ClientHello::decode(&body, TLS_1_0).unwrap();
    assert_eq!(hello.faults, Vec::<String>::new());
    assert_eq!((hello.cipher_suites.len(), hello.supported_versions.len()), (32_767, 127));
}

#[test]
fn the_points_are_on_their_curves() {
    use rustls::crypto::ring::kx_group::{SECP256R1, SECP384R1, X25519};
    for kx_group in [SECP256R1, SECP384R1, X25519] {
        let share = key_share::key_exchange(kx_group.name().into(), &[7; 32]).unwrap();
        kx_group.start().unwrap().complete(&share).unwrap();
    }
}
