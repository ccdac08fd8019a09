//! AlertDescription of TLS (RFC 8446 6, RFC 5246 7.2), as it is to be read in RDP.

use super::entry::{AB_CERT, AB_TLS, Entry, INSIDE, PROBE, PROXY, entries};

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

/// The alerts; the note is the code that Windows shows for it.
pub(super) const TABLE: &[Entry] = entries! {
    0 "close_notify" "the peer closed TLS in order"
        ["a normal end; right after the handshake, a decision of policy"]
        [PROXY];
    10 "unexpected_message" "a message came out of its order"
        ["a box on the way", "clear RDP sent into TLS, or TLS sent to a port of something else"] [PROBE]
        => "Windows shows it as 0x80090326 (SEC_E_ILLEGAL_MESSAGE).";
    20 "bad_record_mac" "a record was damaged or forged" DAMAGED [PROXY]
        => "Windows shows it as 0x8009030F (SEC_E_MESSAGE_ALTERED).";
    21 "decryption_failed" "a record could not be decrypted" DAMAGED [PROXY]
        => "Windows shows it as 0x80090330 (SEC_E_DECRYPT_FAILURE).";
    22 "record_overflow" "a record is too long" DAMAGED [PROXY]
        => "Windows shows it as 0x80090326 (SEC_E_ILLEGAL_MESSAGE).";
    40 "handshake_failure" "the two ends have no cipher, group or signature scheme in common" NO_COMMON
        [PROBE, AB_TLS]
        => "Windows shows it as 0x80090326 and logs Schannel 36874 on the server.";
    42 "bad_certificate" "the certificate is damaged or its signature is wrong" BAD_CERTIFICATE
        [PROBE, AB_CERT]
        => "Windows shows it as 0x80090327 (SEC_E_CERT_UNKNOWN).";
    43 "unsupported_certificate" "the certificate is of a kind that the peer does not accept" BAD_CERTIFICATE
        [PROBE, AB_CERT] => "Windows shows it as 0x80090327 (SEC_E_CERT_UNKNOWN).";
    44 "certificate_revoked" "the certificate was revoked" ["the issuer revoked it; bind another one"] [PROBE]
        => "Windows shows it as 0x80092010 (CRYPT_E_REVOKED).";
    45 "certificate_expired" "the certificate is not in its time of validity"
        ["the certificate has expired", "the clock of the client is wrong"] [PROBE, AB_CERT]
        => "Windows shows it as 0x80090328 (SEC_E_CERT_EXPIRED).";
    46 "certificate_unknown" "the certificate was refused for a reason that is not told" BAD_CERTIFICATE
        [PROBE, AB_CERT] => "Windows shows it as 0x80090327 (SEC_E_CERT_UNKNOWN).";
    47 "illegal_parameter" "a field of the handshake is out of range" NO_COMMON [PROBE, AB_TLS]
        => "Windows shows it as 0x80090326 (SEC_E_ILLEGAL_MESSAGE).";
    48 "unknown_ca" "the certificate does not lead to an authority that the client trusts" TRUST
        [PROBE, AB_CERT]
        => "Windows shows it as 0x80090325 (SEC_E_UNTRUSTED_ROOT).";
    49 "access_denied" "the certificate or the credentials were refused by policy"
        ["RDP servers send it when CredSSP refuses the credentials",
         "a policy of the TLS front end"] [PROXY, INSIDE]
        => "Windows shows it as 0x8009030C (SEC_E_LOGON_DENIED).";
    50 "decode_error" "a message could not be read" DAMAGED [PROBE]
        => "Windows shows it as 0x80090326 (SEC_E_ILLEGAL_MESSAGE).";
    51 "decrypt_error" "a signature or the Finished message is wrong" DAMAGED [PROBE]
        => "Windows shows it as 0x80090330 (SEC_E_DECRYPT_FAILURE).";
    70 "protocol_version" "the two ends have no TLS version in common" NO_COMMON [PROBE, AB_TLS]
        => "Windows shows it as 0x80090302 (SEC_E_UNSUPPORTED_FUNCTION).";
    71 "insufficient_security" "the server demands stronger ciphers" NO_COMMON [PROBE, AB_TLS]
        => "Windows shows it as 0x80090331 (SEC_E_ALGORITHM_MISMATCH).";
    80 "internal_error" "the peer failed in itself"
        ["the server cannot open its private key (rights on MachineKeys; Schannel 36870)",
         "no TLS version is left on the server (Schannel 36871)", "memory"] [PROBE]
        => "Windows shows it as 0x80090304 (SEC_E_INTERNAL_ERROR).";
    86 "inappropriate_fallback" "a second attempt with a lower version was refused" NO_COMMON [PROBE];
    90 "user_canceled" "the handshake was cancelled" ["the user closed a question", "the client gave up"]
        [PROXY]
        => "Windows shows it as 0x80090333 (SEC_E_UNFINISHED_CONTEXT_DELETED).";
    100 "no_renegotiation" "a renegotiation was refused" DAMAGED [PROXY];
    109 "missing_extension" "the handshake lacks an extension" EXTENSION [PROBE];
    110 "unsupported_extension" "the handshake has an extension that was not offered" EXTENSION [PROBE];
    112 "unrecognized_name" "a TLS front end does not know the name that the client asked for"
        ["the client dialled another name or an address", "the front end lacks the name"] [PROBE];
    115 "unknown_psk_identity" "the session to be resumed is not known"
        ["a load balancer without shared tickets"]
        [PROXY];
    116 "certificate_required" "a client certificate is demanded"
        ["a TLS front end or gateway that asks for client certificates"] [PROBE];
    120 "no_application_protocol" "no application protocol in common"
        ["a front end that speaks only HTTP/2 or another protocol"] [PROBE]
        => "Windows shows it as 0x80090367 (SEC_E_APPLICATION_PROTOCOL_MISMATCH).";
};
