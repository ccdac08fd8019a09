//! Which arm is next: arms take turns, in one order and then in the other, so that neither time nor what one attempt
//! leaves behind speaks for an arm.

use super::bisection::{self, Answer, Look, Step};
use super::factor::{Arm, Factor, Role};
use super::progress::Depth;
use super::statistics::Tally;
use crate::trace::Record;

/// Attempts of each arm after which an experiment ends early where every arm has always come out the same: 4 against 4
/// that differ give p = 0.03, and 4 against 4 that do not leave no room for an effect worth the wait.
const CLEAR_RUNS: usize = 4;

/// One attempt.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub(super) depth: Depth,
    pub(super) record: Record,
}

/// An arm with its attempts.
#[derive(Debug, Clone)]
pub(super) struct ArmState {
    pub(super) arm: Arm,
    pub(super) observed: Vec<Observed>,
    /// Attempts that the user went without.
    pub(super) left_out: usize,
}

impl ArmState {
    fn new(arm: Arm) -> ArmState {
        ArmState { arm, observed: Vec::new(), left_out: 0 }
    }

    /// Attempts that had their turn.
    fn had(&self) -> usize {
        self.observed.len() + self.left_out
    }
}

/// An experiment under way.
#[derive(Debug, Clone)]
pub struct Experiment {
    pub(super) factor: Factor,
    /// Attempts for each arm.
    pub(super) runs: usize,
    /// Arms of the first stage.
    pub(super) compared: usize,
    pub(super) arms: Vec<ArmState>,
    /// The certificates that are varied are an RD Gateway's.
    is_of_gateway: bool,
}

/// The attempt that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: usize,
    /// How many there will be, as far as is known now.
    pub total: usize,
    /// The arm's letter, from A.
    pub letter: String,
    /// The arm.
    pub arm: Arm,
}

impl Experiment {
    /// An experiment with `runs` attempts for each of `arms`, which [`Factor::arms`] gave.
    pub fn new(factor: Factor, arms: Vec<Arm>, runs: usize) -> Experiment {
        let arms: Vec<_> = arms.into_iter().map(ArmState::new).collect();
        Experiment { factor, runs, compared: arms.len(), arms, is_of_gateway: false }
    }

    /// The same with sessions that go through an RD Gateway, whose certificate is then the one that [`Factor::Cert`]
    /// varies.
    pub fn through_gateway(mut self) -> Experiment {
        self.is_of_gateway = self.factor == Factor::Cert;
        if self.is_of_gateway {
            self.arms = self.arms.into_iter().map(|state| ArmState::new(state.arm.of_gateway())).collect();
        }
        self
    }

    /// What is varied, as the subject of a sentence.
    pub(super) fn subject(&self) -> &'static str {
        if self.is_of_gateway { "the gateway's certificate" } else { self.factor.subject() }
    }

    /// The attempt that is due; none when the experiment is over.
    pub fn due(&mut self) -> Option<Attempt> {
        let wanted = self.wanted();
        let due = wanted.iter().map(|(arm, runs)| (self.place_of(arm), *runs)).collect::<Vec<_>>();
        let done: usize = self.arms.iter().map(|state| state.observed.len()).sum();
        let missing: Vec<(usize, usize)> = due
            .iter()
            .map(|(place, runs)| (*place, runs.saturating_sub(self.arms[*place].had())))
            .filter(|(_, missing)| *missing > 0)
            .collect();
        let fewest = missing.iter().map(|(place, _)| self.arms[*place].had()).min()?;
        let mut turn: Vec<usize> = missing.iter().map(|(place, _)| *place).collect();
        turn.retain(|place| self.arms[*place].had() == fewest);
        let place = if fewest % 2 == 0 { *turn.first()? } else { *turn.last()? };
        Some(Attempt {
            number: done + 1,
            total: done + missing.iter().map(|(_, missing)| missing).sum::<usize>(),
            letter: letter(place),
            arm: self.arms[place].arm.clone(),
        })
    }

    /// Notes what the attempt of `arm` came to; `record` is that of its session that got furthest.
    pub fn note(&mut self, arm: &Arm, record: Record) {
        let place = self.place_of(arm);
        self.arms[place].observed.push(Observed { depth: Depth::of(&record), record });
    }

    /// The user goes without an attempt of `arm`: its next turn is that of the others.
    pub fn leave_out(&mut self, arm: &Arm) {
        let place = self.place_of(arm);
        self.arms[place].left_out += 1;
    }

    /// Whether nothing has been noted yet.
    pub fn is_empty(&self) -> bool {
        self.arms.iter().all(|state| state.observed.is_empty())
    }

    /// Which arms are to have how many attempts.
    fn wanted(&self) -> Vec<(Arm, usize)> {
        let first = &self.arms[..self.compared];
        let runs = if self.is_clear() { first[0].observed.len() } else { self.runs };
        if first.iter().any(|state| state.had() < runs) {
            return first.iter().map(|state| (state.arm.clone(), runs)).collect();
        }
        if self.factor == Factor::GatewayUdp && self.helps() {
            return vec![(Arm::unanswered(), self.runs.min(CLEAR_RUNS))];
        }
        match self.bisection() {
            Some(Step::Need(arms)) => arms,
            Some(Step::Answer(_)) | None => Vec::new(),
        }
    }

    /// Whether the session always fails as it is and never with the change.
    fn helps(&self) -> bool {
        match self.arms.get(..self.compared) {
            Some([baseline, changed]) => {
                self.tally(baseline).all_failed() && self.tally(changed).all_passed()
            }
            _ => false,
        }
    }

    /// Whether every arm of the first stage has had enough attempts, all of them with one outcome.
    fn is_clear(&self) -> bool {
        let first = &self.arms[..self.compared];
        let rounds = first[0].observed.len();
        rounds >= CLEAR_RUNS
            && first.iter().all(|state| {
                let tally = self.tally(state);
                state.observed.len() == rounds && (tally.passed == 0 || tally.failed == 0)
            })
    }

    /// Where the second stage is, when there is one.
    fn bisection(&self) -> Option<Step> {
        if !self.factor.is_certificate() {
            return None;
        }
        let tally = |name: &str| self.arm(name).map(|state| self.tally(state)).unwrap_or_default();
        self.helps().then(|| bisection::next(&Look { tally: &tally, runs: self.runs.min(CLEAR_RUNS) }))
    }

    /// What the second stage came to.
    pub(super) fn answer(&self) -> Option<Answer> {
        match self.bisection() {
            Some(Step::Answer(answer)) => Some(answer),
            Some(Step::Need(_)) | None => None,
        }
    }

    /// The arm with this name.
    pub(super) fn arm(&self, name: &str) -> Option<&ArmState> {
        self.arms.iter().find(|state| state.arm.name == name)
    }

    /// How far the session as it is gets at most when it fails; absent where it does not.
    pub(super) fn bar(&self) -> Option<Depth> {
        let failed = self.arms[0].observed.iter().map(|it| it.depth).filter(|depth| *depth < Depth::Works);
        failed.max()
    }

    /// Whether nobody can see how the session fares as it is.
    pub(super) fn is_unseen(&self) -> bool {
        self.arms[0].observed.iter().any(|it| it.depth == Depth::Unseen)
    }

    /// Attempts of an arm that got past the place where the session as it is fails, and those that did not.
    pub(super) fn tally(&self, state: &ArmState) -> Tally {
        let bar = match state.arm.role {
            Role::Baseline | Role::Alternative => Depth::Desktop,
            Role::Changed | Role::Control => self.bar().unwrap_or(Depth::Desktop),
        };
        state.observed.iter().map(|it| it.depth > bar).collect()
    }

    /// The place of an arm, which is added where it is new.
    fn place_of(&mut self, arm: &Arm) -> usize {
        let known = self.arms.iter().position(|state| state.arm.name == arm.name);
        known.unwrap_or_else(|| {
            let arm = if self.is_of_gateway { arm.clone().of_gateway() } else { arm.clone() };
            self.arms.push(ArmState::new(arm));
            self.arms.len() - 1
        })
    }
}

/// A, B, … Z, AA, AB, …
pub(super) fn letter(mut place: usize) -> String {
    const ALPHABET: &[u8; 26] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(ALPHABET[place % ALPHABET.len()]));
        match (place / ALPHABET.len()).checked_sub(1) {
            Some(rest) => place = rest,
            None => return letters.iter().rev().collect(),
        }
    }
}
