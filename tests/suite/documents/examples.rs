//! The examples: traces that the schema takes and today's rules judge as they were judged, scripts that run, profiles that
//! every client reads.

use super::{files_in, read, root};
use crate::support::process::Process;
use crate::support::rdpscope::program;
use crate::support::schema;
use rdpscope::diagnose::{Context, diagnose};
use rdpscope::trace::{Line, Record, VerdictId};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

/// What one session does not show by itself: the one before it, or the one after.
const TOLD_BY_OTHER_SESSIONS: [VerdictId; 1] = [VerdictId::ClientPrompted];

fn traces() -> Vec<(String, String)> {
    let files = files_in("examples/traces", ".jsonl");
    files.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

#[test]
fn each_trace_is_named_after_its_verdict_and_judged_so_today() {
    let traces = traces();
    let is_there = |id: &VerdictId| traces.iter().any(|(path, _)| path.ends_with(&format!("/{id}.jsonl")));
    assert_eq!(VerdictId::ALL.iter().find(|id| !is_there(id)), None, "it has no trace");
    for (path, text) in traces {
        text.lines().for_each(|line| schema::assert_valid(&serde_json::from_str(line).expect("JSON")));
        let lines: Vec<Line> = text.lines().map(|line| line.parse().expect("a line")).collect();
        let record: Record = lines.into_iter().collect();
        let kept = record.verdict.as_ref().unwrap_or_else(|| panic!("{path} has no verdict"));
        let named = path.rsplit('/').next().and_then(|name| name.strip_suffix(".jsonl"));
        assert_eq!(named, Some(kept.id.as_str()));
        let context = Context { came_back: TOLD_BY_OTHER_SESSIONS.contains(&kept.id) };
        let today = diagnose(&record, &context).verdict;
        assert_eq!((today.id, today.confidence), (kept.id, kept.confidence), "{path}: {}", today.summary);
    }
}

#[test]
fn a_report_of_each_trace_says_its_verdict() {
    let files: Vec<String> = traces().into_iter().map(|(path, _)| path).collect();
    for path in &files {
        let mut command = program();
        command.current_dir(root()).args(["report", path]);
        let ran = crate::cli::run_command(command);
        let named = path.rsplit('/').next().and_then(|name| name.strip_suffix(".jsonl")).unwrap_or_default();
        assert_eq!(ran.exit_code, Some(0), "{path}: {}", ran.stderr);
        assert!(ran.stdout.contains(&format!("VERDICT    {named} (")), "{path}:\n{}", ran.stdout);
    }
}

/// From the probe to the report, on a server that is not there: the one case that needs no client.
#[test]
fn the_experiment_script_runs_and_keeps_a_report() {
    const WITHIN: Duration = Duration::from_secs(120);
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let mut command = Command::new(root().join("examples/experiments/find-cause"));
    command.arg(free.expect("a free port").to_string()).current_dir(folder.path());
    command.env("RDPSCOPE", program().get_program());
    let (mut process, stdout) = Process::spawn_apart(command);
    let status =
        process.wait(WITHIN).unwrap_or_else(|| panic!("it does not end:\n{}", process.output.tail()));
    stdout.wait_for_end(WITHIN);
    assert_eq!(status.code(), Some(1), "{}", process.output.tail());
    assert!(stdout.all().join("\n").contains("tcp-refused (confirmed)"), "{:?}", stdout.all());
    let kept = std::fs::read_dir(folder.path()).expect("it reads").filter_map(Result::ok).next();
    let report = kept.expect("a folder is kept").path().join("report.html");
    assert!(std::fs::read_to_string(report).expect("a report").contains("tcp-refused"));
}

/// No PowerShell is here to run it: each command in it is at least one that the program takes.
#[test]
fn the_script_for_powershell_calls_what_there_is() {
    let text = read("examples/experiments/Find-Cause.ps1");
    let call = "& $Rdpscope ";
    let mut calls = 0;
    for line in text.lines().filter_map(|line| line.split_once(call).map(|(_, call)| call)) {
        let line = line.replace("(Join-Path $folder ", "").replace(')', "").replace("$factor", "cert");
        let line = line.replace("$Client", "'mstsc /v:{host}:{port}'").replace('$', "");
        let words = shlex::split(&line).unwrap_or_else(|| panic!("{line}"));
        let words: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        assert_eq!(crate::cli::run(&words).exit_code, Some(0), "{line}");
        calls += 1;
    }
    assert_eq!(calls, 6);
    let factors = text.lines().filter_map(|line| line.trim().strip_prefix("'^")?.split('\'').nth(2));
    for factor in factors {
        assert_eq!(
            crate::cli::run(&["ab", "srv10", "--vary", factor, "--help"]).exit_code,
            Some(0),
            "{factor}"
        );
    }
}

#[test]
fn profiles_are_as_mstsc_writes_them() {
    let files = files_in("examples/profiles", ".rdp");
    assert_eq!(files.len(), 4, "{files:?}");
    for path in files {
        let bytes = std::fs::read(root().join(&path)).expect("it is there");
        let (mark, text) = bytes.split_at(2);
        assert_eq!(mark, [0xFF, 0xFE], "{path}: UTF-16LE with its mark");
        let units: Vec<u16> = text.chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        let text = String::from_utf16(&units).expect("UTF-16");
        assert!(text.contains("full address:s:"), "{path}");
        for line in text.split_terminator("\r\n") {
            let parts: Vec<&str> = line.splitn(3, ':').collect();
            let [_, kind, value] = parts[..] else { panic!("{path}: {line}") };
            assert!(kind == "s" || kind == "i" && value.parse::<i64>().is_ok(), "{path}: {line}");
        }
    }
}
