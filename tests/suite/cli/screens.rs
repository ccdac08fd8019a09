//! What people read, kept as snapshots.

use super::*;

#[test]
fn the_help() {
    let ran = run(&["--help"]);
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
    insta::assert_snapshot!(ran.stdout);
}

#[test]
fn the_help_of_proxy() {
    let ran = run(&["proxy", "--help"]);
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
    insta::assert_snapshot!(ran.stdout);
}

#[test]
fn the_help_of_run() {
    let ran = run(&["run", "--help"]);
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
    insta::assert_snapshot!(ran.stdout);
}

#[test]
fn the_help_of_rdp() {
    for words in [&["rdp"][..], &["rdp", "new"], &["rdp", "lint"], &["rdp", "retarget"], &["rdp", "settings"]]
    {
        let ran = run(&[words, &["--help"]].concat());
        assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
        insta::assert_snapshot!(format!("the_help_of_{}", words.join("_")), ran.stdout);
    }
}

#[test]
fn the_demo() {
    let mut command = program();
    command.arg("demo");
    for locale in ["LC_ALL", "LC_CTYPE", "LANG"] {
        command.env_remove(locale);
    }
    let ran = run_command(command);
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("VERDICT    certificate-expired (likely)"), "{}", ran.stdout);
    assert!(ran.stderr.contains("0x904"), "{}", ran.stderr);
    insta::assert_snapshot!(paragraphs(&format!("{}\n----\n{}", ran.stderr, ran.stdout)));
}

#[test]
fn the_demo_for_programs() {
    let ran = run(&["demo", "--json", "-q"]);
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
    let verdicts = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let verdicts: Vec<Value> = verdicts.filter(|line| line["type"] == "verdict").collect();
    let ids: Vec<&str> = verdicts.iter().filter_map(|verdict| verdict["id"].as_str()).collect();
    assert_eq!((ids.first(), ids.last()), (Some(&"certificate-expired"), Some(&"healthy")), "{}", ran.stdout);
    let proven =
        verdicts.iter().find(|verdict| verdict["confidence"] == "confirmed" && verdict["id"] != "healthy");
    assert_eq!(proven.expect("the experiment proves something")["id"], "certificate-expired");
    let experiment = ran.stdout.lines().find(|line| line.contains(r#""type":"experiment""#));
    let experiment: Value = serde_json::from_str(experiment.expect("there is one")).expect("JSON");
    assert_eq!(experiment["conclusion"]["effect"], "cause", "{experiment}");
    assert_eq!(experiment["conclusion"]["guilty"], "dates", "{experiment}");
}

/// Indented so far, a line goes on with the one above it.
const CONTINUES: &str = "           ";

/// The text without what differs from run to run: times and their bars, ports, thumbprints, sizes, and where a line
/// that has them is wrapped.
fn paragraphs(text: &str) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    for line in text.lines() {
        match paragraphs.last_mut() {
            Some(last) if line.starts_with(CONTINUES) => last.push_str(&format!(" {}", line.trim())),
            _ => paragraphs.push(line.to_owned()),
        }
    }
    paragraphs.iter().map(|paragraph| steady(paragraph)).collect::<Vec<_>>().join("\n")
}

fn steady(paragraph: &str) -> String {
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let mut kept: Vec<String> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let next = words.get(index + 1).copied().unwrap_or_default();
        let bare = word.trim_end_matches([',', ';', '.']);
        let is_number =
            !bare.is_empty() && bare.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
        let is_bar = word.chars().all(|letter| matches!(letter, '░' | '█'));
        let unit = next.trim_end_matches([',', ';', '.']);
        match *word {
            _ if is_bar && !matches!(next, "waiting" | "for") => {}
            "less" if next == "than" && words.get(index + 3).is_some_and(|unit| unit.starts_with("ms")) => {}
            "than" if index > 0 && words[index - 1] == "less" => {}
            _ if is_number && matches!(unit, "ms" | "s") => kept.push("N".to_owned()),
            _ if is_number && matches!(unit, "bytes" | "kB") => kept.push("N".to_owned()),
            _ if bare.parse::<jiff::civil::Date>().is_ok() => kept.push("DATE".to_owned()),
            _ => kept.push(thumbprints(&ports(word))),
        }
    }
    kept.join(" ")
}

fn ports(word: &str) -> String {
    let Some((before, after)) = word.split_once("127.0.0.1:") else { return word.to_owned() };
    let rest = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
    // The address that every user types is no accident of this run.
    if after.starts_with("13389") { word.to_owned() } else { format!("{before}127.0.0.1:PORT{rest}") }
}

/// Forty hexadecimal digits, in a word or as one.
fn thumbprints(word: &str) -> String {
    const DIGITS: usize = 40;
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let start = (0..word.len()).find(|&start| word.get(start..start + DIGITS).is_some_and(is_hex));
    match start {
        Some(start) => format!("{}THUMBPRINT{}", &word[..start], &word[start + DIGITS..]),
        None => word.to_owned(),
    }
}
