//! What the segments of a connection say of how its server was reached.

use crate::capture::FlowKey;
use crate::trace::{ConnectError, Detail, Micros, SynAnswer, TcpEvidence};

/// Who waits less than this and sends fewer SYNs than [`ENOUGH_SYNS`] may just have changed its mind.
const WAITED_US: Micros = 3_000_000;
/// Every system has sent so many within three seconds.
const ENOUGH_SYNS: u32 = 3;

/// How the server was reached, or was not; `None` where there is neither a SYN nor a byte to tell by.
pub(super) fn reached(
    key: FlowKey,
    evidence: &TcpEvidence,
    has_data: bool,
    lasted_us: Micros,
) -> Option<Detail> {
    let address = key.server.to_string();
    let failed = |error, reason: String| {
        let took_us = evidence.syn_answer_us.unwrap_or(lasted_us);
        Some(Detail::ConnectFailed { address: address.clone(), error, reason, took_us })
    };
    match evidence.syn_answer {
        _ if has_data => {}
        Some(SynAnswer::Accepted) => {}
        Some(SynAnswer::Reset) => {
            return failed(ConnectError::Refused, "RST in answer to the SYN".to_owned());
        }
        Some(SynAnswer::Unreachable) => {
            return failed(ConnectError::Unreachable, "ICMP says that it cannot be reached".to_owned());
        }
        None if evidence.syns == 0 => return None,
        None if lasted_us >= WAITED_US || evidence.syns >= ENOUGH_SYNS => {
            let reason = match evidence.syns {
                1 => "no answer to the SYN".to_owned(),
                syns => format!("no answer to {syns} SYNs"),
            };
            return failed(ConnectError::TimedOut, reason);
        }
        None => return Some(Detail::ConnectAbandoned { address, took_us: lasted_us }),
    }
    let took_us = evidence.syn_answer_us.unwrap_or_default();
    Some(Detail::Connected { address, local: key.client.to_string(), took_us })
}

/// The round trip between both ends, where the capture has the handshake.
pub(super) fn round_trip(evidence: &TcpEvidence) -> Option<Micros> {
    Some(evidence.syn_answer_us? + evidence.ack_us?)
}
