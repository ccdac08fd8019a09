//! An X display without a screen, shared by every test that runs at the same time.

use crate::support::process::Process;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tempfile::TempDir;

/// How long Xvfb may take to choose its display.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A running Xvfb.
#[derive(Debug)]
pub(crate) struct Xvfb {
    /// For `DISPLAY`.
    pub(crate) display: String,
    _process: Process,
    _home: TempDir,
}

impl Xvfb {
    /// The display in use, or a new one. The last owner ends it: a static value would never be dropped.
    pub(crate) fn shared() -> Arc<Xvfb> {
        static SHARED: Mutex<Weak<Xvfb>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        shared.upgrade().unwrap_or_else(|| {
            let display = Arc::new(Xvfb::start());
            *shared = Arc::downgrade(&display);
            display
        })
    }

    fn start() -> Self {
        let home = TempDir::new().expect("a temporary folder is made");
        let mut command = super::command("Xvfb", home.path());
        command.args(["-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp", "-noreset"]);
        let (process, stdout) = Process::spawn_apart(command);
        // It chooses a free number itself, and prints it when it is ready for clients.
        let number = stdout.wait_for(START_WITHIN, |line| !line.is_empty());
        let number = number.unwrap_or_else(|| panic!("Xvfb does not start:\n{}", process.output.tail()));
        Xvfb { display: format!(":{number}"), _process: process, _home: home }
    }
}
