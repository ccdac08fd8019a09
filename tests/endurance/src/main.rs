//! Drives a running rdpscope with mutated sessions, and with thousands of sessions at once.

mod conversation;
mod flood;
mod mutate;
mod mutation;
mod program;
mod soak;
mod stream;
mod traces;
#[path = "../../bench/src/wire.rs"]
#[expect(dead_code, reason = "the benchmark needs more of it")]
mod wire;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Drives a running rdpscope to its limits and looks whether it holds.
#[derive(Debug, Parser)]
#[command(name = "tests/endurance/run")]
struct Arguments {
    /// The rdpscope program
    #[arg(long, env = "RDPSCOPE", default_value = "target/release/rdpscope", global = true)]
    rdpscope: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Recorded sessions with bits flipped, bytes cut and messages reordered, through the running proxy
    Mutate(mutate::Arguments),
    /// Many sessions at once, with resets, half-closes, stalls and slow readers
    Soak(soak::Arguments),
    /// More connections than there is room for, beside sessions that must not notice
    Flood(flood::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome: Result<()> = match &arguments.what {
        What::Mutate(what) => mutate::run(&arguments.rdpscope, what),
        What::Soak(what) => soak::run(&arguments.rdpscope, what),
        What::Flood(what) => flood::run(&arguments.rdpscope, what),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
