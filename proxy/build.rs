//! Facts of the build that the program tells of itself: all of them follow from the sources, the compiler and the
//! environment that is named here, and none from the clock, so that the same build is the same file.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Enough of a commit's name to find it, as git itself shortens it in large repositories.
const COMMIT_LENGTH: usize = 12;

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["RDPSCOPE_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    fact("TARGET", variable("TARGET"));
    fact("PROFILE", profile());
    fact("LINKED", is_static().then(|| "static; names by the hosts file and DNS alone".to_owned()));
    fact("RUSTC", said_by(&variable("RUSTC").unwrap_or_default(), &["--version"], &manifest));
    fact("FEATURES", Some(features()));
    fact("RUSTLS", version_in_lock(&manifest, "rustls"));
    let commit = commit(&manifest);
    fact("COMMIT", commit.as_deref().map(|commit| commit.chars().take(COMMIT_LENGTH).collect()));
    fact("DATE", variable("SOURCE_DATE_EPOCH").or_else(|| committed(&manifest, commit.as_deref()?)));
}

/// Nothing where it is not known: the program then leaves it out.
fn fact(name: &str, value: Option<String>) {
    println!("cargo::rustc-env=RDPSCOPE_BUILD_{name}={}", value.unwrap_or_default());
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The profile by its own name, after which cargo calls the folder of the build: what cargo says itself is only whether
/// it came from `release`.
fn profile() -> Option<String> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let build = out.ancestors().find(|folder| folder.ends_with("build"))?;
    Some(build.parent()?.file_name()?.to_str()?.to_owned())
}

/// Whether glibc is part of the program; see `proxy/src/relay/static_names.rs`.
fn is_static() -> bool {
    let is_told =
        |name: &str, word: &str| variable(name).is_some_and(|told| told.split(',').any(|part| part == word));
    is_told("CARGO_CFG_TARGET_OS", "linux")
        && is_told("CARGO_CFG_TARGET_ENV", "gnu")
        && is_told("CARGO_CFG_TARGET_FEATURE", "crt-static")
}

/// Those that were asked for, in alphabetical order.
fn features() -> String {
    let prefix = "CARGO_FEATURE_";
    let mut features: Vec<String> = std::env::vars()
        .filter_map(|(name, _)| Some(name.strip_prefix(prefix)?.to_lowercase().replace('_', "-")))
        .filter(|feature| feature != "default")
        .collect();
    features.sort();
    features.join(" ")
}

/// The commit of the sources: named by whoever builds, left by cargo in a package, or that of the repository. A debug
/// build does not look there: every commit would have everything compiled anew.
fn commit(manifest: &Path) -> Option<String> {
    if let Some(commit) = variable("RDPSCOPE_COMMIT") {
        return Some(commit);
    }
    let packaged = std::fs::read_to_string(manifest.join(".cargo_vcs_info.json")).ok();
    if let Some(packaged) = packaged {
        let (_, behind) = packaged.split_once("\"sha1\"")?;
        return behind.split('"').nth(1).map(str::to_owned);
    }
    if variable("PROFILE").as_deref() != Some("release") {
        return None;
    }
    // Moves with every commit of whatever branch is checked out.
    let log = said_by("git", &["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"], manifest)?;
    println!("cargo::rerun-if-changed={log}");
    said_by("git", &["rev-parse", "HEAD"], manifest)
}

/// When the commit was made, seconds since 1970.
fn committed(manifest: &Path, commit: &str) -> Option<String> {
    said_by("git", &["show", "--no-patch", "--format=%ct", commit], manifest)
}

fn said_by(program: &str, arguments: &[&str], folder: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !said.is_empty() && !said.contains('\n')).then_some(said)
}

/// The version of a package that the lock file names; that of the workspace, or the one in a package.
fn version_in_lock(manifest: &Path, package: &str) -> Option<String> {
    let lock = ["../Cargo.lock", "Cargo.lock"].map(|name| manifest.join(name));
    let lock = lock.into_iter().find(|path| path.is_file())?;
    println!("cargo::rerun-if-changed={}", lock.display());
    let text = std::fs::read_to_string(lock).ok()?;
    let (_, behind) = text.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    behind.split('"').next().map(str::to_owned)
}
