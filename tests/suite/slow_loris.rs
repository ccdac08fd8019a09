//! Clients that begin and do not go on: rdpscope neither cuts them before the server does nor keeps them longer, and who
//! is only slow comes through.

use crate::support::certificates::certificates;
use crate::support::rdpscope::Rdpscope;
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request, preconnection_pdu};
use crate::support::scripted::tls::{Handshake, Trust};
use crate::support::scripted::{Conversation, Ends, Next, listener, next};
use rustls::version::TLS12;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// How a client begins.
struct Beginning {
    /// What comes before, in full.
    before: Conversation,
    /// What it does not send to its end.
    message: Vec<u8>,
    /// How much of it it sends.
    half: usize,
    /// With TLS terminated the server is told something else.
    is_tls: bool,
}

fn beginnings() -> Vec<Beginning> {
    let request = connection_request("alice", SSL);
    let agreed = Conversation::new().client(&request[..]).server(connection_confirm(SSL));
    let hello = Handshake::new(&TLS12, &certificates().signed, Trust::Anything).client_hello();
    let of = |before: &Conversation, message: Vec<u8>, half: usize, is_tls: bool| Beginning {
        before: before.clone(),
        message,
        half,
        is_tls,
    };
    let nothing = Conversation::new();
    vec![
        of(&nothing, request.clone(), 0, false),
        of(&nothing, preconnection_pdu(1, "vm"), 10, false),
        of(&nothing, request, 11, false),
        of(&agreed, hello.clone(), 3, true),
        of(&agreed, hello.clone(), hello.len() / 2, true),
    ]
}

/// The client has sent half of its message.
fn begun(rdpscope: &Rdpscope, server: &TcpListener, beginning: &Beginning) -> (TcpStream, TcpStream) {
    let ends = beginning.before.play_open(Ends::connect(rdpscope.address, server));
    let (mut client, server) = ends.into_streams();
    client.write_all(&beginning.message[..beginning.half]).expect("rdpscope takes it");
    (client, server)
}

#[test]
fn half_a_message_of_any_phase_waits_as_long_as_the_server_does_and_its_rest_comes_through() {
    for arguments in [&[][..], &["--cert", "fresh"]] {
        let is_terminated = !arguments.is_empty();
        let server = listener();
        let target = server.local_addr().expect("it listens");
        let all = beginnings();
        let rdpscope = Rdpscope::start(target, 2 * all.len(), arguments);
        for beginning in &all {
            let (mut client, at_server) = begun(&rdpscope, &server, beginning);
            drop(at_server);
            assert!(matches!(next(&mut client), Next::End | Next::Reset), "the server's end is its end");
        }
        for beginning in &all {
            let (mut client, mut at_server) = begun(&rdpscope, &server, beginning);
            client.write_all(&beginning.message[beginning.half..]).expect("rdpscope takes the rest");
            let mut arrived =
                vec![0; if is_terminated && beginning.is_tls { 1 } else { beginning.message.len() }];
            at_server.read_exact(&mut arrived).expect("it arrives");
            assert_eq!(arrived, beginning.message[..arrived.len()]);
        }
        let finished = rdpscope.finish();
        assert_eq!(finished.sessions.len(), 2 * all.len(), "{}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    }
}
