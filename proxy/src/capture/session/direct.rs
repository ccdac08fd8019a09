//! One connection of RDP without a gateway.

use super::candidate::ThroughProxy;
use super::network;
use super::opener::{Opener, TlsCounts};
use super::recognise::{self, Beginning};
use super::recording::{Finished, Names, Recording, event};
use super::returns::Pair;
use crate::capture::tls::Secrets;
use crate::capture::{FlowKey, FlowOpened, Missing, Nanoseconds};
use crate::observe::leaving::left_first;
use crate::observe::session::QUIET_US;
use crate::observe::{SessionObserver, UdpObserver};
use crate::trace::{
    CaptureMessage, ClosedBy, Detail, Event, How, Leg, Micros, MissingReason, Phase, Side, TcpEvidence,
    Transport, UdpMessage, Unanswered,
};
use std::net::IpAddr;
use std::sync::Arc;

/// An attempt that is one TCP connection, with the datagrams that belong to it.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) key: FlowKey,
    first_frame: u64,
    recording: Recording,
    observer: SessionObserver,
    first_end: Option<(Side, How)>,
    /// The file may begin in the middle of the connection: the first bytes tell.
    began_earlier: Vec<Missing>,
    /// The client's first bytes begin a connection.
    has_beginning: bool,
    has_data: bool,
    udp: Option<UdpObserver>,
    udp_streams: Vec<u64>,
    /// Where a proxy was asked to take it.
    destination: Option<String>,
}

impl Direct {
    pub(super) fn new(
        at: Nanoseconds,
        opened: FlowOpened,
        secrets: &Arc<Secrets>,
        counts: &Arc<TlsCounts>,
    ) -> Direct {
        let mut recording = Recording::new(at);
        if opened.roles_guessed {
            let guessed = Detail::Capture(CaptureMessage::RolesGuessed);
            recording.push([event(0, Leg::Client, Phase::Tcp, guessed)]);
        }
        Direct {
            key: opened.key,
            first_frame: opened.first_frame,
            recording,
            observer: SessionObserver::opening_tls(Box::new(Opener::new(secrets, counts))),
            first_end: None,
            began_earlier: Vec::new(),
            has_beginning: false,
            has_data: false,
            udp: None,
            udp_streams: Vec::new(),
            destination: None,
        }
    }

    /// The server of the connection is a proxy, which took it elsewhere.
    pub(super) fn through_proxy(&mut self, through: ThroughProxy) {
        let ThroughProxy { scheme, destination, times } = through;
        if let Some((asked, answered)) = times {
            let opened = Detail::UpstreamProxyOpened {
                proxy: format!("{scheme}://{}", self.key.server),
                target: destination.clone(),
                took_us: answered.saturating_sub(asked) / 1000,
            };
            let t_us = self.recording.at(answered);
            self.recording.push([event(t_us, Leg::Server, Phase::Tcp, opened)]);
        }
        self.destination = Some(destination);
    }

    pub(super) fn pair(&self) -> Pair {
        (self.key.client.ip(), self.key.server)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.first_end.is_some()
    }

    pub(super) fn reached(&self) -> Option<Phase> {
        self.recording.timeline().reached()
    }

    pub(super) fn data(&mut self, at: Nanoseconds, from: Side, bytes: &[u8]) {
        self.settle_beginning(at, from, bytes);
        self.has_data = true;
        self.recording.bytes[from.index()] += bytes.len() as u64;
        let mut events = Vec::new();
        self.observer.data(self.recording.at(at), from, bytes, &mut events);
        self.recording.push(events);
    }

    pub(super) fn unseen(&mut self, from: Side, count: u64) {
        self.has_data = true;
        self.recording.bytes[from.index()] += count;
        self.observer.lost(from);
    }

    /// Where nobody saw the SYN, bytes that begin a connection show that nothing is missing before them.
    fn settle_beginning(&mut self, at: Nanoseconds, from: Side, bytes: &[u8]) {
        let waiting = std::mem::take(&mut self.began_earlier);
        if !self.has_data && from == Side::Client {
            self.has_beginning = matches!(recognise::on_the_wire(bytes), Beginning::Rdp | Beginning::Tls);
        }
        if self.has_beginning {
            return;
        }
        waiting.into_iter().for_each(|missing| self.interrupted(at, missing));
    }

    pub(super) fn missing(&mut self, at: Nanoseconds, missing: Missing) {
        match missing.reason {
            MissingReason::BeganEarlier if self.has_beginning => {}
            MissingReason::BeganEarlier if !self.has_data => self.began_earlier.push(missing),
            _ => self.interrupted(at, missing),
        }
    }

    fn interrupted(&mut self, at: Nanoseconds, missing: Missing) {
        let t_us = self.recording.at(at);
        self.has_data = true;
        self.recording.bytes[missing.from.index()] += missing.bytes.unwrap_or_default();
        let mut events = vec![bytes_missing(t_us, missing)];
        self.observer.interrupted(t_us, missing.from, &mut events);
        self.recording.push(events);
    }

    pub(super) fn ended(&mut self, at: Nanoseconds, from: Side, how: How) {
        let mut events = Vec::new();
        self.observer.ended(self.recording.at(at), from, how, &mut events);
        self.recording.push(events);
        self.first_end.get_or_insert((from, how));
    }

    pub(super) fn is_opaque(&self, from: Side) -> bool {
        self.observer.is_opaque(from)
    }

    /// Whether datagrams between `client` and `server` may be its side channel.
    pub(super) fn may_have(&self, client: IpAddr, server: IpAddr) -> bool {
        (self.key.client.ip(), self.key.server.ip()) == (client, server)
    }

    pub(super) fn has_udp(&mut self, stream: u64) {
        self.udp_streams.push(stream);
    }

    pub(super) fn datagram(&mut self, at: Nanoseconds, from: Side, bytes: &[u8]) {
        let t_us = self.recording.at(at);
        let mut messages = Vec::new();
        self.udp.get_or_insert_default().datagram(t_us, from, bytes, &mut messages);
        self.recording.push(udp_events(t_us, Some(from), messages));
    }

    /// The connection is over at `at`; `None` where there is nothing to say of it, neither a SYN nor a byte.
    pub(super) fn close(
        mut self,
        at: Nanoseconds,
        evidence: &TcpEvidence,
        (stream, id): (u64, String),
        capture: &str,
    ) -> Option<Finished> {
        let t_us = self.recording.at(at);
        let reached = network::reached(self.key, evidence, self.has_data, t_us)?;
        let took_us = evidence.syn_answer_us.unwrap_or_default();
        let was_connected = matches!(reached, Detail::Connected { .. });
        let told_us = if was_connected { took_us } else { t_us };
        let begun = Detail::Connecting { address: self.key.server.to_string() };
        let begun = event(0, Leg::Server, Phase::Tcp, begun);
        let begun = Some(begun).filter(|_| evidence.syns > 0);
        let reached = event(told_us, Leg::Server, Phase::Tcp, reached);
        self.recording.push_first(begun.into_iter().chain([reached]));
        if let Some(mut udp) = self.udp.take() {
            let mut messages = Vec::new();
            udp.finish(t_us, &mut messages);
            self.recording.push(udp_events(t_us, None, messages));
            self.recording.summary_mut().udp = Some(udp.summary().clone());
        }
        let told = Detail::Capture(CaptureMessage::TcpEvidence(Box::new(evidence.clone())));
        self.recording.push([event(t_us, Leg::Server, Phase::Tcp, told)]);
        let summary = self.recording.summary_mut();
        summary.transport = Some(Transport::Tcp);
        summary.client = Some(self.key.client.to_string());
        summary.server = Some(self.key.server.to_string());
        summary.rtt_us = network::round_trip(evidence);
        let names = self.names(stream, capture);
        let told = self.recording.told();
        let was_active = told.iter().any(|event| event.phase == Phase::Active);
        let ended = self.observer.ending(self.first_end, left_first(told, |_| false));
        let was_announced = self.observer.announced_end().is_some();
        let silent = evidence.unanswered.filter(|_| was_active && !was_announced);
        let ended = silent.map(|silent| self.fell_silent(t_us, silent)).or(ended);
        Some(self.recording.finish(at, names, ended, id))
    }

    /// A session whose other side answered nothing any more ended with that, whatever was done about it.
    fn fell_silent(&mut self, t_us: Micros, unanswered: Unanswered) -> (ClosedBy, How) {
        let Unanswered { from, quiet_us, .. } = unanswered;
        if quiet_us >= QUIET_US {
            let quiet = event(t_us, from.into(), Phase::Closed, Detail::Quiet { for_us: quiet_us });
            self.recording.push_aside(Event { from: Some(from), ..quiet });
        }
        (from.opposite().into(), How::Timeout)
    }

    fn names(&self, stream: u64, capture: &str) -> Names {
        let mut names = Names::new(capture, self.key, self.first_frame, &[stream], &self.udp_streams);
        if let Some(destination) = &self.destination {
            names.target.clone_from(destination);
            return names;
        }
        let sni = self.recording.timeline().summary().sni.as_deref();
        names.target = match sni.filter(|name| !name.eq_ignore_ascii_case("localhost")) {
            Some(name) if name.contains(':') => format!("[{name}]:{}", self.key.server.port()),
            Some(name) => format!("{name}:{}", self.key.server.port()),
            None => self.key.server.to_string(),
        };
        names
    }
}

pub(super) fn bytes_missing(t_us: u64, missing: Missing) -> Event {
    let message = CaptureMessage::BytesMissing { count: missing.bytes, reason: missing.reason };
    let told = event(t_us, missing.from.into(), Phase::Tcp, Detail::Capture(message));
    Event { from: Some(missing.from), ..told }
}

/// Messages of RDP-UDP as events.
pub(super) fn udp_events(t_us: u64, from: Option<Side>, messages: Vec<UdpMessage>) -> Vec<Event> {
    let leg = from.map_or(Leg::Proxy, Leg::from);
    let told = |message| Event { from, ..event(t_us, leg, Phase::Udp, Detail::Udp(message)) };
    messages.into_iter().map(told).collect()
}
