//! Heartbeat PDU (MS-RDPBCGR 2.2.16.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::{Malformed, Reader};

/// How the server says that it is alive; the client reconnects after `count2` periods without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// Seconds between heartbeats.
    pub period_s: u8,
    /// Missed heartbeats after which the client warns.
    pub count1: u8,
    /// Missed heartbeats after which the client reconnects.
    pub count2: u8,
}

/// Decodes the Heartbeat PDU behind its security header.
pub fn heartbeat(body: &[u8]) -> Result<Heartbeat, Malformed> {
    let [_reserved, period_s, count1, count2] = Reader::new("TS_HEARTBEAT_PDU", body).array()?;
    Ok(Heartbeat { period_s, count1, count2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_and_counts() {
        assert_eq!(heartbeat(&[0, 30, 3, 5]), Ok(Heartbeat { period_s: 30, count1: 3, count2: 5 }));
        assert!(heartbeat(&[0, 30, 3]).is_err());
    }
}
