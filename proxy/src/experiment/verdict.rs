//! The verdict that a finished experiment proves; what mends it is that of the catalogue.

use super::conclusion::{Conclusion, property_words, through_gateway};
use super::factor::{Arm, Factor, Role};
use super::progress::Depth;
use super::schedule::{ArmState, Experiment};
use super::{transport, untried};
use crate::diagnose::{self, Proof};
use crate::trace::{Evidence, ExperimentEffect, GatewayUdp, Phase, Record, Verdict, VerdictId, Where};
use rdpscope_certs::mode::Repair;

/// The verdict where the factor is the cause.
pub(super) fn proven(experiment: &Experiment, found: &Conclusion) -> Option<Verdict> {
    if found.effect != ExperimentEffect::Cause {
        return None;
    }
    let baseline = &experiment.arms[0];
    let ids = causes(experiment, found);
    let (id, others) = ids.split_first()?;
    // Where TLS ends in rdpscope the server's certificate is readable, which what mends it may name.
    let records = experiment.arms.iter().flat_map(|state| &state.observed).map(|it| &it.record);
    let record = records.clone().find(|record| shows_certificate(record)).or(records.clone().next())?;
    let telling: Vec<_> = match experiment.factor {
        Factor::GatewayTransport => experiment.arms.iter().collect(),
        _ => found.telling.as_deref().and_then(|name| experiment.arm(name)).into_iter().collect(),
    };
    let first = std::iter::once(baseline).filter(|_| experiment.factor != Factor::GatewayTransport);
    let evidence = first.chain(telling).map(|state| evidence(experiment, state)).collect();
    let proof = Proof { phase: phase(experiment), summary: summary(experiment, found), evidence };
    let mut verdict = diagnose::proven(*id, others, record, proof);
    if experiment.factor == Factor::Udp && !untried::saw_datagrams(baseline) {
        // Nobody has shown that the network holds anything back.
        verdict.fix.retain(|fix| fix.place == Where::Client);
    }
    Some(verdict)
}

/// The failing session's own verdict: what to go by where the factor is not the cause. Where the session as it is works
/// through one of its server's addresses, that of an address which does not.
pub(super) fn observed(experiment: &Experiment) -> Option<&Verdict> {
    if experiment.bar().is_some() {
        return last(&experiment.arms[0]);
    }
    let is_told =
        matches!(experiment.factor, Factor::Address | Factor::GatewayTransport) || experiment.is_unseen();
    let addresses = experiment.arms.iter().filter(|_| is_told);
    addresses.filter(|state| experiment.tally(state).failed > 0).find_map(last)
}

/// Why the attempts of an arm failed: the last that names a fault, or else the last that did not work.
pub(super) fn last(state: &ArmState) -> Option<&Verdict> {
    let failed = || state.observed.iter().rev().filter(|it| it.depth < Depth::Works);
    let mut verdicts = failed().filter_map(|it| it.record.verdict.as_ref());
    verdicts.clone().find(|verdict| verdict.is_fault()).or_else(|| verdicts.next())
}

fn shows_certificate(record: &Record) -> bool {
    record.summary.as_ref().is_some_and(|summary| summary.certificate.is_some())
}

fn has(experiment: &Experiment, id: VerdictId) -> bool {
    let records = experiment.arms.iter().flat_map(|state| &state.observed).map(|it| &it.record);
    records.filter_map(|record| record.verdict.as_ref()).any(|verdict| verdict.id == id)
}

/// The cause, and those that hold beside it.
fn causes(experiment: &Experiment, found: &Conclusion) -> Vec<VerdictId> {
    let of_repair = |repair: &Repair| match repair {
        Repair::Dates if has(experiment, VerdictId::CertificateNotYetValid) => {
            VerdictId::CertificateNotYetValid
        }
        Repair::Dates => VerdictId::CertificateExpired,
        Repair::Names => VerdictId::CertificateNameMismatch,
        // A copy says nothing about revocation, as it has another issuer.
        Repair::Issuer if has(experiment, VerdictId::CertificateRevoked) => VerdictId::CertificateRevoked,
        Repair::Issuer => VerdictId::CertificateUntrusted,
        Repair::Usage => VerdictId::CertificateWrongUsage,
        Repair::Strength => VerdictId::CertificateWeak,
    };
    if !found.repairs.is_empty() {
        return found.repairs.iter().map(of_repair).collect();
    }
    let own = observed(experiment).map(|verdict| verdict.id);
    let fits = |id: VerdictId| match experiment.factor {
        Factor::Cert | Factor::InnerCert => id == VerdictId::CertificateRevoked,
        // NLA has no cause of its own: what is wrong with it is what the failing sessions say.
        Factor::Nla => true,
        Factor::Udp => id.as_str().starts_with("udp-"),
        Factor::GatewayUdp => matches!(id, VerdictId::UdpBlocked | VerdictId::UdpHalfOpen),
        Factor::Tls => id.as_str().starts_with("tls-"),
        _ => false,
    };
    let usual = match experiment.factor {
        Factor::GatewayUdp if opens_and_fails(experiment) => Some(VerdictId::UdpHalfOpen),
        factor => factor.verdict(),
    };
    own.filter(|id| fits(*id)).or(usual).into_iter().collect()
}

/// Whether the gateway's side channel is answered and then does harm.
fn opens_and_fails(experiment: &Experiment) -> bool {
    let is_answered = |what| matches!(what, GatewayUdp::Established | GatewayUdp::Silence);
    let baseline = untried::records(&experiment.arms[0]);
    let answered = baseline.flat_map(untried::side_channel_events).any(is_answered);
    let silent = experiment.arm(&Arm::unanswered().name);
    answered || silent.is_some_and(|state| experiment.tally(state).all_passed())
}

fn phase(experiment: &Experiment) -> Phase {
    match experiment.factor {
        Factor::Nla => Phase::Credssp,
        Factor::Udp | Factor::GatewayUdp => Phase::Udp,
        Factor::GatewayTransport => Phase::GatewayHttp,
        Factor::Address => Phase::Dns,
        Factor::Latency => Phase::Active,
        Factor::Cert | Factor::Tls | Factor::Mss if through_gateway(experiment) => Phase::GatewayTls,
        _ => Phase::Tls,
    }
}

fn summary(experiment: &Experiment, found: &Conclusion) -> String {
    let with = found.telling.as_deref().and_then(|name| experiment.arm(name));
    let with = with.map_or("", |state| state.arm.description.as_str());
    match experiment.factor {
        factor if factor.is_certificate() => {
            let whose =
                if factor == Factor::Cert && through_gateway(experiment) { "gateway" } else { "server" };
            let why = match found.repairs.is_empty() {
                true => format!(" and takes {with}: the certificate is the cause."),
                false => format!(" because of {}: it takes {with}.", property_words(&found.repairs)),
            };
            format!("The client refuses the {whose}'s certificate{why}")
        }
        Factor::Latency => format!("The session does not survive {with}; without that it works."),
        Factor::Udp if !untried::saw_datagrams(&experiment.arms[0]) => format!(
            "The session fails because RDP-UDP is offered, though not one datagram of it was sent: {with} it works."
        ),
        Factor::GatewayTransport => transport::summary(experiment, found),
        factor => format!(
            "The session fails because of {}: {with} it works.",
            experiment.subject(),
            with = through(factor, with)
        ),
    }
}

fn through(factor: Factor, with: &str) -> String {
    match factor {
        Factor::Address | Factor::Tls => format!("through {with}"),
        Factor::Mss => format!("with {with}"),
        _ => with.to_owned(),
    }
}

fn evidence(experiment: &Experiment, state: &ArmState) -> Evidence {
    let tally = experiment.tally(state);
    let what = match state.arm.role {
        Role::Alternative => "worked",
        _ => "got past the place",
    };
    let text = format!(
        "arm {} ({}): {} of {} attempts {what}",
        state.arm.name,
        state.arm.description,
        tally.passed,
        tally.total()
    );
    Evidence { t_us: 0, text }
}
