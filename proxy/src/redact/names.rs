//! The names that are to be replaced, and by what.

use super::pseudonym::PseudonymKey;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Who logs on.
    User,
    /// A domain of Windows or of DNS.
    Domain,
    /// A machine.
    Host,
    /// A company or a certificate authority.
    Organisation,
    /// An IP address.
    Address,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 5] = [Kind::User, Kind::Domain, Kind::Host, Kind::Organisation, Kind::Address];

    /// The word for several of them, as `--keep` takes it.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::User => "users",
            Kind::Domain => "domains",
            Kind::Host => "hosts",
            Kind::Organisation => "organisations",
            Kind::Address => "addresses",
        }
    }

    /// What its pseudonyms begin with.
    pub(super) fn letter(self) -> char {
        match self {
            Kind::User => 'u',
            Kind::Domain => 'd',
            Kind::Host => 'h',
            Kind::Organisation => 'o',
            Kind::Address => 'a',
        }
    }
}

/// The kinds that are left as they are.
pub type Keep = BTreeSet<Kind>;

/// Words that stand in every report whatever it is of. A name that is one of them is replaced where a field holds it and
/// inside longer names, not where the word stands alone in a sentence.
const COMMON_WORDS: [&str; 64] = [
    "active",
    "admin",
    "administrator",
    "administrators",
    "alert",
    "authority",
    "ca",
    "cert",
    "certificate",
    "client",
    "close",
    "code",
    "connection",
    "credssp",
    "data",
    "default",
    "desktop",
    "domain",
    "error",
    "failed",
    "gateway",
    "guest",
    "handshake",
    "host",
    "http",
    "https",
    "kdc",
    "kerberos",
    "lab",
    "licensing",
    "local",
    "machine",
    "microsoft",
    "name",
    "network",
    "nla",
    "none",
    "ntlm",
    "office",
    "offline",
    "phase",
    "proxy",
    "rdp",
    "rdpscope",
    "remote",
    "root",
    "security",
    "server",
    "service",
    "session",
    "ssl",
    "system",
    "tcp",
    "test",
    "time",
    "tls",
    "trace",
    "tunnel",
    "udp",
    "user",
    "users",
    "websocket",
    "windows",
    "workgroup",
];

/// Ends of DNS names that tell nothing about their owner.
const COMMON_ENDS: [&str; 12] = [
    "arpa",
    "example",
    "home",
    "info",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "test",
];

/// The shortest name that is looked for in sentences and bytes: shorter ones are parts of many words.
const SHORTEST_ALONE: usize = 3;

/// A name and what it is replaced by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) kind: Kind,
    pub(super) pseudonym: String,
}

/// Every name that was learnt.
pub struct Names {
    key: PseudonymKey,
    keep: Keep,
    /// By the name in lower case.
    words: BTreeMap<String, Name>,
    /// Names of several labels, in lower case.
    dotted: BTreeSet<String>,
    addresses: BTreeMap<IpAddr, IpAddr>,
    taken: BTreeSet<String>,
    taken_addresses: BTreeSet<IpAddr>,
}

impl Names {
    /// No names yet.
    pub fn new(key: PseudonymKey, keep: Keep) -> Names {
        Names {
            key,
            keep,
            words: BTreeMap::new(),
            dotted: BTreeSet::new(),
            addresses: BTreeMap::new(),
            taken: BTreeSet::new(),
            taken_addresses: BTreeSet::new(),
        }
    }

    /// The key that they are made with.
    pub fn key(&self) -> &PseudonymKey {
        &self.key
    }

    /// Whether this kind is left as it is.
    pub fn keeps(&self, kind: Kind) -> bool {
        self.keep.contains(&kind)
    }

    /// One word: a label, a user's name, a company's.
    pub(super) fn learn_word(&mut self, kind: Kind, word: &str) {
        let lower = word.trim().to_lowercase();
        let is_known = self.words.contains_key(&lower);
        if lower.is_empty() || is_known || self.keeps(kind) || is_nobodys(&lower) {
            return;
        }
        let mut attempts = (0..u32::MAX).map(|attempt| self.key.word(kind, &lower, attempt));
        // Of a name with one or two characters there are fewer pseudonyms than names: then two may share one.
        let enough = lower.chars().count() >= SHORTEST_ALONE;
        let pseudonym = attempts.find(|word| !enough || !(self.taken.contains(word) || *word == lower));
        if let Some(pseudonym) = pseudonym {
            self.taken.insert(pseudonym.clone());
            self.words.insert(lower, Name { kind, pseudonym });
        }
    }

    /// A name of labels: the first is of `kind`, the others are domains, a last one that everybody has is left.
    pub(super) fn learn_dotted(&mut self, kind: Kind, name: &str) {
        let labels: Vec<&str> = name.trim().trim_end_matches('.').split('.').collect();
        let [first, rest @ ..] = labels.as_slice() else { return };
        if rest.is_empty() {
            return self.learn_word(kind, first);
        }
        if *first != "*" {
            self.learn_word(kind, first);
        }
        for (place, label) in rest.iter().enumerate() {
            let is_common_end = place + 1 == rest.len() && is_common_end(label);
            if !is_common_end {
                self.learn_word(Kind::Domain, label);
            }
        }
        self.dotted.insert(labels.join(".").to_lowercase());
    }

    /// An address; of this machine itself, of nobody and of everybody are no secret.
    pub(super) fn learn_address(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        let is_nobodys = address.is_loopback() || address.is_unspecified() || address.is_multicast();
        if is_nobodys || self.keeps(Kind::Address) || self.addresses.contains_key(&address) {
            return;
        }
        let mut attempts = (0..u32::MAX).map(|attempt| self.key.address(address, attempt));
        if let Some(pseudonym) = attempts.find(|pseudonym| !self.taken_addresses.contains(pseudonym)) {
            self.taken_addresses.insert(pseudonym);
            self.addresses.insert(address, pseudonym);
        }
    }

    /// What stands for this address; an address that was not learnt stays.
    pub fn address(&self, address: IpAddr) -> IpAddr {
        self.addresses.get(&address.to_canonical()).copied().unwrap_or(address)
    }

    /// The addresses and what stands for them.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        self.addresses.iter().map(|(address, pseudonym)| (*address, *pseudonym))
    }

    /// The pseudonym of one word.
    pub(super) fn word(&self, word: &str) -> Option<&Name> {
        self.words.get(&word.to_lowercase())
    }

    /// A name with each of its labels replaced; what was not learnt stays.
    pub(super) fn dotted(&self, name: &str) -> String {
        let label =
            |label: &str| self.word(label).map_or_else(|| label.to_owned(), |name| name.pseudonym.clone());
        name.split('.').map(label).collect::<Vec<_>>().join(".")
    }

    /// What is looked for in sentences and bytes, each with its replacement: words that stand for themselves and names of
    /// several labels.
    pub(super) fn patterns(&self) -> Vec<Pattern> {
        let alone = self.words.iter().filter(|(word, _)| stands_alone(word));
        let words = alone.map(|(word, name)| Pattern {
            kind: name.kind,
            name: word.clone(),
            pseudonym: name.pseudonym.clone(),
        });
        let dotted = self.dotted.iter().map(|name| (name, self.dotted(name)));
        let dotted = dotted.filter(|(name, pseudonym)| *name != pseudonym);
        words
            .chain(dotted.map(|(name, pseudonym)| Pattern {
                kind: Kind::Host,
                name: name.clone(),
                pseudonym,
            }))
            .collect()
    }

    /// The names that are too short or too common to be looked for, by their pseudonyms.
    pub fn not_looked_for(&self) -> impl Iterator<Item = (Kind, &str)> {
        let words = self.words.iter().filter(|(word, _)| !stands_alone(word));
        words.map(|(_, name)| (name.kind, name.pseudonym.as_str()))
    }
}

/// One thing to look for; both in lower case and of the same length in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) pseudonym: String,
}

fn is_common_end(label: &str) -> bool {
    let is_short = label.len() <= 3 && label.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_short || COMMON_ENDS.contains(&label.to_lowercase().as_str())
}

/// Whether the name tells nothing about anybody.
fn is_nobodys(lower: &str) -> bool {
    lower == "localhost"
        || lower == "*"
        || lower.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_punctuation())
}

fn stands_alone(lower: &str) -> bool {
    lower.chars().count() >= SHORTEST_ALONE && !COMMON_WORDS.contains(&lower)
}
