//! `rdpscope cert trust FILE|DIR` and `rdpscope cert untrust FILE|DIR`.

use super::arguments::{TrustArguments, UntrustArguments};
use super::mint::CA_FILE;
use super::source;
use crate::cli::output::Output;
use crate::cli::trust_store::{LeftBehind, Prints, WAY_ROUND, forget_left_behind, run_all, this_system};
use crate::cli::{Exit, Failure};
use rdpscope_certs::authority::permitted;
use rdpscope_certs::inspect::{Certificate, Validity, inspect};
use rdpscope_certs::load;
use rdpscope_certs::trust::{Command, TrustedCa};
use serde::Serialize;
use std::path::{Path, PathBuf};

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const KEY_LABEL: &[u8] = b"PRIVATE KEY-----";

/// What to do with a CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    Trust,
    Untrust,
}

/// The line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "trust")]
struct Report {
    action: Action,
    /// The CA.
    certificate: Certificate,
    /// What to think of before.
    warnings: Vec<String>,
    /// As typed into a shell, in their order.
    commands: Vec<String>,
    /// Whether they were run, all with success.
    done: bool,
}

/// A CA's certificate in its file.
struct Ca {
    file: PathBuf,
    der: Vec<u8>,
    certificate: Certificate,
}

/// `cert untrust`: first what killed runs left behind, then the CA that is named, if any.
pub(super) fn untrust(arguments: UntrustArguments, now: i64, output: &Output) -> Result<Exit, Failure> {
    let UntrustArguments { ca, system, run: runs } = arguments;
    let left = if system.is_none() { forget_left_behind(output) } else { LeftBehind::default() };
    let Some(ca) = ca else {
        if left == LeftBehind::default() {
            output.result("no run that was killed has left a CA trusted");
        }
        output.json_line(&left);
        return Ok(if left.still_trusted > 0 { Exit::NotDone } else { Exit::Healthy });
    };
    run(Action::Untrust, &TrustArguments { ca, system, run: runs }, now, output)
}

pub(super) fn run(
    action: Action,
    arguments: &TrustArguments,
    now: i64,
    output: &Output,
) -> Result<Exit, Failure> {
    let ca = load_ca(&arguments.ca)?;
    let system = arguments.system.map_or_else(this_system, |system| Ok(system.into()))?;
    let trusted = TrustedCa { file: ca.file.clone(), thumbprint: ca.certificate.sha1.clone() };
    let commands = match action {
        Action::Trust => system.trust(&trusted),
        Action::Untrust => system.untrust(&trusted),
    };
    let warnings = if action == Action::Trust { warnings(&ca, now) } else { Vec::new() };
    for warning in &warnings {
        output.progress(&format!("warning: {warning}"));
    }
    let report = Report {
        action,
        certificate: ca.certificate,
        warnings,
        commands: commands.iter().map(Command::to_string).collect(),
        done: arguments.run,
    };
    if arguments.run {
        run_all(&commands, Prints::Shown, output).map_err(|failure| match action {
            Action::Trust => Failure { sentence: format!("{}; {WAY_ROUND}", failure.sentence), ..failure },
            Action::Untrust => failure,
        })?;
    }
    output.result(text(&report, &arguments.ca).trim_end());
    output.json_line(&report);
    Ok(Exit::Healthy)
}

/// The CA in a file, or in the folder of `--ca`.
fn load_ca(path: &Path) -> Result<Ca, Failure> {
    let file = if path.is_dir() { path.join(CA_FILE) } else { path.to_owned() };
    let shown = file.display();
    if path.is_dir() && !file.exists() {
        let path = path.display();
        return Err(Failure::not_done(format!("there is no {CA_FILE} in {path}: it is no folder of --ca")));
    }
    let bytes = source::read(&file)?;
    if contains(&bytes, KEY_LABEL) {
        return Err(Failure::not_done(format!(
            "{shown} holds a private key too, which nobody else may read: name the file with the CA's certificate alone"
        )));
    }
    let mut chain = load::certificates(&bytes, None).map_err(|error| source::failure(&file, &error))?;
    let der = match (chain.pop(), chain.len()) {
        (Some(der), 0) => der,
        (_, others) => {
            return Err(Failure::not_done(format!(
                "{shown} holds {} certificates: name a file with the CA's alone",
                others + 1
            )));
        }
    };
    let certificate = inspect(&der).map_err(Failure::not_done)?;
    if !certificate.is_ca {
        return Err(Failure::not_done(format!(
            "{shown} is no CA's certificate but that of {}: name the one of the CA that issued it",
            certificate.subject
        )));
    }
    if !contains(&bytes, PEM_BEGIN) {
        return Err(Failure::not_done(format!(
            "{shown} is not PEM, which some systems insist on: convert it with `openssl x509 -inform der`"
        )));
    }
    Ok(Ca { file, der, certificate })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn warnings(ca: &Ca, now: i64) -> Vec<String> {
    let mut warnings = Vec::new();
    if permitted(&ca.der).is_none() {
        warnings.push(format!(
            "{} may sign for any name: whoever has its key can pose as any server",
            ca.certificate.subject
        ));
    }
    if !matches!(ca.certificate.validity_at(now), Validity::Valid { .. }) {
        warnings.push(format!("to trust it has no effect: it is {}", ca.certificate.validity_words(now)));
    }
    warnings
}

/// Everything for people.
fn text(report: &Report, path: &Path) -> String {
    let subject = &report.certificate.subject;
    let path = path.display();
    match (report.action, report.done) {
        (Action::Trust, true) => {
            format!("{subject} is trusted now; undo it with `rdpscope cert untrust {path} --run`")
        }
        (Action::Untrust, true) => format!("{subject} is not trusted any more, and nothing else was changed"),
        (_, false) => report.commands.join("\n"),
    }
}
