//! Thousands of targets probed at once: time, memory, and whether any is lost.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::{LOOK, Process};
use crate::tls::Ends;
use crate::wire;

/// Targets: every address of 127.1.0.0/16 is this machine.
pub const TARGETS: u32 = 5000;
/// Targets at a time.
const CONCURRENCY: u32 = 1000;
/// Open files of the probing process and of the servers, each connection with an end in both.
pub const OPEN_FILES: u64 = CONCURRENCY as u64 * 16 + 1000;
/// Threads that serve. A server's part is short, and rdpscope needs the processors too.
const SERVERS: usize = 64;
/// Connections that wait for a thread.
const BACKLOG: i32 = 4096;
/// How long a server waits for a client that has connected; one that only measures the connection says nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// The whole run ends here at the latest.
const DEADLINE: Duration = Duration::from_secs(600);

/// What a run came to.
#[derive(Debug)]
pub struct Found {
    options: &'static str,
    results: usize,
    healthy: usize,
    took: Duration,
    peak_kib: f64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fleet{}: {} of {TARGETS} targets have a verdict, {} of them no fault, {CONCURRENCY} at a time, in {:.1} s ({:.0}/s), \
             at most {:.0} MiB",
            self.options,
            self.results,
            self.healthy,
            self.took.as_secs_f64(),
            self.results as f64 / self.took.as_secs_f64(),
            self.peak_kib / 1024.0
        )
    }
}

/// Probes all targets with `options`; each is a server with TLS and without NLA.
pub fn run(rdpscope: &Path, folder: &Path, options: &'static str) -> Result<Found> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("cannot listen")?;
    rustix::net::listen(&listener, BACKLOG)?;
    let port = listener.local_addr()?.port();
    answer(&listener, &Ends::new()?)?;
    let last = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + TARGETS);
    let (range, concurrency) = (format!("127.1.0.1-{last}:{port}"), CONCURRENCY.to_string());
    let program = rdpscope.to_str().context("the program's path is no text")?;
    let words = [program, "probe", "--json", "-q", &range, "--concurrency", &concurrency];
    let command: Vec<String> =
        words.into_iter().chain(options.split_whitespace()).map(str::to_owned).collect();
    let start = Instant::now();
    let mut process = Process::start(&command, folder, "fleet")?;
    let mut peak_kib = 0.0;
    while process.ended()?.is_none() {
        ensure!(start.elapsed() < DEADLINE, "the fleet is not done after {} s", DEADLINE.as_secs());
        peak_kib = process.peak().unwrap_or(peak_kib);
        std::thread::sleep(LOOK);
    }
    let took = start.elapsed();
    let output = fs::read_to_string(folder.join("fleet.stdout"))?;
    let verdicts = || output.lines().filter(|line| line.starts_with(r#"{"type":"verdict""#));
    let is_fine =
        |line: &&str| ["healthy", "client-closed"].iter().any(|id| line.contains(&format!(r#""id":"{id}""#)));
    Ok(Found {
        options,
        results: verdicts().count(),
        healthy: verdicts().filter(is_fine).count(),
        took,
        peak_kib,
    })
}

/// Serves whoever connects, for as long as this program runs.
pub fn answer(listener: &TcpListener, ends: &Ends) -> Result<()> {
    for _ in 0..SERVERS {
        let (listener, ends) = (listener.try_clone()?, ends.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that leaves in the middle is what a probe is.
                let _ = serve(stream, &ends);
            }
        });
    }
    Ok(())
}

/// X.224 that selects TLS, then the handshake.
fn serve(mut stream: TcpStream, ends: &Ends) -> Result<()> {
    ensure!(stream.local_addr()?.ip().is_loopback(), "from outside");
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = [0; 512];
    ensure!(stream.read(&mut request)? > 0, "nothing was asked");
    stream.write_all(&wire::connection_confirm(Some(wire::PROTOCOL_SSL)))?;
    ends.answer(stream).map(drop)
}
