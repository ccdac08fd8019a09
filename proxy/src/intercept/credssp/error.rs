//! Why a CredSSP did not come to its end: what was done, who is at fault, what to do.

use super::kerberos_shape::CLOCK_SKEW;
use super::ntlm::Fault;
use super::refusal;
use crate::trace::Side;
use crate::wire::Malformed;
use std::fmt;
use std::io;

const STATUS_LOGON_FAILURE: u32 = 0xC000_006D;
const STATUS_ACCESS_DENIED: u32 = 0xC000_0022;
const STATUS_TIME_DIFFERENCE_AT_DC: u32 = 0xC000_0133;
const STATUS_NOT_SUPPORTED: u32 = 0xC000_00BB;
const STATUS_INTERNAL_ERROR: u32 = 0xC000_00E5;
const SEC_E_INVALID_TOKEN: u32 = 0x8009_0308;
/// What Windows answers where NTLM, or all but NTLM, is off.
const SEC_E_UNSUPPORTED_FUNCTION: u32 = 0x8009_0302;

/// How far a CredSSP was (MS-CSSP 3.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// NTLM's NEGOTIATE and CHALLENGE, Kerberos' AP-REQ, or the choice of a mechanism before them.
    Negotiation,
    /// NTLM's AUTHENTICATE or Kerberos' AP-REP: the proof of the password.
    Authentication,
    /// pubKeyAuth: the proof that both see the same TLS key.
    KeyBinding,
    /// authInfo: the user's credentials.
    Delegation,
    /// The Early User Authorization Result after it.
    EarlyUserAuthorization,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Negotiation => "the negotiation",
            Step::Authentication => "the logon",
            Step::KeyBinding => "the key binding",
            Step::Delegation => "handing over the credentials",
            Step::EarlyUserAuthorization => "the early user authorization",
        })
    }
}

/// Why a CredSSP did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredsspError {
    /// The other end sent an errorCode.
    #[error(
        "CredSSP with the {side}: it ended {step} with status 0x{status:08x}; 'rdpscope explain 0x{status:08x}' tells what that means"
    )]
    Status {
        /// Who sent it.
        side: Side,
        /// When.
        step: Step,
        /// The NTSTATUS.
        status: u32,
    },
    /// The client logged on as somebody else.
    #[error(
        "CredSSP with the client: it logged on as {user:?} and rdpscope was given {expected:?}; log on with the user name and password that rdpscope was given"
    )]
    OtherUser {
        /// The name the client used.
        user: String,
        /// The name rdpscope was given.
        expected: String,
    },
    /// The client used another password.
    #[error(
        "CredSSP with the client: it logged on as {user:?} with another password than rdpscope was given; log on with the user name and password that rdpscope was given"
    )]
    WrongPassword {
        /// The name the client used.
        user: String,
    },
    /// The other end speaks a version that nobody does.
    #[error(
        "CredSSP with the {side}: it speaks version {version}, and the first of use is 2; update the {side}"
    )]
    Version {
        /// Who.
        side: Side,
        /// What it said.
        version: u32,
    },
    /// The other end sees another TLS key.
    #[error(
        "CredSSP with the {side}: it bound the logon to another TLS key than the one between it and rdpscope; TLS is terminated once more in between, look for an inspecting proxy"
    )]
    KeyBinding {
        /// Who sees another key.
        side: Side,
    },
    /// The other end offers no NTLM.
    #[error(
        "CredSSP with the {side}: it offers no NTLM, and for Kerberos in its place rdpscope has no ticket or no key; allow NTLM, or keep the server's own key with --renew-with so that NLA passes through"
    )]
    NoNtlm {
        /// Who.
        side: Side,
    },
    /// The other end's NTLM is too weak to seal with.
    #[error("CredSSP with the {side}: {what}; require NTLMv2 with 128-bit encryption on the {side}")]
    WeakNtlm {
        /// Who.
        side: Side,
        /// What is missing.
        what: &'static str,
    },
    /// The connection ended in the middle.
    #[error("CredSSP with the {side}: it closed the connection during {step}{}", closed_hint(*.side, *.step))]
    Closed {
        /// Who.
        side: Side,
        /// When.
        step: Step,
    },
    /// The connection failed.
    #[error("CredSSP with the {side}: the connection failed during {step}: {source}")]
    Transport {
        /// On whose leg.
        side: Side,
        /// When.
        step: Step,
        /// What the connection said.
        source: io::Error,
    },
    /// A message longer than any CredSSP sends.
    #[error(
        "CredSSP with the {side}: it announced a message of {length} bytes where {limit} are the most; it does not speak CredSSP"
    )]
    TooLong {
        /// Who.
        side: Side,
        /// Bytes announced.
        length: u64,
        /// Bytes accepted.
        limit: usize,
    },
    /// A message that cannot be understood.
    #[error(
        "CredSSP with the {side}: its message during {step} is broken: {source}; look for a device that changes bytes, or update the {side}"
    )]
    Malformed {
        /// Who.
        side: Side,
        /// When.
        step: Step,
        /// Where it broke.
        source: Malformed,
    },
    /// A message without what belongs there, or with a signature that is not the other end's.
    #[error("CredSSP with the {side}: during {step} {what}; update the {side}")]
    Unexpected {
        /// Who.
        side: Side,
        /// When.
        step: Step,
        /// What was wrong.
        what: &'static str,
    },
    /// The user's realm knows the user and does not let rdpscope in as him.
    #[error(
        "CredSSP with the server: the KDC of realm {realm} refused the user with {}{}; put the credentials given to rdpscope right", refusal::name(*.code), refusal::hint(*.code)
    )]
    KerberosUser {
        /// The user's realm.
        realm: String,
        /// error-code (RFC 4120 7.5.9).
        code: u32,
    },
    /// The server refused the ticket that its realm gave for it.
    #[error(
        "CredSSP with the server: it refused the Kerberos ticket with {}{}; look at its clock and at who has its service principal name", refusal::name(*.code), refusal::hint(*.code)
    )]
    KerberosTicket {
        /// error-code (RFC 4120 7.5.9).
        code: u32,
    },
    /// The client's ticket cannot be read, and there is nothing in its place.
    #[error(
        "CredSSP with the client: Kerberos is not possible, as {reason}; nor is NTLM in its place, as {no_ntlm}; with --renew-with NLA passes through as it is"
    )]
    TicketUnreadable {
        /// Why.
        reason: String,
        /// Why there is no NTLM either.
        no_ntlm: &'static str,
    },
    /// The client's ticket was read and is refused.
    #[error("CredSSP with the client: its Kerberos ticket is refused with {}: {what}", refusal::name(*.code))]
    TicketRefused {
        /// error-code (RFC 4120 7.5.9).
        code: u32,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Our NTLM or Kerberos failed.
    #[error(
        "CredSSP with the {side}: rdpscope's own part failed during {step} ({what}); this is a fault of rdpscope, please report it"
    )]
    Library {
        /// On whose leg.
        side: Side,
        /// When.
        step: Step,
        /// What it said.
        what: String,
    },
}

impl CredsspError {
    /// The NTSTATUS that the other end sent, if it sent one.
    pub fn status(&self) -> Option<u32> {
        match self {
            CredsspError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The end at fault; `None` where it is rdpscope itself, or the network.
    pub fn side(&self) -> Option<Side> {
        match self {
            CredsspError::Library { .. }
            | CredsspError::Transport { .. }
            | CredsspError::KerberosUser { .. } => None,
            CredsspError::KerberosTicket { .. } => Some(Side::Server),
            CredsspError::OtherUser { .. }
            | CredsspError::WrongPassword { .. }
            | CredsspError::TicketUnreadable { .. }
            | CredsspError::TicketRefused { .. } => Some(Side::Client),
            CredsspError::Status { side, .. }
            | CredsspError::Version { side, .. }
            | CredsspError::KeyBinding { side }
            | CredsspError::NoNtlm { side }
            | CredsspError::WeakNtlm { side, .. }
            | CredsspError::Closed { side, .. }
            | CredsspError::TooLong { side, .. }
            | CredsspError::Malformed { side, .. }
            | CredsspError::Unexpected { side, .. } => Some(*side),
        }
    }

    /// What the other end is told in errorCode; `None` where it ended this itself.
    pub(super) fn answer(&self) -> Option<u32> {
        match self {
            CredsspError::Status { .. }
            | CredsspError::Closed { .. }
            | CredsspError::Transport { .. }
            | CredsspError::KerberosUser { .. }
            | CredsspError::KerberosTicket { .. } => None,
            CredsspError::TicketRefused { code: CLOCK_SKEW, .. } => Some(STATUS_TIME_DIFFERENCE_AT_DC),
            CredsspError::OtherUser { .. }
            | CredsspError::WrongPassword { .. }
            | CredsspError::TicketRefused { .. } => Some(STATUS_LOGON_FAILURE),
            CredsspError::Version { .. } => Some(STATUS_NOT_SUPPORTED),
            CredsspError::KeyBinding { .. } => Some(STATUS_ACCESS_DENIED),
            CredsspError::NoNtlm { .. }
            | CredsspError::WeakNtlm { .. }
            | CredsspError::TicketUnreadable { .. } => Some(SEC_E_UNSUPPORTED_FUNCTION),
            CredsspError::TooLong { .. }
            | CredsspError::Malformed { .. }
            | CredsspError::Unexpected { .. } => Some(SEC_E_INVALID_TOKEN),
            CredsspError::Library { .. } => Some(STATUS_INTERNAL_ERROR),
        }
    }

    pub(super) fn of_ntlm(fault: Fault, side: Side, step: Step) -> Self {
        match fault {
            Fault::Malformed(source) => CredsspError::Malformed { side, step, source },
            Fault::Weak(what) => CredsspError::WeakNtlm { side, what },
            Fault::Refused { user } => CredsspError::WrongPassword { user },
            Fault::Library(what) => CredsspError::Library { side, step, what },
        }
    }
}

/// What a closed connection mostly means at this point.
fn closed_hint(side: Side, step: Step) -> &'static str {
    match (side, step) {
        (Side::Server, Step::Authentication | Step::KeyBinding) => {
            ", which is how some servers refuse a wrong user name or password; check the credentials given to rdpscope"
        }
        (Side::Server, _) => "; the server's Security and System logs tell why",
        (Side::Client, Step::Authentication) => ", perhaps to ask its user for the password; connect again",
        (Side::Client, Step::Delegation) => {
            ", which is how clients refuse a server that cannot prove its TLS key; look for an inspecting proxy in between"
        }
        (Side::Client, _) => "; look at what the client shows its user",
    }
}
