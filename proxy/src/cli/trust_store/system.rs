//! The trust store of the system that this runs on: whether a CA is in it, and the commands that change it.

use crate::cli::Failure;
use crate::cli::output::Output;
use crate::relay::connect::plain_reason;
use rdpscope_certs::trust::{Command, Lookup, System};
use std::process::{self, Stdio};

const SUDO: &str = "sudo";
const OS_RELEASE: &str = "/etc/os-release";

/// What to do where a CA cannot be made a trusted one.
pub(in crate::cli) const WAY_ROUND: &str = "where a policy or missing rights forbid it, let an administrator run that \
                                            command, accept the certificate in the client's own warning, or show one \
                                            that clients trust already with --cert file:PFX";

/// Where what the commands print goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Prints {
    /// To standard error, as it is no result of ours.
    Shown,
    /// Nowhere, unless one fails.
    Kept,
}

/// The one that this runs on.
pub(in crate::cli) fn this_system() -> Result<System, Failure> {
    let known = match std::env::consts::OS {
        "windows" => Some(System::Windows),
        "macos" => Some(System::MacOs),
        "linux" => std::fs::read_to_string(OS_RELEASE).ok().and_then(|text| System::of_linux(&text)),
        _ => None,
    };
    known.ok_or_else(|| {
        Failure::not_done("how this system keeps trusted CAs is not known: choose one with --system")
    })
}

/// Runs the commands until one fails.
pub(in crate::cli) fn run_all(commands: &[Command], prints: Prints, output: &Output) -> Result<(), Failure> {
    for (command, done) in commands.iter().zip(0..) {
        if prints == Prints::Shown {
            output.progress(&format!("running: {command}"));
        }
        run(command, prints).map_err(|why| {
            let before = if done == 0 { "nothing was done" } else { "what stands before it was done" };
            Failure::not_done(format!("`{command}` {why}; {before}"))
        })?;
    }
    Ok(())
}

/// Runs one of them; otherwise why it came to nothing, after its name.
fn run(command: &Command, prints: Prints) -> Result<(), String> {
    let mut prepared = prepared(command);
    let (status, said) = match prints {
        Prints::Shown => {
            let status = prepared.stdout(Stdio::from(std::io::stderr())).status();
            (status.map_err(|error| unusable(&error))?, String::new())
        }
        Prints::Kept => {
            let ran = prepared.stdin(Stdio::inherit()).output().map_err(|error| unusable(&error))?;
            (ran.status, last_line(&ran))
        }
    };
    if status.success() { Ok(()) } else { Err(format!("failed with {status}{said}")) }
}

fn unusable(error: &std::io::Error) -> String {
    format!("cannot be run: {}", plain_reason(error))
}

/// What a program that failed said last, in brackets.
fn last_line(ran: &process::Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().lines().last().map(str::to_owned);
    let said = text(&ran.stderr).or_else(|| text(&ran.stdout));
    said.map_or_else(String::new, |said| format!(" ({})", crate::report::safe::neutralise(&said, true)))
}

/// Whether the store has it; where that cannot be found out it may have.
pub(super) fn has(lookup: &Lookup) -> bool {
    match lookup {
        Lookup::File(file) => !matches!(file.try_exists(), Ok(false)),
        Lookup::Command { command, says } => {
            prepared(command).stdin(Stdio::null()).output().map_or(true, |ran| {
                let said = String::from_utf8_lossy(&ran.stdout).to_ascii_lowercase();
                ran.status.success() && said.contains(&says.to_ascii_lowercase())
            })
        }
    }
}

/// Without a shell.
fn prepared(command: &Command) -> process::Command {
    let mut words = std::iter::once(command.program).chain(command.arguments.iter().map(String::as_str));
    let mut program = words.next().unwrap_or_default();
    if program == SUDO && needs_no_sudo() {
        program = words.next().unwrap_or_default();
    }
    #[cfg(windows)]
    let program = crate::client_system::program_of_windows(&format!("{program}.exe"));
    let mut prepared = process::Command::new(program);
    prepared.args(words);
    prepared
}

/// Root in a container often has none.
#[cfg(unix)]
fn needs_no_sudo() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here = std::env::split_paths(&path).any(|folder| folder.join(SUDO).is_file());
    !is_here && rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn needs_no_sudo() -> bool {
    false
}
