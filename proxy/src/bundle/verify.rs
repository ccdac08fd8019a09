//! Whether a bundle is still what it was.

use super::manifest::{MANIFEST_PATH, MANIFEST_VERSION, Manifest};
use super::{BundleError, sha256};
use std::collections::BTreeSet;
use std::io::{Read, Seek};
use std::path::Path;
use zip::ZipArchive;

/// Longest manifest that is read: each file is a line of some 150 bytes.
const LONGEST_MANIFEST: u64 = 64 * 1024 * 1024;

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

/// Holds every file of the bundle at `path` against its manifest.
pub fn verify(path: &Path) -> Result<Verification, BundleError> {
    let unreadable = |reason: String| BundleError::NotABundle { path: path.to_owned(), reason };
    let file = std::fs::File::open(path)
        .map_err(|source| BundleError::Unreadable { path: path.to_owned(), source })?;
    let mut archive =
        ZipArchive::new(file).map_err(|error| unreadable(format!("it is no zip file ({error})")))?;
    let manifest = manifest(&mut archive).map_err(unreadable)?;
    let mut differences = Vec::new();
    for file in &manifest.files {
        let path = file.path.clone();
        match contents(&mut archive, &path, file.bytes) {
            Ok(Some(bytes)) if sha256(&bytes) == file.sha256 && bytes.len() as u64 == file.bytes => {}
            Ok(Some(_)) => differences.push(Difference::Changed { path }),
            Ok(None) => differences.push(Difference::Missing { path }),
            Err(reason) => differences.push(Difference::Damaged { path, reason }),
        }
    }
    let known: BTreeSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
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
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| format!("its {MANIFEST_PATH} is damaged: {error}"))?;
    let version = value["bundle"].as_u64();
    if version != Some(u64::from(MANIFEST_VERSION)) {
        let found = version.map_or("an unknown version".to_owned(), |version| format!("version {version}"));
        return Err(format!("its manifest has {found}, and this program reads version {MANIFEST_VERSION}"));
    }
    serde_json::from_value(value).map_err(|error| format!("its {MANIFEST_PATH} is damaged: {error}"))
}

/// The file's bytes, no more than one above its length; `None` where there is no such file.
fn contents(
    archive: &mut ZipArchive<impl Read + Seek>,
    path: &str,
    length: u64,
) -> Result<Option<Vec<u8>>, String> {
    let file = match archive.by_name(path) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    file.take(length.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(Some(bytes))
}
