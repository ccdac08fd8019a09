//! Listens, runs a session for each client, and ends when it was told to, or when there were enough.

use super::attempts::Attempts;
use super::client_command::{ClientCommand, ClientRun};
use super::connect::plain_reason;
use super::gateway::attempts::GatewayAttempts;
use super::gateway::side_channel::{self, NamedPort, PORTS_QUEUE};
use super::gateway::{self, Gateway};
use super::room::{Place, Room};
use super::session::Route;
use super::tcp_socket;
use super::udp::{self, UdpChannel, UdpMode, UdpSessions};
use super::workers::{self, Report};
use crate::alter::impair::Impairments;
use crate::intercept::settings::Interception;
use crate::recorder::{RecorderHandle, SessionId, SessionTrace, TraceStart};
use crate::trace::{Direction, Record};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::task::JoinSet;

/// What `{arm}` is outside of an experiment.
const NO_ARM: &str = "-";
/// Connections that the system may hold ready for us.
const BACKLOG: u32 = 4096;
/// How long sessions have to write their verdicts once they were told to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Listeners that this process has bound so far.
static LISTENERS: AtomicU64 = AtomicU64::new(0);

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
    /// The folder in which an .rdp file for this listener lies as long as it listens.
    pub profiles: Option<PathBuf>,
    /// What becomes of RDP-UDP.
    pub udp: UdpMode,
    /// The far side is a gateway.
    pub gateway: Option<Gateway>,
    /// Clients say by an HTTP CONNECT where they want to go.
    pub as_http_proxy: bool,
    /// How TLS is terminated, where it is; with a gateway, TLS with that.
    pub interception: Option<Arc<Interception>>,
    /// What makes each connection worse on purpose.
    pub impairments: Impairments,
    /// Attempts follow one another with different settings.
    pub is_experiment: bool,
    /// Whether this build has a command that a verdict proposes; others are left out.
    pub knows_command: fn(&str) -> bool,
    /// The settings as the trace shows them.
    pub shown: serde_json::Map<String, serde_json::Value>,
}

impl Settings {
    /// Whether it shows only later which session a connection belongs to.
    fn sorts_connections(&self) -> bool {
        self.gateway.is_some() || self.as_http_proxy
    }

    /// What becomes of datagrams, and where they arrive, where TCP is listened for at `address`.
    fn udp_port(&self, address: SocketAddr) -> (UdpMode, SocketAddr) {
        match &self.gateway {
            Some(gateway) => (gateway.udp, SocketAddr::new(address.ip(), gateway::UDP_PORT)),
            None => (self.udp, address),
        }
    }

    /// Whether somebody has to know how many sessions there were.
    fn counts_sessions(&self) -> bool {
        self.is_experiment || self.sessions.is_some() || self.client.is_some()
    }
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
    /// The largest segment of TCP cannot be set as `--impair mss=` asks.
    #[error("cannot set segments of at most {mss} bytes: {reason}; leave --impair mss={mss} out")]
    SegmentSize {
        /// What was asked for, bytes.
        mss: u32,
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
    /// The client ended and there was no connection.
    #[error(
        "the client {program:?} {how} and never connected to {address}: it has to dial {{host}}:{{port}} or to open \
         {{rdp}}; check the command given with --client"
    )]
    NobodyCame {
        /// Its program.
        program: String,
        /// How it ended.
        how: String,
        /// Where rdpscope listened.
        address: SocketAddr,
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
        let bind_error =
            |error: io::Error| ListenError::Bind { address: settings.listen, reason: plain_reason(&error) };
        for mss in Direction::ALL.iter().filter_map(|direction| settings.impairments.mss(*direction)) {
            let segment_size = |error| ListenError::SegmentSize { mss, reason: plain_reason(&error) };
            tcp_socket::new(settings.listen, Some(mss)).map_err(segment_size)?;
        }
        let mss = settings.impairments.mss(Direction::Down);
        let tcp = listen_tcp(settings.listen, mss).map_err(bind_error)?;
        let address = tcp.local_addr().map_err(bind_error)?;
        let udp = listen_udp(&settings, address).await;
        let earlier = LISTENERS.fetch_add(1, Ordering::Relaxed);
        let run_id = run_id(jiff::Timestamp::now(), std::process::id(), earlier);
        Ok(Listener { settings, tcp, udp, address, run_id })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the ids of its sessions begin with.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Why RDP-UDP is not handled as the settings ask.
    pub fn udp_trouble(&self) -> Option<&'static str> {
        match (&self.udp, self.settings.udp_port(self.address).0) {
            (Some(_), _) | (None, UdpMode::Off | UdpMode::Refuse) => None,
            (None, UdpMode::Relay) if self.settings.route.upstream_proxy.is_some() => {
                Some("no UDP goes through the upstream proxy: sessions will run over TCP alone")
            }
            (None, _) if self.settings.gateway.is_some() => Some(
                "UDP port 3391 belongs to another program: the side channel to the gateway is not relayed, and sessions \
                 will run over TCP alone",
            ),
            (None, _) => {
                Some("UDP on that port belongs to another program: sessions will run over TCP alone")
            }
        }
    }

    /// Runs until enough sessions were served, the time is over, or `interrupted` completes. Every session's record
    /// is shown to `concluded`, on the thread that served it.
    pub async fn run(
        self,
        recorder: RecorderHandle,
        interrupted: impl Future<Output = ()>,
        concluded: impl Fn(&Record) + Send + Sync + 'static,
    ) -> Result<Finished, ListenError> {
        let address = self.address;
        let settings = Arc::new(self.settings.clone());
        let mut client = ClientRun::new(&settings, address, NO_ARM)?;
        let mut running = self.start(recorder, concluded)?;
        let deadline = settings.duration.map(|duration| tokio::time::Instant::now() + duration);
        tokio::pin!(interrupted);
        let finished = loop {
            match go_on(&mut client, &running.shared, &settings, address, &running.count) {
                Ok(true) => {}
                Ok(false) if running.count.began == 0 => {
                    break client.never_came(&settings, address).map_or(Ok(Finished::Done), Err);
                }
                Ok(false) => break Ok(Finished::Done),
                // Sessions end in good order all the same.
                Err(error) => break Err(error),
            }
            tokio::select! {
                goes_on = running.report() => if !goes_on { break Ok(Finished::Done) },
                () = client.ended() => {}
                () = until(deadline) => break Ok(Finished::Done),
                () = &mut interrupted => break Ok(Finished::Interrupted),
            }
        };
        running.finish().await;
        finished
    }

    /// Starts the threads that serve sessions.
    pub(super) fn start(
        self,
        recorder: RecorderHandle,
        concluded: impl Fn(&Record) + Send + Sync + 'static,
    ) -> Result<Running, ListenError> {
        let address = self.address;
        let bind_error = |error: io::Error| ListenError::Bind { address, reason: plain_reason(&error) };
        let (stop, stopped) = watch::channel(false);
        let (reports, reported) = mpsc::unbounded_channel();
        let present = Present { settings: Arc::new(self.settings), stop: stopped.clone() };
        let shared = Arc::new(Shared::new(present, recorder, self.run_id, Box::new(concluded)));
        let tcp = self.tcp.into_std().map_err(bind_error)?;
        workers::start(&tcp, &shared, &reports, &stopped).map_err(bind_error)?;
        let mut running =
            Running { shared, address, count: Count::default(), stop, reported, background: JoinSet::new() };
        if let Some(socket) = self.udp {
            running.relay_udp(socket);
        }
        Ok(running)
    }
}

/// A listener whose sessions run.
pub(super) struct Running {
    pub(super) shared: Arc<Shared>,
    pub(super) address: SocketAddr,
    pub(super) count: Count,
    stop: watch::Sender<bool>,
    reported: mpsc::UnboundedReceiver<Report>,
    background: JoinSet<()>,
}

impl Running {
    /// Notes the next session that begins or ends; false when there are no more.
    pub(super) async fn report(&mut self) -> bool {
        match self.reported.recv().await {
            Some(report) => {
                self.count.note(report);
                true
            }
            None => false,
        }
    }

    /// Sessions that begin from now on have these settings, and end when `stop` turns true.
    pub(super) async fn switch(&mut self, settings: Arc<Settings>, stop: watch::Receiver<bool>) {
        self.background.shutdown().await;
        let socket = listen_udp(&settings, self.address).await;
        self.shared.switch(Present { settings, stop });
        if let Some(socket) = socket {
            self.relay_udp(socket);
        }
    }

    fn relay_udp(&mut self, socket: UdpSocket) {
        let settings = self.shared.present().settings;
        let sessions = self.shared.udp.clone();
        match &settings.gateway {
            None => {
                self.background.spawn(relay_udp(socket, settings, sessions));
            }
            Some(gateway) => {
                let ports = self.shared.gateway_udp_ports.subscribe();
                let side_channel = side_channel::relay(socket, gateway.clone(), ports, sessions);
                self.background.spawn(side_channel);
            }
        }
    }

    /// Ends every session and waits for their verdicts.
    pub(super) async fn finish(mut self) {
        self.shared.attempts.close();
        // Nobody is left to see that the channel is closed when every session has ended.
        let _ = self.stop.send(true);
        let drained = async { while self.reported.recv().await.is_some() {} };
        // A session that cannot end within the grace is cut; its trace holds all but its verdict.
        let _ = tokio::time::timeout(STOP_GRACE, drained).await;
        self.shared.last_words();
        // What holds the way to the recorder must be gone before its end can be waited for.
        self.background.shutdown().await;
    }
}

/// Starts the next attempt where one is due; false when there is nothing more to wait for.
fn go_on(
    client: &mut ClientRun,
    shared: &Shared,
    settings: &Settings,
    address: SocketAddr,
    count: &Count,
) -> Result<bool, ListenError> {
    let enough = settings.sessions.is_some_and(|most| count.began >= most);
    if !enough && !client.is_over() {
        return Ok(true);
    }
    if count.open() > 0 {
        // The last attempt may still be one connection short where it has several.
        if client.is_over() || !shared.sorts_connections {
            shared.attempts.close();
        }
        return Ok(true);
    }
    let goes_on = !enough && client.restart(settings, address, count.began)?;
    if goes_on {
        shared.attempts.reopen();
    }
    Ok(goes_on)
}

/// Sessions that were begun and that are over.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) began: u64,
    concluded: u64,
}

impl Count {
    /// Sessions that run, or wait for their verdict.
    pub(super) fn open(&self) -> u64 {
        self.began - self.concluded
    }

    fn note(&mut self, report: Report) {
        match report {
            Report::Began => self.began += 1,
            Report::Concluded => self.concluded += 1,
        }
    }
}

/// What every session needs.
pub(super) struct Shared {
    pub(super) attempts: Attempts,
    pub(super) gateway_attempts: GatewayAttempts,
    /// Ports of the gateway's side channel over UDP, as they are named.
    pub(super) gateway_udp_ports: broadcast::Sender<NamedPort>,
    /// Whether it shows only later which session a connection belongs to.
    pub(super) sorts_connections: bool,
    pub(super) udp: Arc<UdpSessions>,
    pub(super) recorder: RecorderHandle,
    /// Whether somebody counts sessions.
    pub(super) counts_sessions: bool,
    /// Sessions that may still begin.
    pub(super) remaining: Arc<Semaphore>,
    /// Room for sessions.
    room: Room,
    /// Sees each session's record.
    pub(super) concluded: Box<dyn Fn(&Record) + Send + Sync>,
    /// What the next session is given.
    present: RwLock<Present>,
    run_id: String,
    numbers: AtomicU64,
}

/// What a session is given at its beginning and keeps.
#[derive(Clone)]
pub(super) struct Present {
    pub(super) settings: Arc<Settings>,
    /// Ends it early when it turns true.
    pub(super) stop: watch::Receiver<bool>,
}

impl Shared {
    fn new(
        present: Present,
        recorder: RecorderHandle,
        run_id: String,
        concluded: Box<dyn Fn(&Record) + Send + Sync>,
    ) -> Shared {
        let settings = &present.settings;
        let remaining = settings.sessions.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        Shared {
            attempts: Attempts::default(),
            gateway_attempts: GatewayAttempts::default(),
            gateway_udp_ports: broadcast::Sender::new(PORTS_QUEUE),
            sorts_connections: settings.sorts_connections(),
            udp: Arc::new(UdpSessions::default()),
            recorder,
            counts_sessions: settings.counts_sessions(),
            remaining: Arc::new(Semaphore::new(remaining.min(Semaphore::MAX_PERMITS))),
            room: Room::new(),
            concluded,
            present: RwLock::new(present),
            run_id,
            numbers: AtomicU64::new(1),
        }
    }

    /// A place for the session that `stream` begins; where there is none, it is refused.
    pub(super) fn admit(&self, stream: TcpStream) -> Option<(TcpStream, Place)> {
        match self.room.take() {
            Some(place) => Some((stream, place)),
            None => {
                let said = self.room.refuse(stream, Instant::now());
                said.into_iter().for_each(|said| self.recorder.notice(said));
                None
            }
        }
    }

    /// Nobody connects any more.
    fn last_words(&self) {
        self.room.last_words().into_iter().for_each(|said| self.recorder.notice(said));
    }

    /// What a session that begins now is given.
    pub(super) fn present(&self) -> Present {
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn switch(&self, present: Present) {
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = present;
    }

    /// The trace of a new session, which began at `began`.
    pub(super) fn begin_trace(&self, settings: &Settings, began: Instant) -> SessionTrace {
        let start = TraceStart {
            id: SessionId::from(self.next_session_id()),
            target: settings.route.target.to_string(),
            settings: settings.shown.clone(),
            started: jiff::Timestamp::now() - began.elapsed(),
            began,
        };
        SessionTrace::begin(start, Some(self.recorder.clone()))
    }

    /// A new session's id: when the program began, its process, and the session's number.
    fn next_session_id(&self) -> String {
        format!("{}-{:04}", self.run_id, self.numbers.fetch_add(1, Ordering::Relaxed))
    }
}

/// When a listener was bound, its process, and which of several listeners of one process it is.
fn run_id(now: jiff::Timestamp, process: u32, earlier: u64) -> String {
    let id = format!("{}-{:04x}", now.strftime("%Y%m%d-%H%M%S"), process & 0xffff);
    if earlier == 0 { id } else { format!("{id}.{}", earlier + 1) }
}

/// The UDP port of the same number, or that of a gateway's side channel, where datagrams are relayed or swallowed.
async fn listen_udp(settings: &Settings, address: SocketAddr) -> Option<UdpSocket> {
    let (mode, address) = settings.udp_port(address);
    match mode {
        // A proxy that carries TCP carries no datagrams, and past it they would take a way that was not asked for.
        UdpMode::Relay if settings.route.upstream_proxy.is_some() => None,
        // Another program may own the UDP port; sessions then run over TCP alone, as behind a firewall.
        UdpMode::Relay | UdpMode::Drop => UdpSocket::bind(address).await.ok(),
        UdpMode::Off | UdpMode::Refuse => None,
    }
}

async fn relay_udp(socket: UdpSocket, settings: Arc<Settings>, sessions: Arc<UdpSessions>) {
    let route = &settings.route;
    let target = route.address.as_ref().unwrap_or(&route.target);
    // Without an address the sessions say why; there is nowhere to send a datagram to.
    let Ok(addresses) = super::resolve::resolve(target).await else { return };
    let Some(server) = addresses.first() else { return };
    udp::relay(socket, *server, settings.udp, UdpChannel::Rdp, sessions).await;
}

fn listen_tcp(address: SocketAddr, mss: Option<u32>) -> io::Result<TcpListener> {
    let socket = tcp_socket::new(address, mss)?;
    // On Windows this option would let a second program take the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

pub(super) async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_of_one_process_and_second_are_told_apart() {
        let now = jiff::Timestamp::from_second(1_763_755_200).unwrap();
        let ids = [0, 1, 2].map(|earlier| run_id(now, 0x5_2b0a, earlier));
        assert_eq!(ids, ["20251121-200000-2b0a", "20251121-200000-2b0a.2", "20251121-200000-2b0a.3"]);
    }
}
