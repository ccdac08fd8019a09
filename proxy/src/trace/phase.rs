//! The phases of a connection, in their order.

use super::{Leg, Micros};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A phase of an RDP connection, in the order in which they happen (MS-RDPBCGR 1.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The target's name is resolved.
    Dns,
    /// TCP connects.
    Tcp,
    /// TCP connects to the gateway.
    GatewayTcp,
    /// TLS with the gateway.
    GatewayTls,
    /// HTTP with the gateway, up to its answer.
    GatewayHttp,
    /// HTTP authentication with the gateway.
    GatewayAuth,
    /// MS-TSGU tunnel creation and authorization.
    GatewayTunnel,
    /// MS-TSGU channel creation.
    GatewayChannel,
    /// X.224 connection request and confirm: the security protocol is negotiated.
    X224,
    /// TLS handshake.
    Tls,
    /// CredSSP (network level authentication), or what was negotiated in its place: RDSTLS, RDS-AAD.
    Credssp,
    /// MCS Connect Initial and Response with the GCC settings.
    Mcs,
    /// MCS erect domain, attach user, channel joins.
    Channels,
    /// Security exchange and Client Info.
    Info,
    /// Licensing.
    Licensing,
    /// Demand Active and Confirm Active.
    Capabilities,
    /// Synchronize, Control, Font List, Font Map.
    Finalization,
    /// The desktop is there.
    Active,
    /// The RDP-UDP side channel.
    Udp,
    /// The end.
    Closed,
}

impl Phase {
    /// The id used in JSON, on the page and on the terminal.
    pub fn id(self) -> &'static str {
        match self {
            Phase::Dns => "dns",
            Phase::Tcp => "tcp",
            Phase::GatewayTcp => "gateway-tcp",
            Phase::GatewayTls => "gateway-tls",
            Phase::GatewayHttp => "gateway-http",
            Phase::GatewayAuth => "gateway-auth",
            Phase::GatewayTunnel => "gateway-tunnel",
            Phase::GatewayChannel => "gateway-channel",
            Phase::X224 => "x224",
            Phase::Tls => "tls",
            Phase::Credssp => "credssp",
            Phase::Mcs => "mcs",
            Phase::Channels => "channels",
            Phase::Info => "info",
            Phase::Licensing => "licensing",
            Phase::Capabilities => "capabilities",
            Phase::Finalization => "finalization",
            Phase::Active => "active",
            Phase::Udp => "udp",
            Phase::Closed => "closed",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.id())
    }
}

/// How a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it is for.
    Ok,
    /// A side said that it failed.
    Failed,
    /// The connection ended, or was left, in the middle of it.
    Unfinished,
    /// What was negotiated leaves it out.
    Skipped,
}

/// One phase with its times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseRecord {
    /// Which phase.
    pub phase: Phase,
    /// The leg it ran on; absent where it spans both legs unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<Leg>,
    /// Its first event.
    pub start_us: Micros,
    /// The event that completed it, or its last one.
    pub end_us: Micros,
    /// How it ended.
    pub outcome: Outcome,
    /// True where only sizes and timing of encrypted bytes tell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
    /// The part of the time in which the client's next message was awaited, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for_client_us: Option<Micros>,
    /// The part of the time in which the server's next message was awaited, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for_server_us: Option<Micros>,
}

impl PhaseRecord {
    /// How long it took, µs.
    pub fn duration_us(&self) -> Micros {
        self.end_us.saturating_sub(self.start_us)
    }
}
