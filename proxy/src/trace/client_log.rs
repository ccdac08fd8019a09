//! What the client's own system wrote into its event log about the time of a session.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An entry of Windows' event log, by its number. It was written about the time of the session and by this machine; that
/// it is about this very session is likely and never proved by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientLogEntry {
    /// Who wrote it: `Microsoft-Windows-TerminalServices-ClientActiveXCore`, `Schannel`.
    pub provider: String,
    /// The number of the event.
    pub event_id: u32,
    /// What such an event says, in our words.
    pub meaning: String,
    /// When, RFC 3339, by the clock of the client's machine, which is this one.
    pub logged: String,
    /// How grave Windows takes it: 1 critical, 2 error, 3 warning, 4 information.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<u8>,
    /// What the entries of one attempt of the client have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// The machine that the client was told to connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The disconnect reason, the code that mstsc shows its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect_reason: Option<u32>,
    /// The TLS alert that was received or sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<u8>,
    /// Its other fields, `name: value`, where nothing private can stand in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub particulars: Vec<String>,
}
