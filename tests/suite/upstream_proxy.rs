//! Through somebody else's proxy: the real ones, and ones that refuse, are not there or speak something else.

use crate::support::certificates::certificates;
use crate::support::rdpscope::{Finished, Rdpscope};
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{HYBRID, SSL, connection_confirm, connection_request};
use crate::support::scripted::read_once;
use crate::support::scripted::tls::{Handshake, Trust};
use crate::support::scripted::{Conversation, Ends, listener};
#[cfg(target_os = "linux")]
use crate::support::{left_out::left_out_without, peers::Upstream};
use rustls::version::TLS12;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Longer than any step takes here.
const WITHIN: Duration = Duration::from_secs(20);

/// A handshake and something each way; the driver compares every byte.
fn conversation() -> Conversation {
    let mut handshake = Handshake::new(&TLS12, &certificates().signed, Trust::Authority);
    let agreed = Conversation::new().client(connection_request("alice", SSL)).server(connection_confirm(SSL));
    let flights = handshake.flights();
    let later = [
        handshake.application_data(Client, &[0x5a; 4000]),
        handshake.application_data(Server, &[0xa5; 3000]),
    ];
    agreed.send_all(flights).send_all(later).finish(Client).finish(Server)
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a listener has an address")
}

/// A client that asks for a connection and reads to the end of whatever comes.
fn attempt(rdpscope: Rdpscope) -> Finished {
    let mut client = TcpStream::connect(rdpscope.address).expect("it listens");
    client.set_read_timeout(Some(WITHIN)).expect("a socket takes its options");
    // Where it is cut at once the request may come too late.
    let _ = client.write_all(&connection_request("alice", SSL | HYBRID));
    // Reset or closed: what the client sees where there is no server is not the point here.
    let _ = client.read_to_end(&mut Vec::new());
    rdpscope.finish()
}

fn assert_not_opened(finished: &Finished, url: &str, reason: &str) {
    let session = finished.session();
    assert_eq!(finished.exit_code, Some(1), "{session}");
    let refused = session.event("upstream_proxy_refused");
    assert_eq!(refused["proxy"], url);
    let said = refused["reason"].as_str().unwrap_or_default();
    assert!(said.contains(reason), "{reason:?} is not in {said:?}");
    let summary = session.verdict()["summary"].as_str().unwrap_or_default();
    assert!(summary.contains("upstream proxy") && summary.contains(reason), "{summary}");
    assert_eq!(session.verdict()["phase"], "tcp", "{session}");
    assert_eq!(session.outcome_on("tcp", "server"), Some("failed"), "{session}");
    assert!(session.summary()["server"].is_null(), "{session}");
    assert!(session.events_named("connected").is_empty(), "the server was never asked:\n{session}");
    assert_eq!(session.end()["closed_by"], "proxy", "{session}");
}

#[cfg(target_os = "linux")]
fn through(upstream: &Upstream, listener: &TcpListener) {
    let rdpscope = Rdpscope::start(address(listener), 1, &["--upstream-proxy", &upstream.url]);
    conversation().play(Ends::connect(rdpscope.address, listener));
    let finished = rdpscope.finish();
    let session = finished.session();
    let opened = session.event("upstream_proxy_opened");
    assert_eq!(opened["proxy"], upstream.url);
    assert_eq!(opened["target"], address(listener).to_string());
    session.assert_reached(&["tcp", "x224", "tls"]);
    session.assert_end("client", "fin");
    assert!(finished.stderr.contains("no UDP goes through the upstream proxy"), "{}", finished.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn tinyproxy_opens_the_way() {
    if !left_out_without(&["tinyproxy"]) {
        let listener = listener();
        through(&Upstream::tinyproxy(address(&listener).port()), &listener);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn microsocks_opens_the_way() {
    if !left_out_without(&["microsocks"]) {
        through(&Upstream::microsocks(), &listener());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn tinyproxy_forbids_the_port() {
    if left_out_without(&["tinyproxy"]) {
        return;
    }
    let listener = listener();
    let upstream = Upstream::tinyproxy(443);
    let finished = attempt(Rdpscope::start(address(&listener), 1, &["--upstream-proxy", &upstream.url]));
    assert_not_opened(&finished, &upstream.url, "403");
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_listens_behind_microsocks() {
    if left_out_without(&["microsocks"]) {
        return;
    }
    let upstream = Upstream::microsocks();
    let nobody = address(&listener());
    let finished = attempt(Rdpscope::start(nobody, 1, &["--upstream-proxy", &upstream.url]));
    assert_not_opened(&finished, &upstream.url, "refused");
}

#[test]
fn the_proxy_is_not_there() {
    let nobody = address(&listener());
    let url = format!("http://{nobody}");
    let target = listener();
    let finished = attempt(Rdpscope::start(address(&target), 1, &["--upstream-proxy", &url]));
    let session = finished.session();
    assert_eq!(session.event("connect_failed")["address"], nobody.to_string());
    assert_not_opened(&finished, &url, "refused");
}

#[test]
fn the_proxys_name_has_no_address() {
    // No resolver asks anybody about a label as long as this.
    let host = format!("{}.invalid", "a".repeat(64));
    let url = format!("socks5://{host}:1080");
    let finished = attempt(Rdpscope::start(address(&listener()), 1, &["--upstream-proxy", &url]));
    assert_not_opened(&finished, &url, "does not resolve");
}

/// A proxy that takes whatever it is asked, says `answer` and hangs up.
fn answered(scheme: &str, answer: &[u8], reason: &str) {
    let proxy = listener();
    let url = format!("{scheme}://{}", address(&proxy));
    let target = listener();
    let rdpscope = Rdpscope::start(address(&target), 1, &["--upstream-proxy", &url]);
    let finished = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = proxy.accept().expect("rdpscope comes");
            let read = read_once(&mut stream, &mut [0; 1024]).expect("it asks");
            assert!(read > 0);
            stream.write_all(answer).expect("it is answered");
        });
        attempt(rdpscope)
    });
    assert_not_opened(&finished, &url, reason);
}

#[test]
fn the_proxy_speaks_something_else() {
    answered("http", b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "not HTTP");
    answered("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", "");
}

#[test]
fn the_proxy_asks_who_is_there() {
    let head = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\n\r\n";
    answered("http", head.as_bytes(), "407 Proxy Authentication Required");
    // No acceptable method (RFC 1928, section 3).
    answered("socks5", &[5, 0xff], "");
}

#[test]
fn the_proxy_hangs_up() {
    answered("http", b"HTTP/1.1 200", "it closed the connection");
    answered("socks5", &[5], "");
}
