//! The certificates of one target over several paths, side by side: what is the same, and what a difference proves.
//!
//! Two certificates of one name with different issuers and different keys end at two machines. One of them may take TLS
//! apart on the way to the other; a farm or a reverse proxy may have one of its own as well, though seldom of another
//! issuer. Only an issuer that makes certificates for that purpose, or a certificate that was copied down to its serial
//! number, leaves nothing to choose.

use super::super::exclusions::Exclusion;
use super::super::facts::Facts;
use super::super::findings::Findings;
use super::super::inspection::inspector;
use super::super::rule::{Conclusion, Rule};
use super::super::words::list;
use super::{Phase, VerdictId, rule};
use crate::trace::{Confidence, OtherPathsCheck, PathCertificates, ShownCertificate};
use rdpscope_certs::inspect::Certificate;

/// Serial numbers of so many hexadecimal digits are random, and two authorities do not come to the same (64 bits, as the
/// Baseline Requirements have it).
const RANDOM_SERIAL: usize = 16;

pub(super) const RULE: Rule = rule(
    VerdictId::TlsInspected,
    "the certificate over two paths (--other-path)",
    inspected,
    &["rdpscope cert show {target}", "rdpscope ab {target} --vary cert"],
);

/// The same key over every path: nothing that is on only one of them takes TLS apart.
pub(super) const EXCLUSION: Exclusion = Exclusion {
    seen: "a probe finds the same key over every path (--other-path)",
    holds: |facts| {
        let check = facts.probe.and_then(|probe| probe.other_paths.as_deref());
        check.is_some_and(|check| {
            !check.others.is_empty()
                && check.others.iter().all(|other| {
                    matches!(
                        compare(facts, &check.plain, other),
                        Compared::SameCertificate | Compared::SameKey
                    )
                })
        })
    },
    causes: &[VerdictId::TlsInspected],
};

/// Two paths side by side.
#[derive(Debug, Clone, Copy)]
enum Compared<'c> {
    /// One certificate.
    SameCertificate,
    /// Two certificates for one key.
    SameKey,
    /// Two keys, one issuer.
    SameIssuer,
    /// Two certificates that are for no common name.
    OtherMachine,
    /// This path has shown more than one certificate.
    Unsteady(&'c PathCertificates),
    /// This path has shown none.
    Unseen(&'c PathCertificates),
    /// Two keys and two issuers for one name, the same each time.
    OtherIssuer(&'c ShownCertificate, &'c ShownCertificate),
}

fn compare<'c>(facts: &Facts<'_>, plain: &'c PathCertificates, other: &'c PathCertificates) -> Compared<'c> {
    if let Some(unseen) = [plain, other].into_iter().find(|path| path.shown.is_empty()) {
        return Compared::Unseen(unseen);
    }
    if let Some(unsteady) = [plain, other].into_iter().find(|path| path.only().is_none()) {
        return Compared::Unsteady(unsteady);
    }
    let (Some(here), Some(there)) = (plain.only(), other.only()) else { return Compared::Unseen(other) };
    let (mine, its) = (&here.chain[0], &there.chain[0]);
    if mine.sha256 == its.sha256 {
        Compared::SameCertificate
    } else if here.key_sha256 == there.key_sha256 {
        Compared::SameKey
    } else if mine.issuer == its.issuer {
        Compared::SameIssuer
    } else if mine.self_issued && its.self_issued || !have_common_name(facts, mine, its) {
        Compared::OtherMachine
    } else {
        Compared::OtherIssuer(here, there)
    }
}

fn have_common_name(facts: &Facts<'_>, one: &Certificate, other: &Certificate) -> bool {
    let names = |certificate: &Certificate| -> Vec<String> {
        let names = certificate.sans.iter().chain(&certificate.subject_cn);
        names.map(|name| name.to_ascii_lowercase()).collect()
    };
    let of_other = names(other);
    let (typed, _) = facts.far_end();
    names(one).iter().any(|name| of_other.contains(name))
        || one.matches_name(typed) && other.matches_name(typed)
}

/// `10.0.0.1:443`, `http://gate:3128, which was asked for gw:443`.
fn path(path: &PathCertificates) -> String {
    match &path.asked_for {
        Some(target) => format!("{}, which was asked for {target}", path.path),
        None => path.path.clone(),
    }
}

fn issuer(shown: &ShownCertificate) -> String {
    let certificate = &shown.chain[0];
    if certificate.self_issued {
        format!("{} (itself)", certificate.issuer)
    } else {
        certificate.issuer.clone()
    }
}

fn names(certificate: &Certificate) -> String {
    if certificate.sans.is_empty() { certificate.subject.clone() } else { list(&certificate.sans) }
}

fn have_same_serial(one: &Certificate, other: &Certificate) -> bool {
    one.serial == other.serial && one.serial.len() >= RANDOM_SERIAL
}

fn have_same_validity(one: &Certificate, other: &Certificate) -> bool {
    (one.not_before_unix, one.not_after_unix) == (other.not_before_unix, other.not_after_unix)
}

fn inspected(facts: &Facts<'_>) -> Option<Conclusion> {
    let check = facts.probe?.other_paths.as_deref()?;
    let found = check.others.iter().filter_map(|other| match compare(facts, &check.plain, other) {
        Compared::OtherIssuer(here, there) => Some(conclude(check, here, other, there)),
        _ => None,
    });
    found.max_by_key(|conclusion| conclusion.confidence)
}

fn conclude(
    check: &OtherPathsCheck,
    here: &ShownCertificate,
    other: &PathCertificates,
    there: &ShownCertificate,
) -> Conclusion {
    let (plain, mine, its) = (&check.plain, &here.chain[0], &there.chain[0]);
    let makers = [inspector(&here.chain), inspector(&there.chain)];
    let on = match makers {
        [Some(_), None] => Some(&plain.path),
        [None, Some(_)] => Some(&other.path),
        _ => None,
    };
    let is_copy = have_same_serial(mine, its);
    let confidence = if on.is_some() || is_copy { Confidence::Confirmed } else { Confidence::Likely };
    let proved = match on {
        Some(on) => format!("something takes TLS apart on the path over {on}, whose issuer is known for it"),
        None if is_copy => "one of them is a copy of the other, made by something that takes TLS apart".to_owned(),
        None => "the two paths do not end in the same place; something on one of them takes TLS apart, or answers in the \
                 place of the machine that was meant"
            .to_owned(),
    };
    let summary = format!(
        "Over {} the server's certificate comes from {}, over {} from {}, with another key: {proved}.",
        plain.path,
        issuer(here),
        other.path,
        issuer(there)
    );
    let mut conclusion = Conclusion::new(confidence, Phase::Tls, summary);
    for (over, shown) in [(plain, here), (other, there)] {
        let text = format!(
            "over {}: {}, issued by {}, SHA-256 {}, shown {} of {} times",
            path(over),
            names(&shown.chain[0]),
            issuer(shown),
            shown.chain[0].sha256,
            shown.times,
            over.asked
        );
        conclusion = conclusion.seen(0, text);
    }
    if is_copy {
        conclusion = conclusion.seen(0, format!("both have the serial number {}", mine.serial));
    }
    if have_same_validity(mine, its) {
        let text = format!("both are valid from {} to {}, to the second", mine.not_before, mine.not_after);
        conclusion = conclusion.seen(0, text);
    }
    if confidence == Confidence::Confirmed {
        conclusion
    } else {
        conclusion.or_possibly(&[VerdictId::DnsMismatch])
    }
}

/// One sentence for each path that was compared with the plain one, whatever came of it.
pub(super) fn findings(facts: &Facts<'_>, check: &OtherPathsCheck, phase: Phase, findings: &mut Findings) {
    let plain = &check.plain;
    for other in &check.others {
        let both = format!("{} and {}", path(plain), path(other));
        let (id, text) = match compare(facts, plain, other) {
            Compared::SameCertificate => (
                "paths-same-certificate",
                format!(
                    "{both} lead to the same certificate (SHA-256 {}): nothing that is on only one of them takes TLS apart.",
                    plain.shown[0].chain[0].sha256
                ),
            ),
            Compared::SameKey => (
                "paths-same-key",
                format!(
                    "{both} lead to two certificates for the same key: the same machine has both, and nothing that is on \
                     only one of the paths takes TLS apart."
                ),
            ),
            Compared::SameIssuer => (
                "paths-differ",
                format!(
                    "{both} lead to two certificates of one issuer ({}) with different keys: two machines of a farm, or \
                     what takes TLS apart signs in that name; compare thumbprints on the server.",
                    issuer(&plain.shown[0])
                ),
            ),
            Compared::OtherMachine => (
                "paths-differ",
                format!(
                    "{both} lead to certificates for different machines ({} and {}): nothing follows from their issuers.",
                    names(&plain.shown[0].chain[0]),
                    names(&other.shown[0].chain[0])
                ),
            ),
            Compared::Unsteady(path) => (
                "paths-unsteady",
                format!(
                    "{} shows {} certificates by turns, as a farm does: what differs between {both} may be that farm.",
                    path.path,
                    path.shown.len()
                ),
            ),
            Compared::Unseen(unseen) => (
                "paths-not-compared",
                format!(
                    "{} shows no certificate that could be compared{}.",
                    path(unseen),
                    unseen.failure.as_ref().map(|why| format!(": {why}")).unwrap_or_default()
                ),
            ),
            Compared::OtherIssuer(here, there) => (
                "paths-differ",
                format!(
                    "{both} lead to certificates of different issuers with different keys: {}; each path shows its own \
                     every time.",
                    list(&[issuer(here), issuer(there)])
                ),
            ),
        };
        findings.add(id, phase, text);
    }
}
