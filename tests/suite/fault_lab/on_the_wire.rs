//! What lies between the two, written down on the wire where neither rdpscope nor a relay is: the faults that `on_the_way`
//! makes for a live session, and what `analyze` makes of them.

use super::Judged;
use super::on_the_way::{PATIENCE, SYNS, UNTIL_LOGON, messages};
use super::watched::{FORGOTTEN_AFTER, session_in_clear};
use crate::analyze::program::{Attempt, analyze};
use crate::network::{PATIENCE_WITH_TLS, PORT};
use crate::support::capturing::Capturing;
use crate::support::certificates::{certificates, issued_by};
use crate::support::netns::{CLIENT_V4, Network, SERVER_V4};
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{HYBRID, SSL, connection_confirm, connection_request};
use crate::support::scripted::tls::{Flights, Handshake, Trust};
use crate::support::scripted::udp::{UdpEnd, Version};
use crate::support::scripted::{Conversation, Ends, read_once};
use rdpscope::trace::{CaptureMessage, Detail, Record, Side};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// Names in a certificate that make it longer than one segment.
const MANY_NAMES: usize = 60;
/// Bytes in a full segment with time stamps.
const FULL_SEGMENT: usize = 1448;
/// Larger packets are lost right before the client: longer than an acknowledgment, shorter than a full segment.
const BLACK_HOLE: &str = "tcp sport 3389 meta length > 1300 drop";
/// What is seen behind it, with the 14 bytes of Ethernet.
const BEHIND_IT: &str = "not (tcp src port 3389 and greater 1315)";
/// How long a client waits for a server that answers nothing any more: until it has sent the same six times, and more.
const UNANSWERED: Duration = Duration::from_secs(15);

fn server() -> SocketAddr {
    format!("{SERVER_V4}:{PORT}").parse().expect("an address")
}

/// Two machines, and a capture at the client's end.
fn watched_at_client() -> Option<(Network, Capturing)> {
    let network = Network::new()?;
    let capturing = network.capture_at_client()?;
    Some((network, capturing))
}

/// The only attempt in a capture.
fn attempt(capturing: Capturing) -> Attempt {
    let run = capturing.finish(|file| analyze(&[file], &[]));
    let [_] = &run.attempts[..] else { panic!("one attempt: {run:#?}") };
    run.attempts.into_iter().next().expect("one attempt")
}

fn judged(attempt: &Attempt) -> Judged {
    let record: Record = attempt.observed.lines.iter().cloned().collect();
    Judged::of_record(&record)
}

fn connect(network: &Network, listener: &TcpListener) -> Ends {
    network.at_client(|| Ends::connect(server(), listener))
}

/// A client that dials, asks and waits, whatever the network makes of it.
pub(super) fn network(rule: &str) -> Option<Judged> {
    let (network, capturing) = watched_at_client()?;
    network.fault(rule);
    let _listener = network.listener();
    let connected = network.at_client(|| TcpStream::connect_timeout(&server(), PATIENCE));
    if let Ok(mut client) = connected {
        client.set_read_timeout(Some(PATIENCE)).expect("a socket takes its options");
        client.write_all(&connection_request("alice", SSL | HYBRID)).expect("it is connected");
        // An answer, a cut or nothing at all: the capture says which it was.
        let _ = read_once(&mut client, &mut [0; 64]);
    }
    Some(judged(&attempt(capturing)))
}

/// The same with a rule about the ClientHello, until the client gives up or is cut.
pub(super) fn network_in_tls(rule: &str) -> Option<Judged> {
    let (network, capturing) = watched_at_client()?;
    network.fault(rule);
    let (mut client, _server) = agreed_on_tls(&network, &network.listener());
    let hello = Handshake::new(&TLS13, &certificates().signed, Trust::Anything).client_hello();
    client.write_all(&hello).expect("the system takes it");
    // Silence or a cut, as the rule has it.
    let _ = read_once(&mut client, &mut [0; 64]);
    drop(client);
    Some(judged(&attempt(capturing)))
}

fn agreed_on_tls(network: &Network, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let agreed = Conversation::new().client(connection_request("alice", SSL)).server(connection_confirm(SSL));
    let (client, server) = agreed.play_open(connect(network, listener)).into_streams();
    client.set_read_timeout(Some(PATIENCE_WITH_TLS)).expect("a socket takes its options");
    (client, server)
}

/// A server whose certificate is longer than a segment, and a way that takes no full one.
fn black_hole(
    version: &'static SupportedProtocolVersion,
    capture: impl FnOnce(&Network) -> Option<Capturing>,
) -> Option<Attempt> {
    let network = Network::new()?;
    let capturing = capture(&network)?;
    let flights = long_flights(version);
    let (mut client, mut server) = agreed_on_tls(&network, &network.listener());
    network.fault_at_client(BLACK_HOLE);
    let [(_, hello), (_, answer), ..] = &flights[..] else { panic!("two flights") };
    client.write_all(hello).expect("the system takes it");
    server.read_exact(&mut vec![0; hello.len()]).expect("the ClientHello is small enough");
    server.write_all(answer).expect("the system takes it");
    read_once(&mut client, &mut [0; 64]).expect_err("what begins the answer never arrives");
    drop(client);
    Some(attempt(capturing))
}

fn behind_it(network: &Network) -> Option<Capturing> {
    network.capture_at_client_what(BEHIND_IT)
}

/// A handshake whose server answers with two full segments and a small one.
fn long_flights(version: &'static SupportedProtocolVersion) -> Flights {
    let mut names = vec!["localhost".to_owned()];
    loop {
        names.push(format!("srv{}.corp.example", names.len()));
        if names.len() < MANY_NAMES {
            continue;
        }
        let certificate = issued_by("corp", &names.iter().map(String::as_str).collect::<Vec<_>>());
        let flights = Handshake::new(version, &certificate, Trust::Anything).flights();
        let rest = flights[1].1.len().checked_sub(2 * FULL_SEGMENT);
        if rest.is_some_and(|rest| (100..1000).contains(&rest)) {
            return flights;
        }
    }
}

pub(super) fn large_segments_are_lost() -> Option<Judged> {
    Some(judged(&black_hole(&TLS12, behind_it)?))
}

#[test]
fn a_black_hole_is_seen_from_either_end_and_in_either_version() {
    for version in [&TLS12, &TLS13] {
        // Behind the hole the large segments are missing; where the server is, nobody takes them.
        let Some(attempt) = black_hole(version, behind_it) else { return };
        let verdict = attempt.verdict.as_ref().expect("a verdict");
        assert_eq!(attempt.judged(), "tls-stalled (likely)", "{verdict:#?}");
        assert!(
            verdict.summary.contains("never arrived") && verdict.summary.contains("path MTU"),
            "{verdict:#?}"
        );
        assert!(verdict.next.iter().any(|command| command.contains("--vary mss")), "{verdict:#?}");

        let attempt = black_hole(version, Network::capture_at_server).expect("as before");
        let verdict = attempt.verdict.as_ref().expect("a verdict");
        assert_eq!(attempt.judged(), "tls-stalled (likely)", "{verdict:#?}");
        assert!(verdict.summary.contains("again and again"), "{verdict:#?}");
    }
}

/// A session that works while the client's SYNs for UDP stay without an answer.
pub(super) fn session_without_udp() -> Option<Judged> {
    let (network, capturing) = watched_at_client()?;
    network.fault("udp dport 3389 drop");
    let _silent = network.at_server(|| UdpSocket::bind((SERVER_V4, PORT)).expect("nobody else is there"));
    let listener = network.listener();
    let ends = session_in_clear().play_open(connect(&network, &listener));
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let mut asking = UdpEnd::client(nobody.local_addr().expect("an address"), Version::Three);
    let socket = network.at_client(|| UdpSocket::bind((CLIENT_V4, 0)).expect("a port is free"));
    while asking.sent.len() < SYNS {
        asking.turn();
        if let Some(syn) = asking.sent.last() {
            socket.send_to(syn, server()).expect("a datagram is sent");
        }
    }
    Conversation::new().reset(Client).play(ends);
    Some(judged(&attempt(capturing)))
}

/// A session over a way that becomes `worse` once it is agreed on, which the client gives up before there is a desktop.
fn given_up(worse: impl FnOnce(&Network), rest: &Conversation) -> Option<Judged> {
    let (network, capturing) = watched_at_client()?;
    let listener = network.listener();
    let agreed = Conversation::new().client(connection_request("anna", 0)).server(connection_confirm(0));
    let ends = agreed.play_open(connect(&network, &listener));
    worse(&network);
    rest.play(ends);
    Some(judged(&attempt(capturing)))
}

/// Three of four packets to the server are lost.
pub(super) fn loses_packets() -> Option<Judged> {
    let lose = |network: &Network| network.fault("tcp dport 3389 numgen inc mod 4 > 0 drop");
    given_up(lose, &messages(UNTIL_LOGON).silence(PATIENCE).finish(Client))
}

/// A session in which nothing moves until a box on the way has forgotten it and answers with RST.
pub(super) fn forgotten() -> Option<Judged> {
    let (network, capturing) = watched_at_client()?;
    let listener = network.listener();
    session_in_clear().silence(FORGOTTEN_AFTER).reset(Server).play(connect(&network, &listener));
    Some(judged(&attempt(capturing)))
}

/// A session that a box on the way swallows from here on; the client types, and gives up after a while.
fn swallowed_after(quiet: Duration) -> Option<Attempt> {
    let (network, capturing) = watched_at_client()?;
    let listener = network.listener();
    let ends = session_in_clear().silence(quiet).play_open(connect(&network, &listener));
    network.fault("tcp dport 3389 drop");
    let (mut client, _server) = ends.into_streams();
    client.set_read_timeout(Some(UNANSWERED)).expect("a socket takes its options");
    // Fast-path input: one key (MS-RDPBCGR 2.2.8.1.2).
    client.write_all(&[0x04, 0x04, 0x00, 0x1e]).expect("the system takes it");
    read_once(&mut client, &mut [0; 64]).expect_err("nothing comes");
    drop(client);
    Some(attempt(capturing))
}

#[test]
fn a_session_that_is_swallowed_was_not_ended_by_its_client() {
    let Some(attempt) = swallowed_after(Duration::ZERO) else { return };
    let verdict = attempt.verdict.as_ref().expect("a verdict");
    assert_eq!(attempt.judged(), "server-closed (likely)", "{verdict:#?}");
    assert!(verdict.summary.contains("nothing new came from the server any more"), "{verdict:#?}");
    let end = attempt.json.last().expect("a last line");
    assert_eq!((&end["closed_by"], &end["how"]), (&"server".into(), &"timeout".into()));
    let unanswered = attempt.observed.events().find_map(|event| match &event.detail {
        Detail::Capture(CaptureMessage::TcpEvidence(evidence)) => evidence.unanswered,
        _ => None,
    });
    assert!(unanswered.is_some_and(|it| it.from == Side::Client && it.again >= 4), "{unanswered:?}");
}

#[test]
fn a_box_that_forgets_in_silence_is_told_by_what_is_sent_again() {
    let Some(attempt) = swallowed_after(FORGOTTEN_AFTER) else { return };
    let verdict = attempt.verdict.as_ref().expect("a verdict");
    assert_eq!(attempt.judged(), "idle-timeout (likely)", "{verdict:#?}");
    assert!(verdict.evidence.iter().any(|it| it.text.contains("times again")), "{verdict:#?}");
}
