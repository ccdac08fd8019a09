//! The documents say what the program does: pages that are made from its data are made anew and compared, links lead
//! somewhere, commands are ones that the program takes, promises name the test that holds them.
//!
//! `UPDATE_DOCS=1 cargo test -p rdpscope --test suite documents` writes what is made.

mod causes;
mod examples;
mod packages;
mod phases;
mod promises;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Set to write the documents anew.
const UPDATE_VARIABLE: &str = "UPDATE_DOCS";

/// Files with their content, by their path in the repository.
type Files = BTreeMap<String, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether what is made is to be written.
pub(super) fn is_updating() -> bool {
    std::env::var_os(UPDATE_VARIABLE).is_some()
}

/// Fails unless these files are in the repository as they are here; writes them first where that is asked for.
fn assert_kept(files: &Files) {
    let mut stale = Vec::new();
    for (path, content) in files {
        let file = root().join(path);
        if is_updating() {
            std::fs::create_dir_all(file.parent().expect("it is in a folder")).expect("the folder is made");
            std::fs::write(&file, content).expect("the document is written");
        }
        if std::fs::read_to_string(&file).ok().as_ref() != Some(content) {
            stale.push(path.as_str());
        }
    }
    assert!(
        stale.is_empty(),
        "out of date; write them anew with {UPDATE_VARIABLE}=1 cargo test -p rdpscope --test suite documents: {}",
        stale.join(", ")
    );
}

/// Files of this kind directly in a folder, by their paths in the repository.
fn files_in(folder: &str, extension: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root().join(folder)) else { return Vec::new() };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut paths: Vec<String> =
        names.filter(|name| name.ends_with(extension)).map(|name| format!("{folder}/{name}")).collect();
    paths.sort();
    paths
}
