//! Arguments into one checked struct, subcommands, exit codes. Results go to standard output, progress to standard
//! error.

mod ab;
mod analyze;
mod arguments;
mod bundle;
mod cert;
mod client_program;
mod console;
mod demo;
mod explain;
mod gateway;
mod interception;
mod manual;
mod memory;
mod opening;
mod output;
mod probe;
mod proxy;
mod rdp;
mod report;
mod run;
mod speaker;
mod trust_store;
mod watching;

use crate::report::safe;
use arguments::{Arguments, Command};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use output::Output;
use std::borrow::Cow;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

/// What a run came to; the numbers are the program's exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Done, and healthy.
    Healthy,
    /// Done, and a fault was found.
    Fault,
    /// The arguments make no sense.
    Usage,
    /// The work could not be done.
    NotDone,
    /// The user interrupted it.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Healthy => 0,
            Exit::Fault => 1,
            Exit::Usage => 2,
            Exit::NotDone => 3,
            Exit::Interrupted => 130,
        })
    }
}

/// A run that could not begin or go on: one sentence for the user.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    sentence: String,
}

impl Failure {
    /// The arguments make no sense.
    fn usage(error: impl fmt::Display) -> Failure {
        Failure { exit: Exit::Usage, sentence: error.to_string() }
    }

    /// The work could not be done.
    fn not_done(error: impl fmt::Display) -> Failure {
        Failure { exit: Exit::NotDone, sentence: error.to_string() }
    }
}

/// Says what is wrong with the command line. A value that is refused is not repeated: it may hold a password.
fn refuse(error: &clap::Error) -> ExitCode {
    match (error.kind(), error.get(ContextKind::InvalidArg), error.source()) {
        (ErrorKind::ValueValidation, Some(argument), Some(reason)) => {
            let sentence = format!("rdpscope: {argument}: {reason}");
            eprintln!("{}", safe::lines(&sentence, false));
            Exit::Usage.into()
        }
        // Switches of a client, some of which are passwords.
        (ErrorKind::UnknownArgument, Some(ContextValue::String(argument)), _)
            if argument.starts_with('/') =>
        {
            let switch = argument.split(':').next().unwrap_or_default();
            let sentence = format!(
                "rdpscope: {switch} is a switch of the client and not of rdpscope: put it into --client 'CLIENT {{rdp}} …'"
            );
            eprintln!("{}", safe::lines(&sentence, false));
            Exit::Usage.into()
        }
        // What was typed may have come from anywhere; clap shows it as it is.
        _ if error.use_stderr() && matches!(safe::lines(&error.to_string(), false), Cow::Owned(_)) => {
            eprint!("{}", safe::lines(&error.to_string(), false));
            Exit::Usage.into()
        }
        // Help, the version, and what clap says best.
        _ => error.exit(),
    }
}

/// The command line. Whether help and errors are in colour has to be known before it can be read.
fn parsed() -> Result<Arguments, clap::Error> {
    let words: Vec<_> = std::env::args_os().collect();
    let without = |pair: &[OsString]| pair[0] == "--color" && pair[1] == "never";
    let is_plain = words.iter().any(|word| word == "--color=never") || words.windows(2).any(without);
    let color = if is_plain { clap::ColorChoice::Never } else { clap::ColorChoice::Auto };
    let matches = Arguments::command().color(color).try_get_matches_from(words)?;
    Arguments::from_arg_matches(&matches)
}

/// Runs the program.
pub fn main() -> ExitCode {
    memory::keep_private();
    crate::relay::static_names::stay_in_this_program();
    let arguments = match parsed() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let output = Output::new(&arguments.output);
    output.start_logging();
    let result = match arguments.command {
        Command::Proxy(proxy) => proxy::run(*proxy, &output),
        Command::Run(run) => run::run(*run, &output),
        Command::Probe(probe) => probe::run(*probe, &output),
        Command::Ab(ab) => ab::run(*ab, &output),
        Command::Analyze(analyze) => analyze::run(&analyze, &output),
        Command::Explain(explain) => explain::run(&explain, &output),
        Command::Report(report) => report::run(&report, &output),
        Command::Bundle(bundle) => bundle::run(bundle, &output),
        Command::Rdp(rdp) => rdp::run(rdp, &output),
        Command::Cert(cert) => cert::run(cert, &output),
        Command::Demo(demo) => demo::run(&demo, &output),
        Command::Completions { shell } => {
            output.raw(&arguments::completions(shell));
            Ok(Exit::Healthy)
        }
        Command::Man { folder } => manual::run(&folder, &output),
    };
    let exit = result.unwrap_or_else(|failure| {
        output.error(&failure.sentence);
        failure.exit
    });
    match output::lost() {
        Some(reason) => {
            output.error(&format!("cannot write to standard output: {reason}; what came out is not whole"));
            Exit::NotDone.into()
        }
        None => exit.into(),
    }
}
