//! The settings of each arm, made of those that the user gave; one CA for all of them, so that it is trusted once.

use crate::alter::impair::Impairments;
use crate::cli::arguments::ProxyArguments;
use crate::cli::interception::{make_ready_for, say_authority, server_chain};
use crate::cli::output::Output;
use crate::cli::{Failure, proxy};
use crate::experiment::{Arm, ArmSettings, Attempt, Factor};
use crate::intercept::settings::{Interception, InterceptionSettings, Nla, NlaMode};
use crate::relay::listener::Settings;
use crate::relay::udp::UdpMode;
use clap::ValueEnum;
use rdpscope_certs::authority::Authority;
use rdpscope_certs::mode::{CertificateMode, Recipe};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Makes the settings of attempts.
pub(super) struct Arms {
    given: ProxyArguments,
    vary: Factor,
    /// How TLS is terminated, apart from what an arm changes: read once, as a password may be asked for.
    interception: Option<InterceptionSettings>,
    /// The same inside the tunnel of a gateway.
    inside: Option<InterceptionSettings>,
    /// The server's certificates, where copies of them are made.
    chain: Vec<Vec<u8>>,
    authority: Option<Arc<Authority>>,
    /// Whether the user knows of it.
    is_said: bool,
    /// By the arm's name; empty for the one that all share.
    made: HashMap<String, Arc<Interception>>,
    /// By the arm's name.
    made_inside: HashMap<String, Arc<Interception>>,
    output: Output,
}

impl Arms {
    /// Makes everything ready that the first attempts need, and writes the CA's certificate where it is wanted.
    pub(super) async fn prepare(
        given: ProxyArguments,
        vary: Factor,
        arms: &[Arm],
        output: &Output,
    ) -> Result<Arms, Failure> {
        let output = output.clone();
        let mut prepared = Arms {
            given,
            vary,
            interception: None,
            inside: None,
            chain: Vec::new(),
            authority: None,
            is_said: false,
            made: HashMap::new(),
            made_inside: HashMap::new(),
            output,
        };
        if vary == Factor::Cert {
            prepared.chain = server_chain(&prepared.route(), &prepared.output).await;
        }
        // The CA has to know what it signs for inside the tunnel before it signs anything.
        for arm in arms.iter().filter(|_| prepared.given.gateway.gateway.is_some()) {
            if prepared.inside.is_none() {
                prepared.inside = prepared.arguments(&arm.settings)?.inner_settings()?;
            }
        }
        for arm in arms {
            prepared.interception(arm).await?;
            prepared.inside(arm).await?;
        }
        Ok(prepared)
    }

    fn route(&self) -> crate::relay::session::Route {
        let settings = proxy::settings(self.given.clone());
        settings.gateway.map_or(settings.route, |gateway| gateway.route)
    }

    /// The CA that signs in every arm, where one does.
    pub(super) fn authority(&self) -> Option<&Arc<Authority>> {
        self.authority.as_ref()
    }

    /// The settings of the listener before the first attempt.
    pub(super) fn listener(&self) -> Settings {
        Settings { is_experiment: true, sessions: None, ..proxy::settings(self.given.clone()) }
    }

    /// The settings of an attempt.
    pub(super) async fn settings(&mut self, attempt: &Attempt) -> Result<Settings, Failure> {
        let interception = self.interception(&attempt.arm).await?;
        let inside = self.inside(&attempt.arm).await?;
        let arguments = self.arguments(&attempt.arm.settings)?;
        let call_keys = arguments.call_keys()?;
        let impairments = Impairments::new(arguments.impair.clone()).map_err(Failure::usage)?;
        let mut settings = Settings {
            impairments,
            interception,
            is_experiment: true,
            sessions: None,
            ..proxy::settings(arguments)
        };
        if let Some(gateway) = &mut settings.gateway {
            (gateway.inner, gateway.call_keys) = (inside, call_keys);
        }
        settings.shown.insert("arm".to_owned(), json!(attempt.arm.name));
        settings.shown.insert("attempt".to_owned(), json!(attempt.number));
        Ok(settings)
    }

    /// What the user gave with what the arm changes.
    fn arguments(&self, changes: &ArmSettings) -> Result<ProxyArguments, Failure> {
        let mut arguments = self.given.clone();
        let cert = match self.vary {
            Factor::InnerCert => &mut arguments.gateway.inner_cert,
            _ => &mut arguments.interception.cert,
        };
        *cert = changes.cert.clone().or(cert.take());
        if changes.ends_tls && arguments.interception.mode() == CertificateMode::Passthrough {
            arguments.interception.cert = Some(CertificateMode::Mint(Recipe::Fresh));
        }
        let gateway = &mut arguments.gateway;
        if changes.strip_nla && gateway.gateway.is_some() {
            gateway.inner_nla = Some(NlaMode::Strip);
            gateway.inner_cert = gateway.inner_mode().or(Some(CertificateMode::Mint(Recipe::Fresh)));
        } else if changes.strip_nla {
            arguments.interception.nla = NlaMode::Strip;
        }
        if changes.udp_off {
            arguments.udp = UdpMode::Off;
        }
        if let Some(address) = &changes.address {
            arguments.address = Some(address.clone());
        }
        if let Some(versions) = changes.tls {
            arguments.interception.tls = Some(versions.parse().map_err(Failure::usage)?);
        }
        if let Some(transport) = changes.gateway_transport {
            arguments.gateway.gateway_transport = Some(transport.parse().map_err(Failure::usage)?);
        }
        if let Some(mode) = changes.gateway_udp {
            arguments.gateway.gateway_udp = Some(UdpMode::from_str(mode, false).map_err(Failure::usage)?);
        }
        for impairment in &changes.impair {
            arguments.impair.push(impairment.parse().map_err(Failure::usage)?);
        }
        Ok(arguments)
    }

    /// How TLS is terminated in an arm, where it is; made once.
    async fn interception(&mut self, arm: &Arm) -> Result<Option<Arc<Interception>>, Failure> {
        let arguments = self.arguments(&arm.settings)?;
        let mode = arguments.interception.mode();
        if mode == CertificateMode::Passthrough {
            return Ok(None);
        }
        let name = if self.vary == Factor::InnerCert { "" } else { arm.name.as_str() };
        if let Some(made) = self.made.get(name) {
            return Ok(Some(made.clone()));
        }
        let mut settings = self.base(&arguments)?;
        let is_file = matches!(mode, CertificateMode::File(_));
        settings.presenter.mode = mode;
        settings.versions = arguments.interception.tls;
        settings.alterations.udp_off = arguments.udp == UdpMode::Off;
        if arguments.interception.nla == NlaMode::Strip {
            settings.nla = Nla::Strip;
            settings.alterations.strip_nla = true;
        }
        let chain = self.chain.clone();
        if !chain.is_empty() && !is_file {
            self.authority_for_copies(&settings, &chain)?;
        }
        let made = self.make(settings, &chain).await?;
        self.made.insert(name.to_owned(), made.clone());
        Ok(Some(made))
    }

    /// The same inside the tunnel of a gateway.
    async fn inside(&mut self, arm: &Arm) -> Result<Option<Arc<Interception>>, Failure> {
        let arguments = self.arguments(&arm.settings)?;
        let (Some(mode), Some(base)) = (arguments.gateway.inner_mode(), &self.inside) else {
            return Ok(None);
        };
        if let Some(made) = self.made_inside.get(&arm.name) {
            return Ok(Some(made.clone()));
        }
        let mut settings = base.clone();
        settings.presenter.mode = mode;
        if arguments.gateway.inner_nla == Some(NlaMode::Strip) {
            settings.nla = Nla::Strip;
            settings.alterations.strip_nla = true;
        }
        if self.vary == Factor::InnerCert {
            self.authority_for_copies(&settings, &[])?;
        }
        let made = self.make(settings, &[]).await?;
        self.made_inside.insert(arm.name.clone(), made.clone());
        Ok(Some(made))
    }

    /// Makes the CA, where there is none yet. Only one for copies knows the names in the server's certificate, and has a
    /// key of the kind that most have.
    fn authority_for_copies(
        &mut self,
        settings: &InterceptionSettings,
        chain: &[Vec<u8>],
    ) -> Result<(), Failure> {
        if self.authority.is_none() {
            let mut copies = settings.clone();
            copies.presenter.mode = CertificateMode::Mint(Recipe::Mirror(BTreeSet::new()));
            let now = jiff::Timestamp::now().as_second();
            let (made, _) = Interception::new(copies, chain, now).map_err(Failure::not_done)?;
            self.authority = made.presenter.authority().cloned();
        }
        Ok(())
    }

    /// Makes one ready. The first that is signed makes the CA for all, unless there is one already.
    async fn make(
        &mut self,
        mut settings: InterceptionSettings,
        chain: &[Vec<u8>],
    ) -> Result<Arc<Interception>, Failure> {
        settings.presenter.authority = self.authority.clone();
        let ca_out = self.given.interception.ca_out.as_deref().filter(|_| !self.is_said);
        let kept_file = settings.presenter.keep_in.as_deref().map(Authority::certificate_file);
        let made = make_ready_for(settings, chain, ca_out, &self.output).await?;
        if let Some(authority) = made.presenter.authority() {
            if !self.is_said {
                say_authority(&made, ca_out.map(Path::to_owned).or(kept_file).as_deref(), &self.output);
            }
            self.authority = Some(authority.clone());
            self.is_said = true;
        }
        Ok(Arc::new(made))
    }

    fn base(&mut self, arguments: &ProxyArguments) -> Result<InterceptionSettings, Failure> {
        if let Some(base) = &self.interception {
            return Ok(base.clone());
        }
        let mut arguments = arguments.clone();
        if let Some(inside) = &self.inside {
            // As it is in those arms that terminate TLS there.
            arguments.gateway.inner_cert = Some(inside.presenter.mode.clone());
        }
        let mut given = arguments.outer();
        given.nla = self.given.interception.nla;
        let address = self.given.address();
        let settings =
            given.settings(self.given.far_side(), address.as_ref(), self.given.listen(), self.given.udp)?;
        let mut settings = settings.ok_or_else(|| Failure::usage("this arm does not end TLS in rdpscope"))?;
        settings.presenter.shares_with = self.inside.as_ref().map(|inside| {
            let mut shares = inside.presenter.clone();
            if self.vary == Factor::InnerCert {
                shares.mode = CertificateMode::Mint(Recipe::Mirror(BTreeSet::new()));
            }
            Box::new(shares)
        });
        self.interception = Some(settings.clone());
        Ok(settings)
    }
}
