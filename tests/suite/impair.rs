//! Connections that rdpscope makes worse on purpose: what each side sees of it, what the trace says, and that nobody else
//! is blamed.

use crate::support::certificates::certificates;
use crate::support::left_out::left_out_without;
use crate::support::oracles::Random;
use crate::support::peers::{FreeRdp, Xfreerdp, Xrdp};
use crate::support::rdpscope::{Finished, Rdpscope, Session, program};
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::terminated::{Inside, Received, Trial};
use crate::support::scripted::tls::{Handshake, Trust};
use crate::support::scripted::{Conversation, Ends, Next, listener, next, read_once};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Long enough for a byte to come over the loopback many times.
const NOTHING_COMES: Duration = Duration::from_millis(400);

/// Both sides have agreed on TLS.
fn agreed_on_tls() -> Conversation {
    Conversation::new().client(connection_request("alice", SSL)).server(connection_confirm(SSL))
}

fn in_tls(version: &'static SupportedProtocolVersion) -> Conversation {
    let mut handshake = Handshake::new(version, &certificates().signed, Trust::Anything);
    agreed_on_tls().send_all(handshake.flights())
}

/// A conversation that has been played, and what is left open of it.
struct Played {
    rdpscope: Rdpscope,
    client: TcpStream,
    server: TcpStream,
}

fn played(conversation: &Conversation, impairments: &[&str]) -> Played {
    let listener = listener();
    let target = listener.local_addr().expect("a listener has an address");
    let rdpscope = Rdpscope::start(target, 1, &flags(impairments));
    let ends = conversation.play_open(Ends::connect(rdpscope.address, &listener));
    let (client, server) = ends.into_streams();
    Played { rdpscope, client, server }
}

impl Played {
    fn finish(self) -> Finished {
        drop((self.client, self.server));
        self.rdpscope.finish()
    }
}

fn flags<'a>(impairments: &[&'a str]) -> Vec<&'a str> {
    impairments.iter().flat_map(|spec| ["--impair", spec]).collect()
}

/// How long a phase took, in microseconds.
fn took(session: &Session, phase: &str) -> u64 {
    let mut lines = session.lines().iter().filter(|line| line["type"] == "phase" && line["phase"] == phase);
    let line =
        lines.find(|line| line["leg"].is_null()).unwrap_or_else(|| panic!("no phase {phase}:\n{session}"));
    let at = |name: &str| line[name].as_u64().expect("a time");
    at("end_us") - at("start_us")
}

/// Effect and direction of everything that was done to the connection.
fn effects(session: &Session) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("both").to_owned();
    let events = session.events_named("impaired");
    events.iter().map(|event| (text(&event["effect"]), text(&event["direction"]))).collect()
}

fn assert_cut(finished: &Finished, expected: &[(&str, &str)]) {
    let session = finished.session();
    let mut seen = effects(session);
    seen.sort();
    let expected: Vec<_> =
        expected.iter().map(|(effect, way)| (effect.to_string(), way.to_string())).collect();
    assert_eq!(seen, expected, "{session}");
    session.assert_confirmed("client-closed");
    assert_eq!(finished.exit_code, Some(0), "no fault was found:\n{session}");
    assert!(session.verdict()["summary"].to_string().contains("--impair"), "{session}");
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..length).map(|_| random.below(256) as u8).collect()
}

fn nothing_comes(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(NOTHING_COMES)).expect("a socket takes its options");
    assert_eq!(next(stream), Next::Nothing);
}

/// Sends `bytes` and FIN, and meanwhile reads to the other side's end.
fn exchange(stream: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = (stream, stream);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        writer.write_all(bytes).expect("everything is sent");
        stream.shutdown(Shutdown::Write).expect("a direction is ended");
        reading.join().expect("the reader does not panic").expect("everything is received")
    })
}

mod shaped {
    use super::*;

    #[test]
    fn latency_is_in_the_phases_and_the_bytes_are_the_same() {
        let arguments = flags(&["latency=150ms", "jitter=20ms"]);
        let finished = in_tls(&TLS13).finish(Client).finish(Server).through_rdpscope_with(&arguments);
        let session = finished.session();
        session.assert_reached(&["tcp", "x224", "tls"]);
        // The answer is seen when it comes in: the way to the server is in it, and of TLS the ways of both.
        assert!(took(session, "x224") >= 150_000, "{session}");
        assert!(took(session, "tls") >= 300_000, "{session}");
        let settings = &session.lines()[0]["settings"]["impair"];
        assert_eq!(*settings, serde_json::json!(["latency=150ms", "jitter=20ms"]));
        assert_eq!(
            effects(session),
            [("shaped".to_owned(), "both".to_owned()), ("shaped".to_owned(), "both".to_owned())]
        );
    }

    #[test]
    fn latency_holds_for_the_end_of_the_stream_too() {
        let Played { rdpscope, client, mut server } = played(&agreed_on_tls(), &["up:latency=300ms"]);
        let asked = Instant::now();
        client.shutdown(Shutdown::Write).expect("a direction is ended");
        assert_eq!(next(&mut server), Next::End);
        assert!(asked.elapsed() >= Duration::from_millis(300));
        drop((client, server));
        rdpscope.finish().session().assert_end("client", "fin");
    }

    #[test]
    fn a_reset_comes_behind_what_was_on_its_way() {
        let Played { rdpscope, mut client, mut server } = played(&agreed_on_tls(), &["latency=200ms"]);
        client.write_all(b"last words").expect("it is sent");
        let mut seen = [0; 10];
        server.read_exact(&mut seen).expect("they arrive");
        crate::support::scripted::terminated::reset(client);
        assert_eq!(next(&mut server), Next::Reset);
        drop(server);
        rdpscope.finish().session().assert_end("client", "reset");
    }

    #[test]
    fn a_rate_is_kept_to() {
        let Played { rdpscope, client, server } = played(&Conversation::new(), &["down:rate=400kbit"]);
        let (up, down) = (noise(1, 100_000), noise(2, 50_000));
        let began = Instant::now();
        let (at_server, at_client) = std::thread::scope(|scope| {
            let at_server = scope.spawn(|| exchange(&server, &down));
            let at_client = exchange(&client, &up);
            (at_server.join().expect("the server does not panic"), at_client)
        });
        assert!(began.elapsed() >= Duration::from_secs(1), "50,000 bytes take a second");
        assert!(at_server == up && at_client == down, "what was sent is what arrives");
        drop((client, server));
        let finished = rdpscope.finish();
        assert_eq!(finished.session().end()["bytes_down"], 50_000);
    }

    #[test]
    fn much_arrives_in_its_order_whatever_the_jitter() {
        let played = played(&Conversation::new(), &["latency=20ms", "jitter=50ms", "rate=200mbit"]);
        let (up, down) = (noise(1, 3 << 20), noise(2, 3 << 20));
        let (at_server, at_client) = std::thread::scope(|scope| {
            let at_server = scope.spawn(|| exchange(&played.server, &down));
            let at_client = exchange(&played.client, &up);
            (at_server.join().expect("the server does not panic"), at_client)
        });
        assert!(at_server == up && at_client == down, "what was sent is what arrives");
        played.finish();
    }

    #[test]
    fn chunks_are_read_one_by_one() {
        let mut played = played(&Conversation::new(), &["chunk=7"]);
        let sent = noise(1, 50);
        for way in [Server, Client] {
            let (from, to) = match way {
                Server => (&mut played.client, &mut played.server),
                Client => (&mut played.server, &mut played.client),
            };
            from.write_all(&sent).expect("it is sent");
            let (mut received, mut ends, mut buffer) = (Vec::new(), Vec::new(), [0; 64]);
            while received.len() < sent.len() {
                let count = read_once(to, &mut buffer).expect("it arrives");
                received.extend_from_slice(&buffer[..count]);
                ends.push(received.len());
            }
            assert_eq!(received, sent);
            assert!(ends.iter().all(|end| end % 7 == 0 || *end == sent.len()), "{way:?}: {ends:?}");
            assert!(ends.len() >= 3, "a reader that keeps up meets them apart: {ends:?}");
        }
        played.finish();
    }

    #[test]
    fn segments_are_no_larger_than_was_asked() {
        let played = played(&in_tls(&TLS13), &["mss=600"]);
        let finished = played.finish();
        let session = finished.session();
        if cfg!(target_os = "linux") {
            let infos = session.events_named("tcp_info");
            assert_eq!(infos.len(), 2, "{session}");
            for info in infos {
                assert!(info["send_mss"].as_u64().is_some_and(|mss| mss <= 600), "{session}");
            }
        }
    }

    #[test]
    fn what_the_system_says_of_tcp_is_said_of_the_real_connections() {
        let finished = played(&in_tls(&TLS13), &["latency=10ms", "mss=600"]).finish();
        let session = finished.session();
        if cfg!(target_os = "linux") {
            let infos = session.events_named("tcp_info");
            assert_eq!(infos.len(), 2, "{session}");
            assert!(
                infos.iter().all(|it| it["send_mss"].as_u64().is_some_and(|mss| mss <= 600)),
                "{session}"
            );
        }
    }
}

mod cut {
    use super::*;

    #[test]
    fn nothing_passes_a_stall_while_the_connection_stays_open() {
        let mut played = played(&agreed_on_tls(), &["stall-after=x224"]);
        played.client.write_all(b"never seen").expect("it is sent");
        played.server.write_all(b"neither").expect("it is sent");
        nothing_comes(&mut played.server);
        nothing_comes(&mut played.client);
        played.client.shutdown(Shutdown::Write).expect("a direction is ended");
        assert_eq!(next(&mut played.server), Next::End, "a side that leaves is missed");
        let finished = played.finish();
        assert_cut(&finished, &[("stalled", "down"), ("stalled", "up")]);
        finished.session().assert_end("client", "fin");
    }

    #[test]
    fn a_stall_in_one_direction_leaves_the_other() {
        let mut played = played(&agreed_on_tls(), &["up:stall-after=x224"]);
        played.client.write_all(b"never seen").expect("it is sent");
        nothing_comes(&mut played.server);
        played.server.write_all(b"seen").expect("it is sent");
        let mut seen = [0; 4];
        played.client.read_exact(&mut seen).expect("it arrives");
        assert_eq!(&seen, b"seen");
        assert_cut(&played.finish(), &[("stalled", "up")]);
    }

    fn both_are_reset(conversation: &Conversation, spec: &str) {
        let mut played = played(conversation, &[spec]);
        assert_eq!((next(&mut played.client), next(&mut played.server)), (Next::Reset, Next::Reset));
        let finished = played.finish();
        assert_cut(&finished, &[("reset", "down"), ("reset", "up")]);
        finished.session().assert_end("proxy", "reset");
    }

    #[test]
    fn both_sides_are_reset_behind_the_phase() {
        both_are_reset(&agreed_on_tls(), "reset-after=x224");
        both_are_reset(&in_tls(&TLS12), "reset-after=tls");
    }

    #[test]
    fn both_sides_are_reset_behind_a_phase_that_is_only_inferred() {
        let mut flights = Handshake::new(&TLS13, &certificates().signed, Trust::Anything).flights();
        // Behind the client's last word of the handshake the server would send tickets.
        assert!(flights.pop().is_some_and(|(side, _)| side == Server));
        both_are_reset(&agreed_on_tls().send_all(flights), "reset-after=tls");
    }

    #[test]
    fn one_side_is_reset_and_the_other_hears_nothing() {
        let mut played = played(&agreed_on_tls(), &["up:reset-after=x224"]);
        assert_eq!(next(&mut played.server), Next::Reset);
        played.client.write_all(b"to nobody").expect("it is sent");
        nothing_comes(&mut played.client);
        let finished = played.finish();
        assert_cut(&finished, &[("reset", "up")]);
    }

    #[test]
    fn both_sides_are_sent_fin_behind_the_phase() {
        let mut played = played(&in_tls(&TLS12), &["close-after=tls"]);
        assert_eq!((next(&mut played.client), next(&mut played.server)), (Next::End, Next::End));
        let finished = played.finish();
        assert_cut(&finished, &[("closed", "down"), ("closed", "up")]);
        finished.session().assert_end("proxy", "fin");
    }

    #[test]
    fn a_direction_closes_behind_so_many_bytes() {
        let confirm = connection_confirm(SSL).len();
        let spec = format!("down:close-after={}", confirm + 5);
        let mut played = played(&agreed_on_tls(), &[&spec]);
        played.server.write_all(b"hello, you").expect("it is sent");
        let mut seen = Vec::new();
        played.client.read_to_end(&mut seen).expect("the end is a plain one");
        assert_eq!(seen, b"hello");
        assert_cut(&played.finish(), &[("closed", "down")]);
    }

    #[test]
    fn a_cut_that_did_not_come_about_is_told() {
        let mut played = played(&agreed_on_tls(), &["down:reset-after=mcs"]);
        played.client.shutdown(Shutdown::Write).expect("a direction is ended");
        assert_eq!(next(&mut played.server), Next::End);
        let finished = played.finish();
        let session = finished.session();
        assert!(effects(session).is_empty(), "{session}");
        assert_eq!(session.event("not_altered")["setting"], "--impair down:reset-after=mcs", "{session}");
        session.assert_end("client", "fin");
    }

    #[test]
    fn a_cut_waits_for_what_latency_holds() {
        let began = Instant::now();
        let mut played = played(&agreed_on_tls(), &["latency=200ms", "reset-after=x224"]);
        assert_eq!(next(&mut played.client), Next::Reset);
        assert!(began.elapsed() >= Duration::from_millis(400));
        let finished = played.finish();
        finished.session().assert_confirmed("client-closed");
    }
}

mod terminated {
    use super::*;

    fn inside(arguments: &[&str]) -> Inside {
        Trial::new(&flags(arguments)).negotiated(SSL).in_tls(&TLS13)
    }

    #[test]
    fn latency_rate_and_chunks_reach_the_handshakes_of_both_legs() {
        let began = Instant::now();
        let mut inside = inside(&["latency=100ms", "rate=1mbit", "chunk=500"]);
        assert!(began.elapsed() >= Duration::from_millis(400), "two ways of X.224, one of each handshake");
        let (up, down) = (noise(1, 20_000), noise(2, 20_000));
        inside.client.send(&up);
        assert!(inside.server.receive(up.len()) == up);
        inside.server.send(&down);
        assert!(inside.client.receive(down.len()) == down);
        inside.client.close_notify();
        assert_eq!(inside.server.next(), Received::CloseNotify);
        let finished = inside.finish();
        let session = finished.session();
        assert_eq!(session.outcome_on("tls", "server"), Some("ok"), "{session}");
        assert_eq!(session.outcome_on("tls", "client"), Some("ok"), "{session}");
        assert!(took(session, "x224") >= 100_000, "{session}");
    }

    #[test]
    fn a_stall_behind_the_handshake_holds_what_is_inside() {
        let mut inside = inside(&["up:stall-after=tls"]);
        inside.client.send(b"never seen");
        inside.server.send(b"seen");
        assert_eq!(inside.client.receive(4), b"seen");
        inside.client.finish();
        assert_eq!(inside.server.next(), Received::End, "nothing came before");
        assert_cut(&inside.finish(), &[("stalled", "up")]);
    }

    #[test]
    fn both_sides_are_reset_behind_the_handshake() {
        let finished = Trial::new(&flags(&["reset-after=tls"])).negotiated(SSL).reset_behind_tls(&TLS13);
        assert_cut(&finished, &[("reset", "down"), ("reset", "up")]);
    }
}

#[test]
fn a_real_session_comes_to_its_desktop_over_a_slow_line() {
    let version = FreeRdp::Three;
    if left_out_without(&[&Xfreerdp::programs(version)[..], &["xrdp"]].concat()) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    for more in [&[][..], &["--cert", "fresh"]] {
        let arguments = [&flags(&["latency=100ms", "rate=512kbit"]), more].concat();
        let rdpscope = Rdpscope::start(xrdp.address, 1, &arguments);
        let run =
            Xfreerdp::new(version, &["/sec:tls", "/u:test", "/p:Right-1234"]).run(rdpscope.address.port());
        let finished = rdpscope.finish();
        assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
        let session = finished.session();
        session.assert_reached(&["tcp", "x224", "tls"]);
        session.assert_verdict(&["healthy", "client-closed"]);
        assert!(took(session, "x224") >= 100_000, "{session}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_listened_to() {
    let refused: [(&[&str], &str); 5] = [
        (&["latency=soon"], "is no duration"),
        (&["sideways"], "is no impairment"),
        (&["stall-after=closed"], "after the phase closed"),
        (&["latency=1s", "up:latency=2s"], "leave one of them out"),
        (&["rate=10gbit", "latency=10s"], "lower the rate or the latency"),
    ];
    for (specs, said) in refused {
        let ran =
            program().args(["proxy", "srv10", "--no-trace"]).args(flags(specs)).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said) && ran.stdout.is_empty(), "{stderr}");
    }
}
