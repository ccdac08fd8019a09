//! The plaintext of a connection whose TLS is terminated: authentication, then RDP.
//!
//! Each side leaves the authentication by itself, with its own last word of it: what follows in the same bytes belongs to
//! what comes next.

use super::rdp::RdpObserver;
use super::rdp::follow::{event, follow};
use super::tls::malformed_detail;
use crate::trace::{Detail, Event, Micros, Phase, Side};
use crate::wire::credssp::TsRequest;
use crate::wire::rdsaad::RdsAadPdu;
use crate::wire::rdstls::RdstlsPdu;
use crate::wire::x224::{self, TPKT_VERSION, Tpdu};
use crate::wire::{Decoded, Malformed, early_user_authorization};

pub use super::rdp::Counts;

/// First byte of a TSRequest, a DER SEQUENCE.
const DER_SEQUENCE: u8 = 0x30;
/// Place of the TPDU code in a TPKT packet, and what tells requests and confirms from data by it.
const TPDU_CODE_AT: usize = 5;
const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;

/// RDP_NEG_RSP.selectedProtocol.
const PROTOCOL_SSL: u32 = 1;
const PROTOCOL_HYBRID: u32 = 2;
const PROTOCOL_RDSTLS: u32 = 4;
const PROTOCOL_HYBRID_EX: u32 = 8;
const PROTOCOL_RDSAAD: u32 = 0x10;

/// Messages of one side before RDP that are told. An authentication takes fewer than ten; a peer that goes on and on would
/// otherwise fill the trace.
const MOST_MESSAGES: usize = 32;

/// What one side sends next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Whatever the first byte says: nothing was negotiated.
    Any,
    /// TSRequests; of the server, after them the Early User Authorization Result.
    Credssp,
    /// RDSTLS PDUs.
    Rdstls,
    /// RDS-AAD texts.
    RdsAad,
    /// The first bytes after the authentication, before which there may be something else.
    Opening,
    /// RDP.
    Rdp,
    /// Nothing more can be told.
    Lost,
}

/// One side.
#[derive(Debug)]
struct Direction {
    stage: Stage,
    /// The start of a message that has not come whole yet, never longer than the longest that is read.
    pending: Vec<u8>,
    /// Messages told so far.
    told: usize,
}

/// Follows the plaintext of a TLS connection from its first byte.
#[derive(Debug)]
pub struct InsideObserver {
    selected_protocol: Option<u32>,
    directions: [Direction; 2],
    rdp: RdpObserver,
}

/// What a stage read at the front.
struct Read {
    detail: Option<Detail>,
    then: Stage,
}

impl InsideObserver {
    /// `selected_protocol`: RDP_NEG_RSP.selectedProtocol; `None` where TLS began without a negotiation, so that each side's
    /// first byte decides.
    pub fn new(selected_protocol: Option<u32>) -> Self {
        let stage = match selected_protocol {
            None => Stage::Any,
            Some(PROTOCOL_HYBRID | PROTOCOL_HYBRID_EX) => Stage::Credssp,
            Some(PROTOCOL_RDSTLS) => Stage::Rdstls,
            Some(PROTOCOL_RDSAAD) => Stage::RdsAad,
            Some(PROTOCOL_SSL) => Stage::Rdp,
            // One that is newer than this: what it puts before RDP is not known.
            Some(_) => Stage::Any,
        };
        let direction = || Direction { stage, pending: Vec::new(), told: 0 };
        InsideObserver {
            selected_protocol,
            directions: [direction(), direction()],
            rdp: RdpObserver::new(true),
        }
    }

    /// `bytes` that `from` sent inside TLS; what they tell is added to `out`.
    pub fn data(&mut self, t_us: Micros, from: Side, bytes: &[u8], out: &mut Vec<Event>) {
        match self.stage(from) {
            Stage::Lost => return,
            Stage::Rdp => return follow(&mut self.rdp, t_us, from, bytes, out),
            _ => {}
        }
        let mut pending = std::mem::take(&mut self.directions[from.index()].pending);
        pending.extend_from_slice(bytes);
        let mut used = 0;
        while !matches!(self.stage(from), Stage::Rdp | Stage::Lost) {
            match self.step(t_us, from, &pending[used..], out) {
                None => break,
                Some((stage, count)) => {
                    self.directions[from.index()].stage = stage;
                    used += count;
                }
            }
        }
        match self.stage(from) {
            Stage::Lost => {}
            Stage::Rdp => follow(&mut self.rdp, t_us, from, &pending[used..], out),
            _ => {
                pending.drain(..used);
                self.directions[from.index()].pending = pending;
            }
        }
    }

    /// `from` ended its direction: a message that has not come whole is told.
    pub fn ended(&mut self, t_us: Micros, from: Side, out: &mut Vec<Event>) {
        let pending = std::mem::take(&mut self.directions[from.index()].pending);
        if !pending.is_empty() {
            let malformed = Malformed::new("authentication inside TLS", pending.len(), "ends too early");
            out.push(event(t_us, from, Phase::Credssp, malformed_detail(&malformed, &[])));
        }
    }

    /// How far the session has come.
    pub fn phase(&self) -> Phase {
        let is_rdp = |direction: &Direction| direction.stage == Stage::Rdp;
        if self.directions.iter().any(is_rdp) { self.rdp.phase() } else { Phase::Credssp }
    }

    /// Who announced the end with an MCS Disconnect Provider Ultimatum.
    pub fn announced_end(&self) -> Option<Side> {
        self.rdp.announced_end()
    }

    /// Whether nothing more can be learnt from the bytes of this side.
    pub fn is_opaque(&self, from: Side) -> bool {
        self.stage(from) == Stage::Lost || self.rdp.is_lost(from)
    }

    /// What was only counted in the direction that `from` sends.
    pub fn counts(&self, from: Side) -> Counts {
        self.rdp.counts(from)
    }

    fn stage(&self, from: Side) -> Stage {
        self.directions[from.index()].stage
    }

    /// Reads once: what comes next, and how many bytes it took to say so; `None` where more are needed.
    fn step(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<Event>,
    ) -> Option<(Stage, usize)> {
        let stage = self.stage(from);
        let phase = if stage == Stage::Opening { Phase::X224 } else { Phase::Credssp };
        let stopped =
            |reason: &str| event(t_us, from, phase, Detail::ObservationStopped { reason: reason.to_owned() });
        match self.read(stage, from, bytes) {
            Ok(read) => {
                let (Read { detail, then }, consumed) = read?;
                let told = &mut self.directions[from.index()].told;
                *told += usize::from(detail.is_some());
                if *told > MOST_MESSAGES {
                    out.push(stopped("an authentication inside TLS that does not end"));
                    return Some((Stage::Lost, 0));
                }
                out.extend(detail.map(|detail| event(t_us, from, phase, detail)));
                Some((then, consumed))
            }
            Err(malformed) => {
                // The bytes themselves could be somebody's password.
                out.push(event(t_us, from, phase, malformed_detail(&malformed, &[])));
                out.push(stopped("the authentication inside TLS cannot be read"));
                Some((Stage::Lost, 0))
            }
        }
    }

    fn read(&self, stage: Stage, from: Side, bytes: &[u8]) -> Decoded<Read> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        match stage {
            Stage::Any => match first {
                DER_SEQUENCE => Ok(next(Stage::Credssp)),
                TPKT_VERSION => Ok(next(Stage::Opening)),
                _ => Err(Malformed::new("start of RDP inside TLS", 0, "neither CredSSP nor TPKT")),
            },
            Stage::Credssp => self.credssp(from, first, bytes),
            Stage::Rdstls => rdstls(from, bytes),
            Stage::RdsAad if is_blank(first) => Ok(blank(Stage::RdsAad)),
            Stage::RdsAad => rdsaad(from, bytes),
            Stage::Opening => self.opening(first, bytes),
            Stage::Rdp | Stage::Lost => Ok(None),
        }
    }

    fn credssp(&self, from: Side, first: u8, bytes: &[u8]) -> Decoded<Read> {
        if from == Side::Server && first == TPKT_VERSION {
            return Ok(next(Stage::Opening));
        }
        if from == Side::Server && first != DER_SEQUENCE && self.selected_protocol != Some(PROTOCOL_HYBRID) {
            let decoded = early_user_authorization::decode(bytes)?;
            return Ok(decoded.map(|(result, length)| {
                let detail = Detail::EarlyUserAuthorizationResult { length, result: Some(result) };
                (Read { detail: Some(detail), then: Stage::Opening }, length)
            }));
        }
        let decoded = TsRequest::decode(bytes)?;
        Ok(decoded.map(|(request, length)| {
            let is_last = from == Side::Client && request.auth_info_length.is_some();
            let then = if is_last { Stage::Opening } else { Stage::Credssp };
            (Read { detail: Some(Detail::TsRequest(Box::new(request))), then }, length)
        }))
    }

    /// Without a negotiation before TLS it may stand here; RDS-AAD texts may end in a NUL.
    fn opening(&self, first: u8, bytes: &[u8]) -> Decoded<Read> {
        match self.selected_protocol {
            Some(PROTOCOL_RDSAAD) if is_blank(first) => return Ok(blank(Stage::Opening)),
            None if first == TPKT_VERSION => {}
            _ => return Ok(next(Stage::Rdp)),
        }
        match bytes.get(TPDU_CODE_AT) {
            None => Ok(None),
            Some(&(CONNECTION_REQUEST | CONNECTION_CONFIRM)) => {
                let decoded = x224::decode(bytes)?;
                Ok(decoded
                    .map(|(tpdu, length)| (Read { detail: negotiation(tpdu), then: Stage::Rdp }, length)))
            }
            Some(_) => Ok(next(Stage::Rdp)),
        }
    }
}

fn next(then: Stage) -> Option<(Read, usize)> {
    Some((Read { detail: None, then }, 0))
}

/// Passes over one byte between texts.
fn blank(then: Stage) -> Option<(Read, usize)> {
    Some((Read { detail: None, then }, 1))
}

fn is_blank(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace()
}

fn rdstls(from: Side, bytes: &[u8]) -> Decoded<Read> {
    let decoded = RdstlsPdu::decode(bytes)?;
    Ok(decoded.map(|(pdu, length)| {
        let is_last = match from {
            Side::Client => pdu.is_request(),
            Side::Server => matches!(pdu, RdstlsPdu::Response { .. }),
        };
        let then = if is_last { Stage::Opening } else { Stage::Rdstls };
        (Read { detail: Some(Detail::Rdstls(pdu)), then }, length)
    }))
}

fn rdsaad(from: Side, bytes: &[u8]) -> Decoded<Read> {
    let decoded = RdsAadPdu::decode(bytes)?;
    Ok(decoded.map(|(pdu, length)| {
        let is_last = match from {
            Side::Client => matches!(pdu, RdsAadPdu::AuthenticationRequest { .. }),
            Side::Server => matches!(pdu, RdsAadPdu::AuthenticationResult { .. }),
        };
        let then = if is_last { Stage::Opening } else { Stage::RdsAad };
        (Read { detail: Some(Detail::RdsAad(pdu)), then }, length)
    }))
}

fn negotiation(tpdu: Tpdu) -> Option<Detail> {
    match tpdu {
        Tpdu::ConnectionRequest(request) => Some(Detail::ConnectionRequest(Box::new(request))),
        Tpdu::ConnectionConfirm(confirm) => Some(Detail::ConnectionConfirm(confirm)),
        Tpdu::NegotiationFailure(failure) => Some(Detail::NegotiationFailure(failure)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
