//! Listens, runs a session for each client, and ends when it was told to, or when there were enough.

use super::attempts::Attempts;
use super::client_command::{ClientCommand, Places, RdpFile, describe};
use super::session::{self, Route, SharedSession, Surroundings};
use super::udp::{self, UdpMode, UdpSessions};
use crate::recorder::{RecorderHandle, SessionId, SessionTrace, TraceStart};
use crate::trace::Record;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Sessions at once. Each takes two sockets and a file; a flood beyond this is refused and hurts no session that runs.
const MOST_SESSIONS: usize = 10_000;
/// Connections that the system may hold ready for us.
const BACKLOG: u32 = 4096;
/// How long sessions have to write their verdicts once they were told to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// A process that has no descriptor left cannot accept; it tries again when some session may have ended.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where sessions go.
    pub route: Route,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Stop after so many sessions.
    pub sessions: Option<u64>,
    /// Stop after so long.
    pub duration: Option<Duration>,
    /// Run this for each attempt.
    pub client: Option<ClientCommand>,
    /// What becomes of RDP-UDP.
    pub udp: UdpMode,
    /// Whether this build has a command that a verdict proposes; others are left out.
    pub knows_command: fn(&str) -> bool,
    /// The settings as the trace shows them.
    pub shown: serde_json::Map<String, serde_json::Value>,
}

/// Why listening came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}; choose another with --listen ADDR:PORT")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The client could not be started.
    #[error("cannot start the client {program:?}: {reason}; check the command given with --client")]
    Client {
        /// Its program.
        program: String,
        /// What the system said.
        reason: String,
    },
}

/// Why the listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It did what it was asked for.
    Done,
    /// It was interrupted.
    Interrupted,
}

/// A listener that is bound and not yet running.
pub struct Listener {
    settings: Settings,
    tcp: TcpListener,
    udp: Option<UdpSocket>,
    address: SocketAddr,
    run_id: String,
}

impl Listener {
    /// Binds the TCP port and, where UDP is relayed or swallowed, the UDP port of the same number.
    pub async fn bind(settings: Settings) -> Result<Listener, ListenError> {
        let bind_error = |error: io::Error| ListenError::Bind {
            address: settings.listen,
            reason: super::connect::plain_reason(&error),
        };
        let tcp = listen_tcp(settings.listen).map_err(bind_error)?;
        let address = tcp.local_addr().map_err(bind_error)?;
        let udp = match settings.udp {
            // Another program may own the UDP port; sessions then run over TCP alone, as behind a firewall.
            UdpMode::Relay | UdpMode::Drop => UdpSocket::bind(address).await.ok(),
            UdpMode::Off | UdpMode::Refuse => None,
        };
        let now = jiff::Timestamp::now();
        let run_id = format!("{}-{:04x}", now.strftime("%Y%m%d-%H%M%S"), std::process::id() & 0xffff);
        Ok(Listener { settings, tcp, udp, address, run_id })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether RDP-UDP is handled as the settings ask.
    pub fn has_udp(&self) -> bool {
        self.udp.is_some() || matches!(self.settings.udp, UdpMode::Off | UdpMode::Refuse)
    }

    /// Runs until enough sessions were served, the time is over, or `interrupted` completes. Every session's record
    /// goes to `concluded`.
    pub async fn run(
        self,
        recorder: RecorderHandle,
        interrupted: impl Future<Output = ()>,
        mut concluded: impl FnMut(Record),
    ) -> Result<Finished, ListenError> {
        let shared = Arc::new(Shared {
            attempts: Attempts::default(),
            udp: Arc::new(UdpSessions::default()),
            settings: self.settings,
            recorder,
            run_id: self.run_id,
        });
        let (stop, stopped) = watch::channel(false);
        let mut sessions = JoinSet::new();
        let mut background = JoinSet::new();
        if let Some(socket) = self.udp {
            background.spawn(relay_udp(socket, shared.clone()));
        }
        let mut accepted: u64 = 0;
        let mut client = ClientRun::new(shared.settings.client.clone(), self.address)?;
        let deadline = shared.settings.duration.map(|duration| tokio::time::Instant::now() + duration);
        tokio::pin!(interrupted);
        let finished = loop {
            let enough = shared.settings.sessions.is_some_and(|most| accepted >= most);
            if enough || client.is_over() {
                shared.attempts.close();
                if sessions.is_empty() {
                    break Finished::Done;
                }
            }
            tokio::select! {
                connection = self.tcp.accept(), if !enough && sessions.len() < MOST_SESSIONS => match connection {
                    Ok((stream, peer)) => {
                        accepted += 1;
                        sessions.spawn(serve(stream, peer, accepted, shared.clone(), stopped.clone()));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
                Some(session) = sessions.join_next() => {
                    if let Ok(record) = session {
                        concluded(record);
                    }
                }
                () = client.ended() => {}
                () = until(deadline) => break Finished::Done,
                () = &mut interrupted => break Finished::Interrupted,
            }
        };
        shared.attempts.close();
        // Nobody is left to see that the channel is closed when every session has ended.
        let _ = stop.send(true);
        let drained = async {
            while let Some(session) = sessions.join_next().await {
                if let Ok(record) = session {
                    concluded(record);
                }
            }
        };
        // A session that cannot end within the grace is cut; its trace holds all but its verdict.
        let _ = tokio::time::timeout(STOP_GRACE, drained).await;
        Ok(finished)
    }
}

/// What every session needs.
struct Shared {
    attempts: Attempts,
    udp: Arc<UdpSessions>,
    settings: Settings,
    recorder: RecorderHandle,
    run_id: String,
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    number: u64,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) -> Record {
    let start = TraceStart {
        id: SessionId::from(format!("{}-{number:04}", shared.run_id)),
        target: shared.settings.route.target.to_string(),
        settings: shared.settings.shown.clone(),
        started: jiff::Timestamp::now(),
        began: Instant::now(),
    };
    let session = SharedSession::new(SessionTrace::begin(start, Some(shared.recorder.clone())));
    let surroundings = Surroundings {
        route: &shared.settings.route,
        attempts: &shared.attempts,
        udp: &shared.udp,
        knows_command: shared.settings.knows_command,
    };
    session::run(stream, peer, session, &surroundings, stop).await
}

async fn relay_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let route = &shared.settings.route;
    let target = route.address.as_ref().unwrap_or(&route.target);
    // Without an address the sessions say why; there is nowhere to send a datagram to.
    let Ok(addresses) = super::resolve::resolve(target).await else { return };
    let Some(server) = addresses.first() else { return };
    udp::relay(socket, *server, shared.settings.udp, shared.udp.clone()).await;
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    // On Windows this option would let a second program take the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The client that runs for each attempt, if any.
struct ClientRun {
    child: Option<Child>,
    was_asked_for: bool,
    /// Kept until the client has ended.
    _rdp: Option<RdpFile>,
}

impl ClientRun {
    fn new(command: Option<ClientCommand>, address: SocketAddr) -> Result<ClientRun, ListenError> {
        let Some(command) = command else {
            return Ok(ClientRun { child: None, was_asked_for: false, _rdp: None });
        };
        let failed = |error: io::Error| ListenError::Client {
            program: command.program().to_owned(),
            reason: super::connect::plain_reason(&error),
        };
        let rdp = RdpFile::write(address).map_err(failed)?;
        let child = command.start(&Places { address, rdp: rdp.path(), arm: "-" }).map_err(failed)?;
        Ok(ClientRun { child: Some(child), was_asked_for: true, _rdp: Some(rdp) })
    }

    /// The client was asked for and has ended: nobody else will connect.
    fn is_over(&self) -> bool {
        self.was_asked_for && self.child.is_none()
    }

    async fn ended(&mut self) {
        match &mut self.child {
            Some(child) => {
                let words = match child.wait().await {
                    Ok(status) => describe(status),
                    Err(error) => format!("cannot be waited for: {error}"),
                };
                tracing::info!("the client {words}");
                self.child = None;
            }
            None => std::future::pending().await,
        }
    }
}
