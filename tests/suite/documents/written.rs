//! What is written by hand: its links lead somewhere, and its commands are ones that the program takes.

use super::{files_in, read, root};
use crate::cli::run;
use std::path::Path;

/// Where documents are.
const FOLDERS: [&str; 7] =
    [".", "docs", "docs/causes", "examples", "packaging", "tests/bench", "tests/endurance"];

/// What is no single command line: the rest is left to the reader, or to a shell.
const LEFT_OPEN: [&str; 4] = ["…", "...", "|", ">"];

fn documents() -> Vec<String> {
    let documents: Vec<String> = FOLDERS.iter().flat_map(|folder| files_in(folder, ".md")).collect();
    assert!(documents.len() > 60, "{} documents", documents.len());
    documents
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    let mut followed = 0;
    for document in documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().map(Path::to_path_buf).unwrap_or_default();
        for target in targets(&text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            let path = if file.is_empty() { document.clone().into() } else { folder.join(file) };
            let is_there = root().join(&path).exists();
            if !is_there || !anchor.is_empty() && !has_heading(&read(&path.to_string_lossy()), anchor) {
                broken.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(followed > 100, "{followed} links");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What stands in `](…)`, and in `src="…"`.
fn targets(text: &str) -> Vec<&str> {
    let of = |open: &'static str, close: char| {
        let mut parts = text.split(open);
        parts.next();
        parts.filter_map(move |part| part.split_once(close).map(|(target, _)| target))
    };
    of("](", ')').chain(of("src=\"", '"')).collect()
}

fn has_heading(text: &str, anchor: &str) -> bool {
    let of_heading = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept =
            title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>()
    };
    text.lines().filter(|line| line.starts_with('#')).any(|line| of_heading(line) == anchor)
}

#[test]
fn commands_are_ones_that_the_program_takes() {
    let mut refused = Vec::new();
    let mut commands: Vec<(String, String)> = Vec::new();
    // The changelog tells of forms, and of what once was.
    for document in documents().into_iter().filter(|document| !document.ends_with("CHANGELOG.md")) {
        let text = read(&document);
        for command in commands_of(&text) {
            if !commands.iter().any(|(_, known)| *known == command) {
                commands.push((document.clone(), command));
            }
        }
    }
    assert!(commands.len() > 60, "{} commands", commands.len());
    for (document, command) in commands {
        let words = shlex::split(&command).unwrap_or_else(|| panic!("{document}: {command}"));
        let mut words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        // What stands before it is judged first, and nothing is done.
        words.push("--help");
        if run(&words).exit_code != Some(0) {
            refused.push(format!("{document}: {command}"));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// Command lines in blocks, and those in running text that say more than the program's name and a word.
fn commands_of(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        let bare = line.trim_start();
        if bare.starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            commands.extend(command(bare.trim_start_matches("$ ")));
        } else {
            commands.extend(line.split('`').skip(1).step_by(2).filter_map(command));
        }
    }
    commands
}

fn command(text: &str) -> Option<String> {
    let text = text.split("  #").next().unwrap_or_default().split(" # ").next().unwrap_or_default().trim();
    let is_one = text.starts_with("rdpscope ") && !LEFT_OPEN.iter().any(|open| text.contains(open));
    (is_one && !text.contains("  ")).then(|| text.to_owned())
}

/// The sizes of pictures in the README, so that it loads where the network is what fails.
#[test]
fn pictures_are_small() {
    const LARGEST: u64 = 300 * 1024;
    let pictures: Vec<String> =
        [".png", ".svg"].iter().flat_map(|kind| files_in("docs/pictures", kind)).collect();
    assert!(pictures.len() >= 3, "{pictures:?}");
    for picture in pictures {
        let size = std::fs::metadata(root().join(&picture)).expect("it is there").len();
        assert!(size < LARGEST, "{picture} has {size} bytes");
    }
}

/// The picture of a verdict is drawn from what the program printed: it prints that today.
#[test]
fn the_picture_of_a_verdict_is_what_the_program_prints() {
    const COLUMNS: usize = 100;
    let mut command = crate::support::rdpscope::program();
    command.current_dir(root()).args(["report", "examples/traces/certificate-expired.jsonl"]);
    let ran = crate::cli::run_command(command);
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    let letters: Vec<Vec<char>> = ran.stdout.lines().map(|line| line.chars().collect()).collect();
    let printed: Vec<String> = letters
        .iter()
        .flat_map(|line| match line.is_empty() {
            true => vec![String::new()],
            false => line.chunks(COLUMNS).map(|part| part.iter().collect()).collect(),
        })
        .collect();
    let picture = read("docs/pictures/verdict.svg");
    let rows = picture.lines().filter_map(|line| line.strip_prefix("<text ")?.split_once('>'));
    let drawn: Vec<String> = rows.map(|(_, row)| words_of(row)).collect();
    let [prompt, empty, drawn @ ..] = &drawn[..] else { panic!("{drawn:?}") };
    assert_eq!((&prompt[..], &empty[..]), ("$ rdpscope report session.jsonl", ""));
    assert_eq!(drawn, printed, "docs/pictures/make draws it anew");
}

/// A row of the picture without its tags.
fn words_of(row: &str) -> String {
    let mut pieces = row.split('<');
    let first = pieces.next().unwrap_or_default().to_owned();
    let text = pieces.filter_map(|piece| piece.split_once('>')).fold(first, |text, (_, piece)| text + piece);
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&amp;", "&")]
        .into_iter()
        .fold(text, |text, (escape, letter)| text.replace(escape, letter))
}
