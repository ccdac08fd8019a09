//! Attempts to reach a desktop through a gateway: which connections belong together, and what each of them tells.

use super::candidate::{Candidate, Held};
use super::direct::bytes_missing;
use super::gateway_attempt::GatewayAttempt;
use super::network;
use super::opener::{Opener, TlsCounts};
use super::recording::{Finished, event};
use crate::capture::tls::Secrets;
use crate::capture::{FlowKey, FlowOpened, Missing, Nanoseconds};
use crate::observe::gateway::OuterTls;
use crate::observe::{Opened, OpensTls};
use crate::trace::{CaptureMessage, ClosedBy, Detail, Event, How, Leg, Phase, Side, TcpEvidence};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How long a client has to dial again before its attempt is over, as in a live session.
const RETURN_WINDOW: Nanoseconds = 5_000_000_000;
/// The port of a gateway's side channel (MS-TSGU 2.1.3) where none is named.
const SIDE_CHANNEL_PORT: u16 = 3391;

/// Every attempt that is not over.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    newest: u64,
    attempts: BTreeMap<u64, GatewayAttempt>,
}

/// One connection to a gateway.
#[derive(Debug)]
pub(super) struct GatewayConnection {
    attempt: u64,
    number: u32,
    key: FlowKey,
    /// Its TLS, where it has any.
    outer: Option<OuterTls>,
    opener: Option<Opener>,
    is_open: bool,
    alerted: [bool; 2],
    has_ended: bool,
}

impl Gateways {
    /// A connection that has turned out to be one to a gateway, with all that was kept of it; an attempt that begins with it
    /// began at `began`.
    pub(super) fn enter(
        &mut self,
        candidate: Candidate,
        (stream, began): (u64, Nanoseconds),
        (secrets, counts): (&Arc<Secrets>, &Arc<TlsCounts>),
    ) -> GatewayConnection {
        let (id, is_read) = (candidate.connection_id(), candidate.is_read());
        let FlowOpened { key, .. } = candidate.opened;
        let ends = (key.client.ip(), key.server);
        let attempt = self.attempt_for(ends, id.as_deref()).unwrap_or_else(|| {
            self.newest += 1;
            let inner = Box::new(Opener::new(secrets, counts));
            let begun = GatewayAttempt::new(began, candidate.opened, inner);
            self.attempts.insert(self.newest, begun);
            self.newest
        });
        let mut connection = GatewayConnection {
            attempt,
            number: 0,
            key,
            outer: candidate.opener.is_some().then(OuterTls::passing_through),
            opener: candidate.opener,
            is_open: false,
            alerted: [false; 2],
            has_ended: false,
        };
        if let Some(attempt) = self.attempts.get_mut(&attempt) {
            connection.number = attempt.add(id, stream, is_read);
            connection.begin(candidate.at, attempt);
            for held in candidate.held {
                match held {
                    Held::Bytes { at, from, bytes, opened } => {
                        connection.told(at, from, &bytes, opened, attempt);
                    }
                    Held::End { at, from, how } => connection.ended(at, from, how, attempt),
                }
            }
        }
        connection
    }

    /// The attempt of this client and gateway to which a connection with this id belongs.
    fn attempt_for(&self, ends: (IpAddr, SocketAddr), id: Option<&str>) -> Option<u64> {
        let of_client = || self.attempts.iter().rev().filter(|(_, attempt)| attempt.ends() == ends);
        let known = id.and_then(|id| of_client().find(|(_, attempt)| attempt.has_id(id)));
        let newest = || of_client().next().filter(|(_, attempt)| attempt.may_take(id));
        known.or_else(newest).map(|(number, _)| *number)
    }

    /// Whether `client` has an attempt under way with the gateway at `server`.
    pub(super) fn has_attempt(&self, client: IpAddr, server: SocketAddr) -> bool {
        self.attempt_for((client, server), None).is_some()
    }

    pub(super) fn data(
        &mut self,
        connection: &mut GatewayConnection,
        at: Nanoseconds,
        from: Side,
        bytes: &[u8],
    ) {
        let Some(attempt) = self.attempts.get_mut(&connection.attempt) else { return };
        let mut opened = Vec::new();
        match &mut connection.opener {
            Some(opener) => opener.data(from, bytes, &mut opened),
            None => opened.push(Opened::Plaintext { from, bytes: bytes.to_vec() }),
        }
        connection.told(at, from, bytes, opened, attempt);
    }

    pub(super) fn missing(&mut self, connection: &mut GatewayConnection, at: Nanoseconds, missing: Missing) {
        let Some(attempt) = self.attempts.get_mut(&connection.attempt) else { return };
        let told = Event { phase: Phase::GatewayTcp, ..bytes_missing(attempt.at(at), missing) };
        attempt.count(missing.from, missing.bytes.unwrap_or_default());
        attempt.push(connection.number, vec![told]);
        let mut opened = Vec::new();
        if let Some(opener) = &mut connection.opener {
            opener.lost(missing.from, &mut opened);
        }
        if let Some(outer) = &mut connection.outer {
            outer.lost(missing.from);
        }
        connection.inside(at, opened, attempt);
        attempt.interrupted(at, connection.number, missing.from);
    }

    pub(super) fn unseen(&mut self, connection: &mut GatewayConnection, from: Side, count: u64) {
        let Some(attempt) = self.attempts.get_mut(&connection.attempt) else { return };
        attempt.count(from, count);
        attempt.lost(connection.number, from);
    }

    pub(super) fn ended(
        &mut self,
        connection: &mut GatewayConnection,
        at: Nanoseconds,
        from: Side,
        how: How,
    ) {
        if let Some(attempt) = self.attempts.get_mut(&connection.attempt) {
            connection.ended(at, from, how, attempt);
        }
    }

    pub(super) fn closed(&mut self, connection: &GatewayConnection, at: Nanoseconds, evidence: &TcpEvidence) {
        let Some(attempt) = self.attempts.get_mut(&connection.attempt) else { return };
        let told = Detail::Capture(CaptureMessage::TcpEvidence(Box::new(evidence.clone())));
        let t_us = attempt.at(at);
        attempt.push(connection.number, vec![event(t_us, Leg::Server, Phase::GatewayTcp, told)]);
        attempt.leave(connection.number, at, network::round_trip(evidence));
    }

    pub(super) fn is_opaque(&self, connection: &GatewayConnection, from: Side) -> bool {
        let is_sealed = connection.opener.as_ref().is_some_and(|opener| opener.is_opaque(from));
        let over = |attempt: &GatewayAttempt| attempt.is_opaque(connection.number, from);
        is_sealed || self.attempts.get(&connection.attempt).is_none_or(over)
    }

    /// The attempt whose side channel datagrams between these ends are.
    pub(super) fn side_channel(&self, key: FlowKey) -> Option<u64> {
        let is_it = |attempt: &GatewayAttempt| {
            let (client, server) = attempt.ends();
            let port = attempt.udp_port().unwrap_or(SIDE_CHANNEL_PORT);
            (client, server.ip(), port) == (key.client.ip(), key.server.ip(), key.server.port())
        };
        self.attempts.iter().rev().find(|(_, attempt)| is_it(attempt)).map(|(number, _)| *number)
    }

    /// A datagram of the side channel of `attempt`.
    pub(super) fn datagram(&mut self, attempt: u64, at: Nanoseconds, from: Side, bytes: &[u8]) {
        if let Some(attempt) = self.attempts.get_mut(&attempt) {
            attempt.datagram(at, from, bytes);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Attempts that are over at `now`, or all; those in which nobody asked for a tunnel tell nothing of RDP.
    pub(super) fn over(
        &mut self,
        now: Option<Nanoseconds>,
        capture: &str,
        mut id: impl FnMut() -> String,
    ) -> Vec<Finished> {
        let is_over = |attempt: &GatewayAttempt| match now {
            None => true,
            Some(now) => attempt.is_over(now, RETURN_WINDOW),
        };
        let over: Vec<u64> =
            self.attempts.iter().filter(|(_, attempt)| is_over(attempt)).map(|(number, _)| *number).collect();
        let over = over.iter().filter_map(|number| self.attempts.remove(number));
        over.filter(GatewayAttempt::is_for_a_desktop).map(|attempt| attempt.finish(capture, id())).collect()
    }
}

impl GatewayConnection {
    /// The connection joins its attempt.
    fn begin(&mut self, at: Nanoseconds, attempt: &mut GatewayAttempt) {
        let address = self.key.server.to_string();
        let connected = Detail::Connected { address, local: self.key.client.to_string(), took_us: 0 };
        let t_us = attempt.at(at);
        attempt.push(self.number, vec![event(t_us, Leg::Server, Phase::GatewayTcp, connected)]);
    }

    /// `bytes` on the wire, and what was inside them.
    fn told(
        &mut self,
        at: Nanoseconds,
        from: Side,
        bytes: &[u8],
        opened: Vec<Opened>,
        attempt: &mut GatewayAttempt,
    ) {
        attempt.count(from, bytes.len() as u64);
        if let Some(outer) = &mut self.outer {
            self.is_open |= opened.iter().any(|item| matches!(item, Opened::Began { .. }));
            let mut events = Vec::new();
            outer.wire(attempt.at(at), from, false, bytes, &mut events);
            // Alerts are told once they are read.
            events.retain(|event| !self.is_open || !matches!(event.detail, Detail::EncryptedAlert { .. }));
            attempt.push(self.number, events);
        }
        self.inside(at, opened, attempt);
    }

    fn inside(&mut self, at: Nanoseconds, opened: Vec<Opened>, attempt: &mut GatewayAttempt) {
        let t_us = attempt.at(at);
        let of = |from: Side, detail| Event {
            from: Some(from),
            ..event(t_us, from.into(), Phase::GatewayTls, detail)
        };
        for item in opened {
            let told = match item {
                Opened::Plaintext { from, bytes } => {
                    attempt.said(t_us, self.number, from, &bytes);
                    continue;
                }
                Opened::Began { how } => {
                    let message = CaptureMessage::TlsOpened { how };
                    event(t_us, Leg::Client, Phase::GatewayTls, Detail::Capture(message))
                }
                Opened::Alert { from, alert } => {
                    self.alerted[from.index()] |= alert.is_fatal();
                    of(from, Detail::Alert(alert))
                }
                Opened::Certificate { from, chain } if !chain.is_empty() => {
                    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                    of(from, crate::observe::describe_certificates(&chain))
                }
                Opened::Certificate { .. } => continue,
                Opened::Unreadable { from, reason } => {
                    of(from, Detail::Capture(CaptureMessage::DecryptionStopped { reason }))
                }
            };
            attempt.push(self.number, vec![told]);
        }
    }

    fn ended(&mut self, at: Nanoseconds, from: Side, how: How, attempt: &mut GatewayAttempt) {
        let alerted =
            self.alerted[from.index()] || self.outer.as_ref().is_some_and(|outer| outer.alerted(from));
        let is_first = !std::mem::replace(&mut self.has_ended, true);
        let by = is_first.then(|| ClosedBy::from(from));
        attempt.ended(at, self.number, (from, by), how, alerted);
    }
}
