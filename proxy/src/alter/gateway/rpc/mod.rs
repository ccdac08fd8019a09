//! The RDP in a tunnel over RPC taken out of it and put back, for TLS inside the tunnel that rdpscope terminates.
//!
//! An [`RpcTunnel`] stands in both directions of one virtual connection, which run on two TCP connections and move to
//! others from time to time. Calls with RDP end here and are answered here; in their place go calls of our own, whose
//! answers end here as well, and in the receive pipe fragments of our own. All other calls go on, under other numbers and,
//! where they are signed, under signatures of our own. Either side's window is kept by itself: each is told what has
//! arrived here of its bytes, and gets no more of ours than it takes.

mod flow;
mod lanes;
mod security;
#[cfg(test)]
mod tests;

pub use lanes::Lane;
pub use security::{CallKeys, Signatures, Token};

use super::split::Split;
use crate::trace::Side;
use crate::wire::Malformed;
use crate::wire::rpch::rpc::{self, Body, FIRST_FRAGMENT, Header, LAST_FRAGMENT, Pdu};
use crate::wire::rpch::rts::{self, Rts};
use crate::wire::rpch::tsproxy::{
    self, CLOSE_CHANNEL, CLOSE_TUNNEL, CONTEXT_HANDLE, RETURN_VALUE, SEND_TO_SERVER, SETUP_RECEIVE_PIPE,
};
use crate::wire::rpch::write::{self, Destination};
use flow::Flow;
use lanes::Lanes;
use security::{Security, is_signed};
use std::collections::{BTreeMap, VecDeque};

/// Calls under way. The gateway's window bounds ours, and a client has a few of its own.
const MOST_CALLS: usize = 4096;
/// Bytes of the stub of one TsProxySendToServer: three buffers of 32 KiB and more (MS-TSGU 2.2.9.3).
const MOST_STUB: usize = 128 * 1024;
/// ERROR_GRACEFUL_DISCONNECT, with which a receive pipe ends whose target has left (MS-TSGU 2.2.6).
const GRACEFUL_DISCONNECT: u32 = 0x04CA;
const WHOLE: u8 = FIRST_FRAGMENT | LAST_FRAGMENT;
/// co_cancel and orphaned (C706 12.6.4.3, 12.6.4.9): about a call, like a request.
const ABOUT_CALLS: [u8; 2] = [18, 19];

/// What becomes of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first call is yet to come; all that comes goes on as it is.
    Watching,
    /// Calls with RDP end here.
    Ending,
    /// They cannot: all that comes goes on as it is.
    Open,
}

/// Something of ours that waits for its turn in a direction.
#[derive(Debug)]
enum Draft {
    /// A PDU of RTS.
    Rts(Vec<u8>),
    /// The answer to a call with RDP.
    Answer(u32),
}

/// See the module.
pub struct RpcTunnel {
    state: State,
    security: Security,
    flows: [Flow; 2],
    /// By the numbers that the gateway knows: the client's number, or none where the call is ours.
    calls: BTreeMap<u32, Option<u32>>,
    next_call: u32,
    /// The client's number for TsProxySetupReceivePipe, and whether a fragment of its response was written.
    pipe: Option<(u32, bool)>,
    /// The stub of a call with RDP that has not come whole.
    gathered: Vec<u8>,
    /// The interface as it was bound, and the channel.
    channel: Option<(u16, [u8; CONTEXT_HANDLE])>,
    drafts: [VecDeque<Draft>; 2],
    /// PDUs that go on behind the last RDP of their direction.
    behind: [VecDeque<Vec<u8>>; 2],
    is_ending: [bool; 2],
    lanes: [Lanes; 2],
}

impl Default for RpcTunnel {
    fn default() -> RpcTunnel {
        RpcTunnel {
            state: State::Watching,
            security: Security::default(),
            flows: Default::default(),
            calls: BTreeMap::new(),
            next_call: 0,
            pipe: None,
            gathered: Vec::new(),
            channel: None,
            drafts: Default::default(),
            behind: Default::default(),
            is_ending: [false; 2],
            lanes: Default::default(),
        }
    }
}

impl RpcTunnel {
    /// Takes a whole PDU that `from` sent on the connection `lane`. What goes on, and RDP out of it, is appended to `out`.
    /// `keys` are those of the account that the client logs on with.
    ///
    /// # Errors
    /// Calls cannot be rewritten, and all that comes goes on as it is; a sentence says why. Told once.
    pub fn take(
        &mut self,
        (lane, from): (Lane, Side),
        (header, pdu): (Header, &[u8]),
        keys: Option<&dyn CallKeys>,
        out: &mut Vec<Split>,
    ) -> Result<(), String> {
        if self.state == State::Open {
            out.push(Split::Other(pdu.to_vec()));
            return Ok(());
        }
        if rts::is_rts(&header) {
            self.rts((lane, from), pdu, out);
            return Ok(());
        }
        self.flows[from.index()].came(pdu.len());
        let result = match self.state {
            State::Ending => {
                self.call(from, header, pdu, out);
                return Ok(());
            }
            _ => self.watch(from, header, pdu, keys),
        };
        if result.is_err() {
            self.state = State::Open;
        }
        self.flows[from.index()].wrote(pdu.len());
        out.push(Split::Other(pdu.to_vec()));
        result
    }

    /// What cannot be read is no RPC: all that comes goes on as it is.
    pub fn give_up(&mut self) {
        self.state = State::Open;
    }

    /// Whether all that comes goes on as it is, for good.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether calls with RDP end here.
    pub fn ends_calls(&self) -> bool {
        self.state == State::Ending
    }

    /// Bytes of RDP that may go on in the direction of `from` now.
    pub fn room(&self, from: Side) -> usize {
        let (flow, trailer) = (&self.flows[from.index()], self.security.trailer());
        let most = flow.most_fragment.into();
        let each = match from {
            Side::Client if self.channel.is_some() => write::room_in_request(most, trailer),
            Side::Server if self.pipe.is_some() => write::room_in_response(most, trailer),
            _ => 0,
        };
        flow.fragments().saturating_mul(each)
    }

    /// PDUs with `data` as they stand in the direction of `from`: calls, or fragments of the receive pipe.
    pub fn wrap(&mut self, from: Side, data: &[u8]) -> Vec<u8> {
        let (most, trailer) = (self.flows[from.index()].most_fragment.into(), self.security.trailer());
        let mut wrapped = Vec::new();
        match (from, self.channel) {
            (Side::Client, Some((context, channel))) => {
                for data in data.chunks(write::room_in_request(most, trailer).max(1)) {
                    let stub = write::send_to_server(&channel, data);
                    wrapped.extend(self.own_call(context, SEND_TO_SERVER, &stub));
                    self.lanes[from.index()].wrote();
                }
            }
            (Side::Client, None) => {}
            (Side::Server, _) => {
                for data in data.chunks(write::room_in_response(most, trailer).max(1)) {
                    wrapped.extend(self.pipe_fragment(0, data));
                    self.lanes[from.index()].wrote();
                }
            }
        }
        wrapped
    }

    /// What closes the channel in the direction of `from`: TsProxyCloseChannel, or the end of the receive pipe.
    pub fn wrap_close(&mut self, from: Side) -> Vec<u8> {
        match (from, self.channel) {
            (Side::Client, Some((context, channel))) => self.own_call(context, CLOSE_CHANNEL, &channel),
            (Side::Client, None) => Vec::new(),
            (Side::Server, _) => {
                let end = self.pipe_fragment(LAST_FRAGMENT, &GRACEFUL_DISCONNECT.to_le_bytes());
                self.pipe = None;
                end
            }
        }
    }

    /// All that `from` sent so far was taken, of which it is told where that is due.
    pub fn taken(&mut self, from: Side) {
        if self.state != State::Ending {
            return;
        }
        let flow = &mut self.flows[from.index()];
        let Some((received, window)) = flow.taken() else { return };
        let destination = match from {
            Side::Client => Destination::Client,
            Side::Server => Destination::OutProxy,
        };
        let ack = write::flow_control_ack(destination, received, window, &flow.channel);
        self.drafts[from.opposite().index()].push_back(Draft::Rts(ack));
    }

    /// What of ours waits to go on in the direction of `from`, and is no RDP.
    pub fn take_drafts(&mut self, from: Side) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(draft) = self.drafts[from.index()].pop_front() {
            match draft {
                Draft::Rts(pdu) => bytes.extend(pdu),
                Draft::Answer(call_id) => {
                    let body = write::response(self.context(), &[0; RETURN_VALUE]);
                    bytes.extend(self.written(from, rpc::RESPONSE, WHOLE, call_id, &body));
                }
            }
        }
        bytes
    }

    /// What goes on behind the last RDP of `from`.
    pub fn take_behind(&mut self, from: Side) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(pdu) = self.behind[from.index()].pop_front() {
            bytes.extend(self.signed(from, pdu));
        }
        bytes
    }

    /// Whether the channel in which `from` sends is on the connection `lane`: what is written in its direction goes there.
    pub fn is_carried_by(&self, from: Side, lane: Lane) -> bool {
        self.lanes[from.index()].is_current(lane)
    }

    /// PDUs with RDP that `from` sent on the connection `lane`, and those that were written there in their place; told once.
    pub fn take_rewritten(&mut self, from: Side, lane: Lane) -> [u64; 2] {
        self.lanes[from.index()].take_rewritten(lane)
    }

    fn rts(&mut self, (lane, from): (Lane, Side), pdu: &[u8], out: &mut Vec<Split>) {
        let Ok(rts) = Rts::decode(pdu) else {
            out.push(Split::Other(pdu.to_vec()));
            return;
        };
        match (from, rts.channel(), rts.receive_window()) {
            (Side::Client, Some(channel), window) => self.channel_begins(lane, &rts, channel, window),
            (Side::Server, _, Some(window)) => {
                let up = Side::Client.index();
                self.lanes[up].prepared().unwrap_or(&mut self.flows[up]).has_window(window);
            }
            _ => {}
        }
        if let Some((channel, up_to)) = rts.sends_up_to() {
            let other = from.opposite().index();
            // About one that is left, it comes too late.
            if !self.lanes[other].has_left(channel) {
                self.flows[other].may_send_up_to(up_to);
            }
            if self.state == State::Ending {
                return;
            }
        }
        out.push(Split::Other(pdu.to_vec()));
        let is_last = match from {
            Side::Client => rts.ends_in_channel(),
            Side::Server => rts.ends_out_channel(),
        };
        if is_last {
            self.lanes[from.index()].ends(lane, &mut self.flows[from.index()]);
        }
    }

    /// A channel begins, of which a client that is to receive in it names its window.
    fn channel_begins(&mut self, lane: Lane, rts: &Rts, channel: [u8; 16], window: Option<u32>) {
        let side = if window.is_some() { Side::Server } else { Side::Client }.index();
        let flow = self.flows[side].successor(channel, window);
        if rts.predecessor().is_some() {
            self.lanes[side].prepares(lane, flow);
        } else {
            self.flows[side] = flow;
            self.lanes[side].begins(lane);
        }
    }

    /// A PDU before the first call, or that call.
    fn watch(
        &mut self,
        from: Side,
        header: Header,
        pdu: &[u8],
        keys: Option<&dyn CallKeys>,
    ) -> Result<(), String> {
        match (from, header.pdu_type) {
            (Side::Client, rpc::BIND) => {
                self.limit_fragments(pdu);
                self.security.bind(&header, pdu);
            }
            (Side::Server, rpc::BIND_ACK) => self.limit_fragments(pdu),
            (Side::Client, rpc::AUTH_3) => self.security.authenticate(&header, pdu, keys),
            (Side::Client, rpc::REQUEST) => {
                let read = Pdu::decode(header, pdu).map_err(|malformed| not_read(&malformed))?;
                self.security.judge(&read, pdu)?;
                self.state = State::Ending;
                self.calls.insert(header.call_id, Some(header.call_id));
                self.next_call = header.call_id.wrapping_add(1);
            }
            _ => {}
        }
        Ok(())
    }

    /// max_xmit_frag and max_recv_frag (C706 12.6.4.3); whoever binds or agrees takes and sends no longer ones.
    fn limit_fragments(&mut self, pdu: &[u8]) {
        let number = |at: usize| pdu.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes));
        let [Some(sends), Some(takes)] = [number(rpc::HEADER_LENGTH), number(rpc::HEADER_LENGTH + 2)] else {
            return;
        };
        self.flows.iter_mut().for_each(|flow| flow.limit_fragments(sends.min(takes)));
    }

    fn call(&mut self, from: Side, header: Header, pdu: &[u8], out: &mut Vec<Split>) {
        let read = Pdu::decode(header, pdu).ok();
        match (from, read.map(|read| read.body)) {
            (Side::Client, Some(Body::Request { opnum, stub })) => {
                self.request(header, pdu, opnum, stub, out)
            }
            (Side::Server, Some(body @ (Body::Response { .. } | Body::Fault { .. }))) => {
                self.result(header, pdu, &body, out);
            }
            (Side::Client, _) if ABOUT_CALLS.contains(&header.pdu_type) => {
                let number = self.number(header.call_id, false);
                self.go_on(from, renumbered(pdu, number), out);
            }
            _ => self.go_on(from, pdu.to_vec(), out),
        }
    }

    fn request(&mut self, header: Header, pdu: &[u8], opnum: u16, stub: &[u8], out: &mut Vec<Split>) {
        if opnum == SEND_TO_SERVER {
            return self.request_with_rdp(header, pdu, stub, out);
        }
        if opnum == SETUP_RECEIVE_PIPE && header.is_first() {
            self.pipe = Some((header.call_id, false));
        }
        let number = self.number(header.call_id, header.is_first());
        if matches!(opnum, CLOSE_CHANNEL | CLOSE_TUNNEL) {
            self.is_ending[Side::Client.index()] = true;
        }
        self.go_on(Side::Client, renumbered(pdu, number), out);
    }

    fn request_with_rdp(&mut self, header: Header, pdu: &[u8], stub: &[u8], out: &mut Vec<Split>) {
        if header.is_first() {
            self.gathered.clear();
        }
        let room = MOST_STUB.saturating_sub(self.gathered.len());
        self.gathered.extend_from_slice(&stub[..stub.len().min(room)]);
        if !header.is_last() {
            return;
        }
        let stub = std::mem::take(&mut self.gathered);
        let context = pdu.get(rpc::HEADER_LENGTH + 4..).and_then(<[u8]>::first_chunk);
        let context = context.map_or(0, |bytes| u16::from_le_bytes(*bytes));
        let (Ok(buffers), Some(channel)) = (tsproxy::sent_to_server(&stub), stub.first_chunk()) else {
            // The gateway is to judge it.
            let number = self.number(header.call_id, true);
            let body = write::request(context, SEND_TO_SERVER, &stub);
            let call = self.written(Side::Client, rpc::REQUEST, WHOLE, number, &body);
            out.push(Split::Other(call));
            return;
        };
        self.channel = Some((context, *channel));
        self.lanes[Side::Client.index()].came();
        self.drafts[Side::Server.index()].push_back(Draft::Answer(header.call_id));
        out.push(Split::Data(buffers.concat()));
    }

    /// A response or a fault.
    fn result(&mut self, header: Header, pdu: &[u8], body: &Body<'_>, out: &mut Vec<Split>) {
        let is_last = header.is_last() || matches!(body, Body::Fault { .. });
        let known = if is_last {
            self.calls.remove(&header.call_id)
        } else {
            self.calls.get(&header.call_id).copied()
        };
        let Some(call) = known else { return self.go_on(Side::Server, pdu.to_vec(), out) };
        let Some(call) = call else { return };
        let is_pipe = self.pipe.is_some_and(|(pipe, _)| pipe == call);
        match body {
            Body::Response { stub } if is_pipe && !(is_last && stub.len() == RETURN_VALUE) => {
                self.lanes[Side::Server.index()].came();
                out.push(Split::Data(stub.to_vec()));
            }
            _ => {
                let mut changed = renumbered(pdu, call);
                if is_pipe {
                    self.is_ending[Side::Server.index()] = true;
                    if self.pipe.is_some_and(|(_, has_begun)| !has_begun) {
                        changed[3] |= FIRST_FRAGMENT;
                    }
                }
                self.go_on(Side::Server, changed, out);
            }
        }
    }

    /// A PDU goes on: at once, or behind the last RDP where the tunnel comes to its end.
    fn go_on(&mut self, from: Side, pdu: Vec<u8>, out: &mut Vec<Split>) {
        if self.is_ending[from.index()] {
            self.behind[from.index()].push_back(pdu);
            out.push(Split::End(Vec::new()));
        } else {
            let signed = self.signed(from, pdu);
            out.push(Split::Other(signed));
        }
    }

    /// A call of our own.
    fn own_call(&mut self, context: u16, opnum: u16, stub: &[u8]) -> Vec<u8> {
        let number = self.new_number(None);
        self.written(Side::Client, rpc::REQUEST, WHOLE, number, &write::request(context, opnum, stub))
    }

    fn pipe_fragment(&mut self, flags: u8, stub: &[u8]) -> Vec<u8> {
        let context = self.context();
        let Some((call, has_begun)) = &mut self.pipe else { return Vec::new() };
        let flags = flags | if std::mem::replace(has_begun, true) { 0 } else { FIRST_FRAGMENT };
        let call = *call;
        self.written(Side::Server, rpc::RESPONSE, flags, call, &write::response(context, stub))
    }

    fn context(&self) -> u16 {
        self.channel.map_or(0, |(context, _)| context)
    }

    fn written(&mut self, from: Side, kind: u8, flags: u8, call_id: u32, body: &[u8]) -> Vec<u8> {
        let mut pdu = write::pdu(kind, flags, call_id, body, self.security.trailer());
        self.security.sign(from, &mut pdu);
        self.flows[from.index()].wrote(pdu.len());
        pdu
    }

    /// A PDU that came, as it goes on now: its place among the signatures is another.
    fn signed(&mut self, from: Side, mut pdu: Vec<u8>) -> Vec<u8> {
        if let Ok(Some((header, _))) = Header::decode(&pdu)
            && is_signed(&header)
        {
            self.security.sign(from, &mut pdu);
        }
        self.flows[from.index()].wrote(pdu.len());
        pdu
    }

    /// The number under which the gateway knows a call of the client.
    fn number(&mut self, call_id: u32, is_first: bool) -> u32 {
        let known = self.calls.iter().rev().find(|(_, client)| **client == Some(call_id));
        match known {
            Some((number, _)) if !is_first => *number,
            _ => self.new_number(Some(call_id)),
        }
    }

    fn new_number(&mut self, client: Option<u32>) -> u32 {
        let number = self.next_call;
        self.next_call = number.wrapping_add(1);
        if self.calls.len() >= MOST_CALLS {
            // The oldest of ours was never answered.
            let oldest = self.calls.iter().find(|(_, client)| client.is_none()).map(|(number, _)| *number);
            oldest.map(|oldest| self.calls.remove(&oldest));
        }
        self.calls.insert(number, client);
        number
    }
}

fn renumbered(pdu: &[u8], call_id: u32) -> Vec<u8> {
    const CALL_ID: std::ops::Range<usize> = 12..16;
    let mut pdu = pdu.to_vec();
    pdu[CALL_ID].copy_from_slice(&call_id.to_le_bytes());
    pdu
}

fn not_read(malformed: &Malformed) -> String {
    format!("the client's first call to the gateway cannot be read: {malformed}")
}

/// Cuts what a side sends into PDUs.
#[derive(Debug, Default)]
pub struct Cutter {
    held: Vec<u8>,
}

impl Cutter {
    /// Gives `each` the PDUs that are whole with `bytes`.
    ///
    /// # Errors
    /// What comes is no RPC: all of it that `each` was not given, and why.
    pub fn cut(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Header, &[u8]),
    ) -> Result<(), (Vec<u8>, Malformed)> {
        self.held.extend_from_slice(bytes);
        let mut start = 0;
        loop {
            let rest = &self.held[start..];
            match Header::decode(rest) {
                Err(malformed) => {
                    let rest = self.held.split_off(start);
                    self.held.clear();
                    return Err((rest, malformed));
                }
                Ok(Some((header, _))) if rest.len() >= header.length() => {
                    each(header, &rest[..header.length()]);
                    start += header.length();
                }
                Ok(_) => break,
            }
        }
        self.held.drain(..start);
        Ok(())
    }

    /// What has not come whole.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}
