//! Sessions through a real gateway (rdpgw) that the lab captured with the secrets of their TLS: what the observer says of
//! them, with tshark in the place of the decryption.

use crate::support::captures::folder;
use crate::support::left_out::left_out_without;
use rdpscope::observe::GatewayObserver;
use rdpscope::trace::{Detail, Event, GatewayMessage, How, Side, Transport};
use std::path::Path;
use std::process::Command;

/// Where the gateway listened.
const PORT: u16 = 13443;
/// Connections of a capture that may be one to the gateway.
const STREAMS: usize = 4;

/// What a side said inside TLS.
type Said = Vec<(Side, Vec<u8>)>;

/// The connections to the gateway, each with what was said inside TLS in the order in which it was.
fn connections(folder: &Path, name: &str) -> Vec<Said> {
    let file = folder.join("lab").join(name).with_extension("pcapng");
    (0..STREAMS).map(|stream| inside(&file, stream)).filter(is_to_the_gateway).collect()
}

fn is_to_the_gateway(said: &Said) -> bool {
    said.first().is_some_and(|(_, bytes)| bytes.starts_with(b"RDG_"))
}

fn inside(file: &Path, stream: usize) -> Said {
    let output = Command::new("tshark")
        .args(["-q", "-z", &format!("follow,tls,raw,{stream}"), "-d", &format!("tcp.port=={PORT},tls"), "-r"])
        .arg(file)
        .output()
        .expect("tshark runs");
    let text = String::from_utf8(output.stdout).expect("hexadecimal is text");
    let lines = text.lines().skip_while(|line| !line.starts_with("Node 1")).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| !line.starts_with('=')).collect();
    // The client speaks first; the lines of one of the two are indented.
    let is_of_client = |line: &str| line.starts_with('\t') == lines[0].starts_with('\t');
    let said = lines.iter().map(|line| {
        let from = if is_of_client(line) { Side::Client } else { Side::Server };
        (from, hex::decode(line.trim()).expect("hexadecimal"))
    });
    said.collect()
}

/// What the observer tells of connections that follow each other.
fn observed(connections: &[Said]) -> (Vec<Event>, Option<Transport>) {
    let (mut observer, mut events) = (GatewayObserver::default(), Vec::new());
    for (number, said) in (1..).zip(connections) {
        for (t_us, (from, bytes)) in (0..).zip(said) {
            observer.data(t_us, number, *from, bytes, &mut events);
        }
    }
    for (number, _) in (1..).zip(connections) {
        observer.ended(1_000_000_000, number, Side::Client, How::Fin, &mut events);
        observer.ended(1_000_000_000, number, Side::Server, How::Fin, &mut events);
    }
    let transport = observer.transport();
    (events, transport)
}

/// The packets of MS-TSGU of one side, by name.
fn packets(events: &[Event], from: Side) -> Vec<&'static str> {
    let of_side = events.iter().filter(|event| event.from == Some(from));
    let packet = |event: &Event| match &event.detail {
        Detail::Gateway(GatewayMessage::TunnelPacket(packet)) => Some(packet.name()),
        _ => None,
    };
    of_side.filter_map(packet).collect()
}

fn statuses(events: &[Event]) -> Vec<u16> {
    let status = |event: &Event| match &event.detail {
        Detail::Gateway(GatewayMessage::HttpResponse(response)) => Some(response.status),
        _ => None,
    };
    events.iter().filter_map(status).collect()
}

fn faults(events: &[Event]) -> Vec<&Event> {
    let is_fault = |event: &&Event| {
        matches!(
            event.detail,
            Detail::Malformed { .. } | Detail::ObservationStopped { .. } | Detail::OtherProtocol { .. }
        )
    };
    events.iter().filter(is_fault).collect()
}

const ASKED: [&str; 5] = ["handshake_request", "tunnel_create", "tunnel_auth", "channel_create", "data"];
const ANSWERED: [&str; 5] =
    ["handshake_response", "tunnel_response", "tunnel_auth_response", "channel_response", "data"];

fn parts() -> Option<std::path::PathBuf> {
    if left_out_without(&["tshark"]) { None } else { folder() }
}

#[test]
fn a_session_over_a_websocket() {
    let Some(folder) = parts() else { return };
    let connections = connections(&folder, "gw-websocket-ok");
    assert_eq!(connections.len(), 1);
    let (events, transport) = observed(&connections);
    assert_eq!(transport, Some(Transport::GatewayWebsocket));
    assert_eq!(statuses(&events), [401, 101], "NTLM's challenge, and the tunnel");
    assert_eq!(packets(&events, Side::Client)[..5], ASKED);
    assert_eq!(packets(&events, Side::Server)[..5], ANSWERED);
    let confirm = events.iter().find_map(|event| match &event.detail {
        Detail::ConnectionConfirm(confirm) => Some(confirm),
        _ => None,
    });
    assert!(confirm.is_some(), "the X.224 inside the tunnel");
    assert!(faults(&events).is_empty(), "{:?}", faults(&events));
}

#[test]
fn a_session_over_two_connections() {
    let Some(folder) = parts() else { return };
    let connections = connections(&folder, "gw-http-dual-ok");
    assert_eq!(connections.len(), 2);
    let (events, transport) = observed(&connections);
    assert_eq!(transport, Some(Transport::GatewayHttp));
    assert_eq!(packets(&events, Side::Client)[..5], ASKED);
    assert_eq!(packets(&events, Side::Server)[..5], ANSWERED);
    assert!(statuses(&events).iter().all(|status| [401, 200].contains(status)), "{:?}", statuses(&events));
}

#[test]
fn a_wrong_password() {
    let Some(folder) = parts() else { return };
    let connections = connections(&folder, "gw-wrong-password");
    let (events, _) = observed(&connections);
    assert!(!connections.is_empty() && statuses(&events).iter().all(|status| *status == 401));
    assert!(packets(&events, Side::Client).is_empty(), "no tunnel was begun");
}
