//! Tests that cannot run here say so, instead of passing in silence.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Names the file to which every left-out test appends a line; the test command prints it at the end.
const LIST_VARIABLE: &str = "RDPSCOPE_LEFT_OUT";

/// Where Debian keeps servers, which is not on everybody's `PATH`.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The full path of an installed program.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// True, after saying so, when one of `programs` is not installed; the test then returns.
pub(crate) fn left_out_without(programs: &[&str]) -> bool {
    match programs.iter().find(|name| program(name).is_none()) {
        None => false,
        Some(missing) => {
            say_left_out(&format!("{missing} is not installed"));
            true
        }
    }
}

/// Reports the running test as left out.
///
/// Straight to the descriptor: the test harness swallows what `eprintln!` writes in a test that passes.
pub(crate) fn say_left_out(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("LEFT OUT: {test}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr takes a line");
    if let Some(list) = std::env::var_os(LIST_VARIABLE) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(list)
            .expect("the list of left-out tests opens");
        file.write_all(line.as_bytes()).expect("the list of left-out tests takes a line");
    }
}
