//! Terminated TLS with peers that break off, break the protocol or do things in another order.

use crate::support::certificates::certificates;
use crate::support::rdpscope::{Finished, Session};
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{
    HYBRID, SSL, connection_confirm, connection_request, fatal_alert, negotiation_failure,
};
use crate::support::scripted::terminated::{Received, TlsEnd, Trial, expect, pass, reset};
use crate::support::scripted::tls::{Handshake, Trust};
use crate::support::scripted::{Next, next, rdp};
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

/// No RDP, and no TLS either.
const GARBAGE: &[u8] = b"\xde\xad\xbe\xefcanary-Right-1234-in-garbage";

/// The first flight of a TLS 1.3 client.
fn client_hello() -> Vec<u8> {
    Handshake::new(&TLS13, &certificates().signed, Trust::Anything).client_hello()
}

/// A session in which the client has sent its ClientHello and the server has received the one of rdpscope.
fn at_the_server() -> Trial {
    let mut trial = Trial::new(&[]).negotiated(SSL);
    trial.client.write_all(&client_hello()).expect("the hello is taken");
    read_record(&mut trial.server);
    trial
}

/// One TLS record.
fn read_record(stream: &mut TcpStream) -> Vec<u8> {
    let mut record = vec![0; 5];
    stream.read_exact(&mut record).expect("a record comes");
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(5 + length, 0);
    stream.read_exact(&mut record[5..]).expect("it is whole");
    record
}

fn altered(session: &Session) -> Vec<&str> {
    let lines = session.lines().iter().filter(|line| line["type"] == "altered");
    lines.map(|line| line["field"].as_str().unwrap_or_default()).collect()
}

/// The server leaves instead of answering the ClientHello.
mod server_in_the_handshake {
    use super::*;

    #[test]
    fn an_alert_reaches_the_client() {
        // The client offers nothing older than TLS 1.3, for which no second TLS stack is asked.
        for description in [40, 70, 80] {
            let mut trial = at_the_server();
            trial.server.write_all(&fatal_alert(description)).expect("the alert is taken");
            expect(&mut trial.client, &fatal_alert(description));
            assert_eq!(next(&mut trial.client), Next::End);
            let finished = trial.finish();
            let session = finished.session();
            let alerts = session.events_named("alert");
            assert!(alerts.iter().any(|alert| alert["description"] == description), "{session}");
            assert_eq!(session.outcome_on("tls", "server"), Some("failed"), "{session}");
        }
    }

    #[test]
    fn fin_and_reset_arrive_as_such() {
        for (is_reset, how, ending) in [(false, "fin", Next::End), (true, "reset", Next::Reset)] {
            let trial = at_the_server();
            let (rdpscope, _listener, mut client, server) = trial.apart();
            if is_reset {
                reset(server);
            } else {
                drop(server);
            }
            assert_eq!(next(&mut client), ending);
            drop(client);
            let finished = rdpscope.finish();
            finished.session().assert_end("server", how);
            assert_eq!(finished.exit_code, Some(1), "{}", finished.stderr);
        }
    }

    #[test]
    fn garbage_in_the_place_of_a_server_hello_is_named() {
        let mut trial = at_the_server();
        trial.server.write_all(GARBAGE).expect("garbage is taken");
        assert_eq!(next(&mut trial.client), Next::End);
        let finished = trial.finish();
        let session = finished.session();
        let malformed = session.events_named("malformed");
        assert!(malformed.iter().any(|event| event["from"] == "server"), "{session}");
        assert!(session.events_named("termination_failed").is_empty(), "it is not rdpscope's:\n{session}");
        assert_eq!(finished.exit_code, Some(1), "{}", finished.stderr);
        finished.assert_nowhere("Right-1234");
    }

    #[test]
    fn a_client_that_gives_up_a_silent_server_is_seen_to_leave() {
        for is_reset in [false, true] {
            let (rdpscope, _listener, client, mut server) = at_the_server().apart();
            let how = if is_reset { "reset" } else { "fin" };
            if is_reset {
                reset(client);
            } else {
                drop(client);
            }
            let ending = next(&mut server);
            assert_eq!(ending, if is_reset { Next::Reset } else { Next::End });
            drop(server);
            rdpscope.finish().session().assert_end("client", how);
        }
    }

    #[test]
    fn a_client_that_says_why_it_gives_up_is_seen_to_leave() {
        const USER_CANCELED: u8 = 90;
        let (rdpscope, _listener, mut client, mut server) = at_the_server().apart();
        client.write_all(&fatal_alert(USER_CANCELED)).expect("the alert is taken");
        drop(client);
        assert_eq!(next(&mut server), Next::End);
        drop(server);
        let finished = rdpscope.finish();
        let session = finished.session();
        assert_eq!(session.event("alert")["description"], USER_CANCELED, "{session}");
        session.assert_end("client", "alert");
    }

    /// Behind the confirm, in the same segment or later.
    #[test]
    fn an_alert_before_the_client_hello_reaches_the_client() {
        for is_later in [false, true] {
            let mut trial = Trial::new(&[]);
            pass(&mut trial.client, &mut trial.server, &connection_request("anna", SSL));
            let (confirm, alert) = (connection_confirm(SSL), fatal_alert(80));
            if is_later {
                pass(&mut trial.server, &mut trial.client, &confirm);
                trial.server.write_all(&alert).expect("the alert is taken");
            } else {
                trial.server.write_all(&[&confirm[..], &alert].concat()).expect("both are taken");
                expect(&mut trial.client, &confirm);
            }
            let (rdpscope, _listener, mut client, server) = trial.apart();
            drop(server);
            expect(&mut client, &alert);
            assert_eq!(next(&mut client), Next::End);
            drop(client);
            let finished = rdpscope.finish();
            let session = finished.session();
            assert_eq!(session.event("alert")["description"], 80, "{session}");
            session.assert_end("server", "alert");
        }
    }
}

mod negotiation {
    use super::*;

    #[test]
    fn a_refusal_arrives_as_it_is() {
        let mut trial = Trial::new(&[]);
        let (request, failure) = (connection_request("anna", SSL), negotiation_failure(2));
        pass(&mut trial.client, &mut trial.server, &request);
        pass(&mut trial.server, &mut trial.client, &failure);
        let (rdpscope, _listener, mut client, server) = trial.apart();
        drop(server);
        assert_eq!(next(&mut client), Next::End);
        drop(client);
        let finished = rdpscope.finish();
        finished.session().assert_confirmed("tls-refused-by-server");
        finished.session().assert_end("server", "fin");
    }

    #[test]
    fn a_session_in_clear_goes_on_byte_for_byte() {
        let mut trial = Trial::new(&[]).negotiated(0);
        for (side, message) in rdp::session(0, 0) {
            match side {
                Client => pass(&mut trial.client, &mut trial.server, &message),
                Server => pass(&mut trial.server, &mut trial.client, &message),
            }
        }
        let finished = trial.finish();
        let session = finished.session();
        session.assert_reached(&["mcs", "channels"]);
        assert!(altered(session).is_empty(), "{session}");
    }

    #[test]
    fn a_session_in_clear_is_altered_where_that_is_asked_for() {
        let mut trial = Trial::new(&["--nla", "strip", "--udp", "off"]);
        trial.client.write_all(&connection_request("anna", SSL | HYBRID)).expect("the request is taken");
        expect(&mut trial.server, &connection_request("anna", SSL));
        pass(&mut trial.server, &mut trial.client, &connection_confirm(0));
        let session = rdp::session(0, 0);
        let (_, initial) = &session[0];
        trial.client.write_all(initial).expect("Connect Initial is taken");
        let mut arrived = vec![0; initial.len()];
        trial.server.read_exact(&mut arrived).expect("Connect Initial arrives");
        let differing = arrived.iter().zip(initial).filter(|(one, other)| one != other).count();
        assert_eq!(differing, 2, "the two bytes of CS_MULTITRANSPORT's flags");
        for (side, message) in &session[2..] {
            match side {
                Client => pass(&mut trial.client, &mut trial.server, message),
                Server => {
                    // The Connect Response was not sent here, and the gate goes on waiting for it: bytes pass.
                    pass(&mut trial.server, &mut trial.client, message);
                }
            }
        }
        let finished = trial.finish();
        assert_eq!(altered(finished.session()), ["requestedProtocols", "flags"], "{}", finished.session());
    }

    #[test]
    fn a_client_hello_together_with_the_request_waits_for_the_confirm() {
        let mut trial = Trial::new(&[]);
        let mut client =
            TlsEnd::client(trial.client.try_clone().expect("a socket is cloned"), &TLS13, Trust::Anything);
        client.send_ahead(&connection_request("anna", SSL));
        expect(&mut trial.server, &connection_request("anna", SSL));
        trial.server.write_all(&connection_confirm(SSL)).expect("the confirm is taken");
        let mut server = TlsEnd::server(
            trial.server.try_clone().expect("a socket is cloned"),
            &TLS13,
            &certificates().signed,
        );
        expect(&mut trial.client, &connection_confirm(SSL));
        std::thread::scope(|scope| {
            let handshake = scope.spawn(|| server.handshake());
            client.handshake().expect("the client takes any certificate");
            handshake.join().expect("it does not panic").expect("rdpscope takes any certificate");
        });
        client.send(b"early");
        assert_eq!(server.next(), Received::Record(b"early".to_vec()));
        drop((client, server));
        trial.finish().session().assert_events(&["connection_request", "connection_confirm", "client_hello"]);
    }
}

/// What the client does where its ClientHello is due, and behind it.
mod client {
    use super::*;

    /// Sends `bytes` and ends, by RST where that is wanted; answers with what is left behind.
    fn leaving_after(bytes: &[u8], is_reset: bool) -> Finished {
        let (rdpscope, _listener, mut client, mut server) = Trial::new(&[]).negotiated(SSL).apart();
        client.write_all(bytes).expect("bytes are taken");
        if is_reset {
            // A reset that overtakes its bytes would be another case.
            let _ = client.shutdown(Shutdown::Read);
            reset(client);
        } else {
            drop(client);
        }
        let ending = next(&mut server);
        assert_eq!(ending, if is_reset { Next::Reset } else { Next::End }, "{is_reset} after {bytes:?}");
        drop(server);
        rdpscope.finish()
    }

    #[test]
    fn leaves_without_a_client_hello() {
        leaving_after(&[], false).session().assert_end("client", "fin");
        leaving_after(&[], true).session().assert_end("client", "reset");
    }

    #[test]
    fn leaves_in_the_middle_of_its_client_hello() {
        let hello = client_hello();
        let finished = leaving_after(&hello[..hello.len() / 2], false);
        finished.session().assert_end("client", "fin");
        assert!(finished.session().events_named("termination_failed").is_empty(), "{}", finished.session());
    }

    #[test]
    fn sends_garbage_instead_of_tls() {
        let (rdpscope, _listener, mut client, mut server) = Trial::new(&[]).negotiated(SSL).apart();
        client.write_all(GARBAGE).expect("garbage is taken");
        assert_eq!(next(&mut client), Next::End);
        assert_eq!(next(&mut server), Next::End);
        drop((client, server));
        let finished = rdpscope.finish();
        let session = finished.session();
        assert!(session.events_named("malformed").iter().any(|event| event["from"] == "client"), "{session}");
        assert!(session.events_named("termination_failed").is_empty(), "{session}");
        finished.assert_nowhere("Right-1234");
    }

    #[test]
    fn sends_an_alert_instead_of_a_client_hello() {
        let (rdpscope, _listener, mut client, mut server) = Trial::new(&[]).negotiated(SSL).apart();
        client.write_all(&fatal_alert(80)).expect("the alert is taken");
        assert_eq!(next(&mut server), Next::End);
        drop((client, server));
        let finished = rdpscope.finish();
        finished.session().assert_end("client", "alert");
    }

    #[test]
    fn closes_right_after_the_handshake() {
        let (rdpscope, mut client, mut server) = Trial::new(&[]).negotiated(SSL).in_tls(&TLS13).apart();
        client.close_notify();
        client.finish();
        assert_eq!(server.next(), Received::CloseNotify);
        server.close_notify();
        server.finish();
        assert_eq!(client.next(), Received::CloseNotify);
        drop((client, server));
        let finished = rdpscope.finish();
        let session = finished.session();
        session.assert_end("client", "fin");
        assert_eq!(session.outcome_on("tls", "client"), Some("ok"), "{session}");
    }

    /// Where the client has got no further than the ServerHello of rdpscope.
    #[test]
    fn hears_of_a_reset_by_the_server_in_its_handshake() {
        for version in [&TLS12, &TLS13] {
            let (rdpscope, _listener, mut client, server) = Trial::new(&[]).negotiated(SSL).apart();
            let mut server = TlsEnd::server(server, version, &certificates().signed);
            let hello = Handshake::new(version, &certificates().signed, Trust::Anything).client_hello();
            client.write_all(&hello).expect("the hello is taken");
            server.handshake().expect("rdpscope takes any certificate");
            read_record(&mut client);
            server.reset();
            loop {
                match next(&mut client) {
                    Next::Byte(_) => {}
                    ending => break assert_eq!(ending, Next::Reset),
                }
            }
            drop(client);
            rdpscope.finish().session().assert_end("server", "reset");
        }
    }

    /// In TLS 1.3 the client's alert is encrypted: only those who terminate it can read it.
    #[test]
    fn says_in_tls_that_it_does_not_know_the_issuer() {
        for version in [&TLS12, &TLS13] {
            let (rdpscope, _listener, client, server) = Trial::new(&[]).negotiated(SSL).apart();
            let mut client = TlsEnd::client(client, version, Trust::Authority);
            let mut server = TlsEnd::server(server, version, &certificates().signed);
            std::thread::scope(|scope| {
                let handshake = scope.spawn(|| server.handshake());
                client.handshake().expect_err("the session CA is not trusted");
                handshake.join().expect("it does not panic").expect("rdpscope takes any certificate");
            });
            drop(client);
            assert_eq!(server.next(), Received::CloseNotify);
            drop(server);
            let finished = rdpscope.finish();
            let session = finished.session();
            let alert = session.event("alert");
            assert_eq!((&alert["description"], &alert["from"]), (&48.into(), &"client".into()), "{session}");
            session.assert_end("client", "alert");
            session.assert_verdict(&["certificate-untrusted"]);
        }
    }
}
