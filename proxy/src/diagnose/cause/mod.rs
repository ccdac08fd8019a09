//! What people should know of each cause, beside the rules that find it: what its user sees, its mark on the wire, what
//! proves it and what rules it out, what is often believed and wrong. The pages of the manual and `rdpscope explain ID`
//! are made from this and from the rules, so that neither can say what the rules do not do.

mod certificate;
mod ending;
mod gateway;
mod link;
mod negotiation;
mod nla;
mod reach;
mod session;
#[cfg(test)]
mod tests;
mod text;
mod tls;

pub use text::text;

use super::facts::Facts;
use super::{catalogue, exclusions, gateway as gateway_rules, probe, rules};
use crate::explain::WrongClaim;
use crate::trace::{Fix, Record, Summary, VerdictId};
use schemars::JsonSchema;
use serde::Serialize;

/// One cause for people.
#[derive(Debug)]
pub struct Cause {
    /// The verdict that names it.
    pub id: VerdictId,
    /// The cause as a sentence without its full stop.
    pub title: &'static str,
    /// What stands on the user's screen, as far as it is known.
    pub user_sees: &'static str,
    /// By what rdpscope knows it.
    pub wire: &'static str,
    /// What on the wire proves it; `None` where nothing there ever does.
    pub proof: Option<&'static str>,
    /// The experiment that decides where the wire does not.
    pub trial: Option<Trial>,
    /// What is often believed of it, and wrong.
    pub beliefs: &'static [WrongClaim],
}

/// An experiment, and how it comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Trial {
    /// What to run.
    pub command: &'static str,
    /// The outcome that proves the cause, or speaks for it where it says so.
    pub proves: &'static str,
    /// The outcome that speaks against it.
    pub refutes: &'static str,
}

/// Causes of one part of a connection.
#[derive(Debug)]
pub struct Group {
    /// Which part.
    pub title: &'static str,
    /// Its causes, in the order of the wire.
    pub causes: &'static [Cause],
}

/// Every cause, in the order in which a connection meets them.
pub const GROUPS: &[Group] = &[
    Group { title: "Reaching the server", causes: reach::CAUSES },
    Group { title: "Negotiation (X.224)", causes: negotiation::CAUSES },
    Group { title: "TLS", causes: tls::CAUSES },
    Group { title: "The certificate", causes: certificate::CAUSES },
    Group { title: "Network level authentication (NLA)", causes: nla::CAUSES },
    Group { title: "Logon, licence and session", causes: session::CAUSES },
    Group { title: "The line and UDP", causes: link::CAUSES },
    Group { title: "The RD Gateway", causes: gateway::CAUSES },
    Group { title: "No fault, or none that can be seen", causes: ending::CAUSES },
];

/// Everything that is known of one cause, from its entry, the rules that find it and what rules it out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename = "cause")]
pub struct Explained {
    /// The verdict that names it.
    pub id: VerdictId,
    /// The cause as a sentence without its full stop.
    pub title: &'static str,
    /// What stands on the user's screen.
    pub user_sees: &'static str,
    /// By what rdpscope knows it.
    pub wire: &'static str,
    /// What each rule for it has to see before it says anything.
    pub needs: Vec<&'static str>,
    /// What on the wire proves it; without it no session alone ever does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<&'static str>,
    /// The experiment that decides where the wire does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// Observations each of which rules it out.
    pub ruled_out_where: Vec<&'static str>,
    /// Commands that tell more.
    pub next: Vec<String>,
    /// What mends it.
    pub fix: Vec<Fix>,
    /// What is often believed of it, and wrong.
    #[serde(skip_serializing_if = "<[WrongClaim]>::is_empty")]
    pub beliefs: &'static [WrongClaim],
}

impl Explained {
    /// Leaves out the commands that `knows` does not know: nobody shall be sent to one that does not exist.
    pub fn retain_commands(&mut self, knows: impl Fn(&str) -> bool) {
        let is_there = |command: &str| !command.starts_with("rdpscope ") || knows(command);
        self.next.retain(|command| is_there(command));
        self.trial = self.trial.filter(|trial| is_there(trial.command));
    }
}

/// A trial between its outcomes.
const fn trial(command: &'static str, proves: &'static str, refutes: &'static str) -> Option<Trial> {
    Some(Trial { command, proves, refutes })
}

/// A claim and what is true instead.
const fn wrong(claim: &'static str, truth: &'static str) -> WrongClaim {
    WrongClaim { claim, truth }
}

/// The entry of a cause.
pub fn cause(id: VerdictId) -> Option<&'static Cause> {
    GROUPS.iter().flat_map(|group| group.causes).find(|cause| cause.id == id)
}

/// The cause with this id, as users write it.
pub fn named(id: &str) -> Option<&'static Cause> {
    let id = id.trim().to_ascii_lowercase();
    GROUPS.iter().flat_map(|group| group.causes).find(|cause| cause.id.as_str() == id)
}

/// Everything about a cause, with words such as `TARGET` where a session would have its names.
pub fn explained(cause: &Cause) -> Explained {
    let of_cause = || rules().filter(|rule| rule.id == cause.id);
    let mut needs = Vec::new();
    let mut next = Vec::new();
    let mut fix = Vec::new();
    for rule in of_cause() {
        add(&mut needs, rule.needs);
        rule.next.iter().for_each(|command| add(&mut next, generic(command)));
        let remedies = catalogue::fix_of(rule).iter();
        remedies.for_each(|remedy| {
            add(&mut fix, remedy.filled(&nothing(&Record::default(), &Summary::default())))
        });
    }
    let trial = cause.trial.iter().map(|trial| trial.command.to_owned());
    let next = trial.chain(next).fold(Vec::new(), |mut all, command| {
        add(&mut all, command);
        all
    });
    let rules_out = exclusions::EXCLUSIONS.iter().chain(gateway_rules::EXCLUSIONS).chain(probe::EXCLUSIONS);
    let mut ruled_out_where = Vec::new();
    rules_out
        .filter(|exclusion| exclusion.causes.contains(&cause.id))
        .for_each(|exclusion| add(&mut ruled_out_where, exclusion.seen));
    Explained {
        id: cause.id,
        title: cause.title,
        user_sees: cause.user_sees,
        wire: cause.wire,
        needs,
        proof: cause.proof,
        trial: cause.trial,
        ruled_out_where,
        next,
        fix,
        beliefs: cause.beliefs,
    }
}

/// `text` with words in the place of a session's names.
fn generic(text: &str) -> String {
    nothing(&Record::default(), &Summary::default()).fill(text)
}

fn nothing<'a>(record: &'a Record, summary: &'a Summary) -> Facts<'a> {
    Facts::new(record, summary, false)
}

fn add<T: PartialEq>(all: &mut Vec<T>, one: T) {
    if !all.contains(&one) {
        all.push(one);
    }
}
