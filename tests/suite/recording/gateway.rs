//! Captures of attempts that go through a gateway.

use super::{
    CLIENT_INFO, INSIDE, PASSWORD, USER, assert_capabilities, assert_no_secret, blocks, capture, left_out,
};
use crate::support::gateway::{Gateway, PASSWORD as GATEWAY_PASSWORD, Setup, USER as GATEWAY_USER};
use crate::support::peers::{FreeRdp, Xfreerdp, Xrdp};
use crate::support::rdpscope::{Finished, Rdpscope};

/// An attempt over `transport`, whose connections are all captured.
fn through(transport: &str, flags: &[&str]) -> Option<Finished> {
    if left_out() {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let host = gateway.address.to_string();
    let rdpscope = Rdpscope::start(xrdp.address, 1, &[&["--gateway", &host, "--capture"], flags].concat());
    let way = [
        format!("/g:{}", rdpscope.address),
        format!("/gu:{GATEWAY_USER}"),
        format!("/gp:{GATEWAY_PASSWORD}"),
        format!("/gt:{transport}"),
        format!("/p:{PASSWORD}"),
    ];
    let way: Vec<&str> = way.iter().map(String::as_str).collect();
    let arguments = [&way[..], &["/sec:tls", "/cert:ignore", USER]].concat();
    let run = Xfreerdp::new(FreeRdp::Two, &arguments).run(xrdp.address.port());
    let finished = rdpscope.finish();
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    Some(finished)
}

fn assert_all_in_clear(transport: &str, connections: usize) {
    let Some(finished) = through(transport, &["--inner-cert", "fresh", "--tcp-only", "--secrets"]) else {
        return;
    };
    let capture = capture(&finished);
    capture.assert_sound(&[CLIENT_INFO, "HTTP"]);
    assert!(blocks(&finished).contains(&10), "a block of secrets");
    for leg in ["client leg", "server leg"] {
        let filter = format!("frame.interface_name == \"{leg}\" && tcp.flags.syn == 1 && tcp.flags.ack == 0");
        assert_eq!(capture.fields(&filter, &["frame.number"]).len(), connections, "{leg}");
    }
    assert_capabilities(&capture);
    let decrypted = capture.fields(&format!("tls.app_data && !({INSIDE})"), &["frame.number"]);
    assert!(!decrypted.is_empty(), "TLS with the gateway is there");
}

#[test]
fn over_a_websocket() {
    assert_all_in_clear("http", 1);
}

#[test]
fn over_two_connections() {
    assert_all_in_clear("http,no-websockets", 2);
}

#[test]
fn without_secrets_nothing_of_the_tunnel_is_in_clear() {
    let Some(finished) = through("http", &["--inner-cert", "fresh", "--tcp-only"]) else { return };
    capture(&finished).assert_sound(&[]);
    assert_no_secret(&finished);
    finished.assert_nowhere(GATEWAY_PASSWORD);
}
