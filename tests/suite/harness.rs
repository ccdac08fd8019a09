//! The harness itself, without the program under test: a failure here is no fault of rdpscope.

use crate::support::certificates::certificates;
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::tls::{Handshake, Trust};
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
