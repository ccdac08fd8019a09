//! ExtendedDisconnectReasonCode: what mstsc prints as "Extended error code".

use super::entry::{Entry, INSIDE, PROBE, PROXY, RDP_LINT, entries};

const LICENCE_SERVER: &[&str] = &[
    "no licence server is named or reachable and the grace period is over",
    "no licence of the right kind is left",
];
const LICENCE_STORE: &[&str] = &[
    "the client's licence store (MSLicensing) is damaged or may not be written",
    "the client's hardware or name was changed",
];
const LIMIT: &[&str] = &["a time limit set on the server or in the user's account"];
const INTENDED: &[&str] = &["somebody asked for it; this is no error"];

/// 0 to 12, 256 to 267 and 768; 4096 to 32767 are those of Set Error Info.
pub(super) const TABLE: &[Entry] = entries! {
    0 "NoInfo" "the server gave no reason" ["the connection was closed without a word"] [PROXY];
    1 "APIInitiatedDisconnect" "a program disconnected the session" INTENDED [PROXY];
    2 "APIInitiatedLogoff" "a program signed the user out" INTENDED [PROXY];
    3 "ServerIdleTimeout" "the session was idle for too long" LIMIT [PROXY];
    4 "ServerLogonTimeout" "the session lasted for too long" LIMIT [PROXY];
    5 "ReplacedByOtherConnection" "another connection took the session"
        ["the same user connected from elsewhere", "a client that reconnects by itself"] [PROXY];
    6 "OutOfMemory" "the server ran out of memory" ["the server's memory is exhausted"] [PROXY];
    7 "ServerDeniedConnection" "server denied connection"
        ["when error info 7 is on the wire: drain mode, a connection policy or a session limit of the server",
         "when it is not: the connection was closed before a session existed, mostly in TLS or NLA"]
        [PROXY, PROBE, INSIDE]
        => "The client seems to fill it in whenever the connection ends before a session exists (inferred): \
            only error info 7 on the wire proves that the server said so. It is no Win32 number, neither \
            ERROR_ARENA_TRASHED nor ERROR_OUTOFMEMORY, whatever the web repeats.";
    8 "ServerDeniedConnectionFips" "the server denied the connection for a FIPS reason"
        ["only one end is set to FIPS"] [PROBE];
    9 "ServerInsufficientPrivileges" "the user may not log on through Remote Desktop"
        ["the user is not in Remote Desktop Users",
         "the right to log on through Remote Desktop is denied by policy"]
        [PROXY, INSIDE];
    10 "ServerFreshCredsRequired" "the server refuses saved credentials"
        ["a policy of the server asks for the password each time"] [PROXY, RDP_LINT];
    11 "RpcInitiatedDisconnectByUser" "the user disconnected from inside the session" INTENDED [PROXY];
    12 "LogoffByUser" "the user signed out" INTENDED [PROXY];
    256 "LicenseInternal" "the licensing component failed" LICENCE_SERVER [INSIDE];
    257 "LicenseNoLicenseServer" "no licence server was found" LICENCE_SERVER [INSIDE];
    258 "LicenseNoLicense" "no licence is left" LICENCE_SERVER [INSIDE];
    259 "LicenseErrClientMsg" "a licensing message of the client is not valid" LICENCE_STORE [INSIDE];
    260 "LicenseHwidDoesntMatchLicense" "the client's licence is for other hardware" LICENCE_STORE [INSIDE];
    261 "LicenseErrClientLicense" "the client's licence is not valid" LICENCE_STORE [INSIDE];
    262 "LicenseCantFinishProtocol" "licensing could not be finished"
        ["the connection broke during licensing"] [INSIDE];
    263 "LicenseClientEndedProtocol" "the client ended licensing" LICENCE_STORE [INSIDE];
    264 "LicenseErrClientEncryption" "a licensing message was not encrypted as it must be" LICENCE_STORE
        [INSIDE];
    265 "LicenseCantUpgradeLicense" "the client's licence could not be upgraded" LICENCE_SERVER [INSIDE];
    266 "LicenseNoRemoteConnections" "the server is not licensed for remote sessions" LICENCE_SERVER [INSIDE];
    267 "LicenseCreatingLicStoreAccDenied" "the client may not write its licence store"
        ["the user lacks rights to the MSLicensing registry key: run the client once as administrator"]
        [PROXY];
    768 "RdpEncInvalidCredentials" "the credentials are not valid" ["a wrong user name or password"] [PROXY];
};
