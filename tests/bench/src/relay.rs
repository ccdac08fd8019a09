//! The relays that are compared, and how each is started and found ready.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::launch::{self, Setup};
use crate::memory;
use crate::process::{LOOK, Process};
use crate::session::Backend;
use crate::tls::LeafKey;

/// How long a relay has to become ready; those in Python take seconds.
const START: Duration = Duration::from_secs(20);

/// What a relay is started for: some are configured otherwise for bulk data than for many sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Bulk data in one session.
    Bulk,
    /// Everything else in passthrough.
    Sessions,
    /// TLS ends in the relay, which shows a certificate for this kind of key and begins TLS anew with the server.
    Interception(LeafKey),
    /// The server is an RD Gateway, and TLS ends in the relay, which shows an RSA 2048 certificate.
    Gateway,
    /// The same, and TLS inside its tunnel ends in the relay, too.
    InsideGateway,
}

impl Purpose {
    /// Whether TLS ends in the relay.
    pub fn ends_tls(self) -> bool {
        matches!(self, Self::Interception(_) | Self::Gateway | Self::InsideGateway)
    }
}

/// One column of the table.
#[derive(Debug, Clone, Copy)]
pub struct Relay {
    /// Its name in the table and for `--relays`.
    pub name: &'static str,
    /// Its part in the comparison.
    pub role: Role,
    /// It can pass TCP on as it comes.
    pub passes: bool,
    /// It can end TLS and begin it anew.
    pub intercepts: bool,
    /// Its client negotiates in X.224 before TLS begins; others know no X.224 and take TLS at once.
    pub negotiates: bool,
    /// It writes anew what is inside TLS, which is at most TLS 1.2: what arrives is not what was sent.
    pub rewrites: bool,
    /// So many idle sessions are asked of it at most; none of one that has a process for each.
    pub most_idle: usize,
    /// Measured only when it is named.
    pub on_request: bool,
    launch: Launch,
}

/// The part that a relay has in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// No relay at all: what the machine and the generator can do.
    Baseline,
    /// The one under test, or one to be compared with it.
    Relay,
}

/// How a relay is started.
#[derive(Debug, Clone, Copy)]
enum Launch {
    /// The client connects to the server itself.
    None,
    /// The command says on stderr where it listens.
    Announces(fn(&Setup<'_>) -> Result<Vec<String>>),
    /// The command listens on the port that it is given.
    OnPort(fn(&Setup<'_>) -> Result<Vec<String>>),
}

/// The relays, in the order in which they take their turns.
pub const RELAYS: &[Relay] = &[
    Relay { role: Role::Baseline, intercepts: true, ..relay("direct", Launch::None) },
    Relay { intercepts: true, negotiates: true, ..relay("rdpscope", Launch::Announces(launch::rdpscope)) },
    Relay { intercepts: true, ..relay("haproxy", Launch::OnPort(launch::haproxy)) },
    relay("nginx", Launch::OnPort(launch::nginx)),
    Relay { most_idle: 0, ..relay("socat", Launch::OnPort(launch::socat)) },
    // Two threads for each session.
    Relay {
        passes: false,
        intercepts: true,
        most_idle: memory::SESSIONS,
        ..relay("stunnel", Launch::OnPort(launch::stunnel))
    },
    Relay {
        intercepts: true,
        most_idle: memory::SESSIONS,
        ..relay("mitmproxy", Launch::OnPort(launch::mitmproxy))
    },
    Relay {
        passes: false,
        intercepts: true,
        negotiates: true,
        rewrites: true,
        most_idle: 0,
        ..relay("PyRDP", Launch::OnPort(launch::pyrdp))
    },
    Relay {
        on_request: true,
        intercepts: true,
        negotiates: true,
        ..relay("rdpscope-no-trace", Launch::Announces(launch::rdpscope_no_trace))
    },
    Relay {
        on_request: true,
        intercepts: true,
        ..relay("rdpscope-capture", Launch::Announces(launch::rdpscope_capture))
    },
    Relay { on_request: true, ..relay("haproxy-auto", Launch::OnPort(launch::haproxy_auto)) },
    Relay { on_request: true, most_idle: 0, ..relay("bare", Launch::Announces(launch::bare)) },
    Relay {
        on_request: true,
        most_idle: 0,
        ..relay("bare-with-files", Launch::Announces(launch::bare_with_files))
    },
];

const fn relay(name: &'static str, launch: Launch) -> Relay {
    Relay {
        name,
        role: Role::Relay,
        passes: true,
        intercepts: false,
        negotiates: false,
        rewrites: false,
        most_idle: memory::MANY_SESSIONS,
        on_request: false,
        launch,
    }
}

/// A relay that is ready, with the server behind it. Dropping it stops the relay; its files stay.
#[derive(Debug)]
pub struct Running {
    /// Which one.
    pub relay: Relay,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where its sessions arrive.
    pub backend: Backend,
    /// `None` for the direct connection.
    pub process: Option<Process>,
    folder: PathBuf,
}

impl Relay {
    /// Starts it, with a folder of its own below `files`, and waits until it takes connections.
    pub fn start(&self, rdpscope: &Path, files: &Path, purpose: Purpose) -> Result<Running> {
        let backend = Backend::bind()?;
        let folder = tempfile::Builder::new().prefix(self.name).tempdir_in(files)?.keep();
        let listen = free_port()?;
        let setup = Setup { rdpscope, target: backend.address(), listen, folder: &folder, purpose };
        let (address, process) = match self.launch {
            Launch::None => (backend.address(), None),
            Launch::OnPort(command) => {
                let mut process = Process::start(&command(&setup)?, &folder, self.name)?;
                self.ready(&mut process, &folder, |_| TcpStream::connect(listen).ok().map(|_| listen))?;
                (listen, Some(process))
            }
            Launch::Announces(command) => {
                let mut process = Process::start(&command(&setup)?, &folder, self.name)?;
                (self.ready(&mut process, &folder, announced)?, Some(process))
            }
        };
        Ok(Running { relay: *self, address, backend, process, folder })
    }

    /// Looks until `found` has an address.
    fn ready(
        &self,
        process: &mut Process,
        folder: &Path,
        found: impl Fn(&str) -> Option<SocketAddr>,
    ) -> Result<SocketAddr> {
        let path = folder.join(format!("{}.stderr", self.name));
        let start = Instant::now();
        loop {
            let said = fs::read_to_string(&path).unwrap_or_default();
            if let Some(address) = found(&said) {
                return Ok(address);
            }
            let last = said.lines().last().unwrap_or("nothing").trim().to_owned();
            if let Some(status) = process.ended()? {
                bail!("{} ended ({status}) before it listened; it said: {last}", self.name);
            }
            if start.elapsed() > START {
                bail!("{} does not say that it listens; it said: {last}", self.name);
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Running {
    /// How many sessions the relay has on record: trace folders of rdpscope, log lines of the others.
    pub fn recorded(&self) -> Option<u64> {
        let folder = &self.folder;
        match self.relay.name {
            "rdpscope" | "bare-with-files" => Some(traces(&folder.join("trace"))),
            "haproxy" | "haproxy-auto" => Some(lines(&folder.join(format!("{}.stdout", self.relay.name)))),
            "nginx" => Some(lines(&folder.join("sessions.log"))),
            _ => None,
        }
    }

    /// Deletes the captures that the relay has written so far and answers how long they were; `None` of one that writes
    /// none.
    pub fn take_captures(&self) -> Option<u64> {
        let sessions = fs::read_dir(self.folder.join("trace")).ok()?;
        let captures = sessions.flatten().map(|session| session.path().join("session.pcapng"));
        let taken = captures.filter_map(|file| {
            let length = fs::metadata(&file).ok()?.len();
            fs::remove_file(&file).ok().map(|()| length)
        });
        taken.reduce(|sum, length| sum + length)
    }
}

/// The address in the line `listening on ADDRESS`.
fn announced(said: &str) -> Option<SocketAddr> {
    // Only whole lines: the last one may still be on its way.
    let (whole, _) = said.rsplit_once('\n')?;
    whole.lines().find_map(|line| line.split_once("listening on ")?.1.split_whitespace().next()?.parse().ok())
}

/// A loopback port that nobody listens on now.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("no free loopback port")?.local_addr()?)
}

fn traces(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().filter(|entry| entry.path().join("trace.jsonl").exists()).count() as u64
}

fn lines(file: &Path) -> u64 {
    fs::read(file).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announced_address_is_read_from_whole_lines() {
        let address = "127.0.0.1:4321".parse().unwrap();
        assert_eq!(announced("warming up\nlistening on 127.0.0.1:4321\n"), Some(address));
        assert_eq!(announced("rdpscope: listening on 127.0.0.1:4321 (loopback)\nmore"), Some(address));
        assert_eq!(announced("listening on 127.0.0.1:43"), None);
        assert_eq!(announced("listening on nothing\n"), None);
    }

    #[test]
    fn a_program_that_only_ends_is_named() {
        let files = tempfile::tempdir().unwrap();
        let error =
            RELAYS[1].start(Path::new("/bin/true"), files.path(), Purpose::Bulk).unwrap_err().to_string();
        assert!(error.starts_with("rdpscope ended (exit status: 0) before it listened"), "{error}");
    }
}
