//! `rdpscope report TRACE…`: what was recorded, for people, tickets and programs.

pub(super) mod arguments;
mod fleet;
mod input;

use super::output::Output;
use super::{Exit, Failure};
use crate::report::{self, Document, Style};
use arguments::{Format, ReportArguments};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Columns of text in a file.
const FILE_WIDTH: usize = 100;

pub(super) fn run(arguments: &ReportArguments, output: &Output) -> Result<Exit, Failure> {
    let format = arguments.format(output.json)?;
    if let Some(file) = &arguments.output {
        refuse_input(file, &arguments.traces)?;
    }
    let mut document = input::document(&arguments.traces)?;
    if arguments.compare {
        document.compare().map_err(Failure::usage)?;
    } else {
        document = fleet::compared(document);
    }
    for note in &document.notes {
        output.progress(note);
    }
    match &arguments.output {
        Some(path) => {
            let content = content(&document, format, &of_file());
            write(path, content.as_bytes()).map_err(|error| {
                Failure::not_done(format!(
                    "cannot write {}: {error}; name another file with -o",
                    path.display()
                ))
            })?;
            output.progress(&format!("wrote {}", path.display()));
        }
        // Text goes the way of every result, with colour where there is a terminal.
        None if format == Format::Text => output.result(&report::document_text(&document, &output.style())),
        None => output.raw(content(&document, format, &of_file()).as_bytes()),
    }
    // The process ends: to give back the events of a long trace one by one would only take time.
    std::mem::forget(document);
    Ok(Exit::Healthy)
}

/// Everything that was recorded in `folder` as one HTML page in a file.
pub(super) fn page(folder: &Path, file: &Path, output: &Output) -> Result<(), Failure> {
    let document = fleet::compared(input::document(&[folder.to_owned()])?);
    for note in &document.notes {
        output.progress(note);
    }
    write(file, report::html(&document).as_bytes())
        .map_err(|error| Failure::not_done(format!("cannot write the report to {}: {error}", file.display())))
}

fn content(document: &Document, format: Format, style: &Style) -> String {
    match format {
        Format::Text => report::document_text(document, style) + "\n",
        Format::Markdown => report::markdown(document),
        Format::Html => report::html(document),
        Format::Json => {
            let contrast = document.contrast.iter().map(json_line);
            contrast.chain(document.conclusions().map(|line| json_line(&line))).collect()
        }
    }
}

fn json_line(line: &impl Serialize) -> String {
    // Serialising our own types into memory cannot fail.
    report::safe::json(&serde_json::to_string(line).unwrap_or_default()).into_owned() + "\n"
}

fn of_file() -> Style {
    Style { color: false, width: FILE_WIDTH, verbose: 0, ascii: false }
}

/// Endings of what is recorded, and of the certificates beside it.
const RECORDED: [&str; 4] = ["jsonl", "pcapng", "pcap", "pem"];

/// What is read, or belongs to it, is not written over.
pub(super) fn refuse_input<'a>(
    output: &Path,
    inputs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), Failure> {
    let Ok(output) = output.canonicalize() else { return Ok(()) };
    let is_recorded =
        output.extension().is_some_and(|ending| RECORDED.iter().any(|recorded| ending == *recorded));
    let mut inputs = inputs.into_iter().filter_map(|input| input.canonicalize().ok());
    match inputs.any(|input| output == input || is_recorded && output.starts_with(&input)) {
        true => Err(Failure::usage(format!(
            "{} is what is to be read, and would be written over; name another file with -o",
            output.display()
        ))),
        false => Ok(()),
    }
}

/// The whole file or none of it: what stood there before stays until the new one is complete. What is no file, a pipe or a
/// device, is written to.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if path.metadata().is_ok_and(|it| !it.is_file()) {
        return std::fs::write(path, content);
    }
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    let beside = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| std::fs::rename(&beside, path));
    if moved.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().join("session");
        std::fs::create_dir(&session).unwrap();
        let at = |name: &str| session.join(name);
        for name in ["trace.jsonl", "report.html"] {
            std::fs::write(at(name), b"{}").unwrap();
        }
        let refused = |output: &str, input: &Path| refuse_input(&at(output), &[input.to_owned()]).is_err();
        assert!(refused("trace.jsonl", &session) && refused("trace.jsonl", folder.path()));
        assert!(refused("trace.jsonl", &at("trace.jsonl")) && refused("report.html", &at("report.html")));
        assert!(!refused("report.html", &session) && !refused("new.jsonl", &session));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_written_to_and_stays_what_it_is() {
        use std::os::unix::fs::FileTypeExt;
        let full = Path::new("/dev/null");
        write(full, b"one").unwrap();
        assert!(full.metadata().unwrap().file_type().is_char_device());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_or_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let below = path.join("report.html");
        write(&below, b"three").unwrap_err();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        write(&folder.path().join("folder"), b"four").unwrap_err();
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}
