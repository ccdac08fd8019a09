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
use std::path::Path;

/// Columns of text in a file.
const FILE_WIDTH: usize = 100;

pub(super) fn run(arguments: &ReportArguments, output: &Output) -> Result<Exit, Failure> {
    let format = arguments.format(output.json)?;
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

/// The whole file or none of it: what stood there before stays until the new one is complete.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
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
