//! One direct RDP connection as it stands on the wire: negotiation, then TLS or RDP in clear.

use super::encrypted::{self, EncryptedObserver};
use super::rdp::{self, RdpObserver};
use super::tls::{Seen, TlsObserver, malformed_detail};
use crate::trace::{Detail, Event, How, Micros, Phase, Side};
use crate::wire::rdp::RdpMessage;
use crate::wire::x224::{ConnectionConfirm, TPKT_VERSION, Tpdu};
use crate::wire::{greeting, preconnection, x224};

/// First byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// First byte of a TLS record with which no connection begins.
const TLS_CHANGE_CIPHER_SPEC: u8 = 0x14;
/// First byte of another such record.
const TLS_APPLICATION_DATA: u8 = 0x17;
/// Bytes of one side kept while its negotiation is incomplete. The longest thing awaited is a preconnection PDU with
/// its text; a connection request ends after 260 bytes.
const MOST_PENDING: usize = 160 * 1024;
/// Bytes shown of a protocol that is not RDP: enough to see what it is, too few to hold a secret of any known one.
const SHOWN_BYTES: usize = 16;
/// RDP_NEG_RSP.selectedProtocol for standard RDP security.
const PROTOCOL_RDP: u32 = 0;

/// Follows a connection from its first byte.
#[derive(Debug, Default)]
pub struct SessionObserver {
    stage: Stage,
    pending: [Vec<u8>; 2],
    client_spoke: bool,
}

#[derive(Debug, Default)]
enum Stage {
    /// X.224, or whatever comes instead.
    #[default]
    Negotiation,
    /// TLS, with what is inside it known by sizes only.
    Tls { tls: Box<TlsObserver>, inside: EncryptedObserver },
    /// Standard RDP security.
    Rdp(Box<RdpObserver>),
    /// Nothing more can be told.
    Over,
}

impl SessionObserver {
    /// `bytes` that `from` sent; what they tell is added to `out`.
    pub fn data(&mut self, t_us: Micros, from: Side, bytes: &[u8], out: &mut Vec<Event>) {
        match &mut self.stage {
            Stage::Negotiation => self.negotiation(t_us, from, bytes, out),
            Stage::Tls { tls, inside } => follow_tls(tls, inside, t_us, from, bytes, out),
            Stage::Rdp(observer) => follow_rdp(observer, t_us, from, bytes, out),
            Stage::Over => {}
        }
    }

    /// `from` ended its direction.
    pub fn ended(&mut self, t_us: Micros, from: Side, how: How, out: &mut Vec<Event>) {
        let pending = std::mem::take(&mut self.pending[from.index()]);
        if may_be_negotiation(from, &pending) {
            let malformed = crate::wire::Malformed::new("X.224 negotiation", pending.len(), "ends too early");
            out.push(event(t_us, from, Phase::X224, malformed_detail(&malformed, &pending)));
        } else if !pending.is_empty()
            && let Step::Next(stage, _) = self.other_protocol(t_us, from, &pending, out)
        {
            self.stage = stage;
        }
        out.push(event(t_us, from, Phase::Closed, Detail::StreamEnded { how }));
    }

    /// Bytes of this side went by unseen.
    pub fn lost(&mut self, from: Side) {
        match &mut self.stage {
            Stage::Tls { tls, .. } => tls.lost(from),
            _ => self.stage = Stage::Over,
        }
    }

    /// Whether nothing more can be learnt from the bytes of either side.
    pub fn is_opaque(&self) -> bool {
        match &self.stage {
            Stage::Negotiation => false,
            Stage::Tls { inside, .. } => inside.is_done(),
            Stage::Rdp(observer) => observer.is_lost(Side::Client) && observer.is_lost(Side::Server),
            Stage::Over => true,
        }
    }

    /// Whether this side sent a fatal TLS alert in clear.
    pub fn alerted(&self, from: Side) -> bool {
        matches!(&self.stage, Stage::Tls { tls, .. } if tls.alerted(from))
    }

    /// Whether this side announced the end with an MCS Disconnect Provider Ultimatum in clear.
    pub fn announced_end(&self) -> bool {
        matches!(&self.stage, Stage::Rdp(observer) if observer.announced_end())
    }

    fn negotiation(&mut self, t_us: Micros, from: Side, bytes: &[u8], out: &mut Vec<Event>) {
        let room = MOST_PENDING.saturating_sub(self.pending[from.index()].len());
        self.pending[from.index()].extend_from_slice(&bytes[..bytes.len().min(room)]);
        loop {
            let pending = std::mem::take(&mut self.pending[from.index()]);
            match self.negotiate(t_us, from, &pending, out) {
                Step::NeedMore => {
                    self.pending[from.index()] = pending;
                    return;
                }
                Step::Consumed(0) => return,
                Step::Consumed(count) => self.pending[from.index()] = pending[count..].to_vec(),
                Step::Next(stage, consumed) => {
                    self.pending[from.index()] = pending[consumed..].to_vec();
                    return self.enter(stage, t_us, from, out);
                }
            }
        }
    }

    /// What both sides had already sent belongs to the new stage.
    fn enter(&mut self, stage: Stage, t_us: Micros, from: Side, out: &mut Vec<Event>) {
        self.stage = stage;
        for side in [from.opposite(), from] {
            let early = std::mem::take(&mut self.pending[side.index()]);
            if !early.is_empty() {
                self.data(t_us, side, &early, out);
            }
        }
    }

    fn negotiate(&mut self, t_us: Micros, from: Side, pending: &[u8], out: &mut Vec<Event>) -> Step {
        let Some(&first) = pending.first() else { return Step::NeedMore };
        if first == TPKT_VERSION {
            return self.tpkt(t_us, from, pending, out);
        }
        if first == TLS_HANDSHAKE && from == Side::Client && !self.client_spoke {
            out.push(event(t_us, from, Phase::Tls, Detail::DirectTls));
            return Step::Next(tls_stage(None), 0);
        }
        if from == Side::Client && !self.client_spoke && preconnection::may_start(pending) {
            match preconnection::decode(pending) {
                Ok(Some((pdu, consumed))) => {
                    out.push(event(t_us, from, Phase::X224, Detail::PreconnectionPdu(pdu)));
                    return Step::Consumed(consumed);
                }
                Ok(None) => return Step::NeedMore,
                Err(_) => {}
            }
        }
        if pending.len() < greeting::TELLING_LENGTH {
            return Step::NeedMore;
        }
        self.other_protocol(t_us, from, pending, out)
    }

    fn tpkt(&mut self, t_us: Micros, from: Side, pending: &[u8], out: &mut Vec<Event>) -> Step {
        match x224::decode(pending) {
            Ok(None) => Step::NeedMore,
            Ok(Some((tpdu, consumed))) => self.tpdu(t_us, from, tpdu, consumed, out),
            Err(malformed) => {
                out.push(event(t_us, from, Phase::X224, malformed_detail(&malformed, pending)));
                self.over(t_us, from, "the X.224 negotiation cannot be read", out)
            }
        }
    }

    fn tpdu(&mut self, t_us: Micros, from: Side, tpdu: Tpdu, consumed: usize, out: &mut Vec<Event>) -> Step {
        self.client_spoke |= from == Side::Client;
        let mut say = |detail| out.push(event(t_us, from, Phase::X224, detail));
        match tpdu {
            Tpdu::ConnectionRequest(request) => {
                say(Detail::ConnectionRequest(request));
                Step::Consumed(consumed)
            }
            Tpdu::ConnectionConfirm(confirm) => {
                let stage = stage_after(&confirm);
                say(Detail::ConnectionConfirm(confirm));
                Step::Next(stage, consumed)
            }
            Tpdu::NegotiationFailure(failure) => {
                say(Detail::NegotiationFailure(failure));
                Step::Next(Stage::Over, consumed)
            }
            Tpdu::DisconnectRequest { reason } => {
                say(Detail::DisconnectRequest { reason });
                Step::Next(Stage::Over, consumed)
            }
            Tpdu::Other { code } => {
                let reason = format!("X.224 TPDU {code:#04x} has no place in the negotiation");
                self.over(t_us, from, &reason, out)
            }
        }
    }

    fn other_protocol(&mut self, t_us: Micros, from: Side, pending: &[u8], out: &mut Vec<Event>) -> Step {
        if let [TLS_CHANGE_CIPHER_SPEC | TLS_APPLICATION_DATA, 3, ..] = pending {
            return self.over(t_us, from, "TLS whose beginning was not seen", out);
        }
        let protocol = match pending {
            [0x15, 3, ..] => Some("TLS alert"),
            [TLS_HANDSHAKE, 3, ..] => Some("TLS"),
            _ => greeting::recognise(pending),
        };
        let detail = Detail::OtherProtocol {
            protocol: protocol.map(str::to_owned),
            first_bytes: hex::encode(&pending[..pending.len().min(SHOWN_BYTES)]),
        };
        out.push(event(t_us, from, Phase::X224, detail));
        self.over(t_us, from, "this is not RDP", out)
    }

    fn over(&mut self, t_us: Micros, from: Side, reason: &str, out: &mut Vec<Event>) -> Step {
        out.push(event(t_us, from, Phase::X224, Detail::ObservationStopped { reason: reason.to_owned() }));
        Step::Next(Stage::Over, 0)
    }
}

/// Whether these first bytes are the beginning of something that this observer waits for.
fn may_be_negotiation(from: Side, pending: &[u8]) -> bool {
    match pending.first() {
        None => false,
        Some(&TPKT_VERSION) => true,
        Some(_) => from == Side::Client && preconnection::may_start(pending),
    }
}

/// What became of the bytes at the front.
enum Step {
    NeedMore,
    Consumed(usize),
    Next(Stage, usize),
}

fn stage_after(confirm: &ConnectionConfirm) -> Stage {
    match confirm.selected_protocol.unwrap_or(PROTOCOL_RDP) {
        PROTOCOL_RDP => Stage::Rdp(Box::new(RdpObserver::new(false))),
        protocol => tls_stage(Some(protocol)),
    }
}

fn tls_stage(protocol: Option<u32>) -> Stage {
    Stage::Tls { tls: Box::default(), inside: EncryptedObserver::new(protocol) }
}

fn follow_tls(
    tls: &mut TlsObserver,
    inside: &mut EncryptedObserver,
    t_us: Micros,
    from: Side,
    bytes: &[u8],
    out: &mut Vec<Event>,
) {
    tls.data(from, bytes, &mut |seen| match seen {
        Seen::Event { detail, inferred } => {
            out.push(Event { inferred, ..event(t_us, from, Phase::Tls, *detail) });
        }
        Seen::ApplicationData { plaintext, may_be_ticket } => {
            inside.record(encrypted::Seen { t_us, from, length: plaintext }, may_be_ticket, out);
        }
    });
}

fn follow_rdp(observer: &mut RdpObserver, t_us: Micros, from: Side, bytes: &[u8], out: &mut Vec<Event>) {
    let mut messages = Vec::new();
    observer.data(from, bytes, &mut messages);
    for message in messages {
        let phase = rdp::phase(&message).unwrap_or_else(|| observer.phase());
        let detail = match message {
            RdpMessage::FastPathStarted => Detail::SessionTraffic,
            RdpMessage::Malformed { structure, offset, reason } => {
                Detail::Malformed { structure, offset, reason, bytes: String::new() }
            }
            message => Detail::Rdp(Box::new(message)),
        };
        out.push(event(t_us, from, phase, detail));
    }
}

fn event(t_us: Micros, from: Side, phase: Phase, detail: Detail) -> Event {
    Event { t_us, leg: from.into(), from: Some(from), phase, inferred: false, detail }
}
