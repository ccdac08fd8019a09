//! Names that a certificate stands for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Longest DNS name (RFC 1035 2.3.4).
const MAXIMUM_DNS_LENGTH: usize = 253;

/// A DNS name, lower case and without the trailing dot, or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A host name of one or more labels; the first label may be `*`.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// Text that no certificate can carry as a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither a host name in ASCII nor an IP address")]
pub struct NameError {
    /// What was given.
    pub text: String,
}

impl Name {
    /// Whether a CA that is limited to `self` may sign for `other`: the same address, or the same name or one below
    /// it (RFC 5280 4.2.1.10).
    pub fn permits(&self, other: &Name) -> bool {
        match (self, other) {
            (Name::Ip(this), Name::Ip(other)) => this == other,
            (Name::Dns(_), Name::Dns(other)) => {
                let base = self.base();
                other == base || other.strip_suffix(base).is_some_and(|below| below.ends_with('.'))
            }
            _ => false,
        }
    }

    /// The name without a leading `*.`; an address has none.
    pub(crate) fn base(&self) -> &str {
        match self {
            Name::Dns(name) => name.strip_prefix("*.").unwrap_or(name),
            Name::Ip(_) => "",
        }
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        let unbracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = unbracketed.parse() {
            return Ok(Name::Ip(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let labels = name.strip_prefix("*.").unwrap_or(&name);
        if name.len() <= MAXIMUM_DNS_LENGTH && labels.split('.').all(is_label) {
            Ok(Name::Dns(name))
        } else {
            Err(NameError { text: text.to_owned() })
        }
    }
}

/// Letters, digits, hyphens, and the underscores that names of Windows machines may have.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Dns(name) => formatter.write_str(name),
            Name::Ip(address) => address.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_read() {
        assert_eq!(name("SRV10.Corp.Example."), Name::Dns("srv10.corp.example".to_owned()));
        assert_eq!(name("MY_PC-1"), Name::Dns("my_pc-1".to_owned()));
        assert_eq!(name("*.corp.example").to_string(), "*.corp.example");
        assert_eq!(name("[2001:db8::7]").to_string(), "2001:db8::7");
        for bad in ["", ".", "a..b", "a b", "rechner-ä", "a.*.b", "x\0y", &"a".repeat(64), &"a.".repeat(200)]
        {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert_eq!(
            "a b".parse::<Name>().unwrap_err().to_string(),
            r#""a b" is neither a host name in ASCII nor an IP address"#
        );
    }

    #[test]
    fn a_name_permits_itself_and_what_is_below() {
        assert!(name("corp.example").permits(&name("srv.corp.example")));
        assert!(name("*.corp.example").permits(&name("*.corp.example")));
        assert!(name("192.0.2.7").permits(&name("192.0.2.7")));
        assert!(!name("corp.example").permits(&name("mycorp.example")));
        assert!(!name("corp.example").permits(&name("example")));
        assert!(!name("192.0.2.7").permits(&name("192.0.2.8")));
        assert!(!name("corp.example").permits(&name("192.0.2.7")));
    }
}
