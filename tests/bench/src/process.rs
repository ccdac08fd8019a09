//! A relay's processes: started, measured and stopped together.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// How long a relay has to stop by itself before it is killed.
const STOP: Duration = Duration::from_secs(3);
/// Between two looks at something that announces no change: /proc, a log file, a port.
pub const LOOK: Duration = Duration::from_millis(20);
/// A relay that used no processor time for this long has nothing left to do.
const QUIET: Duration = Duration::from_millis(150);
/// Waiting for quiet ends here at the latest.
const SETTLE: Duration = Duration::from_secs(5);

/// A child and everything it forks. Dropping it stops them all.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// Memory of all processes of a relay together, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident set: pages shared between its processes count for each.
    pub rss: f64,
    /// Proportional set: a page shared by two counts half for each.
    pub pss: f64,
}

impl Memory {
    /// The share of each of `sessions` in what there is more than in `empty`.
    pub fn above(self, empty: Self, sessions: usize) -> Self {
        let each = |full: f64, empty: f64| (full - empty) / sessions as f64;
        Self { rss: each(self.rss, empty.rss), pss: each(self.pss, empty.pss) }
    }
}

impl Process {
    /// Starts `command`, with its output in `NAME.stdout` and `NAME.stderr` in `folder`. It gets SIGTERM when
    /// this program dies, however that happens.
    pub fn start(command: &[String], folder: &Path, name: &str) -> Result<Self> {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(File::create(folder.join(format!("{name}.stdout")))?)
            .stderr(File::create(folder.join(format!("{name}.stderr")))?)
            .spawn()
            .context("cannot run setpriv (of util-linux)")?;
        Ok(Self { child })
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Processor time of all its processes so far, those that have ended and been waited for included.
    pub fn cpu(&self) -> Duration {
        let ticks: u64 = self.pids().into_iter().filter_map(ticks).sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Memory of all its processes now.
    pub fn memory(&self) -> Result<Memory> {
        let mut sum = Memory::default();
        for pid in self.pids() {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .with_context(|| format!("cannot read the memory of process {pid}"))?;
            sum.rss += kib(&text, "Rss:").context("smaps_rollup has no Rss line")?;
            sum.pss += kib(&text, "Pss:").context("smaps_rollup has no Pss line")?;
        }
        Ok(sum)
    }

    /// The most memory that it has held so far (not its descendants), in KiB; `None` once it has ended.
    pub fn peak(&self) -> Option<f64> {
        kib(&fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?, "VmHWM:")
    }

    /// Waits until it has stopped working, so that what it left for later neither escapes the measurement nor
    /// disturbs the next.
    pub fn settle(&self) {
        let start = Instant::now();
        let mut seen = (self.cpu(), start);
        while seen.1.elapsed() < QUIET && start.elapsed() < SETTLE {
            std::thread::sleep(LOOK);
            let cpu = self.cpu();
            if cpu != seen.0 {
                seen = (cpu, Instant::now());
            }
        }
    }

    /// The child and all its descendants.
    fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id()];
        let mut next = 0;
        while let Some(&pid) = pids.get(next) {
            pids.extend(children(pid));
            next += 1;
        }
        pids
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            // Its number may be another's by now, and those it forked cannot be found by it any more.
            return;
        }
        let family = self.pids();
        for &pid in &family {
            signal(pid, Signal::TERM);
        }
        let start = Instant::now();
        while start.elapsed() < STOP
            && (matches!(self.child.try_wait(), Ok(None)) || family.iter().any(alive))
        {
            std::thread::sleep(LOOK);
        }
        for pid in family.into_iter().filter(alive) {
            signal(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Whether it still runs; one that waits for its parent to take note of its end does not.
fn alive(pid: &u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        // A process that is already gone needs no signal.
        let _ = kill_process(pid, signal);
    }
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn ticks(pid: u32) -> Option<u64> {
    parse_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// utime, stime, cutime and cstime (fields 14 to 17 of proc_pid_stat(5)). The name before them may hold
/// anything.
fn parse_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<u64> = rest.split_whitespace().skip(11).take(4).filter_map(|f| f.parse().ok()).collect();
    (fields.len() == 4).then(|| fields.iter().sum())
}

fn kib(text: &str, key: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_an_awkward_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 99";
        assert_eq!(parse_ticks(stat), Some(100));
        assert_eq!(parse_ticks("7 (short) S 1"), None);
    }

    #[test]
    fn memory_lines_are_told_apart() {
        let text = "00400000-7ff Rss: [rollup]\nRss:    1234 kB\nPss:     617 kB\nPss_Dirty: 9 kB\n";
        assert_eq!(kib(text, "Rss:"), Some(1234.0));
        assert_eq!(kib(text, "Pss:"), Some(617.0));
        assert_eq!(kib(text, "Swap:"), None);
    }

    #[test]
    fn a_family_is_found_and_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let command = ["sh", "-c", "sleep 600 & sleep 600"].map(String::from);
        let process = Process::start(&command, folder.path(), "family").unwrap();
        let start = Instant::now();
        while process.pids().len() < 3 && start.elapsed() < STOP {
            std::thread::sleep(LOOK);
        }
        let family = process.pids();
        assert_eq!(family.len(), 3);
        assert!(process.memory().unwrap().rss > 0.0);
        drop(process);
        assert_eq!(family.iter().filter(|pid| alive(pid)).count(), 0);
    }
}
