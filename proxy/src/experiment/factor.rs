//! What can be varied, and between which arms.

use crate::trace::VerdictId;
use rdpscope_certs::mode::{CertificateMode, Fault, Recipe, Repair};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The largest TCP segment that every path carries: 1280 bytes of IPv6 (RFC 8200 section 5) less headers, and room for
/// a tunnel.
const SMALL_SEGMENTS: &str = "up:mss=1200";
/// The transport that only the oldest clients prefer, and that many gateways do not have.
pub(super) const RPC: &str = "rpc";
/// The line that goes with the longest delay: a bad mobile link.
const SLOW_LINE: &str = "rate=64kbit";

/// NLA by the name of the flag for what is inside a tunnel.
const INNER_NLA: &str = "inner-nla";

/// What an experiment varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Factor {
    /// The certificate that the client is shown; through a gateway, that of the gateway.
    Cert,
    /// The certificate that the client is shown inside the tunnel of a gateway.
    InnerCert,
    /// Network level authentication; through a gateway, inside the tunnel.
    Nla,
    /// RDP-UDP.
    Udp,
    /// How the gateway is spoken to.
    GatewayTransport,
    /// The gateway's side channel.
    GatewayUdp,
    /// The name against each of its addresses.
    Address,
    /// The TLS version that the server is offered.
    Tls,
    /// The size of TCP segments.
    Mss,
    /// The round trip time.
    Latency,
}

impl Factor {
    /// All of them.
    pub const ALL: [Factor; 10] = [
        Factor::Cert,
        Factor::InnerCert,
        Factor::Nla,
        Factor::Udp,
        Factor::GatewayTransport,
        Factor::GatewayUdp,
        Factor::Address,
        Factor::Tls,
        Factor::Mss,
        Factor::Latency,
    ];

    /// As `--vary` takes it.
    pub fn word(self) -> &'static str {
        match self {
            Factor::Cert => "cert",
            Factor::InnerCert => "inner-cert",
            Factor::Nla => "nla",
            Factor::Udp => "udp",
            Factor::GatewayTransport => "gateway-transport",
            Factor::GatewayUdp => "gateway-udp",
            Factor::Address => "address",
            Factor::Tls => "tls",
            Factor::Mss => "mss",
            Factor::Latency => "latency",
        }
    }

    /// The same as the subject of a sentence.
    pub fn subject(self) -> &'static str {
        match self {
            Factor::Cert | Factor::InnerCert => "the server's certificate",
            Factor::Nla => "network level authentication (NLA)",
            Factor::Udp => "RDP-UDP",
            Factor::GatewayTransport => "the gateway's transport",
            Factor::GatewayUdp => "the gateway's UDP side channel",
            Factor::Address => "what the server's name resolves to",
            Factor::Tls => "the TLS version",
            Factor::Mss => "the size of TCP segments",
            Factor::Latency => "the delay of the line",
        }
    }

    /// Whether certificates are compared.
    pub fn is_certificate(self) -> bool {
        matches!(self, Factor::Cert | Factor::InnerCert)
    }

    /// Whether the arms add what may be at fault, instead of taking it away.
    pub fn provokes(self) -> bool {
        self == Factor::Latency
    }

    /// The cause that holds where this factor decides and no session says more.
    pub(super) fn verdict(self) -> Option<VerdictId> {
        match self {
            Factor::Cert | Factor::InnerCert => Some(VerdictId::CertificateRejected),
            Factor::Udp => Some(VerdictId::UdpBlocked),
            Factor::Address => Some(VerdictId::DnsMismatch),
            Factor::Tls => Some(VerdictId::TlsVersionMismatch),
            Factor::Mss => Some(VerdictId::TlsStalled),
            Factor::Latency => Some(VerdictId::LinkSlow),
            Factor::GatewayTransport => Some(VerdictId::GatewayTransportBlocked),
            Factor::GatewayUdp => Some(VerdictId::UdpBlocked),
            Factor::Nla => None,
        }
    }

    /// The arms that are compared first, the session as it is before all others. `addresses` are those that the
    /// target's name resolves to.
    pub fn arms(self, addresses: &[String]) -> Result<Vec<Arm>, FactorError> {
        let arms = match self {
            Factor::Cert | Factor::InnerCert => {
                vec![Arm::certificate(CertificateMode::Passthrough), Arm::fresh()]
            }
            Factor::Nla => {
                let strip = ArmSettings { strip_nla: true, ends_tls: true, ..ArmSettings::default() };
                vec![
                    Arm::as_it_is("relay", "NLA as client and server agree on it"),
                    Arm::changed("strip", "without NLA", strip),
                ]
            }
            Factor::Udp => {
                let off = ArmSettings { udp_off: true, ..ArmSettings::default() };
                vec![Arm::as_it_is("relay", "with RDP-UDP"), Arm::changed("off", "without RDP-UDP", off)]
            }
            Factor::Address => addresses_arms(addresses)?,
            Factor::Tls => tls_arms(),
            Factor::Mss => vec![
                Arm::as_it_is("as-is", "segments as large as they come"),
                Arm::impaired("mss-1200", "segments of at most 1200 bytes", &[SMALL_SEGMENTS]),
            ],
            Factor::Latency => vec![
                Arm::as_it_is("0ms", "the line as it is"),
                Arm::impaired("100ms", "100 ms more for each round trip", &["latency=50ms"]),
                Arm::impaired("300ms", "300 ms more for each round trip", &["latency=150ms"]),
                Arm::impaired(
                    "600ms",
                    "600 ms more for each round trip, and 64 kbit/s",
                    &["latency=300ms", SLOW_LINE],
                ),
            ],
            Factor::GatewayTransport => vec![
                Arm::transport("websocket", "over WebSocket"),
                Arm::transport("http", "over two HTTP connections"),
                Arm::transport(RPC, "over RPC over HTTP"),
            ],
            Factor::GatewayUdp => vec![
                Arm::as_it_is("relay", "with the gateway's UDP"),
                Arm::side_channel("off", "without the gateway's UDP"),
            ],
        };
        Ok(arms)
    }

    /// Whether there is something to vary only where the way leads through an RD Gateway.
    pub fn needs_gateway(self) -> bool {
        matches!(self, Factor::InnerCert | Factor::GatewayTransport | Factor::GatewayUdp)
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Why a factor cannot be varied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactorError {
    /// A word that is none.
    #[error("{0:?} is nothing that can be varied; choose one of {words}", words = words())]
    Unknown(String),
    /// It is about a gateway.
    #[error("{0} can only be varied on the way through an RD Gateway: add --gateway HOST")]
    NoGateway(Factor),
    /// Nothing to compare.
    #[error(
        "the target is an address already, so that there is no name to compare it with; name the server by its name"
    )]
    NoName,
}

fn words() -> String {
    Factor::ALL.map(Factor::word).join(", ")
}

impl FromStr for Factor {
    type Err = FactorError;

    fn from_str(text: &str) -> Result<Factor, FactorError> {
        // Of NLA there is only one in a session, so that it needs no second word.
        let word = if text == INNER_NLA { Factor::Nla.word() } else { text };
        let found = Factor::ALL.into_iter().find(|factor| factor.word() == word);
        found.ok_or_else(|| FactorError::Unknown(text.to_owned()))
    }
}

/// What an arm is in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The session as it is.
    Baseline,
    /// The factor is another.
    Changed,
    /// Only what comes along with the change is another.
    Control,
    /// One of several ways of which none is the session as it is.
    Alternative,
}

/// One way to run the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// A short name.
    pub name: String,
    /// The same in words, for the middle of a sentence.
    pub description: String,
    /// What it is in the comparison.
    pub role: Role,
    /// What it changes.
    pub settings: ArmSettings,
}

/// What an arm changes of the settings that the user gave, as the flags of `proxy` take it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArmSettings {
    /// `--cert`, or `--inner-cert` where that is varied.
    pub cert: Option<CertificateMode>,
    /// TLS ends in rdpscope: with a fresh certificate, unless the user's settings have another.
    pub ends_tls: bool,
    /// `--nla strip`, or `--inner-nla strip` with a gateway.
    pub strip_nla: bool,
    /// `--udp off`.
    pub udp_off: bool,
    /// `--address`.
    pub address: Option<String>,
    /// `--tls`.
    pub tls: Option<&'static str>,
    /// `--impair`, one specification each.
    pub impair: Vec<&'static str>,
    /// `--gateway-transport`.
    pub gateway_transport: Option<&'static str>,
    /// `--gateway-udp`.
    pub gateway_udp: Option<&'static str>,
}

impl Arm {
    fn as_it_is(name: &str, description: &str) -> Arm {
        Arm {
            name: name.to_owned(),
            description: description.to_owned(),
            role: Role::Baseline,
            settings: ArmSettings::default(),
        }
    }

    fn changed(name: &str, description: &str, settings: ArmSettings) -> Arm {
        Arm { role: Role::Changed, settings, ..Arm::as_it_is(name, description) }
    }

    fn impaired(name: &str, description: &str, impair: &[&'static str]) -> Arm {
        Arm::changed(name, description, ArmSettings { impair: impair.to_vec(), ..ArmSettings::default() })
    }

    fn transport(word: &'static str, description: &str) -> Arm {
        let settings = ArmSettings { gateway_transport: Some(word), ..ArmSettings::default() };
        Arm { role: Role::Alternative, ..Arm::changed(word, description, settings) }
    }

    fn side_channel(word: &'static str, description: &str) -> Arm {
        let settings = ArmSettings { gateway_udp: Some(word), ..ArmSettings::default() };
        Arm::changed(word, description, settings)
    }

    /// The gateway's UDP is offered, and never answered.
    pub(super) fn unanswered() -> Arm {
        Arm::side_channel("drop", "with the gateway's UDP, and no answer to it")
    }

    /// The client is shown a certificate that is right in everything.
    pub(super) fn fresh() -> Arm {
        Arm::certificate(CertificateMode::Mint(Recipe::Fresh))
    }

    /// The client is shown a copy of the server's certificate with these properties repaired.
    pub(super) fn mirror(repairs: &BTreeSet<Repair>) -> Arm {
        Arm::certificate(CertificateMode::Mint(Recipe::Mirror(repairs.clone())))
    }

    /// The client is shown a certificate that is right in everything but its issuer.
    pub(super) fn unknown_issuer() -> Arm {
        Arm::certificate(CertificateMode::Mint(Recipe::Broken(Fault::SelfSigned)))
    }

    /// The same arm where the certificate is that of an RD Gateway.
    pub(super) fn of_gateway(self) -> Arm {
        Arm { description: self.description.replace("the server's", "the gateway's"), ..self }
    }

    fn certificate(mode: CertificateMode) -> Arm {
        let (name, role) = match &mode {
            CertificateMode::Passthrough => ("server".to_owned(), Role::Baseline),
            CertificateMode::Mint(Recipe::Mirror(repairs)) if repairs.is_empty() => {
                (mode.to_string(), Role::Control)
            }
            _ => (mode.to_string(), Role::Changed),
        };
        let description = certificate_words(&mode);
        let settings = ArmSettings { cert: Some(mode), ..ArmSettings::default() };
        Arm { name, description, role, settings }
    }
}

fn certificate_words(mode: &CertificateMode) -> String {
    match mode {
        CertificateMode::Passthrough => "the server's own certificate".to_owned(),
        CertificateMode::Mint(Recipe::Fresh) => "a fresh certificate".to_owned(),
        CertificateMode::Mint(Recipe::Mirror(repairs)) if repairs.is_empty() => {
            "a copy of the server's certificate".to_owned()
        }
        CertificateMode::Mint(Recipe::Mirror(repairs)) => {
            let words: Vec<_> = repairs.iter().map(|repair| repair_words(*repair)).collect();
            format!("a copy of the server's certificate with {} repaired", words.join(", "))
        }
        CertificateMode::Mint(Recipe::Broken(Fault::SelfSigned)) => {
            "a fresh certificate that nobody has signed".to_owned()
        }
        CertificateMode::Mint(Recipe::Broken(_)) | CertificateMode::File(_) => format!("--cert {mode}"),
    }
}

/// A property of a certificate in a sentence.
pub(super) fn repair_words(repair: Repair) -> &'static str {
    match repair {
        Repair::Dates => "its dates",
        Repair::Names => "its names",
        Repair::Issuer => "its issuer",
        Repair::Usage => "its usage",
        Repair::Strength => "its key and signature",
    }
}

fn addresses_arms(addresses: &[String]) -> Result<Vec<Arm>, FactorError> {
    if addresses.is_empty() {
        return Err(FactorError::NoName);
    }
    let to = |address: &String| {
        let settings = ArmSettings { address: Some(address.clone()), ..ArmSettings::default() };
        Arm::changed(address, &format!("the address {address}"), settings)
    };
    let name = Arm::as_it_is("name", "whatever the name resolves to");
    Ok(std::iter::once(name).chain(addresses.iter().map(to)).collect())
}

fn tls_arms() -> Vec<Arm> {
    let ending = ArmSettings { ends_tls: true, ..ArmSettings::default() };
    let only = |versions: &'static str| ArmSettings { tls: Some(versions), ..ending.clone() };
    vec![
        Arm::as_it_is("as-is", "TLS between client and server"),
        Arm {
            role: Role::Control,
            ..Arm::changed("ended", "TLS through rdpscope, with the client's versions", ending.clone())
        },
        Arm::changed("tls1.2", "TLS 1.2 alone with the server", only("1.2..1.2")),
        Arm::changed("tls1.3", "TLS 1.3 alone with the server", only("1.3..1.3")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_read_as_they_are_written() {
        for factor in Factor::ALL {
            assert_eq!(factor.word().parse(), Ok(factor));
        }
        assert_eq!("inner-nla".parse(), Ok(Factor::Nla));
        let error = "colour".parse::<Factor>().unwrap_err().to_string();
        assert!(error.contains("cert, inner-cert, nla, udp"), "{error}");
    }

    #[test]
    fn every_factor_begins_with_the_session_as_it_is() {
        let addresses = ["10.0.0.5".to_owned(), "10.0.0.6".to_owned()];
        for factor in Factor::ALL {
            let arms = factor.arms(&addresses).unwrap();
            if factor == Factor::GatewayTransport {
                assert!(arms.iter().all(|arm| arm.role == Role::Alternative), "none is the session as it is");
                continue;
            }
            assert_eq!(arms[0].role, Role::Baseline, "{factor}");
            assert!(arms[1..].iter().all(|arm| arm.role != Role::Baseline), "{factor}");
            assert!(arms.iter().any(|arm| arm.role == Role::Changed), "{factor}");
        }
    }

    #[test]
    fn what_cannot_be_varied_is_said_in_a_sentence() {
        assert_eq!(Factor::Address.arms(&[]), Err(FactorError::NoName));
        let error = FactorError::NoGateway(Factor::GatewayUdp).to_string();
        assert!(
            error.starts_with("gateway-udp can only be varied") && error.contains("--gateway"),
            "{error}"
        );
    }

    #[test]
    fn arms_of_certificates_are_named_as_the_modes() {
        let both = Arm::mirror(&[Repair::Dates, Repair::Names].into());
        assert_eq!(both.name, "mirror+dates,names");
        assert_eq!(both.description, "a copy of the server's certificate with its dates, its names repaired");
        assert_eq!(Arm::mirror(&BTreeSet::new()).role, Role::Control);
    }
}
