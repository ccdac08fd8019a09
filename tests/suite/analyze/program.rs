//! Runs the program over captures and reads what it says.

use crate::support::captures::Observed;
use rdpscope::trace::{Line, Verdict};
use serde_json::Value;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// One attempt of a capture.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    /// Its lines as they were printed.
    pub(crate) json: Vec<Value>,
    pub(crate) observed: Observed,
    pub(crate) verdict: Option<Verdict>,
}

impl Attempt {
    /// Its first line.
    pub(crate) fn header(&self) -> &Value {
        &self.json[0]
    }

    /// `id (confidence)`.
    pub(crate) fn judged(&self) -> String {
        let verdict = self.verdict.as_ref().expect("every attempt has a verdict");
        format!("{} ({})", verdict.id, verdict.confidence)
    }
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// With `--json`.
    pub(crate) attempts: Vec<Attempt>,
}

/// Runs `rdpscope analyze` for programs.
pub(crate) fn analyze(files: &[&Path], arguments: &[OsString]) -> Run {
    let mut arguments = arguments.to_vec();
    arguments.push("--json".into());
    let mut run = run(files, &arguments);
    for line in run.stdout.lines() {
        let value: Value = serde_json::from_str(line).expect("every line of standard output is JSON");
        if value["type"] == "trace" {
            run.attempts.push(Attempt::default());
        }
        let attempt = run.attempts.last_mut().expect("the first line of an attempt comes first");
        let line: Line = line.parse().expect("every line is one of a trace");
        match &line {
            Line::Summary(summary) => attempt.observed.summary = (**summary).clone(),
            Line::Verdict(verdict) => attempt.verdict = Some((**verdict).clone()),
            _ => {}
        }
        attempt.observed.lines.push(line);
        attempt.json.push(value);
    }
    run
}

/// Runs `rdpscope analyze` with a capture on its standard input.
pub(crate) fn run_with_input(capture: Vec<u8>, arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rdpscope"));
    command.args(["analyze", "-"]).args(arguments).env("LC_ALL", "C.UTF-8");
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = pipes.spawn().expect("the program runs");
    let mut input = program.stdin.take().expect("its input is a pipe");
    // It may end before it has read everything.
    let writing = std::thread::spawn(move || drop(input.write_all(&capture)));
    let output = program.wait_with_output().expect("it ends");
    writing.join().expect("it writes");
    Run::of(output)
}

/// Runs `rdpscope analyze` for people.
pub(crate) fn run(files: &[&Path], arguments: &[OsString]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_rdpscope"))
        .arg("analyze")
        .args(files)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("the program runs");
    Run::of(output)
}

impl Run {
    fn of(output: Output) -> Run {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
        Run {
            exit: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            attempts: Vec::new(),
        }
    }
}
