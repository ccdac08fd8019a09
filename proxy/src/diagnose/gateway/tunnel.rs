//! What the gateway answers inside the tunnel: policies, the target, its limits (MS-TSGU 2.2.6).

use super::super::facts::{Facts, Gateway, Seen};
use super::super::rule::{Conclusion, Remedy, Rule};
use super::{LOG, PROBE, rule};
use crate::trace::{Phase, VerdictId, Where};
use crate::wire::named::Code;

/// The high half of an HRESULT that wraps a Win32 number.
const HRESULT_WIN32: u32 = 0x8007_0000;

/// Return codes as Win32 numbers; on the wire most are wrapped in an HRESULT.
pub(super) mod code {
    pub(in super::super) const ACCESS_DENIED: u32 = 0x5;
    pub(in super::super) const BAD_ARGUMENTS: u32 = 0xA0;
    pub(in super::super) const GRACEFUL_DISCONNECT: u32 = 0x4CA;
    pub(in super::super) const CONNECTION_ABORTED: u32 = 0x4D4;
    pub(in super::super) const RAP_ACCESS_DENIED: u32 = 0x59DA;
    pub(in super::super) const NAP_ACCESS_DENIED: u32 = 0x59DB;
    pub(in super::super) const TS_CONNECT_FAILED: u32 = 0x59DD;
    pub(in super::super) const MAX_CONNECTIONS: u32 = 0x59E6;
    pub(in super::super) const CAPABILITY_MISMATCH: u32 = 0x59E9;
    pub(in super::super) const QUARANTINE: u32 = 0x59ED;
    pub(in super::super) const SESSION_TIMEOUT: u32 = 0x59F6;
    pub(in super::super) const COOKIE_BAD_PACKET: u32 = 0x59F7;
    pub(in super::super) const COOKIE_DENIED: u32 = 0x59F8;
    pub(in super::super) const UNSUPPORTED_AUTHENTICATION: u32 = 0x59F9;
    pub(in super::super) const REAUTH_AUTHN_FAILED: u32 = 0x59FA;
    pub(in super::super) const REAUTH_CAP_FAILED: u32 = 0x59FB;
    pub(in super::super) const REAUTH_RAP_FAILED: u32 = 0x59FC;
    pub(in super::super) const SDR_NOT_SUPPORTED: u32 = 0x59FD;
    pub(in super::super) const REAUTH_NAP_FAILED: u32 = 0x5A00;
    /// WSAETIMEDOUT, WSAECONNREFUSED, WSAEHOSTUNREACH, WSAHOST_NOT_FOUND.
    pub(in super::super) const SOCKETS: &[u32] = &[0x274C, 0x274D, 0x2751, 0x2AF9];
    pub(in super::super) const COOKIES: &[u32] =
        &[COOKIE_BAD_PACKET, COOKIE_DENIED, UNSUPPORTED_AUTHENTICATION];
    pub(in super::super) const POLICIES: &[u32] = &[
        RAP_ACCESS_DENIED,
        NAP_ACCESS_DENIED,
        QUARANTINE,
        CAPABILITY_MISMATCH,
        SDR_NOT_SUPPORTED,
        REAUTH_CAP_FAILED,
        REAUTH_RAP_FAILED,
        REAUTH_NAP_FAILED,
    ];
}

/// Whether the status is one of these Win32 numbers, wrapped or not.
pub(super) fn is(status: &Code, numbers: &[u32]) -> bool {
    let win32 = match status.value & 0xFFFF_0000 {
        0 | HRESULT_WIN32 => status.value & 0xFFFF,
        _ => return false,
    };
    numbers.contains(&win32)
}

/// `the gateway's channel_response has status 0x800759da, E_PROXY_RAP_ACCESSDENIED`.
pub(super) fn status_words(failure: (&str, &Code)) -> String {
    let (carrier, status) = failure;
    let name = status.name.as_deref().unwrap_or("without a documented name");
    format!("the gateway's {carrier} has status {:#010x}, {name}", status.value)
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        depends_on: &[],
        ..rule(
            VerdictId::GatewayPolicyDenied,
            "a status of the gateway that names a policy",
            policy_denied,
            PROBE,
            &[
                LOG,
                Remedy::command(
                    Where::Gateway,
                    "See which targets the resource authorization policies (RAP) allow, and to whom; the name has to \
                     stand there as the client asks for it: full name, short name and address are three names.",
                    "Import-Module RemoteDesktopServices; Get-ChildItem RDS:\\GatewayServer\\RAP",
                ),
                Remedy::command(
                    Where::Gateway,
                    "See whom the connection authorization policies (CAP) let in, and by which kind of logon.",
                    "Import-Module RemoteDesktopServices; Get-ChildItem RDS:\\GatewayServer\\CAP",
                ),
            ],
        )
    },
    rule(
        VerdictId::GatewayTargetUnreachable,
        "a status of the gateway that speaks of its own connection to the target",
        target_unreachable,
        &["rdpscope probe {target} --gateway {gateway}", "rdpscope probe {target}"],
        &[
            Remedy::command(
                Where::Gateway,
                "See from the gateway whether the target's name resolves there and its port answers.",
                "Resolve-DnsName {host}; Test-NetConnection {host} -Port {port}",
            ),
            Remedy::by_hand(Where::Network, "Let TCP port {port} through between the gateway and {host}."),
            Remedy::by_hand(
                Where::Server,
                "Check that {host} runs and that Remote Desktop is switched on there; what the client's side can reach \
                 says nothing of what the gateway can.",
            ),
            LOG,
        ],
    ),
    rule(
        VerdictId::GatewayLimit,
        "E_PROXY_MAXCONNECTIONSREACHED",
        limit,
        PROBE,
        &[
            Remedy::command(
                Where::Gateway,
                "See how many connections the gateway allows; the value -1 is as many as it can.",
                "Import-Module RemoteDesktopServices; Get-Item RDS:\\GatewayServer\\MaxConnections",
            ),
            Remedy::by_hand(
                Where::Gateway,
                "End sessions that nobody uses, in the gateway's manager under Monitoring.",
            ),
            LOG,
        ],
    ),
];

/// A status of the gateway with one of these numbers.
pub(super) fn failure<'a>(gateway: &Gateway<'a>, numbers: &[u32]) -> Option<Seen<(&'a str, &'a Code)>> {
    gateway.failures().into_iter().find(|failure| is(failure.what.1, numbers))
}

/// The phase in which the gateway refused: the tunnel, or the channel to the target.
pub(super) fn phase_of(facts: &Facts<'_>, carrier: &str) -> Phase {
    match carrier {
        _ if facts.is_inside() => facts.stopped_in(),
        "channel_response" | "TsProxyCreateChannel" | "close_channel" => Phase::GatewayChannel,
        _ => Phase::GatewayTunnel,
    }
}

/// The target as the client asked for it, `srv10.corp.example:3389`.
fn asked_for(facts: &Facts<'_>, gateway: &Gateway<'_>) -> String {
    match gateway.asked_for() {
        Some(asked) if !asked.what.0.is_empty() => format!("{}:{}", asked.what.0.join(" or "), asked.what.1),
        _ => facts.fill("{target}"),
    }
}

fn with_request(conclusion: Conclusion, gateway: &Gateway<'_>) -> Conclusion {
    match gateway.asked_for() {
        Some(asked) => {
            let (names, port) = asked.what;
            conclusion.seen(asked.t_us, format!("the client asks for {}, port {port}", names.join(", ")))
        }
        None => conclusion,
    }
}

/// What else the target may be called in the policy.
fn other_names(name: &str) -> &'static str {
    if name.parse::<std::net::IpAddr>().is_ok() {
        "it is asked for by its address: try its name"
    } else if name.contains('.') {
        "it is asked for by its full name: the policy may hold the short name or the address"
    } else {
        "it is asked for by its short name: the policy may hold the full name"
    }
}

fn policy_denied(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway.as_ref()?;
    let stated = failure(gateway, code::POLICIES);
    let failure = stated.or_else(|| not_authorized(gateway))?;
    let (carrier, status) = failure.what;
    let target = asked_for(facts, gateway);
    let summary = if is(status, &[code::RAP_ACCESS_DENIED]) {
        let name = gateway.asked_for().and_then(|asked| asked.what.0.first());
        let hint = name.map_or("", |name| other_names(name));
        format!("No resource authorization policy (RAP) of the gateway allows this user to reach {target}; {hint}.")
            .replace("; .", ".")
    } else if is(status, &[code::NAP_ACCESS_DENIED, code::ACCESS_DENIED]) {
        format!(
            "The logon was accepted, but no connection authorization policy (CAP) of the gateway {} lets this user or \
             computer in.",
            gateway.name
        )
    } else if is(status, &[code::QUARANTINE]) {
        "The gateway's health policy (NAP) refuses this computer.".to_owned()
    } else if is(status, &[code::CAPABILITY_MISMATCH]) {
        "The gateway demands that the user consents to a message, and the client says that it cannot show one.".to_owned()
    } else if is(status, &[code::SDR_NOT_SUPPORTED]) {
        format!(
            "The gateway lets users reach only targets that enforce its rules on redirection, and {target} does not."
        )
    } else {
        let which = match status.value & 0xFFFF {
            code::REAUTH_CAP_FAILED => "connection authorization policy (CAP)",
            code::REAUTH_RAP_FAILED => "resource authorization policy (RAP)",
            _ => "health policy (NAP)",
        };
        format!(
            "The gateway checked again while the session ran, and its {which} does not allow it any more."
        )
    };
    let phase = phase_of(facts, carrier);
    let conclusion = match stated {
        Some(_) => Conclusion::confirmed(phase, summary),
        None => Conclusion::likely(phase, summary).or_possibly(&[VerdictId::ProtocolError]),
    };
    Some(with_request(conclusion.seen(failure.t_us, status_words(failure.what)), gateway))
}

/// ERROR_ACCESS_DENIED where the gateway decides on the user. Elsewhere it is about the order of calls (MS-TSGU 3.2.6).
fn not_authorized<'a>(gateway: &Gateway<'a>) -> Option<Seen<(&'a str, &'a Code)>> {
    const DECISION: [&str; 2] = ["tunnel_auth_response", "TsProxyAuthorizeTunnel"];
    let denied = |failure: &Seen<(&str, &Code)>| {
        DECISION.contains(&failure.what.0) && is(failure.what.1, &[code::ACCESS_DENIED])
    };
    gateway.failures().into_iter().find(denied)
}

fn target_unreachable(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway.as_ref().filter(|_| facts.inside.active.is_none())?;
    let target = asked_for(facts, gateway);
    let unreachable =
        failure(gateway, &[code::TS_CONNECT_FAILED]).or_else(|| failure(gateway, code::SOCKETS));
    let (failure, summary) = if let Some(failure) = unreachable {
        let summary = format!(
            "The gateway let the user through but cannot reach {target}: the name does not resolve on the gateway, a \
             firewall is between the two, or nothing listens there."
        );
        (failure, summary)
    } else {
        // Where the target has spoken, what was said inside tells why it left: often because the client did.
        let has_spoken = facts.negotiation.confirm.is_some() || facts.negotiation.failure.is_some();
        let failure = failure(gateway, &[code::BAD_ARGUMENTS]).filter(|_| !has_spoken)?;
        let summary = format!(
            "The target {target} closed its connection to the gateway: look at the target, the client and the gateway \
             did their part."
        );
        (failure, summary)
    };
    let conclusion = Conclusion::confirmed(phase_of(facts, failure.what.0), summary);
    Some(with_request(conclusion.seen(failure.t_us, status_words(failure.what)), gateway))
}

fn limit(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway.as_ref()?;
    let failure = failure(gateway, &[code::MAX_CONNECTIONS])?;
    let summary =
        format!("The gateway {} has as many connections as it allows and takes no more.", gateway.name);
    let conclusion = Conclusion::confirmed(phase_of(facts, failure.what.0), summary);
    Some(conclusion.seen(failure.t_us, status_words(failure.what)))
}
