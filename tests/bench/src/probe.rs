//! One target, probed by rdpscope and by what others use for it: nmap's scripts for RDP and sslscan.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::fleet;
use crate::timed::{median, timed};
use crate::tls::Ends;

/// Times that all take turns.
const ROUNDS: usize = 5;
/// A real server to probe, `IPv4:PORT`, in the place of this program's own.
const TARGET: &str = "PROBE_TARGET";

/// Wall time of each program, median.
#[derive(Debug)]
pub struct Compared {
    target: SocketAddr,
    rdpscope: Duration,
    nmap: Duration,
    sslscan: Duration,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rdpscope, nmap, sslscan] =
            [self.rdpscope, self.nmap, self.sslscan].map(|time| time.as_secs_f64());
        write!(
            f,
            "probe of {}, median of {ROUNDS}: rdpscope {rdpscope:.2} s, nmap {nmap:.2} s and sslscan {sslscan:.2} s: \
             {:.2} of both together",
            self.target,
            rdpscope / (nmap + sslscan)
        )
    }
}

/// Probes the target that the environment names, or a server of this program.
pub fn run(rdpscope: &Path) -> Result<Compared> {
    let target = match std::env::var(TARGET) {
        Ok(named) => named.parse().with_context(|| format!("{TARGET} is not IPv4:PORT"))?,
        Err(_) => serve()?,
    };
    let (host, port) = (target.ip().to_string(), target.port().to_string());
    let named = target.to_string();
    let scripts = "+rdp-enum-encryption,+rdp-ntlm-info";
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        times[0].push(timed(Command::new(rdpscope).args(["probe", "-q", &named]))?);
        times[1]
            .push(timed(Command::new("nmap").args(["-Pn", "-n", "-p", &port, "--script", scripts, &host]))?);
        times[2].push(timed(Command::new("sslscan").args(["--rdp", &named]))?);
    }
    let [rdpscope, nmap, sslscan] = times.map(median);
    Ok(Compared { target, rdpscope, nmap, sslscan })
}

/// A server with TLS and without NLA.
fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    let address = listener.local_addr()?;
    fleet::answer(&listener, &Ends::new()?)?;
    Ok(address)
}
