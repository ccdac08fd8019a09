//! Causes in the server's certificate.

use super::{Cause, Trial, trial, wrong};
use crate::explain::WrongClaim;
use crate::trace::VerdictId;

const VARY: &str = "rdpscope ab TARGET --vary cert";
const AS_A_FRESH_ONE: &str =
    "the client fails in the same place with a fresh certificate: it is not the certificate";

/// The experiment, for the copy with one property repaired.
const fn repaired(proves: &'static str) -> Option<Trial> {
    trial(VARY, proves, AS_A_FRESH_ONE)
}

const SEEN: &str = "mstsc asks \"The identity of the remote computer cannot be verified\", or, where it may not ask, ends \
                    with error code 0x904, extended 0x7.";
const SECURITY_LAYER: WrongClaim = wrong(
    "setting the security layer to RDP mends it",
    "it hides the certificate by giving up TLS, and with it the proof of whom one is talking to",
);
const ANY_WARNING: WrongClaim = wrong(
    "the warning can be clicked away, so that cannot be it",
    "a policy, `authentication level:i:1` in the profile or a client without a window refuses where a person would click",
);

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        id: VerdictId::CertificateExpired,
        title: "The client refuses the server's certificate because it has expired",
        user_sees: SEEN,
        wire: "a certificate past its end, and a client that leaves right after it was shown, with the alert \
               certificate_expired (45) or without a word.",
        proof: Some(
            "the alert certificate_expired (45), readable in clear or where rdpscope ends TLS, and a certificate past its end",
        ),
        trial: repaired(
            "the server's own certificate fails every time, a copy with its dates repaired passes (`mirror+dates`), a plain \
             copy fails",
        ),
        beliefs: &[
            SECURITY_LAYER,
            wrong(
                "Windows renews its self-signed certificate by itself, so it cannot expire",
                "it tries to, and fails where the service may not write its key store: events 1057 and 1058",
            ),
            ANY_WARNING,
        ],
    },
    Cause {
        id: VerdictId::CertificateNotYetValid,
        title: "The client refuses the server's certificate because it is not valid yet",
        user_sees: SEEN,
        wire: "a certificate whose beginning lies ahead, and a client that leaves right after it was shown.",
        proof: Some(
            "the alert certificate_expired (45), readable in clear or where rdpscope ends TLS, and a certificate before its beginning",
        ),
        trial: repaired(
            "the server's own certificate fails every time, a copy with its dates repaired passes (`mirror+dates`), a plain \
             copy fails",
        ),
        beliefs: &[wrong(
            "the certificate has to be replaced",
            "most often a clock is wrong: the client's, or the server's when it made the certificate",
        )],
    },
    Cause {
        id: VerdictId::CertificateNameMismatch,
        title: "The client refuses the server's certificate because it is for another name",
        user_sees: SEEN,
        wire: "a certificate without the name that was dialled, and a client that leaves right after it was shown.",
        proof: None,
        trial: repaired(
            "the server's own certificate fails every time, a copy with the dialled name passes (`mirror+names`), a plain \
             copy fails",
        ),
        beliefs: &[wrong(
            "any certificate of our CA will do",
            "it has to carry the very name that users dial: an address, a short name and a full name are three names",
        )],
    },
    Cause {
        id: VerdictId::CertificateUntrusted,
        title: "The client does not trust who issued the server's certificate",
        user_sees: SEEN,
        wire: "a self-signed certificate or an issuer that the client does not know, and a client that leaves right after it \
               was shown, with the alert unknown_ca (48) or without a word.",
        proof: Some("the alert unknown_ca (48), readable in clear or where rdpscope ends TLS"),
        trial: repaired(
            "the server's own certificate fails every time, a copy issued by a CA that the client trusts passes \
             (`mirror+issuer`), a plain copy fails",
        ),
        beliefs: &[wrong(
            "a self-signed certificate is the fault",
            "Windows makes one for every server, and clients take it unless they were told not to",
        )],
    },
    Cause {
        id: VerdictId::CertificateWrongUsage,
        title: "The client refuses the server's certificate because it is not for servers",
        user_sees: SEEN,
        wire: "a certificate whose extended key usage lacks server authentication, and a client that leaves right after it \
               was shown.",
        proof: None,
        trial: repaired(
            "the server's own certificate fails every time, a copy for server authentication passes (`mirror+usage`), a \
             plain copy fails",
        ),
        beliefs: &[wrong(
            "it works for the web server, so it works for RDP",
            "clients of RDP look at the usage too, and some templates of a domain's CA have only client authentication",
        )],
    },
    Cause {
        id: VerdictId::CertificateWeak,
        title: "The client refuses the server's certificate because its key or signature is weak",
        user_sees: SEEN,
        wire: "a certificate with MD5, SHA-1 or a short RSA key, and a client that leaves right after it was shown.",
        proof: None,
        trial: repaired(
            "the server's own certificate fails every time, a copy with a strong key and signature passes \
             (`mirror+strength`), a plain copy fails",
        ),
        beliefs: &[wrong(
            "other clients take it, so it is not weak",
            "each system has its own limit: only the client that fails counts",
        )],
    },
    Cause {
        id: VerdictId::CertificateRevoked,
        title: "The client refuses the server's certificate because it was revoked",
        user_sees: SEEN,
        wire: "the alert certificate_revoked (44).",
        proof: Some("the alert certificate_revoked (44), readable in clear or where rdpscope ends TLS"),
        trial: repaired("the server's own certificate fails every time, a fresh one passes"),
        beliefs: &[wrong(
            "the list of revocations could not be fetched",
            "that is another answer; this one says that the certificate stands on it",
        )],
    },
    Cause {
        id: VerdictId::CertificateRejected,
        title: "The client refused the server's certificate, and the wire does not say why",
        user_sees: SEEN,
        wire: "a client that leaves right after the server's part of the handshake: with an alert that names no reason, or \
               under TLS 1.3, which hides both certificate and reason.",
        proof: Some("an alert about the certificate in which no reason stands"),
        trial: repaired(
            "the server's own certificate fails every time, a fresh one passes; the copies name the property that is guilty",
        ),
        beliefs: &[wrong(
            "the server closed the connection",
            "0x904 reads like that; on the wire it is the client that leaves",
        )],
    },
];
