//! Every rule there is, in the order in which causes of equal confidence are preferred: what comes first on the wire
//! comes first here.

use super::facts::Facts;
use super::rule::{Remedy, Rule};
use super::{
    certificate, ending, impaired, inspection, interception, link, negotiation, network, nla, probe, session,
    tls, udp,
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
];

/// Every rule: those about a watched session, then those about what a probe found.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    FAMILIES.iter().chain(probe::FAMILIES).copied().flatten()
}

/// The rules that have something to say of this record: a probe knows more than its own conversation shows.
pub(super) fn rules_for(facts: &Facts<'_>) -> impl Iterator<Item = &'static Rule> {
    let families = if facts.probe.is_some() { probe::FAMILIES } else { FAMILIES };
    families.iter().copied().flatten()
}

/// What mends the cause of `rule`: where it does not say so itself, what the first rule for the same cause says.
pub(super) fn fix_of(rule: &Rule) -> &'static [Remedy] {
    let mut same = rules().filter(|other| other.id == rule.id && !other.fix.is_empty());
    if rule.fix.is_empty() { same.next().map_or(&[], |other| other.fix) } else { rule.fix }
}
