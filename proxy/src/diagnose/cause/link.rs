//! Causes in the line between the two, and in UDP.

use super::{Cause, trial, wrong};
use crate::trace::VerdictId;

const UDP_FIRST: &str = "UDP begins only after licensing: it cannot end a connection that never got there";

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        id: VerdictId::LinkSlow,
        title: "The round trip takes so long that the client gives up",
        user_sees: "mstsc: error code 0x904 or 0x108, after tens of seconds.",
        wire: "round trips so long that most of the time went by on the way, and a client that left before there was a \
               desktop.",
        proof: None,
        trial: trial(
            "rdpscope ab TARGET --vary latency",
            "on a good line it breaks where the same delay is added: that is how much this client stands",
            "it works with far more delay than this line has",
        ),
        beliefs: &[wrong("the server is slow", "the time is spent on the way: both legs are timed apart")],
    },
    Cause {
        id: VerdictId::LinkLossy,
        title: "The line loses so many packets that the client gives up",
        user_sees: "mstsc: error code 0x904 or 0x108, after tens of seconds; other times it works.",
        wire: "many segments sent again, counted by the system, and a client that left before there was a desktop.",
        proof: None,
        trial: trial(
            "pathping HOST",
            "from some hop on packets are lost all the way to the server",
            "nothing is lost: look at large segments with `rdpscope ab TARGET --vary mss`",
        ),
        beliefs: &[wrong("more bandwidth mends it", "what is lost is lost on a wide line, too")],
    },
    Cause {
        id: VerdictId::IdleTimeout,
        title: "Something on the way forgets connections on which nothing moves",
        user_sees: "mstsc reconnects, or shows 0x904, after a pause of always the same length.",
        wire: "a session that worked, a minute and more of silence, and an end without a word.",
        proof: None,
        trial: trial(
            "rdpscope proxy TARGET --for 2h",
            "left idle, sessions end after always the same silence; with keepalives every minute they hold",
            "sessions end at any time, or while they are used",
        ),
        beliefs: &[wrong(
            "the server's idle limit ended it",
            "a server says so before it ends a session (`idle-limit`); this end came without a word",
        )],
    },
    Cause {
        id: VerdictId::UdpBlocked,
        title: "UDP is offered and nothing answers",
        user_sees: "most often nothing: the session runs over TCP. Some clients wait, freeze or end.",
        wire: "RDP-UDP SYNs, sent again and again, without an answer.",
        proof: None,
        trial: trial(
            "rdpscope ab TARGET --vary udp",
            "with UDP it fails every time, without UDP it holds",
            "it fails without UDP as well, or works with it",
        ),
        beliefs: &[
            wrong("turning UDP off mends 0x904", UDP_FIRST),
            wrong(
                "blocked UDP is a fault",
                "clients fall back to TCP: it matters only where the experiment says so",
            ),
        ],
    },
    Cause {
        id: VerdictId::UdpHalfOpen,
        title: "UDP opens and then falls silent",
        user_sees: "the picture freezes, often about a minute after the start.",
        wire: "an RDP-UDP connection that was opened, and then nothing from the server over it.",
        proof: None,
        trial: trial(
            "rdpscope ab TARGET --vary udp",
            "with UDP it fails every time, without UDP it holds",
            "it fails without UDP as well, or works with it",
        ),
        beliefs: &[wrong("turning UDP off mends 0x904", UDP_FIRST)],
    },
];
