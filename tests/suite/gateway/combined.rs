//! `--gateway` together with the flags that are about other things: whose key is shown, which CA signs, through whose proxy the
//! gateway is reached, and which TLS it speaks.

use super::{TWO_CONNECTIONS, WEBSOCKET, attempt, client, left_out, relay};
use crate::support::certificates::{certificates, signed_rsa};
#[cfg(feature = "legacy-tls")]
use crate::support::gateway::PHASES;
use crate::support::gateway::{
    ChannelBindings, Gateway, Logon, PASSWORD, Setup, assert_healthy_desktop, way,
};
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Haproxy, Middlebox, Upstream, Xfreerdp, Xrdp, XrdpSetup};
use crate::support::rdpscope::Session;
use std::net::SocketAddr;
use tempfile::TempDir;

/// The gateway's own key in a new certificate: what is bound to the key would hold, but a gateway's NTLM is bound to the
/// certificate.
#[test]
fn its_own_key_in_another_certificate() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let key = certificates().signed.key_file.to_string_lossy().into_owned();
    let (run, finished) = attempt(Setup::default(), &["--renew-with", &key], WEBSOCKET);
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    assert_healthy_desktop(finished.session());
    let presented = finished.session().event("certificate_presented");
    assert_eq!(presented["same_key"], true, "{presented}");

    let logon = Logon { channel_bindings: ChannelBindings::Required, ..Logon::default() };
    let (run, finished) = attempt(Setup { logon, ..Setup::default() }, &["--renew-with", &key], WEBSOCKET);
    assert!(!run.active, "{}", run.tail());
    finished.session().assert_verdict(&["gateway-channel-binding"]);
    let fix = finished.session().verdict()["fix"].to_string();
    assert!(fix.contains("--renew-with does not help here"), "{fix}");
    finished.assert_nowhere(PASSWORD);
}

/// A client that trusts nobody but the CA in this file, with a password for the gateway.
fn trusting(authority: &std::path::Path, relay: SocketAddr, server: SocketAddr) -> bool {
    let arguments = way(relay, TWO_CONNECTIONS);
    let arguments: Vec<&str> = arguments.split(' ').chain(["/sec:tls", "/u:a", "/p:b"]).collect();
    let run = Xfreerdp::new(FreeRdp::Two, &arguments).trusting_only(authority).run(server.port());
    println!("{}", run.summary());
    run.active
}

/// One CA signs for the gateway and for the server behind it, in every run.
#[test]
fn a_ca_that_is_kept() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder is made");
    let (kept, shown) = (folder.path().join("kept"), folder.path().join("ca.pem"));
    let (kept, ca_out) = (kept.to_string_lossy().into_owned(), shown.to_string_lossy().into_owned());
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let mut seen = Vec::new();
    for more in [&["--ca-out", &ca_out][..], &[]] {
        let flags = [&["--ca", &kept, "--inner-cert", "fresh"], more].concat();
        let relay = relay(xrdp.address, gateway.address, 1, &flags);
        let is_active = trusting(&shown, relay.address, xrdp.address);
        let finished = relay.finish();
        assert!(is_active, "{}", finished.stderr);
        assert_healthy_desktop(finished.session());
        let presented = finished.session().events_named("certificate_presented");
        let issuers: Vec<String> = presented.iter().map(|it| it["chain"][0]["issuer"].to_string()).collect();
        assert!(issuers.len() >= 2, "for the gateway and for the server:\n{}", finished.session());
        seen.extend(issuers);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "one CA for all of them: {seen:?}");
}

fn through(upstream: &Upstream, gateway: &Gateway, flags: &[&str]) {
    let xrdp = Xrdp::start(&Xrdp::setup());
    let flags = [&["--upstream-proxy", &upstream.url], flags].concat();
    for transport in [WEBSOCKET, TWO_CONNECTIONS] {
        let relay = relay(xrdp.address, gateway.address, 1, &flags);
        let run = client(xrdp.address, &way(relay.address, transport));
        let finished = relay.finish();
        assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
        finished.session().assert_reached(&["gateway-tcp", "gateway-tls", "gateway-channel", "active"]);
        let opened = finished.session().events_named("upstream_proxy_opened");
        let count = if transport == WEBSOCKET { 1 } else { 2 };
        assert_eq!(opened.len(), count, "each connection goes through it:\n{}", finished.session());
        for opened in opened {
            assert_eq!(opened["target"], gateway.address.to_string(), "{opened}");
            assert_eq!(opened["proxy"], upstream.url, "{opened}");
        }
    }
}

#[test]
fn through_tinyproxy() {
    if !left_out(FreeRdp::Two) && !left_out_without(&["tinyproxy"]) {
        let gateway = Gateway::start(Setup::default());
        through(&Upstream::tinyproxy(gateway.address.port()), &gateway, &[]);
    }
}

#[test]
fn through_microsocks_with_tls_inside_the_tunnel_terminated() {
    if !left_out(FreeRdp::Two) && !left_out_without(&["microsocks"]) {
        let gateway = Gateway::start(Setup::default());
        through(&Upstream::microsocks(), &gateway, &["--inner-cert", "fresh"]);
    }
}

/// A proxy that does not lead to the gateway is to blame, and not the gateway.
#[test]
fn a_proxy_that_forbids_the_gateway() {
    if left_out(FreeRdp::Two) || left_out_without(&["tinyproxy"]) {
        return;
    }
    let upstream = Upstream::tinyproxy(1);
    let (run, finished) = attempt(Setup::default(), &["--upstream-proxy", &upstream.url], WEBSOCKET);
    assert!(!run.active, "{}", run.tail());
    let session = finished.session();
    session.assert_verdict(&["gateway-unreachable"]);
    let summary = session.verdict()["summary"].to_string();
    assert!(summary.contains("upstream proxy") && summary.contains("403"), "{summary}");
}

/// rdpscope as a proxy itself, with TLS taken apart on both levels and one more proxy behind it.
#[test]
fn as_a_proxy_before_another_with_everything_terminated() {
    if left_out(FreeRdp::Two) || left_out_without(&["tinyproxy"]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let upstream = Upstream::tinyproxy(gateway.address.port());
    let all = ["--as-http-proxy", "--upstream-proxy", &upstream.url, "--inner-cert", "mirror", "--tcp-only"];
    for (flags, sees_inside) in [(&all[..], true), (&["--as-http-proxy", "--cert", "passthrough"], false)] {
        let relay = relay(xrdp.address, gateway.address, 1, flags);
        let through = format!("{} /proxy:http://{}", way(gateway.address, WEBSOCKET), relay.address);
        let run = client(xrdp.address, &through);
        let finished = relay.finish();
        assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
        let session = finished.session();
        session.assert_reached(&["gateway-tcp", "gateway-tls"]);
        assert_eq!(session.outcome("active"), sees_inside.then_some("ok"), "{session}");
        assert_eq!(
            session.events_named("upstream_proxy_opened").len(),
            usize::from(sees_inside),
            "{session}"
        );
    }
}

/// haproxy in front that speaks nothing newer than TLS 1.0, whose suites are all of CBC.
fn old_front(gateway: &Gateway) -> Middlebox {
    let bind = "alpn http/1.1 ssl-min-ver TLSv1.0 ssl-max-ver TLSv1.0 ciphers ALL:@SECLEVEL=0";
    Haproxy { bind, certificate: signed_rsa(), ..Haproxy::default() }.start(gateway.address)
}

/// The sessions of so many attempts at a gateway that speaks nothing but TLS 1.0.
fn old_gateway(attempts: usize) -> Option<(Vec<bool>, Vec<Session>)> {
    if left_out(FreeRdp::Two) || left_out_without(&["haproxy"]) {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let front = old_front(&gateway);
    let relay = relay(xrdp.address, front.address, attempts, &[]);
    let run = |_| client(xrdp.address, &way(relay.address, TWO_CONNECTIONS)).active;
    let active = (0..attempts).map(run).collect();
    Some((active, relay.finish().sessions))
}

/// The sessions of two attempts at a server behind a gateway, which speaks nothing but TLS 1.0 and whose TLS is terminated.
fn old_server() -> Option<(Vec<bool>, Vec<Session>)> {
    if left_out(FreeRdp::Two) {
        return None;
    }
    let old =
        XrdpSetup { tls_versions: "TLSv1", certificate: signed_rsa(), old_openssl: true, ..Xrdp::setup() };
    let xrdp = Xrdp::start(&old);
    let gateway = Gateway::start(Setup::default());
    let relay = relay(xrdp.address, gateway.address, 2, &["--inner-cert", "fresh"]);
    let run = |_| client(xrdp.address, &way(relay.address, WEBSOCKET)).active;
    let active = (0..2).map(run).collect();
    Some((active, relay.finish().sessions))
}

#[cfg(feature = "legacy-tls")]
#[test]
fn a_gateway_of_tls_1_0_is_reached_by_the_second_stack() {
    let Some((active, sessions)) = old_gateway(2) else { return };
    assert_eq!(active, [true, true]);
    for (session, connections) in sessions.iter().zip([3, 2]) {
        session.assert_reached(&PHASES);
        session.assert_reached(&["active"]);
        let hello = session.events_named("server_hello");
        let last = hello.iter().rfind(|hello| hello["leg"] == "server" && hello["phase"] == "gateway-tls");
        assert_eq!(last.expect("the gateway answers")["version"], "TLS1.0", "{session}");
        let tried = session.events_named("connecting").len();
        assert_eq!(tried, connections, "only the first of all finds it out:\n{session}");
    }
}

/// A tunnel has one connection to the server: what is said first on it has to be what every server takes.
#[cfg(feature = "legacy-tls")]
#[test]
fn a_server_of_tls_1_0_behind_a_gateway_is_reached_at_the_first_attempt() {
    let Some((active, sessions)) = old_server() else { return };
    assert_eq!(active, [true, true]);
    for session in &sessions {
        session.assert_reached(&["x224", "tls", "active"]);
        let reason = session.event("legacy_tls")["reason"].to_string();
        assert!(reason.contains("nothing newer than TLS 1.0"), "{reason}");
    }
}

#[cfg(not(feature = "legacy-tls"))]
#[test]
fn without_the_second_stack_the_reason_is_told() {
    let need = |sessions: &[Session]| {
        let failed = sessions[0].event("termination_failed");
        assert_eq!(failed["leg"], "server", "{failed}");
        let reason = failed["reason"].to_string();
        assert!(reason.contains("this build has no second TLS stack"), "{reason}");
    };
    let Some((active, sessions)) = old_gateway(1) else { return };
    assert_eq!(active, [false]);
    need(&sessions);
    let Some((active, sessions)) = old_server() else { return };
    assert_eq!(active, [false, false]);
    need(&sessions);
}
