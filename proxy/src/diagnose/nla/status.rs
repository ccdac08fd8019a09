//! What the server's number says, and clocks that are apart.

use super::{KRB_AP_ERR_SKEW, MOST_SKEW_SECONDS, is_bound_to_another_key, versions_apart};
use crate::diagnose::facts::{Facts, Seen, Status};
use crate::diagnose::logon_status::{
    ACCESS_DENIED, MESSAGE_ALTERED, NOT_SUPPORTED, UNSUPPORTED_FUNCTION, is_system_error, logon_status,
};
use crate::diagnose::rule::Conclusion;
use crate::trace::{Confidence, Phase, VerdictId};

/// What the server's number says, and how sure it is.
pub(super) fn cause(facts: &Facts<'_>, code: u32) -> Option<(VerdictId, Confidence)> {
    let updates_differ = versions_apart(facts).is_some();
    Some(match code {
        ACCESS_DENIED if is_bound_to_another_key(facts) => (VerdictId::NlaKeyBinding, Confidence::Confirmed),
        ACCESS_DENIED => (VerdictId::AuthorizationDenied, Confidence::Likely),
        NOT_SUPPORTED | UNSUPPORTED_FUNCTION if updates_differ => {
            (VerdictId::NlaEncryptionOracle, Confidence::Confirmed)
        }
        NOT_SUPPORTED | UNSUPPORTED_FUNCTION if facts.logon.ntlm.is_some() => {
            (VerdictId::NlaNtlmRefused, Confidence::Likely)
        }
        NOT_SUPPORTED | UNSUPPORTED_FUNCTION => (VerdictId::NlaEncryptionOracle, Confidence::Likely),
        code => match logon_status(code) {
            // It also stands for any message that was damaged.
            Some(status) if code == MESSAGE_ALTERED && !is_bound_to_another_key(facts) => {
                (status.cause, Confidence::Likely)
            }
            // FreeRDP's servers send whatever error their system had last.
            Some(status) if is_system_error(code) => (status.cause, Confidence::Likely),
            Some(status) => (status.cause, Confidence::Confirmed),
            None if is_bound_to_another_key(facts) => (VerdictId::NlaKeyBinding, Confidence::Likely),
            None if is_system_error(code) => (VerdictId::NlaLogonFailed, Confidence::Likely),
            None => return None,
        },
    })
}

/// The server's number, where it stands for `id`.
pub(super) fn status_for<'a>(facts: &Facts<'a>, id: VerdictId) -> Option<(Seen<Status<'a>>, Confidence)> {
    let status = facts.logon.status?;
    let (_, confidence) = cause(facts, status.what.code).filter(|(cause, _)| *cause == id)?;
    Some((status, confidence))
}

pub(super) fn name(status: Status<'_>) -> String {
    let known = status.name.or_else(|| logon_status(status.code).map(|known| known.name));
    known.map_or_else(|| format!("{:#010x}", status.code), |name| format!("{name}, {:#010x}", status.code))
}

/// Whose logon the server judged.
pub(super) fn whose_logon(facts: &Facts<'_>) -> &'static str {
    if facts.logon.terminated {
        "the logon that rdpscope was given for --nla terminate"
    } else {
        "the user's logon"
    }
}

pub(super) fn seen_status(conclusion: Conclusion, status: Seen<Status<'_>>) -> Conclusion {
    let text = format!("the server answers {} in {}", name(status.what), status.what.field);
    conclusion.seen(status.t_us, text)
}

pub(super) fn stated(facts: &Facts<'_>, id: VerdictId) -> Option<Conclusion> {
    if id == VerdictId::NlaClockSkew && facts.logon.status.is_none() {
        return kerberos_skew(facts);
    }
    let (status, confidence) = status_for(facts, id)?;
    if is_system_error(status.what.code) && logon_status(status.what.code).is_none() {
        return Some(system_error(facts, status));
    }
    let meaning = logon_status(status.what.code)
        .map_or("it is authenticated, but not allowed to log on", |known| known.meaning);
    let summary = format!("The server refused {}: {meaning} ({}).", whose_logon(facts), name(status.what));
    let conclusion = seen_status(Conclusion::new(confidence, Phase::Credssp, summary), status);
    Some(match id {
        VerdictId::NlaClockSkew => with_skew(conclusion, facts),
        VerdictId::AuthorizationDenied if confidence != Confidence::Confirmed => {
            conclusion.or_possibly(&[VerdictId::NlaKeyBinding, VerdictId::NlaLogonTypeDenied])
        }
        // Some servers have one answer for everything.
        VerdictId::NlaLogonFailed if is_bound_to_another_key(facts) => {
            conclusion.or_possibly(&[VerdictId::NlaKeyBinding])
        }
        _ => conclusion,
    })
}

/// The server's number is an error of its system, which says nothing of the logon.
fn system_error(facts: &Facts<'_>, status: Seen<Status<'_>>) -> Conclusion {
    let summary = format!(
        "The server refused {} with an error of its own system that says nothing of the logon ({}), as servers of \
         FreeRDP do for every refusal: a wrong user name or password is the usual cause.",
        whose_logon(facts),
        name(status.what)
    );
    let conclusion = seen_status(Conclusion::likely(Phase::Credssp, summary), status);
    conclusion.or_possibly(&[
        VerdictId::NlaAccountLocked,
        VerdictId::NlaPasswordExpired,
        VerdictId::NlaNtlmRefused,
        VerdictId::NlaNoAuthority,
    ])
}

pub(super) fn kerberos_skew(facts: &Facts<'_>) -> Option<Conclusion> {
    let error = facts.logon.kerberos_error.filter(|error| error.what == KRB_AP_ERR_SKEW)?;
    let summary = "Kerberos refused the logon because the clocks of client and server are too far apart.";
    let conclusion = Conclusion::confirmed(Phase::Credssp, summary);
    Some(with_skew(conclusion.seen(error.t_us, "KRB-ERROR 37, KRB_AP_ERR_SKEW"), facts))
}

pub(super) fn with_skew(conclusion: Conclusion, facts: &Facts<'_>) -> Conclusion {
    match facts.clock_skew() {
        Some(skew) => conclusion.seen(skew.t_us, skew_words(skew.what)),
        None => conclusion,
    }
}

/// How far the server's clock is from this machine's, in words.
pub(in crate::diagnose) fn skew_words(seconds: i64) -> String {
    let (minutes, way) = (seconds.unsigned_abs() / 60, if seconds < 0 { "behind" } else { "ahead of" });
    format!("by its NTLM message the server's clock is {minutes} min {way} this machine's")
}

pub(super) fn other_status(facts: &Facts<'_>) -> Option<Conclusion> {
    let status = facts.logon.status.filter(|status| cause(facts, status.what.code).is_none())?;
    let summary = format!(
        "The server refused {} with {}; `rdpscope explain {:#x}` says what that means.",
        whose_logon(facts),
        name(status.what),
        status.what.code
    );
    Some(seen_status(Conclusion::confirmed(Phase::Credssp, summary), status))
}

impl Facts<'_> {
    /// How far the server's clock is ahead of this machine's, seconds, where that is too far for Kerberos.
    pub(in crate::diagnose) fn clock_skew(&self) -> Option<Seen<i64>> {
        let challenge = self.logon.challenge?;
        let theirs = challenge.what.timestamp_unix_us? / 1_000_000;
        let since_start = i64::try_from(challenge.t_us / 1_000_000).ok()?;
        let ours = self.started_unix?.checked_add(since_start)?;
        let skew = theirs.checked_sub(ours)?;
        (skew.abs() > MOST_SKEW_SECONDS).then_some(Seen { t_us: challenge.t_us, what: skew })
    }
}
