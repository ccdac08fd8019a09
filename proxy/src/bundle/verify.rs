//! Whether a bundle is still what it was.

use super::BundleError;
use super::manifest::{MANIFEST_PATH, MANIFEST_VERSION, Manifest};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::{self, Read, Seek};
use std::path::Path;
use zip::ZipArchive;

/// Longest manifest that is read: each file is a line of some 150 bytes, so this is a hundred thousand of them.
const LONGEST_MANIFEST: u64 = 16 * 1024 * 1024;
/// Bytes that the files of a bundle may have together once they are unpacked. A capture in it has at most 512 MiB
/// ([`crate::redact::capture::MOST_BYTES`]); a small file that announces more was made to keep its reader busy.
pub const MOST_UNPACKED: u64 = 16 * 1024 * 1024 * 1024;

/// Something about a bundle that is not as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Other bytes.
    #[error("{path} was changed: its SHA-256 is not the one in the manifest")]
    Changed {
        /// The file.
        path: String,
    },
    /// A file that cannot be read.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What the reader said.
        reason: String,
    },
    /// A file that is gone.
    #[error("{path} is missing: the manifest names it")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file that came later.
    #[error("{path} is not in the manifest: it was added later")]
    Added {
        /// The file.
        path: String,
    },
}

/// What a look at a bundle came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// What it says about itself.
    pub manifest: Manifest,
    /// What is not as it says; empty where all is well.
    pub differences: Vec<Difference>,
}

/// The version of a manifest before anything else of it is read.
#[derive(Deserialize)]
struct Version {
    bundle: Option<u64>,
}

/// Holds every file of the bundle at `path` against its manifest. Nothing is unpacked onto the disk, and no path in it
/// is ever opened.
pub fn verify(path: &Path) -> Result<Verification, BundleError> {
    let file = std::fs::File::open(path)
        .map_err(|source| BundleError::Unreadable { path: path.to_owned(), source })?;
    verify_file(path, file)
}

/// The same of a bundle that is open; `path` is what errors call it.
pub fn verify_file(path: &Path, file: impl Read + Seek) -> Result<Verification, BundleError> {
    let unreadable = |reason: String| BundleError::NotABundle { path: path.to_owned(), reason };
    let mut archive =
        ZipArchive::new(file).map_err(|error| unreadable(format!("it is no zip file ({error})")))?;
    let manifest = manifest(&mut archive).map_err(unreadable)?;
    let unpacked = manifest.files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
    if unpacked > MOST_UNPACKED {
        let reason = format!("its files have {unpacked} bytes, and no bundle has more than {MOST_UNPACKED}");
        return Err(unreadable(reason));
    }
    let mut known = BTreeSet::new();
    let mut differences = Vec::new();
    for file in &manifest.files {
        let path = file.path.clone();
        if !known.insert(file.path.as_str()) {
            return Err(unreadable(format!("its manifest names {path} twice")));
        }
        match content(&mut archive, &path, file.bytes) {
            Ok(Some((sha256, bytes))) if sha256 == file.sha256 && bytes == file.bytes => {}
            Ok(Some(_)) => differences.push(Difference::Changed { path }),
            Ok(None) => differences.push(Difference::Missing { path }),
            Err(reason) => differences.push(Difference::Damaged { path, reason }),
        }
    }
    let names =
        (0..archive.len()).filter_map(|index| Some(archive.name_for_index(index)?.ok()?.into_owned()));
    let added = names.filter(|name| name != MANIFEST_PATH && !known.contains(name.as_str()));
    differences.extend(added.map(|path| Difference::Added { path }));
    Ok(Verification { manifest, differences })
}

fn manifest(archive: &mut ZipArchive<impl Read + Seek>) -> Result<Manifest, String> {
    let file = archive.by_name(MANIFEST_PATH).map_err(|_| format!("there is no {MANIFEST_PATH} in it"))?;
    let mut text = Vec::new();
    file.take(LONGEST_MANIFEST)
        .read_to_end(&mut text)
        .map_err(|error| format!("its {MANIFEST_PATH} is damaged: {error}"))?;
    let damaged = |error: serde_json::Error| format!("its {MANIFEST_PATH} is damaged: {error}");
    let version = serde_json::from_slice::<Version>(&text).map_err(damaged)?.bundle;
    if version != Some(u64::from(MANIFEST_VERSION)) {
        let found = version.map_or("an unknown version".to_owned(), |version| format!("version {version}"));
        return Err(format!("its manifest has {found}, and this program reads version {MANIFEST_VERSION}"));
    }
    serde_json::from_slice(&text).map_err(damaged)
}

/// The SHA-256 and the length of a file, of which no more is unpacked than one byte above `length`; `None` where there
/// is no such file.
fn content(
    archive: &mut ZipArchive<impl Read + Seek>,
    path: &str,
    length: u64,
) -> Result<Option<(String, u64)>, String> {
    let file = match archive.by_name(path) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut hash = Sha256::new();
    let copied = io::copy(&mut file.take(length.saturating_add(1)), &mut hash);
    let bytes = copied.map_err(|error| error.to_string())?;
    Ok(Some((hex::encode(hash.finalize()), bytes)))
}
