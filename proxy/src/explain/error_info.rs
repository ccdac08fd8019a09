//! errorInfo of the Set Error Info PDU (MS-RDPBCGR 2.2.5.1.1): session, licensing and broker codes.

use super::entry::{Entry, INSIDE, PROBE, PROXY, RDP_LINT, entries};

const INTENDED: &[&str] = &["somebody asked for it; this is no error"];
const LIMIT: &[&str] = &["a time limit set on the server or in the user's account"];
const SESSION_CRASH: &[&str] = &[
    "a display driver or GPU of the server",
    "a broken update or injected program in the session; see the server's Application log",
];
const LICENCE_SERVER: &[&str] = &[
    "no licence server is named or reachable and the grace period is over",
    "no licence of the right kind is left",
];
const LICENCE_STORE: &[&str] =
    &["the client's licence store (MSLicensing) is damaged", "the client's hardware or name was changed"];
const BROKER: &[&str] =
    &["the broker or the collection behind it", "the target machine is off, full or draining"];
const WAKE: &[&str] = &["the virtual machine does not start or wake up in time; see its host"];

/// Codes below 0x10C9.
pub(super) const TABLE: &[Entry] = entries! {
    0x1 "ERRINFO_RPC_INITIATED_DISCONNECT" "an administrator's tool disconnected the session" INTENDED
        [INSIDE];
    0x2 "ERRINFO_RPC_INITIATED_LOGOFF" "an administrator's tool signed the user out" INTENDED [INSIDE];
    0x3 "ERRINFO_IDLE_TIMEOUT" "the session was idle for too long" LIMIT [INSIDE];
    0x4 "ERRINFO_LOGON_TIMEOUT" "the session lasted for too long" LIMIT [INSIDE];
    0x5 "ERRINFO_DISCONNECTED_BY_OTHERCONNECTION" "another connection took the session"
        ["the same user connected from elsewhere", "a client that reconnects by itself"] [INSIDE];
    0x6 "ERRINFO_OUT_OF_MEMORY" "the server ran out of memory" ["the server's memory is exhausted"] [INSIDE];
    0x7 "ERRINFO_SERVER_DENIED_CONNECTION" "the server denied the connection"
        ["drain mode (`change logon /query` on the server)", "a connection policy of the server",
         "a limit on the number of sessions"] [INSIDE];
    0x9 "ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES" "the user may not log on through Remote Desktop"
        ["the user is not in Remote Desktop Users",
         "the right to log on through Remote Desktop is denied by policy"]
        [INSIDE];
    0xA "ERRINFO_SERVER_FRESH_CREDENTIALS_REQUIRED" "the server refuses saved credentials"
        ["a policy of the server asks for the password each time"] [INSIDE, RDP_LINT];
    0xB "ERRINFO_RPC_INITIATED_DISCONNECT_BYUSER" "the user disconnected from inside the session" INTENDED
        [INSIDE];
    0xC "ERRINFO_LOGOFF_BY_USER" "the user signed out" INTENDED [INSIDE];
    0xF "ERRINFO_CLOSE_STACK_ON_DRIVER_NOT_READY" "the session's display driver was not ready" SESSION_CRASH
        [INSIDE];
    0x10 "ERRINFO_SERVER_DWM_CRASH" "the desktop window manager of the session died" SESSION_CRASH [INSIDE];
    0x11 "ERRINFO_CLOSE_STACK_ON_DRIVER_FAILURE" "the session's display driver failed" SESSION_CRASH [INSIDE];
    0x12 "ERRINFO_CLOSE_STACK_ON_DRIVER_IFACE_FAILURE" "the session's display driver cannot be used"
        SESSION_CRASH
        [INSIDE];
    0x17 "ERRINFO_SERVER_WINLOGON_CRASH" "the session's Winlogon died" SESSION_CRASH [INSIDE];
    0x18 "ERRINFO_SERVER_CSRSS_CRASH" "the session's CSRSS died" SESSION_CRASH [INSIDE];
    0x19 "ERRINFO_SERVER_SHUTDOWN" "the server shuts down" INTENDED [INSIDE];
    0x1A "ERRINFO_SERVER_REBOOT" "the server restarts" INTENDED [INSIDE];

    0x100 "ERRINFO_LICENSE_INTERNAL" "the licensing component failed" LICENCE_SERVER [INSIDE];
    0x101 "ERRINFO_LICENSE_NO_LICENSE_SERVER" "no licence server was found" LICENCE_SERVER [INSIDE];
    0x102 "ERRINFO_LICENSE_NO_LICENSE" "no licence is left" LICENCE_SERVER [INSIDE];
    0x103 "ERRINFO_LICENSE_BAD_CLIENT_MSG" "a licensing message of the client is not valid" LICENCE_STORE
        [INSIDE];
    0x104 "ERRINFO_LICENSE_HWID_DOESNT_MATCH_LICENSE"
        "the client's licence was altered or is for other hardware"
        LICENCE_STORE [INSIDE];
    0x105 "ERRINFO_LICENSE_BAD_CLIENT_LICENSE" "the client's licence is not valid" LICENCE_STORE [INSIDE];
    0x106 "ERRINFO_LICENSE_CANT_FINISH_PROTOCOL" "licensing could not be finished"
        ["the connection broke during licensing"] [INSIDE];
    0x107 "ERRINFO_LICENSE_CLIENT_ENDED_PROTOCOL" "the client ended licensing" LICENCE_STORE [INSIDE];
    0x108 "ERRINFO_LICENSE_BAD_CLIENT_ENCRYPTION" "a licensing message was not encrypted as it must be"
        LICENCE_STORE [INSIDE];
    0x109 "ERRINFO_LICENSE_CANT_UPGRADE_LICENSE" "the client's licence could not be upgraded" LICENCE_SERVER
        [INSIDE];
    0x10A "ERRINFO_LICENSE_NO_REMOTE_CONNECTIONS" "the server is not licensed for remote sessions"
        LICENCE_SERVER
        [INSIDE];

    0x400 "ERRINFO_CB_DESTINATION_NOT_FOUND" "the broker cannot find the target" BROKER [INSIDE];
    0x402 "ERRINFO_CB_LOADING_DESTINATION" "the target is leaving the broker" BROKER [INSIDE];
    0x404 "ERRINFO_CB_REDIRECTING_TO_DESTINATION" "the redirection to the target failed" BROKER
        [PROBE, INSIDE];
    0x405 "ERRINFO_CB_SESSION_ONLINE_VM_WAKE" "the virtual machine did not wake up" WAKE [INSIDE];
    0x406 "ERRINFO_CB_SESSION_ONLINE_VM_BOOT" "the virtual machine did not start" WAKE [INSIDE];
    0x407 "ERRINFO_CB_SESSION_ONLINE_VM_NO_DNS" "the virtual machine's name does not resolve"
        ["DNS of the broker lacks the machine"] [PROBE];
    0x408 "ERRINFO_CB_DESTINATION_POOL_NOT_FREE" "the pool has no machine free" BROKER [INSIDE];
    0x409 "ERRINFO_CB_CONNECTION_CANCELLED" "the connection was cancelled" BROKER [INSIDE];
    0x410 "ERRINFO_CB_CONNECTION_ERROR_INVALID_SETTINGS" "the routing token is not valid"
        ["`loadbalanceinfo` in the profile is stale or cut",
         "a load balancer lost the token"] [RDP_LINT, PROXY];
    0x411 "ERRINFO_CB_SESSION_ONLINE_VM_BOOT_TIMEOUT" "the virtual machine did not start in time" WAKE
        [INSIDE];
    0x412 "ERRINFO_CB_SESSION_ONLINE_VM_SESSMON_FAILED" "the virtual machine's session monitor failed" WAKE
        [INSIDE];
};
