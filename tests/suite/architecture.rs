//! The rules that the sources keep, read from the sources.

use crate::support::sources::{self, Source};

/// Modules that know no runtime, no socket, no file, no clock and no terminal, and what of ours each may use.
const PURE: [(&str, &[&str]); 9] = [
    ("wire", &[]),
    ("trace", &["wire"]),
    ("rdpfile", &["wire"]),
    ("explain", &["wire", "trace"]),
    ("observe", &["wire", "trace"]),
    ("alter", &["wire", "trace", "observe"]),
    ("diagnose", &["wire", "trace", "explain"]),
    ("experiment", &["wire", "trace", "explain", "diagnose"]),
    ("report", &["wire", "trace", "explain", "diagnose", "experiment"]),
];

/// What they must be given as arguments instead.
const IMPURE: [&str; 22] = [
    "tokio",
    "socket2",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "to_socket_addrs",
    "lookup_host",
    "std::fs",
    "fs::",
    "File::",
    "std::env",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
];

/// What is never left in the code.
const UNFINISHED: [&str; 5] = ["todo!", "unimplemented!", "dbg!", "#[ignore", "allow(dead_code)"];

/// The files with code that the compiler cannot check: calls of the system for which no crate has a safe one.
const UNSAFE_FILES: [&str; 2] = ["proxy/src/relay/static_names.rs", "proxy/src/relay/tcp_info.rs"];

/// Lines of a file without its tests.
const LONGEST_FILE: usize = 600;

/// Folders that only exist on somebody's machine; in two halves, so that this file does not break its own rule.
const MACHINE_PATHS: [(&str, &str); 5] =
    [("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/"), (r"C:\Us", "ers"), ("/wo", "rk/")];

/// Where packages come from is a matter of the tools.
const REGISTRY_HOSTS: [(&str, &str); 6] = [
    ("crates", ".io"),
    ("docs", ".rs"),
    ("pypi", ".org"),
    ("python", "hosted.org"),
    ("npm", "js."),
    ("proxy.golang", ".org"),
];

/// Fails with every finding on its line.
fn assert_none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n{}", findings.join("\n"));
}

/// The sources of the two crates, and how many there are at least: a rule that reads nothing keeps nothing.
fn crates() -> Vec<Source> {
    let sources: Vec<Source> = ["proxy/src", "certs/src"].into_iter().flat_map(sources::below).collect();
    assert!(sources.len() > 50, "{} sources", sources.len());
    sources
}

/// Everything that is Rust, the tests too.
fn everything() -> Vec<Source> {
    crates().into_iter().chain(sources::below("tests")).collect()
}

fn pure() -> impl Iterator<Item = (Source, &'static [&'static str])> {
    crates().into_iter().filter(|source| !source.is_test).filter_map(|source| {
        let module = source.module()?;
        let (_, below) = PURE.iter().find(|(name, _)| *name == module)?;
        Some((source, *below))
    })
}

#[test]
fn what_concludes_knows_no_runtime_socket_file_clock_or_terminal() {
    let mut findings = Vec::new();
    for (source, _) in pure() {
        findings.extend(IMPURE.iter().flat_map(|word| source.find_in_code(word)));
    }
    assert_none("these modules are given what they need as arguments", findings);
}

/// Where capture files are opened; what they become is worked out without files, sockets and clocks.
const CAPTURE_FILES: &str = "proxy/src/capture/file/";

#[test]
fn only_one_folder_opens_captures() {
    let sources = crates().into_iter().filter(|source| {
        !source.is_test && source.module() == Some("capture") && !source.path.starts_with(CAPTURE_FILES)
    });
    let sources: Vec<Source> = sources.collect();
    assert!(sources.len() > 10, "{} sources", sources.len());
    let find = |source: &Source| -> Vec<String> {
        IMPURE.iter().flat_map(|word| source.find_in_code(word)).collect()
    };
    assert_none(
        "the stages behind the file are given what they need",
        sources.iter().flat_map(find).collect(),
    );
}

#[test]
fn arrows_point_down() {
    let mut findings = Vec::new();
    let mut arrows = 0;
    for (source, below) in pure() {
        let module = source.module().unwrap_or_default();
        for (line, used) in source.uses_of_crate() {
            arrows += 1;
            if used != module && !below.contains(&used.as_str()) {
                findings.push(format!("{}:{line}: {module} uses {used}", source.path));
            }
        }
    }
    assert!(arrows > 20, "{arrows} uses of one module by another");
    assert_none("a module uses only those below it", findings);
}

#[test]
fn only_two_files_are_unsafe() {
    let findings = crates().into_iter().filter(|source| !UNSAFE_FILES.contains(&&source.path[..]));
    assert_none("no unsafe code", findings.flat_map(|source| source.find_in_code("unsafe")).collect());
}

#[test]
fn nothing_is_left_unfinished() {
    let findings = everything()
        .iter()
        .flat_map(|source| UNFINISHED.iter().flat_map(|word| source.find_in_code(word)))
        .collect();
    assert_none("what is merged is finished and tested", findings);
}

#[test]
fn no_file_is_too_long() {
    let findings = crates()
        .iter()
        .filter(|source| !source.is_test && source.lines_without_tests() > LONGEST_FILE)
        .map(|source| format!("{}: {} lines without tests", source.path, source.lines_without_tests()))
        .collect();
    assert_none("one file, one subject", findings);
}

#[test]
fn no_machine_and_no_registry_is_named() {
    let words = MACHINE_PATHS.iter().chain(&REGISTRY_HOSTS).map(|(start, end)| format!("{start}{end}"));
    let words: Vec<String> = words.collect();
    let sources: Vec<Source> = everything().into_iter().chain(sources::manifests()).collect();
    let findings =
        sources.iter().flat_map(|source| words.iter().flat_map(|word| source.find_in_text(word))).collect();
    assert_none("sources are the same everywhere", findings);
}
