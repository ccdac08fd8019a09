//! The key of this machine's pseudonyms: kept, so that a name is the same in today's bundle and in tomorrow's.

use crate::redact::PseudonymKey;
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The file in the user's data folder.
const FILE: &str = "pseudonyms.key";

/// The key, and why it is another next time where it could not be kept.
pub struct Key {
    /// The key.
    pub key: PseudonymKey,
    /// What stood in the way of keeping it.
    pub not_kept: Option<String>,
}

/// The key that is kept in the user's data folder, made where there is none. Fails where the system has no random bytes.
pub fn kept() -> io::Result<Key> {
    match directories::ProjectDirs::from("", "", "rdpscope") {
        Some(folders) => kept_in(folders.data_local_dir()),
        None => for_once("this user has no data folder".to_owned()),
    }
}

/// The same in a folder of one's choice.
pub fn kept_in(folder: &Path) -> io::Result<Key> {
    let path = folder.join(FILE);
    match read(&path).and_then(|key| key.map_or_else(|| create(folder, &path), Ok)) {
        Ok(key) => Ok(Key { key, not_kept: None }),
        Err(error) => for_once(format!("{}: {error}", path.display())),
    }
}

fn for_once(why: String) -> io::Result<Key> {
    Ok(Key { key: PseudonymKey::new(*random()?), not_kept: Some(why) })
}

/// Bytes that nobody can guess; fails where the system has none.
fn random() -> io::Result<Zeroizing<[u8; PseudonymKey::LENGTH]>> {
    let mut bytes = Zeroizing::new([0; PseudonymKey::LENGTH]);
    let filled = SystemRandom::new().fill(&mut *bytes);
    filled.map(|()| bytes).map_err(|_| io::Error::other("the system has no random bytes"))
}

fn read(path: &Path) -> io::Result<Option<PseudonymKey>> {
    let mut bytes = Zeroizing::new(Vec::new());
    match std::fs::File::open(path) {
        Ok(file) => file.take(PseudonymKey::LENGTH as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let wrong =
        |_| io::Error::other("it does not have 32 bytes; delete it, and the next bundle makes another");
    <[u8; PseudonymKey::LENGTH]>::try_from(bytes.as_slice())
        .map(|key| Some(PseudonymKey::new(key)))
        .map_err(wrong)
}

fn create(folder: &Path, path: &PathBuf) -> io::Result<PseudonymKey> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    let bytes = random()?;
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create_new(true).open(path)?;
    file.write_all(&*bytes)?;
    Ok(PseudonymKey::new(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::{Keep, Names};

    fn pseudonym(folder: &Path) -> String {
        let mut names = Names::new(kept_in(folder).unwrap().key, Keep::new());
        names.learn_line(&serde_json::json!({ "workstation": "srv10" }));
        let mut redactor = crate::redact::Redactor::new(names);
        redactor.text("srv10")
    }

    #[test]
    fn the_key_is_kept_and_is_its_owners() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("data");
        let first = pseudonym(&folder);
        assert_eq!(pseudonym(&folder), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
        }
        std::fs::remove_file(folder.join(FILE)).unwrap();
        assert_ne!(pseudonym(&folder), first);
        std::fs::write(folder.join(FILE), b"short").unwrap();
        assert!(kept_in(&folder).unwrap().not_kept.unwrap().contains("32 bytes"));
    }
}
