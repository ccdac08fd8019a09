//! The results and the one table that shows them.

/// What a row of the table measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// Name with unit.
    pub name: &'static str,
    /// Whether more is better.
    pub more_is_better: bool,
    /// Digits behind the point.
    pub digits: usize,
}

/// One cell: a measure of one relay over the rounds.
#[derive(Debug, Clone)]
struct Cell {
    measure: Measure,
    relay: &'static str,
    rounds: Vec<Option<f64>>,
}

/// Everything that was measured, in the order in which it was first recorded.
#[derive(Debug, Default)]
pub struct Results {
    cells: Vec<Cell>,
}

impl Results {
    /// Adds the value of a round; `None` keeps the rounds of all relays in step when one failed.
    pub fn record(&mut self, measure: &Measure, relay: &'static str, value: Option<f64>) {
        match self.cells.iter_mut().find(|cell| cell.measure == *measure && cell.relay == relay) {
            Some(cell) => cell.rounds.push(value),
            None => self.cells.push(Cell { measure: measure.clone(), relay, rounds: vec![value] }),
        }
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    fn cell(&self, measure: &Measure, relay: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.measure == *measure && cell.relay == relay)
    }

    /// The middle of the rounds.
    pub fn median(&self, measure: &Measure, relay: &str) -> Option<f64> {
        Some(Spread::of(&self.cell(measure, relay)?.rounds)?.median)
    }

    /// The median of the ratios of two relays, round by round.
    pub fn ratio(&self, measure: &Measure, subject: &str, rival: &str) -> Option<f64> {
        ratio(&self.cell(measure, subject)?.rounds, &self.cell(measure, rival)?.rounds)
    }

    /// The table in Markdown: a row for each measure, a column for each relay, then the ratios of `subject`.
    pub fn table(&self, relays: &[&'static str], baseline: &str, subject: &str) -> String {
        let rivals: Vec<_> = relays.iter().copied().filter(|name| *name != subject).collect();
        let mut header = vec!["measurement".to_owned()];
        header.extend(relays.iter().map(|name| (*name).to_owned()));
        header.push("noise".to_owned());
        header.extend(rivals.iter().map(|name| format!("{subject} ÷ {name}")));
        header.push("best rival".to_owned());
        let mut rows = vec![header];
        let mut measures: Vec<&Measure> = Vec::new();
        for cell in &self.cells {
            if !measures.contains(&&cell.measure) {
                measures.push(&cell.measure);
            }
        }
        for measure in measures {
            rows.push(self.row(measure, relays, &rivals, baseline, subject));
        }
        markdown(&rows)
    }

    fn row(
        &self,
        measure: &Measure,
        relays: &[&'static str],
        rivals: &[&'static str],
        baseline: &str,
        subject: &str,
    ) -> Vec<String> {
        let dash = || "–".to_owned();
        let arrow = if measure.more_is_better { "↑" } else { "↓" };
        let mut row = vec![format!("{} {arrow}", measure.name)];
        for relay in relays {
            let spread = self.cell(measure, relay).and_then(|cell| Spread::of(&cell.rounds));
            row.push(spread.map_or_else(dash, |spread| spread.show(measure.digits)));
        }
        let noise = self.cell(measure, baseline).and_then(|cell| Spread::of(&cell.rounds));
        row.push(noise.map_or_else(dash, |spread| format!("±{:.0} %", spread.percent())));
        for rival in rivals {
            let ratio = self.ratio(measure, subject, rival);
            row.push(ratio.map_or_else(dash, |ratio| format!("{ratio:.2}")));
        }
        row.push(self.best(measure, rivals, baseline).unwrap_or_else(dash));
        row
    }

    /// The rival with the best median.
    fn best(&self, measure: &Measure, rivals: &[&'static str], baseline: &str) -> Option<String> {
        let sign = if measure.more_is_better { -1.0 } else { 1.0 };
        rivals
            .iter()
            .filter(|rival| **rival != baseline)
            .filter_map(|rival| Some((*rival, sign * self.median(measure, rival)?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(rival, _)| rival.to_owned())
    }
}

/// Lowest, middle and highest of the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(rounds: &[Option<f64>]) -> Option<Self> {
        let mut values: Vec<f64> = rounds.iter().copied().flatten().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = values.first().zip(values.last())?;
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            (values[middle - 1] + values[middle]) / 2.0
        } else {
            values[middle]
        };
        Some(Self { min, median, max })
    }

    fn show(&self, digits: usize) -> String {
        format!("**{:.digits$}** ({:.digits$}–{:.digits$})", self.median, self.min, self.max)
    }

    /// Half the distance from lowest to highest, of the median.
    fn percent(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.max - self.min) / self.median.abs() * 50.0 }
    }
}

/// The median of the ratios round by round: what slows a whole round falls out of it.
fn ratio(mine: &[Option<f64>], rival: &[Option<f64>]) -> Option<f64> {
    let ratios: Vec<_> = mine
        .iter()
        .zip(rival)
        .map(|pair| match pair {
            (Some(mine), Some(rival)) if *rival > 0.0 => Some(mine / rival),
            _ => None,
        })
        .collect();
    Spread::of(&ratios).map(|spread| spread.median)
}

fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            out.push_str(&format!("| {cell:width$} "));
        }
        out.push_str("|\n");
        if index == 0 {
            for width in &widths {
                out.push_str(&format!("|{}", "-".repeat(width + 2)));
            }
            out.push_str("|\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Measure = Measure { name: "rate", more_is_better: true, digits: 0 };

    #[test]
    fn a_drift_that_hits_all_alike_leaves_the_ratio() {
        let mine = [Some(110.0), Some(55.0), None, Some(220.0)];
        let rival = [Some(100.0), Some(50.0), Some(70.0), Some(200.0)];
        assert_eq!(ratio(&mine, &rival), Some(1.1));
        assert_eq!(ratio(&[None], &[Some(1.0)]), None);
        assert_eq!(ratio(&[Some(1.0)], &[Some(0.0)]), None);
    }

    #[test]
    fn the_spread_skips_failed_rounds() {
        let spread = Spread::of(&[Some(4.0), None, Some(1.0), Some(3.0), Some(2.0)]);
        assert_eq!(spread, Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(Spread::of(&[None]), None);
    }

    #[test]
    fn the_table_names_ratios_and_the_best_rival() {
        let mut results = Results::default();
        for (relay, value) in [("direct", 20.0), ("mine", 12.0), ("a", 8.0), ("b", 10.0)] {
            results.record(&RATE, relay, Some(value));
        }
        let table = results.table(&["direct", "mine", "a", "b"], "direct", "mine");
        let row = table.lines().last().unwrap();
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let expected = [
            "",
            "rate ↑",
            "**20** (20–20)",
            "**12** (12–12)",
            "**8** (8–8)",
            "**10** (10–10)",
            "±0 %",
            "0.60",
            "1.50",
            "1.20",
            "b",
            "",
        ];
        assert_eq!(cells, expected);
    }

    #[test]
    fn a_skipped_relay_leaves_dashes() {
        let mut results = Results::default();
        results.record(&RATE, "direct", Some(20.0));
        let table = results.table(&["direct", "mine"], "direct", "mine");
        assert!(table.lines().last().unwrap().contains("| – "), "{table}");
    }
}
