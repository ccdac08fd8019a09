//! How sessions end: in good order, for a question to the user, or by one side's hand with no reason on the wire.

use super::facts::Facts;
use super::impaired;
use super::nla::was_refused_by_size;
use super::rule::{Conclusion, Remedy, Rule};
use super::words::{SECOND, ended, span};
use crate::trace::{ClosedBy, Confidence, How, Phase, Side, VerdictId, Where};

/// A session that the server ends sooner may have been refused inside TLS; nobody logs off so fast.
pub(super) const SHORT_SESSION_US: u64 = 5 * SECOND;

/// What CredSSP would say if its status could be read, the commonest first.
const INSIDE_NLA: &[VerdictId] = &[
    VerdictId::NlaLogonFailed,
    VerdictId::NlaAccountLocked,
    VerdictId::NlaPasswordExpired,
    VerdictId::NlaNtlmRefused,
    VerdictId::NlaNoAuthority,
];
const INSIDE_LOGON: &[VerdictId] = &[
    VerdictId::LicensingFailed,
    VerdictId::ServerDenied,
    VerdictId::SessionLimit,
    VerdictId::AuthorizationDenied,
];

const LOGON_LOG: Remedy = Remedy::command(
    Where::Server,
    "Read why logons failed: the status in event 4625 says whether it was the password, the account or a policy.",
    "Get-WinEvent -FilterHashtable @{LogName='Security';Id=4625} -MaxEvents 5 | fl TimeCreated,Message",
);
const CORE_LOG: Remedy = Remedy::command(
    Where::Server,
    "Read what the RDP service logged about this connection; 139 and 140 name refused clients and credentials.",
    "Get-WinEvent -LogName 'Microsoft-Windows-RemoteDesktopServices-RdpCoreTS/Operational' -MaxEvents 50",
);
const CLIENT_LOG: Remedy = Remedy::command(
    Where::Client,
    "Read why the client left: event 1026 holds its disconnect reason, which `rdpscope explain` translates.",
    "Get-WinEvent -LogName 'Microsoft-Windows-TerminalServices-RDPClient/Operational' -MaxEvents 30",
);

/// Everything that says more about the end of a session than that it had worked.
const REASONS_TOLD: &[VerdictId] = &[
    VerdictId::AuthorizationDenied,
    VerdictId::LicensingFailed,
    VerdictId::ServerDenied,
    VerdictId::SessionLimit,
    VerdictId::SessionTaken,
    VerdictId::ServerShutdown,
    VerdictId::IdleLimit,
    VerdictId::AdminDisconnect,
    VerdictId::RedirectedAway,
    VerdictId::ProtocolError,
    VerdictId::GatewayAuthFailed,
    VerdictId::GatewayPolicyDenied,
];

pub(super) const CLIENT_CLOSED: Rule = Rule {
    id: VerdictId::ClientClosed,
    needs: "the client's end of the connection",
    depends_on: &[],
    is_last_resort: true,
    judge: |facts| (!facts.ended_by(Side::Server)).then(|| client_closed(facts)),
    next: &["rdpscope probe {target}"],
    fix: &[CLIENT_LOG],
};

pub(super) const SERVER_CLOSED: Rule = Rule {
    id: VerdictId::ServerClosed,
    needs: "the server's end of the connection",
    depends_on: &[],
    is_last_resort: true,
    judge: |facts| facts.ended_by(Side::Server).then(|| server_closed(facts)),
    next: &["rdpscope probe {target}"],
    fix: &[LOGON_LOG, CORE_LOG],
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: VerdictId::Healthy,
        needs: "a session that became active, and its end",
        depends_on: REASONS_TOLD,
        is_last_resort: false,
        judge: healthy,
        next: &[],
        fix: &[],
    },
    Rule {
        id: VerdictId::ServerClosed,
        needs: "a session that became active, and a reset by the server",
        depends_on: REASONS_TOLD,
        is_last_resort: false,
        judge: reset_while_active,
        next: &["rdpscope probe {target}"],
        fix: &[
            CORE_LOG,
            Remedy::by_hand(
                Where::Network,
                "Look for a firewall, VPN or load balancer on the way that resets connections after a time or when it \
                 is itself restarted.",
            ),
        ],
    },
    Rule {
        id: VerdictId::ClientPrompted,
        needs: "the client's end of the connection, and a later connection of the same client that got further",
        depends_on: &[],
        is_last_resort: false,
        judge: prompted,
        next: &[],
        fix: &[],
    },
    CLIENT_CLOSED,
    SERVER_CLOSED,
];

/// Who ended the session, where nothing says why.
pub(super) fn last_resort(facts: &Facts<'_>) -> (&'static Rule, Conclusion) {
    if facts.ended_by(Side::Server) && facts.impaired.may_upset() {
        (&CLIENT_CLOSED, impaired::server_gave_up(facts))
    } else if facts.ended_by(Side::Server) {
        (&SERVER_CLOSED, server_closed(facts))
    } else {
        (&CLIENT_CLOSED, client_closed(facts))
    }
}

fn healthy(facts: &Facts<'_>) -> Option<Conclusion> {
    let active = facts.inside.active?;
    let lasted = facts.active_for()?;
    let up = span(lasted);
    let server_announced =
        facts.inside.ultimatum.as_ref().is_some_and(|ultimatum| ultimatum.what.0 == Side::Server);
    let sure = if facts.inside.active_is_inferred { Confidence::Likely } else { Confidence::Confirmed };
    let conclusion = match (facts.ending.by, facts.ending.how) {
        (_, Some(How::Timeout)) => return None,
        (Some(ClosedBy::Server), Some(How::Reset)) if !server_announced => return None,
        (Some(ClosedBy::Server), _) if facts.cut_in_silence().is_some() => return None,
        (Some(ClosedBy::Server), _) if facts.ends_unannounced() => {
            let summary = format!(
                "The session worked for {up}; then the server's side closed the connection without a word of RDP, as some \
                 servers do after a logoff and all do that fail."
            );
            let mut others = vec![VerdictId::ServerClosed];
            if facts.ending.quiet.is_some() {
                others.push(VerdictId::IdleTimeout);
            }
            Conclusion::likely(Phase::Active, summary).or_possibly(&others)
        }
        (Some(ClosedBy::Server), _) => {
            let summary = format!(
                "The session worked for {up}; then the server ended it in good order, as it does after a logoff; if \
                 there was another reason, it is not {}.",
                if facts.inside.active_is_inferred { "visible" } else { "on the wire" }
            );
            let hasty = facts.inside.active_is_inferred && lasted < SHORT_SESSION_US;
            let confidence = if hasty { Confidence::Possible } else { sure };
            Conclusion::new(confidence, Phase::Active, summary)
        }
        (Some(ClosedBy::Client), _) if facts.foreign_reset().is_some() => return None,
        (Some(ClosedBy::Client), _) => Conclusion::new(
            sure,
            Phase::Active,
            format!("The session worked for {up}; then the client ended it."),
        ),
        (Some(ClosedBy::Proxy), _) => Conclusion::new(
            sure,
            Phase::Active,
            match facts.impaired.cuts.first() {
                Some(_) => format!("The session worked for {up}, until rdpscope cut it as --impair asks."),
                None => format!("The session worked for {up}, until rdpscope was stopped."),
            },
        ),
        (None, _) => {
            Conclusion::new(sure, Phase::Active, "The session works; what was recorded ends before it does.")
        }
    };
    Some(conclusion.seen(active, "session traffic begins").seen(facts.ending.t_us, who_ended(facts)))
}

fn reset_while_active(facts: &Facts<'_>) -> Option<Conclusion> {
    let announced = facts.inside.ultimatum.as_ref().is_some_and(|ultimatum| ultimatum.what.0 == Side::Server);
    let is_reset = facts.ended_by(Side::Server) && facts.ending.how == Some(How::Reset);
    let up = facts.active_for().filter(|_| is_reset && !announced)?;
    let summary = format!(
        "The session worked for {}, then it was cut by a reset from the server's side: the server, or something on \
         the way to it, gave it up without a word.",
        span(up)
    );
    let conclusion = Conclusion::likely(Phase::Active, summary);
    Some(
        conclusion
            .or_possibly(&[VerdictId::IdleTimeout, VerdictId::ServerShutdown, VerdictId::LinkLossy])
            .seen(facts.ending.t_us, who_ended(facts)),
    )
}

fn prompted(facts: &Facts<'_>) -> Option<Conclusion> {
    if !facts.came_back || !facts.may_be_a_prompt() {
        return None;
    }
    let question = match facts.asked_about_certificate() {
        Some(question) => format!("probably about {question}"),
        None if facts.tls.certificate.is_some() || facts.tls.complete.is_some() => {
            "about the certificate or the password".to_owned()
        }
        None => "most often for the password".to_owned(),
    };
    let summary = format!(
        "The client cut this connection to ask its user something, {question}, then came back and got further: the \
         session to look at is the next one."
    );
    Some(Conclusion::likely(facts.stopped_in(), summary).seen(facts.ending.t_us, who_ended(facts)))
}

pub(super) fn who_ended(facts: &Facts<'_>) -> String {
    let how = ended(facts.ending.how);
    match (facts.ending.by, facts.ending.stopped) {
        (Some(ClosedBy::Client), _) => format!("the client {how}"),
        (Some(ClosedBy::Server), _) => format!("the server {how}"),
        (_, Some(reason)) => format!("rdpscope ended the connection: {reason}"),
        (Some(ClosedBy::Proxy), None) => "rdpscope ended the connection".to_owned(),
        (None, None) => "the record ends here; the connection was still open".to_owned(),
    }
}

fn client_closed(facts: &Facts<'_>) -> Conclusion {
    let phase = facts.stopped_in();
    let by_client = facts.ending.by == Some(ClosedBy::Client);
    let summary = if by_client { client_left(facts, phase) } else { interrupted(facts, phase) };
    let confidence = if by_client { Confidence::Likely } else { Confidence::Possible };
    let conclusion = Conclusion::new(confidence, phase, summary).seen(facts.ending.t_us, who_ended(facts));
    // Where neither side ended it, neither has anything to mend.
    if !by_client {
        return conclusion.advise(&[]);
    }
    let nla_was_answered = phase == Phase::Credssp && facts.inside.credssp.is_some();
    if nla_was_answered { look_inside(conclusion.or_possibly(INSIDE_NLA), facts) } else { conclusion }
}

/// Proposes what would show the status of NLA that TLS hides.
fn look_inside(conclusion: Conclusion, facts: &Facts<'_>) -> Conclusion {
    conclusion
        .try_next(facts.fill("rdpscope proxy {target} --renew-with SERVER.pfx --ca-out ca.pem"))
        .try_next(facts.fill("rdpscope proxy {target} --cert mirror --nla terminate"))
}

/// Nobody but rdpscope, or the end of the capture, ended it: neither side did anything wrong.
fn interrupted(facts: &Facts<'_>, phase: Phase) -> String {
    let why = match facts.ending.by {
        Some(_) => facts.ending.stopped.unwrap_or("rdpscope ended the connection"),
        None if facts.is_recorded => "the capture ends",
        None => "the record ends",
    };
    if facts.probe.is_some() {
        return format!(
            "The probe came no further than phase {phase}: {why}. No other check says why; a longer --timeout may."
        );
    }
    format!("No fault was seen: {why} before the connection was finished, in phase {phase}.")
}

fn client_left(facts: &Facts<'_>, phase: Phase) -> String {
    if facts.network.connected.is_none() && !facts.network.attempts.is_empty() {
        return "The client left before the server was reached.".to_owned();
    }
    match phase {
        Phase::X224 | Phase::Tcp if !facts.client_spoke() => {
            "The client closed the connection without sending a byte, as mstsc does with a first connection and \
             monitoring does with all; that is no fault."
                .to_owned()
        }
        Phase::X224 => {
            let asked = facts.negotiation.request.map_or(0, |request| request.t_us);
            let after = span(facts.left_after(asked));
            format!("The client left {after} after its request, before the server had answered.")
        }
        Phase::Tls if facts.tls.client_hello.is_none() => {
            let answered = facts.negotiation.confirm.map_or(0, |confirm| confirm.t_us);
            let after = span(facts.left_after(answered));
            format!(
                "The client left {after} after the server's answer and did not begin TLS: it was asking for a \
                 password, or was closed by its user."
            )
        }
        Phase::Tls if facts.tls.complete.is_some() => {
            "The client left some time after the TLS handshake; what was said inside TLS is not visible.".to_owned()
        }
        Phase::Credssp if facts.logon.is_visible() => {
            "The client left during network level authentication (NLA); the server gave no status.".to_owned()
        }
        Phase::Credssp if facts.inside.credssp.is_none() => {
            "The client left where network level authentication (NLA) begins, before a message of it was seen.".to_owned()
        }
        Phase::Credssp if was_refused_by_size(facts) => {
            "The server refused the logon in network level authentication (NLA), and the client left: the server's last \
             message is as short as only a status is. Which status it is stands inside TLS; a wrong user name or password \
             is the usual one."
                .to_owned()
        }
        Phase::Credssp => "The client left during network level authentication (NLA); the status that would say why \
                           is inside TLS."
            .to_owned(),
        Phase::Active if facts.ending.how == Some(How::Timeout) => {
            "The session worked; then nothing new came from the client any more, not even acknowledgments: it or the way to it \
             was gone."
                .to_owned()
        }
        Phase::Active => "The client ended the session.".to_owned(),
        _ => format!("The client left in phase {phase} with no reason on the wire."),
    }
}

fn server_closed(facts: &Facts<'_>) -> Conclusion {
    let phase = facts.stopped_in();
    let how = ended(facts.ending.how);
    let summary = match phase {
        Phase::Credssp if facts.logon.is_visible() => {
            format!("The server {how} during network level authentication (NLA) and gave no status.")
        }
        Phase::Credssp if facts.inside.credssp.is_none() => {
            format!(
                "The server {how} where network level authentication (NLA) begins, before a message of it was seen."
            )
        }
        Phase::Credssp if was_refused_by_size(facts) => {
            format!(
                "The server refused the logon in network level authentication (NLA) and {how}: its last message is as short \
                 as only a status is. Which status it is stands inside TLS; a wrong user name or password is the usual one."
            )
        }
        Phase::Credssp => {
            format!(
                "The server {how} during network level authentication (NLA); the status that would say why is inside TLS."
            )
        }
        Phase::Tls if facts.tls.client_hello.is_none() => {
            let answered = facts.negotiation.confirm.map_or(0, |confirm| confirm.t_us);
            let waited = span(facts.left_after(answered));
            format!("The server {how} {waited} after it had agreed on TLS, before the client began with it.")
        }
        Phase::Tls if facts.tls.complete.is_some() => {
            format!(
                "The server {how} some time after the TLS handshake; what was said inside TLS is not visible."
            )
        }
        Phase::Tls => format!("The server {how} in the middle of the TLS handshake, without an alert."),
        Phase::Active if facts.ending.how == Some(How::Timeout) => {
            "The session worked; then nothing new came from the server any more, not even acknowledgments: it or the way to it \
             was gone."
                .to_owned()
        }
        _ => format!("The server {how} in phase {phase} with no reason on the wire."),
    };
    let conclusion = Conclusion::likely(phase, summary).or_possibly(hidden_causes(facts, phase));
    let conclusion = match &facts.inside.ultimatum {
        Some(ultimatum) => {
            let (from, reason) = &ultimatum.what;
            conclusion.seen(ultimatum.t_us, format!("the {from} announces the end: {reason}"))
        }
        None => conclusion,
    };
    let conclusion = match facts.inside.credssp {
        Some(turn) if phase == Phase::Credssp => {
            let (number, from) = turn.what;
            let text = format!("the last NLA message is number {number}, from the {from}");
            look_inside(conclusion.seen(turn.t_us, text), facts)
        }
        _ => conclusion,
    };
    conclusion.seen(facts.ending.t_us, who_ended(facts))
}

/// Causes for which a server ends a session in this phase and that would be read only inside TLS.
fn hidden_causes(facts: &Facts<'_>, phase: Phase) -> &'static [VerdictId] {
    match phase {
        Phase::Credssp if facts.inside.credssp.is_some() => INSIDE_NLA,
        Phase::Info | Phase::Licensing => INSIDE_LOGON,
        Phase::Mcs | Phase::Channels | Phase::Capabilities | Phase::Finalization => {
            &[VerdictId::ProtocolError]
        }
        _ => &[],
    }
}
