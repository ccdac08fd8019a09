//! How a gateway ends what had worked: its time is over, an administrator, a box that forgets, a fault of its own.

use super::super::facts::{Facts, Gateway, Seen};
use super::super::link;
use super::super::rule::{Conclusion, Remedy, Rule};
use super::super::words::span;
use super::tunnel::{code, failure, is, phase_of, status_words};
use super::{LOG, PROBE, VARY_TRANSPORT, rule};
use crate::trace::{Phase, Side, VerdictId, Where};
use crate::wire::named::Code;

/// What has a cause of its own among the gateway's verdicts.
const TOLD: &[VerdictId] = &[
    VerdictId::Healthy,
    VerdictId::GatewayAuthFailed,
    VerdictId::GatewayChannelBinding,
    VerdictId::GatewayPolicyDenied,
    VerdictId::GatewayTargetUnreachable,
    VerdictId::GatewayLimit,
    VerdictId::IdleLimit,
    VerdictId::AdminDisconnect,
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        depends_on: &[],
        ..rule(
            VerdictId::IdleLimit,
            "E_PROXY_SESSIONTIMEOUT",
            session_timeout,
            PROBE,
            &[
                Remedy::command(
                    Where::Gateway,
                    "See the time limits of the connection authorization policies (CAP).",
                    "Import-Module RemoteDesktopServices; Get-ChildItem RDS:\\GatewayServer\\CAP -Recurse | fl Name,\
                     CurrentValue",
                ),
                LOG,
            ],
        )
    },
    Rule {
        depends_on: &[],
        ..rule(VerdictId::AdminDisconnect, "E_PROXY_CONNECTIONABORTED", aborted, PROBE, &[LOG])
    },
    Rule {
        depends_on: &[VerdictId::Healthy, VerdictId::IdleLimit, VerdictId::AdminDisconnect],
        ..rule(
            VerdictId::IdleTimeout,
            "a session in which nothing moved before it was cut without a word, how often that came to pass, and the keepalives of \
             the tunnel",
            forgotten,
            &["rdpscope proxy {target} --gateway {gateway} --for 2h"],
            &[
                Remedy::by_hand(
                    Where::Network,
                    "Raise the idle time-out of the reverse proxy, load balancer or firewall before {gateway} above the \
                     interval of the keepalives, which is 15 minutes for gateways and 1 to 8 minutes for clients: in \
                     haproxy `timeout tunnel 1h`, in nginx `proxy_read_timeout 1h`.",
                ),
                Remedy::command(
                    Where::Server,
                    "Or let the target send something every minute; it holds for new connections.",
                    "reg add \"HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Terminal Services\" /v \
                     KeepAliveEnable /t REG_DWORD /d 1 /f; reg add \
                     \"HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Terminal Services\" /v KeepAliveInterval /t \
                     REG_DWORD /d 1 /f",
                ),
            ],
        )
    },
    Rule {
        depends_on: TOLD,
        ..rule(
            VerdictId::ProtocolError,
            "any other status of the gateway",
            other_code,
            VARY_TRANSPORT,
            &[LOG],
        )
    },
];

fn session_timeout(facts: &Facts<'_>) -> Option<Conclusion> {
    let failure = failure(facts.gateway.as_ref()?, &[code::SESSION_TIMEOUT])?;
    let summary = "The session reached the time limit that the gateway's policy sets for it.";
    let conclusion = Conclusion::confirmed(phase_of(facts, failure.what.0), summary);
    Some(conclusion.seen(failure.t_us, status_words(failure.what)))
}

fn aborted(facts: &Facts<'_>) -> Option<Conclusion> {
    let failure = failure(facts.gateway.as_ref()?, &[code::CONNECTION_ABORTED])?;
    if facts.ended_by(Side::Client) && facts.ending.t_us < failure.t_us {
        return None;
    }
    let summary = "The gateway ended the session: an administrator did it there, or a limit or a check of the user that \
                   this client is too old to be told of.";
    let conclusion = Conclusion::likely(phase_of(facts, failure.what.0), summary);
    Some(conclusion.or_possibly(&[VerdictId::IdleLimit]).seen(failure.t_us, status_words(failure.what)))
}

/// The same as without a gateway, held against the keepalives that should have kept the way open.
fn forgotten(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway.as_ref()?;
    let Some(conclusion) = link::forgotten(facts) else { return cut_in_silence(facts, gateway) };
    let silence = facts.ending.quiet?.what;
    let against = keepalives(gateway);
    let summary = format!(
        "The session worked; then nothing moved for {}, and it was cut without a word: something before the gateway \
         forgets connections sooner than the keepalives come ({against}).",
        span(silence)
    );
    Some(Conclusion { summary, ..conclusion })
}

fn keepalives(gateway: &Gateway<'_>) -> String {
    match gateway.keepalives {
        (0, _) => "no keepalive of the tunnel came in that time".to_owned(),
        (_, Some(gap)) => format!("keepalives of the tunnel came every {}", span(gap)),
        (count, None) => format!("{count} keepalive(s) of the tunnel came in the whole session"),
    }
}

/// An end of the connection alone comes from something in between. That it is about the silence, only its repetition shows.
fn cut_in_silence(facts: &Facts<'_>, gateway: &Gateway<'_>) -> Option<Conclusion> {
    let quiet = facts.cut_in_silence()?;
    let (silence, against) = (span(quiet.what), keepalives(gateway));
    let text = format!(
        "nothing had moved on the connection for {silence}; neither gateway nor server had said a word"
    );
    let Some(again) = gateway.cut_again else {
        let summary = format!(
            "The session worked; then nothing moved for {silence}, and it was cut without a word, as a box before the gateway \
             does that forgets idle connections ({against}); a second session that is cut after the same silence shows it."
        );
        return Some(Conclusion::possible(Phase::Active, summary).seen(quiet.t_us, text));
    };
    let summary = format!(
        "The session worked; then nothing moved for {silence}, and it was cut without a word, for the {} time in this run: \
         something before the gateway forgets connections sooner than the keepalives come ({against}).",
        ordinal(again.what.len() + 1)
    );
    let before: Vec<String> = again.what.iter().map(|earlier| span(*earlier)).collect();
    let conclusion = Conclusion::likely(Phase::Active, summary).or_possibly(&[VerdictId::ServerClosed]);
    let conclusion = conclusion.seen(quiet.t_us, text);
    Some(conclusion.seen(again.t_us, format!("earlier sessions were cut after {}", before.join(", "))))
}

/// `2nd`, `3rd`, `4th`.
fn ordinal(number: usize) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// A status that no other rule knows, before there was a desktop.
fn other_code(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway.as_ref().filter(|_| facts.inside.active.is_none())?;
    // That a target has left which had answered is told by what was said inside.
    let has_spoken = facts.negotiation.confirm.is_some() || facts.negotiation.failure.is_some();
    let leaves = if has_spoken {
        &[code::GRACEFUL_DISCONNECT, code::BAD_ARGUMENTS][..]
    } else {
        &[code::GRACEFUL_DISCONNECT]
    };
    let is_an_end = |failure: &Seen<(&str, &Code)>| !is(failure.what.1, leaves);
    let failure = gateway.failures().into_iter().find(is_an_end)?;
    let (carrier, status) = failure.what;
    let name = status.name.as_deref().unwrap_or("a number that nobody has documented");
    let summary = format!(
        "The gateway {} answers with {:#010x}, {name}; `rdpscope explain gateway:{:#x}` says what is known of it.",
        gateway.name, status.value, status.value
    );
    let phase = if facts.is_inside() {
        facts.stopped_in()
    } else {
        phase_of(facts, carrier).max(Phase::GatewayTunnel)
    };
    let conclusion = Conclusion::confirmed(phase, summary);
    Some(conclusion.seen(failure.t_us, status_words(failure.what)))
}
