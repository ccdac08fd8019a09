//! The end of a session: who ended it and how, what there is to say of it, and its verdict.

use super::client_log;
use super::pump::Ending;
use super::session::{Observed, SharedSession};
use crate::diagnose::{self, Context};
use crate::observe::leaving::left_first;
use crate::trace::{ClosedBy, Detail, End, Event, How, Leg, Line, Micros, Phase, Record, Side, UdpMessage};
use std::time::Instant;

impl Observed {
    /// Who ended the session and how, from what was seen.
    pub(super) fn ending(&mut self) -> (ClosedBy, How) {
        if self.proxy_closed {
            return (ClosedBy::Proxy, if self.proxy_reset { How::Reset } else { How::Fin });
        }
        if let Some(ending) = self.gateway_ending() {
            return ending;
        }
        let first = self.first_end.map(|(_, side, ending)| match ending {
            Ending::Fin => (side, How::Fin),
            Ending::Reset => (side, How::Reset),
        });
        let left_first = left_first(&self.trace.record().events, |_| false);
        self.observer.ending(first, left_first).unwrap_or((ClosedBy::Proxy, How::Reset))
    }
}

/// Messages of RDP-UDP as events.
pub(super) fn udp_events(t_us: Micros, from: Option<Side>, messages: Vec<UdpMessage>) -> Vec<Event> {
    let leg = from.map_or(Leg::Proxy, Leg::from);
    let event = |message| Event {
        t_us,
        leg,
        from,
        connection: None,
        phase: Phase::Udp,
        inferred: false,
        detail: Detail::Udp(message),
    };
    messages.into_iter().map(event).collect()
}

/// Waits until nobody else holds the session, and comes to its verdict. `came_back`: its client dialled again and got further.
pub(super) async fn conclude(
    session: SharedSession,
    came_back: bool,
    knows_command: fn(&str) -> bool,
) -> Record {
    // The UDP relay holds a session only while it handles a datagram.
    let mut session = session;
    let mut observed = loop {
        match session.into_observed() {
            Ok(observed) => break observed,
            Err(shared) => {
                session = shared;
                tokio::task::yield_now().await;
            }
        }
    };
    let now = observed.trace.at(Instant::now());
    let t_us = observed.last_end.unwrap_or(now);
    if let Some(mut udp) = observed.udp.take() {
        let mut messages = Vec::new();
        udp.finish(t_us, &mut messages);
        observed.trace.events(udp_events(t_us, None, messages));
        observed.trace.timeline_mut().summary_mut().udp = Some(udp.summary().clone());
    }
    let mut events = Vec::new();
    let transport = observed.gateway().and_then(|gateway| {
        gateway.finish(t_us, &mut events);
        gateway.observer.transport()
    });
    observed.trace.events(events);
    if transport.is_some() {
        observed.trace.timeline_mut().summary_mut().transport = transport;
    }
    observed.trace.close_phases(t_us);
    let (closed_by, how) = observed.ending();
    let [bytes_up, bytes_down] = observed.bytes;
    let summary = observed.trace.timeline_mut().summary_mut();
    summary.closed_by = Some(closed_by);
    summary.how = Some(how);
    (summary.bytes_up, summary.bytes_down) = (bytes_up, bytes_down);
    observed.trace.summarise();
    let mut diagnosis = diagnose::diagnose(observed.trace.record(), &Context { came_back });
    diagnosis.verdict.next.retain(|command| knows_command(command));
    let mut lines = client_log::lines(observed.trace.record()).await;
    lines.extend(diagnosis.findings.into_iter().map(Line::Finding));
    lines.push(Line::Verdict(Box::new(diagnosis.verdict)));
    lines.push(Line::End(End { t_us, closed_by: Some(closed_by), how: Some(how), bytes_up, bytes_down }));
    observed.trace.conclude(lines).await
}
