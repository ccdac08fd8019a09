//! The oldest transport of an RD Gateway: RPC over HTTP, its two channels, the calls in them and the RDP inside those.
//!
//! Calls go up one connection and their results come down another; the cookie with which both begin joins them. A channel
//! has to be replaced from time to time, and the RPC runtime may open more pairs of them.

mod calls;
mod channel;

use super::super::rdp::follow::event;
use super::super::tls::malformed_detail;
use crate::observe::SessionObserver;
use crate::trace::{Detail, Event, GatewayMessage, Micros, Phase, Reframing, Role, Side};
use crate::wire::rpch::rpc::{self, Body, Header, Pdu};
use crate::wire::rpch::rts::{self, Rts};
use crate::wire::rpch::tsproxy::{self, CONTEXT_HANDLE, SEND_TO_SERVER, SETUP_RECEIVE_PIPE};
use crate::wire::tsgu::Packet;
use crate::wire::{Malformed, named::Code};
use calls::{Calls, ChannelHandle, Stub};
use channel::{Channel, Read};
use std::collections::{BTreeMap, BTreeSet};

/// Connections of one attempt that are open at once and followed. A client has two, and two more while it replaces them; it
/// may open further pairs for calls that wait.
const MOST_CONNECTIONS: usize = 64;

/// Whose RDP goes to the observer of the session inside: there is one, and two sessions in it would be nobody's.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Followed {
    /// That of the first channel that carries some.
    #[default]
    First,
    /// That of this channel.
    Channel(ChannelHandle),
    /// None: the session is in a tunnel over another transport.
    Elsewhere,
    /// None: somebody else tells what is in it.
    Apart,
}

/// Follows what RPC_IN_DATA and RPC_OUT_DATA carry.
#[derive(Debug, Default)]
pub struct RpcObserver {
    connections: BTreeMap<u32, [Channel; 2]>,
    /// Which virtual connection a connection is a channel of, by its cookie; those without one share the cookie of zeros.
    joined: BTreeMap<u32, [u8; 16]>,
    /// The cookies of their channels.
    channels: BTreeMap<u32, [u8; 16]>,
    calls: BTreeMap<[u8; 16], Calls>,
    /// PDUs of the kinds that come again and again: of each the first is told.
    told: BTreeSet<(Side, &'static str, Option<u16>)>,
    traffic: [Traffic; 2],
    /// Encrypted stubs were told.
    is_hidden: bool,
    followed: Followed,
    /// Sides of which it was told that the RDP of another channel is not followed.
    told_other: [bool; 2],
}

/// What one side has sent to the other through the gateway.
#[derive(Debug, Default, Clone, Copy)]
struct Traffic {
    packets: u64,
    bytes: u64,
}

/// What every event of a PDU has in common.
#[derive(Debug, Clone, Copy)]
struct At {
    t_us: Micros,
    connection: u32,
    from: Side,
}

impl At {
    fn tell(self, phase: Phase, detail: Detail, out: &mut Vec<Event>) {
        out.push(Event { connection: Some(self.connection), ..event(self.t_us, self.from, phase, detail) });
    }

    fn packet(self, phase: Phase, packet: Packet, out: &mut Vec<Event>) {
        self.tell(phase, Detail::Gateway(GatewayMessage::TunnelPacket(packet)), out);
    }
}

impl RpcObserver {
    /// What `from` sent in a body on `connection`; what it tells is added to `out`, and the RDP in it goes to `inner`.
    pub fn data(
        &mut self,
        t_us: Micros,
        connection: u32,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<Event>,
        inner: &mut SessionObserver,
    ) {
        let at = At { t_us, connection, from };
        if self.connections.len() >= MOST_CONNECTIONS && !self.connections.contains_key(&connection) {
            return inner.lost(from);
        }
        let mut channel = std::mem::take(self.channel(connection, from));
        let mut rest = bytes;
        while let Some(read) = channel.next(&mut rest) {
            match read {
                Read::Pdu(header, pdu) => self.pdu(at, header, &pdu, out, inner),
                Read::Garbage { offset, malformed } => {
                    garbage(at, offset, &malformed, out);
                    self.rdp_lost(from, inner);
                }
            }
        }
        *self.channel(connection, from) = channel;
    }

    /// RDP of `from` is missing, where any came before; where none did, none will.
    fn rdp_lost(&self, from: Side, inner: &mut SessionObserver) {
        if self.followed != Followed::Apart && self.traffic[from.index()].packets > 0 {
            inner.lost(from);
        }
    }

    /// `from` ended its direction of `connection`; a PDU that has not come whole is told.
    pub fn ended(&mut self, t_us: Micros, connection: u32, from: Side, out: &mut Vec<Event>) {
        let Some(channels) = self.connections.get_mut(&connection) else { return };
        if let Some(length) = channels[from.index()].end() {
            let malformed = Malformed::new("RPC PDU", length, "ends too early");
            At { t_us, connection, from }.tell(Phase::GatewayHttp, malformed_detail(&malformed, &[]), out);
        }
        if channels.iter().all(Channel::is_stopped) {
            self.forget(connection);
        }
    }

    /// A connection is over; with the last of a virtual connection its calls are.
    fn forget(&mut self, connection: u32) {
        self.connections.remove(&connection);
        self.channels.remove(&connection);
        let Some(cookie) = self.joined.remove(&connection) else { return };
        if !self.joined.values().any(|other| *other == cookie) {
            self.calls.remove(&cookie);
        }
    }

    /// Bytes of `from` on `connection` went by unseen.
    pub fn lost(&mut self, connection: u32, from: Side) {
        self.channel(connection, from).stop();
    }

    /// Whether nothing more can be learnt from what `from` sends on `connection`.
    pub fn is_opaque(&self, connection: u32, from: Side) -> bool {
        self.connections.get(&connection).is_some_and(|channels| channels[from.index()].is_stopped())
    }

    /// The session is in a tunnel over another transport, and what is in channels of RPC is not followed.
    pub fn follow_none(&mut self) {
        self.followed = Followed::Elsewhere;
    }

    /// Somebody else tells what is in channels of RPC, from their first RDP on.
    pub fn leave_rdp_apart(&mut self) {
        self.followed = Followed::Apart;
    }

    /// Whether somebody else does.
    pub fn is_rdp_apart(&self) -> bool {
        self.followed == Followed::Apart
    }

    /// The cookie of the virtual connection that a connection is a channel of, once it has said so.
    pub fn virtual_connection(&self, connection: u32) -> Option<[u8; 16]> {
        self.joined.get(&connection).copied()
    }

    /// PDUs with RDP of the session that is followed that `from` has sent so far, and the bytes of RDP in them.
    pub fn traffic(&self, from: Side) -> (u64, u64) {
        let Traffic { packets, bytes } = self.traffic[from.index()];
        (packets, bytes)
    }

    fn channel(&mut self, connection: u32, from: Side) -> &mut Channel {
        &mut self.connections.entry(connection).or_default()[from.index()]
    }

    fn calls(&mut self, connection: u32) -> &mut Calls {
        let cookie = self.joined.get(&connection).copied().unwrap_or_default();
        self.calls.entry(cookie).or_default()
    }

    fn pdu(&mut self, at: At, header: Header, pdu: &[u8], out: &mut Vec<Event>, inner: &mut SessionObserver) {
        if rts::is_rts(&header) {
            return self.rts(at, pdu, out);
        }
        match Pdu::decode(header, pdu) {
            Ok(pdu) => self.rpc(at, &pdu, out, inner),
            Err(malformed) => at.tell(Phase::GatewayTunnel, malformed_detail(&malformed, &[]), out),
        }
    }

    fn rts(&mut self, at: At, pdu: &[u8], out: &mut Vec<Event>) {
        let rts = match Rts::decode(pdu) {
            Ok(rts) => rts,
            Err(malformed) => return at.tell(Phase::GatewayHttp, malformed_detail(&malformed, &[]), out),
        };
        if at.from == Side::Client {
            self.begins_channel(at, &rts, out);
        }
        let name = match at.from {
            Side::Client => rts.name_from_client(),
            Side::Server => rts.name_from_gateway(),
        };
        if rts.comes_again() && !self.told.insert((at.from, name.unwrap_or("RTS"), None)) {
            return;
        }
        let commands = rts.commands.iter().map(|command| command.name().to_owned()).collect();
        let message = GatewayMessage::Rts { name: name.map(str::to_owned), commands };
        at.tell(Phase::GatewayHttp, Detail::Gateway(message), out);
    }

    /// The client names the channel that it begins, and perhaps the one that it is to replace.
    fn begins_channel(&mut self, at: At, rts: &Rts, out: &mut Vec<Event>) {
        let (Some(cookie), Some(channel)) = (rts.virtual_connection(), rts.channel()) else { return };
        self.joined.entry(at.connection).or_insert(cookie);
        self.channels.entry(at.connection).or_insert(channel);
        let replaced = rts.predecessor().and_then(|predecessor| {
            let is_it = |(number, known): &(&u32, &[u8; 16])| {
                **known == predecessor && self.joined.get(number) == Some(&cookie)
            };
            self.channels.iter().find(is_it).map(|(number, _)| *number)
        });
        if let Some(predecessor) = replaced {
            let role = if rts.receive_window().is_some() { Role::RpcOut } else { Role::RpcIn };
            let replaces = GatewayMessage::ChannelReplaced { role, predecessor };
            at.tell(Phase::GatewayHttp, Detail::Gateway(replaces), out);
        }
    }

    fn rpc(&mut self, at: At, pdu: &Pdu<'_>, out: &mut Vec<Event>, inner: &mut SessionObserver) {
        if pdu.security.as_ref().is_some_and(|security| security.hides_stub()) {
            return self.hidden(at, pdu, out, inner);
        }
        match (&pdu.body, at.from) {
            (Body::Request { opnum, stub }, Side::Client) => {
                let stub = self.calls(at.connection).request(&pdu.header, *opnum, stub);
                self.request(at, pdu, *opnum, stub, out, inner);
            }
            (Body::Response { stub }, Side::Server) => self.response(at, pdu, stub, out, inner),
            (Body::Fault { status }, Side::Server) => {
                let opnum = self.calls(at.connection).end(pdu.header.call_id);
                let status = tsproxy::status(*status);
                self.tell(at, pdu, opnum, Some(status.clone()), out);
                if opnum == Some(SETUP_RECEIVE_PIPE) {
                    at.packet(Phase::Closed, Packet::CloseChannel { status }, out);
                }
            }
            (Body::BindNak { reason }, _) => self.tell(at, pdu, None, Some(reason.clone()), out),
            _ => self.tell(at, pdu, None, None, out),
        }
    }

    fn request(
        &mut self,
        at: At,
        pdu: &Pdu<'_>,
        opnum: u16,
        stub: Stub<'_>,
        out: &mut Vec<Event>,
        inner: &mut SessionObserver,
    ) {
        let phase = phase_of(opnum);
        let stub = match stub {
            Stub::Incomplete => return,
            Stub::TooLong => {
                too_long(at, phase, out);
                return if opnum == SEND_TO_SERVER {
                    self.rdp_lost(at.from, inner)
                };
            }
            Stub::Whole(stub) => stub,
        };
        self.tell(at, pdu, Some(opnum), None, out);
        if opnum == SEND_TO_SERVER {
            match tsproxy::sent_to_server(&stub) {
                Ok(buffers) => self.rdp(at, handle(&stub), &buffers, out, inner),
                Err(malformed) => {
                    at.tell(phase, malformed_detail(&malformed, &[]), out);
                    self.rdp_lost(at.from, inner);
                }
            }
            return;
        }
        if opnum == SETUP_RECEIVE_PIPE {
            self.calls(at.connection).is_about(pdu.header.call_id, handle(&stub));
        }
        said(at, phase, tsproxy::request(opnum, &stub), out);
    }

    fn response(
        &mut self,
        at: At,
        pdu: &Pdu<'_>,
        stub: &[u8],
        out: &mut Vec<Event>,
        inner: &mut SessionObserver,
    ) {
        let calls = self.calls(at.connection);
        let opnum = calls.opnum(pdu.header.call_id);
        if opnum == Some(SETUP_RECEIVE_PIPE) {
            return self.pipe(at, pdu, stub, out, inner);
        }
        let stub = match calls.response(&pdu.header, stub) {
            Stub::Incomplete => return,
            Stub::TooLong => return too_long(at, opnum.map_or(Phase::GatewayTunnel, phase_of), out),
            Stub::Whole(stub) => stub,
        };
        let status = opnum.and_then(|_| tsproxy::return_value(&stub));
        self.tell(at, pdu, opnum, status, out);
        if let Some(opnum) = opnum {
            said(at, phase_of(opnum), tsproxy::response(opnum, &stub), out);
        }
    }

    /// A piece of what the target sends, or the word that there is no more.
    fn pipe(
        &mut self,
        at: At,
        pdu: &Pdu<'_>,
        stub: &[u8],
        out: &mut Vec<Event>,
        inner: &mut SessionObserver,
    ) {
        let ends = pdu.header.is_last() && stub.len() == tsproxy::RETURN_VALUE;
        let Some(status) = tsproxy::return_value(stub).filter(|_| ends) else {
            self.tell(at, pdu, Some(SETUP_RECEIVE_PIPE), None, out);
            let channel = self.calls(at.connection).channel(pdu.header.call_id);
            return self.rdp(at, channel, &[stub], out, inner);
        };
        self.calls(at.connection).end(pdu.header.call_id);
        self.tell(at, pdu, Some(SETUP_RECEIVE_PIPE), Some(status.clone()), out);
        at.packet(Phase::Closed, Packet::CloseChannel { status }, out);
    }

    /// RDP in `channel`, where that is known.
    fn rdp(
        &mut self,
        at: At,
        channel: Option<ChannelHandle>,
        pieces: &[&[u8]],
        out: &mut Vec<Event>,
        inner: &mut SessionObserver,
    ) {
        if !self.follows(channel) {
            if !std::mem::replace(&mut self.told_other[at.from.index()], true) {
                let reason = "the session in the first tunnel of the attempt is followed".to_owned();
                at.tell(Phase::GatewayChannel, Detail::ObservationStopped { reason }, out);
            }
            return;
        }
        let length = pieces.iter().map(|piece| piece.len()).sum();
        if self.count(at.from, length) {
            at.packet(Phase::GatewayChannel, Packet::Data { length }, out);
        }
        if self.followed == Followed::Apart {
            return;
        }
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            inner.data(at.t_us, at.from, piece, out);
        }
    }

    /// Whether the RDP in `channel` is that of the session inside.
    fn follows(&mut self, channel: Option<ChannelHandle>) -> bool {
        match (self.followed, channel) {
            (Followed::First, Some(channel)) => {
                self.followed = Followed::Channel(channel);
                true
            }
            (Followed::Channel(followed), Some(channel)) => followed == channel,
            (Followed::First | Followed::Channel(_), None) | (Followed::Apart, _) => true,
            (Followed::Elsewhere, _) => false,
        }
    }

    /// Whether these were the side's first.
    fn count(&mut self, from: Side, length: usize) -> bool {
        let traffic = &mut self.traffic[from.index()];
        traffic.packets += 1;
        traffic.bytes += length as u64;
        traffic.packets == 1
    }

    /// A PDU whose stub is encrypted: the call alone is known.
    fn hidden(&mut self, at: At, pdu: &Pdu<'_>, out: &mut Vec<Event>, inner: &mut SessionObserver) {
        let (header, calls) = (&pdu.header, self.calls(at.connection));
        let opnum = match pdu.body {
            Body::Request { opnum, .. } => {
                calls.begin(header.call_id, opnum);
                Some(opnum)
            }
            _ if header.is_last() => calls.end(header.call_id),
            _ => calls.opnum(header.call_id),
        };
        let carries_data = match at.from {
            Side::Client => opnum == Some(SEND_TO_SERVER),
            Side::Server => opnum == Some(SETUP_RECEIVE_PIPE),
        };
        self.tell(at, pdu, opnum, None, out);
        let is_followed = self.followed != Followed::Elsewhere;
        if let (true, Body::Request { stub, .. } | Body::Response { stub }) =
            (carries_data && is_followed, &pdu.body)
        {
            self.count(at.from, stub.len());
        }
        let is_call = matches!(pdu.body, Body::Request { .. } | Body::Response { .. });
        if is_call && !std::mem::replace(&mut self.is_hidden, true) {
            let reason = "the calls to the gateway are encrypted (RPC_C_AUTHN_LEVEL_PKT_PRIVACY)".to_owned();
            at.tell(Phase::GatewayTunnel, Detail::ObservationStopped { reason }, out);
            [Side::Client, Side::Server].into_iter().for_each(|side| self.rdp_lost(side, inner));
        }
    }

    fn tell(
        &mut self,
        at: At,
        pdu: &Pdu<'_>,
        opnum: Option<u16>,
        status: Option<Code>,
        out: &mut Vec<Event>,
    ) {
        let name = pdu.header.name().unwrap_or("unknown");
        let failed = status.as_ref().is_some_and(|status| status.value != 0);
        let known = opnum.filter(|opnum| tsproxy::call_name(*opnum).is_some());
        let ends_pipe = opnum == Some(SETUP_RECEIVE_PIPE) && status.is_some();
        if comes_again(pdu, known) && !failed && !ends_pipe && !self.told.insert((at.from, name, known)) {
            return;
        }
        let phase = match (opnum, pdu.header.pdu_type) {
            (Some(opnum), _) => phase_of(opnum),
            (None, rpc::BIND..=rpc::AUTH_3) => Phase::GatewayAuth,
            (None, rpc::SHUTDOWN) => Phase::Closed,
            (None, _) => Phase::GatewayTunnel,
        };
        let message = GatewayMessage::Rpc {
            pdu: name.to_owned(),
            call: opnum
                .map(|opnum| tsproxy::call_name(opnum).map_or(format!("opnum {opnum}"), str::to_owned)),
            status,
            security: pdu.security.clone().map(Box::new),
            length: pdu.header.length(),
        };
        at.tell(phase, Detail::Gateway(message), out);
    }
}

/// The context handle with which a stub begins.
fn handle(stub: &[u8]) -> Option<ChannelHandle> {
    stub.first_chunk::<CONTEXT_HANDLE>().copied()
}

/// Whether a session has any number of such PDUs: those with data and their answers, pings, and what cannot be named.
fn comes_again(pdu: &Pdu<'_>, opnum: Option<u16>) -> bool {
    match (&pdu.body, opnum) {
        (_, Some(SEND_TO_SERVER)) => true,
        (Body::Response { .. }, Some(SETUP_RECEIVE_PIPE)) => true,
        (Body::Request { .. } | Body::Response { .. }, None) => true,
        (Body::Other, _) => !matches!(pdu.header.pdu_type, rpc::BIND..=rpc::AUTH_3),
        _ => false,
    }
}

fn phase_of(opnum: u16) -> Phase {
    match opnum {
        tsproxy::CLOSE_CHANNEL | tsproxy::CLOSE_TUNNEL => Phase::Closed,
        tsproxy::CREATE_CHANNEL | SETUP_RECEIVE_PIPE | SEND_TO_SERVER => Phase::GatewayChannel,
        _ => Phase::GatewayTunnel,
    }
}

fn said(at: At, phase: Phase, read: Result<Option<Packet>, Malformed>, out: &mut Vec<Event>) {
    match read {
        Ok(Some(packet)) => at.packet(phase, packet, out),
        Ok(None) => {}
        Err(malformed) => at.tell(phase, malformed_detail(&malformed, &[]), out),
    }
}

fn too_long(at: At, phase: Phase, out: &mut Vec<Event>) {
    let malformed = Malformed::new("RPC stub", calls::MOST_STUB, "longer than any call to a gateway");
    at.tell(phase, malformed_detail(&malformed, &[]), out);
}

fn garbage(at: At, offset: u64, malformed: &Malformed, out: &mut Vec<Event>) {
    let reframed = GatewayMessage::BodyReframed { how: Reframing::Garbage, offset };
    at.tell(Phase::GatewayHttp, Detail::Gateway(reframed), out);
    let reason = format!("what the {} sends is no RPC: {malformed}", at.from);
    at.tell(Phase::GatewayHttp, Detail::ObservationStopped { reason }, out);
}

#[cfg(test)]
mod tests;
