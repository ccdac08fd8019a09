//! Lines: whether each is a setting, is known, and stands there once.

use super::super::keys;
use super::super::profile::{Line, Profile, Setting};
use super::super::shown::quoted;
use super::Findings;
use super::Severity::{Error, Note, Warning};
use std::collections::BTreeMap;

/// Lines without a setting that are told one by one.
const MOST_TOLD: usize = 20;
/// Parameters of FreeRDP may stand in a profile, one a line.
const FREERDP_PARAMETER: char = '/';

pub(super) fn check(profile: &Profile, findings: &mut Findings) {
    if profile.settings().next().is_none() {
        findings.file(
            Error,
            "no-profile",
            match profile.lines().is_empty() {
                true => "the file is empty",
                false => "the file has no line of the form name:type:value: it is no profile",
            },
            "name the .rdp file, or make one: rdpscope rdp new TARGET -o FILE.rdp",
        );
        return;
    }
    without_setting(profile, findings);
    for (index, setting) in profile.settings() {
        name(index, &setting, findings);
        spaces(&profile.lines()[index], index, &setting, findings);
    }
    duplicates(profile, findings);
}

fn without_setting(profile: &Profile, findings: &mut Findings) {
    let lines = profile.lines().iter().enumerate();
    let lines = lines.filter(|(_, line)| line.setting().is_none() && !line.text.trim().is_empty());
    for (index, line) in lines.take(MOST_TOLD) {
        if line.text.starts_with(FREERDP_PARAMETER) {
            findings.line(Note, "no-setting", index, "only FreeRDP reads parameters in a profile", "");
            continue;
        }
        findings.line(
            Warning,
            "no-setting",
            index,
            // What it says may be the end of a password's line that somebody's mail program has wrapped.
            format!(
                "its {} characters are not of the form name:type:value, and clients skip it",
                line.text.chars().count()
            ),
            "take it out, or write for example full address:s:srv10",
        );
    }
}

fn name(index: usize, setting: &Setting<'_>, findings: &mut Findings) {
    if keys::find(setting.key).is_some() {
        return;
    }
    let at = (index, setting.key);
    match keys::nearest(setting.key) {
        Some(near) => findings.setting(
            Warning,
            "unknown-setting",
            at,
            format!(
                "{} is no setting that clients know, and they skip it; {:?} is one: {}",
                quoted(setting.key),
                near.name,
                near.meaning
            ),
            format!("write {}:{}:VALUE", near.name, near.kind.letter()),
        ),
        None => findings.setting(
            Note,
            "unknown-setting",
            at,
            format!(
                "{} is no setting that is known here; clients skip what they do not know",
                quoted(setting.key)
            ),
            "",
        ),
    }
}

fn spaces(line: &Line, index: usize, setting: &Setting<'_>, findings: &mut Findings) {
    if line.text.split(':').next().is_some_and(|key| key != key.trim()) {
        findings.setting(
            Error,
            "spaces-around-name",
            (index, setting.key),
            "spaces stand around the name: FreeRDP does not know it then, and skips the line",
            format!("write {}:{}:VALUE", setting.key.escape_debug(), setting.kind.trim().escape_debug()),
        );
    }
}

fn duplicates(profile: &Profile, findings: &mut Findings) {
    let mut by_name: BTreeMap<String, Vec<(usize, &str)>> = BTreeMap::new();
    for (index, setting) in profile.settings() {
        by_name.entry(setting.key.to_lowercase()).or_default().push((index, setting.value.trim()));
    }
    for (name, places) in &by_name {
        let [(first, _), .., (last, value)] = places[..] else { continue };
        let is_same = places.iter().all(|(_, other)| *other == value);
        let numbers: Vec<String> = places.iter().map(|(index, _)| (index + 1).to_string()).collect();
        let numbers = numbers.join(", ");
        match is_same {
            true => findings.setting(
                Note,
                "duplicate-setting",
                (last, name),
                format!("{} stands on the lines {numbers} with the same value", quoted(name)),
                "keep one of them",
            ),
            false => findings.setting(
                Warning,
                "duplicate-setting",
                (last, name),
                format!(
                    "{} stands on the lines {numbers} with different values: FreeRDP takes the last, on line {}, \
                     and no document says which one mstsc takes",
                    quoted(name),
                    last + 1
                ),
                format!("keep the one that is meant; line {} is the first", first + 1),
            ),
        }
    }
}
