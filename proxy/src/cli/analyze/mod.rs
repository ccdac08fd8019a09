//! `rdpscope analyze CAPTURE…`: the same observers over what somebody else recorded.

pub(super) mod arguments;
mod secrets;
mod shown;

use super::arguments as cli_arguments;
use super::output::Output;
use super::{Exit, Failure};
use crate::capture::file::{self, Damage, ReadOutcome};
use crate::capture::session::{Analysed, Options, Sessions, Totals};
use crate::recorder::TraceFolder;
use crate::report::{analysis, safe};
use crate::trace::{Micros, Record};
use arguments::AnalyzeArguments;
use secrets::Given;
use serde::Serialize;
use shown::Shown;
use std::path::Path;

/// Damages that are told of one file; the others are counted.
const DAMAGES_TOLD: usize = 3;

/// A line of a trace together with the session it belongs to.
#[derive(Serialize)]
struct SessionLine<'a> {
    #[serde(flatten)]
    line: &'a crate::trace::Line,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

pub(super) fn run(arguments: &AnalyzeArguments, output: &Output) -> Result<Exit, Failure> {
    let given = Given::read(&arguments.keylog, &arguments.key, arguments.key_password_file.as_deref())?;
    let folder = arguments.trace.as_deref().map(TraceFolder::open).transpose().map_err(Failure::not_done)?;
    let mut shown = Shown::new(output, arguments.all);
    let mut is_unread = false;
    for (number, path) in (1..).zip(&arguments.captures) {
        let options = options(path, number, arguments.gateway.clone());
        match analyse(path, options, &given, folder.as_ref(), &mut shown, output) {
            Ok(totals) => say_what_else(path, &totals, &given, output),
            Err(sentence) => {
                is_unread = true;
                output.error(&sentence);
            }
        }
    }
    shown.finish();
    Ok(match () {
        () if is_unread || !shown.has_attempts() => Exit::NotDone,
        () if shown.has_fault() => Exit::Fault,
        () => Exit::Healthy,
    })
}

/// Reads one file; the attempts in it are shown, written and counted as they come.
fn analyse(
    path: &Path,
    options: Options,
    given: &Given,
    folder: Option<&TraceFolder>,
    shown: &mut Shown<'_>,
    output: &Output,
) -> Result<Totals, String> {
    let is_read_twice = file::is_read_twice(path);
    let inside = if is_read_twice { file::secrets(path) } else { Ok(file::Secrets::default()) };
    let secrets = given.with(&inside.map_err(|error| error.to_string())?.tls_key_logs);
    let name = options.capture.clone();
    let mut not_written = None;
    let mut sessions = Sessions::new(options, secrets, |analysed: Analysed| {
        if let Some(folder) = folder.filter(|_| not_written.is_none()) {
            not_written = write(folder, &analysed.record).err();
        }
        shown.attempt(&analysed.record);
        print(analysed.record, output);
    });
    if !is_read_twice {
        sessions = sessions.taking_secrets();
    }
    let outcome = file::read(path, &mut sessions);
    let totals = sessions.finish();
    let outcome = outcome.map_err(|error| error.to_string())?;
    shown.file(file_lines(&name, &outcome));
    if outcome.has_late_secrets && !is_read_twice {
        output.error(&format!(
            "{} has secrets behind the packets that they are of, and could be read only once: save it to a file to have all \
             decrypted",
            safe::name(&name)
        ));
    }
    match not_written {
        Some(sentence) => Err(sentence),
        None => Ok(totals),
    }
}

/// The attempts in a capture, by their times, as far as it has the secrets inside, and what is wrong with the file.
pub(super) fn attempts(path: &Path) -> Result<(Vec<Record>, Vec<String>), String> {
    let given = Given::default();
    let options = options(path, 1, Vec::new());
    let name = options.capture.clone();
    let inside = file::secrets(path).map_err(|error| error.to_string())?;
    let mut attempts = Vec::new();
    let secrets = given.with(&inside.tls_key_logs);
    let mut sessions = Sessions::new(options, secrets, |analysed: Analysed| attempts.push(analysed));
    let outcome = file::read(path, &mut sessions);
    let totals = sessions.finish();
    let outcome = outcome.map_err(|error| error.to_string())?;
    if attempts.is_empty() {
        return Err(without_attempts(path, &totals));
    }
    attempts.sort_by_key(|attempt| attempt.began);
    let damage = file_lines(&name, &outcome).into_iter().skip(1);
    let notes = damage.map(|line| format!("{}: {}", safe::name(&name), line.trim_start()));
    Ok((attempts.into_iter().map(|attempt| attempt.record).collect(), notes.collect()))
}

fn options(path: &Path, number: usize, gateways: Vec<String>) -> Options {
    let name = path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
    Options {
        capture: if file::is_standard_input(path) { "standard input".to_owned() } else { name.into_owned() },
        ids: format!("{}-{number}", run_id()),
        gateways,
        knows_command: cli_arguments::accepts,
    }
}

fn without_attempts(path: &Path, totals: &Totals) -> String {
    let (name, other) = (safe::name(&path.display().to_string()), &totals.other);
    let but = if other.is_empty() { "and" } else { "but" };
    format!("{name} has no Remote Desktop in it that can be recognised, {but} {}", other.words())
}

/// The lines of a record for programs.
fn print(record: Record, output: &Output) {
    if !output.json {
        return;
    }
    let session = record.header.as_ref().map(|header| header.session.clone());
    let lines = record.into_lines();
    output.json_lines(lines.iter().map(|line| {
        let is_first = matches!(line, crate::trace::Line::Trace(_));
        SessionLine { line, session: session.as_deref().filter(|_| !is_first) }
    }));
}

fn write(folder: &TraceFolder, record: &Record) -> Result<(), String> {
    let Some(header) = &record.header else { return Ok(()) };
    let session = header.session.as_str().into();
    let written = folder.write_session(&session, &record.clone().into_lines());
    written.map(drop).map_err(|error| error.to_string())
}

/// What the file is, and what is wrong with it.
fn file_lines(name: &str, outcome: &ReadOutcome) -> Vec<String> {
    let contents = &outcome.contents;
    let span = contents.span.map(|(first, last)| {
        let first_time = jiff::Timestamp::from_nanosecond(i128::from(first));
        let lasted: Micros = last.saturating_sub(first) / 1000;
        (first_time.unwrap_or(jiff::Timestamp::UNIX_EPOCH), lasted)
    });
    let mut lines = vec![analysis::file_line(name, contents.frames, span)];
    lines.extend(outcome.damage.iter().take(DAMAGES_TOLD).map(|damage: &Damage| format!("  {damage}")));
    let untold = outcome.damage.len().saturating_sub(DAMAGES_TOLD) as u64 + outcome.further_damage;
    if untold > 0 {
        lines.push(format!("  {untold} more places are damaged"));
    }
    if contents.cut_frames > 0 {
        lines.push(format!("  {} packets are cut to the snapshot length", contents.cut_frames));
    }
    lines.iter().map(|line| safe::neutralise(line, false)).collect()
}

/// What the attempts do not say: that there is none, and secrets that fit nothing.
fn say_what_else(path: &Path, totals: &Totals, given: &Given, output: &Output) {
    let name = safe::name(&path.display().to_string());
    if totals.attempts == 0 {
        output.error(&without_attempts(path, totals));
    }
    if given.lines() > 0 && totals.tls_opened == 0 {
        let sessions = given.lines();
        output.error(&format!("none of the {sessions} secrets given fits a TLS session in {name}"));
    }
}

/// What the ids of this run's attempts begin with.
fn run_id() -> String {
    let now = jiff::Timestamp::now();
    format!("{}-{:04x}", now.strftime("%Y%m%d-%H%M%S"), std::process::id() & 0xffff)
}
