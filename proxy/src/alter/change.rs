//! The changes themselves: which four bytes, and what they become.

use super::framing::DATA_HEADER_LENGTH;
use crate::trace::{Altered, Micros, NLA_STRIP, Phase, Side, UDP_OFF};
use crate::wire::gcc::{self, Block};
use crate::wire::x224::{self, ConnectionRequest};

/// Bits of RDP_NEG_REQ.requestedProtocols, MS-RDPBCGR 2.2.1.1.1.
const PROTOCOL_SSL: u32 = 1;
const PROTOCOL_HYBRID: u32 = 2;
const PROTOCOL_HYBRID_EX: u32 = 8;
/// Bits of RDP_NEG_REQ.flags, 2.2.1.1.1.
const RESTRICTED_ADMIN_MODE_REQUIRED: u8 = 1;
const REDIRECTED_AUTHENTICATION_MODE_REQUIRED: u8 = 2;
/// Where requestedProtocols stands in RDP_NEG_REQ.
const REQUESTED_PROTOCOLS: usize = 4;

/// The protocols of RDP_NEG_REQ on both legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Requested {
    /// As the client asked for them.
    client: u32,
    /// As the server was asked for them.
    server: u32,
}

/// One field of 32 bits that becomes another number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Patch {
    message: &'static str,
    structure: &'static str,
    field: &'static str,
    /// From the first byte of the TPKT packet.
    offset: usize,
    before: u32,
    after: u32,
    phase: Phase,
    why: &'static str,
}

impl Patch {
    /// Makes the change in the packet that `from` sent and answers with its record.
    pub(super) fn apply(&self, t_us: Micros, from: Side, packet: &mut [u8]) -> Altered {
        let after = self.after.to_le_bytes();
        packet[self.offset..self.offset + after.len()].copy_from_slice(&after);
        Altered {
            t_us,
            leg: from.opposite().into(),
            connection: None,
            phase: self.phase,
            message: self.message.to_owned(),
            structure: self.structure.to_owned(),
            field: self.field.to_owned(),
            offset: self.offset,
            before: hex::encode(self.before.to_le_bytes()),
            after: hex::encode(after),
            why: self.why.to_owned(),
        }
    }
}

/// What `--nla strip` makes of a connection request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Strip {
    /// NLA is not in it.
    Nothing,
    /// NLA has to stay, and why.
    Impossible(&'static str),
    /// NLA goes.
    Made(Requested, Patch),
}

/// Takes NLA out of the request, unless the client would get what it did not offer: no TLS at all, or a logon with
/// the credentials that Restricted Admin mode and Remote Credential Guard are there to keep from the server. Both exist
/// in CredSSP only (MS-RDPBCGR 5.4.5.2), so that clearing their flags would not make a request that the client means.
pub(super) fn strip_nla(packet: &[u8], request: &ConnectionRequest) -> Strip {
    let (Some(client), Some(structure)) =
        (request.requested_protocols, x224::negotiation_request_offset(packet))
    else {
        return Strip::Nothing;
    };
    let offset = structure + REQUESTED_PROTOCOLS;
    let server = client & !(PROTOCOL_HYBRID | PROTOCOL_HYBRID_EX);
    if server == client {
        return Strip::Nothing;
    }
    if client & PROTOCOL_SSL == 0 {
        return Strip::Impossible(
            "the client offers NLA and no TLS without it, so that nothing it knows would remain",
        );
    }
    let flags = request.flags.unwrap_or_default();
    if flags & RESTRICTED_ADMIN_MODE_REQUIRED != 0 {
        return Strip::Impossible("the client requires Restricted Admin mode, which exists with NLA only");
    }
    if flags & REDIRECTED_AUTHENTICATION_MODE_REQUIRED != 0 {
        return Strip::Impossible("the client requires Remote Credential Guard, which exists with NLA only");
    }
    if number(packet, offset) != Some(client) {
        return Strip::Impossible("the client sent more than one RDP_NEG_REQ");
    }
    let patch = Patch {
        message: "X.224 Connection Request",
        structure: "RDP_NEG_REQ",
        field: "requestedProtocols",
        offset,
        before: client,
        after: server,
        phase: Phase::X224,
        why: NLA_STRIP,
    };
    Strip::Made(Requested { client, server }, patch)
}

/// Gives SC_CORE.clientRequestedProtocols in a Connect Response back what the client asked for, because a client ends
/// the connection over a difference. A number that is not what the server was asked is the server's own and stays.
pub(super) fn give_back(requested: Requested, pdu: &[u8], blocks: &[Block]) -> Option<Patch> {
    let offset = gcc::client_requested_protocols_offset(blocks)?;
    (number(pdu, offset)? == requested.server).then(|| Patch {
        message: connect_pdu(Side::Server),
        structure: "SC_CORE",
        field: "clientRequestedProtocols",
        offset: DATA_HEADER_LENGTH + offset,
        before: requested.server,
        after: requested.client,
        phase: Phase::Mcs,
        why: NLA_STRIP,
    })
}

/// Clears the flags of CS_MULTITRANSPORT or SC_MULTITRANSPORT in the connect PDU of `from`.
pub(super) fn udp_off(from: Side, pdu: &[u8], blocks: &[Block]) -> Option<Patch> {
    let (block_type, structure) = match from {
        Side::Client => (gcc::CS_MULTITRANSPORT, "CS_MULTITRANSPORT"),
        Side::Server => (gcc::SC_MULTITRANSPORT, "SC_MULTITRANSPORT"),
    };
    let block = blocks.iter().find(|block| block.block_type == block_type)?;
    let offset = gcc::multitransport_flags_offset(std::slice::from_ref(block))?;
    let before = number(pdu, offset).filter(|flags| *flags != 0)?;
    let offset = DATA_HEADER_LENGTH + offset;
    let (message, phase) = (connect_pdu(from), Phase::Mcs);
    Some(Patch { message, structure, field: "flags", offset, before, after: 0, phase, why: UDP_OFF })
}

fn connect_pdu(from: Side) -> &'static str {
    match from {
        Side::Client => "MCS Connect Initial",
        Side::Server => "MCS Connect Response",
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|number| u32::from_le_bytes(*number))
}
