//! What the checks of a probe prove. A probe is its own client: it sees what every client will meet, but not what a
//! client makes of it, so that a fault of the certificate is never more than likely, and what is normal on servers that
//! work, as a self-signed certificate, is a finding.

mod certificate;
mod exclusions;
mod findings;
mod gateway;
mod gateway_findings;
mod logon;
mod negotiation;
mod network;
mod other_paths;
mod tls;

pub(super) use exclusions::EXCLUSIONS;
pub(super) use findings::all as findings;
pub(super) use gateway::FAMILIES as GATEWAY_FAMILIES;

use super::facts::Facts;
use super::rule::{Conclusion, Rule};
use crate::trace::{
    Confidence, HelloAnswer, NegotiationAnswer, NegotiationCheck, Phase, Probe, TcpCheck, VerdictId,
};

pub(super) const FAMILIES: &[&[Rule]] =
    &[network::RULES, negotiation::RULES, tls::RULES, certificate::RULES, logon::RULES, HEALTHY];

/// Everything that a probe can find to be wrong: where it did, the target is not healthy.
const FAULTS: &[VerdictId] = &[
    VerdictId::DnsFailure,
    VerdictId::DnsMismatch,
    VerdictId::TcpRefused,
    VerdictId::TcpFiltered,
    VerdictId::TcpReset,
    VerdictId::LinkLossy,
    VerdictId::NotRdp,
    VerdictId::RdpSilent,
    VerdictId::TlsRequired,
    VerdictId::TlsRefusedByServer,
    VerdictId::ServerCertificateMissing,
    VerdictId::InconsistentFlags,
    VerdictId::NlaRequired,
    VerdictId::ClientCertificateRequired,
    VerdictId::ProtocolError,
    VerdictId::ServerClosed,
    VerdictId::TlsVersionMismatch,
    VerdictId::TlsCipherMismatch,
    VerdictId::ServerKeyUnusable,
    VerdictId::TlsStalled,
    VerdictId::TlsInspected,
    VerdictId::CertificateExpired,
    VerdictId::CertificateNotYetValid,
    VerdictId::CertificateNameMismatch,
    VerdictId::CertificateWrongUsage,
    VerdictId::CertificateWeak,
    VerdictId::CertificateRejected,
    VerdictId::NlaClockSkew,
    VerdictId::NlaEncryptionOracle,
    VerdictId::NlaNtlmRefused,
];

const HEALTHY: &[Rule] = &[Rule {
    id: VerdictId::Healthy,
    needs: "every check up to the logon",
    depends_on: FAULTS,
    is_last_resort: false,
    judge: healthy,
    next: &["rdpscope proxy {target}"],
    fix: &[],
}];

/// A rule about what a probe found. What mends it stands with the rule for the same cause in a watched session.
const fn rule(
    id: VerdictId,
    needs: &'static str,
    judge: fn(&Facts<'_>) -> Option<Conclusion>,
    next: &'static [&'static str],
) -> Rule {
    Rule { id, needs, depends_on: &[], is_last_resort: false, judge, next, fix: &[] }
}

fn healthy(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe?;
    let selected = selected(probe)?;
    let is_nla = selected.starts_with("HYBRID");
    let challenge = probe.credssp.as_ref().is_some_and(|credssp| credssp.challenge.is_some());
    let showed_certificate = probe.certificate.as_ref().is_some_and(|it| !it.chain.is_empty());
    if if is_nla { !challenge } else { !showed_certificate } {
        return None;
    }
    let how_far = if is_nla {
        "network level authentication (NLA) up to the server's challenge"
    } else {
        "the server's certificate; it asks for the logon only on the desktop"
    };
    let always = probe.flaky.is_empty();
    let but = if always { "" } else { "; not every check had the same answer each time" };
    let summary = format!(
        "Everything up to the logon works: name, TCP, negotiation, TLS and {how_far}{but}. What comes after the logon \
         a probe cannot know."
    );
    let confidence = if always { Confidence::Confirmed } else { Confidence::Likely };
    let phase = if is_nla { Phase::Credssp } else { Phase::Tls };
    Some(Conclusion::new(confidence, phase, summary).seen(0, format!("the server selects {selected}")))
}

/// The check with the most protocols in its request: what a client that can do everything meets.
fn widest(probe: &Probe) -> Option<&NegotiationCheck> {
    let asked = probe.negotiation.iter().filter(|check| check.requested_protocols != ["RDP"]);
    asked.max_by_key(|check| check.requested_protocols.len())
}

/// What the server selects of everything.
fn selected(probe: &Probe) -> Option<&str> {
    match &widest(probe)?.answer {
        NegotiationAnswer::Selected { protocol, .. } => Some(protocol),
        _ => None,
    }
}

/// The answer to a request with just this protocol.
fn answer_to<'p>(probe: &'p Probe, protocol: &str) -> Option<&'p NegotiationAnswer> {
    let check = probe.negotiation.iter().find(|check| check.requested_protocols == [protocol])?;
    Some(&check.answer)
}

/// Whether the server was reached at all.
fn is_connected(probe: &Probe) -> bool {
    probe.tcp.iter().any(|check| !failed(check))
}

/// Whether no connection to this address came about.
fn failed(check: &TcpCheck) -> bool {
    check.rounds.iter().all(Option::is_none)
}

/// Whether RDP was answered, in whatever way.
fn spoke_rdp(probe: &Probe) -> bool {
    probe.negotiation.iter().any(|check| {
        matches!(check.answer, NegotiationAnswer::Selected { .. } | NegotiationAnswer::Refused { .. })
    })
}

/// Whether anything came back.
fn is_answered(answer: &HelloAnswer) -> bool {
    !matches!(answer, HelloAnswer::Silent | HelloAnswer::NotReached { .. })
}

/// The TLS versions that the server takes, oldest first.
fn accepted_versions(probe: &Probe) -> Vec<&str> {
    let versions = probe.tls.iter().flat_map(|tls| &tls.versions);
    let accepted = versions.filter(|(_, answer)| matches!(answer, HelloAnswer::Accepted(_)));
    accepted.map(|(version, _)| version.as_str()).collect()
}

/// Whether this is a version that current clients take.
fn is_current(version: &str) -> bool {
    matches!(version, "TLS1.2" | "TLS1.3")
}

/// Several of a thing, with their number.
fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
