//! The targets of a run as users name them: names, addresses, prefixes, ranges, and lines of files.

use crate::relay::target::{RDP_PORT, Target, TargetError};
use ipnet::IpNet;
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Targets of one run: a whole /16. More is a scan of a network, not a question about a fleet, and its results would
/// not fit into memory side by side.
pub const MOST_TARGETS: u64 = 65_536;
/// Wrong targets that are told one by one; of a file that is no list of targets every line is wrong.
const MOST_TOLD: usize = 20;

/// Why a word names no targets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecificationError {
    /// Neither a name nor an address.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Digits and dots that are no address.
    #[error("target {0:?} is no IPv4 address; write four numbers from 0 to 255")]
    BadAddress(String),
    /// What clients take, and passwords among it: only its name is repeated.
    #[error("{0} is a switch of a client and no target")]
    Switch(String),
    /// A slash without an address or a length on its sides.
    #[error("{0:?} is no prefix; write 10.0.0.0/24, 10.0.0.0/24:PORT or [2001:db8::/120]:PORT")]
    BadPrefix(String),
    /// A range of addresses that has no end, or ends before it begins.
    #[error("{0:?} is no range; write 10.0.0.1-20 or 10.0.0.1-10.0.1.20, the lower address first")]
    BadRange(String),
    /// More addresses than a run may have.
    #[error("{specification:?} has more than {MOST_TARGETS} addresses; name a smaller part of it")]
    TooMany {
        /// As it was typed.
        specification: String,
    },
}

/// One thing that names no target, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTarget {
    /// The file and the number of the line; absent on the command line.
    pub place: Option<(String, usize)>,
    /// What is wrong.
    pub error: SpecificationError,
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some((file, line)) => write!(f, "line {line} of {file}: {}", self.error),
            None => self.error.fmt(f),
        }
    }
}

/// Why a run has no list of targets. Everything that is wrong is told at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetsError {
    /// Some of what was named is no target.
    Bad(Vec<BadTarget>),
    /// Each by itself is good, all together are too many.
    TooMany,
    /// Nothing was named.
    None,
}

impl fmt::Display for TargetsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetsError::None => f.write_str("no target was named; write HOST[:PORT], a range or @FILE"),
            TargetsError::TooMany => {
                write!(f, "more than {MOST_TARGETS} targets were named; divide them into several runs")
            }
            TargetsError::Bad(bad) => {
                if let [only] = &bad[..] {
                    return only.fmt(f);
                }
                write!(f, "{} of the targets make no sense, nothing was probed:", bad.len())?;
                bad.iter().take(MOST_TOLD).try_for_each(|bad| write!(f, "\n  {bad}"))?;
                if bad.len() > MOST_TOLD {
                    write!(f, "\n  and {} more", bad.len() - MOST_TOLD)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for TargetsError {}

/// Targets as they are collected, each once, in the order in which they were named.
#[derive(Debug, Default)]
pub struct Targets {
    targets: Vec<Target>,
    /// What is in `targets`, as it is compared.
    known: HashSet<(String, u16)>,
    repeated: usize,
    too_many: bool,
    bad: Vec<BadTarget>,
}

/// The targets of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// At least one.
    pub targets: Vec<Target>,
    /// How often one was named again.
    pub repeated: usize,
}

impl Targets {
    /// Adds what one word of the command line names.
    pub fn word(&mut self, word: &str) {
        self.add(word, None);
    }

    /// Adds the lines of a file called `file`: one target, prefix or range each; `#` begins a comment.
    pub fn lines(&mut self, file: &str, content: &str) {
        // Editors on Windows put the mark of byte order before everything else.
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        for (number, line) in (1..).zip(content.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                self.add(line, Some((file.to_owned(), number)));
            }
        }
    }

    /// The list, or everything that is wrong with it.
    pub fn finish(self) -> Result<Named, TargetsError> {
        if !self.bad.is_empty() {
            Err(TargetsError::Bad(self.bad))
        } else if self.too_many {
            Err(TargetsError::TooMany)
        } else if self.targets.is_empty() {
            Err(TargetsError::None)
        } else {
            Ok(Named { targets: self.targets, repeated: self.repeated })
        }
    }

    fn add(&mut self, specification: &str, place: Option<(String, usize)>) {
        match expand(specification) {
            Ok(targets) => targets.into_iter().for_each(|target| self.push(target)),
            Err(error) => self.bad.push(BadTarget { place, error }),
        }
    }

    fn push(&mut self, target: Target) {
        // Names are the same in capitals, addresses in any spelling.
        let host = target.ip().map_or_else(|| target.host.to_lowercase(), |ip| ip.to_string());
        if self.known.contains(&(host.clone(), target.port)) {
            self.repeated += 1;
        } else if self.targets.len() as u64 == MOST_TARGETS {
            self.too_many = true;
        } else {
            self.known.insert((host, target.port));
            self.targets.push(target);
        }
    }
}

/// What one word names: a name, an address, `10.0.0.0/24`, `[2001:db8::/120]:3390`, `10.0.0.1-20`; the port after it
/// holds for all. A prefix stands for its hosts, without the addresses of network and broadcast.
///
/// # Errors
/// The word is none of these, or has more addresses than [`MOST_TARGETS`].
pub fn expand(specification: &str) -> Result<Vec<Target>, SpecificationError> {
    if specification.contains('@') {
        return Err(TargetError::Logon.into());
    }
    if specification.starts_with('/') {
        let switch = specification.split(':').next().unwrap_or_default();
        return Err(SpecificationError::Switch(switch.to_owned()));
    }
    if specification.contains('/') {
        return prefix(specification);
    }
    if let Some((first, last)) = specification.split_once('-')
        && let Ok(first) = first.parse::<Ipv4Addr>()
    {
        return range(specification, first, last);
    }
    let target: Target = specification.parse()?;
    let is_number = target.host.chars().all(|character| character.is_ascii_digit() || character == '.');
    if is_number && target.ip().is_none() {
        return Err(SpecificationError::BadAddress(specification.to_owned()));
    }
    Ok(vec![target])
}

fn prefix(specification: &str) -> Result<Vec<Target>, SpecificationError> {
    let bad = || SpecificationError::BadPrefix(specification.to_owned());
    let (network, port) = match specification.strip_prefix('[') {
        Some(rest) => {
            let (network, after) = rest.split_once(']').ok_or_else(bad)?;
            (network, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(bad)?) })
        }
        None => match specification.split_once('/') {
            // What follows an IPv6 address is part of it as long as there is no bracket.
            Some((address, length)) if !address.contains(':') && length.contains(':') => {
                let (network, port) = specification.rsplit_once(':').ok_or_else(bad)?;
                (network, Some(port))
            }
            _ => (specification, None),
        },
    };
    let network: IpNet = network.parse().map_err(|_| bad())?;
    let port = port_or_usual(specification, port)?;
    let host_bits = network.max_prefix_len() - network.prefix_len();
    if host_bits > MOST_TARGETS.ilog2() as u8 {
        return Err(SpecificationError::TooMany { specification: specification.to_owned() });
    }
    Ok(network.hosts().map(|ip| at(ip, port)).collect())
}

/// `last` is the last number of the last address, or all of it, with the port.
fn range(specification: &str, first: Ipv4Addr, last: &str) -> Result<Vec<Target>, SpecificationError> {
    let bad = || SpecificationError::BadRange(specification.to_owned());
    let (last, port) = last.split_once(':').map_or((last, None), |(last, port)| (last, Some(port)));
    let last = if last.contains('.') {
        last.parse::<Ipv4Addr>().map_err(|_| bad())?
    } else {
        let [a, b, c, _] = first.octets();
        Ipv4Addr::new(a, b, c, last.parse().map_err(|_| bad())?)
    };
    let port = port_or_usual(specification, port)?;
    let (first, last) = (u32::from(first), u32::from(last));
    let count = u64::from(last.checked_sub(first).ok_or_else(bad)?) + 1;
    if count > MOST_TARGETS {
        return Err(SpecificationError::TooMany { specification: specification.to_owned() });
    }
    Ok((first..=last).map(|number| at(Ipv4Addr::from(number).into(), port)).collect())
}

fn port_or_usual(specification: &str, port: Option<&str>) -> Result<u16, SpecificationError> {
    let Some(port) = port else { return Ok(RDP_PORT) };
    let port = port.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| TargetError::BadPort(specification.to_owned()).into())
}

fn at(ip: IpAddr, port: u16) -> Target {
    Target { host: ip.to_string(), port }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expanded(specification: &str) -> Vec<String> {
        let targets = expand(specification).unwrap_or_else(|error| panic!("{specification}: {error}"));
        targets.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_addresses_prefixes_and_ranges() {
        assert_eq!(expanded("srv-10"), ["srv-10:3389"]);
        assert_eq!(expanded("10-20.example:3390"), ["10-20.example:3390"]);
        assert_eq!(expanded("[2001:db8::1]:3390"), ["[2001:db8::1]:3390"]);
        assert_eq!(expanded("10.0.0.5/30"), ["10.0.0.5:3389", "10.0.0.6:3389"]);
        assert_eq!(expanded("10.0.0.0/31:3390"), ["10.0.0.0:3390", "10.0.0.1:3390"]);
        assert_eq!(expanded("10.0.0.7/32"), ["10.0.0.7:3389"]);
        assert_eq!(expanded("[2001:db8::4/127]:9"), ["[2001:db8::4]:9", "[2001:db8::5]:9"]);
        assert_eq!(expanded("2001:db8::4/128"), ["[2001:db8::4]:3389"]);
        assert_eq!(expanded("10.0.0.9-10"), ["10.0.0.9:3389", "10.0.0.10:3389"]);
        assert_eq!(expanded("10.0.0.255-10.0.1.0:9"), ["10.0.0.255:9", "10.0.1.0:9"]);
        assert_eq!(expanded("10.0.0.0/16").len(), 65_534);
    }

    #[test]
    fn what_names_nothing_is_refused_with_the_reason() {
        for (specification, said) in [
            ("10.0.0.300", "is no IPv4 address"),
            ("10.0.0", "is no IPv4 address"),
            ("a b", "a character that no host name has"),
            ("srv:0", "a number from 1 to 65535"),
            ("10.0.0.0/33", "is no prefix"),
            ("10.0.0.0/", "is no prefix"),
            ("http://srv10", "is no prefix"),
            ("[2001:db8::/120", "is no prefix"),
            ("[2001:db8::/120]3389", "is no prefix"),
            ("10.0.0.0/24:0", "a number from 1 to 65535"),
            ("10.0.0.0/24:rdp", "a number from 1 to 65535"),
            ("10.0.0.20-10", "the lower address first"),
            ("10.0.0.20-256", "is no range"),
            ("10.0.0.20-", "is no range"),
            ("10.0.0.1-20:99999", "a number from 1 to 65535"),
            ("10.0.0.0/15", "more than 65536 addresses"),
            ("2001:db8::/64", "more than 65536 addresses"),
            ("10.0.0.0-10.1.0.0", "more than 65536 addresses"),
        ] {
            let error = expand(specification).expect_err(specification).to_string();
            assert!(error.contains(said), "{specification}: {error}");
        }
    }

    #[test]
    fn a_file_has_blank_lines_comments_and_duplicates() {
        let mut targets = Targets::default();
        targets.word("srv01");
        targets.lines(
            "list",
            "\u{feff}# ours\r\nSRV01:3389\r\n\r\n  srv02  # the new one\r\n2001:DB8:0::1\n[2001:db8::1]\n",
        );
        let named = targets.finish().unwrap();
        let texts: Vec<String> = named.targets.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["srv01:3389", "srv02:3389", "[2001:DB8:0::1]:3389"]);
        assert_eq!(named.repeated, 2);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_line() {
        let mut targets = Targets::default();
        targets.word("a/b");
        targets.lines("list", "good\n\nsrv:0\n# fine\n\x1b[2J\n");
        let error = targets.finish().unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines[0], "3 of the targets make no sense, nothing was probed:");
        assert!(lines[1].contains("\"a/b\" is no prefix"), "{error}");
        assert!(lines[2].starts_with("  line 3 of list: target \"srv:0\""), "{error}");
        assert!(lines[3].starts_with("  line 5 of list: ") && !error.contains('\x1b'), "{error}");
    }

    #[test]
    fn a_file_that_is_no_list_does_not_fill_the_screen() {
        let mut targets = Targets::default();
        targets.lines("list", &"a b\n".repeat(1000));
        let error = targets.finish().unwrap_err().to_string();
        assert_eq!(error.lines().count(), MOST_TOLD + 2);
        assert!(error.ends_with("and 980 more"), "{error}");
    }

    #[test]
    fn too_many_and_none_are_refused() {
        assert_eq!(Targets::default().finish(), Err(TargetsError::None));
        let mut targets = Targets::default();
        targets.word("10.0.0.0/16");
        targets.word("10.1.0.0/29");
        assert!(matches!(targets.finish(), Err(TargetsError::TooMany)));
    }

    proptest! {
        #[test]
        fn any_word_is_understood_or_refused(word in "\\PC{0,40}") {
            let _ = expand(&word);
        }

        #[test]
        fn what_was_expanded_can_be_named_again(a in any::<u32>(), length in 22u8..=32, port in 1u16..) {
            let prefix = format!("{}/{length}:{port}", Ipv4Addr::from(a));
            for target in expand(&prefix).unwrap() {
                prop_assert_eq!(expand(&target.to_string()).unwrap(), vec![target]);
            }
        }
    }
}
