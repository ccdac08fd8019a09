//! Every rule there is, in the order in which causes of equal confidence are preferred: what comes first on the wire
//! comes first here.

use super::rule::Rule;
use super::{certificate, ending, impaired, interception, negotiation, network, nla, session, tls, udp};

const FAMILIES: &[&[Rule]] = &[
    network::RULES,
    negotiation::RULES,
    tls::RULES,
    certificate::RULES,
    interception::RULES,
    nla::RULES,
    session::RULES,
    impaired::RULES,
    ending::RULES,
    udp::RULES,
];

/// Every rule.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    FAMILIES.iter().copied().flatten()
}
