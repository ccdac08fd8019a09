//! The declared changes on the way to an RD Gateway: UDP taken out of what the tunnel's packets offer, and transports
//! refused so that the client falls back to another.
//!
//! A [`GatewayGate`] stands in both byte streams of one TCP connection, inside TLS. It reads the heads of HTTP and, where
//! UDP is to be off, the packets of the tunnel (MS-TSGU 2.2.10), until the channel to the target is open; what the user
//! then does goes past it. Over two connections the client's packets are in the body of RDG_IN_DATA and the gateway's in
//! that of the answer to RDG_OUT_DATA: each connection has a gate of its own, and neither needs the other.
//!
//! Capabilities are cleared in place, under the mask of WebSocket where there is one. From the channel response the port
//! and the cookie of the side channel are taken out where the packet stands at the start of a WebSocket frame or a chunk
//! and ends in it, or in a body that ends with the connection; the length around it is made to fit. Elsewhere, as in a
//! body of a fixed length, the fields are said not to be present and their bytes are zeros.

mod body;
mod carried;
mod change;
mod head;
mod packet;
pub mod rpc;
mod split;
#[cfg(test)]
mod split_tests;
mod stretch;
#[cfg(test)]
mod tests;
mod transport;

pub use split::{Split, TunnelSplitter};
pub use transport::{Refusal, TransportChoice, UnknownTransport};

use super::{NotAltered, Note};
use crate::trace::{Framing, GATEWAY_UDP_OFF, Micros, Phase, Role, Side};
use body::{Body, Carrier, Step};
use head::{Front, Request, Response};
use std::collections::VecDeque;
use transport::Judgement;

/// Requests whose answers have not come; no client of a gateway sends a second before the first is answered.
const MOST_PENDING: usize = 8;

/// What is to be changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GatewayAlterations {
    /// HTTP_CAPABILITY_UDP_TRANSPORT is cleared on both legs, and the port and the cookie of the side channel taken out.
    pub udp_off: bool,
    /// Requests for any other transport are refused.
    pub transport: TransportChoice,
}

impl GatewayAlterations {
    fn is_nothing(self) -> bool {
        !self.udp_off && self.transport == TransportChoice::Auto
    }
}

/// Where a direction is.
#[derive(Debug)]
enum State {
    /// A head is next.
    Head,
    /// In a body, or in what follows an upgrade.
    Body(Body),
    /// Everything goes on as it comes.
    Open,
    /// Nothing goes on: the client was refused what it asked for.
    Refused,
}

#[derive(Debug)]
struct Direction {
    state: State,
    /// What has not gone on, or is not understood yet.
    raw: Vec<u8>,
    /// So many of these bytes have gone on: those of a head in which nothing is to be changed.
    sent: usize,
    /// So many of these bytes hold no end of a head.
    searched: usize,
}

impl Direction {
    /// A head is not whole.
    fn wait(&mut self) -> bool {
        self.searched = self.raw.len();
        false
    }

    /// So many bytes at the front are dealt with.
    fn leave(&mut self, count: usize) {
        self.raw.drain(..count);
        self.sent = 0;
        self.searched = 0;
    }
}

/// Stands in the byte streams of one connection to a gateway: bytes in, bytes that may go on out.
#[derive(Debug)]
pub struct GatewayGate {
    alterations: GatewayAlterations,
    connection: u32,
    /// What the requests are for whose answers are to come.
    pending: VecDeque<Role>,
    refusal: Option<Refusal>,
    /// That RPC over HTTP has nothing to clear was said.
    told_rpc: bool,
    directions: [Direction; 2],
}

impl GatewayGate {
    /// For a connection of an attempt; `connection` is its number, from 1.
    pub fn new(alterations: GatewayAlterations, connection: u32) -> GatewayGate {
        let direction = || {
            let state = if alterations.is_nothing() { State::Open } else { State::Head };
            Direction { state, raw: Vec::new(), sent: 0, searched: 0 }
        };
        GatewayGate {
            alterations,
            connection,
            pending: VecDeque::new(),
            refusal: None,
            told_rpc: false,
            directions: [direction(), direction()],
        }
    }

    /// Takes the bytes that `from` sent at `t_us`. What may go on is appended to `out`, to be written one entry with one
    /// write; what was changed, or could not be, to `notes`.
    pub fn pass(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<Vec<u8>>,
        notes: &mut Vec<Note>,
    ) {
        self.directions[from.index()].raw.extend_from_slice(bytes);
        let mut going = Vec::new();
        while self.step(t_us, from, &mut going, notes) {}
        let holds_heads = from == Side::Client && self.alterations.transport != TransportChoice::Auto;
        let direction = &mut self.directions[from.index()];
        if matches!(direction.state, State::Head) && !holds_heads {
            going.extend_from_slice(&direction.raw[direction.sent..]);
            direction.sent = direction.raw.len();
        }
        if !going.is_empty() {
            out.push(going);
        }
    }

    /// Of `from` nothing is held and nothing more will be held or changed: the caller may copy past the gate.
    pub fn is_open(&self, from: Side) -> bool {
        let direction = &self.directions[from.index()];
        matches!(direction.state, State::Open) && direction.raw.is_empty()
    }

    /// What is still held of `from`, whose stream ended in the middle of something, goes on as it is; nothing of a
    /// client that was refused.
    pub fn flush(&mut self, from: Side, out: &mut Vec<Vec<u8>>) {
        let direction = &mut self.directions[from.index()];
        if matches!(direction.state, State::Refused) {
            return;
        }
        direction.state = State::Open;
        let held = direction.raw.split_off(direction.sent);
        direction.raw.clear();
        direction.sent = 0;
        if !held.is_empty() {
            out.push(held);
        }
    }

    /// What the client is to be answered in the gateway's place, once it has asked for a transport that it is not to
    /// have. That request was not sent on, and nothing after it will be.
    pub fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// Goes on by one head or one stretch of a body; `false` where more bytes are needed, or none.
    fn step(&mut self, t_us: Micros, from: Side, going: &mut Vec<u8>, notes: &mut Vec<Note>) -> bool {
        let direction = &mut self.directions[from.index()];
        match &mut direction.state {
            State::Open => {
                going.extend_from_slice(&direction.raw[direction.sent..]);
                direction.raw.clear();
                direction.sent = 0;
                false
            }
            State::Refused => {
                direction.raw.clear();
                false
            }
            State::Head if direction.raw.is_empty() => false,
            State::Head if from == Side::Client => self.request(t_us, going, notes),
            State::Head => self.response(t_us, going, notes),
            State::Body(body) => {
                let mut changes = Vec::new();
                let step = body.step(&mut direction.raw, going, &mut changes);
                for change in changes {
                    notes.push(Note::Altered(change.record(t_us, from, self.connection)));
                }
                self.after(step, t_us, from, notes)
            }
        }
    }

    fn after(&mut self, step: Step, t_us: Micros, from: Side, notes: &mut Vec<Note>) -> bool {
        let direction = &mut self.directions[from.index()];
        match step {
            Step::NeedMore => return false,
            Step::Ended => direction.state = State::Head,
            Step::Settled(Carrier::OneWay) => self.open_both(),
            // Both sides' packets are on this connection: the gateway's are the last to be changed.
            Step::Settled(Carrier::Websocket) if from == Side::Server => self.open_both(),
            Step::Settled(Carrier::Websocket) => direction.state = State::Open,
            Step::NoTunnel(malformed) => {
                direction.state = State::Open;
                let reason = format!("what the {from} sent is no tunnel: {malformed}");
                notes.push(self.not_altered(t_us, from, Phase::GatewayTunnel, GATEWAY_UDP_OFF, reason));
            }
            Step::NoBody(malformed) => return self.not_http(t_us, from, malformed.to_string(), notes),
        }
        true
    }

    fn request(&mut self, t_us: Micros, going: &mut Vec<u8>, notes: &mut Vec<Note>) -> bool {
        let client = &mut self.directions[Side::Client.index()];
        let (request, length) = match head::request(&client.raw, client.searched) {
            Front::Head(request, length) => (request, length),
            Front::NeedMore => return client.wait(),
            Front::Http2 => {
                self.open_both();
                return true;
            }
            Front::Other(what) => return self.not_http(t_us, Side::Client, what, notes),
        };
        let head = &client.raw[..length];
        match transport::judge(self.alterations.transport, &request, head) {
            Judgement::Pass => going.extend_from_slice(&head[client.sent..]),
            Judgement::Changed(changed, changes) => {
                going.extend_from_slice(&changed);
                let record = |change: change::Change| change.record(t_us, Side::Client, self.connection);
                notes.extend(changes.into_iter().map(record).map(Note::Altered));
            }
            Judgement::Refuse(refusal) => {
                client.state = State::Refused;
                self.refusal = Some(refusal);
                return true;
            }
        }
        client.leave(length);
        self.asked(t_us, &request, notes);
        true
    }

    /// A request went on; its body is next, and its answer.
    fn asked(&mut self, t_us: Micros, request: &Request, notes: &mut Vec<Note>) {
        let role = self.alterations.transport.role(request.role);
        let is_rpc = matches!(role, Role::RpcIn | Role::RpcOut);
        if is_rpc && self.alterations.udp_off && !self.told_rpc {
            self.told_rpc = true;
            let reason =
                "RPC over HTTP has neither a capability nor a field for the side channel over UDP: there is \
                          nothing to clear"
                    .to_owned();
            let phase = Phase::GatewayTunnel;
            notes.push(self.not_altered(t_us, Side::Client, phase, GATEWAY_UDP_OFF, reason));
        }
        self.pending.push_back(role);
        if self.pending.len() > MOST_PENDING {
            self.not_http(t_us, Side::Client, "requests without an answer".to_owned(), notes);
            return;
        }
        let is_in = role == Role::InChannel;
        if request.framing == Framing::None {
            return;
        }
        if is_rpc || is_in && !self.alterations.udp_off {
            return self.open_both();
        }
        let client = &mut self.directions[Side::Client.index()];
        client.state = match request.framing {
            Framing::Chunked | Framing::Length(_) => {
                State::Body(Body::new(request.framing, is_in.then_some(Side::Client)))
            }
            _ => State::Head,
        };
    }

    fn response(&mut self, t_us: Micros, going: &mut Vec<u8>, notes: &mut Vec<Note>) -> bool {
        let server = &mut self.directions[Side::Server.index()];
        let role = self.pending.front().copied().unwrap_or_default();
        let (response, length) = match head::response(&server.raw, server.searched) {
            Front::Head(response, length) => (response, length),
            Front::NeedMore => return server.wait(),
            Front::Http2 => return false,
            Front::Other(what) => return self.not_http(t_us, Side::Server, what, notes),
        };
        going.extend_from_slice(&server.raw[server.sent..length]);
        server.leave(length);
        if !response.is_interim() {
            self.pending.pop_front();
            self.answered(role, response);
        }
        true
    }

    /// A response came; what it carries is next.
    fn answered(&mut self, role: Role, response: Response) {
        let udp_off = self.alterations.udp_off;
        let state = match (response.status, role) {
            (101, Role::Websocket) if udp_off => {
                let client = &mut self.directions[Side::Client.index()];
                client.leave(client.sent);
                client.state = State::Body(Body::new(Framing::Upgraded, Some(Side::Client)));
                State::Body(Body::new(Framing::Upgraded, Some(Side::Server)))
            }
            // A gateway without WebSocket answers the request for it as one for an OUT channel.
            (200, Role::OutChannel | Role::Websocket) if udp_off => {
                State::Body(Body::new(response.framing, Some(Side::Server)))
            }
            (101, _) | (200, Role::OutChannel | Role::Websocket) => return self.open_both(),
            _ => match response.framing {
                Framing::None => State::Head,
                Framing::UntilClose | Framing::Upgraded => State::Open,
                framing => State::Body(Body::new(framing, None)),
            },
        };
        self.directions[Side::Server.index()].state = state;
    }

    fn open_both(&mut self) {
        for direction in &mut self.directions {
            if !matches!(direction.state, State::Refused) {
                direction.state = State::Open;
            }
        }
    }

    /// From here on both directions go on as they come: without HTTP nothing in them can be found.
    fn not_http(&mut self, t_us: Micros, from: Side, what: String, notes: &mut Vec<Note>) -> bool {
        self.open_both();
        let reason = format!("what the {from} sent cannot be read as HTTP: {what}");
        let choice = self.alterations.transport;
        let settings = [
            (from == Side::Client && choice != TransportChoice::Auto, choice.setting()),
            (self.alterations.udp_off, GATEWAY_UDP_OFF),
        ];
        for (_, setting) in settings.into_iter().filter(|(is_asked, _)| *is_asked) {
            notes.push(self.not_altered(t_us, from, Phase::GatewayHttp, setting, reason.clone()));
        }
        true
    }

    fn not_altered(
        &self,
        t_us: Micros,
        from: Side,
        phase: Phase,
        setting: &'static str,
        reason: String,
    ) -> Note {
        let connection = Some(self.connection);
        Note::NotAltered(NotAltered { t_us, from, connection, phase, setting, reason })
    }
}
