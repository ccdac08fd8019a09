//! `rdpscope cert show FILE|HOST[:PORT]`.

#[cfg(test)]
mod tests;

use super::arguments::ShowArguments;
use super::source::{Found, Source, find};
use crate::cli::output::Output;
use crate::cli::{Exit, Failure};
use crate::intercept::tls;
use rdpscope_certs::clients::{PlatformVerdict, by_rules};
use rdpscope_certs::inspect::{Certificate, Validity, Weakness, inspect};
use rdpscope_certs::show::{Viewer, findings, show};
use serde::Serialize;
use std::time::Duration;

/// How long the verifier of the system may take, which fetches lists and missing certificates from servers that may be
/// out of reach.
const PATIENCE: Duration = Duration::from_secs(30);

/// The line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "certificate")]
struct Report {
    source: Source,
    /// The server's own first.
    certificates: Vec<Described>,
    /// Sentences about the chain.
    findings: Vec<String>,
    /// What verifiers say of the chain; the one that was asked, for whatever name.
    trust: Vec<PlatformVerdict>,
    /// What it was compared with.
    name: Option<String>,
    /// Whether it is for that name.
    name_matches: Option<bool>,
    /// For what clients refuse it whoever issued it: ids of verdicts.
    faults: Vec<&'static str>,
}

/// A certificate, and what follows from it at the time of the look.
#[derive(Debug, Serialize)]
struct Described {
    #[serde(flatten)]
    certificate: Certificate,
    #[serde(flatten)]
    validity: Validity,
    validity_words: String,
    weaknesses: Vec<Weakness>,
}

pub(super) fn run(arguments: &ShowArguments, now: i64, output: &Output) -> Result<Exit, Failure> {
    let found = find(&arguments.what, arguments.password_file.as_deref(), output)?;
    let chain = inspected(&found)?;
    let name = arguments.name.as_deref().or(found.name.as_deref());
    let verdicts = verdicts(&found.chain, &chain, name, now);
    let viewer = Viewer { now, name, verdicts: &verdicts };
    let faults = faults(&chain, &viewer);
    output.result(text(&found.source, &chain, &viewer, &faults).trim_end());
    let exit = if faults.is_empty() { Exit::Healthy } else { Exit::Fault };
    output.json_line(&report(found.source, chain, &viewer, faults));
    Ok(exit)
}

fn inspected(found: &Found) -> Result<Vec<Certificate>, Failure> {
    let inspected = found.chain.iter().zip(1..).map(|(der, number)| {
        inspect(der).map_err(|error| {
            Failure::not_done(format!("certificate {number} of {} is {error}", found.source))
        })
    });
    inspected.collect()
}

/// The verdict of this machine, for whatever name, and those of clients elsewhere by their rules.
fn verdicts(der: &[Vec<u8>], chain: &[Certificate], name: Option<&str>, now: i64) -> Vec<PlatformVerdict> {
    let judgement = tls::judge(der, "", now, PATIENCE);
    let mut verdicts = vec![PlatformVerdict::asked(judgement.verifier, judgement.reason)];
    verdicts.extend(by_rules(chain, name, now));
    verdicts
}

/// Everything for people.
fn text(source: &Source, chain: &[Certificate], viewer: &Viewer<'_>, faults: &[&str]) -> String {
    let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(", ") };
    format!("{source}\n\n{}  faults     {faults}\n", show(chain, viewer))
}

fn report(source: Source, chain: Vec<Certificate>, viewer: &Viewer<'_>, faults: Vec<&'static str>) -> Report {
    let now = viewer.now;
    let own = chain.first();
    Report {
        source,
        findings: findings(&chain, now),
        trust: viewer.verdicts.to_vec(),
        name: viewer.name.map(str::to_owned),
        name_matches: viewer.name.and_then(|name| own.map(|own| own.matches_name(name))),
        faults,
        certificates: chain.into_iter().map(|certificate| described(certificate, now)).collect(),
    }
}

fn described(certificate: Certificate, now: i64) -> Described {
    Described {
        validity: certificate.validity_at(now),
        validity_words: certificate.validity_words(now),
        weaknesses: certificate.weaknesses(),
        certificate,
    }
}

/// Ids of the verdicts that a client comes to which trusts the issuer and looks at everything.
fn faults(chain: &[Certificate], viewer: &Viewer<'_>) -> Vec<&'static str> {
    let Some(own) = chain.first() else { return Vec::new() };
    let validities = || in_use(chain).iter().map(|certificate| certificate.validity_at(viewer.now));
    [
        ("certificate-expired", validities().any(|it| matches!(it, Validity::Expired { .. }))),
        ("certificate-not-yet-valid", validities().any(|it| matches!(it, Validity::NotYetValid { .. }))),
        ("certificate-name-mismatch", viewer.name.is_some_and(|name| !own.matches_name(name))),
        ("certificate-wrong-usage", !own.permits_server_authentication()),
        ("certificate-weak", in_use(chain).iter().any(is_weak)),
    ]
    .into_iter()
    .filter_map(|(id, is_there)| is_there.then_some(id))
    .collect()
}

/// What stands above a certificate that issued itself is looked at by nobody.
fn in_use(chain: &[Certificate]) -> &[Certificate] {
    let end = chain.iter().position(|certificate| certificate.self_issued);
    &chain[..end.map_or(chain.len(), |last| last + 1)]
}

/// A hash matters only where somebody else signed.
fn is_weak(certificate: &Certificate) -> bool {
    certificate.weaknesses().iter().any(|weakness| match weakness {
        Weakness::Md5Signature | Weakness::Sha1Signature => !certificate.self_signed,
        Weakness::ShortRsaKey { .. } | Weakness::ShortEllipticCurveKey { .. } | Weakness::DsaKey => true,
        Weakness::OldVersion { .. } | Weakness::BadSerial | Weakness::UnreadableExtensions => false,
    })
}
