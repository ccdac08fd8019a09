//! `--capture`: what was on the wire of both legs, with tshark as the judge.

use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xfreerdp, Xrdp};
use crate::support::rdpscope::{Finished, Rdpscope, program};
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::udp::{UdpEnd, Version, talk};
use crate::support::scripted::{Conversation, Ends, listener};
use crate::support::tshark::Capture;
use pcap_file::pcapng::{Block, PcapNgReader};
use rustix::process::Signal;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tempfile::TempDir;

mod gateway;

/// What is typed into the session, and must be found nowhere without `--secrets`.
const USER: &str = "/u:test";
const PASSWORD: &str = "Right-1234";
/// tshark 4.0 cannot read the end of any Client Info PDU, in captures of the system's own either.
const CLIENT_INFO: &str = "ClientInfo[Malformed Packet]";
/// Nor FreeRDP's capabilities of dynamic channels.
const DYNAMIC_CHANNELS: &str = "Capabilities request[Malformed Packet]";
/// Where a packet is inside TLS.
const INSIDE: &str = "frame.interface_name == \"inside TLS\"";

fn left_out() -> bool {
    left_out_without(&[&["tshark", "xrdp"], &Xfreerdp::programs(FreeRdp::Two)[..]].concat())
}

fn capture(finished: &Finished) -> Capture {
    Capture::of(finished.session().capture.as_deref().expect("there is a capture"))
}

/// What is in the file besides packets: the types of its blocks.
fn blocks(finished: &Finished) -> Vec<u32> {
    let mut reader = PcapNgReader::new(finished.session().capture.as_deref().expect("there is a capture"))
        .expect("a section");
    let mut kinds = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::Unknown(block) = block.expect("a block").0 {
            kinds.push(block.type_);
        }
    }
    kinds
}

/// Neither a key nor what was typed is in anything that was written.
fn assert_no_secret(finished: &Finished) {
    for secret in [PASSWORD, "CLIENT_RANDOM", "TRAFFIC_SECRET", "EXPORTER_SECRET"] {
        finished.assert_nowhere(secret);
    }
    assert!(blocks(finished).is_empty(), "no secrets");
}

/// Fails where tshark does not show the capability sets of both sides, inside TLS and with no setting.
fn assert_capabilities(capture: &Capture) {
    let shown = capture.fields(&format!("{INSIDE} && rdp"), &["_ws.col.Info"]).join("\n");
    for message in ["ClientData", "ServerData", "ClientInfo", "Demand Active PDU", "Confirm Active PDU"] {
        assert!(shown.contains(message), "{message} in:\n{shown}");
    }
    let counts = capture.fields(&format!("{INSIDE} && rdp.numberCapabilities"), &["rdp.numberCapabilities"]);
    let counts: Vec<u32> = counts.iter().filter_map(|count| count.parse().ok()).collect();
    assert!(counts.len() == 2 && counts.iter().all(|count| *count > 5), "{counts:?}");
}

#[test]
fn what_passes_is_captured_byte_for_byte_on_both_legs() {
    if left_out_without(&["tshark"]) {
        return;
    }
    let mut noise: Vec<u8> = (0..300_000_u32).map(|place| (place * 7 % 251) as u8).collect();
    // It begins as TLS does; what no TLS protects would be blanked.
    noise[..5].copy_from_slice(&[22, 3, 1, 1, 0]);
    let conversation = Conversation::new()
        .client(connection_request("alice", SSL))
        .server(connection_confirm(SSL))
        .client(&noise[..1000])
        .server(&noise[..])
        .client(&noise[500..200_000])
        .finish(Client)
        .server(b"the rest")
        .finish(Server);
    let finished = conversation.in_pieces_of(150_000).through_rdpscope_with(&["--capture"]);
    let capture = capture(&finished);
    capture.assert_sound(&[]);
    let up = [&connection_request("alice", SSL)[..], &noise[..1000], &noise[500..200_000]].concat();
    let down = [&connection_confirm(SSL)[..], &noise[..], b"the rest"].concat();
    for leg in 0..2 {
        let [from_client, from_server] = capture.stream(leg);
        assert!(from_client == up && from_server == down, "leg {leg}");
        let flags =
            capture.fields(&format!("tcp.stream == {leg} && tcp.flags.fin == 1"), &["tcp.flags.reset"]);
        assert_eq!(flags, ["0", "0"], "both ended with FIN");
    }
    let legs = capture.fields("tcp.flags.syn == 1 && tcp.flags.ack == 0", &["frame.interface_name"]);
    assert_eq!(legs, ["client leg", "server leg"]);
    let captured = finished.session().event("captured");
    assert_eq!((&captured["file"], &captured["dropped"]), (&"session.pcapng".into(), &0.into()));
    assert!(captured["packets"].as_u64() > Some(20) && captured.get("secrets").is_none(), "{captured}");
    assert!(blocks(&finished).is_empty());
}

#[test]
fn what_is_typed_without_tls_is_not_captured() {
    const TYPED: &[u8] = b"canary typed";
    let input = [&[4, 2 + TYPED.len() as u8], TYPED].concat();
    let conversation = Conversation::new()
        .client(connection_request("alice", 0))
        .server(connection_confirm(0))
        .client(&input[..])
        .finish(Client)
        .finish(Server);
    let finished = conversation.through_rdpscope_with(&["--capture"]);
    let captured = finished.session().capture.as_deref().expect("there is a capture");
    let holds = |text: &[u8]| captured.windows(text.len()).any(|window| window == text);
    assert!(holds(b"mstshash=alice") && holds(&input[..2]) && !holds(TYPED));
}

#[test]
fn times_are_those_of_the_trace_and_phases_stand_beside_their_packets() {
    if left_out_without(&["tshark"]) {
        return;
    }
    let conversation = Conversation::new()
        .client(connection_request("alice", SSL))
        .silence(Duration::from_millis(300))
        .server(connection_confirm(SSL))
        .finish(Client)
        .finish(Server);
    let finished = conversation.through_rdpscope_with(&["--capture"]);
    let capture = capture(&finished);
    let fields = ["frame.time_epoch", "frame.interface_name", "tcp.len", "frame.comment"];
    let packets = capture.fields("tcp.len == 19", &fields);
    let confirm: Vec<&str> = packets.first().expect("the confirm is there").split('\t').collect();
    assert_eq!(confirm[1], "server leg", "it came there first");
    let took = confirm[3].strip_prefix("phase x224 ok, ").and_then(|rest| rest.split_once(" ms"));
    let took: f64 = took.and_then(|(took, _)| took.parse().ok()).expect("milliseconds");
    assert!(took >= 300.0, "the silence is in it: {confirm:?}");
    let session = finished.session();
    let started: jiff::Timestamp =
        session.lines()[0]["started"].as_str().expect("a time").parse().expect("a time stamp");
    let t_us = session.event("connection_confirm")["t_us"].as_u64().expect("microseconds");
    let expected = started.as_microsecond() as f64 / 1e6 + t_us as f64 / 1e6;
    let shown: f64 = confirm[0].parse().expect("seconds");
    assert!((shown - expected).abs() < 0.002, "{shown} and {expected}");
}

#[test]
fn a_reset_is_shown_on_both_legs_by_whom_it_came_from() {
    if left_out_without(&["tshark"]) {
        return;
    }
    let conversation = Conversation::new()
        .client(connection_request("alice", SSL))
        .server(connection_confirm(SSL))
        .reset(Server);
    let finished = conversation.through_rdpscope_with(&["--capture"]);
    let capture = capture(&finished);
    let resets =
        capture.fields("tcp.flags.reset == 1", &["frame.interface_name", "frame.packet_flags_direction"]);
    let resets: Vec<_> = resets.iter().map(String::as_str).collect();
    assert_eq!(resets.len(), 2, "{resets:?}");
    assert!(resets[0].starts_with("server leg\t") && resets[0].contains('1'), "inbound: {resets:?}");
    assert!(resets[1].starts_with("client leg\t") && resets[1].contains('2'), "outbound: {resets:?}");
}

#[test]
fn a_process_that_is_killed_leaves_a_file_that_opens() {
    if left_out_without(&["tshark"]) {
        return;
    }
    let server = listener();
    let rdpscope = Rdpscope::start(
        server.local_addr().expect("it listens"),
        1,
        &["--capture", "--impair", "latency=1ms"],
    );
    let ends = Ends::connect(rdpscope.address, &server);
    let said = Conversation::new()
        .client(connection_request("alice", SSL))
        .server(connection_confirm(SSL))
        .play_open(ends);
    assert!(rdpscope.wait_for_file("session.pcapng", |bytes| bytes.windows(5).any(|it| it == b"alice")));
    rdpscope.signal(Signal::KILL);
    let finished = rdpscope.finish();
    drop(said);
    let capture = capture(&finished);
    capture.assert_sound(&[]);
    let request = connection_request("alice", SSL);
    assert_eq!(capture.stream(0)[0], request);
}

#[test]
fn datagrams_are_captured_on_both_legs() {
    if left_out_without(&["tshark"]) {
        return;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let (tcp, udp) = loop {
        let tcp = listener();
        // Another test may have the port for something else.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("it listens")) {
            break (tcp, udp);
        }
        assert!(Instant::now() < deadline, "no port is free for both");
    };
    udp.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes its options");
    let target: SocketAddr = tcp.local_addr().expect("it listens");
    let rdpscope = Rdpscope::start(target, 1, &["--capture"]);
    let ends = Ends::connect(rdpscope.address, &tcp);
    let session = Conversation::new()
        .client(connection_request("alice", SSL))
        .server(connection_confirm(SSL))
        .play_open(ends);
    let mut client = UdpEnd::client(rdpscope.address, Version::Two);
    let mut server = UdpEnd::server(udp);
    talk(&mut client, &mut server);
    drop(session);
    let listening = rdpscope.address.port();
    let finished = rdpscope.finish();
    let capture = capture(&finished);
    capture.assert_sound(&[]);
    let ports = |filter: &str| capture.fields(filter, &["data.data", "udp.payload"]);
    let at_client = ports(&format!("udp.port == {listening}"));
    let at_server = ports(&format!("udp.port == {}", target.port()));
    assert!(!at_client.is_empty(), "datagrams are there");
    assert_eq!(at_client, at_server, "the same on both legs");
}

fn through(arguments: &[&str]) -> Option<(Finished, u16)> {
    if left_out() {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let rdpscope = Rdpscope::start(xrdp.address, 1, &[&["--capture"], arguments].concat());
    let port = rdpscope.address.port();
    let password = format!("/p:{PASSWORD}");
    let run = Xfreerdp::new(FreeRdp::Two, &["/sec:tls", "/cert:ignore", USER, &password]).run(port);
    let finished = rdpscope.finish();
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    Some((finished, port))
}

#[test]
fn a_real_session_that_passes_through_is_sound_and_shows_no_secret() {
    let Some((finished, _)) = through(&[]) else { return };
    let capture = capture(&finished);
    capture.assert_sound(&[]);
    let hellos =
        capture.fields("tls.handshake.type == 1 || tls.handshake.type == 2", &["frame.interface_name"]);
    assert_eq!(hellos.len(), 4, "both hellos on both legs: {hellos:?}");
    assert_no_secret(&finished);
}

#[test]
fn without_secrets_a_terminated_session_shows_none() {
    let Some((finished, _)) = through(&["--cert", "fresh"]) else { return };
    capture(&finished).assert_sound(&[]);
    assert_no_secret(&finished);
}

#[test]
fn with_secrets_everything_is_in_clear_up_to_the_capability_sets() {
    let Some((finished, port)) = through(&["--cert", "fresh", "--secrets"]) else { return };
    let capture = capture(&finished);
    capture.assert_sound(&[CLIENT_INFO]);
    assert!(blocks(&finished).contains(&10), "a block of secrets");
    assert_capabilities(&capture);
    assert!(finished.stderr.contains("with --secrets the captures show"), "{}", finished.stderr);
    assert_eq!(finished.session().event("captured")["secrets"], true);

    // The secrets decrypt both legs as well, in one pass.
    let server =
        capture.fields("frame.interface_name == \"server leg\" && tcp.flags.syn == 1", &["tcp.dstport"]);
    for (leg, port) in [("client leg", port.to_string()), ("server leg", server[0].clone())] {
        let inside = format!("tls.port=={port},tpkt");
        let filter = format!("frame.interface_name == \"{leg}\" && rdp.numberCapabilities");
        let counts = capture.decoded(&["-d", &inside], &filter, &["rdp.numberCapabilities"]);
        // tshark shows only the first of several PDUs in one record.
        assert!(!counts.is_empty(), "{leg}");
    }
    // In the trace there is no secret all the same.
    let told: String = finished.session().lines().iter().map(ToString::to_string).collect();
    assert!(!told.contains(PASSWORD) && !told.contains("TRAFFIC_SECRET"));
}

#[cfg(feature = "nla")]
#[test]
fn with_secrets_the_logon_of_rdpscope_is_in_clear() {
    use std::os::unix::fs::OpenOptionsExt as _;
    if left_out_without(
        &[&["tshark"], &Xfreerdp::programs(FreeRdp::Two)[..], &Shadow::programs(FreeRdp::Two)].concat(),
    ) {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder is made");
    let account = folder.path().join("account");
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&account).expect("a file is made");
    std::io::Write::write_all(&mut &file, format!("username = test\npassword = {PASSWORD}\n").as_bytes())
        .expect("it is written");
    let shadow = Shadow::start(FreeRdp::Two, ShadowSecurity::Nla);
    let flags = ["--capture", "--secrets", "--cert", "fresh", "--nla", "terminate", "--credentials"];
    let account = account.to_string_lossy().into_owned();
    let rdpscope = Rdpscope::start(shadow.address, 1, &[&flags[..], &[&account]].concat());
    let password = format!("/p:{PASSWORD}");
    let run = Xfreerdp::new(FreeRdp::Two, &["/sec:nla", "/cert:ignore", USER, &password])
        .run(rdpscope.address.port());
    let finished = rdpscope.finish();
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let capture = capture(&finished);
    capture.assert_sound(&[CLIENT_INFO, DYNAMIC_CHANNELS]);
    assert_capabilities(&capture);
    let ntlm = capture.fields(&format!("{INSIDE} && ntlmssp.messagetype"), &["ntlmssp.messagetype"]);
    assert!(ntlm.len() >= 6, "three messages on each leg: {ntlm:?}");
    assert!(ntlm.iter().any(|kind| kind.contains("0x00000003")), "{ntlm:?}");
}

#[test]
fn flags_that_lead_nowhere_are_refused() {
    let refused = |arguments: &[&str]| {
        let mut command = program();
        let ran = command.args(["proxy", "srv10"]).args(arguments).output().expect("it runs");
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}");
        String::from_utf8_lossy(&ran.stderr).into_owned()
    };
    assert!(refused(&["--secrets"]).contains("--capture"));
    assert!(refused(&["--capture", "--no-trace"]).contains("--no-trace"));
    assert!(refused(&["--capture", "--secrets"]).contains("add --cert fresh"));
}
