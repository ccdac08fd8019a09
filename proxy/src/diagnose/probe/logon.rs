//! CredSSP up to the server's challenge, as a probe finds it. No credentials were sent, so that nothing here speaks of an
//! account.

use super::super::logon_status::{NOT_SUPPORTED, UNSUPPORTED_FUNCTION, logon_status};
use super::super::nla::{FIRST_UPDATED_VERSION, MOST_SKEW_SECONDS, skew_words};
use super::super::words::capital;
use super::certificate::seconds;
use super::{Conclusion, Facts, Phase, Rule, VerdictId, rule};
use crate::trace::{Confidence, CredsspCheck};

const VARY: &[&str] = &["rdpscope ab {target} --vary nla"];

pub(super) const RULES: &[Rule] = &[
    rule(
        VerdictId::NlaClockSkew,
        "the time in the server's NTLM challenge",
        clock_skew,
        &["w32tm /stripchart /computer:{host} /samples:3", "rdpscope ab {target} --vary nla"],
    ),
    rule(VerdictId::NlaEncryptionOracle, "the server's version of CredSSP", old_version, VARY),
    rule(VerdictId::NlaNtlmRefused, "the server's answer to an NTLM negotiate message", ntlm_refused, VARY),
    rule(
        VerdictId::ServerClosed,
        "the server's end of CredSSP before its challenge",
        broke_off,
        &["rdpscope probe 127.0.0.1:{port}", "rdpscope ab {target} --vary nla"],
    ),
];

fn check<'a>(facts: &Facts<'a>) -> Option<&'a CredsspCheck> {
    facts.probe?.credssp.as_ref()
}

/// How far the server's clock is ahead of this machine's, where that is too far for Kerberos; seconds.
pub(super) fn skew_seconds(facts: &Facts<'_>) -> Option<i64> {
    let skew = seconds(facts.probe?.clock_skew_us()?);
    (skew.abs() > MOST_SKEW_SECONDS).then_some(skew)
}

fn clock_skew(facts: &Facts<'_>) -> Option<Conclusion> {
    let words = skew_words(skew_seconds(facts)?);
    let summary = format!(
        "{}: too far apart for Kerberos, unless it is this machine's clock that is wrong.",
        capital(&words)
    );
    Some(Conclusion::likely(Phase::Credssp, summary).seen(0, words))
}

fn old_version(facts: &Facts<'_>) -> Option<Conclusion> {
    let version = check(facts)?.version.filter(|version| *version < FIRST_UPDATED_VERSION)?;
    let summary = format!(
        "The server speaks CredSSP version {version}, as systems do that lack the update of 2018: updated Windows clients \
         refuse it (encryption oracle remediation)."
    );
    let conclusion = Conclusion::possible(Phase::Credssp, summary);
    Some(conclusion.seen(0, format!("TSRequest.version of the server is {version}")))
}

fn refusal<'a>(facts: &Facts<'a>) -> Option<&'a CredsspCheck> {
    check(facts).filter(|check| check.challenge.is_none())
}

/// What the status that stands in the challenge's place means.
fn status_of(check: &CredsspCheck) -> Option<u32> {
    u32::from_str_radix(check.status.as_deref()?.strip_prefix("0x")?, 16).ok()
}

fn ntlm_refused(facts: &Facts<'_>) -> Option<Conclusion> {
    let check = refusal(facts)?;
    let status = status_of(check)?;
    let refuses = matches!(status, NOT_SUPPORTED | UNSUPPORTED_FUNCTION);
    let known = logon_status(status).filter(|known| known.cause == VerdictId::NlaNtlmRefused);
    let name = match known {
        Some(known) => known.name.to_owned(),
        None if refuses => format!("{status:#010x}"),
        None => return None,
    };
    let summary = format!(
        "The server does not take NTLM ({name}): who has no Kerberos ticket for it, as with a local account or an address in \
         the place of its name, cannot log on."
    );
    let conclusion = Conclusion::new(Confidence::Likely, Phase::Credssp, summary);
    Some(
        conclusion.seen(0, format!("in the place of a challenge the server sends the status {status:#010x}")),
    )
}

fn broke_off(facts: &Facts<'_>) -> Option<Conclusion> {
    let check = refusal(facts)?;
    if ntlm_refused(facts).is_some() {
        return None;
    }
    let why = match (&check.failure, &check.status) {
        (Some(failure), _) => failure.clone(),
        (None, Some(status)) => format!("the status {status}"),
        (None, None) => return None,
    };
    let summary = format!(
        "The server breaks network level authentication (NLA) off before it has been told who wants to log on: {why}."
    );
    let conclusion = Conclusion::likely(Phase::Credssp, summary)
        .or_possibly(&[VerdictId::NlaNtlmRefused, VerdictId::NlaNoAuthority]);
    Some(conclusion.seen(0, format!("in the place of a challenge: {why}")))
}
