//! The side channel to a gateway over UDP (MS-TSGU 2.1.3): relayed on the port of the same number, because that is where a
//! client that takes rdpscope for the gateway looks for it.

use super::Gateway;
use crate::relay::resolve::resolve;
use crate::relay::udp::{self, UdpChannel, UdpSessions};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Ports that are listened on at once. A gateway names one; those of several gateways behind one name may differ.
const MOST_PORTS: usize = 8;

/// Relays datagrams that arrive at `first`, and at every other port that a gateway names, until the future is dropped.
pub(in crate::relay) async fn relay(
    first: UdpSocket,
    gateway: Gateway,
    mut ports: watch::Receiver<u16>,
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
    // A port that was named in an attempt before is named no more.
    ports.mark_changed();
    while ports.changed().await.is_ok() {
        let port = *ports.borrow_and_update();
        if known.len() < MOST_PORTS
            && known.insert(port)
            && let Ok(socket) = UdpSocket::bind((listening.ip(), port)).await
        {
            relays.spawn(relay(socket, server.ip(), port));
        }
    }
}
