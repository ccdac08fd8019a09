//! What is worth knowing of a target without being a fault.

use super::super::findings::{Findings, SLOW_RTT_US, certificate as of_certificate};
use super::super::loss::LOSSY_SEGMENTS;
use super::super::words::{list, span};
use super::certificate::judged;
use super::network::{computer_name, dead_addresses, is_address, is_same_machine, typed_name};
use super::{
    Facts, HelloAnswer, NegotiationAnswer, Phase, Probe, VerdictId, accepted_versions, answer_to, is_current,
    other_paths, selected,
};
use crate::trace::{ClassicCheck, Finding, GatewayCheck, UdpAnswer};

/// Primes of fewer bits are refused by current clients, the shorter the more.
const STRONG_PRIME_BITS: u32 = 2048;

/// Everything worth knowing beside `verdict`.
pub(in super::super) fn all(facts: &Facts<'_>, probe: &Probe, verdict: VerdictId) -> Vec<Finding> {
    if let Some(gateway) = &probe.gateway {
        return of_gateway(facts, probe, gateway, verdict);
    }
    let mut findings = Findings::beside(verdict);
    network(probe, &mut findings);
    negotiation(probe, &mut findings);
    tls(probe, &mut findings);
    certificate(facts, probe, &mut findings);
    logon(facts, probe, &mut findings);
    udp(probe, &mut findings);
    steadiness(probe, &mut findings);
    if let Some(check) = &probe.other_paths {
        other_paths::findings(facts, check, Phase::Tls, &mut findings);
    }
    findings.found
}

/// The same of a gateway, which has TLS and a certificate as a server has.
fn of_gateway(facts: &Facts<'_>, probe: &Probe, gateway: &GatewayCheck, verdict: VerdictId) -> Vec<Finding> {
    let mut findings = Findings::beside(verdict);
    network(probe, &mut findings);
    tls(probe, &mut findings);
    certificate(facts, probe, &mut findings);
    for finding in &mut findings.found {
        finding.text = finding.text.replace("The server", "The gateway").replace("the server", "the gateway");
        finding.phase = match finding.phase {
            Phase::Tcp => Phase::GatewayTcp,
            Phase::Tls => Phase::GatewayTls,
            phase => phase,
        };
    }
    super::gateway_findings::add(facts, probe, gateway, &mut findings);
    steadiness(probe, &mut findings);
    if let Some(check) = &probe.other_paths {
        other_paths::findings(facts, check, Phase::GatewayTls, &mut findings);
    }
    findings.found
}

fn network(probe: &Probe, findings: &mut Findings) {
    if let Some(dns) = &probe.dns {
        if is_address(probe) {
            let text = "An address was typed, not a name: there is no Kerberos for it, and a certificate seldom fits it.";
            findings.add("address-typed", Phase::Dns, text.to_owned());
        }
        if dns.addresses.len() > 1 {
            let text =
                format!("{} has {} addresses: {}.", dns.name, dns.addresses.len(), list(&dns.addresses));
            findings.add("several-addresses", Phase::Dns, text);
        }
        for (address, name) in &dns.reverse {
            match (name, typed_name(probe)) {
                (Some(name), Some(typed)) if !is_same_machine(name, typed) => {
                    let text = format!("By reverse lookup {address} is {name}, not {typed}.");
                    findings.add("reverse-name-differs", Phase::Dns, text);
                }
                _ => {}
            }
        }
    }
    for check in dead_addresses(probe) {
        let text = format!("{} does not answer, another address of the name does.", check.address);
        findings.add("address-unreachable", Phase::Tcp, text);
    }
    for check in &probe.tcp {
        let mut took: Vec<u64> = check.rounds.iter().flatten().copied().collect();
        took.sort_unstable();
        let median = took.get(took.len() / 2).copied();
        if let Some(median) = median.filter(|median| *median > SLOW_RTT_US.into()) {
            let text = format!("The way to {} is slow: a connection takes {}.", check.address, span(median));
            findings.add("high-round-trip-time", Phase::Tcp, text);
        }
        if let Some(again) = check.retransmitted_segments.filter(|again| *again >= LOSSY_SEGMENTS) {
            let text = format!("{again} segments to {} had to be sent again.", check.address);
            findings.add("segments-lost", Phase::Tcp, text);
        }
    }
}

fn is_refused_with(answer: Option<&NegotiationAnswer>, wanted: u32) -> bool {
    matches!(answer, Some(NegotiationAnswer::Refused { code, .. }) if *code == wanted)
}

fn negotiation(probe: &Probe, findings: &mut Findings) {
    if is_refused_with(answer_to(probe, "SSL"), 5) {
        let text = "The server demands network level authentication (NLA), as Windows does from the start: clients \
                    without it are refused.";
        findings.add_unless_verdict(VerdictId::NlaRequired, Phase::X224, text.to_owned());
    }
    match selected(probe) {
        Some("SSL") => {
            let text = "Network level authentication is off: offered it, the server chose SSL.";
            findings.add("nla-off", Phase::X224, text.to_owned());
        }
        Some("RDP") => {
            let text = "Offered network level authentication and TLS, the server chose the old RDP security.";
            findings.add("nla-off", Phase::X224, text.to_owned());
        }
        _ => {}
    }
    let takes_old = matches!(answer_to(probe, "RDP"), Some(NegotiationAnswer::Selected { protocol, .. }) if protocol == "RDP");
    if takes_old {
        let text = "The server also takes the old RDP security, which does not prove its identity and can be broken.";
        findings.add("rdp-security", Phase::X224, text.to_owned());
    }
    let takes_tls = matches!(answer_to(probe, "SSL"), Some(NegotiationAnswer::Selected { .. }));
    if selected(probe).is_some_and(|it| it.starts_with("HYBRID")) && (takes_old || takes_tls) {
        let text = "The server takes network level authentication (NLA) and does not insist on it: whoever leaves it out \
                    reaches the logon screen without an account.";
        findings.add("nla-not-required", Phase::X224, text.to_owned());
    }
    if let Some(classic) = &probe.classic {
        encryption(classic, findings);
    }
    if let Some(NegotiationAnswer::Selected { flags, .. }) = super::widest(probe).map(|check| &check.answer) {
        let has = |name: &str| flags.iter().any(|flag| flag.contains(name));
        if has("RESTRICTED_ADMIN") {
            let text = "The server takes Restricted Admin mode, in which no credentials are sent to it.";
            findings.add("restricted-admin-supported", Phase::X224, text.to_owned());
        }
        if has("REDIRECTED_AUTHENTICATION") {
            let text = "The server takes Remote Credential Guard.";
            findings.add("remote-credential-guard-supported", Phase::X224, text.to_owned());
        }
    }
}

/// What the old RDP security encrypts with, where it is taken.
fn encryption(classic: &ClassicCheck, findings: &mut Findings) {
    let takes = |name: &str| classic.methods.iter().any(|method| method.contains(name));
    if takes("NONE") {
        let to_whom = if classic.methods.len() > 1 { " where a client offers no encryption" } else { "" };
        let text = format!(
            "Under the old RDP security the server encrypts nothing{to_whom}: whoever is on the way reads along, passwords \
             as well."
        );
        findings.add("rdp-not-encrypted", Phase::X224, text);
    }
    if takes("40BIT") || takes("56BIT") {
        let text = "Under the old RDP security the server takes keys of 40 or 56 bits, which any computer of today breaks.";
        findings.add("weak-rdp-encryption", Phase::X224, text.to_owned());
    }
    if takes("FIPS") && classic.methods.len() > 1 {
        let text = "Under the old RDP security the server takes FIPS encryption and does not insist on it.";
        findings.add("fips-not-required", Phase::X224, text.to_owned());
    }
}

fn tls(probe: &Probe, findings: &mut Findings) {
    let Some(tls) = &probe.tls else { return };
    let accepted = accepted_versions(probe);
    if !accepted.is_empty() {
        let accepted: Vec<String> = accepted.iter().map(|version| (*version).to_owned()).collect();
        findings.add("tls-versions", Phase::Tls, format!("The server takes {}.", list(&accepted)));
    }
    let old: Vec<String> =
        accepted.iter().filter(|it| !is_current(it)).map(|version| (*version).to_owned()).collect();
    if !old.is_empty() {
        let text = format!("The server still takes {}, which nobody should need any more.", list(&old));
        findings.add("old-tls-version", Phase::Tls, text);
    }
    let suites = || tls.suites.values().flatten().map(ToString::to_string);
    let is_weak = |name: &String| {
        ["_RC4_", "3DES", "_DES_", "_NULL_", "_EXPORT_", "_anon_", "_MD5"]
            .iter()
            .any(|part| name.contains(part))
    };
    let mut weak: Vec<String> = suites().filter(is_weak).collect();
    weak.sort();
    weak.dedup();
    if !weak.is_empty() {
        let text = format!("The server takes cipher suites that can be broken: {}.", list(&weak));
        findings.add("weak-cipher-suites", Phase::Tls, text);
    }
    if let Some(bits) = tls.diffie_hellman_bits.filter(|bits| *bits < STRONG_PRIME_BITS) {
        let text = format!(
            "The prime of the server's Diffie-Hellman exchange has {bits} bits; clients refuse short ones."
        );
        findings.add("weak-diffie-hellman", Phase::Tls, text);
    }
    let mut all = suites().peekable();
    if all.peek().is_some()
        && !accepted.contains(&"TLS1.3")
        && all.all(|name| name.starts_with("TLS_RSA_WITH"))
    {
        let text = "The server takes only suites without forward secrecy; hardened clients refuse them.";
        findings.add("static-rsa-key-exchange", Phase::Tls, text.to_owned());
    }
}

fn certificate(facts: &Facts<'_>, probe: &Probe, findings: &mut Findings) {
    if let Some(certificate) = judged(facts) {
        of_certificate(&certificate, findings);
        if certificate.leaf.self_issued {
            let text = format!(
                "The certificate for {} is self-signed, as Windows makes it: clients that do not know it ask their user, \
                 or refuse where a policy says so.",
                certificate.subject()
            );
            findings.add("certificate-self-signed", Phase::Tls, text);
        }
    }
    let Some(check) = &probe.certificate else { return };
    let is_self_issued = check.chain.first().is_some_and(|leaf| leaf.self_issued);
    if !check.trusted && !is_self_issued {
        let why = check.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let text = format!("This machine does not trust the server's certificate{why}; a client may.");
        findings.add_unless_verdict(VerdictId::CertificateUntrusted, Phase::Tls, text);
    }
    if !check.missing_issuers.is_empty() {
        let text = format!(
            "The server does not send the certificate of {}: a client has to have it already or to fetch it.",
            list(&check.missing_issuers)
        );
        findings.add("certificate-chain-incomplete", Phase::Tls, text);
    }
    if !check.name_matches && !check.chain.is_empty() {
        let names = judged(facts).map_or_else(String::new, |it| format!(" but for {}", it.names()));
        let text = format!("The server's certificate is not for {}{names}.", check.name);
        findings.add_unless_verdict(VerdictId::CertificateNameMismatch, Phase::Tls, text);
    }
    let revocation: Vec<String> = check.ocsp.iter().chain(&check.crl).cloned().collect();
    if !revocation.is_empty() {
        let text = format!(
            "Clients ask {} whether the certificate was revoked; where they cannot reach that, they wait or warn.",
            list(&revocation)
        );
        findings.add("certificate-revocation-address", Phase::Tls, text);
    }
}

fn logon(facts: &Facts<'_>, probe: &Probe, findings: &mut Findings) {
    if let Some(skew) = super::logon::skew_seconds(facts) {
        let words = super::super::words::capital(&super::super::nla::skew_words(skew));
        findings.add_unless_verdict(
            VerdictId::NlaClockSkew,
            Phase::Credssp,
            format!("{words}: too far apart for Kerberos."),
        );
    }
    if let Some(check) = &probe.credssp_after_refusal {
        let nla = if check.challenge.is_some() { " and network level authentication (NLA)" } else { "" };
        let text = format!(
            "Having refused the negotiation, the server speaks TLS{nla} all the same with whoever goes on; clients do not."
        );
        findings.add("tls-after-refusal", Phase::X224, text);
    }
    let Some(challenge) = probe.challenge() else { return };
    if let (Some(itself), Some(typed)) = (computer_name(probe), typed_name(probe))
        && !is_same_machine(itself, typed)
        && !is_certified_as_typed(probe)
    {
        let text = format!(
            "The machine that answered calls itself {itself}, not {typed}: an alias, a load balancer, or a stale DNS \
             entry."
        );
        findings.add("other-machine-answered", Phase::Credssp, text);
    }
    let domain = challenge.dns_domain.as_deref().or(challenge.netbios_domain.as_deref());
    // In a workgroup the computer's own name stands in the domain's place.
    let itself = challenge.netbios_computer.as_deref().unwrap_or_default();
    let is_own = |domain: &str| itself.eq_ignore_ascii_case(domain);
    let named: Vec<String> = [
        computer_name(probe).map(|name| format!("calls itself {name}")),
        domain
            .filter(|domain| !domain.is_empty() && !is_own(domain))
            .map(|domain| format!("belongs to {domain}")),
        challenge.version.as_ref().map(|version| format!("runs {}", version.words())),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !named.is_empty() {
        findings.add("server-identity", Phase::Credssp, format!("The server {}.", list(&named)));
    }
}

/// Whether the certificate is for the name that was typed: then the machine's own is a detail.
fn is_certified_as_typed(probe: &Probe) -> bool {
    probe.certificate.as_ref().is_some_and(|certificate| certificate.name_matches)
}

fn udp(probe: &Probe, findings: &mut Findings) {
    let Some(udp) = &probe.udp else { return };
    let answers: Vec<&UdpAnswer> = udp.versions.values().collect();
    let is_open = answers.iter().any(|answer| matches!(answer, UdpAnswer::SynAck { .. }));
    if answers.is_empty() {
        return;
    }
    if is_open {
        // One that could not be sent says nothing.
        let was_sent = |answer: &&HelloAnswer| !matches!(answer, HelloAnswer::NotReached { .. });
        let hellos: Vec<&HelloAnswer> =
            [&udp.tls, &udp.dtls].into_iter().flatten().filter(was_sent).collect();
        if !hellos.is_empty() && hellos.iter().all(|answer| **answer == HelloAnswer::Silent) {
            let text = format!(
                "UDP to {} is opened and nothing comes over it then: sessions may freeze until they go back to TCP.",
                udp.address
            );
            findings.add_unless_verdict(VerdictId::UdpHalfOpen, Phase::Udp, text);
        }
    } else if answers.iter().all(|answer| matches!(answer, UdpAnswer::Unreachable)) {
        let text = format!("Nothing listens on UDP {}: sessions run over TCP alone.", udp.address);
        findings.add("udp-off", Phase::Udp, text);
    } else if answers.iter().all(|answer| matches!(answer, UdpAnswer::Silent { .. } | UdpAnswer::Unreachable))
    {
        let text = format!(
            "UDP to {} is not answered, blocked or not offered: sessions run over TCP alone.",
            udp.address
        );
        findings.add_unless_verdict(VerdictId::UdpBlocked, Phase::Udp, text);
    }
}

fn steadiness(probe: &Probe, findings: &mut Findings) {
    for flaky in &probe.flaky {
        let answers: Vec<String> = flaky
            .answers
            .iter()
            .map(|(answer, count)| format!("{answer} ({count} of {})", flaky.answers.values().sum::<u32>()))
            .collect();
        let text =
            format!("The answer to one and the same question changes: {}: {}.", flaky.check, list(&answers));
        findings.add("flaky", Phase::Closed, text);
    }
    for left_out in &probe.left_out {
        findings.add(
            "not-checked",
            Phase::Closed,
            format!("Not checked: {}, because {}.", left_out.check, left_out.reason),
        );
    }
}
