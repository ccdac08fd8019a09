//! rdesktop, the client that still speaks classic RDP security with encryption.

use super::{CLIENT_WITHIN, ClientRun, xvfb::Xvfb};
use crate::support::process::Process;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the session is held: rdesktop prints nothing when it is active, so staying connected is the proof.
const HELD: Duration = Duration::from_secs(2);

/// rdesktop.
#[derive(Debug)]
pub(crate) struct Rdesktop;

impl Rdesktop {
    /// The programs that it needs.
    pub(crate) const PROGRAMS: [&'static str; 2] = ["rdesktop", "Xvfb"];

    /// Connects to `localhost:port`; `active` means that it connected and was still there after [`HELD`].
    pub(crate) fn run(port: u16) -> ClientRun {
        let home = TempDir::new().expect("a temporary folder is made");
        let display = Xvfb::shared();
        let mut command = super::command("rdesktop", home.path());
        command.env("DISPLAY", &display.display);
        command.args(["-u", "test", "-g", "800x600"]).arg(format!("localhost:{port}"));

        let started = Instant::now();
        let mut process = Process::spawn(command);
        let established = |line: &str| line.contains("Connection established");
        let connected = process.output.wait_for(CLIENT_WITHIN, established).is_some();
        let ended_by_itself = process.wait(if connected { HELD } else { CLIENT_WITHIN });
        process.end();
        process.output.wait_for_end(CLIENT_WITHIN);
        let exit_code = ended_by_itself.and_then(|status| status.code());
        let active = connected && ended_by_itself.is_none();
        let took = started.elapsed();
        ClientRun { active, exit_code, error: None, state: None, log: process.output.all(), took }
    }
}
