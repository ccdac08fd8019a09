//! One client's connection from accept to verdict.

use super::attempts::{Attempts, Number};
use super::conclude::{conclude, udp_events};
use super::connect;
use super::gateway::seen::GatewaySeen;
use super::impaired::{self, Impaired};
use super::intercepted::{self, Intercepted};
use super::pump::{Ending, PumpEnd, Tap, linger, pump, reset};
use super::reach::{accepted, reach};
use super::room::Place;
use super::socket::Socket;
use super::target::Target;
use super::teller::Teller;
use super::udp::UdpSessions;
use super::upstream_proxy::UpstreamProxy;
use crate::alter::impair::Impairments;
use crate::diagnose;
use crate::intercept::settings::Interception;
use crate::observe::{SessionObserver, UdpObserver};
use crate::recorder::SessionTrace;
use crate::recorder::pcapng::InsideCapture;
use crate::trace::{ClosedBy, Detail, Event, How, Leg, Micros, Phase, Record, Side};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Bytes read from the client before the server is connected; a connection request has at most 260.
const FIRST_BYTES: usize = 16 * 1024;
/// Room for one of them, so that it is read at once.
const USUAL_FIRST_BYTES: usize = 512;

/// Where sessions go.
#[derive(Debug, Clone)]
pub struct Route {
    /// What the user named.
    pub target: Target,
    /// Connect here instead of resolving the target.
    pub address: Option<Target>,
    /// Reach it through this proxy.
    pub upstream_proxy: Option<UpstreamProxy>,
}

/// What a session shares with the others.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where it goes.
    pub route: &'a Route,
    /// Who else is connected.
    pub attempts: &'a Attempts,
    /// Whose datagrams belong to whom.
    pub udp: &'a UdpSessions,
    /// How TLS is terminated, where it is.
    pub interception: Option<&'a Interception>,
    /// What makes the connection worse on purpose.
    pub impairments: &'a Impairments,
    /// Whether this build has a command that a verdict proposes.
    pub knows_command: fn(&str) -> bool,
}

/// A session that others may add observations to: the UDP relay sees datagrams of the same client.
#[derive(Clone)]
pub struct SharedSession {
    inner: Arc<Mutex<Observed>>,
}

/// A session that may be over.
#[derive(Clone)]
pub(super) struct WeakSession {
    inner: Weak<Mutex<Observed>>,
}

impl WeakSession {
    /// The session while it runs; to be held only for a moment, because its end waits for that.
    pub(super) fn upgrade(&self) -> Option<SharedSession> {
        self.inner.upgrade().map(|inner| SharedSession { inner })
    }
}

/// What is known of a session while it runs.
pub struct Observed {
    /// Its trace.
    pub trace: SessionTrace,
    pub(super) observer: SessionObserver,
    /// On the heap, for those of many sessions that have none.
    pub(super) udp: Option<Box<UdpObserver>>,
    /// Of an attempt to reach a desktop through a gateway: what is known of its connections.
    gateway: Option<Box<GatewaySeen>>,
    /// Bytes that came from either side.
    pub(super) bytes: [u64; 2],
    pub(super) first_end: Option<(Micros, Side, Ending)>,
    pub(super) last_end: Option<Micros>,
    pub(super) proxy_closed: bool,
    /// rdpscope ended it by a reset, as it was asked to.
    pub(super) proxy_reset: bool,
}

impl SharedSession {
    /// A session with nothing seen yet.
    ///
    /// `terminates_tls`: TLS does not pass through.
    pub fn new(trace: SessionTrace, terminates_tls: bool) -> SharedSession {
        let observer =
            if terminates_tls { SessionObserver::terminating_tls() } else { SessionObserver::default() };
        SharedSession::of(trace, observer, None)
    }

    /// An attempt to reach a desktop through a gateway, with nothing seen yet.
    ///
    /// `terminates_tls`: TLS does not pass through inside the tunnel.
    pub(super) fn of_gateway(trace: SessionTrace, terminates_tls: bool) -> SharedSession {
        let (observer, gateway) = match terminates_tls {
            true => (SessionObserver::terminating_tls(), GatewaySeen::with_inner_apart()),
            false => (SessionObserver::default(), GatewaySeen::default()),
        };
        SharedSession::of(trace, observer, Some(Box::new(gateway)))
    }

    fn of(
        trace: SessionTrace,
        observer: SessionObserver,
        gateway: Option<Box<GatewaySeen>>,
    ) -> SharedSession {
        let observed = Observed {
            trace,
            observer,
            gateway,
            udp: None,
            bytes: [0, 0],
            first_end: None,
            last_end: None,
            proxy_closed: false,
            proxy_reset: false,
        };
        SharedSession { inner: Arc::new(Mutex::new(observed)) }
    }

    /// The session as somebody knows it who does not keep it.
    pub(super) fn downgrade(&self) -> WeakSession {
        WeakSession { inner: Arc::downgrade(&self.inner) }
    }

    /// Exclusive access. A panic elsewhere leaves facts that are still worth having.
    pub fn lock(&self) -> MutexGuard<'_, Observed> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the session, once nobody else has it.
    pub(super) fn into_observed(self) -> Result<Observed, SharedSession> {
        match Arc::try_unwrap(self.inner) {
            Ok(mutex) => Ok(mutex.into_inner().unwrap_or_else(PoisonError::into_inner)),
            Err(inner) => Err(SharedSession { inner }),
        }
    }

    /// Whether both are the same session.
    pub fn is_same(&self, other: &SharedSession) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The server that TCP is connected to.
    pub fn server(&self) -> Option<SocketAddr> {
        self.lock().trace.timeline().summary().server.as_ref()?.parse().ok()
    }

    /// A datagram of the RDP-UDP side channel.
    pub fn datagram(&self, at: Instant, from: Side, bytes: &[u8]) {
        let mut observed = self.lock();
        let t_us = observed.trace.at(at);
        let mut messages = Vec::new();
        observed.udp.get_or_insert_default().datagram(t_us, from, bytes, &mut messages);
        observed.trace.events(udp_events(t_us, Some(from), messages));
    }

    /// A datagram of the side channel to a gateway.
    pub(super) fn gateway_datagram(&self, at: Instant, from: Side, bytes: &[u8]) {
        let mut observed = self.lock();
        let t_us = observed.trace.at(at);
        let mut events = Vec::new();
        if let Some(gateway) = observed.gateway() {
            gateway.datagram(t_us, from, bytes, &mut events);
        }
        observed.trace.events(events);
    }
}

/// The tap of the pump: bytes to the observer, its events to the trace.
pub(super) struct SessionTap<'a> {
    session: &'a SharedSession,
    /// Nobody counts what is inside a tunnel by itself: its attempt is counted.
    attempts: Option<&'a Attempts>,
    client: SocketAddr,
    number: Number,
    reached: Option<Phase>,
    has_desktop: bool,
    inside: Option<InsideCapture>,
}

impl<'a> SessionTap<'a> {
    /// Of what is inside a tunnel, for which `client` stands.
    pub(super) fn inside_tunnel(session: &'a SharedSession, client: SocketAddr) -> SessionTap<'a> {
        SessionTap {
            session,
            attempts: None,
            client,
            number: 0,
            reached: None,
            has_desktop: false,
            inside: None,
        }
    }

    /// The session.
    pub(super) fn session(&self) -> &SharedSession {
        self.session
    }

    /// What `from` said inside TLS that is terminated.
    pub(super) fn inside(&mut self, at: Instant, from: Side, bytes: &[u8]) {
        if let Some(inside) = &mut self.inside {
            inside.said(at, from, bytes);
        }
        self.observe(at, |observed, t_us, events| {
            if let Some(terminated) = observed.observer.terminated() {
                terminated.plaintext(t_us, from, bytes, events);
            }
        });
    }

    /// TLS ends here from now on: what is inside is captured, too, where secrets are.
    pub(super) fn capture_inside(&mut self) {
        self.inside = self.inside_capture();
    }

    /// A capture of what is inside TLS, where secrets are captured.
    pub(super) fn inside_capture(&self) -> Option<InsideCapture> {
        let server = self.session.server()?;
        let capture = self.session.lock().trace.capture().filter(|it| it.takes_secrets()).cloned()?;
        Some(InsideCapture::new(capture, self.client, server))
    }

    fn observe(&mut self, at: Instant, feed: impl FnOnce(&mut Observed, Micros, &mut Vec<Event>)) {
        let mut observed = self.session.lock();
        let observed = &mut *observed;
        let t_us = observed.trace.at(at);
        let mut events = Vec::new();
        feed(observed, t_us, &mut events);
        observed.trace.events(events);
        let Some(attempts) = self.attempts else { return };
        let reached = observed.trace.timeline().reached();
        if reached > self.reached {
            self.reached = reached;
            attempts.progress(self.client.ip(), self.number, reached);
        }
        if !self.has_desktop && observed.trace.timeline().current() == Some(Phase::Active) {
            self.has_desktop = true;
            attempts.desktop();
        }
    }
}

impl Tap for SessionTap<'_> {
    fn data(&mut self, at: Instant, from: Side, bytes: &[u8]) {
        self.observe(at, |observed, t_us, events| {
            observed.count_own(from, bytes.len() as u64);
            observed.observer.data(t_us, from, bytes, events);
        });
    }

    fn unseen(&mut self, _at: Instant, from: Side, count: u64) {
        let mut observed = self.session.lock();
        observed.count_own(from, count);
        observed.observer.lost(from);
    }

    fn is_opaque(&self, from: Side) -> bool {
        self.session.lock().observer.is_opaque(from)
    }

    fn ended(&mut self, at: Instant, from: Side, ending: Ending) {
        self.session.lock().ended_at(at, from, ending);
    }
}

impl Observed {
    /// Bytes of a direct connection. Those inside a tunnel were counted with what carries them.
    pub(super) fn count_own(&mut self, from: Side, count: u64) {
        if self.gateway.is_none() {
            self.bytes[from.index()] += count;
        }
    }

    /// The same with what has followed RDP whose TLS is terminated inside the tunnel.
    pub(super) fn gateway_ending(&mut self) -> Option<(ClosedBy, How)> {
        Some(self.gateway.as_deref_mut()?.ending(&self.observer, &self.trace.record().events))
    }

    /// The silence after which the gateway's side cut its tunnel without a word.
    pub(super) fn silent_cut(&self) -> Option<Micros> {
        self.gateway.as_deref()?.silent_cut(&self.trace.record().events)
    }

    /// Of an attempt to reach a desktop through a gateway: what is known of its connections.
    pub(super) fn gateway(&mut self) -> Option<&mut GatewaySeen> {
        self.gateway.as_deref_mut()
    }

    /// rdpscope ends the session, said once.
    pub(super) fn stop(&mut self, reason: &str) {
        if !self.proxy_closed {
            self.close_by_proxy(reason);
        }
    }

    /// A connection of the session ended.
    pub(super) fn note_last_end(&mut self, t_us: Micros) {
        self.last_end = Some(t_us);
    }

    /// rdpscope ends the session.
    pub(super) fn close_by_proxy(&mut self, reason: &str) {
        self.proxy_closed = true;
        let detail = Detail::ProxyClosed { reason: reason.to_owned() };
        self.trace.say(Leg::Proxy, None, Phase::Closed, detail);
    }

    /// rdpscope cuts the connection to a side, as `setting` asks.
    pub(super) fn cut_by_proxy(&mut self, setting: &str, by_reset: bool) {
        self.proxy_reset |= by_reset;
        if !self.proxy_closed {
            self.close_by_proxy(&format!("{setting} asked for it"));
        }
    }

    /// A side ended its direction.
    pub(super) fn ended_at(&mut self, at: Instant, from: Side, ending: Ending) {
        let t_us = self.trace.at(at);
        let how = match ending {
            Ending::Fin => How::Fin,
            Ending::Reset => How::Reset,
        };
        let mut events = Vec::new();
        self.observer.ended(t_us, from, how, &mut events);
        self.trace.events(events);
        self.first_end.get_or_insert((t_us, from, ending));
        self.last_end = Some(t_us);
    }
}

/// Runs one session, whose connection has this `number` among `attempts`, and answers with its record. Ends early when
/// `stop` turns true. Its `place` among all sessions is free again with the last of its sockets, though its verdict may be
/// waited for.
pub async fn run(
    client: TcpStream,
    (peer, number): (SocketAddr, Number),
    (session, place): (SharedSession, Place),
    surroundings: &Surroundings<'_>,
    stop: watch::Receiver<bool>,
) -> Record {
    let Surroundings { attempts, udp, impairments, knows_command, .. } = *surroundings;
    udp.register(peer.ip(), &session);
    // Relayed bytes leave as they come: nothing is held back for a fuller segment.
    let _ = client.set_nodelay(true);
    {
        let local = client.local_addr().map_or_else(|_| String::new(), |local| local.to_string());
        let detail = Detail::Accepted { peer: peer.to_string(), local };
        session.lock().trace.say(Leg::Client, None, Phase::Tcp, detail);
    }
    let client = accepted(client, peer, &session);
    let tap = SessionTap {
        session: &session,
        attempts: Some(attempts),
        client: peer,
        number,
        reached: None,
        has_desktop: false,
        inside: None,
    };
    match Impaired::begin(impairments, &session, true) {
        None => drop(relay((client, &place), surroundings, None, tap, stop).await),
        Some(impaired) => Box::pin(relay_impaired((client, &place), surroundings, impaired, tap, stop)).await,
    }
    drop(place);
    udp.unregister(peer.ip(), &session);
    attempts.ended(peer.ip(), number);
    // Each on the heap when it is due, so that a session that runs for hours does not keep the room for its end.
    let came_back = Box::pin(wait_for_return(&session, peer, number, attempts)).await;
    Box::pin(conclude(session, came_back, knows_command)).await
}

/// The same over a worse connection.
async fn relay_impaired(
    (client, place): (Socket, &Place),
    surroundings: &Surroundings<'_>,
    impaired: Impaired,
    tap: SessionTap<'_>,
    mut stop: watch::Receiver<bool>,
) {
    let session = tap.session;
    let client = match impaired::join(Some(&impaired), Side::Client, client).await {
        Ok(client) => client,
        Err(error) => return session.lock().close_by_proxy(&not_impaired(&error)),
    };
    let goes_on = relay((client, place), surroundings, Some(&impaired), tap, stop.clone()).await;
    if !goes_on {
        tokio::select! {
            () = impaired.finish() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}

pub(super) fn not_impaired(error: &io::Error) -> String {
    format!(
        "--impair needs a connection within this machine, and the system gives none: {}",
        connect::plain_reason(error)
    )
}

/// Relays until the session is over; true where its connections are kept all the same.
async fn relay(
    (mut client, place): (Socket, &Place),
    surroundings: &Surroundings<'_>,
    impaired: Option<&Impaired>,
    tap: SessionTap<'_>,
    mut stop: watch::Receiver<bool>,
) -> bool {
    let session = tap.session;
    let left_open = tokio::select! {
        left_open = serve(&mut client, surroundings, impaired, tap) => left_open,
        _ = stop.wait_for(|stop| *stop) => {
            session.lock().close_by_proxy("rdpscope was told to stop");
            None
        }
        () = impaired::all_cut(impaired) => None,
    };
    if let Some(info) = impaired::info(impaired, Side::Client, &client) {
        session.lock().trace.say(Leg::Client, None, Phase::Tcp, Detail::TcpInfo(info));
    }
    let goes_on = left_open.is_some();
    match left_open {
        Some(server) => drop(tokio::spawn(linger(client, server, place.clone()))),
        None => drop(client),
    }
    goes_on
}

/// Connects and relays until both sides are done; answers with the server's connection where it is to be kept.
async fn serve(
    client: &mut Socket,
    surroundings: &Surroundings<'_>,
    impaired: Option<&Impaired>,
    mut tap: SessionTap<'_>,
) -> Option<Socket> {
    let Surroundings { route, interception, .. } = *surroundings;
    let session = tap.session;
    // On the heap, so that a session that runs for hours does not keep the memory of its first milliseconds.
    let (connected, first) = match Box::pin(meet(client, route, impaired, session, &mut tap)).await {
        Ok(met) => met,
        Err(ending) => {
            client_gave_up(session, ending);
            return None;
        }
    };
    let Some(mut server) = connected else {
        reset(client);
        let mut observed = session.lock();
        (observed.proxy_closed, observed.proxy_reset) = (true, true);
        return None;
    };
    let _ = server.set_nodelay(true);
    if let Some(interception) = interception {
        let context = Intercepted { interception, route: Some(route), impaired };
        // On the heap, so that a session that passes through does not keep room for it.
        return Box::pin(intercepted::serve(client, server, first, &mut tap, context)).await;
    }
    if forward_first(&mut server, &first).await.is_err() {
        tap.ended(Instant::now(), Side::Server, Ending::Reset);
        reset(client);
        return None;
    }
    drop(first);
    let end = pump(client, &mut server, &mut tap).await;
    if let Some(info) = impaired::info(impaired, Side::Server, &server) {
        session.lock().trace.say(Leg::Server, None, Phase::Tcp, Detail::TcpInfo(info));
    }
    if end == PumpEnd::Reset {
        reset(client);
        reset(&server);
    }
    (end == PumpEnd::LeftOpen).then_some(server)
}

/// Reaches the server while the client already speaks: the server, where it could be reached, and what the client has
/// said so far. The error is how the client went away before.
pub(super) async fn meet(
    client: &mut Socket,
    route: &Route,
    impaired: Option<&Impaired>,
    teller: &impl Teller,
    tap: &mut impl Tap,
) -> Result<(Option<Socket>, Vec<u8>), Ending> {
    let mut first = Vec::with_capacity(USUAL_FIRST_BYTES);
    let connected = tokio::select! {
        connected = reach(route, teller, impaired) => connected,
        ending = listen_ahead(client, &mut first, tap) => return Err(ending),
    };
    Ok((connected, first))
}

/// Reads what the client sends while the server is being connected, so that it is seen at its time. Comes back only
/// when the client has gone.
async fn listen_ahead(client: &mut Socket, first: &mut Vec<u8>, tap: &mut impl Tap) -> Ending {
    use tokio::io::AsyncReadExt;
    let (mut reader, _) = client.split();
    loop {
        if first.len() >= FIRST_BYTES {
            std::future::pending::<()>().await;
        }
        let before = first.len();
        match reader.read_buf(first).await {
            Ok(0) => return Ending::Fin,
            Ok(_) => tap.data(Instant::now(), Side::Client, &first[before..]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ending::Reset,
        }
    }
}

pub(super) async fn forward_first(server: &mut Socket, first: &[u8]) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;
    if first.is_empty() { Ok(()) } else { server.write_all(first).await }
}

/// The client went away while the server was still being connected: what the server had not done until then counts.
fn client_gave_up(session: &SharedSession, ending: Ending) {
    let mut observed = session.lock();
    let events = observed.trace.record().events.iter();
    let waited = connect::under_way(events.map(|event| (event.t_us, &event.detail)));
    let now = Instant::now();
    for (began_us, address) in waited {
        let took_us = observed.trace.at(now).saturating_sub(began_us);
        let detail = Detail::ConnectAbandoned { address, took_us };
        observed.trace.say(Leg::Server, None, Phase::Tcp, detail);
    }
    observed.ended_at(now, Side::Client, ending);
}

/// A client that cuts the connection to ask its user something comes back; whether it did decides the verdict.
async fn wait_for_return(
    session: &SharedSession,
    peer: SocketAddr,
    number: Number,
    attempts: &Attempts,
) -> bool {
    let (may_be_prompt, reached) = {
        let mut observed = session.lock();
        if observed.proxy_closed {
            return false;
        }
        let (closed_by, how) = observed.ending();
        let reached = observed.trace.timeline().reached();
        observed.trace.timeline_mut().summary_mut().closed_by = Some(closed_by);
        observed.trace.timeline_mut().summary_mut().how = Some(how);
        (diagnose::may_be_a_prompt(observed.trace.record(), observed.trace.timeline().summary()), reached)
    };
    may_be_prompt && attempts.came_back(peer.ip(), number, reached).await
}
