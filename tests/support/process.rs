//! A child process that is watched by its output and never outlives its owner.

#[cfg(target_os = "linux")]
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
#[cfg(target_os = "linux")]
use std::io::{PipeReader, PipeWriter};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How often an exit or a listening port is looked for, where the system has no event to wait on.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a process may take to end after being asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// Output lines kept for a failure message.
const TAIL_LINES: usize = 25;

/// Bytes that the kernel tells of each page of a process's memory, the highest bit being whether it is there.
#[cfg(target_os = "linux")]
const PAGE_ENTRY: usize = 8;

/// The lines that a stream has given so far; waiting for one is an event, not a poll.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

#[derive(Debug, Default)]
struct Heard {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Follows `stream` on a thread of its own until it ends.
    fn follow(stream: impl Read + Send + 'static) -> Self {
        let lines = Lines { heard: Arc::default() };
        let follower = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                follower.tell(|heard| heard.lines.push(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            follower.tell(|heard| heard.ended = true);
        });
        lines
    }

    fn tell(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.0.lock().expect("no reader panics"));
        self.heard.1.notify_all();
    }

    /// The first line that is `wanted`; `None` when the stream ended without one or `within` has passed.
    pub(crate) fn wait_for(&self, within: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + within;
        let mut looked_at = 0;
        let mut heard = self.heard.0.lock().expect("no reader panics");
        loop {
            if let Some(line) = heard.lines[looked_at..].iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            looked_at = heard.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if heard.ended || left.is_zero() {
                return None;
            }
            heard = self.heard.1.wait_timeout(heard, left).expect("no reader panics").0;
        }
    }

    /// Waits until the stream has ended, so that [`Lines::all`] is everything.
    pub(crate) fn wait_for_end(&self, within: Duration) {
        self.wait_for(within, |_| false);
    }

    /// Every line so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.heard.0.lock().expect("no reader panics").lines.clone()
    }

    /// The last lines, for a failure message.
    pub(crate) fn tail(&self) -> String {
        let all = self.all();
        all[all.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

/// A running program in a process group of its own; dropping it ends the whole group.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    reaped: bool,
    /// What it printed; standard error only, when standard output is read apart.
    pub(crate) output: Lines,
}

impl Process {
    /// Starts `command` without standard input, both outputs as one stream of lines.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe opens");
        command.stdout(writer.try_clone().expect("a pipe end is cloned")).stderr(writer);
        let child = start(&mut command);
        drop(command); // it holds the pipe's writing ends, and the stream must end with the child
        Process { child, reaped: false, output: Lines::follow(reader) }
    }

    /// Starts `command` with a standard input to write to, both outputs as one stream of lines.
    #[cfg(target_os = "linux")]
    pub(crate) fn spawn_with_input(mut command: Command) -> (Self, PipeWriter) {
        let (input, to_input) = std::io::pipe().expect("a pipe opens");
        let (reader, writer) = std::io::pipe().expect("a pipe opens");
        command.stdin(input).stdout(writer.try_clone().expect("a pipe end is cloned")).stderr(writer);
        let child = start_with_its_input(&mut command);
        drop(command);
        (Process { child, reaped: false, output: Lines::follow(reader) }, to_input)
    }

    /// Starts `command` at a terminal of its own, both outputs as one stream of lines; what is written to the file is typed.
    #[cfg(target_os = "linux")]
    pub(crate) fn spawn_at_terminal(mut command: Command) -> (Self, File) {
        let (keyboard, terminal) = terminal();
        command.stdin(terminal.try_clone().expect("a file is cloned"));
        command.stdout(terminal.try_clone().expect("a file is cloned")).stderr(terminal);
        let child = start_with_its_input(&mut command);
        drop(command); // it holds the terminal, which must be closed with the child
        let screen = keyboard.try_clone().expect("a file is cloned");
        (Process { child, reaped: false, output: Lines::follow(screen) }, keyboard)
    }

    /// Starts `command` between two pipes; `output` is standard error.
    #[cfg(target_os = "linux")]
    pub(crate) fn spawn_between(mut command: Command, input: PipeReader, output: PipeWriter) -> Self {
        command.stdin(input).stdout(output).stderr(Stdio::piped());
        let mut child = start_with_its_input(&mut command);
        let output = Lines::follow(child.stderr.take().expect("standard error is a pipe"));
        Process { child, reaped: false, output }
    }

    /// Starts `command` without standard input; standard output comes apart from standard error.
    pub(crate) fn spawn_apart(mut command: Command) -> (Self, Lines) {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = start(&mut command);
        let stdout = Lines::follow(child.stdout.take().expect("standard output is a pipe"));
        let output = Lines::follow(child.stderr.take().expect("standard error is a pipe"));
        (Process { child, reaped: false, output }, stdout)
    }

    /// Starts `command` with a standard output whose reader has already gone away; `output` is standard error.
    pub(crate) fn spawn_without_reader(mut command: Command) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe opens");
        drop(reader);
        command.stdout(writer).stderr(Stdio::piped());
        let mut child = start(&mut command);
        let output = Lines::follow(child.stderr.take().expect("standard error is a pipe"));
        Process { child, reaped: false, output }
    }

    /// How it ended, or `None` while it runs. Members of its group do not outlive it.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        if !self.reaped && self.has_ended() {
            // Until it is reaped nobody else gets its number.
            self.signal(Ending::Kill);
            self.reaped = true;
        }
        if !self.reaped {
            return None;
        }
        self.child.try_wait().expect("a child can be asked for its status")
    }

    /// Whether it has ended, and the system still keeps its number.
    #[cfg(unix)]
    fn has_ended(&self) -> bool {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::Pid(Pid::from_child(&self.child)), options);
        ended.expect("a child can be asked for its status").is_some()
    }

    /// Whether it has ended; here numbers are of no use to anybody.
    #[cfg(not(unix))]
    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked for its status").is_some()
    }

    /// The most memory that the program itself has held so far, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux counts it");
        let kilobytes = peak.trim().trim_end_matches("kB").trim().parse::<usize>();
        kilobytes.expect("it is a number") * 1024
    }

    /// Which of `wanted` stand in the memory of the program itself. The error says that nobody may look there.
    #[cfg(target_os = "linux")]
    pub(crate) fn found_in_memory<'w>(&self, wanted: &[&'w [u8]]) -> std::io::Result<Vec<&'w [u8]>> {
        use std::os::unix::fs::FileExt;
        let of_process = |name: &str| format!("/proc/{}/{name}", self.child.id());
        let maps = std::fs::read_to_string(of_process("maps"))?;
        let memory = File::open(of_process("mem"))?;
        let page = rustix::param::page_size() as u64;
        let written = maps.lines().filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (begin, end) = range.split_once('-')?;
            let [begin, end] = [begin, end].map(|place| u64::from_str_radix(place, 16).ok());
            rest.starts_with("rw").then_some((begin?, end?))
        });
        let searcher = aho_corasick::AhoCorasick::new(wanted).expect("they are few and short");
        let pages = File::open(of_process("pagemap"))?;
        let mut found = Vec::new();
        for (begin, end) in written {
            let mut entries = vec![[0; PAGE_ENTRY]; usize::try_from((end - begin) / page).expect("it fits")];
            if pages.read_exact_at(entries.as_flattened_mut(), begin / page * PAGE_ENTRY as u64).is_err() {
                continue;
            }
            let is_there = |entry: &[u8; PAGE_ENTRY]| u64::from_le_bytes(*entry) >> 63 == 1;
            let mut place = begin;
            for pages in entries.chunk_by(|one, other| is_there(one) == is_there(other)) {
                let mut bytes = vec![0; pages.len() * page as usize];
                // Some of what the kernel keeps there cannot be read, and is none of the program's.
                if is_there(&pages[0]) && memory.read_exact_at(&mut bytes, place).is_ok() {
                    found.extend(searcher.find_iter(&bytes).map(|it| wanted[it.pattern().as_usize()]));
                }
                place += bytes.len() as u64;
            }
        }
        Ok(found)
    }

    /// Waits for its end, at most `within`.
    pub(crate) fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            let status = self.status();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Asks the group to end, and kills what has not ended soon after.
    pub(crate) fn end(&mut self) {
        if self.status().is_none() {
            self.signal(Ending::Ask);
        }
        if self.wait(GRACE).is_none() {
            self.signal(Ending::Kill);
            self.wait(GRACE);
        }
    }

    /// Sends `signal` to the program itself, not to those it started.
    #[cfg(unix)]
    pub(crate) fn signal_first(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).expect("it runs");
    }

    #[cfg(unix)]
    fn signal(&mut self, ending: Ending) {
        use rustix::process::{Pid, Signal, kill_process_group};
        let signal = match ending {
            Ending::Ask => Signal::TERM,
            Ending::Kill => Signal::KILL,
        };
        // An error says that the group is empty, which is what is wanted.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }

    #[cfg(not(unix))]
    fn signal(&mut self, ending: Ending) {
        if matches!(ending, Ending::Kill) {
            // An error says that it has ended, which is what is wanted.
            let _ = self.child.kill();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

enum Ending {
    Ask,
    Kill,
}

/// A pseudo-terminal: what is typed into it and read from its screen, and what a program has of it.
#[cfg(target_os = "linux")]
pub(crate) fn terminal() -> (File, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
    let keyboard = keyboard.expect("there are pseudo-terminals");
    grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("it is ours");
    let name = ptsname(&keyboard, Vec::new()).expect("it has a name").into_string().expect("a plain name");
    let terminal = File::options().read(true).write(true).open(name).expect("it opens");
    (File::from(keyboard), terminal)
}

fn start(command: &mut Command) -> Child {
    start_with_its_input(command.stdin(Stdio::null()))
}

fn start_with_its_input(command: &mut Command) -> Child {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let child = command.spawn();
    child.unwrap_or_else(|error| panic!("{:?} does not start: {error}", command.get_program()))
}
