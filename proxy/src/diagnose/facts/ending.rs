//! Who ended the session, how, and whether it looks as if the client refused the certificate.

use super::{Facts, Seen};
use crate::trace::{ClosedBy, How, Micros, Phase, Record, Side};

/// A program that refuses a certificate by itself does so within milliseconds; nobody reads a question and answers
/// it faster than this.
pub(crate) const AUTOMATIC_US: Micros = 2_000_000;

/// The end of the session.
#[derive(Debug, Default)]
pub(crate) struct Ending<'a> {
    /// Who ended it; absent where the record stops before the session does.
    pub(crate) by: Option<ClosedBy>,
    pub(crate) how: Option<How>,
    /// When the first side ended its direction, or the last thing happened.
    pub(crate) t_us: Micros,
    /// The first side that ended its direction.
    pub(crate) first: Option<(Side, How, Micros)>,
    /// For how long neither side had sent anything before.
    pub(crate) quiet: Option<Seen<Micros>>,
    /// Why rdpscope ended it.
    pub(crate) stopped: Option<&'a str>,
}

/// How the client's behaviour looks like a refusal of the certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// It said so with an alert that can be read.
    Alert { t_us: Micros, description: u8 },
    /// It left right after the server's part of the handshake and sent nothing more.
    Left {
        t_us: Micros,
        /// How long after the last message of the handshake.
        after_us: Micros,
        /// How much of that rdpscope may have added on request.
        added_us: Micros,
        /// What it said in TLS before.
        farewell: Option<&'static str>,
    },
}

impl Refusal {
    pub(crate) fn t_us(self) -> Micros {
        match self {
            Refusal::Alert { t_us, .. } | Refusal::Left { t_us, .. } => t_us,
        }
    }

    /// Whether it came too fast for a person to have decided it.
    pub(crate) fn is_automatic(self) -> bool {
        match self {
            Refusal::Alert { .. } => true,
            Refusal::Left { after_us, added_us, .. } => after_us < AUTOMATIC_US + added_us,
        }
    }
}

impl<'a> Facts<'a> {
    /// Derives who ended the session from the summary, and where that does not say it, from the events.
    pub(super) fn conclude_ending(&mut self, record: &'a Record) {
        let end = record.end.as_ref();
        let from_events = match self.ending.first {
            _ if self.ending.stopped.is_some() => Some((ClosedBy::Proxy, How::Fin)),
            Some((side, how, _)) => Some((ClosedBy::from(side), how)),
            None => None,
        };
        let stated = self.summary.closed_by.zip(self.summary.how);
        let stated = stated.or_else(|| end.and_then(|end| end.closed_by.zip(end.how)));
        if let Some((by, how)) = stated.or(from_events) {
            self.ending.by = Some(by);
            self.ending.how = Some(how);
        }
        if self.client_left_first() {
            self.ending.by = Some(ClosedBy::Client);
        }
        let last_event = record.events.iter().rev().find(|event| event.phase != Phase::Udp);
        self.ending.t_us = match self.ending.first {
            Some((_, _, t_us)) => t_us,
            None => end.map(|end| end.t_us).or(last_event.map(|event| event.t_us)).unwrap_or_default(),
        };
    }

    /// The server closed, but only in answer to an alert with which the client left. Nothing else in a session is as
    /// short as an alert, and neither side goes on after one.
    fn client_left_first(&self) -> bool {
        let [client, server] = self.tls.encrypted_alert;
        let by_server = self.ending.by == Some(ClosedBy::Server);
        let is_first = |alert: Micros| server.is_none_or(|server| alert < server);
        let farewell = client.or(self.tls.client_farewell.filter(|_| self.tls.opened));
        by_server && farewell.is_some_and(is_first)
    }

    /// Whether this side ended the session.
    pub(crate) fn ended_by(&self, side: Side) -> bool {
        self.ending.by == Some(ClosedBy::from(side))
    }

    /// How long the session lasted after `t_us`.
    pub(crate) fn left_after(&self, t_us: Micros) -> Micros {
        self.ending.t_us.saturating_sub(t_us)
    }

    /// Whether the session could be read and ended without a word of RDP: neither Set Error Info nor the ultimatum with
    /// which a server disconnects (MS-RDPBCGR 1.3.1.4).
    pub(crate) fn ends_unannounced(&self) -> bool {
        let inside = &self.inside;
        !inside.active_is_inferred && inside.ultimatum.is_none() && inside.error_info.is_none()
    }

    /// Whether, and how, the client's behaviour looks like a refusal of the certificate that it was shown.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let hello = self.tls.server_hello?;
        if let Some(alert) = self.tls.alert {
            let (from, description) = (alert.what.0, alert.what.1.description);
            return (from == Side::Client && names_certificate(description))
                .then_some(Refusal::Alert { t_us: alert.t_us, description });
        }
        let passed_through = self.tls.certificate.is_some() || hello.what.version == "TLS1.3";
        let showed_certificate =
            if self.tls.terminated { self.tls.presented.is_some() } else { passed_through };
        // Nobody comes to anything through a gateway in so short a time.
        let left_at_once = self.gateway_is_opaque()
            && self.tls.complete.is_some_and(|complete| self.left_after(complete) < AUTOMATIC_US);
        let would_be_seen = self.tls.complete.is_none() || self.inside_is_followed() || left_at_once;
        let nothing_more = would_be_seen && !self.client_accepted_certificate() && self.malformed.is_none();
        if !self.ended_by(Side::Client) || !showed_certificate || !nothing_more {
            return None;
        }
        let encrypted_alert = self.tls.encrypted_alert[Side::Client.index()];
        let farewell = match (encrypted_alert, self.tls.client_farewell) {
            (Some(_), _) => Some("an encrypted alert"),
            (None, Some(_)) => Some("close_notify, which names no reason,"),
            (None, None) => None,
        };
        let said = encrypted_alert.or(self.tls.client_farewell);
        let t_us = said.unwrap_or(self.ending.t_us).min(self.ending.t_us);
        let handshake = self.tls.last.iter().flatten().copied().chain(self.presented_us());
        let handshake = handshake.filter(|last| *last <= t_us).max();
        let after_us = t_us.saturating_sub(handshake.unwrap_or(hello.t_us));
        Some(Refusal::Left { t_us, after_us, added_us: self.impaired.delay_us, farewell })
    }

    /// When rdpscope showed the client its own certificate.
    pub(crate) fn presented_us(&self) -> Option<Micros> {
        self.tls.presented.as_ref().map(|presented| presented.certificate.t_us)
    }

    /// Whether the client went on after it had seen a certificate.
    pub(crate) fn client_accepted_certificate(&self) -> bool {
        self.inside.client_went_on.is_some() || self.inside.active.is_some()
    }
}

/// Whether an alert of RFC 8446 section 6 with this description refuses a certificate.
pub(super) fn names_certificate(description: u8) -> bool {
    matches!(description, 42..=46 | 48 | 49 | 113)
}
