//! Beginnings for the oracles of what stands in the way, of active ends, and of files and words.

use super::super::certificates::certificates;
use super::super::scripted::Side;
use super::super::scripted::bytes::{SSL, connection_request};
use super::super::scripted::credssp as nla;
use super::super::scripted::rdp;
use super::super::scripted::tls::Handshake;
use super::super::scripted::tunnel;
use super::{FILETIME, conversation, handshake, profiles, udp_data};
use rdpscope::intercept::tls::KeyLog;
use rustls::version::{TLS12, TLS13};
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Messages by their names.
type Messages = Vec<(&'static str, Vec<u8>)>;

/// What is said to a proxy before a connection through it begins.
const CONNECT: &[u8] =
    b"CONNECT host.example:3389 HTTP/1.1\r\nHost: host.example\r\nProxy-Authorization: Basic \
    bm9ib2R5\r\n\r\n\x03\0\0\x13";
const SOCKS_CLIENT: &[u8] =
    b"\x05\x02\0\x02\x01\x04anna\x02no\x05\x01\0\x03\x0chost.example\x0d\x3d\x03\0\0\x13";
const SOCKS_SERVER: &[u8] = b"\x05\x02\x01\0\x05\0\0\x01\x7f\0\0\x01\0\x50\x03\0\0\x13";

/// By their oracles.
pub(super) fn seeds() -> Vec<(&'static str, Messages)> {
    vec![
        ("rpc", calls()),
        (
            "gateway_udp",
            vec![("both", [&[0, 14][..], &udp_data()[20..], &[0x81, 14], &udp_data()[20..]].concat())],
        ),
        ("gateway_gate", tunnels(&[0, 1, 3, 5, 7])),
        (
            "tunnel_splitter",
            tunnels(&[]).into_iter().map(|(name, bytes)| (name, bytes[1..].to_vec())).collect(),
        ),
        ("impairment", impairments()),
        (
            "proxy_talk",
            vec![
                ("http", CONNECT.to_vec()),
                ("socks", SOCKS_CLIENT.to_vec()),
                ("socks-server", SOCKS_SERVER.to_vec()),
            ],
        ),
        ("first_hello", first_hellos()),
        ("upstream_proxy", upstream_answers()),
        ("credssp_server", clients()),
        ("credssp_client", servers()),
        ("decryption", vec![("tls-1.2", logged(&TLS12)), ("tls-1.3", logged(&TLS13))]),
        (
            "private_key",
            vec![("not-rsa", key_pem()), ("no-key", b"-----BEGIN RSA PRIVATE KEY-----\nAA==\n".to_vec())],
        ),
        ("terminated_observer", terminated()),
        ("mirror", vec![("all-repairs", originals(0x1f)), ("as-it-is", originals(0))]),
        ("words", words()),
        ("event_log", vec![("reason", event(1026)), ("alert", event(36887))]),
        ("certificate_file", certificate_files()),
        ("redaction", redacted()),
        ("bundle", bundles()),
    ]
}

/// What a version of FreeRDP said, and stubs out of it.
fn calls() -> Messages {
    const REQUEST_HEAD: usize = 24;
    let text = include_str!("../../proxy/src/observe/gateway/rpc/tests/freerdp-3.txt");
    let pdus: Vec<Vec<u8>> = text
        .lines()
        .map(|line| {
            hex::decode(line.rsplit(' ').next().unwrap_or_default()).expect("a PDU is written in hex")
        })
        .collect();
    let longest_request =
        pdus.iter().filter(|pdu| pdu[2] == 0).max_by_key(|pdu| pdu.len()).expect("a request");
    let longest_response =
        pdus.iter().filter(|pdu| pdu[2] == 2).max_by_key(|pdu| pdu.len()).expect("a response");
    vec![
        ("rts", pdus[0].clone()),
        ("bind", pdus[4].clone()),
        ("request", longest_request.clone()),
        ("request-stub", longest_request[REQUEST_HEAD..].to_vec()),
        ("response", longest_response.clone()),
        ("response-stub", longest_response[REQUEST_HEAD..].to_vec()),
    ]
}

/// One connection to a gateway, WebSocket and HTTP, with each of `firsts` before the steps.
fn tunnels(firsts: &[u8]) -> Messages {
    let wrapped = |wrap: fn(Side, &[u8]) -> Vec<u8>| {
        let packets = tunnel::tunnel().into_iter().flat_map(|(request, answer)| {
            [(Side::Client, wrap(Side::Client, &request)), (Side::Server, wrap(Side::Server, &answer))]
        });
        let data = [(Side::Client, wrap(Side::Client, &tunnel::data(&connection_request("anna", 0))))];
        packets.chain(data).collect::<Vec<_>>()
    };
    let framed = wrapped(|side, bytes| tunnel::frame(0x82, bytes, side == Side::Client));
    let websocket = [
        vec![(Side::Client, tunnel::upgrade(&tunnel::ntlm(Some(true)))), (Side::Server, tunnel::switching())],
        framed,
    ];
    let of_server = |side: Side| side == Side::Server;
    let out = [
        vec![
            (Side::Client, tunnel::request("RDG_OUT_DATA", "")),
            (Side::Server, [tunnel::granted(""), vec![0xab; 10]].concat()),
        ],
        wrapped(|_, bytes| bytes.to_vec()).into_iter().filter(|(side, _)| of_server(*side)).collect(),
    ];
    let into = [
        vec![
            (Side::Client, tunnel::request("RDG_IN_DATA", "Transfer-Encoding: chunked\r\n")),
            (Side::Server, tunnel::unauthorized(true)),
        ],
        wrapped(|_, bytes| tunnel::chunk(bytes)).into_iter().filter(|(side, _)| !of_server(*side)).collect(),
    ];
    let named = [("websocket", websocket.concat()), ("out", out.concat()), ("in", into.concat())];
    let firsts = if firsts.is_empty() { &[0] } else { firsts };
    let first = |index: usize| firsts[(2 * index + 1) % firsts.len()];
    named
        .into_iter()
        .enumerate()
        .map(|(index, (name, steps))| (name, conversation(first(index), &steps)))
        .collect()
}

fn impairments() -> Messages {
    let line = |text: &str| [text.as_bytes(), b"\n", &[3; 90]].concat();
    vec![
        ("slow", line("up:latency=300ms up:jitter=50ms up:rate=128kbit")),
        ("pieces", line("chunk=7 mss=536 close-after=100")),
        ("cut", line("up:stall-after=tls down:reset-after=x224")),
    ]
}

fn first_hellos() -> Messages {
    let hello = handshake(&TLS13).1[0].1.clone();
    let (first, second) = hello[5..].split_at(100);
    let record = |bytes: &[u8]| [&[22, 3, 1][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat();
    vec![("two-records", [record(first), record(second), vec![0; 9]].concat()), ("whole", hello)]
}

fn upstream_answers() -> Messages {
    vec![
        ("opened", b"\0HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n\x03\0\0\x13".to_vec()),
        ("refused", b"\0HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno".to_vec()),
        ("socks", b"\x01\x05\0\x05\0\0\x01\x7f\0\0\x01\0\x50\x03\0\0\x13".to_vec()),
        ("socks-refused", b"\x01\x05\0\x05\x02\0\x03\x01a\0\0".to_vec()),
    ]
}

fn request(fields: &[Vec<u8>]) -> Vec<u8> {
    nla::ts_request(6, fields)
}

/// What clients say to a server of CredSSP.
fn clients() -> Messages {
    let token = |token: &[u8]| request(&[nla::nego_token(token)]);
    let last = request(&[
        nla::nego_token(&nla::ntlm_authenticate("fs01")),
        nla::pub_key_auth(),
        nla::client_nonce(),
    ]);
    let in_spnego = [
        token(&nla::spnego_init(&[nla::NTLM], &nla::ntlm_negotiate())),
        token(&nla::spnego_response(1, None, &nla::ntlm_authenticate("fs01"))),
    ];
    let kerberos = nla::spnego_init(&[nla::KERBEROS, nla::NTLM], &nla::kerberos_ap_req("EXAMPLE", "fs01"));
    vec![
        ("ntlm", [token(&nla::ntlm_negotiate()), last].concat()),
        ("spnego", in_spnego.concat()),
        (
            "kerberos",
            [token(&kerberos), token(&nla::spnego_response(1, Some(nla::NTLM), &nla::ntlm_negotiate()))]
                .concat(),
        ),
    ]
}

/// What servers say to a client of it.
fn servers() -> Messages {
    let challenge = request(&[nla::nego_token(&nla::ntlm_challenge(FILETIME))]);
    let in_spnego = nla::spnego_response(1, Some(nla::NTLM), &nla::ntlm_challenge(FILETIME));
    vec![
        ("ntlm", [challenge, request(&[nla::pub_key_auth()])].concat()),
        ("spnego", [request(&[nla::nego_token(&in_spnego)]), request(&[nla::pub_key_auth()])].concat()),
        ("refused", request(&[nla::error_code(0xc000_006d)])),
    ]
}

/// A connection with its key log before it.
fn logged(version: &'static rustls::SupportedProtocolVersion) -> Vec<u8> {
    let lines = Arc::new(Mutex::new(String::new()));
    let taken = Arc::clone(&lines);
    let key_log = KeyLog::new(move |line| {
        let mut lines = taken.lock().expect("nobody panics");
        lines.push_str(line);
        lines.push('\n');
    });
    let mut handshake = Handshake::logged(version, &certificates().signed, Arc::new(key_log));
    let mut steps = handshake.flights();
    for (side, plaintext) in [(Side::Client, b"hello".as_slice()), (Side::Server, &[0x30; 40])] {
        steps.push(handshake.application_data(side, plaintext));
    }
    let lines = lines.lock().expect("nobody panics");
    let length = u16::try_from(lines.len()).expect("a key log is short");
    [&length.to_be_bytes()[..], lines.as_bytes(), &conversation(0, &steps)[1..]].concat()
}

fn key_pem() -> Vec<u8> {
    std::fs::read(&certificates().signed.key_file).expect("the key is there")
}

fn originals(repairs: u8) -> Vec<u8> {
    [&[repairs][..], &certificates().signed.for_rustls().0[0]].concat()
}

/// TLS of both legs, and what is inside; see the oracle.
fn terminated() -> Messages {
    let step = |side: Side, what: u8, bytes: &[u8]| {
        let side = if side == Side::Client { 0 } else { 0x80 };
        [&[side | what << 5 | (bytes.len() >> 8) as u8, bytes.len() as u8], bytes].concat()
    };
    let flights = handshake(&TLS12).1;
    let turned = |(index, (from, bytes)): (usize, &(Side, Vec<u8>))| {
        let ours = u8::from(*from == Side::Server);
        [step(Side::Client, ours, bytes), step(Side::Server, 1 - ours, &flights[index].1)].concat()
    };
    let tls: Vec<u8> = flights.iter().enumerate().flat_map(turned).collect();
    let inside: Vec<u8> = rdp::session(0, 0).iter().flat_map(|(side, bytes)| step(*side, 2, bytes)).collect();
    let logon = step(Side::Client, 3, &request(&[nla::nego_token(&nla::ntlm_negotiate())]));
    vec![("ssl", [&[1][..], &tls, &inside].concat()), ("hybrid", [&[2][..], &tls, &logon, &inside].concat())]
}

fn words() -> Messages {
    let words = [
        ("prefix", "10.0.0.0/28:3390"),
        ("range", "10.0.0.1-20"),
        ("v6", "[2001:db8::/124]:3390"),
        ("list", "srv10.corp.example\n10.0.0.1 # the old one\n"),
        ("mode", "mirror+dates,names"),
        ("proxy", "socks5://proxy.example:1080"),
        ("tls", "1.0..1.2"),
        ("code", "0x904/0x7"),
        ("alert", "tls:45"),
    ];
    words.map(|(name, text)| (name, text.as_bytes().to_vec())).to_vec()
}

/// An event of a client, or of Windows' TLS.
fn event(id: u32) -> Vec<u8> {
    let (provider, fields) = match id {
        1026 => ("Microsoft-Windows-TerminalServices-ClientActiveXCore", "<Data Name='Value'>516</Data>"),
        _ => ("Schannel", "<Data Name='AlertDesc'>42</Data><Data Name='ErrorState'>960</Data>"),
    };
    format!(
        "<Events><Event><System><Provider Name='{provider}'/><EventID>{id}</EventID><Level>4</Level>\
         <TimeCreated SystemTime='2026-11-22T03:00:01.5Z'/></System><EventData>{fields}</EventData></Event></Events>"
    )
    .into_bytes()
}

fn certificate_files() -> Messages {
    let signed = &certificates().signed;
    let pem = std::fs::read(&signed.certificate_file).expect("the certificate is there");
    vec![
        ("with-key", [&pem[..], &key_pem()].concat()),
        ("pem", pem),
        ("der", signed.for_rustls().0[0].to_vec()),
    ]
}

/// What a bundle takes in, its kind before it; see the oracle.
fn redacted() -> Messages {
    let of_kind = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let sentence = b"srv10.corp.example at 192.0.2.1 let CORP\\walther in";
    let wide: Vec<u8> = "walther on srv10".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let line = br#"{"type":"event","t_us":1,"event":"resolved","name":"srv10.corp.example","addresses":["192.0.2.1"]}"#;
    let clear = conversation(0, &rdp::session(0, 0));
    let packets: Vec<u8> = rdp::session(0, 0)
        .iter()
        .flat_map(|(side, bytes)| {
            let side = if *side == Side::Client { 0 } else { 0x80 };
            [&[side][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat()
        })
        .collect();
    vec![
        ("text", of_kind(0, sentence)),
        ("bytes", of_kind(1, &wide)),
        ("profile", of_kind(2, &profiles()[0].1)),
        ("event-log", of_kind(3, &event(1026))),
        ("line", of_kind(4, line)),
        ("clear-text", of_kind(5, &clear[1..])),
        ("proxy", of_kind(5, &conversation(0, &[(Side::Client, CONNECT.to_vec())])[1..])),
        ("capture", of_kind(6, &packets)),
    ]
}

/// A manifest with one file, whose hash is another's; packed by the oracle, and as a file.
fn bundles() -> Messages {
    let manifest = br#"{"bundle":1,"rdpscope":"0.1.0","system":"any","created":"2026-11-22T03:00:00Z","sessions":[],"files":[{"path":"trace.jsonl","bytes":3,"sha256":"00"}],"redaction":{"kept":[],"pseudonyms":[],"only_in_their_fields":[],"left_out":[],"still_found":[],"contains_secrets":false}}"#;
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("manifest.json", SimpleFileOptions::default()).expect("a file begins");
    zip.write_all(manifest).expect("memory takes what is written");
    let file = zip.finish().expect("it is finished").into_inner();
    let length = u16::try_from(manifest.len()).expect("a manifest is short").to_be_bytes();
    vec![
        ("manifest", [&[1][..], &length, manifest, b"abc"].concat()),
        ("file", [&[0][..], &file].concat()),
        ("connect", [&[1, 0, 2][..], b"{}", &connection_request("anna", SSL)].concat()),
    ]
}
