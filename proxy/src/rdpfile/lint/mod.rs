//! What is wrong with a profile, what that leads to, and what to do.

mod addresses;
mod encoding;
mod gateway;
mod lines;
mod security;
mod signature;
mod values;

use super::profile::Profile;
use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The profile does not work, or not as it reads.
    Error,
    /// It leads to failures that are known, or contradicts itself.
    Warning,
    /// Good to know where something fails.
    Note,
}

impl Severity {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// Something about a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The number of its line, from 1; `None` where it is about the whole file.
    pub line: Option<usize>,
    /// The setting, in lower case; `None` where it is about none.
    pub key: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// The rule.
    pub id: &'static str,
    /// What is so, and what follows.
    pub text: String,
    /// What to do; `None` where nothing has to be done.
    pub fix: Option<String>,
}

/// Everything about `profile` that is worth a line, in the order of its lines. No secret stands in it.
pub fn lint(profile: &Profile) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    encoding::check(profile, &mut findings);
    lines::check(profile, &mut findings);
    values::check(profile, &mut findings);
    addresses::check(profile, &mut findings);
    gateway::check(profile, &mut findings);
    security::check(profile, &mut findings);
    signature::check(profile, &mut findings);
    findings.0.sort_by_key(|finding| (finding.line, finding.severity));
    findings.0
}

/// Where rules put what they find. A fix that is empty is none.
struct Findings(Vec<Finding>);

impl Findings {
    /// About the whole file.
    fn file(
        &mut self,
        severity: Severity,
        id: &'static str,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.push(Finding { line: None, key: None, severity, id, text: text.into(), fix: Some(fix.into()) });
    }

    /// About the line with this index.
    fn line(
        &mut self,
        severity: Severity,
        id: &'static str,
        index: usize,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let line = Some(index + 1);
        self.push(Finding { line, key: None, severity, id, text: text.into(), fix: Some(fix.into()) });
    }

    /// About the setting `key` on the line with this index.
    fn setting(
        &mut self,
        severity: Severity,
        id: &'static str,
        (index, key): (usize, &str),
        text: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (line, key) = (Some(index + 1), Some(key.to_lowercase()));
        self.push(Finding { line, key, severity, id, text: text.into(), fix: Some(fix.into()) });
    }

    fn push(&mut self, mut finding: Finding) {
        finding.fix = finding.fix.filter(|fix| !fix.is_empty());
        self.0.push(finding);
    }
}

/// The last setting called `name`: the index of its line with the name, and its value without spaces around it; `None`
/// where it is missing or empty.
fn given<'a>(profile: &'a Profile, name: &'a str) -> Option<((usize, &'a str), &'a str)> {
    let (index, setting) = profile.last(name)?;
    let value = setting.value.trim();
    (!value.is_empty()).then_some(((index, name), value))
}

#[cfg(test)]
mod tests;
