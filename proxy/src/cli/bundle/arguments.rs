//! What users type after `rdpscope bundle`.

use crate::cli::Failure;
use crate::redact::Kind;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The flag that must be given twice, because nothing takes back what was sent.
const TWICE: u8 = 2;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct BundleArguments {
    /// Sessions: their folders, the folder of a run, trace.jsonl files, files of probes and experiments, or what --json
    /// wrote; with what lies beside them (certificates, the capture, the .rdp file)
    #[arg(required_unless_present_any = ["verify", "captures"], value_name = "TRACE")]
    pub(super) traces: Vec<PathBuf>,
    /// The file to write
    #[arg(short, long, value_name = "FILE.zip", required_unless_present = "verify")]
    pub(super) output: Option<PathBuf>,
    /// A capture (pcap, pcapng, gzip) from elsewhere; repeatable
    #[arg(long = "capture", value_name = "FILE")]
    pub(super) captures: Vec<PathBuf>,
    /// The client's profile; passwords, tokens and signatures are cut out; repeatable
    #[arg(long = "rdp", value_name = "FILE.rdp")]
    pub(super) rdp_files: Vec<PathBuf>,
    /// Leave these names as they are, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KINDS")]
    pub(super) keep: Vec<KeepArgument>,
    /// Put the TLS secrets of the captures in, too: give it twice, for they open everything, passwords included
    #[arg(long, action = clap::ArgAction::Count)]
    pub(super) secrets: u8,
    /// Hold every file of a bundle against its manifest
    #[arg(long, value_name = "FILE.zip", conflicts_with_all = ["traces", "output", "captures", "rdp_files", "keep", "secrets"])]
    pub(super) verify: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  rdpscope bundle TRACES/20261121-121730-54d0-0001 -o case.zip
                                               everything of one session, names replaced
  rdpscope bundle TRACES -o case.zip --rdp srv10.rdp --keep hosts,addresses
                                               of all sessions, with the client's profile;
                                               names of machines and addresses stay
  rdpscope bundle --capture customer.pcapng -o case.zip
                                               somebody's capture: its attempts, and no more
  rdpscope bundle --verify case.zip            is it as it was made?

Exit codes:
  0    the bundle was made, or is as it was made
  1    a bundle was changed
  2    wrong usage
  3    a file cannot be read or written";

impl BundleArguments {
    /// Whether the secrets go in; once is not enough.
    pub(super) fn with_secrets(&self) -> Result<bool, Failure> {
        match self.secrets {
            0 => Ok(false),
            count if count < TWICE => Err(Failure::usage(
                "--secrets puts keys into the bundle that open everything in its captures, typed passwords too; give it \
                 twice if that is what you want",
            )),
            _ => Ok(true),
        }
    }
}

/// A kind of name that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KeepArgument {
    /// Names of machines
    Hosts,
    /// IP addresses
    Addresses,
    /// Names of users
    Users,
    /// Names of domains
    Domains,
    /// Companies and certificate authorities
    Organisations,
}

impl KeepArgument {
    pub(super) fn kind(self) -> Kind {
        match self {
            KeepArgument::Hosts => Kind::Host,
            KeepArgument::Addresses => Kind::Address,
            KeepArgument::Users => Kind::User,
            KeepArgument::Domains => Kind::Domain,
            KeepArgument::Organisations => Kind::Organisation,
        }
    }
}
