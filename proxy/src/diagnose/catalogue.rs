//! Every rule there is, in the order in which causes of equal confidence are preferred: what comes first on the wire
//! comes first here.

use super::facts::Facts;
use super::rule::{Remedy, Rule};
use super::{
    certificate, ending, gateway, impaired, inspection, interception, link, negotiation, network, nla, probe,
    recorded, session, tls, udp,
};

/// What a session shows that was watched.
const FAMILIES: &[&[Rule]] = &[
    network::RULES,
    negotiation::RULES,
    tls::RULES,
    inspection::RULES,
    certificate::RULES,
    interception::RULES,
    nla::RULES,
    session::RULES,
    impaired::RULES,
    link::RULES,
    ending::RULES,
    udp::RULES,
    recorded::RULES,
];

/// What the connections to a gateway show before HTTP is spoken on one: the same as those to a server.
const AT_THE_GATEWAY: &[&[Rule]] = &[
    network::RULES,
    tls::RULES,
    inspection::RULES,
    certificate::RULES,
    interception::RULES,
    impaired::RULES,
    link::RULES,
    ending::RULES,
];

/// What they show from then on, until there is a channel to the target.
const BEFORE_THE_CHANNEL: &[&[Rule]] = &[impaired::RULES, link::RULES, ending::RULES];

/// Every rule: those about a watched session, those about a gateway, then those about what a probe found.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let of_probes = probe::FAMILIES.iter().chain(probe::GATEWAY_FAMILIES);
    FAMILIES.iter().chain(gateway::FAMILIES).chain(of_probes).copied().flatten()
}

/// The rules that have something to say of this record: a probe knows more than its own conversation shows, and before a
/// gateway has made a channel nothing of the target was seen.
pub(super) fn rules_for(facts: &Facts<'_>) -> impl Iterator<Item = &'static Rule> {
    let families = match facts.gateway_without_channel() {
        _ if facts.probe.is_some_and(|probe| probe.gateway.is_some()) => probe::GATEWAY_FAMILIES,
        _ if facts.probe.is_some() => probe::FAMILIES,
        Some(_) if facts.at_gateway => AT_THE_GATEWAY,
        Some(_) => BEFORE_THE_CHANNEL,
        None => FAMILIES,
    };
    let is_watched = facts.gateway.is_some() && facts.probe.is_none();
    let of_gateway = if is_watched { gateway::FAMILIES } else { &[] };
    of_gateway.iter().chain(families).copied().flatten()
}

/// What mends the cause of `rule`: where it does not say so itself, what the first rule for the same cause says.
pub(super) fn fix_of(rule: &Rule) -> &'static [Remedy] {
    let mut same = rules().filter(|other| other.id == rule.id && !other.fix.is_empty());
    if rule.fix.is_empty() { same.next().map_or(&[], |other| other.fix) } else { rule.fix }
}
