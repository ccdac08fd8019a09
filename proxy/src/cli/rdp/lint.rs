//! `rdpscope rdp lint FILE…`.

use super::arguments::LintArguments;
use super::file;
use crate::cli::output::Output;
use crate::cli::{Exit, Failure};
use crate::rdpfile::Profile;
use crate::rdpfile::lint::{Finding, Severity, lint};
use crate::report::Style;
use crate::report::safe::neutralise;
use crate::report::wrap;
use anstyle::{AnsiColor, Style as Ansi};
use serde::Serialize;
use std::path::Path;

/// Columns in front of a finding's words: two spaces and the severity.
const INDENT: usize = 11;

/// A line of `--json`: a finding of a file, or what a file came to.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Line<'a> {
    Finding {
        file: &'a str,
        #[serde(flatten)]
        finding: &'a Finding,
    },
    Profile {
        file: &'a str,
        encoding: String,
        settings: usize,
        errors: usize,
        warnings: usize,
        notes: usize,
    },
}

pub(super) fn run(arguments: &LintArguments, output: &Output) -> Result<Exit, Failure> {
    let mut exit = Exit::Healthy;
    for path in &arguments.files {
        match file::read(path) {
            Ok(profile) => {
                let findings = lint(&profile);
                tell(path, &profile, &findings, output);
                let is_fault = findings.iter().any(|finding| finding.severity != Severity::Note);
                if is_fault && exit == Exit::Healthy {
                    exit = Exit::Fault;
                }
            }
            // One that cannot be read hides none of its neighbours.
            Err(sentence) => {
                output.error(&sentence);
                exit = Exit::NotDone;
            }
        }
    }
    Ok(exit)
}

fn tell(path: &Path, profile: &Profile, findings: &[Finding], output: &Output) {
    let file = file::shown(path);
    output.result(&text(&file, profile, findings, &output.style()));
    for finding in findings {
        output.json_line(&Line::Finding { file: &file, finding });
    }
    output.json_line(&Line::Profile {
        file: &file,
        encoding: profile.encoding().to_string(),
        settings: profile.settings().count(),
        errors: count(findings, Severity::Error),
        warnings: count(findings, Severity::Warning),
        notes: count(findings, Severity::Note),
    });
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity == severity).count()
}

/// Everything for people.
fn text(file: &str, profile: &Profile, findings: &[Finding], style: &Style) -> String {
    let settings = counted(profile.settings().count(), "setting");
    let mut lines = vec![format!("{}: {settings}, {}", neutralise(file, style.ascii), profile.encoding())];
    for finding in findings {
        lines.extend(of_finding(finding, style));
    }
    lines.push(format!("  {}", summary(findings)));
    lines.join("\n")
}

fn of_finding(finding: &Finding, style: &Style) -> Vec<String> {
    let place = match (finding.line, &finding.key) {
        (Some(line), Some(key)) => format!("line {line}, {key}: "),
        (Some(line), None) => format!("line {line}: "),
        (None, _) => String::new(),
    };
    let fix = finding.fix.iter().map(|fix| format!("-> {fix}"));
    let paragraphs = std::iter::once(format!("{place}{}", finding.text)).chain(fix);
    let room = style.width.saturating_sub(INDENT);
    let lines = paragraphs.flat_map(|paragraph| wrap(&neutralise(&paragraph, style.ascii), room));
    let lines = lines.enumerate().map(|(number, line)| match number {
        0 => format!("  {}{line}", severity(finding.severity, style)),
        _ => format!("{}{line}", " ".repeat(INDENT)),
    });
    lines.collect()
}

fn severity(severity: Severity, style: &Style) -> String {
    let word = severity.word();
    let padding = " ".repeat(INDENT - 2 - word.len());
    let ansi = match severity {
        Severity::Error => Ansi::new().fg_color(Some(AnsiColor::Red.into())).bold(),
        Severity::Warning => Ansi::new().fg_color(Some(AnsiColor::Yellow.into())),
        Severity::Note => Ansi::new().dimmed(),
    };
    match style.color {
        true => format!("{ansi}{word}{ansi:#}{padding}"),
        false => format!("{word}{padding}"),
    }
}

fn summary(findings: &[Finding]) -> String {
    let counts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let counts = counts.map(|(severity, word)| (count(findings, severity), word));
    let told: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| counted(count, word))
        .collect();
    match told.is_empty() {
        true => "nothing to say against it".to_owned(),
        false => told.join(", "),
    }
}

fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
