//! What a probe of an RD Gateway found, without a client and without credentials. What was not asked is absent.

use super::{HelloAnswer, How, HttpResponse, Micros, Reframing, Transport};
use crate::wire::credssp::ntlm::NtlmChallenge;
use crate::wire::tsgu::Packet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything of a gateway that has no place among the checks of a server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayCheck {
    /// The targets behind it, of which nothing was asked: nobody gets there without credentials.
    pub behind: Vec<String>,
    /// What came of each request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<GatewayRequestCheck>,
    /// The logon by HTTP up to the NTLM challenge; absent where none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logon: Option<GatewayLogonCheck>,
    /// Tunnels, where the gateway opens one before a logon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tunnels: Vec<GatewayTunnelCheck>,
    /// What is selected of the offer `h2`, `http/1.1` (RFC 7301); absent where TLS did not come up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<AlpnCheck>,
    /// The side channel over UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<GatewayUdpCheck>,
}

impl GatewayCheck {
    /// What came of this request.
    pub fn request(&self, wanted: GatewayRequest) -> Option<&GatewayRequestCheck> {
        self.requests.iter().find(|check| check.request == wanted)
    }
}

/// A request to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GatewayRequest {
    /// RDG_OUT_DATA that asks for WebSocket.
    Websocket,
    /// RDG_OUT_DATA.
    OutChannel,
    /// RDG_IN_DATA with a body in chunks.
    InChannel,
    /// RPC_OUT_DATA.
    RpcOut,
    /// RPC_IN_DATA.
    RpcIn,
    /// POST to the KDC proxy, with no message in it.
    KdcProxy,
    /// GET of the root.
    Page,
    /// OPTIONS of the root.
    Options,
    /// RDG_OUT_DATA in HTTP/1.0.
    OldHttp,
}

/// What came of a request, on a connection of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayRequestCheck {
    /// Which.
    pub request: GatewayRequest,
    /// Its method as it was sent.
    pub method: String,
    /// Its path as it was sent.
    pub path: String,
    /// What came back.
    pub answer: GatewayAnswer,
    /// Whether the end of a refusal could be known, by its length, by its chunks or by the connection's end; absent
    /// where none was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_complete: Option<bool>,
    /// From the request to the first byte of its answer, or to where waiting ended, µs.
    pub took_us: Micros,
}

impl GatewayRequestCheck {
    /// The head that came back.
    pub fn response(&self) -> Option<&HttpResponse> {
        match &self.answer {
            GatewayAnswer::Response(response) => Some(response),
            _ => None,
        }
    }
}

/// What came back in answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum GatewayAnswer {
    /// The head of a response.
    Response(Box<HttpResponse>),
    /// The connection was ended without an answer.
    Closed {
        /// In which way.
        how: How,
    },
    /// Nothing came for too long.
    Silent,
    /// Something that is no HTTP.
    OtherProtocol {
        /// The first bytes, hex.
        first_bytes: String,
    },
    /// There was no connection to ask on.
    NotReached {
        /// Why.
        reason: String,
    },
}

/// The logon by HTTP up to the NTLM challenge. No credentials are in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayLogonCheck {
    /// The schemes that are offered, in their order.
    pub schemes: Vec<String>,
    /// The scheme in which NTLM was begun; absent where none of those carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The gateway's names and its version of Windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<NtlmChallenge>,
    /// The gateway's clock minus this machine's, µs; half of the round trip is taken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_us: Option<i64>,
    /// Whether the connection stayed open with the challenge, as NTLM needs it; absent where no challenge came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stayed_open: Option<bool>,
    /// What came in the challenge's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A tunnel that was begun without credentials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayTunnelCheck {
    /// What was to carry it.
    pub transport: Transport,
    /// The RDG-Auth-Scheme that it was asked with; absent where it was asked for without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The packets with which the gateway answered, in their order.
    pub packets: Vec<Packet>,
    /// The PDUs with which it answered over RPC, in their order, by their names in MS-RPCH and MS-RPCE.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pdus: Vec<String>,
    /// What a box on the way made of the body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reframed: Vec<Reframing>,
    /// From the head to the first bytes behind it, µs; absent where none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_bytes_us: Option<Micros>,
    /// Why there are no more packets; absent where each that was sent was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<GatewayTunnelFailure>,
}

/// Why a tunnel came no further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum GatewayTunnelFailure {
    /// A request that is part of it was not granted.
    NotGranted {
        /// Its method.
        method: String,
        /// The status of the answer.
        status: u16,
    },
    /// Nothing came for too long.
    Silent {
        /// What was sent last: a method, or the name of a packet.
        after: String,
    },
    /// The connection was ended.
    Closed {
        /// What was sent last.
        after: String,
        /// In which way.
        how: How,
    },
}

/// What TLS agrees on above it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlpnCheck {
    /// What was selected of `h2` and `http/1.1`; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<String>,
    /// What comes of HTTP/2 and of HTTP/1.1, each offered alone; asked where no request of a client was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<HttpVersionsCheck>,
}

/// RDG_OUT_DATA in two versions of HTTP, of which TLS was offered that one alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpVersionsCheck {
    /// Whether HTTP/2 was answered with settings of HTTP/2 (RFC 9113 3.4).
    pub http2: bool,
    /// The status with which the request was answered in HTTP/2; absent where no answer came or none that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http2_status: Option<u16>,
    /// What came back in HTTP/1.1.
    pub http1: GatewayAnswer,
}

/// The gateway's side channel over UDP: a DTLS hello as clients send it, and one as the standard has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayUdpCheck {
    /// The address, `ip:port`.
    pub address: String,
    /// The answer to a hello with UDP_CORRELATION_INFO behind it (MS-TSGU 2.2.11).
    pub with_correlation: HelloAnswer,
    /// The answer to one without.
    pub without_correlation: HelloAnswer,
}
