//! The oldest transport, RPC over HTTP, with the one client that speaks it.

use super::faults::scripted;
use super::{Gives, parts, through, told};
use crate::support::gateway::{GATEWAY_PATH, Gateway, Http, PASSWORD, RPC_PATH, Setup, Tunnel, USER, What};
use crate::support::peers::FreeRdp;

const E_PROXY_RAP_ACCESSDENIED: u32 = 0x8007_59DA;

/// How FreeRDP is told to speak RPC, and to find out by itself what the gateway speaks.
const RPC: &str = "rpc";
const ANYTHING: &str = "auto";

fn calls(gateway: &Gateway) -> Vec<&'static str> {
    let call = |seen: crate::support::gateway::Seen| match seen.what {
        What::Call(name) => Some(name),
        _ => None,
    };
    gateway.seen().into_iter().filter_map(call).collect()
}

fn reaches_the_desktop(version: FreeRdp) {
    let Some((xrdp, address)) = parts(version) else { return };
    let gateway = Gateway::start(Setup { address, ..Setup::default() });
    let run = through(gateway.address, version, Gives::Password(PASSWORD), RPC, xrdp.address);
    assert!(run.active, "{}\n{}", run.tail(), told(&gateway));
    let all = calls(&gateway);
    let in_order = [
        "bind",
        "TsProxyCreateTunnel",
        "TsProxyAuthorizeTunnel",
        "TsProxyMakeTunnelCall",
        "TsProxyCreateChannel",
        "TsProxySetupReceivePipe",
    ];
    assert_eq!(all[2..][..in_order.len()], in_order, "{}", told(&gateway));
    let logged_on = What::LoggedOn { scheme: "RPC", user: USER.to_owned() };
    assert!(gateway.seen().iter().any(|seen| seen.what == logged_on), "{}", told(&gateway));
}

#[test]
fn xfreerdp2_reaches_the_desktop_over_rpc() {
    reaches_the_desktop(FreeRdp::Two);
}

#[test]
fn xfreerdp3_reaches_the_desktop_over_rpc() {
    reaches_the_desktop(FreeRdp::Three);
}

#[test]
fn a_wrong_password_is_refused_over_rpc_too() {
    let Some((xrdp, _)) = parts(FreeRdp::Two) else { return };
    let gateway = Gateway::start(Setup::default());
    let run = through(gateway.address, FreeRdp::Two, Gives::Password("Wrong-5678"), RPC, xrdp.address);
    assert!(!run.active);
    let refused = What::Refused { reason: "wrong password" };
    assert!(gateway.seen().iter().any(|seen| seen.what == refused), "{}\n{}", run.tail(), told(&gateway));
}

#[test]
fn a_call_can_be_refused() {
    let Some((xrdp, _)) = parts(FreeRdp::Two) else { return };
    let changes: [fn(&mut Tunnel); 3] = [
        |tunnel| tunnel.tunnel_error = E_PROXY_RAP_ACCESSDENIED,
        |tunnel| tunnel.authorization_error = E_PROXY_RAP_ACCESSDENIED,
        |tunnel| tunnel.channel_error = E_PROXY_RAP_ACCESSDENIED,
    ];
    for change in changes {
        let mut tunnel = Tunnel::default();
        change(&mut tunnel);
        let gateway = Gateway::start(Setup { tunnel, ..Setup::default() });
        let run = through(gateway.address, FreeRdp::Two, Gives::Password(PASSWORD), RPC, xrdp.address);
        assert!(!run.active, "{}\n{}", run.tail(), told(&gateway));
        println!("{}\n{}", run.tail(), told(&gateway));
    }
}

#[test]
fn a_client_falls_back_to_rpc_where_the_gateway_has_nothing_else() {
    let Some((xrdp, _)) = parts(FreeRdp::Two) else { return };
    let http = Http { paths: vec![RPC_PATH], ..Http::default() };
    let gateway = Gateway::start(Setup { http, ..Setup::default() });
    let run = through(gateway.address, FreeRdp::Two, Gives::Password(PASSWORD), ANYTHING, xrdp.address);
    println!("{}", told(&gateway));
    assert!(run.active, "{}\n{}", run.tail(), told(&gateway));
    assert!(gateway.requests()[0].starts_with("RDG_OUT_DATA"), "{}", told(&gateway));
}

#[test]
fn a_gateway_may_have_one_transport_only() {
    for (path, rdg, rpc) in [(GATEWAY_PATH, 200, 404), (RPC_PATH, 404, 405)] {
        let (mut client, _gateway) = scripted(|setup| setup.http.paths = vec![path]);
        let rpc_target = format!("{RPC_PATH}?localhost:3388");
        let head = client.request("GET", &rpc_target, &[]).expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {rpc} ")), "{head}");
        let head = client.request("RDG_OUT_DATA", "/remoteDesktopGateway/", &[]).expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {rdg} ")), "{head}");
    }
}
