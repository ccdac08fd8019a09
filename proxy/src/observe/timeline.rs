//! Events in, trace lines out: keeps count of the phases and of the facts for the summary.

use super::summary;
use crate::trace::{
    Detail, Event, Leg, Line, Micros, Outcome, Phase, PhaseRecord, Side, Summary, UdpMessage,
};
use std::collections::BTreeMap;

/// Follows a session's events through the phases.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Reaching the server, which goes on while the client already speaks.
    reaching: Lane,
    /// The conversation of client and server.
    conversation: Lane,
    /// TLS between rdpscope and the server, where rdpscope terminates it: beside the client's own handshake. With a
    /// gateway there are two of them, one inside the other.
    server_tls: BTreeMap<Phase, ServerTls>,
    /// The RDP-UDP side channel, which runs beside the conversation and takes the session no further.
    udp: Option<PhaseRecord>,
    /// The client's first connection was there.
    is_accepted: bool,
    first_end: Option<Micros>,
    /// The same of one of several connections; what is inside a tunnel has an end of its own.
    last_connection_end: Option<Micros>,
    summary: Summary,
}

/// How far a session is at some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The furthest phase of reaching the server that is over.
    reaching_over: Option<Phase>,
    /// The furthest phase of the conversation that is over, or was left out.
    over: Option<Phase>,
    /// The phase of the conversation that is under way.
    begun: Option<Phase>,
}

impl Progress {
    /// Whether `phase` is over or a later one has begun. The phase active lasts as long as the session: of it the
    /// beginning counts.
    pub fn is_past(self, phase: Phase) -> bool {
        if phase <= Phase::GatewayTcp {
            return self.reaching_over >= Some(phase);
        }
        let has_begun = phase == Phase::Active && self.begun == Some(Phase::Active);
        has_begun || self.over >= Some(phase) || self.begun > Some(phase)
    }
}

/// TLS between rdpscope and the server.
#[derive(Debug)]
enum ServerTls {
    Open(OpenPhase),
    Closed,
}

/// Phases that follow one another.
#[derive(Debug, Default)]
struct Lane {
    open: Option<OpenPhase>,
    /// The furthest phase that has been closed; later events of earlier phases change nothing.
    closed_through: Option<Phase>,
}

/// A phase under way.
#[derive(Debug)]
struct OpenPhase {
    phase: Phase,
    leg: Option<Leg>,
    start_us: Micros,
    last_us: Micros,
    failed: bool,
    inferred: bool,
    /// µs in which the next message of client and server were awaited.
    waits: [Micros; 2],
}

impl OpenPhase {
    /// A phase whose first event this is.
    fn begin(event: &Event, leg: Option<Leg>) -> OpenPhase {
        OpenPhase {
            phase: event.phase,
            leg,
            start_us: event.detail.began_us(event.t_us),
            last_us: event.t_us,
            failed: false,
            inferred: event.inferred,
            waits: [0, 0],
        }
    }
}

impl Timeline {
    /// Takes one event; adds it, and the phases that it ends, to `out`.
    pub fn push(&mut self, event: Event, out: &mut Vec<Line>) {
        summary::note(&mut self.summary, &event);
        let mut ended = Vec::new();
        self.advance(&event, &mut ended);
        // An event that begins a phase stands after the line of the phase before it; one that completes a phase, before.
        let completes = event.detail.completes();
        let beginnings = if completes { 0 } else { ended.len() };
        let completed = ended.split_off(beginnings);
        out.extend(ended.into_iter().map(Line::Phase));
        out.push(Line::Event(event));
        out.extend(completed.into_iter().map(Line::Phase));
    }

    /// The last phase that came to a good end.
    pub fn reached(&self) -> Option<Phase> {
        self.summary.reached
    }

    /// The facts so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Changes the facts that no event carries.
    pub fn summary_mut(&mut self) -> &mut Summary {
        &mut self.summary
    }

    /// The phase that is under way, or the last one that was.
    pub fn current(&self) -> Option<Phase> {
        let of = |lane: &Lane| lane.open.as_ref().map(|open| open.phase).or(lane.closed_through);
        of(&self.conversation).or(of(&self.reaching))
    }

    /// How far the session is.
    pub fn progress(&self) -> Progress {
        Progress {
            reaching_over: self.reaching.closed_through,
            over: self.conversation.closed_through,
            begun: self.conversation.open.as_ref().map(|open| open.phase),
        }
    }

    /// The session is over: closes what is open.
    pub fn finish(&mut self, t_us: Micros, out: &mut Vec<Line>) {
        let mut ended = Vec::new();
        for open in [self.reaching.open.take(), self.conversation.open.take()].into_iter().flatten() {
            let outcome = match (open.failed, open.phase) {
                (true, _) => Outcome::Failed,
                (false, Phase::Active) => Outcome::Ok,
                (false, _) => Outcome::Unfinished,
            };
            let end_us =
                if open.phase == Phase::Active { self.first_end.unwrap_or(t_us) } else { open.last_us };
            self.close(open, end_us, outcome, &mut ended);
        }
        for server_tls in std::mem::take(&mut self.server_tls).into_values() {
            let ServerTls::Open(open) = server_tls else { continue };
            let outcome = if open.failed { Outcome::Failed } else { Outcome::Unfinished };
            ended.push(plain(open.phase, open.leg, open.start_us, open.last_us, outcome));
        }
        ended.extend(self.udp.take());
        let start_us = self.first_end.or(self.last_connection_end).unwrap_or(t_us);
        ended.push(plain(Phase::Closed, None, start_us, t_us, Outcome::Ok));
        out.extend(ended.into_iter().map(Line::Phase));
    }

    fn advance(&mut self, event: &Event, ended: &mut Vec<PhaseRecord>) {
        if let Detail::StreamEnded { .. } | Detail::ProxyClosed { .. } = event.detail {
            match event.connection {
                Some(_) => self.last_connection_end = Some(event.t_us),
                None => self.first_end = self.first_end.or(Some(event.t_us)),
            }
            return;
        }
        if let Detail::Udp(message) = &event.detail {
            return self.note_udp(event.t_us, message);
        }
        if let Detail::TcpInfo(_) | Detail::Impaired { .. } | Detail::Capture(_) | Detail::ClientLog(_) =
            event.detail
        {
            return;
        }
        if matches!(&event.detail, Detail::Gateway(message) if message.is_aside()) {
            return;
        }
        if let Detail::Accepted { .. } = event.detail {
            if self.is_accepted {
                return;
            }
            self.is_accepted = true;
            ended.push(plain(Phase::Tcp, Some(Leg::Client), event.t_us, event.t_us, Outcome::Ok));
            return;
        }
        if self.is_server_tls(event) {
            return self.note_server_tls(event, ended);
        }
        self.enter(event, ended);
        let Some(open) = &mut self.lane(event.phase).open else { return };
        if event.phase != open.phase {
            return;
        }
        if let Some(side) = event.from {
            open.waits[side.index()] += event.t_us.saturating_sub(open.last_us);
        }
        open.last_us = event.t_us;
        open.inferred |= event.inferred;
        open.failed = event.detail.is_failure() || (open.failed && !event.detail.completes());
        if event.detail.completes() {
            if let Some(open) = self.lane(event.phase).open.take() {
                self.close(open, event.t_us, Outcome::Ok, ended);
            }
            self.skip_after(event, ended);
        }
    }

    /// Whether the event belongs to a handshake of TLS that rdpscope has with the server; it begins with our hello.
    fn is_server_tls(&self, event: &Event) -> bool {
        let our_hello = event.from.is_none() && matches!(event.detail, Detail::ClientHello(_));
        let begun = our_hello || self.server_tls.contains_key(&event.phase);
        matches!(event.phase, Phase::Tls | Phase::GatewayTls) && event.leg == Leg::Server && begun
    }

    fn note_server_tls(&mut self, event: &Event, ended: &mut Vec<PhaseRecord>) {
        let server_tls = self.server_tls.entry(event.phase).or_insert_with(|| {
            if let Some(open) = self.conversation.open.as_mut().filter(|open| open.phase == event.phase) {
                open.leg = Some(Leg::Client);
            }
            ServerTls::Open(OpenPhase::begin(event, Some(Leg::Server)))
        });
        let ServerTls::Open(open) = server_tls else { return };
        open.last_us = event.t_us;
        open.failed |= event.detail.is_failure();
        if event.detail.completes() {
            ended.push(plain(event.phase, open.leg, open.start_us, event.t_us, Outcome::Ok));
            *server_tls = ServerTls::Closed;
        }
    }

    fn note_udp(&mut self, t_us: Micros, message: &UdpMessage) {
        let begun = || plain(Phase::Udp, None, t_us, t_us, Outcome::Unfinished);
        let phase = self.udp.get_or_insert_with(begun);
        phase.end_us = t_us;
        match message {
            UdpMessage::Established { .. } => phase.outcome = Outcome::Ok,
            UdpMessage::Unanswered { .. } if phase.outcome != Outcome::Ok => phase.outcome = Outcome::Failed,
            _ => {}
        }
    }

    /// Opens the event's phase when it is a later one than the open phase.
    fn enter(&mut self, event: &Event, ended: &mut Vec<PhaseRecord>) {
        let lane = self.lane(event.phase);
        let is_later = |phase: Option<Phase>| phase.is_none_or(|phase| event.phase > phase);
        if !is_later(lane.closed_through) || !is_later(lane.open.as_ref().map(|open| open.phase)) {
            return;
        }
        if let Some(open) = lane.open.take() {
            let outcome = if open.failed { Outcome::Failed } else { Outcome::Ok };
            let end_us = open.last_us;
            self.close(open, end_us, outcome, ended);
        }
        let leg = match event.phase {
            Phase::Dns => Some(Leg::Proxy),
            Phase::Tcp | Phase::GatewayTcp => Some(Leg::Server),
            _ => None,
        };
        self.lane(event.phase).open = Some(OpenPhase::begin(event, leg));
    }

    fn lane(&mut self, phase: Phase) -> &mut Lane {
        if phase <= Phase::GatewayTcp { &mut self.reaching } else { &mut self.conversation }
    }

    fn close(&mut self, open: OpenPhase, end_us: Micros, outcome: Outcome, ended: &mut Vec<PhaseRecord>) {
        let lane = self.lane(open.phase);
        lane.closed_through = lane.closed_through.max(Some(open.phase));
        if outcome == Outcome::Ok {
            self.summary.reached = self.summary.reached.max(Some(open.phase));
        }
        let timed = open.leg.is_none() && open.phase != Phase::Active;
        let wait = |side: Side| timed.then_some(open.waits[side.index()]);
        ended.push(PhaseRecord {
            phase: open.phase,
            leg: open.leg,
            start_us: open.start_us,
            end_us,
            outcome,
            inferred: open.inferred,
            waiting_for_client_us: wait(Side::Client),
            waiting_for_server_us: wait(Side::Server),
        });
    }

    /// What the selected protocol, or a gateway that asks for no authentication, leaves out.
    fn skip_after(&mut self, event: &Event, ended: &mut Vec<PhaseRecord>) {
        let skipped: &[Phase] = match (event.phase, self.summary.selected_protocol.as_deref()) {
            (Phase::GatewayHttp, _) => &[Phase::GatewayAuth],
            (Phase::X224, Some("RDP")) => &[Phase::Tls, Phase::Credssp],
            (Phase::Tls, Some("SSL")) => &[Phase::Credssp],
            _ => &[],
        };
        for phase in skipped {
            self.conversation.closed_through = Some(*phase);
            ended.push(plain(*phase, None, event.t_us, event.t_us, Outcome::Skipped));
        }
    }
}

fn plain(phase: Phase, leg: Option<Leg>, start_us: Micros, end_us: Micros, outcome: Outcome) -> PhaseRecord {
    PhaseRecord {
        phase,
        leg,
        start_us,
        end_us,
        outcome,
        inferred: false,
        waiting_for_client_us: None,
        waiting_for_server_us: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{ConnectError, How};
    use crate::wire::x224::ConnectionConfirm;

    fn event(t_us: Micros, from: Option<Side>, phase: Phase, detail: Detail) -> Event {
        Event {
            t_us,
            leg: from.map_or(Leg::Server, Leg::from),
            from,
            connection: None,
            phase,
            inferred: false,
            detail,
        }
    }

    fn phases(events: Vec<Event>, end_us: Micros) -> Vec<PhaseRecord> {
        let mut timeline = Timeline::default();
        let mut lines = Vec::new();
        events.into_iter().for_each(|event| timeline.push(event, &mut lines));
        timeline.finish(end_us, &mut lines);
        let phase = |line| if let Line::Phase(phase) = line { Some(phase) } else { None };
        lines.into_iter().filter_map(phase).collect()
    }

    fn connecting(t_us: Micros) -> Event {
        event(t_us, None, Phase::Tcp, Detail::Connecting { address: "10.0.0.1:3389".to_owned() })
    }

    fn request(t_us: Micros) -> Event {
        event(t_us, Some(Side::Client), Phase::X224, Detail::ConnectionRequest(Box::default()))
    }

    #[test]
    fn a_client_that_speaks_first_does_not_cut_the_connecting_short() {
        let connected = Detail::Connected { address: String::new(), local: String::new(), took_us: 40 };
        let confirm = ConnectionConfirm { selected_protocol_name: "RDP".to_owned(), ..Default::default() };
        let records = phases(
            vec![
                connecting(10),
                request(20),
                event(50, None, Phase::Tcp, connected),
                event(90, Some(Side::Server), Phase::X224, Detail::ConnectionConfirm(confirm)),
            ],
            100,
        );
        let seen: Vec<_> = records
            .iter()
            .map(|record| (record.phase, record.start_us, record.end_us, record.outcome))
            .collect();
        assert_eq!(
            seen,
            [
                (Phase::Tcp, 10, 50, Outcome::Ok),
                (Phase::X224, 20, 90, Outcome::Ok),
                (Phase::Tls, 90, 90, Outcome::Skipped),
                (Phase::Credssp, 90, 90, Outcome::Skipped),
                (Phase::Closed, 100, 100, Outcome::Ok),
            ]
        );
        assert_eq!(records[1].waiting_for_server_us, Some(70));
    }

    #[test]
    fn a_phase_is_past_when_it_is_over_or_left_out_or_a_later_one_has_begun() {
        let mut timeline = Timeline::default();
        let past = |timeline: &Timeline, phase| timeline.progress().is_past(phase);
        timeline.push(request(10), &mut Vec::new());
        assert!(!past(&timeline, Phase::Tcp) && !past(&timeline, Phase::X224), "only begun");
        let confirm = ConnectionConfirm { selected_protocol_name: "RDP".to_owned(), ..Default::default() };
        let confirm = event(20, Some(Side::Server), Phase::X224, Detail::ConnectionConfirm(confirm));
        timeline.push(confirm, &mut Vec::new());
        assert!(past(&timeline, Phase::X224) && past(&timeline, Phase::Credssp), "over, and left out");
        assert!(!past(&timeline, Phase::Mcs) && !past(&timeline, Phase::Active));
        let traffic = event(30, Some(Side::Server), Phase::Active, Detail::SessionTraffic);
        timeline.push(traffic, &mut Vec::new());
        assert!(past(&timeline, Phase::Licensing) && past(&timeline, Phase::Active), "it has begun");
    }

    #[test]
    fn what_did_not_finish_is_failed_or_unfinished() {
        let refused = Detail::ConnectFailed {
            address: String::new(),
            error: ConnectError::Refused,
            reason: String::new(),
            took_us: 1,
        };
        let ended = event(40, Some(Side::Client), Phase::Closed, Detail::StreamEnded { how: How::Fin });
        let records =
            phases(vec![connecting(10), event(11, None, Phase::Tcp, refused), request(20), ended], 50);
        let seen: Vec<_> = records.iter().map(|record| (record.phase, record.outcome)).collect();
        let expected =
            [(Phase::Tcp, Outcome::Failed), (Phase::X224, Outcome::Unfinished), (Phase::Closed, Outcome::Ok)];
        assert_eq!(seen, expected);
        assert_eq!((records[2].start_us, records[2].end_us), (40, 50));
    }
}
