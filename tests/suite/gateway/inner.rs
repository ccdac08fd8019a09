//! TLS inside the tunnel, terminated by rdpscope: certificates on trial and NLA, through a gateway.

use super::{TWO_CONNECTIONS, WEBSOCKET, left_out, relay};
use crate::support::certificates::certificates;
use crate::support::gateway::{Gateway, PASSWORD, Setup, USER, way};
use crate::support::left_out::left_out_without;
use crate::support::peers::{ClientRun, FreeRdp, Shadow, ShadowSecurity, Xfreerdp, Xrdp, XrdpSetup};
use crate::support::rdpscope::{Finished, Session};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

/// The account on the server; its password is what must be found nowhere.
const SERVER_USER: &str = "/u:test";
const SERVER_PASSWORD: &str = "Right-1234";
/// Phases inside the tunnel before the desktop.
const PHASES: [&str; 8] =
    ["x224", "tls", "mcs", "channels", "info", "licensing", "capabilities", "finalization"];

/// A client that trusts the CA of rdpscope and no other, except the test's own, through a relay with `flags`.
fn strict(server: SocketAddr, flags: &[&str], transport: &str, arguments: &[&str]) -> (ClientRun, Finished) {
    let gateway = Gateway::start(Setup::default());
    let folder = TempDir::new().expect("a temporary folder is made");
    let ca = folder.path().join("ca.pem");
    let ca_out = ca.to_string_lossy().into_owned();
    let relay = relay(server, gateway.address, 1, &[flags, &["--ca-out", &ca_out]].concat());
    let both = [&certificates().authority_file, &ca]
        .map(|file| std::fs::read_to_string(file).expect("a CA is written before it listens"));
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, both.concat()).expect("what is trusted is written");
    let way = way(relay.address, transport);
    let password = format!("/p:{SERVER_PASSWORD}");
    let way: Vec<&str> = way.split(' ').collect();
    let arguments = [&way[..], &[SERVER_USER, &password], arguments].concat();
    let run = Xfreerdp::new(FreeRdp::Two, &arguments).trusting_only(&trusted).run(server.port());
    println!("{flags:?}: {}", run.summary());
    (run, relay.finish())
}

fn assert_inside(session: &Session) {
    session.assert_reached(&[
        "gateway-tcp",
        "gateway-tls",
        "gateway-http",
        "gateway-tunnel",
        "gateway-channel",
    ]);
    session.assert_reached(&PHASES);
    session.assert_reached(&["active"]);
    for phase in ["gateway-tls", "tls"] {
        for leg in ["client", "server"] {
            assert_eq!(
                session.outcome_on(phase, leg),
                Some("ok"),
                "{phase} on the leg of the {leg}:\n{session}"
            );
        }
    }
    let inferred: Vec<_> = session.lines().iter().filter(|line| line["inferred"] == true).collect();
    assert!(inferred.is_empty(), "{inferred:?}");
    for once in ["connection_request", "connection_confirm", "client_core_data"] {
        assert!(session.events_named(once).len() <= 1, "{once} is told once:\n{session}");
    }
}

fn assert_no_secret(finished: &Finished) {
    finished.assert_nowhere(SERVER_PASSWORD);
    finished.assert_nowhere(PASSWORD);
}

fn desktop(transport: &str) {
    if left_out(FreeRdp::Two) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let flags = ["--inner-cert", "fresh", "--tcp-only"];
    let (run, finished) = strict(xrdp.address, &flags, transport, &["/sec:tls"]);
    assert!(run.active, "{}\n{}\n{}", run.tail(), finished.stderr, finished.session());
    let session = finished.session();
    assert_inside(session);
    session.assert_verdict(&["healthy", "client-closed"]);
    assert_eq!(session.end()["closed_by"], "client", "{session}");
    assert!(session.events_named("not_altered").is_empty(), "{session}");
    assert_rewritten(session, transport);
    assert_no_secret(&finished);
}

/// What frames the packets, and the headers of those with data, were written anew in either direction, and it is said.
fn assert_rewritten(session: &Session, transport: &str) {
    for leg in ["client", "server"] {
        let written: Vec<&str> = session
            .lines()
            .iter()
            .filter(|line| line["type"] == "altered" && line["why"] == "--inner-cert" && line["leg"] == leg)
            .filter(|line| {
                line["field"].as_str().is_some_and(|field| field.contains("were written in their place"))
            })
            .filter_map(|line| line["structure"].as_str())
            .collect();
        assert!(written.contains(&"HTTP_DATA_PACKET"), "{leg}: {written:?}\n{session}");
        if transport == WEBSOCKET {
            assert!(written.contains(&"WebSocket frame"), "{leg}: {written:?}\n{session}");
        }
    }
}

#[test]
fn over_a_websocket() {
    desktop(WEBSOCKET);
}

#[test]
fn over_two_connections() {
    desktop(TWO_CONNECTIONS);
}

#[test]
fn an_expired_certificate_behind_the_gateway_is_guilty_of_its_dates() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let xrdp = Xrdp::start(&XrdpSetup { certificate: &certificates().expired, ..Xrdp::setup() });
    let (refused, finished) = strict(xrdp.address, &["--inner-cert", "mirror"], WEBSOCKET, &["/sec:tls"]);
    assert!(!refused.active, "{}", refused.tail());
    finished.session().assert_verdict(&["certificate-expired"]);
    let repaired = ["--inner-cert", "mirror+dates"];
    let (taken, finished) = strict(xrdp.address, &repaired, WEBSOCKET, &["/sec:tls"]);
    assert!(taken.active, "{}\n{}\n{}", taken.tail(), finished.stderr, finished.session());
    assert_inside(finished.session());
    assert_no_secret(&finished);
}

/// A server with NLA behind the gateway.
fn nla(security: ShadowSecurity, flags: &[&str], transport: &str) -> Option<(ClientRun, Finished)> {
    let programs = [&Xfreerdp::programs(FreeRdp::Two)[..], &Shadow::programs(FreeRdp::Two)].concat();
    if left_out_without(&programs) {
        return None;
    }
    let shadow = Shadow::start(FreeRdp::Two, security);
    let flags = [&["--inner-cert", "fresh"], flags].concat();
    Some(strict(shadow.address, &flags, transport, &[]))
}

#[test]
fn rdpscope_logs_on_by_itself_inside_the_tunnel() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let account = account(&folder, "test", SERVER_PASSWORD);
    let at_gateway = self::account(&folder, USER, PASSWORD);
    let flags = ["--inner-nla", "terminate", "--credentials", &account];
    let over_rpc = [&flags[..], &["--gateway-credentials", &at_gateway]].concat();
    for (transport, flags) in [(WEBSOCKET, &flags[..]), (TWO_CONNECTIONS, &flags), ("rpc", &over_rpc)] {
        let Some((run, finished)) = nla(ShadowSecurity::Nla, flags, transport) else { return };
        assert!(run.active, "{}\n{}\n{}", run.tail(), finished.stderr, finished.session());
        let session = finished.session();
        assert_inside(session);
        session.assert_reached(&["credssp"]);
        let ends = session.events_named("credssp_terminated");
        assert!(ends.len() == 2 && ends.iter().all(|end| end["succeeded"] == true), "{session}");
        assert_no_secret(&finished);
    }
}

#[test]
fn a_server_that_demands_nla_is_not_blamed_for_what_was_stripped_inside_the_tunnel() {
    let Some((run, finished)) = nla(ShadowSecurity::Nla, &["--inner-nla", "strip"], WEBSOCKET) else {
        return;
    };
    assert!(!run.active, "{}", run.tail());
    finished.session().assert_verdict(&["nla-required"]);
    assert_no_secret(&finished);
}

/// A file with an account that only we may read.
pub(super) fn account(folder: &TempDir, user: &str, password: &str) -> String {
    let file = folder.path().join(user);
    std::fs::write(&file, format!("username = {user}\npassword = {password}\n")).expect("they are written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("only we may read them");
    file.to_string_lossy().into_owned()
}

#[test]
fn over_rpc_calls_that_are_signed_stay_as_they_are_and_that_is_said() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let (run, finished) = strict(xrdp.address, &["--inner-cert", "fresh"], "rpc", &["/sec:tls"]);
    assert!(run.active, "{}\n{}\n{}", run.tail(), finished.stderr, finished.session());
    let session = finished.session();
    assert_eq!(session.summary()["transport"], "gateway-rpc", "{session}");
    let not_altered = session.event("not_altered");
    assert_eq!(not_altered["setting"], "--inner-cert", "{not_altered}");
    let reason = not_altered["reason"].to_string();
    for told in ["RPC_C_AUTHN_LEVEL_PKT_INTEGRITY", "--gateway-credentials", "--gateway-transport"] {
        assert!(reason.contains(told), "{reason}");
    }
    let screen = finished.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(screen.contains("the client signs its calls to the gateway"), "{}", finished.stderr);
    assert!(session.events_named("certificate_presented").len() <= 2, "only the gateway's:\n{session}");
}

#[test]
fn over_rpc_with_the_account_of_the_gateway() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder is made");
    let account = account(&folder, USER, PASSWORD);
    let xrdp = Xrdp::start(&Xrdp::setup());
    let flags = ["--inner-cert", "fresh", "--gateway-credentials", &account];
    let (run, finished) = strict(xrdp.address, &flags, "rpc", &["/sec:tls"]);
    assert!(run.active, "{}\n{}\n{}", run.tail(), finished.stderr, finished.session());
    let session = finished.session();
    assert_eq!(session.summary()["transport"], "gateway-rpc", "{session}");
    assert_inside(session);
    session.assert_verdict(&["healthy", "client-closed"]);
    assert!(session.events_named("not_altered").is_empty(), "{session}");
    for leg in ["client", "server"] {
        let is_rewritten = |line: &&serde_json::Value| {
            line["type"] == "altered" && line["structure"] == "RPC PDU" && line["leg"] == leg
        };
        let field = session.lines().iter().find(is_rewritten).map(|line| line["field"].to_string());
        assert!(field.is_some_and(|it| it.contains("were written in their place")), "{leg}:\n{session}");
    }
    assert_no_secret(&finished);
}

#[test]
fn without_it_udp_inside_the_tunnel_stays_and_that_is_said() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let (run, finished) = strict(xrdp.address, &["--udp", "off"], WEBSOCKET, &["/sec:tls"]);
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let not_altered = finished.session().event("not_altered").clone();
    assert_eq!(not_altered["setting"], "--udp off", "{not_altered}");
    assert!(not_altered["reason"].to_string().contains("--inner-cert"), "{not_altered}");
}

#[test]
fn what_helps_where_nla_is_bound_to_another_key_is_named_by_the_flags_of_the_inside() {
    let Some((run, finished)) = nla(ShadowSecurity::Nla, &[], WEBSOCKET) else { return };
    assert!(!run.active, "{}", run.tail());
    let foreseen = finished.session().event("key_binding_foreseen");
    let advice = foreseen["advice"].to_string();
    assert!(advice.contains("--inner-cert file:") && advice.contains("--inner-nla terminate"), "{advice}");
    assert!(!advice.contains("--renew-with") && !advice.contains(" --cert "), "{advice}");
    finished.session().assert_verdict(&["nla-key-binding"]);
    for line in finished.session().lines() {
        assert!(!line.to_string().contains("--renew-with"), "{line}");
    }
}
