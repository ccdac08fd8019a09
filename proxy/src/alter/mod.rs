//! The declared changes of a session: bytes are patched in place, nothing is encoded anew, no length changes, and
//! each change leaves a record.
//!
//! A [`Gate`] stands in both byte streams of a session, first in the X.224 negotiation in clear, then a second one in
//! what is inside terminated TLS. It holds a message back only while something in it may still be changed; whatever
//! is malformed, too long or unexpected opens it, and what was held goes on as it came. CredSSP messages go on whole,
//! one by one, even where nothing is to be changed: servers of Windows expect one TSRequest in one TLS record.
//!
//! What stands before the first TPKT inside TLS is told by its first byte: TSRequests by their DER length, the Early
//! User Authorization Result by its four bytes, RDSTLS PDUs by their own lengths, RDS-AAD by JSON having no byte 03.
//! RDSTLS and RDS-AAD are skipped so that the Connect Initial behind them is found; without a change to make they are
//! not looked at.
//!
//! CS_CORE.serverSelectedProtocol is never touched: the client repeats RDP_NEG_RSP.selectedProtocol in it, that
//! structure reaches the client as the server sent it, and so the server finds its own choice (MS-RDPBCGR 2.2.1.3.2).

mod change;
mod framing;
pub mod gateway;
pub mod impair;
#[cfg(test)]
mod tests;

use crate::trace::{Altered, Micros, NLA_STRIP, Phase, Side, UDP_OFF};
use crate::wire::x224::{self, ConnectionConfirm, Tpdu};
use crate::wire::{Malformed, gcc, mcs};
use change::{Patch, Requested, Strip};
use framing::{Before, DATA_HEADER_LENGTH, Kind};

/// RDP_NEG_RSP.selectedProtocol for standard RDP security.
const PROTOCOL_RDP: u32 = 0;
/// First byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// What is to be changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Alterations {
    /// HYBRID and HYBRID_EX are taken out of RDP_NEG_REQ.requestedProtocols, and SC_CORE.clientRequestedProtocols is
    /// given back what the client asked for.
    pub strip_nla: bool,
    /// The flags of CS_MULTITRANSPORT and SC_MULTITRANSPORT are cleared, so that neither side offers UDP.
    pub udp_off: bool,
}

/// What the gate did, or could not do.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Bytes were changed.
    Altered(Altered),
    /// A change that was asked for was not made.
    NotAltered(NotAltered),
}

/// A change that was asked for and not made; the bytes went on as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAltered {
    /// When.
    pub t_us: Micros,
    /// Who sent what was to be changed.
    pub from: Side,
    /// On which connection of the attempt, where an attempt can have several.
    pub connection: Option<u32>,
    /// The phase it belongs to.
    pub phase: Phase,
    /// The setting that asked for the change.
    pub setting: &'static str,
    /// Why it was not made.
    pub reason: String,
}

#[derive(Debug, Default)]
struct Direction {
    /// What may stand before the next TPKT.
    before: Before,
    /// The start of a message that is not whole yet, at most the longest that [`framing`] lets through.
    held: Vec<u8>,
    /// Everything goes on as it comes.
    open: bool,
}

/// Stands in the byte streams of one session: bytes in, messages that may go on out.
#[derive(Debug)]
pub struct Gate {
    alterations: Alterations,
    /// What follows is MCS, with what stands before it inside TLS.
    mcs_is_next: bool,
    /// The client's RDP_NEG_REQ is still to come, and to be changed.
    awaits_request: bool,
    /// What RDP_NEG_REQ said and what was made of it, where it was changed.
    requested: Option<Requested>,
    directions: [Direction; 2],
}

impl Gate {
    /// For the X.224 negotiation in clear, and for MCS behind it where the server selects PROTOCOL_RDP.
    pub fn for_negotiation(alterations: Alterations) -> Gate {
        let client = Direction { before: Before::Preconnection, ..Direction::default() };
        Gate {
            alterations,
            mcs_is_next: false,
            awaits_request: alterations.strip_nla,
            requested: None,
            directions: [client, Direction::default()],
        }
    }

    /// The gate for what is inside TLS, with what this one remembers of the negotiation. `selected_protocol` is that of
    /// RDP_NEG_RSP, `None` where TLS began without X.224. What this gate still holds is [`Gate::flush`]ed from it.
    pub fn inside_tls(&self, selected_protocol: Option<u32>) -> Gate {
        let direction =
            || Direction { before: Before::inside_tls(selected_protocol), ..Direction::default() };
        Gate {
            alterations: self.alterations,
            mcs_is_next: true,
            awaits_request: false,
            requested: self.requested,
            directions: [direction(), direction()],
        }
    }

    /// Takes the bytes that `from` sent at `t_us`. What may go on is appended to `out`, to be written one entry with one
    /// write; what was changed, or could not be, to `notes`.
    pub fn pass(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<Vec<u8>>,
        notes: &mut Vec<Note>,
    ) {
        let mut held = std::mem::take(&mut self.directions[from.index()].held);
        held.extend_from_slice(bytes);
        let mut used = 0;
        while used < held.len() && !self.has_nothing_to_do(from) {
            let rest = &held[used..];
            match framing::next_message(&mut self.directions[from.index()].before, from, rest) {
                // It was watched for its TSRequests alone, and they are over.
                Ok(Some((Kind::Tpkt, _))) if self.has_nothing_to_do(from) => break,
                Ok(Some((kind, length))) => {
                    let Some(message) = rest.get(..length) else { break };
                    let mut message = message.to_vec();
                    if kind == Kind::Tpkt
                        && let Err(malformed) = self.packet(t_us, from, &mut message, notes)
                    {
                        self.give_up(t_us, from, rest, &malformed, notes);
                    }
                    out.push(message);
                    used += length;
                }
                Ok(None) => break,
                Err(malformed) => self.give_up(t_us, from, rest, &malformed, notes),
            }
        }
        held.drain(..used);
        if self.has_nothing_to_do(from) && !held.is_empty() {
            out.push(std::mem::take(&mut held));
        }
        self.directions[from.index()].held = held;
    }

    /// Of `from` nothing is held and nothing more will be held or changed: the caller may copy past the gate.
    pub fn is_open(&self, from: Side) -> bool {
        self.has_nothing_to_do(from) && self.directions[from.index()].held.is_empty()
    }

    /// What is still held of `from`, whose stream ended in the middle of a message, goes on as it is.
    pub fn flush(&mut self, from: Side, out: &mut Vec<Vec<u8>>) {
        let direction = &mut self.directions[from.index()];
        direction.open = true;
        let held = std::mem::take(&mut direction.held);
        if !held.is_empty() {
            out.push(held);
        }
    }

    fn has_nothing_to_do(&self, from: Side) -> bool {
        let direction = &self.directions[from.index()];
        direction.open || !self.wants_packets(from) && !direction.before.is_credssp()
    }

    fn wants_packets(&self, from: Side) -> bool {
        let gives_back = from == Side::Server && self.requested.is_some();
        self.alterations.udp_off || self.awaits_request || gives_back
    }

    /// Changes a whole TPKT packet where it is one that is to be changed.
    fn packet(
        &mut self,
        t_us: Micros,
        from: Side,
        packet: &mut [u8],
        notes: &mut Vec<Note>,
    ) -> Result<(), Malformed> {
        if framing::is_data(packet) {
            return self.connect(t_us, from, packet, notes);
        }
        let Some((tpdu, _)) = x224::decode(packet)? else { return Ok(()) };
        match (from, tpdu) {
            (Side::Client, Tpdu::ConnectionRequest(request)) if self.awaits_request => {
                self.awaits_request = false;
                match change::strip_nla(packet, &request) {
                    Strip::Nothing => {}
                    Strip::Impossible(reason) => {
                        notes.push(not_altered(t_us, from, Phase::X224, NLA_STRIP, reason.to_owned()));
                    }
                    Strip::Made(requested, patch) => {
                        self.requested = Some(requested);
                        notes.push(Note::Altered(patch.apply(t_us, from, packet)));
                    }
                }
            }
            (Side::Server, Tpdu::ConnectionConfirm(confirm)) if !self.mcs_is_next => self.confirmed(&confirm),
            (Side::Server, Tpdu::NegotiationFailure(_)) => self.open_both(),
            _ => {}
        }
        Ok(())
    }

    /// Behind the confirm comes MCS in clear, or TLS, which is not this gate's.
    fn confirmed(&mut self, confirm: &ConnectionConfirm) {
        match confirm.selected_protocol.unwrap_or(PROTOCOL_RDP) {
            PROTOCOL_RDP => self.mcs_is_next = true,
            _ => self.open_both(),
        }
    }

    fn open_both(&mut self) {
        self.directions.iter_mut().for_each(|direction| direction.open = true);
    }

    /// Connect Initial or Connect Response: the last that is changed of a direction.
    fn connect(
        &mut self,
        t_us: Micros,
        from: Side,
        packet: &mut [u8],
        notes: &mut Vec<Note>,
    ) -> Result<(), Malformed> {
        let pdu = packet.get(DATA_HEADER_LENGTH..).unwrap_or_default();
        let blocks = match mcs::decode(pdu)? {
            mcs::McsPdu::ConnectInitial(connect) => gcc::client_blocks(pdu, &connect)?.blocks,
            mcs::McsPdu::ConnectResponse(connect) => gcc::server_blocks(pdu, &connect)?.blocks,
            _ => {
                return Err(Malformed::new(
                    "connectMCSPDU",
                    0,
                    "neither Connect Initial nor Connect Response",
                ));
            }
        };
        let gives_back = self.requested.filter(|_| from == Side::Server);
        let patches = [
            self.alterations.udp_off.then(|| change::udp_off(from, pdu, &blocks)).flatten(),
            gives_back.and_then(|requested| change::give_back(requested, pdu, &blocks)),
        ];
        let made = patches.into_iter().flatten().map(|patch: Patch| patch.apply(t_us, from, packet));
        notes.extend(made.map(Note::Altered));
        self.directions[from.index()].open = true;
        Ok(())
    }

    /// From here on the bytes of `from`, of which `rest` cannot be read, go on as they come. What was still to be changed
    /// is said; of a connection that never gets to MCS, nothing was in what belongs there.
    fn give_up(
        &mut self,
        t_us: Micros,
        from: Side,
        rest: &[u8],
        malformed: &Malformed,
        notes: &mut Vec<Note>,
    ) {
        self.directions[from.index()].open = true;
        let reason = match rest.first() {
            Some(&TLS_HANDSHAKE) if !self.mcs_is_next => {
                "the client begins with TLS and negotiates nothing".to_owned()
            }
            _ => format!("what the {from} sent is not what was awaited: {malformed}"),
        };
        if from == Side::Client && std::mem::take(&mut self.awaits_request) {
            notes.push(not_altered(t_us, from, Phase::X224, NLA_STRIP, reason.clone()));
        }
        let was_to_give_back = from == Side::Server && self.requested.is_some();
        let settings = [(was_to_give_back, NLA_STRIP), (self.alterations.udp_off, UDP_OFF)];
        for (_, setting) in settings.into_iter().filter(|(asked, _)| *asked && self.mcs_is_next) {
            notes.push(not_altered(t_us, from, Phase::Mcs, setting, reason.clone()));
        }
    }
}

fn not_altered(t_us: Micros, from: Side, phase: Phase, setting: &'static str, reason: String) -> Note {
    Note::NotAltered(NotAltered { t_us, from, connection: None, phase, setting, reason })
}
