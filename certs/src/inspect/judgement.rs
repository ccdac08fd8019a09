//! What follows from a certificate for a client: dates, names, usage, strength. The time is an argument.

use super::Certificate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The extended key usage of a TLS server.
pub(super) const SERVER_AUTHENTICATION: &str = "serverAuth";
/// Microsoft's own usage for Remote Desktop hosts, 1.3.6.1.4.1.311.54.1.2.
pub(super) const REMOTE_DESKTOP_AUTHENTICATION: &str = "remoteDesktopAuthentication";
/// RSA keys below this are refused by current clients.
const MINIMUM_RSA_BITS: u32 = 2048;
/// Elliptic curve keys below this are refused by current clients.
const MINIMUM_ELLIPTIC_CURVE_BITS: u32 = 256;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Where a moment lies against the validity period, whose both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "validity")]
pub enum Validity {
    /// After notAfter.
    Expired {
        /// Seconds since notAfter.
        since_seconds: u64,
    },
    /// Before notBefore.
    NotYetValid {
        /// Seconds until notBefore.
        in_seconds: u64,
    },
    /// Within.
    Valid {
        /// Seconds until notAfter.
        remaining_seconds: u64,
    },
}

/// A property that makes a certificate weak or old; clients differ in which of them they refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "weakness")]
pub enum Weakness {
    /// Signed with MD2, MD4 or MD5.
    Md5Signature,
    /// Signed with SHA-1.
    Sha1Signature,
    /// An RSA key below 2048 bits.
    ShortRsaKey {
        /// Bits of the modulus.
        bits: u32,
    },
    /// An elliptic curve key below 256 bits.
    ShortEllipticCurveKey {
        /// Bits of the curve.
        bits: u32,
    },
    /// A DSA key, which TLS 1.3 and current clients do not know.
    DsaKey,
    /// X.509 version 1 or 2, which has no extensions: no alternative names, no usages.
    OldVersion {
        /// The version.
        version: u32,
    },
    /// A negative or zero serial number.
    BadSerial,
    /// Extensions that could not be read.
    UnreadableExtensions,
}

impl std::fmt::Display for Weakness {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Weakness::Md5Signature => formatter.write_str("the signature uses MD5 or older"),
            Weakness::Sha1Signature => formatter.write_str("the signature uses SHA-1"),
            Weakness::ShortRsaKey { bits } => write!(formatter, "the RSA key has only {bits} bits"),
            Weakness::ShortEllipticCurveKey { bits } => {
                write!(formatter, "the elliptic curve key has only {bits} bits")
            }
            Weakness::DsaKey => formatter.write_str("the key is a DSA key"),
            Weakness::OldVersion { version } => {
                write!(formatter, "the certificate is X.509 version {version}")
            }
            Weakness::BadSerial => formatter.write_str("the serial number is not positive"),
            Weakness::UnreadableExtensions => formatter.write_str("an extension cannot be read"),
        }
    }
}

impl Certificate {
    /// Where `unix_seconds` lies against the validity period. A period that ends before it begins is over.
    pub fn validity_at(&self, unix_seconds: i64) -> Validity {
        if unix_seconds > self.not_after_unix {
            Validity::Expired { since_seconds: unix_seconds.abs_diff(self.not_after_unix) }
        } else if unix_seconds < self.not_before_unix {
            Validity::NotYetValid { in_seconds: self.not_before_unix.abs_diff(unix_seconds) }
        } else {
            Validity::Valid { remaining_seconds: self.not_after_unix.abs_diff(unix_seconds) }
        }
    }

    /// The same for people: `expired 12 days ago`, `not valid before 2026-12-01, in 10 days`,
    /// `valid until 2027-05-01, 160 days`.
    pub fn validity_words(&self, unix_seconds: i64) -> String {
        match self.validity_at(unix_seconds) {
            Validity::Expired { since_seconds } => format!("expired {} ago", span(since_seconds)),
            Validity::NotYetValid { in_seconds } => {
                format!("not valid before {}, in {}", day(&self.not_before), span(in_seconds))
            }
            Validity::Valid { remaining_seconds } => {
                format!("valid until {}, {}", day(&self.not_after), span(remaining_seconds))
            }
        }
    }

    /// Whether a client that was told to connect to `name` finds it here: among the alternative names, or where
    /// there is none, as the common name. A wildcard stands for one whole label on the left. An IP address must be
    /// written out, as an address or, as Windows also accepts, as the text of a DNS name.
    pub fn matches_name(&self, name: &str) -> bool {
        if self.sans.is_empty() {
            self.matches_common_name(name)
        } else {
            self.sans.iter().any(|san| matches(san, name))
        }
    }

    /// The same by the common name alone, even where there are alternative names.
    pub fn matches_common_name(&self, name: &str) -> bool {
        self.subject_cn.as_deref().is_some_and(|common_name| matches(common_name, name))
    }

    /// Whether serverAuth is among the extended key usages, in so many words.
    pub fn names_server_authentication(&self) -> bool {
        self.extended_key_usage
            .as_ref()
            .is_some_and(|usages| usages.iter().any(|usage| usage == SERVER_AUTHENTICATION))
    }

    /// Whether the extended key usages allow an RDP server: none at all, serverAuth, anyExtendedKeyUsage, or
    /// Microsoft's Remote Desktop Authentication, which mstsc accepts and other clients may not.
    pub fn permits_server_authentication(&self) -> bool {
        self.extended_key_usage.as_ref().is_none_or(|usages| {
            usages.iter().any(|usage| {
                [SERVER_AUTHENTICATION, REMOTE_DESKTOP_AUTHENTICATION, "anyExtendedKeyUsage"]
                    .contains(&usage.as_str())
            })
        })
    }

    /// What makes it weak or old. The signature of a self-signed certificate protects nothing, so that a hash there
    /// matters only to clients that look at it all the same.
    pub fn weaknesses(&self) -> Vec<Weakness> {
        let mut weaknesses = Vec::new();
        let signature = self.signature_algorithm.to_ascii_lowercase();
        if signature.starts_with("md") {
            weaknesses.push(Weakness::Md5Signature);
        } else if signature.contains("sha1") {
            weaknesses.push(Weakness::Sha1Signature);
        }
        match (self.key_algorithm.as_str(), self.key_bits) {
            ("RSA", Some(bits)) if bits < MINIMUM_RSA_BITS => weaknesses.push(Weakness::ShortRsaKey { bits }),
            ("DSA", _) => weaknesses.push(Weakness::DsaKey),
            (algorithm, Some(bits))
                if algorithm.starts_with("ECDSA") && bits < MINIMUM_ELLIPTIC_CURVE_BITS =>
            {
                weaknesses.push(Weakness::ShortEllipticCurveKey { bits });
            }
            _ => {}
        }
        if self.version < 3 {
            weaknesses.push(Weakness::OldVersion { version: self.version });
        }
        if self.serial.starts_with('-') || self.serial == "00" {
            weaknesses.push(Weakness::BadSerial);
        }
        if !self.unreadable_extensions.is_empty() {
            weaknesses.push(Weakness::UnreadableExtensions);
        }
        weaknesses
    }
}

/// The date of an RFC 3339 time.
fn day(rfc3339: &str) -> &str {
    rfc3339.split('T').next().unwrap_or(rfc3339)
}

/// A span in its largest whole unit.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        DAY.. => (seconds / DAY, "day"),
        HOUR.. => (seconds / HOUR, "hour"),
        MINUTE.. => (seconds / MINUTE, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    let name = name.strip_suffix('.').unwrap_or(name);
    if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return pattern.parse() == Ok(address);
    }
    if pattern.eq_ignore_ascii_case(name) {
        return !name.is_empty();
    }
    let (Some(domain), Some((label, rest))) = (pattern.strip_prefix("*."), name.split_once('.')) else {
        return false;
    };
    !label.is_empty() && domain.contains('.') && domain.eq_ignore_ascii_case(rest)
}
