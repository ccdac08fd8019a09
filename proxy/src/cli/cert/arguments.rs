//! What users type after `rdpscope cert`.

use clap::{Args, Subcommand, ValueEnum};
use rdpscope_certs::mode::{CertificateMode, ModeError, Recipe};
use rdpscope_certs::trust::System;
use rdpscope_certs::{Name, NameError};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct CertArguments {
    #[command(subcommand)]
    pub(super) command: CertCommand,
}

const EXAMPLES: &str = "\
Examples:
  rdpscope cert show srv10                     what the server shows, and what a client would mind
  rdpscope cert mint --for srv10 -o srv10.pem  make one
  rdpscope cert trust ca.pem                   the commands after which this system trusts a CA
  rdpscope cert untrust ca.pem                 the commands that undo exactly that";

#[derive(Debug, Subcommand)]
pub(super) enum CertCommand {
    /// Look at the certificate of a server or in a file
    Show(ShowArguments),
    /// Make a certificate with its key
    Mint(Box<MintArguments>),
    /// Print the commands after which this system trusts a CA, or run them
    Trust(TrustArguments),
    /// Print the commands that undo exactly that, or run them; also takes back what killed runs left trusted
    Untrust(UntrustArguments),
}

#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(super) struct ShowArguments {
    /// A file (PEM, DER or PFX) where there is one of that name, else a server: HOST[:PORT] or [IPv6]:PORT
    #[arg(value_name = "FILE|HOST[:PORT]")]
    pub(super) what: String,
    /// Compare with this name instead of HOST
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// The file whose first line is the password of a PFX file
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  rdpscope cert show srv10                     as an RDP client: X.224, then TLS
  rdpscope cert show gw.corp.example:443       TLS at once
  rdpscope cert show 10.0.0.10 --name srv10    is it the one for srv10?
  rdpscope cert show server.pfx --password-file pw.txt

Port 443 gets TLS at once; other ports are asked by X.224 first, and get TLS at
once when they do not answer that. Whether this machine trusts the certificate
and whether it is for the name are two answers. That it is self-signed, as those
are that Windows makes for itself, is a finding and no fault.

Exit codes:
  0    shown, and nothing that clients refuse whoever issued it
  1    shown, and it is expired, not yet valid, for another name, for another usage, or weak
  2    wrong usage
  3    there is no certificate to show";

#[derive(Debug, Args)]
#[command(after_help = MINT_EXAMPLES)]
pub(super) struct MintArguments {
    /// The names that it is for; the first becomes the common name
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = name, conflicts_with = "host")]
    pub(super) names: Vec<Name>,
    /// For clients of HOST that dial it or rdpscope on their own machine: HOST, localhost, 127.0.0.1 and ::1
    #[arg(long = "for", value_name = "HOST", value_parser = name)]
    pub(super) host: Option<Name>,
    /// fresh, mirror, mirror+FIX[,FIX…], expired, not-yet-valid, wrong-name, self-signed, wrong-usage, sha1, weak-key
    /// [default: fresh; mirror with --like]
    #[arg(long = "cert", value_name = "MODE", value_parser = recipe)]
    pub(super) recipe: Option<Recipe>,
    /// The certificate to mirror: a file, or a server to ask for it
    #[arg(long, value_name = "FILE|HOST[:PORT]")]
    pub(super) like: Option<String>,
    /// Sign for this key, for example the server's own, instead of a new one (PEM or PFX)
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// Keep one CA across runs in this folder, so that it is trusted once
    #[arg(long, value_name = "DIR")]
    pub(super) ca: Option<PathBuf>,
    /// Where to write the CA's certificate [default: beside the output, NAME-ca.pem; with --ca in its folder only]
    #[arg(long, value_name = "FILE")]
    pub(super) ca_out: Option<PathBuf>,
    /// The file whose first line is the password of every PFX file here
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    pub(super) force: bool,
    /// Where to write chain and key: .pem (key in clear) or .pfx (with --password-file)
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: PathBuf,
}

const MINT_EXAMPLES: &str = "\
Examples:
  rdpscope cert mint --for srv10.corp.example -o srv10.pem
  rdpscope cert mint --for srv10 --cert expired -o expired.pem
  rdpscope cert mint --like srv10 --cert mirror+dates -o same-but-valid.pem
  rdpscope cert mint --names srv10.corp.example,srv10 --ca ./ca \\
      --password-file pw.txt -o srv10.pfx

A CA that is made for one certificate ends after a day, and its key is not kept;
one in --ca DIR lasts 90 days. Either may sign for these names and what is below
them, and for nothing else.";

#[derive(Debug, Args)]
#[command(after_help = TRUST_EXAMPLES)]
pub(super) struct TrustArguments {
    /// The CA's certificate in PEM, or the folder of `--ca`
    #[arg(value_name = "FILE|DIR")]
    pub(super) ca: PathBuf,
    /// Print the commands of this system instead of those of the one that this runs on
    #[arg(long, value_enum, value_name = "SYSTEM")]
    pub(super) system: Option<SystemArgument>,
    /// Run the commands, one after the other, without a shell
    #[arg(long, conflicts_with = "system")]
    pub(super) run: bool,
}

const TRUST_EXAMPLES: &str = "\
Examples:
  rdpscope cert trust ca.pem                     prints the commands
  rdpscope cert trust ./ca --run                 runs them
  rdpscope cert trust ca.pem --system windows    for the machine of the client
  rdpscope cert untrust ./ca --run               as it was before

On Windows and macOS the current user trusts the CA, on Linux all users do.
Windows asks whether it may: the answer is Yes. FreeRDP sees what Linux trusts
where it uses the system's OpenSSL, not as a Flatpak or Snap; what it was once
told to accept stands in its own known_hosts2, which nothing here changes.

For one run alone: proxy and ab take --trust-ca, and forget the CA at their end.";

#[derive(Debug, Args)]
#[command(after_help = UNTRUST_EXAMPLES)]
pub(super) struct UntrustArguments {
    /// The CA's certificate in PEM, or the folder of `--ca`; without it only what killed runs left trusted is taken back
    #[arg(value_name = "FILE|DIR")]
    pub(super) ca: Option<PathBuf>,
    /// Print the commands of this system instead of those of the one that this runs on
    #[arg(long, value_enum, value_name = "SYSTEM", requires = "ca")]
    pub(super) system: Option<SystemArgument>,
    /// Run the commands, one after the other, without a shell
    #[arg(long, conflicts_with = "system", requires = "ca")]
    pub(super) run: bool,
}

const UNTRUST_EXAMPLES: &str = "\
Examples:
  rdpscope cert untrust ./ca                     prints the commands
  rdpscope cert untrust ./ca --run               as it was before
  rdpscope cert untrust                          after a run with --trust-ca that was killed

A CA is found by its SHA-1 thumbprint alone, and no other is touched. What a
killed run left trusted is taken back by whatever comes next: proxy, ab, run or
this.";

/// A way of keeping trusted CAs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SystemArgument {
    /// The root store of the current user
    Windows,
    /// The login keychain of the current user
    Macos,
    /// Debian, Ubuntu and their relatives
    Debian,
    /// Fedora, RHEL and their relatives
    Fedora,
    /// Arch and its relatives
    Arch,
}

impl From<SystemArgument> for System {
    fn from(argument: SystemArgument) -> System {
        match argument {
            SystemArgument::Windows => System::Windows,
            SystemArgument::Macos => System::MacOs,
            SystemArgument::Debian => System::Debian,
            SystemArgument::Fedora => System::Fedora,
            SystemArgument::Arch => System::Arch,
        }
    }
}

fn name(text: &str) -> Result<Name, NameError> {
    text.parse()
}

fn recipe(text: &str) -> Result<Recipe, String> {
    match text.parse().map_err(|error: ModeError| error.to_string())? {
        CertificateMode::Mint(recipe) => Ok(recipe),
        CertificateMode::Passthrough | CertificateMode::File(_) => {
            Err(format!("{text:?} makes no certificate; write for example fresh, mirror+dates or expired"))
        }
    }
}
