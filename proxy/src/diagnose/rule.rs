//! What a rule is and what it answers.

use super::facts::Facts;
use crate::trace::{Confidence, Evidence, Fix, Micros, Phase, VerdictId, Where};

/// One cause that the catalogue knows: when it holds, and what the administrator can do about it. Texts may hold
/// `{target}`, `{host}`, `{port}`, `{server}` and `{thumbprint}`; see [`Facts::fill`].
#[derive(Debug)]
pub struct Rule {
    /// The cause. Several rules may tell of one cause in different situations.
    pub id: VerdictId,
    /// What has to be observed before the rule can say anything, in words.
    pub needs: &'static str,
    /// Where one of these holds, this would only be its consequence, or another reading of the same observations.
    pub depends_on: &'static [VerdictId],
    /// Whether the rule only says who ended the session, so that anything that says why comes first.
    pub is_last_resort: bool,
    /// Whether the cause holds in this session, and what says so.
    pub judge: fn(&Facts<'_>) -> Option<Conclusion>,
    /// Commands that would tell more.
    pub next: &'static [&'static str],
    /// What mends it.
    pub fix: &'static [Remedy],
}

/// One thing to do, before names are filled in.
#[derive(Debug, Clone, Copy)]
pub struct Remedy {
    /// Where.
    pub place: Where,
    /// What, in a sentence, with what it disturbs.
    pub text: &'static str,
    /// The exact command, where one exists.
    pub command: Option<&'static str>,
}

impl Remedy {
    /// Something to do by hand.
    pub const fn by_hand(place: Where, text: &'static str) -> Remedy {
        Remedy { place, text, command: None }
    }

    /// Something to do with a command.
    pub const fn command(place: Where, text: &'static str, command: &'static str) -> Remedy {
        Remedy { place, text, command: Some(command) }
    }

    /// With the session's names in it.
    pub(super) fn filled(&self, facts: &Facts<'_>) -> Fix {
        Fix {
            place: self.place,
            text: facts.fill(self.text),
            command: self.command.map(|command| facts.fill(command)),
        }
    }
}

/// A rule's answer.
#[derive(Debug, Clone)]
pub struct Conclusion {
    /// How sure.
    pub confidence: Confidence,
    /// The phase in which it happened.
    pub phase: Phase,
    /// One sentence: the answer.
    pub summary: String,
    /// The user ended the session himself: nothing failed.
    pub by_user: bool,
    /// What says so.
    pub evidence: Vec<Evidence>,
    /// Causes that fit as well and that no rule can tell from this one here, likeliest first.
    pub alternatives: Vec<(VerdictId, Confidence)>,
    /// Commands to be tried before those of the rule.
    pub next: Vec<String>,
    /// Commands that would tell more in this situation, instead of those of the rule.
    pub next_instead: Option<&'static [&'static str]>,
    /// What to do in this situation instead of what the rule says.
    pub fix: Option<&'static [Remedy]>,
}

impl Conclusion {
    /// An answer without anything beyond its sentence.
    pub fn new(confidence: Confidence, phase: Phase, summary: impl Into<String>) -> Conclusion {
        Conclusion {
            confidence,
            phase,
            summary: summary.into(),
            by_user: false,
            evidence: Vec::new(),
            alternatives: Vec::new(),
            next: Vec::new(),
            next_instead: None,
            fix: None,
        }
    }

    /// Proved on the wire.
    pub fn confirmed(phase: Phase, summary: impl Into<String>) -> Conclusion {
        Conclusion::new(Confidence::Confirmed, phase, summary)
    }

    /// Several observations agree.
    pub fn likely(phase: Phase, summary: impl Into<String>) -> Conclusion {
        Conclusion::new(Confidence::Likely, phase, summary)
    }

    /// It would fit.
    pub fn possible(phase: Phase, summary: impl Into<String>) -> Conclusion {
        Conclusion::new(Confidence::Possible, phase, summary)
    }

    /// Adds an observation.
    pub fn seen(mut self, t_us: Micros, text: impl Into<String>) -> Conclusion {
        self.evidence.push(Evidence { t_us, text: text.into() });
        self
    }

    /// Adds causes that are possible as well.
    pub fn or_possibly(mut self, causes: &[VerdictId]) -> Conclusion {
        self.alternatives.extend(causes.iter().map(|id| (*id, Confidence::Possible)));
        self
    }

    /// Adds a command to be tried first.
    pub fn try_next(mut self, command: String) -> Conclusion {
        self.next.push(command);
        self
    }

    /// Replaces the commands that the rule would propose.
    pub fn propose(mut self, next: &'static [&'static str]) -> Conclusion {
        self.next_instead = Some(next);
        self
    }

    /// Replaces what the rule would advise.
    pub fn advise(mut self, fix: &'static [Remedy]) -> Conclusion {
        self.fix = Some(fix);
        self
    }
}
