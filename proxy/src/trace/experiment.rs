//! What an experiment came to: its arms, what each attempt came to, and what follows.

use super::{Micros, Phase, VerdictId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A finished experiment. It stands on standard output of `ab` and in a file of its own, not in the trace of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Experiment {
    /// What was varied, as `--vary` takes it.
    pub factor: String,
    /// Its arms; the first is the session as it is.
    pub arms: Vec<ExperimentArm>,
    /// What follows.
    pub conclusion: ExperimentConclusion,
    /// What in these sessions would be otherwise without rdpscope.
    pub confounders: Vec<ExperimentConfounder>,
}

/// One arm and its attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentArm {
    /// A short name; `{arm}` in a client's command.
    pub name: String,
    /// The same in words.
    pub description: String,
    /// The attempts in their order.
    pub runs: Vec<ExperimentRun>,
}

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentRun {
    /// The last phase that came to a good end.
    pub reached: Option<Phase>,
    /// When it did, µs since the session began; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached_us: Option<Micros>,
    /// The last phase that began.
    pub began: Option<Phase>,
    /// Why the session ended.
    pub verdict: VerdictId,
    /// The session that got furthest of those of the attempt.
    pub session: String,
}

/// What follows from the attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentConclusion {
    /// Whether the factor decides about the outcome.
    pub effect: ExperimentEffect,
    /// The arm, or the property, that decides; several are joined by `+`.
    pub guilty: Option<String>,
    /// Fisher's exact test, two-sided: how often chance alone would set the arms apart so far; absent where nothing
    /// was compared.
    pub p_value: Option<f64>,
    /// Why, in sentences.
    pub because: String,
}

/// Whether a factor decides about the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExperimentEffect {
    /// It does.
    Cause,
    /// It does not.
    NotCause,
    /// The attempts do not tell.
    Inconclusive,
}

impl ExperimentEffect {
    /// As it stands in JSON.
    pub fn id(self) -> &'static str {
        match self {
            ExperimentEffect::Cause => "cause",
            ExperimentEffect::NotCause => "not-cause",
            ExperimentEffect::Inconclusive => "inconclusive",
        }
    }
}

/// What in an arm's sessions would be otherwise without rdpscope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentConfounder {
    /// A short name, kebab-case, beginning with `confounder-`.
    pub id: String,
    /// The arm in which it was seen first.
    pub arm: String,
    /// Whether it forbids a conclusion that the attempts alone would allow.
    pub forbids: bool,
    /// What it is and what follows from it.
    pub text: String,
    /// How to do without it, one step each.
    pub way_round: Vec<String>,
}
