//! What is wrong with a gateway, as a real client sees it, and a scripted one where a real one would hang.

use super::{Gives, TWO_CONNECTIONS, WEBSOCKET, packets, parts, through, told};
use crate::support::gateway::tunnel::E_PROXY_TS_CONNECTFAILED;
use crate::support::gateway::{
    Client, Gateway, Http, InChannel, Logon, PASSWORD, Setup, Tunnel, USER, Upgrade, What, packet,
};
use crate::support::peers::{ClientRun, FreeRdp, free_port};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::io::ErrorKind;
use std::time::Duration;

const E_PROXY_CAPABILITYMISMATCH: u32 = 0x8007_59E9;
const E_PROXY_MAXCONNECTIONSREACHED: u32 = 0x0000_59E6;
const E_PROXY_NAP_ACCESSDENIED: u32 = 0x8007_59DB;
const E_PROXY_RAP_ACCESSDENIED: u32 = 0x8007_59DA;
const E_PROXY_CONNECTIONABORTED: u32 = 0x0000_04D4;

/// How long a test watches a gateway that says nothing.
const SILENCE: Duration = Duration::from_millis(300);
/// How long a gateway may take to notice something.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// Runs FreeRDP 2 against a gateway that is set up like this.
fn with(setup: Setup<'_>, transport: &str) -> Option<(ClientRun, Gateway)> {
    let (xrdp, _) = parts(FreeRdp::Two)?;
    let gateway = Gateway::start(setup);
    let run = through(gateway.address, FreeRdp::Two, Gives::Password(PASSWORD), transport, xrdp.address);
    println!("{}\n{}", run.tail(), told(&gateway));
    Some((run, gateway))
}

fn with_http(transport: &str, change: impl FnOnce(&mut Http)) -> Option<(ClientRun, Gateway)> {
    let mut http = Http::default();
    change(&mut http);
    with(Setup { http, ..Setup::default() }, transport)
}

fn with_tunnel(change: impl FnOnce(&mut Tunnel)) -> Option<(ClientRun, Gateway)> {
    let mut tunnel = Tunnel::default();
    change(&mut tunnel);
    with(Setup { tunnel, ..Setup::default() }, WEBSOCKET)
}

/// A scripted client at a gateway that lets everybody in.
pub(super) fn scripted(change: impl FnOnce(&mut Setup<'_>)) -> (Client, Gateway) {
    let mut setup = Setup { logon: Logon { schemes: Vec::new(), ..Logon::default() }, ..Setup::default() };
    change(&mut setup);
    let gateway = Gateway::start(setup);
    (Client::connect(gateway.address), gateway)
}

#[test]
fn an_upgrade_that_is_answered_with_200_leads_to_two_connections() {
    let Some((run, gateway)) = with_http(WEBSOCKET, |http| http.upgrade = Upgrade::Ignored) else { return };
    assert!(run.active);
    assert_eq!(gateway.connections(), 2);
}

#[test]
fn methods_and_upgrades_that_are_refused_name_who_refused() {
    let by = |http: &mut Http| http.fields = vec![("Via".to_owned(), "1.1 filter".to_owned())];
    let upgrade = with_http(WEBSOCKET, |http| {
        by(http);
        http.upgrade = Upgrade::Refused(400);
    });
    let method = with_http(TWO_CONNECTIONS, |http| {
        by(http);
        http.refused_methods = vec![("RDG_OUT_DATA", 405)];
    });
    for ((run, gateway), status) in [upgrade, method].into_iter().flatten().zip([400, 405]) {
        assert!(!run.active);
        let start = format!("HTTP/1.1 {status} ");
        let refusal = gateway.wait_for(SEEN_WITHIN, |what| {
            matches!(what, What::Response(head) if head.starts_with(&start) && head.contains("Via: 1.1 filter"))
        });
        assert!(refusal.is_some());
    }
}

#[test]
fn a_gateway_may_say_nothing_at_all() {
    let Some((run, gateway)) = with_http(WEBSOCKET, |http| http.silent = true) else { return };
    assert!(!run.active);
    assert!(!gateway.seen().iter().any(|seen| matches!(seen.what, What::Response(_))));
}

#[test]
fn an_out_channel_in_chunks_or_of_an_older_http_is_a_matter_of_the_client() {
    let changes: [fn(&mut Http); 2] = [|http| http.chunked = true, |http| http.version = "HTTP/1.0"];
    for change in changes {
        let Some((_, gateway)) = with_http(TWO_CONNECTIONS, change) else { return };
        let is_so = |what: &What| match what {
            What::Response(head) => {
                head.contains("Transfer-Encoding: chunked") || head.starts_with("HTTP/1.0 200")
            }
            _ => false,
        };
        assert!(gateway.wait_for(SEEN_WITHIN, is_so).is_some());
    }
}

#[test]
fn an_upgrade_may_hang_before_and_behind_its_answer() {
    for (upgrade, is_answered) in [(Upgrade::Unanswered, false), (Upgrade::Dead, true)] {
        let (client, _gateway) = scripted(|setup| setup.http.upgrade = upgrade);
        let mut client = client.patient_for(SILENCE);
        let answer = client.upgrade(None);
        assert_eq!(answer.is_ok(), is_answered, "{answer:?}");
        let silence = match answer {
            Ok(_) => {
                client.send(&packet::Packet::new(packet::HANDSHAKE_REQUEST, &[1, 0, 0, 0, 0, 0]));
                client.next_packet().expect_err("nobody answers")
            }
            Err(silence) => silence,
        };
        assert_eq!(silence.kind(), ErrorKind::WouldBlock, "{silence}");
    }
}

#[test]
fn an_in_channel_may_hang() {
    let (client, _gateway) = scripted(|setup| setup.http.in_channel = InChannel::Unanswered);
    let fields = [("RDG-Connection-Id", "{1}"), ("Content-Length", "0")];
    let silence = client.patient_for(SILENCE).request("RDG_IN_DATA", "/remoteDesktopGateway/", &fields);
    assert_eq!(silence.expect_err("nobody answers").kind(), ErrorKind::WouldBlock);
}

#[test]
fn an_out_channel_may_be_held_back() {
    let fields = [("RDG-Connection-Id", "{1}"), ("Content-Length", "0")];
    for (held_until, comes) in [(0, true), (4096, false)] {
        let (client, _gateway) = scripted(|setup| setup.http.held_until = held_until);
        let mut client = client.patient_for(SILENCE);
        let head = client.request("RDG_OUT_DATA", "/remoteDesktopGateway/", &fields).expect("a head");
        assert!(head.starts_with("HTTP/1.1 200") && !head.contains("Content-Length"), "{head}");
        assert_eq!(client.bytes(10).is_ok(), comes);
    }
}

#[test]
fn what_is_not_for_a_gateway_is_not_served() {
    for (method, target, status) in [("RDG_OUT_DATA", "/", 404), ("GET", "/remoteDesktopGateway/", 405)] {
        let (mut client, _gateway) = scripted(|_| ());
        let head = client.request(method, target, &[]).expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
    }
}

#[test]
fn a_name_and_password_in_clear_are_checked() {
    for (password, status) in [(PASSWORD, 101), ("Wrong-5678", 401)] {
        let (mut client, gateway) = scripted(|setup| setup.logon.schemes = vec!["Basic"]);
        let asked = client.upgrade(None).expect("a head");
        assert!(asked.starts_with("HTTP/1.1 401") && asked.contains("WWW-Authenticate: Basic"), "{asked}");
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{password}")));
        let head = client.upgrade(Some(&basic)).expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        let logged_on = What::LoggedOn { scheme: "Basic", user: USER.to_owned() };
        assert_eq!(gateway.seen().iter().any(|seen| seen.what == logged_on), status == 101);
    }
}

/// The error that a packet of the gateway had, at `offset` of its body.
fn error_in(gateway: &Gateway, kind: u16, offset: usize) -> Option<u32> {
    gateway.seen().iter().find_map(|seen| match &seen.what {
        What::ToClient(packet) if packet.kind() == kind => Some(packet.u32_at(offset)),
        _ => None,
    })
}

#[test]
fn each_step_of_a_tunnel_can_be_refused() {
    let faults = [
        (packet::HANDSHAKE_RESPONSE, 0, E_PROXY_CAPABILITYMISMATCH),
        (packet::TUNNEL_RESPONSE, 2, E_PROXY_MAXCONNECTIONSREACHED),
        (packet::TUNNEL_AUTH_RESPONSE, 0, E_PROXY_NAP_ACCESSDENIED),
        (packet::CHANNEL_RESPONSE, 0, E_PROXY_RAP_ACCESSDENIED),
    ];
    for (kind, offset, error) in faults {
        let run = with_tunnel(|tunnel| match kind {
            packet::HANDSHAKE_RESPONSE => tunnel.handshake_error = error,
            packet::TUNNEL_RESPONSE => tunnel.tunnel_error = error,
            packet::TUNNEL_AUTH_RESPONSE => tunnel.authorization_error = error,
            _ => tunnel.channel_error = error,
        });
        let Some((run, gateway)) = run else { return };
        assert!(!run.active);
        assert_eq!(error_in(&gateway, kind, offset), Some(error));
        assert_eq!(packets(&gateway).last(), Some(&kind), "it is the last packet");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let nobody = ([127, 0, 0, 1], free_port()).into();
    let Some((run, gateway)) = with_tunnel(|tunnel| tunnel.target = Some(nobody)) else { return };
    assert!(!run.active);
    assert_eq!(error_in(&gateway, packet::CHANNEL_RESPONSE, 0), Some(E_PROXY_TS_CONNECTFAILED));
}

#[test]
fn a_user_is_asked_for_consent() {
    let text = "Only for those who may";
    let Some((run, _)) = with_tunnel(|tunnel| tunnel.consent = Some(text.to_owned())) else { return };
    assert!(run.log.iter().any(|line| line.contains(text)));
}

#[test]
fn messages_keepalives_and_policies_disturb_nobody() {
    let run = with_tunnel(|tunnel| {
        tunnel.service_message = Some("The gateway restarts soon".to_owned());
        tunnel.keepalive = Some(Duration::from_millis(500));
        tunnel.idle_timeout = 30;
        tunnel.redirection = 0x4000_0000;
        tunnel.extended_auth = 0;
        tunnel.capabilities = 2;
    });
    let Some((run, gateway)) = run else { return };
    assert!(run.active);
    let kinds = packets(&gateway);
    assert!(kinds.contains(&packet::SERVICE_MESSAGE) && kinds.contains(&packet::KEEPALIVE), "{kinds:?}");
}

#[test]
fn a_channel_is_closed_with_a_code() {
    let after = Duration::from_millis(50);
    let close = Some((after, E_PROXY_CONNECTIONABORTED));
    let Some((run, gateway)) = with_tunnel(|tunnel| tunnel.close = close) else { return };
    assert!(!run.active);
    assert_eq!(error_in(&gateway, packet::CLOSE_CHANNEL, 0), Some(E_PROXY_CONNECTIONABORTED));
}
