//! The lines of `trace.jsonl`.

use super::{
    ClosedBy, Comparison, Event, Experiment, Finding, How, Leg, Micros, Phase, PhaseRecord, Probe, Summary,
    Verdict,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the trace format; a reader refuses a number it does not know.
pub const SCHEMA_VERSION: u32 = 1;

/// The setting that takes network level authentication out of what the client offers, as [`Altered::why`] has it.
pub const NLA_STRIP: &str = "--nla strip";
/// The setting that takes UDP out of what both sides offer.
pub const UDP_OFF: &str = "--udp off";
/// The setting that takes the side channel over UDP out of what a client and its gateway offer each other.
pub const GATEWAY_UDP_OFF: &str = "--gateway-udp off";
/// The setting that terminates TLS inside the tunnel to a gateway.
pub const INNER_CERT: &str = "--inner-cert";

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// The first line: what this trace is of.
    Trace(Header),
    /// Something that was seen.
    Event(Event),
    /// A phase that came to its end.
    Phase(PhaseRecord),
    /// Bytes that rdpscope changed.
    Altered(Altered),
    /// Something that is true and worth knowing, but not the cause.
    Finding(Finding),
    /// What the checks of a probe found.
    Probe(Box<Probe>),
    /// The session in one line.
    Summary(Box<Summary>),
    /// Why the session ended.
    Verdict(Box<Verdict>),
    /// What several sessions came to that differ in one thing.
    Experiment(Box<Experiment>),
    /// The last line.
    End(End),
    /// Several targets of a probe side by side; in no trace.
    Comparison(Box<Comparison>),
}

/// What a trace is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// [`SCHEMA_VERSION`].
    pub schema: u32,
    /// The version of the program that wrote it.
    pub rdpscope: String,
    /// The session's id, the name of its folder.
    pub session: String,
    /// What the user named, `host:port`.
    pub target: String,
    /// The settings that shaped the session, by flag.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// The wall clock at `t_us` 0, RFC 3339.
    pub started: String,
}

/// A change that rdpscope made to relayed bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Altered {
    /// When.
    pub t_us: Micros,
    /// The leg on which the changed bytes were sent.
    pub leg: Leg,
    /// Which connection of the attempt they were sent on, where an attempt can have several; the first is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u32>,
    /// The phase they belong to.
    pub phase: Phase,
    /// The message they are in, for example `MCS Connect Initial`.
    pub message: String,
    /// The structure in it, in the specification's word.
    pub structure: String,
    /// The field of that structure.
    pub field: String,
    /// Bytes from the start of the message, with its TPKT header, to the changed ones.
    pub offset: usize,
    /// The bytes as they came, hex; empty where they may hold a secret.
    pub before: String,
    /// The bytes as they were sent on, hex; empty where the field was taken out.
    pub after: String,
    /// The setting that asked for it.
    pub why: String,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// When the last direction was closed, or the record ends.
    pub t_us: Micros,
    /// Who ended it; `None` where what was recorded ends before the session does.
    pub closed_by: Option<ClosedBy>,
    /// In which way.
    pub how: Option<How>,
    /// Bytes from client to server.
    pub bytes_up: u64,
    /// Bytes from server to client.
    pub bytes_down: u64,
}
