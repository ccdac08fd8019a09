//! `rdpscope cert show FILE|HOST[:PORT]`.

#[cfg(test)]
mod tests;

use super::arguments::ShowArguments;
use super::source::{Found, Source, find};
use crate::cli::output::Output;
use crate::cli::{Exit, Failure};
use crate::intercept::tls::Roots;
use rdpscope_certs::inspect::{Certificate, Validity, Weakness, inspect};
use rdpscope_certs::show::{PlatformVerdict, Viewer, findings, show};
use serde::Serialize;

/// The line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "certificate")]
struct Report {
    source: Source,
    /// The server's own first.
    certificates: Vec<Described>,
    /// Sentences about the chain.
    findings: Vec<String>,
    /// What the verifier of each platform says of the chain, for whatever name.
    trust: Vec<Trust>,
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

/// What one verifier said.
#[derive(Debug, Serialize)]
struct Trust {
    platform: String,
    trusted: bool,
    refusal: Option<String>,
}

pub(super) fn run(arguments: &ShowArguments, now: i64, output: &Output) -> Result<Exit, Failure> {
    let found = find(&arguments.what, arguments.password_file.as_deref(), output)?;
    let chain = inspected(&found)?;
    let name = arguments.name.as_deref().or(found.name.as_deref());
    let verdicts = [this_machine(&found.chain, now)];
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

/// The verdict of this machine, for whatever name.
fn this_machine(chain: &[Vec<u8>], now: i64) -> PlatformVerdict {
    let judgement = Roots::of_this_machine().judge(chain, "", now);
    PlatformVerdict { platform: "this machine".to_owned(), refusal: judgement.reason }
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
        trust: viewer.verdicts.iter().cloned().map(trust).collect(),
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

fn trust(verdict: PlatformVerdict) -> Trust {
    Trust { platform: verdict.platform, trusted: verdict.refusal.is_none(), refusal: verdict.refusal }
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
