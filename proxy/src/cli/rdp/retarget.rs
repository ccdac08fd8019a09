//! `rdpscope rdp retarget FILE`.

use super::arguments::RetargetArguments;
use super::file;
use crate::cli::output::Output;
use crate::cli::{Exit, Failure};
use crate::rdpfile::retarget::{Change, Retargeted, Through, retarget};
use crate::report::Style;
use crate::report::safe::neutralise;
use crate::report::wrap;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Stands in the name of the new file.
const SUFFIX: &str = "-rdpscope";
const HOSTS_FILES: &str = r"C:\Windows\System32\drivers\etc\hosts; elsewhere /etc/hosts";

/// The line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "retargeted")]
struct Report<'a> {
    file: &'a Path,
    path: &'a Path,
    target: String,
    gateway: Option<String>,
    through: String,
    changes: Vec<ChangedLine<'a>>,
    command: &'a str,
    hosts: Option<&'a str>,
    notes: &'a [String],
}

/// A line of the profile.
#[derive(Debug, Serialize)]
struct ChangedLine<'a> {
    line: usize,
    before: Option<&'a str>,
    after: Option<&'a str>,
}

pub(super) fn run(arguments: RetargetArguments, output: &Output) -> Result<Exit, Failure> {
    let RetargetArguments { file, through, name, output: path, in_place, force } = arguments;
    if file == Path::new(file::STANDARD_INPUT) && path.is_none() {
        return Err(Failure::usage("standard input has no name to write the profile beside: add -o FILE"));
    }
    if path.as_ref().is_some_and(|path| is_same(path, &file)) {
        return Err(Failure::usage(format!(
            "-o names the profile itself: write --in-place to change {}, or name another file",
            file.display()
        )));
    }
    let profile = file::read(&file).map_err(Failure::not_done)?;
    let retargeted = retarget(&profile, &Through { address: through, name })
        .map_err(|error| Failure::not_done(format!("cannot retarget {}: {error}", file.display())))?;
    let path = if in_place { file.clone() } else { path.unwrap_or_else(|| beside(&file)) };
    file::write(&path, &retargeted.profile.bytes(), in_place || force)?;
    output.result(&text(&path, &retargeted, &output.style()));
    output.json_line(&report(&file, &path, &retargeted));
    Ok(Exit::Healthy)
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn beside(file: &Path) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let extension = file.extension().map_or_else(|| "rdp".into(), |extension| extension.to_string_lossy());
    file.with_file_name(format!("{stem}{SUFFIX}.{extension}"))
}

/// Everything for people.
fn text(path: &Path, done: &Retargeted, style: &Style) -> String {
    let way = match &done.gateway {
        Some(gateway) => format!("{} through the gateway {gateway}", done.target),
        None => done.target.to_string(),
    };
    let mut text = format!("wrote {}, which leads to {way} by way of {}\n", path.display(), done.address);
    // Lines of the profile and lines to copy are never broken.
    text += "\nchanged\n";
    for change in &done.changes {
        text += &changed(change, style);
    }
    text += &format!("\nstart first\n  {}\n", done.command);
    if let Some(hosts) = &done.hosts {
        text += &format!("\nadd to the hosts file ({HOSTS_FILES})\n  {hosts}\n");
    }
    section(&mut text, "what is different this way", done.notes.iter().cloned(), style);
    text.trim_end().to_owned()
}

fn changed(change: &Change, style: &Style) -> String {
    let shown = |text: &Option<String>| neutralise(text.as_deref().unwrap_or_default(), style.ascii);
    let (before, after) = (shown(&change.before), shown(&change.after));
    let line = change.line;
    match (&change.before, &change.after) {
        (Some(_), Some(_)) => format!("  line {line}: {before}\n    is now {after}\n"),
        (Some(_), None) => format!("  line {line}: {before}\n    is taken out\n"),
        (None, _) => format!("  line {line}: {after}\n    is added\n"),
    }
}

fn section(text: &mut String, heading: &str, paragraphs: impl Iterator<Item = String>, style: &Style) {
    const BULLET: &str = "  - ";
    let mut paragraphs = paragraphs.peekable();
    if paragraphs.peek().is_none() {
        return;
    }
    *text += &format!("\n{heading}\n");
    for paragraph in paragraphs {
        let room = style.width.saturating_sub(BULLET.len());
        for (number, line) in wrap(&neutralise(&paragraph, style.ascii), room).iter().enumerate() {
            *text += if number == 0 { BULLET } else { "    " };
            *text += line;
            text.push('\n');
        }
    }
}

fn report<'a>(file: &'a Path, path: &'a Path, done: &'a Retargeted) -> Report<'a> {
    let changes = done.changes.iter().map(|change| ChangedLine {
        line: change.line,
        before: change.before.as_deref(),
        after: change.after.as_deref(),
    });
    Report {
        file,
        path,
        target: done.target.to_string(),
        gateway: done.gateway.as_ref().map(ToString::to_string),
        through: done.address.to_string(),
        changes: changes.collect(),
        command: &done.command,
        hosts: done.hosts.as_deref(),
        notes: &done.notes,
    }
}
