//! What is inside terminated TLS arrives as it was sent: every byte, every ending, one TSRequest in one record, with or
//! without X.224 before TLS.

use crate::support::certificates::certificates;
use crate::support::left_out::left_out_without;
use crate::support::oracles::Random;
use crate::support::process::Process;
use crate::support::rdpscope::{Finished, Rdpscope};
use crate::support::scripted::Side::{self, Client, Server};
use crate::support::scripted::bytes::{HYBRID, SSL, connection_confirm, connection_request};
use crate::support::scripted::terminated::{Inside, Received, TlsEnd, Trial};
use crate::support::scripted::tls::Trust;
use crate::support::scripted::{credssp, rdp};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

/// The most bytes of a side in random conversations: some turns of the relay.
const MOST_BYTES: usize = 400_000;
/// A TLS record holds no more.
const RECORD: usize = 16 * 1024;

fn inside(protocol: u32, version: &'static SupportedProtocolVersion) -> Inside {
    Trial::new(&[]).negotiated(protocol).in_tls(version)
}

/// Sends in pieces of random sizes.
fn send_in_pieces(end: &mut TlsEnd, bytes: &[u8], random: &mut Random) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = if random.below(4) == 0 { 10 } else { 3 * RECORD };
        let (piece, later) = rest.split_at((1 + random.below(most)).min(rest.len()));
        end.send(piece);
        rest = later;
    }
}

/// How a conversation ends after all has arrived.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Each says close_notify and sends FIN.
    CloseNotify,
    /// This side says close_notify, and only then the other sends its bytes.
    HalfClosed(Side),
    /// This side sends FIN without close_notify.
    Fin(Side),
    /// This side resets.
    Reset(Side),
}

/// One random conversation through the program.
fn converse(seed: u64, version: &'static SupportedProtocolVersion, end: End) {
    println!("seed {seed}, {version:?}, {end:?}");
    let mut random = Random::new(seed);
    let mut bytes = |most: usize| -> Vec<u8> {
        let length = random.below(most);
        (0..length).map(|_| random.below(256) as u8).collect()
    };
    // As the beginning of no TPKT and no TSRequest: everything is relayed all the same.
    let (up, down) = (bytes(MOST_BYTES), bytes(MOST_BYTES));
    let protocol = if seed.is_multiple_of(2) { SSL } else { HYBRID };
    let (rdpscope, mut client, mut server) = inside(protocol, version).apart();
    let (first, second) = match end {
        End::HalfClosed(Server) => ((Server, &down), (Client, &up)),
        _ => ((Client, &up), (Server, &down)),
    };
    let say = |(side, bytes): (Side, &Vec<u8>), client: &mut TlsEnd, server: &mut TlsEnd| {
        let (from, to) = if side == Client { (client, server) } else { (server, client) };
        let mut pieces = Random::new(seed + 1);
        let arrived = std::thread::scope(|scope| {
            let receiving = scope.spawn(|| to.receive(bytes.len()));
            send_in_pieces(from, bytes, &mut pieces);
            receiving.join().expect("it does not panic")
        });
        assert!(arrived == *bytes, "what {side:?} says arrives as it was said");
    };
    say(first, &mut client, &mut server);
    if let End::HalfClosed(side) = end {
        let (closing, seeing) = both(side, &mut client, &mut server);
        closing.close_notify();
        assert_eq!(seeing.next(), Received::CloseNotify);
    }
    say(second, &mut client, &mut server);
    match end {
        End::CloseNotify => {
            for side in [Client, Server] {
                let (closing, seeing) = both(side, &mut client, &mut server);
                closing.close_notify();
                closing.finish();
                assert_eq!(seeing.next(), Received::CloseNotify);
                assert_eq!(seeing.next_on_the_wire(), Received::End);
            }
        }
        End::HalfClosed(side) => {
            let (seeing, closing) = both(side, &mut client, &mut server);
            closing.close_notify();
            assert_eq!(seeing.next(), Received::CloseNotify);
        }
        End::Fin(side) => {
            let (closing, seeing) = both(side, &mut client, &mut server);
            closing.finish();
            assert_eq!(seeing.next(), Received::End, "FIN without close_notify");
        }
        End::Reset(Client) => {
            client.reset();
            assert_eq!(server.next(), Received::Reset);
            return assert_end(rdpscope, "client", "reset");
        }
        End::Reset(Server) => {
            server.reset();
            assert_eq!(client.next(), Received::Reset);
            return assert_end(rdpscope, "server", "reset");
        }
    }
    drop((client, server));
    let first = match end {
        End::HalfClosed(Server) | End::Fin(Server) => "server",
        _ => "client",
    };
    assert_end(rdpscope, first, "fin");
}

fn assert_end(rdpscope: Rdpscope, closed_by: &str, how: &str) {
    rdpscope.finish().session().assert_end(closed_by, how);
}

/// The end that acts, and the one that sees it.
fn both<'a>(
    acting: Side,
    client: &'a mut TlsEnd,
    server: &'a mut TlsEnd,
) -> (&'a mut TlsEnd, &'a mut TlsEnd) {
    if acting == Client { (client, server) } else { (server, client) }
}

#[test]
fn every_byte_and_every_ending_arrives_as_it_was() {
    let ends = [
        End::CloseNotify,
        End::HalfClosed(Client),
        End::HalfClosed(Server),
        End::Fin(Client),
        End::Fin(Server),
        End::Reset(Client),
        End::Reset(Server),
    ];
    for (seed, end) in ends.into_iter().cycle().take(2 * ends.len()).enumerate() {
        let version = if seed.is_multiple_of(3) { &TLS12 } else { &TLS13 };
        converse(seed as u64, version, end);
    }
}

mod records {
    use super::*;

    fn request(size: usize) -> Vec<u8> {
        credssp::ts_request(6, &[credssp::nego_token(&vec![0x5a; size])])
    }

    #[test]
    fn a_ts_request_in_three_records_arrives_in_one() {
        for version in [&TLS12, &TLS13] {
            let mut inside = inside(HYBRID, version);
            let request = request(900);
            let (one, rest) = request.split_at(1);
            let (two, three) = rest.split_at(500);
            inside.client.send(one);
            inside.client.send_records(&[two, three]);
            assert_eq!(inside.server.next(), Received::Record(request.clone()));
            // And of the server, all in one write.
            let (one, two) = request.split_at(3);
            inside.server.send_records(&[one, two]);
            assert_eq!(inside.client.next(), Received::Record(request));
            inside.finish();
        }
    }

    #[test]
    fn two_ts_requests_in_one_record_arrive_in_two() {
        let mut inside = inside(HYBRID, &TLS13);
        let (one, two) = (request(40), request(2000));
        inside.client.send(&[&one[..], &two].concat());
        assert_eq!(inside.server.next(), Received::Record(one));
        assert_eq!(inside.server.next(), Received::Record(two));
        let finished = inside.finish();
        assert_eq!(finished.session().events_named("ts_request").len(), 2, "{}", finished.session());
    }
}

mod broken {
    use super::*;

    /// These bytes of the client arrive as they are, and so does what it says next.
    fn arrives(protocol: u32, arguments: &[&str], bytes: &[u8]) -> Finished {
        let mut inside = Trial::new(arguments).negotiated(protocol).in_tls(&TLS13);
        for piece in [bytes, b"and more"] {
            inside.client.send(piece);
            assert!(inside.server.receive(piece.len()) == piece, "they arrive as they were sent");
        }
        inside.server.send(b"an answer");
        assert_eq!(inside.client.next(), Received::Record(b"an answer".to_vec()));
        let finished = inside.finish();
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        finished
    }

    #[test]
    fn a_ts_request_of_16_mib_is_relayed_and_not_waited_for() {
        let header = [0x30, 0x84, 1, 0, 0, 0, 0xa0, 3, 2, 1, 6];
        let mut inside = inside(HYBRID, &TLS13);
        let request = [&header[..], &vec![0x41; 16 * 1024 * 1024]].concat();
        for part in request.chunks(1024 * 1024) {
            let arrived = std::thread::scope(|scope| {
                let receiving = scope.spawn(|| inside.server.receive(part.len()));
                inside.client.send(part);
                receiving.join().expect("it does not panic")
            });
            assert!(arrived == part, "it arrives as it was sent");
        }
        let (rdpscope, client, server) = inside.apart();
        let peak = rdpscope.peak_memory();
        assert!(peak < 64 * 1024 * 1024, "{peak} bytes for a message that is never read to its end");
        drop((client, server));
        let finished = rdpscope.finish();
        let session = finished.session();
        let malformed = session.events_named("malformed");
        let of_the_client: Vec<_> = malformed.iter().filter(|event| event["from"] == "client").collect();
        assert_eq!(of_the_client.len(), 1, "{session}");
        assert_eq!(of_the_client[0]["structure"], "TSRequest", "{session}");
    }

    #[test]
    fn a_connect_initial_with_40_unknown_blocks_is_relayed_and_each_is_named() {
        let blocks: Vec<_> = (0..40).map(|number| rdp::block(0xc100 + number, &[7; 12])).collect();
        for arguments in [&[][..], &["--udp", "off"]] {
            let finished = arrives(SSL, arguments, &rdp::packet(&rdp::connect_initial_of(&blocks)));
            let session = finished.session();
            let text = session.event("connect_initial").to_string();
            assert!(text.contains("0xc127") || text.contains("49447"), "the last block is named: {text}");
        }
    }

    #[test]
    fn a_broken_tpkt_is_relayed_and_named() {
        for broken in [&[3, 0, 0, 3, 2, 0xf0, 0x80][..], &[3, 0, 0xff, 0xff, 9, 9], &[7; 40]] {
            for arguments in [&[][..], &["--udp", "off", "--nla", "strip"]] {
                let finished = arrives(SSL, arguments, broken);
                let session = finished.session();
                let named = ["malformed", "observation_stopped"];
                assert!(named.iter().any(|name| !session.events_named(name).is_empty()), "{session}");
            }
        }
    }
}

/// A server that leaves before the client has done its handshake: the client gets so far, and hears what it would hear.
#[test]
fn the_last_word_of_the_server_waits_for_the_client() {
    for version in [&TLS12, &TLS13] {
        let (rdpscope, _listener, client, server) = Trial::new(&[]).negotiated(SSL).apart();
        let mut client = TlsEnd::client(client, version, Trust::Anything);
        let mut server = TlsEnd::server(server, version, &certificates().signed);
        std::thread::scope(|scope| {
            let handshake = scope.spawn(|| {
                server.handshake().expect("rdpscope takes any certificate");
                server.send(b"last");
                server.close_notify();
                server.finish();
            });
            client.send_ahead(&[]);
            handshake.join().expect("it does not panic");
        });
        client.handshake().expect("the client takes any certificate");
        assert_eq!(client.next(), Received::Record(b"last".to_vec()));
        assert_eq!(client.next(), Received::CloseNotify);
        drop((client, server));
        assert_end(rdpscope, "server", "fin");
    }
}

/// A server that speaks first inside TLS, before the client has done its handshake.
#[test]
fn the_first_word_of_the_server_waits_for_the_client() {
    let (rdpscope, _listener, client, server) = Trial::new(&[]).negotiated(SSL).apart();
    let mut client = TlsEnd::client(client, &TLS13, Trust::Anything);
    let mut server = TlsEnd::server(server, &TLS13, &certificates().signed);
    std::thread::scope(|scope| {
        let handshake = scope.spawn(|| {
            server.handshake().expect("rdpscope takes any certificate");
            server.send(b"first");
        });
        client.send_ahead(&[]);
        handshake.join().expect("it does not panic");
    });
    client.handshake().expect("the client takes any certificate");
    assert_eq!(client.next(), Received::Record(b"first".to_vec()));
    client.send(b"second");
    assert_eq!(server.next(), Received::Record(b"second".to_vec()));
    drop((client, server));
    rdpscope.finish();
}

/// TLS from the first byte.
mod direct {
    use super::*;

    #[test]
    fn is_recognised_and_terminated() {
        for version in [&TLS12, &TLS13] {
            let mut inside = Trial::new(&[]).in_tls(version);
            inside.client.send(b"\x03\x00\x00\x07\x02\xf0\x80");
            inside.server.receive(7);
            let finished = inside.finish();
            let session = finished.session();
            session.event("direct_tls");
            session.event("certificate_presented");
            assert!(session.summary()["rtt_us"].is_u64(), "the way to the server is measured:\n{session}");
            assert_eq!(session.outcome_on("tls", "client"), Some("ok"), "{session}");
            assert_eq!(session.outcome_on("tls", "server"), Some("ok"), "{session}");
        }
    }

    #[test]
    fn x224_inside_is_followed() {
        let mut inside = Trial::new(&[]).in_tls(&TLS13);
        let negotiated =
            [(Client, connection_request("anna", 0)), (Server, connection_confirm(0))].into_iter();
        for (side, message) in negotiated.chain(rdp::session(0, 0)) {
            let (from, to) = both(side, &mut inside.client, &mut inside.server);
            from.send(&message);
            assert!(to.receive(message.len()) == message);
        }
        let finished = inside.finish();
        let session = finished.session();
        session.assert_events(&["direct_tls", "connection_request", "connection_confirm", "connect_initial"]);
        session.assert_reached(&["mcs", "channels"]);
    }
}

/// Peers that want to negotiate TLS 1.2 anew in the middle: they are told no, as TLS has a word for it.
mod renegotiation {
    use super::*;

    /// `openssl s_server` and `s_client` speak TLS from the first byte, and one of them is told by `command` to ask.
    fn refused(asks: Side, command: &str) {
        if left_out_without(&["openssl"]) {
            return;
        }
        let port = crate::support::peers::free_port();
        let certificate = &certificates().signed;
        let mut server = Command::new("timeout");
        server.args(["60", "openssl", "s_server", "-tls1_2", "-port", &port.to_string(), "-cert"]);
        server.arg(&certificate.certificate_file).arg("-key").arg(&certificate.key_file);
        let (server, mut server_input) = Process::spawn_with_input(server);
        server.output.wait_for(Duration::from_secs(30), |line| line.contains("ACCEPT")).expect("it listens");
        let key = certificate.key_file.to_string_lossy().into_owned();
        let target = (Ipv4Addr::LOCALHOST, port).into();
        let rdpscope = Rdpscope::start(target, 1, &["--cert", "fresh", "--renew-with", &key]);
        let mut client = Command::new("timeout");
        let address = rdpscope.address.to_string();
        client.args(["60", "openssl", "s_client", "-tls1_2", "-connect", &address]);
        let (client, mut client_input) = Process::spawn_with_input(client);
        let within = Duration::from_secs(20);
        client.output.wait_for(within, |line| line.trim().starts_with("Verify return")).expect("TLS stands");
        let (asking, input) =
            if asks == Client { (&client, &mut client_input) } else { (&server, &mut server_input) };
        input.write_all(command.as_bytes()).expect("a command is taken");
        let refused = asking.output.wait_for(within, |line| line.contains("no renegotiation"));
        assert!(refused.is_some(), "it is told that there is none:\n{}", asking.output.tail());
        drop((client, server, client_input, server_input));
        let finished = rdpscope.finish();
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        assert_eq!(finished.session().outcome_on("tls", "client"), Some("ok"), "{}", finished.session());
    }

    #[test]
    fn of_the_client() {
        refused(Client, "R\n");
    }

    #[test]
    fn of_the_server() {
        refused(Server, "r\n");
    }
}
