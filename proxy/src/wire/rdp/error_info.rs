//! Codes of the Set Error Info PDU (MS-RDPBCGR 2.2.5.1.1) and what they mean to an administrator.

/// One code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorInfo {
    /// The number in the Set Error Info PDU.
    pub code: u32,
    /// The specification's name.
    pub name: &'static str,
    /// What happened, in a clause without a full stop.
    pub meaning: &'static str,
}

/// Looks a code up; `None` for 0, which is no error, and for codes nobody has documented.
pub fn error_info(code: u32) -> Option<&'static ErrorInfo> {
    let index = ERROR_INFO.binary_search_by_key(&code, |entry| entry.code).ok()?;
    ERROR_INFO.get(index)
}

const fn entry(code: u32, name: &'static str, meaning: &'static str) -> ErrorInfo {
    ErrorInfo { code, name, meaning }
}

/// Twenty-two codes tell which field it was by nothing but their number.
const CUT_SHORT: &str = "a security header or a field of Client Info was cut short";

/// Every documented code, in ascending order.
pub const ERROR_INFO: &[ErrorInfo] = &[
    entry(
        0x1,
        "ERRINFO_RPC_INITIATED_DISCONNECT",
        "an administrator disconnected the session with a tool from another session",
    ),
    entry(
        0x2,
        "ERRINFO_RPC_INITIATED_LOGOFF",
        "an administrator logged the session off with a tool from another session",
    ),
    entry(0x3, "ERRINFO_IDLE_TIMEOUT", "the session was idle for as long as its limit allows"),
    entry(0x4, "ERRINFO_LOGON_TIMEOUT", "the session reached its limit for active sessions"),
    entry(0x5, "ERRINFO_DISCONNECTED_BY_OTHERCONNECTION", "another connection took the session over"),
    entry(0x6, "ERRINFO_OUT_OF_MEMORY", "the server ran out of memory"),
    entry(
        0x7,
        "ERRINFO_SERVER_DENIED_CONNECTION",
        "the server denied the connection: drain mode, a connection policy or a session limit",
    ),
    entry(
        0x9,
        "ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES",
        "the user may not log on through Remote Desktop: no group membership, or the right is missing",
    ),
    entry(
        0xA,
        "ERRINFO_SERVER_FRESH_CREDENTIALS_REQUIRED",
        "the server's policy does not accept saved credentials",
    ),
    entry(0xB, "ERRINFO_RPC_INITIATED_DISCONNECT_BYUSER", "the user disconnected from inside the session"),
    entry(0xC, "ERRINFO_LOGOFF_BY_USER", "the user logged off"),
    entry(
        0xF,
        "ERRINFO_CLOSE_STACK_ON_DRIVER_NOT_READY",
        "the display driver in the session was not ready in time",
    ),
    entry(0x10, "ERRINFO_SERVER_DWM_CRASH", "the desktop window manager in the session crashed"),
    entry(0x11, "ERRINFO_CLOSE_STACK_ON_DRIVER_FAILURE", "the display driver in the session failed to start"),
    entry(
        0x12,
        "ERRINFO_CLOSE_STACK_ON_DRIVER_IFACE_FAILURE",
        "the display driver in the session started and cannot be used",
    ),
    entry(0x17, "ERRINFO_SERVER_WINLOGON_CRASH", "winlogon in the session crashed"),
    entry(0x18, "ERRINFO_SERVER_CSRSS_CRASH", "csrss in the session crashed"),
    entry(0x19, "ERRINFO_SERVER_SHUTDOWN", "the server is shutting down"),
    entry(0x1A, "ERRINFO_SERVER_REBOOT", "the server is restarting"),
    entry(0x100, "ERRINFO_LICENSE_INTERNAL", "a part of the licensing service failed"),
    entry(0x101, "ERRINFO_LICENSE_NO_LICENSE_SERVER", "no licence server was found"),
    entry(0x102, "ERRINFO_LICENSE_NO_LICENSE", "no client access licence is left"),
    entry(0x103, "ERRINFO_LICENSE_BAD_CLIENT_MSG", "the client sent a licensing message that is not valid"),
    entry(
        0x104,
        "ERRINFO_LICENSE_HWID_DOESNT_MATCH_LICENSE",
        "the client's stored licence was altered or belongs to other hardware; clear the client's licence store",
    ),
    entry(
        0x105,
        "ERRINFO_LICENSE_BAD_CLIENT_LICENSE",
        "the client's stored licence is damaged; clear the client's licence store",
    ),
    entry(0x106, "ERRINFO_LICENSE_CANT_FINISH_PROTOCOL", "the network broke off during licensing"),
    entry(0x107, "ERRINFO_LICENSE_CLIENT_ENDED_PROTOCOL", "the client broke licensing off"),
    entry(0x108, "ERRINFO_LICENSE_BAD_CLIENT_ENCRYPTION", "the client encrypted a licensing message wrongly"),
    entry(
        0x109,
        "ERRINFO_LICENSE_CANT_UPGRADE_LICENSE",
        "the client's licence cannot be upgraded or renewed",
    ),
    entry(0x10A, "ERRINFO_LICENSE_NO_REMOTE_CONNECTIONS", "the server is not licensed for remote sessions"),
    entry(0x400, "ERRINFO_CB_DESTINATION_NOT_FOUND", "the connection broker cannot find the destination"),
    entry(
        0x402,
        "ERRINFO_CB_LOADING_DESTINATION",
        "the destination is disconnecting from the connection broker",
    ),
    entry(0x404, "ERRINFO_CB_REDIRECTING_TO_DESTINATION", "redirecting to the destination failed"),
    entry(0x405, "ERRINFO_CB_SESSION_ONLINE_VM_WAKE", "the destination virtual machine could not be woken"),
    entry(0x406, "ERRINFO_CB_SESSION_ONLINE_VM_BOOT", "the destination virtual machine could not be started"),
    entry(
        0x407,
        "ERRINFO_CB_SESSION_ONLINE_VM_NO_DNS",
        "the address of the destination virtual machine cannot be resolved",
    ),
    entry(0x408, "ERRINFO_CB_DESTINATION_POOL_NOT_FREE", "no virtual machine of the pool is free"),
    entry(0x409, "ERRINFO_CB_CONNECTION_CANCELLED", "the connection was cancelled at the broker"),
    entry(
        0x410,
        "ERRINFO_CB_CONNECTION_ERROR_INVALID_SETTINGS",
        "the routing token is not valid; check loadbalanceinfo in the .rdp file",
    ),
    entry(
        0x411,
        "ERRINFO_CB_SESSION_ONLINE_VM_BOOT_TIMEOUT",
        "the destination virtual machine did not start in time",
    ),
    entry(
        0x412,
        "ERRINFO_CB_SESSION_ONLINE_VM_SESSMON_FAILED",
        "watching the session on the destination virtual machine failed",
    ),
    entry(
        0x10C9,
        "ERRINFO_UNKNOWNPDUTYPE2",
        "the server received a data PDU of an unknown type: damaged stream or faulty client",
    ),
    entry(
        0x10CA,
        "ERRINFO_UNKNOWNPDUTYPE",
        "the server received a PDU of an unknown type: damaged stream or faulty client",
    ),
    entry(0x10CB, "ERRINFO_DATAPDUSEQUENCE", "a data PDU came out of order"),
    entry(0x10CD, "ERRINFO_CONTROLPDUSEQUENCE", "a control PDU came out of order"),
    entry(0x10CE, "ERRINFO_INVALIDCONTROLPDUACTION", "a control PDU asked for an action that does not exist"),
    entry(0x10CF, "ERRINFO_INVALIDINPUTPDUTYPE", "an input PDU has a type that does not exist"),
    entry(0x10D0, "ERRINFO_INVALIDINPUTPDUMOUSE", "a mouse event is not valid"),
    entry(0x10D1, "ERRINFO_INVALIDREFRESHRECTPDU", "a Refresh Rect PDU is not valid"),
    entry(0x10D2, "ERRINFO_CREATEUSERDATAFAILED", "the server failed to build its settings for the client"),
    entry(0x10D3, "ERRINFO_CONNECTFAILED", "the server failed while the channels were connected"),
    entry(
        0x10D4,
        "ERRINFO_CONFIRMACTIVEWRONGSHAREID",
        "the client confirmed another share than the one demanded",
    ),
    entry(
        0x10D5,
        "ERRINFO_CONFIRMACTIVEWRONGORIGINATOR",
        "the client's confirmation names a wrong originator",
    ),
    entry(
        0x10DA,
        "ERRINFO_PERSISTENTKEYPDUBADLENGTH",
        "the client's list of cached bitmaps has a wrong length; clear the client's bitmap cache",
    ),
    entry(
        0x10DB,
        "ERRINFO_PERSISTENTKEYPDUILLEGALFIRST",
        "the client's list of cached bitmaps begins twice; clear the client's bitmap cache",
    ),
    entry(
        0x10DC,
        "ERRINFO_PERSISTENTKEYPDUTOOMANYTOTALKEYS",
        "the client's list of cached bitmaps is too long in all; clear the client's bitmap cache",
    ),
    entry(
        0x10DD,
        "ERRINFO_PERSISTENTKEYPDUTOOMANYCACHEKEYS",
        "the client's list of cached bitmaps is too long for one cache; clear the client's bitmap cache",
    ),
    entry(0x10DE, "ERRINFO_INPUTPDUBADLENGTH", "an input PDU was cut short: a middlebox or a faulty client"),
    entry(0x10DF, "ERRINFO_BITMAPCACHEERRORPDUBADLENGTH", "a bitmap cache error PDU was cut short"),
    entry(0x10E0, "ERRINFO_SECURITYDATATOOSHORT", "a PDU is too short for its security header"),
    entry(0x10E1, "ERRINFO_VCHANNELDATATOOSHORT", "virtual channel data was cut short"),
    entry(0x10E2, "ERRINFO_SHAREDATATOOSHORT", "a share data PDU was cut short"),
    entry(0x10E3, "ERRINFO_BADSUPRESSOUTPUTPDU", "a suppress output PDU is not valid"),
    entry(0x10E5, "ERRINFO_CONFIRMACTIVEPDUTOOSHORT", "the client's capabilities were cut short"),
    entry(0x10E7, "ERRINFO_CAPABILITYSETTOOSMALL", "one of the client's capability sets is too small"),
    entry(0x10E8, "ERRINFO_CAPABILITYSETTOOLARGE", "one of the client's capability sets is too large"),
    entry(0x10E9, "ERRINFO_NOCURSORCACHE", "the client offers no pointer cache"),
    entry(0x10EA, "ERRINFO_BADCAPABILITIES", "the server does not accept the client's capabilities"),
    entry(0x10EC, "ERRINFO_VIRTUALCHANNELDECOMPRESSIONERR", "virtual channel data cannot be decompressed"),
    entry(0x10ED, "ERRINFO_INVALIDVCCOMPRESSIONTYPE", "virtual channel data has an unknown compression"),
    entry(0x10EF, "ERRINFO_INVALIDCHANNELID", "data came on a channel that does not exist"),
    entry(
        0x10F0,
        "ERRINFO_VCHANNELSTOOMANY",
        "the client asked for more than 31 static channels; remove plug-ins",
    ),
    entry(
        0x10F3,
        "ERRINFO_REMOTEAPPSNOTENABLED",
        "the server allows RemoteApp only and refuses a full desktop, or the reverse",
    ),
    entry(0x10F4, "ERRINFO_CACHECAPNOTSET", "the client listed cached bitmaps without the capability for it"),
    entry(0x10F5, "ERRINFO_BITMAPCACHEERRORPDUBADLENGTH2", "a bitmap cache error PDU has a wrong length"),
    entry(0x10F6, "ERRINFO_OFFSCRCACHEERRORPDUBADLENGTH", "an offscreen cache error PDU has a wrong length"),
    entry(0x10F7, "ERRINFO_DNGCACHEERRORPDUBADLENGTH", "a NineGrid cache error PDU has a wrong length"),
    entry(0x10F8, "ERRINFO_GDIPLUSPDUBADLENGTH", "a GDI+ error PDU has a wrong length"),
    entry(0x1111, "ERRINFO_SECURITYDATATOOSHORT2", CUT_SHORT),
    entry(0x1112, "ERRINFO_SECURITYDATATOOSHORT3", CUT_SHORT),
    entry(0x1113, "ERRINFO_SECURITYDATATOOSHORT4", CUT_SHORT),
    entry(0x1114, "ERRINFO_SECURITYDATATOOSHORT5", CUT_SHORT),
    entry(0x1115, "ERRINFO_SECURITYDATATOOSHORT6", CUT_SHORT),
    entry(0x1116, "ERRINFO_SECURITYDATATOOSHORT7", CUT_SHORT),
    entry(0x1117, "ERRINFO_SECURITYDATATOOSHORT8", CUT_SHORT),
    entry(0x1118, "ERRINFO_SECURITYDATATOOSHORT9", CUT_SHORT),
    entry(0x1119, "ERRINFO_SECURITYDATATOOSHORT10", CUT_SHORT),
    entry(0x111A, "ERRINFO_SECURITYDATATOOSHORT11", CUT_SHORT),
    entry(0x111B, "ERRINFO_SECURITYDATATOOSHORT12", CUT_SHORT),
    entry(0x111C, "ERRINFO_SECURITYDATATOOSHORT13", CUT_SHORT),
    entry(0x111D, "ERRINFO_SECURITYDATATOOSHORT14", CUT_SHORT),
    entry(0x111E, "ERRINFO_SECURITYDATATOOSHORT15", CUT_SHORT),
    entry(0x111F, "ERRINFO_SECURITYDATATOOSHORT16", CUT_SHORT),
    entry(0x1120, "ERRINFO_SECURITYDATATOOSHORT17", CUT_SHORT),
    entry(0x1121, "ERRINFO_SECURITYDATATOOSHORT18", CUT_SHORT),
    entry(0x1122, "ERRINFO_SECURITYDATATOOSHORT19", CUT_SHORT),
    entry(0x1123, "ERRINFO_SECURITYDATATOOSHORT20", CUT_SHORT),
    entry(0x1124, "ERRINFO_SECURITYDATATOOSHORT21", CUT_SHORT),
    entry(0x1125, "ERRINFO_SECURITYDATATOOSHORT22", CUT_SHORT),
    entry(0x1126, "ERRINFO_SECURITYDATATOOSHORT23", CUT_SHORT),
    entry(0x1129, "ERRINFO_BADMONITORDATA", "the client's monitor list does not match its count"),
    entry(
        0x112A,
        "ERRINFO_VCDECOMPRESSEDREASSEMBLEFAILED",
        "virtual channel data cannot be put together after decompression",
    ),
    entry(0x112B, "ERRINFO_VCDATATOOLONG", "a chunk of virtual channel data is too long"),
    entry(0x112C, "ERRINFO_BAD_FRAME_ACK_DATA", "the client acknowledged frames in a way that is not valid"),
    entry(
        0x112D,
        "ERRINFO_GRAPHICSMODENOTSUPPORTED",
        "the graphics mode that the client needs is not supported",
    ),
    entry(
        0x112E,
        "ERRINFO_GRAPHICSSUBSYSTEMRESETFAILED",
        "the server's graphics could not be reset: graphics card or driver",
    ),
    entry(0x112F, "ERRINFO_GRAPHICSSUBSYSTEMFAILED", "the server's graphics failed: graphics card or driver"),
    entry(0x1130, "ERRINFO_TIMEZONEKEYNAMELENGTHTOOSHORT", "the client's time zone name is cut short"),
    entry(0x1131, "ERRINFO_TIMEZONEKEYNAMELENGTHTOOLONG", "the client's time zone name is too long"),
    entry(
        0x1132,
        "ERRINFO_DYNAMICDSTDISABLEDFIELDMISSING",
        "the client left out the field for dynamic daylight saving time",
    ),
    entry(0x1133, "ERRINFO_VCDECODINGERROR", "dynamic channel data cannot be decoded"),
    entry(
        0x1134,
        "ERRINFO_VIRTUALDESKTOPTOOLARGE",
        "the client's monitors together are larger than 32766 pixels",
    ),
    entry(0x1135, "ERRINFO_MONITORGEOMETRYVALIDATIONFAILED", "the client's monitors overlap or do not touch"),
    entry(0x1136, "ERRINFO_INVALIDMONITORCOUNT", "the client has too many monitors"),
    entry(0x1191, "ERRINFO_UPDATESESSIONKEYFAILED", "renewing the keys of classic RDP security failed"),
    entry(0x1192, "ERRINFO_DECRYPTFAILED", "the server could not decrypt a PDU under classic RDP security"),
    entry(0x1193, "ERRINFO_ENCRYPTFAILED", "the server could not encrypt a PDU under classic RDP security"),
    entry(0x1194, "ERRINFO_ENCPKGMISMATCH", "client and server use different encryption levels"),
    entry(
        0x1195,
        "ERRINFO_DECRYPTFAILED2",
        "the server could not decrypt a PDU under classic RDP security, second place",
    ),
    entry(
        0x1196,
        "ERRINFO_PEER_DISCONNECTED",
        "the peer disconnected; a code of FreeRDP's own that Windows does not send",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_entry_can_be_found() {
        assert!(ERROR_INFO.is_sorted_by(|a, b| a.code < b.code));
        for entry in ERROR_INFO {
            assert_eq!(error_info(entry.code), Some(entry));
            assert!(entry.name.starts_with("ERRINFO_") && !entry.meaning.ends_with('.'), "{entry:?}");
        }
    }

    #[test]
    fn known_codes_and_unknown_ones() {
        assert_eq!(error_info(0x9).unwrap().name, "ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES");
        assert_eq!(error_info(0x1126).unwrap().name, "ERRINFO_SECURITYDATATOOSHORT23");
        assert_eq!(error_info(0x1195).unwrap().name, "ERRINFO_DECRYPTFAILED2");
        assert_eq!((error_info(0), error_info(0xDEAD)), (None, None));
    }
}
