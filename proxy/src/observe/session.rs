//! One direct RDP connection as it stands on the wire: negotiation, then TLS or RDP in clear.

use super::encrypted::{self, EncryptedObserver};
use super::opened::{OpenedTls, OpensTls};
use super::rdp::RdpObserver;
use super::rdp::follow::{event, follow};
use super::terminated::TerminatedObserver;
use super::tls::{Seen, TlsObserver, malformed_detail};
use crate::trace::{ClosedBy, Detail, Event, How, Micros, Phase, Side};
use crate::wire::Malformed;
use crate::wire::x224::{ConnectionConfirm, TPKT_HEADER_LENGTH, TPKT_VERSION, Tpdu};
use crate::wire::{greeting, preconnection, x224};

/// First byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// First byte of a TLS record with which no connection begins.
const TLS_CHANGE_CIPHER_SPEC: u8 = 0x14;
/// First byte of another such record.
const TLS_APPLICATION_DATA: u8 = 0x17;
/// Bytes of one side kept while the negotiation is incomplete. The longest thing awaited is a preconnection PDU with
/// its text; a connection request ends after 260 bytes.
const MOST_PENDING: usize = 160 * 1024;
/// A TLS alert in clear is one record of this length.
const TLS_ALERT_LENGTH: usize = 7;
/// Bytes shown of a protocol that is not RDP: enough to see what it is, too few to hold a secret of any known one.
/// So many are awaited, or the end of the stream.
const SHOWN_BYTES: usize = greeting::TELLING_LENGTH;
/// Of what nobody knows.
const SHOWN_OF_UNKNOWN: usize = 4;
/// So long a silence before the end is told: nothing on the way forgets a connection sooner.
pub(crate) const QUIET_US: Micros = 60_000_000;
/// RDP_NEG_RSP.selectedProtocol for standard RDP security.
const PROTOCOL_RDP: u32 = 0;

/// Follows a connection from its first byte.
#[derive(Debug, Default)]
pub struct SessionObserver {
    stage: Stage,
    /// What each side sent and the present stage has not taken: a structure that is not whole yet, or what the
    /// client sent without waiting for the server's answer.
    pending: [Vec<u8>; 2],
    preconnected: bool,
    /// The client's connection request went by.
    requested: bool,
    /// TLS does not pass through: rdpscope speaks it on both legs.
    terminates_tls: bool,
    /// Who may have the secrets of its TLS, until that begins.
    opener: Option<Box<dyn OpensTls>>,
    /// When either side last sent anything; absent again once a side has ended.
    last_us: Option<Micros>,
}

/// What becomes of the bytes to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// The negotiation goes on.
    Negotiating,
    /// TLS begins, and rdpscope terminates it.
    TlsToTerminate,
    /// They go on as they are.
    Relayed,
}

#[derive(Debug, Default)]
enum Stage {
    /// X.224, or whatever comes instead.
    #[default]
    Negotiation,
    /// TLS, with what is inside it known by sizes only.
    Tls { tls: Box<TlsObserver>, inside: EncryptedObserver },
    /// TLS that rdpscope terminates; its bytes come by other ways.
    Terminated(Box<TerminatedObserver>),
    /// TLS whose secrets may be known.
    Opened(Box<OpenedTls>),
    /// Standard RDP security.
    Rdp(Box<RdpObserver>),
    /// Nothing more can be told.
    Over,
}

impl SessionObserver {
    /// Follows a connection whose TLS rdpscope terminates: from there on [`SessionObserver::data`] only keeps what came
    /// too early, and the rest is told to [`SessionObserver::terminated`].
    pub fn terminating_tls() -> SessionObserver {
        SessionObserver { terminates_tls: true, ..SessionObserver::default() }
    }

    /// Follows a connection that was recorded; `opener` opens its TLS where it has the secrets.
    pub fn opening_tls(opener: Box<dyn OpensTls>) -> SessionObserver {
        SessionObserver { opener: Some(opener), ..SessionObserver::default() }
    }

    /// What becomes of the bytes to come.
    pub fn course(&self) -> Course {
        match &self.stage {
            Stage::Negotiation => Course::Negotiating,
            Stage::Terminated(_) => Course::TlsToTerminate,
            Stage::Tls { .. } | Stage::Opened(_) | Stage::Rdp(_) | Stage::Over => Course::Relayed,
        }
    }

    /// TLS will not be terminated after all.
    pub fn relay_as_is(&mut self) {
        self.terminates_tls = false;
        if let Stage::Terminated(_) = self.stage {
            self.stage = Stage::Over;
        }
    }

    /// The observer of both legs and of what is inside, once TLS is to be terminated.
    pub fn terminated(&mut self) -> Option<&mut TerminatedObserver> {
        match &mut self.stage {
            Stage::Terminated(terminated) => Some(terminated),
            _ => None,
        }
    }

    /// Bytes of `from` that are not part of anything told so far: the start of a structure, or what the client sent
    /// before the server's answer.
    pub fn held(&self, from: Side) -> usize {
        if self.terminates_tls { self.pending[from.index()].len() } else { 0 }
    }

    /// Takes what [`SessionObserver::held`] counts.
    pub fn take_held(&mut self, from: Side) -> Vec<u8> {
        std::mem::take(&mut self.pending[from.index()])
    }

    /// `bytes` that `from` sent; what they tell is added to `out`.
    pub fn data(&mut self, t_us: Micros, from: Side, bytes: &[u8], out: &mut Vec<Event>) {
        self.last_us = Some(t_us);
        match &mut self.stage {
            Stage::Negotiation => self.negotiation(t_us, from, bytes, out),
            Stage::Tls { tls, inside } => follow_tls(tls, inside, t_us, from, bytes, out),
            Stage::Terminated(_) => self.pending[from.index()].extend_from_slice(bytes),
            Stage::Opened(opened) => opened.data(t_us, from, bytes, out),
            Stage::Rdp(observer) => follow(observer, t_us, from, bytes, out),
            Stage::Over => {}
        }
    }

    /// `from` ended its direction.
    pub fn ended(&mut self, t_us: Micros, from: Side, how: How, out: &mut Vec<Event>) {
        let mut pending = std::mem::take(&mut self.pending[from.index()]);
        let mut last_us = self.last_us.take();
        if let Stage::Terminated(terminated) = &mut self.stage {
            pending.clear();
            last_us = last_us.max(terminated.last_us());
            terminated.ended(t_us, from, out);
        }
        if let Stage::Opened(opened) = &mut self.stage {
            opened.ended(t_us, from, out);
        }
        if !pending.is_empty() && self.is_other_protocol(from, &pending) {
            self.other_protocol(t_us, from, &pending, out);
            self.stage = Stage::Over;
        } else if !pending.is_empty() {
            let malformed = Malformed::new("X.224 negotiation", pending.len(), "ends too early");
            out.push(event(t_us, from, Phase::X224, malformed_detail(&malformed, &pending)));
        }
        let for_us = last_us.map_or(0, |last| t_us.saturating_sub(last));
        if for_us >= QUIET_US {
            out.push(event(t_us, from, Phase::Closed, Detail::Quiet { for_us }));
        }
        out.push(event(t_us, from, Phase::Closed, Detail::StreamEnded { how }));
    }

    /// Bytes of this side went by unseen.
    pub fn lost(&mut self, from: Side) {
        match &mut self.stage {
            Stage::Tls { tls, .. } => tls.lost(from),
            // Its framing was lost before; the other side may still be followed.
            Stage::Rdp(_) | Stage::Terminated(_) | Stage::Opened(_) => {}
            Stage::Negotiation | Stage::Over => self.stage = Stage::Over,
        }
    }

    /// Bytes of this side are not known, and what follows them may be: neither side is believed any more in what would
    /// be concluded from the order of its messages.
    pub fn interrupted(&mut self, t_us: Micros, from: Side, out: &mut Vec<Event>) {
        match &mut self.stage {
            Stage::Opened(opened) => opened.lost(t_us, from, out),
            Stage::Over => return,
            _ => {}
        }
        self.pending = Default::default();
        self.stage = Stage::Over;
    }

    /// Whether nothing more can be learnt from the bytes of this side.
    pub fn is_opaque(&self, from: Side) -> bool {
        match &self.stage {
            Stage::Negotiation => false,
            Stage::Tls { tls, inside } => inside.is_done() || tls.is_stopped(),
            Stage::Terminated(_) => false,
            Stage::Opened(opened) => opened.is_opaque(from),
            Stage::Rdp(observer) => observer.is_lost(from),
            Stage::Over => true,
        }
    }

    /// Whether this side sent a fatal TLS alert in clear.
    pub fn alerted(&self, from: Side) -> bool {
        match &self.stage {
            Stage::Tls { tls, .. } => tls.alerted(from),
            Stage::Terminated(terminated) => terminated.alerted(from),
            Stage::Opened(opened) => opened.alerted(from),
            _ => false,
        }
    }

    /// Who announced the end with an MCS Disconnect Provider Ultimatum in clear.
    pub fn announced_end(&self) -> Option<Side> {
        match &self.stage {
            Stage::Rdp(observer) => observer.announced_end(),
            Stage::Terminated(terminated) => terminated.announced_end(),
            Stage::Opened(opened) => opened.announced_end(),
            _ => None,
        }
    }

    /// Who ended the connection and how, where `first` was the first end of a direction, and `left_first` the side that was
    /// the first to take leave.
    pub fn ending(&self, first: Option<(Side, How)>, left_first: Option<Side>) -> Option<(ClosedBy, How)> {
        if let Some(side) = self.announced_end() {
            return Some((side.into(), How::McsUltimatum));
        }
        let (side, how) = first?;
        let other = side.opposite();
        Some(match left_first {
            _ if self.alerted(side) => (side.into(), How::Alert),
            Some(left) if left == other => {
                (other.into(), if self.alerted(other) { How::Alert } else { How::Fin })
            }
            _ => (side.into(), how),
        })
    }

    fn negotiation(&mut self, t_us: Micros, from: Side, bytes: &[u8], out: &mut Vec<Event>) {
        let mut pending = std::mem::take(&mut self.pending[from.index()]);
        let (taken, rest) = bytes.split_at(bytes.len().min(MOST_PENDING - pending.len()));
        pending.extend_from_slice(taken);
        let mut used = 0;
        let next = loop {
            match self.negotiate(t_us, from, &pending[used..], out) {
                Step::NeedMore if rest.is_empty() || used > 0 => break None,
                Step::NeedMore => {
                    break Some(self.over(t_us, from, "too much was sent before the negotiation ended", out));
                }
                Step::Consumed(count) => used += count,
                Step::Next(stage, count) => {
                    used += count;
                    break Some(stage);
                }
            }
        };
        pending.drain(..used);
        self.pending[from.index()] = pending;
        if let Some(stage) = next {
            self.enter(stage, t_us, from, out);
        }
        if !rest.is_empty() {
            self.data(t_us, from, rest, out);
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
        if from == Side::Client && self.requested {
            return Step::NeedMore;
        }
        if first == TPKT_VERSION {
            return self.tpkt(t_us, from, pending, out);
        }
        if first == TLS_HANDSHAKE && from == Side::Client {
            out.push(event(t_us, from, Phase::Tls, Detail::DirectTls));
            return Step::Next(self.tls_stage(None), 0);
        }
        if self.may_be_preconnection(from, pending) {
            match preconnection::decode(pending) {
                Ok(Some((pdu, consumed))) => {
                    self.preconnected = true;
                    out.push(event(t_us, from, Phase::X224, Detail::PreconnectionPdu(pdu)));
                    return Step::Consumed(consumed);
                }
                Ok(None) => return Step::NeedMore,
                Err(_) => {}
            }
        }
        let telling = if let [0x15, 3, ..] = pending { TLS_ALERT_LENGTH } else { SHOWN_BYTES };
        let Some(shown) = pending.get(..telling) else { return Step::NeedMore };
        self.other_protocol(t_us, from, shown, out);
        Step::Next(Stage::Over, 0)
    }

    fn may_be_preconnection(&self, from: Side, pending: &[u8]) -> bool {
        from == Side::Client && !self.preconnected && preconnection::may_start(pending)
    }

    /// Whether these bytes, after which no more come, are neither X.224 nor what may stand before it.
    fn is_other_protocol(&self, from: Side, pending: &[u8]) -> bool {
        let early = from == Side::Client && self.requested;
        !early && pending.first() != Some(&TPKT_VERSION) && !self.may_be_preconnection(from, pending)
    }

    fn tpkt(&mut self, t_us: Micros, from: Side, pending: &[u8], out: &mut Vec<Event>) -> Step {
        match x224::decode(pending) {
            Ok(None) => Step::NeedMore,
            Ok(Some((tpdu, consumed))) => self.tpdu(t_us, from, tpdu, consumed, out),
            Err(malformed) => {
                // Of a header that announces no packet nothing else is shown: more may have come with it by chance.
                let length = x224::packet_length(pending).unwrap_or(TPKT_HEADER_LENGTH);
                let packet = pending.get(..length).unwrap_or_default();
                out.push(event(t_us, from, Phase::X224, malformed_detail(&malformed, packet)));
                Step::Next(self.over(t_us, from, "the X.224 negotiation cannot be read", out), 0)
            }
        }
    }

    fn tpdu(&mut self, t_us: Micros, from: Side, tpdu: Tpdu, consumed: usize, out: &mut Vec<Event>) -> Step {
        let mut say = |detail| out.push(event(t_us, from, Phase::X224, detail));
        match (from, tpdu) {
            (Side::Client, Tpdu::ConnectionRequest(request)) => {
                self.requested = true;
                say(Detail::ConnectionRequest(Box::new(request)));
                Step::Consumed(consumed)
            }
            (Side::Server, Tpdu::ConnectionConfirm(confirm)) => {
                let stage = self.stage_after(&confirm);
                say(Detail::ConnectionConfirm(confirm));
                Step::Next(stage, consumed)
            }
            (Side::Server, Tpdu::NegotiationFailure(failure)) => {
                say(Detail::NegotiationFailure(failure));
                Step::Next(Stage::Over, consumed)
            }
            (_, Tpdu::DisconnectRequest { reason }) => {
                say(Detail::DisconnectRequest { reason });
                Step::Next(Stage::Over, consumed)
            }
            (_, tpdu) => {
                let code = tpdu.code();
                let reason = format!("X.224 TPDU {code:#04x} of the {from} has no place in the negotiation");
                Step::Next(self.over(t_us, from, &reason, out), 0)
            }
        }
    }

    fn stage_after(&mut self, confirm: &ConnectionConfirm) -> Stage {
        match confirm.selected_protocol.unwrap_or(PROTOCOL_RDP) {
            PROTOCOL_RDP => Stage::Rdp(Box::new(RdpObserver::new(false))),
            protocol => self.tls_stage(Some(protocol)),
        }
    }

    fn tls_stage(&mut self, protocol: Option<u32>) -> Stage {
        if self.terminates_tls {
            return Stage::Terminated(Box::new(TerminatedObserver::new(protocol)));
        }
        if let Some(opener) = self.opener.take() {
            return Stage::Opened(Box::new(OpenedTls::new(opener, protocol)));
        }
        Stage::Tls { tls: Box::default(), inside: EncryptedObserver::new(protocol) }
    }

    fn other_protocol(&self, t_us: Micros, from: Side, pending: &[u8], out: &mut Vec<Event>) {
        if let [TLS_CHANGE_CIPHER_SPEC | TLS_APPLICATION_DATA, 3, ..] = pending {
            self.over(t_us, from, "TLS whose beginning was not seen", out);
            return;
        }
        let protocol = match pending {
            [0x15, 3, ..] => Some("TLS alert"),
            [TLS_HANDSHAKE, 3, ..] => Some("TLS"),
            _ => greeting::recognise(pending),
        };
        // An unknown client's words may be a logon, as `AUTH` and `PASS` of some protocols are.
        let shown = if from == Side::Client && protocol.is_none() { SHOWN_OF_UNKNOWN } else { SHOWN_BYTES };
        let detail = Detail::OtherProtocol {
            protocol: protocol.map(str::to_owned),
            first_bytes: hex::encode(&pending[..pending.len().min(shown)]),
        };
        out.push(event(t_us, from, Phase::X224, detail));
        self.over(t_us, from, "this is not RDP", out);
    }

    fn over(&self, t_us: Micros, from: Side, reason: &str, out: &mut Vec<Event>) -> Stage {
        out.push(event(t_us, from, Phase::X224, Detail::ObservationStopped { reason: reason.to_owned() }));
        Stage::Over
    }
}

/// What became of the bytes at the front.
enum Step {
    NeedMore,
    Consumed(usize),
    Next(Stage, usize),
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
