//! A CA kept in a folder across runs, so that it is trusted once.

use super::{Authority, AuthorityError, IPV4_SUBTREE, IPV6_SUBTREE, KEPT_VALIDITY, WRONG_NAME};
use crate::inspect::{Validity, inspect};
use crate::key::{KeyKind, PrivateKey};
use crate::load;
use crate::name::Name;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// Certificate and key; only the owner may read it.
const KEY_FILE: &str = "ca-key.pem";
/// The certificate alone, for whoever is to trust it.
const CERTIFICATE_FILE: &str = "ca.pem";
/// Held while a CA is loaded or made, so that of two runs that start together the second finds the CA of the first.
const LOCK_FILE: &str = "lock";
/// A CA with less than this many seconds left is renewed: it should not end in the middle of a session.
const MINIMUM_REMAINING: u64 = 3600;

/// How it came to the CA that is now in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It was there: who trusted it still does.
    Loaded,
    /// It is new and trusted by nobody yet.
    Created(KeptBecause),
}

/// Why a CA was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptBecause {
    /// There was none.
    None,
    /// The one that was there is over, about to be, or has not begun.
    Expired,
    /// The one that was there may not sign for all names that are now in use.
    OtherNames,
}

impl Authority {
    /// The CA kept in `dir`, or a new one of this kind where there is none, where it has expired or where it may not
    /// sign for all of `names`; the new one then also keeps the names of the old. The key lies in a file that only
    /// the owner may read (on Windows, that the folder's own rules protect). `now` in seconds since 1970.
    pub fn keep_in(
        dir: &Path,
        names: &[Name],
        kind: KeyKind,
        now: i64,
    ) -> Result<(Authority, Kept), AuthorityError> {
        create_private_folder(dir).map_err(io("create", dir))?;
        let _lock = lock(&dir.join(LOCK_FILE))?;
        let path = dir.join(KEY_FILE);
        let (because, mut all) = match load(&path)? {
            None => (KeptBecause::None, BTreeSet::new()),
            Some(kept) if !is_good_at(&kept, now) => (KeptBecause::Expired, kept.names),
            Some(kept) if names.iter().all(|name| kept.permits(name)) => {
                write(&Authority::certificate_file(dir), kept.certificate_pem().as_bytes())?;
                return Ok((kept, Kept::Loaded));
            }
            Some(kept) => (KeptBecause::OtherNames, kept.names),
        };
        all.extend(names.iter().cloned());
        let authority = Authority::valid_for(all, PrivateKey::generate(kind)?, now, KEPT_VALIDITY)?;
        write(&path, authority.bundle().as_bytes())?;
        write(&Authority::certificate_file(dir), authority.certificate_pem().as_bytes())?;
        Ok((authority, Kept::Created(because)))
    }

    /// Where the certificate of the CA that is kept in `dir` is.
    pub fn certificate_file(dir: &Path) -> PathBuf {
        dir.join(CERTIFICATE_FILE)
    }

    fn bundle(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(load::pem("PRIVATE KEY", self.key.pkcs8()));
        Zeroizing::new(format!("{}{}", *key, self.certificate_pem()))
    }
}

fn is_good_at(authority: &Authority, now: i64) -> bool {
    inspect(&authority.certificate).is_ok_and(|certificate| {
        matches!(certificate.validity_at(now), Validity::Valid { remaining_seconds }
            if remaining_seconds >= MINIMUM_REMAINING)
    })
}

fn load(path: &Path) -> Result<Option<Authority>, AuthorityError> {
    let foreign = |reason: String| AuthorityError::Foreign { path: path.to_owned(), reason };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("read", path)(error)),
    };
    refuse_exposed(&file, path)?;
    let bytes = load::read_file(file).map_err(io("read", path))?;
    let identity = load::identity(&bytes, None).map_err(|error| foreign(error.to_string()))?;
    let names = permitted(identity.leaf())
        .filter(|names| names.contains(&Name::Dns(WRONG_NAME.to_owned())))
        .ok_or_else(|| foreign("its certificate is not limited to names as such a CA is".to_owned()))?;
    Ok(Some(Authority { certificate: identity.leaf().to_vec(), key: identity.key, names }))
}

/// The names that the CA certificate in `der` may sign for, together with what is below them; nothing where it is no
/// CA, or where its names are not limited.
pub fn permitted(der: &[u8]) -> Option<BTreeSet<Name>> {
    let (_, x509) = X509Certificate::from_der(der).ok()?;
    if !x509.is_ca() {
        return None;
    }
    let constraints = x509.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(constraints) => constraints.permitted_subtrees.as_ref(),
        _ => None,
    })?;
    constraints.iter().map(|subtree| name(&subtree.base)).collect()
}

fn name(base: &GeneralName<'_>) -> Option<Name> {
    match base {
        GeneralName::DNSName(name) => name.parse().ok(),
        GeneralName::IPAddress(subtree) => {
            let (address, _) = subtree.split_at_checked(subtree.len() / 2)?;
            let address = match subtree.len() {
                IPV4_SUBTREE => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
                IPV6_SUBTREE => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
                _ => return None,
            };
            Some(Name::Ip(address))
        }
        _ => None,
    }
}

/// Waits for the lock; it is let go when the file is closed.
fn lock(path: &Path) -> Result<File, AuthorityError> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.create(true).append(true).open(path).map_err(io("create", path))?;
    file.lock().map_err(io("lock", path))?;
    Ok(file)
}

/// Writes the whole file or none of it. On Unix it is made with mode 0600 from the start.
fn write(path: &Path, content: &[u8]) -> Result<(), AuthorityError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io("create a file in", dir))?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(io("write", path))?;
    file.persist(path).map_err(|error| io("write", path)(error.error))?;
    Ok(())
}

#[cfg(unix)]
fn create_private_folder(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn create_private_folder(dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(unix)]
fn refuse_exposed(file: &File, path: &Path) -> Result<(), AuthorityError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_err(io("read", path))?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(AuthorityError::Exposed { path: path.to_owned() }) }
}

#[cfg(not(unix))]
fn refuse_exposed(_: &File, _: &Path) -> Result<(), AuthorityError> {
    Ok(())
}

fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> AuthorityError {
    let path: PathBuf = path.to_owned();
    move |source| AuthorityError::Io { operation, path, source }
}
