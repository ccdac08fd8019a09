//! TLS, as a probe finds it: each version by itself, suites, and hellos of two sizes.

use super::super::words::list;
use super::{
    Conclusion, Facts, HelloAnswer, Phase, Probe, Rule, VerdictId, accepted_versions, is_answered,
    is_current, rule,
};
use crate::trace::{Confidence, PathCheck};

/// Alert descriptions of RFC 8446 section 6 with which a server refuses a ClientHello.
mod description {
    pub(super) const HANDSHAKE_FAILURE: u8 = 40;
    pub(super) const PROTOCOL_VERSION: u8 = 70;
    pub(super) const INSUFFICIENT_SECURITY: u8 = 71;
    pub(super) const INTERNAL_ERROR: u8 = 80;
}

/// Parts of suite names that current clients have switched off or never had.
const DEAD_SUITES: [&str; 7] = ["_RC4_", "_3DES_", "_DES_", "_DES40_", "_NULL_", "_EXPORT_", "_anon_"];

/// The ones that the server itself can run; the way to it is left out then.
const FROM_ITSELF: &[&str] = &["rdpscope probe 127.0.0.1:{port}", "rdpscope ab {target} --vary tls"];

pub(super) const RULES: &[Rule] = &[
    rule(
        VerdictId::TlsVersionMismatch,
        "a ClientHello of each TLS version by itself",
        version_mismatch,
        &["rdpscope ab {target} --vary tls"],
    ),
    rule(
        VerdictId::TlsCipherMismatch,
        "a ClientHello of each TLS version by itself, and the suites that the server takes",
        cipher_mismatch,
        &["rdpscope ab {target} --vary tls", "rdpscope probe 127.0.0.1:{port}"],
    ),
    rule(
        VerdictId::ServerKeyUnusable,
        "the end of the connection after a ClientHello of every TLS version",
        key_unusable,
        FROM_ITSELF,
    ),
    rule(
        VerdictId::TlsStalled,
        "a small ClientHello, a large one, and the large one in small segments",
        large_is_lost,
        &["rdpscope ab {target} --vary mss", "ping -f -l 1472 {host}"],
    ),
    rule(
        VerdictId::TlsStalled,
        "ClientHellos without an answer",
        nothing_answers,
        &["rdpscope ab {target} --vary mss", "rdpscope probe 127.0.0.1:{port}"],
    ),
    rule(
        VerdictId::ProtocolError,
        "the server's answer to a ClientHello",
        not_tls,
        &["rdpscope probe 127.0.0.1:{port}", "rdpscope proxy {target}"],
    ),
];

/// The answers to each version that was asked, where none was taken.
fn all_refused(probe: &Probe) -> Option<Vec<(&str, &HelloAnswer)>> {
    let versions = &probe.tls.as_ref()?.versions;
    let asked = versions.iter().filter(|(_, answer)| !matches!(answer, HelloAnswer::NotReached { .. }));
    let asked: Vec<_> = asked.map(|(version, answer)| (version.as_str(), answer)).collect();
    let is_refused = !asked.is_empty() && accepted_versions(probe).is_empty();
    is_refused.then_some(asked)
}

fn alert(answer: &HelloAnswer) -> Option<u8> {
    match answer {
        HelloAnswer::Alert { description, .. } => Some(*description),
        _ => None,
    }
}

/// Whether this version was refused for being what it is.
fn refuses_version(answer: &HelloAnswer) -> bool {
    matches!(answer, HelloAnswer::OtherVersion { .. }) || alert(answer) == Some(description::PROTOCOL_VERSION)
}

fn in_words(answer: &HelloAnswer) -> String {
    match answer {
        HelloAnswer::Accepted(hello) => format!("taken, with {}", hello.cipher_suite),
        HelloAnswer::CookieRequested => "the wish to see the hello again with a cookie".to_owned(),
        HelloAnswer::Alert { description, name } => format!("the alert {name} ({description})"),
        HelloAnswer::Closed { .. } => "the end of the connection".to_owned(),
        HelloAnswer::Silent => "silence".to_owned(),
        HelloAnswer::NotReached { reason } => format!("not asked: {reason}"),
        HelloAnswer::OtherVersion { version } => format!("answered with {version}, which was not offered"),
        HelloAnswer::Other { .. } => "something that is not TLS".to_owned(),
    }
}

fn with_versions(conclusion: Conclusion, probe: &Probe) -> Conclusion {
    let versions = probe.tls.iter().flat_map(|tls| &tls.versions);
    versions.fold(conclusion, |conclusion, (version, answer)| {
        conclusion.seen(0, format!("{version}: {}", in_words(answer)))
    })
}

fn version_mismatch(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe?;
    let accepted = accepted_versions(probe);
    if accepted.is_empty() {
        let refused = all_refused(probe)?;
        let summary = "The server refuses every TLS version: all of them are switched off, or only one is left that \
                       was not asked for.";
        let conclusion = Conclusion::confirmed(Phase::Tls, summary);
        let are_versions = refused.iter().all(|(_, answer)| refuses_version(answer));
        return are_versions.then(|| with_versions(conclusion, probe));
    }
    let current: Vec<_> =
        probe.tls.iter().flat_map(|tls| &tls.versions).filter(|(it, _)| is_current(it)).collect();
    let were_refused = |(_, answer): &(_, &HelloAnswer)| is_answered(answer);
    if current.is_empty() || !current.iter().all(were_refused) || accepted.iter().any(|it| is_current(it)) {
        return None;
    }
    let summary = format!(
        "The server takes nothing newer than {}: clients that have the old versions switched off cannot connect, as \
         those of current macOS, iOS and Android, FreeRDP with OpenSSL 3, and Windows where a policy or a recent release \
         switches them off.",
        accepted.last().copied().unwrap_or_default()
    );
    Some(with_versions(Conclusion::confirmed(Phase::Tls, summary), probe))
}

fn cipher_mismatch(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe?;
    if let Some(refused) = all_refused(probe) {
        let is_about_suites = |(_, answer): &(_, &HelloAnswer)| {
            matches!(alert(answer), Some(description::HANDSHAKE_FAILURE | description::INSUFFICIENT_SECURITY))
        };
        let current: Vec<_> = refused.iter().filter(|(version, _)| is_current(version)).collect();
        let holds = current.iter().any(|it| is_about_suites(it))
            && current.iter().all(|it| is_about_suites(it) || refuses_version(it.1));
        let summary = "The server accepts none of the cipher suites, groups and signatures that there are in its TLS \
                       versions: its policy leaves none, or none fits its certificate.";
        let conclusion = Conclusion::likely(Phase::Tls, summary).or_possibly(&[VerdictId::ServerKeyUnusable]);
        return holds.then(|| with_versions(conclusion, probe));
    }
    let tls = probe.tls.as_ref()?;
    let suites = tls.suites.get("TLS1.2").filter(|suites| !suites.is_empty())?;
    let is_dead = |name: &str| DEAD_SUITES.iter().any(|part| name.contains(part));
    let has_13 = accepted_versions(probe).contains(&"TLS1.3");
    let names: Vec<String> = suites.iter().map(ToString::to_string).collect();
    if has_13 || !names.iter().all(|name| is_dead(name)) {
        return None;
    }
    let summary = format!(
        "The server takes only cipher suites that current clients have switched off: {}.",
        list(&names)
    );
    Some(with_versions(Conclusion::likely(Phase::Tls, summary), probe))
}

fn key_unusable(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe?;
    let refused = all_refused(probe)?;
    let drops = |(_, answer): &(_, &HelloAnswer)| {
        matches!(answer, HelloAnswer::Closed { .. }) || alert(answer) == Some(description::INTERNAL_ERROR)
    };
    let current: Vec<_> = refused.iter().filter(|(version, _)| is_current(version)).collect();
    if !current.iter().any(|it| drops(it)) || !current.iter().all(|it| drops(it) || refuses_version(it.1)) {
        return None;
    }
    let names: Vec<String> = refused.iter().map(|(version, _)| (*version).to_owned()).collect();
    let summary = format!(
        "The server agrees on TLS and drops every first TLS message, of each version that was tried ({}): most often it \
         cannot use the private key of its certificate.",
        list(&names)
    );
    // Seen from elsewhere, a firewall that cuts every ClientHello looks the same.
    let conclusion = Conclusion::likely(Phase::Tls, summary)
        .or_possibly(&[VerdictId::TlsVersionMismatch, VerdictId::TlsInspected]);
    Some(with_versions(conclusion, probe))
}

/// What came of each size of hello.
fn sizes(path: &PathCheck) -> Vec<String> {
    let mut sizes = vec![
        format!("a ClientHello of {} bytes: {}", path.small_bytes, in_words(&path.small)),
        format!("one of {} bytes: {}", path.large_bytes, in_words(&path.large)),
    ];
    if let Some((answer, mss)) = path.clamped.as_ref().zip(path.clamped_mss) {
        sizes.push(format!("the same in segments of {mss} bytes: {}", in_words(answer)));
    }
    if let Some(again) = &path.large_again {
        sizes.push(format!("the same once more as before: {}", in_words(again)));
    }
    sizes
}

fn large_is_lost(facts: &Facts<'_>) -> Option<Conclusion> {
    let path = facts.probe?.path.as_ref()?;
    let lost = |answer: &HelloAnswer| *answer == HelloAnswer::Silent;
    let comes_through_in_small = path.clamped.as_ref().is_some_and(is_answered);
    let is_lost = lost(&path.large) && (is_answered(&path.small) || comes_through_in_small);
    // One that comes through the second time was lost by accident.
    if !is_lost || path.large_again.as_ref().is_some_and(is_answered) {
        return None;
    }
    let conclusion = if comes_through_in_small && path.large_again.as_ref().is_some_and(lost) {
        let summary = format!(
            "Large segments are lost on the way: what is small is answered, what fills a segment is not, and the same in \
             segments of {} bytes is. Something on the way has a smaller path MTU and does not say so.",
            path.clamped_mss.unwrap_or_default()
        );
        Conclusion::confirmed(Phase::Tls, summary)
    } else {
        let summary = "A small first TLS message is answered and a large one is not: large segments are lost on the way, \
                       or something in between holds them.";
        Conclusion::likely(Phase::Tls, summary).or_possibly(&[VerdictId::TlsInspected])
    };
    Some(sizes(path).into_iter().fold(conclusion, |conclusion, text| conclusion.seen(0, text)))
}

fn nothing_answers(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe?;
    let refused = all_refused(probe)?;
    let is_silent = refused.iter().all(|(_, answer)| **answer == HelloAnswer::Silent);
    let summary = "The server agrees on TLS and answers no first TLS message of any version: they are lost on the way, \
                   something in between holds them, or the service hangs.";
    let conclusion = Conclusion::new(Confidence::Likely, Phase::Tls, summary)
        .or_possibly(&[VerdictId::ServerKeyUnusable, VerdictId::TlsInspected]);
    is_silent.then(|| with_versions(conclusion, probe))
}

fn not_tls(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe?;
    let refused = all_refused(probe)?;
    let first_bytes = refused.iter().find_map(|(_, answer)| match answer {
        HelloAnswer::Other { first_bytes } => Some(first_bytes),
        _ => None,
    })?;
    let summary = "The server agrees on TLS and then answers with something that is not TLS.";
    Some(Conclusion::confirmed(Phase::Tls, summary).seen(0, format!("its first bytes are {first_bytes}")))
}
