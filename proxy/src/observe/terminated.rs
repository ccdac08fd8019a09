//! TLS that rdpscope terminates: two handshakes, one on each leg, and in clear what is inside.

use super::certificates;
use super::inside::InsideObserver;
use super::tls::{Seen, TlsObserver, malformed_detail};
use crate::trace::{Detail, Event, Micros, Phase, Side};
use crate::wire::Malformed;
use crate::wire::credssp::TsRequest;
use crate::wire::early_user_authorization;
use crate::wire::tls::Alert;

/// RDP_NEG_RSP.selectedProtocol for TLS with RDP right behind it.
const PROTOCOL_SSL: u32 = 1;

/// Follows both legs of a session whose TLS is terminated.
#[derive(Debug)]
pub struct TerminatedObserver {
    selected_protocol: Option<u32>,
    /// By the side whose leg it is.
    legs: [TlsObserver; 2],
    /// The server's certificate was told, in clear up to TLS 1.2.
    certificate_told: bool,
    alerted: [bool; 2],
    inside: InsideObserver,
    last_us: Option<Micros>,
}

impl TerminatedObserver {
    /// `selected_protocol`: RDP_NEG_RSP.selectedProtocol; `None` where TLS began without an X.224 negotiation.
    pub fn new(selected_protocol: Option<u32>) -> TerminatedObserver {
        TerminatedObserver {
            selected_protocol,
            legs: Default::default(),
            certificate_told: false,
            alerted: [false; 2],
            inside: InsideObserver::new(selected_protocol),
            last_us: None,
        }
    }

    /// When anything was last sent on either leg; absent again once a side has ended.
    pub(super) fn last_us(&self) -> Option<Micros> {
        self.last_us
    }

    /// RDP_NEG_RSP.selectedProtocol; `None` where TLS began without an X.224 negotiation.
    pub fn selected_protocol(&self) -> Option<u32> {
        self.selected_protocol
    }

    /// Bytes of TLS on the leg of `side`, sent by it or by us. Told is what a handshake shows in clear; of what is
    /// encrypted those who terminate it know better than its sizes tell.
    pub fn wire(&mut self, t_us: Micros, side: Side, sent_by_us: bool, bytes: &[u8], out: &mut Vec<Event>) {
        self.last_us = Some(t_us);
        let from = if sent_by_us { side.opposite() } else { side };
        let (certificate_told, alerted) = (&mut self.certificate_told, &mut self.alerted);
        self.legs[side.index()].data(from, bytes, &mut |seen| {
            let Seen::Event { detail, .. } = seen else { return };
            match &*detail {
                Detail::EncryptionStarted | Detail::HandshakeComplete | Detail::EncryptedAlert { .. } => {
                    return;
                }
                // Ours is told with the reason for it.
                Detail::Certificate { .. } if sent_by_us => return,
                Detail::Certificate { .. } => *certificate_told = true,
                Detail::Alert(alert) if !sent_by_us => alerted[side.index()] |= alert.is_fatal(),
                _ => {}
            }
            let from = (!sent_by_us).then_some(side);
            out.push(Event {
                t_us,
                leg: side.into(),
                from,
                connection: None,
                phase: Phase::Tls,
                inferred: false,
                detail: *detail,
            });
        });
    }

    /// The server is spoken to on a further connection: TLS begins anew there, and what it said on the first is over.
    pub fn server_again(&mut self) {
        self.legs[Side::Server.index()] = TlsObserver::default();
        self.alerted[Side::Server.index()] = false;
    }

    /// The certificates that the server showed (DER, its own first), unless they were readable on the wire.
    pub fn server_certificate(&mut self, t_us: Micros, chain: &[Vec<u8>], out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.certificate_told, true) {
            return;
        }
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let detail = certificates::describe(&chain);
        out.push(event(t_us, Side::Server, Phase::Tls, detail));
    }

    /// An alert of `from` that came encrypted and that whoever terminates TLS could read.
    pub fn alert(&mut self, t_us: Micros, from: Side, alert: Alert, out: &mut Vec<Event>) {
        self.alerted[from.index()] |= alert.is_fatal();
        out.push(event(t_us, from, Phase::Tls, Detail::Alert(alert)));
    }

    /// What `from` said inside TLS.
    pub fn plaintext(&mut self, t_us: Micros, from: Side, bytes: &[u8], out: &mut Vec<Event>) {
        self.inside.data(t_us, from, bytes, out);
    }

    /// A whole message of CredSSP on the leg of `side`, which has its own where rdpscope logs on by itself
    /// (`--nla terminate`). What follows inside is RDP.
    pub fn credssp(
        &mut self,
        t_us: Micros,
        side: Side,
        sent_by_us: bool,
        bytes: &[u8],
        out: &mut Vec<Event>,
    ) {
        self.inside = InsideObserver::new(Some(PROTOCOL_SSL));
        let from = (!sent_by_us).then_some(side);
        let detail = match credssp_message(bytes) {
            Ok(Some(detail)) => detail,
            Ok(None) => return,
            // The bytes themselves could be somebody's password.
            Err(malformed) => malformed_detail(&malformed, &[]),
        };
        out.push(Event {
            t_us,
            leg: side.into(),
            from,
            connection: None,
            phase: Phase::Credssp,
            inferred: false,
            detail,
        });
    }

    /// `from` ended its direction: what it had not said to the end is told.
    pub fn ended(&mut self, t_us: Micros, from: Side, out: &mut Vec<Event>) {
        self.last_us = None;
        self.inside.ended(t_us, from, out);
    }

    /// Whether nothing more can be learnt from what this side says inside.
    pub fn is_opaque(&self, from: Side) -> bool {
        self.inside.is_opaque(from)
    }

    /// Whether this side sent a fatal TLS alert.
    pub fn alerted(&self, from: Side) -> bool {
        self.alerted[from.index()]
    }

    /// Who announced the end with an MCS Disconnect Provider Ultimatum.
    pub fn announced_end(&self) -> Option<Side> {
        self.inside.announced_end()
    }
}

/// A TSRequest, or the four bytes of an Early User Authorization Result.
fn credssp_message(bytes: &[u8]) -> Result<Option<Detail>, Malformed> {
    if bytes.len() == early_user_authorization::LENGTH {
        let decoded = early_user_authorization::decode(bytes)?;
        let detail = |(result, length)| Detail::EarlyUserAuthorizationResult { length, result: Some(result) };
        return Ok(decoded.map(detail));
    }
    Ok(TsRequest::decode(bytes)?.map(|(request, _)| Detail::TsRequest(Box::new(request))))
}

fn event(t_us: Micros, from: Side, phase: Phase, detail: Detail) -> Event {
    Event { t_us, leg: from.into(), from: Some(from), connection: None, phase, inferred: false, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL_VERSION: &[u8] = &[21, 3, 1, 0, 2, 2, 70];

    fn server_hello() -> Vec<u8> {
        let body = [&[3, 2][..], &[7; 32], &[0, 0xc0, 0x13, 0]].concat();
        let message = [&[2, 0, 0, body.len() as u8][..], &body].concat();
        [&[22, 3, 2, 0, message.len() as u8][..], &message].concat()
    }

    #[test]
    fn on_a_further_connection_the_server_is_followed_from_its_beginning() {
        // What a server says in clear behind its alert, or half a record, ends what can be followed of the first.
        for rest in [&b"not TLS"[..], &[22, 3, 1, 1, 0, 1]] {
            let (mut observer, mut events) = (TerminatedObserver::new(None), Vec::new());
            let mut says = |observer: &mut TerminatedObserver, bytes: &[u8]| {
                observer.wire(0, Side::Server, false, bytes, &mut events);
                events.iter().any(|event| matches!(event.detail, Detail::ServerHello(_)))
            };
            says(&mut observer, &[PROTOCOL_VERSION, rest].concat());
            assert!(!says(&mut observer, &server_hello()) && observer.alerted(Side::Server));
            observer.server_again();
            assert!(says(&mut observer, &server_hello()) && !observer.alerted(Side::Server));
        }
    }
}
