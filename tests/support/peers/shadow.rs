//! FreeRDP's shadow server: the only packaged server that speaks NLA, and classic RDP without encryption.

use super::{FreeRdp, xvfb::Xvfb};
use crate::support::certificates::{Certificate, certificates};
use crate::support::left_out::program;
use crate::support::process::Process;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// The one account that the server knows.
pub(crate) const USER: &str = "test";
/// Its password.
pub(crate) const PASSWORD: &str = "Right-1234";

/// The security protocol it insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShadowSecurity {
    /// CredSSP over TLS.
    Nla,
    /// TLS without CredSSP.
    Tls,
    /// Classic RDP security, here without encryption.
    Rdp,
    /// None: it takes NLA where the client offers it, and TLS otherwise.
    Any,
    /// The same, and NLA lets in only who knows the password; TLS alone lets in anybody.
    AnyWithLogon,
}

/// A running shadow server with its display.
#[derive(Debug)]
pub(crate) struct Shadow {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _process: Process,
    _display: Arc<Xvfb>,
    _home: TempDir,
}

impl Shadow {
    /// The programs that a server of `version` needs.
    pub(crate) fn programs(version: FreeRdp) -> [&'static str; 3] {
        match version {
            FreeRdp::Two => ["freerdp-shadow-cli", "winpr-hash", "Xvfb"],
            FreeRdp::Three => ["freerdp-shadow-cli3", "winpr-hash3", "Xvfb"],
        }
    }

    /// Starts it with a good certificate and waits until it listens.
    pub(crate) fn start(version: FreeRdp, security: ShadowSecurity) -> Self {
        Self::start_as(version, security, &certificates().signed, |_| ())
    }

    /// The same with this certificate.
    pub(crate) fn start_with(version: FreeRdp, security: ShadowSecurity, certificate: &Certificate) -> Self {
        Self::start_as(version, security, certificate, |_| ())
    }

    /// Starts FreeRDP 3's for NLA as a member of `realm`: it takes tickets for the realm's service, and NTLM.
    #[cfg(feature = "nla")]
    pub(crate) fn start_in(realm: &super::Realm) -> Self {
        Self::start_as(FreeRdp::Three, ShadowSecurity::Nla, &certificates().signed, |command| {
            command.arg(format!("/keytab:{}", realm.keytab().display())).envs(realm.environment());
        })
    }

    fn start_as(
        version: FreeRdp,
        security: ShadowSecurity,
        certificate: &Certificate,
        add: impl FnOnce(&mut Command),
    ) -> Self {
        let home = TempDir::new().expect("a temporary folder is made");
        let [server, hash, _] = Self::programs(version);
        // Where it looks for its certificate is fixed.
        let settings = home.path().join(".config/freerdp/shadow");
        std::fs::create_dir_all(&settings).expect("its settings folder is made");
        std::fs::copy(&certificate.certificate_file, settings.join("shadow.crt"))
            .expect("its certificate is copied");
        std::fs::copy(&certificate.key_file, settings.join("shadow.key")).expect("its key is copied");
        let sam = home.path().join("sam");
        std::fs::write(&sam, account(hash)).expect("its accounts are written");

        let display = Xvfb::shared();
        let port = super::free_port();
        let mut command = super::command(server, home.path());
        command.env("DISPLAY", &display.display).env("WLOG_LEVEL", "INFO");
        command.arg(format!("/port:{port}")).arg("/bind-address:127.0.0.1");
        command.arg(format!("/sam-file:{}", sam.display()));
        command.args(match security {
            ShadowSecurity::Nla => &["/sec:nla", "+auth"][..],
            ShadowSecurity::Tls => &["/sec:tls", "-auth"],
            ShadowSecurity::Rdp => &["/sec:rdp", "-auth"],
            ShadowSecurity::Any => &["-auth"],
            ShadowSecurity::AnyWithLogon => &["+auth"],
        });
        add(&mut command);
        let mut process = Process::spawn(command);
        super::wait_until_listening(&mut process, port);
        Shadow {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            _process: process,
            _display: display,
            _home: home,
        }
    }
}

/// The line of a SAM file for the one account.
fn account(hash: &str) -> Vec<u8> {
    let hash = program(hash).expect("winpr-hash is installed, or the test was left out");
    let made =
        Command::new(hash).args(["-u", USER, "-p", PASSWORD, "-f", "sam"]).output().expect("winpr-hash runs");
    assert!(made.status.success(), "winpr-hash failed: {}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}
