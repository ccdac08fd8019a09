//! The faults between a client and an RD Gateway as `rdpscope proxy --gateway` meets them: real clients, real boxes before
//! the tests' own gateway, and a scripted client where a real one would not do what is to be seen.

use super::Judged;
use crate::gateway::side_channel::{PORT, own_address};
use crate::gateway_peers::udp::carrying;
use crate::support::certificates::{Certificate, certificates, issued_by};
use crate::support::gateway::{
    ChannelBindings, Client, Gateway, Http, Logon, PASSWORD, RPC_PATH, Setup, Tunnel, USER, Upgrade, packet,
    udp,
};
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Haproxy, Middlebox, Nginx, Xfreerdp, Xrdp, free_port};
use crate::support::rdpscope::{Rdpscope, program};
use crate::support::scripted::listener;
use base64::prelude::{BASE64_STANDARD, Engine};
use rustls::SupportedProtocolVersion;
use rustls::version::TLS12;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

const CLIENT: FreeRdp = FreeRdp::Two;
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.canary";
/// Longer than a gateway takes for an answer, by which silence is told from slowness.
const SILENCE: Duration = Duration::from_secs(6);
/// How long a client waits for an answer over UDP.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// What shows certificates in clear.
const ONLY_TLS_12: &[&SupportedProtocolVersion] = &[&TLS12];
/// This machine.
const HERE: [u8; 4] = [127, 0, 0, 1];

/// What carries the tunnel, as FreeRDP is told of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    WebSocket,
    TwoConnections,
    Rpc,
    /// One after the other, until one is served.
    Anything,
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
        By::Rpc => "rpc",
        By::Anything => "auto",
    };
    let who = match brings {
        Brings::Password(password) => format!("/gu:{USER} /gp:{password}"),
        Brings::Token => format!("/gat:{TOKEN}"),
    };
    let arguments = format!("/g:{} {who} /gt:{carried} /sec:tls /u:a /p:b", rdpscope.address);
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let run = Xfreerdp::new(CLIENT, &arguments).run(target.port());
    println!("{}", run.summary());
    judged(rdpscope)
}

fn judged(rdpscope: Rdpscope) -> Judged {
    let finished = rdpscope.finish();
    println!("{}\n{}", finished.stderr, finished.session());
    Judged::of_session(&finished)
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

/// haproxy in front, which forgets what is idle for three seconds, and a user who does nothing, twice.
pub(super) fn cut_when_idle() -> Option<Judged> {
    if left_out(&["haproxy"]) {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let haproxy = Haproxy { idle: "3s", ..Haproxy::default() }.start(gateway.address);
    let rdpscope = Rdpscope::start(xrdp.address, 2, &["--gateway", &haproxy.address.to_string()]);
    let way = format!("/g:{} /gu:{USER} /gp:{PASSWORD} /gt:http,no-websockets", rdpscope.address);
    let arguments: Vec<&str> = way.split(' ').chain(["/sec:tls", "/u:a", "/p:b"]).collect();
    for _ in 0..2 {
        let run = Xfreerdp::new(CLIENT, &arguments).staying().run(xrdp.address.port());
        println!("{}", run.summary());
    }
    let finished = rdpscope.finish();
    let last = finished.sessions.last().expect("there were sessions");
    println!("{}\n{last}", finished.stderr);
    Some(Judged::of_line(last.verdict()))
}

/// What the first connection finds is the gateway; what the second finds takes TLS apart.
pub(super) fn inspected_on_one_of_two_ways() -> Option<Judged> {
    if left_out(&["haproxy"]) {
        return None;
    }
    let gateway = Gateway::start(Setup::default());
    let certificate = issued_by("Proxy of the house", &["localhost", "127.0.0.1"]);
    let inspecting = Haproxy { certificate: &certificate, ..Haproxy::default() }.start(gateway.address);
    let front = listener();
    let address = front.local_addr().expect("a listener has an address");
    std::thread::spawn(move || {
        for (near, far) in front.incoming().map_while(Result::ok).zip([gateway.address, inspecting.address]) {
            carry(near, TcpStream::connect(far).expect("both ways lead somewhere"));
        }
        // They live as long as the connections do.
        std::thread::park();
        drop((gateway, inspecting));
    });
    Some(between(address, By::TwoConnections, Brings::Password(PASSWORD), &[]))
}

/// Copies both ways until one side ends.
fn carry(near: TcpStream, far: TcpStream) {
    let ways = [(&near, &far), (&far, &near)].map(|(from, to)| {
        (from.try_clone().expect("a socket is cloned"), to.try_clone().expect("a socket is cloned"))
    });
    for (mut from, mut to) in ways {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// nginx in front, which goes to the gateway on a new connection with each request.
pub(super) fn ntlm_over_changing_connections() -> Option<Judged> {
    if left_out(&["nginx"]) {
        return None;
    }
    let gateway = Gateway::start(Setup::default());
    let nginx = Nginx::default().start(gateway.address);
    let password = Brings::Password(PASSWORD);
    Some(with_its_own_certificate(|options| between(nginx.address, By::TwoConnections, password, options)))
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
    let wrong = Brings::Password("Wrong-5678");
    Some(with_its_own_certificate(|options| between(gateway.address, By::WebSocket, wrong, options)))
}

fn bound() -> Setup<'static> {
    let logon = Logon { channel_bindings: ChannelBindings::Required, ..Logon::default() };
    Setup { logon, ..Setup::default() }
}

/// The gateway wants NTLM bound to its own certificate, and the client sees rdpscope's.
pub(super) fn bound_to_another_certificate() -> Option<Judged> {
    plain(bound(), By::WebSocket, &[])
}

/// `--cert file:` with the gateway's own certificate and key, so that nothing is bound to another one.
fn with_its_own_certificate<T>(run: impl FnOnce(&[&str]) -> T) -> T {
    let own: &Certificate = &certificates().signed;
    let file = tempfile::NamedTempFile::new().expect("a temporary file is made");
    let read = |path| std::fs::read(path).expect("a certificate is read");
    let both = [read(&own.certificate_file), read(&own.key_file)].concat();
    std::fs::write(&file, both).expect("it is written");
    run(&["--cert", &format!("file:{}", file.path().display())])
}

/// The same where rdpscope shows the client the gateway's own.
pub(super) fn bound_to_the_gateways_own() -> Option<Judged> {
    with_its_own_certificate(|options| plain(bound(), By::WebSocket, options))
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
    let arguments = format!("/g:{} /gu:{USER} /gp:{PASSWORD} /gt:http /u:a /p:b", rdpscope.address);
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let client = Xfreerdp::new(CLIENT, &arguments).trusting_only(&certificates().authority_file);
    let run = client.run(target.port());
    println!("{}", run.summary());
    Some(judged(rdpscope))
}

/// A gateway that answers so inside its tunnel.
pub(super) fn in_the_tunnel(change: impl FnOnce(&mut Tunnel)) -> Option<Judged> {
    let mut tunnel = Tunnel::default();
    change(&mut tunnel);
    plain(Setup { tunnel, ..Setup::default() }, By::WebSocket, &[])
}

/// The same over RPC.
pub(super) fn in_the_tunnel_of_rpc(change: impl FnOnce(&mut Tunnel)) -> Option<Judged> {
    let mut tunnel = Tunnel::default();
    change(&mut tunnel);
    plain(Setup { tunnel, ..Setup::default() }, By::Rpc, &[])
}

/// A gateway that speaks nothing but RPC, to a client that would speak anything.
pub(super) fn nothing_but_rpc() -> Option<Judged> {
    let http = Http { paths: vec![RPC_PATH], ..Http::default() };
    plain(Setup { http, ..Setup::default() }, By::Anything, &[])
}

/// A side channel that is announced and swallowed, and a client that does not go on without it.
pub(super) fn side_channel_is_swallowed() -> Option<Judged> {
    let (here, there) = (own_address(), own_address());
    let black_hole = udp::UdpSide::start_at((there, PORT).into(), false);
    let target = listener();
    let target = target.local_addr().expect("a listener has an address");
    let gateway = Gateway::start(Setup { address: (there, 0).into(), ..carrying(target, Some(PORT)) });
    let (listen, far) = (format!("{here}:0"), gateway.address.to_string());
    let options = ["--listen", &listen, "--sessions", "1", "--gateway", &far];
    let rdpscope = Rdpscope::start_as(program(), &target.to_string(), &options);
    let mut client = Client::connect(rdpscope.address);
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
    client.upgrade(Some(&basic)).expect("a head");
    client.open("server.example", 3389).expect("a tunnel");
    let tried = udp::attempt((here, PORT).into(), [0x1D; 16], PATIENCE);
    assert_eq!(tried, udp::Attempt::Silent, "{:?}", black_hole.received());
    drop(client);
    Some(judged(rdpscope))
}

/// A target on which nothing listens.
pub(super) fn target_is_not_there() -> Option<Judged> {
    in_the_tunnel(|tunnel| tunnel.target = Some(nobody()))
}

/// A scripted client through rdpscope to what stands before `gateway`.
fn scripted(gateway: SocketAddr, play: impl FnOnce(SocketAddr)) -> Judged {
    let rdpscope = Rdpscope::start(nobody(), 1, &["--gateway", &gateway.to_string()]);
    play(rdpscope.address);
    judged(rdpscope)
}

/// A client that stays, at a gateway whose WebSocket does this.
pub(super) fn websocket_that_hangs(upgrade: Upgrade) -> Option<Judged> {
    let logon = Logon { schemes: Vec::new(), ..Logon::default() };
    let http = Http { upgrade, ..Http::default() };
    let gateway = Gateway::start(Setup { logon, http, ..Setup::default() });
    Some(scripted(gateway.address, |address| {
        let mut client = Client::connect(address).patient_for(SILENCE);
        if client.upgrade(None).is_ok() {
            client.send(&packet::Packet::new(packet::HANDSHAKE_REQUEST, &[1, 0, 0, 0, 0, 0]));
            let silence = client.next_packet();
            assert!(silence.is_err(), "{silence:?}");
        }
    }))
}

const PATH: &str = "/remoteDesktopGateway/";

/// An OUT channel that is asked for with name and password, behind nginx as it is by itself: it holds back what it does
/// not see the end of.
pub(super) fn out_channel_is_buffered() -> Option<Judged> {
    if left_out_without(&["nginx"]) {
        return None;
    }
    let logon = Logon { schemes: vec!["Basic"], ..Logon::default() };
    let gateway = Gateway::start(Setup { logon, ..Setup::default() });
    let nginx =
        Nginx { location: &[Nginx::UPGRADE, Nginx::PATIENT], ..Nginx::default() }.start(gateway.address);
    Some(scripted(nginx.address, |address| {
        let mut client = Client::connect(address).patient_for(SILENCE);
        let asked =
            client.request("RDG_OUT_DATA", PATH, &[("RDG-Connection-Id", "{1}"), ("Content-Length", "0")]);
        assert!(asked.is_ok_and(|head| head.starts_with("HTTP/1.1 401")));
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let fields =
            [("RDG-Connection-Id", "{1}"), ("Content-Length", "0"), ("Authorization", basic.as_str())];
        let silence = client.request("RDG_OUT_DATA", PATH, &fields);
        assert!(silence.is_err(), "{silence:?}");
    }))
}

/// An IN channel whose first packet a box keeps to itself.
fn in_channel_is_buffered(middlebox: &Middlebox) -> Judged {
    scripted(middlebox.address, |address| {
        let mut out_channel = Client::connect(address);
        out_channel.request("RDG_OUT_DATA", PATH, &[("RDG-Connection-Id", "{1}")]).expect("it is served");
        let mut in_channel = Client::connect(address).patient_for(SILENCE);
        let fields = [("RDG-Connection-Id", "{1}"), ("Transfer-Encoding", "chunked")];
        let silence = in_channel.request("RDG_IN_DATA", PATH, &fields);
        assert!(silence.is_err(), "{silence:?}");
    })
}

/// By nginx.
pub(super) fn in_channel_is_buffered_by_nginx() -> Option<Judged> {
    if left_out_without(&["nginx"]) {
        return None;
    }
    let gateway = open_gateway();
    let location = &[Nginx::UPGRADE, Nginx::DIRECT_RESPONSES, Nginx::NO_CHUNKS, Nginx::PATIENT];
    Some(in_channel_is_buffered(&Nginx { location, ..Nginx::default() }.start(gateway.address)))
}

/// By haproxy.
pub(super) fn in_channel_is_buffered_by_haproxy() -> Option<Judged> {
    if left_out_without(&["haproxy"]) {
        return None;
    }
    let gateway = open_gateway();
    let frontend = &[Haproxy::BUFFERED_REQUESTS];
    Some(in_channel_is_buffered(&Haproxy { frontend, ..Haproxy::default() }.start(gateway.address)))
}
