//! What one connection to a gateway tells, to the attempt that it belongs to. Until its first request says which that
//! is, what was told is kept, so that it can be told again elsewhere.

use super::attempts::{AttemptNumber, Joined};
use super::host::Host;
use crate::observe::gateway::{Belonging, OuterTls};
use crate::recorder::pcapng::ConnectionCapture;
use crate::relay::connect;
use crate::relay::pump::{Ending, Tap};
use crate::relay::session::SharedSession;
use crate::relay::teller::Teller;
use crate::trace::{Detail, Event, GatewayMessage, How, Leg, Line, Phase, Role, Side, UDP_OFF};
use crate::wire::tls::Alert;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Bytes of a first request, and of what may come beside it, kept to be told again: more than any head has.
const MOST_KEPT_BYTES: usize = 64 * 1024;
/// What a gateway refuses for good, as the lower halves of its statuses (MS-TSGU 2.2.6): E_PROXY_RAP_ACCESSDENIED,
/// E_PROXY_NAP_ACCESSDENIED, E_PROXY_TS_CONNECTFAILED, E_PROXY_MAXCONNECTIONSREACHED, E_PROXY_CAPABILITYMISMATCH,
/// E_PROXY_QUARANTINE_ACCESSDENIED, E_PROXY_NOCERTAVAILABLE, E_PROXY_COOKIE_BADPACKET,
/// E_PROXY_COOKIE_AUTHENTICATION_ACCESS_DENIED. After any of them another transport or another logon would be refused as
/// well.
const FINAL: [u32; 9] = [0x59DA, 0x59DB, 0x59DD, 0x59E6, 0x59E9, 0x59ED, 0x59EE, 0x59F7, 0x59F8];
/// Events of a connection before its first request: some dozens.
const MOST_KEPT_EVENTS: usize = 256;

/// One connection. Clones are the same one; with the last of them it leaves its attempt.
#[derive(Clone)]
pub(super) struct GatewayConnection {
    place: Arc<Mutex<Place>>,
}

/// The attempt that a connection belongs to, and what the connection itself is known for.
struct Place {
    host: Host,
    client: IpAddr,
    attempt: AttemptNumber,
    number: u32,
    session: SharedSession,
    outer: OuterTls,
    kept: Option<Kept>,
    capture: Option<Arc<ConnectionCapture>>,
    /// Bytes that came from either side.
    bytes: [u64; 2],
    has_ended: bool,
    is_complete: bool,
    has_desktop: bool,
}

/// What was told before the first request said where it belongs.
#[derive(Default)]
struct Kept {
    events: Vec<(Instant, Event)>,
    said: Vec<(Instant, Side, Vec<u8>)>,
    length: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.settle_capture();
        self.leave();
    }
}

impl GatewayConnection {
    /// A connection that has joined its attempt. `sees_inside`: rdpscope terminates TLS.
    pub(super) fn new(host: Host, joined: Joined, client: IpAddr, sees_inside: bool) -> GatewayConnection {
        let Joined { attempt, connection, session } = joined;
        if let Some(gateway) = session.lock().gateway() {
            gateway.connection_began(connection, sees_inside);
        }
        let capture = session.lock().trace.capture().map(|capture| match sees_inside {
            true => ConnectionCapture::unsettled(capture),
            false => ConnectionCapture::of(capture.clone()),
        });
        let outer = if sees_inside { OuterTls::terminated() } else { OuterTls::passing_through() };
        let place = Place {
            host,
            client,
            attempt,
            number: connection,
            session,
            outer,
            kept: sees_inside.then(Kept::default),
            capture,
            bytes: [0, 0],
            has_ended: false,
            is_complete: false,
            has_desktop: false,
        };
        GatewayConnection { place: Arc::new(Mutex::new(place)) }
    }

    /// The session of the attempt that it belongs to at this moment.
    pub(super) fn session(&self) -> SharedSession {
        self.lock().session.clone()
    }

    /// Its number in that attempt.
    pub(super) fn number(&self) -> u32 {
        self.lock().number
    }

    /// Where it belongs at this moment: the session of its attempt, and its number in it.
    pub(super) fn place(&self) -> (SharedSession, u32) {
        let place = self.lock();
        (place.session.clone(), place.number)
    }

    /// What `from` said inside TLS.
    pub(super) fn inside(&self, at: Instant, from: Side, bytes: &[u8]) {
        let mut place = self.lock();
        place.keep_said(at, from, bytes);
        place.inside(at, from, bytes);
        place.settle(false);
    }

    /// Lines that are no events.
    pub(super) fn lines(&self, lines: Vec<Line>) {
        self.session().lock().trace.lines(lines);
    }

    /// A moment in the session's own time.
    pub(super) fn micros(&self, at: Instant) -> crate::trace::Micros {
        self.session().lock().trace.at(at)
    }

    /// The gateway could not be reached, or not any more.
    pub(super) fn gave_up(&self) {
        self.lock().note_end(Side::Server, Ending::Fin, true);
    }

    /// The client went away while the gateway was still being connected: what that had not done until then counts.
    pub(super) fn client_gave_up(&self, ending: Ending) {
        let now = Instant::now();
        let waited = self
            .lock()
            .kept
            .as_ref()
            .map(|kept| connect::under_way(kept.events.iter().map(|(at, event)| (*at, &event.detail))));
        for (since, address) in waited.into_iter().flatten() {
            let took_us = connect::micros(now.saturating_duration_since(since));
            self.say(Leg::Server, None, Phase::Tcp, Detail::ConnectAbandoned { address, took_us });
        }
        self.ended(now, Side::Client, ending);
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teller for GatewayConnection {
    fn say(&self, leg: Leg, from: Option<Side>, phase: Phase, detail: Detail) {
        let phase = match (phase, leg) {
            (Phase::Tcp, Leg::Server | Leg::Proxy) => Phase::GatewayTcp,
            (Phase::Tls, _) => Phase::GatewayTls,
            (phase, _) => phase,
        };
        let event = Event { t_us: 0, leg, from, connection: None, phase, inferred: false, detail };
        self.lock().tell(Instant::now(), vec![event]);
    }

    fn wire(&self, at: Instant, side: Side, sent_by_us: bool, bytes: &[u8]) {
        let mut place = self.lock();
        if !sent_by_us {
            place.count(side, bytes.len() as u64);
        }
        place.observe(at, |outer, events| outer.wire(0, side, sent_by_us, bytes, events));
    }

    fn server_again(&self) {
        self.lock().observe(Instant::now(), |outer, _| outer.server_again());
    }

    fn count(&self, side: Side, received: u64) {
        self.lock().count(side, received);
    }

    fn alerted(&self, side: Side) -> bool {
        self.lock().outer.alerted(side)
    }

    fn alert(&self, at: Instant, from: Side, alert: &Alert) {
        self.lock().observe(at, |outer, events| outer.alert(0, from, alert, events));
    }

    fn broken_tls(&self, at: Instant, from: Side, reason: &str) {
        let detail = Detail::Malformed {
            structure: "TLS record".to_owned(),
            offset: 0,
            reason: reason.to_owned(),
            bytes: String::new(),
        };
        let event = Event {
            t_us: 0,
            leg: from.into(),
            from: Some(from),
            connection: None,
            phase: Phase::GatewayTls,
            inferred: false,
            detail,
        };
        self.lock().tell(at, vec![event]);
    }

    fn server_certificate(&self, at: Instant, chain: &[Vec<u8>]) {
        self.lock().observe(at, |outer, events| outer.certificate(0, chain, events));
    }

    fn ended(&self, at: Instant, from: Side, ending: Ending) {
        let how = match ending {
            Ending::Fin => How::Fin,
            Ending::Reset => How::Reset,
        };
        let mut place = self.lock();
        place.settle(true);
        place.inside_ended(at, from, how);
        place.note_end(from, ending, false);
    }

    fn close_by_proxy(&self, reason: &str) {
        self.say(Leg::Proxy, None, Phase::Closed, Detail::ProxyClosed { reason: reason.to_owned() });
        self.gave_up();
    }

    fn capture(&self) -> Option<Arc<ConnectionCapture>> {
        self.lock().capture.clone()
    }
}

/// Of a connection whose TLS passes through.
impl Tap for GatewayConnection {
    fn data(&mut self, at: Instant, from: Side, bytes: &[u8]) {
        self.wire(at, from, false, bytes);
    }

    fn unseen(&mut self, _at: Instant, from: Side, count: u64) {
        let mut place = self.lock();
        place.count(from, count);
        place.outer.lost(from);
    }

    fn is_opaque(&self, _from: Side) -> bool {
        self.lock().outer.is_opaque()
    }

    fn ended(&mut self, at: Instant, from: Side, ending: Ending) {
        Teller::ended(self, at, from, ending);
    }
}

impl Place {
    /// The connection belongs no more to its attempt.
    fn leave(&self) {
        if let Some(gateway) = self.session.lock().gateway() {
            gateway.connection_left(self.number);
        }
        self.host.leave(self.attempt, self.number);
    }

    fn count(&mut self, side: Side, received: u64) {
        self.bytes[side.index()] += received;
        self.session.lock().count(side, received);
    }

    fn observe(&mut self, at: Instant, feed: impl FnOnce(&mut OuterTls, &mut Vec<Event>)) {
        let mut events = Vec::new();
        feed(&mut self.outer, &mut events);
        self.tell(at, events);
    }

    /// Events of this connection at `at`, whatever time they carry.
    fn tell(&mut self, at: Instant, mut events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        if let Some(kept) = &mut self.kept {
            let room = MOST_KEPT_EVENTS.saturating_sub(kept.events.len());
            kept.events.extend(events.iter().take(room).map(|event| (at, event.clone())));
        }
        let mut session = self.session.lock();
        let t_us = session.trace.at(at);
        for event in &mut events {
            (event.t_us, event.connection) = (t_us, Some(self.number));
        }
        session.trace.events(events);
        drop(session);
        self.note_progress();
    }

    fn keep_said(&mut self, at: Instant, from: Side, bytes: &[u8]) {
        let Some(kept) = &mut self.kept else { return };
        kept.length += bytes.len();
        if kept.length > MOST_KEPT_BYTES {
            // Whoever says so much without a head is no client of a gateway, and stays where it is.
            self.kept = None;
            self.settle_capture();
            return;
        }
        kept.said.push((at, from, bytes.to_vec()));
    }

    fn inside(&mut self, at: Instant, from: Side, bytes: &[u8]) {
        let mut session = self.session.lock();
        let t_us = session.trace.at(at);
        let mut events = Vec::new();
        if let Some(gateway) = session.gateway() {
            gateway.data(t_us, self.number, from, bytes, &mut events);
        }
        for event in &events {
            if let Some(port) = udp_port(event) {
                self.host.udp_port(port, &self.session);
            }
        }
        let is_refused = events.iter().any(is_refused_for_good);
        let last_way = events.iter().rev().find_map(is_on_last_way);
        let not_altered = events.iter().find(|event| is_open_channel(event)).map(inner_udp_not_altered);
        session.trace.events(events);
        if self.host.leaves_inner_udp() {
            session.trace.events(not_altered.into_iter().collect());
        }
        drop(session);
        if is_refused {
            self.host.is_refused(self.attempt);
        }
        if let Some(is_last) = last_way {
            self.host.is_on_last_way(self.attempt, is_last);
        }
        self.note_progress();
    }

    fn inside_ended(&mut self, at: Instant, from: Side, how: How) {
        let mut session = self.session.lock();
        let t_us = session.trace.at(at);
        let mut events = Vec::new();
        if let Some(gateway) = session.gateway() {
            gateway.observer.ended(t_us, self.number, from, how, &mut events);
        }
        session.trace.events(events);
    }

    /// The first end of a connection decides how it ended.
    fn note_end(&mut self, from: Side, ending: Ending, by_proxy: bool) {
        let mut session = self.session.lock();
        let t_us = session.trace.at(Instant::now());
        let alerted = self.outer.alerted(from);
        let is_first = !std::mem::replace(&mut self.has_ended, true);
        session.note_last_end(t_us);
        if let Some(gateway) = session.gateway().filter(|_| is_first) {
            gateway.connection_ended(self.number, from, ending, alerted, by_proxy);
        }
    }

    fn note_progress(&mut self) {
        if self.is_complete && self.has_desktop {
            return;
        }
        let session = self.session.lock();
        let timeline = session.trace.timeline();
        let is_complete = timeline.reached() >= Some(Phase::GatewayChannel);
        let has_desktop = timeline.current() == Some(Phase::Active);
        drop(session);
        if is_complete && !std::mem::replace(&mut self.is_complete, true) {
            self.host.has_channel(self.attempt);
        }
        if has_desktop && !std::mem::replace(&mut self.has_desktop, true) {
            self.host.has_desktop(self.attempt);
        }
    }

    /// Once the connection has said where it belongs, it goes there; at its end, too, where it has said nothing.
    fn settle(&mut self, is_over: bool) {
        if self.kept.is_none() {
            return;
        }
        let mut session = self.session.lock();
        let Some(gateway) = session.gateway() else { return };
        let said = gateway.observer.belonging(self.number);
        let Some(belonging) = said.or(is_over.then_some(Belonging::Unsaid)) else { return };
        drop(session);
        let kept = self.kept.take().unwrap_or_default();
        let began = kept.events.first().map_or_else(Instant::now, |(at, _)| *at);
        if let Some(moved) = self.host.sort((self.attempt, self.number), &belonging, self.client, began) {
            self.move_to(moved, kept);
        }
        self.settle_capture();
    }

    /// What was captured belongs where the connection is now.
    fn settle_capture(&self) {
        if let (Some(capture), Some(session)) = (&self.capture, self.session.lock().trace.capture()) {
            capture.settle(session);
        }
    }

    fn move_to(&mut self, moved: Joined, kept: Kept) {
        let session = moved.session.lock().trace.id().to_string();
        let detail = Detail::Gateway(GatewayMessage::ConnectionMoved { session });
        self.tell(Instant::now(), vec![gateway_event(detail)]);
        {
            let mut left = self.session.lock();
            for (count, bytes) in left.bytes.iter_mut().zip(self.bytes) {
                *count = count.saturating_sub(bytes);
            }
        }
        self.leave();
        (self.attempt, self.number, self.session) = (moved.attempt, moved.connection, moved.session);
        if let Some(gateway) = self.session.lock().gateway() {
            gateway.connection_began(self.number, true);
        }
        for (side, bytes) in [Side::Client, Side::Server].into_iter().zip(self.bytes) {
            self.session.lock().count(side, bytes);
        }
        for (at, event) in kept.events {
            self.tell(at, vec![event]);
        }
        for (at, from, bytes) in kept.said {
            self.inside(at, from, &bytes);
        }
    }
}

fn gateway_event(detail: Detail) -> Event {
    Event {
        t_us: 0,
        leg: Leg::Proxy,
        from: None,
        connection: None,
        phase: Phase::GatewayHttp,
        inferred: false,
        detail,
    }
}

/// Whether the gateway has opened the way to the target.
fn is_open_channel(event: &Event) -> bool {
    use crate::wire::tsgu::Packet;
    match &event.detail {
        Detail::Gateway(GatewayMessage::TunnelPacket(Packet::ChannelResponse { status, .. })) => {
            status.value == 0
        }
        _ => false,
    }
}

/// Whether the gateway says that the client will not reach its target, however it asks.
fn is_refused_for_good(event: &Event) -> bool {
    use crate::wire::tsgu::Packet::{ChannelResponse, TunnelAuthResponse, TunnelResponse};
    let Detail::Gateway(GatewayMessage::TunnelPacket(packet)) = &event.detail else { return false };
    match packet {
        TunnelResponse { status, .. }
        | TunnelAuthResponse { status, .. }
        | ChannelResponse { status, .. } => FINAL.contains(&(status.value & 0xFFFF)),
        _ => false,
    }
}

/// Whether a client that fails now has nothing else to try and nothing to ask its user. RPC over HTTP is the last transport
/// that any of them falls back to. A client that the gateway has let into a tunnel, over whatever transport, has found one
/// and is logged on. A question for a logon may lead to one for a password, which takes its time.
fn is_on_last_way(event: &Event) -> Option<bool> {
    use crate::wire::tsgu::Packet::TunnelResponse;
    match &event.detail {
        Detail::Gateway(GatewayMessage::TunnelPacket(TunnelResponse { status, .. })) => {
            (status.value == 0).then_some(true)
        }
        Detail::Gateway(GatewayMessage::HttpRequest(request)) => match request.role {
            Role::RpcIn | Role::RpcOut => Some(true),
            Role::Websocket | Role::OutChannel | Role::InChannel => Some(false),
            Role::KdcProxy | Role::Other => None,
        },
        Detail::Gateway(GatewayMessage::HttpResponse(response)) => {
            matches!(response.status, 401 | 407).then_some(false)
        }
        _ => None,
    }
}

/// That UDP is still offered inside the tunnel, though it should not be.
fn inner_udp_not_altered(open: &Event) -> Event {
    let reason = "what offers UDP to the target is in TLS inside the tunnel: --inner-cert fresh lets rdpscope take it out";
    let detail = Detail::NotAltered { setting: UDP_OFF.to_owned(), reason: reason.to_owned() };
    Event { leg: Leg::Client, from: None, detail, ..open.clone() }
}

/// The port of the side channel, where the gateway names one.
fn udp_port(event: &Event) -> Option<u16> {
    use crate::wire::tsgu::Packet;
    match &event.detail {
        Detail::Gateway(GatewayMessage::TunnelPacket(Packet::ChannelResponse { udp_port, .. })) => *udp_port,
        _ => None,
    }
}
