//! What somebody reads who is sent a bundle.

use super::{MANIFEST_PATH, Manifest, counted};
use std::collections::BTreeMap;

/// Its place in the bundle.
pub(super) const PATH: &str = "README.txt";

/// The text.
pub(super) fn text(manifest: &Manifest, has_report: bool) -> String {
    let mut text = format!("A bundle of rdpscope {}, made {}.\n\n", manifest.rdpscope, manifest.created);
    if has_report {
        text.push_str(
            "Begin with report.html: any browser shows it, it needs no network and runs no script.\n",
        );
    }
    text.push_str(&format!(
        "{MANIFEST_PATH} has the SHA-256 of every file; \"rdpscope bundle --verify FILE.zip\" holds them against it.\n\n"
    ));
    if !manifest.probes.is_empty() {
        text.push_str("PROBES\n");
    }
    for probe in &manifest.probes {
        let verdict = verdict(&probe.verdict, &probe.confidence, "no verdict");
        text.push_str(&format!("  {}  {}  {}  {verdict}\n", probe.folder, probe.started, probe.target));
    }
    if !manifest.sessions.is_empty() {
        text.push_str("SESSIONS\n");
    }
    for session in &manifest.sessions {
        let none = match &session.settings {
            // The trace of a whole experiment has the factor and no arm.
            settings if settings.contains_key("vary") && !settings.contains_key("arm") => {
                "an experiment without a conclusion"
            }
            _ => "no verdict",
        };
        let verdict = verdict(&session.verdict, &session.confidence, none);
        text.push_str(&format!("  {}  {}  {}  {verdict}\n", session.folder, session.started, session.target));
    }
    text.push_str("\nWHAT WAS REPLACED\n");
    text.push_str(&replaced(manifest));
    text.push_str("\nWHAT IS NOT IN IT\n");
    text.push_str(
        "  Passwords, tickets, cookies that log on, keys, typed input and screens are in no trace of rdpscope.\n",
    );
    for left_out in &manifest.redaction.left_out {
        text.push_str(&format!("  {}: {}.\n", left_out.what, left_out.why));
    }
    text
}

fn verdict(verdict: &Option<String>, confidence: &Option<String>, none: &str) -> String {
    match (verdict, confidence) {
        (Some(verdict), Some(confidence)) => format!("{verdict} ({confidence})"),
        _ => none.to_owned(),
    }
}

fn replaced(manifest: &Manifest) -> String {
    let redaction = &manifest.redaction;
    let mut text = String::new();
    let mut by_kind: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for pseudonym in &redaction.pseudonyms {
        let (names, times) = by_kind.entry(&pseudonym.kind).or_default();
        *names += 1;
        *times += pseudonym.times;
    }
    for (kind, (names, times)) in by_kind {
        let (names, times) = (counted(names, "pseudonym"), counted(times, "time"));
        text.push_str(&format!("  {kind}: {names}, put in {times}\n"));
    }
    if !redaction.kept.is_empty() {
        text.push_str(&format!("  kept as they are: {}\n", redaction.kept.join(", ")));
    }
    text.push_str(
        "  A pseudonym is as long as its name and the same in every bundle of the machine that made it; its first letter\n  \
         tells what it stands for: u a user, d a domain, h a host, o an organisation. Addresses are of the ranges\n  \
         198.18.0.0/15 and 2001:db8::/32. Certificates have pseudonyms in them, too: their signatures no longer fit.\n",
    );
    if redaction.contains_secrets {
        text.push_str(
            "  THE TLS SECRETS ARE IN THE CAPTURES: whoever has this file reads everything, passwords too.\n",
        );
    }
    for found in &redaction.still_found {
        text.push_str(&format!(
            "  {} still holds a name, {}: look before you send it\n",
            found.path, found.pseudonym
        ));
    }
    text
}
