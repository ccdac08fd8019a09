//! Two sessions side by side, one that works and one that fails: where they part, and the first difference before that
//! place which can explain it. It is an observation, not a verdict: two sessions can differ in what does not matter.

mod facts;
mod text;

pub use text::contrast_text;
pub(super) use text::{CAUTION, aside, first_words, same_words, sides_words};

use super::document::Subject;
use crate::trace::{Outcome, Phase, Record};
use facts::{Fact, OWN, facts};
use serde::Serialize;

/// A phase that takes this many times as long as in the other session is slower.
const SLOWER: u64 = 3;
/// And it must take this much longer: less is the noise of a busy machine, µs.
const SLOWER_BY_US: u64 = 200_000;

/// Members of a list that are named; the others are counted.
const MOST_MEMBERS: usize = 8;

/// Two sessions side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contrast {
    /// Always `"contrast"`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What the working one is, in words.
    pub working: String,
    /// What the failing one is.
    pub failing: String,
    /// Whether they are what they stand for: the first works and the second fails.
    pub is_as_named: bool,
    /// The answers of both: the sentences of their verdicts.
    pub answers: [String; 2],
    /// What is to be known before anything is concluded; a sentence each.
    pub notes: Vec<String>,
    /// The first phase that came to another end.
    pub parted: Option<Difference>,
    /// The first difference that can explain it, in the order of the phases.
    pub first: Option<Difference>,
    /// The others, in the order of the phases.
    pub others: Vec<Difference>,
    /// How many facts were the same.
    pub same: usize,
}

/// One fact that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The phase that it belongs to.
    pub phase: Phase,
    /// What differs, in words.
    pub what: String,
    /// What it is in the session that works.
    pub working: String,
    /// What it is in the session that fails.
    pub failing: String,
    /// What a difference in it can mean.
    pub weight: Weight,
}

/// What a difference can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// A session can fail for it.
    Cause,
    /// A setting for which sessions seldom fail.
    Setting,
    /// Who and where: other people and machines are not a fault by themselves.
    Identity,
    /// How long something took.
    Timing,
    /// What follows from the failure.
    Consequence,
}

/// Holds `failing` against `working`.
pub fn contrast(working: &Subject, failing: &Subject) -> Contrast {
    let mut notes = Vec::new();
    let is_as_named = !working.fails() && failing.fails();
    if !is_as_named {
        notes.push(match failing.fails() {
            true => "Both fail: name a session that works to see what is different in it.".to_owned(),
            false => "Neither fails: there is no failure to explain.".to_owned(),
        });
    }
    let (ours, theirs) = (facts(working), facts(failing));
    let mut differences: Vec<Difference> = theirs
        .iter()
        .filter_map(|fact| difference(fact, ours.iter().find(|it| it.what == fact.what)?))
        .collect();
    differences.extend(slower(&working.record, &failing.record));
    differences.sort_by_key(|difference| difference.phase);
    if differences.iter().any(|it| it.what.starts_with(OWN)) {
        notes.push(
            "rdpscope itself was run with other settings, which make a difference of their own.".to_owned(),
        );
    }
    let parted = parted(&working.record, &failing.record);
    let first = first(&differences, parted.as_ref().map(|it| it.phase).max(verdict_phase(&failing.record)));
    let first = first.map(|place| differences.remove(place));
    let known = theirs.iter().filter(|fact| ours.iter().any(|it| it.what == fact.what)).count();
    let different = differences.iter().chain(&first).filter(|it| it.weight != Weight::Timing).count();
    Contrast {
        kind: "contrast",
        working: title(working),
        failing: title(failing),
        is_as_named,
        answers: [answer(working), answer(failing)],
        notes,
        parted,
        first,
        others: differences,
        same: known.saturating_sub(different),
    }
}

fn title(subject: &Subject) -> String {
    let session = subject.session().map(|session| format!(" ({session})")).unwrap_or_default();
    subject.title() + &super::safe::name(&session)
}

fn answer(subject: &Subject) -> String {
    let verdict = subject.record.verdict.as_ref();
    verdict.map_or_else(
        || "no verdict".to_owned(),
        |it| format!("{} ({}): {}", it.id, it.confidence, it.summary),
    )
}

fn verdict_phase(record: &Record) -> Option<Phase> {
    record.verdict.as_ref().map(|verdict| verdict.phase)
}

fn difference(failing: &Fact, working: &Fact) -> Option<Difference> {
    (failing.value != working.value).then(|| Difference {
        phase: failing.phase,
        what: failing.what.clone(),
        working: beside(working, failing),
        failing: beside(failing, working),
        weight: failing.weight,
    })
}

/// The fact in words; of a list what the other has not.
fn beside(fact: &Fact, other: &Fact) -> String {
    if fact.members.is_empty() || other.members.is_empty() {
        return fact.words.clone();
    }
    let own: Vec<String> = fact
        .members
        .iter()
        .filter(|it| !other.members.contains(it))
        .map(|it| super::safe::name(it))
        .collect();
    let more = own.len().saturating_sub(MOST_MEMBERS);
    match own.len() {
        0 if other.members.iter().all(|it| fact.members.contains(it)) => {
            "the same in another order".to_owned()
        }
        0 => "nothing beside what both have".to_owned(),
        _ if more > 0 => format!("also {} and {more} more", own[..MOST_MEMBERS].join(", ")),
        _ => format!("also {}", own.join(", ")),
    }
}

/// The place of the first difference that can explain the end in `until`: of what can be a cause the earliest, and
/// only without such a one of what seldom is.
fn first(differences: &[Difference], until: Option<Phase>) -> Option<usize> {
    let is_before = |it: &&(usize, &Difference)| {
        until.is_none_or(|until| it.1.phase <= until || it.1.phase == Phase::Udp)
    };
    let can_explain = |it: &&(usize, &Difference)| it.1.weight < Weight::Consequence;
    let places: Vec<(usize, &Difference)> = differences.iter().enumerate().collect();
    let found =
        places.iter().filter(is_before).filter(can_explain).min_by_key(|(_, it)| (it.weight, it.phase));
    found.map(|(place, _)| *place)
}

/// The first phase that both had, or that one of them did not come to, with another outcome. What was left out was not
/// had.
fn parted<'a>(working: &'a Record, failing: &'a Record) -> Option<Difference> {
    let had = |record: &'a Record| {
        record.phases.iter().filter(|it| it.outcome != Outcome::Skipped && it.phase < Phase::Udp)
    };
    let outcome = |record, phase| {
        had(record).filter(|it| it.phase == phase).map(|it| it.outcome).max_by_key(|it| worst(*it))
    };
    let mut phases: Vec<Phase> = had(working).chain(had(failing)).map(|it| it.phase).collect();
    phases.sort();
    phases.dedup();
    let words = |outcome: Option<Outcome>| {
        outcome.map_or("not reached", |outcome| super::story::outcome(outcome).1).to_owned()
    };
    // What a session has not had and yet come past was no part of it.
    let came_to = |record| had(record).map(|it| it.phase).max();
    let both = came_to(working).min(came_to(failing));
    phases.into_iter().find_map(|phase| {
        let (ours, theirs) = (outcome(working, phase), outcome(failing, phase));
        let is_missing = ours.is_none() || theirs.is_none();
        (ours != theirs && !(is_missing && Some(phase) <= both)).then(|| Difference {
            phase,
            what: format!("outcome of {phase}"),
            working: words(ours),
            failing: words(theirs),
            weight: Weight::Consequence,
        })
    })
}

fn worst(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Skipped => 0,
        Outcome::Ok => 1,
        Outcome::Unfinished => 2,
        Outcome::Failed => 3,
    }
}

/// Phases in which the server took much longer. How long a person thinks is no difference.
fn slower(working: &Record, failing: &Record) -> Vec<Difference> {
    let time = |record: &Record, phase| record.phase(phase).and_then(|it| it.waiting_for_server_us);
    let phases = failing.phases.iter().map(|it| it.phase).filter(|phase| *phase < Phase::Active);
    let mut found: Vec<Difference> = Vec::new();
    for phase in phases {
        let (Some(ours), Some(theirs)) = (time(working, phase), time(failing, phase)) else { continue };
        let (less, more) = (ours.min(theirs), ours.max(theirs));
        let is_slower = more - less >= SLOWER_BY_US && more >= less.saturating_mul(SLOWER);
        if is_slower && !found.iter().any(|it| it.phase == phase) {
            found.push(Difference {
                phase,
                what: format!("time that the server took in {phase}"),
                working: super::time::short(ours),
                failing: super::time::short(theirs),
                weight: Weight::Timing,
            });
        }
    }
    found
}
