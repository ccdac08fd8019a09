//! Replaces names wherever they stand.

use super::names::{Kind, Names, Pattern};
use aho_corasick::{AhoCorasick, AhoCorasickBuilder, Match, MatchKind};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The shortest name of which the last look is sure: shorter ones are found in other words, in base64 and in keys.
const SHORTEST_CERTAIN: usize = 5;

/// The shortest name that is replaced in bytes whatever stands beside it: tags and lengths of binary formats look like
/// letters and digits.
const SHORTEST_INSIDE: usize = 4;

/// How often each pseudonym was put in.
pub type Replaced = BTreeMap<(Kind, String), u64>;

/// How characters stand in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// ASCII, UTF-8 and the like: whatever ASCII is in one byte a character.
    Bytes,
    /// UTF-16, little-endian: most of RDP and NTLM.
    Utf16Little,
    /// UTF-16, big-endian: BMPString of certificates.
    Utf16Big,
}

impl Encoding {
    const ALL: [Encoding; 3] = [Encoding::Bytes, Encoding::Utf16Little, Encoding::Utf16Big];

    fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Encoding::Bytes => text.as_bytes().to_vec(),
            Encoding::Utf16Little => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Encoding::Utf16Big => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }
}

/// What a pattern in bytes stands for.
struct Target {
    kind: Kind,
    encoding: Encoding,
    pseudonym: String,
    /// In its encoding.
    bytes: Vec<u8>,
    /// Its characters.
    length: usize,
}

/// Replaces the names that were learnt.
pub struct Redactor {
    names: Names,
    text: AhoCorasick,
    text_patterns: Vec<Pattern>,
    bytes: AhoCorasick,
    byte_targets: Vec<Target>,
    replaced: Replaced,
}

impl Redactor {
    /// A redactor for what was learnt.
    pub fn new(names: Names) -> Redactor {
        let mut text_patterns = names.patterns();
        let addresses = names.addresses();
        text_patterns.extend(addresses.map(|(address, pseudonym)| Pattern {
            kind: Kind::Address,
            name: address.to_string(),
            pseudonym: pseudonym.to_string(),
        }));
        let mut patterns = Vec::new();
        let mut byte_targets = Vec::new();
        for pattern in &text_patterns {
            // An address is not always as long as its pseudonym.
            let pseudonym = fitted(pattern);
            for encoding in Encoding::ALL {
                let bytes = encoding.encode(&pseudonym);
                let searched = encoding.encode(&pattern.name);
                if bytes.len() == searched.len() {
                    let (kind, length) = (pattern.kind, pattern.name.chars().count());
                    let pseudonym = pattern.pseudonym.clone();
                    byte_targets.push(Target { kind, encoding, pseudonym, bytes, length });
                    patterns.push(searched);
                }
            }
        }
        let text = searcher(text_patterns.iter().map(|pattern| pattern.name.as_bytes()));
        let bytes = searcher(patterns.iter().map(Vec::as_slice));
        Redactor { names, text, text_patterns, bytes, byte_targets, replaced: Replaced::new() }
    }

    /// What was learnt.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How often each pseudonym was put in so far.
    pub fn replaced(&self) -> &Replaced {
        &self.replaced
    }

    /// An address as it is to be shown.
    pub fn address(&mut self, address: IpAddr) -> IpAddr {
        let pseudonym = self.names.address(address);
        if pseudonym != address {
            *self.replaced.entry((Kind::Address, pseudonym.to_string())).or_default() += 1;
        }
        pseudonym
    }

    /// A sentence, or anything else that may hold names.
    pub fn text(&mut self, text: &str) -> String {
        let candidates = self.text.find_overlapping_iter(text).filter(|found| {
            let before = text[..found.start()].chars().next_back();
            let after = text[found.end()..].chars().next();
            !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
        });
        let mut redacted = String::with_capacity(text.len());
        let mut rest = 0;
        for found in apart(candidates) {
            let pattern = &self.text_patterns[found.pattern().as_usize()];
            redacted.push_str(&text[rest..found.start()]);
            redacted.push_str(&in_case_of(&text[found.range()], &pattern.pseudonym));
            rest = found.end();
            *self.replaced.entry((pattern.kind, pattern.pseudonym.clone())).or_default() += 1;
        }
        redacted.push_str(&text[rest..]);
        redacted
    }

    /// A field that is known to be a name: also one that is too short or too common to be looked for elsewhere.
    pub fn name(&mut self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        for piece in text.split_inclusive(|character: char| !is_of_a_word(character)) {
            let word = piece.trim_end_matches(|character: char| !is_of_a_word(character));
            match self.names.word(word) {
                Some(name) => {
                    redacted.push_str(&in_case_of(word, &name.pseudonym));
                    redacted.push_str(&piece[word.len()..]);
                    *self.replaced.entry((name.kind, name.pseudonym.clone())).or_default() += 1;
                }
                None => redacted.push_str(piece),
            }
        }
        self.text(&redacted)
    }

    /// Bytes in which names may stand in any encoding; their number stays.
    pub fn bytes(&mut self, bytes: &mut [u8]) {
        let candidates = self.bytes.find_overlapping_iter(&*bytes).filter(|found| {
            let target = &self.byte_targets[found.pattern().as_usize()];
            target.length >= SHORTEST_INSIDE
                || stands_apart(bytes, found.start(), found.end(), target.encoding)
        });
        for found in apart(candidates) {
            let target = &self.byte_targets[found.pattern().as_usize()];
            bytes[found.range()].copy_from_slice(&target.bytes);
            *self.replaced.entry((target.kind, target.pseudonym.clone())).or_default() += 1;
        }
    }

    /// Pseudonyms whose names are still found in `bytes`, even inside longer words: the last look at a finished file.
    pub fn remaining(&self, bytes: &[u8]) -> Vec<&str> {
        let certain = |index: usize| self.byte_targets[index].length >= SHORTEST_CERTAIN;
        let found = self.bytes.find_overlapping_iter(bytes).map(|found| found.pattern().as_usize());
        let mut found: Vec<usize> = found.filter(|index| certain(*index)).collect();
        found.sort_unstable();
        found.dedup();
        let mut pseudonyms: Vec<&str> =
            found.into_iter().map(|index| self.byte_targets[index].pseudonym.as_str()).collect();
        pseudonyms.dedup();
        pseudonyms
    }
}

/// Of matches that overlap the first, and of those that begin at one place the longest.
fn apart(candidates: impl Iterator<Item = Match>) -> Vec<Match> {
    let mut found: Vec<Match> = candidates.collect();
    found.sort_by_key(|found| (found.start(), std::cmp::Reverse(found.end())));
    let mut free_from = 0;
    found.retain(|found| {
        let is_free = found.start() >= free_from;
        if is_free {
            free_from = found.end();
        }
        is_free
    });
    found
}

fn searcher<'a>(patterns: impl Iterator<Item = &'a [u8]>) -> AhoCorasick {
    let mut builder = AhoCorasickBuilder::new();
    builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard);
    // It fails where there are more states than 32 bits can number: names of gigabytes.
    builder.build(patterns).unwrap_or_else(|_| AhoCorasick::new::<_, &str>([]).expect("nothing to look for"))
}

/// The pseudonym at the length of the name: an address of another length keeps its punctuation alone.
fn fitted(pattern: &Pattern) -> String {
    if pattern.kind != Kind::Address || pattern.pseudonym.len() == pattern.name.len() {
        return pattern.pseudonym.clone();
    }
    let masked = |character: char| if character.is_ascii_hexdigit() { 'x' } else { character };
    pattern.name.chars().map(masked).collect()
}

/// In capitals where the name stood in capitals.
fn in_case_of(name: &str, pseudonym: &str) -> String {
    let has_capital = name.chars().any(char::is_uppercase);
    if has_capital && !name.chars().any(char::is_lowercase) {
        pseudonym.to_uppercase()
    } else {
        pseudonym.to_owned()
    }
}

/// Of what names consist: anything else separates the labels and the user from the domain.
fn is_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_' | '$')
}

/// Whether neither neighbour belongs to the same word.
fn stands_apart(bytes: &[u8], start: usize, end: usize, encoding: Encoding) -> bool {
    let unit = |place: Option<usize>| {
        let place = place?;
        match encoding {
            Encoding::Bytes => bytes.get(place).copied().map(u16::from),
            Encoding::Utf16Little => Some(u16::from_le_bytes([*bytes.get(place)?, *bytes.get(place + 1)?])),
            Encoding::Utf16Big => Some(u16::from_be_bytes([*bytes.get(place)?, *bytes.get(place + 1)?])),
        }
    };
    let width = if encoding == Encoding::Bytes { 1 } else { 2 };
    let belongs = |unit: Option<u16>| {
        unit.and_then(|unit| u8::try_from(unit).ok()).is_some_and(|byte| byte.is_ascii_alphanumeric())
    };
    !belongs(unit(start.checked_sub(width))) && !belongs(unit(Some(end)))
}
