//! Versions of TLS and ranges of them, as `--tls` takes them.

use crate::wire::tls::names;
use std::fmt;
use std::str::FromStr;

/// A version of TLS; older is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// RFC 2246
    Tls10,
    /// RFC 4346
    Tls11,
    /// RFC 5246
    Tls12,
    /// RFC 8446
    Tls13,
}

impl TlsVersion {
    /// All of them, the oldest first.
    pub const ALL: [TlsVersion; 4] =
        [TlsVersion::Tls10, TlsVersion::Tls11, TlsVersion::Tls12, TlsVersion::Tls13];

    /// As it stands on the wire.
    pub fn number(self) -> u16 {
        match self {
            TlsVersion::Tls10 => names::TLS_1_0,
            TlsVersion::Tls11 => names::TLS_1_1,
            TlsVersion::Tls12 => names::TLS_1_2,
            TlsVersion::Tls13 => names::TLS_1_3,
        }
    }

    /// The version with this number on the wire.
    pub fn from_number(number: u16) -> Option<TlsVersion> {
        TlsVersion::ALL.into_iter().find(|version| version.number() == number)
    }

    fn digits(self) -> &'static str {
        match self {
            TlsVersion::Tls10 => "1.0",
            TlsVersion::Tls11 => "1.1",
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        }
    }
}

/// `TLS 1.2`
impl fmt::Display for TlsVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TLS {}", self.digits())
    }
}

/// The versions from one to another, both included. As text `1.0..1.2`, or `1.2` for a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    minimum: TlsVersion,
    maximum: TlsVersion,
}

impl VersionRange {
    /// Every version.
    pub const ALL: VersionRange = VersionRange { minimum: TlsVersion::Tls10, maximum: TlsVersion::Tls13 };

    /// The range between two versions, in whichever order they are given.
    pub fn between(one: TlsVersion, other: TlsVersion) -> VersionRange {
        VersionRange { minimum: one.min(other), maximum: one.max(other) }
    }

    /// The oldest.
    pub fn minimum(self) -> TlsVersion {
        self.minimum
    }

    /// The newest.
    pub fn maximum(self) -> TlsVersion {
        self.maximum
    }

    /// Whether `version` is one of them.
    pub fn contains(self, version: TlsVersion) -> bool {
        (self.minimum..=self.maximum).contains(&version)
    }
}

/// Every version.
impl Default for VersionRange {
    fn default() -> VersionRange {
        VersionRange::ALL
    }
}

/// Text that is no range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no range of TLS versions; write one of 1.0, 1.1, 1.2, 1.3, or two as in 1.0..1.2")]
pub struct VersionRangeError {
    /// What was given.
    pub text: String,
}

impl FromStr for VersionRange {
    type Err = VersionRangeError;

    fn from_str(text: &str) -> Result<VersionRange, VersionRangeError> {
        let read = |digits: &str| TlsVersion::ALL.into_iter().find(|version| version.digits() == digits);
        let (minimum, maximum) = text.split_once("..").unwrap_or((text, text));
        match (read(minimum), read(maximum)) {
            (Some(minimum), Some(maximum)) if minimum <= maximum => Ok(VersionRange { minimum, maximum }),
            _ => Err(VersionRangeError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.minimum == self.maximum {
            formatter.write_str(self.minimum.digits())
        } else {
            write!(formatter, "{}..{}", self.minimum.digits(), self.maximum.digits())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for minimum in TlsVersion::ALL {
            for maximum in TlsVersion::ALL.into_iter().filter(|maximum| *maximum >= minimum) {
                let range = VersionRange::between(maximum, minimum);
                assert_eq!(range.to_string().parse(), Ok(range));
            }
        }
        assert_eq!("1.2".parse(), Ok(VersionRange::between(TlsVersion::Tls12, TlsVersion::Tls12)));
        assert_eq!("1.0..1.2".parse::<VersionRange>().unwrap().to_string(), "1.0..1.2");
        assert!(!"1.0..1.2".parse::<VersionRange>().unwrap().contains(TlsVersion::Tls13));
    }

    #[test]
    fn other_text_is_told_what_is_allowed() {
        for text in ["", "..", "1.2..", "..1.2", "1.3..1.2", "1.4", "TLS1.2", "1.0..1.1..1.2", "1.0-1.2"] {
            let error = text.parse::<VersionRange>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no range of TLS versions")), "{error}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_wire() {
        for version in TlsVersion::ALL {
            assert_eq!(TlsVersion::from_number(version.number()), Some(version));
        }
        assert_eq!(TlsVersion::from_number(0x0300), None);
        assert_eq!(TlsVersion::Tls10.to_string(), "TLS 1.0");
    }
}
