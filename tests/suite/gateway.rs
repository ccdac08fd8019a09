//! `rdpscope proxy TARGET --gateway`: real clients through rdpscope and the tests' own gateway to a real server, and
//! scripted ones where no real client does what is to be seen.

use crate::support::certificates::certificates;
use crate::support::gateway::{Gateway, Setup, way};
use crate::support::left_out::left_out_without;
use crate::support::peers::{ClientRun, FreeRdp, Xfreerdp, Xrdp};
use crate::support::rdpscope::{Finished, Rdpscope, Session};
use crate::support::scripted::terminated::TlsEnd;
use crate::support::scripted::tls::Trust;
use crate::support::scripted::{Ends, listener};
use rustls::SupportedProtocolVersion;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};

mod as_http_proxy;
mod bad_input;
mod combined;
mod desktop;
mod desktop_of_freerdp_3_15;
mod flags;
mod grouping;
mod inner;
mod iron;
mod recycling;
mod relaying;
mod round_trips;
pub(crate) mod side_channel;
mod smart_card;

/// Transports, as FreeRDP is told of them.
const WEBSOCKET: &str = "http";
const TWO_CONNECTIONS: &str = "http,no-websockets";

/// Whether a client of this version and a server are missing.
fn left_out(version: FreeRdp) -> bool {
    left_out_without(&[&Xfreerdp::programs(version)[..], &["xrdp"]].concat())
}

/// Runs FreeRDP 2 with these arguments, beside those that all have.
fn client(server: SocketAddr, arguments: &str) -> ClientRun {
    let arguments: Vec<&str> = arguments.split(' ').chain(["/sec:tls", "/u:a", "/p:b"]).collect();
    let run = Xfreerdp::new(FreeRdp::Two, &arguments).run(server.port());
    println!("{}", run.summary());
    run
}

/// One attempt of FreeRDP 2 through a relay with `flags` and a gateway with `setup`.
fn attempt(setup: Setup<'_>, flags: &[&str], transport: &str) -> (ClientRun, Finished) {
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(setup);
    let relay = relay(xrdp.address, gateway.address, 1, flags);
    let run = client(xrdp.address, &way(relay.address, transport));
    (run, relay.finish())
}

/// A relay for so many attempts.
fn relay(target: SocketAddr, gateway: SocketAddr, sessions: usize, flags: &[&str]) -> Rdpscope {
    Rdpscope::start(target, sessions, &[&["--gateway", &gateway.to_string()], flags].concat())
}

/// A relay to a gateway that is played here; nobody asks it for a target.
fn scripted(sessions: usize, flags: &[&str]) -> (Rdpscope, TcpListener) {
    let listener = listener();
    let gateway = listener.local_addr().expect("a listener has an address");
    (relay(SocketAddr::from(([127, 0, 0, 1], 3389)), gateway, sessions, flags), listener)
}

/// One connection through it, both ends in TLS.
fn connection(
    relay: &Rdpscope,
    listener: &TcpListener,
    version: &'static SupportedProtocolVersion,
) -> (TlsEnd, TlsEnd) {
    let (client, server) = Ends::connect(relay.address, listener).into_streams();
    let mut client = TlsEnd::client(client, version, Trust::Anything);
    let mut server = TlsEnd::server(server, version, &certificates().signed);
    std::thread::scope(|scope| {
        let handshake = scope.spawn(|| server.handshake());
        client.handshake().expect("the client takes any certificate");
        handshake.join().expect("it does not panic").expect("rdpscope takes any certificate");
    });
    (client, server)
}

/// The numbers of the connections that a session tells of.
fn connections(session: &Session) -> BTreeSet<u64> {
    session.lines().iter().filter_map(|line| line["connection"].as_u64()).collect()
}
