//! Which end speaks and how far the session has come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which end of the connection sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The RDP client.
    Client,
    /// The RDP server.
    Server,
}

impl Side {
    /// 0 for the client, 1 for the server: for arrays with one entry a side.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The phases above X.224 and TLS, in the order in which they happen (MS-RDPBCGR 1.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// MCS Connect Initial and Response with the GCC settings.
    Mcs,
    /// MCS erect domain, attach user, channel joins.
    Channels,
    /// Security exchange and Client Info.
    Info,
    /// Licensing.
    Licensing,
    /// Demand Active and Confirm Active.
    Capabilities,
    /// Synchronize, Control, Font List, Font Map.
    Finalization,
    /// The desktop is there.
    Active,
}
