//! The settings of each arm, made of those that the user gave; one CA for all of them, so that it is trusted once.

use crate::alter::impair::Impairments;
use crate::cli::arguments::ProxyArguments;
use crate::cli::interception::{make_ready_for, say_authority, server_chain};
use crate::cli::output::Output;
use crate::cli::{Failure, proxy};
use crate::experiment::{Arm, ArmSettings, Attempt};
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
    /// How TLS is terminated, apart from what an arm changes: read once, as a password may be asked for.
    interception: Option<InterceptionSettings>,
    /// The server's certificates, where copies of them are made.
    chain: Vec<Vec<u8>>,
    authority: Option<Arc<Authority>>,
    /// By the arm's name.
    made: HashMap<String, Arc<Interception>>,
    output: Output,
}

impl Arms {
    /// Makes everything ready that the first attempts need, and writes the CA's certificate where it is wanted.
    pub(super) async fn prepare(
        given: ProxyArguments,
        arms: &[Arm],
        output: &Output,
    ) -> Result<Arms, Failure> {
        let output = output.clone();
        let mut prepared = Arms {
            given,
            interception: None,
            chain: Vec::new(),
            authority: None,
            made: HashMap::new(),
            output,
        };
        let changes_certificate = arms.iter().any(|arm| arm.settings.cert.is_some());
        if changes_certificate {
            prepared.chain = server_chain(&prepared.route(), &prepared.output).await;
        }
        for arm in arms {
            prepared.interception(arm).await?;
        }
        Ok(prepared)
    }

    fn route(&self) -> crate::relay::session::Route {
        let settings = proxy::settings(self.given.clone());
        settings.gateway.map_or(settings.route, |gateway| gateway.route)
    }

    /// The settings of the listener before the first attempt.
    pub(super) fn listener(&self) -> Settings {
        Settings { is_experiment: true, sessions: None, ..proxy::settings(self.given.clone()) }
    }

    /// The settings of an attempt.
    pub(super) async fn settings(&mut self, attempt: &Attempt) -> Result<Settings, Failure> {
        let interception = self.interception(&attempt.arm).await?;
        let arguments = self.arguments(&attempt.arm.settings)?;
        let impairments = Impairments::new(arguments.impair.clone()).map_err(Failure::usage)?;
        let mut settings = Settings {
            impairments,
            interception,
            is_experiment: true,
            sessions: None,
            ..proxy::settings(arguments)
        };
        settings.shown.insert("arm".to_owned(), json!(attempt.arm.name));
        settings.shown.insert("attempt".to_owned(), json!(attempt.number));
        Ok(settings)
    }

    /// What the user gave with what the arm changes.
    fn arguments(&self, changes: &ArmSettings) -> Result<ProxyArguments, Failure> {
        let mut arguments = self.given.clone();
        if let Some(mode) = &changes.cert {
            arguments.interception.cert = Some(mode.clone());
        }
        if changes.ends_tls && arguments.interception.mode() == CertificateMode::Passthrough {
            arguments.interception.cert = Some(CertificateMode::Mint(Recipe::Fresh));
        }
        if changes.strip_nla {
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
        if let Some(made) = self.made.get(&arm.name) {
            return Ok(Some(made.clone()));
        }
        let mut settings = self.base(&arguments)?;
        // Only a CA for copies knows the names in the server's certificate, and has a key of the kind that most have.
        let is_first = self.authority.is_none();
        if is_first && !self.chain.is_empty() {
            let mut copies = settings.clone();
            copies.presenter.mode = CertificateMode::Mint(Recipe::Mirror(BTreeSet::new()));
            let now = jiff::Timestamp::now().as_second();
            let (made, _) = Interception::new(copies, &self.chain, now).map_err(Failure::not_done)?;
            self.authority = made.presenter.authority().cloned();
        }
        settings.presenter.mode = mode;
        settings.presenter.authority = self.authority.clone();
        settings.versions = arguments.interception.tls;
        settings.alterations.udp_off = arguments.udp == UdpMode::Off;
        if arguments.interception.nla == NlaMode::Strip {
            settings.nla = Nla::Strip;
            settings.alterations.strip_nla = true;
        }
        let ca_out = self.given.interception.ca_out.as_deref().filter(|_| is_first);
        let kept_file = settings.presenter.keep_in.as_deref().map(Authority::certificate_file);
        let made = make_ready_for(settings, &self.chain, ca_out, &self.output).await?;
        if is_first {
            say_authority(&made, ca_out.map(Path::to_owned).or(kept_file).as_deref(), &self.output);
        }
        self.authority = made.presenter.authority().cloned();
        let made = Arc::new(made);
        self.made.insert(arm.name.clone(), made.clone());
        Ok(Some(made))
    }

    fn base(&mut self, arguments: &ProxyArguments) -> Result<InterceptionSettings, Failure> {
        if let Some(base) = &self.interception {
            return Ok(base.clone());
        }
        let mut given = arguments.interception.clone();
        given.nla = self.given.interception.nla;
        let address = self.given.address();
        let settings =
            given.settings(self.given.far_side(), address.as_ref(), self.given.listen(), self.given.udp)?;
        let settings = settings.ok_or_else(|| Failure::usage("this arm does not end TLS in rdpscope"))?;
        self.interception = Some(settings.clone());
        Ok(settings)
    }
}
