//! The faults between a client and an RD Gateway as `rdpscope proxy --gateway` meets them: real clients, real boxes before
//! the tests' own gateway, and a scripted client where a real one would not do what is to be seen.

use super::Judged;
use crate::support::certificates::{Certificate, certificates};
use crate::support::gateway::{
    ChannelBindings, Client, Gateway, Http, Logon, PASSWORD, Setup, Tunnel, USER, Upgrade, packet,
};
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Haproxy, Middlebox, Nginx, Xfreerdp, Xrdp, free_port};
use crate::support::rdpscope::Rdpscope;
use rustls::SupportedProtocolVersion;
use rustls::version::TLS12;
use std::net::SocketAddr;
use std::time::Duration;

const CLIENT: FreeRdp = FreeRdp::Two;
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.canary";
/// Longer than a gateway takes for an answer, by which silence is told from slowness.
const SILENCE: Duration = Duration::from_secs(6);
/// What shows certificates in clear.
const ONLY_TLS_12: &[&SupportedProtocolVersion] = &[&TLS12];
/// This machine.
const HERE: [u8; 4] = [127, 0, 0, 1];

/// What carries the tunnel, as FreeRDP is told of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    WebSocket,
    TwoConnections,
}

/// What the client brings for the gateway.
#[derive(Debug, Clone, Copy)]
enum Brings {
    Password(&'static str),
    Token,
}

fn left_out(more: &[&'static str]) -> bool {
    left_out_without(&[&Xfreerdp::programs(CLIENT)[..], &["xrdp"], more].concat())
}

/// xfreerdp through rdpscope to an xrdp behind `gateway`, which is one or a box before one.
fn between(gateway: SocketAddr, by: By, brings: Brings, options: &[&str]) -> Judged {
    let xrdp = Xrdp::start(&Xrdp::setup());
    with_target(xrdp.address, gateway, by, brings, options)
}

fn with_target(target: SocketAddr, gateway: SocketAddr, by: By, brings: Brings, options: &[&str]) -> Judged {
    let gateway = gateway.to_string();
    let rdpscope = Rdpscope::start(target, 1, &[&["--gateway", &gateway], options].concat());
    let carried = match by {
        By::WebSocket => "http",
        By::TwoConnections => "http,no-websockets",
    };
    let who = match brings {
        Brings::Password(password) => format!("/gu:{USER} /gp:{password}"),
        Brings::Token => format!("/gat:{TOKEN}"),
    };
    let arguments = format!("/g:{} {who} /gt:{carried} /sec:tls /u:a /p:b", rdpscope.address);
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let run = Xfreerdp::new(CLIENT, &arguments).run(target.port());
    println!("{}", run.summary());
    Judged::of_session(&rdpscope.finish())
}

/// A gateway with nothing in front of it.
fn plain(setup: Setup<'_>, by: By, options: &[&str]) -> Option<Judged> {
    if left_out(&[]) {
        return None;
    }
    let gateway = Gateway::start(setup);
    Some(between(gateway.address, by, Brings::Password(PASSWORD), options))
}

/// A session that works.
pub(super) fn works(by: By) -> Option<Judged> {
    plain(Setup::default(), by, &[])
}

/// haproxy in front that does nothing but forward.
pub(super) fn behind_clean_haproxy() -> Option<Judged> {
    if left_out(&["haproxy"]) {
        return None;
    }
    let gateway = Gateway::start(Setup::default());
    let haproxy = Haproxy::default().start(gateway.address);
    Some(between(haproxy.address, By::TwoConnections, Brings::Password(PASSWORD), &[]))
}

/// A gateway that takes a cookie: no logon of HTTP, which nginx would break.
fn open_gateway() -> Gateway {
    let logon = Logon { schemes: Vec::new(), token: Some(TOKEN.to_owned()), ..Logon::default() };
    Gateway::start(Setup { logon, ..Setup::default() })
}

/// nginx in front, with these lines about the gateway.
pub(super) fn behind_nginx(location: &[&str], by: By) -> Option<Judged> {
    if left_out(&["nginx"]) {
        return None;
    }
    let gateway = open_gateway();
    let nginx = Nginx { location, ..Nginx::default() }.start(gateway.address);
    Some(between(nginx.address, by, Brings::Token, &[]))
}

/// haproxy in front, with this line.
pub(super) fn behind_haproxy(line: &str, by: By) -> Option<Judged> {
    if left_out(&["haproxy"]) {
        return None;
    }
    let gateway = open_gateway();
    let haproxy = Haproxy { frontend: &[line], ..Haproxy::default() }.start(gateway.address);
    Some(between(haproxy.address, by, Brings::Token, &[]))
}

/// haproxy in front that refuses the odd key of FreeRDP 2 itself.
pub(super) fn haproxy_refuses_the_key() -> Option<Judged> {
    behind_haproxy("", By::WebSocket)
}

/// haproxy in front that speaks nothing but HTTP/2.
pub(super) fn only_http_2() -> Option<Judged> {
    if left_out(&["haproxy"]) {
        return None;
    }
    let gateway = open_gateway();
    let haproxy = Haproxy { bind: Haproxy::ONLY_HTTP_2, ..Haproxy::default() }.start(gateway.address);
    Some(between(haproxy.address, By::TwoConnections, Brings::Token, &[]))
}

/// nginx in front, which goes to the gateway on a new connection with each request.
pub(super) fn ntlm_over_changing_connections() -> Option<Judged> {
    if left_out(&["nginx"]) {
        return None;
    }
    let gateway = Gateway::start(Setup::default());
    let nginx = Nginx::default().start(gateway.address);
    Some(between(nginx.address, By::TwoConnections, Brings::Password(PASSWORD), &[]))
}

/// haproxy in front, which ends the client's connection after each response.
pub(super) fn ntlm_over_closed_connections() -> Option<Judged> {
    if left_out(&["haproxy"]) {
        return None;
    }
    let gateway = Gateway::start(Setup::default());
    let haproxy = Haproxy { frontend: &[Haproxy::CLOSE], ..Haproxy::default() }.start(gateway.address);
    Some(between(haproxy.address, By::TwoConnections, Brings::Password(PASSWORD), &[]))
}

fn nobody() -> SocketAddr {
    (HERE, free_port()).into()
}

/// Nothing listens where the gateway should be.
pub(super) fn nobody_listens() -> Option<Judged> {
    if left_out(&[]) {
        return None;
    }
    Some(between(nobody(), By::WebSocket, Brings::Password(PASSWORD), &[]))
}

/// haproxy answers for a gateway that is not there.
pub(super) fn nobody_behind() -> Option<Judged> {
    if left_out(&["haproxy"]) {
        return None;
    }
    let haproxy: Middlebox = Haproxy::default().start(nobody());
    Some(between(haproxy.address, By::TwoConnections, Brings::Password(PASSWORD), &[]))
}

/// A web server of nginx that knows nothing of gateways.
pub(super) fn a_web_server() -> Option<Judged> {
    if left_out(&["nginx"]) {
        return None;
    }
    let nginx = Nginx { location: &["return 404;"], ..Nginx::default() }.start(nobody());
    Some(between(nginx.address, By::WebSocket, Brings::Password(PASSWORD), &[]))
}

/// The client's password is not the gateway's.
pub(super) fn wrong_password() -> Option<Judged> {
    if left_out(&[]) {
        return None;
    }
    let gateway = Gateway::start(Setup::default());
    Some(between(gateway.address, By::WebSocket, Brings::Password("Wrong-5678"), &[]))
}

fn bound() -> Setup<'static> {
    let logon = Logon { channel_bindings: ChannelBindings::Required, ..Logon::default() };
    Setup { logon, ..Setup::default() }
}

/// The gateway wants NTLM bound to its own certificate, and the client sees rdpscope's.
pub(super) fn bound_to_another_certificate() -> Option<Judged> {
    plain(bound(), By::WebSocket, &[])
}

/// The same with the gateway's own certificate and key in rdpscope's hands.
pub(super) fn bound_to_the_gateways_own() -> Option<Judged> {
    let own: &Certificate = &certificates().signed;
    let file = tempfile::NamedTempFile::new().expect("a temporary file is made");
    let read = |path| std::fs::read(path).expect("a certificate is read");
    std::fs::write(&file, [read(&own.certificate_file), read(&own.key_file)].concat()).expect("it is written");
    let mode = format!("file:{}", file.path().display());
    plain(bound(), By::WebSocket, &["--cert", &mode])
}

/// A client that refuses the gateway's expired certificate, with which rdpscope does not meddle.
pub(super) fn expired_certificate() -> Option<Judged> {
    if left_out(&[]) {
        return None;
    }
    let setup = Setup { certificate: &certificates().expired, tls_versions: ONLY_TLS_12, ..Setup::default() };
    let gateway = Gateway::start(setup);
    let address = gateway.address.to_string();
    let target = nobody();
    let options = ["--gateway", &address, "--cert", "passthrough"];
    let rdpscope = Rdpscope::start(target, 1, &options);
    let arguments = format!("/g:{} /gu:{USER} /gp:{PASSWORD} /gt:http /cert:deny", rdpscope.address);
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let run = Xfreerdp::new(CLIENT, &arguments).run(target.port());
    println!("{}", run.summary());
    Some(Judged::of_session(&rdpscope.finish()))
}

/// A gateway that answers so inside its tunnel.
pub(super) fn in_the_tunnel(change: impl FnOnce(&mut Tunnel)) -> Option<Judged> {
    let mut tunnel = Tunnel::default();
    change(&mut tunnel);
    plain(Setup { tunnel, ..Setup::default() }, By::WebSocket, &[])
}

/// A target on which nothing listens.
pub(super) fn target_is_not_there() -> Option<Judged> {
    in_the_tunnel(|tunnel| tunnel.target = Some(nobody()))
}

/// A client that stays, at a gateway whose WebSocket does this.
pub(super) fn websocket_that_hangs(upgrade: Upgrade) -> Option<Judged> {
    let logon = Logon { schemes: Vec::new(), ..Logon::default() };
    let http = Http { upgrade, ..Http::default() };
    let gateway = Gateway::start(Setup { logon, http, ..Setup::default() });
    let address = gateway.address.to_string();
    let rdpscope = Rdpscope::start(nobody(), 1, &["--gateway", &address]);
    let mut client = Client::connect(rdpscope.address).patient_for(SILENCE);
    if client.upgrade(None).is_ok() {
        client.send(&packet::Packet::new(packet::HANDSHAKE_REQUEST, &[1, 0, 0, 0, 0, 0]));
        let silence = client.next_packet();
        assert!(silence.is_err(), "{silence:?}");
    }
    drop(client);
    Some(Judged::of_session(&rdpscope.finish()))
}
