//! The sources of the repository, with comments and literals told from code.

use std::path::{Path, PathBuf};

/// One source file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    /// Whether it is only compiled for tests.
    pub(crate) is_test: bool,
    text: String,
    /// The text with comments, literals and test modules blanked; as many lines, and bytes, as `text`.
    code: String,
    test_lines: usize,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust file below `folder`.
pub(crate) fn below(folder: &str) -> Vec<Source> {
    let mut sources: Vec<Source> = rust_files(&root().join(folder)).iter().map(|file| read(file)).collect();
    let tests: Vec<String> = sources.iter().flat_map(test_files).collect();
    for source in &mut sources {
        source.is_test = tests.iter().any(|test| source.path.starts_with(test.as_str()));
    }
    sources
}

/// The manifests of the workspace.
pub(crate) fn manifests() -> Vec<Source> {
    ["Cargo.toml", "proxy/Cargo.toml", "certs/Cargo.toml"].map(|file| read(&root().join(file))).into()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry is read").path()) {
        if path.is_dir() && path.file_name() != Some("target".as_ref()) {
            files.extend(rust_files(&path));
        } else if path.extension() == Some("rs".as_ref()) {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(file: &Path) -> Source {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let path = file.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
    let mut code = blank(&text);
    let test_lines = blank_test_modules(&mut code);
    Source { path, is_test: false, text, code, test_lines }
}

impl Source {
    /// The module of the crate `rdpscope` that it belongs to.
    pub(crate) fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("proxy/src/")?;
        inside.split('/').next().map(|name| name.trim_end_matches(".rs"))
    }

    /// Where code outside of tests has `word`, not as a part of a longer word.
    pub(crate) fn find_in_code(&self, word: &str) -> Vec<String> {
        self.find(&self.code, word)
    }

    /// Where anything has `word`, comments and literals too.
    pub(crate) fn find_in_text(&self, word: &str) -> Vec<String> {
        self.find(&self.text, word)
    }

    fn find(&self, text: &str, word: &str) -> Vec<String> {
        let starts_word = word.starts_with(is_word);
        let ends_word = word.ends_with(is_word);
        let stands_alone = |at: usize| {
            let before = text[..at].ends_with(is_word);
            let after = text[at + word.len()..].starts_with(is_word);
            (!starts_word || !before) && (!ends_word || !after)
        };
        text.match_indices(word)
            .filter(|(at, _)| stands_alone(*at))
            .map(|(at, _)| format!("{}:{}: {word}", self.path, line_of(text, at)))
            .collect()
    }

    /// The modules of its own crate that its code names, with their lines.
    pub(crate) fn uses_of_crate(&self) -> Vec<(usize, String)> {
        let mut uses = Vec::new();
        for (at, prefix) in self.code.match_indices("crate::") {
            let rest = &self.code[at + prefix.len()..];
            for name in first_names(rest) {
                uses.push((line_of(&self.code, at), name));
            }
        }
        uses
    }

    /// Its lines, those of its test modules not counted.
    pub(crate) fn lines_without_tests(&self) -> usize {
        self.text.lines().count() - self.test_lines
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The name, or the names in braces, at the start of a path.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names) = (0, vec![name(group)]);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Blanks comments and the contents of literals.
fn blank(text: &str) -> String {
    let mut blanked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let previous_is_word = blanked.ends_with(is_word);
        let length = match character {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => string_length(rest),
            'r' if !previous_is_word || blanked.ends_with('b') => raw_string_length(rest).unwrap_or(0),
            '\'' => char_length(rest).unwrap_or(0),
            _ => 0,
        };
        if length == 0 {
            blanked.push(character);
            rest = &rest[character.len_utf8()..];
            continue;
        }
        blanked.extend(rest[..length].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        rest = &rest[length..];
    }
    blanked
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

fn raw_string_length(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|character| *character == '#').count();
    let start = 1 + hashes;
    text[start..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    text[start + 1..].find(&end).map(|at| start + 1 + at + end.len())
}

/// A character's length; a lifetime is none.
fn char_length(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    match characters.next()? {
        (_, '\\') => text[3..].find('\'').map(|at| 3 + at + 1),
        _ => characters.next().filter(|(_, character)| *character == '\'').map(|(at, _)| at + 1),
    }
}

const TEST_ATTRIBUTES: [&str; 2] = ["#[cfg(test)]", "#[cfg(all(test"];

/// Where an item for tests begins, and the text from its `mod` on.
fn test_modules(code: &str) -> impl Iterator<Item = (usize, &str)> {
    TEST_ATTRIBUTES.iter().flat_map(|attribute| code.match_indices(attribute)).filter_map(|(at, _)| {
        let item = code[at..].find('\n')? + at;
        let item = code[item..].trim_start();
        let item = item.strip_prefix("pub(crate) ").unwrap_or(item);
        Some((at, item.strip_prefix("mod ")?))
    })
}

/// Blanks test modules that stand in the file, and answers with their lines.
fn blank_test_modules(code: &mut String) -> usize {
    let mut lines = 0;
    let ranges: Vec<(usize, usize)> = test_modules(code)
        .filter_map(|(at, item)| {
            let open = item.find(['{', ';']).filter(|open| item[*open..].starts_with('{'))?;
            let start = code.len() - code[at..].len();
            let item_start = item.as_ptr() as usize - code.as_ptr() as usize;
            Some((start, item_start + open + block_length(&item[open..])))
        })
        .collect();
    for (start, end) in ranges {
        let blanked: String =
            code[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
        lines += blanked.matches('\n').count() + 1;
        code.replace_range(start..end, &blanked);
    }
    lines
}

fn block_length(block: &str) -> usize {
    let mut depth = 0;
    for (at, character) in block.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    block.len()
}

/// The paths, without their ends, of files that a source declares for tests only.
fn test_files(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let folder = match stem.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => folder,
        _ => stem,
    };
    let declared = test_modules(&source.code).filter_map(|(_, item)| {
        let (name, _) = item.split_once(';')?;
        name.chars().all(is_word).then(|| format!("{folder}/{name}"))
    });
    declared.flat_map(|path| [format!("{path}.rs"), format!("{path}/")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_literals_and_tests_are_no_code() {
        let text = concat!(
            "use crate::wire::{a, b};\n/// dbg!\nfn f<'a>() { g(\"todo! \\\" {\", '\"', r#\"x\"y\"#) } // unsafe\n",
            "#[cfg(test)]\nmod tests {\n    fn t() { dbg!(1) }\n}\nuse crate::{trace, observe::{x, y}, certs};\n",
        );
        let mut code = blank(text);
        assert_eq!(code.len(), text.len());
        assert!(code.contains("dbg!") && !code.contains("todo!") && !code.contains("unsafe"));
        assert!(code.contains("fn f<'a>() { g("));
        assert_eq!(blank_test_modules(&mut code), 4);
        assert!(!code.contains("dbg!"));
        let source =
            Source { path: "x.rs".to_owned(), is_test: false, text: text.to_owned(), code, test_lines: 4 };
        let names: Vec<(usize, String)> = source.uses_of_crate();
        let expected = [(1, "wire"), (8, "trace"), (8, "observe"), (8, "certs")];
        assert_eq!(names, expected.map(|(line, name)| (line, name.to_owned())));
        assert_eq!(source.find_in_text("unsafe"), ["x.rs:3: unsafe"]);
        assert_eq!(source.lines_without_tests(), 4);
    }
}
