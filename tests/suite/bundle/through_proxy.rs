//! Bundles of connections through somebody else's proxy: the talk with it stays but for its secrets, and so does TLS.

use super::{assert_nowhere, copy, entries, entry, run, text, tshark};
use crate::support::certificates::certificates;
use crate::support::left_out::left_out_without;
use crate::support::peers::Upstream;
use crate::support::rdpscope::{Rdpscope, program};
use crate::support::scripted::Side::Client;
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::tls::{Handshake, Trust};
use crate::support::scripted::{Conversation, Ends, listener};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::version::TLS12;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What logs on to the proxy.
const CANARY: &str = "Canary-Pa55word";

/// A client that asks a proxy for `server`, as a way that a relay leads to.
type Ask = fn(&mut TcpStream, SocketAddr);

fn by_connect(client: &mut TcpStream, server: SocketAddr) {
    let logon = STANDARD.encode(format!("mia.wallace:{CANARY}"));
    let head = format!(
        "CONNECT {server} HTTP/1.1\r\nHost: {server}\r\nProxy-Authorization: Basic {logon}\r\nX-Token: {CANARY}\r\n\r\n"
    );
    client.write_all(head.as_bytes()).expect("it is taken");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("it is answered");
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.") && text(&answer).contains(" 200 "), "{}", text(&answer));
}

fn by_socks(client: &mut TcpStream, server: SocketAddr) {
    client.write_all(&[5, 1, 0]).expect("it is taken");
    let mut chosen = [0; 2];
    client.read_exact(&mut chosen).expect("it is answered");
    assert_eq!(chosen, [5, 0]);
    let port = server.port().to_be_bytes();
    client.write_all(&[&[5, 1, 0, 1, 127, 0, 0, 1], &port[..]].concat()).expect("it is taken");
    let mut answer = [0; 10];
    client.read_exact(&mut answer).expect("it is answered");
    assert_eq!(answer[..2], [5, 0]);
}

/// The folder of a session whose client asks `upstream` for the server and then speaks RDP and TLS with it.
fn recorded(upstream: &Upstream, server: &TcpListener, ask: Ask) -> (TempDir, PathBuf) {
    let at = server.local_addr().expect("a listener has an address");
    let proxy = upstream.url.split_once("://").expect("a URL").1;
    let arguments = ["--listen", "127.0.0.1:0", "--sessions", "1", "--capture"];
    let rdpscope = Rdpscope::start_as(program(), proxy, &arguments);
    let mut client = TcpStream::connect(rdpscope.address).expect("it listens");
    ask(&mut client, at);
    let mut handshake = Handshake::new(&TLS12, &certificates().signed, Trust::Authority);
    let flights = handshake.flights();
    let typed = handshake.application_data(Client, &[0x5a; 4000]);
    let agreed =
        Conversation::new().client(connection_request("vincent.vega", SSL)).server(connection_confirm(SSL));
    agreed.send_all(flights).send_all([typed]).finish(Client).play(Ends::joined(client, server));
    rdpscope.wait_for(|line| line["type"] == "end");
    let home = TempDir::new().expect("a temporary folder");
    copy(rdpscope.folder(), &home.path().join("traces"));
    rdpscope.finish().assert_nowhere(CANARY);
    let mut sessions = std::fs::read_dir(home.path().join("traces")).expect("traces");
    let session = sessions.next().expect("one").expect("one").path();
    (home, session)
}

/// The records of TLS in a capture, with their lengths, by the legs of the connection.
fn records(file: &Path, ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(|port| format!("tcp.port=={port},tls")).collect();
    let decode: Vec<&str> = ports.iter().flat_map(|port| ["-d", port]).collect();
    let fields =
        ["-T", "fields", "-e", "tcp.stream", "-e", "tls.record.content_type", "-e", "tls.record.length"];
    tshark(file, &[&decode[..], &["-Y", "tls"], &fields].concat())
}

fn assert_kept(upstream: &Upstream, server: &TcpListener, ask: Ask) {
    let (home, session) = recorded(upstream, server, ask);
    let capture = session.join("session.pcapng");
    let ports = tshark(&capture, &["-T", "fields", "-e", "tcp.srcport", "-e", "tcp.dstport"]);
    let mut ports: Vec<u16> = ports.split_whitespace().filter_map(|port| port.parse().ok()).collect();
    ports.sort_unstable();
    ports.dedup();
    let before = records(&capture, &ports);
    assert!(before.lines().count() >= 8, "TLS is in both legs: {before}");

    let session = session.to_str().expect("UTF-8");
    let elsewhere = capture.to_str().expect("UTF-8");
    for (name, arguments, place) in [
        ("own.zip", [session, "-q"], "capture.pcapng"),
        ("foreign.zip", ["--capture", elsewhere], "captures/1.pcapng"),
    ] {
        let file = home.path().join(name);
        let output = run(home.path(), &[&arguments[..], &["-o", file.to_str().expect("UTF-8")]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let entries = entries(&file);
        for name in ["vincent.vega", CANARY, &STANDARD.encode(format!("mia.wallace:{CANARY}"))] {
            assert_nowhere(&entries, name);
        }
        let redacted = home.path().join(format!("{name}.pcapng"));
        std::fs::write(&redacted, entry(&entries, place)).expect("a file");
        assert_eq!(records(&redacted, &ports), before, "TLS is as it was in {name}");
        if name == "foreign.zip" {
            let targets: Vec<Value> = entries
                .iter()
                .filter(|(path, _)| path.ends_with("trace.jsonl"))
                .filter_map(|(_, bytes)| serde_json::from_str(text(bytes).lines().next()?).ok())
                .map(|header: Value| header["target"].clone())
                .collect();
            let at = server.local_addr().expect("an address").to_string();
            assert_eq!(
                targets,
                [at.as_str(), &at],
                "each leg is an attempt to reach what the proxy was asked for"
            );
        }
    }
}

#[test]
fn the_talk_with_tinyproxy_is_followed() {
    if !left_out_without(&["tinyproxy", "tshark"]) {
        let server = listener();
        let port = server.local_addr().expect("a listener has an address").port();
        assert_kept(&Upstream::tinyproxy(port), &server, by_connect);
    }
}

#[test]
fn the_talk_with_microsocks_is_followed() {
    if !left_out_without(&["microsocks", "tshark"]) {
        assert_kept(&Upstream::microsocks(), &listener(), by_socks);
    }
}
