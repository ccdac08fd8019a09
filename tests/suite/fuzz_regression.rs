//! What fuzzing stands on, as an ordinary test: each oracle over its corpus, over what once broke something, and over
//! thousands of changes of both. `tests/fuzz/run` looks further.

use crate::support::oracles::{ORACLES, Random};
use crate::support::seeds::seeds;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Changed inputs tried for each target: with those of all targets half a minute of one processor in a debug build.
const CHANGED_INPUTS: usize = 2000;
/// Bytes to be judged in changed inputs for each target, so that a target with long inputs takes no longer.
const CHANGED_BYTES: usize = 1 << 20;
/// Inputs that all targets judge together at least: a loop that ends early shows here.
const LEAST_JUDGED: usize = 40_000;
/// Changes made to one input.
const MOST_CHANGES: usize = 6;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
}

/// The inputs in `folder`, in the order of their names.
fn inputs(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry is read").path()).collect();
    files.sort();
    let read = |file: PathBuf| {
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file, bytes)
    };
    files.into_iter().map(read).collect()
}

/// What is saved for a target: the corpus, and what once broke something.
fn saved(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz_folder();
    [folder.join("corpus").join(target), folder.join("regressions").join(target)]
        .iter()
        .flat_map(|folder| inputs(folder))
        .collect()
}

/// `bytes` with a few places changed as a fuzzer would.
fn changed(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    const TELLING: [u8; 8] = [0, 1, 3, 0x16, 0x7f, 0x80, 0xfe, 0xff];
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(MOST_CHANGES) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.below(256) as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => bytes[at] = TELLING[random.below(TELLING.len())],
            4 if at < bytes.len() => drop(bytes.remove(at)),
            _ => {
                let end = bytes.len().min(at + random.below(64));
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}

/// Fails with the input in hexadecimal, so that it can be saved among the regressions.
fn judge(target: &str, origin: &Path, bytes: &[u8]) {
    let oracle = ORACLES.iter().find(|(name, _)| *name == target).expect("the target has an oracle").1;
    if catch_unwind(AssertUnwindSafe(|| oracle(bytes))).is_err() {
        panic!("{target}, made from {}, breaks on {}", origin.display(), hex::encode(bytes));
    }
}

#[test]
fn every_oracle_holds_over_its_corpus_and_thousands_of_changes() {
    let count = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let count = &count;
        for (target, _) in ORACLES {
            std::thread::Builder::new()
                .name(target.to_owned())
                .spawn_scoped(scope, move || {
                    let saved = saved(target);
                    saved.iter().for_each(|(file, bytes)| judge(target, file, bytes));
                    let mut random = Random::new(1);
                    let mut judged = 0;
                    for round in 0..CHANGED_INPUTS {
                        let (file, bytes) = &saved[round % saved.len()];
                        let bytes = changed(bytes, &mut random);
                        judge(target, file, &bytes);
                        count.fetch_add(1, Ordering::Relaxed);
                        judged += bytes.len();
                        if judged > CHANGED_BYTES {
                            break;
                        }
                    }
                })
                .expect("a thread is made");
        }
    });
    let count = count.into_inner();
    println!("{count} changed inputs over {} oracles", ORACLES.len());
    assert!(count >= LEAST_JUDGED, "only {count} inputs were judged");
}

/// `tests/fuzz/run` fuzzes what has a folder in the corpus.
#[test]
fn every_oracle_has_a_corpus_and_every_corpus_an_oracle() {
    let folders = std::fs::read_dir(fuzz_folder().join("corpus")).expect("the corpus is there");
    let folders = folders.map(|folder| folder.expect("an entry is read").file_name().into_string());
    let folders: BTreeSet<String> = folders.map(|name| name.expect("a name is text")).collect();
    assert_eq!(folders, ORACLES.iter().map(|(target, _)| (*target).to_owned()).collect());
    for folder in &folders {
        assert!(!inputs(&fuzz_folder().join("corpus").join(folder)).is_empty(), "{folder} has a corpus");
    }
}

/// Set to write tests/fuzz/corpus anew.
const UPDATE_VARIABLE: &str = "UPDATE_CORPUS";

#[test]
fn what_the_corpus_was_made_of_still_holds() {
    for seed in seeds() {
        judge(seed.target, Path::new(&seed.name), &seed.bytes);
        if std::env::var_os(UPDATE_VARIABLE).is_some() {
            let folder = fuzz_folder().join("corpus").join(seed.target);
            std::fs::create_dir_all(&folder).expect("a folder is made");
            std::fs::write(folder.join(&seed.name), &seed.bytes).expect("a seed is written");
        }
    }
}
