//! `HOST[:PORT]` as profiles name machines.

use std::fmt;
use std::net::Ipv6Addr;

/// A machine that a profile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port, where one is named.
    pub port: Option<u16>,
}

/// Why a value names no machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// Nothing in front of the port.
    #[error("names no machine")]
    Empty,
    /// `rdp://` or `https://` stands in front.
    #[error("is a URL, where a name or an address belongs")]
    Url,
    /// The port is none.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
    /// Colons or brackets that make no IPv6 address.
    #[error("has colons or brackets that make no IPv6 address")]
    Brackets,
    /// A character that no name has.
    #[error("has the character {0:?}, which no name and no address has")]
    Character(char),
}

impl Address {
    /// Reads a value without spaces around it.
    pub fn parse(text: &str) -> Result<Address, AddressFault> {
        if text.contains("://") {
            return Err(AddressFault::Url);
        }
        let (host, port) = split(text)?;
        if host.is_empty() {
            return Err(AddressFault::Empty);
        }
        if let Some(character) = host.chars().find(|it| !is_host_character(*it) && !is_ipv6(host)) {
            return Err(AddressFault::Character(character));
        }
        let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or(AddressFault::Port));
        Ok(Address { host: host.to_owned(), port: port.transpose()? })
    }

    /// Whether it may name the machine that `other` names, whatever the port: the same name, or the short form of it.
    pub fn is_same_host(&self, other: &Address) -> bool {
        let name = |address: &Address| address.host.trim_end_matches('.').to_lowercase();
        let (one, other) = (name(self), name(other));
        let is_short = |short: &str, long: &str| {
            long.strip_prefix(short).is_some_and(|domain| domain.starts_with('.')) && !short.contains('.')
        };
        one == other || is_short(&one, &other) || is_short(&other, &one)
    }

    /// Whether it is an IP address.
    pub fn is_ip(&self) -> bool {
        is_ipv6(&self.host) || self.host.parse::<std::net::Ipv4Addr>().is_ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (true, None) => write!(f, "[{}]", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (false, None) => f.write_str(&self.host),
        }
    }
}

/// An IPv6 address, with the zone of a link-local one.
fn is_ipv6(host: &str) -> bool {
    host.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        && host.chars().all(|it| is_host_character(it) || it == ':')
}

/// Letters of any script (names may be internationalised), digits, and what NetBIOS and zone ids add.
fn is_host_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '.' | '_' | '%')
}

fn split(text: &str) -> Result<(&str, Option<&str>), AddressFault> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(AddressFault::Brackets)?;
        return match (is_ipv6(host), after.strip_prefix(':')) {
            (true, Some(port)) => Ok((host, Some(port))),
            (true, None) if after.is_empty() => Ok((host, None)),
            _ => Err(AddressFault::Brackets),
        };
    }
    match text.matches(':').count() {
        0 => Ok((text, None)),
        1 => Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))),
        _ if is_ipv6(text) => Ok((text, None)),
        _ => Err(AddressFault::Brackets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_profiles_name() {
        let parsed = |text: &str| Address::parse(text).map(|address| address.to_string());
        for same in ["srv10", "srv10.corp.example:3390", "10.0.0.1", "[2001:db8::1]:3390", "[fe80::1%3]"] {
            assert_eq!(parsed(same), Ok(same.to_owned()));
        }
        assert_eq!(parsed("2001:db8::1"), Ok("[2001:db8::1]".to_owned()));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, fault) in [
            ("", AddressFault::Empty),
            (":3389", AddressFault::Empty),
            ("rdp://srv10", AddressFault::Url),
            ("srv10:70000", AddressFault::Port),
            ("srv10:0", AddressFault::Port),
            ("[srv10]:1", AddressFault::Brackets),
            ("a:b:c", AddressFault::Brackets),
            ("srv 10", AddressFault::Character(' ')),
            ("srv10/desktop", AddressFault::Character('/')),
        ] {
            assert_eq!(Address::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_name_is_the_same_with_its_last_dot_in_any_case_and_in_short() {
        let address = |text: &str| Address::parse(text).unwrap();
        assert!(address("SRV10.corp.example.:3390").is_same_host(&address("srv10.corp.example")));
        assert!(address("srv10").is_same_host(&address("SRV10.corp.example")));
        assert!(!address("srv1").is_same_host(&address("srv10")));
        assert!(!address("srv10.corp").is_same_host(&address("srv10.corp.example")));
    }
}
