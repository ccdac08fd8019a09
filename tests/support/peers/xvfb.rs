//! An X display without a screen, shared by every test that runs at the same time.

use super::LIFETIME;
use crate::support::process::Process;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a display is given to tests that begin. As there is always one more, without an end to this a display would
/// reach the end of its life under the tests that still have it.
const GIVEN_FOR: Duration = LIFETIME;
/// Whoever got it last has it for as long as the other parts of a test live.
const LIVES_FOR: Duration = GIVEN_FOR.saturating_add(LIFETIME).saturating_add(LIFETIME);
/// How long Xvfb may take until clients can come.
const START_WITHIN: Duration = Duration::from_secs(30);
/// Clear of the numbers that people and other servers use.
const FIRST_NUMBER: u32 = 1_000;
/// More displays than one run of the tests starts.
const NUMBERS_OF_A_PROCESS: u32 = 500;
/// So that the highest number stays below 59,536, X's last.
const PROCESSES: u32 = 100;
/// Another process may have this process's numbers only by a rare chance.
const ATTEMPTS: u32 = 3;

/// A running Xvfb.
#[derive(Debug)]
pub(crate) struct Xvfb {
    /// For `DISPLAY`.
    pub(crate) display: String,
    socket: String,
    started: Instant,
    process: Mutex<Process>,
    _home: TempDir,
}

impl Xvfb {
    /// The display in use, or a new one. The last owner ends it: a static value would never be dropped.
    pub(crate) fn shared() -> Arc<Xvfb> {
        static SHARED: Mutex<Weak<Xvfb>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().filter(|display| display.serves()).unwrap_or_else(|| {
            let display = Arc::new(Xvfb::start());
            *shared = Arc::downgrade(&display);
            display
        })
    }

    /// Whether a client that comes now is served, and is so for as long as a test may take.
    fn serves(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let lives = process.status().is_none();
        if !lives {
            println!("Xvfb {} has ended:\n{}", self.display, process.output.tail());
        }
        lives && self.started.elapsed() < GIVEN_FOR && UnixStream::connect(&self.socket).is_ok()
    }

    fn start() -> Self {
        (0..ATTEMPTS).find_map(|_| Self::start_at(next_number())).unwrap_or_else(|| {
            panic!("Xvfb finds each of {ATTEMPTS} display numbers taken, or does not start at all")
        })
    }

    /// A display of this number; none where another has it.
    fn start_at(number: u32) -> Option<Self> {
        let display = format!(":{number}");
        let home = TempDir::new().expect("a temporary folder is made");
        let mut command = super::command_for(LIVES_FOR, "Xvfb", home.path());
        command.args([&display, "-displayfd", "1", "-screen", "0", "1024x768x24"]);
        command.args(["-nolisten", "tcp", "-noreset"]);
        let started = Instant::now();
        let (process, stdout) = Process::spawn_apart(command);
        // It prints its number when it is ready for clients, and ends where the number is taken.
        let ready = stdout.wait_for(START_WITHIN, |line| !line.is_empty());
        if ready.is_none() {
            println!("Xvfb {display} does not start:\n{}", process.output.tail());
        }
        ready.map(|_| Xvfb {
            display,
            socket: format!("/tmp/.X11-unix/X{number}"),
            started,
            process: Mutex::new(process),
            _home: home,
        })
    }
}

/// A number that this process has not used, and hardly another.
///
/// Where Xvfb is left to choose, it takes a socket's file from another server before it looks at the lock: one that starts
/// in another network namespace, or while an earlier one ends, leaves both without a file, and their clients without a
/// display.
fn next_number() -> u32 {
    static USED: AtomicU32 = AtomicU32::new(0);
    FIRST_NUMBER
        + process::id() % PROCESSES * NUMBERS_OF_A_PROCESS
        + USED.fetch_add(1, Ordering::Relaxed) % NUMBERS_OF_A_PROCESS
}
