//! What users type after `rdpscope probe`.

use crate::cli::arguments::{address, duration};
use crate::cli::gateway::gateway;
use crate::cli::watching::endpoint;
use crate::otlp::Endpoint;
use crate::probe::targets::MOST_TARGETS;
use crate::probe::{OtherPath, OtherPathError, Settings};
use crate::relay::target::Target;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Targets at a time: enough to hide the waiting, few enough for a small router's table of connections.
const USUAL_CONCURRENCY: usize = 64;
/// Rounds beyond this are a load test.
const MOST_ROUNDS: u32 = 100;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ProbeArguments {
    /// HOST[:PORT], [IPv6]:PORT, 10.0.0.0/24[:PORT], 10.0.0.1-20[:PORT], or @FILE with one of these a line
    #[arg(value_name = "TARGET", required_unless_present = "targets")]
    pub(super) words: Vec<String>,
    /// More targets from this file, one a line; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) targets: Vec<PathBuf>,
    /// Probe this RD Gateway, HOST[:PORT]; the targets are what is behind it, and nothing is asked of them
    #[arg(long, value_name = "HOST", value_parser = gateway)]
    pub(super) gateway: Option<Target>,
    /// Connect here instead of resolving the target or the gateway, on its port unless another is named
    #[arg(long, value_name = "NAME|IP", value_parser = address)]
    pub(super) address: Option<String>,
    /// Compare the certificate with the one over this path: http://HOST[:PORT] or socks5://HOST[:PORT] is a proxy, an IP
    /// address is where to connect instead; repeatable
    #[arg(long, value_name = "PATH", value_parser = other_path)]
    pub(super) other_path: Vec<OtherPath>,
    /// TCP connections to each address, to see losses
    #[arg(long, value_name = "N", default_value_t = Settings::default().rounds,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ROUNDS)))]
    pub(super) rounds: u32,
    /// Do not ask for RDP-UDP
    #[arg(long)]
    pub(super) no_udp: bool,
    /// Do not ask for each TLS version, suite and group
    #[arg(long)]
    pub(super) no_tls: bool,
    /// How long one answer may take [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) timeout: Option<Duration>,
    /// Targets at a time
    #[arg(long, value_name = "N", default_value_t = USUAL_CONCURRENCY, value_parser = concurrency)]
    pub(super) concurrency: usize,
    /// Also write the results to this file as JSON Lines, each as it comes
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Go on with the file of --output: targets that are finished in it are not probed again
    #[arg(long, requires = "output")]
    pub(super) resume: bool,
    /// Write a table to standard output, as CSV
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
    /// Send each target's result to an OpenTelemetry collector, as a trace with a span for each phase: to
    /// http[s]://HOST:PORT, /v1/traces where no path is named. Nothing of it names a user. Headers that the collector asks
    /// for are taken from OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    pub(super) otlp: Option<Endpoint>,
}

const EXAMPLES: &str = "\
Examples:
  rdpscope probe srv10                         why does it not connect?
  rdpscope probe srv01 srv02 srv10             what is different about the one that fails?
  rdpscope probe 10.0.0.0/24 --csv > fleet.csv
  rdpscope probe @servers.txt -o results.jsonl --concurrency 500
  rdpscope probe @servers.txt -o results.jsonl --resume
  rdpscope probe srv10 --gateway gw.corp.example
                                               what answers for the gateway, and what
                                               of its transports comes through?
  rdpscope probe srv10 --gateway gw.corp.example --other-path http://proxy:8080
                                               does something on one of the two paths
                                               take TLS apart?

No client and no credentials are needed. It never logs on, and it never opens
more connections to one target than it says.

Exit codes:
  0    done, and every target is healthy
  1    done, and at least one target has a fault
  2    wrong usage, for example a line that is no target; nothing was probed
  3    a file cannot be read or written
  130  interrupted; what was finished is kept";

impl ProbeArguments {
    /// How each of `targets` is probed.
    pub(super) fn settings(&self, targets: &[Target]) -> Settings {
        let usual = Settings::default();
        let port = self
            .gateway
            .as_ref()
            .or(targets.first())
            .map_or(crate::relay::target::RDP_PORT, |target| target.port);
        Settings {
            // Its form was checked when it was read.
            address: self.address.as_deref().and_then(|address| Target::parse(address, port).ok()),
            other_paths: self.other_path.clone(),
            rounds: self.rounds,
            answer_timeout: self.timeout.unwrap_or(usual.answer_timeout),
            udp: !self.no_udp,
            side_channel_port: usual.side_channel_port,
            tls: !self.no_tls,
            knows_command: crate::cli::arguments::accepts,
        }
    }
}

fn other_path(text: &str) -> Result<OtherPath, OtherPathError> {
    text.parse()
}

fn concurrency(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST_TARGETS as usize).contains(count));
    count.ok_or_else(|| format!("not a number of targets; write 1 to {MOST_TARGETS}"))
}
