//! The secrets that the user names.

use crate::capture::tls::{RsaKeyError, Secrets};
use crate::cli::Failure;
use crate::cli::cert::password;
use rdpscope_certs::load::{self, LoadError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The largest key log that is read, bytes: of a browser that ran for a year.
const MOST_KEY_LOG: u64 = 256 * 1024 * 1024;
/// The largest key file that is read, bytes.
const MOST_KEY: u64 = 1024 * 1024;

/// Files of secrets, read and understood.
#[derive(Default)]
pub(super) struct Given {
    secrets: Arc<Secrets>,
    lines: u64,
}

impl Given {
    /// Reads every file; `key_password` is the file with the password of those keys that have one.
    pub(super) fn read(
        key_logs: &[PathBuf],
        keys: &[PathBuf],
        key_password: Option<&Path>,
    ) -> Result<Given, Failure> {
        let key_password = password::read(key_password)?;
        let key_password = key_password.as_deref().map(String::as_str);
        let secrets = Arc::new(Secrets::new());
        let mut lines = 0;
        for path in key_logs {
            let outcome = secrets.add_key_log(&bytes(path, MOST_KEY_LOG, "key log")?);
            if outcome.taken == 0 {
                let path = path.display();
                return Err(Failure::not_done(format!(
                    "{path} is no key log: none of its lines is one of the NSS format, as SSLKEYLOGFILE makes them"
                )));
            }
            lines += outcome.taken;
        }
        for path in keys {
            let key = bytes(path, MOST_KEY, "private key")?;
            add_key(&secrets, &key, key_password)
                .map_err(|reason| Failure::not_done(format!("{}: {reason}", path.display())))?;
            lines += 1;
        }
        Ok(Given { secrets, lines })
    }

    /// How many secrets there are.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// These, and those that a capture has inside it. Nothing of one capture opens another, so that they may stay together.
    pub(super) fn with(&self, key_logs: &[Zeroizing<Vec<u8>>]) -> Arc<Secrets> {
        for text in key_logs {
            self.secrets.add_key_log(text);
        }
        Arc::clone(&self.secrets)
    }
}

/// Takes a key that stands alone and in clear, and one from a PFX file or behind a password.
fn add_key(secrets: &Secrets, bytes: &[u8], password: Option<&str>) -> Result<(), String> {
    let refused = match secrets.add_rsa_key(bytes) {
        Err(refused @ (RsaKeyError::NoPrivateKey | RsaKeyError::Encrypted)) => refused,
        told => return told.map_err(|error| error.to_string()),
    };
    let key = load::private_key(bytes, password).map_err(|error| match error {
        LoadError::UnknownFormat => refused.to_string(),
        LoadError::PasswordNeeded => {
            format!("reading the private key: {error}; give it with --key-password-file FILE")
        }
        error => format!("reading the private key: {error}"),
    })?;
    secrets.add_rsa_key(key.pkcs8()).map_err(|error| error.to_string())
}

fn bytes(path: &Path, most: u64, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::not_done(format!("cannot read the {what} {}: {error}", path.display()))
    };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > most {
        return Err(Failure::not_done(format!("the {what} {} is too large to be one", path.display())));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(failed)
}
