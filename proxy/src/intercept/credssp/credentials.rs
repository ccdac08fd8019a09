//! The credentials that rdpscope logs on with: from a file that only its owner can read, or from a person.
//!
//! The file holds two lines and up to two more, in any order; empty lines and lines that begin with `#` do not count:
//!
//! ```text
//! username = CORP\jane
//! password = correct horse battery staple
//! realm = CORP.EXAMPLE
//! kdc = dc1.corp.example
//! ```
//!
//! The last two are for Kerberos. Without `realm` it is the domain of the user name; without `kdc` the system's settings
//! tell who gives tickets, or the realm's name itself does, which in Active Directory has the addresses of the domain
//! controllers. `kdc` is `host` or `host:port`, or `none` for a logon by NTLM alone.
//!
//! The user name is `user`, `DOMAIN\user` or `user@domain`. Of the password's line, everything after `=` and one blank
//! belongs to the password, up to the end of the line.

use super::refusal::Refusal;
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
    realm: Option<String>,
    kdc: KdcSetting,
}

/// Where tickets are to be had, as the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum KdcSetting {
    #[default]
    Unset,
    Forbidden,
    Given(String),
}

/// Where tickets are to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kdc {
    /// `host` or `host:port`.
    Given(String),
    /// Where the system's settings say.
    OfSystem,
}

/// A user of a Kerberos realm.
#[derive(Clone)]
pub(super) struct Account {
    /// The name without the domain; a user principal name whole.
    pub(super) user: String,
    pub(super) realm: String,
    pub(super) kdc: Kdc,
    pub(super) password: Zeroizing<String>,
}

impl Account {
    /// The same with the name before the `@`, if there is one.
    pub(super) fn without_suffix(&self) -> Option<Account> {
        let (user, _) = self.user.rsplit_once('@')?;
        Some(Account { user: user.to_owned(), ..self.clone() })
    }
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
    #[error("line {0} is none of 'username = …', 'password = …', 'realm = …' and 'kdc = …'")]
    Line(usize),
    /// A setting that was there before.
    #[error("line {line} gives the {name} a second time")]
    Twice {
        /// Which line, from 1.
        line: usize,
        /// `username`, `password`, `realm` or `kdc`.
        name: &'static str,
    },
    /// A user name without a name.
    #[error("line {0} has no user name; write user, DOMAIN\\user or user@domain")]
    NoName(usize),
    /// A realm or a KDC that is no name.
    #[error("line {line} has no {name}; write {}", if *.name == "kdc" { "host, host:port or none" } else { "its name" })]
    NoPlace {
        /// Which line, from 1.
        line: usize,
        /// `realm` or `kdc`.
        name: &'static str,
    },
    /// A line is missing.
    #[error("there is no line '{0} = …'")]
    Missing(&'static str),
}

impl Credentials {
    /// From a user name (`user`, `DOMAIN\user` or `user@domain`) and a password; `None` when the name is empty.
    pub fn new(username: &str, password: Zeroizing<String>) -> Option<Credentials> {
        let (domain, user) = username.split_once('\\').unwrap_or(("", username));
        let (domain, user) = (domain.to_owned(), user.to_owned());
        let (realm, kdc) = (None, KdcSetting::Unset);
        (!user.is_empty()).then_some(Credentials { domain, user, password, realm, kdc })
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
        let (mut username, mut password, mut realm, mut kdc) = (None, None, None, None);
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() || text.trim_start().starts_with('#') {
                continue;
            }
            let (name, value) = text.split_once('=').ok_or(Problem::Line(line))?;
            let (slot, name, value) = match name.trim() {
                "username" => (&mut username, "username", value.trim()),
                "password" => (&mut password, "password", value.strip_prefix(' ').unwrap_or(value)),
                "realm" => (&mut realm, "realm", value.trim()),
                "kdc" => (&mut kdc, "kdc", value.trim()),
                _ => return Err(Problem::Line(line)),
            };
            if slot.replace((line, value)).is_some() {
                return Err(Problem::Twice { line, name });
            }
        }
        let (line, username) = username.ok_or(Problem::Missing("username"))?;
        let (_, password) = password.ok_or(Problem::Missing("password"))?;
        let password = Zeroizing::new(password.to_owned());
        let mut credentials = Credentials::new(username, password).ok_or(Problem::NoName(line))?;
        if let Some((line, realm)) = realm {
            let is_name = !realm.is_empty() && realm.bytes().all(|byte| byte.is_ascii_graphic());
            let realm = is_name.then(|| realm.to_owned()).ok_or(Problem::NoPlace { line, name: "realm" })?;
            // To the server, too, the user is one of this realm.
            if credentials.domain.is_empty() && !credentials.user.contains('@') {
                credentials.domain.clone_from(&realm);
            }
            credentials.realm = Some(realm);
        }
        if let Some((line, kdc)) = kdc {
            credentials.kdc = KdcSetting::parse(kdc).ok_or(Problem::NoPlace { line, name: "kdc" })?;
        }
        Ok(credentials)
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

    /// Who the user is in Kerberos.
    pub(super) fn account(&self) -> Result<Account, Refusal> {
        let kdc = match &self.kdc {
            KdcSetting::Forbidden => return Err(Refusal::Forbidden),
            KdcSetting::Given(address) => Kdc::Given(address.clone()),
            KdcSetting::Unset => Kdc::OfSystem,
        };
        let suffix = self.user.rsplit_once('@').map(|(_, suffix)| suffix);
        let of_name = Some(self.domain.as_str()).filter(|domain| !domain.is_empty()).or(suffix);
        let realm = self.realm.clone().or_else(|| of_name.map(str::to_uppercase));
        let realm = realm.filter(|realm| !realm.is_empty()).ok_or(Refusal::NoRealm)?;
        Ok(Account { user: self.user.clone(), realm, kdc, password: self.password.clone() })
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
        let Credentials { domain, user, password: _, realm, kdc } = self;
        f.debug_struct("Credentials")
            .field("domain", domain)
            .field("user", user)
            .field("realm", realm)
            .field("kdc", kdc)
            .finish_non_exhaustive()
    }
}

impl KdcSetting {
    /// `None` when it is neither a place nor `none`.
    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("none") {
            return Some(KdcSetting::Forbidden);
        }
        let url = sspi::KerberosConfig::new(text, String::new()).kdc_url?;
        let is_place = url.host_str().is_some_and(|host| !host.is_empty()) && url.path().is_empty();
        let is_place = is_place && url.username().is_empty() && !text.contains("://");
        is_place.then(|| KdcSetting::Given(text.to_owned()))
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
