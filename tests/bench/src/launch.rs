//! How each relay is configured: what of it is written to files, and its command line.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rustix::process::{Resource, getrlimit};

use crate::memory;
use crate::relay::{Purpose, free_port};
use crate::tls::{self, LeafKey};

/// Sessions that haproxy and nginx are set up to hold, where open files suffice: above what is measured.
const MAX_SESSIONS: usize = memory::MANY_SESSIONS + 1000;
/// Open files that haproxy wants for each: two sockets and, for half of them, the two ends of a pipe.
const FILES_OF_SESSION: u64 = 3;

/// Sessions that they can be set up to hold with the open files that there may be here.
fn most_sessions() -> usize {
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    usize::try_from(files / FILES_OF_SESSION).map_or(MAX_SESSIONS, |sessions| sessions.min(MAX_SESSIONS))
}

/// What a command line or configuration is made of.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The program under test, which also makes the certificates that others show.
    pub rdpscope: &'a Path,
    /// The server behind the relay.
    pub target: SocketAddr,
    /// Where to listen; of no meaning to a relay that picks its own port.
    pub listen: SocketAddr,
    /// For configurations, logs and traces.
    pub folder: &'a Path,
    /// What will be measured.
    pub purpose: Purpose,
}

pub fn rdpscope(setup: &Setup<'_>) -> Result<Vec<String>> {
    rdpscope_with(setup, &["--trace".into(), path(&setup.folder.join("trace"))])
}

pub fn rdpscope_no_trace(setup: &Setup<'_>) -> Result<Vec<String>> {
    rdpscope_with(setup, &["--no-trace".into()])
}

pub fn rdpscope_capture(setup: &Setup<'_>) -> Result<Vec<String>> {
    rdpscope_with(setup, &["--trace".into(), path(&setup.folder.join("trace")), "--capture".into()])
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

/// The relay of this program that looks at nothing.
pub fn bare(setup: &Setup<'_>) -> Result<Vec<String>> {
    if setup.purpose != Purpose::Sessions {
        bail!("it is made for the few messages of a session's start");
    }
    let program = std::env::current_exe()?;
    Ok(vec![path(&program), "bare".into(), setup.target.to_string()])
}

/// The same, leaving the files of a trace.
pub fn bare_with_files(setup: &Setup<'_>) -> Result<Vec<String>> {
    Ok([bare(setup)?, vec!["--files".into(), path(&setup.folder.join("trace"))]].concat())
}

/// For bulk data splice without conditions, because `splice-auto` hardly ever decides for it here; for the
/// rest `splice-auto`, because splicing small messages makes each of them slower.
pub fn haproxy(setup: &Setup<'_>) -> Result<Vec<String>> {
    match setup.purpose {
        Purpose::Bulk => haproxy_with(setup, "option splice-request\n    option splice-response", "", ""),
        Purpose::Sessions => haproxy_auto(setup),
        Purpose::Interception(_) | Purpose::Gateway => haproxy_tls(setup),
        Purpose::InsideGateway => bail!("haproxy knows no tunnel of a gateway"),
    }
}

fn haproxy_tls(setup: &Setup<'_>) -> Result<Vec<String>> {
    let pem = certificate(setup)?;
    haproxy_with(setup, "", &format!("ssl crt {}", path(&pem)), "ssl verify none no-ssl-reuse")
}

pub fn haproxy_auto(setup: &Setup<'_>) -> Result<Vec<String>> {
    haproxy_with(setup, "option splice-auto", "", "")
}

/// TCP mode with its TCP log. The log goes to a file through stdout, its cheapest way out; threads and
/// buffers are left at their defaults, which are one thread a processor and 16 KiB.
/// `bind` and `server` end their lines; TLS 1.3 has neither tickets nor sessions, as rdpscope has none.
fn haproxy_with(setup: &Setup<'_>, splice: &str, bind: &str, server: &str) -> Result<Vec<String>> {
    let sessions = most_sessions();
    let config = format!(
        "global
    maxconn {sessions}
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
    bind {} backlog {sessions} {bind}
    server target {} {server}
",
        setup.listen, setup.target
    );
    let file = setup.folder.join("haproxy.cfg");
    fs::write(&file, config)?;
    Ok(vec!["haproxy".into(), "-db".into(), "-f".into(), path(&file)])
}

/// The stream module with one worker a processor and its log on.
pub fn nginx(setup: &Setup<'_>) -> Result<Vec<String>> {
    let folder = path(setup.folder);
    let module = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"]
        .iter()
        .map(|folder| PathBuf::from(folder).join("ngx_stream_module.so"))
        .find(|file| file.exists())
        .map(|file| format!("load_module {};\n", file.display()))
        .unwrap_or_default();
    let sessions = most_sessions();
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
        listen {} backlog={sessions};
        proxy_pass {};
        proxy_timeout 1h;
        tcp_nodelay on;
        {buffer}
    }}
}}
",
        sessions * 3,
        sessions * 2,
        setup.listen,
        setup.target
    );
    let file = setup.folder.join("nginx.conf");
    fs::write(&file, config)?;
    Ok(vec!["nginx".into(), "-e".into(), format!("{folder}/nginx-error.log"), "-c".into(), path(&file)])
}

pub fn socat(setup: &Setup<'_>) -> Result<Vec<String>> {
    let (listen, target) = (setup.listen, setup.target);
    Ok(vec![
        "socat".into(),
        "-b".into(),
        "262144".into(),
        format!("TCP-LISTEN:{},bind={},fork,reuseaddr,nodelay,backlog=1024", listen.port(), listen.ip()),
        format!("TCP:{target},nodelay"),
    ])
}

/// Two services of one process: one ends TLS, the other begins it anew. A thread for each connection of both; its log
/// has a line for each, as those of the others.
pub fn stunnel(setup: &Setup<'_>) -> Result<Vec<String>> {
    let pem = path(&certificate(setup)?);
    let folder = path(setup.folder);
    let between = free_port()?;
    let (listen, target) = (setup.listen, setup.target);
    let config = format!(
        "foreground = quiet
pid =
output = {folder}/sessions.log
debug = notice
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
sslVersionMin = TLSv1.3
sessionResume = no
[ends]
accept = {listen}
connect = {between}
cert = {pem}
[begins]
client = yes
accept = {between}
connect = {target}
"
    );
    let file = setup.folder.join("stunnel.conf");
    fs::write(&file, config)?;
    Ok(vec!["stunnel4".into(), path(&file)])
}

/// Its dump without output: raw TCP passed on, or TLS on both sides with TCP inside.
pub fn mitmproxy(setup: &Setup<'_>) -> Result<Vec<String>> {
    let own = path(&setup.folder.join("mitmproxy"));
    let scheme = if setup.purpose.ends_tls() { "tls" } else { "tcp" };
    let mut command = vec![
        "mitmdump".into(),
        "-q".into(),
        "--set".into(),
        format!("confdir={own}"),
        "--listen-host".into(),
        setup.listen.ip().to_string(),
        "--listen-port".into(),
        setup.listen.port().to_string(),
        "--mode".into(),
        format!("reverse:{scheme}://{}", setup.target),
    ];
    if setup.purpose.ends_tls() {
        command.extend(["--ssl-insecure".into(), "--certs".into(), path(&certificate(setup)?)]);
    }
    Ok(command)
}

/// With a certificate given, so that it makes none, and without what it records besides its log.
pub fn pyrdp(setup: &Setup<'_>) -> Result<Vec<String>> {
    let pem = path(&certificate(setup)?);
    let mut command: Vec<String> = vec!["pyrdp-mitm".into(), "--no-replay".into(), "--no-files".into()];
    for (flag, value) in [
        ("-a", setup.listen.ip().to_string()),
        ("-l", setup.listen.port().to_string()),
        ("-o", path(&setup.folder.join("pyrdp"))),
        ("-L", "ERROR".into()),
        ("-c", pem.clone()),
        ("-k", pem),
    ] {
        command.extend([flag.into(), value]);
    }
    command.push(setup.target.to_string());
    Ok(command)
}

/// The file with the certificate that a relay other than rdpscope shows, and its key.
fn certificate(setup: &Setup<'_>) -> Result<PathBuf> {
    let key = match setup.purpose {
        Purpose::Interception(key) => key,
        _ => LeafKey::Rsa,
    };
    tls::mint(setup.rdpscope, key, setup.folder)
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
