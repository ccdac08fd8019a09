//! Causes in the negotiation of what protects the connection.

use super::{Cause, trial, wrong};
use crate::trace::VerdictId;

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        id: VerdictId::TlsRequired,
        title: "The server demands TLS and the client did not offer it",
        user_sees: "an old or restricted client leaves with a general failure.",
        wire: "X.224 negotiation failure 1 (SSL_REQUIRED_BY_SERVER).",
        proof: Some("failure code 1"),
        trial: None,
        beliefs: &[wrong("the server's TLS is broken", "it was not tried: the client never offered it")],
    },
    Cause {
        id: VerdictId::TlsRefusedByServer,
        title: "The server is set to the old RDP security and refuses TLS",
        user_sees: "mstsc: error code 0x904, extended 0x7; FreeRDP names the negotiation failure.",
        wire: "X.224 negotiation failure 2 (SSL_NOT_ALLOWED_BY_SERVER); or, as xrdp does, the choice of RDP security, and \
               the client leaves.",
        proof: Some("failure code 2"),
        trial: None,
        beliefs: &[wrong(
            "setting the security layer to RDP mends connections",
            "it is this fault: clients that insist on TLS can no longer connect",
        )],
    },
    Cause {
        id: VerdictId::ServerCertificateMissing,
        title: "The server has no certificate that it can use",
        user_sees: "mstsc: error code 0x904, extended 0x7.",
        wire: "X.224 negotiation failure 3 (SSL_CERT_NOT_ON_SERVER).",
        proof: Some("failure code 3"),
        trial: None,
        beliefs: &[wrong(
            "the client does not trust the certificate",
            "there is none to trust: the server says so itself",
        )],
    },
    Cause {
        id: VerdictId::InconsistentFlags,
        title: "The server finds the client's negotiation flags contradictory",
        user_sees: "mstsc: error code 0x904, extended 0x7.",
        wire: "X.224 negotiation failure 4 (INCONSISTENT_FLAGS).",
        proof: Some("failure code 4"),
        trial: None,
        beliefs: &[],
    },
    Cause {
        id: VerdictId::NlaRequired,
        title: "The server demands NLA and the client did not offer it",
        user_sees: "mstsc: \"The remote computer requires Network Level Authentication, which your computer does not \
                    support\".",
        wire: "X.224 negotiation failure 5 (HYBRID_REQUIRED_BY_SERVER).",
        proof: Some("failure code 5"),
        trial: None,
        beliefs: &[wrong(
            "NLA has to be switched off on the server",
            "a client that offers NLA mends it too, and leaves the server's protection as it is",
        )],
    },
    Cause {
        id: VerdictId::ClientCertificateRequired,
        title: "The server demands a certificate of the client",
        user_sees: "mstsc: error code 0x904, extended 0x7.",
        wire: "X.224 negotiation failure 6 (SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER).",
        proof: Some("failure code 6"),
        trial: None,
        beliefs: &[],
    },
    Cause {
        id: VerdictId::NlaNotOffered,
        title: "The client insists on NLA and the server chose less",
        user_sees: "FreeRDP: ERRCONNECT_SECURITY_NEGO_CONNECT_FAILED; mstsc: authentication that the server does not support.",
        wire: "the client's request offers HYBRID, the server's answer selects SSL or RDP, the client leaves before TLS.",
        proof: Some(
            "a client that offered nothing but NLA, an answer that selects less, and the client's end",
        ),
        trial: trial(
            "rdpscope ab TARGET --vary nla",
            "with NLA left out of the offer the client gets further",
            "it fails in the same place with and without NLA",
        ),
        beliefs: &[wrong(
            "the password is wrong",
            "no logon has begun: the two did not agree on a way to log on",
        )],
    },
];
