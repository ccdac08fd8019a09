//! The built program as a user runs it: `rdpscope proxy` as a process, judged by what it prints and writes.

use super::process::{Lines, Process};
use super::schema;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long it may take until it listens. To make an RSA key takes 2 to 8 s of a processor, by chance more, and eight tests
/// share two of them.
const START_WITHIN: Duration = Duration::from_secs(180);

/// How long it may go on after the last session has ended on both sides.
const END_WITHIN: Duration = Duration::from_secs(30);

/// A running `rdpscope proxy` that ends by itself after a number of sessions.
#[derive(Debug)]
pub(crate) struct Rdpscope {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    process: Process,
    stdout: Lines,
    traces: TempDir,
}

/// What it left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// 0 healthy, 1 a fault was found, others as in its help.
    pub(crate) exit_code: Option<i32>,
    /// The trace of each session, in the order in which they began.
    pub(crate) sessions: Vec<Session>,
    /// The JSON lines on standard output.
    pub(crate) stdout: Vec<Value>,
    /// What it told a person.
    pub(crate) stderr: String,
    /// The lines of each experiment that it kept.
    pub(crate) experiments: Vec<Vec<Value>>,
    /// Every byte of every file in its folder of traces.
    pub(crate) files: Vec<u8>,
}

/// The lines of one `trace.jsonl`, and what lies beside it.
#[derive(Debug)]
pub(crate) struct Session {
    lines: Vec<Value>,
    /// The certificates that it showed, as PEM by the names of their files.
    pub(crate) certificates: BTreeMap<String, String>,
    /// What was on the wire, where that was captured.
    pub(crate) capture: Option<Vec<u8>>,
}

impl Rdpscope {
    /// Relays to `target` with `arguments` beside the usual ones, for `sessions` sessions.
    pub(crate) fn start(target: SocketAddr, sessions: usize, arguments: &[&str]) -> Self {
        let sessions = sessions.to_string();
        let arguments = [&["--listen", "127.0.0.1:0", "--sessions", &sessions], arguments].concat();
        Self::start_as(program(), &target.to_string(), &arguments)
    }

    /// Runs `command`, which is the program or what runs it elsewhere, with nothing but `arguments` beside the target,
    /// a folder for traces and JSON.
    pub(crate) fn start_as(command: Command, target: &str, arguments: &[&str]) -> Self {
        Self::start_command(command, "proxy", target, arguments)
    }

    /// Runs an experiment with `target` and `arguments`.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_experiment(target: SocketAddr, arguments: &[&str]) -> Self {
        Self::start_experiment_as(program(), &target.to_string(), arguments)
    }

    /// The same with `command`, which is the program or what runs it elsewhere.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_experiment_as(command: Command, target: &str, arguments: &[&str]) -> Self {
        let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
        Self::start_command(command, "ab", target, &arguments)
    }

    /// Runs `ab` or `proxy` with nothing but `arguments` beside the target, a folder for traces and JSON.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_bare(name: &str, target: &str, arguments: &[&str]) -> Self {
        Self::start_command(program(), name, target, arguments)
    }

    fn start_command(mut command: Command, name: &str, target: &str, arguments: &[&str]) -> Self {
        let traces = TempDir::new().expect("a temporary folder is made");
        command.args([name, target, "--json", "--trace"]).arg(traces.path()).args(arguments);
        let (process, stdout) = Process::spawn_apart(command);
        let listening = stdout.wait_for(START_WITHIN, |line| json(line)["type"] == "listening");
        let listening = listening.unwrap_or_else(|| panic!("it does not listen:\n{}", process.output.tail()));
        let address = json(&listening)["address"].as_str().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in {listening}"));
        Rdpscope { address, process, stdout, traces }
    }

    /// Where its traces are.
    pub(crate) fn folder(&self) -> &Path {
        self.traces.path()
    }

    /// Asks it to end.
    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal_first(signal);
    }

    /// The most memory it has held so far, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> usize {
        self.process.peak_memory()
    }

    /// Which of `wanted` stand in its memory. The error says that nobody may look there.
    #[cfg(target_os = "linux")]
    pub(crate) fn found_in_memory<'w>(&self, wanted: &[&'w [u8]]) -> std::io::Result<Vec<&'w [u8]>> {
        self.process.found_in_memory(wanted)
    }

    /// Waits until a line on standard output is `wanted`.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&Value) -> bool) {
        let line = self.stdout.wait_for(END_WITHIN, |line| wanted(&json(line)));
        assert!(line.is_some(), "it does not say so:\n{}", self.stdout.all().join("\n"));
    }

    /// Waits until a session's file of this name holds what is `wanted`.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_for_file(&self, name: &str, wanted: impl Fn(&[u8]) -> bool) -> bool {
        let deadline = std::time::Instant::now() + END_WITHIN;
        while std::time::Instant::now() < deadline {
            let files = entries(self.traces.path()).into_iter().map(|session| session.join(name));
            if files.filter_map(|file| std::fs::read(file).ok()).any(|bytes| wanted(&bytes)) {
                return true;
            }
            std::thread::sleep(super::process::LOOK_AGAIN);
        }
        false
    }

    /// Where its dashboard is, with the token.
    #[cfg(target_os = "linux")]
    pub(crate) fn dashboard(&self) -> String {
        let line = self.process.output.wait_for(START_WITHIN, |line| line.starts_with("dashboard at "));
        let line = line.unwrap_or_else(|| panic!("no dashboard:\n{}", self.process.output.tail()));
        line["dashboard at ".len()..].to_owned()
    }

    /// Waits until a line on standard error is `wanted`.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_for_progress(&self, within: Duration, wanted: impl Fn(&str) -> bool) -> bool {
        self.process.output.wait_for(within, wanted).is_some()
    }

    /// Waits for its end and reads what it left.
    pub(crate) fn finish(self) -> Finished {
        self.finish_within(END_WITHIN)
    }

    /// The same, for `within` at most.
    pub(crate) fn finish_within(mut self, within: Duration) -> Finished {
        let status = self.process.wait(within);
        let status = status.unwrap_or_else(|| panic!("it does not end:\n{}", self.process.output.tail()));
        self.stdout.wait_for_end(END_WITHIN);
        self.process.output.wait_for_end(END_WITHIN);
        Finished {
            exit_code: status.code(),
            sessions: read_traces(self.traces.path()),
            experiments: read_experiments(self.traces.path()),
            stdout: self.stdout.all().iter().map(|line| json(line)).collect(),
            stderr: self.process.output.all().join("\n"),
            files: read_files(self.traces.path()),
        }
    }
}

impl Finished {
    /// Fails where `secret` stands in anything that was written, as it is, in hexadecimal or as UTF-16.
    pub(crate) fn assert_nowhere(&self, secret: &str) {
        let stdout: String = self.stdout.iter().map(ToString::to_string).collect();
        let wide: Vec<u8> = secret.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for written in [&self.files[..], stdout.as_bytes(), self.stderr.as_bytes()] {
            for form in
                [secret.as_bytes(), hex::encode(secret).as_bytes(), hex::encode(&wide).as_bytes(), &wide]
            {
                let found = written.windows(form.len()).any(|window| window == form);
                assert!(!found, "{secret} is told:\n{}", String::from_utf8_lossy(written));
            }
        }
    }

    /// The only line of this type on standard output that belongs to no session.
    #[cfg(target_os = "linux")]
    pub(crate) fn line(&self, kind: &str) -> &Value {
        let own = |line: &&Value| line["type"] == kind && line.get("session").is_none();
        let lines: Vec<&Value> = self.stdout.iter().filter(own).collect();
        assert_eq!(lines.len(), 1, "one line of type {kind}:\n{}", self.stderr);
        lines[0]
    }

    /// The only session.
    pub(crate) fn session(&self) -> &Session {
        let [session] = &self.sessions[..] else {
            panic!("{} sessions instead of one; it said:\n{}", self.sessions.len(), self.stderr)
        };
        session
    }
}

impl Session {
    /// Every line.
    pub(crate) fn lines(&self) -> &[Value] {
        &self.lines
    }

    /// The events called `name`.
    pub(crate) fn events_named<'a>(&'a self, name: &'a str) -> Vec<&'a Value> {
        self.of_type("event").filter(|line| line["event"] == name).collect()
    }

    /// The only event called `name`.
    pub(crate) fn event<'a>(&'a self, name: &'a str) -> &'a Value {
        let events = self.events_named(name);
        assert_eq!(events.len(), 1, "one {name}:\n{self}");
        events[0]
    }

    /// The lines of one type.
    fn of_type<'a>(&'a self, kind: &'static str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["type"] == kind)
    }

    fn only(&self, kind: &'static str) -> &Value {
        let lines: Vec<&Value> = self.of_type(kind).collect();
        assert_eq!(lines.len(), 1, "one {kind} line:\n{self}");
        lines[0]
    }

    /// Why it ended.
    pub(crate) fn verdict(&self) -> &Value {
        self.only("verdict")
    }

    /// The facts of the session.
    pub(crate) fn summary(&self) -> &Value {
        self.only("summary")
    }

    /// How it ended.
    pub(crate) fn end(&self) -> &Value {
        self.only("end")
    }

    /// The names of its events in order, of those that a side sent.
    pub(crate) fn events(&self) -> Vec<String> {
        let sent = self.of_type("event").filter(|line| line.get("from").is_some());
        sent.map(|line| line["event"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The outcome of a phase; `None` when the trace has no such phase.
    pub(crate) fn outcome(&self, phase: &str) -> Option<&str> {
        self.of_type("phase").find(|line| line["phase"] == phase).and_then(|line| line["outcome"].as_str())
    }

    /// The same of a phase that each leg has by itself.
    pub(crate) fn outcome_on(&self, phase: &str, leg: &str) -> Option<&str> {
        let mut phases = self.of_type("phase").filter(|line| line["phase"] == phase && line["leg"] == leg);
        phases.next().and_then(|line| line["outcome"].as_str())
    }

    /// Fails unless these phases came to a good end.
    pub(crate) fn assert_reached(&self, phases: &[&str]) {
        for phase in phases {
            assert_eq!(self.outcome(phase), Some("ok"), "phase {phase}:\n{self}");
        }
    }

    /// Fails unless the verdict is one of these.
    pub(crate) fn assert_verdict(&self, ids: &[&str]) {
        let id = self.verdict()["id"].as_str().unwrap_or_default();
        assert!(ids.contains(&id), "verdict {id} instead of {ids:?}:\n{self}");
    }

    /// Fails unless the verdict is this one, and proved.
    pub(crate) fn assert_confirmed(&self, id: &str) {
        self.assert_verdict(&[id]);
        assert_eq!(self.verdict()["confidence"], "confirmed", "{id} is proved on the wire:\n{self}");
    }

    /// Fails unless these events are there in this order; others may stand between them.
    pub(crate) fn assert_events(&self, expected: &[&str]) {
        let events = self.events();
        let mut left = events.iter();
        for name in expected {
            assert!(
                left.any(|event| event == name),
                "{name} is missing or out of order in {events:?}:\n{self}"
            );
        }
    }

    /// Fails unless the session ended like this.
    pub(crate) fn assert_end(&self, closed_by: &str, how: &str) {
        let end = self.end();
        let found = (end["closed_by"].as_str(), end["how"].as_str());
        assert_eq!(found, (Some(closed_by), Some(how)), "its end:\n{self}");
    }
}

impl std::fmt::Display for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The built program.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rdpscope"))
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON, {error}: {line}"))
}

fn read_files(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let read = |path: std::path::PathBuf| {
        if path.is_dir() { read_files(&path) } else { std::fs::read(path).expect("a file is read") }
    };
    entries.flat_map(|entry| read(entry.expect("an entry is read").path())).collect()
}

fn read_traces(folder: &Path) -> Vec<Session> {
    let session = |folder: &Path| Session {
        lines: read_lines(&folder.join("trace.jsonl")),
        certificates: read_certificates(&folder.join("certificates")),
        capture: read_capture(&folder.join("session.pcapng")),
    };
    let mut sessions: Vec<Session> =
        entries(folder).iter().filter(|path| path.is_dir()).map(|path| session(path)).collect();
    sessions.sort_by_key(|session| session.lines[0]["started"].to_string());
    sessions
}

fn read_experiments(folder: &Path) -> Vec<Vec<Value>> {
    entries(folder).iter().filter(|path| path.is_file()).map(|path| read_lines(path)).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the trace folder is there");
    entries.map(|entry| entry.expect("an entry is read").path()).collect()
}

fn read_lines(file: &Path) -> Vec<Value> {
    read_text(file).lines().map(json).inspect(schema::assert_valid).collect()
}

fn read_certificates(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry is read").path();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = path.metadata().expect("it is there").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        (name, read_text(&path))
    };
    entries.map(read).collect()
}

fn read_capture(file: &Path) -> Option<Vec<u8>> {
    let capture = std::fs::read(file).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    Some(capture)
}

fn read_text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
