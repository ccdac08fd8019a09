//! Every byte and every ending arrives as it was sent, at once.

use super::{connection, relay, scripted};
use crate::support::certificates::certificates;
use crate::support::gateway::{Gateway, Setup};
use crate::support::scripted::terminated::{Received, TlsEnd};
use crate::support::scripted::tls::{Trust, client_config};
use crate::support::scripted::{Ends, Next, next};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// A head in which a proxy that tidies up would find much to do.
const HEAD: &[u8] =
    b"RDG_OUT_DATA /remoteDesktopGateway/?CorId=1 HTTP/1.1\r\nhOST:   gw.example \r\nrdg-CONNECTION-id: \
{EBB921D3-86CD-401F-8154-47360E45BF2F}\r\nAccept: */*\r\nAccept: text/html\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.0 200 Whatever It Is\r\nserver:x\r\nX-Odd :\t1\r\n\r\n";

#[test]
fn heads_and_bodies_pass_as_they_are_and_nothing_waits_for_the_rest() {
    let (relay, listener) = scripted(1, &[]);
    let (mut client, mut server) = connection(&relay, &listener, &TLS13);
    let (one, two) = HEAD.split_at(17);
    client.send(one);
    assert_eq!(server.receive(one.len()), one, "half a head");
    client.send(two);
    assert_eq!(server.receive(two.len()), two);
    for byte in [ANSWER, &[0xAB; 40]].concat() {
        server.send(&[byte]);
        assert_eq!(client.next(), Received::Record(vec![byte]), "before the next is sent");
    }
    let body = b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nthe beginning";
    client.send(body);
    assert_eq!(server.receive(body.len()), body);
    drop((client, server));
    let finished = relay.finish();
    let request = finished.session().events_named("http_request")[0];
    assert_eq!(request["headers"][0]["name"], "hOST", "{request}");
}

/// How a connection ends: who acts, and how.
#[derive(Debug, Clone, Copy)]
enum End {
    CloseNotify,
    Fin,
    Reset,
}

fn end(client_ends: bool, how: End) {
    let (relay, listener) = scripted(1, &[]);
    let (mut client, mut server) = connection(&relay, &listener, if client_ends { &TLS13 } else { &TLS12 });
    client.send(HEAD);
    assert_eq!(server.receive(HEAD.len()), HEAD);
    let (mut acting, mut seeing): (TlsEnd, TlsEnd) =
        if client_ends { (client, server) } else { (server, client) };
    let expected = match how {
        End::CloseNotify => {
            acting.close_notify();
            acting.finish();
            Received::CloseNotify
        }
        End::Fin => {
            acting.finish();
            Received::End
        }
        End::Reset => {
            acting.reset();
            assert_eq!(seeing.next(), Received::Reset, "{how:?}");
            return relay.finish().session().assert_end(side(client_ends), "reset");
        }
    };
    assert_eq!(seeing.next(), expected, "{how:?}");
    drop((acting, seeing));
    relay.finish().session().assert_end(side(client_ends), "fin");
}

fn side(is_client: bool) -> &'static str {
    if is_client { "client" } else { "server" }
}

#[test]
fn every_ending_arrives_as_it_was() {
    std::thread::scope(|scope| {
        for how in [End::CloseNotify, End::Fin, End::Reset] {
            for client_ends in [true, false] {
                scope.spawn(move || end(client_ends, how));
            }
        }
    });
}

#[test]
fn tls_that_passes_through_is_the_gateways_own() {
    let (relay, listener) = scripted(1, &["--cert", "passthrough"]);
    let (mut client, mut server) = connection(&relay, &listener, &TLS12);
    assert_eq!(client.peer_certificate(), certificates().signed.for_rustls().0[0].to_vec());
    client.send(HEAD);
    assert_eq!(server.receive(HEAD.len()), HEAD);
    server.reset();
    assert_eq!(client.next(), Received::Reset);
    let finished = relay.finish();
    finished.session().assert_reached(&["gateway-tcp", "gateway-tls"]);
    finished.session().assert_end("server", "reset");
    assert_eq!(finished.session().summary()["sni"], "localhost");
}

#[test]
fn a_gateway_that_is_not_there_is_told() {
    let (relay, listener) = scripted(1, &[]);
    drop(listener);
    let client = TcpStream::connect(relay.address).expect("rdpscope listens");
    let finished = relay.finish();
    drop(client);
    assert_eq!(finished.session().outcome("gateway-tcp"), Some("failed"), "{}", finished.session());
}

/// What is selected for a client that offers `protocols`.
fn selected(relay: SocketAddr, protocols: &[&str]) -> Option<Vec<u8>> {
    let mut config = ClientConfig::clone(&client_config(&TLS13, Trust::Anything));
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a valid name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client is made");
    let mut stream = StreamOwned::new(client, TcpStream::connect(relay).expect("rdpscope listens"));
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("the handshake is done");
    stream.conn.alpn_protocol().map(<[u8]>::to_vec)
}

#[test]
fn the_gateway_selects_the_protocol_and_nothing_is_invented() {
    let gateway = Gateway::start(Setup::default());
    let relay = relay(SocketAddr::from(([127, 0, 0, 1], 3389)), gateway.address, 1, &[]);
    assert_eq!(selected(relay.address, &["h2", "http/1.1"]).as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(selected(relay.address, &[]), None);
    relay.finish();
}

#[test]
fn a_client_that_leaves_in_the_handshake_is_one_attempt() {
    let (relay, listener) = scripted(1, &[]);
    let (mut client, mut server) = Ends::connect(relay.address, &listener).into_streams();
    client.write_all(&[0x16, 3, 1]).expect("what is sent is taken");
    drop(client);
    assert_eq!(next(&mut server), Next::End);
    drop(server);
    relay.finish().session().assert_end("client", "fin");
}
