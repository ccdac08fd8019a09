//! What a bundle says about itself.

use crate::redact::Kind;
use serde::{Deserialize, Serialize};

/// The version of this description; a reader refuses a number that it does not know.
pub const MANIFEST_VERSION: u32 = 1;

/// Where it stands in the bundle.
pub const MANIFEST_PATH: &str = "manifest.json";

/// `manifest.json`: every file with its hash, what made the bundle, and what was redacted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub bundle: u32,
    /// The version of the program that made it.
    pub rdpscope: String,
    /// Operating system and processor that it was made on.
    pub system: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The sessions in it.
    pub sessions: Vec<BundledSession>,
    /// The probes in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<BundledProbe>,
    /// Every file but this one, in the order of their paths.
    pub files: Vec<BundledFile>,
    /// What was replaced and left out.
    pub redaction: Redaction,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BundledSession {
    /// Its folder in the bundle.
    pub folder: String,
    /// Its id.
    pub session: String,
    /// What the user named, redacted.
    pub target: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// The program that recorded it.
    pub rdpscope: String,
    /// The settings that shaped it, redacted.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// The verdict's id; absent in a trace that broke off.
    pub verdict: Option<String>,
    /// `confirmed`, `likely` or `possible`.
    pub confidence: Option<String>,
}

/// A probe of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledProbe {
    /// Its folder in the bundle, which it may share with probes of other targets.
    pub folder: String,
    /// What the user named, redacted.
    pub target: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// The verdict's id; absent where the probe broke off.
    pub verdict: Option<String>,
    /// `confirmed`, `likely` or `possible`.
    pub confidence: Option<String>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledFile {
    /// Its path in the bundle.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
}

/// What is not as it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Redaction {
    /// The kinds of names that were kept, as `--keep` has them.
    pub kept: Vec<String>,
    /// Pseudonyms and how often each stands for its name.
    pub pseudonyms: Vec<Pseudonym>,
    /// Pseudonyms of names that are too short, or too common as words, to be looked for in sentences and bytes: they were
    /// replaced in the fields that hold them.
    pub only_in_their_fields: Vec<String>,
    /// What is not in the bundle, and why.
    pub left_out: Vec<LeftOut>,
    /// Files in which a last search still found a name, by its pseudonym; none where all is well.
    pub still_found: Vec<StillFound>,
    /// The TLS secrets of the sessions are in it: whoever has it can read everything in the captures, passwords too.
    pub contains_secrets: bool,
}

/// A pseudonym.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pseudonym {
    /// What it is the pseudonym of: `user`, `domain`, `host`, `organisation`, `address`.
    pub kind: String,
    /// The pseudonym.
    pub pseudonym: String,
    /// How often it was put in.
    pub times: u64,
}

/// Something that is not in the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A name that is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillFound {
    /// The file.
    pub path: String,
    /// The pseudonym of the name.
    pub pseudonym: String,
}

/// The word for one of a kind.
pub(super) fn singular(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Domain => "domain",
        Kind::Host => "host",
        Kind::Organisation => "organisation",
        Kind::Address => "address",
    }
}
