//! What the numbers mean with which a server refuses a logon: NTSTATUS and SSPI codes in CredSSP (MS-CSSP 2.2.1,
//! MS-ERREF 2.3.1), Win32 errors in RDSTLS (MS-RDPBCGR 2.2.17.4), HRESULTs in RDS-AAD (MS-RDPBCGR 2.2.18.3).

use crate::trace::VerdictId;

/// STATUS_ACCESS_DENIED: the user may not, or the key binding does not fit.
pub(super) const ACCESS_DENIED: u32 = 0xC000_0022;
/// STATUS_NOT_SUPPORTED: the version of CredSSP is refused, or NTLM is.
pub(super) const NOT_SUPPORTED: u32 = 0xC000_00BB;
/// SEC_E_UNSUPPORTED_FUNCTION, the same in the words of SSPI.
pub(super) const UNSUPPORTED_FUNCTION: u32 = 0x8009_0302;
/// SEC_E_MESSAGE_ALTERED: the key binding did not verify, or a message was damaged.
pub(super) const MESSAGE_ALTERED: u32 = 0x8009_030F;

/// The half of a code that says whose it is.
const FACILITY: u32 = 0xFFFF_0000;
const ERROR_ACCESS_DENIED: u32 = 5;
/// The upper half of an HRESULT that carries a Win32 error.
const FACILITY_WIN32: u32 = 0x8007_0000;
/// The upper half of an NTSTATUS that does (MS-ERREF 2.3, FACILITY_NTWIN32).
const FACILITY_NTWIN32: u32 = 0xC007_0000;

/// One number that has one cause.
#[derive(Debug)]
pub(super) struct LogonStatus {
    pub(super) code: u32,
    pub(super) name: &'static str,
    pub(super) cause: VerdictId,
    /// What is wrong, as the second half of a sentence.
    pub(super) meaning: &'static str,
}

/// What is known of `code`.
pub(super) fn logon_status(code: u32) -> Option<&'static LogonStatus> {
    let code = match code & FACILITY {
        FACILITY_WIN32 => code & !FACILITY,
        // What the system had last may be a denial of anything.
        FACILITY_NTWIN32 if code & !FACILITY != ERROR_ACCESS_DENIED => code & !FACILITY,
        _ => code,
    };
    STATUSES.iter().find(|status| status.code == code)
}

/// Whether `code` is an error of the server's system made into an NTSTATUS. FreeRDP's servers answer every logon that
/// they refuse with the last one they had, such as 0xC00700EA, ERROR_MORE_DATA.
pub(super) fn is_system_error(code: u32) -> bool {
    code & FACILITY == FACILITY_NTWIN32
}

macro_rules! statuses {
    ($($cause:ident { $($code:literal $name:literal $meaning:literal,)* })*) => {
        &[$($(LogonStatus {
            code: $code,
            name: $name,
            cause: VerdictId::$cause,
            meaning: $meaning,
        },)*)*]
    };
}

pub(super) const STATUSES: &[LogonStatus] = statuses! {
    NlaLogonFailed {
        0xC000_006D "STATUS_LOGON_FAILURE" "the user name or the password is wrong",
        0xC000_0064 "STATUS_NO_SUCH_USER" "there is no such user",
        0xC000_006A "STATUS_WRONG_PASSWORD" "the password is wrong",
        0xC000_0380 "STATUS_SMARTCARD_WRONG_PIN" "the smart card's PIN is wrong",
        0xC000_02F9 "STATUS_PKINIT_NAME_MISMATCH" "the smart card is another user's",
        0x8009_030C "SEC_E_LOGON_DENIED" "the user name or the password is wrong",
        0x8009_030D "SEC_E_UNKNOWN_CREDENTIALS" "the credentials are not known",
        0x52E "ERROR_LOGON_FAILURE" "the user name or the password is wrong",
        0x56 "ERROR_INVALID_PASSWORD" "the password is wrong",
    }
    NlaAccountLocked {
        0xC000_0234 "STATUS_ACCOUNT_LOCKED_OUT" "the account is locked",
        0x775 "ERROR_ACCOUNT_LOCKED_OUT" "the account is locked",
    }
    NlaAccountDisabled {
        0xC000_0072 "STATUS_ACCOUNT_DISABLED" "the account is disabled",
        0xC000_0193 "STATUS_ACCOUNT_EXPIRED" "the account is past its end date",
        0x533 "ERROR_ACCOUNT_DISABLED" "the account is disabled",
        0x701 "ERROR_ACCOUNT_EXPIRED" "the account is past its end date",
    }
    NlaPasswordExpired {
        0xC000_0071 "STATUS_PASSWORD_EXPIRED" "the password has expired",
        0xC000_0224 "STATUS_PASSWORD_MUST_CHANGE" "the password has to be changed before the first logon",
        0x532 "ERROR_PASSWORD_EXPIRED" "the password has expired",
        0x773 "ERROR_PASSWORD_MUST_CHANGE" "the password has to be changed before the first logon",
    }
    NlaAccountRestricted {
        0xC000_006E "STATUS_ACCOUNT_RESTRICTION" "a restriction of the account forbids it, such as an empty password",
        0xC000_006F "STATUS_INVALID_LOGON_HOURS" "the account may not log on at this hour",
        0xC000_0070 "STATUS_INVALID_WORKSTATION" "the account may not log on from this computer",
        0xC000_0413 "STATUS_AUTHENTICATION_FIREWALL_FAILED" "selective authentication of the trust forbids it",
        0x52F "ERROR_ACCOUNT_RESTRICTION" "a restriction of the account forbids it, such as an empty password",
        0x530 "ERROR_INVALID_LOGON_HOURS" "the account may not log on at this hour",
        0x531 "ERROR_INVALID_WORKSTATION" "the account may not log on from this computer",
    }
    NlaLogonTypeDenied {
        0xC000_015B "STATUS_LOGON_TYPE_NOT_GRANTED" "the user lacks the right to this kind of logon",
        0x569 "ERROR_LOGON_TYPE_NOT_GRANTED" "the user lacks the right to this kind of logon",
    }
    NlaClockSkew {
        0xC000_0133 "STATUS_TIME_DIFFERENCE_AT_DC" "the clocks are too far apart",
        0x8009_0324 "SEC_E_TIME_SKEW" "the clocks are too far apart",
        0x576 "ERROR_TIME_SKEW" "the clocks are too far apart",
    }
    NlaKeyBinding {
        0xC000_035B "STATUS_BAD_BINDINGS" "the logon is bound to another TLS key than the server's",
        0x8009_0346 "SEC_E_BAD_BINDINGS" "the logon is bound to another TLS key than the server's",
        0x8009_030F "SEC_E_MESSAGE_ALTERED" "the logon is bound to another TLS key than the server's",
    }
    NlaNtlmRefused {
        0xC000_0418 "STATUS_NTLM_BLOCKED" "NTLM is blocked by policy",
        0x791 "ERROR_NTLM_BLOCKED" "NTLM is blocked by policy",
    }
    NlaNoAuthority {
        0xC000_005E "STATUS_NO_LOGON_SERVERS" "the server reaches no domain controller",
        0xC000_0388 "STATUS_DOWNGRADE_DETECTED" "the domain controller could not be asked in a safe way",
        0xC000_018A "STATUS_NO_TRUST_LSA_SECRET" "the server has lost its secret with the domain",
        0xC000_018B "STATUS_NO_TRUST_SAM_ACCOUNT" "the domain does not know the server's account",
        0xC000_018C "STATUS_TRUSTED_DOMAIN_FAILURE" "the trust between the domains is broken",
        0xC000_018D "STATUS_TRUSTED_RELATIONSHIP_FAILURE" "the trust between server and domain is broken",
        0xC000_0192 "STATUS_NETLOGON_NOT_STARTED" "Netlogon does not run on the server",
        0x8009_0311 "SEC_E_NO_AUTHENTICATING_AUTHORITY" "no domain controller could be asked",
        0x51F "ERROR_NO_LOGON_SERVERS" "the server reaches no domain controller",
    }
    AuthorizationDenied {
        0x5 "ERROR_ACCESS_DENIED" "the credentials are right, but this user may not log on here",
    }
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_number_stands_once_and_is_found() {
        let codes: HashSet<u32> = STATUSES.iter().map(|status| status.code).collect();
        assert_eq!(codes.len(), STATUSES.len());
        for status in STATUSES {
            assert_eq!(logon_status(status.code).map(|known| known.name), Some(status.name));
        }
        assert_eq!(logon_status(0x8007_052E).map(|known| known.name), Some("ERROR_LOGON_FAILURE"));
        assert_eq!(logon_status(0xC007_052E).map(|known| known.name), Some("ERROR_LOGON_FAILURE"));
        for of_the_system in [0xC007_00EA, 0xC007_0005] {
            assert!(logon_status(of_the_system).is_none() && is_system_error(of_the_system));
        }
        assert!(!is_system_error(0x8007_052E) && !is_system_error(0xC000_006D));
        assert!(logon_status(0).is_none() && logon_status(0xC000_0001).is_none());
    }
}
