//! A change and its record.

use super::packet::SideChannel;
use crate::trace::{Altered, Framing, GATEWAY_UDP_OFF, Micros, Phase, Side};
use crate::wire::tsgu::UDP_TRANSPORT;
use std::ops::Range;

/// Bytes that were changed, in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) message: &'static str,
    pub(super) structure: &'static str,
    pub(super) field: String,
    /// From the message's first byte.
    pub(super) offset: usize,
    /// Empty where they may be a secret.
    pub(super) before: Vec<u8>,
    /// Empty where they were taken out.
    pub(super) after: Vec<u8>,
    pub(super) phase: Phase,
    pub(super) why: &'static str,
}

impl Change {
    /// Its record, of bytes that `from` sent.
    pub(super) fn record(self, t_us: Micros, from: Side, connection: u32) -> Altered {
        Altered {
            t_us,
            leg: from.opposite().into(),
            connection: Some(connection),
            phase: self.phase,
            message: self.message.to_owned(),
            structure: self.structure.to_owned(),
            field: self.field,
            offset: self.offset,
            before: hex::encode(self.before),
            after: hex::encode(self.after),
            why: self.why.to_owned(),
        }
    }
}

/// capsFlags without UDP, for the side that offers it; none where it does not.
pub(super) fn capabilities(from: Side, at: usize, before: u32) -> Option<Change> {
    let (message, structure) = match from {
        Side::Client => ("TUNNEL_CREATE", "HTTP_TUNNEL_PACKET"),
        Side::Server => ("TUNNEL_RESPONSE", "HTTP_TUNNEL_RESPONSE_OPTIONAL"),
    };
    (before & UDP_TRANSPORT != 0).then(|| Change {
        message,
        structure,
        field: "capsFlags".to_owned(),
        offset: at,
        before: before.to_le_bytes().to_vec(),
        after: (before & !UDP_TRANSPORT).to_le_bytes().to_vec(),
        phase: Phase::GatewayTunnel,
        why: GATEWAY_UDP_OFF,
    })
}

/// What is said of the side channel, taken out of the channel response or filled with zeros. Of the cookie only the
/// length is told.
pub(super) fn channel_response(packet: &[u8], found: &SideChannel, taken_out: bool) -> Vec<Change> {
    let change = |structure, field: &str, at: Range<usize>, after: Vec<u8>| Change {
        message: "CHANNEL_RESPONSE",
        structure,
        field: field.to_owned(),
        offset: at.start,
        before: packet[at].to_vec(),
        after,
        phase: Phase::GatewayChannel,
        why: GATEWAY_UDP_OFF,
    };
    let optional = "HTTP_CHANNEL_RESPONSE_OPTIONAL";
    let gone = if taken_out { Vec::new() } else { vec![0, 0] };
    let mut changes = Vec::new();
    if taken_out {
        let length = (packet.len() - found.range().len()) as u32;
        changes.push(change("HTTP_PACKET_HEADER", "packetLength", 4..8, length.to_le_bytes().to_vec()));
    }
    let left = found.fields_left().to_le_bytes().to_vec();
    changes.push(change("HTTP_CHANNEL_RESPONSE", "fieldsPresent", SideChannel::FIELDS_PRESENT, left));
    if let Some(port) = &found.udp_port {
        changes.push(change(optional, "udpPort", port.clone(), gone.clone()));
    }
    if let Some(cookie) = &found.authn_cookie {
        changes.push(change(optional, "authnCookie.cbLen", cookie.start..cookie.start + 2, gone));
    }
    changes
}

/// The length around a channel response that became shorter.
pub(super) fn framing(form: Framing, before: &[u8], after: &[u8]) -> Change {
    let (structure, field) = match form {
        Framing::Chunked => ("chunk", "chunk-size"),
        _ => ("WebSocket frame", "Payload length"),
    };
    Change {
        message: "CHANNEL_RESPONSE",
        structure,
        field: field.to_owned(),
        offset: 0,
        before: before.to_vec(),
        after: after.to_vec(),
        phase: Phase::GatewayChannel,
        why: GATEWAY_UDP_OFF,
    }
}

/// The packet without the side channel.
pub(super) fn without(packet: &[u8], found: &SideChannel, taken_out: bool) -> Vec<u8> {
    let mut changed = packet.to_vec();
    changed[SideChannel::FIELDS_PRESENT].copy_from_slice(&found.fields_left().to_le_bytes());
    if taken_out {
        changed.drain(found.range());
        let length = changed.len() as u32;
        changed[4..8].copy_from_slice(&length.to_le_bytes());
    } else {
        changed[found.range()].fill(0);
    }
    changed
}
