//! Scripted conversations through the built program: what it names, what it concludes, and that it changes nothing.

use crate::support::certificates::certificates;
use crate::support::rdpscope::Rdpscope;
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{
    HYBRID, SSL, connection_confirm, connection_request, fatal_alert, negotiation_failure, preconnection_pdu,
};
use crate::support::scripted::tls::{Flights, Handshake, Trust};
use crate::support::scripted::{Conversation, Ends, listener};
use rdpscope_certs::load::certificate_pem;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What a client that can do everything asks for first.
fn request() -> Vec<u8> {
    connection_request("alice", SSL | HYBRID)
}

/// A client that offers too little for a server that refuses with `code`.
fn refused_with(code: u32) -> Conversation {
    const SSL_REQUIRED_BY_SERVER: u32 = 1;
    let offered = if code == SSL_REQUIRED_BY_SERVER { 0 } else { SSL };
    let request = connection_request("alice", offered);
    Conversation::new().client(request).server(negotiation_failure(code)).finish(Server)
}

/// Both sides have agreed on TLS.
fn agreed_on_tls() -> Conversation {
    Conversation::new().client(connection_request("alice", SSL)).server(connection_confirm(SSL))
}

/// The first flight of a TLS 1.3 client.
fn client_hello() -> Vec<u8> {
    Handshake::new(&TLS13, &certificates().signed, Trust::Anything).client_hello()
}

mod x224 {
    use super::*;

    fn failure(code: u32, verdict: &str) {
        let finished = refused_with(code).through_rdpscope();
        let session = finished.session();
        session.assert_events(&["connection_request", "negotiation_failure"]);
        session.assert_confirmed(verdict);
        session.assert_end("server", "fin");
        assert_eq!(session.verdict()["phase"], "x224", "{session}");
        assert_eq!(session.outcome("x224"), Some("failed"), "{session}");
        assert_eq!(session.summary()["failure_code"], code, "{session}");
        assert_eq!(finished.exit_code, Some(1), "a fault was found");
    }

    #[test]
    fn failure_1_is_tls_required() {
        failure(1, "tls-required");
    }

    #[test]
    fn failure_2_is_tls_refused_by_server() {
        failure(2, "tls-refused-by-server");
    }

    #[test]
    fn failure_3_is_server_certificate_missing() {
        failure(3, "server-certificate-missing");
    }

    #[test]
    fn failure_4_is_inconsistent_flags() {
        failure(4, "inconsistent-flags");
    }

    #[test]
    fn failure_5_is_nla_required() {
        failure(5, "nla-required");
    }

    #[test]
    fn failure_6_is_client_certificate_required() {
        failure(6, "client-certificate-required");
    }

    #[test]
    fn the_request_is_written_down() {
        let finished = Conversation::new().client(request()).server(negotiation_failure(5)).finish(Server);
        let finished = finished.through_rdpscope();
        let summary = finished.session().summary();
        assert_eq!(summary["requested_protocols"], serde_json::json!(["SSL", "HYBRID"]));
        assert_eq!(summary["cookie"], "alice");
        assert_eq!(summary["bytes_up"], request().len());
        assert_eq!(summary["bytes_down"], negotiation_failure(5).len());
    }

    #[test]
    fn a_preconnection_pdu_comes_before_the_request() {
        let conversation = Conversation::new().client(preconnection_pdu(7, "a virtual machine"));
        let request = connection_request("alice", SSL);
        let finished =
            conversation.client(request).server(negotiation_failure(5)).finish(Server).through_rdpscope();
        let session = finished.session();
        session.assert_events(&["preconnection_pdu", "connection_request", "negotiation_failure"]);
        session.assert_confirmed("nla-required");
    }

    #[test]
    fn a_client_that_wants_nla_leaves_a_server_that_offers_less() {
        let conversation = Conversation::new().client(connection_request("alice", HYBRID));
        let finished = conversation.server(connection_confirm(SSL)).finish(Client).through_rdpscope();
        let session = finished.session();
        session.assert_events(&["connection_request", "connection_confirm"]);
        session.assert_verdict(&["nla-not-offered"]);
        session.assert_end("client", "fin");
    }
}

mod not_rdp {
    use super::*;

    fn other_protocol(conversation: Conversation) {
        let finished = conversation.finish(Server).through_rdpscope();
        let session = finished.session();
        session.assert_events(&["other_protocol"]);
        session.assert_verdict(&["not-rdp"]);
        assert_eq!(finished.exit_code, Some(1), "a fault was found");
    }

    #[test]
    fn a_web_server_answers() {
        other_protocol(Conversation::new().client(request()).server(*b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    }

    #[test]
    fn an_ssh_server_speaks_first() {
        other_protocol(Conversation::new().server(*b"SSH-2.0-OpenSSH_9.2p1\r\n").client(request()));
    }

    #[test]
    fn garbage_answers() {
        other_protocol(
            Conversation::new().client(request()).server([0xde, 0xad, 0xbe, 0xef, 0x00, 0x01, 0x02]),
        );
    }
}

mod endings {
    use super::*;

    /// Longer than anybody takes to answer a negotiation on the loopback.
    const SILENCE: Duration = Duration::from_secs(6);

    #[test]
    fn the_server_never_answers() {
        let finished =
            Conversation::new().client(request()).silence(SILENCE).finish(Client).through_rdpscope();
        let session = finished.session();
        session.assert_verdict(&["rdp-silent"]);
        assert_eq!(session.verdict()["phase"], "x224", "{session}");
        session.assert_end("client", "fin");
    }

    #[test]
    fn a_client_that_goes_away_at_once_is_no_fault_of_the_server() {
        let finished = Conversation::new().finish(Client).through_rdpscope();
        let session = finished.session();
        session.assert_verdict(&["client-closed"]);
        session.assert_end("client", "fin");
    }

    #[test]
    fn a_half_closed_client_still_receives() {
        let conversation = agreed_on_tls().finish(Client).server(*b"said after the client's end");
        let finished = conversation.finish(Server).through_rdpscope();
        finished.session().assert_end("client", "fin");
    }

    #[test]
    fn a_half_closed_server_still_receives() {
        let conversation = agreed_on_tls().finish(Server).client(*b"said after the server's end");
        let finished = conversation.finish(Client).through_rdpscope();
        finished.session().assert_end("server", "fin");
    }

    #[test]
    fn a_reset_by_the_client_reaches_the_server() {
        let finished = agreed_on_tls().reset(Client).through_rdpscope();
        finished.session().assert_end("client", "reset");
    }

    #[test]
    fn a_reset_by_the_server_reaches_the_client() {
        let finished = agreed_on_tls().reset(Server).through_rdpscope();
        finished.session().assert_end("server", "reset");
    }

    #[test]
    fn a_reset_before_the_answer_names_the_server() {
        let finished = Conversation::new().client(request()).reset(Server).through_rdpscope();
        let session = finished.session();
        session.assert_verdict(&["server-closed", "tcp-reset"]);
        session.assert_end("server", "reset");
    }
}

mod tls {
    use super::*;

    fn server_alert(description: u8, verdicts: &[&str]) {
        let conversation = agreed_on_tls().client(client_hello()).server(fatal_alert(description));
        let finished = conversation.finish(Server).through_rdpscope();
        let session = finished.session();
        session.assert_events(&["client_hello", "alert"]);
        session.assert_verdict(verdicts);
        session.assert_end("server", "alert");
        assert_eq!(session.outcome("tls"), Some("failed"), "{session}");
    }

    #[test]
    fn alert_70_is_a_version_mismatch() {
        server_alert(70, &["tls-version-mismatch"]);
    }

    #[test]
    fn alert_40_is_a_cipher_mismatch() {
        server_alert(40, &["tls-cipher-mismatch"]);
    }

    #[test]
    fn a_server_that_drops_every_client_hello_cannot_use_its_key() {
        let finished = agreed_on_tls().client(client_hello()).finish(Server).through_rdpscope();
        let session = finished.session();
        session.assert_verdict(&["server-key-unusable"]);
        assert_ne!(session.verdict()["confidence"], "confirmed", "one connection is no proof:\n{session}");
        session.assert_end("server", "fin");
    }

    /// A client that checks meets a bad certificate under TLS 1.2 and says why with an alert in clear.
    fn refused(certificate: &crate::support::certificates::Certificate, verdict: &str) {
        let flights = Handshake::new(&TLS12, certificate, Trust::Authority).flights();
        let finished = agreed_on_tls().send_all(flights).finish(Client).through_rdpscope();
        let session = finished.session();
        session.assert_events(&["client_hello", "server_hello", "certificate", "alert"]);
        session.assert_confirmed(verdict);
        session.assert_end("client", "alert");
    }

    #[test]
    fn alert_45_confirms_an_expired_certificate() {
        refused(&certificates().expired, "certificate-expired");
    }

    #[test]
    fn alert_48_confirms_an_unknown_authority() {
        refused(&certificates().self_signed, "certificate-untrusted");
    }

    /// A handshake that is done, then something each way, then the client's end.
    fn session_over(version: &'static SupportedProtocolVersion) -> Conversation {
        let mut handshake = Handshake::new(version, &certificates().signed, Trust::Authority);
        let flights: Flights = handshake.flights();
        assert!(handshake.is_done());
        let later = [
            handshake.application_data(Client, &[0x5a; 400]),
            handshake.application_data(Server, &[0xa5; 300]),
        ];
        agreed_on_tls().send_all(flights).send_all(later).finish(Client).finish(Server)
    }

    fn finished_handshake(version: &'static SupportedProtocolVersion, name: &str, sees_certificate: bool) {
        let finished = session_over(version).through_rdpscope();
        let session = finished.session();
        session.assert_reached(&["tcp", "x224", "tls"]);
        session.assert_events(&["client_hello", "server_hello"]);
        let summary = session.summary();
        assert_eq!(summary["tls_version"], name, "{session}");
        assert_eq!(summary["sni"], "localhost", "{session}");
        assert_eq!(!summary["certificate"].is_null(), sees_certificate, "{session}");
        let chain = certificates().signed.for_rustls().0;
        let seen = chain.iter().zip(1..).filter(|_| sees_certificate);
        let files = seen.map(|(der, number)| (format!("server-{number}.pem"), certificate_pem(der)));
        assert_eq!(session.certificates, files.collect(), "{session}");
    }

    #[test]
    fn a_finished_tls12_handshake_shows_the_certificate() {
        finished_handshake(&TLS12, "TLS1.2", true);
    }

    #[test]
    fn a_finished_tls13_handshake_hides_the_certificate() {
        finished_handshake(&TLS13, "TLS1.3", false);
    }

    #[test]
    fn pieces_of_any_size_give_the_same_events() {
        let conversation = session_over(&TLS12);
        let whole = conversation.through_rdpscope();
        whole.session().assert_events(&[
            "connection_request",
            "client_hello",
            "certificate",
            "encryption_started",
        ]);
        for size in [1, 7, 100] {
            let pieces = conversation.clone().in_pieces_of(size).through_rdpscope();
            assert_eq!(pieces.session().events(), whole.session().events(), "in pieces of {size}");
        }
    }
}

mod relaying {
    use super::*;

    /// More than every buffer on the way together.
    const MUCH: usize = 8 << 20;

    /// Bytes that do not repeat in any period a buffer could have.
    fn noise(mut seed: u32) -> Vec<u8> {
        let mut next = || {
            // xorshift32 (Marsaglia 2003)
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed.to_le_bytes()
        };
        (0..MUCH / 4).flat_map(|_| next()).collect()
    }

    /// Sends all of `own`, then ends; meanwhile reads to the other side's end.
    fn exchange(stream: &TcpStream, own: &[u8]) -> Vec<u8> {
        let (mut reader, mut writer) = (stream, stream);
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).map(|_| all)
            });
            writer.write_all(own).expect("everything is sent");
            stream.shutdown(std::net::Shutdown::Write).expect("a direction is ended");
            reading.join().expect("the reader does not panic").expect("everything is received")
        })
    }

    #[test]
    fn both_directions_at_once_arrive_byte_for_byte() {
        let listener = listener();
        let rdpscope = Rdpscope::start(listener.local_addr().expect("an address"), 1, &[]);
        let (client, server) = Ends::connect(rdpscope.address, &listener).into_streams();
        let (up, down) = (noise(1), noise(2));
        let (received_by_server, received_by_client) = std::thread::scope(|scope| {
            let at_server = scope.spawn(|| exchange(&server, &down));
            let received_by_client = exchange(&client, &up);
            (at_server.join().expect("the server does not panic"), received_by_client)
        });
        assert!(received_by_server == up, "what the client sent is what the server received");
        assert!(received_by_client == down, "what the server sent is what the client received");
        let finished = rdpscope.finish();
        assert_eq!(finished.session().end()["bytes_up"], MUCH);
        assert_eq!(finished.session().end()["bytes_down"], MUCH);
    }

    #[test]
    fn one_session_after_another_each_has_its_trace() {
        let listener = listener();
        let rdpscope = Rdpscope::start(listener.local_addr().expect("an address"), 2, &[]);
        for code in [1, 5] {
            refused_with(code).play(Ends::connect(rdpscope.address, &listener));
        }
        let finished = rdpscope.finish();
        assert_eq!(finished.sessions.len(), 2, "{}", finished.stderr);
        finished.sessions[0].assert_confirmed("tls-required");
        finished.sessions[1].assert_confirmed("nla-required");
        let verdicts = finished.stdout.iter().filter(|line| line["type"] == "verdict").count();
        assert_eq!(verdicts, 2, "one on standard output for each session");
    }
}
