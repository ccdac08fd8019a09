//! SSPI and CryptoAPI codes that Windows shows in dialogs and logs (MS-ERREF 2.1.1).

use super::entry::{AB_ADDRESS, AB_CERT, AB_TLS, Entry, PROBE, PROXY, entries};
use crate::wire::credssp::status::SSPI;

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
    names of SSPI;
    0x80090302 "the function that was asked for is not supported"
        ["NTLM is refused and Kerberos was not possible",
         "encryption oracle remediation: one end lacks the CredSSP update", "no common TLS version"]
        [PROXY, PROBE];
    0x80090303 "the target's name is not known to Kerberos" NAME [PROXY, AB_ADDRESS];
    0x80090304 "the security subsystem failed"
        ["the server cannot open its private key", "the local security authority failed"] [PROBE];
    0x80090308 "a token could not be read"
        ["something else than TLS or CredSSP answered", "bytes were changed on the way"] [PROBE, PROXY];
    0x8009030C "the logon was denied" CREDENTIALS [PROXY];
    0x8009030D "the credentials, or the certificate's private key, cannot be used"
        ["the service may not read the private key (MachineKeys)",
         "the certificate has no private key"] [PROBE];
    0x8009030E "there are no credentials" ["none were entered or saved", "no ticket"]
        [PROXY];
    0x8009030F "a message was changed on the way" DAMAGED [PROXY];
    0x80090311 "no domain controller could be asked"
        ["the client or server reaches no domain controller", "the domain's DNS is wrong"] [PROXY];
    0x80090322 "the server is not the one the ticket is for" NAME [PROBE, AB_ADDRESS];
    0x80090324 "the clocks are too far apart" ["the clock of client or server is wrong"]
        [PROBE];
    0x80090325 "the certificate does not lead to a trusted authority"
        ["the certificate is self-signed", "an intermediate is missing", "TLS is inspected"] [PROBE, AB_CERT];
    0x80090326 "a message was not expected or could not be read"
        ["no common cipher", "something else than TLS answered", "a box on the way"] [PROBE, AB_TLS];
    0x80090327 "the certificate was refused" CERTIFICATE [PROBE, AB_CERT];
    0x80090328 "the certificate has expired" ["its end date", "a wrong clock"]
        [PROBE, AB_CERT];
    0x80090330 "a message could not be decrypted" DAMAGED [PROXY];
    0x80090331 "no algorithm in common" NO_COMMON [PROBE, AB_TLS];
    0x80090333 "the handshake was given up" ["one end gave up"] [PROXY];
    0x80090346 "the channel binding does not fit"
        ["TLS is terminated in between", "the channel binding policy of one end"] [PROXY, AB_CERT];
    0x80090349 "the certificate is not for server authentication"
        ["the extended key usage lacks serverAuth"] [PROBE, AB_CERT];
    0x80090367 "no application protocol in common"
        ["a front end that speaks only another protocol"] [PROBE];
    0x80092010 "the certificate was revoked" ["the issuer revoked it"] [PROBE];
};
