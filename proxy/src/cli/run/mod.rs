//! `rdpscope run TARGET`: the one command for somebody in an outage. The probe, the user's own client, the experiments
//! that the verdicts propose, and one report of all of it, step by step until the answer is proved.

mod answer;
pub(super) mod arguments;
mod browser;
mod client;
mod company;
mod plan;

use super::ab::{self, Conducted};
use super::client_program::{self, ClientProgram};
use super::output::Output;
use super::proxy::{refuse_listening, runtime};
use super::trust_store::forget_left_behind;
use super::{Exit, Failure, probe, report};
use crate::experiment::Factor;
use crate::probe::Settings;
use crate::recorder::{TraceFolder, write_private};
use crate::relay::target::Target;
use crate::trace::{Confidence, Record, Verdict, VerdictId};
use answer::{Answer, Basis};
use arguments::RunArguments;
use company::{Company, Left, Reply};
use plan::Step;
use serde::Serialize;
use std::path::PathBuf;

/// What the probe found, beside the folders of the sessions.
const PROBE_FILE: &str = "probe.jsonl";
/// The page at the end.
const REPORT_FILE: &str = "report.html";

/// The line of `--json` for a step.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "step")]
struct StepLine {
    step: &'static str,
    factor: Option<&'static str>,
    outcome: StepOutcome,
}

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum StepOutcome {
    /// It begins.
    Begins,
    /// The user goes without it.
    Skipped,
    /// It needs somebody, and nobody is there.
    LeftOut,
}

/// The last line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "run")]
struct RunLine<'a> {
    target: &'a str,
    verdict: Option<VerdictId>,
    confidence: Option<Confidence>,
    basis: Option<Basis>,
    /// To be read out on the phone.
    sentence: &'a str,
    /// Whether somebody left before the end.
    left: bool,
    report: Option<String>,
    traces: Option<String>,
}

/// A run under way.
struct Run<'a> {
    arguments: RunArguments,
    output: &'a Output,
    company: Company,
    folder: TraceFolder,
    /// The client on this machine, where the user names none.
    found_client: Option<ClientProgram>,
    answer: Answer,
    /// A step could not be done.
    in_trouble: bool,
}

/// What the names of folders begin with in which all of one run is kept.
pub(super) const RUN_FOLDER: &str = "run-";

pub(super) fn run(arguments: RunArguments, output: &Output) -> Result<Exit, Failure> {
    let base = match &arguments.trace {
        Some(path) => path.clone(),
        None => TraceFolder::default_path().map_err(Failure::not_done)?,
    };
    let name = format!(
        "{RUN_FOLDER}{}-{:04x}",
        jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S"),
        std::process::id() & 0xffff
    );
    let relay = arguments.proxy(base.clone())?;
    if !relay.listen().ip().is_loopback() {
        return Err(Failure::usage(format!(
            "{} can be reached by other machines, and a run is for a client on this one; listen on 127.0.0.1, or let \
             others in with `rdpscope proxy --allow-remote`",
            relay.listen()
        )));
    }
    refuse_listening(&relay)?;
    let folder = TraceFolder::open(&base.join(name)).map_err(Failure::not_done)?;
    forget_left_behind(output);
    runtime()?.block_on(async {
        let company = Company::here(arguments.yes)?;
        let is_opened = arguments.opens_client();
        let is_of_use =
            |client: &ClientProgram| is_opened && (company.is_there() || !client.asks_at_terminal);
        let found_client = client_program::find().filter(is_of_use);
        let answer = Answer::default();
        let mut run = Run { arguments, output, company, folder, found_client, answer, in_trouble: false };
        Box::pin(run.conduct()).await;
        Ok(run.finish())
    })
}

impl Run<'_> {
    /// One step after the other, until the answer is proved or the user leaves.
    async fn conduct(&mut self) {
        let Some(record) = self.probe().await else { return };
        if !plan::is_worth_a_client(&record) {
            return;
        }
        let mut factors: Vec<Factor> = Vec::new();
        if self.goes_on_with(Step::Client).await {
            let watched = Box::pin(self.watch()).await;
            let verdict = self.done(watched).flatten().and_then(|record| record.verdict);
            if let Some(verdict) = verdict {
                factors = plan::proposed(&verdict);
                self.answer.watched(verdict);
            }
        }
        if self.answer.verdict().is_none_or(|it| plan::is_settled(it) || self.watched_it_work(it)) {
            return;
        }
        factors.extend(record.verdict.iter().flat_map(plan::proposed));
        self.experiment(factors).await;
    }

    fn watched_it_work(&self, verdict: &Verdict) -> bool {
        plan::is_fine(verdict) && self.answer.basis() == Some(Basis::Session)
    }

    /// The probe, whose record is kept beside the sessions; none where the user left first.
    async fn probe(&mut self) -> Option<Record> {
        self.explain(Step::Probe);
        self.step_line(Step::Probe, StepOutcome::Begins);
        let RunArguments { target, gateway, address, .. } = &self.arguments;
        let port = gateway.as_ref().unwrap_or(target).port;
        let settings = Settings {
            // Its form was checked when it was read.
            address: address.as_deref().and_then(|address| Target::parse(address, port).ok()),
            knows_command: super::arguments::accepts,
            ..Settings::default()
        };
        let left = self.company.leaves(true);
        let record = Box::pin(probe::one(target, gateway.as_ref(), &settings, left, self.output)).await?;
        let path = self.folder.path().join(PROBE_FILE);
        let kept = write_private(&path, probe::json_lines(&record, true).as_bytes());
        self.done(kept.map_err(|error| {
            Failure::not_done(format!(
                "cannot write {}: {error}; name another folder with --trace",
                path.display()
            ))
        }));
        if let Some(verdict) = &record.verdict {
            self.answer.probed(verdict.clone());
        }
        Some(record)
    }

    /// Each experiment that is proposed, until one proves the cause.
    async fn experiment(&mut self, factors: Vec<Factor>) {
        let mut tried = Vec::new();
        for factor in factors {
            if tried.contains(&factor) || !self.goes_on_with(Step::Experiment(factor)).await {
                continue;
            }
            tried.push(factor);
            let conducted = Box::pin(self.conduct_experiment(factor)).await;
            let Some(conducted) = self.done(conducted) else { continue };
            self.answer.tried(factor, &conducted);
            if self.answer.verdict().is_some_and(plan::is_settled) {
                return;
            }
        }
    }

    async fn conduct_experiment(&mut self, factor: Factor) -> Result<Conducted, Failure> {
        let arguments = self.arguments.ab(factor, self.folder.path().to_owned())?;
        let client = self.found_client.as_ref().map(|client| client.command.clone());
        let hears_keyboard = self.hears_keyboard();
        let left = self.company.leaves(hears_keyboard);
        ab::experiment(arguments, client, left, self.output).await
    }

    /// Whether what is typed is for this program, and not for a client at the same terminal.
    fn hears_keyboard(&self) -> bool {
        !self.found_client.as_ref().is_some_and(|client| client.asks_at_terminal)
    }

    /// Explains a step and asks whether to do it.
    async fn goes_on_with(&mut self, step: Step) -> bool {
        if self.company.left().is_some() {
            return false;
        }
        self.explain(step);
        if self.arguments.client.is_none() && !self.company.can_help() {
            self.output.progress(
                "left out, as nobody sits at a terminal here: name a client that runs by itself with --client, or add \
                 --yes where somebody connects",
            );
            self.step_line(step, StepOutcome::LeftOut);
            return false;
        }
        let words = self.what_the_user_does(step);
        match self.company.ask(step, &words, self.output).await {
            Reply::GoOn => {
                self.step_line(step, StepOutcome::Begins);
                true
            }
            Reply::Skip => {
                self.step_line(step, StepOutcome::Skipped);
                false
            }
            Reply::Leave => false,
        }
    }

    fn explain(&self, step: Step) {
        self.output.progress(&format!("\n{}: {}", step.word(), step.explanation(self.arguments.runs)));
    }

    fn step_line(&self, step: Step, outcome: StepOutcome) {
        let factor = step.factor().map(Factor::word);
        self.output.json_line(&StepLine { step: step.word(), factor, outcome });
    }

    /// What came of a step; what could not be done is said, and the rest goes on.
    fn done<T>(&mut self, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(failure) => {
                self.in_trouble = true;
                self.output.error(&failure.sentence);
                None
            }
        }
    }

    /// Writes the report, says the sentence, and opens the page for whoever is still there.
    fn finish(mut self) -> Exit {
        let report = self.write_report();
        let target = self.arguments.target.to_string();
        let sentence = self.answer.sentence(&target);
        self.output.progress("");
        if let Some(report) = &report {
            self.output.result(&format!("report     {}", report.display()));
        }
        self.output.result(&format!("say        {sentence}"));
        let left = self.company.left();
        let verdict = self.answer.verdict();
        self.output.json_line(&RunLine {
            target: &target,
            verdict: verdict.map(|verdict| verdict.id),
            confidence: verdict.map(|verdict| verdict.confidence),
            basis: self.answer.basis(),
            sentence: &sentence,
            left: left.is_some(),
            report: report.as_ref().map(|path| path.display().to_string()),
            traces: report.as_ref().map(|_| self.folder.path().display().to_string()),
        });
        let is_wanted = self.company.is_there() && left.is_none() && !self.output.json;
        if let Some(report) = report.filter(|_| is_wanted && !self.arguments.no_browser) {
            browser::open(&report);
        }
        match left {
            Some(Left::Interrupted) => Exit::Interrupted,
            _ if self.answer.is_fault() => Exit::Fault,
            _ if self.in_trouble => Exit::NotDone,
            _ => Exit::Healthy,
        }
    }

    /// One page of everything that was recorded; none where nothing was.
    fn write_report(&mut self) -> Option<PathBuf> {
        let is_empty = |mut entries: std::fs::ReadDir| entries.next().is_none();
        if std::fs::read_dir(self.folder.path()).is_ok_and(is_empty) {
            // An empty folder tells nobody anything.
            let _ = std::fs::remove_dir(self.folder.path());
            return None;
        }
        let path = self.folder.path().join(REPORT_FILE);
        let written = report::page(self.folder.path(), &path, self.output);
        self.done(written).map(|()| path)
    }
}
