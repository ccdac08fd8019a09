//! The relays that are compared: how each is configured, started and found ready.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::{LOOK, Process};
use crate::session::Backend;
use crate::tls::{self, LeafKey};

/// How long a relay has to become ready.
const START: Duration = Duration::from_secs(5);
/// Sessions that haproxy and nginx are set up to hold: well above what is measured.
const MAX_SESSIONS: usize = 4096;

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
    /// Whether a client of `relay` negotiates in X.224 before TLS begins: rdpscope is told by it that TLS comes; the
    /// others know no X.224 and take TLS at once.
    pub fn negotiates(relay: &Relay) -> bool {
        relay.name.starts_with("rdpscope")
    }
}

/// One column of the table.
#[derive(Debug, Clone, Copy)]
pub struct Relay {
    /// Its name in the table and for `--relays`.
    pub name: &'static str,
    /// Its part in the comparison.
    pub role: Role,
    /// One process for each session: thousands of idle sessions are not its purpose.
    pub forks: bool,
    /// Measured only when it is named.
    pub on_request: bool,
    /// It can end TLS and begin it anew.
    pub intercepts: bool,
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
    Relay { intercepts: true, ..relay("rdpscope", Launch::Announces(rdpscope)) },
    Relay { intercepts: true, ..relay("haproxy", Launch::OnPort(haproxy)) },
    relay("nginx", Launch::OnPort(nginx)),
    Relay { forks: true, ..relay("socat", Launch::OnPort(socat)) },
    Relay {
        on_request: true,
        intercepts: true,
        ..relay("rdpscope-no-trace", Launch::Announces(rdpscope_no_trace))
    },
    Relay { on_request: true, ..relay("haproxy-auto", Launch::OnPort(haproxy_auto)) },
];

const fn relay(name: &'static str, launch: Launch) -> Relay {
    Relay { name, role: Role::Relay, forks: false, on_request: false, intercepts: false, launch }
}

/// What a command line or configuration is made of.
#[derive(Debug)]
struct Setup<'a> {
    rdpscope: &'a Path,
    target: SocketAddr,
    /// Where to listen; of no meaning to a relay that picks its own port.
    listen: SocketAddr,
    folder: &'a Path,
    purpose: Purpose,
}

/// A relay that is ready, with the server behind it. Dropping it stops the relay and removes its files.
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
    folder: TempDir,
}

impl Relay {
    /// Starts it and waits until it takes connections.
    pub fn start(&self, rdpscope: &Path, purpose: Purpose) -> Result<Running> {
        let backend = Backend::bind()?;
        let folder = tempfile::Builder::new().prefix("rdpscope-bench-").tempdir()?;
        let listen = free_port()?;
        let setup = Setup { rdpscope, target: backend.address(), listen, folder: folder.path(), purpose };
        let (address, process) = match self.launch {
            Launch::None => (backend.address(), None),
            Launch::OnPort(command) => {
                let mut process = Process::start(&command(&setup)?, folder.path(), self.name)?;
                self.ready(&mut process, folder.path(), |_| TcpStream::connect(listen).ok().map(|_| listen))?;
                (listen, Some(process))
            }
            Launch::Announces(command) => {
                let mut process = Process::start(&command(&setup)?, folder.path(), self.name)?;
                (self.ready(&mut process, folder.path(), announced)?, Some(process))
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
        let folder = self.folder.path();
        match self.relay.name {
            "rdpscope" => Some(traces(&folder.join("trace"))),
            "haproxy" | "haproxy-auto" => Some(lines(&folder.join(format!("{}.stdout", self.relay.name)))),
            "nginx" => Some(lines(&folder.join("sessions.log"))),
            _ => None,
        }
    }
}

/// The address in the line `listening on ADDRESS`.
fn announced(said: &str) -> Option<SocketAddr> {
    // Only whole lines: the last one may still be on its way.
    let (whole, _) = said.rsplit_once('\n')?;
    whole.lines().find_map(|line| line.split_once("listening on ")?.1.split_whitespace().next()?.parse().ok())
}

fn rdpscope(setup: &Setup<'_>) -> Result<Vec<String>> {
    rdpscope_with(setup, &["--trace".into(), path(&setup.folder.join("trace"))])
}

fn rdpscope_no_trace(setup: &Setup<'_>) -> Result<Vec<String>> {
    rdpscope_with(setup, &["--no-trace".into()])
}

fn rdpscope_with(setup: &Setup<'_>, trace: &[String]) -> Result<Vec<String>> {
    if !setup.rdpscope.exists() {
        bail!("there is no program at {}", setup.rdpscope.display());
    }
    let target = match setup.purpose {
        Purpose::Gateway | Purpose::InsideGateway => {
            vec!["a".into(), "--gateway".into(), setup.target.to_string()]
        }
        _ => vec![setup.target.to_string()],
    };
    let command = [&[path(setup.rdpscope), "proxy".into()], &target[..]].concat();
    let interception = match setup.purpose {
        Purpose::Interception(LeafKey::Rsa) => vec!["--cert".into(), "fresh".into()],
        Purpose::Interception(LeafKey::P256) => {
            let key = path(&tls::write_key(setup.folder)?);
            vec!["--cert".into(), "fresh".into(), "--renew-with".into(), key]
        }
        Purpose::InsideGateway => vec!["--inner-cert".into(), "fresh".into()],
        Purpose::Bulk | Purpose::Sessions | Purpose::Gateway => Vec::new(),
    };
    Ok([&command[..], &["--listen".into(), "127.0.0.1:0".into()], trace, &interception].concat())
}

/// For bulk data splice without conditions, because `splice-auto` hardly ever decides for it here; for the
/// rest `splice-auto`, because splicing small messages makes each of them slower.
fn haproxy(setup: &Setup<'_>) -> Result<Vec<String>> {
    match setup.purpose {
        Purpose::Bulk => haproxy_with(setup, "option splice-request\n    option splice-response", "", ""),
        Purpose::Sessions => haproxy_auto(setup),
        Purpose::Interception(key) => haproxy_tls(setup, key),
        Purpose::Gateway => haproxy_tls(setup, LeafKey::Rsa),
        Purpose::InsideGateway => bail!("haproxy knows no tunnel of a gateway"),
    }
}

fn haproxy_tls(setup: &Setup<'_>, key: LeafKey) -> Result<Vec<String>> {
    let pem = tls::mint(setup.rdpscope, key, setup.folder)?;
    haproxy_with(setup, "", &format!("ssl crt {}", path(&pem)), "ssl verify none no-ssl-reuse")
}

fn haproxy_auto(setup: &Setup<'_>) -> Result<Vec<String>> {
    haproxy_with(setup, "option splice-auto", "", "")
}

/// TCP mode with its TCP log. The log goes to a file through stdout, its cheapest way out; threads and
/// buffers are left at their defaults, which are one thread a processor and 16 KiB.
/// `bind` and `server` end their lines; TLS 1.3 has neither tickets nor sessions, as rdpscope has none.
fn haproxy_with(setup: &Setup<'_>, splice: &str, bind: &str, server: &str) -> Result<Vec<String>> {
    let config = format!(
        "global
    maxconn {MAX_SESSIONS}
    log stdout format raw local0 info
    tune.ssl.cachesize 0
    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
defaults
    mode tcp
    log global
    option tcplog
    {splice}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen bench
    bind {} backlog {MAX_SESSIONS} {bind}
    server target {} {server}
",
        setup.listen, setup.target
    );
    let file = setup.folder.join("haproxy.cfg");
    fs::write(&file, config)?;
    Ok(vec!["haproxy".into(), "-db".into(), "-f".into(), path(&file)])
}

/// The stream module with one worker a processor and its log on.
fn nginx(setup: &Setup<'_>) -> Result<Vec<String>> {
    let folder = path(setup.folder);
    let module = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"]
        .iter()
        .map(|folder| PathBuf::from(folder).join("ngx_stream_module.so"))
        .find(|file| file.exists())
        .map(|file| format!("load_module {};\n", file.display()))
        .unwrap_or_default();
    let buffer = match setup.purpose {
        Purpose::Bulk => "proxy_buffer_size 256k;",
        _ => "",
    };
    let config = format!(
        "{module}daemon off;
worker_processes auto;
worker_rlimit_nofile {};
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log error;
events {{ worker_connections {}; }}
stream {{
    log_format sessions '$remote_addr [$time_local] $status $bytes_sent $bytes_received $session_time';
    access_log {folder}/sessions.log sessions;
    server {{
        listen {} backlog={MAX_SESSIONS};
        proxy_pass {};
        proxy_timeout 1h;
        tcp_nodelay on;
        {buffer}
    }}
}}
",
        MAX_SESSIONS * 3,
        MAX_SESSIONS * 2,
        setup.listen,
        setup.target
    );
    let file = setup.folder.join("nginx.conf");
    fs::write(&file, config)?;
    Ok(vec!["nginx".into(), "-e".into(), format!("{folder}/nginx-error.log"), "-c".into(), path(&file)])
}

fn socat(setup: &Setup<'_>) -> Result<Vec<String>> {
    let (listen, target) = (setup.listen, setup.target);
    Ok(vec![
        "socat".into(),
        "-b".into(),
        "262144".into(),
        format!("TCP-LISTEN:{},bind={},fork,reuseaddr,nodelay,backlog=1024", listen.port(), listen.ip()),
        format!("TCP:{target},nodelay"),
    ])
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn free_port() -> Result<SocketAddr> {
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
        let error = RELAYS[1].start(Path::new("/bin/true"), Purpose::Bulk).unwrap_err().to_string();
        assert!(error.starts_with("rdpscope ended (exit status: 0) before it listened"), "{error}");
    }
}
