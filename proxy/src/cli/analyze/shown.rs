//! What people see: the answer first.

use crate::cli::output::Output;
use crate::report::analysis::{self, AttemptRow};
use crate::report::{self, Style};
use crate::trace::Record;

/// Attempts that are shown in full; of a capture with more the table says what there is, and `--json` the rest.
const MOST_IN_FULL: usize = 50;

/// Attempts and files as they come.
pub(super) struct Shown<'o> {
    output: &'o Output,
    style: Style,
    /// Every attempt in full.
    all: bool,
    attempts: Vec<(AttemptRow, Option<Box<Record>>)>,
    in_full: usize,
    files: Vec<String>,
}

impl<'o> Shown<'o> {
    pub(super) fn new(output: &'o Output, all: bool) -> Shown<'o> {
        let style = output.style();
        Shown {
            output,
            style,
            all: all || style.verbose > 0,
            attempts: Vec::new(),
            in_full: 0,
            files: Vec::new(),
        }
    }

    pub(super) fn has_attempts(&self) -> bool {
        !self.attempts.is_empty()
    }

    pub(super) fn has_fault(&self) -> bool {
        self.attempts.iter().any(|(row, _)| row.is_fault)
    }

    /// One more attempt.
    pub(super) fn attempt(&mut self, record: &Record) {
        let Some(row) = AttemptRow::of(record) else { return };
        let is_first = self.attempts.is_empty();
        let is_in_full = (self.all || is_first || row.is_fault) && self.in_full < MOST_IN_FULL;
        self.in_full += usize::from(is_in_full);
        self.attempts.push((row, (is_in_full && !self.output.json).then(|| Box::new(record.clone()))));
    }

    /// One more file.
    pub(super) fn file(&mut self, lines: Vec<String>) {
        self.files.extend(lines);
    }

    /// Shows it.
    pub(super) fn finish(&mut self) {
        self.attempts.sort_by(|(left, _), (right, _)| left.started.cmp(&right.started));
        let files = self.files.join("\n");
        match &self.attempts[..] {
            [] if files.is_empty() => {}
            [] => self.output.progress(&files),
            [(_, Some(record))] => {
                self.output.result(&report::answer_first(record, &self.style));
                self.output.result(&format!("\n{files}"));
            }
            attempts => self.table(attempts, &files),
        }
    }

    fn table(&self, attempts: &[(AttemptRow, Option<Box<Record>>)], files: &str) {
        let rows: Vec<AttemptRow> = attempts.iter().map(|(row, _)| row.clone()).collect();
        self.output.result(&analysis::table(&rows, &self.style));
        self.output.result(&format!("\n{files}"));
        let wanted = |row: &AttemptRow| self.all || row.is_fault;
        let mut left_out = 0;
        for ((row, record), number) in attempts.iter().zip(1..).filter(|((row, _), _)| wanted(row)) {
            match record {
                Some(record) => {
                    let arrow = if self.style.ascii { "->" } else { "→" };
                    self.output.result(&format!("\n#{number} {} {arrow} {}", row.client, row.server));
                    self.output.result(&report::answer_first(record, &self.style));
                }
                None => left_out += 1,
            }
        }
        if left_out > 0 {
            self.output.result(&format!("\n{left_out} more attempts in full: --json"));
        }
    }
}
