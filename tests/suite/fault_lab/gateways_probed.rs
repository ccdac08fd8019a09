//! The faults between a client and an RD Gateway as `rdpscope probe --gateway` finds them: the tests' own gateway, and real
//! boxes before it.

use super::Judged;
use crate::support::certificates::{certificates, issued_by};
use crate::support::gateway::{Gateway, Http, Logon, Setup, Upgrade};
use crate::support::left_out::left_out_without;
use crate::support::peers::{Haproxy, Nginx, free_port};
use rdpscope::probe::gateway::probe;
use rdpscope::probe::{OtherPath, Settings};
use rdpscope::relay::target::Target;
use rdpscope::trace::Record;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How long a probe waits for an answer here: nothing on this machine takes longer, whatever else runs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Probes the gateway at `address`.
pub(crate) fn record(address: SocketAddr, change: impl FnOnce(&mut Settings)) -> Record {
    let mut settings = Settings { answer_timeout: ANSWER_TIMEOUT, udp: false, ..Settings::default() };
    change(&mut settings);
    let gateway = Target { host: address.ip().to_string(), port: address.port() };
    let behind = ["srv10.corp.example:3389".parse().expect("it is a target")];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime is made").block_on(probe(&gateway, &behind, &settings))
}

fn judged(address: SocketAddr) -> Judged {
    Judged::of_record(&record(address, |_| ()))
}

/// Somewhere where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// A gateway that asks nobody who he is.
pub(crate) fn open_gateway(http: Http) -> Gateway {
    let logon = Logon { schemes: Vec::new(), ..Logon::default() };
    Gateway::start(Setup { logon, http, ..Setup::default() })
}

pub(super) fn works() -> Option<Judged> {
    Some(judged(Gateway::start(Setup::default()).address))
}

pub(super) fn expired_certificate() -> Option<Judged> {
    let setup = Setup { certificate: &certificates().expired, ..Setup::default() };
    Some(judged(Gateway::start(setup).address))
}

pub(super) fn nobody_listens() -> Option<Judged> {
    Some(judged(nobody()))
}

/// A gateway whose WebSocket does this.
pub(super) fn websocket(upgrade: Upgrade) -> Option<Judged> {
    Some(judged(open_gateway(Http { upgrade, ..Http::default() }).address))
}

/// nginx before a gateway that asks nobody who he is.
pub(super) fn behind_nginx(location: &[&str]) -> Option<Judged> {
    if left_out_without(&["nginx"]) {
        return None;
    }
    let gateway = open_gateway(Http::default());
    let nginx = Nginx { location, ..Nginx::default() }.start(gateway.address);
    Some(judged(nginx.address))
}

/// haproxy before the same.
pub(super) fn behind_haproxy(line: &str) -> Option<Judged> {
    if left_out_without(&["haproxy"]) {
        return None;
    }
    let gateway = open_gateway(Http::default());
    let haproxy = Haproxy { frontend: &[line], ..Haproxy::default() }.start(gateway.address);
    Some(judged(haproxy.address))
}

/// haproxy before a gateway that asks for a logon.
pub(super) fn with_logon_behind_haproxy(line: &str) -> Option<Judged> {
    if left_out_without(&["haproxy"]) {
        return None;
    }
    let gateway = Gateway::start(Setup::default());
    let haproxy = Haproxy { frontend: &[line], ..Haproxy::default() }.start(gateway.address);
    Some(judged(haproxy.address))
}

/// nginx before a gateway that asks for a logon.
pub(super) fn with_logon_behind_nginx() -> Option<Judged> {
    if left_out_without(&["nginx"]) {
        return None;
    }
    let gateway = Gateway::start(Setup::default());
    let nginx = Nginx::default().start(gateway.address);
    Some(judged(nginx.address))
}

pub(super) fn only_http_2() -> Option<Judged> {
    if left_out_without(&["haproxy"]) {
        return None;
    }
    let gateway = open_gateway(Http::default());
    let haproxy = Haproxy { bind: Haproxy::ONLY_HTTP_2, ..Haproxy::default() }.start(gateway.address);
    Some(judged(haproxy.address))
}

/// The way that is asked leads to the gateway, and another one to a box that takes TLS apart.
pub(super) fn inspected_on_one_of_two_ways() -> Option<Judged> {
    if left_out_without(&["haproxy"]) {
        return None;
    }
    let gateway = Gateway::start(Setup::default());
    let certificate = issued_by("Proxy of the house", &["localhost", "127.0.0.1"]);
    let inspecting = Haproxy { certificate: &certificate, ..Haproxy::default() }.start(gateway.address);
    let (ip, port) = (inspecting.address.ip(), Some(inspecting.address.port()));
    let other = OtherPath::Address { ip, port };
    Some(Judged::of_record(&record(gateway.address, |settings| settings.other_paths = vec![other])))
}

pub(super) fn nobody_behind() -> Option<Judged> {
    if left_out_without(&["haproxy"]) {
        return None;
    }
    Some(judged(Haproxy::default().start(nobody()).address))
}

pub(super) fn a_web_server() -> Option<Judged> {
    if left_out_without(&["nginx"]) {
        return None;
    }
    let nginx = Nginx { location: &["return 404;"], ..Nginx::default() }.start(nobody());
    Some(judged(nginx.address))
}
