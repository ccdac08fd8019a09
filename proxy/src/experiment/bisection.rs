//! The second stage of `cert`: which property of the certificate is guilty, from copies of it with some repaired.

use super::factor::{Arm, repair_words};
use super::statistics::Tally;
use rdpscope_certs::mode::Repair;
use std::collections::BTreeSet;

/// The next step.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// These arms are to have at least so many runs.
    Need(Vec<(Arm, usize)>),
    /// It is over.
    Answer(Answer),
}

/// What the copies show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The copy without these repairs fails, and with them passes.
    Guilty {
        /// What has to be repaired.
        repairs: BTreeSet<Repair>,
        /// The arm that fails.
        without: String,
        /// The arm that passes.
        with: String,
    },
    /// No certificate is refused: what helps is only that TLS ends in rdpscope.
    NotTheCertificate,
    /// They do not agree on one answer, and why.
    Open(String),
}

/// What is known so far: the outcomes of an arm by its name.
pub(super) struct Look<'a> {
    /// Outcomes of the arm with this name.
    pub(super) tally: &'a dyn Fn(&str) -> Tally,
    /// Attempts that an arm is to have before it counts.
    pub(super) runs: usize,
}

impl Look<'_> {
    fn of(&self, arm: &Arm) -> Tally {
        (self.tally)(&arm.name)
    }

    /// The step that brings `arms` to `runs`, where one is missing.
    fn need(&self, arms: &[Arm], runs: usize) -> Option<Step> {
        let is_missing = arms.iter().any(|arm| self.of(arm).total() < runs);
        is_missing.then(|| Step::Need(arms.iter().map(|arm| (arm.clone(), runs)).collect()))
    }
}

/// What to do next. Each copy is tried once; what decides is then repeated beside what it is compared with.
pub(super) fn next(look: &Look<'_>) -> Step {
    let copy = Arm::mirror(&BTreeSet::new());
    let single: Vec<(Repair, Arm)> =
        Repair::ALL.into_iter().map(|repair| (repair, Arm::mirror(&[repair].into()))).collect();
    let screening: Vec<Arm> =
        std::iter::once(copy.clone()).chain(single.iter().map(|(_, arm)| arm.clone())).collect();
    if let Some(need) = look.need(&screening, 1) {
        return need;
    }
    if look.of(&copy).passed > 0 {
        return plain_copy(look, copy);
    }
    let helping: Vec<_> = single.into_iter().filter(|(_, arm)| look.of(arm).passed > 0).collect();
    match helping.as_slice() {
        [] => several(look, copy),
        helping => by_itself(look, copy, helping),
    }
}

/// A copy with nothing repaired passes. It has another issuer all the same, unless the original signs itself.
fn plain_copy(look: &Look<'_>, copy: Arm) -> Step {
    let unknown = Arm::unknown_issuer();
    if let Some(need) = look.need(&[unknown.clone(), copy.clone()], look.runs) {
        return need;
    }
    Step::Answer(match (look.of(&copy), look.of(&unknown)) {
        (copied, refused) if copied.all_passed() && refused.all_failed() => {
            Answer::Guilty { repairs: [Repair::Issuer].into(), without: unknown.name, with: copy.name }
        }
        (copied, taken) if copied.all_passed() && taken.all_passed() => Answer::NotTheCertificate,
        _ => Answer::Open("a copy of the certificate passes at one time and fails at another".to_owned()),
    })
}

fn by_itself(look: &Look<'_>, copy: Arm, helping: &[(Repair, Arm)]) -> Step {
    let compared: Vec<Arm> =
        std::iter::once(copy.clone()).chain(helping.iter().map(|(_, arm)| arm.clone())).collect();
    if let Some(need) = look.need(&compared, look.runs) {
        return need;
    }
    let sure: Vec<_> = helping.iter().filter(|(_, arm)| look.of(arm).all_passed()).collect();
    Step::Answer(match sure.as_slice() {
        _ if !look.of(&copy).all_failed() => {
            Answer::Open("a copy with nothing repaired passes at times".to_owned())
        }
        [(repair, arm)] => {
            Answer::Guilty { repairs: [*repair].into(), without: copy.name, with: arm.name.clone() }
        }
        [] => Answer::Open(format!("a copy passes at times with {}", words(helping.iter().map(|it| it.0)))),
        several => Answer::Open(format!(
            "a copy passes as soon as any of these is repaired: {}",
            words(several.iter().map(|it| it.0))
        )),
    })
}

/// No single repair helps: more than one property is guilty. What cannot be left out of the repair of all is.
fn several(look: &Look<'_>, copy: Arm) -> Step {
    let every: BTreeSet<Repair> = Repair::ALL.into();
    let all = Arm::mirror(&every);
    if let Some(need) = look.need(std::slice::from_ref(&all), 1) {
        return need;
    }
    if look.of(&all).passed == 0 {
        let why = "not even a copy with every property repaired passes: something else in it is refused";
        return Step::Answer(Answer::Open(why.to_owned()));
    }
    let without = |left_out: Repair| {
        let rest: BTreeSet<Repair> = every.iter().copied().filter(|repair| *repair != left_out).collect();
        Arm::mirror(&rest)
    };
    let left_out: Vec<Arm> = Repair::ALL.into_iter().map(without).collect();
    if let Some(need) = look.need(&left_out, 1) {
        return need;
    }
    let needed = Repair::ALL.into_iter().zip(&left_out).filter(|(_, arm)| look.of(arm).passed == 0);
    let needed: BTreeSet<Repair> = needed.map(|(repair, _)| repair).collect();
    if needed.is_empty() {
        let why = "no single repair is enough, and none of them is needed where all others are made";
        return Step::Answer(Answer::Open(why.to_owned()));
    }
    let repaired = Arm::mirror(&needed);
    if let Some(need) = look.need(&[copy.clone(), repaired.clone()], look.runs) {
        return need;
    }
    Step::Answer(if look.of(&repaired).all_passed() && look.of(&copy).all_failed() {
        Answer::Guilty { repairs: needed, without: copy.name, with: repaired.name }
    } else {
        Answer::Open(format!("the repair of {} is needed, and it is not enough", words(needed.into_iter())))
    })
}

/// Properties in a sentence.
pub(super) fn words(repairs: impl Iterator<Item = Repair>) -> String {
    let words: Vec<_> = repairs.map(repair_words).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}
