//! failureCode of RDP_NEG_FAILURE in the X.224 Connection Confirm (MS-RDPBCGR 2.2.1.2.2).

use super::entry::{AB_NLA, Entry, PROBE, PROXY, RDP_LINT, entries};
use crate::wire::x224::FAILURE_CODES;

/// The six codes.
pub(super) const TABLE: &[Entry] = entries! {
    names of FAILURE_CODES;
    1 "the server wants TLS and the client offered only RDP security"
        ["the profile turns the security negotiation off (`negotiate security layer:i:0`)", "an old client"]
        [PROBE, RDP_LINT];
    2 "the server allows RDP security only and the client asked for TLS"
        ["SecurityLayer is 0 on the server, by policy or by hand"] [PROBE];
    3 "the server has no certificate that it can use"
        ["the self-signed certificate is missing and could not be made", "SSLCertificateSHA1Hash names none",
         "the service may not read the private key"] [PROBE];
    4 "the flags of the client's request contradict each other"
        ["a fault of the client", "a box on the way that rewrites the request"] [PROXY, PROBE];
    5 "the server requires NLA and the client did not offer it"
        ["the profile turns CredSSP off (`enablecredsspsupport:i:0`)", "a client without NLA",
         "a second attempt with fewer protocols after NLA failed"] [PROXY, AB_NLA];
    6 "the server wants TLS with a client certificate"
        ["a server of the time of RDP 6.0", "a TLS front end that asks for client certificates"] [PROBE];
};
