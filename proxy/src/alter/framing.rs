//! Where the messages end that stand before MCS and in its beginning, from as few bytes as tell it.

use crate::trace::Side;
use crate::wire::tpkt::{self, TPKT_HEADER_LENGTH, TPKT_VERSION};
use crate::wire::x224::LONGEST_TPDU;
use crate::wire::{Malformed, credssp, preconnection};

/// Bytes of a TPKT header and an X.224 data header: where the MCS PDU begins.
pub(super) const DATA_HEADER_LENGTH: usize = 7;
/// X.224 TPDU code of a data TPDU.
const DATA: u8 = 0xF0;
/// Tag of a DER SEQUENCE.
const SEQUENCE: u8 = 0x30;
/// Bytes of the Early User Authorization Result PDU (MS-RDPBCGR 2.2.10.2).
const AUTHORIZATION_RESULT_LENGTH: usize = 4;
/// The selected protocols after which more than TLS stands before MCS, MS-RDPBCGR 2.2.1.2.1.
const PROTOCOL_HYBRID: u32 = 2;
const PROTOCOL_RDSTLS: u32 = 4;
const PROTOCOL_HYBRID_EX: u32 = 8;
const PROTOCOL_RDSAAD: u32 = 0x10;

/// What may stand before the next TPKT in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    #[default]
    Nothing,
    /// One preconnection PDU.
    Preconnection,
    /// TSRequests and, with HYBRID_EX, the server's Early User Authorization Result.
    Credssp {
        /// Whether HYBRID_EX was selected.
        with_authorization: bool,
    },
    /// RDSTLS PDUs.
    Rdstls,
    /// JSON texts.
    Rdsaad,
}

impl Before {
    /// What the selected protocol, where there is one, puts between TLS and MCS.
    pub(super) fn inside_tls(selected_protocol: Option<u32>) -> Before {
        match selected_protocol {
            // Without X.224 the peers agreed elsewhere, and CredSSP is the only thing they can have agreed on.
            None | Some(PROTOCOL_HYBRID) => Before::Credssp { with_authorization: false },
            Some(PROTOCOL_HYBRID_EX) => Before::Credssp { with_authorization: true },
            Some(PROTOCOL_RDSTLS) => Before::Rdstls,
            Some(PROTOCOL_RDSAAD) => Before::Rdsaad,
            Some(_) => Before::Nothing,
        }
    }

    /// Whether messages are to be kept whole.
    pub(super) fn is_credssp(self) -> bool {
        matches!(self, Before::Credssp { .. })
    }
}

/// What the message at the front is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A TPKT packet.
    Tpkt,
    /// Anything that may stand before it.
    Other,
}

/// The message at the start of `bytes` with its length, as soon as its first bytes tell it; `bytes` may be shorter.
/// `Err` where it is nothing that is awaited. `before` is brought up to date.
pub(super) fn next_message(
    before: &mut Before,
    from: Side,
    bytes: &[u8],
) -> Result<Option<(Kind, usize)>, Malformed> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    if first == TPKT_VERSION {
        *before = Before::Nothing;
        return Ok(tpkt_length(from, bytes)?.map(|length| (Kind::Tpkt, length)));
    }
    let length = match before {
        Before::Preconnection => match preconnection::decode(bytes)? {
            Some((_, length)) => {
                *before = Before::Nothing;
                Some(length)
            }
            None => None,
        },
        Before::Credssp { with_authorization: true } if first != SEQUENCE && from == Side::Server => {
            authorization_result(before, bytes)
        }
        Before::Credssp { .. } => credssp::message_length(bytes)?,
        Before::Rdstls => rdstls_length(bytes)?,
        // JSON has no control characters, so that the first 03 is a TPKT.
        Before::Rdsaad => bytes.iter().position(|byte| *byte == TPKT_VERSION).or(Some(bytes.len())),
        Before::Nothing => return Err(Malformed::new("tpktHeader", 0, "version is not 3")),
    };
    Ok(length.map(|length| (Kind::Other, length)))
}

fn authorization_result(before: &mut Before, bytes: &[u8]) -> Option<usize> {
    if bytes.len() >= AUTHORIZATION_RESULT_LENGTH {
        *before = Before::Nothing;
    }
    Some(AUTHORIZATION_RESULT_LENGTH)
}

/// Whether a whole packet holds an X.224 data TPDU.
pub(super) fn is_data(packet: &[u8]) -> bool {
    packet.get(TPKT_HEADER_LENGTH + 1).is_some_and(|code| code & 0xF0 == DATA)
}

/// Length of the TPKT packet at the start of `bytes`: an X.224 connection TPDU, or the data TPDU with which MCS begins.
fn tpkt_length(from: Side, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some((length, _)) = tpkt::tpkt_header(bytes)? else { return Ok(None) };
    let (connect, other): ([u8; 5], _) = match from {
        Side::Client => ([2, DATA, 0x80, 0x7F, 0x65], "not a Connect Initial"),
        Side::Server => ([2, DATA, 0x80, 0x7F, 0x66], "not a Connect Response"),
    };
    let start = &bytes[TPKT_HEADER_LENGTH..bytes.len().min(TPKT_HEADER_LENGTH + connect.len())];
    match start {
        [] | [_] => Ok(None),
        _ if !is_data(bytes) && length <= LONGEST_TPDU => Ok(Some(length)),
        _ if !is_data(bytes) => {
            Err(Malformed::new("TPKT", 2, "length is too large for an X.224 connection TPDU"))
        }
        _ if length < TPKT_HEADER_LENGTH + connect.len() || !connect.starts_with(start) => {
            Err(Malformed::new("connectMCSPDU", 0, other))
        }
        _ => Ok((start.len() == connect.len()).then_some(length)),
    }
}

/// Length of the RDSTLS PDU at the start of `bytes` (MS-RDPBCGR 2.2.17); 16-bit lengths keep it below 257 KiB.
fn rdstls_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let header = [word(bytes, 0), word(bytes, 2), word(bytes, 4)];
    match header {
        [Some(1), Some(1), Some(1)] => Ok(Some(8)),
        [Some(1), Some(4), Some(1)] => Ok(Some(10)),
        [Some(1), Some(2), Some(1)] => Ok(fields_end(bytes, 6, 4)),
        [Some(1), Some(2), Some(2)] => Ok(fields_end(bytes, 10, 1)),
        [.., None] => Ok(None),
        _ => Err(Malformed::new("RDSTLS", 0, "version, type or data type is unknown")),
    }
}

/// The end of `count` fields that begin at `at`, each behind its 16-bit length.
fn fields_end(bytes: &[u8], at: usize, count: usize) -> Option<usize> {
    (0..count).try_fold(at, |at, _| Some(at + 2 + usize::from(word(bytes, at)?)))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_le_bytes(*word))
}
