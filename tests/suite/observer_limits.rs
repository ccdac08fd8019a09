//! What a peer that goes on and on makes of the session observer: no more events and no more memory than a limit.

use crate::support::certificates::certificates;
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request, preconnection_pdu};
use crate::support::scripted::credssp;
use crate::support::scripted::tls::{Handshake, Trust};
use rdpscope::observe::{InsideObserver, SessionObserver};
use rdpscope::trace::{Detail, Event, How, Side};
use rustls::version::TLS12;

/// As much as the relay reads at once.
const LARGEST_READ: usize = 256 * 1024;
/// Events of a side that only repeats itself: what is told before it is given up, and why.
const MOST_EVENTS: usize = 40;

fn observe<'a>(steps: impl IntoIterator<Item = (Side, &'a [u8])>) -> (SessionObserver, Vec<Event>) {
    let (mut observer, mut events) = (SessionObserver::default(), Vec::new());
    for (side, bytes) in steps {
        observer.data(0, side, bytes, &mut events);
    }
    (observer, events)
}

/// A megabyte of `message`, read as the relay reads.
fn endless(before: &[(Side, Vec<u8>)], side: Side, message: &[u8]) -> (SessionObserver, Vec<Event>) {
    let flood = message.repeat((1 << 20) / message.len());
    let before = before.iter().map(|(side, bytes)| (*side, &bytes[..]));
    observe(before.chain(flood.chunks(LARGEST_READ).map(|bytes| (side, bytes))))
}

fn names(events: &[Event]) -> Vec<String> {
    let name = |event| serde_json::to_value(event).expect("an event becomes JSON")["event"].to_string();
    events.iter().map(name).collect()
}

#[test]
fn one_large_read_is_the_same_as_many_small_ones() {
    let mut sent = preconnection_pdu(1, &"v".repeat(60_000));
    sent.extend(connection_request("anna", SSL));
    sent.extend(Handshake::new(&TLS12, &certificates().signed, Trust::Anything).client_hello());
    sent.resize(LARGEST_READ, 0);
    let confirm = connection_confirm(SSL);
    let answer = [(Side::Server, &confirm[..])];
    let (_, whole) = observe([(Side::Client, &sent[..])].into_iter().chain(answer));
    let (_, pieces) = observe(sent.chunks(999).map(|piece| (Side::Client, piece)).chain(answer));
    assert_eq!(whole, pieces);
    assert_eq!(
        names(&whole)[..4],
        ["\"preconnection_pdu\"", "\"connection_request\"", "\"connection_confirm\"", "\"client_hello\"",]
    );
}

#[test]
fn a_negotiation_that_never_ends_is_given_up() {
    let request = connection_request("anna", SSL);
    let alone = preconnection_pdu(1, "vm");
    let floods: [(Side, &[u8]); 5] = [
        (Side::Client, &request),
        (Side::Client, &alone),
        (Side::Server, &request),
        (Side::Client, &[3, 0, 0, 7, 2, 0xf0, 0x80]),
        (Side::Server, &[0]),
    ];
    for (side, flood) in floods {
        let (observer, events) = endless(&[], side, flood);
        assert!(observer.is_opaque(side), "the {side} repeats {flood:?}: {events:?}");
        assert!(events.len() <= MOST_EVENTS, "{} events of the {side}", events.len());
    }
}

#[test]
fn endless_handshakes_and_alerts_are_given_up() {
    let confirmed =
        [(Side::Client, connection_request("anna", SSL)), (Side::Server, connection_confirm(SSL))];
    let hello_requests = [&[22, 3, 3, 0, 40][..], &[0; 40]].concat();
    for flood in [&hello_requests[..], &[21, 3, 3, 0, 2, 1, 0]] {
        for side in [Side::Client, Side::Server] {
            let (_, events) = endless(&confirmed, side, flood);
            assert!(events.len() <= MOST_EVENTS, "{} events", events.len());
            let last = events.last().map(|event| &event.detail);
            assert!(matches!(last, Some(Detail::ObservationStopped { .. })), "{last:?}");
        }
    }
}

#[test]
fn an_authentication_inside_tls_that_never_ends_is_given_up() {
    let request = credssp::ts_request(6, &[]);
    let [capabilities, ..] = credssp::rdstls_messages(0);
    let floods: [(u32, &[u8]); 4] = [(2, &request), (8, &request), (4, &capabilities), (0x10, br#"{"a":1}"#)];
    for (protocol, flood) in floods {
        for side in [Side::Client, Side::Server] {
            let (mut observer, mut events) = (InsideObserver::new(Some(protocol)), Vec::new());
            let bytes = flood.repeat((1 << 20) / flood.len());
            bytes.chunks(LARGEST_READ).for_each(|piece| observer.data(0, side, piece, &mut events));
            assert!(events.len() <= MOST_EVENTS, "{} events", events.len());
            assert!(observer.is_opaque(side), "the {side} repeats {flood:?}: {events:?}");
            let last = events.last().map(|event| &event.detail);
            assert!(matches!(last, Some(Detail::ObservationStopped { .. })), "{last:?}");
        }
    }
}

#[test]
fn a_short_greeting_is_told_when_it_ends() {
    let (mut observer, mut events) = observe([(Side::Server, &b"RFB 003"[..]), (Side::Server, b".008\n")]);
    assert_eq!(events, []);
    observer.ended(5, Side::Server, How::Fin, &mut events);
    assert_eq!(names(&events), ["\"other_protocol\"", "\"observation_stopped\"", "\"stream_ended\""]);
    let Detail::OtherProtocol { protocol, first_bytes } = &events[0].detail else { panic!("{events:?}") };
    assert_eq!((protocol.as_deref(), first_bytes.as_str()), (Some("VNC"), "524642203030332e3030380a"));
}
