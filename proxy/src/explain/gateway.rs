//! Return codes of an RD Gateway (MS-TSGU 2.2.6).

use super::entry::{AB_GATEWAY, Entry, GATEWAY, PROBE, entries};

const RECHECK: &[&str] = &["the gateway's periodic check of a running session", "a policy changed meanwhile"];
const COOKIE: &[&str] = &["the pluggable authentication cookie is expired, cut or made for another gateway"];
const CAP: &[&str] = &[
    "the user or computer is in none of the groups of a connection authorization policy",
    "the policy demands another kind of authentication",
    "the policy server (NPS) does not answer",
];
const RAP: &[&str] = &[
    "no resource authorization policy allows this target: try full name, short name and address",
    "the target's port is not allowed",
];
const HEALTH: &[&str] = &["the health policy of the gateway"];
const FAULT: &[&str] = &["the gateway failed in itself; see its TerminalServices-Gateway log"];

/// Codes as HRESULT or Win32 number, as the specification lists them.
pub(super) const TABLE: &[Entry] = entries! {
    0x00000005 "ERROR_ACCESS_DENIED" "the operation is not permitted" CAP [GATEWAY];
    0x00000057 "ERROR_INVALID_PARAMETER" "a parameter of the request is not valid" ["a fault of the client"]
        [GATEWAY];
    0x000000A0 "ERROR_BAD_ARGUMENTS" "the target closed its connection to the gateway"
        ["the target, not the client: look at it with rdpscope from the gateway's network"] [PROBE];
    0x000003E3 "ERROR_OPERATION_ABORTED" "the receiving pipe was not opened in time"
        ["a box on the way delays the OUT channel"] [GATEWAY, AB_GATEWAY];
    0x000004CA "ERROR_GRACEFUL_DISCONNECT" "the client disconnected in order" ["a normal end"] [GATEWAY];
    0x000004D4 "E_PROXY_CONNECTIONABORTED" "the gateway ended the connection"
        ["an administrator ended it", "the session's time was over"] [GATEWAY];
    0x000004E3 "ERROR_ONLY_IF_CONNECTED" "data was sent in the wrong state" ["a fault of the client"]
        [GATEWAY];
    0x800759D8 "E_PROXY_INTERNALERROR" "the gateway failed in itself" FAULT [GATEWAY];
    0x800759DA "E_PROXY_RAP_ACCESSDENIED" "a resource authorization policy forbids this target" RAP [GATEWAY]
        => "Event 301 of the gateway shows it as 23002.";
    0x800759DB "E_PROXY_NAP_ACCESSDENIED" "a connection authorization policy forbids this user or computer"
        CAP
        [GATEWAY] => "Event 201 of the gateway shows it as 23003.";
    0x800759DD "E_PROXY_TS_CONNECTFAILED" "the gateway cannot reach the target"
        ["the target's name does not resolve on the gateway", "a firewall between gateway and target",
         "the target is off or does not listen"] [PROBE, GATEWAY]
        => "Event 304 of the gateway has the details; run the probe from the gateway's network.";
    0x800759DF "E_PROXY_ALREADYDISCONNECTED" "the tunnel is already gone" ["the connection broke before"]
        [GATEWAY];
    0x800759E6 "E_PROXY_MAXCONNECTIONSREACHED" "the gateway has no connection left"
        ["the limit set on the gateway"] [GATEWAY];
    0x800759E8 "E_PROXY_NOTSUPPORTED" "the gateway does not support the packet"
        ["client and gateway are of very different age"] [GATEWAY];
    0x800759E9 "E_PROXY_CAPABILITYMISMATCH" "the gateway demands a capability that the client lacks"
        ["the gateway shows a consent message that the client cannot"] [GATEWAY];
    0x800759ED "E_PROXY_QUARANTINE_ACCESSDENIED" "the health policy forbids the connection" HEALTH [GATEWAY];
    0x800759EE "E_PROXY_NOCERTAVAILABLE" "the gateway has no certificate" ["none is bound on the gateway"]
        [GATEWAY];
    0x800759F6 "E_PROXY_SESSIONTIMEOUT" "the session's time is over"
        ["the session limit of the connection authorization policy"] [GATEWAY];
    0x800759F7 "E_PROXY_COOKIE_BADPACKET" "the packet with the cookie is not valid" COOKIE [GATEWAY];
    0x800759F8 "E_PROXY_COOKIE_AUTHENTICATION_ACCESS_DENIED" "the cookie was refused" COOKIE [GATEWAY];
    0x800759F9 "E_PROXY_UNSUPPORTED_AUTHENTICATION_METHOD" "client and gateway want different authentication"
        ["the gateway expects a cookie (pluggable authentication) and the client logs on, or the reverse"]
        [GATEWAY];
    0x800759FA "E_PROXY_REAUTH_AUTHN_FAILED" "the user could not be authenticated again" RECHECK [GATEWAY];
    0x800759FB "E_PROXY_REAUTH_CAP_FAILED" "the connection policy no longer allows the user" RECHECK
        [GATEWAY];
    0x800759FC "E_PROXY_REAUTH_RAP_FAILED" "the resource policy no longer allows the target" RECHECK
        [GATEWAY];
    0x800759FD "E_PROXY_SDR_NOT_SUPPORTED_BY_TS"
        "the target lacks the policy exchange that the gateway demands"
        ["the gateway allows only targets that enforce its redirection policy"] [GATEWAY];
    0x80075A00 "E_PROXY_REAUTH_NAP_FAILED" "the health policy no longer allows the computer" RECHECK
        [GATEWAY];
    0x8007071A "RPC_S_CALL_CANCELLED" "the call was cancelled" ["the gateway shut down", "the client gave up"]
        [GATEWAY, AB_GATEWAY];
    0x8009030C "SEC_E_LOGON_DENIED" "the gateway denied the logon"
        ["wrong credentials for the gateway", "TLS is terminated in between and the channel binding fails"]
        [GATEWAY];
};

#[cfg(test)]
mod tests {
    use super::TABLE;
    use crate::wire::tsgu::status;

    #[test]
    fn a_code_has_the_same_name_in_the_trace() {
        for entry in TABLE {
            assert_eq!(status::named(entry.code).name.as_deref(), Some(entry.name), "{:#x}", entry.code);
        }
    }
}
