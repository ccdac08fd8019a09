//! What is seen of a session whose TLS is terminated, into its trace.

use crate::observe::Course;
use crate::relay::session::{Observed, SessionTap};
use crate::trace::{Detail, Event, Micros, Side};
use crate::wire::tls::Alert;
use std::time::Instant;

impl SessionTap<'_> {
    /// TLS will not be terminated: nothing is held back any more.
    pub(super) fn relay_as_is(&self) {
        self.session().lock().observer.relay_as_is();
    }
}

impl Observed {
    /// What becomes of the bytes to come.
    pub(super) fn course(&self) -> Course {
        self.observer.course()
    }

    /// Bytes of `from` that are the start of something, or came too early.
    pub(super) fn held(&self, from: Side) -> usize {
        self.observer.held(from)
    }

    /// Takes what [`Observed::held`] counts.
    pub(super) fn take_held(&mut self, from: Side) -> Vec<u8> {
        self.observer.take_held(from)
    }

    /// RDP_NEG_RSP.selectedProtocol; `None` where TLS began without an X.224 negotiation.
    pub(super) fn selected_protocol(&mut self) -> Option<u32> {
        self.observer.terminated()?.selected_protocol()
    }

    /// Bytes of TLS on the leg of `side`.
    pub(in crate::relay) fn wire(&mut self, at: Instant, side: Side, sent_by_us: bool, bytes: &[u8]) {
        if !sent_by_us {
            self.count_own(side, bytes.len() as u64);
        }
        self.show_wire(at, side, sent_by_us, bytes);
    }

    /// The same where they were counted before.
    pub(super) fn show_wire(&mut self, at: Instant, side: Side, sent_by_us: bool, bytes: &[u8]) {
        self.observe(at, |observed, t_us, events| {
            if let Some(terminated) = observed.observer.terminated() {
                terminated.wire(t_us, side, sent_by_us, bytes, events);
            }
        });
    }

    /// Bytes that came from `side` and that nobody looks at.
    pub(in crate::relay) fn count(&mut self, side: Side, received: u64) {
        self.bytes[side.index()] += received;
    }

    /// An alert that came inside TLS, unless it was seen on the wire.
    pub(in crate::relay) fn alert(&mut self, at: Instant, from: Side, alert: &Alert) {
        self.observe(at, |observed, t_us, events| {
            if let Some(terminated) = observed.observer.terminated()
                && !(alert.is_fatal() && terminated.alerted(from))
            {
                terminated.alert(t_us, from, alert.clone(), events);
            }
        });
    }

    /// What `from` sent is not TLS that can be read.
    pub(in crate::relay) fn broken_tls(&mut self, at: Instant, from: Side, reason: &str) {
        self.observe(at, |observed, t_us, events| {
            let phase = observed.trace.timeline().current().unwrap_or(crate::trace::Phase::Tls);
            let detail = Detail::Malformed {
                structure: "TLS record".to_owned(),
                offset: 0,
                reason: reason.to_owned(),
                bytes: String::new(),
            };
            events.push(Event {
                t_us,
                leg: from.into(),
                from: Some(from),
                connection: None,
                phase,
                inferred: false,
                detail,
            });
        });
    }

    /// The certificates that the server showed, unless they were seen on the wire.
    pub(in crate::relay) fn server_certificate(&mut self, at: Instant, chain: &[Vec<u8>]) {
        self.observe(at, |observed, t_us, events| {
            if let Some(terminated) = observed.observer.terminated() {
                terminated.server_certificate(t_us, chain, events);
            }
        });
    }

    /// A message of CredSSP on the leg of `side`, which rdpscope itself is a party to.
    #[cfg(feature = "nla")]
    pub(super) fn credssp(&mut self, at: Instant, side: Side, sent_by_us: bool, bytes: &[u8]) {
        self.observe(at, |observed, t_us, events| {
            if let Some(terminated) = observed.observer.terminated() {
                terminated.credssp(t_us, side, sent_by_us, bytes, events);
            }
        });
    }

    fn observe(&mut self, at: Instant, feed: impl FnOnce(&mut Observed, Micros, &mut Vec<Event>)) {
        let t_us = self.trace.at(at);
        let mut events = Vec::new();
        feed(self, t_us, &mut events);
        self.trace.events(events);
    }
}
