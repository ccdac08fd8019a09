//! What stands inside TLS of real sessions, by the secrets that come with them, against what tshark decrypts.

use crate::support::captures::{self, Chunking, Conversation, Piece};
use crate::support::left_out::left_out_without;
use crate::support::pcap;
use pcap_file::pcapng::{Block, PcapNgReader};
use rdpscope::capture::tls::{Decryption, Misfit, Secrets, TlsStream};
use rdpscope::observe::Opened;
use rdpscope::trace::Side;
use rdpscope::wire::tls::names::TLS_1_3;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Decryption Secrets Block, and in it the type of a TLS key log.
const DECRYPTION_SECRETS_BLOCK: u32 = 0x0000_000a;
const TLS_KEY_LOG: u32 = 0x544c_534b;

/// The key logs in a capture, and the private key that lies beside an old one.
fn secrets_of(file: &Path) -> Secrets {
    let secrets = Secrets::new();
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    if bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        let mut reader = PcapNgReader::new(&bytes[..]).expect("a pcapng section");
        while let Some(block) = reader.next_block() {
            let (block, _) = block.expect("a pcapng block");
            let Block::Unknown(block) = block else { continue };
            let [kind, length] = [0, 4].map(|place| {
                u32::from_le_bytes(block.value[place..place + 4].try_into().expect("four bytes"))
            });
            if (block.type_, kind) == (DECRYPTION_SECRETS_BLOCK, TLS_KEY_LOG) {
                let outcome = secrets.add_key_log(&block.value[8..8 + length as usize]);
                assert_eq!(outcome.not_understood, 0, "{}", file.display());
            }
        }
    }
    if let Ok(key) = std::fs::read(file.with_file_name("server.key")) {
        secrets.add_rsa_key(&key).expect("a private key");
    }
    secrets
}

/// The pieces from the first byte of TLS on: RDP negotiates before.
fn from_tls_on(pieces: &[Piece]) -> Vec<Piece> {
    let mut clear = [None, None];
    let mut pieces = pieces.to_vec();
    for piece in &mut pieces {
        let clear = clear[piece.from.index()].get_or_insert(match piece.bytes[..] {
            [3, 0, high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
            _ => 0,
        });
        let taken = (*clear).min(piece.bytes.len());
        piece.bytes.drain(..taken);
        *clear -= taken;
    }
    pieces
}

struct Read {
    items: Vec<Opened>,
    stream: TlsStream,
}

fn read(secrets: &Arc<Secrets>, pieces: &[Piece]) -> Read {
    let (mut stream, mut items) = (TlsStream::new(Arc::clone(secrets)), Vec::new());
    for piece in pieces {
        stream.data(piece.from, &piece.bytes, &mut items);
    }
    Read { items, stream }
}

impl Read {
    fn plaintext(&self, side: Side) -> Vec<Vec<u8>> {
        let of_side = self.items.iter().filter_map(|item| match item {
            Opened::Plaintext { from, bytes } if *from == side => Some(bytes.clone()),
            _ => None,
        });
        of_side.collect()
    }
}

fn truth(conversation: &Conversation, side: Side) -> Vec<u8> {
    let inside = conversation.inside.as_deref().unwrap_or_default();
    inside.iter().filter(|piece| piece.from == side).flat_map(|piece| piece.bytes.clone()).collect()
}

#[test]
fn plaintext_is_what_another_analyser_decrypts() {
    let Some(folder) = captures::folder() else { return };
    let (mut compared, mut bytes) = (0, 0);
    for (name, truth_of_file) in captures::truths(&folder) {
        let file = folder.join(truth_of_file["file"].as_str().expect("the capture's name"));
        let secrets = Arc::new(secrets_of(&file));
        for conversation in captures::conversations(&folder, &name, &truth_of_file) {
            let pieces = from_tls_on(&conversation.wire);
            let read = read(&secrets, &pieces);
            let status = read.stream.status();
            println!("{}: {status}", conversation.name);
            assert_eq!(
                matches!(status, Decryption::Decrypting { .. }),
                conversation.inside.is_some(),
                "{name}"
            );
            for side in [Side::Client, Side::Server] {
                let plaintext = read.plaintext(side).concat();
                assert!(plaintext == truth(&conversation, side), "{} {side:?}", conversation.name);
                bytes += plaintext.len();
            }
            compared += usize::from(conversation.inside.is_some());
            for chunking in [Chunking::Bytes, Chunking::Random(1), Chunking::Random(20_240_506)] {
                let otherwise = self::read(&secrets, &captures::cut(&pieces, chunking));
                assert!(otherwise.items == read.items, "{} {chunking:?}", conversation.name);
            }
        }
    }
    println!("{compared} connections, {bytes} bytes, each the same");
    assert!(compared >= 9, "{compared} connections were decrypted");
}

#[test]
fn without_the_secrets_each_capture_says_why() {
    let Some(folder) = captures::folder() else { return };
    let key = std::fs::read(folder.join("freerdp-old/server.key")).expect("the private key");
    let (none, other_key) = (Arc::new(Secrets::new()), Arc::new(Secrets::new()));
    other_key.add_rsa_key(&key).expect("a private key");
    let mut reasons = Vec::new();
    for (name, truth_of_file) in captures::truths(&folder) {
        for conversation in captures::conversations(&folder, &name, &truth_of_file) {
            let suite = conversation.truth["tls"]["cipher"].as_u64();
            let pieces = from_tls_on(&conversation.wire);
            let without = read(&none, &pieces);
            let with_key = read(&other_key, &pieces);
            if suite.is_some() {
                assert_eq!(without.stream.status(), Decryption::NoSecrets, "{name}");
                reasons.push(with_key.stream.status());
            }
            assert!(without.plaintext(Side::Client).is_empty() && without.plaintext(Side::Server).is_empty());
        }
    }
    for reason in [Misfit::ForwardSecrecy, Misfit::OtherPrivateKey] {
        assert!(reasons.contains(&Decryption::SecretsDoNotFit { reason }), "{reason:?}");
    }
}

/// Captures of the lab and the port of the server.
const LAB: [(&str, u16); 14] = [
    ("xrdp-tls-ok", 13390),
    ("xrdp-tls-ok-freerdp3", 13390),
    ("xrdp-tls12-ok", 13390),
    ("xrdp-cert-signed-accepted", 13390),
    ("xrdp-cert-expired-rejected", 13390),
    ("shadow-nla-ok", 13395),
    ("shadow-nla-wrong-password", 13395),
    ("gw-http-dual-ok", 13443),
    ("gw-websocket-ok", 13443),
    ("gw-wrong-password", 13443),
    ("gw-cert-denied", 13443),
    ("multitransport-freerdp3-declines", 13399),
    ("multitransport-freerdp2-hangs", 13399),
    ("iron-hybrid-ex-ok", 13415),
];

/// What `tshark -z follow,tls,raw` says of a connection to `port`: bytes of the client, bytes of the server.
fn tshark(file: &Path, port: u16, stream: usize) -> [Vec<u8>; 2] {
    let output = Command::new("tshark")
        .args(["-q", "-z", &format!("follow,tls,raw,{stream}"), "-d", &format!("tcp.port=={port},tls"), "-r"])
        .arg(file)
        .output()
        .expect("tshark runs");
    let text = String::from_utf8(output.stdout).expect("hex");
    // Node 1's lines are indented; node 0 is whoever sent the first bytes that were decrypted, or nobody knows who.
    let server_is_first = text.lines().any(|line| line == format!("Node 0: 127.0.0.1:{port}"));
    let mut sides = [Vec::new(), Vec::new()];
    let hex = text.lines().skip_while(|line| !line.starts_with("Node 1")).skip(1);
    for line in hex.take_while(|line| !line.starts_with('=')) {
        let side = if line.starts_with('\t') == server_is_first { Side::Client } else { Side::Server };
        sides[side.index()].extend(hex::decode(line.trim()).expect("hex"));
    }
    sides
}

#[test]
fn tls_1_3_of_the_lab_is_what_tshark_decrypts() {
    let Some(folder) = captures::folder() else { return };
    if left_out_without(&["tshark"]) {
        return;
    }
    let (mut compared, mut bytes) = (0, 0);
    for (name, port) in LAB {
        let file = folder.join("lab").join(format!("{name}.pcapng"));
        let secrets = Arc::new(secrets_of(&file));
        let packets = pcap::packets(&file);
        let mut expected = 0;
        for (number, connection) in captures::reassemble(&packets, port).iter().enumerate() {
            let read = read(&secrets, &from_tls_on(connection));
            println!("{name} {number}: {}", read.stream.status());
            let stream = stream_number(&file, port, number);
            let truth = tshark(&file, port, stream);
            for side in [Side::Client, Side::Server] {
                let plaintext = read.plaintext(side).concat();
                assert!(plaintext == truth[side.index()], "{name} {number} {side:?}");
                expected += plaintext.len();
            }
            assert!(matches!(read.stream.status(), Decryption::Decrypting { .. }), "{name} {number}");
            let is_1_3 = matches!(read.stream.status(), Decryption::Decrypting { version: TLS_1_3, .. });
            let certificates = read.items.iter().filter(|item| matches!(item, Opened::Certificate { .. }));
            assert_eq!(certificates.count(), usize::from(is_1_3), "{name} {number}");
            compared += 1;
        }
        bytes += expected;
    }
    println!("{compared} connections, {bytes} bytes, each the same");
}

/// The number that tshark gives the connection to `port` that began as the `number`th.
fn stream_number(file: &Path, port: u16, number: usize) -> usize {
    let output = Command::new("tshark")
        .args(["-T", "fields", "-e", "tcp.stream", "-Y"])
        .arg(format!("tcp.dstport=={port} && tcp.flags.syn==1 && tcp.flags.ack==0"))
        .arg("-r")
        .arg(file)
        .output()
        .expect("tshark runs");
    let text = String::from_utf8(output.stdout).expect("numbers");
    text.lines().nth(number).and_then(|line| line.parse().ok()).expect("the connection")
}
