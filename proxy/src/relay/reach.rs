//! The sockets of a session's two legs: the client's as it was accepted, the server's once it is reached.

use super::impaired::{self, Impaired};
use super::resolve::resolve;
use super::session::{Route, not_impaired};
use super::socket::Socket;
use super::teller::Teller;
use super::{connect, upstream_proxy};
use crate::recorder::pcapng::LegCapture;
use crate::trace::{Detail, Leg, Phase, Side};
use socket2::{SockRef, TcpKeepalive};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// After so long a silence the system asks the peer whether it is still there, and gives a connection up that nobody
/// answers on (RFC 1122 section 4.2.3.6 knows no shorter default). A session that is silent for a day and alive answers;
/// the limit is for a machine that has vanished, whose sockets would stay for ever. It is longer than what firewalls keep
/// an idle connection for, which it would otherwise hide from whoever looks for them.
const ASKED_AFTER: Duration = Duration::from_secs(2 * 60 * 60);

/// The client's connection, captured where that is asked for.
pub(super) fn accepted(client: TcpStream, peer: SocketAddr, teller: &impl Teller) -> Socket {
    give_up_when_vanished(&client);
    let now = Instant::now();
    let local = client.local_addr();
    let capture = teller.capture().zip(local.ok());
    let capture = capture
        .map(|(capture, local)| LegCapture::established(capture, Side::Client, (local, peer), (now, now)));
    Socket::from(client).captured(capture)
}

fn give_up_when_vanished(stream: &TcpStream) {
    // A system that does not know how keeps its own times.
    let _ = SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(ASKED_AFTER));
}

/// Resolves and connects; what happened is in the trace.
pub(super) async fn reach(
    route: &Route,
    teller: &impl Teller,
    impaired: Option<&Impaired>,
) -> Option<Socket> {
    let began = Instant::now();
    let mut connecting = BTreeMap::new();
    let mss = impaired.and_then(Impaired::server_mss);
    let server = reach_directly(route, teller, mss, &mut connecting).await?;
    give_up_when_vanished(&server);
    let capture = teller.capture().and_then(|capture| {
        let (local, peer) = (server.local_addr().ok()?, server.peer_addr().ok()?);
        let began = connecting.get(&peer).copied().unwrap_or(began);
        let times = (began, Instant::now());
        Some(LegCapture::established(capture, Side::Server, (local, peer), times))
    });
    let server = Socket::from(server).captured(capture);
    let joined = impaired::join(impaired, Side::Server, server).await;
    joined.inspect_err(|error| teller.close_by_proxy(&not_impaired(error))).ok()
}

/// When each address was begun to be connected is added to `connecting`.
async fn reach_directly(
    route: &Route,
    teller: &impl Teller,
    mss: Option<u32>,
    connecting: &mut BTreeMap<SocketAddr, Instant>,
) -> Option<TcpStream> {
    let say = |phase: Phase, leg: Leg, detail: Detail| teller.say(leg, None, phase, detail);
    let say_tcp = |detail: Detail| {
        if let Detail::Connecting { address } = &detail
            && let Ok(address) = address.parse()
        {
            connecting.insert(address, Instant::now());
        }
        say(Phase::Tcp, Leg::Server, detail);
    };
    let target = route.address.as_ref().unwrap_or(&route.target);
    if let Some(proxy) = &route.upstream_proxy {
        return upstream_proxy::connect(proxy, target, mss, say_tcp).await.ok();
    }
    let began = Instant::now();
    let resolved = resolve(target).await;
    let took_us = connect::micros(began.elapsed());
    let name = target.host.clone();
    let addresses = match resolved {
        Ok(addresses) => addresses,
        Err(error) => {
            if let Some(reason) = connect::own_limit(&error) {
                teller.close_by_proxy(&reason);
                return None;
            }
            let reason = connect::plain_reason(&error);
            say(Phase::Dns, Leg::Proxy, Detail::ResolutionFailed { name, reason, took_us });
            return None;
        }
    };
    if target.ip().is_none() {
        let addresses = addresses.iter().map(SocketAddr::to_string).collect();
        say(Phase::Dns, Leg::Proxy, Detail::Resolved { name, addresses, took_us });
    }
    let connected = connect::connect_with(&addresses, connect::CONNECT_TIMEOUT, mss, say_tcp).await;
    if let Some(reason) = connected.as_ref().err().and_then(connect::own_limit) {
        teller.close_by_proxy(&reason);
    }
    connected.ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_has_vanished_is_asked_after_longer_than_any_firewall_waits() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        give_up_when_vanished(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), ASKED_AFTER);
    }
}
