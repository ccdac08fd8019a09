//! SSPI and CryptoAPI codes that Windows shows in dialogs and logs (MS-ERREF 2.1.1).

use super::entry::{AB_ADDRESS, AB_CERT, AB_TLS, Entry, PROBE, PROXY, entries};

const NAME: &[&str] = &[
    "an address or alias was dialled for which no service principal name exists",
    "the name leads to another machine",
];
const CREDENTIALS: &[&str] =
    &["the user name, domain or password is wrong", "no credentials may be sent (policy)"];
const CERTIFICATE: &[&str] = &["the certificate was refused: key, signature, usage or encoding"];
const DAMAGED: &[&str] = &["a box on the way changes bytes", "one end's TLS is broken"];
const NO_COMMON: &[&str] =
    &["TLS versions or ciphers were turned off on one end", "one end is too old for the other"];

/// The codes that are seen with RDP.
pub(super) const TABLE: &[Entry] = entries! {
    0x80090302 "SEC_E_UNSUPPORTED_FUNCTION" "the function that was asked for is not supported"
        ["NTLM is refused and Kerberos was not possible",
         "encryption oracle remediation: one end lacks the CredSSP update", "no common TLS version"]
        [PROXY, PROBE];
    0x80090303 "SEC_E_TARGET_UNKNOWN" "the target's name is not known to Kerberos" NAME [PROXY, AB_ADDRESS];
    0x80090304 "SEC_E_INTERNAL_ERROR" "the security subsystem failed"
        ["the server cannot open its private key", "the local security authority failed"] [PROBE];
    0x80090308 "SEC_E_INVALID_TOKEN" "a token could not be read"
        ["something else than TLS or CredSSP answered", "bytes were changed on the way"] [PROBE, PROXY];
    0x8009030C "SEC_E_LOGON_DENIED" "the logon was denied" CREDENTIALS [PROXY];
    0x8009030D "SEC_E_UNKNOWN_CREDENTIALS" "the credentials, or the certificate's private key, cannot be used"
        ["the service may not read the private key (MachineKeys)",
         "the certificate has no private key"] [PROBE];
    0x8009030E "SEC_E_NO_CREDENTIALS" "there are no credentials" ["none were entered or saved", "no ticket"]
        [PROXY];
    0x8009030F "SEC_E_MESSAGE_ALTERED" "a message was changed on the way" DAMAGED [PROXY];
    0x80090311 "SEC_E_NO_AUTHENTICATING_AUTHORITY" "no domain controller could be asked"
        ["the client or server reaches no domain controller", "the domain's DNS is wrong"] [PROXY];
    0x80090322 "SEC_E_WRONG_PRINCIPAL" "the server is not the one the ticket is for" NAME [PROBE, AB_ADDRESS];
    0x80090324 "SEC_E_TIME_SKEW" "the clocks are too far apart" ["the clock of client or server is wrong"]
        [PROBE];
    0x80090325 "SEC_E_UNTRUSTED_ROOT" "the certificate does not lead to a trusted authority"
        ["the certificate is self-signed", "an intermediate is missing", "TLS is inspected"] [PROBE, AB_CERT];
    0x80090326 "SEC_E_ILLEGAL_MESSAGE" "a message was not expected or could not be read"
        ["no common cipher", "something else than TLS answered", "a box on the way"] [PROBE, AB_TLS];
    0x80090327 "SEC_E_CERT_UNKNOWN" "the certificate was refused" CERTIFICATE [PROBE, AB_CERT];
    0x80090328 "SEC_E_CERT_EXPIRED" "the certificate has expired" ["its end date", "a wrong clock"]
        [PROBE, AB_CERT];
    0x80090330 "SEC_E_DECRYPT_FAILURE" "a message could not be decrypted" DAMAGED [PROXY];
    0x80090331 "SEC_E_ALGORITHM_MISMATCH" "no algorithm in common" NO_COMMON [PROBE, AB_TLS];
    0x80090333 "SEC_E_UNFINISHED_CONTEXT_DELETED" "the handshake was given up" ["one end gave up"] [PROXY];
    0x80090346 "SEC_E_BAD_BINDINGS" "the channel binding does not fit"
        ["TLS is terminated in between", "the channel binding policy of one end"] [PROXY, AB_CERT];
    0x80090349 "SEC_E_CERT_WRONG_USAGE" "the certificate is not for server authentication"
        ["the extended key usage lacks serverAuth"] [PROBE, AB_CERT];
    0x80090367 "SEC_E_APPLICATION_PROTOCOL_MISMATCH" "no application protocol in common"
        ["a front end that speaks only another protocol"] [PROBE];
    0x80092010 "CRYPT_E_REVOKED" "the certificate was revoked" ["the issuer revoked it"] [PROBE];
};
