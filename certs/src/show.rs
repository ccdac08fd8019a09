//! What `rdpscope cert show` prints. Trust in the chain and the match of the name are two answers: the certificates
//! that Windows makes for Remote Desktop fail the first alone, and clients judge both apart.

#[cfg(test)]
mod tests;

use crate::clients::PlatformVerdict;
use crate::inspect::{Certificate, Validity};
use std::fmt::Write as _;

/// A certificate that ends within so many seconds is worth a word: thirty days.
const SOON: u64 = 30 * 24 * 3600;
/// Columns of what stands before a value.
const LABEL_WIDTH: usize = 11;

/// From where the certificates are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    /// Seconds since 1970.
    pub now: i64,
    /// The name that a client would compare with.
    pub name: Option<&'a str>,
    /// What verifiers say of the chain.
    pub verdicts: &'a [PlatformVerdict],
}

/// The chain as text, the server's own certificate first.
pub fn show(chain: &[Certificate], viewer: &Viewer<'_>) -> String {
    let mut text = String::new();
    for (index, certificate) in chain.iter().enumerate() {
        let own = if index == 0 { ", the server's own" } else { "" };
        let _ = writeln!(text, "certificate {} of {}{own}", index + 1, chain.len());
        for (label, value) in fields(certificate, viewer.now) {
            line(&mut text, label, &value);
        }
        text.push('\n');
    }
    let findings = findings(chain, viewer.now);
    if !findings.is_empty() {
        text.push_str("findings\n");
        for finding in findings {
            let _ = writeln!(text, "  - {}", printable(&finding));
        }
        text.push('\n');
    }
    if !viewer.verdicts.is_empty() {
        text.push_str("what verifiers say\n");
        for verdict in viewer.verdicts {
            let _ = writeln!(text, "  - {}", printable(&verdict.to_string()));
        }
        text.push('\n');
    }
    line(&mut text, "name", &name_match(chain.first(), viewer.name));
    text
}

/// What is to be said about a chain whoever looks at it: sentences without a full stop.
pub fn findings(chain: &[Certificate], now: i64) -> Vec<String> {
    let Some(own) = chain.first() else {
        return vec!["there is no certificate".to_owned()];
    };
    let mut findings = Vec::new();
    match own.validity_at(now) {
        Validity::Valid { remaining_seconds } if remaining_seconds < SOON => {
            findings.push(format!("it is about to end: {}", own.validity_words(now)));
        }
        Validity::Valid { .. } => {}
        _ => findings.push(format!("it is not valid now: {}", own.validity_words(now))),
    }
    for (above, number) in chain[1..].iter().zip(2..) {
        if !matches!(above.validity_at(now), Validity::Valid { .. }) {
            findings.push(format!("certificate {number} is not valid now: {}", above.validity_words(now)));
        }
    }
    findings.extend(own_findings(own));
    findings.extend(own.weaknesses().iter().map(ToString::to_string));
    findings.extend(chain_findings(chain));
    findings
}

fn own_findings(own: &Certificate) -> Vec<String> {
    let mut findings = Vec::new();
    if !own.permits_server_authentication() {
        findings.push(format!("its usage does not allow a server: {}", usage(own)));
    }
    if own.self_signed {
        findings.push("it is self-signed: clients trust it only when told to trust this very one".to_owned());
    }
    if own.sans.is_empty() {
        findings.push(
            "it has no alternative names: mstsc goes by the common name, which other clients ignore"
                .to_owned(),
        );
    }
    if own.is_ca && !own.self_signed {
        findings.push("it is the certificate of a CA, which some clients refuse for a server".to_owned());
    }
    findings
}

/// Where each certificate but the last must be issued by the next.
fn chain_findings(chain: &[Certificate]) -> Vec<String> {
    let mut findings = Vec::new();
    for (pair, number) in chain.windows(2).zip(1..) {
        if let [this, next] = pair {
            if this.self_issued {
                findings.push(format!("certificate {} is of no use: the chain ends before it", number + 1));
            } else if this.issuer != next.subject {
                findings.push(format!(
                    "certificate {} is not the issuer of certificate {number}, {}: the order is wrong or an \
                     intermediate certificate is missing",
                    number + 1,
                    this.issuer
                ));
            }
        }
    }
    if let [own] = chain
        && !own.self_issued
    {
        findings.push(format!(
            "no intermediate certificate is sent: a client that does not know {} itself cannot build the chain",
            own.issuer
        ));
    }
    findings
}

fn fields(certificate: &Certificate, now: i64) -> Vec<(&'static str, String)> {
    let issuer = if certificate.self_signed { "itself (self-signed)" } else { &certificate.issuer };
    let names = if certificate.sans.is_empty() { "none".to_owned() } else { certificate.sans.join(", ") };
    let mut fields = vec![
        ("subject", certificate.subject.clone()),
        ("issuer", issuer.to_owned()),
        ("names", names),
        ("validity", certificate.validity_words(now)),
        ("from", certificate.not_before.clone()),
        ("until", certificate.not_after.clone()),
        ("usage", usage(certificate)),
        (
            "key usage",
            certificate.key_usage.as_ref().map_or("not limited".to_owned(), |usage| usage.join(", ")),
        ),
        ("key", key(certificate)),
        ("signature", certificate.signature_algorithm.clone()),
        ("serial", certificate.serial.clone()),
        ("thumbprint", pairs(&certificate.sha1)),
        ("SHA-256", certificate.sha256.clone()),
    ];
    let addresses =
        [("OCSP", &certificate.ocsp), ("CRL", &certificate.crl), ("issuer at", &certificate.issuers)];
    fields.extend(
        addresses.iter().filter(|(_, uris)| !uris.is_empty()).map(|(label, uris)| (*label, uris.join(", "))),
    );
    fields
}

fn usage(certificate: &Certificate) -> String {
    certificate.extended_key_usage.as_ref().map_or("not limited".to_owned(), |usage| usage.join(", "))
}

fn key(certificate: &Certificate) -> String {
    match (certificate.key_algorithm.as_str(), certificate.key_bits) {
        ("RSA", Some(bits)) => format!("RSA {bits}"),
        (algorithm, _) => algorithm.to_owned(),
    }
}

/// Hexadecimal as the Windows certificate manager shows it: pairs of upper-case digits.
fn pairs(hexadecimal: &str) -> String {
    let digits: Vec<char> = hexadecimal.to_uppercase().chars().collect();
    let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
    pairs.join(" ")
}

fn name_match(own: Option<&Certificate>, name: Option<&str>) -> String {
    match (own, name) {
        (None, _) => "there is no certificate".to_owned(),
        (_, None) => "no name to compare with".to_owned(),
        (Some(own), Some(name)) if own.matches_name(name) => format!("it is for {name}"),
        (Some(own), Some(name)) => {
            let names = match own.sans.as_slice() {
                [] => own.subject_cn.clone().unwrap_or_else(|| "no name at all".to_owned()),
                names => names.join(", "),
            };
            format!("it is not for {name} but for {names}")
        }
    }
}

fn line(text: &mut String, label: &str, value: &str) {
    let _ = writeln!(text, "  {label:LABEL_WIDTH$}{}", printable(value));
}

/// A certificate comes from anybody, and what moves the cursor of a terminal is not for it to say.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|it| {
            let escaped = it.is_control().then(|| it.escape_default());
            escaped.clone().into_iter().flatten().chain(escaped.is_none().then_some(it))
        })
        .collect()
}
