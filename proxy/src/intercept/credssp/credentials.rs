//! The credentials that rdpscope logs on with: from a file that only its owner can read, or from a person.
//!
//! The file holds two lines, in any order; empty lines and lines that begin with `#` do not count:
//!
//! ```text
//! username = CORP\jane
//! password = correct horse battery staple
//! ```
//!
//! The user name is `user`, `DOMAIN\user` or `user@domain`. Of the password's line, everything after `=` and one blank
//! belongs to the password, up to the end of the line.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of a credentials file at most: two lines need no more.
const LONGEST_FILE: usize = 64 * 1024;

/// A user's name and password. The password is overwritten when this is dropped, and never shown.
#[derive(Clone)]
pub struct Credentials {
    domain: String,
    user: String,
    password: Zeroizing<String>,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("credentials file {path}: it cannot be read: {source}; name a file that exists and that you may read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("credentials file {path}: other users may read it (mode {mode:04o}); run 'chmod 600 {path}'", path = path.display())]
    Shared {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file does not hold what it should.
    #[error("credentials file {path}: {problem}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Nobody can be asked.
    #[error(
        "NLA is to be terminated, and there is neither a credentials file nor a terminal to ask for the password; give --credentials FILE"
    )]
    NoTerminal,
    /// Asking failed.
    #[error("the password cannot be asked for: {0}; give --credentials FILE")]
    Prompt(#[source] io::Error),
    /// The user name that was typed has no name in it.
    #[error("the user name is empty; type user, DOMAIN\\user or user@domain")]
    NoName,
}

/// What is wrong with the text of a credentials file. It never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It is longer than any such file.
    #[error("it is longer than {LONGEST_FILE} bytes; it needs two lines, username and password")]
    TooLong,
    /// It is not text.
    #[error("it is not UTF-8; save it as UTF-8")]
    Encoding,
    /// A line that is no setting.
    #[error("line {0} is neither 'username = …' nor 'password = …'")]
    Line(usize),
    /// A setting that was there before.
    #[error("line {line} gives the {name} a second time")]
    Twice {
        /// Which line, from 1.
        line: usize,
        /// `username` or `password`.
        name: &'static str,
    },
    /// A user name without a name.
    #[error("line {0} has no user name; write user, DOMAIN\\user or user@domain")]
    NoName(usize),
    /// A line is missing.
    #[error("there is no line '{0} = …'")]
    Missing(&'static str),
}

impl Credentials {
    /// From a user name (`user`, `DOMAIN\user` or `user@domain`) and a password; `None` when the name is empty.
    pub fn new(username: &str, password: Zeroizing<String>) -> Option<Credentials> {
        let (domain, user) = username.split_once('\\').unwrap_or(("", username));
        let (domain, user) = (domain.to_owned(), user.to_owned());
        (!user.is_empty()).then_some(Credentials { domain, user, password })
    }

    /// From a file as described at this module.
    ///
    /// # Errors
    /// The file cannot be read, may be read by others (on Unix), or is not such a file.
    pub fn from_file(path: &Path) -> Result<Credentials, CredentialsError> {
        let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        check_permissions(path, &file)?;
        // One byte more than is allowed, so that the buffer never grows and leaves a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_FILE + 1));
        file.take(LONGEST_FILE as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::parse(&bytes).map_err(|problem| CredentialsError::Content { path: path.to_owned(), problem })
    }

    /// From the content of a file as described at this module.
    ///
    /// # Errors
    /// It is not the content of such a file.
    pub fn parse(bytes: &[u8]) -> Result<Credentials, Problem> {
        if bytes.len() > LONGEST_FILE {
            return Err(Problem::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Problem::Encoding)?;
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let (mut username, mut password) = (None, None);
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() || text.trim_start().starts_with('#') {
                continue;
            }
            let (name, value) = text.split_once('=').ok_or(Problem::Line(line))?;
            let (slot, name, value) = match name.trim() {
                "username" => (&mut username, "username", value.trim()),
                "password" => (&mut password, "password", value.strip_prefix(' ').unwrap_or(value)),
                _ => return Err(Problem::Line(line)),
            };
            if slot.replace((line, value)).is_some() {
                return Err(Problem::Twice { line, name });
            }
        }
        let (line, username) = username.ok_or(Problem::Missing("username"))?;
        let (_, password) = password.ok_or(Problem::Missing("password"))?;
        Credentials::new(username, Zeroizing::new(password.to_owned())).ok_or(Problem::NoName(line))
    }

    /// From the person at the terminal; the password is not shown as it is typed.
    ///
    /// # Errors
    /// There is no terminal, or nothing was typed.
    pub fn prompt() -> Result<Credentials, CredentialsError> {
        if !io::stdin().is_terminal() {
            return Err(CredentialsError::NoTerminal);
        }
        let mut stderr = io::stderr();
        let question = "User name (user, DOMAIN\\user or user@domain): ";
        stderr
            .write_all(question.as_bytes())
            .and_then(|()| stderr.flush())
            .map_err(CredentialsError::Prompt)?;
        let mut username = String::new();
        io::stdin().read_line(&mut username).map_err(CredentialsError::Prompt)?;
        let password = rpassword::prompt_password("Password (it is not shown): ");
        let password = Zeroizing::new(password.map_err(CredentialsError::Prompt)?);
        Credentials::new(username.trim(), password).ok_or(CredentialsError::NoName)
    }

    /// The user name without `DOMAIN\`; of `user@domain` all of it.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What stood before the backslash; empty where there was none.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// Whether a client that says this name is the same user. Domains are not compared: clients put the server's or
    /// their own name there, and NTLM proves the password over whatever they said.
    pub(super) fn is_user(&self, name: &str) -> bool {
        let account = |name: &str| name.split('@').next().unwrap_or(name).to_lowercase();
        account(name) == account(&self.user)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Credentials { domain, user, password: _ } = self;
        f.debug_struct("Credentials").field("domain", domain).field("user", user).finish_non_exhaustive()
    }
}

#[cfg(unix)]
fn check_permissions(path: &Path, file: &File) -> Result<(), CredentialsError> {
    use std::os::unix::fs::MetadataExt;
    let metadata =
        file.metadata().map_err(|source| CredentialsError::Read { path: path.to_owned(), source })?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(CredentialsError::Shared { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Elsewhere a file's access list is its owner's business.
#[cfg(not(unix))]
fn check_permissions(_: &Path, _: &File) -> Result<(), CredentialsError> {
    Ok(())
}
