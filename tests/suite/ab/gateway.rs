//! What is changed on the way to a gateway, and the two experiments with it: real clients and a scripted one, through
//! rdpscope to the tests' own gateway.

use super::{EXPERIMENT_WITHIN, assert_kept, assert_traced, conclusion, verdicts};
use crate::gateway::side_channel::{PORT, own_address};
use crate::gateway_peers::udp::{carrying, scripted_client};
use crate::support::gateway::packet::{CHANNEL_RESPONSE, TUNNEL_CREATE, TUNNEL_RESPONSE};
use crate::support::gateway::udp::UdpSide;
use crate::support::gateway::{Client, Gateway, Http, PASSWORD, Setup, Tunnel, USER, Upgrade, What};
use crate::support::left_out::{left_out_without, program};
use crate::support::peers::{ClientRun, FreeRdp, Xfreerdp, Xrdp, Xvfb};
use crate::support::rdpscope::{Finished, Rdpscope, Session};
use crate::support::schema;
use crate::support::scripted::listener;
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;

/// What the gateway's UDP cookie is made of.
const COOKIE: &str = "cookie-canary";

fn left_out(version: FreeRdp) -> bool {
    left_out_without(&[&Xfreerdp::programs(version)[..], &["xrdp"]].concat())
}

/// An experiment through `gateway` with this client.
fn experiment(gateway: &Gateway, factor: &str, client: &str) -> Finished {
    let address = gateway.address.to_string();
    let listen = format!("{}:0", own_address());
    let arguments = ["--listen", &listen, "--gateway", &address, "--vary", factor, "--client", client];
    let rdpscope = Rdpscope::start_bare("ab", "server.example", &arguments);
    let finished = rdpscope.finish_within(EXPERIMENT_WITHIN);
    println!("{}", finished.stderr);
    println!("{:#}", finished.line("experiment"));
    finished.assert_nowhere(PASSWORD);
    finished.assert_nowhere(COOKIE);
    schema::assert_valid(finished.line("experiment"));
    assert_kept(&finished);
    assert_traced(&finished);
    finished
}

fn because(finished: &Finished) -> String {
    finished.line("experiment")["conclusion"]["because"].to_string()
}

fn with_udp(answers: bool) -> Option<Finished> {
    if left_out(FreeRdp::Two) {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let address = own_address();
    let _udp = UdpSide::start_at((address, PORT).into(), answers);
    let setup = carrying(xrdp.address, Some(PORT));
    let gateway = Gateway::start(Setup { address: (address, 0).into(), ..setup });
    let folder = TempDir::new().expect("a temporary folder is made");
    Some(experiment(&gateway, "gateway-udp", &scripted_client(folder.path())))
}

#[test]
fn a_side_channel_that_swallows_everything_is_the_cause() {
    let Some(finished) = with_udp(false) else { return };
    assert_eq!(conclusion(&finished), ("cause", Some("gateway-udp")), "{}", finished.stderr);
    let verdict = finished.line("verdict");
    assert_eq!(
        (verdict["id"].as_str(), verdict["confidence"].as_str()),
        (Some("udp-blocked"), Some("confirmed"))
    );
    assert_eq!(verdicts(&finished, "off"), ["healthy"; 3]);
    assert!(
        because(&finished).contains("does not get over a side channel that stays silent"),
        "{}",
        because(&finished)
    );
    assert_eq!(finished.exit_code, Some(1));
}

#[test]
fn a_side_channel_that_works_is_not_the_cause() {
    let Some(finished) = with_udp(true) else { return };
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "relay"), ["healthy"; 3]);
    assert_eq!(finished.exit_code, Some(0));
}

/// FreeRDP as a command for `--client`, by a script in `folder`; it takes whatever transport it gets.
fn freerdp(folder: &Path, display: &Xvfb, server: SocketAddr) -> String {
    let [client, _] = Xfreerdp::programs(FreeRdp::Two);
    let client = program(client).expect("it is installed, or the test was left out");
    let script = folder.join("client.sh");
    let text = format!(
        "exec env -u XDG_CONFIG_HOME -u XDG_RUNTIME_DIR HOME={} DISPLAY={} {} /v:{server} /g:$1:$2 /gu:{USER} \
         /gp:{PASSWORD} /cert:ignore /sec:tls /u:a /p:b\n",
        folder.display(),
        display.display,
        client.display(),
    );
    std::fs::write(&script, text).expect("the script is written");
    format!("sh {} {{host}} {{port}}", script.display())
}

fn over_each_transport(http: Http) -> Option<Finished> {
    if left_out(FreeRdp::Two) {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup { http, ..Setup::default() });
    let folder = TempDir::new().expect("a temporary folder is made");
    let display = Xvfb::shared();
    Some(experiment(&gateway, "gateway-transport", &freerdp(folder.path(), &display, xrdp.address)))
}

#[test]
fn a_websocket_that_is_refused_is_the_cause_where_two_connections_work() {
    let refused = Http { upgrade: Upgrade::Refused(403), ..Http::default() };
    let Some(finished) = over_each_transport(refused) else { return };
    assert_eq!(conclusion(&finished), ("cause", Some("websocket")), "{}", finished.stderr);
    let verdict = finished.line("verdict");
    assert_eq!(verdict["id"], "gateway-transport-blocked");
    assert!(verdict["summary"].to_string().contains("works over two HTTP connections"), "{verdict}");
    assert!(because(&finished).contains("gateway-channel after "), "{}", because(&finished));
    assert_eq!(verdicts(&finished, "http"), ["healthy"; 3]);
    assert_eq!(finished.exit_code, Some(1));
}

#[test]
fn a_gateway_without_rpc_over_http_is_not_at_fault() {
    let Some(finished) = over_each_transport(Http::default()) else { return };
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "websocket"), ["healthy"; 3]);
    assert_eq!(verdicts(&finished, "http"), ["healthy"; 3]);
}

#[test]
fn what_cannot_be_varied_is_refused_in_a_sentence() {
    let refused = |arguments: &[&str], sentence: &str| {
        let output = crate::support::rdpscope::program()
            .args([&["ab", "server.example"], arguments].concat())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(sentence), "{said}");
    };
    let gateway = ["--gateway", "gw.example", "--vary"];
    let with = |more: &[&'static str]| [&gateway[..], more].concat();
    refused(&["--vary", "gateway-udp"], "add --gateway HOST");
    refused(&["--vary", "gateway-transport"], "add --gateway HOST");
    refused(&with(&["gateway-udp", "--gateway-udp", "drop"]), "leave --gateway-udp out");
    refused(&with(&["gateway-udp", "--tcp-only"]), "leave --tcp-only out");
    refused(&with(&["gateway-udp", "--cert", "passthrough"]), "leave --cert passthrough out");
    refused(&with(&["gateway-transport", "--gateway-transport", "rpc"]), "leave --gateway-transport out");
    refused(&with(&["latency"]), "reached directly");
}

/// One attempt of FreeRDP 2 through a relay with `flags`; what it asked for is in the gateway.
fn attempt(flags: &[&str], transport: &str) -> (ClientRun, Finished, Gateway) {
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let address = gateway.address.to_string();
    let relay = Rdpscope::start(xrdp.address, 1, &[&["--gateway", &address], flags].concat());
    let arguments =
        format!("/g:{} /gu:{USER} /gp:{PASSWORD} /gt:{transport} /sec:tls /u:a /p:b", relay.address);
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let run = Xfreerdp::new(FreeRdp::Two, &arguments).run(xrdp.address.port());
    println!("{}", run.summary());
    (run, relay.finish(), gateway)
}

/// The fields that were changed, each with the message it is in.
fn altered(session: &Session) -> Vec<(String, String)> {
    let lines = session.lines().iter().filter(|line| line["type"] == "altered");
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    lines.map(|line| (word(&line["message"]), word(&line["field"]))).collect()
}

#[test]
fn a_client_that_asks_for_a_websocket_gets_two_connections() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let (run, finished, gateway) = attempt(&["--gateway-transport", "http"], "http");
    assert!(run.active, "{}", run.tail());
    let requests = gateway.requests();
    assert!(requests.iter().any(|head| head.starts_with("RDG_IN_DATA ")), "{requests:?}");
    let asked = requests.iter().map(|head| head.to_ascii_lowercase());
    assert!(
        asked.clone().all(|head| !head.contains("websocket") && !head.contains("upgrade")),
        "{requests:?}"
    );
    assert!(asked.clone().all(|head| head.contains("connection: keep-alive")), "{requests:?}");
    let session = finished.session();
    assert_eq!(session.summary()["transport"], "gateway-http", "{session}");
    let fields: Vec<_> = altered(session).into_iter().map(|(_, field)| field.to_ascii_lowercase()).collect();
    for field in ["connection", "upgrade", "sec-websocket-version", "sec-websocket-key"] {
        assert!(fields.iter().any(|it| it == field), "{field} in {fields:?}");
    }
    finished.assert_nowhere(PASSWORD);
}

#[test]
fn a_client_that_knows_no_websocket_is_refused_and_that_is_said() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let (run, finished, gateway) = attempt(&["--gateway-transport", "websocket"], "http,no-websockets");
    assert!(!run.active, "{}", run.tail());
    assert_eq!(gateway.requests(), Vec::<String>::new(), "nothing of it goes on");
    let refused = finished.sessions.iter().flat_map(|session| session.events_named("transport_refused"));
    let refused: Vec<_> =
        refused.map(|event| (event["transport"].clone(), event["status"].clone())).collect();
    assert!(!refused.is_empty(), "{}", finished.stderr);
    assert!(
        refused.iter().all(|(transport, status)| transport == "gateway-http" && status == 404),
        "{refused:?}"
    );
}

#[test]
fn a_client_that_is_refused_both_falls_back_to_rpc() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let (run, finished, gateway) = attempt(&["--gateway-transport", "rpc"], "auto");
    assert!(!run.active, "this gateway has no RPC over HTTP: {}", run.tail());
    let requests = gateway.requests();
    assert!(!requests.is_empty(), "{}", finished.stderr);
    assert!(requests.iter().all(|head| head.starts_with("RPC_")), "{requests:?}");
}

#[test]
fn with_tcp_only_neither_side_is_offered_udp() {
    let listener = listener();
    let target = listener.local_addr().expect("a listener has an address");
    let cookie = COOKIE.repeat(100).into_bytes();
    let tunnel = Tunnel { target: Some(target), udp: Some((PORT, cookie)), ..Tunnel::default() };
    let logon = crate::support::gateway::Logon { schemes: Vec::new(), ..Default::default() };
    let gateway = Gateway::start(Setup { tunnel, logon, ..Setup::default() });
    let address = gateway.address.to_string();
    let listen = format!("{}:0", own_address());
    let arguments = ["--listen", &listen, "--sessions", "1", "--gateway", &address, "--tcp-only"];
    let relay = Rdpscope::start_bare("proxy", "server.example", &arguments);
    let mut client = Client::connect(relay.address);
    let head = client.upgrade(None).expect("a head");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let channel = client.open("server.example", 3389).expect("a tunnel");
    assert_eq!((channel.error, channel.udp), (0, None), "the client is not offered it");
    drop(client);
    let finished = relay.finish();
    let asked = gateway.seen().into_iter().find_map(|seen| match seen.what {
        What::FromClient(packet) if packet.kind() == TUNNEL_CREATE => Some(packet.u32_at(0)),
        _ => None,
    });
    assert_eq!(asked, Some(0x1F), "neither is the gateway");
    let told = |kind| {
        let seen = gateway.seen().into_iter();
        seen.filter(|seen| matches!(&seen.what, What::ToClient(packet) if packet.kind() == kind)).count()
    };
    assert_eq!((told(TUNNEL_RESPONSE), told(CHANNEL_RESPONSE)), (1, 1));
    let session = finished.session();
    let altered = altered(session);
    let first = ("TUNNEL_CREATE".to_owned(), "capsFlags".to_owned());
    assert_eq!(altered.first(), Some(&first), "{session}");
    finished.assert_nowhere(COOKIE);
}
