//! dwErrorCode of the Licensing Error Message (MS-RDPBCGR 2.2.1.12.1.3).

use super::entry::{Entry, INSIDE, entries};

const STORE: &[&str] =
    &["the client's licence store (MSLicensing) is damaged", "bytes were changed on the way"];
const SERVER: &[&str] =
    &["the licence server has no licence left", "the licence is of another kind or scope"];

/// The codes of licensing errors.
pub(super) const TABLE: &[Entry] = entries! {
    1 "ERR_INVALID_SERVER_CERTIFICATE" "the client refuses the certificate of the licence server"
        ["the licence server's certificate is damaged or expired"] [INSIDE];
    2 "ERR_NO_LICENSE" "the client has no licence to present"
        ["the client's first connection; no fault by itself"]
        [INSIDE];
    3 "ERR_INVALID_MAC" "a licensing message was damaged" STORE [INSIDE];
    4 "ERR_INVALID_SCOPE" "the licence is from another scope" SERVER [INSIDE];
    6 "ERR_NO_LICENSE_SERVER" "the server reaches no licence server"
        ["none is named or reachable and the grace period is over"] [INSIDE];
    7 "STATUS_VALID_CLIENT" "licensing succeeded or was not needed" ["a healthy connection sends it"] [INSIDE]
        => "With state transition 2 this is success, not an error.";
    8 "ERR_INVALID_CLIENT" "the server refuses the client's licence" SERVER [INSIDE];
    0xB "ERR_INVALID_PRODUCTID" "the licence is for another product" SERVER [INSIDE];
    0xC "ERR_INVALID_MESSAGE_LEN" "a licensing message has a wrong length" STORE [INSIDE];
};
