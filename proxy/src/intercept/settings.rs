//! How TLS is terminated, once for all sessions of a run.

use super::presenter::{Presenter, PresenterError, PresenterSettings};
use super::tls::VersionRange;
use crate::alter::Alterations;
use rdpscope_certs::authority::Kept;
use rdpscope_certs::mode::{CertificateMode, Recipe};
use std::sync::OnceLock;

/// What becomes of network level authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum NlaMode {
    /// It is relayed as it is
    Relay,
    /// It is taken out of what the client offers
    Strip,
    /// rdpscope logs on by itself, on both legs
    Terminate,
}

impl NlaMode {
    /// As `--nla` takes it.
    pub fn word(self) -> &'static str {
        match self {
            NlaMode::Relay => "relay",
            NlaMode::Strip => "strip",
            NlaMode::Terminate => "terminate",
        }
    }
}

/// The same with what it takes.
#[derive(Debug, Clone)]
pub enum Nla {
    /// See [`NlaMode::Relay`].
    Relay,
    /// See [`NlaMode::Strip`].
    Strip,
    /// See [`NlaMode::Terminate`].
    #[cfg(feature = "nla")]
    Terminate(super::credssp::Credentials),
}

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct InterceptionSettings {
    /// Certificates.
    pub presenter: PresenterSettings,
    /// `--nla`.
    pub nla: Nla,
    /// Changes to what is relayed.
    pub alterations: Alterations,
    /// `--tls`: versions offered to the server; those that the client offers where it is not given.
    pub versions: Option<VersionRange>,
    /// The name that the server is asked for in TLS.
    pub server_name: String,
}

/// The same, ready for sessions.
#[derive(Debug)]
pub struct Interception {
    /// Makes certificates.
    pub presenter: Presenter,
    /// `--nla`.
    pub nla: Nla,
    /// Changes to what is relayed.
    pub alterations: Alterations,
    /// `--tls`.
    pub versions: Option<VersionRange>,
    /// The name that the server is asked for in TLS.
    pub server_name: String,
    /// What the server needs of the second TLS stack, once a session has found out.
    legacy: OnceLock<String>,
}

impl InterceptionSettings {
    /// Whether the session CA has to know the server's certificate: one that mirrors it carries its names.
    pub fn wants_server_chain(&self) -> bool {
        matches!(self.presenter.mode, CertificateMode::Mint(Recipe::Mirror(_)))
    }
}

impl Interception {
    /// Makes ready what all sessions share. `server_chain`: DER, end entity first, empty where it is not known; `now`
    /// in seconds since 1970. Says how a CA that is kept came to be.
    pub fn new(
        settings: InterceptionSettings,
        server_chain: &[Vec<u8>],
        now: i64,
    ) -> Result<(Interception, Option<Kept>), PresenterError> {
        let (presenter, kept) = Presenter::new(settings.presenter, server_chain, now)?;
        let interception = Interception {
            presenter,
            nla: settings.nla,
            alterations: settings.alterations,
            versions: settings.versions,
            server_name: settings.server_name,
            legacy: OnceLock::new(),
        };
        Ok((interception, kept))
    }

    /// What the server needs of the second TLS stack, where a session of this run has found that it does.
    pub fn legacy_need(&self) -> Option<String> {
        self.legacy.get().cloned()
    }

    /// Later sessions begin with the second TLS stack.
    pub fn remember_legacy(&self, need: String) {
        // A session beside this one may have found the same.
        let _ = self.legacy.set(need);
    }

    /// What to do where NLA would fail because the client sees another key than the server's; `is_inside_tunnel`: it is the
    /// NLA inside the tunnel of a gateway, which has flags of its own.
    pub fn ways_round_key_binding(&self, is_inside_tunnel: bool) -> Vec<String> {
        if is_inside_tunnel {
            return vec![
                "--inner-cert file:SERVER.pfx shows the server's own certificate with its key, and NLA works on".to_owned(),
                "--inner-nla terminate with the user's name and password logs on by itself on both legs".to_owned(),
                "--inner-nla strip leaves NLA out, where server and client allow that".to_owned(),
            ];
        }
        let mode = match self.presenter.mode() {
            CertificateMode::Mint(recipe) => recipe.to_string(),
            CertificateMode::Passthrough | CertificateMode::File(_) => Recipe::Fresh.to_string(),
        };
        vec![
            format!("--renew-with PFX --cert {mode} signs for the server's own key, and NLA works on"),
            "--nla terminate with the user's name and password logs on by itself on both legs".to_owned(),
            "--nla strip leaves NLA out, where server and client allow that".to_owned(),
        ]
    }
}
