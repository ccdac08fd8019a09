//! Files that are broken or no captures: one sentence each, and what could be read is still read.

use super::program::{analyze, run, run_with_input};
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
    let broken = changed(|bytes| {
        let length = |at: usize| u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("four bytes"));
        let mut later = 0;
        while later < bytes.len() / 2 {
            later += length(later) as usize;
        }
        bytes[later + 4..later + 8].fill(0xee);
    });
    let Some((_temporary, path)) = broken else { return };
    let run = run(&[&path], &[]);
    assert!([0, 1, 3].contains(&run.exit.expect("it ends by itself")), "{run:?}");
    assert!(
        run.stdout.starts_with("VERDICT") && run.stdout.contains(": a block has a wrong length ("),
        "{run:?}"
    );
    assert!(!run.stderr.contains("panicked"), "{run:?}");
}

/// Blocks of a type that nobody knows, more of them than 32 bits can count, before a session: the file is sparse, so that
/// it takes no room.
#[cfg(unix)]
#[test]
fn a_file_of_more_than_4_gib_is_read_to_its_end() {
    const BLOCK: u32 = 16 * 1024 * 1024;
    const BLOCKS: u64 = 260;
    use std::os::unix::fs::FileExt as _;
    let Some(folder) = captures::folder() else { return };
    let session = std::fs::read(folder.join("lab/xrdp-tls12-ok.pcapng")).expect("the capture is read");
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("huge.pcapng");
    let file = std::fs::File::create(&path).expect("a file");
    let section = u32::from_le_bytes(session[4..8].try_into().expect("four bytes")) as usize;
    file.write_all_at(&session[..section], 0).expect("written");
    let mut end = section as u64;
    for _ in 0..BLOCKS {
        let head = [0x0bad_u32.to_le_bytes(), BLOCK.to_le_bytes()].concat();
        file.write_all_at(&head, end).expect("written");
        end += u64::from(BLOCK);
        file.write_all_at(&BLOCK.to_le_bytes(), end - 4).expect("written");
    }
    // It breaks off in its last packet.
    file.write_all_at(&session[section..session.len() - 8], end).expect("written");
    let run = run(&[&path], &[]);
    assert!(run.stdout.starts_with("VERDICT    healthy"), "{run:?}");
    let (_, place) = run.stdout.split_once("at byte ").expect("the damage is told");
    let place: u64 = place.split(':').next().and_then(|it| it.parse().ok()).expect("a number");
    assert!(place > u64::from(u32::MAX) && place < end + session.len() as u64, "{place}");
}

/// What comes through a pipe can be read only once.
#[test]
fn a_capture_is_read_from_standard_input_with_its_secrets() {
    let Some(folder) = captures::folder() else { return };
    let session = std::fs::read(folder.join("lab/xrdp-tls12-ok.pcapng")).expect("the capture is read");
    let piped = run_with_input(session.clone(), &["--json"]);
    assert!(piped.stdout.contains("tls_opened") && piped.stderr.is_empty(), "{piped:?}");
    // Its secrets stand at its end here.
    let (before, secrets, after) = around_secrets(&session);
    let late = [before, after, secrets].concat();
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("late.pcapng");
    std::fs::write(&path, &late).expect("written");
    let read_twice = run(&[&path], &["--json".into()]);
    assert!(read_twice.stdout.contains("tls_opened") && read_twice.stderr.is_empty(), "{read_twice:?}");
    let piped = run_with_input(late, &["--json"]);
    assert!(!piped.stdout.contains("tls_opened") && piped.stdout.contains("verdict"), "{piped:?}");
    assert!(piped.stderr.contains("could be read only once: save it to a file"), "{piped:?}");
    assert_eq!(piped.stderr.lines().count(), 1, "{piped:?}");
}

/// What stands before the block with the secrets, that block, and what stands behind it.
fn around_secrets(capture: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let number = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().expect("four bytes"));
    let mut at = 0;
    while number(at) != 10 {
        at += number(at + 4) as usize;
    }
    let (before, rest) = capture.split_at(at);
    let (secrets, after) = rest.split_at(number(at + 4) as usize);
    (before, secrets, after)
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
