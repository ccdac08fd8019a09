//! What users type.

use super::ab::arguments::AbArguments;
use super::analyze::arguments::{self as analyze, AnalyzeArguments};
use super::bundle::arguments::BundleArguments;
use super::cert::arguments::CertArguments;
use super::gateway::GatewayArguments;
use super::interception::InterceptionArguments;
use super::probe::arguments::ProbeArguments;
use super::rdp::arguments::RdpArguments;
use super::report::arguments::ReportArguments;
use super::run::arguments::RunArguments;
use super::watching::WatchingArguments;
use crate::alter::impair::{self, Impairment, ImpairmentError};
use crate::build;
use crate::relay::client_command::{ClientCommand, ClientCommandError};
use crate::relay::target::{Target, TargetError};
use crate::relay::udp::UdpMode;
use crate::relay::upstream_proxy::{ProxyUrlError, UpstreamProxy};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// See why a Remote Desktop connection fails.
///
/// rdpscope stands between the client and the server, relays every byte unchanged, names each phase of the connection
/// with its time, and ends with a verdict, its proof and the fix.
#[derive(Debug, Parser)]
#[command(version, long_version = build::text(), propagate_version = true, after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) output: OutputArguments,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  rdpscope run srv10                   it fails: find out why, step by step
  rdpscope probe srv10
  rdpscope proxy srv10                 then:  mstsc /v:127.0.0.1:13389
  rdpscope proxy srv10 --sessions 1 --client 'xfreerdp /v:{host}:{port} /u:me'
  rdpscope ab srv10 --vary cert        is it the certificate, and what in it?
  rdpscope report TRACE -o report.html one page for the escalation
  rdpscope analyze customer.pcapng     what somebody else recorded
  rdpscope explain 0x904 0x7
  rdpscope demo

Exit codes:
  0    done and healthy
  1    done and a fault was found
  2    wrong usage
  3    the work could not be done
  130  interrupted";

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArguments {
    /// Write JSON Lines to standard output, nothing else
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColorArgument::Auto, value_name = "WHEN")]
    pub(super) color: ColorArgument,
    /// Say more: each event (-v), and what the program itself does (-vv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorArgument {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Find out why a connection fails, step by step: probe, your own client, experiments, one report
    Run(Box<RunArguments>),
    /// Relay between a client and a server, name every phase, end each session with a verdict
    #[command(after_help = PROXY_EXAMPLES)]
    Proxy(Box<ProxyArguments>),
    /// Drive every phase without a client and without credentials; one target or many, with a verdict each
    Probe(Box<ProbeArguments>),
    /// Change one thing in every other attempt, and conclude whether that is the cause
    Ab(Box<AbArguments>),
    /// Tell what was recorded: as text, Markdown, JSON, or one HTML page that needs nothing else
    Report(ReportArguments),
    /// Read captures: one verdict for each attempt in them
    #[command(after_help = analyze::EXAMPLES)]
    Analyze(AnalyzeArguments),
    /// Say what an error code of Remote Desktop or a verdict of rdpscope means, and what to try
    Explain(ExplainArguments),
    /// What goes to an escalation in one file: report, traces, captures, certificates, names replaced, hashes
    Bundle(BundleArguments),
    /// Profiles of the client (.rdp): find what is wrong with one, lead one through rdpscope, write one
    Rdp(RdpArguments),
    /// Look at a certificate, make one, trust or forget a CA
    Cert(CertArguments),
    /// The whole story with nothing installed: a server with a fault, a client, and rdpscope between them
    Demo(DemoArguments),
    /// Write shell completions
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages, as packages carry them
    #[command(hide = true)]
    Man {
        /// The folder to write them into
        folder: PathBuf,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct ProxyArguments {
    /// The server: HOST[:PORT] or [IPv6]:PORT
    #[arg(value_parser = target)]
    pub(super) target: Target,
    /// Where to listen; port 0 picks one [default: 127.0.0.1:13389, with --gateway 127.0.0.1:13443]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    pub(super) listen: Option<SocketAddr>,
    /// Allow --listen on an address that other machines can reach; Windows' firewall may ask then, and never for the default
    #[arg(long)]
    pub(super) allow_remote: bool,
    /// Connect here instead of resolving the target or the gateway, on its port unless another is named
    #[arg(long, value_name = "NAME|IP", value_parser = address)]
    pub(super) address: Option<String>,
    /// RDP-UDP on the same port number
    #[arg(long, value_enum, default_value_t = UdpMode::Relay, value_name = "MODE")]
    pub(super) udp: UdpMode,
    /// Keep traces below this folder [default: the user's data folder]
    #[arg(long, value_name = "DIR")]
    pub(super) trace: Option<PathBuf>,
    /// Keep no trace
    #[arg(long, conflicts_with = "trace")]
    pub(super) no_trace: bool,
    /// Also write what is on the wire of both legs to session.pcapng beside each trace, for Wireshark
    #[arg(long, conflicts_with = "no_trace")]
    pub(super) capture: bool,
    /// Write the secrets of TLS that rdpscope terminates into the capture: it shows what was typed then
    #[arg(long, requires = "capture")]
    pub(super) secrets: bool,
    /// Reach the server through http://HOST[:PORT] (CONNECT) or socks5://HOST[:PORT]
    #[arg(long, value_name = "URL", value_parser = upstream_proxy)]
    pub(super) upstream_proxy: Option<UpstreamProxy>,
    /// Stop after N sessions
    #[arg(long, value_name = "N", value_parser = sessions)]
    pub(super) sessions: Option<u64>,
    /// Stop after this long, for example 90s or 10m
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(super) duration: Option<Duration>,
    /// Run this client for each attempt; {host}, {port} and {rdp} are filled in, no shell is used
    #[arg(long, value_name = "COMMAND", value_parser = client_command)]
    pub(super) client: Option<ClientCommand>,
    /// Open the client of this system on an .rdp file that points here: mstsc on Windows, FreeRDP on Linux, what opens such
    /// files on macOS
    #[arg(long, conflicts_with = "client")]
    pub(super) open: bool,
    /// Make the connection worse on purpose: latency=300ms, jitter=50ms, rate=128kbit, chunk=BYTES, mss=BYTES,
    /// stall-after=PHASE, reset-after=PHASE, close-after=PHASE|BYTES; up: or down: before it for one direction only
    #[arg(long, value_name = "SPEC", value_parser = impairment)]
    pub(super) impair: Vec<Impairment>,
    // Their headings hold for all that follows.
    #[command(flatten)]
    pub(super) gateway: GatewayArguments,
    #[command(flatten)]
    pub(super) interception: InterceptionArguments,
    #[command(flatten)]
    pub(super) watching: WatchingArguments,
}

const PROXY_EXAMPLES: &str = "\
Examples:
  rdpscope proxy srv10.corp.example            then point the client at 127.0.0.1:13389
  rdpscope proxy srv10 --open                  the same, and opens mstsc on it
  rdpscope proxy srv10 --address 10.0.0.10     the name is stale: try the address
  rdpscope proxy srv10 --sessions 1 --json     for scripts
  rdpscope proxy srv10 --udp refuse            is UDP the cause? let the client fall back to TCP
  rdpscope proxy srv10 --impair latency=300ms --impair rate=64kbit
                                               does it work over a slow line?
  rdpscope proxy srv10 --cert fresh --ca-out ca.pem
                                               show the client another certificate: is it the cause?
  rdpscope proxy srv10 --renew-with srv10.pfx --password-file pw
                                               the same with the server's own key, which NLA needs
  rdpscope proxy srv10 --gateway gw.corp.example --ca-out ca.pem
                                               through an RD Gateway: give the client
                                               127.0.0.1:13443 as its gateway
  rdpscope proxy srv10 --gateway gw.corp.example --tcp-only
                                               is the gateway's UDP the cause?";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  rdpscope completions bash > /etc/bash_completion.d/rdpscope
  rdpscope completions zsh > ~/.zfunc/_rdpscope
  rdpscope completions fish > ~/.config/fish/completions/rdpscope.fish
  rdpscope completions powershell >> $PROFILE";

const DEMO_EXAMPLES: &str = "\
Examples:
  rdpscope demo                                a fault, its proof and its end, in half a minute
  rdpscope demo --json                         the same for programs

Nothing outside of this machine is asked, and nothing is left on it.

Exit codes:
  0    the story was told
  3    the work could not be done
  130  interrupted";

#[derive(Debug, Args)]
#[command(after_help = DEMO_EXAMPLES)]
pub(super) struct DemoArguments {
    /// Be the demo's client: connect there once
    #[arg(long, value_name = "ADDR", hide = true)]
    pub(super) client: Option<SocketAddr>,
}

#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub(super) struct ExplainArguments {
    /// The code: decimal, hex, or a name; `FAMILY:CODE` where it is ambiguous. Or a verdict, such as certificate-expired
    #[arg(allow_hyphen_values = true)]
    pub(super) code: String,
    /// The extended code, as in "Error 0x904, extended 0x7"
    #[arg(allow_hyphen_values = true)]
    pub(super) extended: Option<String>,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  rdpscope explain 0x904 0x7
  rdpscope explain 2308
  rdpscope explain STATUS_ACCOUNT_LOCKED_OUT
  rdpscope explain tls:48
  rdpscope explain certificate-expired     a verdict: what proves it, what mends it

Exit codes:
  0    explained
  2    not a code
  3    a code or name that rdpscope does not know";

/// Proposals that are remembered. A run proposes some dozens at most, all for the same target.
const REMEMBERED_PROPOSALS: usize = 256;

/// Whether this build has `command`, as a verdict or an explanation would propose it.
pub(super) fn accepts(command: &str) -> bool {
    // Every session of a run proposes the same commands, and parsing one costs as much as the session's diagnosis.
    static KNOWN: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(accepted) = known.get(command) {
        return *accepted;
    }
    let accepted = shlex::split(command).is_some_and(|words| Arguments::try_parse_from(words).is_ok());
    if known.len() < REMEMBERED_PROPOSALS {
        known.insert(command.to_owned(), accepted);
    }
    accepted
}

/// The program's commands and flags, as its manual pages tell them.
pub(super) fn definition() -> clap::Command {
    Arguments::command()
}

/// The completions of `shell`. In memory, because a reader that goes away early would make their writer panic.
pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "rdpscope", &mut script);
    script
}

pub(super) fn target(text: &str) -> Result<Target, TargetError> {
    text.parse()
}

/// What can be an address; its port is known with the target's.
pub(super) fn address(text: &str) -> Result<String, TargetError> {
    target(text).map(|_| text.to_owned())
}

impl ProxyArguments {
    /// Where to connect instead of resolving the target.
    pub(super) fn address(&self) -> Option<Target> {
        // Its form was checked when it was read.
        Target::parse(self.address.as_deref()?, self.far_side().port).ok()
    }
}

fn upstream_proxy(url: &str) -> Result<UpstreamProxy, ProxyUrlError> {
    url.parse()
}

pub(super) fn client_command(text: &str) -> Result<ClientCommand, ClientCommandError> {
    ClientCommand::parse(text)
}

fn impairment(text: &str) -> Result<Impairment, ImpairmentError> {
    text.parse()
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "not an address to listen on; write for example 127.0.0.1:13389 or [::1]:0")
}

fn sessions(text: &str) -> Result<u64, &'static str> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or("not a number of sessions; write 1 or more")
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    impair::duration(text)
        .ok_or_else(|| format!("{text:?} is not a duration; write for example 300ms, 90s or 10m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// Every command that users see, with its names from the first on.
    fn commands() -> Vec<(String, clap::Command)> {
        fn below(name: &str, command: &clap::Command, all: &mut Vec<(String, clap::Command)>) {
            for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
                let name = format!("{name} {}", command.get_name());
                below(&name, command, all);
                all.push((name, command.clone()));
            }
        }
        let mut all = Vec::new();
        below("rdpscope", &Arguments::command(), &mut all);
        all
    }

    #[test]
    fn every_help_teaches_by_example_on_lines_that_fit() {
        const WIDEST: usize = 100;
        let commands = commands();
        assert!(commands.len() > 10, "{}", commands.len());
        for (name, command) in commands {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Examples:\n  rdpscope "), "{name} has no example");
            for line in after.lines() {
                assert!(line.chars().count() <= WIDEST, "{name}: {line}");
            }
        }
    }

    #[test]
    fn only_commands_that_exist_are_accepted() {
        assert!(accepts("rdpscope proxy srv10:3390"));
        assert!(!accepts("rdpscope frobnicate srv10"));
        assert!(!accepts("rdpscope proxy srv10 --frobnicate"));
    }

    #[test]
    fn what_verdicts_propose_of_proxy_and_ab_is_accepted() {
        let of_rules = crate::diagnose::rules().flat_map(|rule| rule.next.iter().copied());
        let of_situations = [
            "rdpscope proxy {target} --listen 127.0.0.2:13389 --address {server}",
            "rdpscope proxy {target} --renew-with SERVER.pfx --ca-out ca.pem",
            "rdpscope proxy {target} --cert mirror --nla terminate",
        ];
        let is_there = |it: &&str| {
            ["rdpscope proxy", "rdpscope ab", "rdpscope probe {target} --gateway"]
                .iter()
                .any(|command| it.starts_with(command))
        };
        for command in of_rules.chain(of_situations).filter(is_there) {
            let filled = command.replace("{target}", "srv10").replace("{server}", "10.0.0.5:3389");
            let filled = filled.replace("{gateway}", "gw.corp.example").replace("{host}", "srv10");
            assert!(accepts(&filled), "{filled}");
        }
    }

    #[test]
    fn an_address_is_dialled_on_the_targets_port_unless_it_names_one() {
        for (address, dialled) in [("10.0.0.10", "10.0.0.10:3390"), ("[::1]:3391", "[::1]:3391")] {
            let words = ["rdpscope", "proxy", "srv10:3390", "--address", address];
            let Command::Proxy(proxy) = Arguments::try_parse_from(words).expect("it parses").command else {
                panic!()
            };
            assert_eq!(proxy.address().map(|target| target.to_string()).as_deref(), Some(dialled));
        }
        assert!(Arguments::try_parse_from(["rdpscope", "proxy", "srv10", "--address", "a b"]).is_err());
    }

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "soon", "0s", "-2s", "5"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
