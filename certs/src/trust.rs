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

/// How it shows whether a system was told to trust a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It was where this file is.
    File(PathBuf),
    /// It was where this succeeds and what it prints has these words in it, in capitals or not.
    Command {
        /// What to run.
        command: Command,
        /// The words; none where success says it.
        says: String,
    },
}

const CERTUTIL: &str = "certutil";
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
            System::Windows => vec![command(CERTUTIL, ["-user", "-addstore", "Root", &file])],
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
            System::Windows => vec![command(CERTUTIL, ["-user", "-delstore", "Root", &ca.thumbprint])],
            System::MacOs => vec![
                command("security", ["remove-trusted-cert", &path(&ca.file)]),
                command("security", ["delete-certificate", "-Z", &ca.thumbprint.to_uppercase(), KEYCHAIN]),
            ],
            System::Debian | System::Fedora | System::Arch => {
                vec![command("sudo", ["rm", "--", &self.installed(ca)]), self.update()]
            }
        }
    }

    /// Where to look whether `ca` was made a trusted one by [`System::trust`].
    pub fn lookup(self, ca: &TrustedCa) -> Lookup {
        match self {
            System::Windows => Lookup::Command {
                command: command(CERTUTIL, ["-user", "-store", "Root", &ca.thumbprint]),
                says: String::new(),
            },
            System::MacOs => Lookup::Command {
                command: command("security", ["find-certificate", "-a", "-Z", KEYCHAIN]),
                says: ca.thumbprint.clone(),
            },
            System::Debian | System::Fedora | System::Arch => Lookup::File(self.installed(ca).into()),
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
    /// As it is typed into a shell of the system that the program belongs to.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.program)?;
        for argument in &self.arguments {
            let plain = argument.chars().all(|it| it.is_ascii_alphanumeric() || "-_./:=,+~".contains(it));
            if plain && !argument.is_empty() {
                write!(formatter, " {argument}")?;
            } else if self.program == CERTUTIL {
                write!(formatter, " \"{argument}\"")?;
            } else {
                write!(formatter, " '{}'", argument.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{as_text, authority};

    fn ca() -> TrustedCa {
        TrustedCa { file: "/tmp/my ca.pem".into(), thumbprint: "ab12".to_owned() }
    }

    fn typed(commands: &[Command]) -> Vec<String> {
        commands.iter().map(Command::to_string).collect()
    }

    #[test]
    fn windows_and_macos_trust_for_the_user() {
        let windows = TrustedCa { file: r"C:\rdp scope\ca.pem".into(), thumbprint: "ab12".to_owned() };
        assert_eq!(
            typed(&System::Windows.trust(&windows)),
            [r#"certutil -user -addstore Root "C:\rdp scope\ca.pem""#]
        );
        assert_eq!(typed(&System::Windows.untrust(&windows)), ["certutil -user -delstore Root ab12"]);
        assert_eq!(
            typed(&System::MacOs.trust(&ca())),
            ["security add-trusted-cert -r trustRoot -p ssl -k login.keychain-db '/tmp/my ca.pem'"]
        );
        assert_eq!(
            typed(&System::MacOs.untrust(&ca())),
            [
                "security remove-trusted-cert '/tmp/my ca.pem'",
                "security delete-certificate -Z AB12 login.keychain-db"
            ]
        );
    }

    #[test]
    fn linux_removes_what_it_installed() {
        assert_eq!(
            typed(&System::Debian.trust(&ca())),
            [
                "sudo install -m 0644 '/tmp/my ca.pem' /usr/local/share/ca-certificates/rdpscope-ab12.crt",
                "sudo update-ca-certificates --fresh"
            ]
        );
        for system in [System::Debian, System::Fedora, System::Arch] {
            let (trust, untrust) = (system.trust(&ca()), system.untrust(&ca()));
            assert_eq!(untrust[0].arguments.last(), trust[0].arguments.last(), "{system:?}");
            assert_eq!(untrust[0].arguments[..2], ["rm", "--"]);
            assert_eq!(untrust[1], trust[1]);
        }
    }

    #[test]
    fn linux_families_are_told_apart() {
        assert_eq!(System::of_linux("NAME=\"Debian GNU/Linux\"\nID=debian\n"), Some(System::Debian));
        assert_eq!(System::of_linux("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Some(System::Debian));
        assert_eq!(System::of_linux("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Some(System::Fedora));
        assert_eq!(System::of_linux("ID=manjaro\nID_LIKE=arch\n"), Some(System::Arch));
        assert_eq!(System::of_linux("ID_LIKE_NOT=debian\nID=alpine\n"), None);
        assert_eq!(System::of_linux(""), None);
    }

    #[test]
    fn what_is_typed_is_one_argument_each() {
        let odd = TrustedCa { file: "-it's $(x).pem".into(), thumbprint: String::new() };
        assert!(System::MacOs.trust(&odd)[0].to_string().ends_with(r"'./-it'\''s $(x).pem'"));
    }

    #[test]
    fn it_is_looked_for_by_its_thumbprint_alone() {
        for system in [System::Windows, System::MacOs, System::Debian, System::Fedora, System::Arch] {
            let words = match system.lookup(&ca()) {
                Lookup::File(file) => {
                    let installed = system.trust(&ca())[0].arguments.last().cloned();
                    assert_eq!(Some(as_text(&file)), installed.as_deref());
                    as_text(&file).to_owned()
                }
                Lookup::Command { command, says } => format!("{command} {says}"),
            };
            assert!(words.contains("ab12") && !words.contains("my ca"), "{words}");
        }
    }

    /// The install command, without the rights of root, with the real program, and what undoes it.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_commands_run() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let authority = authority(&["host.example"]);
        std::fs::write(&file, authority.certificate_pem()).unwrap();
        let installed = dir.path().join("installed.crt");
        let ca = TrustedCa { file, thumbprint: authority.thumbprint() };
        let run = |command: &Command| {
            let mut arguments = command.arguments.clone();
            *arguments.last_mut().unwrap() = as_text(&installed).to_owned();
            std::process::Command::new(&arguments[0]).args(&arguments[1..]).status().unwrap().success()
        };
        assert!(run(&System::Debian.trust(&ca)[0]));
        assert_eq!(std::fs::read_to_string(&installed).unwrap(), authority.certificate_pem());
        assert!(run(&System::Debian.untrust(&ca)[0]));
        assert!(!installed.exists());
    }
}
