//! What fuzzing stands on, as an ordinary test: each oracle over its corpus, over what once broke something, and over
//! thousands of changes of both. `tests/fuzz/run` looks further.

use crate::support::oracles::{ORACLES, Random};
use crate::support::seeds::seeds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Changed inputs tried for each target; the seconds that the whole takes in a debug build follow from it.
const CHANGED_INPUTS: usize = 4000;
/// Bytes to be judged in changed inputs for each target, so that a target with long inputs takes no longer.
const CHANGED_BYTES: usize = 2 << 20;
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
    std::thread::scope(|scope| {
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
                        judged += bytes.len();
                        if judged > CHANGED_BYTES {
                            break;
                        }
                    }
                })
                .expect("a thread is made");
        }
    });
}

#[test]
fn every_oracle_is_a_fuzz_target_with_a_corpus() {
    let manifest = std::fs::read_to_string(fuzz_folder().join("Cargo.toml")).expect("the manifest is there");
    for (target, _) in ORACLES {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is no program of tests/fuzz");
        let program = fuzz_folder().join(format!("targets/{target}.rs"));
        let text = std::fs::read_to_string(&program).expect("the program is there");
        assert!(text.contains(&format!("judge(\"{target}\"")), "{} judges something else", program.display());
        assert!(!inputs(&fuzz_folder().join("corpus").join(target)).is_empty(), "{target} has a corpus");
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
