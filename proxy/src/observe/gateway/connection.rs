//! One connection of an attempt: HTTP with one exchange after the other, until something else begins in it.

use super::At;
use super::attempt::Attempt;
use super::heads::{self, Exchange};
use super::websocket::Websocket;
use crate::observe::tls::malformed_detail;
use crate::trace::{
    Detail, Event, Framing, GatewayMessage, How, HttpRequest, Micros, Phase, Reframing, Role, Side,
};
use crate::wire::Malformed;
use crate::wire::credssp::kdc_proxy;
use crate::wire::greeting::{self, TELLING_LENGTH};
use crate::wire::http::{self, Body, LONGEST_HEAD, Part, RequestHead, ResponseHead, chunked, http2};
use std::collections::VecDeque;

/// Requests without an answer that are kept; clients of gateways send one at a time.
const MOST_EXCHANGES: usize = 16;

/// Bytes of a KDC proxy message that are kept: the realm stands behind a Kerberos message of up to 64 KiB.
const LONGEST_KDC_PROXY_MESSAGE: usize = 96 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Connection {
    directions: [Direction; 2],
    exchanges: VecDeque<Exchange>,
    id: Option<String>,
    has_spoken: bool,
    /// Its last request was for a channel of RPC over HTTP.
    is_rpc: bool,
    /// The gateway has asked for authentication on it.
    is_challenged: bool,
    /// When either side last sent anything; absent again once a side has ended.
    last_us: Option<Micros>,
    /// The last request, where it opens an IN channel and announces no body.
    unframed_in_channel: Option<Micros>,
}

#[derive(Debug, Default)]
struct Direction {
    stage: Stage,
    /// Of a head that is not whole yet.
    pending: Vec<u8>,
}

/// What becomes of the bytes to come.
#[derive(Debug, Default)]
enum Stage {
    /// The next message of HTTP.
    #[default]
    Head,
    /// The body of one.
    Body(Body, Carries),
    Websocket(Box<Websocket>),
    /// HTTP/2, whose first request says what it is for.
    Http2(Vec<u8>),
    /// Nothing more can be told.
    Over,
}

/// What is in a body.
#[derive(Debug)]
enum Carries {
    Nothing,
    /// One direction of a tunnel.
    Tunnel(usize),
    /// The beginning of an OUT channel, in which nobody has yet said whether it has chunks.
    Beginning(usize, Vec<u8>),
    /// An IN channel, whose tunnel is looked for when its first bytes come; since when.
    InChannel(Micros),
    /// Channels of RPC over HTTP; until its first bytes come, since when.
    Rpc(Option<Micros>),
    /// A message of the KDC proxy protocol, its beginning, and its length.
    KdcProxy(Vec<u8>, usize),
}

impl Connection {
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    pub(super) fn is_rpc(&self) -> bool {
        self.is_rpc
    }

    pub(super) fn is_over(&self, from: Side) -> bool {
        matches!(self.directions[from.index()].stage, Stage::Over)
    }

    /// For how long nothing had moved when the gateway's side was the first to end it.
    pub(super) fn silence_before_end(&mut self, at: At) -> Option<Micros> {
        let last_us = self.last_us.take().filter(|_| at.from == Side::Server)?;
        Some(at.t_us.saturating_sub(last_us))
    }

    pub(super) fn data(&mut self, at: At, mut bytes: &[u8], attempt: &mut Attempt, out: &mut Vec<Event>) {
        self.last_us = Some(at.t_us);
        while !bytes.is_empty() {
            bytes = match std::mem::take(&mut self.direction(at.from).stage) {
                Stage::Head => self.head(at, bytes, attempt, out),
                Stage::Body(body, carries) => self.body(at, body, carries, bytes, attempt, out),
                Stage::Websocket(mut websocket) => {
                    let goes_on = websocket.data(at, bytes, attempt, out);
                    let stage = if goes_on { Stage::Websocket(websocket) } else { Stage::Over };
                    self.direction(at.from).stage = stage;
                    &[]
                }
                Stage::Http2(beginning) => {
                    self.http2(at, beginning, bytes, out);
                    &[]
                }
                Stage::Over => {
                    self.direction(at.from).stage = Stage::Over;
                    &[]
                }
            };
        }
    }

    /// `at.from` ended its direction.
    pub(super) fn ended(&mut self, at: At, how: How, attempt: &mut Attempt, out: &mut Vec<Event>) {
        let from_server = &self.direction(Side::Server).stage;
        if let (Side::Client, Stage::Body(_, Carries::Tunnel(tunnel))) = (at.from, from_server) {
            attempt.client_left(*tunnel);
        }
        let pending = std::mem::take(&mut self.direction(at.from).pending);
        match std::mem::replace(&mut self.direction(at.from).stage, Stage::Over) {
            // A new OUT channel of RPC that has not been granted yet.
            Stage::Head if pending.is_empty() => attempt.rpc_over(at, how, out),
            Stage::Head if !may_be_message(at.from, &pending) => self.other_protocol(at, &pending, out),
            Stage::Head => malformed(at, &Malformed::new(structure(at.from), 0, "ends too early"), out),
            Stage::Body(body, carries) => ended_body(at, how, body, carries, attempt, out),
            Stage::Websocket(websocket) => {
                if let Some(tunnel) = websocket.tunnel {
                    attempt.direction_over(at, tunnel, how, out);
                }
            }
            Stage::Http2(_) => told_http2(at, None, out),
            Stage::Over => {}
        }
    }

    /// The beginning of HTTP/2, up to its first request.
    fn http2(&mut self, at: At, mut beginning: Vec<u8>, bytes: &[u8], out: &mut Vec<Event>) {
        // Byte by byte, so that no more is looked at than is needed, however much came at once.
        for byte in bytes {
            beginning.push(*byte);
            let path = match http2::first_path(&beginning) {
                Ok(None) => continue,
                Ok(path) => path,
                Err(_) => None,
            };
            self.direction(at.from).stage = Stage::Over;
            return told_http2(at, path, out);
        }
        self.direction(at.from).stage = Stage::Http2(beginning);
    }

    /// Bytes of this side went by unseen.
    pub(super) fn lost(&mut self, number: u32, from: Side, attempt: &mut Attempt) {
        let tunnel = match std::mem::replace(&mut self.direction(from).stage, Stage::Over) {
            Stage::Body(_, Carries::Rpc(_)) => return attempt.rpc_lost(number, from),
            Stage::Body(_, Carries::Tunnel(tunnel) | Carries::Beginning(tunnel, _)) => Some(tunnel),
            Stage::Websocket(websocket) => websocket.tunnel,
            _ => None,
        };
        if let Some(tunnel) = tunnel {
            attempt.lose(tunnel, from);
        }
    }

    fn direction(&mut self, from: Side) -> &mut Direction {
        &mut self.directions[from.index()]
    }

    /// Bytes of a head; what follows it is given back.
    fn head<'a>(&mut self, at: At, bytes: &'a [u8], attempt: &mut Attempt, out: &mut Vec<Event>) -> &'a [u8] {
        let mut pending = std::mem::take(&mut self.direction(at.from).pending);
        if let (Side::Client, [0x01, ..], true) = (at.from, bytes, pending.is_empty())
            && let Some(head_us) = self.unframed_in_channel.take()
        {
            self.direction(at.from).stage = Stage::Body(Body::UntilClose, Carries::InChannel(head_us));
            return bytes;
        }
        let searched = pending.len();
        let (taken, rest) = bytes.split_at(bytes.len().min(LONGEST_HEAD + 1 - searched));
        pending.extend_from_slice(taken);
        let length = http::head_length(&pending, searched);
        let begins = &pending[..pending.len().min(TELLING_LENGTH)];
        let is_told = begins.len() == TELLING_LENGTH && length.is_none_or(|length| length > TELLING_LENGTH);
        if is_told && !may_be_message(at.from, begins) {
            if at.from == Side::Server && !self.has_spoken {
                return self.hold(at, pending, rest, out);
            }
            self.other_protocol(at, begins, out);
            return &[];
        }
        let Some(length) = length else {
            if pending.len() > LONGEST_HEAD {
                let too_long =
                    Malformed::new(structure(at.from), LONGEST_HEAD, "a head longer than any peer's");
                self.stop(at, &too_long, out);
                return &[];
            }
            self.direction(at.from).pending = pending;
            return rest;
        };
        // What follows the head came with these bytes: without them it was not whole.
        let behind = bytes.get(length - searched..).unwrap_or_default();
        match at.from {
            Side::Client => self.request(at, &pending[..length], attempt, out),
            Side::Server => self.response(at, &pending[..length], attempt, out),
        }
        behind
    }

    /// The server speaks first, and not in HTTP/1: what the client says tells what it is.
    fn hold<'a>(&mut self, at: At, pending: Vec<u8>, rest: &'a [u8], out: &mut Vec<Event>) -> &'a [u8] {
        if pending.len() > LONGEST_HEAD {
            self.other_protocol(at, &pending[..TELLING_LENGTH], out);
            return &[];
        }
        self.direction(at.from).pending = pending;
        rest
    }

    fn request(&mut self, at: At, head: &[u8], attempt: &mut Attempt, out: &mut Vec<Event>) {
        if head == http::HTTP2_PREFACE {
            self.over();
            self.direction(at.from).stage = Stage::Http2(Vec::new());
            return;
        }
        let mut head = match RequestHead::decode(head) {
            Ok(head) => head,
            Err(_) if !self.has_spoken && !may_be_message(at.from, head) => {
                return self.other_protocol(at, head, out);
            }
            Err(fault) => return self.stop(at, &fault, out),
        };
        let phase = if self.is_challenged { Phase::GatewayAuth } else { Phase::GatewayHttp };
        let (framing, fault) = (head.framing, head.fault.take());
        let exchange = Exchange::new(&head, at.t_us);
        let request = heads::request(head);
        self.note_request(at, &request, attempt);
        self.direction(at.from).stage = match (exchange.role, framing) {
            (_, Framing::None) => Stage::Head,
            (Role::InChannel, framing) => Stage::Body(Body::new(framing), Carries::InChannel(at.t_us)),
            // An OUT channel begins with a few bytes of the client, too.
            (Role::RpcIn, framing) => Stage::Body(Body::new(framing), Carries::Rpc(Some(at.t_us))),
            (Role::RpcOut, framing) => Stage::Body(Body::new(framing), Carries::Rpc(None)),
            (Role::KdcProxy, framing) => Stage::Body(Body::new(framing), Carries::KdcProxy(Vec::new(), 0)),
            (_, framing) => Stage::Body(Body::new(framing), Carries::Nothing),
        };
        if self.exchanges.len() < MOST_EXCHANGES {
            self.exchanges.push_back(exchange);
        }
        at.tell(phase, GatewayMessage::HttpRequest(Box::new(request)), out);
        fault.iter().for_each(|fault| at.tell(phase, malformed_detail(fault, &[]), out));
        self.recheck_server(at, attempt, out);
    }

    fn note_request(&mut self, at: At, request: &HttpRequest, attempt: &mut Attempt) {
        self.has_spoken = true;
        self.is_rpc = matches!(request.role, Role::RpcIn | Role::RpcOut);
        if self.id.is_none() {
            self.id.clone_from(&request.connection_id);
        }
        let unframed = request.role == Role::InChannel && request.framing == Framing::None;
        self.unframed_in_channel = unframed.then_some(at.t_us);
        attempt.asked_for(request.role);
    }

    /// What the server had already said is looked at again.
    fn recheck_server(&mut self, at: At, attempt: &mut Attempt, out: &mut Vec<Event>) {
        let held = std::mem::take(&mut self.direction(Side::Server).pending);
        if held.len() >= TELLING_LENGTH {
            self.data(At { from: Side::Server, ..at }, &held, attempt, out);
        } else {
            self.direction(Side::Server).pending = held;
        }
    }

    fn response(&mut self, at: At, head: &[u8], attempt: &mut Attempt, out: &mut Vec<Event>) {
        let method = self.exchanges.front().and_then(|exchange| exchange.method.as_deref());
        let mut head = match ResponseHead::decode(head, method) {
            Ok(head) => head,
            Err(fault) => return self.stop(at, &fault, out),
        };
        let (status, framing, fault) = (head.status, head.framing, head.fault.take());
        let is_last = status >= 200 || status == 101;
        let exchange = match self.exchanges.front() {
            Some(exchange) => exchange.clone(),
            None => Exchange::default(),
        };
        if is_last {
            self.exchanges.pop_front();
        }
        self.is_challenged |= status == 401 || status == 407;
        let phase = exchange.answer_phase();
        let response = heads::response(head, &exchange, at.t_us);
        at.tell(phase, GatewayMessage::HttpResponse(Box::new(response)), out);
        fault.iter().for_each(|fault| at.tell(phase, malformed_detail(fault, &[]), out));
        match (status, exchange.role) {
            (101, Role::Websocket) => self.websocket(at, attempt, out),
            (101, _) => {
                let reason = "the connection was upgraded to something else than WebSocket".to_owned();
                at.tell(phase, Detail::ObservationStopped { reason }, out);
                self.over();
            }
            (200..300, Role::OutChannel | Role::Websocket) => {
                self.out_channel(at, phase, framing, attempt, out)
            }
            (200..300, Role::RpcOut) => {
                self.direction(at.from).stage = Stage::Body(Body::new(framing), Carries::Rpc(Some(at.t_us)));
            }
            _ if framing == Framing::None => self.direction(at.from).stage = Stage::Head,
            _ => self.direction(at.from).stage = Stage::Body(Body::new(framing), Carries::Nothing),
        }
    }

    fn out_channel(
        &mut self,
        at: At,
        phase: Phase,
        framing: Framing,
        attempt: &mut Attempt,
        out: &mut Vec<Event>,
    ) {
        let carries = match (attempt.out_channel(at, self.id.as_deref(), out), framing) {
            (None, _) => Carries::Nothing,
            (Some(tunnel), Framing::UntilClose) => Carries::Beginning(tunnel, Vec::new()),
            (Some(tunnel), _) => Carries::Tunnel(tunnel),
        };
        if framing == Framing::Chunked {
            let how = Reframing::Chunked;
            at.tell(phase, GatewayMessage::BodyReframed { how, offset: 0 }, out);
        }
        self.direction(at.from).stage = Stage::Body(Body::new(framing), carries);
    }

    fn websocket(&mut self, at: At, attempt: &mut Attempt, out: &mut Vec<Event>) {
        let tunnel = attempt.websocket(at, self.id.as_deref());
        for side in [Side::Client, Side::Server] {
            self.direction(side).stage = Stage::Websocket(Box::new(Websocket::new(tunnel)));
        }
        // The client may not have waited for the answer.
        let early = std::mem::take(&mut self.direction(Side::Client).pending);
        self.data(at.opposite(), &early, attempt, out);
    }

    /// Bytes of a body; what follows it is given back.
    fn body<'a>(
        &mut self,
        at: At,
        mut body: Body,
        mut carries: Carries,
        bytes: &'a [u8],
        attempt: &mut Attempt,
        out: &mut Vec<Event>,
    ) -> &'a [u8] {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Carries::Beginning(tunnel, held) = &mut carries {
                let tunnel = *tunnel;
                held.push(rest[0]);
                rest = &rest[1..];
                match chunked::begins_with_a_size(held) {
                    None => continue,
                    Some(false) => attempt.data(at, tunnel, held, None, out),
                    Some(true) => {
                        attempt.reframed(at, tunnel, Reframing::UnannouncedChunks, out);
                        body = Body::new(Framing::Chunked);
                        let _nothing_but_the_size = body.next(&mut &held[..]);
                    }
                }
                carries = Carries::Tunnel(tunnel);
                continue;
            }
            let before = rest;
            let is_untouched = |body: &Body| matches!(body, Body::Chunked(chunks) if chunks.is_untouched());
            let was_untouched = is_untouched(&body);
            let part = body.next(&mut rest);
            // What looks like the first chunk's size may turn out to be a message of the client.
            let pending = &mut self.direction(at.from).pending;
            match (is_untouched(&body), &part, at.from) {
                (false, ..) => pending.clear(),
                (true, None, Side::Client) => pending.extend_from_slice(before),
                _ => {}
            }
            let first = pending.first().copied();
            match part {
                None => {}
                Some(Ok(Part::Data(data))) => {
                    carries = self.content(at, carries, data, attempt, out);
                }
                Some(Ok(Part::End)) => {
                    content_over(at, carries, attempt, out);
                    self.direction(at.from).stage = Stage::Head;
                    return rest;
                }
                // Refused, the client asks again and leaves the body that it had announced.
                Some(Err(_))
                    if was_untouched
                        && at.from == Side::Client
                        && may_be_message(at.from, &[first.unwrap_or(before[0])]) =>
                {
                    self.direction(at.from).stage = Stage::Head;
                    return before;
                }
                Some(Err(fault)) => {
                    self.direction(at.from).pending.clear();
                    if let Carries::Tunnel(tunnel) | Carries::Beginning(tunnel, _) = carries {
                        attempt.lose(tunnel, at.from);
                    }
                    self.stop(at, &fault, out);
                    return &[];
                }
            }
        }
        self.direction(at.from).stage = Stage::Body(body, carries);
        rest
    }

    /// Bytes of a body's content.
    fn content(
        &mut self,
        at: At,
        carries: Carries,
        data: &[u8],
        attempt: &mut Attempt,
        out: &mut Vec<Event>,
    ) -> Carries {
        match carries {
            Carries::Nothing | Carries::Beginning(..) => carries,
            Carries::Tunnel(tunnel) => {
                attempt.data(at, tunnel, data, None, out);
                Carries::Tunnel(tunnel)
            }
            Carries::InChannel(head_us) => match attempt.in_channel(at, head_us, self.id.as_deref(), out) {
                Some(tunnel) => {
                    attempt.data(at, tunnel, data, None, out);
                    Carries::Tunnel(tunnel)
                }
                None => Carries::Nothing,
            },
            Carries::Rpc(head_us) => {
                if let Some(head_us) = head_us {
                    attempt.rpc_began(at, head_us, out);
                }
                attempt.rpc(at, data, out);
                Carries::Rpc(None)
            }
            Carries::KdcProxy(mut message, length) => {
                let room = LONGEST_KDC_PROXY_MESSAGE - message.len();
                message.extend_from_slice(&data[..data.len().min(room)]);
                Carries::KdcProxy(message, length + data.len())
            }
        }
    }

    /// Nothing more is told of this direction, and why.
    fn stop(&mut self, at: At, fault: &Malformed, out: &mut Vec<Event>) {
        malformed(at, fault, out);
        let reason = format!("the HTTP of the {} cannot be followed", at.from);
        at.tell(Phase::GatewayHttp, Detail::ObservationStopped { reason }, out);
        self.has_spoken |= at.from == Side::Client;
        self.direction(at.from).stage = Stage::Over;
    }

    fn other_protocol(&mut self, at: At, bytes: &[u8], out: &mut Vec<Event>) {
        if at.from == Side::Server && http2::is_server_preface(bytes) {
            self.over();
            return told_http2(at, None, out);
        }
        let shown = &bytes[..bytes.len().min(TELLING_LENGTH)];
        let protocol = greeting::recognise(shown).map(str::to_owned);
        let first_bytes = hex::encode(shown);
        at.tell(Phase::GatewayHttp, Detail::OtherProtocol { protocol, first_bytes }, out);
        let reason = "this is not HTTP".to_owned();
        at.tell(Phase::GatewayHttp, Detail::ObservationStopped { reason }, out);
        self.over();
    }

    /// Nothing more is told of the connection.
    fn over(&mut self) {
        self.has_spoken = true;
        for direction in &mut self.directions {
            *direction = Direction { stage: Stage::Over, pending: Vec::new() };
        }
    }
}

fn told_http2(at: At, path: Option<String>, out: &mut Vec<Event>) {
    at.tell(Phase::GatewayHttp, GatewayMessage::Http2 { paths: path.into_iter().collect() }, out);
}

/// A body has come to its end.
fn content_over(at: At, carries: Carries, attempt: &mut Attempt, out: &mut Vec<Event>) {
    match carries {
        Carries::Tunnel(tunnel) | Carries::Beginning(tunnel, _) => {
            attempt.direction_over(at, tunnel, How::Fin, out);
        }
        Carries::KdcProxy(message, length) => {
            let realm = kdc_proxy::target_domain(&message);
            at.tell(Phase::GatewayHttp, GatewayMessage::KdcProxy { realm, length }, out);
        }
        Carries::Rpc(_) => attempt.rpc_over(at, How::Fin, out),
        Carries::Nothing | Carries::InChannel(_) => {}
    }
}

/// The connection ended in a body.
fn ended_body(at: At, how: How, body: Body, carries: Carries, attempt: &mut Attempt, out: &mut Vec<Event>) {
    let is_whole = matches!(body, Body::UntilClose | Body::Length(0) | Body::Over);
    match carries {
        Carries::Tunnel(tunnel) => attempt.direction_over(at, tunnel, how, out),
        Carries::Beginning(tunnel, held) => {
            attempt.data(at, tunnel, &held, None, out);
            attempt.direction_over(at, tunnel, how, out);
        }
        Carries::Rpc(_) => attempt.rpc_over(at, how, out),
        Carries::KdcProxy(..) if is_whole => content_over(at, carries, attempt, out),
        _ if is_whole => {}
        // A client that was refused need not send what it had announced.
        _ if at.from == Side::Client => {}
        _ => malformed(at, &Malformed::new("HTTP response", 0, "its body ends too early"), out),
    }
}

/// Whether bytes of `from` can be the beginning of a message of HTTP.
fn may_be_message(from: Side, bytes: &[u8]) -> bool {
    let first = &bytes[..bytes.len().min(TELLING_LENGTH)];
    let greets = greeting::recognise(first).is_some_and(|protocol| !protocol.contains("HTTP"));
    match from {
        Side::Client => http::may_be_request(first) && !greets,
        Side::Server => http::may_be_response(first),
    }
}

fn structure(from: Side) -> &'static str {
    match from {
        Side::Client => "HTTP request",
        Side::Server => "HTTP response",
    }
}

fn malformed(at: At, fault: &Malformed, out: &mut Vec<Event>) {
    at.tell(Phase::GatewayHttp, malformed_detail(fault, &[]), out);
}
