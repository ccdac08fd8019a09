//! What was asked more than once, and how often each answer came.

use crate::trace::FlakyCheck;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Answers by check, both in words.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answers: Mutex<BTreeMap<String, BTreeMap<String, u32>>>,
}

impl Tally {
    /// One more answer.
    pub(super) fn note(&self, check: impl Into<String>, answer: impl Into<String>) {
        *self.lock().entry(check.into()).or_default().entry(answer.into()).or_default() += 1;
    }

    /// The checks whose answer was not always the same.
    pub(super) fn flaky(&self) -> Vec<FlakyCheck> {
        let differing = |(check, answers): (&String, &BTreeMap<String, u32>)| {
            let flaky = FlakyCheck { check: check.clone(), answers: answers.clone() };
            (answers.len() > 1).then_some(flaky)
        };
        self.lock().iter().filter_map(differing).collect()
    }

    /// A panic elsewhere leaves answers that are still worth having.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, u32>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_flaky_and_it_is_counted() {
        let tally = Tally::default();
        for answer in ["connected", "refused", "connected"] {
            tally.note("TCP to 10.0.0.1:3389", answer);
            tally.note("TCP to 10.0.0.2:3389", "connected");
        }
        let flaky = tally.flaky();
        assert_eq!(flaky.len(), 1);
        assert_eq!(flaky[0].check, "TCP to 10.0.0.1:3389");
        let counts = BTreeMap::from([("connected".to_owned(), 2), ("refused".to_owned(), 1)]);
        assert_eq!(flaky[0].answers, counts);
    }
}
