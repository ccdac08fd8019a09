//! What lies between the two: side channels that are shut, addresses that do not answer, ways that lose packets, hold
//! them up or take only small ones.

use super::Judged;
use super::probed::{Serving, is_asked, run, settings};
use super::watched::session_in_clear;
use crate::cli::run_command;
use crate::network::{PORT, TARGET};
use crate::peers::left_out;
use crate::support::certificates::issued_by;
use crate::support::netns::{Network, SERVER_NAME, SERVER_V4};
use crate::support::peers::{Xrdp, free_port};
use crate::support::rdpscope::Rdpscope;
use crate::support::scripted::Side::Client;
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::rdp;
use crate::support::scripted::terminated::TlsEnd;
use crate::support::scripted::udp::{UdpEnd, Version};
use crate::support::scripted::{Conversation, Ends, listener};
use rdpscope::probe::Settings;
use rdpscope::relay::target::Target;
use rustls::version::TLS12;
use serde_json::Value;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// Sessions that a proxy between a probe and its server may serve: more than a probe has connections.
const ANY_NUMBER: usize = 1000;
/// How long a server that is busy takes for each answer.
const BUSY: Duration = Duration::from_millis(600);
/// SYNs without an answer that are more than one that is late.
pub(super) const SYNS: usize = 3;
/// Messages of the scripted session until the client has told who its user is; more come before the desktop.
pub(super) const UNTIL_LOGON: usize = 10;
/// The same until the last answer but one.
const UNTIL_FINALIZATION: usize = 17;
/// How long clients wait for a server: xfreerdp's time-out.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Agrees on TLS and shows a certificate in order, after `pause` each time.
fn in_order(pause: Duration) -> impl Fn(TcpStream) + Send + Sync {
    let certificate = issued_by("corp", &[SERVER_NAME]);
    move |mut stream| {
        // The slowness is the thing under test here, not a wait for something.
        let think = || std::thread::sleep(pause);
        if is_asked(&mut stream) {
            think();
            if stream.write_all(&connection_confirm(SSL)).is_ok() {
                think();
                // A probe leaves when it has seen enough.
                let _ = TlsEnd::server(stream, &TLS12, &certificate).handshake();
            }
        }
    }
}

/// A network with such a server on it.
fn with_server(rule: Option<&str>) -> Option<Network> {
    let network = Network::new()?;
    if let Some(rule) = rule {
        network.fault(rule);
    }
    Serving::start(network.listener(), in_order(Duration::ZERO));
    Some(network)
}

fn server() -> Target {
    Target { host: SERVER_V4.to_owned(), port: PORT }
}

/// Probes it from the other machine.
fn probed(network: &Network, settings: &Settings) -> Judged {
    network.at_client(|| run(&server(), settings))
}

/// Probes what is slow by itself, and slower still where this machine is busy.
fn slow(address: SocketAddr) -> Judged {
    let target = Target { host: address.ip().to_string(), port: address.port() };
    run(&target, &Settings { answer_timeout: PATIENCE, ..settings(None) })
}

pub(super) fn busy_server() -> Option<Judged> {
    Some(slow(Serving::start(listener(), in_order(BUSY)).address))
}

/// An xrdp at the end of a long way.
pub(super) fn long_way() -> Option<Judged> {
    if left_out(&[&["xrdp", "openssl"]]) {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let rdpscope = Rdpscope::start(xrdp.address, ANY_NUMBER, &["--impair", "latency=150ms"]);
    Some(slow(rdpscope.address))
}

pub(super) fn takes_only_small_segments() -> Option<Judged> {
    let network = with_server(Some("tcp dport 3389 meta length > 1300 drop"))?;
    Some(probed(&network, &settings(None)))
}

/// A name with two addresses, of which one has nobody listening or, with a rule, is silent.
pub(super) fn some_addresses(rule: Option<&str>) -> Option<Judged> {
    let network = with_server(rule)?;
    let mut command = network.rdpscope();
    command.args(["probe", "--json", "--no-udp", "--timeout", "2s", SERVER_NAME]);
    let ran = run_command(command);
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let verdict = lines.into_iter().find(|line| line["type"] == "verdict");
    Some(Judged::of_line(&verdict.unwrap_or_else(|| panic!("no verdict: {}", ran.stderr))))
}

fn with_udp() -> Settings {
    Settings { udp: true, ..settings(None) }
}

fn udp_socket(network: &Network) -> UdpSocket {
    network.at_server(|| UdpSocket::bind((SERVER_V4, PORT)).expect("nobody else is there"))
}

pub(super) fn udp_is_dropped() -> Option<Judged> {
    let network = with_server(Some("udp dport 3389 drop"))?;
    let _socket = udp_socket(&network);
    Some(probed(&network, &with_udp()))
}

/// Every SYN is answered, and nothing that comes after it.
pub(super) fn udp_is_half_open() -> Option<Judged> {
    let network = with_server(Some("udp dport 3389 @ih,0,32 != 0xffffffff drop"))?;
    let socket = udp_socket(&network);
    // It ends with the test's process.
    std::thread::spawn(move || answer_syns(&socket));
    Some(probed(&network, &with_udp()))
}

fn answer_syns(socket: &UdpSocket) {
    let mut datagram = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut datagram) {
        assert!(length > 12, "only SYNs come through");
        // SYN+ACK and SYNEX: acknowledges, window, flags, initial sequence number, both MTUs, version 2.
        let syn_ack = [0, 64, 0x10, 5, 0, 0, 0, 1, 4, 208, 4, 208, 0, 1, 0, 2];
        let syn_ack = [&datagram[8..12], &syn_ack].concat();
        socket.send_to(&syn_ack, from).expect("a datagram is sent");
    }
}

/// A session that works while the client's SYNs for UDP stay without an answer.
pub(super) fn session_without_udp() -> Option<Judged> {
    let (tcp, _socket) = tcp_and_silent_udp();
    let rdpscope = Rdpscope::start(tcp.local_addr().expect("an address"), 1, &[]);
    let ends = session_in_clear().play_open(Ends::connect(rdpscope.address, &tcp));
    let mut client = UdpEnd::client(rdpscope.address, Version::Three);
    while client.sent.len() < SYNS {
        client.turn();
    }
    Conversation::new().reset(Client).play(ends);
    Some(Judged::of_session(&rdpscope.finish()))
}

fn tcp_and_silent_udp() -> (TcpListener, UdpSocket) {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        // Another test may have the port for something.
        if let (Ok(tcp), Ok(udp)) = (TcpListener::bind(address), UdpSocket::bind(address)) {
            return (tcp, udp);
        }
    }
}

/// A session over a way that becomes `worse` once it is agreed on, which the client gives up before there is a desktop.
fn given_up(worse: impl FnOnce(&Network), rest: Conversation) -> Option<Judged> {
    let network = Network::new()?;
    let listener = network.listener();
    let rdpscope = network.start(TARGET);
    let agreed = Conversation::new().client(connection_request("anna", 0)).server(connection_confirm(0));
    let ends = agreed.play_open(network.connect_ends(&rdpscope, &listener));
    worse(&network);
    rest.finish(Client).play(ends);
    Some(Judged::of_session(&rdpscope.finish()))
}

/// What follows, up to so many messages.
pub(super) fn messages(count: usize) -> Conversation {
    Conversation::new().send_all(rdp::session(0, 0).into_iter().take(count))
}

/// Three of four packets to the server are lost.
pub(super) fn loses_packets() -> Option<Judged> {
    let lose = |network: &Network| network.fault("tcp dport 3389 numgen inc mod 4 > 0 drop");
    given_up(lose, messages(UNTIL_LOGON).silence(PATIENCE))
}

/// What the client's side sends waits for its turn.
pub(super) fn holds_up_packets() -> Option<Judged> {
    if left_out(&[&["tc"]]) {
        return None;
    }
    given_up(|network| network.narrow("1kbit"), messages(UNTIL_FINALIZATION))
}
