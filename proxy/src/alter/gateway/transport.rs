//! Which transports the client may have, and what becomes of a request for another.

use super::change::Change;
use super::head::Request;
use crate::trace::{Phase, Role, Transport};
use std::fmt;
use std::str::FromStr;

/// What a gateway without a transport answers requests for it: clients fall back at it (MS-TSGU 3.3.5.1).
const NOT_FOUND: u16 = 404;
const REFUSED: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The transport that the client is to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransportChoice {
    /// Whichever it chooses.
    #[default]
    Auto,
    /// WebSocket.
    Websocket,
    /// Two connections of HTTP.
    Http,
    /// RPC over HTTP.
    Rpc,
}

impl TransportChoice {
    /// All of them.
    pub const ALL: [TransportChoice; 4] =
        [TransportChoice::Auto, TransportChoice::Websocket, TransportChoice::Http, TransportChoice::Rpc];

    /// As `--gateway-transport` takes it.
    pub fn word(self) -> &'static str {
        match self {
            TransportChoice::Auto => "auto",
            TransportChoice::Websocket => "websocket",
            TransportChoice::Http => "http",
            TransportChoice::Rpc => "rpc",
        }
    }

    /// The setting, as the record of a change has it.
    pub fn setting(self) -> &'static str {
        match self {
            TransportChoice::Auto => "--gateway-transport auto",
            TransportChoice::Websocket => "--gateway-transport websocket",
            TransportChoice::Http => "--gateway-transport http",
            TransportChoice::Rpc => "--gateway-transport rpc",
        }
    }

    /// What a request is for once it has been changed.
    pub(super) fn role(self, asked: Role) -> Role {
        match (self, asked) {
            (TransportChoice::Http, Role::Websocket) => Role::OutChannel,
            _ => asked,
        }
    }

    fn allows(self, transport: Transport) -> bool {
        match self {
            TransportChoice::Auto => true,
            TransportChoice::Websocket => transport == Transport::GatewayWebsocket,
            TransportChoice::Http => transport == Transport::GatewayHttp,
            TransportChoice::Rpc => transport == Transport::GatewayRpc,
        }
    }
}

impl fmt::Display for TransportChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that is no transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no transport of a gateway; choose one of auto, websocket, http, rpc")]
pub struct UnknownTransport(String);

impl FromStr for TransportChoice {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<TransportChoice, UnknownTransport> {
        let found = TransportChoice::ALL.into_iter().find(|choice| choice.word() == text);
        found.ok_or_else(|| UnknownTransport(text.to_owned()))
    }
}

/// What the client is answered in the gateway's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The whole response; the connection is to be closed behind it.
    pub response: Vec<u8>,
    /// What was refused.
    pub transport: Transport,
    /// The response's status.
    pub status: u16,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Judgement {
    /// It goes on as it is.
    Pass,
    /// It goes on like this.
    Changed(Vec<u8>, Vec<Change>),
    /// It does not go on.
    Refuse(Refusal),
}

/// Judges a request, whatever round of authentication it belongs to.
pub(super) fn judge(choice: TransportChoice, request: &Request, head: &[u8]) -> Judgement {
    let transport = match request.role {
        Role::Websocket => Transport::GatewayWebsocket,
        Role::OutChannel | Role::InChannel => Transport::GatewayHttp,
        Role::RpcOut | Role::RpcIn => Transport::GatewayRpc,
        Role::KdcProxy | Role::Other => return Judgement::Pass,
    };
    if choice.allows(transport) {
        return Judgement::Pass;
    }
    if choice == TransportChoice::Http && transport == Transport::GatewayWebsocket {
        let (head, changes) = without_upgrade(head);
        return Judgement::Changed(head, changes);
    }
    Judgement::Refuse(Refusal { response: REFUSED.to_vec(), transport, status: NOT_FOUND })
}

/// The head without what asks for WebSocket, so that the gateway answers as it does a client that knows none.
fn without_upgrade(head: &[u8]) -> (Vec<u8>, Vec<Change>) {
    let mut changed = Vec::with_capacity(head.len());
    let mut changes = Vec::new();
    let mut offset = 0;
    for line in header_lines(head) {
        let kept = kept(line.name, line.value);
        match &kept {
            Kept::Line => changed.extend_from_slice(line.bytes),
            Kept::Nothing => {}
            Kept::Value(value) => {
                changed.extend_from_slice(&line.bytes[..line.value_at]);
                changed.extend_from_slice(value.as_bytes());
                changed.extend_from_slice(&line.bytes[line.value_at + line.value.len()..]);
            }
        }
        if !matches!(kept, Kept::Line) {
            let name = String::from_utf8_lossy(line.name).into_owned();
            // Some programs send tokens in Sec-WebSocket-Protocol, and nobody needs to know the others.
            let is_telling = !has_prefix(line.name, b"sec-websocket-");
            let before = if is_telling { line.value.to_vec() } else { Vec::new() };
            let after = if let Kept::Value(value) = kept { value.into_bytes() } else { Vec::new() };
            changes.push(Change {
                message: "RDG_OUT_DATA request",
                structure: "HTTP header",
                field: name,
                offset: offset + line.value_at,
                before,
                after,
                phase: Phase::GatewayHttp,
                why: TransportChoice::Http.setting(),
            });
        }
        offset += line.bytes.len();
    }
    (changed, changes)
}

/// What remains of a header line.
enum Kept {
    Line,
    Value(String),
    Nothing,
}

fn kept(name: &[u8], value: &[u8]) -> Kept {
    if name.eq_ignore_ascii_case(b"upgrade") && names_websocket(value) || has_prefix(name, b"sec-websocket-")
    {
        return Kept::Nothing;
    }
    if !name.eq_ignore_ascii_case(b"connection") {
        return Kept::Line;
    }
    let value = String::from_utf8_lossy(value);
    let options: Vec<_> = value.split(',').map(str::trim).collect();
    let others: Vec<_> =
        options.iter().filter(|option| !option.eq_ignore_ascii_case("upgrade")).copied().collect();
    match others[..] {
        _ if others.len() == options.len() => Kept::Line,
        [] => Kept::Value("Keep-Alive".to_owned()),
        _ => Kept::Value(others.join(", ")),
    }
}

fn has_prefix(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether a value of Upgrade asks for WebSocket.
fn names_websocket(value: &[u8]) -> bool {
    let value = String::from_utf8_lossy(value);
    value.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// A line of a head; without a name where it is no header.
struct HeaderLine<'a> {
    /// With its line end.
    bytes: &'a [u8],
    name: &'a [u8],
    value: &'a [u8],
    /// Where the value stands in the line.
    value_at: usize,
}

/// The lines of a head, the first and the empty one among them.
fn header_lines(head: &[u8]) -> impl Iterator<Item = HeaderLine<'_>> {
    let mut is_first = true;
    head.split_inclusive(|byte| *byte == b'\n').map(move |bytes| {
        // Empty lines may stand before the first.
        let is_header = !is_first;
        is_first &= bytes.trim_ascii().is_empty();
        let colon = bytes.iter().position(|byte| *byte == b':').filter(|_| is_header);
        let Some(colon) = colon else {
            return HeaderLine { bytes, name: &[], value: &[], value_at: 0 };
        };
        let after = &bytes[colon + 1..];
        let value_at = colon + 1 + after.len() - after.trim_ascii_start().len();
        HeaderLine { bytes, name: bytes[..colon].trim_ascii(), value: after.trim_ascii(), value_at }
    })
}
