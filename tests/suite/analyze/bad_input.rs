//! Files that are broken or no captures: one sentence each, and what could be read is still read.

use super::program::{analyze, run};
use crate::support::captures;
use std::path::{Path, PathBuf};

/// A copy of a healthy capture of the lab, changed by `change`.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Option<(tempfile::TempDir, PathBuf)> {
    let folder = captures::folder()?;
    let mut bytes = std::fs::read(folder.join("lab/xrdp-tls12-ok.pcapng")).expect("the capture is read");
    change(&mut bytes);
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("changed.pcapng");
    std::fs::write(&path, bytes).expect("the copy is written");
    Some((temporary, path))
}

/// Fails unless the program says just one sentence, on standard error, and gives up.
#[track_caller]
fn assert_one_sentence(path: &Path, expected: &str) {
    let run = run(&[path], &[]);
    assert_eq!(run.exit, Some(3), "{run:?}");
    assert!(run.stdout.is_empty(), "{run:?}");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines.len() == 1 && lines[0].starts_with("rdpscope: ") && lines[0].contains(expected), "{run:?}");
}

#[test]
fn what_is_no_capture_is_refused_in_one_sentence() {
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("notes.txt");
    assert_one_sentence(&path, "cannot read");
    std::fs::write(&path, "These are notes and not packets, whatever they are called.\n").expect("written");
    assert_one_sentence(&path, "is no capture");
    std::fs::write(&path, "").expect("written");
    assert_one_sentence(&path, "is empty");
    assert_one_sentence(temporary.path(), "is a folder");
}

#[test]
fn a_capture_that_breaks_off_is_read_up_to_there() {
    let Some((_temporary, path)) = changed(|bytes| bytes.truncate(bytes.len() * 2 / 3)) else { return };
    let run = run(&[&path], &[]);
    assert!(run.stdout.contains("the file ends in the middle"), "{run:?}");
    assert!(run.stdout.starts_with("VERDICT"), "{run:?}");
    let run = analyze(&[&path], &[]);
    assert_eq!(run.attempts.len(), 1);
    let end = run.attempts[0].json.last().expect("a last line");
    assert_eq!((&end["type"], &end["closed_by"], &end["how"]), (&"end".into(), &().into(), &().into()));
}

#[test]
fn a_wrong_block_length_is_told_with_its_place() {
    // The length of the first block after the section header.
    let broken = changed(|bytes| {
        let section = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes")) as usize;
        let later = bytes.len() / 2;
        assert!(section < later);
        bytes[later..later + 16].fill(0xee);
    });
    let Some((_temporary, path)) = broken else { return };
    let run = run(&[&path], &[]);
    assert!([0, 1, 3].contains(&run.exit.expect("it ends by itself")), "{run:?}");
    assert!(!run.stderr.contains("panicked"), "{run:?}");
}

#[test]
fn one_bad_file_among_several_does_not_hide_the_others() {
    let Some(folder) = captures::folder() else { return };
    let good = folder.join("lab/xrdp-tls12-ok.pcapng");
    let missing = Path::new("no-such-capture.pcapng");
    let run = run(&[missing, &good], &[]);
    assert_eq!(run.exit, Some(3));
    assert!(
        run.stderr.contains("no-such-capture.pcapng") && run.stdout.starts_with("VERDICT    healthy"),
        "{run:?}"
    );
}

#[test]
fn without_a_file_the_usage_is_wrong() {
    assert_eq!(run(&[], &[]).exit, Some(2));
}
