//! 0x3000xxx: what clients show when a gateway connection fails. Microsoft does not document these numbers.

use super::entry::{AB_GATEWAY, Entry, GATEWAY, entries};

const CREDENTIALS: &[&str] =
    &["wrong credentials for the gateway", "TLS ends in between, which breaks the binding"];
const CERTIFICATE: &[&str] = &["the gateway's certificate", "a TLS inspection box on the way"];
const TRANSPORT: &[&str] = &[
    "a firewall or HTTP proxy on the way blocks the gateway's methods, WebSocket or long responses",
    "the gateway is down or the name leads elsewhere",
];
const POLICY: &[&str] = &["a policy of the gateway (CAP or RAP)", "a policy that changed while connected"];
const ENDED: &[&str] = &["an administrator or a session limit of the gateway ended it"];
const COOKIE: &[&str] = &["the cookie of pluggable authentication is expired or made for another gateway"];
const HTTP_PROXY: &[&str] = &["an HTTP proxy or firewall on the way asks for a logon"];

/// Every meaning is reported, not documented; two lists in circulation disagree on 07, 08 and others.
pub(super) const TABLE: &[Entry] = entries! {
    0x3000001 "GatewayBadPassword" "the gateway refused the password" CREDENTIALS [GATEWAY] reported;
    0x3000002 "GatewayCrlUnavailable" "the revocation list of the gateway's certificate cannot be fetched"
        ["the revocation address is blocked for the client"] [GATEWAY] reported;
    0x3000003 "GatewayCertificateInvalid" "the gateway's certificate is not valid" CERTIFICATE
        [GATEWAY] reported;
    0x3000004 "GatewayCertificateRevoked" "the gateway's certificate was revoked" CERTIFICATE
        [GATEWAY] reported;
    0x3000005 "GatewayIdentityMismatch" "the gateway is not the one that was expected" CERTIFICATE
        [GATEWAY] reported;
    0x3000006 "GatewaySubjectMismatch" "the gateway's certificate is for another name" CERTIFICATE
        [GATEWAY] reported;
    0x3000007 "GatewayCertificateExpired" "the gateway's certificate has expired, or authentication failed"
        ["the gateway's certificate", "wrong credentials for the gateway"] [GATEWAY]
        => "One list says certificate expired, another authentication failed." reported;
    0x3000008 "GatewayRemoteError" "the gateway reported an error, or the server was not found"
        ["the target's name does not resolve on the gateway", "a fault of the gateway"] [GATEWAY]
        => "One list says remote error, another server not found." reported;
    0x3000009 "GatewaySendFailed" "sending to the gateway failed" TRANSPORT [GATEWAY, AB_GATEWAY] reported;
    0x300000A "GatewayReceiveFailed" "receiving from the gateway failed" TRANSPORT
        [GATEWAY, AB_GATEWAY] reported;
    0x300000C "GatewayCannotConnect" "the gateway's address is not valid or cannot be connected" TRANSPORT
        [GATEWAY] reported;
    0x300000D "GatewayUnavailable" "the gateway is temporarily not available" TRANSPORT [GATEWAY] reported;
    0x3000015 "GatewayWrongPasswordOrCard" "the password or smart card was refused" CREDENTIALS
        [GATEWAY] reported;
    0x3000017 "GatewayTransport" "the transport to the gateway failed" TRANSPORT
        [GATEWAY, AB_GATEWAY] reported;
    0x3000018 "GatewayTerminated" "the gateway ended the connection" ENDED [GATEWAY] reported;
    0x3000019 "GatewayAdminTerminated" "an administrator of the gateway ended the connection" ENDED
        [GATEWAY] reported;
    0x300001B "GatewayNotPermitted" "the gateway does not permit the connection" POLICY [GATEWAY] reported;
    0x300001C "GatewayNotAuthorized" "the user is not authorized on the gateway" POLICY [GATEWAY] reported;
    0x300001D "GatewayNoCredentials" "no credentials for the gateway" CREDENTIALS [GATEWAY] reported;
    0x3000020 "GatewayProxyAuthentication" "an HTTP proxy asks for a logon" HTTP_PROXY [GATEWAY] reported;
    0x3000022 "GatewayMaximumReached" "the gateway has no connection left" ["the limit set on the gateway"]
        [GATEWAY] reported;
    0x3000028 "GatewayNoCertificate" "the gateway has no certificate" CERTIFICATE [GATEWAY] reported;
    0x300002A "GatewayInvalidCertificate" "the gateway's certificate is not valid" CERTIFICATE
        [GATEWAY] reported;
    0x300002F "GatewayFirewallAuthentication" "a firewall asks for a logon" HTTP_PROXY [GATEWAY] reported;
    0x3000030 "GatewayFirewallAuthentication2" "a firewall refused the logon" HTTP_PROXY [GATEWAY] reported;
    0x3000033 "GatewayTimeout" "the gateway did not answer in time" TRANSPORT [GATEWAY, AB_GATEWAY] reported;
    0x3000034 "GatewayCookieInvalid" "the gateway's cookie is not valid" COOKIE [GATEWAY] reported;
    0x3000035 "GatewayCookieRejected" "the gateway refused the cookie" COOKIE [GATEWAY] reported;
    0x3000037 "GatewayMethod" "client and gateway want different authentication"
        ["the gateway expects a cookie and the client logs on, or the reverse"] [GATEWAY] reported;
    0x3000038 "GatewayReauthentication" "the user could not be authenticated again" POLICY [GATEWAY] reported;
    0x3000039 "GatewayReauthorization" "the user is no longer authorized" POLICY [GATEWAY] reported;
    0x3000044 "GatewayProxyConfiguration" "the client's proxy settings do not work" HTTP_PROXY
        [GATEWAY] reported;
    0x300004A "GatewayHttpsNetwork" "HTTPS to the gateway failed" TRANSPORT [GATEWAY, AB_GATEWAY] reported;
    0x3000064 "GatewayMacDisconnect" "the client for macOS lost the gateway"
        ["an old client: an update of the client for macOS is said to mend it",
         "no common cipher with a gateway in the cloud"] [GATEWAY] reported;
};
