//! The decoders against real hellos and server flights, and what tshark says of them. The folder comes from the
//! environment variable `RDP_CAPTURES`: `bytes/NAME.STREAM.client_hello.bin`, `….server_flight.bin`,
//! `truth/NAME.json`.

use super::handshake::message_type;
use super::*;
use rdpscope_certs::inspect::inspect;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Each file `bytes/*.{kind}.bin` with what the truth says of TLS in its conversation.
fn messages_of(kind: &str) -> Option<Vec<(String, Vec<u8>, Value)>> {
    let Some(folder) = std::env::var_os("RDP_CAPTURES").map(PathBuf::from) else {
        eprintln!("left out: RDP_CAPTURES is not set");
        return None;
    };
    let suffix = format!(".{kind}.bin");
    let mut messages = Vec::new();
    for entry in std::fs::read_dir(folder.join("bytes")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some((capture, stream)) = name.strip_suffix(&suffix).and_then(|name| name.rsplit_once('.'))
        else {
            continue;
        };
        let Some(tls) = truth(&folder, capture, stream) else { continue };
        messages.push((name, std::fs::read(path).unwrap(), tls));
    }
    assert!(!messages.is_empty(), "RDP_CAPTURES holds no {kind}");
    Some(messages)
}

fn truth(folder: &Path, capture: &str, stream: &str) -> Option<Value> {
    let text = std::fs::read_to_string(folder.join("truth").join(format!("{capture}.json"))).ok()?;
    let truth: Value = serde_json::from_str(&text).unwrap();
    let conversations = truth["conversations"].as_array().unwrap();
    let stream: u64 = stream.parse().unwrap();
    let conversation = conversations.iter().find(|row| row["stream"] == stream).unwrap();
    Some(conversation["tls"].clone())
}

/// The handshake messages in `bytes`, each with the version of the record it ended in.
fn handshake(bytes: &[u8]) -> Vec<(u16, HandshakeMessage)> {
    let (mut records, mut messages) = (RecordReader::new(), HandshakeReader::new());
    let mut found = Vec::new();
    let mut input = bytes;
    while let Some(record) = records.next(&mut input) {
        let record = record.unwrap();
        if record.header.content_type == ContentType::ChangeCipherSpec {
            records.keep_fragments(false);
        }
        let Some(fragment) = record.fragment.filter(|_| record.header.content_type == ContentType::Handshake)
        else {
            continue;
        };
        let mut fragment = &fragment[..];
        while let Some(message) = messages.next(&mut fragment) {
            found.push((record.header.version, message.unwrap()));
        }
    }
    found
}

fn find(messages: &[(u16, HandshakeMessage)], wanted: u8) -> Option<&(u16, HandshakeMessage)> {
    messages.iter().find(|(_, message)| message.message_type == wanted)
}

#[test]
fn client_hellos_are_what_tshark_says() {
    let Some(files) = messages_of("client_hello") else { return };
    for (name, bytes, truth) in files {
        let messages = handshake(&bytes);
        let (record_version, message) = find(&messages, message_type::CLIENT_HELLO).unwrap();
        let hello = ClientHello::decode(&message.body, *record_version).unwrap();
        assert_eq!(hello.faults, Vec::<String>::new(), "{name}");
        assert_eq!(hello.ja3, truth["ja3"], "{name}");
        assert_eq!(hello.ja3_full, truth["ja3_full"], "{name}");
        assert_eq!(hello.max_version, truth["client_version_max"], "{name}");
        assert_eq!(hello.legacy_version, truth["client_legacy_version"], "{name}");
        assert_eq!(hello.record_version, truth["client_record_version"], "{name}");
        assert_eq!(hello.server_name.as_deref(), truth["sni"].as_str(), "{name}");
        assert_eq!(hello.alpn.join(","), truth["alpn"].as_str().unwrap_or_default(), "{name}");
        assert_eq!(hello.cipher_suites.len(), truth["client_cipher_suites"], "{name}");
        assert_eq!(hello.session_id_length, truth["client_session_id_length"], "{name}");
        let unnamed: Vec<_> = [&hello.cipher_suites, &hello.supported_groups, &hello.signature_algorithms]
            .into_iter()
            .flatten()
            .filter(|code_point| code_point.name.is_none())
            .collect();
        assert!(unnamed.is_empty(), "{name}: {unnamed:?}");
        let json = serde_json::to_string(&hello).unwrap();
        assert_eq!(serde_json::from_str::<ClientHello>(&json).unwrap(), hello, "{name}");
    }
}

#[test]
fn server_flights_are_what_tshark_says() {
    let Some(files) = messages_of("server_flight") else { return };
    let mut key_exchanges = 0;
    for (name, bytes, truth) in files {
        let messages = handshake(&bytes);
        let (_, message) = find(&messages, message_type::SERVER_HELLO).unwrap();
        let hello = ServerHello::decode(&message.body).unwrap();
        assert_eq!(hello.faults, Vec::<String>::new(), "{name}");
        assert_eq!(hello.version, truth["server_version"], "{name}");
        assert_eq!(hello.cipher_suite.id, truth["cipher"], "{name}");
        assert_eq!(hello.ja3s, truth["ja3s"], "{name}");
        if let Some((_, exchange)) = find(&messages, message_type::SERVER_KEY_EXCHANGE) {
            let exchange =
                ServerKeyExchange::decode(&exchange.body, hello.cipher_suite.id, &hello.version).unwrap();
            key_exchanges += 1;
            assert!(exchange.named_curve.unwrap().name.is_some(), "{name}");
            assert!(exchange.signature_scheme.unwrap().name.is_some(), "{name}");
        }
        certificates_are_what_tshark_says(&name, &messages, &truth["certificates"]);
    }
    assert!(key_exchanges > 0, "no capture had a server_key_exchange");
}

fn certificates_are_what_tshark_says(name: &str, messages: &[(u16, HandshakeMessage)], truth: &Value) {
    let (_, message) = find(messages, message_type::CERTIFICATE).unwrap();
    let certificates = certificate_list(&message.body).unwrap();
    let truth = truth.as_array().unwrap();
    assert_eq!(certificates.len(), truth.len(), "{name}");
    for (der, truth) in certificates.into_iter().zip(truth) {
        let certificate = inspect(der).unwrap();
        assert_eq!(certificate.sha256, truth["sha256"], "{name}");
        assert_eq!(certificate.subject, truth["subject"], "{name}");
        assert_eq!(certificate.subject_cn.as_deref(), truth["subject_cn"].as_str(), "{name}");
        assert_eq!(certificate.issuer_cn.as_deref(), truth["issuer_cn"].as_str(), "{name}");
        assert_eq!(certificate.self_issued, truth["self_issued"], "{name}");
        assert_eq!(certificate.self_signed, truth["self_issued"], "{name}");
        assert_eq!(certificate.serial.to_uppercase(), truth["serial"], "{name}");
        assert_eq!(certificate.not_before, truth["not_before"], "{name}");
        assert_eq!(certificate.not_after, truth["not_after"], "{name}");
        assert_eq!(certificate.signature_algorithm, truth["signature_algorithm"], "{name}");
        assert_eq!(serde_json::json!(certificate.sans), truth["san_dns"], "{name}");
        assert_eq!(format!("rsaEncryption-{}", certificate.key_bits.unwrap()), truth["key"], "{name}");
        assert!(certificate.permits_server_authentication(), "{name}");
    }
}
