//! Types and ranges of values.

use super::super::keys::{self, Key, Kind, Values};
use super::super::profile::{Profile, Setting};
use super::super::shown::quoted;
use super::Findings;
use super::Severity::{Error, Warning};

pub(super) fn check(profile: &Profile, findings: &mut Findings) {
    for (index, setting) in profile.settings() {
        let Some(key) = keys::find(setting.key) else {
            unknown_kind(index, &setting, findings);
            continue;
        };
        if !setting.kind.eq_ignore_ascii_case(key.kind.letter()) {
            wrong_kind(index, &setting, key, findings);
            continue;
        }
        match key.kind {
            Kind::Integer => integer(index, &setting, key, findings),
            Kind::Binary => binary(index, &setting, key, findings),
            Kind::Text => text(index, &setting, key, findings),
        }
    }
}

fn unknown_kind(index: usize, setting: &Setting<'_>, findings: &mut Findings) {
    if !["i", "s", "b"].iter().any(|kind| setting.kind.eq_ignore_ascii_case(kind)) {
        findings.setting(
            Warning,
            "unknown-type",
            (index, setting.key),
            format!("{} is no type: i is a number, s text, b bytes in hexadecimal", quoted(setting.kind)),
            "write name:type:value with one of them",
        );
    }
}

fn wrong_kind(index: usize, setting: &Setting<'_>, key: &Key, findings: &mut Findings) {
    let letter = key.kind.letter();
    findings.setting(
        Error,
        "wrong-type",
        (index, key.name),
        format!(
            "the type of {:?} is {letter}, and not {}: FreeRDP skips the line",
            key.name,
            quoted(setting.kind)
        ),
        match keys::is_secret(key.name) {
            true => format!("write {}:{letter}:VALUE", key.name),
            false => format!("write {}:{letter}:{}", key.name, setting.value.trim().escape_debug()),
        },
    );
}

fn integer(index: usize, setting: &Setting<'_>, key: &Key, findings: &mut Findings) {
    let value = setting.value.trim();
    let shown = quoted(value);
    let fault = match value.parse::<i64>() {
        Err(_) if value.is_empty() => "it is empty".to_owned(),
        Err(_) => format!("{shown} is no decimal number"),
        Ok(number) if !may_be(key.values, number) => format!("{number} is none of its values"),
        Ok(_) => return,
    };
    findings.setting(
        Error,
        "wrong-value",
        (index, key.name),
        format!("{fault}: {:?} says {}", key.name, key.meaning),
        format!("write {}", choices(key.values)),
    );
}

fn may_be(values: Values, number: i64) -> bool {
    match values {
        Values::Any => i32::try_from(number).is_ok() || u32::try_from(number).is_ok(),
        Values::Range(least, most) => (least..=most).contains(&number),
        Values::Named(names) => names.iter().any(|(value, _)| *value == number),
    }
}

fn choices(values: Values) -> String {
    match values {
        Values::Any => "a decimal number of 32 bits".to_owned(),
        Values::Range(least, most) => format!("a number from {least} to {most}"),
        Values::Named(names) => {
            let names: Vec<String> = names.iter().map(|(value, name)| format!("{value} ({name})")).collect();
            names.join(", ")
        }
    }
}

fn binary(index: usize, setting: &Setting<'_>, key: &Key, findings: &mut Findings) {
    let value = setting.value.trim();
    if hex::decode(value).is_err() {
        findings.setting(
            Error,
            "wrong-value",
            (index, key.name),
            format!("the value of {:?} is not bytes in hexadecimal: clients cannot read it", key.name),
            "take the line out",
        );
    }
}

/// Spaces that nobody sees: the address or name that is looked for has them.
fn text(index: usize, setting: &Setting<'_>, key: &Key, findings: &mut Findings) {
    let is_name = keys::HOSTS.contains(&key.name) || matches!(key.name, "username" | "domain");
    if is_name && setting.value != setting.value.trim() {
        findings.setting(
            Warning,
            "spaces",
            (index, key.name),
            format!("spaces stand around the value of {:?}, and may be taken for a part of it", key.name),
            format!("write {}:s:{}", key.name, setting.value.trim().escape_debug()),
        );
    }
}
