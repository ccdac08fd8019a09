//! The exact commands that make a system trust a CA, and that make it forget that one again.

use std::fmt;
use std::path::{Path, PathBuf};

/// Which way of keeping trusted CAs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Windows: the root store of the current user.
    Windows,
    /// macOS: the login keychain of the current user.
    MacOs,
    /// Debian, Ubuntu and their relatives: all users.
    Debian,
    /// Fedora, RHEL and their relatives: all users.
    Fedora,
    /// Arch and its relatives: all users.
    Arch,
}

/// A program with its arguments, to be run without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// The CA to be trusted or forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedCa {
    /// Its certificate in a PEM file.
    pub file: PathBuf,
    /// Its SHA-1 thumbprint in hexadecimal, by which it is found again.
    pub thumbprint: String,
}

const KEYCHAIN: &str = "login.keychain-db";

impl System {
    /// The family that a Linux belongs to, by its `/etc/os-release`; nothing where it is none of those known here.
    pub fn of_linux(os_release: &str) -> Option<System> {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim().trim_matches(['"', '\''])
        };
        value("ID").split(' ').chain(value("ID_LIKE").split(' ')).find_map(|id| match id {
            "debian" | "ubuntu" => Some(System::Debian),
            "fedora" | "rhel" | "centos" => Some(System::Fedora),
            "arch" => Some(System::Arch),
            _ => None,
        })
    }

    /// Commands after which the system trusts `ca`.
    pub fn trust(self, ca: &TrustedCa) -> Vec<Command> {
        let file = path(&ca.file);
        match self {
            System::Windows => vec![command("certutil", ["-user", "-addstore", "Root", &file])],
            System::MacOs => vec![command(
                "security",
                ["add-trusted-cert", "-r", "trustRoot", "-p", "ssl", "-k", KEYCHAIN, &file],
            )],
            System::Debian | System::Fedora | System::Arch => {
                let installed = self.installed(ca);
                vec![command("sudo", ["install", "-m", "0644", &file, &installed]), self.update()]
            }
        }
    }

    /// Commands after which the system is as before [`System::trust`], and no other CA is touched.
    pub fn untrust(self, ca: &TrustedCa) -> Vec<Command> {
        match self {
            System::Windows => vec![command("certutil", ["-user", "-delstore", "Root", &ca.thumbprint])],
            System::MacOs => vec![
                command("security", ["remove-trusted-cert", &path(&ca.file)]),
                command("security", ["delete-certificate", "-Z", &ca.thumbprint.to_uppercase(), KEYCHAIN]),
            ],
            System::Debian | System::Fedora | System::Arch => {
                vec![command("sudo", ["rm", "--", &self.installed(ca)]), self.update()]
            }
        }
    }

    /// Where the certificate lies on a Linux; the thumbprint keeps apart the CAs of several runs.
    fn installed(self, ca: &TrustedCa) -> String {
        let folder = match self {
            System::Fedora => "/etc/pki/ca-trust/source/anchors",
            System::Arch => "/etc/ca-certificates/trust-source/anchors",
            _ => "/usr/local/share/ca-certificates",
        };
        format!("{folder}/rdpscope-{}.crt", ca.thumbprint)
    }

    fn update(self) -> Command {
        match self {
            // Without --fresh the link to a file that is gone may stay.
            System::Debian => command("sudo", ["update-ca-certificates", "--fresh"]),
            _ => command("sudo", ["update-ca-trust"]),
        }
    }
}

fn command<const COUNT: usize>(program: &'static str, arguments: [&str; COUNT]) -> Command {
    Command { program, arguments: arguments.map(str::to_owned).to_vec() }
}

/// The path, which no program may take for an option.
fn path(path: &Path) -> String {
    let text = path.display().to_string();
    if text.starts_with('-') { format!("./{text}") } else { text }
}

impl fmt::Display for Command {
    /// As it is typed into a shell; quoted where needed, with the quotes that all three systems understand.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.program)?;
        for argument in &self.arguments {
            let plain = argument.chars().all(|it| it.is_ascii_alphanumeric() || "-_./:\\=,+~".contains(it));
            if plain && !argument.is_empty() {
                write!(formatter, " {argument}")?;
            } else {
                write!(formatter, " \"{argument}\"")?;
            }
        }
        Ok(())
    }
}
