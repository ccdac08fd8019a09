//! What is known of one target, as named values that can be compared.

use crate::report::safe;
use crate::trace::{
    CertificateCheck, ConnectError, CredsspCheck, DnsCheck, HelloAnswer, NegotiationAnswer, NegotiationCheck,
    PathCheck, Probe, Record, Summary, TcpCheck, TlsCheck, UdpAnswer, UdpCheck,
};
use crate::wire::tls::CodePoint;
use rdpscope_certs::inspect::{Certificate, Validity};
use std::borrow::Cow;
use std::net::SocketAddr;

/// Round trips from here on are felt in every click, and from the second on sessions suffer, µs. Two targets on one
/// network seldom lie on two sides of one of these.
const RTT_CLASSES_US: [(u64, &str); 3] =
    [(50_000, "below 50 ms"), (150_000, "50 to 150 ms"), (400_000, "150 to 400 ms")];
/// Segments sent again before it is called loss: a few happen on every network.
const SOME_RETRANSMISSIONS: u32 = 5;
/// Clocks that are less apart agree: the way of the message and its handling are in the difference, µs.
const SKEW_NOTED_US: u64 = 60_000_000;
/// Kerberos allows no more (RFC 4120 1.2, and Windows' policy), µs.
const SKEW_OF_KERBEROS_US: u64 = 300_000_000;

/// Every property in the order of the phases, so that causes come before consequences.
pub const NAMES: [&str; 37] = [
    "kind of name",
    "name resolution",
    "number of addresses",
    "reverse name",
    "address family",
    "TCP",
    "unreachable addresses",
    "round trip time",
    "lost segments",
    "answer to classic RDP security",
    "answer to TLS",
    "answer to NLA",
    "network level authentication",
    "security protocol",
    "TLS versions",
    "TLS version",
    "cipher suite",
    "cipher suites on offer",
    "groups on offer",
    "certificate validity",
    "certificate name",
    "certificate trust",
    "certificate signer",
    "certificate issuer",
    "certificates in the chain",
    "certificate key",
    "certificate signature",
    "certificate usage",
    "certificate authority flag",
    "CredSSP",
    "CredSSP version",
    "Windows",
    "domain",
    "name of the machine",
    "clock",
    "UDP",
    "path MTU",
];

/// A property of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name, one of a fixed list.
    pub name: &'static str,
    /// What is compared; also how it is told where exact words differ.
    pub class: Cow<'static, str>,
    /// The exact words, where they say more.
    pub words: Option<Box<str>>,
}

/// Everything that `record` tells of its target. What was not asked, or not answered because something before it
/// failed, is absent.
pub fn properties(record: &Record) -> Vec<Property> {
    let mut found = Found::default();
    let Some(probe) = &record.probe else { return found.properties };
    found.names(probe);
    found.connections(&probe.tcp, record.summary.as_deref());
    found.negotiation(&probe.negotiation, record.summary.as_deref());
    found.tls(probe.tls.as_ref(), record.summary.as_deref());
    if let Some(check) = &probe.certificate {
        found.certificate(check, unix_seconds(&probe.started));
    }
    if let Some(check) = &probe.credssp {
        found.credssp(check, probe);
    }
    if let Some(check) = &probe.udp {
        found.udp(check);
    }
    if let Some(check) = &probe.path {
        found.path(check);
    }
    found.properties
}

#[derive(Default)]
struct Found {
    properties: Vec<Property>,
}

impl Found {
    fn add(&mut self, name: &'static str, class: impl Into<Cow<'static, str>>) {
        self.properties.push(Property { name, class: class.into(), words: None });
    }

    fn add_with_words(&mut self, name: &'static str, class: impl Into<Cow<'static, str>>, words: &str) {
        self.properties.push(Property { name, class: class.into(), words: Some(words.into()) });
    }

    fn names(&mut self, probe: &Probe) {
        let Some(dns) = &probe.dns else { return };
        self.add("kind of name", if dns.is_address { "an address" } else { "a name" });
        if dns.is_address {
            return self.reverse(dns);
        }
        match &dns.failure {
            Some(reason) => {
                self.add_with_words("name resolution", "failed", &format!("failed: {}", safe::name(reason)))
            }
            None => self.add("name resolution", "resolved"),
        }
        if dns.failure.is_none() {
            let several = if dns.addresses.len() > 1 { "several" } else { "one" };
            self.add_with_words("number of addresses", several, &dns.addresses.len().to_string());
            self.reverse(dns);
        }
    }

    fn reverse(&mut self, dns: &DnsCheck) {
        if dns.reverse.is_empty() {
            return;
        }
        let known: Vec<&String> = dns.reverse.values().flatten().collect();
        let label = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let is_same = |name: &&&String| label(name) == label(&dns.name);
        let class = if known.is_empty() {
            "none"
        } else if dns.is_address {
            "one"
        } else if known.iter().any(|name| is_same(&name)) {
            "the same"
        } else {
            "another"
        };
        self.add("reverse name", class);
    }

    fn connections(&mut self, checks: &[TcpCheck], summary: Option<&Summary>) {
        let works = |check: &&TcpCheck| check.rounds.iter().any(Option::is_some);
        let Some(first) = checks.iter().find(works).or(checks.first()) else { return };
        if let Ok(address) = first.address.parse::<SocketAddr>() {
            self.add("address family", if address.is_ipv6() { "IPv6" } else { "IPv4" });
        }
        let failures = checks.iter().flat_map(|check| &check.failures);
        let worst = failures.max_by_key(|failure| failure.count).map(|failure| failure.error);
        let connects = checks.iter().any(|check| works(&check));
        let is_lossy = |check: &TcpCheck| check.rounds.iter().any(Option::is_none);
        let class = match worst {
            _ if connects && checks.iter().filter(works).any(is_lossy) => "connected, but not always",
            _ if connects => "connected",
            Some(ConnectError::Refused) => "refused",
            Some(ConnectError::TimedOut) => "no answer",
            Some(ConnectError::Unreachable) => "unreachable",
            Some(ConnectError::Reset) => "cut at once",
            Some(ConnectError::Other) | None => "failed",
        };
        self.add("TCP", class);
        if !connects {
            return;
        }
        let unreachable = checks.iter().any(|check| !works(&check));
        self.add("unreachable addresses", if unreachable { "some" } else { "none" });
        let measured = checks.iter().filter_map(|check| check.rtt_us.map(u64::from)).min();
        if let Some(rtt) = measured.or(summary.and_then(|summary| summary.rtt_us)) {
            let class = RTT_CLASSES_US.iter().find(|(limit, _)| rtt < *limit);
            self.add("round trip time", class.map_or("above 400 ms", |(_, class)| *class));
        }
        if let Some(count) = checks.iter().filter_map(|check| check.retransmitted_segments).max() {
            self.add("lost segments", if count < SOME_RETRANSMISSIONS { "few or none" } else { "many" });
        }
    }

    fn negotiation(&mut self, checks: &[NegotiationCheck], summary: Option<&Summary>) {
        let alone = |wanted: &str| checks.iter().find(|check| check.requested_protocols == [wanted]);
        let with_nla = |check: &&NegotiationCheck| {
            check.requested_protocols.iter().any(|name| name.starts_with("HYBRID"))
        };
        for (name, check) in [
            ("answer to classic RDP security", alone("RDP")),
            ("answer to TLS", alone("SSL")),
            ("answer to NLA", checks.iter().find(with_nla)),
        ] {
            if let Some(class) = check.and_then(|check| answer(&check.answer)) {
                self.add(name, class);
            }
        }
        if let Some(class) = network_level_authentication(checks) {
            self.add("network level authentication", class);
        }
        if let Some(protocol) = summary.and_then(|summary| summary.selected_protocol.as_ref()) {
            self.add("security protocol", safe::name(protocol));
        }
    }

    fn tls(&mut self, check: Option<&TlsCheck>, summary: Option<&Summary>) {
        if let Some(check) = check {
            let is_accepted = |answer: &HelloAnswer| matches!(answer, HelloAnswer::Accepted(_));
            let accepted = check.versions.iter().filter(|(_, answer)| is_accepted(answer));
            let accepted: Vec<&str> = accepted.map(|(version, _)| version.as_str()).collect();
            match accepted.is_empty() {
                false => self.add("TLS versions", accepted.join(", ")),
                true if !check.versions.is_empty() => self.add("TLS versions", "none"),
                true => {}
            }
            let suites: Vec<&CodePoint> = check.suites.values().flatten().collect();
            self.set("cipher suites on offer", suites);
            self.set("groups on offer", check.groups.iter().collect());
        }
        let Some(summary) = summary else { return };
        if let Some(version) = &summary.tls_version {
            self.add("TLS version", safe::name(version));
        }
        if let Some(cipher) = &summary.cipher {
            self.add("cipher suite", safe::name(cipher));
        }
    }

    /// What belongs to it, whatever the order; told by its number.
    fn set(&mut self, name: &'static str, mut members: Vec<&CodePoint>) {
        if members.is_empty() {
            return;
        }
        members.sort_by_key(|member| member.id);
        members.dedup_by_key(|member| member.id);
        let ids: Vec<String> = members.iter().map(|member| format!("{:04x}", member.id)).collect();
        let words = match &members[..] {
            [only] => safe::name(&only.to_string()),
            several => several.len().to_string(),
        };
        self.add_with_words(name, ids.join(" "), &words);
    }

    fn certificate(&mut self, check: &CertificateCheck, now: Option<i64>) {
        let Some(certificate) = check.chain.first() else { return };
        if let Some(now) = now {
            let words = certificate.validity_words(now);
            match certificate.validity_at(now) {
                Validity::Valid { .. } => self.add("certificate validity", "valid"),
                Validity::Expired { .. } => self.add_with_words("certificate validity", "expired", &words),
                Validity::NotYetValid { .. } => {
                    self.add_with_words("certificate validity", "not valid yet", &words);
                }
            }
        }
        match check.name_matches {
            true => self.add("certificate name", "the right one"),
            false => {
                self.add_with_words(
                    "certificate name",
                    "another",
                    &format!("another: {}", owner(certificate)),
                );
            }
        }
        self.add("certificate trust", if check.trusted { "trusted here" } else { "not trusted here" });
        self.add("certificate signer", if certificate.self_signed { "itself" } else { "an issuer" });
        if !certificate.self_signed {
            self.add("certificate issuer", safe::name(&certificate.issuer));
        }
        self.add("certificates in the chain", check.chain.len().to_string());
        let bits = certificate.key_bits.map(|bits| format!(" {bits}")).unwrap_or_default();
        // The name of a curve has its size in it.
        let bits = if certificate.key_algorithm.contains(' ') { String::new() } else { bits };
        self.add("certificate key", format!("{}{bits}", certificate.key_algorithm));
        self.add("certificate signature", certificate.signature_algorithm.clone());
        let usage = match &certificate.extended_key_usage {
            _ if !certificate.permits_server_authentication() => "not for servers",
            None => "any",
            Some(_) => "for servers",
        };
        self.add("certificate usage", usage);
        self.add("certificate authority flag", if certificate.is_ca { "set" } else { "not set" });
    }

    fn credssp(&mut self, check: &CredsspCheck, probe: &Probe) {
        let Some(challenge) = &check.challenge else {
            let failure = check.failure.as_deref().map(|failure| format!("failed: {}", safe::name(failure)));
            return self.add_with_words("CredSSP", "failed", failure.as_deref().unwrap_or("failed"));
        };
        self.add("CredSSP", "answered");
        if let Some(version) = check.version {
            self.add("CredSSP version", version.to_string());
        }
        if let Some(version) = challenge.version {
            self.add("Windows", version.words());
        }
        let is_computer = |name: &&String| {
            challenge.netbios_computer.as_ref().is_some_and(|computer| computer.eq_ignore_ascii_case(name))
        };
        match &challenge.netbios_domain {
            Some(domain) if !is_computer(&domain) => self.add("domain", safe::name(domain)),
            Some(_) => self.add("domain", "none"),
            None => {}
        }
        self.machine(probe, challenge.netbios_computer.as_deref());
        if let Some(skew) = check.clock_skew_us {
            self.clock(skew);
        }
    }

    /// Whether the machine that answered has the name that was asked for. An alias has another on purpose, but then
    /// all aliases do.
    fn machine(&mut self, probe: &Probe, computer: Option<&str>) {
        let Some(dns) = probe.dns.as_ref().filter(|dns| !dns.is_address) else { return };
        let Some(computer) = computer else { return };
        let asked = dns.name.split('.').next().unwrap_or_default();
        // NetBIOS names end after 15 characters.
        let is_same = asked.chars().take(15).collect::<String>().eq_ignore_ascii_case(computer);
        match is_same {
            true => self.add("name of the machine", "the one asked for"),
            false => {
                let words = format!("another: {}", safe::name(computer));
                self.add_with_words("name of the machine", "another", &words);
            }
        }
    }

    fn clock(&mut self, skew_us: i64) {
        let apart = skew_us.unsigned_abs();
        let direction = if skew_us < 0 { "behind" } else { "ahead" };
        let class = match apart {
            0..SKEW_NOTED_US => return self.add("clock", "right"),
            SKEW_NOTED_US..SKEW_OF_KERBEROS_US => "minutes off",
            _ => "further off than Kerberos allows",
        };
        let words = format!("{} min {direction}", apart / 60_000_000);
        self.add_with_words("clock", class, &words);
    }

    fn udp(&mut self, check: &UdpCheck) {
        let answers = || check.versions.values();
        let class = if answers().any(|answer| matches!(answer, UdpAnswer::SynAck { .. })) {
            "answered"
        } else if answers().any(|answer| matches!(answer, UdpAnswer::Other { .. })) {
            "answered with something else"
        } else if answers().any(|answer| matches!(answer, UdpAnswer::Unreachable)) {
            "refused"
        } else if check.versions.is_empty() {
            return;
        } else {
            "no answer"
        };
        self.add("UDP", class);
    }

    fn path(&mut self, check: &PathCheck) {
        let answered =
            |answer: &HelloAnswer| !matches!(answer, HelloAnswer::Silent | HelloAnswer::NotReached { .. });
        if answered(&check.small) {
            let class =
                if answered(&check.large) { "full segments come through" } else { "full segments are lost" };
            self.add("path MTU", class);
        }
    }
}

/// The owner's name as people know it.
fn owner(certificate: &Certificate) -> String {
    safe::name(
        certificate
            .subject_cn
            .as_deref()
            .or(certificate.sans.first().map(String::as_str))
            .unwrap_or("no name"),
    )
}

/// An answer in words; `None` where there was no connection to ask on.
fn answer(answer: &NegotiationAnswer) -> Option<Cow<'static, str>> {
    Some(match answer {
        NegotiationAnswer::Selected { protocol, .. } => safe::name(protocol).into(),
        NegotiationAnswer::Refused { name, .. } => format!("refused, {}", safe::name(name)).into(),
        NegotiationAnswer::Disconnected { .. } => "disconnected".into(),
        NegotiationAnswer::OtherProtocol { .. } => "another protocol".into(),
        NegotiationAnswer::Closed { .. } => "closed".into(),
        NegotiationAnswer::Silent => "silent".into(),
        NegotiationAnswer::NotConnected { .. } => return None,
    })
}

/// Required where it is the only way in, offered where it is one of several.
fn network_level_authentication(checks: &[NegotiationCheck]) -> Option<&'static str> {
    let is_nla = |name: &str| name.starts_with("HYBRID") && !name.contains("REQUIRED");
    let selects = |wanted: bool| {
        checks.iter().any(|check| {
            matches!(&check.answer, NegotiationAnswer::Selected { protocol, .. } if is_nla(protocol) == wanted)
        })
    };
    let refuses_less = checks.iter().any(|check| {
        matches!(&check.answer, NegotiationAnswer::Refused { name, .. } if name.contains("HYBRID_REQUIRED"))
    });
    match (selects(true), selects(false)) {
        (true, false) if refuses_less => Some("required"),
        (true, _) => Some("offered"),
        (false, true) => Some("not offered"),
        (false, false) if refuses_less => Some("required"),
        (false, false) => None,
    }
}

fn unix_seconds(rfc3339: &str) -> Option<i64> {
    rfc3339.parse::<jiff::Timestamp>().ok().map(|at| at.as_second())
}
