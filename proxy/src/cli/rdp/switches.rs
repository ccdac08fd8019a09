//! The switches of Remote Desktop in the registry of Windows that documents name, and the commands that move them.

use serde::Serialize;
use std::fmt;

/// Who looks at a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Whose {
    /// The machine with the client.
    Client,
    /// The machine that is connected to.
    Server,
    /// The RD Gateway.
    Gateway,
}

/// The part of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// HKCU
    CurrentUser,
    /// HKLM
    LocalMachine,
}

/// A value of type REG_DWORD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Switch {
    pub(super) name: &'static str,
    pub(super) root: Root,
    pub(super) path: &'static str,
    pub(super) whose: Whose,
    /// What it does, with its values.
    pub(super) meaning: &'static str,
    /// The value to try, and what for.
    pub(super) trial: u32,
    pub(super) purpose: &'static str,
}

/// What a switch is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Present {
    /// This value.
    Value(u32),
    /// Nothing: the default holds.
    Missing,
    /// Something that cannot be looked at, or is no number.
    Unreadable(String),
    /// There is no registry here.
    Elsewhere,
}

impl fmt::Display for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Present::Value(value) => write!(f, "{value}"),
            Present::Missing => f.write_str("not set, so that the default holds"),
            Present::Unreadable(reason) => write!(f, "cannot be read: {reason}"),
            Present::Elsewhere => f.write_str("not on this system: only Windows has a registry"),
        }
    }
}

impl Switch {
    /// The key as commands name it.
    pub(super) fn key(&self) -> String {
        let root = match self.root {
            Root::CurrentUser => "HKCU",
            Root::LocalMachine => "HKLM",
        };
        format!(r"{root}\{}", self.path)
    }

    /// The command that shows the value.
    pub(super) fn query(&self) -> String {
        format!("reg query \"{}\" /v {}", self.key(), self.name)
    }

    /// The command that sets it to the value to try.
    pub(super) fn set(&self) -> String {
        self.add(self.trial)
    }

    /// The command after which it is what it is now; `None` where that is not known.
    pub(super) fn put_back(&self, present: &Present) -> Option<String> {
        match present {
            Present::Value(value) => Some(self.add(*value)),
            Present::Missing => Some(format!("reg delete \"{}\" /v {} /f", self.key(), self.name)),
            Present::Unreadable(_) | Present::Elsewhere => None,
        }
    }

    fn add(&self, value: u32) -> String {
        format!("reg add \"{}\" /v {} /t REG_DWORD /d {value} /f", self.key(), self.name)
    }
}

const CLIENT: &str = r"Software\Microsoft\Terminal Server Client";
const POLICY: &str = r"SOFTWARE\Policies\Microsoft\Windows NT\Terminal Services";
const CLIENT_POLICY: &str = r"SOFTWARE\Policies\Microsoft\Windows NT\Terminal Services\Client";
const TERMINAL_SERVER: &str = r"SYSTEM\CurrentControlSet\Control\Terminal Server";
const LISTENER: &str = r"SYSTEM\CurrentControlSet\Control\Terminal Server\WinStations\RDP-Tcp";

/// All of them, the client's first.
pub(super) const SWITCHES: &[Switch] = &[
    Switch {
        name: "RDGClientTransport",
        root: Root::CurrentUser,
        path: CLIENT,
        whose: Whose::Client,
        meaning: "how the client reaches an RD Gateway: 0 WebSocket and else HTTP, 1 RPC over HTTP",
        trial: 1,
        purpose: "is it WebSocket or HTTP that is blocked on the way to the gateway?",
    },
    Switch {
        name: "fClientDisableUDP",
        root: Root::LocalMachine,
        path: CLIENT_POLICY,
        whose: Whose::Client,
        meaning: "whether the client uses UDP: 0 it does, 1 TCP alone",
        trial: 1,
        purpose: "is it UDP?",
    },
    Switch {
        name: "AuthenticationLevel",
        root: Root::LocalMachine,
        path: POLICY,
        whose: Whose::Client,
        meaning: "what overrides authentication level in every profile: 0 connect without a warning, 1 refuse, 2 warn",
        trial: 2,
        purpose: "does the client refuse because it may not ask?",
    },
    Switch {
        name: "AllowUnsignedFiles",
        root: Root::LocalMachine,
        path: POLICY,
        whose: Whose::Client,
        meaning: "whether profiles without a signature open: 0 they do not, 1 they do",
        trial: 1,
        purpose: "does mstsc refuse a profile that was changed or written by rdpscope?",
    },
    Switch {
        name: "RedirectionWarningDialogVersion",
        root: Root::LocalMachine,
        path: CLIENT_POLICY,
        whose: Whose::Client,
        meaning: "which warning mstsc shows when it opens a profile, since the update of April 2026: 1 the one from before \
                  that; Microsoft calls it temporary",
        trial: 1,
        purpose: "does a warning that nobody sees hold up a run without a user?",
    },
    Switch {
        name: "AllowEncryptionOracle",
        root: Root::LocalMachine,
        path: r"SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System\CredSSP\Parameters",
        whose: Whose::Client,
        meaning: "which old versions of CredSSP are refused, on client and server alike: 0 all, 1 by the client, 2 none, \
                  which is not safe",
        trial: 1,
        purpose: "does a side that was not updated since 2018 keep NLA from working?",
    },
    Switch {
        name: "Enabled",
        root: Root::LocalMachine,
        path: r"SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL\Protocols\TLS 1.2\Client",
        whose: Whose::Client,
        meaning: "whether the client speaks TLS 1.2: 0 it does not, 1 it does; the same below TLS 1.0 to 1.3, and below \
                  Server for the other side",
        trial: 1,
        purpose: "is there no common version of TLS because somebody turned one off?",
    },
    Switch {
        name: "fDenyTSConnections",
        root: Root::LocalMachine,
        path: TERMINAL_SERVER,
        whose: Whose::Server,
        meaning: "whether this machine takes connections: 0 it does, 1 it does not",
        trial: 0,
        purpose: "why does nobody listen?",
    },
    Switch {
        name: "PortNumber",
        root: Root::LocalMachine,
        path: LISTENER,
        whose: Whose::Server,
        meaning: "the port that it listens on; it holds after a restart of TermService",
        trial: 3389,
        purpose: "does it listen somewhere else?",
    },
    Switch {
        name: "UserAuthentication",
        root: Root::LocalMachine,
        path: LISTENER,
        whose: Whose::Server,
        meaning: "whether network level authentication is required: 0 it is not, 1 it is",
        trial: 1,
        purpose: "why is a client without NLA taken, or refused?",
    },
    Switch {
        name: "SecurityLayer",
        root: Root::LocalMachine,
        path: LISTENER,
        whose: Whose::Server,
        meaning: "how connections are secured: 0 RDP's own, 1 agreed upon, 2 TLS",
        trial: 1,
        purpose: "is a client refused that could speak the other?",
    },
    Switch {
        name: "MinEncryptionLevel",
        root: Root::LocalMachine,
        path: LISTENER,
        whose: Whose::Server,
        meaning: "the encryption of RDP's own security: 1 low, 2 what the client can, 3 high, 4 FIPS",
        trial: 2,
        purpose: "is an old client refused?",
    },
    Switch {
        name: "SelectTransport",
        root: Root::LocalMachine,
        path: POLICY,
        whose: Whose::Server,
        meaning: "whether the server offers UDP: 0 or not set it does, 1 TCP alone",
        trial: 1,
        purpose: "is it UDP, for every client at once?",
    },
    Switch {
        name: "MaxOutstandingConnections",
        root: Root::LocalMachine,
        path: TERMINAL_SERVER,
        whose: Whose::Server,
        meaning: "how many logons may be half done; more are left waiting, and the system's log says so with event 1006",
        trial: 10000,
        purpose: "does it answer nobody while many log on at once?",
    },
    Switch {
        name: "HttpsPort",
        root: Root::LocalMachine,
        path: r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\TerminalServerGateway\Config\Core",
        whose: Whose::Gateway,
        meaning: "the port of the RD Gateway on this machine",
        trial: 443,
        purpose: "does it listen somewhere else?",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_put_back_exactly() {
        let switch = &SWITCHES[0];
        let key = r"HKCU\Software\Microsoft\Terminal Server Client";
        assert_eq!(switch.set(), format!("reg add \"{key}\" /v RDGClientTransport /t REG_DWORD /d 1 /f"));
        assert_eq!(
            switch.put_back(&Present::Value(7)),
            Some(format!("reg add \"{key}\" /v RDGClientTransport /t REG_DWORD /d 7 /f"))
        );
        assert_eq!(
            switch.put_back(&Present::Missing),
            Some(format!("reg delete \"{key}\" /v RDGClientTransport /f"))
        );
        assert_eq!(switch.put_back(&Present::Elsewhere), None);
    }

    #[test]
    fn every_switch_stands_once() {
        let mut places: Vec<String> = SWITCHES.iter().map(Switch::query).collect();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), SWITCHES.len());
    }
}
