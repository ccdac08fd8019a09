//! The connections to an RD Gateway in words.

mod http;
mod tunnel;

use super::{counted, meaning};
use crate::explain::Family;
use crate::report::{safe, time};
use crate::trace::{Detail, Event, GatewayMessage, GatewayUdp, Reframing, Role, Side, Transport};
use crate::wire::named::Code;
use std::collections::BTreeSet;

/// What happened on the way through the gateway; where several connections take part each clause says on which.
pub(super) fn describe(events: &[Event]) -> Vec<String> {
    let messages: Vec<(&Event, &GatewayMessage)> = events.iter().filter_map(of_gateway).collect();
    let connections: BTreeSet<u32> = messages.iter().filter_map(|(event, _)| event.connection).collect();
    let several = connections.len() > 1;
    let mut clauses = http::describe(&messages, several);
    clauses.extend(tunnel::describe(&messages));
    let place = |event: &Event| match event.connection.filter(|_| several) {
        Some(number) => format!("connection {number}: "),
        None => String::new(),
    };
    let rest = messages.iter().filter_map(|(event, message)| Some(place(event) + &clause(event, message)?));
    clauses.extend(counted(rest));
    clauses
}

fn of_gateway(event: &Event) -> Option<(&Event, &GatewayMessage)> {
    match &event.detail {
        Detail::Gateway(message) => Some((event, message)),
        _ => None,
    }
}

/// What stands for itself.
fn clause(event: &Event, message: &GatewayMessage) -> Option<String> {
    Some(match message {
        GatewayMessage::BodyReframed { how, offset } => reframed(*how, *offset),
        GatewayMessage::WebsocketControl { frame, status, .. } => {
            let who = who(event);
            let status = status.map(|status| format!(" with status {status}")).unwrap_or_default();
            match frame.as_str() {
                "close" => format!("{who} closes the WebSocket{status}"),
                frame => format!("WebSocket {} from the {who}", safe::name(frame)),
            }
        }
        GatewayMessage::KdcProxy { realm, length } => {
            let realm = realm.as_deref().map_or("a realm".to_owned(), safe::name);
            format!("the KDC proxy is asked for {realm} ({length} bytes)")
        }
        GatewayMessage::Http2 { paths } if paths.is_empty() => {
            "HTTP/2 agreed on; what is in it passes unseen".to_owned()
        }
        GatewayMessage::Http2 { paths } => {
            let paths: Vec<String> = paths.iter().map(|path| safe::name(path)).collect();
            format!("HTTP/2 for {}; what is in it passes unseen", paths.join(", "))
        }
        GatewayMessage::ConnectionMoved { session } => {
            format!("this connection belongs to session {}", safe::name(session))
        }
        GatewayMessage::ChannelReplaced { role, predecessor } => {
            let channel = if *role == Role::RpcOut { "OUT" } else { "IN" };
            format!("takes the place of connection {predecessor} as the {channel} channel")
        }
        GatewayMessage::CutAgain { for_us, earlier_us } => {
            let times = earlier_us.len() + 1;
            format!("cut without a word after {} of silence, {times} times in this run", time::short(*for_us))
        }
        GatewayMessage::TransportRefused { transport, status } => {
            let transport = transport_name(*transport);
            format!("rdpscope answered {status} to {transport}, as --gateway-transport asks")
        }
        _ => return None,
    })
}

fn who(event: &Event) -> &'static str {
    match event.from {
        Some(Side::Client) => "client",
        Some(Side::Server) => "gateway",
        None => "rdpscope",
    }
}

fn reframed(how: Reframing, offset: u64) -> String {
    match how {
        Reframing::Chunked => "a box on the way put the tunnel into chunks".to_owned(),
        Reframing::UnannouncedChunks => {
            format!("sizes of chunks stand in the tunnel that nothing announces (byte {offset})")
        }
        Reframing::Garbage => format!("bytes that are no packet stand in the tunnel (byte {offset})"),
        Reframing::Truncated => format!("the tunnel's body ended in the middle (byte {offset})"),
    }
}

/// What carries a tunnel.
pub(super) fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::GatewayWebsocket => "WebSocket",
        Transport::GatewayHttp => "HTTP over two connections",
        Transport::GatewayRpc => "RPC over HTTP",
        Transport::Tcp => "a direct connection",
        Transport::Udp => "UDP",
    }
}

/// A status with its name and what it means.
fn status(status: &Code) -> String {
    let number = format!("{:#010x}", status.value);
    let entry = meaning(Family::Gateway, status.value)
        .or_else(|| meaning(Family::Sspi, status.value))
        .or_else(|| meaning(Family::Ntstatus, status.value));
    let name = status.name.as_deref().or(entry.map(|entry| entry.name));
    let name = name.map_or_else(|| number.clone(), |name| format!("{} ({number})", safe::name(name)));
    match entry {
        Some(entry) => format!("{name}: {}", entry.meaning),
        None => name,
    }
}

/// The side channel over UDP, where there is something to tell: whether it went well, and a clause.
pub(in crate::report) fn udp(message: &GatewayMessage) -> Option<(bool, String)> {
    let GatewayMessage::GatewayUdp { what, datagrams, since_first_us } = message else { return None };
    let after = time::short(*since_first_us);
    Some(match what {
        GatewayUdp::FirstDatagram => return None,
        GatewayUdp::Established => (true, format!("UDP with the gateway is open, after {after}")),
        GatewayUdp::Unanswered => (
            false,
            format!("{datagrams} datagrams to the gateway in {after}, no answer: UDP is blocked on the way"),
        ),
        GatewayUdp::Silence => {
            (false, format!("UDP with the gateway fell silent, after {datagrams} datagrams"))
        }
    })
}

/// A message after which a side may leave: `HTTP response`.
pub(super) fn noun(message: &GatewayMessage) -> Option<String> {
    Some(match message {
        GatewayMessage::HttpRequest(request) => format!("{} request", safe::name(&request.method)),
        GatewayMessage::HttpResponse(response) => format!("answer {}", response.status),
        GatewayMessage::TunnelPacket(packet) => packet.name().replace('_', " "),
        GatewayMessage::Rpc { pdu, call, .. } => safe::name(call.as_deref().unwrap_or(pdu)),
        _ => return None,
    })
}
