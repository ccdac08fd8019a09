//! What verifiers say of a chain: those that were asked, and clients elsewhere by rules that their makers have
//! published or that stand in their source.
//!
//! A rule is only applied where it decides by itself. Whether a client knows the issuer is not in the certificate, and
//! then the answer stays open.

#[cfg(test)]
mod tests;

use crate::inspect::{Certificate, Validity, Weakness};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Windows builds no chain with a shorter RSA key (Microsoft's KB2661254).
const WINDOWS_RSA_BITS: u32 = 1024;
/// TLS servers of Apple's clients need longer RSA keys (Apple's requirements for macOS 10.15 and iOS 13).
const APPLE_RSA_BITS: u32 = 2048;
/// 2019-07-01: what begins later must also name its usage and be short.
const APPLE_NEW_RULES_FROM: i64 = 1_561_939_200;
/// The longest validity of those, seconds: 825 days.
const APPLE_LONGEST_VALIDITY: i64 = 825 * 24 * 3600;

/// What one verifier says of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlatformVerdict {
    /// Who: `Windows' verifier`, `mstsc (Windows)`.
    pub platform: String,
    /// How that is known.
    pub basis: Basis,
    /// Whether it trusts the chain; `null` where that depends on what it was told to trust.
    pub trusted: Option<bool>,
    /// Why not, or on what it depends.
    pub reason: Option<String>,
}

/// How it is known what a verifier says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// It was asked here and now.
    Asked,
    /// It goes by rules that decide without it.
    Rules,
}

impl PlatformVerdict {
    /// An answer of `platform`; without a `refusal` it trusts the chain.
    pub fn asked(platform: impl Into<String>, refusal: Option<String>) -> PlatformVerdict {
        PlatformVerdict {
            platform: platform.into(),
            basis: Basis::Asked,
            trusted: Some(refusal.is_none()),
            reason: refusal,
        }
    }
}

impl std::fmt::Display for PlatformVerdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let basis = match self.basis {
            Basis::Asked => "asked",
            Basis::Rules => "by its rules",
        };
        write!(formatter, "{}, {basis}: ", self.platform)?;
        let words = match self.trusted {
            Some(true) => "trusted",
            Some(false) => "not trusted",
            None => "nothing in it is refused",
        };
        formatter.write_str(words)?;
        self.reason.iter().try_for_each(|reason| write!(formatter, "; {reason}"))
    }
}

/// What the clients say by their rules at `now`, seconds since 1970, to somebody who dials `name`. The server's own
/// certificate comes first in `chain`; without one there is nothing to say.
pub fn by_rules(chain: &[Certificate], name: Option<&str>, now: i64) -> Vec<PlatformVerdict> {
    let Some(own) = chain.first() else { return Vec::new() };
    let rules: [(&str, Rules); 3] =
        [("mstsc (Windows)", mstsc), ("Windows App (macOS, iOS)", apple), ("FreeRDP (OpenSSL)", free_rdp)];
    let verdict = |(platform, rules): (&str, Rules)| {
        let reasons = [dates(chain, now), rules(chain, own, name)].concat();
        PlatformVerdict {
            platform: platform.to_owned(),
            basis: Basis::Rules,
            trusted: (!reasons.is_empty()).then_some(false),
            reason: Some(if reasons.is_empty() { depends(chain, own) } else { reasons.join(", ") }),
        }
    };
    rules.into_iter().map(verdict).collect()
}

/// Why one client refuses a chain, whatever it was told to trust.
type Rules = fn(&[Certificate], &Certificate, Option<&str>) -> Vec<String>;

/// On what it depends whether a chain is trusted.
fn depends(chain: &[Certificate], own: &Certificate) -> String {
    if own.self_signed {
        return "it is signed by itself, and must itself be a trusted one there".to_owned();
    }
    let issuer =
        &chain.iter().take_while(|certificate| !certificate.self_issued).last().unwrap_or(own).issuer;
    format!("its issuer {issuer} must lead to a root that is trusted there")
}

/// All of them look at the dates (RFC 5280 6.1.3), those of issuers too; a root at the end may be another one there.
fn dates(chain: &[Certificate], now: i64) -> Vec<String> {
    let certificates =
        chain.iter().zip(1..).filter(|(certificate, number)| *number == 1 || !certificate.self_issued);
    certificates
        .filter_map(|(certificate, number)| {
            let it = if number == 1 { "it".to_owned() } else { format!("certificate {number}") };
            let words = certificate.validity_words(now);
            match certificate.validity_at(now) {
                Validity::Valid { .. } => None,
                Validity::Expired { .. } => Some(format!("{it} {words}")),
                Validity::NotYetValid { .. } => Some(format!("{it} is {words}")),
            }
        })
        .collect()
}

/// Windows' client takes the common name where there is no alternative one.
fn mstsc(chain: &[Certificate], own: &Certificate, name: Option<&str>) -> Vec<String> {
    let mut reasons = short_keys(chain, WINDOWS_RSA_BITS);
    if !own.permits_server_authentication() {
        reasons.push("its usage is not that of a server".to_owned());
    }
    reasons.extend(name.filter(|name| !own.matches_name(name)).map(other_name));
    reasons
}

fn apple(chain: &[Certificate], own: &Certificate, name: Option<&str>) -> Vec<String> {
    let mut reasons = short_keys(chain, APPLE_RSA_BITS);
    let is_old = |weakness: &Weakness| matches!(weakness, Weakness::Md5Signature | Weakness::Sha1Signature);
    for (certificate, number) in chain.iter().zip(1..) {
        // A root is trusted as it is, and its own signature is not looked at.
        let counts = number == 1 || !certificate.self_issued;
        if counts && certificate.weaknesses().iter().any(is_old) {
            reasons.push(format!("the signature of certificate {number} is not of the SHA-2 family"));
        }
    }
    if own.sans.is_empty() {
        reasons.push("it has no alternative names".to_owned());
    } else {
        reasons.extend(name.filter(|name| !own.matches_name(name)).map(other_name));
    }
    if own.not_before_unix > APPLE_NEW_RULES_FROM {
        if !own.names_server_authentication() {
            reasons.push("its usages do not name that of a TLS server".to_owned());
        }
        let validity = own.not_after_unix.saturating_sub(own.not_before_unix);
        if validity > APPLE_LONGEST_VALIDITY {
            reasons.push(format!("it is valid for {} days, more than 825", validity / (24 * 3600)));
        }
    }
    reasons
}

/// FreeRDP looks at the common name besides the alternative ones, and tries every usage after that of a server.
fn free_rdp(_chain: &[Certificate], own: &Certificate, name: Option<&str>) -> Vec<String> {
    let is_for = |name: &&str| own.matches_name(name) || own.matches_common_name(name);
    name.filter(|name| !is_for(name)).map(other_name).into_iter().collect()
}

fn short_keys(chain: &[Certificate], minimum: u32) -> Vec<String> {
    let certificates = chain.iter().zip(1..);
    certificates
        .filter_map(|(certificate, number)| {
            let bits =
                certificate.key_bits.filter(|bits| certificate.key_algorithm == "RSA" && *bits < minimum)?;
            Some(format!("the RSA key of certificate {number} has {bits} bits, less than {minimum}"))
        })
        .collect()
}

fn other_name(name: &str) -> String {
    format!("it is not for {name}")
}
