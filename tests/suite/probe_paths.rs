//! One target over two paths in one command: haproxy that ends TLS with an authority of its own stands on one of them.

use crate::cli::{Ran, run};
use crate::support::certificates::{Certificate, certificates, issued_by};
use crate::support::gateway::{Gateway, Setup};
use crate::support::left_out::left_out_without;
use crate::support::peers::{Haproxy, Upstream};
use crate::support::scripted::bytes::{SSL, connection_confirm};
use crate::support::scripted::terminated::TlsEnd;
use rustls::version::TLS12;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// What is dialled here.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
/// What makes a probe short: nothing but the conversation and the masks.
const SHORT: [&str; 4] = ["--no-tls", "--no-udp", "--rounds", "1"];

fn probe(arguments: &[&str]) -> Ran {
    run(&[&["probe"], &SHORT[..], arguments].concat())
}

fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn line<'l>(lines: &'l [Value], kind: &str) -> &'l Value {
    lines.iter().find(|line| line["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {lines:?}"))
}

fn finding<'l>(lines: &'l [Value], id: &str) -> &'l str {
    let found = lines.iter().find(|line| line["type"] == "finding" && line["id"] == id);
    found.and_then(|line| line["text"].as_str()).unwrap_or_else(|| panic!("no {id} in {lines:?}"))
}

fn rules_out(verdict: &Value, id: &str) -> bool {
    verdict["ruled_out"].as_array().is_some_and(|ids| ids.iter().any(|it| it == id))
}

/// An HTTP proxy that leads whoever asks for anything to `box_address`, as one does that inspects.
fn proxy_into(box_address: SocketAddr) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || lead(client, box_address));
        }
    });
    url
}

fn lead(mut client: TcpStream, box_address: SocketAddr) {
    let mut head = BufReader::new(client.try_clone().expect("a socket is cloned"));
    let mut line = String::new();
    while head.read_line(&mut line).is_ok_and(|length| length > 2) {
        line.clear();
    }
    let mut server = TcpStream::connect(box_address).expect("the box listens");
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").expect("the client waits");
    let (mut up, mut down) = (client.try_clone().expect("cloned"), server.try_clone().expect("cloned"));
    // Whoever leaves first ends both.
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut down, &mut up);
        let _ = up.shutdown(std::net::Shutdown::Both);
    });
    let _ = std::io::copy(&mut head, &mut server);
    let _ = server.shutdown(std::net::Shutdown::Both);
    let _ = back.join();
}

#[test]
fn a_box_with_its_own_authority_on_one_of_two_paths_is_named_with_both_issuers() {
    if left_out_without(&["haproxy"]) {
        return;
    }
    let gateway = Gateway::start(Setup::default());
    let of_box = issued_by("Branch Office Box CA", &NAMES);
    let on_the_way = Haproxy { certificate: &of_box, ..Haproxy::default() }.start(gateway.address);
    let (address, other) = (gateway.address.to_string(), proxy_into(on_the_way.address));
    let asked = ["srv10", "--gateway", &address, "--other-path", &other];

    let json = probe(&[&asked[..], &["--json"]].concat());
    assert_eq!(json.exit_code, Some(1), "{}", json.stderr);
    let lines = lines(&json);
    let verdict = line(&lines, "verdict");
    assert_eq!((&verdict["id"], &verdict["confidence"]), (&"tls-inspected".into(), &"likely".into()));
    assert_eq!(verdict["phase"], "gateway-tls");
    let summary = verdict["summary"].as_str().expect("a sentence");
    for told in ["Branch Office Box CA", "rdpscope test authority", &address, &other] {
        assert!(summary.contains(told), "{told} is not in: {summary}");
    }
    assert!(verdict["alternatives"].as_array().is_some_and(|them| !them.is_empty()), "{verdict}");
    let compared = finding(&lines, "paths-differ");
    assert!(compared.contains("Branch Office Box CA") && compared.contains(&other), "{compared}");
    let paths = &line(&lines, "probe")["other_paths"];
    let issuer = |path: &Value| path["shown"][0]["chain"][0]["issuer_cn"].clone();
    assert_eq!(issuer(&paths["plain"]), "rdpscope test authority");
    assert_eq!(issuer(&paths["others"][0]), "Branch Office Box CA");
    for path in [&paths["plain"], &paths["others"][0]] {
        assert_eq!((&path["asked"], &path["shown"][0]["times"]), (&4.into(), &4.into()), "{path}");
    }
    assert_eq!(paths["others"][0]["asked_for"], address.as_str());

    let text = probe(&asked);
    for told in [&format!("{other}, asked for {address}: ")[..], "Branch Office Box CA", "4 times"] {
        let flat = text.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(told), "{told:?} is not in\n{}", text.stdout);
    }
}

#[test]
fn an_issuer_that_is_known_to_inspect_is_proof_on_the_path_that_shows_it() {
    if left_out_without(&["haproxy"]) {
        return;
    }
    let gateway = Gateway::start(Setup::default());
    let of_box = issued_by("Zscaler Intermediate Root CA", &NAMES);
    let on_the_way = Haproxy { certificate: &of_box, ..Haproxy::default() }.start(gateway.address);
    let (address, other) = (gateway.address.to_string(), on_the_way.address.to_string());
    let ran = probe(&["srv10", "--gateway", &address, "--other-path", &other, "--json"]);
    let lines = lines(&ran);
    let verdict = line(&lines, "verdict");
    assert_eq!((&verdict["id"], &verdict["confidence"]), (&"tls-inspected".into(), &"confirmed".into()));
    let summary = verdict["summary"].as_str().expect("a sentence");
    assert!(summary.contains(&format!("on the path over {other}")), "{summary}");
}

/// What passes TLS on, as most proxies do, shows nothing of its own.
#[test]
fn two_paths_to_one_certificate_rule_inspection_on_one_of_them_out() {
    if left_out_without(&["tinyproxy", "microsocks"]) {
        return;
    }
    let gateway = Gateway::start(Setup::default());
    let (http, socks) = (Upstream::tinyproxy(gateway.address.port()), Upstream::microsocks());
    let address = gateway.address.to_string();
    let paths = ["--other-path", &http.url, "--other-path", &socks.url];
    let ran = probe(&[&["srv10", "--gateway", &address, "--json"], &paths[..]].concat());
    assert_eq!(ran.exit_code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let lines = lines(&ran);
    assert!(rules_out(line(&lines, "verdict"), "tls-inspected"), "{lines:?}");
    let same: Vec<&Value> = lines.iter().filter(|line| line["id"] == "paths-same-certificate").collect();
    assert_eq!(same.len(), 2, "one for each path: {lines:?}");
    let probed = line(&lines, "probe");
    assert_eq!(probed["other_paths"]["plain"]["asked"], 1, "one look is enough: {probed}");
}

/// A server of Remote Desktop that shows `certificate` behind X.224; its address.
fn server(certificate: &'static Certificate) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                if stream.read(&mut [0; 256]).is_ok_and(|length| length > 0) {
                    // A probe leaves when it has seen enough.
                    let _ = stream.write_all(&connection_confirm(SSL));
                    let _ = TlsEnd::server(stream, &TLS12, certificate).handshake();
                }
            });
        }
    });
    address
}

#[test]
fn a_server_of_remote_desktop_is_compared_behind_x224() {
    let own = server(&certificates().signed);
    let of_box: &'static _ = Box::leak(Box::new(issued_by("Front Office Box CA", &NAMES)));
    let other = server(of_box).to_string();
    let ran = probe(&[&own.to_string(), "--other-path", &other, "--json"]);
    let lines = lines(&ran);
    let verdict = line(&lines, "verdict");
    assert_eq!((&verdict["id"], &verdict["phase"]), (&"tls-inspected".into(), &"tls".into()), "{verdict}");
    let same = probe(&[&own.to_string(), "--other-path", &own.ip().to_string(), "--json"]);
    assert!(same.stdout.contains("paths-same-certificate"), "{}", same.stdout);
}

#[test]
fn a_path_that_leads_nowhere_is_told_and_proves_nothing() {
    let gateway = Gateway::start(Setup::default());
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let url = format!("http://{}", nobody.local_addr().expect("it is bound"));
    drop(nobody);
    let address = gateway.address.to_string();
    let ran = probe(&["srv10", "--gateway", &address, "--other-path", &url, "--json"]);
    let lines = lines(&ran);
    let verdict = line(&lines, "verdict");
    assert_eq!(verdict["id"], "healthy", "{verdict}");
    assert!(!rules_out(verdict, "tls-inspected"), "{verdict}");
    let told = finding(&lines, "paths-not-compared");
    assert!(told.contains(&url) && told.contains("refused"), "{told}");
}

#[test]
fn paths_that_cannot_be_are_refused() {
    let refused = |arguments: &[&str], said: &str| {
        let ran = run(&[&["probe"], arguments].concat());
        assert_eq!(ran.exit_code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{said} is not in {}", ran.stderr);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    };
    refused(&["srv10", "--other-path", "srv11"], "is no other path");
    refused(&["srv10", "--other-path", "http://alice:hunter2@gate"], "password");
    refused(&["srv10", "srv11", "--other-path", "10.0.0.9"], "name only one target");
}
