//! What two sessions can be compared by. Times of day, ports, random values, session ids and lengths are no facts.

use super::Weight;
use crate::report::document::Subject;
use crate::report::{safe, time, words};
use crate::trace::{
    ConnectError, Detail, Event, GatewayMessage, Leg, Phase, RdpMessage, Record, Side, Summary,
};
use crate::wire::tls::CodePoint;
use rdpscope_certs::inspect::{Certificate, Validity};
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;

/// Round trips from here on are felt, and twice as much is another network, µs.
const RTT_CLASSES_US: [u64; 4] = [20_000, 80_000, 200_000, 500_000];
/// With this the names of facts begin that are settings of rdpscope.
pub(super) const OWN: &str = "rdpscope's --";
/// Flags of rdpscope that change a session, the phase in which they do, and what they are where they are not given.
const OWN_SETTINGS: [(&str, Phase, &str); 12] = [
    ("address", Phase::Dns, "not given"),
    ("upstream-proxy", Phase::Tcp, "not given"),
    ("impair", Phase::Tcp, "not given"),
    ("gateway", Phase::GatewayTcp, "not given"),
    ("gateway-transport", Phase::GatewayHttp, "auto"),
    ("nla", Phase::X224, "relay"),
    ("tls", Phase::Tls, "not given"),
    ("cert", Phase::Tls, "passthrough"),
    ("renew-with", Phase::Tls, "not given"),
    ("inner-cert", Phase::Tls, "not given"),
    ("udp", Phase::Udp, "relay"),
    ("gateway-udp", Phase::Udp, "relay"),
];
/// Parts of the settings that say nothing when they differ.
const NO_FACTS: [&str; 9] = [
    "blocks",
    "faults",
    "length",
    "offset",
    "server_random_length",
    "channel_ids",
    "io_channel_id",
    "message_channel_id",
    "client_requested_protocols",
];
/// Parts of the settings that say who the client is.
const IDENTITY: [&str; 3] = ["client name", "client dig product id", "keyboard layout"];

/// Something known of a session.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fact {
    pub(super) phase: Phase,
    /// Its name; facts of the same name are held against each other.
    pub(super) what: String,
    /// What is compared.
    pub(super) value: String,
    /// How it is told.
    pub(super) words: String,
    /// Its members, where it is a list: of those only what the other has not is told.
    pub(super) members: Vec<String>,
    pub(super) weight: Weight,
}

#[derive(Default)]
struct Facts {
    found: Vec<Fact>,
}

/// Everything known of the session, in the order of the phases.
pub(super) fn facts(subject: &Subject) -> Vec<Fact> {
    let record = &subject.record;
    let mut facts = Facts::default();
    facts.own_settings(record);
    facts.network(subject);
    facts.negotiation(record);
    facts.tls(record);
    for (of, certificate) in certificates(record) {
        facts.certificate(of, certificate, subject.started().map(|at| at.as_second()));
    }
    facts.judgement(record);
    if let Some(summary) = &record.summary {
        facts.summary(summary);
    }
    facts.gateway(record);
    facts.settings(record);
    facts.ending(record);
    facts.found
}

impl Facts {
    fn add(&mut self, phase: Phase, weight: Weight, what: &str, value: Option<impl Into<String>>) {
        if let Some(value) = value.map(Into::into) {
            let words = if value.is_empty() { "none".to_owned() } else { safe::neutralise(&value, false) };
            self.push(phase, weight, what, value, words);
        }
    }

    /// A fact that is compared by its class and told in exact words.
    fn classed(&mut self, phase: Phase, weight: Weight, what: &str, class: &str, words: String) {
        self.push(phase, weight, what, class.to_owned(), words);
    }

    /// A list, in its order.
    fn list(&mut self, phase: Phase, weight: Weight, what: &str, members: Vec<String>) {
        let value = members.join(", ");
        let words = if members.is_empty() { "none".to_owned() } else { safe::neutralise(&value, false) };
        self.push(phase, weight, what, value, words);
        if let Some(fact) = self.found.last_mut() {
            fact.members = members;
        }
    }

    fn push(&mut self, phase: Phase, weight: Weight, what: &str, value: String, words: String) {
        self.found.push(Fact { phase, what: what.to_owned(), value, words, members: Vec::new(), weight });
    }

    /// The flags that rdpscope was run with; those of an experiment are its arms' own.
    fn own_settings(&mut self, record: &Record) {
        let given = |name: &str| record.header.as_ref()?.settings.get(&name.replace('-', "_"));
        for (name, phase, default) in OWN_SETTINGS.iter().filter(|_| record.header.is_some()) {
            let value = given(name).map_or_else(|| (*default).to_owned(), plain);
            self.add(*phase, Weight::Cause, &format!("{OWN}{name}"), Some(value));
        }
    }

    fn network(&mut self, subject: &Subject) {
        let record = &subject.record;
        self.add(Phase::Dns, Weight::Identity, "target", Some(subject.target()));
        let resolved = record.events.iter().rev().find_map(|event| match &event.detail {
            Detail::Resolved { addresses, .. } => Some(("resolved", hosts(addresses))),
            Detail::ResolutionFailed { reason, .. } => Some(("failed", format!("failed: {reason}"))),
            _ => None,
        });
        if let Some((class, words)) = resolved {
            self.classed(Phase::Dns, Weight::Cause, "name resolution", class, words.clone());
            self.add(
                Phase::Dns,
                Weight::Identity,
                "addresses of the name",
                (class == "resolved").then_some(words),
            );
        }
        let connected = record.events.iter().rev().find_map(|event| match &event.detail {
            Detail::Connected { address, took_us, .. } if event.leg == Leg::Server => {
                Some((address, *took_us))
            }
            _ => None,
        });
        let failed = record.events.iter().rev().find_map(|event| match &event.detail {
            Detail::ConnectFailed { error, .. } => Some(*error),
            _ => None,
        });
        match (connected, failed) {
            (Some((address, took_us)), _) => {
                self.add(Phase::Tcp, Weight::Cause, "TCP", Some("connected"));
                self.add(Phase::Tcp, Weight::Identity, "address of the server", Some(host(address)));
                let family = if host(address).contains(':') { "IPv6" } else { "IPv4" };
                self.add(Phase::Tcp, Weight::Setting, "address family", Some(family));
                let rtt = record.summary.as_ref().and_then(|it| it.rtt_us).unwrap_or(took_us);
                let class = RTT_CLASSES_US.iter().filter(|limit| rtt >= **limit).count();
                self.classed(
                    Phase::Tcp,
                    Weight::Timing,
                    "round trip time",
                    &class.to_string(),
                    time::short(rtt),
                );
            }
            (None, Some(error)) => self.add(Phase::Tcp, Weight::Cause, "TCP", Some(connect_error(error))),
            (None, None) => {}
        }
    }

    fn negotiation(&mut self, record: &Record) {
        let x224 = Phase::X224;
        for event in &record.events {
            match &event.detail {
                Detail::ConnectionRequest(request) if event.from == Some(Side::Client) => {
                    let names = request.requested_protocol_names.join(", ");
                    self.add(x224, Weight::Cause, "protocols that the client offers", Some(names));
                    self.add(
                        x224,
                        Weight::Setting,
                        "flags of the connection request",
                        Some(request.flag_names.join(", ")),
                    );
                    let token = if request.routing_token.is_some() { "yes" } else { "no" };
                    self.add(x224, Weight::Cause, "routing token", Some(token));
                    self.add(x224, Weight::Identity, "identity in the cookie", request.cookie.clone());
                }
                Detail::ConnectionConfirm(confirm) => {
                    self.add(
                        x224,
                        Weight::Cause,
                        "answer to the negotiation",
                        Some(format!("chose {}", confirm.selected_protocol_name)),
                    );
                    self.add(
                        x224,
                        Weight::Setting,
                        "flags of the connection confirm",
                        Some(confirm.flag_names.join(", ")),
                    );
                }
                Detail::NegotiationFailure(failure) => {
                    self.add(
                        x224,
                        Weight::Cause,
                        "answer to the negotiation",
                        Some(format!("refused with {}", failure.name)),
                    );
                }
                Detail::OtherProtocol { protocol, .. } => {
                    let protocol = protocol.as_deref().unwrap_or("something that is not RDP");
                    self.add(x224, Weight::Cause, "answer to the negotiation", Some(protocol));
                }
                _ => {}
            }
        }
    }

    fn tls(&mut self, record: &Record) {
        let tls = Phase::Tls;
        let client = record.events.iter().find_map(|event| match &event.detail {
            Detail::ClientHello(hello) if event.from == Some(Side::Client) => Some(hello),
            _ => None,
        });
        if let Some(hello) = client {
            self.add(
                tls,
                Weight::Cause,
                "highest TLS of the client",
                Some(words::version(&hello.max_version)),
            );
            self.list(tls, Weight::Setting, "cipher suites of the client", points(&hello.cipher_suites));
            self.list(tls, Weight::Setting, "groups of the client", points(&hello.supported_groups));
            self.list(
                tls,
                Weight::Setting,
                "signature schemes of the client",
                points(&hello.signature_algorithms),
            );
            let is_named = if hello.server_name.is_some() { "a name" } else { "no name" };
            self.add(tls, Weight::Cause, "the client asks in TLS for", Some(is_named));
            self.add(tls, Weight::Identity, "name asked for in TLS (SNI)", hello.server_name.clone());
        }
        let server = record.events.iter().rev().find_map(|event| match &event.detail {
            Detail::ServerHello(hello) if event.from == Some(Side::Server) => Some(hello),
            _ => None,
        });
        if let Some(hello) = server {
            self.add(tls, Weight::Cause, "TLS version", Some(words::version(&hello.version)));
            self.add(tls, Weight::Setting, "cipher suite", Some(hello.cipher_suite.to_string()));
            self.add(tls, Weight::Setting, "group", hello.key_share_group.as_ref().map(ToString::to_string));
        }
        let presented = record.find_last(|detail| match detail {
            Detail::CertificatePresented { mode, .. } => Some(mode),
            _ => None,
        });
        // Where another is to be shown, the trace may end before it was.
        let is_passed_on =
            || !record.header.as_ref().is_some_and(|header| shows_another_certificate(&header.settings));
        let shown =
            presented.map(|(_, mode)| mode.as_str()).or_else(|| is_passed_on().then_some("the server's own"));
        self.add(tls, Weight::Cause, "certificate that the client is shown", client.and(shown));
    }

    /// What follows from what is left out: two certificates with other dates have other thumbprints too.
    fn certificate(&mut self, of: &str, certificate: &Certificate, now: Option<i64>) {
        let phase = if of == "gateway" { Phase::GatewayTls } else { Phase::Tls };
        let name = |what: &str| format!("{what} of the {of}'s certificate");
        if let Some(now) = now {
            let class = match certificate.validity_at(now) {
                Validity::Valid { .. } => "valid",
                Validity::Expired { .. } => "expired",
                Validity::NotYetValid { .. } => "not yet valid",
            };
            self.classed(phase, Weight::Cause, &name("validity"), class, certificate.validity_words(now));
        }
        let mut names = certificate.sans.clone();
        names.sort();
        self.add(phase, Weight::Identity, &name("alternative names"), Some(names.join(", ")));
        self.add(phase, Weight::Identity, &name("subject"), Some(certificate.subject.clone()));
        let signer = if certificate.self_signed { "itself" } else { "an issuer" };
        self.add(phase, Weight::Cause, &name("signed by"), Some(signer));
        self.add(phase, Weight::Identity, &name("issuer"), Some(certificate.issuer.clone()));
        let bits = certificate.key_bits.map(|bits| format!(", {bits} bits")).unwrap_or_default();
        self.add(phase, Weight::Cause, &name("key"), Some(format!("{}{bits}", certificate.key_algorithm)));
        self.add(phase, Weight::Cause, &name("signature"), Some(certificate.signature_algorithm.clone()));
        let usage = certificate
            .extended_key_usage
            .as_ref()
            .map_or("not limited".to_owned(), |names| names.join(", "));
        self.add(phase, Weight::Cause, &name("extended key usage"), Some(usage));
        self.add(phase, Weight::Identity, &name("thumbprint (SHA-1)"), Some(certificate.sha1.clone()));
    }

    fn judgement(&mut self, record: &Record) {
        let judged = record.find_last(|detail| match detail {
            Detail::CertificateJudged { trusted, reason, name_matches, .. } => {
                Some((*trusted, reason, *name_matches))
            }
            _ => None,
        });
        if let Some((_, (trusted, reason, name_matches))) = judged {
            let class = if trusted { "trusted" } else { "not trusted" };
            let why = reason.as_deref().map(|reason| format!(": {}", safe::name(reason))).unwrap_or_default();
            self.classed(
                Phase::Tls,
                Weight::Cause,
                "trust of this machine in the certificate",
                class,
                format!("{class}{why}"),
            );
            let fits = if name_matches { "yes" } else { "no" };
            self.add(Phase::Tls, Weight::Cause, "the certificate is for the name asked for", Some(fits));
        }
    }

    fn summary(&mut self, summary: &Summary) {
        self.add(Phase::Tcp, Weight::Cause, "transport", word(&summary.transport));
        if let Some(credssp) = &summary.credssp {
            self.add(
                Phase::Credssp,
                Weight::Cause,
                "CredSSP version",
                credssp.version.map(|it| it.to_string()),
            );
            self.add(Phase::Credssp, Weight::Cause, "CredSSP mechanism", credssp.mechanism.clone());
            let status = credssp.status.clone().unwrap_or_else(|| "none".to_owned());
            self.add(Phase::Credssp, Weight::Consequence, "CredSSP status", Some(status));
        }
        let info = summary.error_info.clone().unwrap_or_else(|| "none".to_owned());
        self.add(Phase::Closed, Weight::Consequence, "error info", Some(info));
        if let Some(udp) = &summary.udp {
            self.add(
                Phase::Udp,
                Weight::Cause,
                "UDP version of the client",
                udp.client_version.map(|it| it.to_string()),
            );
            self.add(
                Phase::Udp,
                Weight::Cause,
                "UDP version of the server",
                udp.server_version.map(|it| it.to_string()),
            );
            let open = udp.established.map(|open| if open { "open" } else { "not open" });
            self.add(Phase::Udp, Weight::Cause, "UDP", open);
        }
        let reached = summary.reached.map_or("nothing", Phase::id);
        self.add(Phase::Closed, Weight::Consequence, "last phase done", Some(reached));
        self.add(Phase::Closed, Weight::Consequence, "ended by", word(&summary.closed_by));
        self.add(Phase::Closed, Weight::Consequence, "in which way", word(&summary.how));
    }

    fn gateway(&mut self, record: &Record) {
        for event in &record.events {
            let Detail::Gateway(GatewayMessage::HttpResponse(response)) = &event.detail else { continue };
            let what =
                format!("gateway's last answer to {}", response.method.as_deref().unwrap_or("nothing"));
            self.found.retain(|fact| fact.what != what);
            let phase = Phase::GatewayHttp;
            self.add(phase, Weight::Cause, &what, Some(format!("{} {}", response.status, response.reason)));
        }
        let status = record.summary.as_ref().and_then(|summary| summary.gateway.as_ref());
        if let Some(gateway) = status {
            let status = gateway.status.clone().unwrap_or_else(|| "none".to_owned());
            self.add(Phase::GatewayTunnel, Weight::Cause, "gateway's status", Some(status));
            let udp = gateway.udp_offered.map(|offered| if offered { "offered" } else { "not offered" });
            self.add(Phase::GatewayTunnel, Weight::Setting, "gateway's UDP", udp);
        }
    }

    /// The settings that client and server tell each other, part by part.
    fn settings(&mut self, record: &Record) {
        for event in &record.events {
            let Detail::Rdp(message) = &event.detail else { continue };
            match &**message {
                RdpMessage::ConnectInitial(data) => self.parts("client's settings", data),
                RdpMessage::ConnectResponse(data) => self.parts("server's settings", data),
                _ => {}
            }
        }
    }

    fn parts(&mut self, whose: &str, settings: &impl Serialize) {
        // Serialising our own types into memory cannot fail.
        let value = serde_json::to_value(settings).unwrap_or_default();
        let mut parts = Vec::new();
        flatten(&value, "", &mut parts);
        for (path, value) in parts {
            let is_identity = IDENTITY.iter().any(|name| path.ends_with(name));
            let weight = if is_identity { Weight::Identity } else { Weight::Setting };
            self.add(Phase::Mcs, weight, &format!("{whose}: {path}"), Some(value));
        }
    }

    fn ending(&mut self, record: &Record) {
        let alert = |event: &Event| match &event.detail {
            Detail::Alert(alert) if alert.is_fatal() => Some(words::single(event, "", None).join("; ")),
            _ => None,
        };
        let alert = record.events.iter().find_map(alert).unwrap_or_else(|| "none".to_owned());
        self.add(Phase::Closed, Weight::Consequence, "fatal TLS alert", Some(alert));
    }
}

/// Whether these settings of a session end its client's TLS in rdpscope.
fn shows_another_certificate(settings: &serde_json::Map<String, Value>) -> bool {
    settings.get("cert").is_some_and(|mode| mode != "passthrough")
}

/// The certificates of the gateway and of the server, as they were shown last.
fn certificates(record: &Record) -> Vec<(&'static str, &Certificate)> {
    let mut found: Vec<(&'static str, &Certificate)> = Vec::new();
    for event in &record.events {
        let Detail::Certificate { chain, .. } = &event.detail else { continue };
        let of = if event.phase == Phase::GatewayTls { "gateway" } else { "server" };
        if let Some(certificate) = chain.first() {
            found.retain(|(known, _)| *known != of);
            found.push((of, certificate));
        }
    }
    let of_probe = record.probe.as_ref().and_then(|probe| probe.certificate.as_ref()?.chain.first());
    if let (true, Some(certificate)) = (found.is_empty(), of_probe) {
        found.push(("server", certificate));
    }
    found
}

fn flatten(value: &Value, path: &str, parts: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => match (fields.get("names"), fields.get("name")) {
            (Some(Value::Array(names)), _) => parts.push((path.to_owned(), list(names))),
            (_, Some(Value::String(name))) => parts.push((path.to_owned(), name.clone())),
            _ => {
                for (name, value) in fields.iter().filter(|(name, _)| !NO_FACTS.contains(&name.as_str())) {
                    let name = name.replace('_', " ");
                    let path = if path.is_empty() { name } else { format!("{path} {name}") };
                    flatten(value, &path, parts);
                }
            }
        },
        Value::Array(values) => parts.push((path.to_owned(), list(values))),
        Value::Null => {}
        Value::String(text) => parts.push((path.to_owned(), text.clone())),
        other => parts.push((path.to_owned(), other.to_string())),
    }
}

fn list(values: &[Value]) -> String {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => match fields.get("name") {
            Some(Value::String(name)) => name.clone(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    };
    values.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn word(value: &Option<impl Serialize>) -> Option<String> {
    let value = serde_json::to_value(value.as_ref()?).ok()?;
    value.as_str().map(str::to_owned)
}

/// Code points without those that only test tolerance (RFC 8701), which are other ones each time.
fn points(points: &[CodePoint]) -> Vec<String> {
    points.iter().map(ToString::to_string).filter(|name| !name.contains("GREASE")).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => list(values),
        other => other.to_string(),
    }
}

fn host(address: &str) -> String {
    address.parse::<SocketAddr>().map_or_else(|_| address.to_owned(), |address| address.ip().to_string())
}

fn hosts(addresses: &[String]) -> String {
    let mut hosts: Vec<String> = addresses.iter().map(|address| host(address)).collect();
    hosts.sort();
    hosts.join(", ")
}

fn connect_error(error: ConnectError) -> &'static str {
    match error {
        ConnectError::Refused => "refused",
        ConnectError::TimedOut => "not answered",
        ConnectError::Unreachable => "unreachable",
        ConnectError::Reset => "connected and cut at once",
        ConnectError::Other => "failed",
    }
}
