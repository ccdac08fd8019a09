//! A logon that ends without a number: the server's silence, and the failures of rdpscope's own logon.

use super::status::whose_logon;
use super::{
    ALERT_ACCESS_DENIED, LOGON_LOG, is_bound_to_another_key,
    mechanism::{is_past_versions, only_ntlm_rejected},
    versions_apart,
};
use crate::diagnose::facts::Facts;
use crate::diagnose::rule::Conclusion;
use crate::diagnose::words::ended;
use crate::trace::{Confidence, Leg, Phase, Side, VerdictId};

/// A TSRequest with a version and an errorCode and nothing else has 15 bytes, or 16 where the code is written with a
/// leading zero (MS-CSSP 2.2.1); the shortest with a token or a key has more than 20.
const LONGEST_STATUS: usize = 16;

/// The server ended CredSSP, or refused every mechanism, without a status.
pub(super) fn was_silent(facts: &Facts<'_>) -> bool {
    let logon = &facts.logon;
    let denied = facts
        .tls
        .late_alert
        .is_some_and(|alert| alert.what.0 == Side::Server && alert.what.1.description == ALERT_ACCESS_DENIED);
    let unanswered = logon.last.is_some_and(|last| last.what == Side::Client);
    let is_in_nla = facts.inside.furthest.is_some_and(|furthest| furthest.what == Phase::Credssp);
    let by_server = facts.ended_by(Side::Server) && (unanswered || logon.rejected.is_some());
    logon.status.is_none()
        && logon.kerberos_error.is_none()
        && logon.own_failed.is_none()
        && is_in_nla
        && facts.inside.early_authorization.is_none()
        && (by_server || denied || logon.rejected.is_some())
}

/// The evidence of a refusal that names nothing.
pub(super) fn seen_silence(conclusion: Conclusion, facts: &Facts<'_>) -> Conclusion {
    let conclusion = match facts.logon.last {
        Some(last) => conclusion.seen(last.t_us, format!("the last NLA message is from the {}", last.what)),
        None => conclusion,
    };
    let conclusion = match facts.tls.late_alert {
        Some(alert) => {
            let name = alert.what.1.description_name.as_deref().unwrap_or("without a name");
            conclusion.seen(alert.t_us, format!("the {} sends the TLS alert {name}", alert.what.0))
        }
        None => conclusion,
    };
    let who = facts.ending.by.map_or("nobody has", |by| match by {
        crate::trace::ClosedBy::Client => "the client",
        crate::trace::ClosedBy::Server => "the server",
        crate::trace::ClosedBy::Proxy => "rdpscope",
    });
    conclusion.seen(facts.ending.t_us, format!("{who} {} without a status", ended(facts.ending.how)))
}

pub(super) fn silent_refusal(facts: &Facts<'_>) -> Option<Conclusion> {
    let differs = versions_apart(facts).is_some();
    let says_more =
        is_bound_to_another_key(facts) || only_ntlm_rejected(facts) || (differs && !is_past_versions(facts));
    if !was_silent(facts) || says_more {
        return None;
    }
    let logon = &facts.logon;
    let proved = logon.key_bound[Side::Client.index()].is_some() && logon.credentials_sent.is_none();
    let confidence = if proved { Confidence::Likely } else { Confidence::Possible };
    let summary = format!(
        "The server ended network level authentication (NLA) after the client's last message of it and gave no status: \
         a wrong user name or password in {} is the usual cause.",
        whose_logon(facts)
    );
    let conclusion = Conclusion::new(confidence, Phase::Credssp, summary).or_possibly(&[
        VerdictId::NlaAccountLocked,
        VerdictId::NlaPasswordExpired,
        VerdictId::NlaLogonTypeDenied,
        VerdictId::NlaNtlmRefused,
        VerdictId::NlaNoAuthority,
    ]);
    let conclusion =
        if differs { conclusion.or_possibly(&[VerdictId::NlaEncryptionOracle]) } else { conclusion };
    Some(seen_silence(conclusion, facts))
}

/// Whether the server's last message of NLA is a status, which cannot be read inside TLS, but is known by its size: no other
/// answer of a server is so short.
pub(in crate::diagnose) fn was_refused_by_size(facts: &Facts<'_>) -> bool {
    let inside = &facts.inside;
    inside.credssp.is_some_and(|last| last.what.1 == Side::Server) && inside.credssp_length <= LONGEST_STATUS
}

pub(super) fn own_logon_failed(facts: &Facts<'_>) -> Option<Conclusion> {
    let failed = facts.logon.own_failed.filter(|_| facts.logon.status.is_none())?;
    let (leg, reason) = failed.what;
    let conclusion = match leg {
        Leg::Client => {
            let summary = format!(
                "The client did not log on to rdpscope, which stands in the server's place with --nla terminate: \
                 {reason}; that says nothing against the server."
            );
            Conclusion::likely(Phase::Credssp, summary)
        }
        Leg::Server | Leg::Proxy => {
            let summary = format!(
                "The logon that rdpscope was given for --nla terminate failed at the server: {reason}."
            );
            Conclusion::likely(Phase::Credssp, summary)
                .or_possibly(&[VerdictId::NlaAccountLocked, VerdictId::NlaNoAuthority])
                .advise(&[LOGON_LOG])
        }
    };
    Some(conclusion.seen(failed.t_us, format!("rdpscope's own NLA fails: {reason}")))
}
