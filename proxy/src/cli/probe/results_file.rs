//! The file of `--output`: the lines of each target as it is finished, and what an earlier run left in it.

use crate::trace::{Line, Record};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of a line that is read back. What a probe found has some tens of KiB.
const MOST_LINE_BYTES: u64 = 16 << 20;

/// Why results cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResultsError {
    /// There is something in it already.
    #[error("{} has results already; add --resume to go on with it, or name another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A line in the middle of it is not one of ours.
    #[error("line {line} of {} is no result of a probe, so that nothing was changed in it; name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The number of the line.
        line: usize,
    },
    /// Another run has it open.
    #[error("{} is being written by another run; wait for its end, or name another file", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ResultsError {
    /// Whether the user named the wrong file.
    pub(super) fn is_usage(&self) -> bool {
        matches!(self, ResultsError::Exists { .. } | ResultsError::Foreign { .. })
    }
}

/// The file, open at its end.
#[derive(Debug)]
pub(super) struct ResultsFile {
    path: PathBuf,
    file: File,
}

impl ResultsFile {
    /// A new file, or an empty one.
    pub(super) fn create(path: &Path) -> Result<ResultsFile, ResultsError> {
        let kept = ResultsFile::open(path)?;
        let length = kept.file.metadata().map_err(|source| kept.trouble("look at", source))?.len();
        if length > 0 { Err(ResultsError::Exists { path: path.to_owned() }) } else { Ok(kept) }
    }

    /// A file with the results of an earlier run, or a new one. Each target that is complete in it is given to
    /// `found`; what stands after the last of them (a target that was not finished, a line that was cut, the
    /// comparison) is dropped from the file.
    pub(super) fn resume(path: &Path, found: impl FnMut(Record)) -> Result<ResultsFile, ResultsError> {
        let mut kept = ResultsFile::open(path)?;
        let complete = kept.read(found)?;
        kept.file.set_len(complete).map_err(|source| kept.trouble("repair", source))?;
        kept.file.seek(SeekFrom::End(0)).map_err(|source| kept.trouble("repair", source))?;
        Ok(kept)
    }

    /// Adds the lines of one target, in one piece.
    pub(super) fn append(&mut self, lines: &str) -> Result<(), ResultsError> {
        self.file.write_all(lines.as_bytes()).map_err(|source| self.trouble("write to", source))
    }

    fn open(path: &Path) -> Result<ResultsFile, ResultsError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path);
        let system =
            |source| ResultsError::System { what: "write results to", path: path.to_owned(), source };
        let file = file.map_err(system)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(ResultsError::Busy { path: path.to_owned() });
        }
        Ok(ResultsFile { path: path.to_owned(), file })
    }

    fn trouble(&self, what: &'static str, source: io::Error) -> ResultsError {
        ResultsError::System { what, path: self.path.clone(), source }
    }

    /// Reads everything; the answer is where the last complete target ends, in bytes.
    fn read(&self, mut found: impl FnMut(Record)) -> Result<u64, ResultsError> {
        let mut reader = BufReader::new(&self.file);
        let (mut at, mut complete) = (0, 0);
        let mut current: Option<Record> = None;
        let mut broken = None;
        for number in 1.. {
            let mut bytes = Vec::new();
            let read = reader.by_ref().take(MOST_LINE_BYTES).read_until(b'\n', &mut bytes);
            if read.map_err(|source| self.trouble("read", source))? == 0 {
                break;
            }
            // Only the last line may be one that a run did not write to its end.
            if let Some(line) = broken {
                return Err(ResultsError::Foreign { path: self.path.clone(), line });
            }
            at += bytes.len() as u64;
            match ours(&bytes) {
                Some(line) => {
                    if take(line, &mut current, &mut found) {
                        complete = at;
                    }
                }
                None => broken = Some(number),
            }
        }
        // A file whose only line is none of ours was never ours.
        match broken {
            Some(line) if line == 1 && !self.begins_like_ours()? => {
                Err(ResultsError::Foreign { path: self.path.clone(), line })
            }
            _ => Ok(complete),
        }
    }

    fn begins_like_ours(&self) -> Result<bool, ResultsError> {
        const BEGINNING: &[u8] = br#"{"type":"probe","#;
        let mut file = &self.file;
        let mut beginning = Vec::new();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.take(BEGINNING.len() as u64).read_to_end(&mut beginning))
            .map_err(|source| self.trouble("read", source))?;
        Ok(BEGINNING.starts_with(&beginning))
    }
}

/// One whole line of a kind that a probe writes.
fn ours(bytes: &[u8]) -> Option<Line> {
    let line: Line = str::from_utf8(bytes.strip_suffix(b"\n")?).ok()?.parse().ok()?;
    let is_ours = !matches!(line, Line::Trace(_) | Line::End(_));
    is_ours.then_some(line)
}

/// Adds `line` to the target it belongs to; true where that is complete with it.
fn take(line: Line, current: &mut Option<Record>, found: &mut impl FnMut(Record)) -> bool {
    let ends = matches!(line, Line::Verdict(_));
    match line {
        Line::Probe(_) => *current = Some([line].into_iter().collect()),
        line => {
            if let Some(record) = current {
                record.push(line);
            }
        }
    }
    match current.take_if(|_| ends) {
        Some(record) => {
            found(record);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Comparison, Confidence, Phase, Probe, Summary, Verdict, VerdictId};
    use proptest::prelude::*;
    use tempfile::TempDir;

    fn probe(target: &str) -> Line {
        Line::Probe(Box::new(Probe { target: target.to_owned(), ..Probe::default() }))
    }

    fn verdict() -> Line {
        Line::Verdict(Box::new(Verdict {
            id: VerdictId::Healthy,
            confidence: Confidence::Likely,
            phase: Phase::Credssp,
            summary: "Fine.".to_owned(),
            evidence: vec![],
            by_user: false,
            ruled_out: vec![],
            alternatives: vec![],
            next: vec![],
            fix: vec![],
        }))
    }

    fn target(name: &str) -> String {
        let lines = [probe(name), Line::Summary(Box::<Summary>::default()), verdict()];
        lines.iter().map(crate::cli::probe::json_line).collect()
    }

    fn resumed(content: &[u8]) -> (Result<Vec<String>, String>, Vec<u8>) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("results.jsonl");
        std::fs::write(&path, content).unwrap();
        let mut names = Vec::new();
        let kept = ResultsFile::resume(&path, |record| names.push(record.probe.unwrap().target));
        let result = kept.map_err(|error| error.to_string()).and_then(|mut file| {
            file.append("{}\n").map_err(|error| error.to_string())?;
            Ok(names)
        });
        (result, std::fs::read(&path).unwrap())
    }

    #[test]
    fn what_is_complete_is_read_back_and_the_rest_is_dropped() {
        let comparison = crate::cli::probe::json_line(&Line::Comparison(Box::<Comparison>::default()));
        let whole = target("a:1") + &target("b:2");
        for rest in [String::new(), comparison, target("c:3").lines().next().unwrap().to_owned() + "\n"] {
            let (names, content) = resumed((whole.clone() + &rest).as_bytes());
            assert_eq!(names.unwrap(), ["a:1", "b:2"]);
            assert_eq!(content, (whole.clone() + "{}\n").into_bytes());
        }
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        for content in ["important\n", "important", "{}\n{}\n", &(target("a:1") + "note\n" + &target("b:2"))]
        {
            let (result, after) = resumed(content.as_bytes());
            assert!(result.unwrap_err().contains("is no result of a probe"), "{content}");
            assert_eq!(after, content.as_bytes());
        }
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("results.jsonl");
        std::fs::write(&path, target("a:1")).unwrap();
        let error = ResultsFile::create(&path).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("--resume"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), target("a:1"));
    }

    #[test]
    fn two_runs_do_not_write_one_file() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("results.jsonl");
        let first = ResultsFile::create(&path).unwrap();
        assert!(matches!(ResultsFile::resume(&path, |_| ()), Err(ResultsError::Busy { .. })));
        drop(first);
        assert!(ResultsFile::resume(&path, |_| ()).is_ok());
    }

    proptest! {
        /// A run that is killed leaves any beginning of its file.
        #[test]
        fn any_beginning_of_a_file_is_repaired(length in 0usize..1200) {
            let (one, two) = (target("a:1"), target("b:2"));
            let whole = one.clone() + &two;
            let length = length.min(whole.len());
            let (names, content) = resumed(&whole.as_bytes()[..length]);
            let complete = match length {
                length if length < one.len() => String::new(),
                length if length < whole.len() => one,
                _ => whole,
            };
            prop_assert_eq!(names.unwrap().len(), complete.lines().count() / 3);
            prop_assert_eq!(content, (complete + "{}\n").into_bytes());
        }
    }
}
