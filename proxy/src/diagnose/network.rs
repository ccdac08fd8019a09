//! Names, addresses and TCP.

use super::facts::{Attempt, Facts};
use super::rule::{Conclusion, Remedy, Rule};
use super::words::{SECOND, list, span};
use crate::trace::{Confidence, ConnectError, How, Phase, Side, VerdictId, Where};

/// Every system has sent its SYN three times after this long (0, 1 and 3 s); a loss of all three is no accident.
const THREE_SYNS_US: u64 = 3 * SECOND;

/// A SYN is sent again after this long at the earliest (RFC 6298 section 2.1): a client that left sooner proves nothing.
const FIRST_RETRY_US: u64 = SECOND;

/// A server that is there answers the X.224 request within a round trip; this is ten of the slowest links in use.
pub(super) const RDP_ANSWER_US: u64 = 3 * SECOND;
/// A server that gives a connection up sooner cannot have waited for the client's request.
const HASTY_US: u64 = SECOND;

const CHECK_LISTENER: Remedy = Remedy::command(
    Where::Server,
    "See whether anything listens on the port and what it is.",
    "Get-NetTCPConnection -LocalPort {port} -State Listen | Select-Object LocalAddress,OwningProcess",
);
const ENABLE_RDP: Remedy = Remedy::command(
    Where::Server,
    "See whether Remote Desktop is switched on: 0 means that it is.",
    "Get-ItemProperty 'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server' fDenyTSConnections",
);
const FIREWALL_RULES: Remedy = Remedy::command(
    Where::Server,
    "See whether the host's firewall lets Remote Desktop in.",
    "Get-NetFirewallRule -Name RemoteDesktop-UserMode-In-TCP,RemoteDesktop-UserMode-In-UDP | ft Name,Enabled",
);
const RESTART_SERVICE: Remedy = Remedy::command(
    Where::Server,
    "Restart Remote Desktop Services; this cuts every session on the server.",
    "Restart-Service TermService -Force",
);
const OUTSTANDING: Remedy = Remedy::command(
    Where::Server,
    "Look for event 1006 in the System log: too many unfinished connections, which MaxOutstandingConnections limits.",
    "Get-WinEvent -FilterHashtable @{LogName='System';Id=1006} -MaxEvents 5",
);

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: VerdictId::DnsFailure,
        needs: "the answer of the system's resolver",
        depends_on: &[],
        is_last_resort: false,
        judge: dns_failure,
        next: &["Resolve-DnsName {host}", "rdpscope probe IP-ADDRESS-OF-{host}"],
        fix: &[
            Remedy::by_hand(
                Where::Client,
                "Check the spelling of the name, and whether the VPN or network is connected in which it exists.",
            ),
            Remedy::command(
                Where::Client,
                "Forget what the client remembers of the name; this disturbs nothing.",
                "Clear-DnsClientCache",
            ),
            Remedy::by_hand(Where::Network, "Add or repair the host's record on the DNS server."),
        ],
    },
    Rule {
        id: VerdictId::TcpRefused,
        needs: "the outcome of every connection attempt",
        depends_on: &[VerdictId::DnsFailure, VerdictId::GatewayUnreachable],
        is_last_resort: false,
        judge: tcp_refused,
        next: &["rdpscope probe {target}", "Test-NetConnection {host} -Port {port}"],
        fix: &[
            CHECK_LISTENER,
            ENABLE_RDP,
            Remedy::command(
                Where::Server,
                "Start Remote Desktop Services if they do not run; this disturbs nobody.",
                "Start-Service TermService",
            ),
            FIREWALL_RULES,
        ],
    },
    Rule {
        id: VerdictId::TcpFiltered,
        needs: "the outcome of every connection attempt",
        depends_on: &[VerdictId::DnsFailure, VerdictId::GatewayUnreachable],
        is_last_resort: false,
        judge: tcp_filtered,
        next: &["Test-NetConnection {host} -Port {port}", "Test-NetConnection {host} -TraceRoute"],
        fix: &[
            Remedy::by_hand(
                Where::Network,
                "Capture at the server's network card: connection requests that arrive there unanswered point to \
                 the host's own firewall, none at all to a firewall or a missing route on the way.",
            ),
            FIREWALL_RULES,
            Remedy::by_hand(
                Where::Server,
                "Check that the host is running and has the address that was dialled.",
            ),
        ],
    },
    Rule {
        id: VerdictId::TcpReset,
        needs: "a TCP connection that ended before the server had sent anything",
        depends_on: &[VerdictId::GatewayUnreachable],
        is_last_resort: false,
        judge: tcp_reset,
        next: &["rdpscope probe {target}"],
        fix: &[CHECK_LISTENER, OUTSTANDING, RESTART_SERVICE],
    },
    Rule {
        id: VerdictId::NotRdp,
        needs: "the server's first bytes",
        depends_on: &[VerdictId::GatewayNotAGateway],
        is_last_resort: false,
        judge: not_rdp,
        next: &["rdpscope probe {target}"],
        fix: &[
            CHECK_LISTENER,
            Remedy::command(
                Where::Server,
                "See on which port Remote Desktop listens.",
                "Get-ItemProperty 'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server\\WinStations\\RDP-Tcp' \
                 PortNumber",
            ),
            Remedy::by_hand(
                Where::Client,
                "If this is an RD Gateway, put it into the gateway setting and not in the place of the computer.",
            ),
        ],
    },
    Rule {
        id: VerdictId::RdpSilent,
        needs: "an X.224 request, and time for the answer",
        depends_on: &[],
        is_last_resort: false,
        judge: rdp_silent,
        next: &["rdpscope probe {target}"],
        fix: &[OUTSTANDING, CHECK_LISTENER, RESTART_SERVICE],
    },
    Rule {
        id: VerdictId::DnsMismatch,
        needs: "a name with several addresses, and the outcome of each",
        depends_on: &[VerdictId::Healthy],
        is_last_resort: false,
        judge: some_addresses_fail,
        next: &["rdpscope ab {target} --vary address", "Resolve-DnsName {host}"],
        fix: &[Remedy::by_hand(
            Where::Network,
            "Remove the addresses from DNS that are not this host's or that nobody can reach.",
        )],
    },
    Rule {
        id: VerdictId::ServerClosed,
        needs: "the answer of the upstream proxy",
        depends_on: &[],
        is_last_resort: false,
        judge: |facts| upstream_refused(facts).filter(|_| facts.gateway.is_none()),
        next: &["rdpscope probe {target}"],
        fix: ASK_THE_PROXY,
    },
];

/// Where the upstream proxy opens no way.
pub(super) const ASK_THE_PROXY: &[Remedy] = &[
    Remedy::by_hand(
        Where::Network,
        "Allow this destination and port on the upstream proxy, or name another one with --upstream-proxy.",
    ),
    Remedy::by_hand(Where::Network, "If there is a direct way to the server, leave --upstream-proxy out."),
];

fn dns_failure(facts: &Facts<'_>) -> Option<Conclusion> {
    let failed = facts.network.resolution_failed?;
    let (name, reason) = failed.what;
    let summary = format!("The name {name} could not be resolved to an address: {reason}.");
    Some(Conclusion::confirmed(Phase::Dns, summary).seen(failed.t_us, format!("the resolver says: {reason}")))
}

fn failed_with<'f, 'a>(facts: &'f Facts<'a>, error: ConnectError) -> impl Iterator<Item = &'f Attempt<'a>> {
    facts.network.attempts.iter().filter(move |attempt| attempt.error == Some(error))
}

fn addresses<'f, 'a: 'f>(attempts: impl Iterator<Item = &'f Attempt<'a>>) -> String {
    list(&attempts.map(|attempt| attempt.address.to_owned()).collect::<Vec<_>>())
}

fn with_attempts(mut conclusion: Conclusion, facts: &Facts<'_>) -> Conclusion {
    for attempt in &facts.network.attempts {
        let took = span(attempt.took_us);
        let text = match attempt.error {
            Some(_) => format!("{}: {} after {took}", attempt.address, attempt.reason),
            None => format!("{}: no answer within {took}", attempt.address),
        };
        conclusion = conclusion.seen(attempt.t_us, text);
    }
    conclusion
}

pub(super) fn tcp_refused(facts: &Facts<'_>) -> Option<Conclusion> {
    if facts.network.connected.is_some() || facts.network.upstream_refused.is_some() {
        return None;
    }
    let refused = addresses(failed_with(facts, ConnectError::Refused));
    failed_with(facts, ConnectError::Refused).next()?;
    let all = facts.network.attempts.iter().all(|attempt| attempt.error == Some(ConnectError::Refused));
    let confidence = if all { Confidence::Confirmed } else { Confidence::Likely };
    let summary = format!(
        "{refused} refused the TCP connection: nothing listens on that port, or a firewall rejects it."
    );
    Some(with_attempts(Conclusion::new(confidence, Phase::Tcp, summary), facts))
}

pub(super) fn tcp_filtered(facts: &Facts<'_>) -> Option<Conclusion> {
    let network = &facts.network;
    if network.connected.is_some() || network.upstream_refused.is_some() {
        return None;
    }
    let answered =
        |attempt: &Attempt<'_>| matches!(attempt.error, Some(ConnectError::Refused | ConnectError::Reset));
    let unanswered: Vec<_> = network.attempts.iter().filter(|attempt| !answered(attempt)).collect();
    let longest = unanswered.iter().map(|attempt| attempt.took_us).max()?;
    let names = addresses(unanswered.iter().copied());
    let has = |error| unanswered.iter().any(|attempt| attempt.error == Some(error));
    let waited = has(ConnectError::TimedOut) || longest >= THREE_SYNS_US;
    let conclusion = if waited {
        let summary = format!(
            "{names} did not answer the TCP connection within {}: a firewall drops it, or there is no such host.",
            span(longest)
        );
        Conclusion::likely(Phase::Tcp, summary)
    } else if has(ConnectError::Unreachable) {
        Conclusion::likely(
            Phase::Tcp,
            format!("There is no way to {names}: the network says it is unreachable."),
        )
    } else if has(ConnectError::Other) && facts.ending.stopped.is_some() {
        // It was this machine that could not connect, and rdpscope says why.
        return None;
    } else if has(ConnectError::Other) {
        Conclusion::possible(
            Phase::Tcp,
            format!("{names} could not be connected, and nothing came back from it."),
        )
    } else if longest < FIRST_RETRY_US && facts.ended_by(Side::Client) {
        return None;
    } else {
        let summary = format!(
            "The client gave up {} after the connection to {names} was begun, too soon to tell why it was not answered.",
            span(longest)
        );
        Conclusion::possible(Phase::Tcp, summary).or_possibly(&[VerdictId::ClientClosed])
    };
    Some(with_attempts(conclusion, facts))
}

fn tcp_reset(facts: &Facts<'_>) -> Option<Conclusion> {
    if facts.network.connected.is_none() {
        return reset_while_opened(facts);
    }
    // What a gateway, or a box before it, does to a ClientHello is told of TLS.
    if facts.at_gateway && facts.tls.client_hello.is_some() {
        return None;
    }
    if !facts.ended_by(Side::Server) || facts.server_spoke() || facts.negotiation.other_protocol[0].is_some()
    {
        return None;
    }
    // What a server does with a client that does not ask for RDP is no fault of the server's.
    let connected = facts.network.connected.map_or(0, |connected| connected.t_us);
    let (since, asked) = match facts.negotiation.request {
        Some(request) => (request.t_us.max(connected), "after the client's request"),
        None if facts.at_gateway => (connected, "after it was opened"),
        None if facts.client_spoke() || facts.left_after(connected) >= HASTY_US => return None,
        None => (connected, "after it was opened, before the client had asked"),
    };
    let after = span(facts.left_after(since));
    let how = if facts.ending.how == Some(How::Reset) { "reset" } else { "closed" };
    let summary = format!(
        "The server accepted the TCP connection and {how} it without a byte of {}, {after} {asked}.",
        if facts.at_gateway { "TLS" } else { "RDP" }
    );
    let conclusion = match facts.ending.how {
        Some(How::Reset) => Conclusion::confirmed(Phase::X224, summary),
        _ => Conclusion::likely(Phase::X224, summary),
    };
    let conclusion = conclusion.or_possibly(&[VerdictId::RdpSilent, VerdictId::NotRdp]);
    Some(conclusion.seen(facts.ending.t_us, format!("the server {how} the connection; it had sent nothing")))
}

pub(super) fn reset_while_opened(facts: &Facts<'_>) -> Option<Conclusion> {
    let reset =
        failed_with(facts, ConnectError::Reset).next().filter(|_| facts.network.connected.is_none())?;
    let summary = format!("{} cut the TCP connection while it was being opened.", reset.address);
    Some(with_attempts(Conclusion::confirmed(Phase::Tcp, summary), facts))
}

fn not_rdp(facts: &Facts<'_>) -> Option<Conclusion> {
    let other = facts.negotiation.other_protocol[Side::Server.index()]?;
    let summary = match other.what.name {
        Some(protocol) => format!("Port {{port}} of {{host}} does not speak RDP but {protocol}."),
        None => "What answers on port {port} of {host} does not speak RDP.".to_owned(),
    };
    let conclusion = Conclusion::confirmed(Phase::X224, facts.fill(&summary));
    Some(conclusion.seen(other.t_us, format!("the server's first bytes are {}", other.what.first_bytes)))
}

fn rdp_silent(facts: &Facts<'_>) -> Option<Conclusion> {
    let request = facts.negotiation.request?;
    // A client speaks at once; the server hears it when it is reached.
    let connected = facts.network.connected?;
    let waited = facts.left_after(request.t_us.max(connected.t_us));
    if facts.server_spoke()
        || facts.ended_by(Side::Server)
        || waited < RDP_ANSWER_US + facts.impaired.delay_us
    {
        return None;
    }
    let summary = format!(
        "The server accepted the TCP connection but did not answer the RDP request within {}: the service hangs, \
         or has too many unfinished connections.",
        span(waited)
    );
    let conclusion = Conclusion::likely(Phase::X224, summary).or_possibly(&[VerdictId::NotRdp]);
    Some(conclusion.seen(request.t_us, "the client asked for a connection (X.224 request); no answer came"))
}

/// Only beside a server that turned out not to speak RDP: that another address failed then means something.
fn some_addresses_fail(facts: &Facts<'_>) -> Option<Conclusion> {
    let connected = facts.network.connected?;
    let answers_rdp = facts.server_spoke() && facts.negotiation.other_protocol[1].is_none();
    let failed = failed_addresses(facts);
    if answers_rdp || failed.is_empty() || facts.ended_by(Side::Client) && !facts.client_spoke() {
        return None;
    }
    let summary = format!(
        "{{host}} has several addresses: {failed} did not answer and {}, which did, may be another machine.",
        connected.what
    );
    Some(with_attempts(Conclusion::possible(Phase::Tcp, facts.fill(&summary)), facts))
}

/// Addresses that refused or stayed silent although another one answered. One without a route says nothing: a
/// machine without IPv6 has none to any IPv6 address.
pub(super) fn failed_addresses(facts: &Facts<'_>) -> String {
    let fails = |attempt: &&Attempt<'_>| {
        matches!(attempt.error, Some(ConnectError::Refused | ConnectError::TimedOut | ConnectError::Reset))
    };
    let failed: Vec<_> = facts.network.attempts.iter().filter(fails).collect();
    if failed.is_empty() { String::new() } else { addresses(failed.into_iter()) }
}

pub(super) fn upstream_refused(facts: &Facts<'_>) -> Option<Conclusion> {
    let refused = facts.network.upstream_refused?;
    let (proxy, reason) = refused.what;
    let summary = format!(
        "The upstream proxy {proxy} opened no way to {}: {reason}; the server itself was never asked.",
        if facts.gateway.is_some() { "{gateway}" } else { "{target}" }
    );
    let conclusion = Conclusion::confirmed(Phase::Tcp, facts.fill(&summary));
    Some(conclusion.seen(refused.t_us, format!("the proxy's refusal: {reason}")))
}
