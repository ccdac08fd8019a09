//! `rdpscope bundle TRACE… -o FILE.zip`: what goes to an escalation.

pub(super) mod arguments;

use super::output::Output;
use super::report::{refuse_input, write};
use super::{Exit, Failure};
use crate::bundle::{self, Bundle, Request, Verification};
use arguments::BundleArguments;
use jiff::Timestamp;
use serde_json::json;
use std::path::Path;

pub(super) fn run(arguments: BundleArguments, output: &Output) -> Result<Exit, Failure> {
    match (&arguments.verify, &arguments.output) {
        (Some(bundle), _) => verify(bundle, output),
        (None, Some(file)) => make(&arguments, file, output),
        (None, None) => Err(Failure::usage("name the file to write with -o FILE.zip")),
    }
}

fn make(arguments: &BundleArguments, file: &Path, output: &Output) -> Result<Exit, Failure> {
    let read = arguments.traces.iter().chain(&arguments.captures).chain(&arguments.rdp_files);
    refuse_input(file, read)?;
    let request = Request {
        traces: arguments.traces.clone(),
        captures: arguments.captures.clone(),
        rdp_files: arguments.rdp_files.clone(),
        keep: arguments.keep.iter().map(|keep| keep.kind()).collect(),
        with_secrets: arguments.with_secrets()?,
        created: Timestamp::now().to_string(),
        knows_command: super::arguments::accepts,
    };
    let key = bundle::key::kept().map_err(Failure::not_done)?;
    let bundle = bundle::make(&request, key).map_err(Failure::not_done)?;
    write(file, &bundle.zip).map_err(|error| {
        Failure::not_done(format!("cannot write {}: {error}; name another file with -o", file.display()))
    })?;
    output.result(&summary(file, &bundle));
    if output.json {
        let line =
            json!({"type": "bundle", "file": file, "sha256": bundle.sha256, "manifest": bundle.manifest});
        output.json_line(&line);
    }
    Ok(Exit::Healthy)
}

/// What is in it, what was done to it, and what to look at before it is sent.
fn summary(file: &Path, bundle: &Bundle) -> String {
    let manifest = &bundle.manifest;
    let counts = [(manifest.sessions.len(), "session"), (manifest.probes.len(), "probe")];
    let of: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| bundle::counted(count as u64, noun))
        .collect();
    let of = if of.is_empty() { "no session".to_owned() } else { of.join(" and ") };
    let mut lines = vec![format!(
        "wrote {}: {} files of {of}, SHA-256 {}",
        file.display(),
        manifest.files.len(),
        bundle.sha256
    )];
    let redaction = &manifest.redaction;
    let counts = crate::redact::Kind::ALL.map(|kind| {
        let is_of = |word: &&str| kind.plural().starts_with(*word);
        let words: Vec<&str> =
            redaction.pseudonyms.iter().map(|pseudonym| pseudonym.kind.as_str()).filter(is_of).collect();
        match words.as_slice() {
            [only] => format!("1 {only}"),
            several => format!("{} {}", several.len(), kind.plural()),
        }
    });
    lines.push(format!("replaced by pseudonyms: {}", counts.join(", ")));
    if !redaction.kept.is_empty() {
        lines.push(format!("kept as they are: {}", redaction.kept.join(", ")));
    }
    lines.extend(
        redaction.left_out.iter().map(|left_out| format!("not in it: {}: {}", left_out.what, left_out.why)),
    );
    if redaction.contains_secrets {
        lines.push(
            "THE TLS SECRETS ARE IN IT: whoever has the file reads everything in the captures, passwords too"
                .to_owned(),
        );
    }
    match redaction.still_found.as_slice() {
        [] => lines.push("a last search for every name in every file found none".to_owned()),
        found => lines.extend(found.iter().map(|found| {
            format!(
                "{} may still hold a name, that of {}: look at it before you send the bundle",
                found.path, found.pseudonym
            )
        })),
    }
    lines.join("\n")
}

fn verify(file: &Path, output: &Output) -> Result<Exit, Failure> {
    let Verification { manifest, differences } = bundle::verify(file).map_err(Failure::not_done)?;
    if output.json {
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        let line = json!({"type": "verification", "file": file, "files": manifest.files.len(), "differences": differences});
        output.json_line(&line);
    }
    if differences.is_empty() {
        output.result(&format!(
            "{}: all {} files are as rdpscope {} wrote them at {}",
            file.display(),
            manifest.files.len(),
            manifest.rdpscope,
            manifest.created
        ));
        return Ok(Exit::Healthy);
    }
    let sentences: Vec<String> =
        differences.iter().map(|difference| format!("{}: {difference}", file.display())).collect();
    output.result(&sentences.join("\n"));
    Ok(Exit::Fault)
}
