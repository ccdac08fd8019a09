//! What is true and worth knowing without being the cause.

use super::facts::{CertificateFacts, Facts, Tls};
use super::inspection::inspector;
use super::loss::{Loss, Resent};
use super::network::failed_addresses;
use super::nla::skew_words;
use super::words::{SECOND, span};
use super::{confounders, gateway, recorded, words::capital};
use crate::trace::{Finding, Leg, Phase, Side, TcpInfo, VerdictId};
use rdpscope_certs::inspect::{Validity, Weakness};
use rdpscope_certs::mode::Repair;
use std::net::IpAddr;

/// Windows renews its self-signed certificate only when it has expired; a month is time to plan the restart.
const EXPIRES_SOON_SECONDS: u64 = 30 * 24 * 3600;
/// Above this round trip time typing feels slow and handshakes of a dozen round trips take seconds.
pub(super) const SLOW_RTT_US: u32 = 150_000;
/// Where rdpscope is told a name that clients dial.
const SERVERS_NAME: &str = "that name as its target";
pub(super) const GATEWAYS_NAME: &str = "that name as --gateway";
/// Clients that do not ask anything begin TLS within milliseconds of the server's answer.
const PASSWORD_PROMPT_US: u64 = 3 * SECOND;

/// Everything worth knowing of the session whose verdict is `verdict`.
pub(super) fn all(facts: &Facts<'_>, verdict: VerdictId) -> Vec<Finding> {
    let mut findings = Findings { verdict, told: is_about_the_server(facts, verdict), found: Vec::new() };
    network(facts, &mut findings);
    recorded::findings(facts, &mut findings);
    gateway::add_findings(facts, &mut findings);
    negotiation(facts, &mut findings);
    tls(facts, &mut findings);
    if let Some(certificate) = &facts.tls.certificate {
        self::certificate(certificate, &mut findings);
    }
    judged(facts, &mut findings);
    shown_for_other_name(
        &facts.tls,
        if facts.at_gateway { GATEWAYS_NAME } else { SERVERS_NAME },
        &mut findings,
    );
    if facts.at_gateway {
        gateway::name_in_findings(&mut findings.found);
    }
    logon(facts, &mut findings);
    udp(facts, &mut findings);
    let confounders = confounders::worth_a_note(facts, verdict);
    findings.found.extend(confounders.iter().map(confounders::Confounder::finding));
    findings.found
}

/// Whether a verdict about a certificate is about the server's own, and not about ours in its place.
fn is_about_the_server(facts: &Facts<'_>, verdict: VerdictId) -> bool {
    let property = match verdict {
        VerdictId::CertificateExpired | VerdictId::CertificateNotYetValid => Repair::Dates,
        VerdictId::CertificateNameMismatch => Repair::Names,
        VerdictId::CertificateUntrusted => Repair::Issuer,
        VerdictId::CertificateWrongUsage => Repair::Usage,
        _ => return true,
    };
    facts.whose(property).is_servers()
}

/// Findings as they come together.
pub(super) struct Findings {
    verdict: VerdictId,
    /// The verdict tells what is wrong with the server.
    told: bool,
    pub(super) found: Vec<Finding>,
}

impl Findings {
    /// None yet, beside a verdict about the server.
    pub(super) fn beside(verdict: VerdictId) -> Findings {
        Findings { verdict, told: true, found: Vec::new() }
    }

    pub(super) fn verdict(&self) -> VerdictId {
        self.verdict
    }

    pub(super) fn add(&mut self, id: &str, phase: Phase, text: String) {
        self.found.push(Finding { id: id.to_owned(), phase, text });
    }

    /// A cause that another session may fail of; not where this one did.
    pub(super) fn add_unless_verdict(&mut self, id: VerdictId, phase: Phase, text: String) {
        if self.verdict != id || !self.told {
            self.add(id.as_str(), phase, text);
        }
    }
}

fn network(facts: &Facts<'_>, findings: &mut Findings) {
    let failed = failed_addresses(facts);
    if facts.network.connected.is_some() && !failed.is_empty() {
        let text = format!("{} has an address that does not answer: {failed}.", facts.host);
        findings.add("address-unreachable", Phase::Tcp, text);
    }
    for (side, name) in [(Side::Client, "client"), (Side::Server, "server")] {
        if let Some(link) = &facts.links[side.index()] {
            slow(facts, link, name, findings);
            lossy(link, name, findings);
        }
    }
}

fn slow(facts: &Facts<'_>, link: &TcpInfo, name: &str, findings: &mut Findings) {
    if let Some(rtt) = link.rtt_us.filter(|rtt| *rtt > SLOW_RTT_US) {
        let near = if facts.is_recorded { "client" } else { "rdpscope" };
        let text = format!(
            "The way between {near} and the {name} is slow: a round trip takes {}.",
            span(rtt.into())
        );
        findings.add("high-round-trip-time", Phase::Tcp, text);
    }
}

fn lossy(link: &TcpInfo, name: &str, findings: &mut Findings) {
    if let Some(Loss { resent: Resent { again, unit, .. }, all }) = Loss::of(link) {
        let text = format!("Of {all} {unit} sent to the {name}, {again} had to be sent again.");
        findings.add("segments-lost", Phase::Tcp, text);
    }
}

fn negotiation(facts: &Facts<'_>, findings: &mut Findings) {
    if let Some(request) = facts.negotiation.request {
        if let Some(id) = &request.what.correlation_id {
            let text = format!(
                "The correlation id of this connection, under which servers and gateways log it, is {id}."
            );
            findings.add("correlation-id", Phase::X224, text);
        }
        let asks = |flag: &str| request.what.flag_names.iter().any(|name| name == flag);
        if asks("RESTRICTED_ADMIN_MODE_REQUIRED") {
            let text = "The client demands Restricted Admin mode, which the server has to allow.".to_owned();
            findings.add("restricted-admin", Phase::X224, text);
        }
        if asks("REDIRECTED_AUTHENTICATION_MODE_REQUIRED") {
            let text = "The client demands Remote Credential Guard, which needs Kerberos and a name, not an address.";
            findings.add("remote-credential-guard", Phase::X224, text.to_owned());
        }
        for anomaly in &request.what.anomalies {
            findings.add("request-anomaly", Phase::X224, format!("The client's request is odd: {anomaly}."));
        }
    }
    let Some(confirm) = facts.negotiation.confirm else { return };
    for anomaly in &confirm.what.anomalies {
        findings.add("confirm-anomaly", Phase::X224, format!("The server's answer is odd: {anomaly}."));
    }
    let selected = confirm.what.selected_protocol_name.as_str();
    let offered_nla = (facts.offered("HYBRID") || facts.offered("HYBRID_EX")) && facts.stripped_nla.is_none();
    if offered_nla && matches!(selected, "SSL" | "RDP") && findings.verdict != VerdictId::NlaNotOffered {
        let text = format!(
            "Network level authentication is off: the client offered it and the server chose {selected}."
        );
        findings.add("nla-off", Phase::X224, text);
    }
    if selected == "RDP" {
        let text =
            "The session uses the old RDP security, which does not prove the server's identity.".to_owned();
        findings.add("rdp-security", Phase::X224, text);
    }
    if let Some(hello) = facts.tls.client_hello {
        let waited = hello.t_us.saturating_sub(confirm.t_us);
        if waited >= PASSWORD_PROMPT_US + facts.impaired.delay_us && !facts.tls.hello_retry {
            let text = format!(
                "The client waited {} before it began TLS; that is normally its user typing the password, not the \
                 network.",
                span(waited)
            );
            findings.add("client-waited", Phase::Tls, text);
        }
    }
}

fn tls(facts: &Facts<'_>, findings: &mut Findings) {
    let Some(hello) = facts.tls.server_hello.map(|hello| hello.what) else { return };
    if matches!(hello.version.as_str(), "SSL3.0" | "TLS1.0" | "TLS1.1") {
        let text = format!("The server chose {}, which current systems refuse.", hello.version);
        findings.add("old-tls-version", Phase::Tls, text);
    }
    let suite = hello.cipher_suite.to_string();
    if suite.starts_with("TLS_RSA_WITH") {
        let text = format!("The cipher suite {suite} has no forward secrecy; hardened clients refuse it.");
        findings.add("static-rsa-key-exchange", Phase::Tls, text);
    }
    if facts.is_downgraded() && findings.verdict != VerdictId::TlsInspected {
        let text = format!(
            "The server says that it can do better than {} and the client offered better: something on the way \
             rewrites the handshake.",
            hello.version
        );
        findings.add("tls-downgraded", Phase::Tls, text);
    }
}

pub(super) fn certificate(certificate: &CertificateFacts<'_>, findings: &mut Findings) {
    let subject = certificate.subject();
    let words = certificate.validity_words();
    match certificate.validity() {
        Some(Validity::Valid { remaining_seconds }) if remaining_seconds < EXPIRES_SOON_SECONDS => {
            let text = format!("The server's certificate for {subject} is {words} more.");
            findings.add("certificate-expires-soon", Phase::Tls, text);
        }
        Some(Validity::Expired { .. }) => {
            let text = format!("The server's certificate for {subject} {words}.");
            findings.add_unless_verdict(VerdictId::CertificateExpired, Phase::Tls, text);
        }
        Some(Validity::NotYetValid { .. }) => {
            let text = format!("The server's certificate for {subject} is {words}.");
            findings.add_unless_verdict(VerdictId::CertificateNotYetValid, Phase::Tls, text);
        }
        _ => {}
    }
    if let Some(issuer) = inspector(certificate.chain) {
        let text = format!(
            "The issuer of the certificate, {issuer}, is one of those that take TLS apart on the way."
        );
        findings.add_unless_verdict(VerdictId::TlsInspected, Phase::Tls, text);
    }
    if certificate.has_wrong_usage() {
        let text = format!("The server's certificate for {subject} is not meant for servers.");
        findings.add_unless_verdict(VerdictId::CertificateWrongUsage, Phase::Tls, text);
    }
    for weakness in certificate.weaknesses() {
        let id = match weakness {
            Weakness::Sha1Signature | Weakness::Md5Signature => "certificate-weak-signature",
            _ => "certificate-weak-key",
        };
        findings.add(id, Phase::Tls, format!("The server's certificate for {subject} is weak: {weakness}."));
    }
}

/// What this machine thinks of the server's certificate, whatever the client was shown.
fn judged(facts: &Facts<'_>, findings: &mut Findings) {
    if let Some(legacy) = facts.tls.legacy.filter(|legacy| legacy.what.0 == Leg::Server) {
        let text = format!("The server can only do TLS that current clients refuse: {}.", legacy.what.1);
        findings.add("old-tls-only", Phase::Tls, text);
    }
    let Some(judged) = facts.tls.judged.map(|judged| judged.what) else { return };
    if !judged.trusted {
        let why = judged.reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let text = format!("This machine does not trust the server's certificate{why}.");
        findings.add_unless_verdict(VerdictId::CertificateUntrusted, Phase::Tls, text);
    }
    if !judged.name_matches {
        let names =
            facts.tls.certificate.as_ref().map_or_else(String::new, |it| format!(" but for {}", it.names()));
        let text = format!("The server's certificate is not for {}{names}.", judged.name);
        findings.add_unless_verdict(VerdictId::CertificateNameMismatch, Phase::Tls, text);
    }
}

/// The client asks for a name that rdpscope's certificate is not for. One that is like the server's, or wrong because that
/// was asked for, is so on purpose.
pub(super) fn shown_for_other_name(tls: &Tls<'_>, given_as: &str, findings: &mut Findings) {
    let name = tls.client_hello.and_then(|hello| hello.what.server_name.as_deref());
    let Some((presented, name)) = tls.presented.as_ref().zip(name) else { return };
    let on_purpose = presented.mode.starts_with("mirror") || presented.mode == "wrong-name";
    let is_told = on_purpose || findings.verdict == VerdictId::CertificateNameMismatch;
    if is_told || presented.certificate.leaf.matches_name(name) {
        return;
    }
    let names = presented.certificate.names();
    let text = format!(
        "The client asks for {name} in TLS, and the certificate that rdpscope shows it is for {names}: {} and the client can \
         take it.",
        match presented.mode.starts_with("file:") {
            true => "give --cert file: one that is for that name, too,".to_owned(),
            false => format!("start rdpscope with {given_as} (--address says where it leads)"),
        }
    );
    findings.add("shown-for-other-name", Phase::Tls, text);
}

/// What the server says of itself before it lets anybody in.
fn logon(facts: &Facts<'_>, findings: &mut Findings) {
    if let Some(skew) = facts.clock_skew() {
        let text = format!("{}: too far apart for Kerberos.", capital(&skew_words(skew.what)));
        findings.add_unless_verdict(VerdictId::NlaClockSkew, Phase::Credssp, text);
    }
    let Some(challenge) = facts.logon.challenge.map(|challenge| challenge.what) else { return };
    let names = [&challenge.dns_computer, &challenge.netbios_computer];
    let names: Vec<&str> =
        names.into_iter().flatten().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let first_label = |name: &str| name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let is_name = !facts.host.is_empty() && facts.host.parse::<IpAddr>().is_err();
    let is_it = names.iter().any(|name| first_label(name) == first_label(&facts.host));
    if let Some(name) = names.first().filter(|_| is_name && !is_it) {
        let text = format!(
            "The machine that answered calls itself {name}, not {}: an alias, a load balancer, or a stale DNS entry.",
            facts.host
        );
        findings.add("other-machine-answered", Phase::Credssp, text);
    }
}

fn udp(facts: &Facts<'_>, findings: &mut Findings) {
    if let Some((count, waited, _)) = facts.udp_is_blocked() {
        let text = format!(
            "UDP is blocked: {count} attempts in {} got no answer, so the session runs over TCP alone.",
            span(waited)
        );
        findings.add_unless_verdict(VerdictId::UdpBlocked, Phase::Udp, text);
    } else if let Some((silent, _)) = facts.udp_is_half_open() {
        let text = format!("UDP was opened, but nothing came over it from the server for {}.", span(silent));
        findings.add_unless_verdict(VerdictId::UdpHalfOpen, Phase::Udp, text);
    }
}
