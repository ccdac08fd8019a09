//! What a gateway's connections tell for the summary.

use crate::trace::{GatewayMessage, GatewaySummary, Role, Summary, Transport};
use crate::wire::named::Code;
use crate::wire::tsgu::{Packet, UDP_TRANSPORT};

/// Adds what `message` tells to `summary`. Of the transports that were tried the last one counts.
pub(super) fn note(summary: &mut Summary, message: &GatewayMessage) {
    match message {
        GatewayMessage::HttpRequest(request) => match request.role {
            Role::Websocket => summary.transport = Some(Transport::GatewayWebsocket),
            Role::OutChannel => summary.transport = Some(Transport::GatewayHttp),
            Role::RpcIn | Role::RpcOut => summary.transport = Some(Transport::GatewayRpc),
            Role::InChannel | Role::KdcProxy | Role::Other => {}
        },
        GatewayMessage::TunnelBegan { transport, .. } => summary.transport = Some(*transport),
        GatewayMessage::TunnelPacket(packet) => note_packet(summary.gateway.get_or_insert_default(), packet),
        GatewayMessage::TunnelTraffic { data_packets, keepalives, .. } => {
            let gateway = summary.gateway.get_or_insert_default();
            // The first of each was told by itself.
            count(gateway, "data", data_packets.saturating_sub(1));
            count(gateway, "keepalive", keepalives.saturating_sub(1));
        }
        GatewayMessage::Rpc { status: Some(status), .. } => {
            note_status(summary.gateway.get_or_insert_default(), status);
        }
        _ => {}
    }
}

fn note_packet(gateway: &mut GatewaySummary, packet: &Packet) {
    count(gateway, packet.name(), 1);
    if let Packet::TunnelCreate { capabilities, .. } = packet {
        gateway.udp_offered = Some(capabilities.contains(UDP_TRANSPORT));
    }
    // The steps of an authentication have codes that are no reason.
    let is_step = matches!(packet, Packet::ExtendedAuthMsg { status, .. } if status.value >> 31 == 0);
    if let Some(status) = packet.status().filter(|_| !is_step) {
        note_status(gateway, status);
    }
}

fn note_status(gateway: &mut GatewaySummary, status: &Code) {
    if status.value != 0 {
        gateway.status = Some(format!("{:#010x}", status.value));
    }
}

fn count(gateway: &mut GatewaySummary, name: &str, packets: u64) {
    if packets > 0 {
        *gateway.packets.entry(name.to_owned()).or_default() += packets;
    }
}
