//! Names of the numbers in TSRequest.errorCode (MS-CSSP 2.2.1, MS-ERREF). By the specification it is an NTSTATUS; Windows
//! also sends codes of its security packages there.

use crate::wire::named::Code;

/// NTSTATUS values that servers send in CredSSP, and their names (MS-ERREF 2.3.1).
pub const NTSTATUS: &[(u32, &str)] = &[
    (0xC0000022, "STATUS_ACCESS_DENIED"),
    (0xC000005E, "STATUS_NO_LOGON_SERVERS"),
    (0xC0000064, "STATUS_NO_SUCH_USER"),
    (0xC000006A, "STATUS_WRONG_PASSWORD"),
    (0xC000006D, "STATUS_LOGON_FAILURE"),
    (0xC000006E, "STATUS_ACCOUNT_RESTRICTION"),
    (0xC000006F, "STATUS_INVALID_LOGON_HOURS"),
    (0xC0000070, "STATUS_INVALID_WORKSTATION"),
    (0xC0000071, "STATUS_PASSWORD_EXPIRED"),
    (0xC0000072, "STATUS_ACCOUNT_DISABLED"),
    (0xC000009A, "STATUS_INSUFFICIENT_RESOURCES"),
    (0xC00000BB, "STATUS_NOT_SUPPORTED"),
    (0xC00000DC, "STATUS_INVALID_SERVER_STATE"),
    (0xC00000E5, "STATUS_INTERNAL_ERROR"),
    (0xC0000133, "STATUS_TIME_DIFFERENCE_AT_DC"),
    (0xC000015B, "STATUS_LOGON_TYPE_NOT_GRANTED"),
    (0xC000018A, "STATUS_NO_TRUST_LSA_SECRET"),
    (0xC000018B, "STATUS_NO_TRUST_SAM_ACCOUNT"),
    (0xC000018C, "STATUS_TRUSTED_DOMAIN_FAILURE"),
    (0xC000018D, "STATUS_TRUSTED_RELATIONSHIP_FAILURE"),
    (0xC0000192, "STATUS_NETLOGON_NOT_STARTED"),
    (0xC0000193, "STATUS_ACCOUNT_EXPIRED"),
    (0xC0000199, "STATUS_NOLOGON_WORKSTATION_TRUST_ACCOUNT"),
    (0xC000019A, "STATUS_NOLOGON_SERVER_TRUST_ACCOUNT"),
    (0xC0000224, "STATUS_PASSWORD_MUST_CHANGE"),
    (0xC0000234, "STATUS_ACCOUNT_LOCKED_OUT"),
    (0xC00002EE, "STATUS_UNFINISHED_CONTEXT_DELETED"),
    (0xC00002F9, "STATUS_PKINIT_NAME_MISMATCH"),
    (0xC0000320, "STATUS_PKINIT_FAILURE"),
    (0xC0000321, "STATUS_SMARTCARD_SUBSYSTEM_FAILURE"),
    (0xC000035B, "STATUS_BAD_BINDINGS"),
    (0xC000035C, "STATUS_NETWORK_SESSION_EXPIRED"),
    (0xC0000380, "STATUS_SMARTCARD_WRONG_PIN"),
    (0xC0000381, "STATUS_SMARTCARD_CARD_BLOCKED"),
    (0xC0000382, "STATUS_SMARTCARD_CARD_NOT_AUTHENTICATED"),
    (0xC0000387, "STATUS_SMARTCARD_IO_ERROR"),
    (0xC0000388, "STATUS_DOWNGRADE_DETECTED"),
    (0xC0000408, "STATUS_USER2USER_REQUIRED"),
    (0xC0000413, "STATUS_AUTHENTICATION_FIREWALL_FAILED"),
    (0xC0000719, "STATUS_CONTEXT_MISMATCH"),
    (0xC00700EA, "NTSTATUS_FROM_WIN32(ERROR_MORE_DATA)"),
];

/// Codes of SSPI and CryptoAPI, and their names (MS-ERREF 2.1.1).
pub const SSPI: &[(u32, &str)] = &[
    (0x80090302, "SEC_E_UNSUPPORTED_FUNCTION"),
    (0x80090303, "SEC_E_TARGET_UNKNOWN"),
    (0x80090304, "SEC_E_INTERNAL_ERROR"),
    (0x80090308, "SEC_E_INVALID_TOKEN"),
    (0x8009030C, "SEC_E_LOGON_DENIED"),
    (0x8009030D, "SEC_E_UNKNOWN_CREDENTIALS"),
    (0x8009030E, "SEC_E_NO_CREDENTIALS"),
    (0x8009030F, "SEC_E_MESSAGE_ALTERED"),
    (0x80090311, "SEC_E_NO_AUTHENTICATING_AUTHORITY"),
    (0x80090322, "SEC_E_WRONG_PRINCIPAL"),
    (0x80090324, "SEC_E_TIME_SKEW"),
    (0x80090325, "SEC_E_UNTRUSTED_ROOT"),
    (0x80090326, "SEC_E_ILLEGAL_MESSAGE"),
    (0x80090327, "SEC_E_CERT_UNKNOWN"),
    (0x80090328, "SEC_E_CERT_EXPIRED"),
    (0x80090330, "SEC_E_DECRYPT_FAILURE"),
    (0x80090331, "SEC_E_ALGORITHM_MISMATCH"),
    (0x80090333, "SEC_E_UNFINISHED_CONTEXT_DELETED"),
    (0x80090346, "SEC_E_BAD_BINDINGS"),
    (0x80090349, "SEC_E_CERT_WRONG_USAGE"),
    (0x80090367, "SEC_E_APPLICATION_PROTOCOL_MISMATCH"),
    (0x80092010, "CRYPT_E_REVOKED"),
];

/// The bit that makes an NTSTATUS an HRESULT (HRESULT_FROM_NT).
pub const FACILITY_NT_BIT: u32 = 0x1000_0000;

/// `value` with its name, an NTSTATUS also where it comes as an HRESULT.
pub fn named(value: u32) -> Code {
    let find = |wanted: u32| {
        NTSTATUS.iter().chain(SSPI).find(|(number, _)| *number == wanted).map(|(_, name)| (*name).to_owned())
    };
    Code { value, name: find(value).or_else(|| find(value & !FACILITY_NT_BIT)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_named_in_each_form() {
        let name = |value| named(value).name;
        assert_eq!(name(0xC000_006D).as_deref(), Some("STATUS_LOGON_FAILURE"));
        assert_eq!(name(0xD000_006D).as_deref(), Some("STATUS_LOGON_FAILURE"));
        assert_eq!(name(0x8009_0302).as_deref(), Some("SEC_E_UNSUPPORTED_FUNCTION"));
        assert_eq!(named(0xC0FF_EE00), Code { value: 0xC0FF_EE00, name: None });
    }

    #[test]
    fn no_number_has_two_names() {
        let mut numbers: Vec<u32> = NTSTATUS.iter().chain(SSPI).map(|(number, _)| *number).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }
}
