//! The certificates that one target shows over several paths.

use rdpscope_certs::inspect::Certificate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What was shown over each of several paths to one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OtherPathsCheck {
    /// The plain path: the one that every other check takes.
    pub plain: PathCertificates,
    /// The others, in the order in which they were named.
    pub others: Vec<PathCertificates>,
}

/// What was shown over one path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PathCertificates {
    /// The path: `ip:port` where it was connected to directly, otherwise the URL of the proxy.
    pub path: String,
    /// What a proxy was asked for, `host:port`; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_for: Option<String>,
    /// How often the certificate was asked for, each time on a connection of its own.
    pub asked: u32,
    /// Each certificate that was shown, in the order in which they came.
    pub shown: Vec<ShownCertificate>,
    /// Why the last of the connections that brought no certificate brought none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A certificate that was shown over a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShownCertificate {
    /// The chain as it was sent, the endpoint's own first; never empty.
    pub chain: Vec<Arc<Certificate>>,
    /// SHA-256 of its subjectPublicKey, lower-case hex: whoever has another certificate for the same key is the same.
    pub key_sha256: String,
    /// How often it was shown.
    pub times: u32,
}

impl PathCertificates {
    /// The only certificate that was shown.
    pub fn only(&self) -> Option<&ShownCertificate> {
        match &self.shown[..] {
            [only] => Some(only),
            _ => None,
        }
    }
}
