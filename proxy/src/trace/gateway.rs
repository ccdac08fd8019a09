//! What can be seen of the connections to an RD Gateway: HTTP with its heads as they were, the tunnel of MS-TSGU in it,
//! and RPC over HTTP.

use super::{Micros, Transport};
pub use crate::wire::http::{Authentication, Framing, HttpHeader};
use crate::wire::named::Code;
use crate::wire::rpch::rpc::Security;
use crate::wire::tsgu::Packet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that was seen on a connection to a gateway. The event's `connection` says on which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum GatewayMessage {
    /// The head of an HTTP request.
    HttpRequest(Box<HttpRequest>),
    /// The head of an HTTP response.
    HttpResponse(Box<HttpResponse>),
    /// A body, or what follows an upgrade, carries the tunnel from here on.
    TunnelBegan {
        /// What carries it.
        transport: Transport,
        /// Bytes before the first packet, meant to make proxies pass data on.
        preamble: usize,
        /// Since the head before it ended, µs.
        took_us: Micros,
    },
    /// Something in a body that the gateway's protocol has no place for: a box on the way put it there.
    BodyReframed {
        /// What it is.
        how: Reframing,
        /// Bytes from the body's start.
        offset: u64,
    },
    /// A packet of the tunnel; of those that carry data, and of keepalives, the first of each side.
    TunnelPacket(Packet),
    /// The tunnel's traffic of one side, told at its end.
    TunnelTraffic {
        /// Packets that carried data.
        data_packets: u64,
        /// Bytes in them.
        data_bytes: u64,
        /// Keepalives.
        keepalives: u64,
        /// The longest time between two keepalives, µs.
        longest_keepalive_gap_us: Option<Micros>,
    },
    /// A control frame of WebSocket; only the first few are told one by one.
    WebsocketControl {
        /// Its name in RFC 6455: `close`, `ping`, `pong`.
        frame: String,
        /// The status of a close frame.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Bytes of its body.
        length: usize,
    },
    /// An RTS PDU of RPC over HTTP (MS-RPCH 2.2.3).
    Rts {
        /// The PDU's name in MS-RPCH, as `CONN/A1`, where its commands tell.
        name: Option<String>,
        /// Its commands by name.
        commands: Vec<String>,
    },
    /// A channel of RPC over HTTP on this connection takes the place of another's (MS-RPCH 3.2.1.5.3): the session goes on.
    ChannelReplaced {
        /// Which of the two channels.
        role: Role,
        /// The connection whose channel it was.
        predecessor: u32,
    },
    /// A PDU of DCE/RPC (MS-RPCE 2.2.2), with the TsProxy call where it is one (MS-TSGU 3.1.4); of calls that carry data
    /// the first of each side.
    Rpc {
        /// `bind`, `bind_ack`, `request`, `response`, `fault`…
        pdu: String,
        /// The call, as `TsProxyCreateTunnel`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<String>,
        /// The return value or the fault's status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<Code>,
        /// By whom and how far it is authenticated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        security: Option<Box<Security>>,
        /// Bytes of the PDU.
        length: usize,
    },
    /// A request of the KDC proxy protocol on the gateway's host (MS-KKDCP).
    KdcProxy {
        /// The realm that is asked for.
        realm: Option<String>,
        /// Bytes of the message.
        length: usize,
    },
    /// HTTP/2 was agreed on; what is in it passes unseen.
    Http2 {
        /// Names of the paths that could be read.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
    },
    /// The side channel over UDP: the first datagram of a side, or what became of it.
    GatewayUdp {
        /// What happened.
        what: GatewayUdp,
        /// Datagrams so far, from the event's side or, without one, from both.
        datagrams: u64,
        /// Since the client's first datagram, µs.
        since_first_us: Micros,
    },
    /// The connection belongs to another attempt; its events here say nothing about this one.
    ConnectionMoved {
        /// The other session's id.
        session: String,
    },
    /// The gateway's side cut the tunnel without a word after a silence, and had cut others after one as long.
    CutAgain {
        /// The silence.
        for_us: Micros,
        /// The silences before, of earlier sessions of the same run.
        earlier_us: Vec<Micros>,
    },
    /// A refusal by rdpscope itself, so that the client falls back (`--gateway-transport`).
    TransportRefused {
        /// What was refused.
        transport: Transport,
        /// The status that the client was answered.
        status: u16,
    },
    /// The gateway named a UDP port on which rdpscope cannot listen: the side channel will find nobody.
    SideChannelNotRelayed {
        /// The port.
        port: u16,
        /// Why not.
        reason: String,
    },
}

impl GatewayMessage {
    /// Whether this is the message that brings its phase to a good end.
    pub fn completes_phase(&self) -> bool {
        match self {
            GatewayMessage::HttpResponse(response) => response.opens_tunnel(),
            GatewayMessage::TunnelPacket(
                Packet::TunnelAuthResponse { status, .. } | Packet::ChannelResponse { status, .. },
            ) => status.value == 0,
            _ => false,
        }
    }

    /// Whether it runs beside the way to the desktop and takes the attempt no further.
    pub fn is_aside(&self) -> bool {
        match self {
            GatewayMessage::HttpRequest(request) => request.role == Role::KdcProxy,
            GatewayMessage::HttpResponse(response) => response.role == Role::KdcProxy,
            GatewayMessage::KdcProxy { .. }
            | GatewayMessage::Http2 { .. }
            | GatewayMessage::GatewayUdp { .. }
            | GatewayMessage::TunnelTraffic { .. }
            | GatewayMessage::SideChannelNotRelayed { .. }
            | GatewayMessage::CutAgain { .. }
            | GatewayMessage::ChannelReplaced { .. }
            | GatewayMessage::ConnectionMoved { .. } => true,
            _ => false,
        }
    }

    /// Whether this is a side's word that its phase failed.
    pub fn is_failure(&self) -> bool {
        match self {
            GatewayMessage::HttpResponse(response) => response.is_failure(),
            GatewayMessage::TunnelPacket(
                Packet::CloseChannel { .. } | Packet::CloseChannelResponse { .. },
            ) => false,
            // Its steps have codes of their own that are no failure.
            GatewayMessage::TunnelPacket(Packet::ExtendedAuthMsg { status, .. }) => status.value >> 31 != 0,
            GatewayMessage::TunnelPacket(packet) => packet.status().is_some_and(|status| status.value != 0),
            GatewayMessage::Rpc { pdu, .. } => pdu == "fault" || pdu == "bind_nak",
            _ => false,
        }
    }
}

impl HttpResponse {
    /// Whether the gateway grants what carries a tunnel.
    pub fn opens_tunnel(&self) -> bool {
        match self.role {
            Role::Websocket => self.status == 101 || self.is_success(),
            Role::OutChannel | Role::InChannel | Role::RpcOut | Role::RpcIn => self.is_success(),
            Role::KdcProxy | Role::Other => false,
        }
    }

    /// Whether it refuses what carries a tunnel. A 401 that has a further step does not.
    pub fn is_failure(&self) -> bool {
        let is_for_tunnel = !matches!(self.role, Role::KdcProxy | Role::Other) || self.method.is_none();
        let goes_on = matches!(self.status, 401 | 407) && !self.refused;
        is_for_tunnel && self.status >= 400 && !goes_on
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What is made of the side channel over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GatewayUdp {
    /// A side's first datagram.
    FirstDatagram,
    /// Both sides have finished a handshake of DTLS, as far as the records tell.
    Established,
    /// The client's datagrams were never answered.
    Unanswered,
    /// A side of a channel that worked has fallen silent.
    Silence,
}

/// The head of an HTTP request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpRequest {
    /// What the request is for.
    pub role: Role,
    /// The method as spelled.
    pub method: String,
    /// The path as spelled, without its query.
    pub path: String,
    /// Names in the query; values can hold cookies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query_names: Vec<String>,
    /// `"HTTP/1.1"`.
    pub version: String,
    /// Every header in its order and spelling.
    pub headers: Vec<HttpHeader>,
    /// RDG-Connection-Id, which joins the connections of one tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// RDG-Correlation-Id, by which the gateway's event log finds the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// RDG-Auth-Scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_scheme: Option<String>,
    /// Whether WebSocket is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub upgrade: bool,
    /// What the Authorization header brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authentication>,
    /// How the body is framed.
    pub framing: Framing,
    /// Bytes of the head.
    pub length: usize,
}

/// The head of an HTTP response.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpResponse {
    /// What the request was for.
    pub role: Role,
    /// The request's method; absent where no request was seen.
    pub method: Option<String>,
    /// The status code.
    pub status: u16,
    /// The reason phrase as spelled.
    pub reason: String,
    /// `"HTTP/1.1"`.
    pub version: String,
    /// Every header in its order and spelling.
    pub headers: Vec<HttpHeader>,
    /// What WWW-Authenticate and Proxy-Authenticate ask for, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub challenges: Vec<Authentication>,
    /// Whether a 401 or 407 has no further step: what Authorization brought is refused, or nothing is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// How the body is framed.
    pub framing: Framing,
    /// Bytes of the head.
    pub length: usize,
    /// Since the request's head ended, µs.
    pub took_us: Micros,
}

/// What an HTTP request at a gateway is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// RDG_OUT_DATA that asks for WebSocket.
    Websocket,
    /// RDG_OUT_DATA: what the gateway says.
    OutChannel,
    /// RDG_IN_DATA: what the client says.
    InChannel,
    /// RPC_OUT_DATA.
    RpcOut,
    /// RPC_IN_DATA.
    RpcIn,
    /// The KDC proxy protocol.
    KdcProxy,
    /// Anything else.
    #[default]
    Other,
}

/// How a box on the way put a body into another frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reframing {
    /// Chunk sizes in an OUT channel, announced by Transfer-Encoding.
    Chunked,
    /// Chunk sizes in an OUT channel that announces none.
    UnannouncedChunks,
    /// Bytes that are no packet where one is due.
    Garbage,
    /// The body ended while the tunnel was open.
    Truncated,
}
