//! A logon that is bound to another TLS key than the server's.

use super::silence::{seen_silence, was_silent};
use super::status::{name, seen_status, status_for};
use super::{KEEP_NLA, is_bound_to_another_key};
use crate::diagnose::facts::Facts;
use crate::diagnose::rule::Conclusion;
use crate::trace::{Confidence, Phase, Side, VerdictId};

const SUMMARY: &str = "Network level authentication (NLA) is bound to the server's TLS key, and the client was shown \
                       rdpscope's certificate with another one: that is rdpscope's own doing, not a fault of the server.";

pub(super) fn key_binding(facts: &Facts<'_>) -> Option<Conclusion> {
    let status = status_for(facts, VerdictId::NlaKeyBinding);
    if !is_bound_to_another_key(facts) {
        let (status, confidence) = status?;
        let summary = format!(
            "The logon is bound to another TLS key than the server's ({}): something between client and server \
             terminates TLS.",
            name(status.what)
        );
        let conclusion = Conclusion::new(confidence, Phase::Credssp, summary);
        return Some(seen_status(conclusion.or_possibly(&[VerdictId::TlsInspected]), status));
    }
    // The client compares, too, once the server has answered with its own binding.
    let client_left = facts.ended_by(Side::Client)
        && facts.logon.status.is_none()
        && facts.logon.key_bound[Side::Server.index()].is_some()
        && facts.logon.credentials_sent.is_none();
    if status.is_none() && !was_silent(facts) && !client_left {
        return None;
    }
    let confidence = match status {
        Some((_, confidence)) => confidence,
        // The server has proved that it knows the password, and the client found another key in its answer.
        None if client_left => Confidence::Confirmed,
        None => Confidence::Likely,
    };
    let conclusion = Conclusion::new(confidence, Phase::Credssp, SUMMARY).advise(KEEP_NLA);
    let conclusion = match confidence {
        Confidence::Confirmed => conclusion,
        // Such a server ends a wrong password in the same way.
        _ => conclusion.or_possibly(&[VerdictId::NlaLogonFailed]),
    };
    let conclusion =
        conclusion.try_next(facts.fill("rdpscope proxy {target} --renew-with SERVER.pfx --ca-out ca.pem"));
    let conclusion = match facts.presented_us() {
        Some(t_us) => conclusion.seen(t_us, "rdpscope shows the client a certificate with another key"),
        None => conclusion,
    };
    let bound = facts.logon.key_bound[Side::Client.index()].unwrap_or_default();
    let conclusion = conclusion.seen(bound, "the client binds its logon to that key (pubKeyAuth)");
    Some(match status {
        Some((status, _)) => seen_status(conclusion, status),
        None => seen_silence(conclusion, facts),
    })
}
