//! What is asked of rdpscope beside others, and whether this run shows it.

use crate::table::{Measure, Results};

/// A ratio that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Of what.
    pub measure: &'static Measure,
    /// To whom.
    pub against: Against,
}

/// What a value is held against.
#[derive(Debug, Clone, Copy)]
pub enum Against {
    /// So many times what each of these relays has, or for a measure where less is better, at most so many times.
    Relays(f64, &'static [&'static str]),
    /// The value itself: at least so much, or for a measure where less is better, at most.
    Bound(f64),
}

impl Asked {
    /// A line below the table; `None` where nothing of it was measured.
    pub fn line(&self, results: &Results, subject: &str) -> Option<String> {
        let Measure { name, more_is_better, digits } = *self.measure;
        let holds = |value: f64, bound: f64| if more_is_better { value >= bound } else { value <= bound };
        let word = |holds: bool| if holds { "yes" } else { "NO" };
        let least = if more_is_better { "at least" } else { "at most" };
        match self.against {
            Against::Bound(bound) => {
                let value = results.median(self.measure, subject)?;
                let holds = word(holds(value, bound));
                Some(format!("{name}: {value:.digits$}; asked {least} {bound}: {holds}"))
            }
            Against::Relays(bound, relays) => {
                let ratio =
                    |relay: &&'static str| Some((*relay, results.ratio(self.measure, subject, relay)?));
                let ratios: Vec<_> = relays.iter().filter_map(ratio).collect();
                let all = ratios.iter().all(|(_, ratio)| holds(*ratio, bound));
                let shown: Vec<_> =
                    ratios.iter().map(|(relay, ratio)| format!("{ratio:.2} × {relay}")).collect();
                let holds = word(all);
                (!shown.is_empty())
                    .then(|| format!("{name}: {}; asked {least} {bound} ×: {holds}", shown.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Measure = Measure { name: "rate", more_is_better: true, digits: 0 };
    const SIZE: Measure = Measure { name: "size", more_is_better: false, digits: 1 };

    #[test]
    fn a_line_says_what_was_asked_and_whether_it_holds() {
        let mut results = Results::default();
        for (relay, value) in [("mine", 15.0), ("a", 10.0), ("b", 12.0)] {
            results.record(&RATE, relay, Some(value));
        }
        results.record(&SIZE, "mine", Some(16.5));
        let line = |asked: Asked| asked.line(&results, "mine");
        let both = Asked { measure: &RATE, against: Against::Relays(1.5, &["a", "b", "missing"]) };
        assert_eq!(line(both).unwrap(), "rate: 1.50 × a, 1.25 × b; asked at least 1.5 ×: NO");
        let one = Asked { measure: &RATE, against: Against::Relays(1.5, &["a"]) };
        assert!(line(one).unwrap().ends_with("yes"));
        let bound = Asked { measure: &SIZE, against: Against::Bound(16.0) };
        assert_eq!(line(bound).unwrap(), "size: 16.5; asked at most 16: NO");
        assert_eq!(line(Asked { measure: &SIZE, against: Against::Relays(1.0, &["a"]) }), None);
    }
}
