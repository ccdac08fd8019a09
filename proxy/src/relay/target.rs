//! `HOST[:PORT]` and `[v6]:PORT`, as users type them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The port of a Remote Desktop server.
pub const RDP_PORT: u16 = 3389;

/// A server that a user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Why a target could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing before the port.
    #[error("target {0:?} names no host; write HOST, HOST:PORT or [IPv6]:PORT")]
    NoHost(String),
    /// The port is no number from 1 to 65535.
    #[error("target {0:?} has a port that is not a number from 1 to 65535")]
    BadPort(String),
    /// A bracket without its partner, or something other than an IPv6 address in brackets.
    #[error("target {0:?} has brackets, but they hold no IPv6 address; write [IPv6]:PORT")]
    BadBrackets(String),
    /// A user name in front of it. It is not repeated: it may hold a password.
    #[error(
        "a target has no user name in it; write HOST, HOST:PORT or [IPv6]:PORT, and give the user to the client"
    )]
    Logon,
    /// A character that no host name has.
    #[error("target {0:?} has a character that no host name has; write HOST, HOST:PORT or [IPv6]:PORT")]
    BadHost(String),
}

impl Target {
    /// Reads `text`; `default_port` where it names none.
    pub fn parse(text: &str, default_port: u16) -> Result<Target, TargetError> {
        if text.contains('@') {
            return Err(TargetError::Logon);
        }
        let (host, port) = split(text)?;
        if host.is_empty() {
            return Err(TargetError::NoHost(text.to_owned()));
        }
        if host.parse::<IpAddr>().is_err() && !host.chars().all(is_host_character) {
            return Err(TargetError::BadHost(text.to_owned()));
        }
        let port = match port {
            None => default_port,
            Some(port) => match port.parse() {
                Ok(port) if port != 0 => port,
                // What is no number may be a password.
                _ if !port.bytes().all(|byte| byte.is_ascii_digit()) => {
                    return Err(TargetError::BadPort(host.to_owned()));
                }
                _ => return Err(TargetError::BadPort(text.to_owned())),
            },
        };
        Ok(Target { host: host.to_owned(), port })
    }

    /// The address, where the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        Target::parse(text, RDP_PORT)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Letters of any script (names may be internationalised), digits, and what NetBIOS and zone ids add.
fn is_host_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '.' | '_' | '%')
}

fn split(text: &str) -> Result<(&str, Option<&str>), TargetError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(|| TargetError::BadBrackets(text.to_owned()))?;
        if host.split('%').next().is_none_or(|address| address.parse::<std::net::Ipv6Addr>().is_err()) {
            return Err(TargetError::BadBrackets(text.to_owned()));
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(TargetError::BadBrackets(text.to_owned())),
        };
    }
    match text.matches(':').count() {
        0 => Ok((text, None)),
        1 => Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))),
        _ => Ok((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_users_type() {
        let parsed = |text: &str| text.parse::<Target>().map(|target| target.to_string());
        assert_eq!(parsed("srv10"), Ok("srv10:3389".to_owned()));
        assert_eq!(parsed("srv10.corp.example:3390"), Ok("srv10.corp.example:3390".to_owned()));
        assert_eq!(parsed("10.0.0.1"), Ok("10.0.0.1:3389".to_owned()));
        assert_eq!(parsed("[2001:db8::1]:3390"), Ok("[2001:db8::1]:3390".to_owned()));
        assert_eq!(parsed("2001:db8::1"), Ok("[2001:db8::1]:3389".to_owned()));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(matches!("".parse::<Target>(), Err(TargetError::NoHost(_))));
        assert!(matches!(":3389".parse::<Target>(), Err(TargetError::NoHost(_))));
        assert!(matches!("srv:rdp".parse::<Target>(), Err(TargetError::BadPort(_))));
        assert!(matches!("srv:0".parse::<Target>(), Err(TargetError::BadPort(_))));
        assert!(matches!("[srv]:1".parse::<Target>(), Err(TargetError::BadBrackets(_))));
        assert!(matches!("srv one".parse::<Target>(), Err(TargetError::BadHost(_))));
        assert!(matches!("a:b:c".parse::<Target>(), Err(TargetError::BadHost(_))));
        for text in ["anna:CANARY@srv10", "anna:CANARY"] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert!(!error.contains("CANARY"), "{error}");
        }
    }
}
