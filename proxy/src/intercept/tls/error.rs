//! Why a handshake failed, and by whom.

use super::ending::StreamEnd;
use crate::trace::Side;
use crate::wire::tls::Alert;

/// What works where TLS cannot be terminated.
const PASSTHROUGH_WORKS: &str = "`--cert passthrough` works all the same";

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The other end of the leg.
    Peer,
    /// rdpscope, or what its TLS stack cannot do.
    Us,
    /// The peer, or something between it and us.
    PeerOrNetwork,
}

/// How a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The peer ended it in one of its ways; what it broke is in [`StreamEnd::Broken`].
    Ended(StreamEnd),
    /// Both sides are sound and have no version, cipher suite, group or signature scheme in common.
    NothingInCommon(String),
    /// The fault is ours, in the library's words.
    Ours(String),
    /// The second TLS stack is needed and was left out of this build.
    NoLegacyStack {
        /// What the peer needs, as in [`HandshakeError::needs_legacy`].
        need: String,
    },
}

/// A TLS handshake that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct HandshakeError {
    /// The other end of the leg.
    pub peer: Side,
    /// How it failed.
    pub failure: HandshakeFailure,
    /// The alert that we sent, where it went in clear.
    pub alert_sent: Option<Alert>,
    /// Why [`super::Stack::Legacy`] may succeed: what the peer needs, a clause such as `the server speaks nothing newer
    /// than TLS 1.0`. On a new connection, as this one is spent.
    pub needs_legacy: Option<String>,
    /// The server's certificates in DER, its own first, where they came before the failure.
    pub chain: Vec<Vec<u8>>,
}

impl HandshakeError {
    /// A failure with nothing more to say.
    pub(super) fn new(peer: Side, failure: HandshakeFailure) -> HandshakeError {
        HandshakeError { peer, failure, alert_sent: None, needs_legacy: None, chain: Vec::new() }
    }

    /// Who is at fault.
    pub fn fault(&self) -> Fault {
        match &self.failure {
            HandshakeFailure::Ended(StreamEnd::Reset | StreamEnd::Fin) => Fault::PeerOrNetwork,
            _ if self.needs_legacy.is_some() => Fault::Us,
            HandshakeFailure::Ended(_) | HandshakeFailure::NothingInCommon(_) => Fault::Peer,
            HandshakeFailure::Ours(_) | HandshakeFailure::NoLegacyStack { .. } => Fault::Us,
        }
    }

    /// The alert that the peer sent.
    pub fn alert_received(&self) -> Option<&Alert> {
        match &self.failure {
            HandshakeFailure::Ended(StreamEnd::Alert(alert)) => Some(alert),
            _ => None,
        }
    }

    /// Whether what the peer said was TLS.
    pub fn speaks_tls(&self) -> bool {
        match self.failure {
            HandshakeFailure::Ended(StreamEnd::Alert(_) | StreamEnd::CloseNotify)
            | HandshakeFailure::NothingInCommon(_) => true,
            HandshakeFailure::Ended(StreamEnd::Fin | StreamEnd::Reset) => !self.chain.is_empty(),
            _ => self.needs_legacy.is_some() || !self.chain.is_empty(),
        }
    }

    fn sentence(&self) -> String {
        let peer = self.peer;
        let what = match &self.failure {
            HandshakeFailure::Ended(end) => ended(peer, end),
            HandshakeFailure::NothingInCommon(reason) => {
                format!("the {peer} and rdpscope have nothing in common: {reason}")
            }
            HandshakeFailure::Ours(reason) => format!("rdpscope failed: {reason}"),
            HandshakeFailure::NoLegacyStack { need } => {
                return format!(
                    "TLS with the {peer} cannot be terminated: {need}, and this build has no second TLS stack, \
                     as the packages named legacy-tls have; {PASSTHROUGH_WORKS}"
                );
            }
        };
        format!("the TLS handshake with the {peer} failed: {what}")
    }
}

fn ended(peer: Side, end: &StreamEnd) -> String {
    match end {
        StreamEnd::CloseNotify => format!("the {peer} closed it with close_notify"),
        StreamEnd::Fin => format!("the {peer} closed the connection in the middle of it"),
        StreamEnd::Reset => format!("the {peer} reset the connection in the middle of it"),
        StreamEnd::Alert(alert) => format!("the {peer} sent the alert {}", name(alert)),
        StreamEnd::Broken(reason) => format!("what the {peer} sent cannot be read: {reason}"),
    }
}

/// The RFC's name of an alert, or its number.
pub(super) fn name(alert: &Alert) -> String {
    alert.description_name.as_deref().map_or_else(|| alert.description.to_string(), str::to_owned)
}
