//! Real middleboxes in front of a gateway: which of them let a session pass, and what the others look like to a client.

use super::{
    ACCESS_DENIED, Gives, NEGOTIATION_FAILED, TOKEN, TWO_CONNECTIONS, WEBSOCKET, parts, through, told,
};
use crate::support::certificates::issued_by;
use crate::support::gateway::{ChannelBindings, Client, Gateway, Logon, PASSWORD, Setup, What, packet};
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Haproxy, Middlebox, Nginx, Xrdp, free_port};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a test watches a middlebox that says nothing.
const SILENCE: Duration = Duration::from_millis(500);
/// How long it may take to notice something.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// A gateway that lets everybody in, and FreeRDP too, which needs to be asked for something.
fn open_gateway() -> Gateway {
    let logon = Logon { schemes: Vec::new(), token: Some(TOKEN.to_owned()), ..Logon::default() };
    Gateway::start(Setup { logon, ..Setup::default() })
}

fn nginx(gateway: &Gateway, location: &[&str]) -> Middlebox {
    Nginx { location, ..Nginx::default() }.start(gateway.address)
}

fn haproxy(gateway: &Gateway, line: &str) -> Middlebox {
    Haproxy { frontend: &[line], ..Haproxy::default() }.start(gateway.address)
}

/// A client at `address` that does not wait for long.
fn client(address: SocketAddr) -> Client {
    Client::connect(address).patient_for(SILENCE)
}

fn out(client: &mut Client) -> std::io::Result<String> {
    client.request("RDG_OUT_DATA", "/remoteDesktopGateway/", &[("RDG-Connection-Id", "{1}")])
}

/// A client that has asked for an OUT channel and for an IN channel, and has sent a packet.
fn in_channel(address: SocketAddr) -> (Client, Client) {
    let mut out_channel = client(address);
    out(&mut out_channel).expect("the OUT channel is served");
    let mut in_channel = client(address);
    let fields = [("RDG-Connection-Id", "{1}"), ("Transfer-Encoding", "chunked")];
    let silence = in_channel.request("RDG_IN_DATA", "/remoteDesktopGateway/", &fields);
    assert_eq!(silence.expect_err("it is not answered").kind(), ErrorKind::WouldBlock);
    (out_channel, in_channel)
}

fn saw_in_channel(gateway: &Gateway) -> bool {
    gateway.requests().iter().any(|head| head.starts_with("RDG_IN_DATA"))
}

#[test]
fn a_clean_haproxy_is_no_obstacle() {
    let Some((xrdp, address)) = parts(FreeRdp::Three) else { return };
    let SocketAddr::V4(address) = address else { unreachable!("it is of version 4") };
    if left_out_without(&["haproxy"]) {
        return;
    }
    for transport in [WEBSOCKET, TWO_CONNECTIONS] {
        let gateway = Gateway::start(Setup::default());
        let haproxy = Haproxy { address: Some(address), ..Haproxy::default() }.start(gateway.address);
        let gives = Gives::Password(PASSWORD);
        let run = through(haproxy.address, FreeRdp::Three, gives, transport, xrdp.address);
        assert!(run.active, "{}\n{}", run.tail(), told(&gateway));
    }
}

/// What FreeRDP 2 comes to behind a middlebox.
fn freerdp2(xrdp: &Xrdp, middlebox: &Middlebox, gives: Gives<'_>, transport: &str) -> (bool, Option<i32>) {
    let run = through(middlebox.address, FreeRdp::Two, gives, transport, xrdp.address);
    (run.active, run.exit_code)
}

#[test]
fn haproxy_refuses_the_odd_key_of_freerdp_2_itself() {
    let Some((xrdp, _)) = parts(FreeRdp::Two) else { return };
    if left_out_without(&["haproxy"]) {
        return;
    }
    let gateway = Gateway::start(Setup::default());
    let haproxy = Haproxy::default().start(gateway.address);
    let password = Gives::Password(PASSWORD);
    assert!(!freerdp2(&xrdp, &haproxy, password, WEBSOCKET).0);
    assert_eq!(gateway.requests(), [""; 0], "the gateway hears nothing of it");
    assert!(freerdp2(&xrdp, &haproxy, password, TWO_CONNECTIONS).0, "{}", told(&gateway));
}

#[test]
fn nginx_lets_a_session_pass_once_it_buffers_nothing() {
    let Some((xrdp, _)) = parts(FreeRdp::Two) else { return };
    if left_out_without(&["nginx"]) {
        return;
    }
    for transport in [WEBSOCKET, TWO_CONNECTIONS] {
        let gateway = open_gateway();
        let nginx = Nginx::default().start(gateway.address);
        assert!(freerdp2(&xrdp, &nginx, Gives::Token(TOKEN), transport).0, "{}", told(&gateway));
    }
}

#[test]
fn ntlm_does_not_survive_a_middlebox_that_changes_connections() {
    let Some((xrdp, _)) = parts(FreeRdp::Two) else { return };
    if left_out_without(&["haproxy", "nginx"]) {
        return;
    }
    let gateway = Gateway::start(Setup::default());
    // nginx goes to the gateway on a new connection with each request; haproxy here ends the client's, too.
    let boxes = [
        (Nginx::default().start(gateway.address), ACCESS_DENIED),
        (haproxy(&gateway, Haproxy::CLOSE), NEGOTIATION_FAILED),
    ];
    for (middlebox, exit_code) in boxes {
        let run = freerdp2(&xrdp, &middlebox, Gives::Password(PASSWORD), TWO_CONNECTIONS);
        assert_eq!(run, (false, exit_code), "{}", told(&gateway));
    }
}

#[test]
fn ntlm_that_is_bound_to_another_certificate_is_refused() {
    let Some((xrdp, _)) = parts(FreeRdp::Two) else { return };
    if left_out_without(&["haproxy"]) {
        return;
    }
    let logon = Logon { channel_bindings: ChannelBindings::Required, ..Logon::default() };
    let gateway = Gateway::start(Setup { logon, ..Setup::default() });
    let password = Gives::Password(PASSWORD);
    let own = Haproxy::default().start(gateway.address);
    assert!(freerdp2(&xrdp, &own, password, TWO_CONNECTIONS).0, "{}", told(&gateway));
    let certificate = issued_by("Inspection CA", &["localhost", "127.0.0.1"]);
    let other = Haproxy { certificate: &certificate, ..Haproxy::default() }.start(gateway.address);
    assert_eq!(freerdp2(&xrdp, &other, password, TWO_CONNECTIONS), (false, ACCESS_DENIED));
    let refused = What::Refused { reason: "channel bindings of another certificate" };
    assert!(gateway.seen().iter().any(|seen| seen.what == refused), "{}", told(&gateway));
}

#[test]
fn nginx_holds_the_whole_response_back_even_its_head() {
    if left_out_without(&["nginx"]) {
        return;
    }
    let gateway = open_gateway();
    for location in [&[][..], &[Nginx::UPGRADE, Nginx::DIRECT_REQUESTS, Nginx::PATIENT]] {
        let silence = out(&mut client(nginx(&gateway, location).address)).expect_err("nothing comes");
        assert_eq!(silence.kind(), ErrorKind::WouldBlock, "{silence}");
        assert!(gateway.seen().iter().any(|seen| matches!(&seen.what, What::Response(_))));
    }
    let nginx = nginx(&gateway, &[Nginx::UPGRADE]);
    let head = client(nginx.address).upgrade(None).expect("a WebSocket is not held back");
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Server: nginx"), "{head}");
}

#[test]
fn nginx_that_gives_up_shows_the_head_it_held() {
    if left_out_without(&["nginx"]) {
        return;
    }
    let gateway = open_gateway();
    let nginx = nginx(&gateway, &[Nginx::IMPATIENT]);
    let mut client = Client::connect(nginx.address);
    let asked = Instant::now();
    let head = out(&mut client).expect("a head");
    assert!(asked.elapsed() >= Duration::from_millis(900), "{:?}", asked.elapsed());
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    assert_eq!(client.bytes(1).expect_err("and no body").kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn nginx_puts_what_has_no_length_into_chunks() {
    if left_out_without(&["nginx"]) {
        return;
    }
    let gateway = open_gateway();
    for (more, chunked) in [("", true), (Nginx::NO_CHUNKS, false)] {
        let nginx = nginx(&gateway, &[Nginx::DIRECT_RESPONSES, more]);
        let mut client = client(nginx.address);
        let head = out(&mut client).expect("a head");
        assert_eq!(head.contains("Transfer-Encoding: chunked"), chunked, "{head}");
        let start = client.bytes(3).expect("the preamble");
        assert_eq!(start, if chunked { *b"a\r\n" } else { [0xAB, 0xCD, 0xAB] });
    }
}

#[test]
fn a_request_that_is_buffered_never_arrives() {
    if left_out_without(&["haproxy", "nginx"]) {
        return;
    }
    let gateway = open_gateway();
    let buffering = nginx(&gateway, &[Nginx::DIRECT_RESPONSES]);
    let _channels = in_channel(buffering.address);
    assert!(!saw_in_channel(&gateway), "{}", told(&gateway));
    let buffering = haproxy(&gateway, Haproxy::BUFFERED_REQUESTS);
    let _channels = in_channel(buffering.address);
    assert!(!saw_in_channel(&gateway), "{}", told(&gateway));
    let clean = Haproxy::default().start(gateway.address);
    let _channels = in_channel(clean.address);
    assert!(saw_in_channel(&gateway), "{}", told(&gateway));
}

#[test]
fn an_upgrade_that_is_not_passed_on_is_answered_with_200() {
    if left_out_without(&["haproxy", "nginx"]) {
        return;
    }
    let gateway = open_gateway();
    let nginx = nginx(&gateway, &[Nginx::DIRECT_RESPONSES, Nginx::DIRECT_REQUESTS]);
    for middlebox in [nginx, haproxy(&gateway, Haproxy::NO_UPGRADE)] {
        let head = client(middlebox.address).upgrade(None).expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(!head.contains("Content-Length"), "{head}");
    }
}

#[test]
fn methods_are_refused_by_whoever_says_so() {
    if left_out_without(&["haproxy", "nginx"]) {
        return;
    }
    let gateway = open_gateway();
    let boxes = [
        (nginx(&gateway, &[Nginx::METHODS_403]), 403, true),
        (nginx(&gateway, &[Nginx::METHODS_405]), 405, true),
        (haproxy(&gateway, Haproxy::METHODS_403), 403, false),
        (haproxy(&gateway, Haproxy::METHODS_405), 405, false),
    ];
    for (middlebox, status, is_named) in boxes {
        for head in [out(&mut client(middlebox.address)), client(middlebox.address).upgrade(None)] {
            let head = head.expect("a head");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert_eq!(head.contains("Server: nginx"), is_named, "{head}");
        }
    }
    assert_eq!(gateway.requests(), [""; 0], "the gateway hears nothing of it");
}

#[test]
fn haproxy_writes_names_in_small_letters_and_may_name_itself() {
    if left_out_without(&["haproxy"]) {
        return;
    }
    let gateway = open_gateway();
    let head = client(haproxy(&gateway, Haproxy::VIA).address).upgrade(None).expect("a head");
    assert!(
        head.contains("\r\nserver: Microsoft-HTTPAPI/2.0\r\n") && head.contains("via: 1.1 box"),
        "{head}"
    );
}

#[test]
fn a_silent_session_is_cut_after_a_constant_time() {
    if left_out_without(&["haproxy", "nginx"]) {
        return;
    }
    let gateway = open_gateway();
    let impatient = Haproxy { idle: "1s", ..Haproxy::default() }.start(gateway.address);
    for middlebox in [impatient, nginx(&gateway, &[Nginx::UPGRADE, Nginx::IMPATIENT])] {
        let mut client = Client::connect(middlebox.address);
        client.upgrade(None).expect("a head");
        client.send(&packet::Packet::new(packet::HANDSHAKE_REQUEST, &[1, 0, 0, 0, 0, 0]));
        client.next_packet().expect("the gateway answers");
        let silent = Instant::now();
        assert_eq!(client.next_packet().expect_err("it is cut").kind(), ErrorKind::UnexpectedEof);
        let silent = silent.elapsed().as_millis();
        assert!((900..3_000).contains(&silent), "{silent} ms");
    }
    let left = |what: &What| matches!(what, What::Ended(reason) if reason.contains("client"));
    assert!(gateway.wait_for(SEEN_WITHIN, left).is_some(), "{}", told(&gateway));
}

#[test]
fn a_front_of_http_2_alone_ends_each_connection_without_a_word() {
    if left_out_without(&["haproxy"]) {
        return;
    }
    let gateway = open_gateway();
    let only = Haproxy { bind: Haproxy::ONLY_HTTP_2, ..Haproxy::default() }.start(gateway.address);
    let end = out(&mut client(only.address)).expect_err("no head");
    assert_eq!(end.kind(), ErrorKind::UnexpectedEof, "{end}");
    assert_eq!(gateway.requests(), [""; 0], "the gateway hears nothing of it");
}

#[test]
fn a_gateway_that_is_not_there_is_told_by_the_middlebox() {
    if left_out_without(&["haproxy", "nginx"]) {
        return;
    }
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let boxes = [(Haproxy::default().start(nobody), 503), (Nginx::default().start(nobody), 502)];
    for (middlebox, status) in boxes {
        let head = out(&mut Client::connect(middlebox.address)).expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}
