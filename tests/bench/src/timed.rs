//! Programs that do one thing and end.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long the program runs; what it prints is nobody's. It is to succeed, or to have found a fault.
pub fn timed(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot run {:?}", command.get_program()))?;
    // 1 is a fault that was found.
    ensure!(matches!(status.code(), Some(0 | 1)), "{:?} failed: {status}", command.get_program());
    Ok(start.elapsed())
}

/// The middle of an odd number of times.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
