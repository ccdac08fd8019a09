//! Causes on the way through an RD Gateway.

use super::{Cause, Trial, trial, wrong};
use crate::trace::VerdictId;

const TRANSPORTS: Option<Trial> = trial(
    "rdpscope ab TARGET --gateway GATEWAY --vary gateway-transport",
    "one transport fails every time and another works",
    "all transports come out the same",
);

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        id: VerdictId::GatewayUnreachable,
        title: "The gateway cannot be reached",
        user_sees: "mstsc: the Remote Desktop Gateway server is unreachable; error codes 0x300000C, 0x300000D.",
        wire: "no TCP connection to the gateway; or a box before it that answers 502, 503 or 504.",
        proof: Some("the refusal of every connection attempt to the gateway"),
        trial: None,
        beliefs: &[wrong("the target is down", "nobody has asked for the target yet")],
    },
    Cause {
        id: VerdictId::GatewayNotAGateway,
        title: "What answers under the gateway's name is no gateway",
        user_sees: "mstsc: the Remote Desktop Gateway server is temporarily unavailable, or 0x300000D.",
        wire: "a web server's answer to a request for a tunnel: 404, 405, a page, a redirection.",
        proof: Some("first bytes that are neither TLS nor HTTP"),
        trial: None,
        beliefs: &[wrong(
            "the name opens in a browser, so the gateway works",
            "a web server is not yet a gateway",
        )],
    },
    Cause {
        id: VerdictId::GatewayTransportBlocked,
        title: "A box on the way refuses the gateway's transport",
        user_sees: "mstsc: the Remote Desktop Gateway server is unreachable; from another network it works.",
        wire: "WebSocket or the methods RDG_OUT_DATA and RDG_IN_DATA are refused, stripped, cut or swallowed, by a box that \
               often names itself.",
        proof: Some(
            "a refusal by a box beside the gateway's own answers, a 407 of a proxy, or a 101 without its headers",
        ),
        trial: TRANSPORTS,
        beliefs: &[wrong(
            "HTTPS is open, so the gateway's traffic passes",
            "a gateway speaks methods and an upgrade that boxes which open TLS may not know",
        )],
    },
    Cause {
        id: VerdictId::GatewayResponseMalformed,
        title: "A box on the way alters or holds back the gateway's responses",
        user_sees: "mstsc hangs at the gateway, then gives up; error codes 0x3000009, 0x300000A, 0x3000033.",
        wire: "chunk sizes or other bytes inside the tunnel, bytes that come long after their head, a logon that is cut in \
               its middle.",
        proof: Some("chunk sizes or foreign bytes in the body of the tunnel"),
        trial: TRANSPORTS,
        beliefs: &[wrong(
            "the gateway is overloaded",
            "its bytes are under way: a box keeps them until it has enough",
        )],
    },
    Cause {
        id: VerdictId::GatewayAuthFailed,
        title: "The gateway refuses the logon",
        user_sees: "mstsc: the logon attempt failed, and it asks again; error codes 0x3000001, 0x3000015.",
        wire: "401 to the last message of a logon, a status inside the tunnel, or the code of a cookie (PAA).",
        proof: Some("the 401 to the complete logon, the status, or the code"),
        trial: None,
        beliefs: &[wrong(
            "the password of the computer is wrong",
            "it is the gateway that asks: its users and the target's may be others",
        )],
    },
    Cause {
        id: VerdictId::GatewayChannelBinding,
        title: "The gateway binds the logon to TLS, and TLS is ended in between",
        user_sees: "mstsc: the logon attempt failed, with every password.",
        wire: "a logon by NTLM that carries channel bindings, another certificate than the gateway's, and 401 or bad \
               bindings. Through rdpscope with --cert it may be rdpscope's own doing, and is said so.",
        proof: Some("the status SEC_E_BAD_BINDINGS or STATUS_BAD_BINDINGS"),
        trial: trial(
            "rdpscope proxy TARGET --gateway GATEWAY --cert passthrough",
            "with TLS untouched the logon works",
            "it fails as well: it is the logon, or another box on the way",
        ),
        beliefs: &[wrong(
            "--renew-with helps, as it does for NLA",
            "this binding is to the certificate and not to its key: only the gateway's own certificate fits",
        )],
    },
    Cause {
        id: VerdictId::GatewayPolicyDenied,
        title: "A policy of the gateway (CAP or RAP) forbids it",
        user_sees: "mstsc: your user account or computer is not authorized on the gateway; error codes 0x300001B, 0x300001C.",
        wire: "a status inside the tunnel: E_PROXY_RAP_ACCESSDENIED, E_PROXY_NAP_ACCESSDENIED and their kin.",
        proof: Some("the gateway's status"),
        trial: None,
        beliefs: &[wrong(
            "the user lacks a right on the target",
            "the gateway refuses by its own policies, before the target is asked",
        )],
    },
    Cause {
        id: VerdictId::GatewayTargetUnreachable,
        title: "The gateway cannot reach the target",
        user_sees: "mstsc: the gateway cannot connect to the remote computer; error code 0x3000008.",
        wire: "a status inside the tunnel: E_PROXY_TS_CONNECTFAILED or a number of the gateway's sockets.",
        proof: Some("the gateway's status"),
        trial: None,
        beliefs: &[wrong(
            "I can ping the target, so it is reachable",
            "what the client's side reaches says nothing of what the gateway can",
        )],
    },
    Cause {
        id: VerdictId::GatewayLimit,
        title: "The gateway has as many connections as it allows",
        user_sees: "mstsc: the gateway has reached its maximum of connections; error code 0x3000022.",
        wire: "the status E_PROXY_MAXCONNECTIONSREACHED.",
        proof: Some("the gateway's status"),
        trial: None,
        beliefs: &[],
    },
];
