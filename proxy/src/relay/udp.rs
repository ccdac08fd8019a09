//! RDP-UDP on the same port number: datagrams are relayed and shown to the session of the same client.

use super::session::SharedSession;
use crate::trace::Side;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What becomes of datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum UdpMode {
    /// Relayed to the same port of the server.
    #[default]
    Relay,
    /// Taken out of what client and server offer where TLS is terminated, otherwise refused on the port.
    Off,
    /// Refused: nothing listens, and the system says so.
    Refuse,
    /// Swallowed without an answer.
    Drop,
}

/// What the datagrams of a port are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UdpChannel {
    /// RDP-UDP with the server.
    Rdp,
    /// The side channel to a gateway.
    Gateway,
}

/// The largest datagram that UDP has.
const LARGEST_DATAGRAM: usize = 65_535;
/// MS-RDPEUDP 3.1.1.9: a peer is taken for dead after 65 s of silence; twice that keeps every flow that still lives.
const FLOW_IDLE: Duration = Duration::from_secs(130);
/// Flows at once. A client has at most two; more than this many source addresses is a flood, and they are ignored.
const MOST_FLOWS: usize = 1024;
/// Datagrams that may wait for one flow; more are lost, as they are on any full link.
const FLOW_QUEUE: usize = 256;

/// Which session belongs to which client.
#[derive(Default)]
pub struct UdpSessions {
    by_client: Mutex<HashMap<IpAddr, Vec<SharedSession>>>,
}

impl UdpSessions {
    /// Datagrams of `client` belong to `session` from now on.
    pub fn register(&self, client: IpAddr, session: &SharedSession) {
        self.lock().entry(client).or_default().push(session.clone());
    }

    /// They no longer do.
    pub fn unregister(&self, client: IpAddr, session: &SharedSession) {
        let mut sessions = self.lock();
        if let Some(of_client) = sessions.get_mut(&client) {
            of_client.retain(|other| !other.is_same(session));
            if of_client.is_empty() {
                sessions.remove(&client);
            }
        }
    }

    /// The newest session of `client`.
    fn newest(&self, client: IpAddr) -> Option<SharedSession> {
        self.lock().get(&client)?.last().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Vec<SharedSession>>> {
        self.by_client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Relays datagrams that arrive at `listener` to the server of the client's session, or to `server` where it has none,
/// until the future is dropped; with [`UdpMode::Drop`] they are only seen.
pub(super) async fn relay(
    listener: UdpSocket,
    server: SocketAddr,
    mode: UdpMode,
    channel: UdpChannel,
    sessions: Arc<UdpSessions>,
) {
    let listener = Arc::new(listener);
    let mut flows: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut tasks: JoinSet<SocketAddr> = JoinSet::new();
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        tokio::select! {
            Some(ended) = tasks.join_next() => {
                if let Ok(client) = ended {
                    flows.remove(&client);
                }
            }
            received = listener.recv_from(&mut buffer) => {
                // An ICMP error for a datagram sent earlier is reported here; it says nothing about this socket.
                let Ok((length, client)) = received else { continue };
                observe(&sessions, channel, client, Side::Client, &buffer[..length]);
                capture(&sessions, (client.ip(), Side::Client, false), (listener.local_addr().ok(), client), &buffer[..length]);
                if mode == UdpMode::Drop {
                    continue;
                }
                let flow = match flows.get(&client) {
                    Some(flow) => flow,
                    None if flows.len() >= MOST_FLOWS => continue,
                    None => {
                        let (sender, receiver) = mpsc::channel(FLOW_QUEUE);
                        // Of a name's addresses the one that TCP was connected to.
                        let session = sessions.newest(client.ip());
                        let connected = session.and_then(|session| session.server());
                        let ip = connected.map_or(server.ip(), |connected| connected.ip());
                        let server = SocketAddr::new(ip, server.port());
                        let ends = (client, server);
                        tasks.spawn(flow(ends, channel, listener.clone(), receiver, sessions.clone()));
                        flows.entry(client).or_insert(sender)
                    }
                };
                let _ = flow.try_send(buffer[..length].to_vec());
            }
        }
    }
}

/// One client's datagrams, both ways; answers with the client's address when it has been silent for too long.
async fn flow(
    (client, server): (SocketAddr, SocketAddr),
    channel: UdpChannel,
    listener: Arc<UdpSocket>,
    mut from_client: mpsc::Receiver<Vec<u8>>,
    sessions: Arc<UdpSessions>,
) -> SocketAddr {
    let Ok(socket) = connected_socket(server).await else { return client };
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        tokio::select! {
            datagram = from_client.recv() => {
                let Some(datagram) = datagram else { return client };
                // What the network refuses is lost, like any datagram.
                if socket.send(&datagram).await.is_ok() {
                    let ends = (socket.local_addr().ok(), server);
                    capture(&sessions, (client.ip(), Side::Server, true), ends, &datagram);
                }
            }
            received = socket.recv(&mut buffer) => {
                let Ok(length) = received else { continue };
                let ends = (socket.local_addr().ok(), server);
                observe(&sessions, channel, client, Side::Server, &buffer[..length]);
                capture(&sessions, (client.ip(), Side::Server, false), ends, &buffer[..length]);
                if listener.send_to(&buffer[..length], client).await.is_ok() {
                    let ends = (listener.local_addr().ok(), client);
                    capture(&sessions, (client.ip(), Side::Client, true), ends, &buffer[..length]);
                }
            }
            () = tokio::time::sleep(FLOW_IDLE) => return client,
        }
    }
}

async fn connected_socket(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    Ok(socket)
}

fn observe(sessions: &UdpSessions, channel: UdpChannel, client: SocketAddr, from: Side, bytes: &[u8]) {
    let Some(session) = sessions.newest(client.ip()) else { return };
    match channel {
        UdpChannel::Rdp => session.datagram(Instant::now(), from, bytes),
        UdpChannel::Gateway => session.gateway_datagram(Instant::now(), from, bytes),
    }
}

/// A datagram on the leg of `side`, from us or to us, between our end and the other.
fn capture(
    sessions: &UdpSessions,
    (client, side, from_us): (IpAddr, Side, bool),
    (us, peer): (Option<SocketAddr>, SocketAddr),
    bytes: &[u8],
) {
    let capture = sessions.newest(client).and_then(|session| session.lock().trace.capture().cloned());
    if let (Some(capture), Some(us)) = (capture, us) {
        capture.datagram(Instant::now(), (side, from_us), (us, peer), bytes);
    }
}
