//! The kinds of numbers, where each comes from, and how a number or a name is found in them.

use super::entry::Entry;
use super::{
    authorization, client_gateway, disconnect_reason, error_info, extended_reason, gateway, licensing,
    negotiation_failure, ntstatus, sspi, tls_alert,
};
use schemars::JsonSchema;
use serde::Serialize;

/// The high half of an HRESULT that wraps a Win32 number.
const HRESULT_WIN32: u32 = 0x8007_0000;

/// The high half of an NTSTATUS that wraps a Win32 number.
const NTSTATUS_WIN32: u32 = 0xC007_0000;

/// The bit that makes an NTSTATUS an HRESULT (HRESULT_FROM_NT).
const FACILITY_NT_BIT: u32 = 0x1000_0000;

/// Least letters of a name that may stand for a longer one: `LOGON_FAILURE` for `STATUS_LOGON_FAILURE`.
const SHORTEST_PART_OF_A_NAME: usize = 6;

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// mstsc's "Error code".
    Reason,
    /// mstsc's "Extended error code".
    Extended,
    /// Set Error Info PDU.
    Errinfo,
    /// TLS alert.
    Tls,
    /// RDP_NEG_FAILURE.
    X224,
    /// Licensing error message.
    Licensing,
    /// RD Gateway return code.
    Gateway,
    /// Client-side gateway codes.
    ClientGateway,
    /// Early User Authorization and RDSTLS.
    Authorization,
    /// NTSTATUS in CredSSP.
    Ntstatus,
    /// SSPI and CryptoAPI.
    Sspi,
}

impl Family {
    /// All of them: what a bare number most likely is comes first.
    pub const ALL: [Family; 11] = [
        Family::Reason,
        Family::Extended,
        Family::Ntstatus,
        Family::Sspi,
        Family::ClientGateway,
        Family::Tls,
        Family::Errinfo,
        Family::X224,
        Family::Gateway,
        Family::Authorization,
        Family::Licensing,
    ];

    /// The word before the colon in `tls:45`.
    pub fn id(self) -> &'static str {
        match self {
            Family::Reason => "reason",
            Family::Extended => "extended",
            Family::Errinfo => "errinfo",
            Family::Tls => "tls",
            Family::X224 => "x224",
            Family::Licensing => "licensing",
            Family::Gateway => "gateway",
            Family::ClientGateway => "client-gateway",
            Family::Authorization => "authorization",
            Family::Ntstatus => "ntstatus",
            Family::Sspi => "sspi",
        }
    }

    /// The family with this id, in any case.
    pub fn named(id: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|family| family.id().eq_ignore_ascii_case(id))
    }

    /// What a number of this family is called.
    pub fn title(self) -> &'static str {
        match self {
            Family::Reason => "disconnect reason",
            Family::Extended => "extended disconnect reason",
            Family::Errinfo => "error info",
            Family::Tls => "TLS alert",
            Family::X224 => "X.224 negotiation failure",
            Family::Licensing => "licensing error",
            Family::Gateway => "RD Gateway return code",
            Family::ClientGateway => "gateway code of the client",
            Family::Authorization => "authorization result",
            Family::Ntstatus => "NTSTATUS",
            Family::Sspi => "SSPI code",
        }
    }

    /// Who says it, and where it is seen: one sentence.
    pub fn origin(self) -> &'static str {
        match self {
            Family::Reason => {
                "The client's own reason for the end: mstsc shows it as \"Error code\", event 1026 logs it."
            }
            Family::Extended => {
                "mstsc shows it as \"Extended error code\"; it mostly repeats the server's error info."
            }
            Family::Errinfo => {
                "The server sends it inside TLS (Set Error Info PDU) just before it disconnects."
            }
            Family::Tls => "One end of TLS sends it before it closes; who sent it tells which end refused.",
            Family::X224 => {
                "The server's answer to the client's first message; it closes the connection after it."
            }
            Family::Licensing => "Client or server send it in the licensing phase, inside TLS.",
            Family::Gateway => {
                "The RD Gateway returns it when a tunnel or channel is made, or ends one with it."
            }
            Family::ClientGateway => "The client shows it when the connection to the RD Gateway fails.",
            Family::Authorization => {
                "The server sends it after authentication (Early User Authorization, RDSTLS)."
            }
            Family::Ntstatus => "The server sends it in CredSSP (TSRequest.errorCode), inside TLS.",
            Family::Sspi => "The security package of Windows returns it; dialogs and event logs show it.",
        }
    }

    /// Every line of its table.
    pub(super) fn entries(self) -> std::slice::Iter<'static, Entry> {
        let table: &'static [Entry] = match self {
            Family::Reason => disconnect_reason::TABLE,
            Family::Extended => extended_reason::TABLE,
            Family::Errinfo => &error_info::TABLE,
            Family::Tls => &tls_alert::TABLE,
            Family::X224 => negotiation_failure::TABLE,
            Family::Licensing => licensing::TABLE,
            Family::Gateway => gateway::TABLE,
            Family::ClientGateway => client_gateway::TABLE,
            Family::Authorization => authorization::TABLE,
            Family::Ntstatus => ntstatus::TABLE,
            Family::Sspi => sspi::TABLE,
        };
        table.iter()
    }

    /// The line for a number, in whichever form the number comes.
    pub(super) fn find(self, code: u32) -> Option<&'static Entry> {
        let exact = |code| self.entries().find(|entry| entry.code == code);
        match self {
            Family::Gateway => exact(code).or_else(|| exact(code ^ HRESULT_WIN32)),
            Family::Authorization => exact(code).or_else(|| wrapped_win32(code).and_then(exact)),
            Family::Ntstatus => exact(code).or_else(|| exact(code & !FACILITY_NT_BIT)),
            _ => exact(code),
        }
    }

    /// The same, asked for this family alone: extended reasons above 4095 are those of error info.
    pub(super) fn find_alone(self, code: u32) -> Option<&'static Entry> {
        const PROTOCOL_ERRORS: std::ops::RangeInclusive<u32> = 0x1000..=0x7FFF;
        match self {
            Family::Extended if PROTOCOL_ERRORS.contains(&code) => Family::Errinfo.find(code),
            _ => self.find(code),
        }
    }

    /// The lines whose name is `name`, or, failing that, ends in it; case and separators do not count.
    pub(super) fn find_name(self, name: &str, whole: bool) -> impl Iterator<Item = &'static Entry> {
        let wanted = letters(name);
        self.entries().filter(move |entry| {
            let candidate = letters(entry.name);
            if whole {
                candidate == wanted
            } else {
                wanted.len() >= SHORTEST_PART_OF_A_NAME && candidate.ends_with(&wanted)
            }
        })
    }
}

fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// The Win32 number in an HRESULT or NTSTATUS, but for the denial of access, which those say of anything.
fn wrapped_win32(code: u32) -> Option<u32> {
    const ERROR_ACCESS_DENIED: u32 = 5;
    let number = code & 0xFFFF;
    ([HRESULT_WIN32, NTSTATUS_WIN32].contains(&(code & !0xFFFF)) && number != ERROR_ACCESS_DENIED)
        .then_some(number)
}
