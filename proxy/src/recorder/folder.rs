//! Where traces are kept: a folder for each session, readable by its owner only.

use super::SessionId;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The folder that holds a folder for each session.
#[derive(Debug, Clone)]
pub struct TraceFolder {
    path: PathBuf,
}

/// Why traces cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder could not be made or written to.
    #[error("cannot write traces to {}: {source}; name another folder with --trace DIR or use --no-trace", path.display())]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no place for a user's data.
    #[error("this user has no data folder; name one with --trace DIR or use --no-trace")]
    NoDefault,
}

impl TraceFolder {
    /// Makes `path` where it is missing, and makes sure that it can be written to.
    pub fn open(path: &Path) -> Result<TraceFolder, FolderError> {
        let unwritable = |source| FolderError::Unwritable { path: path.to_owned(), source };
        private_folders(true).create(path).map_err(unwritable)?;
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

    /// Makes the session's folder and its empty trace.
    pub(super) fn create_session(&self, session: &SessionId) -> Result<File, FolderError> {
        let folder = self.path.join(&**session);
        let unwritable = |source| FolderError::Unwritable { path: folder.clone(), source };
        private_folders(false).create(&folder).map_err(unwritable)?;
        create_private(&self.trace_path(session)).map_err(unwritable)
    }
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
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
        assert_eq!(mode(folder.trace_path(&session).parent().unwrap()), 0o700);
    }
}
