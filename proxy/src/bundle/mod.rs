//! What goes to an escalation: one zip with the report, traces, captures, certificates and profiles, names replaced by
//! pseudonyms, and a manifest that tells what each file is, what was left out and why.

pub mod key;
mod manifest;
mod material;
mod readme;
mod redacted;
mod verify;

pub use manifest::{
    BundledFile, BundledProbe, BundledSession, LeftOut, MANIFEST_PATH, MANIFEST_VERSION, Manifest, Pseudonym,
    Redaction, StillFound,
};
pub use verify::{Difference, MOST_UNPACKED, Verification, verify, verify_file};

use crate::redact::{Keep, Names, Redactor};
use material::Material;
use redacted::Redacted;
use sha2::{Digest, Sha256};
use std::io::{Cursor, Write};
use std::path::PathBuf;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What is to go into a bundle.
#[derive(Debug, Clone)]
pub struct Request {
    /// Traces: folders of sessions or of a run, `trace.jsonl` files, files of probes and experiments, or what `--json` wrote.
    pub traces: Vec<PathBuf>,
    /// Captures from elsewhere: what they show of Remote Desktop, and a trace of each attempt in them.
    pub captures: Vec<PathBuf>,
    /// Profiles of the client.
    pub rdp_files: Vec<PathBuf>,
    /// Kinds of names that stay.
    pub keep: Keep,
    /// The captures' TLS secrets go in, too.
    pub with_secrets: bool,
    /// Now, RFC 3339.
    pub created: String,
    /// Whether this build has a command that a verdict proposes.
    pub knows_command: fn(&str) -> bool,
}

/// A bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// The zip.
    pub zip: Vec<u8>,
    /// SHA-256 of the zip, lower-case hex.
    pub sha256: String,
    /// What is in it.
    pub manifest: Manifest,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is no trace.
    #[error("{}: {reason}", path.display())]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file that is no profile of a client.
    #[error("{} is no .rdp file: {reason}", path.display())]
    NotAProfile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file that is no bundle.
    #[error("{} is no bundle of rdpscope: {reason}", path.display())]
    NotABundle {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A capture that cannot be read.
    #[error(transparent)]
    Capture(#[from] crate::capture::file::CaptureError),
    /// The zip could not be put together.
    #[error("cannot put the bundle together: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// A part of it could not be written.
    #[error("cannot put the bundle together: {0}")]
    Write(#[from] std::io::Error),
}

/// Puts a bundle together: reads everything, learns every name, replaces them everywhere.
pub fn make(request: &Request, key: key::Key) -> Result<Bundle, BundleError> {
    let mut material = Material::gather(request)?;
    let mut names = Names::new(key.key, request.keep.clone());
    material.learn(&mut names);
    if let Some(why) = key.not_kept {
        let what = "the key of the pseudonyms".to_owned();
        material.left_out.push(LeftOut {
            what,
            why: format!("it cannot be kept, another bundle has other pseudonyms: {why}"),
        });
    }
    let redacted = Redacted::from(material, Redactor::new(names));
    let (manifest, files) = redacted.finish(request);
    let zip = zip(&manifest, &files)?;
    Ok(Bundle { sha256: sha256(&zip), zip, manifest })
}

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: String,
    bytes: Vec<u8>,
}

fn zip(manifest: &Manifest, files: &[File]) -> Result<Vec<u8>, BundleError> {
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // The manifest first: whoever lists the bundle sees it.
    zip.start_file(MANIFEST_PATH, options)?;
    zip.write_all(&serde_json::to_vec_pretty(manifest).map_err(std::io::Error::other)?)?;
    for file in files {
        zip.start_file(file.path.as_str(), options)?;
        zip.write_all(&file.bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// So many of something.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
