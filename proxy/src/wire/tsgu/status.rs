//! Return codes of a gateway (MS-TSGU 2.2.6) and what stands beside them.

use crate::wire::named::Code;

/// HRESULTs of Win32 errors begin with this.
const FACILITY_WIN32: u32 = 0x8007_0000;

/// The gateway's own Win32 errors; on the wire they stand as such or as HRESULT.
const OWN_ERRORS: std::ops::RangeInclusive<u32> = 0x59D8..=0x5A00;

/// What a gateway answers besides success.
pub const RETURN_CODES: &[(u32, &str)] = &[
    (0x0000_0000, "ERROR_SUCCESS"),
    (0x0000_0005, "ERROR_ACCESS_DENIED"),
    (0x0000_0057, "ERROR_INVALID_PARAMETER"),
    (0x0000_00A0, "ERROR_BAD_ARGUMENTS"),
    (0x0000_03E3, "ERROR_OPERATION_ABORTED"),
    (0x0000_04CA, "ERROR_GRACEFUL_DISCONNECT"),
    (0x0000_04D4, "E_PROXY_CONNECTIONABORTED"),
    (0x0000_04E3, "ERROR_ONLY_IF_CONNECTED"),
    (0x0009_0312, "SEC_I_CONTINUE_NEEDED"),
    (0x8007_59D8, "E_PROXY_INTERNALERROR"),
    (0x8007_59DA, "E_PROXY_RAP_ACCESSDENIED"),
    (0x8007_59DB, "E_PROXY_NAP_ACCESSDENIED"),
    (0x8007_59DD, "E_PROXY_TS_CONNECTFAILED"),
    (0x8007_59DF, "E_PROXY_ALREADYDISCONNECTED"),
    (0x8007_59E6, "E_PROXY_MAXCONNECTIONSREACHED"),
    (0x8007_59E8, "E_PROXY_NOTSUPPORTED"),
    (0x8007_59E9, "E_PROXY_CAPABILITYMISMATCH"),
    (0x8007_59ED, "E_PROXY_QUARANTINE_ACCESSDENIED"),
    (0x8007_59EE, "E_PROXY_NOCERTAVAILABLE"),
    (0x8007_59F6, "E_PROXY_SESSIONTIMEOUT"),
    (0x8007_59F7, "E_PROXY_COOKIE_BADPACKET"),
    (0x8007_59F8, "E_PROXY_COOKIE_AUTHENTICATION_ACCESS_DENIED"),
    (0x8007_59F9, "E_PROXY_UNSUPPORTED_AUTHENTICATION_METHOD"),
    (0x8007_59FA, "E_PROXY_REAUTH_AUTHN_FAILED"),
    (0x8007_59FB, "E_PROXY_REAUTH_CAP_FAILED"),
    (0x8007_59FC, "E_PROXY_REAUTH_RAP_FAILED"),
    (0x8007_59FD, "E_PROXY_SDR_NOT_SUPPORTED_BY_TS"),
    (0x8007_5A00, "E_PROXY_REAUTH_NAP_FAILED"),
    (0x8007_071A, "RPC_S_CALL_CANCELLED"),
    (0x8009_030C, "SEC_E_LOGON_DENIED"),
];

/// `value` with its name, whether it stands as HRESULT or as Win32 number.
pub fn named(value: u32) -> Code {
    let looked_up = if OWN_ERRORS.contains(&value) { FACILITY_WIN32 | value } else { value };
    Code { value, ..Code::new(looked_up, RETURN_CODES) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_named_in_both_its_forms() {
        for value in [0x8007_59DA, 0x59DA] {
            assert_eq!(named(value), Code { value, name: Some("E_PROXY_RAP_ACCESSDENIED".to_owned()) });
        }
        assert_eq!(named(0x8007_0005).name, None);
    }
}
