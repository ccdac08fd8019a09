//! What runs have written down of CAs that they made trusted ones. A run holds its record locked for as long as it
//! lives; the system lets go of it whatever ends the run, so that a record that nobody holds is a killed run's.

use crate::recorder::write_private;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Held while records and the system's store are changed together.
const LOCK_FILE: &str = "lock";
const ENDING: &str = ".json";
/// Bytes of a record that is read back; one of ours has some kilobytes.
const MOST_BYTES: u64 = 1 << 20;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// SHA-1 of the CA's certificate, hexadecimal.
    pub(super) sha1: String,
    /// SHA-256 of it.
    pub(super) sha256: String,
    /// Whom the CA says it is.
    pub(super) subject: String,
    /// Its certificate in PEM.
    pub(super) pem: String,
    /// The machine that trusts it: several may share the folder.
    pub(super) machine: Option<String>,
    /// The run's process.
    pub(super) process: u32,
    /// When that began to trust it, RFC 3339.
    pub(super) started: String,
    /// What makes the CA a trusted one, as typed.
    pub(super) done: Vec<String>,
    /// What undoes it, as typed.
    pub(super) undone_by: Vec<String>,
}

/// A record that this process holds.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    file: File,
}

/// The folder with the records.
#[derive(Debug, Clone)]
pub(super) struct Records {
    folder: PathBuf,
}

impl Records {
    /// `rdpscope/trusted` in the place that the system has for users' data; `None` where it has no such place.
    pub(super) fn of_user() -> Option<Records> {
        let folders = directories::ProjectDirs::from("", "", "rdpscope")?;
        Some(Records { folder: folders.data_local_dir().join("trusted") })
    }

    #[cfg(test)]
    pub(super) fn in_folder(folder: &Path) -> Records {
        Records { folder: folder.to_owned() }
    }

    /// Makes the folder where it is missing.
    pub(super) fn create(&self) -> io::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder)
    }

    /// Waits until nobody else changes records; nobody does until the answer is dropped.
    pub(super) fn exclusive(&self) -> io::Result<File> {
        let file = self.lock_file()?;
        file.lock()?;
        Ok(file)
    }

    /// The same without waiting; `None` where somebody changes them, or there is no folder.
    pub(super) fn exclusive_now(&self) -> Option<File> {
        if !self.folder.is_dir() {
            return None;
        }
        let file = self.lock_file().ok()?;
        file.try_lock().ok()?;
        Some(file)
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.create(true).append(true).open(self.folder.join(LOCK_FILE))
    }

    /// Writes a record and holds it.
    pub(super) fn write(&self, record: &Record) -> io::Result<Held> {
        let path = self.folder.join(format!("{}-{}{ENDING}", record.sha1, record.process));
        // One that an earlier process with the same number left.
        let _ = std::fs::remove_file(&path);
        write_private(&path, b"")?;
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.lock()?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.sync_all()?;
        Ok(Held { path, file })
    }

    /// The CA's certificate as a file, for commands that want one.
    pub(super) fn certificate_file(&self, record: &Record) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("{}.pem", record.sha1));
        let _ = std::fs::remove_file(&path);
        write_private(&path, record.pem.as_bytes())?;
        Ok(path)
    }

    /// Removes that file, once no record is about the CA.
    pub(super) fn remove_certificate_file(&self, sha1: &str) {
        // One that is gone is what is wanted; a leftover holds no secret.
        let _ = std::fs::remove_file(self.folder.join(format!("{sha1}.pem")));
    }

    /// The records of runs that are over, each held by this process until it is dropped or removed. What cannot be read was
    /// never finished, and nothing was done yet.
    pub(super) fn left_behind(&self) -> impl Iterator<Item = (Held, Record)> {
        self.paths().into_iter().filter_map(|path| {
            let mut held = hold(&path)?;
            match held.read() {
                Some(record) => Some((held, record)),
                None => {
                    held.remove();
                    None
                }
            }
        })
    }

    /// Whether another run that lives trusts the CA with this SHA-1 too.
    pub(super) fn is_in_use(&self, sha1: &str, except: Option<&Held>) -> bool {
        let own = except.map(|held| held.path.as_path());
        let is_of_it = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{sha1}-")))
        };
        self.paths()
            .iter()
            .filter(|path| is_of_it(path) && Some(path.as_path()) != own)
            .any(|path| is_held(path))
    }

    fn paths(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.to_string_lossy().ends_with(ENDING));
        paths.sort();
        paths
    }
}

/// Takes a record that nobody holds.
fn hold(path: &Path) -> Option<Held> {
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    file.try_lock().ok()?;
    Some(Held { path: path.to_owned(), file })
}

fn is_held(path: &Path) -> bool {
    path.exists() && hold(path).is_none()
}

impl Held {
    fn read(&mut self) -> Option<Record> {
        let mut bytes = Vec::new();
        self.file.rewind().ok()?;
        (&self.file).take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// What it is about is undone.
    pub(super) fn remove(self) {
        drop(self.file);
        // One that is gone is what is wanted.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(process: u32) -> Record {
        Record {
            sha1: "ab12".to_owned(),
            sha256: "cd34".to_owned(),
            subject: "CN=rdpscope session CA 1".to_owned(),
            pem: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            machine: None,
            process,
            started: "2026-11-22T02:00:00Z".to_owned(),
            done: vec!["install".to_owned()],
            undone_by: vec!["remove".to_owned()],
        }
    }

    #[test]
    fn only_a_record_that_nobody_holds_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::in_folder(&folder.path().join("trusted"));
        records.create().unwrap();
        let (living, killed) = (records.write(&record(1)).unwrap(), records.write(&record(2)).unwrap());
        assert_eq!(records.left_behind().count(), 0);
        drop(killed);
        let left: Vec<_> = records.left_behind().collect();
        assert_eq!(left.iter().map(|(_, record)| record).collect::<Vec<_>>(), [&record(2)]);
        assert!(records.is_in_use("ab12", None));
        left.into_iter().for_each(|(held, _)| held.remove());
        assert!(!records.is_in_use("ab12", Some(&living)));
        living.remove();
        assert_eq!(std::fs::read_dir(folder.path().join("trusted")).unwrap().count(), 0);
    }

    #[test]
    fn a_record_that_was_cut_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::in_folder(folder.path());
        let whole = serde_json::to_vec(&record(7)).unwrap();
        for length in [0, 1, whole.len() - 1] {
            let path = folder.path().join("ab12-7.json");
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(records.left_behind().count(), 0);
            assert!(!path.exists());
        }
    }

    #[cfg(unix)]
    #[test]
    fn records_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let records = Records::in_folder(&folder.path().join("trusted"));
        records.create().unwrap();
        let held = records.write(&record(1)).unwrap();
        let file = records.certificate_file(&record(1)).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [mode(&folder.path().join("trusted")), mode(&held.path), mode(&file)],
            [0o700, 0o600, 0o600]
        );
    }

    #[test]
    fn records_are_changed_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::in_folder(folder.path());
        let exclusive = records.exclusive().unwrap();
        assert!(records.exclusive_now().is_none());
        drop(exclusive);
        assert!(records.exclusive_now().is_some());
        assert!(Records::in_folder(&folder.path().join("none")).exclusive_now().is_none());
    }
}
