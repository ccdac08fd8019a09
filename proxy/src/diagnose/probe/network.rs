//! Name, addresses and TCP, as a probe finds them.

use super::super::facts::is_loopback_name;
use super::super::words::{list, span};
use super::{Conclusion, Facts, Rule, VerdictId, failed, is_connected, rule, spoke_rdp, times};
use crate::trace::{Confidence, ConnectError, Phase, Probe, TcpCheck};
use std::net::IpAddr;

pub(super) const RULES: &[Rule] = &[
    rule(
        VerdictId::DnsFailure,
        "the answer of the resolver",
        dns_failure,
        &["Resolve-DnsName {host}", "rdpscope probe IP-ADDRESS-OF-{host}"],
    ),
    rule(
        VerdictId::TcpRefused,
        "several connection attempts to each address",
        refused,
        &["Test-NetConnection {host} -Port {port}"],
    ),
    rule(
        VerdictId::TcpFiltered,
        "several connection attempts to each address",
        filtered,
        &["Test-NetConnection {host} -Port {port}", "Test-NetConnection {host} -TraceRoute"],
    ),
    rule(
        VerdictId::TcpReset,
        "several connection attempts to each address",
        reset,
        &["Test-NetConnection {host} -Port {port}"],
    ),
    rule(
        VerdictId::DnsMismatch,
        "a name with several addresses, and several connection attempts to each",
        some_addresses,
        &["rdpscope ab {target} --vary address", "Resolve-DnsName {host}"],
    ),
    rule(
        VerdictId::DnsMismatch,
        "a name, and the names that the machine behind it gives itself in NTLM and in its certificate",
        other_machine,
        &["rdpscope ab {target} --vary address", "Resolve-DnsName {host}", "Clear-DnsClientCache"],
    ),
    rule(
        VerdictId::LinkLossy,
        "several connection attempts to one address, of which some vanish",
        lossy,
        &["rdpscope probe {target}", "Test-NetConnection {host} -Port {port}"],
    ),
];

pub(super) fn dns_failure(facts: &Facts<'_>) -> Option<Conclusion> {
    let dns = facts.probe?.dns.as_ref().filter(|dns| dns.addresses.is_empty())?;
    let reason = dns.failure.as_deref()?;
    let summary = format!("The name {} could not be resolved to an address: {reason}.", dns.name);
    let conclusion = Conclusion::confirmed(Phase::Dns, summary);
    Some(conclusion.seen(dns.took_us, format!("the resolver says: {reason}")))
}

/// The addresses of a target of which none could be connected.
fn unreached<'a>(facts: &Facts<'a>) -> Option<&'a Probe> {
    let is_unreached = |probe: &&Probe| !probe.tcp.is_empty() && !is_connected(probe);
    facts
        .probe
        .filter(is_unreached)
        .filter(|probe| !probe.tcp.iter().any(|it| is_lost_beside_others(probe, it)))
}

/// Whether the connections that were timed are lost, and with them the attempts that would have followed, while one beside
/// them came through to the only address that there is.
fn is_lost_beside_others(probe: &Probe, check: &TcpCheck) -> bool {
    let is_lost = failed(check) && check.failures.iter().all(|it| it.error == ConnectError::TimedOut);
    is_lost && probe.tcp.len() == 1 && spoke_rdp(probe)
}

fn failures(check: &TcpCheck, error: ConnectError) -> u32 {
    check.failures.iter().filter(|failure| failure.error == error).map(|failure| failure.count).sum()
}

fn has(probe: &Probe, error: ConnectError) -> bool {
    probe.tcp.iter().any(|check| failures(check, error) > 0)
}

fn with_attempts(mut conclusion: Conclusion, probe: &Probe) -> Conclusion {
    for check in &probe.tcp {
        for failure in &check.failures {
            let text = format!(
                "{}: {} ({} of {})",
                check.address,
                failure.reason,
                failure.count,
                check.rounds.len()
            );
            conclusion = conclusion.seen(0, text);
        }
        if let Some(took) = check.rounds.iter().flatten().min() {
            conclusion = conclusion.seen(0, format!("{}: connected in {}", check.address, span(*took)));
        }
    }
    conclusion
}

fn addresses(checks: &[&TcpCheck]) -> String {
    list(&checks.iter().map(|check| check.address.clone()).collect::<Vec<_>>())
}

/// Those that failed so at least once.
fn addresses_that(probe: &Probe, error: ConnectError) -> String {
    addresses(&probe.tcp.iter().filter(|check| failures(check, error) > 0).collect::<Vec<_>>())
}

fn all_addresses(probe: &Probe) -> String {
    addresses(&probe.tcp.iter().collect::<Vec<_>>())
}

pub(super) fn refused(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = unreached(facts).filter(|probe| has(probe, ConnectError::Refused))?;
    let is_unanimous = !has(probe, ConnectError::TimedOut);
    let confidence = if is_unanimous { Confidence::Confirmed } else { Confidence::Likely };
    let names = addresses_that(probe, ConnectError::Refused);
    let summary = format!(
        "{names} refused the TCP connection: nothing listens on that port, or a firewall rejects it."
    );
    Some(with_attempts(Conclusion::new(confidence, Phase::Tcp, summary), probe))
}

pub(super) fn filtered(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = unreached(facts)?;
    let names = all_addresses(probe);
    let conclusion = if has(probe, ConnectError::TimedOut) {
        let names = addresses_that(probe, ConnectError::TimedOut);
        let summary = format!(
            "{names} did not answer the TCP connection: a firewall drops it, or there is no such host."
        );
        Conclusion::likely(Phase::Tcp, summary)
    } else if has(probe, ConnectError::Refused) || has(probe, ConnectError::Reset) {
        return None;
    } else if has(probe, ConnectError::Unreachable) {
        let summary = format!("There is no way to {names}: the network says it is unreachable.");
        Conclusion::likely(Phase::Tcp, summary)
    } else {
        let summary = format!("{names} could not be connected, and nothing came back from it.");
        Conclusion::possible(Phase::Tcp, summary)
    };
    Some(with_attempts(conclusion, probe))
}

pub(super) fn reset(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = unreached(facts).filter(|probe| has(probe, ConnectError::Reset))?;
    let summary = format!(
        "{} cut the TCP connection while it was being opened.",
        addresses_that(probe, ConnectError::Reset)
    );
    Some(with_attempts(Conclusion::confirmed(Phase::Tcp, summary), probe))
}

/// The addresses that refuse or stay silent beside others that answer. One without a route says nothing, and neither
/// does one of this machine's own names.
pub(super) fn dead_addresses(probe: &Probe) -> Vec<&TcpCheck> {
    let is_local = probe.dns.as_ref().is_some_and(|dns| is_loopback_name(&dns.name));
    if is_local || !is_connected(probe) {
        return Vec::new();
    }
    let answers = |check: &&TcpCheck| {
        failed(check)
            && (failures(check, ConnectError::Refused) > 0
                || failures(check, ConnectError::TimedOut) > 0
                || failures(check, ConnectError::Reset) > 0)
    };
    probe.tcp.iter().filter(answers).collect()
}

pub(super) fn some_addresses(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe?;
    let dead = dead_addresses(probe);
    if dead.is_empty() {
        return None;
    }
    // A client is refused at once and goes on to the next; for silence it waits.
    let is_silent = dead.iter().any(|check| failures(check, ConnectError::TimedOut) > 0);
    let confidence = if is_silent { Confidence::Likely } else { Confidence::Possible };
    let summary = format!(
        "{} has {} addresses, of which {} cannot be connected: a client that tries that one first waits or fails.",
        facts.host,
        probe.tcp.len(),
        addresses(&dead)
    );
    Some(with_attempts(Conclusion::new(confidence, Phase::Dns, summary), probe))
}

/// Whether an address was typed in the place of a name.
pub(super) fn is_address(probe: &Probe) -> bool {
    let host = probe.target.rsplit_once(':').map_or(probe.target.as_str(), |(host, _)| host);
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// The name that was typed, unless it is an address or one of this machine's own names: those say nothing of who should
/// answer.
pub(super) fn typed_name(probe: &Probe) -> Option<&str> {
    let host = probe.target.rsplit_once(':').map_or(probe.target.as_str(), |(host, _)| host);
    let says_nothing = host.is_empty() || is_address(probe) || is_loopback_name(host);
    (!says_nothing).then_some(host)
}

/// Whether two names can be of one machine: by their first labels, as one of them may be short.
pub(super) fn is_same_machine(one: &str, other: &str) -> bool {
    let first = |name: &str| name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    first(one) == first(other)
}

/// What the machine calls itself in NTLM: its full name, else its short one.
pub(super) fn computer_name(probe: &Probe) -> Option<&str> {
    let challenge = probe.challenge()?;
    let names = [&challenge.dns_computer, &challenge.netbios_computer];
    names.into_iter().flatten().map(String::as_str).find(|name| !name.is_empty())
}

/// An alias looks the same as a stale record, unless the certificate is for the name that was typed.
fn other_machine(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe?;
    let typed = typed_name(probe)?;
    let itself = computer_name(probe).filter(|name| !is_same_machine(name, typed))?;
    let certificate = probe.certificate.as_ref()?;
    if certificate.name_matches {
        return None;
    }
    let leaf = certificate.chain.first()?;
    let is_its_own = leaf.matches_name(itself)
        || leaf.subject_cn.as_deref().is_some_and(|subject| is_same_machine(subject, itself));
    let summary = format!(
        "The machine that answers under {typed} calls itself {itself}: the name is an alias, or it still leads to an \
         address that another machine has now."
    );
    let conclusion = Conclusion::possible(Phase::Dns, summary)
        .or_possibly(&[VerdictId::CertificateNameMismatch])
        .seen(0, format!("the NTLM challenge names the computer {itself}"));
    let reverse = probe.dns.iter().flat_map(|dns| dns.reverse.iter());
    let named = reverse.filter_map(|(address, name)| name.as_deref().map(|name| (address, name)));
    let conclusion = named.fold(conclusion, |conclusion, (address, name)| {
        conclusion.seen(0, format!("by reverse lookup {address} is {name}"))
    });
    is_its_own.then(|| conclusion.seen(0, "its certificate is for that name, not for the one that was typed"))
}

pub(super) fn lossy(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe?;
    let is_reached = |check: &TcpCheck| !failed(check) || is_lost_beside_others(probe, check);
    let vanished = |check: &&TcpCheck| is_reached(check) && failures(check, ConnectError::TimedOut) > 0;
    let check = probe.tcp.iter().find(vanished)?;
    let count = failures(check, ConnectError::TimedOut) as usize;
    let summary = format!(
        "Of {} connections to {} that were timed, {count} got no answer and others did: packets are lost on the way, \
         or the server takes no more connections for a time.",
        check.rounds.len(),
        check.address
    );
    let confidence = if count > 1 { Confidence::Likely } else { Confidence::Possible };
    let conclusion = Conclusion::new(confidence, Phase::Tcp, summary).or_possibly(&[VerdictId::RdpSilent]);
    Some(conclusion.seen(0, format!("{} timed out {}", check.address, times(count))))
}
