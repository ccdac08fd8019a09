//! Causes that a server states above TLS.

use super::{Cause, wrong};
use crate::explain::WrongClaim;
use crate::trace::VerdictId;

/// What every Set Error Info has in common.
macro_rules! inside {
    ($what:literal) => {
        concat!(
            $what,
            ", inside TLS: it shows where rdpscope ends TLS (--cert) or there is none. Otherwise the session only shows that \
             the server ended it."
        )
    };
}

/// A cause that the server states.
const fn stated(
    id: VerdictId,
    title: &'static str,
    user_sees: &'static str,
    wire: &'static str,
    proof: &'static str,
    beliefs: &'static [WrongClaim],
) -> Cause {
    Cause { id, title, user_sees, wire, proof: Some(proof), trial: None, beliefs }
}

pub(super) const CAUSES: &[Cause] = &[
    stated(
        VerdictId::AuthorizationDenied,
        "The credentials are right, but the user may not log on through Remote Desktop",
        "mstsc: \"The connection was denied because the user account is not authorized for remote login\"; extended code 9.",
        inside!("Set Error Info 9, or the Early User Authorization Result"),
        "Set Error Info 9 or an Early User Authorization Result that is not zero",
        &[wrong("the password is wrong", "it was accepted: what is missing is the right")],
    ),
    stated(
        VerdictId::LicensingFailed,
        "Licensing failed",
        "mstsc: \"The remote session was disconnected because there are no Remote Desktop License Servers available\" and \
         its kin; extended codes 256 to 267.",
        inside!("a licensing error alert, or Set Error Info 0x100 to 0x10A"),
        "the error alert or the Set Error Info",
        &[wrong(
            "0x904 is a licensing failure",
            "licensing has numbers of its own: 0x808, 0x908 and extended 256 to 267",
        )],
    ),
    stated(
        VerdictId::ServerDenied,
        "The server denied the connection: drain mode, a policy or a limit",
        "mstsc: the remote computer denied the connection; extended code 7.",
        inside!("Set Error Info 7 (SERVER_DENIED_CONNECTION)"),
        "Set Error Info 7",
        &[wrong(
            "0x904 with 0x7 proves this",
            "the client shows that pair for nearly everything that ends early: only error info 7 on the wire proves it",
        )],
    ),
    stated(
        VerdictId::SessionLimit,
        "No session host has room for one more session",
        "mstsc: no more sessions are available, or error code 0x904.",
        inside!("Set Error Info 0x408"),
        "Set Error Info 0x408",
        &[],
    ),
    stated(
        VerdictId::SessionTaken,
        "Another connection took the session over",
        "mstsc: \"Another user connected to the remote computer, so your connection was lost\"; extended code 5.",
        inside!("Set Error Info 5"),
        "Set Error Info 5",
        &[wrong("the network broke", "the server handed the session to another client, and says so")],
    ),
    stated(
        VerdictId::ServerShutdown,
        "The server is shutting down or restarting",
        "mstsc: the session has ended, the remote computer is shutting down.",
        inside!("Set Error Info 0x19 or 0x1A"),
        "Set Error Info 0x19 or 0x1A",
        &[],
    ),
    stated(
        VerdictId::IdleLimit,
        "A time limit ended the session",
        "mstsc: the session ended because a time limit was reached; extended codes 3 and 4.",
        inside!("Set Error Info 3 or 4; from a gateway E_PROXY_SESSIONTIMEOUT"),
        "Set Error Info 3 or 4, or the gateway's E_PROXY_SESSIONTIMEOUT",
        &[wrong(
            "the firewall's idle time-out cut it",
            "a firewall cuts without a word (`idle-timeout`); a server that keeps a limit says so",
        )],
    ),
    stated(
        VerdictId::AdminDisconnect,
        "An administrator, a program or the user ended the session",
        "mstsc: an administrator ended the session; extended codes 1, 2, 11 and 12.",
        inside!("Set Error Info 1, 2, 0xB or 0xC"),
        "Set Error Info 1, 2, 0xB or 0xC",
        &[],
    ),
    stated(
        VerdictId::ProtocolError,
        "One side broke the protocol, or the server names another error",
        "mstsc: because of a protocol error the session is disconnected; extended codes from 4096 on.",
        inside!(
            "any other Set Error Info, a refusal inside the connection sequence, or bytes that break the format"
        ),
        "the Set Error Info, the refusal, or a fatal alert",
        &[],
    ),
    stated(
        VerdictId::RedirectedAway,
        "A broker sent the client to another host, past rdpscope",
        "nothing: mstsc connects to the other host by itself, and may fail there.",
        inside!("a Server Redirection PDU"),
        "the redirection, which names the host",
        &[wrong(
            "the first host is at fault",
            "it did its part: what fails afterwards fails at the host that the broker named",
        )],
    ),
];
