//! Heads of HTTP: when they are whole, and what they are for.

use crate::trace::{Framing, Role};
use crate::wire::greeting::TELLING_LENGTH;
use crate::wire::http::{
    HTTP2_PREFACE, LONGEST_HEAD, RequestHead, ResponseHead, head_length, may_be_request, may_be_response,
};

/// What stands at the front of a direction in which a head is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front<T> {
    /// A head that is not whole.
    NeedMore,
    /// A head, and its length.
    Head(T, usize),
    /// HTTP/2, in which there is no tunnel: its methods and its upgrade exist in HTTP/1.1 only.
    Http2,
    /// Nothing that can be read, and why.
    Other(String),
}

/// The head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) role: Role,
    /// [`Framing::None`] where nothing comes behind it.
    pub(super) framing: Framing,
}

/// The head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// [`Framing::None`] where nothing comes behind it.
    pub(super) framing: Framing,
}

impl Response {
    /// Whether the real one is still to come.
    pub(super) fn is_interim(self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// The request at the front of `bytes`, of which `searched` are known not to hold its end.
pub(super) fn request(bytes: &[u8], searched: usize) -> Front<Request> {
    if !may_be_request(&bytes[..bytes.len().min(TELLING_LENGTH)]) {
        return Front::Other("it is no request".to_owned());
    }
    whole(bytes, searched, |head| {
        if head == HTTP2_PREFACE {
            return Front::Http2;
        }
        match RequestHead::decode(head) {
            Ok(read) => {
                let role = role(&read.method, read.upgrade);
                Front::Head(Request { role, framing: some_framing(read.framing) }, head.len())
            }
            Err(malformed) => Front::Other(malformed.to_string()),
        }
    })
}

/// The same of a response.
pub(super) fn response(bytes: &[u8], searched: usize) -> Front<Response> {
    if !may_be_response(&bytes[..bytes.len().min(TELLING_LENGTH)]) {
        return Front::Other("it is no response".to_owned());
    }
    whole(bytes, searched, |head| match ResponseHead::decode(head, None) {
        Ok(read) => {
            Front::Head(Response { status: read.status, framing: some_framing(read.framing) }, head.len())
        }
        Err(malformed) => Front::Other(malformed.to_string()),
    })
}

fn whole<T>(bytes: &[u8], searched: usize, read: impl Fn(&[u8]) -> Front<T>) -> Front<T> {
    let too_long = || Front::Other("its head is too long".to_owned());
    match head_length(bytes, searched) {
        Some(length) if length > LONGEST_HEAD => too_long(),
        Some(length) => read(&bytes[..length]),
        None if bytes.len() > LONGEST_HEAD => too_long(),
        None => Front::NeedMore,
    }
}

fn some_framing(framing: Framing) -> Framing {
    if framing == Framing::Length(0) { Framing::None } else { framing }
}

fn role(method: &str, upgrade: bool) -> Role {
    match method {
        "RDG_OUT_DATA" if upgrade => Role::Websocket,
        "RDG_OUT_DATA" => Role::OutChannel,
        "RDG_IN_DATA" => Role::InChannel,
        "RPC_OUT_DATA" => Role::RpcOut,
        "RPC_IN_DATA" => Role::RpcIn,
        _ => Role::Other,
    }
}
