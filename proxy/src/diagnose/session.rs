//! What the server says above TLS where it can be read: Set Error Info, licensing, redirection, refusals.

use super::ending::SHORT_SESSION_US;
use super::facts::Facts;
use super::rule::{Conclusion, Remedy, Rule};
use super::words::span;
use crate::trace::{Confidence, How, Micros, Phase, Side, VerdictId, Where};

/// Set Error Info codes (MS-RDPBCGR 2.2.5.1.1) that have a verdict of their own.
mod code {
    use std::ops::RangeInclusive;

    pub(super) const BY_ADMINISTRATOR: RangeInclusive<u32> = 0x1..=0x2;
    pub(super) const LIMITS: RangeInclusive<u32> = 0x3..=0x4;
    pub(super) const TAKEN: u32 = 0x5;
    pub(super) const DENIED: u32 = 0x7;
    pub(super) const INSUFFICIENT_PRIVILEGES: u32 = 0x9;
    pub(super) const LOGOFF: u32 = 0xc;
    pub(super) const BY_USER: RangeInclusive<u32> = 0xb..=LOGOFF;
    pub(super) const SHUTDOWN: RangeInclusive<u32> = 0x19..=0x1a;
    pub(super) const LICENSING: RangeInclusive<u32> = 0x100..=0x10a;
    pub(super) const POOL_NOT_FREE: u32 = 0x408;
}

/// Early User Authorization Result (MS-RDPBCGR 2.2.10.2) of a user who may log on.
const AUTHZ_SUCCESS: u32 = 0;
/// Who decides that a user may not log on ends the connection with that, and so does a client that hears it.
const DECISION_US: Micros = 2_000_000;
/// LB_NOREDIRECT of ServerRedirection.RedirFlags: the packet is information only.
const LB_NOREDIRECT: u32 = 0x80;

const SESSIONS: Remedy =
    Remedy::command(Where::Server, "See who is logged on and in which state the sessions are.", "qwinsta");
const CORE_LOG: Remedy = Remedy::command(
    Where::Server,
    "Read what the RDP service logged about this connection.",
    "Get-WinEvent -LogName 'Microsoft-Windows-RemoteDesktopServices-RdpCoreTS/Operational' -MaxEvents 50",
);
const SESSION_LOG: Remedy = Remedy::command(
    Where::Server,
    "Read why sessions ended: event 40 holds the reason.",
    "Get-WinEvent -LogName 'Microsoft-Windows-TerminalServices-LocalSessionManager/Operational' -MaxEvents 30",
);
const LIMITS: Remedy = Remedy::command(
    Where::Server,
    "See the session time limits, in ms; Group Policy sets them (Remote Desktop Session Host, Session Time Limits).",
    "Get-ItemProperty 'HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Terminal Services' | \
     fl MaxIdleTime,MaxConnectionTime,MaxDisconnectionTime",
);
const USERINIT: Remedy = Remedy::command(
    Where::Server,
    "See what a logon starts: as Windows comes, userinit.exe and explorer.exe.",
    "Get-ItemProperty 'HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Winlogon' | fl Shell,Userinit",
);
const PROBE: &[&str] = &["rdpscope probe {target}"];

/// A rule of this family.
const fn rule(
    id: VerdictId,
    needs: &'static str,
    judge: fn(&Facts<'_>) -> Option<Conclusion>,
    fix: &'static [Remedy],
) -> Rule {
    Rule { id, needs, depends_on: &[], is_last_resort: false, judge, next: PROBE, fix }
}

const ERROR_INFO: &str = "a Set Error Info PDU, readable without TLS or where rdpscope terminates it";

pub(super) const RULES: &[Rule] = &[
    rule(
        VerdictId::AuthorizationDenied,
        "Set Error Info 9, or the session's end right after the Early User Authorization Result",
        authorization_denied,
        &[
            Remedy::command(
                Where::Server,
                "Let the user log on through Remote Desktop; it holds for the next logon.",
                "Add-LocalGroupMember -Group 'Remote Desktop Users' -Member DOMAIN\\USER",
            ),
            Remedy::command(
                Where::Server,
                "Check that no policy takes the right \"Allow log on through Remote Desktop Services\" \
                 (SeRemoteInteractiveLogonRight) away.",
                "secedit /export /areas USER_RIGHTS /cfg rights.inf",
            ),
        ],
    ),
    rule(
        VerdictId::LicensingFailed,
        "a licensing error alert, or Set Error Info 0x100 to 0x10A",
        licensing_failed,
        &[
            Remedy::command(
                Where::Server,
                "See which licence servers the host asks; they have to answer and to have licences left. `mstsc /admin` \
                 gets an administrator in without one.",
                "Get-CimInstance -Namespace root/cimv2/TerminalServices -ClassName Win32_TerminalServiceSetting | \
                 Invoke-CimMethod -MethodName GetSpecifiedLicenseServerList",
            ),
            Remedy::command(
                Where::Client,
                "Clear the client's stored licence; it asks for a new one at the next connection as administrator.",
                "reg delete HKLM\\SOFTWARE\\Microsoft\\MSLicensing /f",
            ),
        ],
    ),
    rule(
        VerdictId::ServerDenied,
        ERROR_INFO,
        server_denied,
        &[
            Remedy::command(
                Where::Server,
                "See whether the server is in drain mode; `change logon /enable` ends it.",
                "change logon /query",
            ),
            SESSIONS,
            CORE_LOG,
        ],
    ),
    rule(
        VerdictId::SessionLimit,
        "Set Error Info 0x408, readable without TLS or where rdpscope terminates it",
        session_limit,
        &[
            Remedy::command(
                Where::Server,
                "On the broker: see which session hosts take new sessions and how many they may have.",
                "Get-RDSessionHost -CollectionName COLLECTION | ft SessionHost,NewConnectionAllowed",
            ),
            SESSIONS,
        ],
    ),
    rule(
        VerdictId::SessionTaken,
        ERROR_INFO,
        session_taken,
        &[
            SESSIONS,
            Remedy::by_hand(
                Where::Server,
                "If one user is to have several sessions, switch off \"Restrict Remote Desktop Services users to a \
                 single session\".",
            ),
        ],
    ),
    rule(
        VerdictId::ServerShutdown,
        ERROR_INFO,
        server_shutdown,
        &[Remedy::command(
            Where::Server,
            "See who shut it down and why.",
            "Get-WinEvent -FilterHashtable @{LogName='System';Id=1074} -MaxEvents 5",
        )],
    ),
    rule(VerdictId::IdleLimit, ERROR_INFO, idle_limit, &[LIMITS, SESSION_LOG]),
    rule(VerdictId::AdminDisconnect, ERROR_INFO, admin_disconnect, &[SESSION_LOG]),
    rule(
        VerdictId::ServerClosed,
        "a Set Error Info that speaks of the user's own logoff before there was a session",
        logoff_before_session,
        &[CORE_LOG, SESSION_LOG],
    ),
    rule(
        VerdictId::RedirectedAway,
        "a Server Redirection PDU, readable without TLS or where rdpscope terminates it",
        redirected_away,
        &[Remedy::by_hand(
            Where::Client,
            "Point rdpscope at the host that the broker names, or name it with --address.",
        )],
    ),
    rule(
        VerdictId::ProtocolError,
        "any other Set Error Info, a refusal inside the connection sequence, or bytes that break the format",
        protocol_error,
        &[
            CORE_LOG,
            Remedy::by_hand(
                Where::Client,
                "Try another client or version: one of the two sides has a fault.",
            ),
        ],
    ),
];

/// The last Set Error Info that names a reason.
fn error_info(facts: &Facts<'_>, is_it: impl Fn(u32) -> bool) -> Option<(u32, u64, String)> {
    let info = facts.inside.error_info.as_ref().filter(|info| is_it(info.what.error_info))?;
    let name = info.what.name.as_deref().unwrap_or("without a documented name");
    let text = format!("the server sends Set Error Info {:#x}, {name}", info.what.error_info);
    Some((info.what.error_info, info.t_us, text))
}

/// Confirmed by a Set Error Info.
fn stated(facts: &Facts<'_>, is_it: impl Fn(u32) -> bool, summary: &str) -> Option<Conclusion> {
    let (_, t_us, text) = error_info(facts, is_it)?;
    Some(Conclusion::confirmed(facts.stopped_in(), summary).seen(t_us, text))
}

fn meaning<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    facts.inside.error_info.as_ref().and_then(|info| info.what.meaning.as_deref())
}

fn authorization_denied(facts: &Facts<'_>) -> Option<Conclusion> {
    let is_it = |code| code == code::INSUFFICIENT_PRIVILEGES;
    let summary = "The credentials are right, but this user may not log on through Remote Desktop.";
    if let Some(conclusion) = stated(facts, is_it, summary) {
        return Some(conclusion);
    }
    let result = facts.inside.early_authorization?;
    if let Some(value) = result.what {
        let conclusion = Conclusion::confirmed(Phase::Credssp, summary);
        let text = format!("the Early User Authorization Result is {value:#x}");
        return (value != AUTHZ_SUCCESS).then(|| conclusion.seen(result.t_us, text));
    }
    let went_on = facts.inside.furthest.is_some_and(|furthest| furthest.what > Phase::Credssp);
    if went_on || facts.inside.active.is_some() || facts.ending.first.is_none() {
        return None;
    }
    let at_once = facts.left_after(result.t_us) < DECISION_US && facts.ending.how != Some(How::Reset);
    let conclusion = match at_once {
        true => Conclusion::likely(
            Phase::Credssp,
            "The session ended right after the server's decision on whether the user may log on, so that decision \
             was probably no; the credentials themselves had been accepted.",
        ),
        false => Conclusion::possible(
            Phase::Credssp,
            "The session ended after the server's decision on whether the user may log on, which cannot be read; it \
             may have been no.",
        ),
    };
    let other = if facts.ended_by(Side::Client) { VerdictId::ClientClosed } else { VerdictId::ServerClosed };
    Some(
        conclusion
            .or_possibly(&[other])
            .seen(result.t_us, "an encrypted message of the size of an Early User Authorization Result")
            .seen(facts.ending.t_us, "the connection ends before the client's settings are sent"),
    )
}

fn licensing_failed(facts: &Facts<'_>) -> Option<Conclusion> {
    if let Some((code, t_us, text)) = error_info(facts, |code| code::LICENSING.contains(&code)) {
        let why = meaning(facts).map_or_else(|| format!("error {code:#x}"), str::to_owned);
        let summary = format!("The server ended the session over licensing: {why}.");
        return Some(Conclusion::confirmed(Phase::Licensing, summary).seen(t_us, text));
    }
    let alert = facts.inside.licence_alert.as_ref().filter(|_| facts.inside.active.is_none())?;
    let summary = format!("Licensing failed: the error alert says {}.", alert.what);
    let conclusion = Conclusion::confirmed(Phase::Licensing, summary);
    Some(conclusion.seen(alert.t_us, format!("licensing error alert {}", alert.what)))
}

fn server_denied(facts: &Facts<'_>) -> Option<Conclusion> {
    let summary = "The server denied the connection: drain mode, a connection policy or a session limit; its log \
                   says which.";
    stated(facts, |code| code == code::DENIED, summary).map(|it| it.or_possibly(&[VerdictId::SessionLimit]))
}

fn session_limit(facts: &Facts<'_>) -> Option<Conclusion> {
    let summary =
        "The connection broker has no session host left in the pool that could take one more session.";
    stated(facts, |code| code == code::POOL_NOT_FREE, summary)
}

fn session_taken(facts: &Facts<'_>) -> Option<Conclusion> {
    let summary = "Another connection took the session over: the same user logged on from somewhere else.";
    stated(facts, |code| code == code::TAKEN, summary)
}

fn server_shutdown(facts: &Facts<'_>) -> Option<Conclusion> {
    let summary = "The server is shutting down or restarting.";
    stated(facts, |code| code::SHUTDOWN.contains(&code), summary)
}

fn idle_limit(facts: &Facts<'_>) -> Option<Conclusion> {
    let summary = match facts.inside.error_info.as_ref().map(|info| info.what.error_info) {
        Some(code) if code == *code::LIMITS.start() => {
            "The session was idle for as long as the server's limit allows."
        }
        _ => "The session reached the server's limit for active sessions.",
    };
    stated(facts, |code| code::LIMITS.contains(&code), summary)
}

fn admin_disconnect(facts: &Facts<'_>) -> Option<Conclusion> {
    let summary = "An administrator disconnected the session or logged it off with a tool on the server.";
    if let Some(conclusion) = stated(facts, |code| code::BY_ADMINISTRATOR.contains(&code), summary) {
        return Some(conclusion);
    }
    let active = facts.inside.active?;
    let told = facts.inside.error_info.as_ref()?;
    let after_us = told.t_us.saturating_sub(active);
    if told.what.error_info == code::LOGOFF && after_us < SHORT_SESSION_US {
        return hasty_logoff(facts, after_us);
    }
    let summary = if told.what.error_info == *code::BY_USER.start() {
        "Nothing failed: the user disconnected the session from inside it; on the server it goes on."
    } else {
        "Nothing failed: the user logged off."
    };
    let conclusion = stated(facts, |code| code::BY_USER.contains(&code), summary)?;
    Some(Conclusion { by_user: true, next_instead: Some(&[]), fix: Some(&[]), ..conclusion })
}

/// A logoff sooner than anybody logs off; `after_us` the session became active.
fn hasty_logoff(facts: &Facts<'_>, after_us: Micros) -> Option<Conclusion> {
    let summary = format!(
        "The session was logged off {} after it had begun, sooner than a user does it: a logon that ends by itself (start \
         program, shell, profile, logon script, policy), or a server that calls its own failure so, as xrdp does; its log \
         says which.",
        span(after_us)
    );
    let conclusion = stated(facts, |code| code == code::LOGOFF, &summary)?;
    let conclusion = conclusion.advise(&[SESSION_LOG, USERINIT, CORE_LOG]);
    Some(conclusion.or_possibly(&[VerdictId::ServerClosed, VerdictId::ProtocolError]))
}

/// xrdp, for one, says that the user logged off when it breaks the connection sequence off for its own reasons.
fn logoff_before_session(facts: &Facts<'_>) -> Option<Conclusion> {
    if facts.inside.active.is_some() {
        return None;
    }
    let (_, t_us, text) = error_info(facts, |code| code::BY_USER.contains(&code))?;
    let summary = "The server ended the session before there was a desktop and calls it the user's own logoff, which \
                   it cannot have been; its log has the real reason.";
    let conclusion = Conclusion::likely(facts.stopped_in(), summary);
    Some(conclusion.or_possibly(&[VerdictId::ProtocolError, VerdictId::AdminDisconnect]).seen(t_us, text))
}

/// What to do where no rdpscope was on the way.
const ELSEWHERE: &[Remedy] = &[Remedy::by_hand(
    Where::Client,
    "Look at the connection to the host that the broker names; this one ended as it should.",
)];

fn redirected_away(facts: &Facts<'_>) -> Option<Conclusion> {
    let redirection = facts.inside.redirection.as_ref()?;
    if redirection.what.redirection_flags.contains(LB_NOREDIRECT) {
        return None;
    }
    let packet = redirection.what;
    let addresses = [&packet.target_fqdn, &packet.target_net_bios_name, &packet.target_net_address];
    let target = addresses.into_iter().flatten().next().map_or("another host", String::as_str);
    let conclusion = if facts.is_recorded {
        let summary = format!(
            "The connection broker sent the client to {target}: the session goes on there, or fails there."
        );
        Conclusion::confirmed(facts.stopped_in(), summary).advise(ELSEWHERE)
    } else {
        let summary = format!(
            "The connection broker sent the client to {target}, past rdpscope, which sees no more of it."
        );
        Conclusion::confirmed(facts.stopped_in(), summary)
    };
    Some(conclusion.seen(redirection.t_us, format!("the server sends a redirection to {target}")))
}

fn protocol_error(facts: &Facts<'_>) -> Option<Conclusion> {
    let has_own_verdict = |code: u32| {
        code::BY_ADMINISTRATOR.contains(&code)
            || code::LIMITS.contains(&code)
            || code::BY_USER.contains(&code)
            || code::SHUTDOWN.contains(&code)
            || code::LICENSING.contains(&code)
            || [code::TAKEN, code::DENIED, code::INSUFFICIENT_PRIVILEGES, code::POOL_NOT_FREE].contains(&code)
    };
    if let Some((code, t_us, text)) = error_info(facts, |code| !has_own_verdict(code)) {
        let why =
            meaning(facts).map_or_else(|| "nobody has documented what that means".to_owned(), str::to_owned);
        let summary = format!("The server ended the session with error {code:#x}: {why}.");
        return Some(Conclusion::confirmed(facts.stopped_in(), summary).seen(t_us, text));
    }
    if facts.inside.active.is_some() || facts.inside.error_info.is_some() {
        return None;
    }
    if let Some(refused) = facts.inside.refused {
        let summary = format!("The server refused {}.", refused.what);
        let conclusion = Conclusion::confirmed(facts.stopped_in(), summary);
        return Some(conclusion.seen(refused.t_us, format!("the server refuses {}", refused.what)));
    }
    other_client(facts).or_else(|| malformed(facts))
}

fn other_client(facts: &Facts<'_>) -> Option<Conclusion> {
    let other = facts.negotiation.other_protocol[Side::Client.index()]?;
    let speaks = other.what.name.map_or_else(|| "something else".to_owned(), str::to_owned);
    let to = if facts.is_recorded { "" } else { " to rdpscope" };
    let summary = format!("What connected{to} is no RDP client: it speaks {speaks}.");
    let conclusion = Conclusion::confirmed(Phase::X224, summary);
    Some(conclusion.seen(other.t_us, format!("the client's first bytes are {}", other.what.first_bytes)))
}

/// That bytes break the format is seen; that the connection ended because of it is not.
fn malformed(facts: &Facts<'_>) -> Option<Conclusion> {
    let broken = facts.malformed?;
    let who = broken.what.from.map_or_else(|| "one side".to_owned(), |from| format!("the {from}"));
    let what = format!("{} ({})", broken.what.structure, broken.what.reason);
    let summary = format!("The connection failed after bytes from {who} that break the protocol: {what}.");
    let conclusion = Conclusion::new(Confidence::Likely, broken.what.phase, summary);
    Some(conclusion.seen(broken.t_us, format!("{who} sends a broken {what}")))
}
