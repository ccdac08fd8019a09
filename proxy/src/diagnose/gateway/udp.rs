//! The gateway's side channel over UDP, where its failure may have cost the session.

use super::super::facts::{Facts, Gateway, Seen};
use super::super::rule::{Conclusion, Remedy, Rule};
use super::super::words::span;
use super::rule;
use crate::trace::{ClosedBy, GatewayUdp, Phase, VerdictId, Where};

const VARY: &[&str] = &[
    "rdpscope ab {target} --gateway {gateway} --vary gateway-udp",
    "rdpscope proxy {target} --gateway {gateway} --tcp-only",
];
const LET_THROUGH: Remedy = Remedy::by_hand(
    Where::Network,
    "Let UDP port 3391 to {gateway} through in both directions, or block it openly with a reject.",
);
const SWITCH_OFF: Remedy = Remedy::by_hand(
    Where::Gateway,
    "Or switch the gateway's UDP off: RD Gateway Manager, Properties, Transport Settings; sessions then run over TCP \
     alone and lose nothing but some fluency.",
);

pub(super) const RULES: &[Rule] = &[
    rule(
        VerdictId::UdpBlocked,
        "datagrams of the gateway's side channel, and a session that failed",
        blocked,
        VARY,
        &[LET_THROUGH, SWITCH_OFF],
    ),
    rule(
        VerdictId::UdpHalfOpen,
        "datagrams of the gateway's side channel, and a session that failed",
        half_open,
        VARY,
        &[SWITCH_OFF, LET_THROUGH],
    ),
];

/// What became of the side channel, where it is this.
fn became(facts: &Facts<'_>, wanted: GatewayUdp) -> Option<Seen<(GatewayUdp, u64, u64)>> {
    facts.gateway.as_ref()?.udp.filter(|udp| udp.what.0 == wanted)
}

/// A session that ended, or a client that left a channel without a word in it.
fn died(facts: &Facts<'_>) -> bool {
    let is_session = facts.inside.client_went_on.is_some() || facts.inside.active.is_some();
    let is_unused = !facts.is_inside() && facts.gateway.as_ref().is_some_and(Gateway::has_channel);
    match facts.ending.by {
        Some(ClosedBy::Client) => is_session || is_unused,
        Some(ClosedBy::Server) => is_session,
        _ => false,
    }
}

/// The side channel was never answered: a sentence, and when that was told.
pub(super) fn is_blocked(facts: &Facts<'_>) -> Option<(String, u64)> {
    let udp = became(facts, GatewayUdp::Unanswered)?;
    let (_, datagrams, waited) = udp.what;
    Some((
        format!("{datagrams} datagrams in {} to the gateway's UDP port got no answer", span(waited)),
        udp.t_us,
    ))
}

/// The side channel worked and fell silent.
pub(super) fn is_half_open(facts: &Facts<'_>) -> Option<(String, u64)> {
    let udp = became(facts, GatewayUdp::Silence)?;
    let text =
        format!("UDP with the gateway was opened and fell silent {} after it was begun", span(udp.what.2));
    Some((text, udp.t_us))
}

fn blocked(facts: &Facts<'_>) -> Option<Conclusion> {
    let (what, t_us) = is_blocked(facts).filter(|_| died(facts))?;
    let summary = "The session ended while the client tried in vain to open UDP with the gateway; the one may have to \
                   do with the other.";
    Some(Conclusion::possible(Phase::Udp, summary).seen(t_us, what))
}

fn half_open(facts: &Facts<'_>) -> Option<Conclusion> {
    let (what, t_us) = is_half_open(facts).filter(|_| died(facts))?;
    let summary = "UDP with the gateway was opened and fell silent, and the session ended; the one may have to do with \
                   the other.";
    Some(Conclusion::possible(Phase::Udp, summary).seen(t_us, what))
}
