//! dwErrorCode of the Licensing Error Message (MS-RDPBCGR 2.2.1.12.1.3).

use super::entry::{Entry, INSIDE, entries};
use crate::wire::rdp::licensing::ERROR_CODES;

const STORE: &[&str] =
    &["the client's licence store (MSLicensing) is damaged", "bytes were changed on the way"];
const SERVER: &[&str] =
    &["the licence server has no licence left", "the licence is of another kind or scope"];

/// The codes of licensing errors.
pub(super) const TABLE: &[Entry] = entries! {
    names of ERROR_CODES;
    1 "the client refuses the certificate of the licence server"
        ["the licence server's certificate is damaged or expired"] [INSIDE];
    2 "the client has no licence to present"
        ["the client's first connection; no fault by itself"]
        [INSIDE];
    3 "a licensing message was damaged" STORE [INSIDE];
    4 "the licence is from another scope" SERVER [INSIDE];
    6 "the server reaches no licence server"
        ["none is named or reachable and the grace period is over"] [INSIDE];
    7 "licensing succeeded or was not needed" ["a healthy connection sends it"] [INSIDE]
        => "With state transition 2 this is success, not an error.";
    8 "the server refuses the client's licence" SERVER [INSIDE];
    0xB "the licence is for another product" SERVER [INSIDE];
    0xC "a licensing message has a wrong length" STORE [INSIDE];
};
