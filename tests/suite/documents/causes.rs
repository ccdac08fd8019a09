//! A page for each cause, from the catalogue by which it is found and from the fault lab in which it is made.

use super::{Files, assert_kept, files_in};
use crate::fault_lab;
use rdpscope::diagnose::cause::{Cause, Explained, GROUPS, Group, Trial, explained};
use rdpscope::trace::{Fix, Where};
use std::fmt::Write;

const FOLDER: &str = "docs/causes";
const MADE: &str = "<!-- Made from the program's catalogue of causes; do not edit. -->\n";

/// How a remedy begins that only looks.
const LOOKS: [&str; 9] =
    ["See ", "Read ", "Look ", "Compare ", "Check ", "Count ", "Capture ", "Write down ", "Find "];

fn causes() -> impl Iterator<Item = &'static Cause> {
    GROUPS.iter().flat_map(|group| group.causes)
}

#[test]
fn the_pages_of_causes_are_those_of_the_catalogue() {
    let mut files: Files = causes().map(|cause| (path(cause), page(cause))).collect();
    files.insert(format!("{FOLDER}/README.md"), index());
    assert_kept(&files);
    let known: Vec<String> = files.into_keys().collect();
    assert_eq!(files_in(FOLDER, ".md"), known, "a page that stands for no cause");
}

/// What a page says of proof on the wire is what the fault lab shows.
#[test]
fn a_cause_that_the_lab_confirms_says_what_proves_it() {
    let mut confirmed = 0;
    for cause in causes() {
        let wanted = format!("{}, confirmed", cause.id);
        let is_confirmed = |told: &str| told.split("; ").any(|verdict| verdict == wanted);
        if fault_lab::rows_of(cause.id).any(|(.., told)| told.into_iter().any(is_confirmed)) {
            confirmed += 1;
            assert!(
                cause.proof.is_some(),
                "{} was confirmed, and its page says that nothing proves it",
                cause.id
            );
        }
    }
    assert!(confirmed > 30, "{confirmed} causes are confirmed in the lab");
}

fn path(cause: &Cause) -> String {
    format!("{FOLDER}/{}.md", cause.id)
}

fn page(cause: &Cause) -> String {
    let told = explained(cause);
    let mut page = format!("{MADE}# {}\n\n**{}.**\n\n", told.id, told.title);
    line(&mut page, &format!("- **The user sees:** {}", told.user_sees));
    line(&mut page, &format!("- **rdpscope sees:** {}", told.wire));
    line(&mut page, &format!("- `rdpscope explain {}` prints this page in the terminal.", told.id));
    proof(&mut page, &told);
    list(&mut page, "What rules it out", &told.ruled_out_where, "Any one of these is enough:");
    commands(&mut page, "Commands that tell more", &told.next);
    fixes(&mut page, &told.fix);
    if !told.beliefs.is_empty() {
        line(&mut page, "\n## Often believed, and wrong\n");
        for wrong in told.beliefs {
            line(&mut page, &format!("- *\"{}\"*: {}.", wrong.claim, wrong.truth));
        }
    }
    list(&mut page, "What rdpscope has to see before it says so", &told.needs, "One of:");
    lab(&mut page, cause);
    line(&mut page, "\n[All causes](README.md)");
    page
}

fn proof(page: &mut String, told: &Explained) {
    line(page, "\n## What proves it\n");
    let on_the_wire = match told.proof {
        Some(proof) => format!("- **On the wire:** {proof}. The verdict is *confirmed* then."),
        None => "- **On the wire:** nothing does; from one session alone the verdict is at most *likely*."
            .to_owned(),
    };
    line(page, &on_the_wire);
    if let Some(Trial { command, proves, refutes }) = told.trial {
        line(page, "- **By experiment:**\n");
        line(page, &format!("  ```sh\n  {command}\n  ```\n"));
        line(page, &format!("  - for it: {proves}\n  - against it: {refutes}"));
    }
}

fn list(page: &mut String, title: &str, items: &[&str], before: &str) {
    if !items.is_empty() {
        line(page, &format!("\n## {title}\n\n{before}\n"));
        items.iter().for_each(|item| line(page, &format!("- {item}")));
    }
}

fn commands(page: &mut String, title: &str, commands: &[String]) {
    if !commands.is_empty() {
        line(page, &format!("\n## {title}\n\n```sh\n{}\n```", commands.join("\n")));
    }
}

fn fixes(page: &mut String, fixes: &[Fix]) {
    if fixes.is_empty() {
        return;
    }
    line(page, "\n## What mends it");
    for (place, title) in [
        (Where::Server, "On the server"),
        (Where::Client, "On the client"),
        (Where::Gateway, "On the gateway"),
        (Where::Network, "In the network"),
    ] {
        let mut here = fixes.iter().filter(|fix| fix.place == place).peekable();
        if here.peek().is_some() {
            line(page, &format!("\n### {title}\n"));
        }
        for fix in here {
            line(page, &format!("- {}", fix.text));
            fix.command.iter().for_each(|command| {
                line(page, &format!("\n  ```powershell\n  {command}\n  ```\n"));
            });
        }
    }
    while page.ends_with("\n\n") {
        page.pop();
    }
}

fn lab(page: &mut String, cause: &Cause) {
    let mut rows = fault_lab::rows_of(cause.id).peekable();
    if rows.peek().is_none() {
        return;
    }
    line(page, "\n## Tested with\n\nThe fault is made, and has to come out as is shown:\n");
    line(page, "| fault | made by | from proxy | from probe | from a capture |\n|---|---|---|---|---|");
    for (fault, made_by, told) in rows {
        line(page, &format!("| {fault} | {made_by} | {} |", told.join(" | ")));
    }
}

fn index() -> String {
    let mut page = format!("{MADE}# Why it fails: every cause\n\n");
    line(
        &mut page,
        "`0x904 / 0x7` says only that a socket was closed. What you suspect is in the first column, how to know whether it is \
         true in the others. Nothing here has to be guessed: `rdpscope probe HOST` and `rdpscope proxy HOST` find out which \
         line is yours, and `rdpscope explain ID` prints its page.",
    );
    for group in GROUPS {
        line(&mut page, &format!("\n## {}\n", group.title));
        table(&mut page, group);
    }
    page
}

fn table(page: &mut String, group: &Group) {
    line(
        page,
        "| guess | rdpscope sees | experiment | confirmed by | ruled out where | fix |\n|---|---|---|---|---|---|",
    );
    for cause in group.causes {
        let told = explained(cause);
        let trial = told.trial;
        let cells = [
            format!("[{}]({}.md): {}", told.id, told.id, told.title),
            told.wire.trim_end_matches('.').to_owned(),
            trial.map_or("–".to_owned(), |trial| format!("`{}`", trial.command)),
            told.proof.or(trial.map(|trial| trial.proves)).unwrap_or("–").to_owned(),
            told.ruled_out_where
                .first()
                .copied()
                .or(trial.map(|trial| trial.refutes))
                .unwrap_or("–")
                .to_owned(),
            brief(&told.fix),
        ];
        line(page, &format!("| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
}

/// The first thing to do that does more than look, or else the first.
fn brief(fixes: &[Fix]) -> String {
    let acts = |fix: &&Fix| !LOOKS.iter().any(|look| fix.text.starts_with(look));
    let first = fixes.iter().find(acts).or(fixes.first());
    first.map_or("–".to_owned(), |fix| fix.text.trim_end_matches('.').to_owned())
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("writing to a string");
}
