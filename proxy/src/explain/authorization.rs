//! Results that follow authentication: Early User Authorization (MS-RDPBCGR 2.2.10.2), RDSTLS (5.4.5.3).

use super::entry::{Entry, INSIDE, PROXY, entries};

/// The codes of RDSTLS; 5 is that of Early User Authorization too.
pub(super) const TABLE: &[Entry] = entries! {
    5 "AUTHZ_ACCESS_DENIED" "the credentials are right and the user may not log on through Remote Desktop"
        ["the user is not in Remote Desktop Users",
         "the right to log on through Remote Desktop is denied by policy"]
        [PROXY, INSIDE];
    0x52E "ERROR_LOGON_FAILURE" "a wrong user name or password"
        ["the redirection's password is stale", "the password is wrong"] [PROXY];
    0x530 "ERROR_INVALID_LOGON_HOURS" "the account may not log on at this hour" ["the account's hours"]
        [PROXY];
    0x532 "ERROR_PASSWORD_EXPIRED" "the password has expired" ["the password is too old"] [PROXY];
    0x533 "ERROR_ACCOUNT_DISABLED" "the account is disabled" ["the account was disabled"] [PROXY];
    0x773 "ERROR_PASSWORD_MUST_CHANGE" "the password must be changed first"
        ["the account is new or was reset"]
        [PROXY];
    0x775 "ERROR_ACCOUNT_LOCKED_OUT" "the account is locked" ["too many wrong passwords"] [PROXY];
};
