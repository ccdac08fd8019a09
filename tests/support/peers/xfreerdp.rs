//! FreeRDP's X11 client, run once without a person.

use super::{CLIENT_WITHIN, ClientRun, FreeRdp, xvfb::Xvfb};
use crate::support::left_out::{program, say_left_out};
use crate::support::process::{Lines, Process};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long an active session is held, so that a picture travels too before the client is ended.
const HELD: Duration = Duration::from_secs(1);

/// A client, ready to connect.
#[derive(Debug)]
pub(crate) struct Xfreerdp {
    version: FreeRdp,
    arguments: Vec<String>,
    trusted: Option<PathBuf>,
    patience: Option<Duration>,
    environment: Vec<(&'static str, PathBuf)>,
    root: Option<PathBuf>,
    stays: bool,
}

/// Names the root folder of another system, with a FreeRDP that this one does not have.
const ROOT_VARIABLE: &str = "RDPSCOPE_FREERDP_ROOT";

impl Xfreerdp {
    /// A client of `version` that also gets `arguments`; it accepts any certificate unless it is told whom to trust.
    pub(crate) fn new(version: FreeRdp, arguments: &[&str]) -> Self {
        Xfreerdp {
            version,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            trusted: None,
            patience: None,
            environment: Vec::new(),
            root: None,
            stays: false,
        }
    }

    /// Trusts the authority in this PEM file, and refuses every certificate that is not good under it.
    pub(crate) fn trusting_only(mut self, authority: &Path) -> Self {
        self.trusted = Some(authority.to_owned());
        self
    }

    /// Has a user who does nothing and stays until somebody else ends the session.
    pub(crate) fn staying(mut self) -> Self {
        self.stays = true;
        self
    }

    /// FreeRDP 3.15 or newer of another system, which [`ROOT_VARIABLE`] names, with `arguments`; it takes root to run it.
    /// `None`, after saying so, where there is none.
    pub(crate) fn newer(arguments: &[&str]) -> Option<Self> {
        let root = std::env::var_os(ROOT_VARIABLE).map(PathBuf::from);
        let root = root.filter(|root| root.join("usr/bin/xfreerdp3").is_file());
        if root.is_none() {
            say_left_out(&format!("{ROOT_VARIABLE} names no system with FreeRDP 3.15"));
        }
        Some(Xfreerdp { root: Some(root?), ..Self::new(FreeRdp::Three, arguments) })
    }

    /// Runs with these variables as well, as a member of a realm does.
    #[cfg(feature = "nla")]
    pub(crate) fn with_environment(mut self, environment: &[(&'static str, PathBuf)]) -> Self {
        self.environment.extend_from_slice(environment);
        self
    }

    /// Has a user who gives up after `patience`; counts for a script, in whole seconds.
    pub(crate) fn given_up_after(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// The programs that a client of `version` needs.
    pub(crate) fn programs(version: FreeRdp) -> [&'static str; 2] {
        match version {
            FreeRdp::Two => ["xfreerdp", "Xvfb"],
            FreeRdp::Three => ["xfreerdp3", "Xvfb"],
        }
    }

    /// A script in `folder` that runs this client as a command for `--client`, which gives the port. It trusts the
    /// authority that it was told to trust and what stands in `also` when it starts.
    pub(crate) fn script(&self, folder: &Path, display: &Xvfb, also: &Path) -> PathBuf {
        let [client, _] = Self::programs(self.version);
        let client = program(client).expect("it is installed, or the test was left out");
        let trusted = folder.join("trusted.pem");
        let authority = self.trusted.as_deref().expect("a client that looks at certificates");
        let limit = self
            .patience
            .map_or_else(String::new, |patience| format!("timeout --signal=KILL {} ", patience.as_secs()));
        let text = format!(
            "cat {} {} > {trusted}\n\
             exec {limit}env -u XDG_CONFIG_HOME -u XDG_RUNTIME_DIR HOME={} DISPLAY={} SSL_CERT_FILE={trusted} {} \
             /v:localhost:$1 /cert:deny {}\n",
            authority.display(),
            also.display(),
            folder.display(),
            display.display,
            client.display(),
            self.arguments.join(" "),
            trusted = trusted.display()
        );
        let script = folder.join("client.sh");
        std::fs::write(&script, text).expect("the script is written");
        script
    }

    /// Connects to `localhost:port`; ends soon after the session is active.
    pub(crate) fn run(&self, port: u16) -> ClientRun {
        let home = TempDir::new().expect("a temporary folder is made");
        let display = Xvfb::shared();
        let [client, _] = Self::programs(self.version);
        let mut command = match &self.root {
            None => super::command(client, home.path()),
            Some(root) => {
                let mut command = super::command("chroot", Path::new("/tmp"));
                command.arg(root).arg(client);
                command
            }
        };
        command.env("DISPLAY", &display.display);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg(format!("/v:localhost:{port}")).arg("/log-level:DEBUG").args(&self.arguments);
        match &self.trusted {
            Some(authority) => command.arg("/cert:deny").env("SSL_CERT_FILE", authority),
            None => command.arg("/cert:ignore"),
        };

        let started = Instant::now();
        let mut process = Process::spawn(command);
        let active =
            process.output.wait_for(CLIENT_WITHIN, |line| line.contains("CONNECTION_STATE_ACTIVE")).is_some();
        let exit_code = if active {
            let ended_by_itself = process.wait(if self.stays { CLIENT_WITHIN } else { HELD });
            process.end();
            ended_by_itself.and_then(|status| status.code())
        } else {
            let status = process.wait(CLIENT_WITHIN);
            assert!(status.is_some(), "{client} neither connects nor gives up:\n{}", process.output.tail());
            status.and_then(|status| status.code())
        };
        let took = started.elapsed();
        process.output.wait_for_end(CLIENT_WITHIN);
        let state = last_word(&process.output, "CONNECTION_STATE_");
        let error =
            last_word(&process.output, "ERRCONNECT_").or_else(|| last_word(&process.output, "ERRINFO_"));
        // What it says after being told to end is about the telling.
        let error = error.filter(|_| !active);
        ClientRun { active, exit_code, error, state, log: process.output.all(), took }
    }
}

/// The last word in the log that starts with `prefix`.
fn last_word(output: &Lines, prefix: &str) -> Option<String> {
    let word = |line: &String| {
        let rest = &line[line.rfind(prefix)?..];
        let end = rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        Some(rest[..end.unwrap_or(rest.len())].to_owned())
    };
    // Where FreeRDP is told to end it goes back to its first state, which says nothing.
    output.all().iter().rev().filter_map(word).find(|word| word != "CONNECTION_STATE_INITIAL")
}
