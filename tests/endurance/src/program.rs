//! The running program: started, listened to, measured.

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long it has to listen, and to end after its last session.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The lines that are counted, by their types.
const COUNTED: [&str; 4] =
    [r#""type":"listening""#, r#""type":"verdict""#, r#""type":"altered""#, r#""type":"end""#];

/// What it said so far.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Verdicts by their ids.
    pub verdicts: BTreeMap<String, u64>,
    /// Sessions that it said the end of.
    pub ended: u64,
    /// Alterations of bytes.
    pub altered: u64,
    /// Bytes that it says it relayed, both ways.
    pub bytes: u64,
}

impl Said {
    /// Verdicts of all ids.
    pub fn all_verdicts(&self) -> u64 {
        self.verdicts.values().sum()
    }

    fn take(&mut self, line: &Value) {
        match line["type"].as_str() {
            Some("verdict") => {
                let id = line["id"].as_str().unwrap_or("without an id").to_owned();
                *self.verdicts.entry(id).or_default() += 1;
            }
            Some("altered") => self.altered += 1,
            Some("end") => {
                self.ended += 1;
                self.bytes +=
                    line["bytes_up"].as_u64().unwrap_or(0) + line["bytes_down"].as_u64().unwrap_or(0);
            }
            _ => {}
        }
    }
}

/// What it holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Health {
    /// Resident memory, KiB.
    pub resident: u64,
    /// Open file descriptors.
    pub descriptors: u64,
}

/// A running `rdpscope proxy`. Dropping it ends it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    said: Arc<Mutex<Said>>,
    listener: Option<JoinHandle<()>>,
    errors: PathBuf,
}

impl Program {
    /// Starts `rdpscope proxy ARGUMENTS --json` on a free port, with what it says in `folder`.
    pub fn start(rdpscope: &Path, arguments: &[String], folder: &Path, name: &str) -> Result<Self> {
        Self::start_as(Command::new(rdpscope), arguments, folder, name)
    }

    /// The same with at most so many open files, which bound its sessions.
    pub fn start_with_files(
        rdpscope: &Path,
        files: u64,
        arguments: &[String],
        folder: &Path,
        name: &str,
    ) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(rdpscope);
        Self::start_as(command, arguments, folder, name)
    }

    fn start_as(mut command: Command, arguments: &[String], folder: &Path, name: &str) -> Result<Self> {
        let errors = folder.join(format!("{name}.stderr"));
        let mut child = command
            .arg("proxy")
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?)
            .spawn()
            .with_context(|| format!("cannot run {command:?}"))?;
        let stdout = child.stdout.take().context("the program has no output")?;
        let said = Arc::new(Mutex::new(Said::default()));
        let (listening, address) = mpsc::channel();
        let listener = thread::spawn({
            let said = Arc::clone(&said);
            move || listen(stdout, &said, &listening)
        });
        let address = address.recv_timeout(PATIENCE);
        let mut program =
            Self { child, address: ([0, 0, 0, 0], 0).into(), said, listener: Some(listener), errors };
        match address {
            Ok(address) => program.address = address,
            Err(_) => bail!("the program does not listen; it said: {}", program.last_words()),
        }
        Ok(program)
    }

    /// What it said so far.
    pub fn said(&self) -> Said {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it holds now.
    pub fn health(&self) -> Result<Health> {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(process.join("status")).context("the program has ended")?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("there is no VmRSS line")?;
        let resident = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let descriptors = fs::read_dir(process.join("fd"))?.count() as u64;
        Ok(Health { resident, descriptors })
    }

    /// Asks it to end, as Ctrl-C does, and waits for that as [`Program::finish`] does.
    pub fn interrupt(self) -> Result<Said> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("the program has no number")?;
        kill_process(pid, Signal::INT)?;
        self.finish()
    }

    /// Waits for its end, and fails where it panicked, was killed or does not end.
    pub fn finish(mut self) -> Result<Said> {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => bail!("the program hangs: {}", self.last_words()),
                None => thread::sleep(LOOK),
            }
        };
        if let Some(listener) = self.listener.take() {
            ensure!(listener.join().is_ok(), "what the program said cannot be read");
        }
        ensure!(ended_well(status), "the program ended with {status}: {}", self.last_words());
        ensure!(!self.has_panicked(), "the program panicked: {}", self.last_words());
        Ok(self.said())
    }

    /// The lines on standard error that hold `wanted`.
    pub fn told(&self, wanted: &str) -> Vec<String> {
        let said = fs::read_to_string(&self.errors).unwrap_or_default();
        said.lines().filter(|line| line.contains(wanted)).map(str::to_owned).collect()
    }

    /// Whether a task of it panicked.
    pub fn has_panicked(&self) -> bool {
        fs::read_to_string(&self.errors).is_ok_and(|said| said.contains("panicked at"))
    }

    fn last_words(&self) -> String {
        let said = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Healthy, a fault was found, or interrupted: each is an end as promised.
fn ended_well(status: ExitStatus) -> bool {
    matches!(status.code(), Some(0 | 1 | 130))
}

fn listen(stdout: ChildStdout, said: &Mutex<Said>, listening: &mpsc::Sender<SocketAddr>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        // Reading every event would be slower than what is read, which would then have to wait.
        if !COUNTED.iter().any(|kind| line.contains(kind)) {
            continue;
        }
        let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
        if line["type"] == "listening"
            && let Some(address) = line["address"].as_str().and_then(|address| address.parse().ok())
        {
            // Who waits for it may have given up.
            let _ = listening.send(address);
        }
        said.lock().unwrap_or_else(PoisonError::into_inner).take(&line);
    }
}
