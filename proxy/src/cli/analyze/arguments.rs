//! The arguments of `rdpscope analyze`.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct AnalyzeArguments {
    /// Captures: pcap or pcapng, also with gzip; - is standard input
    #[arg(required = true, value_name = "CAPTURE")]
    pub(super) captures: Vec<PathBuf>,
    /// TLS secrets as programs write them where SSLKEYLOGFILE names a file; those inside a pcapng are found by themselves
    #[arg(long, value_name = "FILE")]
    pub(super) keylog: Vec<PathBuf>,
    /// The server's private RSA key (PEM, DER or PFX), for sessions with RSA key exchange
    #[arg(long, value_name = "FILE")]
    pub(super) key: Vec<PathBuf>,
    /// Read the password of --key from the first line of this file
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) key_password_file: Option<PathBuf>,
    /// A gateway's name or address: connections to it are attempts even where their TLS cannot be decrypted
    #[arg(long, value_name = "HOST[:PORT]")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) gateway: Vec<String>,
    /// Write each attempt below this folder, as a live session is recorded
    #[arg(long, value_name = "DIR")]
    pub(super) trace: Option<PathBuf>,
    /// Show every attempt in full, not only those that failed
    #[arg(long)]
    pub(super) all: bool,
}

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  rdpscope analyze customer.pcapng
  rdpscope analyze customer.pcapng --keylog keys.log
  rdpscope analyze *.pcapng --json > attempts.jsonl

Exit codes:
  0    every attempt in the captures is healthy
  1    an attempt failed
  3    a capture could not be read, or none has Remote Desktop in it";
