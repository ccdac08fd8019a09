//! In what the targets of one run that fail differ from those that work.

use super::VerdictId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Several targets side by side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Targets with a result.
    pub targets: usize,
    /// Targets that were named and have none, because the run was interrupted.
    pub without_result: usize,
    /// Targets whose verdict is a fault.
    pub failing: usize,
    /// The others.
    pub working: usize,
    /// How many targets have each verdict.
    pub verdicts: BTreeMap<String, usize>,
    /// Failing targets that differ from the working ones in the same way, larger groups first.
    pub groups: Vec<FailingGroup>,
    /// What follows from it, in sentences.
    pub sentences: Vec<String>,
}

/// Targets that fail alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailingGroup {
    /// The verdict that they share; `null` for all that fail, where they have several.
    pub verdict: Option<VerdictId>,
    /// The targets, `host:port`.
    pub targets: Vec<String>,
    /// In what they differ from the working ones, the sharpest difference first; empty where nothing that was looked
    /// at does.
    pub differences: Vec<Difference>,
}

/// A property that has one value among failing targets and another among working ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The property, in words.
    pub property: String,
    /// Its value among the failing ones.
    pub failing: String,
    /// Its value among the working ones.
    pub working: String,
    /// Failing ones with that value.
    pub failing_count: usize,
    /// Failing ones of which the property is known.
    pub failing_known: usize,
    /// Working ones with the value of the failing ones.
    pub working_count: usize,
    /// Working ones of which the property is known.
    pub working_known: usize,
}
