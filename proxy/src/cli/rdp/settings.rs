//! `rdpscope rdp settings [NAME…]`.

use super::arguments::SettingsArguments;
use super::registry;
use super::switches::{Present, SWITCHES, Switch, Whose};
use crate::cli::output::Output;
use crate::cli::{Exit, Failure};
use crate::report::{Style, wrap};
use serde::Serialize;

/// Columns in front of what stands beside a word.
const INDENT: usize = 13;

/// The line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "setting")]
struct Line {
    name: &'static str,
    key: String,
    value_type: &'static str,
    whose: Whose,
    meaning: &'static str,
    /// `null` where nothing is set, or where it cannot be known.
    present: Option<u32>,
    /// Whether `present` is known: on Windows, where the user may look.
    known: bool,
    present_words: String,
    query: String,
    trial: u32,
    set: String,
    /// `null` where the present value is not known.
    put_back: Option<String>,
}

pub(super) fn run(arguments: &SettingsArguments, output: &Output) -> Result<Exit, Failure> {
    let chosen: Vec<&Switch> = SWITCHES.iter().filter(|switch| is_chosen(switch, &arguments.names)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = SWITCHES.iter().map(|switch| switch.name).collect();
        return Err(Failure::usage(format!(
            "no switch has that in its name; there are {}",
            names.join(", ")
        )));
    }
    for (number, switch) in chosen.into_iter().enumerate() {
        let present = registry::present(switch);
        let gap = if number == 0 { "" } else { "\n" };
        output.result(&format!("{gap}{}", text(switch, &present, &output.style())));
        output.json_line(&line(switch, &present));
    }
    Ok(Exit::Healthy)
}

fn is_chosen(switch: &Switch, names: &[String]) -> bool {
    let own = switch.name.to_lowercase();
    names.is_empty() || names.iter().any(|name| own.contains(&name.to_lowercase()))
}

fn line(switch: &Switch, present: &Present) -> Line {
    let value = match present {
        Present::Value(value) => Some(*value),
        _ => None,
    };
    Line {
        name: switch.name,
        key: switch.key(),
        value_type: "REG_DWORD",
        whose: switch.whose,
        meaning: switch.meaning,
        present: value,
        known: matches!(present, Present::Value(_) | Present::Missing),
        present_words: present.to_string(),
        query: switch.query(),
        trial: switch.trial,
        set: switch.set(),
        put_back: switch.put_back(present),
    }
}

/// Everything for people.
fn text(switch: &Switch, present: &Present, style: &Style) -> String {
    let whose = match switch.whose {
        Whose::Client => "the client",
        Whose::Server => "the server",
        Whose::Gateway => "the gateway",
    };
    let mut text = format!("{}, looked at by {whose}\n", switch.name);
    beside(&mut text, "does", switch.meaning, style);
    beside(&mut text, "now", &present.to_string(), style);
    beside(&mut text, "asks", switch.purpose, style);
    // Lines to copy are never broken.
    whole(&mut text, "set", &switch.set());
    match switch.put_back(present) {
        Some(command) => whole(&mut text, "put back", &command),
        None => {
            whole(&mut text, "look first", &switch.query());
            beside(
                &mut text,
                "put back",
                "set it with the value that was there; where there was none:",
                style,
            );
            whole(&mut text, "", &switch.put_back(&Present::Missing).unwrap_or_default());
        }
    }
    text.trim_end().to_owned()
}

fn beside(text: &mut String, word: &str, words: &str, style: &Style) {
    for (number, line) in wrap(words, style.width.saturating_sub(INDENT)).iter().enumerate() {
        whole(text, if number == 0 { word } else { "" }, line);
    }
}

fn whole(text: &mut String, word: &str, line: &str) {
    *text += &format!("  {word:<width$}{line}\n", width = INDENT - 2);
}
