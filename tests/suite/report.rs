//! `rdpscope report` from the outside: what it reads, what it writes, and what a browser makes of its page.

mod browser;

use crate::cli::{Ran, run, run_command};
use crate::support::rdpscope::program;
use crate::support::scripted::Side::Server;
use crate::support::scripted::bytes::{SSL, connection_request, negotiation_failure};
use crate::support::scripted::{Conversation, listener};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A session that was recorded by the program.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/traces/certificate-expired.jsonl");
/// What a hostile client may have as its user's name.
const HOSTILE: &str = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>";

/// A place for files, with `content` in one of them.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Files {
        Files { folder: TempDir::new().expect("a temporary folder is made") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder is made");
        std::fs::write(&path, content).expect("a file is written");
        path
    }
}

fn report(path: &Path, arguments: &[&str]) -> Ran {
    run(&[&["report", text(path)], arguments].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What `--json` wrote of a session that a hostile client began.
fn hostile_run() -> String {
    let request = connection_request(HOSTILE, SSL);
    let talk = Conversation::new().client(request).server(negotiation_failure(5)).finish(Server);
    talk.through_rdpscope().stdout.iter().map(|line| format!("{line}\n")).collect()
}

/// The page of the run with everything in it: sessions that fail, an experiment that proves why, a healthy one.
fn page_of_demo(files: &Files) -> PathBuf {
    let demo = run(&["demo", "--json", "-q"]);
    let traces = files.write("demo.jsonl", demo.stdout + "\n");
    let page = files.path("demo.html");
    let ran = report(&traces, &["-o", text(&page)]);
    assert_eq!((ran.exit_code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    page
}

#[test]
fn every_format_tells_the_verdict() {
    let example = Path::new(EXAMPLE);
    let shown = report(example, &[]);
    assert_eq!(shown.exit_code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("VERDICT    certificate-expired (likely)"), "{}", shown.stdout);
    let ticket = report(example, &["--format", "markdown"]).stdout;
    assert!(ticket.starts_with("## Session with srv10.corp.example:3389"), "{ticket}");
    for arguments in [&["--format", "json"][..], &["--json"]] {
        let lines = json_lines(&report(example, arguments).stdout);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["verdict"]["id"], "certificate-expired");
        assert_eq!(lines[0]["summary"]["certificate"]["subject_cn"], "srv10.corp.example");
    }
    let page = report(example, &["--format", "html"]).stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("certificate-expired"), "{page}");
    report(example, &["--json", "--format", "html"]).assert_refused(2, "two formats");
}

#[test]
fn a_file_gets_the_format_of_its_ending_and_is_for_its_owner() {
    let files = Files::new();
    for (name, beginning) in
        [("a.html", "<!DOCTYPE"), ("a.md", "## "), ("a.json", "{\"type\":\"report\""), ("a.txt", "session ")]
    {
        let path = files.write(name, "what stood here before");
        let ran = report(Path::new(EXAMPLE), &["-o", text(&path)]);
        assert_eq!((ran.exit_code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
        assert!(read(&path).starts_with(beginning), "{name}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = path.metadata().expect("it is there").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name}");
        }
    }
    let nowhere = files.path("no-folder").join("a.html");
    report(Path::new(EXAMPLE), &["-o", text(&nowhere)]).assert_refused(3, "name another file with -o");
}

#[test]
fn folders_of_sessions_and_standard_input_are_read() {
    let files = Files::new();
    let trace = read(Path::new(EXAMPLE));
    files.write("traces/20261121-1/trace.jsonl", &trace);
    files.write("traces/20261121-2/trace.jsonl", &trace);
    files.write("traces/20261121-3/trace.jsonl", "rubbish\n");
    let ran = report(&files.path("traces"), &["--json"]);
    assert_eq!(json_lines(&ran.stdout).len(), 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("20261121-3") && ran.stderr.contains("is no trace"), "{}", ran.stderr);
    let one = report(&files.path("traces/20261121-1"), &["--json"]);
    assert_eq!(json_lines(&one.stdout).len(), 1);
    report(&files.path("traces/20261121-3"), &[]).assert_refused(3, "it is no trace of rdpscope");
    let missing = files.path("missing");
    let command = [text(&missing), text(&files.path("traces/20261121-1")), "--json"].map(str::to_owned);
    let ran = crate::cli::run(&["report", &command[0], &command[1], &command[2]]);
    assert_eq!((ran.exit_code, json_lines(&ran.stdout).len()), (Some(0), 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot read"), "{}", ran.stderr);
    files.write("traces/run-20261121-100000-0001/20261121-4/trace.jsonl", &trace);
    let ran = report(&files.path("traces"), &["--json"]);
    assert_eq!(json_lines(&ran.stdout).len(), 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("left out what `rdpscope run` recorded there (1)"), "{}", ran.stderr);
    std::fs::create_dir(files.path("empty")).expect("a folder is made");
    report(&files.path("empty"), &[]).assert_refused(3, "has no trace in it");

    let mut command = program();
    command.args(["report", "-", "--json"]).stdout(std::process::Stdio::piped());
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(trace.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let lines = json_lines(&String::from_utf8(output.stdout).expect("text"));
    assert_eq!(lines[0]["source"], "standard input");
}

#[test]
fn what_is_broken_is_said_in_a_sentence_and_the_rest_is_told() {
    let files = Files::new();
    let trace = read(Path::new(EXAMPLE));
    let at = trace.match_indices('\n').nth(11).expect("it has more lines").0 + 40;
    let cut = files.write("cut.jsonl", &trace[..at]);
    let ran = report(&cut, &[]);
    assert_eq!(ran.exit_code, Some(0));
    assert!(ran.stderr.contains("the trace ends in the middle of line 13"), "{}", ran.stderr);
    assert!(ran.stdout.contains("was made by this reading"), "{}", ran.stdout);

    let newer = trace.replacen("\"schema\":1", "\"schema\":4", 1) + "{\"type\":\"hologram\"}\n";
    let ran = report(&files.write("newer.jsonl", newer), &[]);
    assert!(ran.stderr.contains("has schema 4") && ran.stderr.contains("reads schema 1"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hologram"), "{}", ran.stderr);
    assert!(ran.stdout.contains("VERDICT    certificate-expired"), "{}", ran.stdout);

    for (content, said) in [
        (&b""[..], "it is empty"),
        (b"hello\n", "it is no trace"),
        (b"\xd4\xc3\xb2\xa1\x02\0\x04\0", "is no capture"),
        (b"\xff\xfe\0{", "it is no trace"),
    ] {
        report(&files.write("other", content), &[]).assert_refused(3, said);
    }
    report(&files.path("missing"), &[]).assert_refused(3, "cannot read");
}

#[test]
fn what_a_hostile_client_says_is_text_in_every_format() {
    let files = Files::new();
    let traces = files.write("run.jsonl", hostile_run());
    let page = report(&traces, &["--format", "html"]).stdout;
    assert!(page.contains("nla-required") && page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    let ticket = report(&traces, &["--format", "markdown"]).stdout;
    assert!(ticket.contains("\\<script\\>") && !ticket.contains(" <script"), "{ticket}");
}

#[test]
fn an_experiment_and_its_sessions_are_one_page() {
    let files = Files::new();
    let page = read(&page_of_demo(&files));
    assert!(page.contains("class=\"matrix\"") && page.contains("guilty: <strong>dates</strong>"), "{page}");
    let answer = page.find("<h1").expect("it has an answer");
    assert!(answer < page.find("class=\"matrix\"").expect("a matrix"), "the answer comes first");
    assert!(page.contains("href=\"#s2-top\""), "the matrix leads to the sessions");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
}

#[test]
fn targets_of_a_probe_are_held_against_each_other() {
    let files = Files::new();
    let results = files.path("fleet.jsonl");
    let (open, closed) = (listener(), listener());
    let [open_at, closed_at] = [&open, &closed].map(|it| it.local_addr().expect("an address").to_string());
    drop(closed);
    let arguments = ["--no-tls", "--no-udp", "--rounds", "1", "--timeout", "1s", "--output", text(&results)];
    run(&[&["probe", &open_at, &closed_at], &arguments[..]].concat());
    drop(open);
    let page = report(&results, &["--format", "html"]).stdout;
    assert!(page.contains("class=\"heat\"") && page.contains("tcp-refused"), "{page}");
    let shown = report(&results, &[]).stdout;
    assert!(shown.contains("TARGETS"), "{shown}");
}

#[test]
fn two_sessions_are_held_against_each_other() {
    let files = Files::new();
    let demo = json_lines(&run(&["demo", "--json", "-q"]).stdout);
    let sessions: Vec<&str> = demo
        .iter()
        .filter(|line| line["type"] == "verdict" && line["session"].is_string())
        .filter_map(|line| line["session"].as_str())
        .collect();
    let of = |session: &str| {
        let is_of = |line: &&Value| line["session"] == session && line["event"] != "connection_moved";
        let lines: String = demo.iter().filter(is_of).map(|line| format!("{line}\n")).collect();
        files.write(&format!("{session}.jsonl"), lines)
    };
    let (failing, working) = (of(sessions.first().expect("one")), of(sessions.last().expect("another")));
    let ran = run(&["report", "--compare", text(&working), text(&failing)]);
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    let answer: String = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(answer.starts_with("FIRST The first difference that can explain it is in tls: validity of the server's certificate is “valid"), "{answer}");
    let swapped = run(&["report", "--compare", text(&failing), text(&working), "--json"]);
    let lines = json_lines(&swapped.stdout);
    assert_eq!((&lines[0]["type"], &lines[0]["first"]["phase"]), (&"contrast".into(), &"tls".into()));
    let ran = run(&["report", "--compare", text(&working)]);
    ran.assert_refused(2, "takes two sessions");
}
