//! What a probe is to do.

use super::other_paths::OtherPath;
use crate::relay::target::Target;
use std::time::Duration;

/// TCP connections to each address, one after the other: enough to tell loss from a path that always works.
const USUAL_ROUNDS: u32 = 3;
/// How long any one answer may take. A server that is busy answers within a second; one that hangs, never.
const USUAL_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where gateways take their side channel unless their administrator moved it.
const SIDE_CHANNEL_PORT: u16 = 3391;

/// How a target is probed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connect here instead of resolving the target.
    pub address: Option<Target>,
    /// Further paths to the target, over which its certificate is compared.
    pub other_paths: Vec<OtherPath>,
    /// TCP connections to each address.
    pub rounds: u32,
    /// How long any one answer may take.
    pub answer_timeout: Duration,
    /// Whether RDP-UDP is asked for, too.
    pub udp: bool,
    /// The UDP port of a gateway's side channel.
    pub side_channel_port: u16,
    /// Whether each TLS version, suite and group is asked for, too.
    pub tls: bool,
    /// Whether this build has a command that a verdict proposes; others are left out.
    pub knows_command: fn(&str) -> bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            address: None,
            other_paths: Vec::new(),
            rounds: USUAL_ROUNDS,
            answer_timeout: USUAL_ANSWER_TIMEOUT,
            udp: true,
            side_channel_port: SIDE_CHANNEL_PORT,
            tls: true,
            knows_command: |_| true,
        }
    }
}
