//! Compares rdpscope's relay with haproxy, nginx stream, socat, stunnel, mitmproxy, PyRDP and a direct connection, side by
//! side; its probe with nmap and sslscan; its reading of captures with tshark.

mod asked;
mod bare;
mod connections;
mod evidence;
mod fleet;
mod gateway;
mod inner;
mod interception;
mod latency;
mod launch;
mod memory;
mod probe;
mod process;
mod relay;
mod rounds;
mod scripted;
mod session;
mod table;
mod throughput;
mod timed;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use crate::relay::{RELAYS, Relay, Role};
use crate::rounds::{Plan, Rounds};

/// Compares rdpscope's relay with haproxy (TCP mode, splice), nginx stream, socat, stunnel, mitmproxy, PyRDP and a direct
/// connection.
#[derive(Debug, Parser)]
#[command(name = "tests/bench/run")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Fewer and shorter rounds: under a minute
    #[arg(long)]
    quick: bool,
    /// Only these measurements
    #[arg(long, value_delimiter = ',')]
    only: Vec<Measurement>,
    /// Only these relays: direct, rdpscope, haproxy, nginx, socat, stunnel, mitmproxy, PyRDP; when named also
    /// rdpscope-no-trace, rdpscope-capture, haproxy-auto, bare and bare-with-files
    #[arg(long, value_delimiter = ',')]
    relays: Vec<String>,
    /// The relay whose ratios to the others are shown
    #[arg(long, default_value = "rdpscope")]
    subject: String,
    /// The rdpscope program
    #[arg(long, env = "RDPSCOPE", default_value = "target/release/rdpscope")]
    rdpscope: PathBuf,
}

/// What this program is besides.
#[derive(Debug, clap::Subcommand)]
enum Part {
    /// The relay that looks at nothing
    #[command(hide = true)]
    Bare {
        /// Where connections go
        target: SocketAddr,
        /// Leave there what a trace consists of
        #[arg(long)]
        files: Option<PathBuf>,
    },
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    Throughput,
    Latency,
    Connections,
    Memory,
    Interception,
    Gateway,
    Fleet,
    Probe,
    Evidence,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.part {
        Some(Part::Bare { target, files }) => bare::run(target, files),
        None => compare(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: Arguments) -> Result<()> {
    let relays = chosen(&arguments.relays)?;
    ensure!(known(&arguments.subject), "there is no relay called {}", arguments.subject);
    let open_files = memory::raise_open_files()?;
    let began = Instant::now();
    introduce();
    let plan = if arguments.quick { Plan::QUICK } else { Plan::FULL };
    let program = arguments.rdpscope.clone();
    let mut rounds = Rounds::new(plan, relays.clone(), arguments.rdpscope)?;
    let wanted = |measurement| arguments.only.is_empty() || arguments.only.contains(&measurement);
    if wanted(Measurement::Throughput) {
        rounds.throughput();
    }
    if wanted(Measurement::Latency) {
        rounds.latency();
    }
    if wanted(Measurement::Connections) {
        rounds.connections();
    }
    if wanted(Measurement::Memory) {
        rounds.memory(open_files);
    }
    if wanted(Measurement::Interception) {
        rounds.interception(open_files)?;
    }
    if wanted(Measurement::Gateway) {
        rounds.gateway()?;
    }
    if wanted(Measurement::Fleet) {
        for note in fleet_notes(&program, open_files)? {
            rounds.note(note);
        }
    }
    if wanted(Measurement::Probe) {
        rounds.note(match probe::run(&program) {
            Ok(compared) => compared.to_string(),
            Err(error) => format!("probe: left out, {error:#}"),
        });
    }
    if wanted(Measurement::Evidence) {
        let found = evidence::run(&program, plan.capture_length);
        let left_out = |error| vec![format!("evidence: left out, {error:#}")];
        found.unwrap_or_else(left_out).into_iter().for_each(|note| rounds.note(note));
    }
    let names: Vec<_> = relays.iter().map(|relay| relay.name).collect();
    let baseline = RELAYS.iter().find(|relay| relay.role == Role::Baseline).map_or("", |relay| relay.name);
    if !rounds.results.is_empty() {
        println!("{}", rounds.results.table(&names, baseline, &arguments.subject));
    }
    for asked in rounds::ASKED {
        if let Some(line) = asked.line(&rounds.results, &arguments.subject) {
            println!("- {line}");
        }
    }
    for note in &rounds.notes {
        println!("- {note}");
    }
    println!("- load average afterwards {}; took {:.0} s", load(), began.elapsed().as_secs_f64());
    Ok(())
}

/// Probes of thousands of targets have no rival and stand below the table.
fn fleet_notes(program: &Path, open_files: u64) -> Result<Vec<String>> {
    if open_files < fleet::OPEN_FILES {
        let needed = fleet::OPEN_FILES;
        return Ok(vec![format!("fleet: skipped, needs {needed} open files (ulimit -Hn says {open_files})")]);
    }
    let folder = tempfile::tempdir()?;
    let each = [" --no-udp --no-tls", " --no-udp"];
    each.into_iter().map(|options| Ok(fleet::run(program, folder.path(), options)?.to_string())).collect()
}

fn known(name: &str) -> bool {
    RELAYS.iter().any(|relay| relay.name == name)
}

fn chosen(names: &[String]) -> Result<Vec<Relay>> {
    for name in names {
        ensure!(known(name), "there is no relay called {name}");
    }
    let wanted = |relay: &&Relay| {
        (names.is_empty() && !relay.on_request) || names.iter().any(|name| name == relay.name)
    };
    Ok(RELAYS.iter().filter(wanted).copied().collect())
}

/// What the numbers depend on: the machine and the versions of the relays.
fn introduce() {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    println!("Linux {}, {processors} processors, load average before {}.", kernel.trim(), load());
    for (command, argument) in [
        ("haproxy", "-v"),
        ("nginx", "-v"),
        ("socat", "-V"),
        ("stunnel4", "-version"),
        ("mitmdump", "--version"),
    ] {
        let version = Command::new(command).arg(argument).output().ok().and_then(|output| {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            let names_version = |line: &&str| {
                ["version", "mitmproxy:", "stunnel 5"].iter().any(|word| line.to_lowercase().contains(word))
            };
            said.lines().find(names_version).map(str::to_owned)
        });
        println!(
            "{}.",
            version.unwrap_or_else(|| format!("{command} is not installed")).trim_end_matches('.')
        );
    }
    println!();
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}
