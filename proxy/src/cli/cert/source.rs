//! Where certificates are taken from: files and servers.

use super::fetch::{FetchError, Fetched, fetch};
use super::password;
use crate::cli::Failure;
use crate::cli::output::Output;
use crate::cli::proxy::runtime;
use crate::relay::target::Target;
use rdpscope_certs::load::{self, LoadError};
use serde::Serialize;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// Certificates in DER, a server's own first, and where they are from.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) source: Source,
    pub(super) chain: Vec<Vec<u8>>,
    /// The name that a client of the server compares with; files have none.
    pub(super) name: Option<String>,
}

/// Where certificates are from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Source {
    /// A file.
    File {
        /// Its path as given.
        path: String,
    },
    /// A server.
    Server {
        /// `HOST:PORT`.
        target: String,
        /// The address that answered.
        address: String,
        /// What it selected by X.224; `null` where it got TLS at once.
        selected_protocol: Option<String>,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File { path } => write!(formatter, "file {path}"),
            Source::Server { target, address, selected_protocol } => {
                write!(formatter, "server {target}")?;
                if target != address {
                    write!(formatter, " at {address}")?;
                }
                match selected_protocol {
                    Some(protocol) => write!(formatter, ", TLS after X.224, which selected {protocol}"),
                    None => formatter.write_str(", TLS at once"),
                }
            }
        }
    }
}

/// The certificates of `what`: a file where there is one of that name, else a server.
pub(super) fn find(what: &str, password_file: Option<&Path>, output: &Output) -> Result<Found, Failure> {
    let path = Path::new(what);
    if path.exists() {
        return in_file(path, password_file);
    }
    if what.contains(std::path::is_separator) {
        return Err(Failure::not_done(format!("there is no file {what}")));
    }
    let target: Target = what.parse().map_err(|error| {
        Failure::usage(format!("there is no file {what}, and it names no server: {error}"))
    })?;
    let fetched = runtime()?.block_on(fetch(&target, |line| output.progress(line)));
    fetched.map(|fetched| on_server(&target, fetched)).map_err(|error| match error {
        FetchError::Resolve { reason, .. } => Failure::not_done(format!(
            "there is no file {what}, and as a server's name it cannot be resolved: {reason}"
        )),
        other => Failure::not_done(other),
    })
}

fn on_server(target: &Target, fetched: Fetched) -> Found {
    let Fetched { chain, address, selected_protocol } = fetched;
    let (target_text, address) = (target.to_string(), address.to_string());
    let source = Source::Server { target: target_text, address, selected_protocol };
    Found { source, chain, name: Some(target.host.clone()) }
}

fn in_file(path: &Path, password_file: Option<&Path>) -> Result<Found, Failure> {
    let bytes = read(path)?;
    let password = password::read(password_file)?;
    let chain = load::certificates(&bytes, password.as_deref().map(String::as_str))
        .map_err(|error| failure(path, &error))?;
    Ok(Found { source: Source::File { path: path.display().to_string() }, chain, name: None })
}

/// The file's content, up to a limit.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if path.is_dir() {
        return Err(Failure::not_done(format!("{} is a folder: name a file in it", path.display())));
    }
    let bytes = load::read(path).map_err(|error| failure(path, &error))?;
    if bytes.is_empty() {
        return Err(Failure::not_done(format!("{} is empty", path.display())));
    }
    Ok(bytes)
}

/// Why a file is of no use.
pub(super) fn failure(path: &Path, error: &LoadError) -> Failure {
    let path = path.display();
    Failure::not_done(match error {
        LoadError::Io { .. } => error.to_string(),
        LoadError::PasswordNeeded => format!("cannot use {path}: {error}; give it with --password-file FILE"),
        other => format!("cannot use {path}: {other}"),
    })
}
