//! What was seen, one struct for everything.

use super::{
    CaptureMessage, ClientLogEntry, GatewayMessage, How, Leg, Micros, Phase, RdpMessage, Side, UdpMessage,
};
use crate::wire::credssp::TsRequest;
use crate::wire::named::Code;
use crate::wire::preconnection::PreconnectionPdu;
use crate::wire::rdsaad::RdsAadPdu;
use crate::wire::rdstls::RdstlsPdu;
use crate::wire::tls::{Alert, ClientHello, ServerHello};
use crate::wire::x224::{ConnectionConfirm, ConnectionRequest, NegotiationFailure};
use rdpscope_certs::clients::PlatformVerdict;
use rdpscope_certs::inspect::Certificate;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;

/// Something that was seen, and when, where and from whom.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// When, microseconds since the session began.
    pub t_us: Micros,
    /// The leg it was seen on.
    pub leg: Leg,
    /// Who sent it; absent where rdpscope itself did something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Side>,
    /// Which connection of the attempt it was seen on, where an attempt can have several; the first is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u32>,
    /// The phase it belongs to.
    pub phase: Phase,
    /// True where only sizes and timing of encrypted bytes tell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
    /// What it was.
    #[serde(flatten)]
    pub detail: Detail,
}

/// Each of some thousand idle sessions holds a score of events: what makes one kind larger than the others is boxed.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Event>() <= 144);

/// What was seen. The name in JSON is the variant in snake case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Detail {
    // dns
    /// The target's name has these addresses.
    Resolved {
        /// The name that was looked up.
        name: String,
        /// Every address, in the order in which they will be tried (RFC 8305).
        addresses: Vec<String>,
        /// How long it took, µs.
        took_us: Micros,
    },
    /// The target's name could not be resolved.
    ResolutionFailed {
        /// The name that was looked up.
        name: String,
        /// What the resolver said.
        reason: String,
        /// How long it took, µs.
        took_us: Micros,
    },

    // tcp
    /// A client connected to rdpscope.
    Accepted {
        /// The client's address.
        peer: String,
        /// The address it connected to.
        local: String,
    },
    /// A connection to one address was begun.
    Connecting {
        /// The address.
        address: String,
    },
    /// TCP is connected to the server (through the upstream proxy where one is set).
    Connected {
        /// The server's address.
        address: String,
        /// The address on our side.
        local: String,
        /// How long it took, µs.
        took_us: Micros,
    },
    /// One address could not be connected.
    ConnectFailed {
        /// The address.
        address: String,
        /// How it failed.
        error: ConnectError,
        /// What the system said.
        reason: String,
        /// How long it took, µs.
        took_us: Micros,
    },
    /// Another address was faster; this attempt was given up.
    ConnectAbandoned {
        /// The address.
        address: String,
        /// How long it had been waited for, µs.
        took_us: Micros,
    },
    /// The upstream proxy opened the way to the server.
    UpstreamProxyOpened {
        /// The proxy.
        proxy: String,
        /// What it was asked for.
        target: String,
        /// How long its answer took, µs.
        took_us: Micros,
    },
    /// The upstream proxy did not.
    UpstreamProxyRefused {
        /// The proxy.
        proxy: String,
        /// What it was asked for.
        target: String,
        /// What it said.
        reason: String,
    },
    /// What the system knows of the TCP connection on this leg.
    TcpInfo(TcpInfo),

    // x224
    /// RDP_PRECONNECTION_PDU.
    PreconnectionPdu(PreconnectionPdu),
    /// X.224 Connection Request.
    ConnectionRequest(Box<ConnectionRequest>),
    /// X.224 Connection Confirm.
    ConnectionConfirm(ConnectionConfirm),
    /// X.224 Connection Confirm with RDP_NEG_FAILURE.
    NegotiationFailure(NegotiationFailure),
    /// X.224 Disconnect Request.
    DisconnectRequest {
        /// X.224 reason code.
        reason: u8,
    },
    /// TLS began without an X.224 negotiation (MS-RDPBCGR 5.4.2.2, direct approach).
    DirectTls,
    /// Something that is not RDP.
    OtherProtocol {
        /// Its name, where its first bytes tell.
        protocol: Option<String>,
        /// The first bytes, hex.
        first_bytes: String,
    },

    // tls
    /// TLS ClientHello.
    ClientHello(Box<ClientHello>),
    /// TLS ServerHello.
    ServerHello(Box<ServerHello>),
    /// TLS HelloRetryRequest.
    HelloRetryRequest(Box<ServerHello>),
    /// TLS Certificate, visible up to TLS 1.2.
    Certificate {
        /// The chain, end entity first.
        chain: Vec<Arc<Certificate>>,
        /// Certificates of the chain that could not be read, and why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unreadable: Vec<String>,
        /// The chain in DER with what could not be read, for files beside the trace.
        #[serde(skip)]
        der: Vec<Arc<[u8]>>,
    },
    /// Another TLS handshake message in clear.
    HandshakeMessage {
        /// Its name in RFC 8446 or RFC 5246, snake case.
        name: String,
        /// Bytes of its body.
        length: usize,
    },
    /// TLS alert in clear.
    Alert(Alert),
    /// From here on this side's records are encrypted.
    EncryptionStarted,
    /// Both sides sent their Finished; inferred where it is encrypted (TLS 1.3).
    HandshakeComplete,
    /// A record that is an alert, or has the size of one, and is encrypted.
    EncryptedAlert {
        /// Bytes of the record.
        length: usize,
    },

    // tls, where rdpscope terminates it
    /// rdpscope shows the client this certificate in the place of the server's.
    CertificatePresented {
        /// The mode that asked for it, as `--cert` takes it.
        mode: String,
        /// The chain, end entity first.
        chain: Vec<Arc<Certificate>>,
        /// Whether it is for the server's own key, so that NLA works on.
        same_key: bool,
        /// Where a mirrored certificate differs from the original beyond key and issuer: what may disturb an
        /// experiment.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        differences: Vec<String>,
        /// The chain in DER, for files beside the trace.
        #[serde(skip)]
        der: Vec<Arc<[u8]>>,
    },
    /// What this machine thinks of the server's certificate. Trust and name are two answers.
    CertificateJudged {
        /// Whether the chain ends in a root that this machine trusts; the name is left out of it.
        trusted: bool,
        /// Why not, in the verifier's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The name it was held against.
        name: String,
        /// Whether it is for that name, by alternative names or, without any, by the common name.
        name_matches: bool,
        /// Who says whether it is trusted: the verifier of the system, or webpki with the system's roots.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verifier: Option<String>,
        /// What clients elsewhere say of it by their own rules.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        by_rules: Vec<PlatformVerdict>,
    },
    /// The server asked for a certificate of its client, as for a smart card (CertificateRequest), and rdpscope, in which
    /// TLS ends, has none to show.
    ClientCertificateRequested,
    /// The TLS stack that speaks on this leg, where it is not the usual one, and why.
    LegacyTls {
        /// What the usual one cannot do here.
        reason: String,
    },
    /// TLS of this leg could not be terminated.
    TerminationFailed {
        /// What was tried, who failed and how.
        reason: String,
        /// What works all the same.
        advice: String,
    },
    /// A change that a setting asks for and that was not made; the bytes went on as they came.
    NotAltered {
        /// The setting.
        setting: String,
        /// Why not.
        reason: String,
    },
    /// Said before the client wastes its attempt: CredSSP binds the server's key, the client will see another one, and
    /// the server will refuse the logon for that.
    KeyBindingForeseen {
        /// The ways round, one each.
        advice: Vec<String>,
    },

    // inside tls
    /// CredSSP TSRequest.
    TsRequest(Box<TsRequest>),
    /// RDSTLS PDU.
    Rdstls(RdstlsPdu),
    /// RDS-AAD PDU.
    RdsAad(RdsAadPdu),
    /// rdpscope's own CredSSP on one leg (`--nla terminate`) came to this end.
    CredsspTerminated {
        /// Whether it came through.
        succeeded: bool,
        /// By what it came through; or what was wrong, who is at fault and what to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },

    // what sizes and timing of encrypted records tell
    /// A CredSSP message (TSRequest) by its place and size.
    CredsspTurn {
        /// 1 for the first of the session.
        turn: u32,
        /// Bytes of plaintext.
        length: usize,
    },
    /// Early User Authorization Result PDU (MS-RDPBCGR 2.2.10.2), by its size alone where TLS is not terminated.
    EarlyUserAuthorizationResult {
        /// Bytes of plaintext.
        length: usize,
        /// authorizationResult; absent where it is encrypted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Code>,
    },
    /// An encrypted RDP message by its place and size.
    EncryptedMessage {
        /// The message that fits, in MS-RDPBCGR's words, snake case.
        name: String,
        /// Bytes of plaintext.
        length: usize,
    },
    /// The handshakes are over: what follows is the session.
    SessionTraffic,

    // any phase
    /// A side ends its direction after a minute or more in which neither had sent anything. Of a connection to a gateway:
    /// the gateway's side ends it after a second or more.
    Quiet {
        /// How long.
        for_us: Micros,
    },
    /// A side ended its direction.
    StreamEnded {
        /// In which way.
        how: How,
    },
    /// Bytes that break the format; relayed all the same.
    Malformed {
        /// The structure, in the specification's word.
        structure: String,
        /// Bytes from its start.
        offset: usize,
        /// What is wrong.
        reason: String,
        /// The bytes at its start, hex, at most 32 of them; absent where they could hold something private.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        bytes: String,
    },
    /// The observer no longer follows this side, and why.
    ObservationStopped {
        /// The reason.
        reason: String,
    },
    /// rdpscope ended the session.
    ProxyClosed {
        /// Why.
        reason: String,
    },
    /// rdpscope makes the connection worse, as `--impair` asks; no byte is changed by it.
    Impaired {
        /// What was asked for, as `--impair` takes it.
        setting: String,
        /// What it does from here on.
        effect: Effect,
        /// The direction in which it does so; absent where it is both.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        direction: Option<Direction>,
        /// How much later, by this alone, a message of 16 KiB may come to its end in one direction, µs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delay_us: Option<Micros>,
    },
    /// What was on the wire of both legs is in a file beside this trace.
    Captured {
        /// Its name.
        file: String,
        /// Packets in it.
        packets: u64,
        /// Packets that are missing because they came faster than is recorded.
        dropped: u64,
        /// The bytes in them.
        dropped_bytes: u64,
        /// Why it ends before the session does; absent where it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stopped: Option<String>,
        /// True where the secrets of TLS are in it: it shows what was typed, passwords among it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        secrets: bool,
    },
    /// The client's own system wrote this into its event log; told when the session is over.
    ClientLog(Box<ClientLogEntry>),
    /// The trace lacks this many events: they came faster than they could be written, or the disk was full.
    TraceIncomplete {
        /// How many.
        dropped: u64,
    },

    /// Everything above TLS, or without it.
    #[serde(untagged, deserialize_with = "of_a_group")]
    Rdp(Box<RdpMessage>),
    /// The connections to an RD Gateway.
    #[serde(untagged, deserialize_with = "of_a_group")]
    Gateway(GatewayMessage),
    /// The RDP-UDP side channel.
    #[serde(untagged, deserialize_with = "of_a_group")]
    Udp(UdpMessage),
    /// What only a capture shows.
    #[serde(untagged, deserialize_with = "of_a_group")]
    Capture(CaptureMessage),
}

// A line of a trace is read by the name of its event, so that not one group after the other is tried.
fn of_a_group<'de, D: Deserializer<'de>, T>(_: D) -> Result<T, D::Error> {
    Err(D::Error::custom("no event of this name is known"))
}

/// What an impairment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Every byte comes later, slower or in smaller pieces.
    Shaped,
    /// Nothing passes any more, and the connection stays open.
    Stalled,
    /// The connection to the side that the direction leads to is reset.
    Reset,
    /// The side that the direction leads to is sent FIN.
    Closed,
}

/// One of the two ways that bytes take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Up, Direction::Down];

    /// The side that it leads to.
    pub fn leads_to(self) -> Side {
        match self {
            Direction::Up => Side::Server,
            Direction::Down => Side::Client,
        }
    }

    /// The direction that leads to `side`.
    pub fn to(side: Side) -> Direction {
        match side {
            Side::Server => Direction::Up,
            Side::Client => Direction::Down,
        }
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Direction::Up => "up",
            Direction::Down => "down",
        })
    }
}

/// How connecting failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectError {
    /// RST to SYN.
    Refused,
    /// No answer.
    TimedOut,
    /// ICMP said that there is no way, or the system has none.
    Unreachable,
    /// Connected and cut at once.
    Reset,
    /// Something else.
    Other,
}

/// What the system knows of a TCP connection; absent where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TcpInfo {
    /// Smoothed round trip time, µs.
    pub rtt_us: Option<u32>,
    /// Its variation, µs.
    pub rtt_variance_us: Option<u32>,
    /// Segments sent again, in all.
    pub retransmitted_segments: Option<u32>,
    /// Segments sent, in all.
    pub segments_out: Option<u32>,
    /// Largest segment we send, bytes.
    pub send_mss: Option<u32>,
    /// Bytes sent again, in all, of systems that count bytes instead of segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmitted_bytes: Option<u64>,
    /// Bytes sent, in all, of such systems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
}

impl Detail {
    /// Whether this is the message that brings its phase to a good end.
    pub fn completes(&self) -> bool {
        match self {
            Detail::Resolved { .. }
            | Detail::Connected { .. }
            | Detail::ConnectionConfirm(_)
            | Detail::HandshakeComplete => true,
            // CredSSP alone has no last word: what follows it shows that it is over.
            Detail::EarlyUserAuthorizationResult { result: Some(result), .. }
            | Detail::Rdstls(RdstlsPdu::Response { result })
            | Detail::RdsAad(RdsAadPdu::AuthenticationResult { result }) => result.value == 0,
            Detail::Rdp(message) => message.completes_phase(),
            Detail::Gateway(message) => message.completes_phase(),
            _ => false,
        }
    }

    /// Whether this is a side's word that its phase failed.
    pub fn is_failure(&self) -> bool {
        match self {
            Detail::ResolutionFailed { .. }
            | Detail::ConnectFailed { .. }
            | Detail::UpstreamProxyRefused { .. }
            | Detail::NegotiationFailure(_)
            | Detail::DisconnectRequest { .. }
            | Detail::OtherProtocol { .. } => true,
            Detail::Alert(alert) => alert.is_fatal(),
            Detail::TsRequest(request) => request.failure().is_some(),
            Detail::EarlyUserAuthorizationResult { result: Some(result), .. }
            | Detail::Rdstls(RdstlsPdu::Response { result })
            | Detail::RdsAad(RdsAadPdu::AuthenticationResult { result }) => result.value != 0,
            Detail::CredsspTerminated { succeeded, .. } => !succeeded,
            Detail::Gateway(message) => message.is_failure(),
            _ => false,
        }
    }

    /// When what this event reports began, given when it ended.
    pub fn began_us(&self, t_us: Micros) -> Micros {
        match self {
            Detail::Resolved { took_us, .. } | Detail::ResolutionFailed { took_us, .. } => {
                t_us.saturating_sub(*took_us)
            }
            _ => t_us,
        }
    }
}
