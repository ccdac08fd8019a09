//! Causes that the way through a gateway shows not to be the case.

use super::super::exclusions::Exclusion;
use super::super::facts::{Facts, Gateway};
use crate::trace::{Side, VerdictId};
use crate::wire::tsgu::Packet;

pub(in super::super) const EXCLUSIONS: &[Exclusion] = &[
    Exclusion {
        seen: "TCP with the gateway is connected, or it answered",
        holds: |facts| {
            shows(facts, |gateway| {
                !gateway.exchanges.is_empty() || gateway.last[Side::Server.index()].is_some()
            }) || facts.gateway.is_some() && facts.network.connected.is_some()
        },
        causes: &[VerdictId::GatewayUnreachable],
    },
    Exclusion {
        seen: "what answers asks for a logon as gateways do, or opens a tunnel",
        holds: |facts| shows(facts, |gateway| gateway.shows_itself()),
        causes: &[VerdictId::GatewayNotAGateway],
    },
    Exclusion {
        seen: "the tunnel carries packets both ways",
        holds: |facts| {
            shows(facts, |gateway| gateway.speaks()) || facts.gateway.is_some() && facts.is_inside()
        },
        causes: &[
            VerdictId::GatewayUnreachable,
            VerdictId::GatewayNotAGateway,
            VerdictId::GatewayTransportBlocked,
            VerdictId::GatewayResponseMalformed,
        ],
    },
    Exclusion {
        seen: "the gateway made the tunnel for this user",
        holds: |facts| shows(facts, has_tunnel),
        causes: &[VerdictId::GatewayChannelBinding],
    },
    Exclusion {
        seen: "the gateway made the tunnel for this user",
        holds: |facts| shows(facts, has_tunnel),
        causes: &[VerdictId::GatewayAuthFailed],
    },
    Exclusion {
        seen: "the gateway connected the target",
        holds: |facts| shows(facts, |gateway| gateway.has_channel()),
        causes: &[
            VerdictId::GatewayPolicyDenied,
            VerdictId::GatewayTargetUnreachable,
            VerdictId::GatewayLimit,
            VerdictId::GatewayAuthFailed,
            VerdictId::GatewayChannelBinding,
        ],
    },
];

fn shows(facts: &Facts<'_>, what: fn(&Gateway<'_>) -> bool) -> bool {
    facts.gateway.as_ref().is_some_and(what)
}

fn has_tunnel(gateway: &Gateway<'_>) -> bool {
    let made = |packet: &Packet| match packet {
        Packet::TunnelResponse { status, .. } => (status.value == 0).then_some(()),
        _ => None,
    };
    gateway.packet(Side::Server, made).is_some()
        || gateway.calls.iter().any(|call| call.what.0 == "TsProxyCreateTunnel" && call.what.1.value == 0)
}
