//! socat as a plain relay: it shows that the harness itself works with a relay in the way.

use crate::support::process::Process;
use std::net::{Ipv4Addr, SocketAddr};
use tempfile::TempDir;

/// A running socat.
#[derive(Debug)]
pub(crate) struct Socat {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    process: Process,
    _home: TempDir,
}

impl Socat {
    /// Relays each connection to `target`.
    pub(crate) fn start(target: SocketAddr) -> Self {
        let home = TempDir::new().expect("a temporary folder is made");
        let port = super::free_port();
        let mut command = super::command("socat", home.path());
        command.args(["-d", "-d"]).arg(format!("TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"));
        command.arg(format!("TCP4:{target}"));
        let mut process = Process::spawn(command);
        super::wait_until_listening(&mut process, port);
        Socat { address: (Ipv4Addr::LOCALHOST, port).into(), process, _home: home }
    }

    /// How many connections it has relayed.
    pub(crate) fn connections(&self) -> usize {
        self.process.output.all().iter().filter(|line| line.contains("accepting connection from")).count()
    }
}
