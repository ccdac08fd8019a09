//! What is changed on the way to a gateway, and the two experiments with it: real clients and a scripted one, through
//! rdpscope to the tests' own gateway.

use super::{EXPERIMENT_WITHIN, assert_kept, assert_traced, conclusion, verdicts};
use crate::gateway::side_channel::{PORT, own_address};
use crate::gateway_peers::udp::{carrying, scripted_client};
use crate::support::gateway::packet::TUNNEL_CREATE;
use crate::support::gateway::udp::UdpSide;
use crate::support::gateway::{
    Client, GATEWAY_PATH, Gateway, Http, Logon, PASSWORD, Setup, Tunnel, USER, Upgrade, What,
    address_with_port_443,
};
use crate::support::left_out::{left_out_without, program, say_left_out};
use crate::support::peers::{ClientRun, FreeRdp, Xfreerdp, Xrdp, Xvfb};
use crate::support::process::Process;
use crate::support::rdpscope::{Finished, Rdpscope, Session};
use crate::support::schema;
use crate::support::scripted::listener;
use rdpscope::wire::tsgu::{Found, Packet, Packets};
use rdpscope::wire::websocket::{self, Frames, Piece};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How long tshark may take to begin and to end.
const CAPTURE_WITHIN: Duration = Duration::from_secs(20);
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
    let without = Http { paths: vec![GATEWAY_PATH], ..Http::default() };
    let Some(finished) = over_each_transport(without) else { return };
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
    refused(&["--vary", "udp", "--udp", "off"], "leave --udp out");
    refused(&["--vary", "udp", "--tcp-only"], "leave --tcp-only out");
    refused(&["--vary", "mss", "--impair", "mss=500"], "leave --impair mss out");
    refused(&["--vary", "latency", "--impair", "latency=1s"], "leave --impair latency out");
}

/// One attempt of FreeRDP through a relay with `flags`, and the gateway, which has seen what it asked for. `None` where
/// a part is missing.
fn attempt(version: FreeRdp, flags: &[&str], transport: &str) -> Option<(ClientRun, Finished, Gateway)> {
    if left_out(version) {
        return None;
    }
    let listen = match version {
        FreeRdp::Two => (own_address(), 0).into(),
        FreeRdp::Three => address_with_port_443()?,
    };
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let (listen, address) = (listen.to_string(), gateway.address.to_string());
    let usual = ["--listen", &listen, "--sessions", "1", "--gateway", &address];
    let relay = Rdpscope::start_bare("proxy", &xrdp.address.to_string(), &[&usual[..], flags].concat());
    let logon = match version {
        FreeRdp::Two => format!("/g:{} /gu:{USER} /gp:{PASSWORD} /gt:{transport}", relay.address),
        FreeRdp::Three => {
            format!("/gateway:g:{},u:{USER},p:{PASSWORD},type:{transport}", relay.address)
        }
    };
    let arguments = format!("{logon} /sec:tls /u:a /p:b");
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let run = Xfreerdp::new(version, &arguments).run(xrdp.address.port());
    println!("{}", run.summary());
    Some((run, relay.finish(), gateway))
}

/// The fields that were changed, each with the message it is in.
fn altered(session: &Session) -> Vec<(String, String)> {
    let lines = session.lines().iter().filter(|line| line["type"] == "altered");
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    lines.map(|line| (word(&line["message"]), word(&line["field"]))).collect()
}

fn gets_two_connections(version: FreeRdp) {
    let Some((run, finished, gateway)) = attempt(version, &["--gateway-transport", "http"], "http") else {
        return;
    };
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
fn xfreerdp2_that_asks_for_a_websocket_gets_two_connections() {
    gets_two_connections(FreeRdp::Two);
}

#[test]
fn xfreerdp3_that_asks_for_a_websocket_gets_two_connections() {
    gets_two_connections(FreeRdp::Three);
}

fn is_refused(version: FreeRdp) {
    let flags = ["--gateway-transport", "websocket"];
    let Some((run, finished, gateway)) = attempt(version, &flags, "http,no-websockets") else { return };
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
fn xfreerdp2_without_websocket_is_refused_and_that_is_said() {
    is_refused(FreeRdp::Two);
}

#[test]
fn xfreerdp3_without_websocket_is_refused_and_that_is_said() {
    is_refused(FreeRdp::Three);
}

fn falls_back_to_rpc(version: FreeRdp) {
    let Some((run, finished, gateway)) = attempt(version, &["--gateway-transport", "rpc"], "auto") else {
        return;
    };
    let requests = gateway.requests();
    assert!(run.active, "{}\n{requests:?}", run.tail());
    assert!(requests.iter().all(|head| head.starts_with("RPC_")), "{requests:?}");
    let session = finished.session();
    assert!(!session.events_named("transport_refused").is_empty(), "{session}");
}

#[test]
fn xfreerdp2_that_is_refused_both_falls_back_to_rpc() {
    falls_back_to_rpc(FreeRdp::Two);
}

#[test]
fn xfreerdp3_that_is_refused_both_falls_back_to_rpc() {
    falls_back_to_rpc(FreeRdp::Three);
}

/// A scripted client under `--tcp-only` with a gateway that offers UDP, whose secrets of TLS go to `key_log`.
fn tcp_only(key_log: Option<&Path>, watch: impl FnOnce(SocketAddr)) -> (Finished, Gateway) {
    let listener = listener();
    let target = listener.local_addr().expect("a listener has an address");
    let tunnel = Tunnel {
        target: Some(target),
        udp: Some((PORT, COOKIE.repeat(100).into_bytes())),
        ..Tunnel::default()
    };
    let logon = Logon { schemes: Vec::new(), ..Logon::default() };
    let gateway = Gateway::start(Setup { tunnel, logon, key_log, ..Setup::default() });
    watch(gateway.address);
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
    (relay.finish(), gateway)
}

#[test]
fn with_tcp_only_neither_side_is_offered_udp() {
    let (finished, gateway) = tcp_only(None, |_| {});
    let asked = gateway.seen().into_iter().find_map(|seen| match seen.what {
        What::FromClient(packet) if packet.kind() == TUNNEL_CREATE => Some(packet.u32_at(0)),
        _ => None,
    });
    assert_eq!(asked, Some(0x1F), "neither is the gateway");
    let session = finished.session();
    let altered = altered(session);
    let altered: Vec<_> = altered.iter().map(|(message, field)| (message.as_str(), field.as_str())).collect();
    let expected = [("TUNNEL_CREATE", "capsFlags"), ("TUNNEL_RESPONSE", "capsFlags")];
    assert_eq!(altered, expected, "{session}");
    finished.assert_nowhere(COOKIE);
}

/// What each side said inside TLS, as tshark follows the only connection of a capture; which side is first differs.
fn followed(capture: &Path, key_log: &Path, port: u16) -> [Vec<u8>; 2] {
    let tshark = program("tshark").expect("it is installed, or the test was left out");
    let keys = format!("tls.keylog_file:{}", key_log.display());
    let decode = format!("tcp.port=={port},tls");
    let output = std::process::Command::new(tshark)
        .args(["-q", "-o", &keys, "-d", &decode, "-z", "follow,tls,raw,0", "-r"])
        .arg(capture)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut sides = [Vec::new(), Vec::new()];
    for line in text.lines() {
        // What one of them says is indented.
        if let Ok(bytes) = hex::decode(line.trim_start()) {
            sides[usize::from(line.starts_with('\t'))].extend(bytes);
        }
    }
    assert!(!sides[0].is_empty(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    sides
}

/// The packets behind the head in one direction of a WebSocket.
fn packets(bytes: &[u8]) -> Vec<Packet> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let (mut frames, mut packets, mut found) = (Frames::default(), Packets::default(), Vec::new());
    let mut rest = &bytes[head..];
    while let Some(piece) = frames.next(&mut rest) {
        if let Piece::Payload { bytes, mask } = piece.expect("frames of WebSocket") {
            let mut payload = vec![0; bytes.len()];
            websocket::unmask(bytes, mask, &mut payload);
            let mut payload = &payload[..];
            while let Some(packet) = packets.next(&mut payload) {
                found.extend(if let Found::Packet(packet) = packet { Some(packet) } else { None });
            }
        }
    }
    found
}

#[test]
fn on_the_wire_to_the_gateway_the_capability_is_gone() {
    if left_out_without(&["tshark"]) {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder is made");
    let [capture, key_log] = ["capture.pcapng", "keys.txt"].map(|name| folder.path().join(name));
    let mut watching = None;
    let (_, gateway) = tcp_only(Some(&key_log), |gateway| {
        let mut command = std::process::Command::new("tshark");
        command
            .args(["-i", "lo", "-f", &format!("tcp port {}", gateway.port()), "-P", "-l", "-w"])
            .arg(&capture);
        let process = Process::spawn(command);
        let started = |line: &str| line.contains("Capture started");
        let has_started = process.output.wait_for(CAPTURE_WITHIN, started).is_some();
        watching = Some((process, has_started));
    });
    let (mut process, has_started) = watching.expect("it was started");
    if !has_started {
        say_left_out("tshark may not capture here");
        return;
    }
    // What stands before the end is in the file then, too.
    let is_end = |line: &str| line.contains("[FIN") || line.contains("[RST");
    assert!(process.output.wait_for(CAPTURE_WITHIN, is_end).is_some(), "{}", process.output.tail());
    process.signal_first(rustix::process::Signal::INT);
    assert!(process.wait(CAPTURE_WITHIN).is_some(), "{}", process.output.tail());
    let sides = followed(&capture, &key_log, gateway.address.port());
    let packets: Vec<_> = sides.iter().flat_map(|bytes| packets(bytes)).collect();
    let asked = packets.iter().find_map(|packet| match packet {
        Packet::TunnelCreate { capabilities, .. } => Some(capabilities.value),
        _ => None,
    });
    let answered = packets.iter().find_map(|packet| match packet {
        Packet::TunnelResponse { capabilities, .. } => capabilities.as_ref().map(|flags| flags.value),
        _ => None,
    });
    assert_eq!((asked, answered), (Some(0x1F), Some(0x3F)), "what the gateway says is changed behind it");
}
