//! What users type after `rdpscope rdp`.

use crate::cli::gateway::gateway;
use crate::rdpfile::Address;
use crate::relay::target::{Target, TargetError};
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct RdpArguments {
    #[command(subcommand)]
    pub(super) command: RdpCommand,
}

const EXAMPLES: &str = "\
Examples:
  rdpscope rdp lint srv10.rdp          what is wrong with it?
  rdpscope rdp retarget srv10.rdp      the same profile, through rdpscope
  rdpscope rdp new srv10 -o srv10.rdp  nothing in it that need not be there: is it the profile?
  rdpscope rdp settings                what the registry of Windows makes of clients and servers";

#[derive(Debug, Subcommand)]
pub(super) enum RdpCommand {
    /// Write a minimal profile
    New(NewArguments),
    /// Find what is wrong with a profile, what that leads to, and what to do
    Lint(LintArguments),
    /// Lead a profile through rdpscope, and say what that changes
    Retarget(RetargetArguments),
    /// The switches of clients and servers in the registry: what they do, what they are now, how to set them and put
    /// them back
    Settings(SettingsArguments),
}

#[derive(Debug, Args)]
#[command(after_help = NEW_EXAMPLES)]
pub(super) struct NewArguments {
    /// The machine: HOST[:PORT] or [IPv6]:PORT
    #[arg(value_parser = target)]
    pub(super) target: Target,
    /// The RD Gateway on the way to it, HOST[:PORT]
    #[arg(long, value_name = "HOST", value_parser = gateway)]
    pub(super) gateway: Option<Target>,
    /// The user: NAME, DOMAIN\NAME or NAME@DOMAIN. There is no way to write a password
    #[arg(long, value_name = "NAME", value_parser = user)]
    pub(super) user: Option<String>,
    /// Where to write it [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long, requires = "output")]
    pub(super) force: bool,
}

const NEW_EXAMPLES: &str = "\
Examples:
  rdpscope rdp new srv10.corp.example -o srv10.rdp
  rdpscope rdp new srv10 --gateway gw.corp.example --user 'CORP\\me' -o srv10.rdp
  rdpscope rdp new 127.0.0.1:13389               through an rdpscope that listens there

It is written in ASCII, which mstsc, FreeRDP and text tools read alike, and in UTF-16
where a name needs that. A profile that works where another does not tells that the
other's settings are to blame: compare the two, or ask `rdpscope rdp lint`.";

#[derive(Debug, Args)]
#[command(after_help = LINT_EXAMPLES)]
pub(super) struct LintArguments {
    /// The profiles; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}

const LINT_EXAMPLES: &str = "\
Examples:
  rdpscope rdp lint srv10.rdp
  rdpscope rdp lint profiles/*.rdp
  rdpscope rdp lint srv10.rdp --json | jq -c 'select(.severity == \"error\")'

It knows the names, types and ranges of settings, which of them contradict each other,
which lead to failures, and whether a signature still fits. Passwords and cookies are
never shown.

Exit codes:
  0    nothing but notes
  1    an error or a warning in one of the files
  2    wrong usage
  3    a file cannot be read";

#[derive(Debug, Args)]
#[command(after_help = RETARGET_EXAMPLES)]
pub(super) struct RetargetArguments {
    /// The profile; - is standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Where rdpscope listens [default: 127.0.0.1:13389, with a gateway in the profile 127.0.0.1:13443]
    #[arg(long, value_name = "ADDR:PORT", value_parser = through)]
    pub(super) through: Option<SocketAddr>,
    /// Keep this name of the server or of its gateway in the profile; a line in the hosts file leads it to rdpscope
    #[arg(long, value_name = "HOST", value_parser = name)]
    pub(super) name: Option<String>,
    /// Where to write it [default: beside FILE, its name with -rdpscope]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Change FILE itself
    #[arg(long, conflicts_with_all = ["output", "force"])]
    pub(super) in_place: bool,
    /// Replace a file that is there
    #[arg(long)]
    pub(super) force: bool,
}

const RETARGET_EXAMPLES: &str = "\
Examples:
  rdpscope rdp retarget srv10.rdp                writes srv10-rdpscope.rdp
  rdpscope rdp retarget srv10.rdp --name srv10.corp.example
                                                 certificate, Kerberos and saved passwords stay
                                                 as they are; needs a line in the hosts file
  rdpscope rdp retarget srv10.rdp --through 127.0.0.2:13389 -o test.rdp

Of a profile with a gateway the gateway's name is replaced, otherwise the server's. Every
other line stays as it is, byte by byte. It prints the command to start first.";

#[derive(Debug, Args)]
#[command(after_help = SETTINGS_EXAMPLES)]
pub(super) struct SettingsArguments {
    /// Only those with this in their name
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,
}

const SETTINGS_EXAMPLES: &str = "\
Examples:
  rdpscope rdp settings
  rdpscope rdp settings udp
  rdpscope rdp settings --json > before.jsonl    how it was, with the commands that put it back

Nothing is changed: the commands are printed. Those below HKLM need an administrator.";

fn target(text: &str) -> Result<Target, TargetError> {
    text.parse()
}

fn user(text: &str) -> Result<String, &'static str> {
    let is_name = !text.trim().is_empty() && text.trim() == text && !text.contains(char::is_control);
    is_name.then(|| text.to_owned()).ok_or("not a user's name; write NAME, DOMAIN\\NAME or NAME@DOMAIN")
}

fn through(text: &str) -> Result<SocketAddr, &'static str> {
    let address = text.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
    let address = address.filter(|address| !address.ip().is_unspecified());
    address.ok_or("not an address that a client can reach; write for example 127.0.0.1:13389 or [::1]:13389")
}

fn name(text: &str) -> Result<String, &'static str> {
    let address = Address::parse(text).ok().filter(|address| address.port.is_none() && !address.is_ip());
    address.map(|address| address.host).ok_or("not a machine's name; write for example srv10.corp.example")
}
