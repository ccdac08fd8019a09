//! What a run shows: results on standard output, progress on standard error.

use super::{csv, json_line};
use crate::cli::output::Output;
use crate::probe::difference::{self, Profile};
use crate::relay::target::Target;
use crate::report::Style;
use crate::report::probe::{self as report, Row};
use crate::trace::{Comparison, Line, Record};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// Between two steps of the progress bar while nothing comes.
const TICK: Duration = Duration::from_millis(250);

/// What standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For people.
    Text,
    /// JSON Lines.
    Json,
    /// A table.
    Csv,
}

impl Format {
    /// Of a run that does not ask for CSV.
    pub(super) fn of(output: &Output) -> Format {
        if output.json { Format::Json } else { Format::Text }
    }
}

/// The results of one run on the screen. Of each target it keeps what the table and the comparison need.
pub(super) struct Screen<'a> {
    output: &'a Output,
    format: Format,
    style: Style,
    /// How many targets were named.
    named: usize,
    /// Columns of the longest target.
    columns: usize,
    rows: Vec<Row>,
    profiles: Vec<Profile>,
    failing: usize,
    bar: ProgressBar,
}

impl<'a> Screen<'a> {
    pub(super) fn new(output: &'a Output, format: Format, targets: &[Target]) -> Screen<'a> {
        let style = Style {
            color: output.color_stderr,
            width: output.width(),
            verbose: output.verbose,
            ascii: output.ascii,
        };
        if format == Format::Csv {
            output.raw(&csv::header());
        }
        Screen {
            output,
            format,
            style,
            named: targets.len(),
            columns: targets
                .iter()
                .map(|target| target.to_string().chars().count())
                .max()
                .unwrap_or_default(),
            rows: Vec::new(),
            profiles: Vec::new(),
            failing: 0,
            bar: bar(targets.len(), output),
        }
    }

    /// Shows the result of one target; `json` are its lines, each with its line end.
    pub(super) fn show(&mut self, record: &Record, json: &str) {
        let (row, profile) = (Row::new(record), Profile::new(record));
        self.bar.suspend(|| match self.format {
            Format::Json => self.output.raw(json.as_bytes()),
            Format::Csv => self.output.raw(&csv::row(record, &profile)),
            Format::Text if self.named == 1 => self.output.result(&report::text(record, &self.style)),
            Format::Text => self.output.progress(&report::progress_line(&row, self.columns, &self.style)),
        });
        self.failing += usize::from(row.fails());
        self.rows.push(row);
        self.profiles.push(profile);
        self.bar.inc(1);
        if self.failing > 0 {
            let fail = if self.failing == 1 { "fails" } else { "fail" };
            self.bar.set_message(format!("{} {fail}", self.failing));
        }
    }

    /// Shows the answer alone, where people read it and do not ask for more.
    pub(super) fn show_in_short(&mut self, record: &Record, json: &str) {
        if self.format != Format::Text || self.output.verbose > 0 {
            return self.show(record, json);
        }
        self.bar.suspend(|| self.output.result(&report::answer(record, &self.style)));
    }

    /// Shows what all targets together say; its JSON line is the answer, where there was more than one target.
    pub(super) fn finish(&mut self) -> Option<String> {
        self.bar.finish_and_clear();
        if self.named < 2 {
            return None;
        }
        let comparison = difference::compare(&self.profiles, self.named);
        match self.format {
            Format::Text => {
                self.output.progress("");
                self.output.result(&report::summary_table(&self.rows, &comparison, &self.style));
            }
            Format::Csv => comparison.sentences.iter().for_each(|sentence| self.say(sentence)),
            Format::Json => {}
        }
        let json = json_line(&Line::Comparison(Box::<Comparison>::new(comparison)));
        if self.format == Format::Json {
            self.output.raw(json.as_bytes());
        }
        Some(json)
    }

    fn say(&self, sentence: &str) {
        self.output.progress(&crate::report::safe::neutralise(sentence, self.style.ascii));
    }
}

/// Seen on a terminal only.
fn bar(targets: usize, output: &Output) -> ProgressBar {
    let target = if output.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(targets as u64), target);
    let template = if targets == 1 {
        "{spinner} {elapsed}"
    } else {
        "{pos}/{len} [{bar:30}] {elapsed}, {eta} left {msg}"
    };
    // Both are well-formed, as the tests see; the usual bar is no worse.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("#>-").tick_chars("-\\|/ "));
    bar.enable_steady_tick(TICK);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_of_the_bar_are_well_formed() {
        for template in ["{spinner} {elapsed}", "{pos}/{len} [{bar:30}] {elapsed}, {eta} left {msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
