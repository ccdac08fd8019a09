//! How often chance alone would set two arms apart as far as they are.

/// Two tables count as equally likely when they differ by no more than rounding does.
const ROUNDING: f64 = 1e-7;

/// Attempts of one arm, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that got past the place.
    pub passed: usize,
    /// Those that did not.
    pub failed: usize,
}

impl Tally {
    /// All of them.
    pub fn total(self) -> usize {
        self.passed + self.failed
    }

    /// There are some, and all of them passed.
    pub fn all_passed(self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// There are some, and all of them failed.
    pub fn all_failed(self) -> bool {
        self.passed == 0 && self.failed > 0
    }
}

impl FromIterator<bool> for Tally {
    fn from_iter<I: IntoIterator<Item = bool>>(outcomes: I) -> Tally {
        let mut tally = Tally::default();
        for passed in outcomes {
            if passed {
                tally.passed += 1;
            } else {
                tally.failed += 1;
            }
        }
        tally
    }
}

/// Fisher's exact test, two-sided: the probability, where both arms are alike, of a table with these sums that is no
/// likelier than this one (R. A. Fisher 1922; the sum over tables of at most the observed probability).
pub fn fisher_exact(one: Tally, other: Tally) -> f64 {
    let total = one.total() + other.total();
    let passed = one.passed + other.passed;
    let logarithms = log_factorials(total);
    let choose = |of: usize, take: usize| logarithms[of] - logarithms[take] - logarithms[of - take];
    let probability = |in_one: usize| {
        let log =
            choose(one.total(), in_one) + choose(other.total(), passed - in_one) - choose(total, passed);
        log.exp()
    };
    let fewest = passed.saturating_sub(other.total());
    let most = passed.min(one.total());
    let observed = probability(one.passed);
    let extreme = (fewest..=most).map(probability).filter(|it| *it <= observed * (1.0 + ROUNDING));
    extreme.sum::<f64>().min(1.0)
}

/// The natural logarithms of 0! to `highest`!.
fn log_factorials(highest: usize) -> Vec<f64> {
    let mut logarithms = vec![0.0];
    let mut factor = 0.0;
    let mut sum = 0.0;
    for _ in 0..highest {
        factor += 1.0;
        sum += f64::ln(factor);
        logarithms.push(sum);
    }
    logarithms
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn test([a, b, c, d]: [usize; 4]) -> f64 {
        fisher_exact(Tally { passed: a, failed: b }, Tally { passed: c, failed: d })
    }

    /// The numbers that R's `fisher.test` prints for these tables.
    #[test]
    fn known_tables_have_their_known_values() {
        let known = [
            ([0, 3, 3, 0], 0.1),
            ([0, 4, 4, 0], 0.028_571_428_571),
            ([0, 5, 5, 0], 0.007_936_507_937),
            ([3, 1, 1, 3], 0.485_714_285_714),
            ([1, 9, 11, 3], 0.002_759_456_185),
            ([8, 2, 1, 5], 0.034_965_034_965),
            ([1, 2, 3, 0], 0.4),
            ([0, 1, 1, 0], 1.0),
        ];
        for (table, value) in known {
            assert!((test(table) - value).abs() < 1e-9, "{table:?}: {} instead of {value}", test(table));
        }
    }

    #[test]
    fn nothing_to_compare_proves_nothing() {
        for table in [[0, 0, 0, 0], [3, 0, 3, 0], [0, 3, 0, 3], [0, 3, 0, 0]] {
            assert!((test(table) - 1.0).abs() < 1e-12, "{table:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_probability_and_the_same_for_either_order(table in prop::array::uniform4(0..40usize)) {
            let [a, b, c, d] = table;
            let value = test(table);
            prop_assert!(value > 0.0 && value <= 1.0);
            prop_assert!((value - test([c, d, a, b])).abs() < 1e-9);
            prop_assert!((value - test([b, a, d, c])).abs() < 1e-9);
        }
    }
}
