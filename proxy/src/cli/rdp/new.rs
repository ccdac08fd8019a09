//! `rdpscope rdp new TARGET`.

use super::arguments::NewArguments;
use super::file;
use crate::cli::output::Output;
use crate::cli::{Exit, Failure};
use crate::rdpfile::Address;
use crate::rdpfile::new::Minimal;
use crate::relay::target::{RDP_PORT, Target};
use serde::Serialize;
use std::path::PathBuf;

/// The port of a gateway that no profile names.
const HTTPS_PORT: u16 = 443;

/// The line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "new-profile")]
struct Report {
    /// Where it was written.
    path: Option<PathBuf>,
    /// What stands in it.
    text: String,
}

pub(super) fn run(arguments: NewArguments, output: &Output) -> Result<Exit, Failure> {
    let NewArguments { target, gateway, user, output: path, force } = arguments;
    let minimal = Minimal {
        target: address(target, RDP_PORT),
        gateway: gateway.map(|gateway| address(gateway, HTTPS_PORT)),
        user,
    };
    let content = minimal.bytes();
    match &path {
        Some(path) => {
            file::write(path, &content, force)?;
            output.result(&format!("wrote {}", path.display()));
        }
        None if output.json => {}
        None => output.raw(&content),
    }
    output.json_line(&Report { path, text: minimal.text() });
    Ok(Exit::Healthy)
}

/// The usual port need not be named.
fn address(target: Target, usual: u16) -> Address {
    Address { host: target.host, port: Some(target.port).filter(|port| *port != usual) }
}
