//! The record of the conversation with a gateway. rdpscope is its client, so that all of it is on the gateway's leg.

use crate::observe::gateway::OuterTls;
use crate::recorder::{SessionTrace, TraceStart};
use crate::trace::{ClosedBy, Detail, End, Event, How, Leg, Micros, Phase, Record, Side};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Whoever has a hand in the conversation adds what it sees.
#[derive(Clone)]
pub(super) struct Recorded {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    trace: SessionTrace,
    tls: BTreeMap<u32, OuterTls>,
    bytes: [u64; 2],
    ended: Option<(Micros, How)>,
    /// When rdpscope ended it.
    closed: Option<Micros>,
}

impl Recorded {
    /// Nothing seen yet.
    pub(super) fn new(start: TraceStart) -> Recorded {
        let trace = SessionTrace::begin(start, None);
        let inner = Inner { trace, tls: BTreeMap::new(), bytes: [0, 0], ended: None, closed: None };
        Recorded { inner: Arc::new(Mutex::new(inner)) }
    }

    /// A panic elsewhere leaves facts that are still worth having.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What rdpscope itself did, or what is not in the bytes.
    pub(super) fn say(&self, leg: Leg, from: Option<Side>, phase: Phase, detail: Detail) {
        let mut inner = self.lock();
        let t_us = inner.trace.at(Instant::now());
        let connection = (leg == Leg::Server).then_some(super::CONVERSATION);
        inner.trace.events(vec![Event { t_us, leg, from, connection, phase, inferred: false, detail }]);
    }

    /// Bytes of TLS on a connection.
    pub(super) fn wire(&self, connection: u32, at: Instant, sent_by_us: bool, bytes: &[u8]) {
        let mut inner = self.lock();
        let t_us = inner.trace.at(at);
        let from = if sent_by_us { Side::Client } else { Side::Server };
        inner.bytes[from.index()] += bytes.len() as u64;
        let mut events = Vec::new();
        let tls = inner.tls.entry(connection).or_insert_with(OuterTls::terminated);
        tls.wire(t_us, Side::Server, sent_by_us, bytes, &mut events);
        events.iter_mut().for_each(|event| (event.from, event.connection) = (Some(from), Some(connection)));
        inner.push(events);
    }

    /// The chain that the gateway showed (DER, its own first), unless it was seen on the wire.
    pub(super) fn certificate(&self, connection: u32, chain: &[Vec<u8>]) {
        if chain.is_empty() {
            return;
        }
        let mut inner = self.lock();
        let t_us = inner.trace.at(Instant::now());
        let mut events = Vec::new();
        let tls = inner.tls.entry(connection).or_insert_with(OuterTls::terminated);
        tls.certificate(t_us, chain, &mut events);
        events.iter_mut().for_each(|event| event.connection = Some(connection));
        inner.push(events);
    }

    /// What was seen inside TLS.
    pub(super) fn events(&self, events: Vec<Event>) {
        self.lock().push(events);
    }

    /// The gateway has ended its direction.
    pub(super) fn ended(&self, how: How) {
        let mut inner = self.lock();
        let t_us = inner.trace.at(Instant::now());
        inner.ended.get_or_insert((t_us, how));
    }

    /// rdpscope ends the conversation, unless the gateway has done so or it was ended before.
    pub(super) fn close(&self, reason: &str) {
        let mut inner = self.lock();
        if inner.ended.is_some() || inner.closed.is_some() {
            return;
        }
        inner.closed = Some(inner.trace.at(Instant::now()));
        let detail = Detail::ProxyClosed { reason: reason.to_owned() };
        inner.trace.say(Leg::Proxy, None, Phase::Closed, detail);
    }

    /// Closes the phases; answers with the record, the summary in it, and with its last line.
    pub(super) fn finish(&self) -> (Record, End) {
        let mut inner = self.lock();
        let now = inner.trace.at(Instant::now());
        let (closed_by, how) = match inner.ended {
            Some((_, how)) if inner.closed.is_none() => (ClosedBy::Server, how),
            _ => (ClosedBy::Proxy, How::Fin),
        };
        let t_us = inner.ended.map(|(t_us, _)| t_us).or(inner.closed).unwrap_or(now);
        let [bytes_up, bytes_down] = inner.bytes;
        inner.trace.close_phases(t_us);
        let summary = inner.trace.timeline_mut().summary_mut();
        (summary.closed_by, summary.how) = (Some(closed_by), Some(how));
        (summary.bytes_up, summary.bytes_down) = (bytes_up, bytes_down);
        inner.trace.summarise();
        (
            inner.trace.record().clone(),
            End { t_us, closed_by: Some(closed_by), how: Some(how), bytes_up, bytes_down },
        )
    }
}

impl Inner {
    fn push(&mut self, mut events: Vec<Event>) {
        events.iter_mut().for_each(|event| event.leg = Leg::Server);
        self.trace.events(events);
    }
}
