//! `rdpscope probe TARGET…`.

pub(super) mod arguments;
mod csv;
mod input;
mod results_file;
mod screen;

use super::output::Output;
use super::proxy::{interrupted, raise_descriptor_limit, runtime};
use super::watching::Exporting;
use super::{Exit, Failure};
use crate::probe::fleet::Fleet;
use crate::probe::{self, OtherPath, Settings};
use crate::recorder::SessionId;
use crate::relay::target::Target;
use crate::report::{self, safe};
use crate::trace::{Line, Record};
use arguments::ProbeArguments;
use results_file::{ResultsError, ResultsFile};
use screen::{Format, Screen};
use serde::Serialize;
use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

/// Descriptors that the probe of one target may have open at once: eight connections, one dialled beside another, a
/// socket for each UDP conversation, and one that asks for a name.
const DESCRIPTORS_EACH: u64 = 16;
/// Descriptors for everything else: outputs, the results' file, what the runtime waits on.
const DESCRIPTORS_BESIDE: u64 = 64;

/// A line together with the target it belongs to.
#[derive(Serialize)]
struct TargetLine<'a> {
    #[serde(flatten)]
    line: &'a Line,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
}

pub(super) fn run(arguments: ProbeArguments, output: &Output) -> Result<Exit, Failure> {
    let named = input::targets(&arguments)?;
    if arguments.address.is_some() && arguments.gateway.is_none() && named.targets.len() > 1 {
        return Err(Failure::usage("--address stands for one target's address; name only one target"));
    }
    let names_address = arguments.other_path.iter().any(|path| matches!(path, OtherPath::Address { .. }));
    if names_address && arguments.gateway.is_none() && named.targets.len() > 1 {
        return Err(Failure::usage(
            "an address as --other-path stands for one target's address; name only one target, or a proxy",
        ));
    }
    let settings = arguments.settings(&named.targets);
    let mut asked = Asked::Targets;
    let mut targets = named.targets;
    if let Some(gateway) = &arguments.gateway {
        let behind = std::mem::replace(&mut targets, vec![gateway.clone()]);
        asked = Asked::GatewayBefore(behind.into());
    }
    let format = if arguments.csv { Format::Csv } else { Format::of(output) };
    let mut run = Run {
        screen: Screen::new(output, format, &targets),
        file: None,
        exporting: None,
        fault_found: false,
        events: output.verbose > 0,
    };
    let left = run.open_file(&arguments, targets, output)?;
    let concurrency = possible_concurrency(&arguments, output);
    run.exporting =
        arguments.otlp.clone().map(|collector| Exporting::start(collector, "targets", output)).transpose()?;
    announce(&left, named.repeated, concurrency, &settings, &asked, output);
    let ended = run.probe(left, concurrency, settings, asked)?;
    run.finish(ended)
}

/// Probes one target, or the gateway before it, shows the answer and gives the record; none where `left` completes
/// first.
pub(super) async fn one(
    target: &Target,
    gateway: Option<&Target>,
    settings: &Settings,
    left: impl Future<Output = ()>,
    output: &Output,
) -> Option<Record> {
    let behind = std::slice::from_ref(target);
    let mut screen = Screen::new(output, Format::of(output), gateway.map_or(behind, std::slice::from_ref));
    let probed = async {
        match gateway {
            Some(gateway) => Box::pin(probe::gateway::probe(gateway, behind, settings)).await,
            None => Box::pin(probe::probe(target, settings)).await,
        }
    };
    let record = tokio::select! {
        () = left => None,
        record = probed => Some(record),
    };
    if let Some(record) = &record {
        screen.show_in_short(record, &json_lines(record, output.verbose > 0));
    }
    screen.finish();
    record
}

/// What is probed.
#[derive(Debug, Clone)]
enum Asked {
    /// Each target.
    Targets,
    /// The gateway before these targets, once for all of them.
    GatewayBefore(Arc<[Target]>),
}

/// As many at a time as were asked for, unless the system does not allow so many sockets: a socket that cannot be
/// opened would look like a fault of its target.
fn possible_concurrency(arguments: &ProbeArguments, output: &Output) -> usize {
    let Some(limit) = raise_descriptor_limit() else { return arguments.concurrency };
    let room =
        usize::try_from(limit.saturating_sub(DESCRIPTORS_BESIDE) / DESCRIPTORS_EACH).unwrap_or(usize::MAX);
    if room >= arguments.concurrency {
        return arguments.concurrency;
    }
    let possible = room.max(1);
    output.progress(&format!(
        "{possible} targets at a time instead of {}: this system allows {limit} open files (ulimit -n)",
        arguments.concurrency
    ));
    possible
}

/// What will be opened, before it is.
fn announce(
    left: &[Target],
    repeated: usize,
    concurrency: usize,
    settings: &Settings,
    asked: &Asked,
    output: &Output,
) {
    match repeated {
        0 => {}
        1 => output.progress("1 target was named more than once and is probed once"),
        _ => output.progress(&format!("{repeated} targets were named more than once and are probed once")),
    }
    let what = match left {
        [] => return,
        [only] => match asked {
            Asked::Targets => format!("probing {only}"),
            Asked::GatewayBefore(_) => format!("probing the gateway {only}, and nothing behind it"),
        },
        _ => format!("probing {} targets, {} at a time", left.len(), concurrency.min(left.len())),
    };
    let most = |addresses| match asked {
        Asked::Targets => settings.most_connections(addresses),
        Asked::GatewayBefore(_) => settings.most_connections_to_gateway(addresses),
    };
    let (connections, further) = (most(1), most(2) - most(1));
    let conversations = match asked {
        Asked::Targets => settings.most_conversations(),
        Asked::GatewayBefore(_) => settings.most_conversations_with_gateway(),
    };
    output.progress(&format!(
        "{what}: at most {connections} connections and {conversations} UDP conversations to each \
         ({further} connections more for each further address of a name)"
    ));
}

/// How the probes of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Every target has its result.
    Done,
    /// The user interrupted it.
    Interrupted,
}

/// A run under way.
struct Run<'a> {
    screen: Screen<'a>,
    file: Option<ResultsFile>,
    exporting: Option<Exporting>,
    fault_found: bool,
    /// Whether single events are among the lines.
    events: bool,
}

impl Run<'_> {
    /// Opens the results' file, takes from it what an earlier run finished, and says which of `targets` are left.
    fn open_file(
        &mut self,
        arguments: &ProbeArguments,
        targets: Vec<Target>,
        output: &Output,
    ) -> Result<Vec<Target>, Failure> {
        let Some(path) = &arguments.output else { return Ok(targets) };
        if !arguments.resume {
            self.file = Some(ResultsFile::create(path).map_err(failure)?);
            return Ok(targets);
        }
        let mut wanted: HashSet<String> = targets.iter().map(ToString::to_string).collect();
        let before = wanted.len();
        let resumed = ResultsFile::resume(path, |record| {
            let target = record.probe.as_ref().map(|probe| probe.target.as_str()).unwrap_or_default();
            if wanted.remove(target) {
                self.show(&record, &json_lines(&record, self.events));
            }
        });
        self.file = Some(resumed.map_err(failure)?);
        let read_back = before - wanted.len();
        if read_back > 0 {
            output.progress(&format!(
                "{read_back} of {before} targets were finished before, by {}",
                path.display()
            ));
        }
        Ok(targets.into_iter().filter(|target| wanted.contains(&target.to_string())).collect())
    }

    /// Probes what is left.
    fn probe(
        &mut self,
        targets: Vec<Target>,
        concurrency: usize,
        settings: Settings,
        asked: Asked,
    ) -> Result<Ended, Failure> {
        runtime()?.block_on(async {
            let interrupted = interrupted()
                .map_err(|error| Failure::not_done(format!("cannot wait for signals: {error}")))?;
            let mut interrupted = std::pin::pin!(interrupted);
            let probe = move |target: Target| {
                let (settings, asked) = (settings.clone(), asked.clone());
                async move {
                    match asked {
                        Asked::Targets => Box::pin(probe::probe(&target, &settings)).await,
                        Asked::GatewayBefore(behind) => {
                            Box::pin(probe::gateway::probe(&target, &behind, &settings)).await
                        }
                    }
                }
            };
            let fleet = Fleet::start(targets, concurrency, probe);
            let mut fleet = fleet.map_err(|error| Failure::not_done(format!("cannot start: {error}")))?;
            loop {
                tokio::select! {
                    biased;
                    () = &mut interrupted => return Ok(Ended::Interrupted),
                    record = fleet.next() => match record {
                        Some(record) => self.take(&record)?,
                        None => return Ok(Ended::Done),
                    },
                }
            }
        })
    }

    /// Keeps the result of one target, sends and shows it.
    fn take(&mut self, record: &Record) -> Result<(), Failure> {
        let json = json_lines(record, self.events);
        if let Some(file) = &mut self.file {
            file.append(&json).map_err(failure)?;
        }
        if let Some(exporting) = &self.exporting {
            exporting.tap().concluded(&SessionId::from(""), record);
        }
        self.show(record, &json);
        Ok(())
    }

    fn show(&mut self, record: &Record, json: &str) {
        self.fault_found |= record.verdict.as_ref().is_some_and(|verdict| !verdict.is_good());
        self.screen.show(record, json);
    }

    fn finish(mut self, ended: Ended) -> Result<Exit, Failure> {
        let comparison = self.screen.finish();
        if let Some(exporting) = self.exporting {
            exporting.finish();
        }
        if let (Some(file), Some(comparison)) = (&mut self.file, comparison) {
            file.append(&comparison).map_err(failure)?;
        }
        Ok(match ended {
            Ended::Interrupted => Exit::Interrupted,
            Ended::Done if self.fault_found => Exit::Fault,
            Ended::Done => Exit::Healthy,
        })
    }
}

fn failure(error: ResultsError) -> Failure {
    if error.is_usage() { Failure::usage(error) } else { Failure::not_done(error) }
}

/// Each line with the target it belongs to, and with its line end.
pub(super) fn json_lines(record: &Record, events: bool) -> String {
    let target = record.probe.as_ref().map(|probe| probe.target.as_str());
    let mut text = String::new();
    for line in report::probe::lines(record, events) {
        // What a probe found names its target by itself.
        let target = target.filter(|_| !matches!(line, Line::Probe(_)));
        text += &json_line(&TargetLine { line: &line, target });
    }
    text
}

fn json_line(line: &impl Serialize) -> String {
    // Serialising our own types into memory cannot fail.
    safe::json(&serde_json::to_string(line).unwrap_or_default()).into_owned() + "\n"
}
