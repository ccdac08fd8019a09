//! The flags that lead through an RD Gateway, checked.

use super::Failure;
use super::arguments::ProxyArguments;
use super::interception::{InterceptionArguments, certificate_mode};
use crate::alter::gateway::rpc::CallKeys;
use crate::alter::gateway::{GatewayAlterations, TransportChoice, UnknownTransport};
use crate::intercept::settings::{InterceptionSettings, NlaMode};
use crate::relay::gateway::Gateway;
use crate::relay::session::Route;
use crate::relay::target::{Target, TargetError};
use crate::relay::udp::UdpMode;
use clap::{Args, ValueEnum};
use rdpscope_certs::mode::{CertificateMode, Recipe};
use serde_json::{Map, Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Port of a gateway.
const HTTPS_PORT: u16 = 443;
/// Where a relay to a server listens.
const LISTEN_PORT: u16 = 13389;
/// Where a relay to a gateway listens.
const GATEWAY_LISTEN_PORT: u16 = 13443;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Through an RD Gateway")]
pub(super) struct GatewayArguments {
    /// The far side is this RD Gateway, HOST[:PORT]; the target is what is asked of it
    #[arg(long, value_name = "HOST", value_parser = gateway)]
    pub(super) gateway: Option<Target>,
    /// What may carry the tunnel: auto, websocket, http or rpc; the others are refused, so that the client falls back
    /// [default: auto]
    #[arg(long, value_name = "TRANSPORT", value_parser = transport)]
    pub(super) gateway_transport: Option<TransportChoice>,
    /// The gateway's side channel over UDP, port 3391 [default: relay]
    #[arg(long, value_enum, value_name = "MODE")]
    pub(super) gateway_udp: Option<UdpMode>,
    /// No UDP: --udp off and --gateway-udp off
    #[arg(long, conflicts_with_all = ["gateway_udp", "udp"])]
    pub(super) tcp_only: bool,
    /// Certificate to show the client inside the tunnel; takes what --cert takes [default: passthrough]
    #[arg(long, value_name = "MODE", value_parser = certificate_mode)]
    pub(super) inner_cert: Option<CertificateMode>,
    /// Network level authentication inside the tunnel; takes what --nla takes [default: relay]
    #[arg(long, value_enum, value_name = "MODE")]
    pub(super) inner_nla: Option<NlaMode>,
    /// File with the account that the client logs on with at the gateway ('username = …', 'password = …'): over RPC it
    /// signs its calls, and --inner-cert works there only where rdpscope can sign them too
    #[arg(long, value_name = "FILE")]
    pub(super) gateway_credentials: Option<PathBuf>,
    /// Be an HTTP proxy (CONNECT) that leads to the gateway and to the target, and nowhere else
    #[arg(long)]
    pub(super) as_http_proxy: bool,
}

fn transport(text: &str) -> Result<TransportChoice, UnknownTransport> {
    text.parse()
}

/// A gateway, on its usual port where none is named.
pub(super) fn gateway(text: &str) -> Result<Target, TargetError> {
    Target::parse(text, HTTPS_PORT)
}

impl ProxyArguments {
    /// Where to listen.
    pub(super) fn listen(&self) -> SocketAddr {
        let port = if self.gateway.gateway.is_some() { GATEWAY_LISTEN_PORT } else { LISTEN_PORT };
        self.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// What is connected to: the gateway, or else the target.
    pub(super) fn far_side(&self) -> &Target {
        self.gateway.gateway.as_ref().unwrap_or(&self.target)
    }

    /// Checks the flags of a gateway and gives others the defaults that they have with one.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        if self.gateway.tcp_only {
            self.udp = UdpMode::Off;
        }
        if self.gateway.gateway.is_none() {
            return self.refuse_without_gateway();
        }
        if self.gateway.tcp_only {
            self.gateway.gateway_udp = Some(UdpMode::Off);
        }
        if self.interception.cert.is_none() && self.interception.renew_with.is_none() {
            self.interception.cert = Some(CertificateMode::Mint(Recipe::Fresh));
        }
        if self.interception.nla != NlaMode::Relay {
            return Err(Failure::usage(
                "--nla is for a server that is reached directly: with --gateway NLA is inside the tunnel, and --inner-nla \
                 says what becomes of it",
            ));
        }
        if self.interception.credentials.is_some() && self.gateway.inner_nla != Some(NlaMode::Terminate) {
            return Err(Failure::usage(
                "--credentials is for --inner-nla terminate: NLA is inside the tunnel; leave it out, or add that",
            ));
        }
        if self.interception.mode() == CertificateMode::Passthrough {
            self.refuse_without_termination()?;
        }
        self.refuse_inner()
    }

    fn refuse_without_gateway(&self) -> Result<(), Failure> {
        let given = [
            (self.gateway.gateway_transport.is_some(), "--gateway-transport"),
            (self.gateway.gateway_udp.is_some(), "--gateway-udp"),
            (self.gateway.inner_cert.is_some(), "--inner-cert"),
            (self.gateway.inner_nla.is_some(), "--inner-nla"),
            (self.gateway.gateway_credentials.is_some(), "--gateway-credentials"),
        ];
        match given.into_iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) => Err(Failure::usage(format!(
                "{flag} needs an RD Gateway: add --gateway HOST, or leave it out"
            ))),
            None => Ok(()),
        }
    }

    /// What has to be changed inside TLS cannot be where that passes through.
    fn refuse_without_termination(&self) -> Result<(), Failure> {
        let gateway = &self.gateway;
        if gateway.gateway_udp == Some(UdpMode::Off) {
            return Err(Failure::usage(
                "with --cert passthrough the capability for UDP cannot be taken out of what passes: only \
                 --gateway-udp refuse and --gateway-udp drop work there",
            ));
        }
        let given = [
            (gateway.gateway_transport.is_some_and(|it| it != TransportChoice::Auto), "--gateway-transport"),
            (gateway.inner_cert.is_some(), "--inner-cert"),
            (gateway.inner_nla.is_some(), "--inner-nla"),
        ];
        match given.into_iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) => Err(Failure::usage(format!(
                "{flag} needs TLS with the gateway to end in rdpscope: leave --cert passthrough out"
            ))),
            None => Ok(()),
        }
    }

    fn refuse_inner(&self) -> Result<(), Failure> {
        if self.gateway.inner_mode().is_none()
            && self.gateway.inner_nla.is_some_and(|it| it != NlaMode::Relay)
        {
            return Err(Failure::usage(
                "--inner-nla needs TLS inside the tunnel to end in rdpscope: add --inner-cert with another mode than \
                 passthrough, for example --inner-cert fresh",
            ));
        }
        if self.gateway.gateway_credentials.is_some() && self.gateway.inner_mode().is_none() {
            return Err(Failure::usage(
                "--gateway-credentials is for --inner-cert over RPC: leave it out, or add that, for example --inner-cert \
                 fresh",
            ));
        }
        Ok(())
    }

    /// The flags as they hold for TLS with the far side.
    pub(super) fn outer(&self) -> InterceptionArguments {
        let mut outer = InterceptionArguments { credentials: None, ..self.interception.clone() };
        if self.gateway.gateway.is_none() {
            outer.credentials.clone_from(&self.interception.credentials);
        }
        let has_own_certificate = matches!(outer.mode(), CertificateMode::File(_));
        if has_own_certificate && matches!(self.gateway.inner_mode(), Some(CertificateMode::Mint(_))) {
            // They are for the CA that signs inside the tunnel.
            (outer.ca, outer.ca_out, outer.trust_ca) = (None, None, false);
        }
        outer
    }

    /// How TLS inside the tunnel is to be terminated, where it is.
    pub(super) fn inner_settings(&self) -> Result<Option<InterceptionSettings>, Failure> {
        let Some(mode) = self.gateway.inner_mode() else { return Ok(None) };
        let inner = InterceptionArguments {
            ca: self.interception.ca.clone().filter(|_| matches!(mode, CertificateMode::Mint(_))),
            cert: Some(mode),
            renew_with: None,
            password_file: self.interception.password_file.clone(),
            ca_out: None,
            trust_ca: false,
            nla: self.gateway.inner_nla.unwrap_or(NlaMode::Relay),
            credentials: self.interception.credentials.clone(),
            tls: None,
        };
        inner.settings(&self.target, None, self.listen(), self.udp)
    }

    /// Who knows the account with which the client logs on at the gateway.
    pub(super) fn call_keys(&self) -> Result<Option<Arc<dyn CallKeys>>, Failure> {
        self.gateway.gateway_credentials.as_deref().map(call_keys).transpose()
    }

    /// The far side, where it is a gateway; without what has to be read or made first.
    pub(super) fn gateway(&self) -> Option<Gateway> {
        let target = self.gateway.gateway.clone()?;
        let route = Route { target, address: self.address(), upstream_proxy: self.upstream_proxy.clone() };
        let udp = self.gateway.gateway_udp.unwrap_or_default();
        let transport = self.gateway.gateway_transport.unwrap_or_default();
        let inner_udp_off = self.udp == UdpMode::Off;
        let alterations = GatewayAlterations { udp_off: udp == UdpMode::Off, transport };
        Some(Gateway { route, udp, alterations, inner: None, call_keys: None, inner_udp_off })
    }
}

#[cfg(feature = "nla")]
fn call_keys(file: &Path) -> Result<Arc<dyn CallKeys>, Failure> {
    let credentials = crate::intercept::credssp::Credentials::from_file(file).map_err(Failure::not_done)?;
    Ok(Arc::new(credentials))
}

#[cfg(not(feature = "nla"))]
fn call_keys(_file: &Path) -> Result<Arc<dyn CallKeys>, Failure> {
    Err(Failure::usage(
        "--gateway-credentials is not in this build (feature `nla`); --gateway-transport websocket or http does without it",
    ))
}

impl GatewayArguments {
    /// The certificate to show the client inside the tunnel, where TLS there is to be terminated.
    pub(super) fn inner_mode(&self) -> Option<CertificateMode> {
        self.inner_cert.clone().filter(|mode| *mode != CertificateMode::Passthrough)
    }

    /// What shapes a session, as the trace shows it.
    pub(super) fn show(&self, shown: &mut Map<String, Value>) {
        if self.as_http_proxy {
            shown.insert("as_http_proxy".to_owned(), json!(true));
        }
        let Some(gateway) = &self.gateway else { return };
        let word =
            |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
        shown.insert("gateway".to_owned(), json!(gateway.to_string()));
        let transport = self.gateway_transport.unwrap_or_default();
        shown.insert("gateway_transport".to_owned(), json!(transport.word()));
        let udp = self.gateway_udp.unwrap_or_default();
        shown.insert("gateway_udp".to_owned(), json!(word(udp.to_possible_value())));
        if let Some(mode) = self.inner_mode() {
            shown.insert("inner_cert".to_owned(), json!(mode.to_string()));
            shown.insert("inner_nla".to_owned(), json!(self.inner_nla.unwrap_or(NlaMode::Relay).word()));
        }
    }
}
