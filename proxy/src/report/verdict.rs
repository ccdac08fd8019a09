//! The end of a session: the answer, why, what to do.

use super::layout::{Look, Page};
use super::{Style, time};
use crate::trace::{Finding, Fix, Verdict, VerdictId, Where};

/// Columns before the words; the headings stand in them.
pub(super) const INDENT: usize = 11;
/// Causes that are named as ruled out; the others are counted, except with `-v`.
const RULED_OUT_SHOWN: usize = 3;

/// A verdict and what belongs to it.
pub(super) struct Conclusion<'a> {
    pub(super) verdict: &'a Verdict,
    pub(super) findings: &'a [Finding],
    /// Where the trace is.
    pub(super) trace: Option<&'a str>,
    /// The name of the capture beside it.
    pub(super) capture: Option<&'a str>,
    /// The session's number, where others are live.
    pub(super) session: Option<&'a str>,
}

impl Conclusion<'_> {
    /// Its lines, without a line end at the end.
    pub(super) fn text(&self, style: &Style) -> String {
        let mut block = Block::new(style);
        self.answer(&mut block);
        if self.verdict.id != VerdictId::Healthy {
            self.why(&mut block);
            self.what_to_do(&mut block);
            self.what_else(&mut block);
        }
        let findings = self.findings.iter().map(|finding| format!("{}: {}", finding.phase, finding.text));
        block.list("note", findings);
        if let Some(trace) = self.trace {
            block.item("trace", Look::Heading, trace);
            if let Some(file) = self.capture {
                let path = std::path::Path::new(trace).join(file);
                block.item("capture", Look::Heading, &path.display().to_string());
            }
        }
        block.page.finish().unwrap_or_default()
    }

    fn answer(&self, block: &mut Block<'_>) {
        let Verdict { id, confidence, summary, .. } = self.verdict;
        let session = self.session.map(|number| format!("#{number} ")).unwrap_or_default();
        let look = if self.verdict.is_good() { Look::Good } else { Look::Bad };
        block.item("VERDICT", look, &format!("{session}{id} ({confidence}): {summary}"));
    }

    fn why(&self, block: &mut Block<'_>) {
        for (place, evidence) in self.verdict.evidence.iter().enumerate() {
            let heading = block.heading(if place == 0 { "why" } else { "" }, Look::Heading);
            let time = format!("{:>7}  ", time::short(evidence.t_us));
            block.page.beside(&format!("{heading}{time}"), INDENT + time.len(), &evidence.text);
        }
    }

    fn what_to_do(&self, block: &mut Block<'_>) {
        block.fixes(&self.verdict.fix);
        if !self.verdict.next.is_empty() {
            block.item("next", Look::Heading, "to know more, run:");
        }
        for command in &self.verdict.next {
            block.page.whole(INDENT + 2, command);
        }
    }

    fn what_else(&self, block: &mut Block<'_>) {
        let fits =
            self.verdict.alternatives.iter().map(|other| format!("{} ({})", other.id, other.confidence));
        let fits: Vec<String> = fits.collect();
        if !fits.is_empty() {
            block.item("also fits", Look::Heading, &fits.join(", "));
        }
        let ruled_out = &self.verdict.ruled_out;
        let shown = if block.style.verbose > 0 { ruled_out.len() } else { RULED_OUT_SHOWN };
        let mut names: Vec<String> = ruled_out.iter().take(shown).map(ToString::to_string).collect();
        if ruled_out.len() > names.len() {
            names.push(format!("{} more (-v)", ruled_out.len() - names.len()));
        }
        if !names.is_empty() {
            block.item("ruled out", Look::Heading, &names.join(", "));
        }
    }
}

/// Texts beside headings.
pub(super) struct Block<'a> {
    pub(super) page: Page<'a>,
    style: &'a Style,
}

impl<'a> Block<'a> {
    pub(super) fn new(style: &'a Style) -> Block<'a> {
        Block { page: Page::new(style, ""), style }
    }

    fn heading(&self, heading: &str, look: Look) -> String {
        self.style.paint(look, &format!("{heading:<INDENT$}"))
    }

    /// `text` beside `heading`.
    pub(super) fn item(&mut self, heading: &str, look: Look, text: &str) {
        self.page.beside(&self.heading(heading, look), INDENT, text);
    }

    /// What mends it.
    pub(super) fn fixes(&mut self, fixes: &[Fix]) {
        for (place, fix) in fixes.iter().enumerate() {
            self.item(if place == 0 { "fix" } else { "" }, Look::Heading, &instruction(fix));
            if let Some(command) = &fix.command {
                self.page.whole(INDENT + 2, command);
            }
        }
    }

    /// The heading before the first only.
    pub(super) fn list(&mut self, heading: &str, texts: impl Iterator<Item = String>) {
        for (place, text) in texts.enumerate() {
            self.item(if place == 0 { heading } else { "" }, Look::Heading, &text);
        }
    }
}

fn instruction(fix: &Fix) -> String {
    format!("{}: {}", place(fix.place), fix.text)
}

/// Where a fix is to be made, in words.
pub(super) fn place(place: Where) -> &'static str {
    match place {
        Where::Server => "on the server",
        Where::Client => "on the client",
        Where::Network => "in the network",
        Where::Gateway => "on the gateway",
    }
}
