//! A report as Markdown for a ticket: the answer, why, what to do, and a table of the phases.
//!
//! Every text passes [`text`] or [`code`]: nothing from the wire is read as markup, a link, or somebody's name.

use super::compare::{self, Contrast, Difference};
use super::document::{Document, Subject};
use super::story::{self, Story};
use super::{experiment, safe, time, verdict, words};
use crate::trace::{Altered, CertificateSummary, Detail, Finding, Fix, Record, Verdict, VerdictId};
use std::fmt::Write as _;

/// Characters that begin markup wherever they stand.
const MARKUP: &[char] = &['\\', '`', '*', '[', ']', '<', '>', '|', '~', '&', '#', '!'];
/// Changed fields that are listed; the others are counted.
const MOST_ALTERED: usize = 20;

/// The whole report, with a line end at its end.
pub fn markdown(document: &Document) -> String {
    let mut page = String::new();
    for note in &document.notes {
        let _ = writeln!(page, "> {}\n", text(note));
    }
    if let Some(contrast) = &document.contrast {
        compared(&mut page, contrast);
        return tidy(&page);
    }
    if let Some(fleet) = &document.fleet {
        heading(&mut page, 2, "Targets");
        let _ = writeln!(page, "{} of {} fail.\n", fleet.comparison.failing, fleet.comparison.targets);
        for sentence in &fleet.comparison.sentences {
            let _ = writeln!(page, "- {}", text(sentence));
        }
        page.push('\n');
    }
    for subject in &document.subjects {
        told(&mut page, document, subject);
    }
    tidy(&page)
}

/// One empty line between two parts, and none at the end.
fn tidy(page: &str) -> String {
    let mut tidied = page.trim_end().to_owned() + "\n";
    while tidied.contains("\n\n\n") {
        tidied = tidied.replace("\n\n\n", "\n\n");
    }
    tidied
}

fn compared(page: &mut String, contrast: &Contrast) {
    heading(page, 2, "Compared");
    let _ = writeln!(page, "**{}**\n", text(&compare::first_words(contrast)));
    let [works, fails] = if contrast.is_as_named { ["works", "fails"] } else { ["one", "other"] };
    let _ = writeln!(page, "- {works}: {}: {}", text(&contrast.working), text(&contrast.answers[0]));
    let _ = writeln!(page, "- {fails}: {}: {}", text(&contrast.failing), text(&contrast.answers[1]));
    if let Some(Difference { phase, working, failing, .. }) = &contrast.parted {
        let _ =
            writeln!(page, "- the two part in {phase}: {}", compare::sides_words(contrast, working, failing));
    }
    for note in &contrast.notes {
        let _ = writeln!(page, "- {}", text(note));
    }
    let _ = writeln!(page, "\n| phase | what | {works} | {fails} |\n|---|---|---|---|");
    for it in contrast.first.iter().chain(&contrast.others) {
        let what = format!("{}{}", it.what, compare::aside(it));
        let cells = [&what, &it.working, &it.failing].map(|cell| text(cell));
        let _ = writeln!(page, "| {} | {} |", it.phase, cells.join(" | "));
    }
    let _ = writeln!(page, "\n{} {}\n", compare::same_words(contrast), compare::CAUTION);
}

fn told(page: &mut String, document: &Document, subject: &Subject) {
    heading(page, 2, &subject.title());
    if let Some(finished) = document.finished(&subject.record) {
        let (_, answer) = experiment::answer_words(&finished);
        let _ = writeln!(page, "**{}**\n\n{}\n", text(&answer), text(&finished.line.conclusion.because));
        arms(page, &finished.line);
        let verdict = finished.proven.as_ref().or(finished.observed.as_ref());
        verdict.iter().for_each(|verdict| fixes(page, &verdict.fix));
        return origin(page, subject);
    }
    if let Some(verdict) = &subject.record.verdict {
        answer(page, verdict);
    }
    for note in subject.notes() {
        let _ = writeln!(page, "> {}\n", text(note));
    }
    phases(page, &subject.record);
    certificates(page, subject);
    alterations(page, &subject.record.altered);
    findings(page, &subject.record.findings);
    origin(page, subject);
}

fn answer(page: &mut String, verdict: &Verdict) {
    let Verdict { id, confidence, summary, .. } = verdict;
    let _ = writeln!(
        page,
        "**{}**\n\nVerdict: `{id}` ({confidence}), in phase `{}`.\n",
        text(summary),
        verdict.phase
    );
    if *id == VerdictId::Healthy {
        return;
    }
    if !verdict.evidence.is_empty() {
        heading(page, 3, "Why");
        for evidence in &verdict.evidence {
            let _ = writeln!(page, "- {}: {}", time::short(evidence.t_us), text(&evidence.text));
        }
        page.push('\n');
    }
    fixes(page, &verdict.fix);
    if !verdict.next.is_empty() {
        heading(page, 3, "To know more");
        code_block(page, "", &verdict.next);
    }
    let fits: Vec<String> =
        verdict.alternatives.iter().map(|other| format!("`{}` ({})", other.id, other.confidence)).collect();
    if !fits.is_empty() {
        let _ = writeln!(page, "Also fits: {}.\n", fits.join(", "));
    }
    let ruled_out: Vec<String> = verdict.ruled_out.iter().map(|id| format!("`{id}`")).collect();
    if !ruled_out.is_empty() {
        let _ = writeln!(page, "Ruled out: {}.\n", ruled_out.join(", "));
    }
}

fn fixes(page: &mut String, fixes: &[Fix]) {
    if fixes.is_empty() {
        return;
    }
    heading(page, 3, "What to do");
    for (fix, number) in fixes.iter().zip(1..) {
        let _ = writeln!(page, "{number}. {}: {}", verdict::place(fix.place), text(&fix.text));
        if let Some(command) = &fix.command {
            page.push('\n');
            code_block(page, "   ", std::slice::from_ref(command));
        }
    }
    page.push('\n');
}

fn phases(page: &mut String, record: &Record) {
    let story = Story::of(record);
    if !story.phases.is_empty() {
        heading(page, 3, "Phases");
        page.push_str("| phase | outcome | began | took | what happened |\n|---|---|---:|---:|---|\n");
    }
    for told in &story.phases {
        let (sign, word) = story::outcome(told.record.outcome);
        let inferred = if told.record.inferred { " (by sizes and timing)" } else { "" };
        let _ = writeln!(
            page,
            "| {} | {sign} {word}{inferred} | {} | {} | {} |",
            told.name,
            time::short(told.record.start_us),
            time::short(told.record.duration_us()),
            text(&told.words.join("; ")),
        );
    }
    if let Some(ending) = &story.ending {
        let _ = writeln!(page, "\nThe end: {}.", text(ending));
    }
    page.push('\n');
}

fn certificates(page: &mut String, subject: &Subject) {
    let now = subject.started().map(|at| at.as_second());
    let chain = subject.record.find_last(|detail| match detail {
        Detail::Certificate { chain, .. } => chain.first(),
        _ => None,
    });
    let of_probe = || subject.record.probe.as_ref()?.certificate.as_ref()?.chain.first();
    if let Some(certificate) = chain.map(|(_, certificate)| certificate).or_else(of_probe) {
        heading(page, 3, "Certificate of the server");
        for line in words::certificate(certificate, now) {
            let _ = writeln!(page, "- {}", text(&line));
        }
        page.push('\n');
    } else if let Some(CertificateSummary { subject_cn, issuer_cn, not_before, not_after, sha1, .. }) =
        subject.record.summary.as_ref().and_then(|summary| summary.certificate.as_ref())
    {
        let name = |name: &Option<String>| text(&safe::name(name.as_deref().unwrap_or("no common name")));
        heading(page, 3, "Certificate of the server");
        let _ = writeln!(page, "- {}, issued by {}", name(subject_cn), name(issuer_cn));
        let _ = writeln!(page, "- valid {} to {}, SHA-1 {}\n", text(not_before), text(not_after), text(sha1));
    }
}

fn alterations(page: &mut String, altered: &[Altered]) {
    if altered.is_empty() {
        return;
    }
    heading(page, 3, "What rdpscope changed");
    for change in altered.iter().take(MOST_ALTERED) {
        let _ = writeln!(page, "- {}", text(&words::altered(change)));
    }
    if altered.len() > MOST_ALTERED {
        let _ = writeln!(page, "- and {} more", altered.len() - MOST_ALTERED);
    }
    page.push('\n');
}

fn findings(page: &mut String, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    heading(page, 3, "Also true");
    for finding in findings {
        let _ = writeln!(page, "- {}: {}", finding.phase, text(&finding.text));
    }
    page.push('\n');
}

fn arms(page: &mut String, experiment: &crate::trace::Experiment) {
    page.push_str("| arm | attempts |\n|---|---|\n");
    for arm in &experiment.arms {
        let runs: Vec<String> = arm.runs.iter().map(experiment::outcome).collect();
        let _ = writeln!(
            page,
            "| {}: {} | {} |",
            text(&arm.name),
            text(&arm.description),
            text(&runs.join(", "))
        );
    }
    page.push('\n');
    for confounder in &experiment.confounders {
        let _ = writeln!(page, "- {}: {}", text(&confounder.arm), text(&confounder.text));
    }
    page.push('\n');
}

fn origin(page: &mut String, subject: &Subject) {
    let mut parts = Vec::new();
    if let Some(header) = &subject.record.header {
        parts.push(format!("session {}", code(&header.session)));
        parts.push(format!("began {}", text(&header.started)));
        parts.push(format!("rdpscope {}", text(&header.rdpscope)));
    }
    parts.push(format!("from {}", code(&subject.source)));
    let _ = writeln!(page, "{}\n", parts.join(", "));
}

fn heading(page: &mut String, level: usize, words: &str) {
    let _ = writeln!(page, "{} {}\n", "#".repeat(level), text(words));
}

/// Each of `lines` on its own, with a fence that none of them ends.
fn code_block(page: &mut String, indent: &str, lines: &[String]) {
    let lines: Vec<String> = lines.iter().map(|line| safe::neutralise(line, false)).collect();
    let fence = "`".repeat(lines.iter().map(|line| longest_run(line)).max().unwrap_or_default().max(2) + 1);
    let _ = writeln!(page, "{indent}{fence}");
    for line in &lines {
        let _ = writeln!(page, "{indent}{line}");
    }
    let _ = writeln!(page, "{indent}{fence}\n");
}

/// `value` as code within a sentence.
fn code(value: &str) -> String {
    let value = safe::name(value);
    let fence = "`".repeat(longest_run(&value) + 1);
    let space = if value.starts_with('`') || value.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{value}{space}{fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or_default()
}

/// `words` as text: harmless, and with no markup in it. An at sign is set as code, because it would call somebody.
fn text(words: &str) -> String {
    let harmless = safe::neutralise(words, false);
    let mut escaped = String::with_capacity(harmless.len());
    let mut before = ' ';
    let mut rest = harmless.chars().peekable();
    while let Some(character) = rest.next() {
        let after = rest.peek().copied().unwrap_or(' ');
        let is_markup = match character {
            // Between letters it is part of a name, everywhere else it may begin emphasis.
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            // What would make a link by itself.
            ':' => after == '/',
            '.' => escaped.to_ascii_lowercase().ends_with("www"),
            other => MARKUP.contains(&other),
        };
        match character {
            '@' => escaped.push_str("`@`"),
            _ if is_markup => escaped.extend(['\\', character]),
            _ => escaped.push(character),
        }
        before = character;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_of_others_stays_text() {
        assert_eq!(text("<script>alert(1)</script>"), "\\<script\\>alert(1)\\</script\\>");
        assert_eq!(text("[a](javascript:b) ![c](d)"), "\\[a\\](javascript:b) \\!\\[c\\](d)");
        assert_eq!(
            text("see http://evil.example and WWW.evil.example"),
            "see http\\://evil.example and WWW\\.evil.example"
        );
        assert_eq!(text("**b** _c_ HYBRID_EX | `x`"), "\\*\\*b\\*\\* \\_c\\_ HYBRID_EX \\| \\`x\\`");
        assert_eq!(text("a\n# b\u{202e}"), "a\\\\n\\# b\\\\u{202e}");
        assert_eq!(text("cookie @admins"), "cookie `@`admins");
    }

    #[test]
    fn code_ends_where_it_ends() {
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`a"), "`` `a``".replace("`a``", "`a ``"));
        let mut page = String::new();
        code_block(&mut page, "", &["echo ```\n# x".to_owned()]);
        assert_eq!(page, "````\necho ```\\n# x\n````\n\n");
    }
}
