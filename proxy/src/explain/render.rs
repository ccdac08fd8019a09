//! An explanation as text for a terminal and as a line of JSON.

use super::{Explanation, Family, Meaning, Reading};
use std::fmt::Write;

/// Text: first the answer, then why, then the causes in their order, then the commands; ends in a newline.
pub fn text(explanation: &Explanation) -> String {
    let mut out = String::new();
    match (&explanation.reading, explanation.meanings.as_slice()) {
        (Some(reading), meanings) => {
            with_reading(&mut out, explanation, reading);
            others(&mut out, meanings.get(1..).unwrap_or_default(), explanation);
        }
        (None, [first, rest @ ..]) => {
            with_meaning(&mut out, explanation, first);
            others(&mut out, rest, explanation);
        }
        (None, []) => {}
    }
    out
}

/// One line `{"type":"explanation",…}` without a newline.
pub fn json(explanation: &Explanation) -> String {
    serde_json::to_string(explanation).unwrap_or_default()
}

fn with_reading(out: &mut String, explanation: &Explanation, reading: &Reading) {
    let numbers = match &explanation.extended {
        Some(extended) => format!("{}, extended {}", short(explanation.decimal), short_hex(extended)),
        None => short(explanation.decimal),
    };
    line(out, &format!("{numbers}: {}.", reading.says));
    if !reading.but.is_empty() {
        line(out, &reading.but);
    }
    of_mstsc(out, explanation);
    understood(out, explanation);
    if reading.decide.is_empty() {
        if let Some(meaning) = explanation.meanings.first() {
            unsourced(out, meaning);
            causes(out, meaning.entry.causes);
        }
    } else {
        line(out, "\nWhere was it closed? That decides:");
        for (letter, step) in ('a'..).zip(reading.decide) {
            line(out, &format!("  ({letter}) {}\n      {}", step.seen, step.means));
        }
    }
    commands(out, &reading.next);
    if !reading.wrong_claims.is_empty() {
        line(out, "\nOften claimed, and wrong:");
        for wrong in reading.wrong_claims {
            line(out, &format!("  - \"{}\": {}", wrong.claim, wrong.truth));
        }
    }
}

fn with_meaning(out: &mut String, explanation: &Explanation, meaning: &Meaning) {
    line(out, &format!("{}: {}.", headline(meaning), meaning.entry.meaning));
    line(out, meaning.entry.note.unwrap_or(meaning.family.origin()));
    unsourced(out, meaning);
    of_mstsc(out, explanation);
    understood(out, explanation);
    causes(out, meaning.entry.causes);
    commands(out, &meaning.next);
}

fn unsourced(out: &mut String, meaning: &Meaning) {
    if !meaning.entry.documented {
        line(out, "This meaning is reported by users, not documented by Microsoft.");
    }
}

fn of_mstsc(out: &mut String, explanation: &Explanation) {
    if let Some(words) = &explanation.mstsc {
        line(out, &format!("mstsc itself says: {words}"));
    }
}

fn understood(out: &mut String, explanation: &Explanation) {
    if let Some(understood) = &explanation.understood {
        line(out, &format!("Note: {understood}."));
    }
}

fn causes(out: &mut String, causes: &[&str]) {
    line(out, "\nUsual causes, likeliest first:");
    for (number, cause) in (1..).zip(causes) {
        line(out, &format!("  {number}. {cause}"));
    }
}

fn commands(out: &mut String, commands: &[&str]) {
    line(out, "\nTo tell them apart:");
    for command in commands {
        line(out, &format!("  {command}"));
    }
}

/// The other meanings: of a pair its second number, of a bare number the other families.
fn others(out: &mut String, meanings: &[Meaning], explanation: &Explanation) {
    if meanings.is_empty() {
        return;
    }
    let of_a_pair = explanation.extended.is_some();
    line(
        out,
        if of_a_pair { "\nThe other number:" } else { "\nIt may also be (name the family to be sure):" },
    );
    for meaning in meanings {
        let (id, code) = (meaning.family.id(), meaning.entry.code);
        let reported = if meaning.entry.documented { "" } else { " (reported by users)" };
        let meaning = format!("{}: {}{reported}", headline(meaning), meaning.entry.meaning);
        line(out, &if of_a_pair { format!("  {meaning}") } else { format!("  {meaning}  [{id}:{code:#x}]") });
    }
}

fn headline(meaning: &Meaning) -> String {
    let entry = meaning.entry;
    let number = match meaning.family {
        Family::Tls | Family::X224 => entry.code.to_string(),
        _ => short(entry.code),
    };
    // A name of our own would look like one to search for.
    let name = if entry.documented { format!(" {}", entry.name) } else { String::new() };
    format!("{} {number}{name}", meaning.family.title())
}

/// Hex and decimal, as people quote it.
fn short(code: u32) -> String {
    format!("{code:#x} ({code})")
}

fn short_hex(padded: &str) -> String {
    let digits = padded.trim_start_matches("0x").trim_start_matches('0');
    format!("0x{}", if digits.is_empty() { "0" } else { digits })
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}
