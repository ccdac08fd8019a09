//! The record of the one conversation. rdpscope is its client, so that all of it is on the server's leg.

use crate::intercept::tls::StreamEnd;
use crate::observe::SessionObserver;
use crate::recorder::{SessionTrace, TraceStart};
use crate::trace::{ClosedBy, Detail, End, Event, How, Leg, Micros, Phase, Record, Side};
use crate::wire::tls::Alert;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Whoever has a hand in the conversation adds what it sees.
#[derive(Clone)]
pub(super) struct Watched {
    inner: Arc<Mutex<Seen>>,
}

/// What is known so far.
pub(super) struct Seen {
    trace: SessionTrace,
    observer: SessionObserver,
    bytes: [u64; 2],
    ended: Option<(Micros, How)>,
    /// When rdpscope ended it.
    closed: Option<Micros>,
}

impl Watched {
    /// Nothing seen yet.
    pub(super) fn new(start: TraceStart) -> Watched {
        let seen = Seen {
            trace: SessionTrace::begin(start, None),
            observer: SessionObserver::terminating_tls(),
            bytes: [0, 0],
            ended: None,
            closed: None,
        };
        Watched { inner: Arc::new(Mutex::new(seen)) }
    }

    /// Exclusive access. A panic elsewhere leaves facts that are still worth having.
    pub(super) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What rdpscope itself did, or what is not in the bytes.
    pub(super) fn say(&self, leg: Leg, phase: Phase, detail: Detail) {
        self.lock().trace.say(leg, None, phase, detail);
    }

    /// Bytes of the negotiation, or of RDP without TLS.
    pub(super) fn data(&self, from: Side, bytes: &[u8]) {
        self.lock().observe(|seen, t_us, events| {
            seen.bytes[from.index()] += bytes.len() as u64;
            seen.observer.data(t_us, from, bytes, events);
        });
    }

    /// Bytes of TLS.
    pub(super) fn wire(&self, at: Instant, sent_by_us: bool, bytes: &[u8]) {
        let from = if sent_by_us { Side::Client } else { Side::Server };
        self.lock().observe_at(at, |seen, t_us, events| {
            seen.bytes[from.index()] += bytes.len() as u64;
            let Some(terminated) = seen.observer.terminated() else { return };
            terminated.wire(t_us, Side::Server, sent_by_us, bytes, events);
            events.iter_mut().for_each(|event| event.from = Some(from));
        });
    }

    /// The handshake is complete, and this is the chain of the server (DER, its own first).
    pub(super) fn handshake_complete(&self, chain: &[Vec<u8>]) {
        self.certificate(chain);
        self.lock().trace.say(Leg::Server, Some(Side::Server), Phase::Tls, Detail::HandshakeComplete);
    }

    /// The chain of the server, unless it was seen on the wire.
    pub(super) fn certificate(&self, chain: &[Vec<u8>]) {
        if chain.is_empty() {
            return;
        }
        self.lock().observe(|seen, t_us, events| {
            if let Some(terminated) = seen.observer.terminated() {
                terminated.server_certificate(t_us, chain, events);
            }
        });
    }

    /// What was said inside TLS.
    pub(super) fn inside(&self, from: Side, bytes: &[u8]) {
        self.lock().observe(|seen, t_us, events| {
            if let Some(terminated) = seen.observer.terminated() {
                terminated.plaintext(t_us, from, bytes, events);
            }
        });
    }

    /// The server has left TLS in this way.
    pub(super) fn tls_ended(&self, end: &StreamEnd) {
        match end {
            StreamEnd::Alert(alert) => self.alert(alert),
            StreamEnd::Broken(reason) => self.broken(reason),
            StreamEnd::CloseNotify | StreamEnd::Fin | StreamEnd::Reset => {}
        }
        match end {
            StreamEnd::Broken(_) => self.close("what the server sent is not TLS that can be read"),
            StreamEnd::Reset => self.ended(How::Reset),
            _ => self.ended(How::Fin),
        }
    }

    /// The server has ended its direction.
    pub(super) fn ended(&self, how: How) {
        self.lock().observe(|seen, t_us, events| {
            seen.observer.ended(t_us, Side::Server, how, events);
            seen.ended.get_or_insert((t_us, how));
        });
    }

    /// rdpscope ends the conversation, unless the server has done so or it was ended before.
    pub(super) fn close(&self, reason: &str) {
        let mut seen = self.lock();
        if seen.ended.is_some() || seen.closed.is_some() {
            return;
        }
        let detail = Detail::ProxyClosed { reason: reason.to_owned() };
        seen.trace.say(Leg::Proxy, None, Phase::Closed, detail);
        // Not before its phase begins.
        seen.closed = Some(seen.trace.at(Instant::now()));
    }

    fn alert(&self, alert: &Alert) {
        self.lock().observe(|seen, t_us, events| {
            if let Some(terminated) = seen.observer.terminated()
                && !(alert.is_fatal() && terminated.alerted(Side::Server))
            {
                terminated.alert(t_us, Side::Server, alert.clone(), events);
            }
        });
    }

    fn broken(&self, reason: &str) {
        let mut seen = self.lock();
        let phase = seen.trace.timeline().current().unwrap_or(Phase::Tls);
        let detail = Detail::Malformed {
            structure: "TLS record".to_owned(),
            offset: 0,
            reason: reason.to_owned(),
            bytes: String::new(),
        };
        seen.trace.say(Leg::Server, Some(Side::Server), phase, detail);
    }
}

impl Seen {
    /// Closes the phases; answers with the record, the summary still to come, and with its last line.
    pub(super) fn finish(&mut self) -> (Record, End) {
        let now = self.trace.at(Instant::now());
        let (closed_by, how) = self.ending();
        let [bytes_up, bytes_down] = self.bytes;
        let t_us = self.ended.map(|(t_us, _)| t_us).or(self.closed).unwrap_or(now);
        self.trace.close_phases(t_us);
        let summary = self.trace.timeline_mut().summary_mut();
        (summary.closed_by, summary.how) = (Some(closed_by), Some(how));
        (summary.bytes_up, summary.bytes_down) = (bytes_up, bytes_down);
        self.trace.summarise();
        (
            self.trace.record().clone(),
            End { t_us, closed_by: Some(closed_by), how: Some(how), bytes_up, bytes_down },
        )
    }

    fn ending(&self) -> (ClosedBy, How) {
        match self.ended {
            Some((_, How::Fin)) if self.observer.alerted(Side::Server) => (ClosedBy::Server, How::Alert),
            Some((_, how)) if self.closed.is_none() => (ClosedBy::Server, how),
            _ => (ClosedBy::Proxy, How::Fin),
        }
    }

    fn observe(&mut self, feed: impl FnOnce(&mut Seen, Micros, &mut Vec<Event>)) {
        self.observe_at(Instant::now(), feed);
    }

    fn observe_at(&mut self, at: Instant, feed: impl FnOnce(&mut Seen, Micros, &mut Vec<Event>)) {
        let t_us = self.trace.at(at);
        let mut events = Vec::new();
        feed(self, t_us, &mut events);
        events.iter_mut().for_each(|event| event.leg = Leg::Server);
        self.trace.events(events);
    }
}
