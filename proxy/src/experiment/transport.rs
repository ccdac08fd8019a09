//! `gateway-transport`: each arm leaves the client one transport, and none is the session as it is.
//!
//! A gateway without RPC over HTTP is nothing unusual, so that only WebSocket and the two connections of HTTP can be
//! found guilty. A client that never asked for the transport that it was left does not know it; its failure says nothing.

use super::conclusion::{Conclusion, MINIMUM_RUNS, chance, corrected, shows_instead, worked};
use super::confounding::Confounders;
use super::factor::RPC;
use super::progress;
use super::schedule::{ArmState, Experiment};
use super::statistics::fisher_exact;
use super::untried::records;
use crate::trace::{Detail, ExperimentEffect, GatewayMessage, Micros, Phase, Record, Role};

/// The arms by what they came to.
#[derive(Default)]
struct Sorted<'a> {
    works: Vec<&'a ArmState>,
    fails: Vec<&'a ArmState>,
    /// The client never asked for the transport.
    unknown: Vec<&'a ArmState>,
    /// Attempts came out differently.
    mixed: Vec<&'a ArmState>,
}

impl<'a> Sorted<'a> {
    fn of(experiment: &Experiment, compared: &'a [ArmState]) -> Sorted<'a> {
        let mut sorted = Sorted::default();
        for state in compared {
            let tally = experiment.tally(state);
            let place = match () {
                () if tally.all_passed() => &mut sorted.works,
                () if tally.all_failed() && is_unknown(state) => &mut sorted.unknown,
                () if tally.all_failed() => &mut sorted.fails,
                () => &mut sorted.mixed,
            };
            place.push(state);
        }
        sorted
    }

    /// Transports whose failure is a fault where another works.
    fn blocked(&self) -> Vec<&'a ArmState> {
        self.fails.iter().filter(|state| state.arm.name != RPC).copied().collect()
    }
}

/// What follows from attempts over each transport.
pub(super) fn conclude(
    experiment: &Experiment,
    compared: &[ArmState],
    confounders: &Confounders,
) -> Conclusion {
    let seen = seen(compared);
    let sorted = Sorted::of(experiment, compared);
    let unknown = names(&sorted.unknown);
    let told = |found: Conclusion| {
        match &*unknown {
        "" => found,
        unknown => found.and(format!(
            "The client does not fall back to {unknown}: it was refused everything else and never asked for it."
        )),
    }
    };
    if !sorted.mixed.is_empty() {
        return told(Conclusion::inconclusive(seen))
            .and("The outcome changed between attempts of one arm: more --runs would tell.");
    }
    if compared.iter().any(|state| state.observed.len() < MINIMUM_RUNS) {
        return told(Conclusion::inconclusive(seen))
            .and(format!("So few attempts prove nothing: repeat it with --runs {MINIMUM_RUNS} or more."));
    }
    let blocked = sorted.blocked();
    if let (Some(good), Some(bad)) = (sorted.works.first(), blocked.first()) {
        let [good_tally, bad_tally] = [good, bad].map(|state| experiment.tally(state));
        let p_value = corrected(fisher_exact(bad_tally, good_tally), compared.len() - 1);
        let mut found = Conclusion::new(ExperimentEffect::Cause, seen).with_p(p_value);
        found.guilty =
            Some(blocked.iter().map(|state| state.arm.name.as_str()).collect::<Vec<_>>().join("+"));
        found.telling = Some(good.arm.name.clone());
        let found = told(found.and(chance(p_value, bad_tally, good_tally)));
        return match confounders.against_cause() {
            Some(confounder) => found.refused(confounder),
            None => found,
        };
    }
    let acquitted = |because: String| {
        let found = told(Conclusion::new(ExperimentEffect::NotCause, seen.clone())).and(because);
        match confounders.against_acquittal() {
            Some(confounder) => found.refused(confounder),
            None => found,
        }
    };
    match (sorted.works.len(), sorted.fails.len()) {
        (1.., 1..) => acquitted(
            "That RPC over HTTP fails is no fault: many gateways do not have it, and the others work."
                .to_owned(),
        ),
        (2.., 0) => acquitted("It works over every transport that the client knows.".to_owned()),
        (0, 2..) => acquitted(format!("It fails over every transport. {}", shows_instead(sorted.fails[0]))),
        _ => {
            told(Conclusion::inconclusive(seen)).and("With one transport alone there is nothing to compare.")
        }
    }
}

/// The verdict's sentence.
pub(super) fn summary(experiment: &Experiment, found: &Conclusion) -> String {
    let guilty = found.guilty.as_deref().unwrap_or_default();
    let arms = guilty.split('+').filter_map(|name| experiment.arm(name));
    let words = arms.map(|state| state.arm.description.as_str()).collect::<Vec<_>>().join(" and ");
    let with = found.telling.as_deref().and_then(|name| experiment.arm(name));
    let with = with.map_or("", |state| state.arm.description.as_str());
    format!("The session fails {words}, and works {with}: that transport is blocked.")
}

/// Whether the client was refused the other transports and did not ask for this one, in every attempt.
fn is_unknown(state: &ArmState) -> bool {
    records(state).all(|record| {
        let messages = || {
            record.events.iter().filter_map(|event| match &event.detail {
                Detail::Gateway(message) => Some(message),
                _ => None,
            })
        };
        let refused = messages().any(|message| matches!(message, GatewayMessage::TransportRefused { .. }));
        let asked = messages().any(|message| match message {
            GatewayMessage::HttpRequest(request) => is_for(&state.arm.name, request.role),
            _ => false,
        });
        refused && !asked
    })
}

/// Whether a request of this role goes on in the arm. Of one for WebSocket `http` makes one for an OUT channel.
fn is_for(arm: &str, role: Role) -> bool {
    match role {
        Role::Websocket => arm != RPC,
        Role::OutChannel | Role::InChannel => arm == "http",
        Role::RpcOut | Role::RpcIn => arm == RPC,
        Role::KdcProxy | Role::Other => false,
    }
}

/// How often each worked, and what it cost.
fn seen(compared: &[ArmState]) -> String {
    let sums = compared.iter().enumerate().map(|(place, state)| {
        let cost = match cost(state) {
            Some((phase, cost_us)) => format!(", {phase} after {}", seconds(cost_us)),
            None => String::new(),
        };
        format!("{}{cost}", worked(place, state))
    });
    format!("{}.", sums.collect::<Vec<_>>().join("; "))
}

/// The phase of the gateway to which most attempts of an arm came, and the median of the time that it took.
fn cost(state: &ArmState) -> Option<(Phase, Micros)> {
    let furthest = |record: &Record| {
        let reached = record.summary.as_ref()?.reached?;
        let phase = reached.min(Phase::GatewayChannel);
        Some((phase, progress::came_through_us(record, phase)?))
    };
    let mut costs: Vec<_> = records(state).filter_map(furthest).collect();
    costs.sort_unstable();
    costs.get(costs.len() / 2).copied()
}

fn seconds(time_us: Micros) -> String {
    format!("{}.{} s", time_us / 1_000_000, time_us % 1_000_000 / 100_000)
}

fn names(arms: &[&ArmState]) -> String {
    arms.iter().map(|state| state.arm.name.as_str()).collect::<Vec<_>>().join(" and ")
}
