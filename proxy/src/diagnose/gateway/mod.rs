//! The way through an RD Gateway: from its address to the channel that it opens to the target (MS-TSGU).

mod auth;
mod ended;
mod exclusions;
mod findings;
mod middlebox;
pub(super) mod reach;
mod transport;
mod tunnel;
mod udp;
mod words;

pub(super) use exclusions::EXCLUSIONS;
pub(super) use findings::add as add_findings;
pub(super) use words::{at_the_gateway, name_in_findings};

use super::facts::Facts;
use super::rule::{Conclusion, Remedy, Rule};
use crate::trace::{VerdictId, Where};

/// What the gateway's rules stand on.
pub(super) const FAMILIES: &[&[Rule]] =
    &[reach::RULES, transport::RULES, middlebox::RULES, auth::RULES, tunnel::RULES, ended::RULES, udp::RULES];

const LOG: Remedy = Remedy::command(
    Where::Gateway,
    "Read what the gateway logged: 201 and 301 name the policy that refused, 203 the limit, 304 a target that it could \
     not reach.",
    "Get-WinEvent -LogName 'Microsoft-Windows-TerminalServices-Gateway/Operational' -MaxEvents 30 | ft TimeCreated,Id,\
     Message -Wrap",
);
const PROBE: &[&str] = &["rdpscope probe {target} --gateway {gateway}"];
const VARY_TRANSPORT: &[&str] = &[
    "rdpscope ab {target} --gateway {gateway} --vary gateway-transport",
    "rdpscope probe {target} --gateway {gateway}",
];

/// A rule of this family.
const fn rule(
    id: VerdictId,
    needs: &'static str,
    judge: fn(&Facts<'_>) -> Option<Conclusion>,
    next: &'static [&'static str],
    fix: &'static [Remedy],
) -> Rule {
    Rule { id, needs, depends_on: &[VerdictId::Healthy], is_last_resort: false, judge, next, fix }
}

/// The same, silent where one of these holds.
const fn unless(rule: Rule, depends_on: &'static [VerdictId]) -> Rule {
    Rule { depends_on, ..rule }
}
