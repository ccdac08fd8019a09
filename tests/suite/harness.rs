//! The harness itself, without the program under test: a failure here is no fault of rdpscope.

use crate::support::certificates::certificates;
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::tls::{Handshake, Trust};
use crate::support::scripted::{Conversation, Ends, Next, listener, next};
#[cfg(target_os = "linux")]
use crate::support::{left_out::left_out_without, peers::Socat};
use rustls::version::{TLS12, TLS13};

#[test]
fn rustls_flights_finish_a_handshake_in_both_versions() {
    for version in [&TLS12, &TLS13] {
        let mut handshake = Handshake::new(version, &certificates().signed, Trust::Authority);
        let flights = handshake.flights();
        assert!(handshake.is_done(), "{flights:?}");
        assert_eq!(flights[0].0, Client);
        assert_eq!(flights[1].0, Server);
        assert_eq!(flights[0].1[0], 22, "a handshake record");
    }
}

#[test]
fn a_client_that_checks_refuses_each_bad_certificate_with_its_alert() {
    let made = certificates();
    let faults =
        [(&made.expired, 45), (&made.not_yet_valid, 45), (&made.self_signed, 48), (&made.wrong_name, 42)];
    for (certificate, description) in faults {
        let mut handshake = Handshake::new(&TLS12, certificate, Trust::Authority);
        let flights = handshake.flights();
        assert!(!handshake.is_done());
        let (side, alert) = flights.last().expect("something was said");
        assert_eq!((*side, &alert[..]), (Client, &[21, 3, 3, 0, 2, 2, description][..]));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_driver_plays_a_conversation_over_a_plain_relay() {
    if left_out_without(&["socat"]) {
        return;
    }
    let listener = listener();
    let relay = Socat::start(listener.local_addr().expect("a listener has an address"));
    let conversation =
        Conversation::new().client(*b"request").server(*b"answer").finish(Client).server(*b"more");
    conversation.in_pieces_of(2).play(Ends::connect(relay.address, &listener));
    assert_eq!(relay.connections(), 1);
}

#[test]
fn the_driver_tells_a_reset_from_an_end() {
    let relay = listener();
    let address = relay.local_addr().expect("a listener has an address");
    // Without a relay in between: the listener takes the part of both.
    Conversation::new().client(*b"request").reset(Client).play(Ends::connect(address, &relay));
    Conversation::new().server(*b"answer").reset(Server).play(Ends::connect(address, &relay));
    let (client, mut server) = Ends::connect(address, &relay).into_streams();
    drop(client);
    assert_eq!(next(&mut server), Next::End);
}
