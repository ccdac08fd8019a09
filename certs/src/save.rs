//! Certificates with their keys into files: PEM, PFX.

#[cfg(test)]
mod tests;

use crate::identity::Identity;
use crate::load::pem;
use p12_keystore::error::Error as Pkcs12Error;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use sha1::Digest as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The name that the key has in a PFX file.
const FRIENDLY_NAME: &str = "rdpscope";

/// Why nothing could be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The chain or the key does not go into a PFX file.
    #[error("cannot make a PFX file: {0}")]
    Pfx(#[from] Pkcs12Error),
    /// It is there and was to be kept.
    #[error("{path} exists already", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The chain, then the key in clear as PKCS #8.
pub fn to_pem(identity: &Identity) -> Zeroizing<Vec<u8>> {
    let key = Zeroizing::new(pem("PRIVATE KEY", identity.key.pkcs8()));
    let chain: String = identity.chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
    Zeroizing::new([chain.as_bytes(), key.as_bytes()].concat())
}

/// The chain and the key as a PFX file (RFC 7292), encrypted with AES-256 and SHA-256, which Windows reads from 10 and
/// Server 2019 on.
pub fn to_pfx(identity: &Identity, password: &str) -> Result<Vec<u8>, SaveError> {
    let chain: Vec<Certificate> =
        identity.chain.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>()?;
    let key = PrivateKey::from_der(identity.key.pkcs8())?;
    let identifier = sha1::Sha1::digest(identity.leaf()).to_vec();
    let mut store = KeyStore::new();
    let entry = KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(identifier, key, chain));
    store.add_entry(FRIENDLY_NAME, entry);
    Ok(store.writer(password).write()?)
}

/// Who may read a file, where the system keeps such rights in its files, as Unix does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner, from the start.
    Owner,
    /// Those who may read what the user writes otherwise.
    Usual,
}

/// Writes the whole file or none of it. A file that is there is replaced only when told so.
pub fn write(path: &Path, content: &[u8], readers: Readers, replace: bool) -> Result<(), SaveError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => SaveError::Exists { path: path.to_owned() },
        _ => SaveError::Io { path: path.to_owned(), source },
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = new_file_in(dir, readers).map_err(failed)?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let kept = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    kept.map(drop).map_err(|error| failed(error.error))
}

#[cfg(unix)]
fn new_file_in(dir: &Path, readers: Readers) -> std::io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    // The system takes away what the user's mask forbids.
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(mode)).tempfile_in(dir)
}

#[cfg(not(unix))]
fn new_file_in(dir: &Path, _: Readers) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::NamedTempFile::new_in(dir)
}
