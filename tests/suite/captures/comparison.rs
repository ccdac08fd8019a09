//! Counts the fields that agree and remembers those that do not.

use serde::Serialize;
use serde_json::{Value, json};

/// Truth gives milliseconds with three digits; two of them are subtracted.
const ROUNDING_US: u64 = 2;

/// Fields found against fields that another analyser found.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    place: String,
    compared: usize,
    compared_here: usize,
    mismatches: Vec<String>,
}

impl Comparison {
    /// What follows is compared in `place`.
    pub(super) fn at(&mut self, place: &str) {
        self.place = place.to_owned();
        self.compared_here = 0;
    }

    /// One line about the place that is done.
    pub(super) fn say(&self, about: &str) {
        println!("{}: {} fields compared{about}", self.place, self.compared_here);
    }

    /// One field; nothing found is `null`.
    pub(super) fn field(&mut self, name: &str, found: impl Serialize, truth: &Value) {
        self.compared += 1;
        self.compared_here += 1;
        let found = json!(found);
        if found != *truth {
            self.mismatches.push(format!("{}: {name}: found {found}, truth {truth}", self.place));
        }
    }

    /// A time since the first byte, against milliseconds and the milliseconds of the first byte.
    pub(super) fn time(&mut self, name: &str, found: Option<u64>, truth: &Value, first_byte: &Value) {
        let micros = |milliseconds: &Value| milliseconds.as_f64().map(|ms| (ms * 1000.0).round() as u64);
        let truth = micros(truth).zip(micros(first_byte)).map(|(at, first)| at - first);
        let agrees = match (found, truth) {
            (Some(found), Some(truth)) => found.abs_diff(truth) <= ROUNDING_US,
            (found, truth) => found == truth,
        };
        self.field(name, if agrees { truth } else { found }, &json!(truth));
    }

    /// Fails if a field disagreed.
    pub(super) fn finish(self) {
        println!("{} fields compared, {} mismatches", self.compared, self.mismatches.len());
        assert!(self.compared > 0, "there was nothing to compare");
        assert!(self.mismatches.is_empty(), "{}", self.mismatches.join("\n"));
    }
}
