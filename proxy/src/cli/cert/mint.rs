//! `rdpscope cert mint`.

use super::arguments::MintArguments;
use super::{password, source};
use crate::cli::output::Output;
use crate::cli::{Exit, Failure, arguments};
use rdpscope_certs::Name;
use rdpscope_certs::authority::{Authority, Kept};
use rdpscope_certs::inspect::{Certificate, inspect};
use rdpscope_certs::key::{KeyKind, PrivateKey};
use rdpscope_certs::load;
use rdpscope_certs::mint::{LeafKey, Minted, Request, mint};
use rdpscope_certs::mode::Recipe;
use rdpscope_certs::save::{self, Readers, SaveError, to_pem, to_pfx};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The certificate of the CA in the folder of `--ca`.
pub(super) const CA_FILE: &str = "ca.pem";
/// What a client on the machine of rdpscope may dial.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How chain and key are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    Pem,
    Pfx,
}

/// The line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "minted")]
struct Report {
    /// Where chain and key are.
    file: String,
    format: Format,
    mode: String,
    /// Whether the key is the one of `--key`.
    key_given: bool,
    /// The certificate's own first.
    certificates: Vec<Certificate>,
    /// The CA that signed it; `null` where it signs itself.
    ca: Option<Ca>,
    /// Where a mirrored certificate differs from the original beyond key and issuer.
    differences: Vec<String>,
    /// What to do now.
    next: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Ca {
    /// Where its certificate is.
    file: String,
    /// Whether it was in the folder before, so that who trusted it still does.
    was_there: bool,
    /// When its last day ends, RFC 3339.
    not_after: String,
}

/// A command and what it is for.
#[derive(Debug, Serialize)]
struct Step {
    command: String,
    purpose: &'static str,
}

pub(super) fn run(arguments: &MintArguments, now: i64, output: &Output) -> Result<Exit, Failure> {
    let recipe = recipe(arguments)?;
    let format = format(&arguments.output)?;
    let password = password::read(arguments.password_file.as_deref())?;
    let password = password.as_deref().map(String::as_str);
    if format == Format::Pfx && password.is_none() {
        return Err(Failure::usage("a PFX file needs a password: give it with --password-file FILE"));
    }
    let original = match &arguments.like {
        Some(like) => source::find(like, arguments.password_file.as_deref(), output)?.chain,
        None => Vec::new(),
    };
    let names = names(arguments, &original)?;
    let ca_file = ca_file(arguments);
    let outputs = [Some(&arguments.output), ca_file.as_ref().filter(|_| writes_ca_file(arguments))];
    refuse_existing(outputs.into_iter().flatten(), arguments.force)?;
    let key = arguments.key.as_deref().map(|path| given_key(path, password)).transpose()?;
    let (authority, was_there) = authority(arguments, &names, &original, now)?;
    let request = Request {
        names: &names,
        server_chain: &original,
        authority: &authority,
        now,
        key: key.as_ref().map_or(LeafKey::New(KeyKind::WINDOWS), LeafKey::Given),
    };
    let minted = mint(&recipe, &request).map_err(Failure::not_done)?;
    let content = content(&minted, format, password)?;
    write(&arguments.output, &content, Readers::Owner, arguments.force)?;
    let by_ca = minted.identity.chain.get(1).is_some_and(|issuer| issuer == authority.certificate());
    let ca = match ca_file.filter(|_| by_ca) {
        Some(file) => Some(write_ca(arguments, file, &authority, was_there)?),
        None => None,
    };
    let report = report(arguments, &recipe, format, minted, ca)?;
    output.result(text(&report).trim_end());
    output.json_line(&report);
    Ok(Exit::Healthy)
}

fn recipe(arguments: &MintArguments) -> Result<Recipe, Failure> {
    let recipe = match (&arguments.recipe, &arguments.like) {
        (Some(recipe), _) => recipe.clone(),
        (None, Some(_)) => Recipe::Mirror(BTreeSet::new()),
        (None, None) => Recipe::Fresh,
    };
    match (&recipe, &arguments.like) {
        (Recipe::Mirror(_), None) => Err(Failure::usage(format!(
            "--cert {recipe} needs the certificate to mirror: give it with --like"
        ))),
        (Recipe::Fresh | Recipe::Broken(_), Some(_)) => {
            Err(Failure::usage(format!("--cert {recipe} mirrors nothing: leave out --like")))
        }
        _ => Ok(recipe),
    }
}

fn format(path: &Path) -> Result<Format, Failure> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("pem") => Ok(Format::Pem),
        Some("pfx" | "p12") => Ok(Format::Pfx),
        _ => Err(Failure::usage(format!(
            "cannot tell the format of {}: let its name end in .pem or .pfx",
            path.display()
        ))),
    }
}

/// Those that were given; without any, those of the certificate to mirror.
fn names(arguments: &MintArguments, original: &[Vec<u8>]) -> Result<Vec<Name>, Failure> {
    let mut names = match &arguments.host {
        None => arguments.names.clone(),
        Some(host) => {
            let local = LOCAL_NAMES.iter().filter_map(|name| name.parse().ok());
            std::iter::once(host.clone()).chain(local.filter(|name| name != host)).collect()
        }
    };
    if names.is_empty() {
        names = names_of(original);
    }
    if names.is_empty() {
        return Err(Failure::usage("a certificate needs a name to be for: give --for HOST or --names"));
    }
    Ok(names)
}

/// The names in the first of `chain` that a CA can be limited to.
fn names_of(chain: &[Vec<u8>]) -> Vec<Name> {
    let Some(Ok(own)) = chain.first().map(|der| inspect(der)) else { return Vec::new() };
    let texts = if own.sans.is_empty() { own.subject_cn.into_iter().collect() } else { own.sans };
    texts.iter().filter_map(|name| name.parse().ok()).collect()
}

fn given_key(path: &Path, password: Option<&str>) -> Result<PrivateKey, Failure> {
    let bytes = source::read(path)?;
    load::private_key(&bytes, password).map_err(|error| source::failure(path, &error))
}

/// The CA that signs, and whether it was there before.
fn authority(
    arguments: &MintArguments,
    names: &[Name],
    original: &[Vec<u8>],
    now: i64,
) -> Result<(Authority, bool), Failure> {
    // A mirrored certificate has the names of the original, which the CA must be allowed to sign for.
    let all = [names, &names_of(original)].concat();
    match &arguments.ca {
        Some(dir) => {
            let kept = Authority::keep_in(dir, &all, KeyKind::WINDOWS, now);
            kept.map(|(authority, kept)| (authority, kept == Kept::Loaded)).map_err(Failure::not_done)
        }
        None => {
            let key = PrivateKey::generate(KeyKind::WINDOWS).map_err(Failure::not_done)?;
            Authority::new(&all, key, now).map(|authority| (authority, false)).map_err(Failure::not_done)
        }
    }
}

/// Where the CA's certificate is to be found afterwards.
fn ca_file(arguments: &MintArguments) -> Option<PathBuf> {
    match (&arguments.ca_out, &arguments.ca) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(dir)) => Some(dir.join(CA_FILE)),
        (None, None) => {
            let stem = arguments.output.file_stem()?.to_string_lossy();
            Some(arguments.output.with_file_name(format!("{stem}-{CA_FILE}")))
        }
    }
}

/// Whether that file is written here; the one in the folder of `--ca` is written with the CA.
fn writes_ca_file(arguments: &MintArguments) -> bool {
    arguments.ca_out.is_some() || arguments.ca.is_none()
}

/// Before anything is made, so that nothing is half done.
fn refuse_existing<'a>(paths: impl Iterator<Item = &'a PathBuf>, force: bool) -> Result<(), Failure> {
    for path in paths {
        if !force && path.exists() {
            return Err(exists(path));
        }
    }
    Ok(())
}

fn exists(path: &Path) -> Failure {
    Failure::not_done(format!("{} exists already: add --force to replace it", path.display()))
}

fn content(minted: &Minted, format: Format, password: Option<&str>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match format {
        Format::Pem => Ok(to_pem(&minted.identity)),
        Format::Pfx => to_pfx(&minted.identity, password.unwrap_or_default())
            .map(Zeroizing::new)
            .map_err(Failure::not_done),
    }
}

fn write(path: &Path, content: &[u8], readers: Readers, replace: bool) -> Result<(), Failure> {
    save::write(path, content, readers, replace).map_err(|error| match error {
        SaveError::Exists { path } => exists(&path),
        other => Failure::not_done(other),
    })
}

fn write_ca(
    arguments: &MintArguments,
    file: PathBuf,
    authority: &Authority,
    was_there: bool,
) -> Result<Ca, Failure> {
    if writes_ca_file(arguments) {
        write(&file, authority.certificate_pem().as_bytes(), Readers::Usual, arguments.force)?;
    }
    let certificate = inspect(authority.certificate()).map_err(Failure::not_done)?;
    Ok(Ca { file: file.display().to_string(), was_there, not_after: certificate.not_after })
}

fn report(
    arguments: &MintArguments,
    recipe: &Recipe,
    format: Format,
    minted: Minted,
    ca: Option<Ca>,
) -> Result<Report, Failure> {
    let certificates = minted.identity.chain.iter().map(|der| inspect(der).map_err(Failure::not_done));
    let mut report = Report {
        file: arguments.output.display().to_string(),
        format,
        mode: recipe.to_string(),
        key_given: arguments.key.is_some(),
        certificates: certificates.collect::<Result<_, _>>()?,
        ca,
        differences: minted.differences,
        next: Vec::new(),
    };
    report.next = next(&report);
    Ok(report)
}

fn next(report: &Report) -> Vec<Step> {
    let mut next = Vec::new();
    let trust = report.ca.as_ref().filter(|ca| !ca.was_there).map(|ca| typed(&ca.file));
    if let Some(file) = trust {
        next.push(Step {
            command: format!("rdpscope cert trust {file}"),
            purpose: "on the machine of the client, which then trusts it",
        });
    }
    let file = typed(&report.file);
    let present = format!("rdpscope proxy TARGET --cert {}", typed(&format!("file:{}", report.file)));
    if report.format == Format::Pem && arguments::accepts(&present) {
        next.push(Step { command: present, purpose: "shows it to a client" });
    }
    if report.format == Format::Pfx {
        next.push(Step {
            command: format!("certutil -importpfx {file}"),
            purpose: "on a Windows server, to whose RDP service it can then be bound by its thumbprint",
        });
    }
    next
}

/// A path as one word of a shell.
fn typed(path: &str) -> String {
    match shlex::try_quote(path) {
        Ok(quoted) if !cfg!(windows) => quoted.into_owned(),
        _ => format!("\"{path}\""),
    }
}

/// Everything for people.
fn text(report: &Report) -> String {
    let Report { file, mode, certificates, ca, differences, next, .. } = report;
    let key = if report.key_given { "the given key" } else { "its new key" };
    let clear = if report.format == Format::Pem { ", which is in clear and only yours to read" } else { "" };
    let mut text = format!("wrote {file}: a certificate ({mode}) and {key}{clear}\n");
    if let Some(own) = certificates.first() {
        text += &format!("  subject    {}\n  names      {}\n", own.subject, own.sans.join(", "));
        text += &format!("  validity   {} to {}\n  thumbprint {}\n", own.not_before, own.not_after, own.sha1);
    }
    text += &match ca {
        Some(Ca { file, was_there: true, not_after }) => {
            format!("signed by the CA that was there, good until {not_after}: its certificate is {file}\n")
        }
        Some(Ca { file, was_there: false, not_after }) => {
            format!("signed by a new CA, good until {not_after}: its certificate is {file}\n")
        }
        None => "it signs itself: a client trusts it only when told to trust this very one\n".to_owned(),
    };
    text.extend(differences.iter().map(|difference| format!("note: {difference}\n")));
    if !next.is_empty() {
        text += "\nnext\n";
        text.extend(next.iter().map(|Step { command, purpose }| format!("  {command}\n      {purpose}\n")));
    }
    text
}
