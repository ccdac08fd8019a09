//! Files and folders into what a report is of.

use crate::cli::run::RUN_FOLDER;
use crate::cli::{Failure, analyze};
use crate::report::{Document, Fleet, Subject};
use crate::trace::{NotATrace, Reader, Reading, is_capture};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes of one file. A session of a working day has some MiB; a device that never ends is no trace.
const MOST_BYTES: u64 = 1 << 30;
/// Bytes that are read at once: many lines.
const BUFFER: usize = 64 << 10;
/// The trace in a session's folder.
const TRACE_FILE: &str = "trace.jsonl";
/// What a probe found, beside the sessions of a run.
const PROBE_FILE: &str = "probe.jsonl";
/// By so many bytes a capture is known.
const LONGEST_MAGIC: u64 = 4;
/// The path that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Everything that `paths` name. What cannot be read is noted, unless nothing can.
pub(super) fn document(paths: &[PathBuf]) -> Result<Document, Failure> {
    let mut document = Document::default();
    for path in paths {
        if path == Path::new(STANDARD_INPUT) {
            add(&mut document, "standard input", io::stdin().lock()).map_err(Failure::not_done)?;
            continue;
        }
        let Files { files, is_folder, runs } = match files(path) {
            Ok(found) => found,
            Err(sentence) if paths.len() > 1 => {
                document.notes.push(sentence);
                continue;
            }
            Err(sentence) => return Err(Failure::not_done(sentence)),
        };
        if let Some(run) = runs.first() {
            let (count, run) = (runs.len(), run.display());
            let note = format!(
                "left out what `rdpscope run` recorded there ({count}): name it to report it, such as {run}"
            );
            document.notes.push(note);
        }
        for file in files {
            match add_file(&mut document, &file) {
                // One that is broken hides none of its neighbours.
                Err(sentence) if is_folder || paths.len() > 1 => document.notes.push(sentence),
                added => added.map_err(Failure::not_done)?,
            }
        }
    }
    if document.subjects.is_empty() {
        return Err(Failure::not_done(match document.notes.first() {
            Some(sentence) => sentence.clone(),
            None => "the files hold the first lines of traces and nothing after them".to_owned(),
        }));
    }
    Ok(document)
}

/// What a path names.
#[derive(Default)]
struct Files {
    /// Those with traces.
    files: Vec<PathBuf>,
    /// It is a folder of several.
    is_folder: bool,
    /// Folders in it that `rdpscope run` made, each a report of its own.
    runs: Vec<PathBuf>,
}

/// The files with traces that `path` names.
fn files(path: &Path) -> Result<Files, String> {
    let name = path.display();
    if !path.is_dir() {
        return Ok(Files { files: vec![path.to_owned()], ..Files::default() });
    }
    if path.join(TRACE_FILE).is_file() {
        return Ok(Files { files: vec![path.join(TRACE_FILE)], ..Files::default() });
    }
    let unreadable = |error: io::Error| format!("cannot read {name}: {error}");
    let mut experiments = Vec::new();
    let mut sessions = Vec::new();
    let mut runs = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?.path();
        let file = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.join(TRACE_FILE).is_file() {
            sessions.push(entry.join(TRACE_FILE));
        } else if file == PROBE_FILE || file.starts_with("experiment-") && file.ends_with(".jsonl") {
            experiments.push(entry);
        } else if file.starts_with(RUN_FOLDER) && entry.is_dir() {
            runs.push(entry);
        }
    }
    // Sessions are named by the time of their beginning.
    experiments.sort();
    sessions.sort();
    runs.sort();
    experiments.append(&mut sessions);
    if experiments.is_empty() {
        let holds = "the folder that holds them";
        let other = runs.last().map_or(holds.to_owned(), |run| format!("a run's such as {}", run.display()));
        return Err(format!("{name} has no trace in it; name a session's folder, or {other}"));
    }
    Ok(Files { files: experiments, is_folder: true, runs })
}

/// Reads a trace, or the attempts in a capture.
fn add_file(document: &mut Document, path: &Path) -> Result<(), String> {
    let name = path.display().to_string();
    let failed = |error: io::Error| format!("cannot read {name}: {error}");
    let mut file = File::open(path).map_err(failed)?;
    let mut beginning = Vec::new();
    file.by_ref().take(LONGEST_MAGIC).read_to_end(&mut beginning).map_err(failed)?;
    if !is_capture(&beginning) {
        return add(document, &name, beginning.as_slice().chain(file));
    }
    let (records, notes) = analyze::attempts(path)?;
    document.notes.extend(notes);
    document.subjects.extend(records.into_iter().map(|record| Subject::new(record, name.clone())));
    Ok(())
}

/// Reads one file; a sentence where there is nothing of ours in it.
fn add(document: &mut Document, name: &str, file: impl Read) -> Result<(), String> {
    let mut file = BufReader::with_capacity(BUFFER, file.take(MOST_BYTES + 1));
    let (mut reader, mut line) = (Reader::default(), Vec::new());
    while file.read_until(b'\n', &mut line).map_err(|error| format!("cannot read {name}: {error}"))? > 0 {
        reader.line(&line);
        line.clear();
    }
    if file.get_ref().limit() == 0 {
        return Err(format!("cannot report {name}: it has more than {} MiB", MOST_BYTES >> 20));
    }
    let Reading { records, comparison, problems } =
        reader.finish().map_err(|reason: NotATrace| format!("cannot report {name}: {reason}"))?;
    document.notes.extend(problems.iter().map(|problem| format!("{name}: {problem}")));
    if let Some(comparison) = comparison {
        document.fleet = Some(Fleet { comparison, ..Fleet::default() });
    }
    let is_of_something = |record: &crate::trace::Record| {
        !record.is_empty() || record.experiment.is_some() || record.verdict.is_some()
    };
    let records = records.into_iter().filter(is_of_something);
    document.subjects.extend(records.map(|record| Subject::new(record, name.to_owned())));
    Ok(())
}
