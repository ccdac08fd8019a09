//! Causes in the TLS handshake, apart from the certificate.

use super::{Cause, trial, wrong};
use crate::trace::VerdictId;

const ON_THE_SERVER: &str = "rdpscope probe 127.0.0.1:3389";

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        id: VerdictId::TlsVersionMismatch,
        title: "Client and server share no TLS version",
        user_sees: "mstsc: error code 0x904, extended 0x7; FreeRDP: ERRCONNECT_TLS_CONNECT_FAILED.",
        wire: "the alert protocol_version (70), in clear; or a server that chooses TLS 1.0 or 1.1 and a client that breaks \
               off.",
        proof: Some("the alert protocol_version (70)"),
        trial: trial(
            "rdpscope ab TARGET --vary tls",
            "with rdpscope's own TLS towards the server the client gets further, for some versions and not for others",
            "every version fails in the same place",
        ),
        beliefs: &[wrong(
            "0x904 is the TLS version error",
            "0x904 says that the socket was closed, whatever for",
        )],
    },
    Cause {
        id: VerdictId::TlsCipherMismatch,
        title: "Client and server share no cipher suite, group or signature scheme",
        user_sees: "mstsc: error code 0x904, extended 0x7; FreeRDP: ERRCONNECT_TLS_CONNECT_FAILED.",
        wire: "the alert handshake_failure (40) or insufficient_security (71), in clear, in answer to the ClientHello.",
        proof: Some("the server's alert 40 right after the ClientHello, or the alert 71"),
        trial: trial(
            "rdpscope ab TARGET --vary tls",
            "some TLS version works, as its suites are others",
            "every version fails in the same place",
        ),
        beliefs: &[wrong(
            "the certificate was refused",
            "the handshake ended before a certificate was shown",
        )],
    },
    Cause {
        id: VerdictId::ServerKeyUnusable,
        title: "The server cannot use the private key of its certificate (MachineKeys)",
        user_sees: "mstsc: error code 0x904, extended 0x7, within a second, from every client.",
        wire: "TCP and X.224 work, then the server drops the connection milliseconds after each ClientHello, of every TLS \
               version, with no alert or with internal_error (80).",
        proof: None,
        trial: trial(
            ON_THE_SERVER,
            "run on the server itself, every TLS version is dropped as well, and its System log has Schannel 36870: the \
             network is out of it",
            "on the server itself TLS works: something on the way cuts the ClientHello",
        ),
        beliefs: &[
            wrong(
                "the certificate has expired",
                "a server shows an expired certificate without any complaint",
            ),
            wrong(
                "a firewall blocks TLS",
                "a firewall cannot act on a connection of the server with itself: try from there",
            ),
        ],
    },
    Cause {
        id: VerdictId::TlsStalled,
        title: "A part of the TLS handshake vanishes on the way",
        user_sees: "mstsc hangs at \"Securing remote connection\", then error code 0x904 or 0x108.",
        wire: "a ClientHello or the server's flight with the certificate is sent again and again, and nothing comes back: \
               what is small passes, what fills a segment does not.",
        proof: Some(
            "a probe whose large ClientHello is lost and comes through when it is cut into small segments",
        ),
        trial: trial(
            "rdpscope ab TARGET --vary mss",
            "as it is it stalls, with segments of at most 1200 bytes it works: the path MTU is smaller than it says",
            "small segments stall as well: something holds or swallows the handshake",
        ),
        beliefs: &[
            wrong("it is bandwidth", "a few kilobytes never come, however long one waits"),
            wrong("ping works, so the path is good", "ping is small: `ping -f -l 1472 HOST` is the question"),
        ],
    },
    Cause {
        id: VerdictId::TlsInspected,
        title: "Something between client and server takes TLS apart",
        user_sees: "a warning of a certificate that nobody in the house has issued, or error code 0x904; with NLA the \
                    logon fails with every password.",
        wire: "a certificate whose issuer is a product for inspection, or a ServerHello that carries the mark of a rewritten \
               handshake.",
        proof: None,
        trial: trial(
            ON_THE_SERVER,
            "run on the server itself it shows another certificate than from the client's network: something in between \
             replaces it",
            "both see the same certificate, with the same thumbprint",
        ),
        beliefs: &[wrong(
            "trusting the inspection's CA mends it",
            "NLA binds the logon to the server's own key: over another key it cannot come to its end",
        )],
    },
    Cause {
        id: VerdictId::NotIntercepted,
        title: "The TLS that rdpscope was to end could not be ended",
        user_sees: "the connection fails through rdpscope; without it, it may work.",
        wire: "rdpscope's own TLS with the client or with the server fails.",
        proof: Some("the failure of rdpscope's own handshake"),
        trial: trial(
            "rdpscope proxy TARGET",
            "without --cert, where TLS passes untouched, the session gets further",
            "it fails in the same place: the two cannot talk without rdpscope either",
        ),
        beliefs: &[],
    },
];
