//! Flows into attempts to reach a desktop, each with its record and its verdict.
//!
//! RDP is found by its bytes on any port; a gateway by what is said inside its TLS, where the secrets are known. What is
//! neither is given up at its first bytes. An attempt is handed on as soon as nothing more can belong to it, so that no more
//! is kept than what is open.

mod candidate;
mod datagrams;
mod direct;
mod gateway_attempt;
mod gateways;
mod network;
mod opener;
mod recognise;
mod recording;
mod returns;
#[cfg(test)]
mod tests;
mod traffic;

pub use traffic::Traffic;

use super::tls::Secrets;
use super::{FlowId, FlowKey, FlowOpened, FlowSink, FlowTransport, Missing, Nanoseconds};
use crate::trace::{How, MissingReason, Phase, Record, Side, TcpEvidence};
use ahash::RandomState;
use candidate::{Candidate, Decision, Held};
use datagrams::{Alone, RDP_PORT};
use direct::Direct;
use gateways::{GatewayConnection, Gateways};
use opener::TlsCounts;
use recording::Finished;
use returns::{Pair, Returns};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Servers that are remembered because RDP was spoken with them; a scan of more would fill memory.
const MOST_SERVERS: usize = 4096;
/// Connections without a byte that are remembered in case RDP is spoken with their server later.
const MOST_WITHOUT_A_BYTE: usize = 256;

/// A connection that began longer before is of another attempt.
const MOST_BEFORE: Nanoseconds = 60_000_000_000;

/// What is known of a file besides its packets.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name.
    pub capture: String,
    /// What the ids of its attempts begin with.
    pub ids: String,
    /// Gateways that the user names, `host[:port]`: connections to them are attempts though nobody sees into them.
    pub gateways: Vec<String>,
    /// Whether this build has a command that a verdict proposes.
    pub knows_command: fn(&str) -> bool,
}

/// An attempt with its verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysed {
    /// When it began.
    pub began: Nanoseconds,
    /// All that is said of it, verdict and end included.
    pub record: Record,
}

/// What a whole file came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Attempts that were handed on.
    pub attempts: u64,
    /// Flows that belong to none.
    pub other: Traffic,
    /// TLS connections that were decrypted.
    pub tls_opened: u64,
    /// TLS connections of RDP, or perhaps of a gateway, that were not.
    pub tls_sealed: u64,
}

/// Takes flows and hands on attempts.
pub struct Sessions<H: FnMut(Analysed)> {
    options: Options,
    secrets: Arc<Secrets>,
    takes_secrets: bool,
    hand_on: H,
    flows: HashMap<FlowId, Flow, RandomState>,
    gateways: Gateways,
    returns: Returns,
    /// Servers with which RDP is spoken.
    servers: BTreeSet<SocketAddr>,
    without_a_byte: VecDeque<(Nanoseconds, Nanoseconds, FlowOpened, u64, TcpEvidence)>,
    counts: Arc<TlsCounts>,
    totals: Totals,
    ids: u64,
    tcp_streams: u64,
    udp_streams: u64,
    now: Nanoseconds,
}

/// One flow that is open.
struct Flow {
    key: FlowKey,
    /// Its number among the file's TCP or UDP flows, as tshark counts.
    stream: u64,
    place: FlowId,
    reached: Option<Phase>,
    kind: Kind,
}

enum Kind {
    Candidate(Box<Candidate>),
    Direct(Box<Direct>),
    Gateway(Box<GatewayConnection>),
    /// Datagrams that have not come yet.
    Datagrams(Nanoseconds, FlowOpened),
    /// RDP-UDP of the session in this flow.
    SideChannel(FlowId),
    /// RDP-UDP without its session.
    Alone(Box<Alone>),
    /// The side channel of an attempt through a gateway.
    GatewaySideChannel(u64),
    Other,
}

impl<H: FnMut(Analysed)> Sessions<H> {
    /// Before the first packet; `hand_on` takes attempts as they are over.
    pub fn new(options: Options, secrets: Arc<Secrets>, hand_on: H) -> Sessions<H> {
        Sessions {
            options,
            secrets,
            takes_secrets: false,
            hand_on,
            flows: HashMap::default(),
            gateways: Gateways::default(),
            returns: Returns::default(),
            servers: BTreeSet::new(),
            without_a_byte: VecDeque::new(),
            counts: Arc::default(),
            totals: Totals::default(),
            ids: 0,
            tcp_streams: 0,
            udp_streams: 0,
            now: 0,
        }
    }

    /// Takes the secrets in the file as they come, where nobody could look for them before: those that stand behind packets
    /// are too late for these.
    pub fn taking_secrets(self) -> Sessions<H> {
        Sessions { takes_secrets: true, ..self }
    }

    /// The file is at its end, and every flow closed.
    pub fn finish(mut self) -> Totals {
        for analysed in self.returns.close(&self.options) {
            self.tell(analysed);
        }
        self.gateways_over(None);
        for (_, _, opened, _, _) in std::mem::take(&mut self.without_a_byte) {
            self.totals.other.tcp(opened.key.server.port());
        }
        self.totals.tls_opened = self.counts.opened.load(Ordering::Relaxed);
        self.totals.tls_sealed = self.counts.sealed.load(Ordering::Relaxed);
        self.totals
    }

    fn tell(&mut self, analysed: Analysed) {
        self.totals.attempts += 1;
        (self.hand_on)(analysed);
    }

    fn next_id(&mut self) -> String {
        self.ids += 1;
        format!("{}-{:04}", self.options.ids, self.ids)
    }

    /// What time alone brings about.
    fn pass(&mut self, at: Nanoseconds) {
        self.now = self.now.max(at);
        if !self.returns.is_empty() {
            let is_back = |pair: Pair, place: u64| {
                self.flows.values().any(|flow| match &flow.kind {
                    Kind::Direct(direct) => flow.place.0 > place && direct.pair() == pair,
                    _ => false,
                })
            };
            for analysed in self.returns.in_vain(self.now, is_back, &self.options) {
                self.tell(analysed);
            }
        }
        if !self.gateways.is_empty() {
            self.gateways_over(Some(self.now));
        }
    }

    fn gateways_over(&mut self, now: Option<Nanoseconds>) {
        let (ids, prefix) = (&mut self.ids, &self.options.ids);
        let id = || {
            *ids += 1;
            format!("{prefix}-{:04}", *ids)
        };
        for finished in self.gateways.over(now, &self.options.capture, id) {
            let analysed = finished.conclude(false, &self.options);
            self.tell(analysed);
        }
    }

    /// RDP is spoken with `server`: connections to it that came to nothing were attempts.
    fn speaks_rdp(&mut self, server: SocketAddr) {
        if self.servers.len() >= MOST_SERVERS || !self.servers.insert(server) {
            return;
        }
        let (its, others): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.without_a_byte)
            .into_iter()
            .partition(|(_, _, opened, _, _)| opened.key.server == server);
        self.without_a_byte = others;
        for (began, closed, opened, stream, evidence) in its {
            let direct = Direct::new(began, opened, &self.secrets, &self.counts);
            self.close_direct(direct, closed, (stream, FlowId(0)), &evidence);
        }
    }

    fn close_direct(
        &mut self,
        direct: Direct,
        at: Nanoseconds,
        (stream, place): (u64, FlowId),
        evidence: &TcpEvidence,
    ) {
        let (id, pair, port) = (self.next_id(), direct.pair(), direct.key.server.port());
        // What nobody has ended was seen to the end of the file, or until it was given up.
        let at = if direct.has_ended() { at } else { at.max(self.now) };
        match direct.close(at, evidence, (stream, id), &self.options.capture) {
            None => self.totals.other.tcp(port),
            Some(finished) => self.finished(at, (place.0, pair), finished),
        }
    }

    fn finished(&mut self, at: Nanoseconds, whose: (u64, Pair), finished: Finished) {
        if let Some(analysed) = self.returns.ended(at, whose, finished, &self.options) {
            self.tell(analysed);
        }
    }

    /// A candidate has turned out to be something.
    fn turn_out(&mut self, (stream, place): (u64, FlowId), candidate: Candidate, decision: Decision) -> Kind {
        let key = candidate.opened.key;
        let decision = match decision {
            Decision::Other if candidate.is_to(&self.options.gateways) => Decision::Gateway,
            decision => decision,
        };
        match decision {
            Decision::Undecided => Kind::Candidate(Box::new(candidate)),
            Decision::Other => {
                self.totals.other.tcp(key.server.port());
                Kind::Other
            }
            Decision::Direct => {
                let mut direct = Direct::new(candidate.at, candidate.opened, &self.secrets, &self.counts);
                // RDP is spoken with whom the proxy leads to, and that may be another one each time.
                match candidate.through_proxy() {
                    Some(proxy) => direct.through_proxy(proxy),
                    None => self.speaks_rdp(key.server),
                }
                for held in candidate.held {
                    match held {
                        Held::Bytes { at, from, bytes, .. } => direct.data(at, from, &bytes),
                        Held::End { at, from, how } => direct.ended(at, from, how),
                    }
                }
                self.returns.began(candidate.at, (place.0, direct.pair()));
                Kind::Direct(Box::new(direct))
            }
            Decision::Gateway => {
                // The attempt began with its first connection, not with the first that said what it is for.
                let since = self.flows.values().filter_map(|flow| match &flow.kind {
                    Kind::Candidate(other) => {
                        Some(&other.opened).filter(|it| same_ends(it.key, key)).map(|_| other.at)
                    }
                    _ => None,
                });
                let began = since.filter(|at| at + MOST_BEFORE >= candidate.at).min().unwrap_or(candidate.at);
                let secrets = (&self.secrets, &self.counts);
                let began = began.min(candidate.at);
                Kind::Gateway(Box::new(self.gateways.enter(candidate, (stream, began), secrets)))
            }
        }
    }

    /// A flow of which nobody has said what it is is over.
    fn close_candidate(&mut self, candidate: Candidate, at: Nanoseconds, stream: u64, evidence: TcpEvidence) {
        let key = candidate.opened.key;
        let is_gateways =
            self.gateways.has_attempt(key.client.ip(), key.server) || candidate.is_to(&self.options.gateways);
        if candidate.has_data() && is_gateways {
            let secrets = (&self.secrets, &self.counts);
            let began = candidate.at;
            let connection = self.gateways.enter(candidate, (stream, began), secrets);
            self.gateways.closed(&connection, at, &evidence);
        } else if candidate.has_data() || evidence.syns == 0 {
            self.totals.other.tcp(key.server.port());
        } else {
            if self.without_a_byte.len() == MOST_WITHOUT_A_BYTE
                && let Some((_, _, oldest, _, _)) = self.without_a_byte.pop_front()
            {
                self.totals.other.tcp(oldest.key.server.port());
            }
            self.without_a_byte.push_back((candidate.at, at, candidate.opened, stream, evidence));
        }
    }

    /// What datagrams are, by the first of them.
    fn recognise(&mut self, at: Nanoseconds, opened: FlowOpened, from: Side, bytes: &[u8]) -> Kind {
        let FlowOpened { key, .. } = opened;
        if let Some(attempt) = self.gateways.side_channel(key) {
            return Kind::GatewaySideChannel(attempt);
        }
        let is_rdp = key.server.port() == RDP_PORT
            || self.servers.contains(&key.server)
            || from == Side::Client && datagrams::is_syn(bytes);
        if !is_rdp {
            self.totals.other.udp(key.server.port());
            return Kind::Other;
        }
        let whose = |flow: &&Flow| match &flow.kind {
            Kind::Direct(direct) => direct.may_have(key.client.ip(), key.server.ip()),
            _ => false,
        };
        match self.flows.values().filter(whose).map(|flow| flow.place).max() {
            Some(place) => Kind::SideChannel(place),
            None => Kind::Alone(Box::new(Alone::new(at, opened))),
        }
    }

    /// Takes a flow out for as long as something else is needed beside it.
    fn with(&mut self, id: FlowId, work: impl FnOnce(&mut Sessions<H>, &mut Flow)) {
        if let Some(mut flow) = self.flows.remove(&id) {
            work(self, &mut flow);
            self.flows.insert(id, flow);
        }
    }

    /// Tells those that wait for it that a connection has come further.
    fn progress(&mut self, flow: &mut Flow) {
        let Kind::Direct(direct) = &flow.kind else { return };
        let reached = direct.reached();
        if reached > flow.reached {
            flow.reached = reached;
            let whose = (flow.place.0, direct.pair());
            for analysed in self.returns.progress(whose, reached, &self.options) {
                self.tell(analysed);
            }
        }
    }
}

impl<H: FnMut(Analysed)> FlowSink for Sessions<H> {
    fn opened(&mut self, id: FlowId, at: Nanoseconds, opened: FlowOpened) {
        self.pass(at);
        let key = opened.key;
        let (streams, kind) = match key.transport {
            FlowTransport::Udp => (&mut self.udp_streams, Kind::Datagrams(at, opened)),
            FlowTransport::Tcp => {
                let is_rdp = key.server.port() == RDP_PORT || self.servers.contains(&key.server);
                let kind = match is_rdp {
                    true => {
                        self.returns.began(at, (id.0, (key.client.ip(), key.server)));
                        Kind::Direct(Box::new(Direct::new(at, opened, &self.secrets, &self.counts)))
                    }
                    false => Kind::Candidate(Box::new(Candidate::new(at, opened))),
                };
                (&mut self.tcp_streams, kind)
            }
        };
        let stream = *streams;
        *streams += 1;
        self.flows.insert(id, Flow { key, stream, place: id, reached: None, kind });
    }

    fn data(&mut self, id: FlowId, at: Nanoseconds, from: Side, bytes: &[u8]) {
        self.now = self.now.max(at);
        // Most bytes of most captures: nothing else is needed beside the flow.
        if let Some(Flow { kind: Kind::Direct(direct), reached, .. }) = self.flows.get_mut(&id) {
            direct.data(at, from, bytes);
            if direct.reached() > *reached {
                self.with(id, Sessions::progress);
            }
            return;
        }
        self.with(id, |sessions, flow| {
            match &mut flow.kind {
                Kind::Gateway(connection) => sessions.gateways.data(connection, at, from, bytes),
                Kind::Candidate(candidate) => {
                    let (secrets, counts) = (Arc::clone(&sessions.secrets), Arc::clone(&sessions.counts));
                    let decision = candidate.data(at, from, bytes, &secrets, &counts);
                    if decision != Decision::Undecided
                        && let Kind::Candidate(candidate) = std::mem::replace(&mut flow.kind, Kind::Other)
                    {
                        let whose = (flow.stream, flow.place);
                        flow.kind = sessions.turn_out(whose, *candidate, decision);
                    }
                }
                _ => {}
            }
            sessions.progress(flow);
        });
    }

    fn missing(&mut self, id: FlowId, at: Nanoseconds, missing: Missing) {
        self.now = self.now.max(at);
        self.with(id, |sessions, flow| match &mut flow.kind {
            Kind::Direct(direct) => direct.missing(at, missing),
            Kind::Gateway(connection) => sessions.gateways.missing(connection, at, missing),
            // Where nobody saw the SYN, the first bytes tell whether anything was before them.
            Kind::Candidate(_) if missing.reason == MissingReason::BeganEarlier => {}
            // Without its beginning nothing tells what it is.
            Kind::Candidate(_) => {
                sessions.totals.other.tcp(flow.key.server.port());
                flow.kind = Kind::Other;
            }
            _ => {}
        });
    }

    fn ended(&mut self, id: FlowId, at: Nanoseconds, from: Side, how: How) {
        self.now = self.now.max(at);
        self.with(id, |sessions, flow| match &mut flow.kind {
            Kind::Direct(direct) => direct.ended(at, from, how),
            Kind::Gateway(connection) => sessions.gateways.ended(connection, at, from, how),
            Kind::Candidate(candidate) => candidate.ended(at, from, how),
            _ => {}
        });
    }

    fn datagram(&mut self, id: FlowId, at: Nanoseconds, from: Side, bytes: &[u8], _whole: usize) {
        self.now = self.now.max(at);
        self.with(id, |sessions, flow| {
            if let Kind::Datagrams(began, opened) = flow.kind {
                flow.kind = sessions.recognise(began, opened, from, bytes);
                if let Kind::SideChannel(session) = flow.kind
                    && let Some(Flow { kind: Kind::Direct(direct), .. }) = sessions.flows.get_mut(&session)
                {
                    direct.has_udp(flow.stream);
                }
            }
            match &mut flow.kind {
                Kind::Alone(alone) => alone.datagram(at, from, bytes),
                Kind::GatewaySideChannel(attempt) => sessions.gateways.datagram(*attempt, at, from, bytes),
                Kind::SideChannel(session) => {
                    if let Some(Flow { kind: Kind::Direct(direct), .. }) = sessions.flows.get_mut(session) {
                        direct.datagram(at, from, bytes);
                    }
                }
                _ => {}
            }
        });
    }

    fn closed(&mut self, id: FlowId, at: Nanoseconds, tcp: Option<TcpEvidence>) {
        let Some(flow) = self.flows.remove(&id) else { return };
        let evidence = tcp.unwrap_or_default();
        match flow.kind {
            Kind::Direct(direct) => self.close_direct(*direct, at, (flow.stream, flow.place), &evidence),
            Kind::Gateway(connection) => self.gateways.closed(&connection, at, &evidence),
            Kind::Candidate(candidate) => self.close_candidate(*candidate, at, flow.stream, evidence),
            Kind::Alone(alone) => {
                let id = self.next_id();
                match alone.close(at, (flow.stream, id), &self.options.capture) {
                    None => self.totals.other.udp(flow.key.server.port()),
                    Some(finished) => {
                        let analysed = finished.conclude(false, &self.options);
                        self.tell(analysed);
                    }
                }
            }
            Kind::Datagrams(..) => self.totals.other.udp(flow.key.server.port()),
            Kind::SideChannel(_) | Kind::GatewaySideChannel(_) | Kind::Other => {}
        }
        self.pass(at);
    }

    fn secrets(&mut self, key_log: &[u8]) {
        if self.takes_secrets {
            self.secrets.add_key_log(key_log);
        }
    }

    fn is_opaque(&self, id: FlowId, from: Side) -> bool {
        match self.flows.get(&id).map(|flow| &flow.kind) {
            Some(Kind::Direct(direct)) => direct.is_opaque(from),
            Some(Kind::Gateway(connection)) => self.gateways.is_opaque(connection, from),
            Some(Kind::Other) | None => true,
            Some(_) => false,
        }
    }

    fn unseen(&mut self, id: FlowId, at: Nanoseconds, from: Side, count: u64) {
        self.now = self.now.max(at);
        match self.flows.get_mut(&id).map(|flow| &mut flow.kind) {
            Some(Kind::Direct(direct)) => direct.unseen(from, count),
            Some(Kind::Gateway(connection)) => self.gateways.unseen(connection, from, count),
            _ => {}
        }
    }
}

/// Whether both are connections of one client to one server.
fn same_ends(one: FlowKey, other: FlowKey) -> bool {
    (one.client.ip(), one.server) == (other.client.ip(), other.server)
}
