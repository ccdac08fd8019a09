//! The bytes of the file: encodings, line ends, zeros.

use super::super::encoding::{Damage, Encoding};
use super::super::profile::{Ending, Profile};
use super::Findings;
use super::Severity::{Error, Note, Warning};

/// What clients read without a doubt.
const SAVE_AS: &str = "save it as UTF-16 LE, which mstsc writes itself and Notepad calls so in \"Save as\"";

pub(super) fn check(profile: &Profile, findings: &mut Findings) {
    encoding(profile, findings);
    damage(profile, findings);
    zeros(profile, findings);
    line_ends(profile, findings);
}

fn encoding(profile: &Profile, findings: &mut Findings) {
    let encoding = profile.encoding();
    let has_other_letters = profile.lines().iter().any(|line| !line.text.is_ascii());
    let why = match encoding {
        Encoding::Utf16Little { mark: true } => return,
        Encoding::Utf8 { mark: false } if !has_other_letters => return,
        Encoding::Utf8 { mark: false } => {
            "it has letters outside of ASCII, which a reader on Windows may take for its code page"
        }
        Encoding::Utf8 { mark: true } => {
            "FreeRDP takes the mark for a part of the first setting's name and does not know that then"
        }
        Encoding::Utf16Little { mark: false } => {
            "without the mark readers have to guess it; FreeRDP reads nothing of the file"
        }
        Encoding::Utf16Big { .. } => {
            "clients of Windows write the other byte order; FreeRDP reads nothing of the file"
        }
        Encoding::Latin => "which letters its bytes stand for depends on the machine that reads it",
    };
    findings.file(Warning, "encoding", format!("the file is in {encoding}: {why}"), SAVE_AS);
}

fn damage(profile: &Profile, findings: &mut Findings) {
    let encoding = profile.encoding();
    for (index, line) in profile.lines().iter().enumerate() {
        let Some(damage) = line.damage else { continue };
        let what = match damage {
            Damage::NotUtf8 => "has bytes that are no UTF-8",
            Damage::LoneSurrogate => "has half a character",
            Damage::OddByte => "ends within a character: the file has an odd number of bytes",
        };
        let text = format!("the file is in {encoding}, and this line {what}");
        findings.line(Error, "broken-text", index, text, format!("write the line again, and {SAVE_AS}"));
    }
}

fn zeros(profile: &Profile, findings: &mut Findings) {
    let mut lines = profile.lines().iter().enumerate().filter(|(_, line)| line.text.contains('\0'));
    let Some((index, _)) = lines.next() else { return };
    let others = match lines.count() {
        0 => String::new(),
        count => format!(", and so have {count} more"),
    };
    findings.line(
        Error,
        "zero-bytes",
        index,
        format!("this line has zero bytes in it{others}: FreeRDP reads nothing that stands after them"),
        format!("write these lines again, and {SAVE_AS}"),
    );
}

fn line_ends(profile: &Profile, findings: &mut Findings) {
    let count = |ending| profile.lines().iter().filter(|line| line.ending == ending).count();
    let (both, feed, carriage) = (count(Ending::CrLf), count(Ending::Lf), count(Ending::Cr));
    if carriage > 0 {
        findings.file(
            Warning,
            "line-ends",
            format!("{carriage} lines end with CR alone, which many readers take for one line with the next"),
            "end every line with CR LF",
        );
    } else if both > 0 && feed > 0 {
        findings.file(
            Note,
            "line-ends",
            format!("{both} lines end with CR LF and {feed} with LF alone: somebody edited it elsewhere"),
            "end every line with CR LF",
        );
    }
}
