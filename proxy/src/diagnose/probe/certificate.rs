//! The certificate, as a probe finds it: what every client will see, not what a client makes of it.

use super::super::facts::{CertificateFacts, NameCheck};
use super::super::inspection::inspector;
use super::super::words::list;
use super::network::{is_same_machine, typed_name};
use super::{Conclusion, Facts, Phase, Rule, VerdictId, other_paths, rule};
use crate::trace::{CertificateCheck, Confidence};
use rdpscope_certs::inspect::{Validity, Weakness};

/// RSA keys of so few bits are refused everywhere.
const HOPELESS_RSA_BITS: u32 = 1024;
const MICROSECONDS: i64 = 1_000_000;

/// The experiment that decides what a client makes of it.
const VARY: &[&str] = &["rdpscope ab {target} --vary cert"];

pub(super) const RULES: &[Rule] = &[
    other_paths::RULE,
    rule(
        VerdictId::TlsInspected,
        "the issuers in the chain",
        inspected,
        &[
            "rdpscope probe {target} --other-path http://OTHER-PROXY:8080",
            "rdpscope probe 127.0.0.1:{port}",
            "rdpscope ab {target} --vary cert",
        ],
    ),
    rule(VerdictId::CertificateExpired, "the certificate and the wall clock", expired, VARY),
    rule(VerdictId::CertificateNotYetValid, "the certificate and the wall clock", not_yet_valid, VARY),
    rule(VerdictId::CertificateWrongUsage, "the certificate", wrong_usage, VARY),
    rule(VerdictId::CertificateWeak, "the certificate", weak, VARY),
    rule(VerdictId::CertificateNameMismatch, "the certificate and the name that was typed", other_name, VARY),
    rule(VerdictId::CertificateRejected, "a certificate that cannot be read", unreadable, VARY),
];

fn check<'a>(facts: &Facts<'a>) -> Option<&'a CertificateCheck> {
    facts.probe?.certificate.as_ref()
}

/// The end entity, judged at the time of the probe.
pub(super) fn judged<'a>(facts: &Facts<'a>) -> Option<CertificateFacts<'a>> {
    let probe = facts.probe?;
    let chain = &probe.certificate.as_ref()?.chain;
    let started = probe.started.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
    Some(CertificateFacts {
        t_us: 0,
        leaf: chain.first()?,
        chain,
        at_unix: started.or(facts.started_unix),
        name: NameCheck::Unknown,
    })
}

/// Validity by the server's own clock, where that is far from this machine's.
fn by_servers_clock(facts: &Facts<'_>, certificate: &CertificateFacts<'_>) -> Option<Validity> {
    let skew = super::logon::skew_seconds(facts)?;
    Some(certificate.leaf.validity_at(certificate.at_unix?.checked_add(skew)?))
}

fn fault(facts: &Facts<'_>, confidence: Confidence, is: &str) -> Option<Conclusion> {
    let certificate = judged(facts)?;
    let summary =
        format!("The server's certificate {is}: clients refuse it, or ask their user whether to go on.");
    let conclusion = Conclusion::new(confidence, Phase::Tls, summary);
    Some(conclusion.seen(0, format!("the certificate for {} {is}", certificate.subject())))
}

/// Where one of the two clocks is wrong, that is what has to be mended.
fn is_about_the_clock(facts: &Facts<'_>, certificate: &CertificateFacts<'_>) -> bool {
    matches!(by_servers_clock(facts, certificate), Some(Validity::Valid { .. }))
}

fn expired(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = judged(facts).filter(CertificateFacts::is_expired)?;
    if is_about_the_clock(facts, &certificate) {
        return None;
    }
    fault(facts, Confidence::Likely, &certificate.validity_words())
}

fn not_yet_valid(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = judged(facts).filter(CertificateFacts::is_not_yet_valid)?;
    if is_about_the_clock(facts, &certificate) {
        return None;
    }
    fault(facts, Confidence::Likely, &format!("is {}", certificate.validity_words()))
}

fn wrong_usage(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = judged(facts).filter(CertificateFacts::has_wrong_usage)?;
    let usages = list(&certificate.leaf.extended_key_usage.clone().unwrap_or_default());
    fault(facts, Confidence::Likely, &format!("is not meant for servers (it allows {usages})"))
}

fn weak(facts: &Facts<'_>) -> Option<Conclusion> {
    let weaknesses = judged(facts)?.weaknesses();
    let words: Vec<String> = weaknesses.iter().map(Weakness::to_string).collect();
    let is_hopeless = |weakness: &Weakness| match weakness {
        Weakness::Md5Signature => true,
        Weakness::ShortRsaKey { bits } => *bits < HOPELESS_RSA_BITS,
        _ => false,
    };
    let confidence =
        if weaknesses.iter().any(is_hopeless) { Confidence::Likely } else { Confidence::Possible };
    (!words.is_empty()).then(|| fault(facts, confidence, &format!("is weak ({})", list(&words))))?
}

/// Of a self-signed certificate clients ask in any case, and its name is only one more line in the question.
fn other_name(facts: &Facts<'_>) -> Option<Conclusion> {
    let check = check(facts).filter(|check| !check.name_matches)?;
    let certificate = judged(facts)?;
    let typed = typed_name(facts.probe?)?;
    let names = certificate.leaf.sans.iter().chain(&certificate.leaf.subject_cn);
    if names.into_iter().any(|name| is_same_machine(name, typed)) {
        return None;
    }
    let confidence = if certificate.leaf.self_issued { Confidence::Possible } else { Confidence::Likely };
    let is = format!("is for {}, not for {}", certificate.names(), check.name);
    Some(fault(facts, confidence, &is)?.or_possibly(&[VerdictId::DnsMismatch]))
}

fn inspected(facts: &Facts<'_>) -> Option<Conclusion> {
    let issuer = inspector(&check(facts)?.chain)?;
    let summary = format!(
        "The certificate is not the server's own but one of something that takes TLS apart on the way: its issuer is \
         {issuer}."
    );
    Some(Conclusion::likely(Phase::Tls, summary).seen(0, format!("the issuer is {issuer}")))
}

fn unreadable(facts: &Facts<'_>) -> Option<Conclusion> {
    let check = check(facts).filter(|check| check.chain.is_empty())?;
    let why = check.unreadable.first()?;
    let summary = "The server's certificate cannot be read, and clients will refuse it.";
    Some(Conclusion::likely(Phase::Tls, summary).seen(0, format!("the certificate cannot be read: {why}")))
}

/// Microseconds as whole seconds.
pub(super) fn seconds(us: i64) -> i64 {
    us / MICROSECONDS
}
