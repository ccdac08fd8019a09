//! Captures of attempts that go through a gateway.

use super::{
    CLIENT_INFO, INSIDE, PASSWORD, USER, assert_capabilities, assert_no_secret, blocks, capture, left_out,
};
use crate::support::gateway::packet::{self, Packet, Packets};
use crate::support::gateway::{
    Client, Gateway, Logon, PASSWORD as GATEWAY_PASSWORD, Setup, Tunnel, way, websocket,
};
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Xfreerdp, Xrdp};
use crate::support::rdpscope::{Finished, Rdpscope};
use crate::support::tshark::Capture;

/// An attempt over `transport`, whose connections are all captured.
fn through(transport: &str, flags: &[&str]) -> Option<Finished> {
    if left_out() {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let host = gateway.address.to_string();
    let rdpscope = Rdpscope::start(xrdp.address, 1, &[&["--gateway", &host, "--capture"], flags].concat());
    let way = format!("{} /p:{PASSWORD}", way(rdpscope.address, transport));
    let way: Vec<&str> = way.split(' ').collect();
    let arguments = [&way[..], &["/sec:tls", "/cert:ignore", USER]].concat();
    let run = Xfreerdp::new(FreeRdp::Two, &arguments).run(xrdp.address.port());
    let finished = rdpscope.finish();
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    Some(finished)
}

fn assert_all_in_clear(transport: &str, connections: usize) {
    let Some(finished) = through(transport, &["--inner-cert", "fresh", "--tcp-only", "--secrets"]) else {
        return;
    };
    let capture = capture(&finished);
    capture.assert_sound(&[CLIENT_INFO, "HTTP"]);
    assert!(blocks(&finished).contains(&10), "a block of secrets");
    for leg in ["client leg", "server leg"] {
        let filter = format!("frame.interface_name == \"{leg}\" && tcp.flags.syn == 1 && tcp.flags.ack == 0");
        assert_eq!(capture.fields(&filter, &["frame.number"]).len(), connections, "{leg}");
    }
    assert_capabilities(&capture);
    let decrypted = capture.fields(&format!("tls.app_data && !({INSIDE})"), &["frame.number"]);
    assert!(!decrypted.is_empty(), "TLS with the gateway is there");
}

#[test]
fn over_a_websocket() {
    assert_all_in_clear("http", 1);
}

#[test]
fn over_two_connections() {
    assert_all_in_clear("http,no-websockets", 2);
}

/// HTTP_CAPABILITY_* (MS-TSGU 2.2.5.3.2): all, and all but UDP.
const WITH_UDP: [u8; 4] = [0x3F, 0, 0, 0];
const WITHOUT_UDP: [u8; 4] = [0x1F, 0, 0, 0];
/// The cookie of the side channel, which stands beside its port in the channel response.
const UDP_COOKIE: &[u8] = b"cookie-of-the-side-channel";
const UDP_PORT: u16 = 3391;

/// The packets of either end of a tunnel over WebSocket on one leg, out of TLS that tshark has opened.
fn tunnel(capture: &Capture, leg: &str) -> [Vec<Packet>; 2] {
    let filter = format!("frame.interface_name == \"{leg}\" && tcp.flags.syn == 1 && tcp.flags.ack == 0");
    let streams = capture.fields(&filter, &["tcp.stream"]);
    let [stream] = &streams[..] else { panic!("{leg}: {streams:?}") };
    capture.tls_stream(stream.parse().expect("a number")).map(|mut said| {
        let head = said.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("there is a head") + 4;
        said.drain(..head);
        let mut packets = Packets::default();
        while let Some(payload) = websocket::cut_frame(&mut said) {
            packets.push(&payload);
        }
        std::iter::from_fn(|| packets.next().expect("it is a packet")).collect()
    })
}

fn of_kind(packets: &[Packet], kind: u16) -> &Packet {
    packets
        .iter()
        .find(|packet| packet.kind() == kind)
        .unwrap_or_else(|| panic!("no {kind:#x} in {packets:?}"))
}

fn has(packet: &Packet, bytes: &[u8]) -> bool {
    packet.bytes.windows(bytes.len()).any(|window| window == bytes)
}

/// What the client offers and what the gateway grants, before rdpscope and behind it.
#[test]
fn over_tcp_alone_no_capability_for_udp_is_on_the_wire_behind_rdpscope() {
    if left_out_without(&["tshark"]) {
        return;
    }
    let target = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = target.local_addr().expect("it is bound");
    let logon = Logon::open();
    let udp = Some((UDP_PORT, UDP_COOKIE.to_vec()));
    let tunnel_setup = Tunnel { target: Some(address), udp, ..Tunnel::default() };
    let gateway = Gateway::start(Setup { logon, tunnel: tunnel_setup, ..Setup::default() });
    let host = gateway.address.to_string();
    let flags = ["--gateway", &host, "--capture", "--secrets", "--tcp-only"];
    let rdpscope = Rdpscope::start(address, 1, &flags);
    let mut client = Client::connect(rdpscope.address);
    assert!(client.upgrade(None).expect("the gateway answers").contains(" 101 "));
    let channel = client.open("srv", 3389).expect("there is a tunnel");
    assert_eq!((channel.error, channel.udp), (0, None));
    drop(client);
    let finished = rdpscope.finish();
    let capture = capture(&finished);
    let ([client_said, client_heard], [gateway_heard, gateway_said]) =
        (tunnel(&capture, "client leg"), tunnel(&capture, "server leg"));

    assert!(has(of_kind(&client_said, packet::TUNNEL_CREATE), &WITH_UDP), "{client_said:?}");
    let created = of_kind(&gateway_heard, packet::TUNNEL_CREATE);
    assert!(has(created, &WITHOUT_UDP) && !has(created, &WITH_UDP), "{created:?}");
    assert!(has(of_kind(&gateway_said, packet::TUNNEL_RESPONSE), &WITH_UDP), "{gateway_said:?}");
    let answered = of_kind(&client_heard, packet::TUNNEL_RESPONSE);
    assert!(has(answered, &WITHOUT_UDP) && !has(answered, &WITH_UDP), "{answered:?}");
    let port = UDP_PORT.to_le_bytes();
    let response = of_kind(&client_heard, packet::CHANNEL_RESPONSE);
    assert!(!has(response, UDP_COOKIE) && !has(response, &port), "{response:?}");

    let altered: Vec<String> = finished
        .session()
        .lines()
        .iter()
        .filter(|line| line["type"] == "altered")
        .map(|line| format!("{} {} {}", line["leg"], line["message"], line["field"]))
        .collect();
    for leg in ["server", "client"] {
        let told =
            altered.iter().any(|line| line.starts_with(&format!("\"{leg}\"")) && line.contains("capsFlags"));
        assert!(told, "{leg}: {altered:?}");
    }
}

#[test]
fn without_secrets_nothing_of_the_tunnel_is_in_clear() {
    let Some(finished) = through("http", &["--inner-cert", "fresh", "--tcp-only"]) else { return };
    capture(&finished).assert_sound(&[]);
    assert_no_secret(&finished);
    finished.assert_nowhere(GATEWAY_PASSWORD);
}
