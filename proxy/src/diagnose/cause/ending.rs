//! Sessions without a fault, and those that one side ended without a reason.

use super::{Cause, trial, wrong};
use crate::trace::VerdictId;

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        id: VerdictId::Healthy,
        title: "The session did not fail",
        user_sees: "the desktop.",
        wire: "session traffic, and an end in good order; from a probe, every check up to the logon.",
        proof: Some(
            "session traffic that can be read; from a probe, every check with the same answer each time",
        ),
        trial: None,
        beliefs: &[wrong(
            "the client's reset at the end is a fault",
            "mstsc ends every good session like that, after the server's ultimatum",
        )],
    },
    Cause {
        id: VerdictId::ClientPrompted,
        title: "The client cut this connection to ask its user something, and came back",
        user_sees: "a question about the certificate or for the password; then it goes on.",
        wire: "a first connection that the client ends at a place where clients ask, and a later one of the same client that \
               gets further.",
        proof: None,
        trial: None,
        beliefs: &[wrong(
            "the first connection failed",
            "mstsc connects twice as a matter of course: the session to look at is the next one",
        )],
    },
    Cause {
        id: VerdictId::ClientClosed,
        title: "The client ended the connection and gave no reason that can be seen",
        user_sees: "whatever the client says: `rdpscope explain CODE` translates its numbers.",
        wire: "the client's FIN or reset, in the phase that is named, and nothing before it that explains it.",
        proof: None,
        trial: trial(
            "rdpscope proxy TARGET --cert mirror --nla terminate",
            "what is said inside TLS shows the reason",
            "it ends before there is TLS, or in the same way: the client's own log is next",
        ),
        beliefs: &[wrong("the server hung up", "the wire says who ended it: it was the client")],
    },
    Cause {
        id: VerdictId::ServerClosed,
        title: "The server ended the connection and gave no reason that can be seen",
        user_sees: "mstsc: error code 0x904, extended 0x7.",
        wire: "the server's FIN or reset, in the phase that is named, and nothing before it that explains it.",
        proof: Some(
            "a status, an alert access_denied, or an upstream proxy's refusal that no other verdict stands for",
        ),
        trial: trial(
            "rdpscope proxy TARGET --cert mirror --nla terminate",
            "what is said inside TLS shows the reason",
            "it ends before there is TLS, or in the same way: the server's own log is next",
        ),
        beliefs: &[wrong(
            "0x7 says that the server denied it by policy",
            "the client fills 7 in for nearly every early end: the phase and the server's log tell",
        )],
    },
];
