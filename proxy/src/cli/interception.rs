//! The flags with which `proxy` terminates TLS, checked and made into what it takes.

use super::cert::fetch::fetch;
use super::cert::password;
use super::output::Output;
use super::{Exit, Failure};
use crate::alter::Alterations;
#[cfg(feature = "nla")]
use crate::intercept::credssp::{Credentials, CredentialsError};
use crate::intercept::presenter::{PresenterError, PresenterSettings, names_in_use};
use crate::intercept::settings::{Interception, InterceptionSettings, Nla, NlaMode};
use crate::intercept::tls::{Roots, VersionRange, VersionRangeError};
use crate::relay::session::Route;
use crate::relay::target::Target;
use crate::relay::udp::UdpMode;
use clap::Args;
use rdpscope_certs::authority::{Authority, Kept, KeptBecause};
use rdpscope_certs::load::LoadError;
use rdpscope_certs::mode::{CertificateMode, ModeError, Recipe};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What the client is shown")]
pub(super) struct InterceptionArguments {
    /// Certificate to show the client: passthrough (the server's own, TLS is not touched), fresh, mirror,
    /// mirror+FIX[,FIX…] with FIX one of dates, names, issuer, usage, strength; expired, not-yet-valid, wrong-name,
    /// self-signed, wrong-usage, sha1, weak-key; file:PATH [default: passthrough, or fresh with --renew-with]
    #[arg(long, value_name = "MODE", value_parser = certificate_mode)]
    pub(super) cert: Option<CertificateMode>,
    /// Sign for the server's own key (PEM or PFX), which leaves NLA intact
    #[arg(long, value_name = "FILE")]
    pub(super) renew_with: Option<PathBuf>,
    /// Read the password of --renew-with or --cert file: from the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Write the certificate of the session CA here before listening, so that clients can be made to trust it
    #[arg(long, value_name = "FILE")]
    pub(super) ca_out: Option<PathBuf>,
    /// Keep one CA across runs in this folder, so that it has to be trusted only once
    #[arg(long, value_name = "DIR")]
    pub(super) ca: Option<PathBuf>,
    /// Trust the session CA on this machine for as long as this run lasts; a run that was killed is cleaned up by the next
    #[arg(long)]
    pub(super) trust_ca: bool,
    /// Network level authentication: relay it, strip it from what the client offers, or terminate it on both legs
    #[arg(long, value_enum, default_value_t = NlaMode::Relay, value_name = "MODE")]
    pub(super) nla: NlaMode,
    /// Logon for --nla terminate: a file with lines `username = …` and `password = …`, for Kerberos also `realm = …` and
    /// `kdc = …`, and with clients `keytab = FILE` with the key of TERMSRV/host; without it they are asked for
    #[arg(long, value_name = "FILE")]
    pub(super) credentials: Option<PathBuf>,
    /// TLS versions offered to the server, for example 1.2..1.3 or 1.0 [default: those the client offers]
    #[arg(long, value_name = "MIN..MAX", value_parser = version_range)]
    pub(super) tls: Option<VersionRange>,
}

pub(super) fn certificate_mode(text: &str) -> Result<CertificateMode, ModeError> {
    text.parse()
}

fn version_range(text: &str) -> Result<VersionRange, String> {
    text.parse().map_err(|error: VersionRangeError| error.to_string())
}

impl InterceptionArguments {
    /// Whether TLS is terminated, and with which certificate.
    pub(super) fn mode(&self) -> CertificateMode {
        match (&self.cert, &self.renew_with) {
            (Some(mode), _) => mode.clone(),
            (None, Some(_)) => CertificateMode::Mint(Recipe::Fresh),
            (None, None) => CertificateMode::Passthrough,
        }
    }

    /// The settings, where TLS is to be terminated.
    pub(super) fn settings(
        &self,
        target: &Target,
        address: Option<&Target>,
        listen: SocketAddr,
        udp: UdpMode,
    ) -> Result<Option<InterceptionSettings>, Failure> {
        let mode = self.mode();
        if mode == CertificateMode::Passthrough {
            return self.refuse_without_termination().map(|()| None);
        }
        self.refuse_contradictions(&mode)?;
        let nla = self.nla()?;
        let password = password::read(self.password_file.as_deref())?;
        Ok(Some(InterceptionSettings {
            presenter: PresenterSettings {
                mode,
                server_name: target.host.clone(),
                names: names_in_use(&target.host, address.map(|address| address.host.as_str()), listen.ip()),
                authority: None,
                shares_with: None,
                keep_in: self.ca.clone(),
                renew_with: self.renew_with.clone(),
                password,
            },
            nla,
            alterations: Alterations { strip_nla: self.nla == NlaMode::Strip, udp_off: udp == UdpMode::Off },
            versions: self.tls,
            server_name: target.host.clone(),
        }))
    }

    /// What becomes of NLA; asks for the logon where it is needed and not in a file.
    fn nla(&self) -> Result<Nla, Failure> {
        match (self.nla, &self.credentials) {
            (NlaMode::Relay | NlaMode::Strip, Some(_)) => {
                Err(Failure::usage("--credentials is for --nla terminate; leave it out, or add that"))
            }
            (NlaMode::Relay, None) => Ok(Nla::Relay),
            (NlaMode::Strip, None) => Ok(Nla::Strip),
            (NlaMode::Terminate, file) => terminated_nla(file.as_deref()),
        }
    }

    /// Flags that mean nothing while the server's own TLS passes through.
    fn refuse_without_termination(&self) -> Result<(), Failure> {
        let given = [
            (self.ca_out.is_some(), "--ca-out"),
            (self.ca.is_some(), "--ca"),
            (self.trust_ca, "--trust-ca"),
            (self.renew_with.is_some(), "--renew-with"),
            (self.password_file.is_some(), "--password-file"),
            (self.nla != NlaMode::Relay, "--nla"),
            (self.credentials.is_some(), "--credentials"),
            (self.tls.is_some(), "--tls"),
        ];
        match given.into_iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) => Err(Failure::usage(format!(
                "{flag} needs TLS to end in rdpscope: add --cert with another mode than passthrough, for example \
                 --cert fresh"
            ))),
            None => Ok(()),
        }
    }

    fn refuse_contradictions(&self, mode: &CertificateMode) -> Result<(), Failure> {
        let CertificateMode::File(_) = mode else { return Ok(()) };
        let given = [
            (self.ca_out.is_some(), "--ca-out"),
            (self.ca.is_some(), "--ca"),
            (self.trust_ca, "--trust-ca"),
            (self.renew_with.is_some(), "--renew-with"),
        ];
        match given.into_iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) => Err(Failure::usage(format!(
                "{flag} makes no sense with --cert file:, whose certificate and key are in the file already; leave \
                 one of them out"
            ))),
            None => Ok(()),
        }
    }

    /// What shapes a session, as the trace shows it.
    pub(super) fn show(&self, shown: &mut Map<String, Value>) {
        let mode = self.mode();
        shown.insert("cert".to_owned(), json!(mode.to_string()));
        if mode == CertificateMode::Passthrough {
            return;
        }
        shown.insert("nla".to_owned(), json!(self.nla.word()));
        if let Some(versions) = &self.tls {
            shown.insert("tls".to_owned(), json!(versions.to_string()));
        }
        if let Some(path) = &self.renew_with {
            shown.insert("renew_with".to_owned(), json!(path.display().to_string()));
        }
    }
}

#[cfg(feature = "nla")]
fn terminated_nla(file: Option<&Path>) -> Result<Nla, Failure> {
    let credentials = match file {
        Some(file) => Credentials::from_file(file).map_err(Failure::not_done),
        None => Credentials::prompt().map_err(|error| match error {
            CredentialsError::NoTerminal => Failure::usage(error),
            CredentialsError::Prompt(reason) if reason.kind() == std::io::ErrorKind::Interrupted => Failure {
                exit: Exit::Interrupted,
                sentence: "interrupted at the question for the password".to_owned(),
            },
            error => Failure::not_done(error),
        }),
    };
    credentials.map(Nla::Terminate)
}

#[cfg(not(feature = "nla"))]
fn terminated_nla(_file: Option<&Path>) -> Result<Nla, Failure> {
    Err(Failure::usage(
        "--nla terminate is not in this build (feature `nla`); --renew-with keeps NLA intact without it",
    ))
}

/// Makes ready what is terminated with a gateway and, where that is asked for, inside the tunnel; one CA signs for both.
pub(super) async fn make_both_ready(
    mut settings: InterceptionSettings,
    inner: Option<InterceptionSettings>,
    route: &Route,
    ca_out: Option<&Path>,
    output: &Output,
) -> Result<(Interception, Option<Interception>), Failure> {
    let Some(mut inner) = inner else {
        return make_ready(settings, route, ca_out, output).await.map(|outer| (outer, None));
    };
    if let CertificateMode::File(_) = settings.presenter.mode {
        // The only CA is then that of the tunnel.
        let outer = make_ready_for(settings, &[], None, output).await?;
        let kept_file = inner.presenter.keep_in.as_deref().map(Authority::certificate_file);
        let inner = make_ready_for(inner, &[], ca_out, output).await?;
        say_authority(&inner, ca_out.map(Path::to_owned).or(kept_file).as_deref(), output);
        return Ok((outer, Some(inner)));
    }
    settings.presenter.shares_with = Some(Box::new(inner.presenter.clone()));
    let outer = make_ready(settings, route, ca_out, output).await?;
    inner.presenter.authority = outer.presenter.authority().cloned();
    let inner = make_ready_for(inner, &[], None, output).await?;
    Ok((outer, Some(inner)))
}

/// Makes ready what all sessions share, writes the CA's certificate where it is wanted, and says what the client needs
/// to know of it.
pub(super) async fn make_ready(
    settings: InterceptionSettings,
    route: &Route,
    ca_out: Option<&Path>,
    output: &Output,
) -> Result<Interception, Failure> {
    let kept_file = settings.presenter.keep_in.as_deref().map(Authority::certificate_file);
    let chain = if settings.wants_server_chain() { server_chain(route, output).await } else { Vec::new() };
    let interception = make_ready_for(settings, &chain, ca_out, output).await?;
    say_authority(&interception, ca_out.map(Path::to_owned).or(kept_file).as_deref(), output);
    Ok(interception)
}

/// Only what is nothing but certificates is written over: an older one of the same.
fn refuse_what_is_no_certificate(path: &Path) -> Result<(), Failure> {
    let is_file = path.metadata().is_ok_and(|it| it.is_file());
    let there = if is_file { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
    let text = String::from_utf8_lossy(&there);
    let is_certificate = text.starts_with("-----BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY");
    match text.is_empty() || is_certificate {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "{} holds something else than a CA's certificate, which would be lost; name another file with --ca-out",
            path.display()
        ))),
    }
}

/// The same where the server's certificates are known; says nothing of a CA that was there before.
pub(super) async fn make_ready_for(
    settings: InterceptionSettings,
    chain: &[Vec<u8>],
    ca_out: Option<&Path>,
    output: &Output,
) -> Result<Interception, Failure> {
    let now = jiff::Timestamp::now().as_second();
    // What judges a server's certificate is read from hundreds of files.
    let roots = tokio::task::spawn_blocking(Roots::of_this_machine);
    let (interception, kept) = Interception::new(settings, chain, now).map_err(unusable)?;
    interception.presenter.prepare(chain).map_err(Failure::not_done)?;
    roots.await.map_err(Failure::not_done)?;
    let Some(authority) = interception.presenter.authority() else { return Ok(interception) };
    if let Some(path) = ca_out {
        refuse_what_is_no_certificate(path)?;
        std::fs::write(path, authority.certificate_pem()).map_err(|error| {
            Failure::not_done(format!(
                "cannot write the CA's certificate to {}: {error}; name another file with --ca-out",
                path.display()
            ))
        })?;
    }
    if let Some(Kept::Created(because)) = kept {
        let because = match because {
            KeptBecause::None => "there was none",
            KeptBecause::Expired => "the one that was there has expired",
            KeptBecause::OtherNames => "the one that was there may not sign for all of these names",
        };
        output.progress(&format!(
            "a new CA was made, as {because}: whoever trusted an older one has to trust this one"
        ));
    }
    Ok(interception)
}

/// Says which CA clients have to trust, and in which file it is.
pub(super) fn say_authority(interception: &Interception, ca_file: Option<&Path>, output: &Output) {
    let Some(authority) = interception.presenter.authority() else { return };
    let thumbprint = authority.thumbprint();
    output.progress(&match ca_file {
        Some(path) => format!(
            "the session CA is in {} (SHA-1 thumbprint {thumbprint}): clients that do not trust it refuse what it signs",
            path.display()
        ),
        None => format!(
            "clients do not know the session CA (SHA-1 thumbprint {thumbprint}); --ca-out FILE writes its certificate \
             for them to trust"
        ),
    });
}

/// No certificate can be made or served, with the flag that helps.
fn unusable(error: PresenterError) -> Failure {
    match error {
        PresenterError::Load { source: LoadError::PasswordNeeded, .. } => {
            Failure::not_done(format!("{error}; give it with --password-file FILE"))
        }
        error => Failure::not_done(error),
    }
}

/// The server's certificates before the first client comes; empty where they cannot be had, which the first session
/// will show more of.
pub(super) async fn server_chain(route: &Route, output: &Output) -> Vec<Vec<u8>> {
    if route.upstream_proxy.is_some() {
        // What fetches it takes no proxy, and past the proxy it might be another server's.
        output.progress("the server's certificate is not fetched through the upstream proxy before the first client comes");
        return Vec::new();
    }
    match fetch(route.address.as_ref().unwrap_or(&route.target), |_| {}).await {
        Ok(fetched) => fetched.chain,
        Err(error) => {
            output.progress(&format!(
                "the server's certificate could not be had before the first client comes: {error}; the session CA may \
                 then not sign for the names in it"
            ));
            Vec::new()
        }
    }
}
