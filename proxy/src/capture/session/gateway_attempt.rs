//! One attempt to reach a desktop through a gateway, with all its connections.

use super::opener::Opener;
use super::recording::{Finished, Names, Recording};
use crate::capture::{FlowOpened, Nanoseconds};
use crate::observe::gateway::{GatewayEnding, GatewayUdpObserver};
use crate::observe::{GatewayObserver, SessionObserver};
use crate::trace::{ClosedBy, Detail, Event, GatewayMessage, How, Leg, Micros, Phase, Role, Side, Transport};
use crate::wire::tsgu::Packet;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// RDG-Connection-Ids that an attempt is known by; more than a few belong to a program that never stops.
const MOST_IDS: usize = 32;
/// Streams that are named; the others are left out.
const MOST_STREAMS: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct GatewayAttempt {
    opened: FlowOpened,
    recording: Recording,
    observer: GatewayObserver,
    ending: GatewayEnding,
    udp: Option<GatewayUdpObserver>,
    newest_connection: u32,
    /// Connections that are open, with their RDG-Connection-Id where that is known.
    open: BTreeMap<u32, Option<String>>,
    /// Connections of which something may still come, be it only what TCP showed.
    unclosed: BTreeSet<u32>,
    ids: VecDeque<String>,
    streams: Vec<u64>,
    /// When a connection last began, ended or said something.
    last: Nanoseconds,
    has_channel: bool,
    has_desktop: bool,
    /// A tunnel was asked for.
    is_for_a_desktop: bool,
    udp_port: Option<u16>,
    /// `host:port` that the client asked the gateway for.
    target: Option<String>,
    gateway: Option<String>,
}

impl GatewayAttempt {
    pub(super) fn new(at: Nanoseconds, opened: FlowOpened, inner: Box<Opener>) -> GatewayAttempt {
        GatewayAttempt {
            opened,
            recording: Recording::new(at),
            observer: GatewayObserver::with_inner(SessionObserver::opening_tls(inner)),
            ending: GatewayEnding::default(),
            udp: None,
            newest_connection: 0,
            open: BTreeMap::new(),
            unclosed: BTreeSet::new(),
            ids: VecDeque::new(),
            streams: Vec::new(),
            last: at,
            has_channel: false,
            has_desktop: false,
            is_for_a_desktop: false,
            udp_port: None,
            target: None,
            gateway: None,
        }
    }

    /// The client's address, and the gateway's with its port.
    pub(super) fn ends(&self) -> (IpAddr, SocketAddr) {
        (self.opened.key.client.ip(), self.opened.key.server)
    }

    pub(super) fn has_id(&self, id: &str) -> bool {
        self.ids.iter().any(|known| known == id)
    }

    pub(super) fn udp_port(&self) -> Option<u16> {
        self.udp_port
    }

    pub(super) fn is_for_a_desktop(&self) -> bool {
        self.is_for_a_desktop
    }

    /// Whether a connection of its client with this id, which it does not know, may be one of its own.
    pub(super) fn may_take(&self, id: Option<&str>) -> bool {
        let is_other = |known: &Option<String>| id.is_some() && known.is_some() && known.as_deref() != id;
        let is_under_way_otherwise = self.open.values().any(is_other);
        let is_over = self.has_channel && self.open.is_empty();
        !self.has_desktop && !is_over && !is_under_way_otherwise
    }

    /// Whether no connection is open and none can be awaited any more.
    pub(super) fn is_over(&self, now: Nanoseconds, window: Nanoseconds) -> bool {
        self.unclosed.is_empty() && (self.has_channel || now.saturating_sub(self.last) >= window)
    }

    /// One more connection: its number. One that nobody sees into is here because its user says that it is to a gateway.
    pub(super) fn add(&mut self, id: Option<String>, stream: u64, is_read: bool) -> u32 {
        self.newest_connection += 1;
        if let Some(id) = id.as_ref().filter(|id| !self.has_id(id)) {
            if self.ids.len() == MOST_IDS {
                self.ids.pop_front();
            }
            self.ids.push_back(id.clone());
        }
        if self.streams.len() < MOST_STREAMS {
            self.streams.push(stream);
        }
        self.open.insert(self.newest_connection, id);
        self.unclosed.insert(self.newest_connection);
        self.ending.connection_began(self.newest_connection, is_read);
        self.is_for_a_desktop |= !is_read;
        self.newest_connection
    }

    pub(super) fn leave(&mut self, connection: u32, at: Nanoseconds, round_trip: Option<Micros>) {
        self.open.remove(&connection);
        self.unclosed.remove(&connection);
        self.last = self.last.max(at);
        let summary = self.recording.summary_mut();
        summary.rtt_us = summary.rtt_us.or(round_trip);
    }

    pub(super) fn at(&self, at: Nanoseconds) -> Micros {
        self.recording.at(at)
    }

    pub(super) fn count(&mut self, from: Side, bytes: u64) {
        self.recording.bytes[from.index()] += bytes;
    }

    /// Events of one of its connections.
    pub(super) fn push(&mut self, connection: u32, events: Vec<Event>) {
        let numbered = |event| Event { connection: Some(connection), ..event };
        self.recording.push(events.into_iter().map(numbered));
    }

    /// What `from` said inside TLS of a connection.
    pub(super) fn said(&mut self, t_us: Micros, connection: u32, from: Side, bytes: &[u8]) {
        let mut events = Vec::new();
        self.observer.data(t_us, connection, from, bytes, &mut events);
        self.ending.told(connection, &events);
        events.iter().for_each(|event| self.note(event));
        self.recording.push(events);
        self.has_desktop |= self.recording.timeline().current() == Some(Phase::Active);
    }

    fn note(&mut self, event: &Event) {
        let Detail::Gateway(message) = &event.detail else { return };
        match message {
            GatewayMessage::HttpRequest(request) => {
                self.is_for_a_desktop |= !matches!(request.role, Role::KdcProxy | Role::Other);
                let host = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("Host"));
                self.gateway = host.and_then(|header| header.value.clone()).or(self.gateway.take());
            }
            GatewayMessage::TunnelPacket(Packet::ChannelCreate { resources, port, .. }) => {
                self.target = resources.first().map(|host| format!("{host}:{port}"));
            }
            GatewayMessage::TunnelPacket(Packet::ChannelResponse { status, udp_port, .. }) => {
                self.has_channel |= status.value == 0;
                self.udp_port = self.udp_port.or(*udp_port);
            }
            GatewayMessage::Rpc { call: Some(call), status: Some(status), .. } => {
                self.has_channel |= call == "TsProxyCreateChannel" && status.value == 0;
            }
            _ => {}
        }
    }

    /// Bytes of `from` on a connection are not in the file.
    pub(super) fn interrupted(&mut self, at: Nanoseconds, connection: u32, from: Side) {
        let t_us = self.at(at);
        self.observer.lost(connection, from);
        let mut events = Vec::new();
        self.observer.inner().interrupted(t_us, from, &mut events);
        self.recording.push(events);
    }

    /// Bytes of `from` on a connection went by because nothing can be learnt from them.
    pub(super) fn lost(&mut self, connection: u32, from: Side) {
        self.observer.lost(connection, from);
    }

    pub(super) fn is_opaque(&self, connection: u32, from: Side) -> bool {
        self.observer.is_opaque(connection, from)
    }

    pub(super) fn ended(
        &mut self,
        at: Nanoseconds,
        connection: u32,
        (from, by): (Side, Option<ClosedBy>),
        how: How,
        alerted: bool,
    ) {
        let mut events = Vec::new();
        self.observer.ended(self.recording.at(at), connection, from, how, &mut events);
        self.recording.push(events);
        self.last = self.last.max(at);
        if by.is_none() || how == How::Reset {
            self.open.remove(&connection);
        }
        if let Some(by) = by {
            self.ending.connection_ended(connection, (by, from), how, alerted);
        }
    }

    pub(super) fn datagram(&mut self, at: Nanoseconds, from: Side, bytes: &[u8]) {
        let t_us = self.at(at);
        let mut messages = Vec::new();
        self.udp.get_or_insert_default().datagram(t_us, from, bytes, &mut messages);
        self.tell_udp(t_us, messages);
    }

    fn tell_udp(&mut self, t_us: Micros, messages: Vec<(Option<Side>, GatewayMessage)>) {
        let told = |(from, message): (Option<Side>, GatewayMessage)| Event {
            t_us,
            leg: from.map_or(Leg::Proxy, Leg::from),
            from,
            connection: None,
            phase: Phase::Udp,
            inferred: false,
            detail: Detail::Gateway(message),
        };
        self.recording.push(messages.into_iter().map(told));
    }

    pub(super) fn finish(mut self, capture: &str, id: String) -> Finished {
        let t_us = self.at(self.last);
        if let Some(mut udp) = self.udp.take() {
            let mut messages = Vec::new();
            udp.finish(t_us, &mut messages);
            self.tell_udp(t_us, messages);
        }
        let key = self.opened.key;
        let summary = self.recording.summary_mut();
        summary.transport =
            self.observer.transport().or(summary.transport.filter(|it| *it != Transport::Tcp));
        summary.client = Some(key.client.to_string());
        summary.server = Some(key.server.to_string());
        let mut names = Names::new(capture, key, self.opened.first_frame, &self.streams, &[]);
        let gateway = self.gateway.unwrap_or_else(|| key.server.to_string());
        let with_port =
            if gateway.contains(':') { gateway } else { format!("{gateway}:{}", key.server.port()) };
        names.target = self.target.unwrap_or_else(|| with_port.clone());
        names.settings.insert("gateway".to_owned(), with_port.into());
        let ended = self.ending.ending(&[self.observer.inner_read()], self.recording.told());
        self.recording.finish(self.last, names, ended, id)
    }
}
