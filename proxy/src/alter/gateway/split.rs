//! The RDP in a tunnel taken out of it, for TLS inside the tunnel that rdpscope terminates.
//!
//! A [`TunnelSplitter`] stands in both byte streams of one connection to a gateway, behind the
//! [`super::GatewayGate`]. What is not RDP goes on: heads and bodies as they come, packets of the tunnel whole, in frames or
//! chunks of their own, because a data packet of ours may only stand between two of them.

use super::carried::{Carried, FIRST_BYTE, Rewritten, Went};
use super::head::{self, Front, Request, Response};
use crate::alter::{NotAltered, Note};
use crate::trace::{Altered, Framing, INNER_CERT, Micros, Phase, Role, Side};
use crate::wire::http::{Body, Part};
use std::collections::VecDeque;

/// Requests whose answers have not come; no client of a gateway sends a second before the first is answered.
const MOST_PENDING: usize = 8;

/// What is said of calls and results in chunks, where MS-RPCH 2.1.2 has a Content-Length.
const IN_CHUNKS: &str = "come in chunks (Transfer-Encoding: chunked), between which rdpscope can put nothing of its own; \
--gateway-transport websocket or http makes the client take another way";

/// Something of a direction, in the order in which it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// It goes on as it is.
    Other(Vec<u8>),
    /// RDP, out of its packets.
    Data(Vec<u8>),
    /// The end of the tunnel, which goes on behind the last RDP that this side is to send.
    End(Vec<u8>),
    /// A piece of a channel of RPC over HTTP, for an [`super::rpc::RpcTunnel`] to take apart.
    Rpc(Vec<u8>),
}

/// See the module.
#[derive(Debug)]
pub struct TunnelSplitter {
    connection: u32,
    /// What the requests are for whose answers are to come.
    pending: VecDeque<Role>,
    /// The last request opens an IN channel and announces no body.
    is_unframed: bool,
    /// Whose calls or results over RPC this connection carries.
    rpc: Option<Side>,
    directions: [Direction; 2],
}

#[derive(Debug)]
struct Direction {
    state: State,
    /// Of a head that is not whole.
    raw: Vec<u8>,
    /// So many of these bytes hold no end of a head.
    searched: usize,
    /// What was written anew of tunnels that are left behind, and in what their packets stood.
    before: (Option<&'static str>, Rewritten),
}

impl Direction {
    /// What was written anew, and in what the packets stand.
    fn rewritten(&self) -> (Option<&'static str>, Rewritten) {
        match &self.state {
            State::Tunnel(carried) | State::Over(carried) => {
                (carried.framed_in().or(self.before.0), self.before.1.and(carried.rewritten()))
            }
            _ => self.before,
        }
    }

    /// Leaves a tunnel behind, if there was one.
    fn go_on_with(&mut self, state: State) {
        self.before = self.rewritten();
        self.state = state;
    }
}

#[derive(Debug)]
enum State {
    Head,
    Body(Body),
    Tunnel(Box<Carried>),
    /// A channel of RPC over HTTP.
    Rpc(Body),
    /// The tunnel is over and this is what it was; what comes behind it goes on behind its end.
    Over(Box<Carried>),
    /// Everything goes on as it comes.
    Open,
}

impl TunnelSplitter {
    /// For a connection of an attempt; `connection` is its number, from 1.
    pub fn new(connection: u32) -> TunnelSplitter {
        let direction = || Direction {
            state: State::Head,
            raw: Vec::new(),
            searched: 0,
            before: (None, Rewritten::default()),
        };
        TunnelSplitter {
            connection,
            pending: VecDeque::new(),
            is_unframed: false,
            rpc: None,
            directions: [direction(), direction()],
        }
    }

    /// Takes the bytes that `from` sent at `t_us`; why TLS inside the tunnel cannot be terminated goes to `notes`.
    pub fn pass(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<Split>,
        notes: &mut Vec<Note>,
    ) {
        let mut bytes = bytes;
        while let Some(rest) = self.step(t_us, from, bytes, out, notes) {
            bytes = rest;
        }
    }

    /// Nothing of `from` is RDP that could be taken out: the caller may copy past the splitter.
    pub fn is_open(&self, from: Side) -> bool {
        matches!(self.direction(from).state, State::Open)
    }

    /// The side whose calls or results over RPC this connection carries.
    pub fn rpc(&self) -> Option<Side> {
        self.rpc
    }

    /// Whether what goes on of `from` now stands in a channel of RPC.
    pub fn is_in_rpc(&self, from: Side) -> bool {
        matches!(self.direction(from).state, State::Rpc(_))
    }

    /// From here on both directions go on as they come: `reason` says why.
    pub fn stop(&mut self, t_us: Micros, from: Side, reason: String, notes: &mut Vec<Note>) {
        self.give_up(t_us, from, Phase::GatewayTunnel, reason, notes);
    }

    /// The same where that was told already.
    pub fn stop_silently(&mut self) {
        self.open_both();
    }

    /// Whether RDP may be put into what goes on of `from` now.
    pub fn takes_data(&self, from: Side) -> bool {
        self.carried(from).is_some_and(Carried::is_between_packets)
    }

    /// Data packets with `data` as they stand in the direction of `from`; a client's are masked with `key` in WebSocket.
    pub fn wrap(&mut self, from: Side, data: &[u8], key: [u8; 4]) -> Vec<u8> {
        self.carried_mut(from).map(|carried| carried.wrap(data, key)).unwrap_or_default()
    }

    /// The packet that closes the channel, likewise.
    pub fn wrap_close(&mut self, from: Side, key: [u8; 4]) -> Vec<u8> {
        self.carried_mut(from).map(|carried| carried.wrap_close(key)).unwrap_or_default()
    }

    /// What was written anew in the direction of `from` so far, at `t_us`: of what frames the packets how many bytes came
    /// and how many were written in their place, and how many headers of data packets.
    pub fn rewritten(&self, t_us: Micros, from: Side) -> Vec<Altered> {
        let (framed_in, Rewritten { framing, data_packets }) = self.direction(from).rewritten();
        let altered = |structure: &str, field: String| Altered {
            t_us,
            leg: from.opposite().into(),
            connection: Some(self.connection),
            phase: Phase::GatewayChannel,
            message: "tunnel".to_owned(),
            structure: structure.to_owned(),
            field,
            offset: 0,
            before: String::new(),
            after: String::new(),
            why: INNER_CERT.to_owned(),
        };
        let words = |what: &str, [came, written]: [u64; 2]| {
            (came + written > 0)
                .then(|| format!("{what}: {came} came, {written} were written in their place"))
        };
        let frames = framed_in.and_then(|structure| {
            words("all bytes that frame packets", framing).map(|field| altered(structure, field))
        });
        let packets = words("all headers", data_packets).map(|field| altered("HTTP_DATA_PACKET", field));
        frames.into_iter().chain(packets).collect()
    }

    fn carried_mut(&mut self, from: Side) -> Option<&mut Carried> {
        match &mut self.directions[from.index()].state {
            State::Tunnel(carried) | State::Over(carried) => Some(carried),
            _ => None,
        }
    }

    fn carried(&self, from: Side) -> Option<&Carried> {
        match &self.direction(from).state {
            State::Tunnel(carried) | State::Over(carried) => Some(carried),
            _ => None,
        }
    }

    fn direction(&self, from: Side) -> &Direction {
        &self.directions[from.index()]
    }

    /// Goes on by one head or one body; the bytes that are left, `None` where all are taken.
    fn step<'a>(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &'a [u8],
        out: &mut Vec<Split>,
        notes: &mut Vec<Note>,
    ) -> Option<&'a [u8]> {
        if bytes.is_empty() {
            return None;
        }
        let is_unframed = from == Side::Client && std::mem::take(&mut self.is_unframed);
        let direction = &mut self.directions[from.index()];
        match &mut direction.state {
            State::Open => out.push(Split::Other(bytes.to_vec())),
            State::Over(_) => out.push(Split::End(bytes.to_vec())),
            State::Head if is_unframed && bytes[0] == FIRST_BYTE => {
                direction.state = State::Tunnel(Box::new(Carried::body(from, Framing::UntilClose)));
                return Some(bytes);
            }
            State::Head => return self.head(t_us, from, bytes, out, notes),
            State::Rpc(body) => {
                let mut rest = bytes;
                while let Some(part) = body.next(&mut rest) {
                    match part {
                        Ok(Part::Data(data)) => out.push(Split::Rpc(data.to_vec())),
                        Ok(Part::End) => {
                            direction.state = State::Head;
                            return Some(rest);
                        }
                        Err(_) => {
                            direction.state = State::Open;
                            return Some(rest);
                        }
                    }
                }
            }
            State::Body(body) => {
                let mut rest = bytes;
                let end = loop {
                    match body.next(&mut rest) {
                        Some(Ok(Part::Data(_))) => {}
                        Some(Ok(Part::End)) => break Some(State::Head),
                        Some(Err(_)) => break Some(State::Open),
                        None => break None,
                    }
                };
                out.push(Split::Other(bytes[..bytes.len() - rest.len()].to_vec()));
                if let Some(end) = end {
                    direction.state = end;
                    return Some(rest);
                }
            }
            State::Tunnel(carried) => match carried.take(bytes, out) {
                Ok(Went::On) => {}
                Ok(Went::Over(left)) => {
                    let over = std::mem::replace(&mut direction.state, State::Open);
                    if let State::Tunnel(carried) = over {
                        direction.state = State::Over(carried);
                    }
                    return Some(&bytes[bytes.len() - left..]);
                }
                Ok(Went::Anew(left)) => {
                    let begun = carried.take_first_size();
                    direction.go_on_with(State::Head);
                    if !begun.is_empty() {
                        self.head(t_us, from, &begun, out, notes);
                    }
                    return Some(&bytes[bytes.len() - left..]);
                }
                Err((malformed, left)) => {
                    let begun = carried.take_first_size();
                    if !begun.is_empty() {
                        out.push(Split::Other(begun));
                    }
                    let reason = format!("what the {from} sent is no tunnel: {malformed}");
                    self.give_up(t_us, from, Phase::GatewayTunnel, reason, notes);
                    return Some(&bytes[bytes.len() - left..]);
                }
            },
        }
        None
    }

    /// Bytes of a head; they go on at once.
    fn head<'a>(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &'a [u8],
        out: &mut Vec<Split>,
        notes: &mut Vec<Note>,
    ) -> Option<&'a [u8]> {
        let direction = &mut self.directions[from.index()];
        let before = direction.raw.len();
        direction.raw.extend_from_slice(bytes);
        let length = match from {
            Side::Client => match head::request(&direction.raw, direction.searched) {
                Front::Head(request, length) => {
                    self.requested(t_us, request, notes);
                    Ok(Some(length))
                }
                Front::NeedMore => Ok(None),
                Front::Http2 => Err(None),
                Front::Other(what) => Err(Some(what)),
            },
            Side::Server => match head::response(&direction.raw, direction.searched) {
                Front::Head(response, length) => {
                    self.answered(t_us, response, notes);
                    Ok(Some(length))
                }
                Front::NeedMore => Ok(None),
                Front::Http2 => Err(None),
                Front::Other(what) => Err(Some(what)),
            },
        };
        let direction = &mut self.directions[from.index()];
        match length {
            Ok(Some(length)) => {
                let taken = length.saturating_sub(before).min(bytes.len());
                out.push(Split::Other(bytes[..taken].to_vec()));
                (direction.raw, direction.searched) = (Vec::new(), 0);
                return Some(&bytes[taken..]);
            }
            Ok(None) => direction.searched = direction.raw.len(),
            Err(what) => {
                direction.raw = Vec::new();
                let reason = match what {
                    Some(what) => format!("what the {from} sent cannot be read as HTTP: {what}"),
                    None => "there is no tunnel in HTTP/2".to_owned(),
                };
                self.give_up(t_us, from, Phase::GatewayHttp, reason, notes);
            }
        }
        out.push(Split::Other(bytes.to_vec()));
        None
    }

    fn requested(&mut self, t_us: Micros, request: Request, notes: &mut Vec<Note>) {
        let Request { role, framing } = request;
        self.pending.push_back(role);
        if self.pending.len() > MOST_PENDING {
            let reason = "there are requests without an answer".to_owned();
            return self.give_up(t_us, Side::Client, Phase::GatewayHttp, reason, notes);
        }
        self.is_unframed = role == Role::InChannel && framing == Framing::None;
        self.rpc = match role {
            Role::RpcIn => Some(Side::Client),
            Role::RpcOut => Some(Side::Server),
            _ => None,
        };
        if self.rpc.is_some() && framing == Framing::Chunked {
            let reason = format!("the calls over RPC {IN_CHUNKS}");
            return self.give_up(t_us, Side::Client, Phase::GatewayTunnel, reason, notes);
        }
        self.directions[Side::Client.index()].state = match (role, framing) {
            (_, Framing::None) => State::Head,
            (Role::InChannel, framing) => State::Tunnel(Box::new(Carried::body(Side::Client, framing))),
            (Role::RpcIn | Role::RpcOut, framing) => State::Rpc(Body::new(framing)),
            (_, framing) => State::Body(Body::new(framing)),
        };
    }

    fn answered(&mut self, t_us: Micros, response: Response, notes: &mut Vec<Note>) {
        let role = self.pending.front().copied().unwrap_or_default();
        if response.is_interim() {
            return;
        }
        self.pending.pop_front();
        let state = match (response.status, role, response.framing) {
            (101, Role::Websocket, _) => {
                let client = &mut self.directions[Side::Client.index()];
                client.state = State::Tunnel(Box::new(Carried::websocket(Side::Client)));
                (client.raw, client.searched) = (Vec::new(), 0);
                State::Tunnel(Box::new(Carried::websocket(Side::Server)))
            }
            (101, ..) => return self.open_both(),
            // A gateway without WebSocket answers the request for it as one for an OUT channel.
            (200..300, Role::OutChannel | Role::Websocket, framing) => {
                State::Tunnel(Box::new(Carried::body(Side::Server, framing)))
            }
            (200..300, Role::RpcOut, Framing::Length(_) | Framing::UntilClose) => {
                State::Rpc(Body::new(response.framing))
            }
            (200..300, Role::RpcOut, Framing::Chunked) => {
                let reason = format!("the results of calls over RPC {IN_CHUNKS}");
                return self.give_up(t_us, Side::Server, Phase::GatewayTunnel, reason, notes);
            }
            (_, _, Framing::None) => State::Head,
            (_, _, framing) => State::Body(Body::new(framing)),
        };
        self.directions[Side::Server.index()].state = state;
    }

    fn open_both(&mut self) {
        for direction in &mut self.directions {
            direction.go_on_with(State::Open);
        }
    }

    /// From here on both directions go on as they come.
    fn give_up(&mut self, t_us: Micros, from: Side, phase: Phase, reason: String, notes: &mut Vec<Note>) {
        self.open_both();
        let connection = Some(self.connection);
        notes.push(Note::NotAltered(NotAltered {
            t_us,
            from,
            connection,
            phase,
            setting: INNER_CERT,
            reason,
        }));
    }
}
