//! Where traces are kept: a folder for each session, readable by its owner only.

use super::SessionId;
use crate::trace::Line;
use rdpscope_certs::load::certificate_pem;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Certificates whose PEM each thread remembers: every session of a run sees the same, and encoding one costs as much as
/// writing its file.
const REMEMBERED: usize = 16;

/// A certificate in DER and in PEM.
type Encoded = (Arc<[u8]>, Arc<str>);

thread_local! {
    static ENCODED: RefCell<VecDeque<Encoded>> = const { RefCell::new(VecDeque::new()) };
}

/// The folder that holds a folder for each session.
#[derive(Debug, Clone)]
pub struct TraceFolder {
    path: PathBuf,
}

/// Why traces cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder could not be made or written to.
    #[error("cannot write traces to {}: {source}; name another folder with --trace DIR", path.display())]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Everybody may rename and delete what stands in the folder.
    #[error("cannot write traces to {}: every user may rename and delete what is in it; run 'chmod o-w' on it, or name another folder with --trace DIR", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
    },
    /// The system has no place for a user's data.
    #[error("this user has no data folder; name one with --trace DIR")]
    NoDefault,
}

impl TraceFolder {
    /// Makes `path` where it is missing, and makes sure that it can be written to.
    pub fn open(path: &Path) -> Result<TraceFolder, FolderError> {
        let unwritable = |source| FolderError::Unwritable { path: path.to_owned(), source };
        private_folders(true).create(path).map_err(unwritable)?;
        if is_open_to_all(path).map_err(unwritable)? {
            return Err(FolderError::Open { path: path.to_owned() });
        }
        let probe = path.join(format!(".rdpscope-{}", std::process::id()));
        create_private(&probe).map_err(unwritable)?;
        std::fs::remove_file(&probe).map_err(unwritable)?;
        Ok(TraceFolder { path: path.to_owned() })
    }

    /// The user's own: `rdpscope/traces` in the place that the system has for such things.
    pub fn default_path() -> Result<PathBuf, FolderError> {
        let folders = directories::ProjectDirs::from("", "", "rdpscope").ok_or(FolderError::NoDefault)?;
        Ok(folders.data_local_dir().join("traces"))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a session's trace is.
    pub fn trace_path(&self, session: &SessionId) -> PathBuf {
        self.path.join(&**session).join("trace.jsonl")
    }

    /// Where a session's capture is, where there is one.
    pub fn capture_path(&self, session: &SessionId) -> PathBuf {
        self.path.join(&**session).join(super::pcapng::FILE_NAME)
    }

    /// Writes the lines of an experiment beside its sessions' folders: `experiment-ID.jsonl`. Answers with the path.
    pub fn write_experiment(&self, id: &str, lines: &[Line]) -> Result<PathBuf, FolderError> {
        let path = self.path.join(format!("experiment-{id}.jsonl"));
        let written = create_private(&path).and_then(|mut file| {
            let text: Result<String, serde_json::Error> =
                lines.iter().map(|line| serde_json::to_string(line).map(|line| line + "\n")).collect();
            file.write_all(text?.as_bytes())
        });
        match written {
            Ok(()) => Ok(path),
            Err(source) => Err(FolderError::Unwritable { path, source }),
        }
    }

    /// Makes the session's folder and its empty trace.
    pub(super) fn create_session(&self, session: &SessionId) -> Result<File, FolderError> {
        let folder = self.path.join(&**session);
        let unwritable = |source| FolderError::Unwritable { path: folder.clone(), source };
        private_folders(false).create(&folder).map_err(unwritable)?;
        create_private(&self.trace_path(session)).map_err(unwritable)
    }

    /// Makes the empty capture of a session whose folder is there.
    pub(super) fn create_capture(&self, session: &SessionId) -> io::Result<File> {
        create_private(&self.capture_path(session))
    }

    /// Writes certificates beside the session's trace as PEM: `certificates/server-1.pem` and so on for the prefix
    /// `server`. Of several chains that one side showed the last stays.
    pub(super) fn write_certificates(
        &self,
        session: &SessionId,
        prefix: &str,
        chain: &[Arc<[u8]>],
    ) -> Result<(), FolderError> {
        let folder = self.path.join(&**session).join("certificates");
        let unwritable = |source| FolderError::Unwritable { path: folder.clone(), source };
        let has_others = match private_folders(false).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_folder(&folder) => true,
            created => created.map(|()| false).map_err(unwritable)?,
        };
        for (der, number) in chain.iter().zip(1..) {
            let path = folder.join(format!("{prefix}-{number}.pem"));
            let mut options = OpenOptions::new();
            // Never through a link in its place.
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
            let file = open_private(options.write(true).create(true).truncate(true), &path);
            file.and_then(|mut file| file.write_all(remembered_pem(der).as_bytes())).map_err(unwritable)?;
        }
        if has_others {
            let mut left_over =
                (chain.len() + 1..).map(|number| folder.join(format!("{prefix}-{number}.pem")));
            while left_over.next().is_some_and(|path| std::fs::remove_file(path).is_ok()) {}
        }
        Ok(())
    }
}

/// A certificate as PEM.
fn remembered_pem(der: &Arc<[u8]>) -> Arc<str> {
    ENCODED.with_borrow_mut(|encoded| {
        if let Some((_, pem)) = encoded.iter().find(|(known, _)| known == der) {
            return pem.clone();
        }
        let pem: Arc<str> = certificate_pem(der).into();
        encoded.truncate(REMEMBERED - 1);
        encoded.push_front((der.clone(), pem.clone()));
        pem
    })
}

/// A new file with this content, for the owner only.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    create_private(path)?.write_all(content)
}

/// A new file to append to, for the owner only.
fn create_private(path: &Path) -> io::Result<File> {
    open_private(OpenOptions::new().append(true).create_new(true), path)
}

fn open_private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// A folder itself, and no link to one.
fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Whether others could put something else in the place of a session's folder: everybody may write, and without the sticky
/// bit of a folder like that for temporary files.
#[cfg(unix)]
fn is_open_to_all(path: &Path) -> io::Result<bool> {
    const OTHERS_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path)?);
    Ok(mode & (OTHERS_WRITE | STICKY) == OTHERS_WRITE)
}

/// Elsewhere a folder's access list is its owner's business.
#[cfg(not(unix))]
fn is_open_to_all(_: &Path) -> io::Result<bool> {
    Ok(false)
}

/// What makes folders; `with_parents` also those above, where they are missing, and then one that exists is no error.
fn private_folders(with_parents: bool) -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(with_parents);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_a_file_is_refused_in_one_sentence() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let error = TraceFolder::open(&file.join("traces")).unwrap_err().to_string();
        assert!(error.starts_with("cannot write traces to ") && error.contains("--trace DIR"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_session_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let temporary = tempfile::tempdir().unwrap();
        let folder = TraceFolder::open(temporary.path()).unwrap();
        let session = SessionId::from("one");
        folder.create_session(&session).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.trace_path(&session)), 0o600);
        let beside = folder.trace_path(&session).parent().unwrap().to_owned();
        assert_eq!(mode(&beside), 0o700);

        let chain = |names: &[&'static str]| -> Vec<Arc<[u8]>> {
            names.iter().map(|name| Arc::from(name.as_bytes())).collect()
        };
        folder.write_certificates(&session, "server", &chain(&["one", "two"])).unwrap();
        folder.write_certificates(&session, "server", &chain(&["three"])).unwrap();
        let file = |number: usize| beside.join(format!("certificates/server-{number}.pem"));
        assert_eq!(std::fs::read_to_string(file(1)).unwrap(), certificate_pem(b"three"), "the last stays");
        assert!(!file(2).exists(), "it was of another chain");
        assert_eq!((mode(&file(1)), mode(file(1).parent().unwrap())), (0o600, 0o700));
        std::fs::remove_dir_all(&beside).unwrap();
        folder.write_certificates(&session, "server", &chain(&["four"])).unwrap_err();
        assert!(!beside.exists(), "who deleted it does not want it back");
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link() {
        use std::os::unix::fs::symlink;
        let temporary = tempfile::tempdir().unwrap();
        let folder = TraceFolder::open(temporary.path()).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), temporary.path().join("one")).unwrap();
        folder.create_session(&SessionId::from("one")).unwrap_err();
        symlink(elsewhere.path().join("experiment"), temporary.path().join("experiment-one.jsonl")).unwrap();
        folder.write_experiment("one", &[]).unwrap_err();

        let session = SessionId::from("two");
        folder.create_session(&session).unwrap();
        let beside = temporary.path().join("two");
        symlink(elsewhere.path().join("capture"), folder.capture_path(&session)).unwrap();
        folder.create_capture(&session).unwrap_err();
        let chain: [Arc<[u8]>; 1] = [Arc::from(&b"one"[..])];
        symlink(elsewhere.path(), beside.join("certificates")).unwrap();
        folder.write_certificates(&session, "server", &chain).unwrap_err();
        std::fs::remove_file(beside.join("certificates")).unwrap();
        std::fs::create_dir(beside.join("certificates")).unwrap();
        symlink(elsewhere.path().join("pem"), beside.join("certificates/server-1.pem")).unwrap();
        folder.write_certificates(&session, "server", &chain).unwrap_err();
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_in_which_everybody_may_rename_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let temporary = tempfile::tempdir().unwrap();
        let opened = |mode: u32| {
            std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            TraceFolder::open(temporary.path()).map(|_| ()).map_err(|error| error.to_string())
        };
        assert!(opened(0o777).unwrap_err().contains("every user may rename"));
        assert_eq!((opened(0o1777), opened(0o775)), (Ok(()), Ok(())));
    }

    #[cfg(unix)]
    #[test]
    fn an_experiment_is_for_its_owner_only_and_is_never_written_over() {
        use std::os::unix::fs::PermissionsExt;
        let temporary = tempfile::tempdir().unwrap();
        let folder = TraceFolder::open(temporary.path()).unwrap();
        let path = folder.write_experiment("one", &[]).unwrap();
        assert_eq!(path, temporary.path().join("experiment-one.jsonl"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        folder.write_experiment("one", &[]).unwrap_err();
    }
}
