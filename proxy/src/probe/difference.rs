//! What is different about the ones that fail.
//!
//! Every target has named [properties]; quantities are in classes, so that noise is no difference. A
//! property is claimed where (nearly) all targets that fail alike share a value which (nearly) none of the working
//! ones has, and the working ones agree on another.

mod properties;

pub use properties::{NAMES, Property, properties};

use crate::relay::target::RDP_PORT;
use crate::report::probe::natural_order;
use crate::trace::{Comparison, Difference, FailingGroup, Record, VerdictId};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The part of the failing ones that must share a value, and of the working ones that must agree on another.
const NEARLY_ALL: f64 = 0.9;
/// The part of each side of which the property must be known: what a target was never asked tells nothing.
const KNOWN: f64 = 0.5;
/// Differences that a sentence names; the others are counted.
const MOST_NAMED: usize = 5;
/// Targets that a sentence names.
const MOST_TARGETS_NAMED: usize = 3;
/// Working ones below this may agree by chance, and a sentence says so.
const FEW: usize = 3;

/// What the comparison needs of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The target, `host:port`.
    pub target: String,
    /// Its verdict; absent where the record has none.
    pub verdict: Option<VerdictId>,
    /// What is known of it.
    pub properties: Vec<Property>,
}

impl Profile {
    /// What `record` says of its target.
    pub fn new(record: &Record) -> Profile {
        Profile {
            target: record.probe.as_ref().map(|probe| probe.target.clone()).unwrap_or_default(),
            verdict: record.verdict.as_ref().map(|verdict| verdict.id),
            properties: properties(record),
        }
    }

    fn fails(&self) -> bool {
        self.verdict.is_some_and(VerdictId::is_fault)
    }

    fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }
}

/// Compares the failing ones of `profiles` with the others. `named` is how many targets the user named: those that
/// have no profile were not finished.
pub fn compare(profiles: &[Profile], named: usize) -> Comparison {
    let mut sorted: Vec<&Profile> = profiles.iter().collect();
    sorted.sort_by_cached_key(|profile| natural_order(&profile.target));
    let (failing, working): (Vec<&Profile>, Vec<&Profile>) =
        sorted.into_iter().partition(|profile| profile.fails());
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    for verdict in profiles.iter().filter_map(|profile| profile.verdict) {
        *verdicts.entry(verdict.to_string()).or_default() += 1;
    }
    let groups = groups(&failing, &working);
    Comparison {
        targets: profiles.len(),
        without_result: named.saturating_sub(profiles.len()),
        failing: failing.len(),
        working: working.len(),
        verdicts,
        sentences: sentences(&groups, failing.len(), working.len()),
        groups,
    }
}

/// Those that share a verdict; and all together, where they have several and still something in common.
fn groups(failing: &[&Profile], working: &[&Profile]) -> Vec<FailingGroup> {
    let mut by_verdict: BTreeMap<VerdictId, Vec<&Profile>> = BTreeMap::new();
    for profile in failing {
        if let Some(verdict) = profile.verdict {
            by_verdict.entry(verdict).or_default().push(profile);
        }
    }
    let several = by_verdict.len() > 1;
    let mut groups: Vec<FailingGroup> =
        by_verdict.iter().map(|(verdict, members)| group(Some(*verdict), members, working)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.targets.len()));
    if several {
        let all = group(None, failing, working);
        if !all.differences.is_empty() {
            groups.insert(0, all);
        }
    }
    groups
}

fn group(verdict: Option<VerdictId>, members: &[&Profile], working: &[&Profile]) -> FailingGroup {
    FailingGroup {
        verdict,
        targets: members.iter().map(|profile| profile.target.clone()).collect(),
        differences: differences(members, working),
    }
}

/// The sharpest first; among equals in the order of the phases, as a cause comes before its consequences.
fn differences(failing: &[&Profile], working: &[&Profile]) -> Vec<Difference> {
    let mut found: Vec<(Difference, f64)> = Vec::new();
    for name in properties::NAMES {
        found.extend(difference(name, failing, working));
    }
    found.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    found.into_iter().map(|(difference, _)| difference).collect()
}

/// The difference in one property with its sharpness: 1 where all failing ones have a value that no other has.
fn difference(name: &str, failing: &[&Profile], working: &[&Profile]) -> Option<(Difference, f64)> {
    let failing_known = Known::new(name, failing)?;
    let working_known = Known::new(name, working)?;
    let (theirs, ours) = (failing_known.most_common()?, working_known.most_common()?);
    if theirs.class == ours.class {
        return None;
    }
    let working_count = working_known.having(&theirs.class).len();
    let shared = theirs.part;
    let elsewhere = working_count as f64 / working_known.values.len() as f64;
    let difference = Difference {
        property: name.to_owned(),
        failing: theirs.words,
        working: ours.words,
        failing_count: theirs.count,
        failing_known: failing_known.values.len(),
        working_count,
        working_known: working_known.values.len(),
    };
    Some((difference, shared - elsewhere))
}

/// One property of several targets.
struct Known<'a> {
    values: Vec<&'a Property>,
}

/// A value that nearly all share.
struct MostCommon {
    class: Cow<'static, str>,
    words: String,
    count: usize,
    part: f64,
}

impl<'a> Known<'a> {
    /// `None` where too few of `profiles` tell.
    fn new(name: &str, profiles: &[&'a Profile]) -> Option<Known<'a>> {
        let values: Vec<&Property> = profiles.iter().filter_map(|profile| profile.property(name)).collect();
        let enough = !values.is_empty() && values.len() as f64 >= KNOWN * profiles.len() as f64;
        enough.then_some(Known { values })
    }

    fn having(&self, class: &str) -> Vec<&'a Property> {
        self.values.iter().copied().filter(|property| property.class == class).collect()
    }

    /// `None` where they do not agree.
    fn most_common(&self) -> Option<MostCommon> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for value in &self.values {
            *counts.entry(&value.class).or_default() += 1;
        }
        let (class, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let part = count as f64 / self.values.len() as f64;
        let having = self.having(class);
        let first = having.first()?;
        // The exact words only where they hold for all.
        let words = if having.iter().all(|other| other.words == first.words) {
            first.words.as_deref().unwrap_or(class)
        } else {
            class
        };
        let common = MostCommon { class: first.class.clone(), words: words.to_owned(), count, part };
        (part >= NEARLY_ALL).then_some(common)
    }
}

fn sentences(groups: &[FailingGroup], failing: usize, working: usize) -> Vec<String> {
    if failing + working < 2 {
        return Vec::new();
    }
    if failing == 0 {
        return vec![format!("none of the {} fails", number(working))];
    }
    if working == 0 {
        let alike = if groups.len() == 1 { ", with the same verdict" } else { "" };
        let all = if failing == 2 { "both".to_owned() } else { format!("all {}", number(failing)) };
        return vec![format!("{all} fail{alike}: there is none that works to compare them with")];
    }
    groups.iter().map(|group| sentence(group, working)).collect()
}

fn sentence(group: &FailingGroup, working: usize) -> String {
    let who = who(group);
    let is_one = group.targets.len() == 1;
    let works = if working == 1 {
        "the one that works".to_owned()
    } else {
        format!("the {} that work", number(working))
    };
    if group.differences.is_empty() {
        let (does, fails) = if is_one { ("does", "it fails") } else { ("do", "they fail") };
        return format!(
            "{who} {does} not differ from {works} in anything that was looked at, and yet {fails}"
        );
    }
    let mut told: Vec<String> =
        group.differences.iter().take(MOST_NAMED).map(|difference| told(difference, working)).collect();
    let left = group.differences.len() - told.len();
    if left > 0 {
        told.push(format!("and {left} more"));
    }
    let differ = if is_one { "differs" } else { "differ" };
    let chance = if working < FEW && group.differences.len() > 1 {
        "; with so few that work, any of these may be chance"
    } else {
        ""
    };
    format!("{who} {differ} from {works} in: {}{chance}", told.join(", "))
}

/// `certificate validity (expired 12 days ago; the others valid)`.
fn told(difference: &Difference, working: usize) -> String {
    let Difference { property, failing, working: usual, working_count, .. } = difference;
    let others = if working == 1 { "the other" } else { "the others" };
    let exceptions = match working_count {
        0 => String::new(),
        count => format!(", but for {count} that too"),
    };
    format!("{property} ({failing}; {others} {usual}{exceptions})")
}

/// The targets by name where they are few.
fn who(group: &FailingGroup) -> String {
    let usual_port = format!(":{RDP_PORT}");
    let names: Vec<&str> =
        group.targets.iter().map(|name| name.strip_suffix(&usual_port).unwrap_or(name)).collect();
    match (&names[..], group.verdict) {
        ([only], _) => (*only).to_owned(),
        ([before @ .., last], _) if names.len() <= MOST_TARGETS_NAMED => {
            format!("{} and {last}", before.join(", "))
        }
        (_, Some(verdict)) => format!("the {} with {verdict}", number(names.len())),
        (_, None) => format!("the {} that fail", number(names.len())),
    }
}

/// Small numbers as words.
fn number(count: usize) -> String {
    const WORDS: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    WORDS.get(count).map_or_else(|| count.to_string(), |word| (*word).to_owned())
}

#[cfg(test)]
mod tests;
