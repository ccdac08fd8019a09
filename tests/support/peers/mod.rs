//! Real RDP clients and servers, each on a free port with its own files, ended when its value is dropped.

#[cfg(feature = "nla")]
mod iron;
mod middlebox;
mod rdesktop;
#[cfg(feature = "nla")]
mod realm;
mod shadow;
mod socat;
mod upstream;
mod xfreerdp;
mod xrdp;
mod xvfb;

#[cfg(feature = "nla")]
pub(crate) use iron::{Iron, Reached};
pub(crate) use middlebox::{Haproxy, Middlebox, Nginx};
pub(crate) use rdesktop::Rdesktop;
#[cfg(feature = "nla")]
pub(crate) use realm::{REALM, Realm, SERVICE};
pub(crate) use shadow::{Shadow, ShadowSecurity};
pub(crate) use socat::Socat;
pub(crate) use upstream::Upstream;
pub(crate) use xfreerdp::Xfreerdp;
pub(crate) use xrdp::{Setup as XrdpSetup, Xrdp};
pub(crate) use xvfb::Xvfb;

use super::left_out::program;
use super::process::{LOOK_AGAIN, Process};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take until it listens: seconds on a machine that also compiles.
const START_WITHIN: Duration = Duration::from_secs(30);

/// How long a client may take to reach a session or to fail; FreeRDP's own time limits are at most 16 s.
const CLIENT_WITHIN: Duration = Duration::from_secs(60);

/// No peer of a test outlives this, even when the test process is killed and cannot end it.
const LIFETIME: Duration = Duration::from_secs(300);

/// The ports tried for peers: below those that Linux gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// FreeRDP's two generations, which differ in names, options and behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreeRdp {
    /// FreeRDP 2.
    Two,
    /// FreeRDP 3.
    Three,
}

/// What a client run came to.
#[derive(Debug)]
pub(crate) struct ClientRun {
    /// It reached an active session.
    pub(crate) active: bool,
    /// Its exit code; `None` when the harness ended it, which it does soon after the session is active.
    pub(crate) exit_code: Option<i32>,
    /// The last error name in its log, `ERRCONNECT_…` or `ERRINFO_…`.
    pub(crate) error: Option<String>,
    /// The last connection state in its log.
    pub(crate) state: Option<String>,
    /// Everything it printed.
    pub(crate) log: Vec<String>,
    /// From its start to its end.
    pub(crate) took: Duration,
}

impl ClientRun {
    /// What must be the same with and without a relay in the way.
    pub(crate) fn ending(&self) -> (bool, Option<i32>, Option<&str>) {
        (self.active, self.exit_code, self.error.as_deref())
    }

    /// One line for the test's output.
    pub(crate) fn summary(&self) -> String {
        let ClientRun { active, exit_code, error, state, took, .. } = self;
        let took = took.as_secs_f32();
        format!("active={active} exit_code={exit_code:?} error={error:?} state={state:?} seconds={took:.2}")
    }

    /// The end of its log, for a failure message.
    pub(crate) fn tail(&self) -> String {
        self.log[self.log.len().saturating_sub(25)..].join("\n")
    }
}

/// `name` run with a bounded lifetime, unbuffered, and with `home` as its only home.
fn command(name: &str, home: &Path) -> Command {
    command_for(LIFETIME, name, home)
}

/// The same with a lifetime of its own.
fn command_for(lifetime: Duration, name: &str, home: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=2", &lifetime.as_secs().to_string(), "stdbuf", "-oL", "-eL"]);
    command.arg(program(name).unwrap_or_else(|| panic!("{name} is installed, or the test was left out")));
    command.env("HOME", home).env_remove("XDG_CONFIG_HOME").env_remove("XDG_RUNTIME_DIR").env("LC_ALL", "C");
    command
}

/// A port that nobody listens on and that no other test of this process is given.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    // Test processes that run side by side start at different places.
    let first =
        u16::try_from(std::process::id().wrapping_mul(97) % u32::from(count)).expect("below the count");
    (0..count)
        .map(|_| PORTS.start + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % count)
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("a port is free")
}

/// Waits until something listens on `port`, without connecting: a connection is a session to an RDP server.
fn wait_until_listening(process: &mut Process, port: u16) {
    wait_until_listening_at(process, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
}

fn wait_until_listening_at(process: &mut Process, address: SocketAddrV4) {
    let deadline = Instant::now() + START_WITHIN;
    while !is_listening(address) {
        let status = process.status();
        assert!(status.is_none(), "a server ended at its start, {status:?}:\n{}", process.output.tail());
        assert!(Instant::now() < deadline, "nothing listens on {address}:\n{}", process.output.tail());
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn is_listening(address: SocketAddrV4) -> bool {
    const LISTEN: &str = "0A"; // the kernel's number of that state
    let ip = u32::from_ne_bytes(address.ip().octets());
    let address = format!("{ip:08X}:{:04X}", address.port());
    // A thread may be on a machine of its own.
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").expect("Linux lists its sockets");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&address) && fields.nth(1) == Some(LISTEN)
    })
}
