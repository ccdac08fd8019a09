//! The record of a session: what was seen, on which leg, from which side, in which phase, and what follows from it.
//!
//! A trace is a file of JSON lines; [`Line`] is one of them. [`Record`] is the same in memory, and what every
//! conclusion is drawn from. Times are microseconds since the session began (`t_us`).

mod capture;
mod client_log;
mod comparison;
mod event;
mod experiment;
mod gateway;
mod gateway_check;
mod ids;
mod line;
mod other_paths;
mod phase;
mod probe;
mod read;
mod record;
mod summary;
mod udp;
mod verdict;

pub use crate::wire::rdp::RdpMessage;
pub use capture::{CaptureMessage, MissingReason, SynAnswer, TcpEvidence, TimeToLiveChange, Unanswered};
pub use client_log::ClientLogEntry;
pub use comparison::{Comparison, Difference, FailingGroup};
pub use event::{ConnectError, Detail, Direction, Effect, Event, TcpInfo};
pub use experiment::{
    Experiment, ExperimentArm, ExperimentConclusion, ExperimentConfounder, ExperimentEffect, ExperimentRun,
};
pub use gateway::{
    Authentication, Framing, GatewayMessage, GatewayUdp, HttpHeader, HttpRequest, HttpResponse, Reframing,
    Role,
};
pub use gateway_check::{
    AlpnCheck, GatewayAnswer, GatewayCheck, GatewayLogonCheck, GatewayRequest, GatewayRequestCheck,
    GatewayTunnelCheck, GatewayTunnelFailure, GatewayUdpCheck, HttpVersionsCheck,
};
pub use line::{Altered, End, GATEWAY_UDP_OFF, Header, INNER_CERT, Line, NLA_STRIP, SCHEMA_VERSION, UDP_OFF};
pub use other_paths::{OtherPathsCheck, PathCertificates, ShownCertificate};
pub use phase::{Outcome, Phase, PhaseRecord};
pub use probe::{
    CertificateCheck, ClassicCheck, CredsspCheck, DnsCheck, FlakyCheck, HelloAnswer, LeftOut,
    NegotiationAnswer, NegotiationCheck, PathCheck, Probe, TcpCheck, TcpFailure, TlsCheck, UdpAnswer,
    UdpCheck,
};
pub use read::{NotATrace, Problem, Reader, Reading, is_capture, read};
pub use record::Record;

pub use summary::{CertificateSummary, CredsspSummary, GatewaySummary, Summary, Transport};
pub use udp::{Syn, UdpMessage, UdpSummary};
pub use verdict::{Alternative, Confidence, Evidence, Finding, Fix, Verdict, VerdictId, Where};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Microseconds since the session began.
pub type Micros = u64;

/// Which end of the connection sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The RDP client.
    Client,
    /// The RDP server.
    Server,
}

impl Side {
    /// The other end.
    pub fn opposite(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    /// 0 for the client, 1 for the server: for arrays with one entry a side.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Side::Client => "client",
            Side::Server => "server",
        })
    }
}

/// Where something was seen: between client and rdpscope, between rdpscope and server, or in rdpscope itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// Client to rdpscope.
    Client,
    /// rdpscope to server.
    Server,
    /// rdpscope itself.
    Proxy,
}

impl From<Side> for Leg {
    fn from(side: Side) -> Leg {
        match side {
            Side::Client => Leg::Client,
            Side::Server => Leg::Server,
        }
    }
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// The RDP client.
    Client,
    /// The RDP server.
    Server,
    /// rdpscope: a limit was reached, it was told to stop, or it could not reach the server.
    Proxy,
}

impl From<Side> for ClosedBy {
    fn from(side: Side) -> ClosedBy {
        match side {
            Side::Client => ClosedBy::Client,
            Side::Server => ClosedBy::Server,
        }
    }
}

/// How a session, or one direction of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// TCP FIN: an orderly end of the stream.
    Fin,
    /// TCP RST.
    Reset,
    /// Nothing came for too long.
    Timeout,
    /// A TLS alert came first.
    Alert,
    /// An MCS Disconnect Provider Ultimatum came first.
    McsUltimatum,
}
