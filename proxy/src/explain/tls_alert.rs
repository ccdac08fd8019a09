//! AlertDescription of TLS (RFC 8446 6, RFC 5246 7.2): what causes it in RDP and what to do.

use super::advice::{Advice, Known, advice, join};
use super::entry::{AB_CERT, AB_TLS, Entry, INSIDE, PROBE, PROXY};
use crate::wire::tls::alert::{ALERT_DESCRIPTIONS, AlertDescription};
use std::sync::LazyLock;

const DAMAGED: &[&str] = &["a box on the way changes bytes", "one end's TLS is broken"];
const TRUST: &[&str] = &[
    "the certificate is self-signed, as Windows makes it",
    "an intermediate certificate is missing",
    "a TLS inspection box presents a certificate of an authority that the client does not know",
];
const BAD_CERTIFICATE: &[&str] = &[
    "a key, signature or usage that the client does not accept (SHA-1, short RSA, no serverAuth)",
    "the certificate is damaged",
];
const NO_COMMON: &[&str] = &[
    "TLS versions or ciphers were turned off on one end by policy",
    "one end is too old for the other",
    "a TLS inspection box offers less than the client",
];
const EXTENSION: &[&str] =
    &["one end's TLS breaks the rules for extensions", "a box on the way rewrites the handshake"];

/// Every alert; the note is the code that Windows shows for it.
pub(super) static TABLE: LazyLock<Vec<Entry>> =
    LazyLock::new(|| join(ALERT_DESCRIPTIONS.iter().map(known), ADVICE));

fn known(alert: &AlertDescription) -> Known {
    let note = |(status, symbol)| &*format!("Windows shows it as 0x{status:08X} ({symbol}).").leak();
    Known {
        code: alert.number.into(),
        name: alert.name,
        meaning: alert.meaning,
        // The table is made once and lives as long as the program; so may its text.
        note: alert.schannel.map(note),
    }
}

/// By number.
pub(super) const ADVICE: &[Advice] = &[
    advice(&[0], &["a normal end; right after the handshake, a decision of policy"], &[PROXY]),
    advice(
        &[10],
        &["a box on the way", "clear RDP sent into TLS, or TLS sent to a port of something else"],
        &[PROBE],
    ),
    advice(&[20, 21, 22, 100], DAMAGED, &[PROXY]),
    advice(&[30, 50, 51], DAMAGED, &[PROBE]),
    advice(&[40, 47, 60, 70, 71], NO_COMMON, &[PROBE, AB_TLS]),
    advice(&[41], &["a client of the time of SSL 3.0 that was asked for a certificate"], &[PROXY]),
    advice(&[42, 43, 46], BAD_CERTIFICATE, &[PROBE, AB_CERT]),
    advice(&[44], &["the issuer revoked it; bind another one"], &[PROBE]),
    advice(&[45], &["the certificate has expired", "the clock of the client is wrong"], &[PROBE, AB_CERT]),
    advice(&[48], TRUST, &[PROBE, AB_CERT]),
    advice(
        &[49],
        &["RDP servers send it when CredSSP refuses the credentials", "a policy of the TLS front end"],
        &[PROXY, INSIDE],
    ),
    advice(
        &[80],
        &[
            "the server cannot open its private key (rights on MachineKeys; Schannel 36870)",
            "no TLS version is left on the server (Schannel 36871)",
            "memory",
        ],
        &[PROBE],
    ),
    advice(&[86], NO_COMMON, &[PROBE]),
    advice(&[90], &["the user closed a question", "the client gave up"], &[PROXY]),
    advice(&[109, 110], EXTENSION, &[PROBE]),
    advice(
        &[111, 114],
        &["the address that the client gave for its certificate is wrong or out of reach"],
        &[PROXY],
    ),
    advice(
        &[112],
        &["the client dialled another name or an address", "the front end lacks the name"],
        &[PROBE],
    ),
    advice(&[113], &["the server staples an old or damaged OCSP answer"], &[PROBE]),
    advice(&[115], &["a load balancer without shared tickets"], &[PROXY]),
    advice(&[116], &["a TLS front end or gateway that asks for client certificates"], &[PROBE]),
    advice(&[120], &["a front end that speaks only HTTP/2 or another protocol"], &[PROBE]),
];
