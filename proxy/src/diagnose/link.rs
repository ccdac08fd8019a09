//! What the way between client and server does to a session: it takes too long, loses too much, or forgets a connection
//! on which nothing moves.

use super::facts::Facts;
use super::findings::SLOW_RTT_US;
use super::loss::{LOSSY_PERCENT, Loss, Resent};
use super::rule::{Conclusion, Remedy, Rule};
use super::words::{SECOND, span};
use crate::trace::{ClosedBy, Confidence, How, Micros, Phase, Side, TcpInfo, VerdictId, Where};

/// No client gives a connection up sooner: the shortest time-out in use is xfreerdp's, 10 s.
const CLIENT_TIMEOUT_US: Micros = 8 * SECOND;
/// So much silence before a reset and the reset is probably about it; no network forgets a connection sooner.
const QUIET_US: Micros = 60 * SECOND;
/// After how many seconds of silence firewalls, load balancers and address translation forget a connection, as they come.
const FORGET_AFTER_SECONDS: [u64; 12] = [60, 120, 180, 240, 300, 350, 600, 900, 1200, 1800, 3600, 7200];
/// How much later than its time such a box may look.
const FORGET_LATE_SECONDS: u64 = 15;
/// Above this share of segments sent again, no handshake comes to its end in time.
const HOPELESS_PERCENT: u64 = 10;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: VerdictId::LinkLossy,
        needs: "what the system counts on the connections to both sides, and the client's end before there was a desktop",
        depends_on: &[VerdictId::Healthy, VerdictId::ClientPrompted, VerdictId::TlsStalled],
        is_last_resort: false,
        judge: lossy,
        next: &["rdpscope probe {target}", "rdpscope ab {target} --vary mss"],
        fix: &[
            Remedy::by_hand(
                Where::Network,
                "Find where packets are lost: compare with the same client on a cable, without the VPN, and from a \
                 machine beside the server.",
            ),
            Remedy::command(Where::Client, "Count what is lost on the way.", "pathping {host}"),
        ],
    },
    Rule {
        id: VerdictId::LinkSlow,
        needs: "the round trip times of both connections, and the client's end before there was a desktop",
        depends_on: &[
            VerdictId::Healthy,
            VerdictId::ClientPrompted,
            VerdictId::TlsStalled,
            VerdictId::LinkLossy,
        ],
        is_last_resort: false,
        judge: slow,
        next: &["rdpscope ab {target} --vary latency", "rdpscope probe {target}"],
        fix: &[
            Remedy::by_hand(
                Where::Network,
                "Take another way for the test: without the VPN, or through a gateway near the server.",
            ),
            Remedy::by_hand(
                Where::Client,
                "Where the client has a setting for its time-out, raise it: `/timeout:60000` of xfreerdp is in ms.",
            ),
        ],
    },
    Rule {
        id: VerdictId::IdleTimeout,
        needs: "a session in which nothing moved for a minute and more before it was cut without a word",
        depends_on: &[
            VerdictId::Healthy,
            VerdictId::IdleLimit,
            VerdictId::AdminDisconnect,
            VerdictId::ServerShutdown,
        ],
        is_last_resort: false,
        judge: forgotten,
        next: &["rdpscope proxy {target} --for 2h", "rdpscope probe {target}"],
        fix: &[
            Remedy::command(
                Where::Server,
                "Let the server send something every minute; it holds for new connections.",
                "reg add \"HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Terminal Services\" /v KeepAliveEnable /t \
                 REG_DWORD /d 1 /f; reg add \"HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Terminal Services\" /v \
                 KeepAliveInterval /t REG_DWORD /d 1 /f",
            ),
            Remedy::by_hand(
                Where::Network,
                "Raise the idle time-out for TCP port {port} on the firewall, VPN, load balancer or address translation in \
                 between.",
            ),
        ],
    },
];

/// Whether the client gave up, or nothing came for too long, after the server was connected and before there was a
/// desktop.
fn was_given_up(facts: &Facts<'_>) -> bool {
    let by_client = facts.ended_by(Side::Client);
    let ran_out = facts.ending.how == Some(How::Timeout);
    facts.network.connected.is_some()
        && facts.inside.active.is_none()
        && facts.tls.alert.is_none()
        && (by_client || ran_out)
        && facts.left_after(facts.network.connected.map_or(0, |connected| connected.t_us))
            >= CLIENT_TIMEOUT_US
}

/// What the way to this side lost, where it is enough to break a connection.
fn lost(link: &TcpInfo) -> Option<Loss> {
    Loss::of(link).filter(|loss| loss.percent() > LOSSY_PERCENT)
}

fn lossy(facts: &Facts<'_>) -> Option<Conclusion> {
    if !was_given_up(facts) || !facts.server_spoke() {
        return None;
    }
    let sides = [Side::Client, Side::Server];
    let losses =
        sides.into_iter().filter_map(|side| Some((side, lost(facts.links[side.index()].as_ref()?)?)));
    let (side, loss) = losses.max_by_key(|(_, loss)| loss.percent())?;
    let (Loss { resent: Resent { again, unit, .. }, all }, percent) = (loss, loss.percent());
    let way = match facts.is_recorded {
        true => format!("way to the {side}"),
        false => format!("connection between rdpscope and the {side}"),
    };
    let summary = format!(
        "The {way} loses packets: {again} of {all} {unit} had to be sent again, and the client gave up after {}.",
        span(facts.ending.t_us)
    );
    let confidence = if percent >= HOPELESS_PERCENT { Confidence::Likely } else { Confidence::Possible };
    let others = [VerdictId::TlsStalled, VerdictId::ClientClosed];
    let conclusion = Conclusion::new(confidence, facts.stopped_in(), summary).or_possibly(&others);
    Some(
        conclusion
            .seen(facts.ending.t_us, format!("{percent} % of the {unit} to the {side} were sent again")),
    )
}

fn slow(facts: &Facts<'_>) -> Option<Conclusion> {
    if !was_given_up(facts) {
        return None;
    }
    let rtt: Micros = facts.links.iter().flatten().filter_map(|link| link.rtt_us).map(Micros::from).sum();
    if rtt <= SLOW_RTT_US.into() {
        return None;
    }
    let round_trips = Micros::from(facts.turns).div_ceil(2);
    let travelled = rtt.saturating_mul(round_trips);
    let connected = facts.network.connected.map_or(0, |connected| connected.t_us);
    let lasted = facts.left_after(connected);
    // Where most of the time went by without anything on the way, something else was waited for.
    if travelled.saturating_mul(2) < lasted {
        return None;
    }
    let summary = format!(
        "A round trip takes {}: {round_trips} of them took {} of the {} after which the client gave up.",
        span(rtt),
        span(travelled.min(lasted)),
        span(lasted)
    );
    let conclusion = Conclusion::likely(facts.stopped_in(), summary);
    Some(conclusion.seen(facts.ending.t_us, format!("round trip time of both ways together: {}", span(rtt))))
}

pub(super) fn forgotten(facts: &Facts<'_>) -> Option<Conclusion> {
    let quiet = facts.ending.quiet.filter(|quiet| quiet.what >= QUIET_US)?;
    let was_cut = matches!(
        (facts.ending.by, facts.ending.how),
        (_, Some(How::Timeout)) | (Some(ClosedBy::Server), Some(How::Reset))
    ) || facts.gateway.is_some() && facts.ended_by(Side::Server);
    if !was_cut || facts.inside.active.is_none() || facts.inside.ultimatum.is_some() {
        return None;
    }
    let seconds = quiet.what / SECOND;
    let is_a_setting =
        FORGET_AFTER_SECONDS.iter().any(|after| (*after..=after + FORGET_LATE_SECONDS).contains(&seconds));
    let confidence = if is_a_setting { Confidence::Likely } else { Confidence::Possible };
    let summary = format!(
        "The session worked; then nothing moved for {}, and it was cut without a word: a firewall, VPN, load balancer or \
         address translation on the way forgets connections that are idle.",
        span(quiet.what)
    );
    let conclusion = Conclusion::new(confidence, Phase::Active, summary)
        .or_possibly(&[VerdictId::ServerShutdown, VerdictId::ServerClosed]);
    let conclusion =
        conclusion.seen(quiet.t_us, format!("neither side had sent anything for {}", span(quiet.what)));
    Some(match facts.tcp.and_then(|tcp| tcp.what.unanswered) {
        Some(unanswered) => conclusion.seen(
            unanswered.t_us,
            format!(
                "what the {} then sent was sent {} times again, and nothing came back",
                unanswered.from, unanswered.again
            ),
        ),
        None => conclusion,
    })
}
