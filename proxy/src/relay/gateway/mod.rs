//! The way to the desktop through an RD Gateway: an attempt with all its connections is one session.

pub(super) mod attempts;
mod connect_request;
mod connection;
mod gate;
pub(super) mod host;
pub(super) mod inner;
mod inner_rpc;
pub(super) mod seen;
pub(super) mod serve;
pub(super) mod side_channel;

use super::session::Route;
use super::udp::UdpMode;
use crate::alter::gateway::GatewayAlterations;
use crate::alter::gateway::rpc::CallKeys;
use crate::intercept::settings::Interception;
use std::sync::Arc;

/// UDP port of a gateway's side channel (MS-TSGU 2.1.3), where it names no other.
pub const UDP_PORT: u16 = 3391;

/// The far side, where that is a gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// How it is reached; its `target` is the gateway.
    pub route: Route,
    /// What becomes of the side channel over UDP.
    pub udp: UdpMode,
    /// What is changed inside TLS.
    pub alterations: GatewayAlterations,
    /// How TLS inside the tunnel is terminated, where it is.
    pub inner: Option<Arc<Interception>>,
    /// Who knows the account with which the client logs on at the gateway, for calls over RPC that it signs.
    pub call_keys: Option<Arc<dyn CallKeys>>,
    /// Inside the tunnel neither side is to offer UDP.
    pub inner_udp_off: bool,
}
