//! Ways to log on that one of the two does not take: versions of CredSSP, NTLM.

use super::silence::{seen_silence, was_silent};
use super::status::{name, seen_status, status_for};
use super::versions_apart;
use crate::diagnose::certificate::{DIAL_BY_NAME, PROXY_NAME};
use crate::diagnose::confounders;
use crate::diagnose::facts::Facts;
use crate::diagnose::rule::Conclusion;
use crate::diagnose::words::list;
use crate::trace::{Confidence, Phase, Side, VerdictId};

/// Whether the logon went on after both had told their versions: the client has proved that it knows the password and bound
/// it to the server's key.
pub(super) fn is_past_versions(facts: &Facts<'_>) -> bool {
    facts.logon.key_bound[Side::Client.index()].is_some()
}

pub(super) fn encryption_oracle(facts: &Facts<'_>) -> Option<Conclusion> {
    let versions = versions_apart(facts);
    let with_versions = |conclusion: Conclusion| match (versions, facts.logon.last) {
        (Some((client, server)), Some(last)) => {
            let text = format!("the client speaks CredSSP version {client}, the server version {server}");
            conclusion.seen(last.t_us, text)
        }
        _ => conclusion,
    };
    if let Some((status, confidence)) = status_for(facts, VerdictId::NlaEncryptionOracle) {
        let summary = "The server refused the client's version of CredSSP: one of the two lacks the update of 2018 \
                       (encryption oracle remediation).";
        let conclusion = seen_status(Conclusion::new(confidence, Phase::Credssp, summary), status);
        let conclusion = if confidence == Confidence::Confirmed {
            conclusion
        } else {
            conclusion.or_possibly(&[VerdictId::NlaNtlmRefused])
        };
        return Some(with_versions(conclusion));
    }
    versions?;
    if is_past_versions(facts) {
        return None;
    }
    let client_left = facts.ended_by(Side::Client)
        && facts.logon.status.is_none()
        && facts.logon.credentials_sent.is_none()
        && facts.inside.furthest.is_some_and(|furthest| furthest.what == Phase::Credssp);
    if !was_silent(facts) && !client_left {
        return None;
    }
    let summary = "Client and server broke network level authentication (NLA) off after they had told each other their \
                   versions of CredSSP: one of the two lacks the update of 2018 (encryption oracle remediation).";
    let conclusion = Conclusion::likely(Phase::Credssp, summary).or_possibly(&[VerdictId::NlaLogonFailed]);
    Some(seen_silence(with_versions(conclusion), facts))
}

/// The server wanted none of the mechanisms, and there was nothing but NTLM to be had.
pub(super) fn only_ntlm_rejected(facts: &Facts<'_>) -> bool {
    facts.logon.rejected.is_some() && facts.logon.kerberos.is_none()
}

pub(super) fn ntlm_refused(facts: &Facts<'_>) -> Option<Conclusion> {
    let offered = list(facts.logon.offered);
    let conclusion = if let Some((status, confidence)) = status_for(facts, VerdictId::NlaNtlmRefused) {
        let summary =
            format!("The server refused a logon by NTLM, and Kerberos was not used ({}).", name(status.what));
        let conclusion = seen_status(Conclusion::new(confidence, Phase::Credssp, summary), status);
        match confidence {
            Confidence::Confirmed => conclusion,
            _ => conclusion.or_possibly(&[VerdictId::NlaEncryptionOracle]),
        }
    } else if was_silent(facts) && only_ntlm_rejected(facts) {
        let summary = format!(
            "The server wanted none of the ways to log on that the client had ({offered}): NTLM is forbidden there, \
             and Kerberos was not possible."
        );
        let rejected = facts.logon.rejected.unwrap_or_default();
        let conclusion =
            Conclusion::likely(Phase::Credssp, summary).or_possibly(&[VerdictId::NlaLogonFailed]);
        conclusion.seen(rejected, "the server answers reject in SPNEGO")
    } else {
        return None;
    };
    let conclusion = match facts.logon.ntlm {
        Some(t_us) if facts.logon.offered.is_empty() => {
            conclusion.seen(t_us, "the client logs on by NTLM and offers nothing else")
        }
        Some(t_us) => conclusion.seen(t_us, format!("the client logs on by NTLM; it offers {offered}")),
        None => conclusion,
    };
    Some(match confounders::service_of_proxy(facts) {
        Some(service) => conclusion
            .seen(service.t_us, format!("the client asks for {}, for which there is no ticket", service.what))
            .advise(PROXY_NAME)
            .try_next(facts.fill(DIAL_BY_NAME)),
        None => conclusion,
    })
}
