//! How far a session got, in steps that can be told apart whether or not rdpscope reads what is inside TLS.

use super::untried::{is_through_gateway, passes_tls};
use crate::trace::{Micros, Outcome, Phase, Record, Verdict, VerdictId};

/// A client that stays with a gateway for so long has gone on behind its certificate, µs. One that leaves sooner may have
/// refused that, or been refused itself.
const STAYS_US: Micros = 2_000_000;

/// How far a session got. Where TLS passes through, the phases inside it are only inferred, so that they are one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The server was not reached, or did not speak.
    Network,
    /// It ended in TLS with the gateway, or right after it: at its certificate.
    GatewayTls,
    /// It ended on the way through the gateway.
    Gateway,
    /// It ended in the X.224 negotiation.
    Negotiation,
    /// It ended in TLS, or right after it: at the certificate.
    Tls,
    /// It ended in CredSSP or what stands in its place.
    Credssp,
    /// It ended between there and the desktop.
    Inside,
    /// There was a desktop, and then a fault.
    Desktop,
    /// It worked.
    Works,
    /// The client went on behind the certificate of a gateway, in TLS that passes through: what came of it is not seen.
    Unseen,
}

impl Depth {
    /// How far the session of a finished record got.
    pub fn of(record: &Record) -> Depth {
        let is_fault = record.verdict.as_ref().is_some_and(Verdict::is_fault);
        let reached = record.summary.as_ref().and_then(|summary| summary.reached);
        match began(record) {
            // A client may speak before it is known that the server cannot be reached.
            _ if reached < Some(Phase::Tcp) => Depth::Network,
            _ if reached >= Some(Phase::Active) => {
                if is_fault {
                    Depth::Desktop
                } else {
                    Depth::Works
                }
            }
            Some(Phase::GatewayTls) => behind_tls(record),
            Some(phase) if phase > Phase::Tcp && phase < Phase::X224 => Depth::Gateway,
            Some(Phase::X224) => Depth::Negotiation,
            Some(Phase::Tls) => Depth::Tls,
            Some(Phase::Credssp) => Depth::Credssp,
            Some(phase) if phase > Phase::Credssp => Depth::Inside,
            _ => Depth::Network,
        }
    }

    /// The place where it ended, after a verb.
    pub fn place(self) -> &'static str {
        match self {
            Depth::Network => "before the server spoke",
            Depth::GatewayTls => "in TLS with the gateway",
            Depth::Gateway => "on the way through the gateway",
            Depth::Negotiation => "in the X.224 negotiation",
            Depth::Tls => "in TLS",
            Depth::Credssp => "in network level authentication",
            Depth::Inside => "after TLS, before the desktop",
            Depth::Desktop => "after the desktop was there",
            Depth::Works => "nowhere",
            Depth::Unseen => "behind the gateway's certificate, unseen",
        }
    }
}

/// Where TLS with a gateway passes through, only time tells whether the client went on behind it.
fn behind_tls(record: &Record) -> Depth {
    let complete = record.phases.iter().find(|it| it.phase == Phase::GatewayTls && it.outcome == Outcome::Ok);
    let is_blamed = record.verdict.as_ref().is_some_and(|verdict| {
        let id = verdict.id.as_str();
        id.starts_with("certificate-") || id.starts_with("tls-")
    });
    match complete.filter(|_| !is_blamed && is_through_gateway(record) && passes_tls(record)) {
        None => Depth::GatewayTls,
        Some(complete) => {
            let last_us = record.events.last().map_or(0, |event| event.t_us);
            let stayed = last_us.saturating_sub(complete.end_us) >= STAYS_US;
            if stayed { Depth::Unseen } else { Depth::Gateway }
        }
    }
}

/// The last phase of the conversation that began.
pub(super) fn began(record: &Record) -> Option<Phase> {
    let begun = record.phases.iter().filter(|it| it.outcome != Outcome::Skipped && it.phase <= Phase::Active);
    begun.map(|it| it.phase).max()
}

/// When the session came through a phase that came to a good end, µs since it began.
pub(super) fn came_through_us(record: &Record, phase: Phase) -> Option<Micros> {
    let ended = record.phases.iter().filter(|it| it.phase == phase && it.outcome == Outcome::Ok);
    ended.map(|it| it.end_us).max()
}

/// Whether a session counts as an attempt: one that the client cut to ask its user something does not.
pub fn counts(record: &Record) -> bool {
    record.verdict.as_ref().is_some_and(|verdict| verdict.id != VerdictId::ClientPrompted)
}

/// The session that got furthest; of those that got equally far the last.
pub fn furthest(records: Vec<Record>) -> Option<Record> {
    let counted = records.into_iter().filter(counts);
    counted.max_by_key(|record| (Depth::of(record), began(record)))
}
