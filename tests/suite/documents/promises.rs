//! Every promise in `docs/never.md`, `docs/threat-model.md` and `docs/robustness.md` names the tests that hold it, and they are there.

use super::{read, root};

/// Documents whose lines make promises.
const PROMISING: [&str; 3] = ["docs/never.md", "docs/threat-model.md", "docs/robustness.md"];

#[test]
fn each_promise_names_tests_that_exist() {
    let mut missing = Vec::new();
    for document in PROMISING {
        let text = read(document);
        let promises: Vec<&str> = text.lines().filter(|line| is_promise(line)).collect();
        assert!(promises.len() >= 8, "{document}: {} promises", promises.len());
        for promise in promises {
            let tests: Vec<(&str, &str)> = spans(promise).filter_map(|span| span.split_once("::")).collect();
            assert!(!tests.is_empty(), "{document}: nothing holds: {promise}");
            let is_there = |(file, name): &(&str, &str)| {
                let source = std::fs::read_to_string(root().join(file)).unwrap_or_default();
                source.contains(&format!("fn {name}("))
            };
            let lost = tests.into_iter().filter(|test| !is_there(test));
            missing.extend(lost.map(|(file, name)| format!("{file}::{name}")));
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// A row of a table, apart from its head.
fn is_promise(line: &str) -> bool {
    line.starts_with("| ") && !line.contains("| held by |")
}

/// What stands between backticks.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}
