//! The side channel to a gateway over UDP (MS-TSGU 2.1.3): relayed on the port of the same number, because that is where a
//! client that takes rdpscope for the gateway looks for it.

use super::Gateway;
use crate::relay::connect::plain_reason;
use crate::relay::resolve::resolve;
use crate::relay::session::WeakSession;
use crate::relay::udp::{self, UdpChannel, UdpSessions};
use crate::trace::{Detail, Event, GatewayMessage, Leg, Phase};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use tokio::net::UdpSocket;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

/// Ports that are listened on at once. A gateway names one; those of several gateways behind one name may differ.
const MOST_PORTS: usize = 8;
/// Names of ports that may wait; a socket is bound faster than a tunnel is made.
pub(in crate::relay) const PORTS_QUEUE: usize = 16;

/// A gateway has named the port of its side channel.
#[derive(Clone)]
pub(in crate::relay) struct NamedPort {
    pub(super) port: u16,
    /// In which session.
    pub(super) session: WeakSession,
}

/// Relays datagrams that arrive at `first`, and at every other port that a gateway names, until the future is dropped.
pub(in crate::relay) async fn relay(
    first: UdpSocket,
    gateway: Gateway,
    mut ports: broadcast::Receiver<NamedPort>,
    sessions: Arc<UdpSessions>,
) {
    let target = gateway.route.address.as_ref().unwrap_or(&gateway.route.target);
    // Without an address the sessions say why; there is nowhere to send a datagram to.
    let Ok(addresses) = resolve(target).await else { return };
    let (Some(server), Ok(listening)) = (addresses.first(), first.local_addr()) else { return };
    let mut relays = JoinSet::new();
    let mut known = BTreeSet::from([listening.port()]);
    let relay = |socket: UdpSocket, ip: IpAddr, port: u16| {
        udp::relay(socket, SocketAddr::new(ip, port), gateway.udp, UdpChannel::Gateway, sessions.clone())
    };
    relays.spawn(relay(first, server.ip(), listening.port()));
    loop {
        let named = match ports.recv().await {
            Ok(named) => named,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        if known.contains(&named.port) {
            continue;
        }
        match listen(listening.ip(), named.port, known.len()).await {
            Ok(socket) => {
                known.insert(named.port);
                relays.spawn(relay(socket, server.ip(), named.port));
            }
            Err(reason) => say_not_relayed(&named, reason),
        }
    }
}

/// Listens on one more port, where `count` are listened on already.
async fn listen(ip: IpAddr, port: u16, count: usize) -> Result<UdpSocket, String> {
    if count >= MOST_PORTS {
        return Err(format!("rdpscope listens on {count} ports already"));
    }
    UdpSocket::bind((ip, port)).await.map_err(|error| plain_reason(&error))
}

fn say_not_relayed(named: &NamedPort, reason: String) {
    let Some(session) = named.session.upgrade() else { return };
    let mut observed = session.lock();
    let t_us = observed.trace.at(Instant::now());
    let message = GatewayMessage::SideChannelNotRelayed { port: named.port, reason };
    observed.trace.events(vec![Event {
        t_us,
        leg: Leg::Proxy,
        from: None,
        connection: None,
        phase: Phase::Udp,
        inferred: false,
        detail: Detail::Gateway(message),
    }]);
}
