//! What a disconnect reason and an extended reason say together, and how to get from there to the cause.

use super::Meaning;
use super::entry::{AB_CERT, AB_MSS, INSIDE, PROBE, PROXY};
use schemars::JsonSchema;
use serde::Serialize;

/// The disconnect reason "socket closed".
const SOCKET_CLOSED: u32 = 0x904;

/// The extended reason "server denied connection".
const SERVER_DENIED: u32 = 7;

/// Numbers read together.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Reading {
    /// What they say, one sentence.
    pub says: String,
    /// What they do not say, or why they say so little.
    pub but: String,
    /// Where the connection was closed, and what that means.
    #[serde(skip_serializing_if = "<[Step]>::is_empty")]
    pub decide: &'static [Step],
    /// What is often claimed and wrong.
    #[serde(skip_serializing_if = "<[WrongClaim]>::is_empty")]
    pub wrong_claims: &'static [WrongClaim],
    /// The commands that tell.
    pub next: Vec<&'static str>,
}

/// One branch of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    /// What rdpscope shows.
    pub seen: &'static str,
    /// What it means.
    pub means: &'static str,
}

/// A claim that goes round and is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WrongClaim {
    /// The claim.
    pub claim: &'static str,
    /// What is true.
    pub truth: &'static str,
}

/// Where a connection was closed decides what closed it.
const DECIDE: &[Step] = &[
    Step {
        seen: "error info 7 is on the wire",
        means: "the server refused by policy: drain mode, a limit, its rules",
    },
    Step {
        seen: "closed right after the X.224 request",
        means: "the listener, a negotiation failure or a load balancer refused",
    },
    Step {
        seen: "closed or reset right after the ClientHello",
        means: "the server cannot use its private key (MachineKeys), or no TLS version or cipher is common",
    },
    Step {
        seen: "closed after the server's certificate",
        means: "the client does not trust the certificate, or a TLS inspection box is on the way",
    },
    Step {
        seen: "closed after a CredSSP message",
        means: "NLA: credentials, account, clock, domain or key binding",
    },
    Step {
        seen: "closed after the MCS Connect Initial",
        means: "the server refused the client's settings: too large, or edited on the way",
    },
    Step {
        seen: "closed after Client Info or in licensing",
        means: "a licence is missing or a session limit is reached",
    },
    Step {
        seen: "closed after minutes without a disconnect message",
        means: "the network: idle timeout, VPN or path MTU",
    },
];

const WRONG_ABOUT_SOCKET_CLOSED: WrongClaim = WrongClaim {
    claim: "0x904 is a TLS version error, or a licensing failure",
    truth: "it says only that the socket was closed; licensing has numbers of its own (0x808, 0x908)",
};
const WRONG_ABOUT_UDP: WrongClaim = WrongClaim {
    claim: "turning UDP off mends it",
    truth: "UDP begins only after licensing: it cannot end a connection that never got there",
};
const WRONG_ABOUT_SECURITY_LAYER: WrongClaim = WrongClaim {
    claim: "setting the security layer to RDP mends it",
    truth: "it hides a certificate fault by giving up TLS",
};

const WRONG_ABOUT_ALL: &[WrongClaim] =
    &[WRONG_ABOUT_SOCKET_CLOSED, WRONG_ABOUT_SECURITY_LAYER, WRONG_ABOUT_UDP];

const WRONG_ABOUT_THE_PAIR: &[WrongClaim] = &[
    WrongClaim {
        claim: "0x7 is ERROR_ARENA_TRASHED (or out of memory)",
        truth: "those are Win32 numbers; extended reasons are numbers of their own",
    },
    WRONG_ABOUT_SOCKET_CLOSED,
    WrongClaim { claim: "0x7 means too little bandwidth", truth: "nothing in it speaks of the network" },
    WrongClaim {
        claim: "0x7 means that the licence could not be stored",
        truth: "that is extended reason 267",
    },
    WRONG_ABOUT_SECURITY_LAYER,
    WRONG_ABOUT_UDP,
];

/// What tells the branches of [`DECIDE`] apart.
const SOCKET_CLOSED_NEXT: &[&str] = &[PROXY, PROBE, AB_CERT, AB_MSS];

impl Reading {
    /// A disconnect reason that came alone, where there is more to say than its table does.
    pub(super) fn of_reason(code: u32) -> Option<Reading> {
        (code == SOCKET_CLOSED).then(|| Reading {
            says: "socket closed: the server, or a box in between, ended the TCP connection".to_owned(),
            but: "It is a symptom, never a cause: the phase in which it was closed tells the cause."
                .to_owned(),
            decide: DECIDE,
            wrong_claims: WRONG_ABOUT_ALL,
            next: SOCKET_CLOSED_NEXT.to_vec(),
        })
    }

    /// A disconnect reason and an extended reason; at least one of them is known.
    pub(super) fn of_pair(reason: (u32, Option<Meaning>), extended: (u32, Option<Meaning>)) -> Reading {
        match (reason, extended) {
            ((SOCKET_CLOSED, _), (SERVER_DENIED, _)) => socket_closed_server_denied(),
            ((SOCKET_CLOSED, _), (0, _)) => Reading {
                wrong_claims: WRONG_ABOUT_ALL,
                but:
                    "No reason was given, or none arrived: the phase in which it was closed tells the cause."
                        .to_owned(),
                ..socket_closed("socket closed, and no reason was given")
            },
            ((_, Some(reason)), (code, None)) => Reading {
                but: format!("The extended code {code:#x} is none that rdpscope knows."),
                next: reason.entry.next.to_vec(),
                ..plain(reason.entry.meaning)
            },
            ((_, Some(reason)), (0, Some(_))) => Reading {
                but: "The extended code 0 adds nothing: the server gave no reason.".to_owned(),
                next: reason.entry.next.to_vec(),
                ..plain(reason.entry.meaning)
            },
            ((code, reason), (_, Some(extended))) => Reading {
                but: match reason {
                    Some(reason) => {
                        format!("The error code only tells how the client noticed: {}.", reason.entry.meaning)
                    }
                    None => format!("The error code {code:#x} is none that rdpscope knows."),
                },
                next: extended.entry.next.to_vec(),
                ..plain(extended.entry.meaning)
            },
            ((code, None), (extended, None)) => {
                plain(&format!("neither {code:#x} nor {extended:#x} is known"))
            }
        }
    }
}

fn plain(says: &str) -> Reading {
    Reading { says: says.to_owned(), but: String::new(), decide: &[], wrong_claims: &[], next: vec![PROXY] }
}

fn socket_closed(says: &str) -> Reading {
    Reading { decide: DECIDE, next: SOCKET_CLOSED_NEXT.to_vec(), ..plain(says) }
}

fn socket_closed_server_denied() -> Reading {
    Reading {
        but:
            "The pair is also seen with broken certificates, with servers that fail in TLS and on ports that \
              are not RDP at all: the client seems to fill in 7 for \"closed before a session existed\" \
              (inferred, not documented by Microsoft)."
                .to_owned(),
        wrong_claims: WRONG_ABOUT_THE_PAIR,
        next: vec![PROXY, PROBE, AB_CERT, INSIDE],
        ..socket_closed(
            "socket closed, \"server denied connection\": it ended before a session existed, and only error \
             info 7 on the wire proves that the server denied it",
        )
    }
}
