//! Clients with a smart card: a certificate in TLS with the gateway, or a logon by extended authentication in the tunnel.

use super::relay;
use crate::support::certificates::of_user;
use crate::support::gateway::{Client, Gateway, Logon, Setup, Tunnel, What};
use crate::support::rdpscope::Finished;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::net::TcpListener;

/// What the card says; nobody but the gateway may learn it.
const PROOF: &[u8] = b"a-proof-that-the-card-has-made";

fn target() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a loopback port is free")
}

fn setup(target: &TcpListener, wants_client_certificate: bool) -> Setup<'static> {
    let address = target.local_addr().expect("a listener has an address");
    Setup {
        wants_client_certificate,
        logon: Logon::open(),
        tunnel: Tunnel { target: Some(address), ..Tunnel::default() },
        ..Setup::default()
    }
}

/// A client with a certificate through a relay with `flags`, to a gateway that demands one; whether it had its channel.
fn attempt(version: &'static SupportedProtocolVersion, flags: &[&str]) -> (bool, Finished) {
    let target = target();
    let gateway = Gateway::start(setup(&target, true));
    let relay = relay(target.local_addr().expect("it is bound"), gateway.address, 1, flags);
    let mut client = Client::with_certificate(relay.address, version, of_user());
    let has_channel = client.upgrade(None).is_ok_and(|head| head.contains(" 101 "))
        && client.open("srv", 3389).is_ok_and(|channel| channel.error == 0);
    drop(client);
    (has_channel, relay.finish())
}

#[test]
fn its_certificate_goes_through_tls_that_passes_through() {
    for version in [&TLS12, &TLS13] {
        let (has_channel, finished) = attempt(version, &["--cert", "passthrough"]);
        assert!(has_channel, "{}\n{}", finished.stderr, finished.session());
        finished.session().assert_reached(&["gateway-tcp", "gateway-tls"]);
    }
}

#[test]
fn where_tls_ends_in_rdpscope_that_is_the_reason_and_not_the_gateway() {
    for version in [&TLS12, &TLS13] {
        let (has_channel, finished) = attempt(version, &[]);
        assert!(!has_channel);
        let session = finished.session();
        session.assert_verdict(&["gateway-channel-binding"]);
        let verdict = session.verdict();
        assert_eq!(verdict["confidence"], "confirmed", "{verdict}");
        assert!(verdict["summary"].to_string().contains("asks for the client's certificate"), "{verdict}");
        assert!(verdict["next"].to_string().contains("--cert passthrough"), "{verdict}");
    }
}

#[test]
fn extended_authentication_by_card_passes_and_is_named_and_what_it_says_is_not_kept() {
    let target = target();
    let mut setup = setup(&target, false);
    setup.logon.smart_card = Some(PROOF.to_vec());
    setup.tunnel.extended_auth = 1;
    let gateway = Gateway::start(setup);
    let relay = relay(target.local_addr().expect("it is bound"), gateway.address, 1, &[]);
    let mut client = Client::connect(relay.address);
    assert!(client.upgrade(None).expect("the gateway answers").contains(" 101 "));
    assert_eq!(client.open_with_card(PROOF, "srv", 3389).map(|channel| channel.error), Ok(0));
    drop(client);
    let finished = relay.finish();
    let logged_on = What::LoggedOn { scheme: "SC", user: String::new() };
    assert!(gateway.seen().iter().any(|seen| seen.what == logged_on), "{:?}", gateway.seen());
    let session = finished.session();
    session.assert_reached(&["gateway-tunnel", "gateway-channel"]);
    let packets = session.events_named("tunnel_packet");
    for kind in ["handshake_request", "handshake_response"] {
        let packet = packets.iter().find(|packet| packet["packet"] == kind).expect("there is a handshake");
        assert!(packet["extended_auth"].to_string().contains("HTTP_EXTENDED_AUTH_SC"), "{packet}");
    }
    let told = packets.iter().filter(|packet| packet["packet"] == "extended_auth_msg").count();
    assert_eq!(told, 2, "the card's word and the gateway's:\n{session}");
    finished.assert_nowhere(std::str::from_utf8(PROOF).expect("it is text"));
    finished.assert_nowhere(&hex::encode(PROOF));
}
