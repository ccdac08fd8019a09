//! discReason of IMsTscAxEvents::OnDisconnected: what mstsc prints as "Error code".

use super::entry::{
    AB_ADDRESS, AB_CERT, AB_MSS, AB_NLA, AB_TLS, Entry, INSIDE, PROBE, PROXY, RDP_LINT, entries,
};

const DNS: &[&str] = &[
    "the name is mistyped, or exists only in another DNS view (VPN not up, split DNS)",
    "the client asks the wrong resolver or has a stale cache",
    "the record was removed or renamed",
];
const UNREACHABLE: &[&str] = &[
    "a firewall on the way or on the host drops or refuses TCP 3389",
    "Remote Desktop is off, or its service does not listen on that port",
    "the name leads to an old or wrong address",
];
const BROKEN_PATH: &[&str] = &[
    "a firewall, NAT or VPN dropped the connection's state, often after a constant silence",
    "the server or its service went away",
    "packet loss or a path MTU that is smaller than both ends believe",
];
const CLIENT_FAULT: &[&str] = &["the client ran out of memory or failed in itself", "a broken client update"];
const CREDENTIALS: &[&str] =
    &["the user name, domain or password is wrong", "an old saved credential is used"];
const ACCOUNT: &[&str] =
    &["the account's own settings in the directory", "a policy that applies to the account"];
const CRYPTO: &[&str] = &[
    "bytes were changed on the way, by a middlebox or a bad link",
    "the server's RDP security settings do not fit the client",
];
const LICENSING: &[&str] = &[
    "no licence server is reachable, or it has no licence left",
    "the client's own licence store is damaged (MSLicensing) or may not be written",
];
const DELEGATION: &[&str] = &[
    "credential delegation to this target is not allowed by policy",
    "Kerberos was not possible (address typed, no SPN, no domain controller), so that only NTLM was left",
];
const CARD: &[&str] = &["the smart card, its reader or its PIN", "the smart card service of the client"];
const CERTIFICATE: &[&str] = &[
    "the certificate is expired, or a clock is wrong",
    "the certificate is for another name, or its issuer is not trusted",
    "a TLS inspection box presents another certificate",
];

/// The numbers that Microsoft documents, then those that users report.
pub(super) const TABLE: &[Entry] = entries! {
    0 "NoInfo" "the client gives no reason" ["nothing is known; read the extended code"] [PROXY];
    1 "LocalNotError" "the user or a program on the client ended the session; this is not an error"
        ["the window was closed or the program that drives the control ended it"] [PROXY];
    2 "RemoteByUser" "the user ended the session on the server; this is not an error"
        ["somebody chose disconnect or sign out in the session"] [PROXY];
    3 "ByServer" "the server ended the session; the extended code tells why"
        ["what the extended code names",
         "a patched or replaced terminal service on the server"] [PROXY, INSIDE]
        => "By itself this is no error: without the extended code it says only who ended the session.";
    0x104 "DNSLookupFailed" "the name did not resolve" DNS [PROBE];
    0x106 "OutOfMemory" "the client ran out of memory" CLIENT_FAULT [PROXY];
    0x108 "ConnectionTimedOut" "the connection, or a step of it, took too long"
        ["a firewall drops the packets without an answer",
         "the server accepts and never answers (service hung)",
         "large packets get lost on the way (path MTU)"] [PROBE, AB_MSS];
    0x204 "SocketConnectFailed" "TCP could not be connected" UNREACHABLE [PROBE, AB_ADDRESS];
    0x206 "OutOfMemory2" "the client ran out of memory" CLIENT_FAULT [PROXY];
    0x208 "HostNotFound" "the host was not found" DNS [PROBE];
    0x304 "WinsockSendFailed" "sending failed because the connection was gone" BROKEN_PATH [PROXY, AB_MSS];
    0x306 "OutOfMemory3" "the client ran out of memory" CLIENT_FAULT [PROXY];
    0x308 "InvalidIPAddr" "the address is not valid"
        ["the address in the profile is mistyped", "a load balancer or broker handed out a bad address"]
        [RDP_LINT, PROXY];
    0x404 "SocketRecvFailed" "receiving failed because the connection was reset" BROKEN_PATH [PROXY, AB_MSS];
    0x406 "InvalidSecurityData" "the server's security data cannot be used" CRYPTO [PROBE];
    0x408 "InternalError" "the client failed in itself" CLIENT_FAULT [PROXY];
    0x506 "InvalidEncryption" "the encryption method is not valid" CRYPTO [PROBE];
    0x508 "DNSLookupFailed2" "the name did not resolve" DNS [PROBE];
    0x604 "GetHostByNameFailed" "the resolver failed" DNS [PROBE];
    0x606 "InvalidServerSecurityInfo" "the server's security information is not valid" CRYPTO [PROBE];
    0x608 "TimerError" "the client could not set a timer" CLIENT_FAULT [PROXY];
    0x704 "TimeoutOccurred" "a step of the connection timed out"
        ["the server is slow or hung in that phase", "packets get lost on the way"] [PROXY, AB_MSS];
    0x706 "ServerCertificateUnpackErr" "the server's proprietary certificate cannot be read"
        ["a server that is not Windows (seen with xrdp) and uses RDP security",
         "bytes were changed on the way"] [PROBE];
    0x804 "InvalidIP" "the address is not valid"
        ["the address in the profile is mistyped", "a load balancer or broker handed out a bad address"]
        [RDP_LINT, PROXY];
    0x807 "SSL_ERR_LOGON_FAILURE" "the server refused the credentials" CREDENTIALS [PROXY, INSIDE];
    0x808 "LicensingFailed" "licensing failed" LICENSING [INSIDE];
    0x904 "AtClientWinsockFDCLOSE"
        "socket closed: the server, or a box in between, ended the TCP connection"
        ["the certificate: expired, damaged, not trusted, or its private key cannot be opened by the server",
         "no common TLS version or cipher, or a box on the way that inspects TLS",
         "the port is owned by something that is not RDP, or the listener is restarting",
         "NLA failed on the server after the credentials were sent",
         "a policy, session limit or licence of the server",
         "the network: idle timeout, VPN, path MTU"] [PROXY, PROBE, AB_CERT]
        => "It is a symptom, never a cause: what counts is the phase in which the connection was closed.";
    0x906 "InternalSecurityError" "the client's security layer failed" CRYPTO [PROXY, PROBE];
    0x908 "LicensingTimeout" "licensing took too long" LICENSING [INSIDE];
    0xA06 "InternalSecurityError2" "the client's security layer failed" CRYPTO [PROXY, PROBE];
    0xA07 "SSL_ERR_NO_SUCH_USER" "the server does not know the user" CREDENTIALS [PROXY, INSIDE];
    0xB06 "EncryptionError" "the client could not encrypt" CRYPTO [PROXY];
    0xB07 "SSL_ERR_ACCOUNT_DISABLED" "the account is disabled" ACCOUNT [PROXY];
    0xC06 "DecryptionError" "the client could not decrypt what it received" CRYPTO [PROXY];
    0xC07 "SSL_ERR_ACCOUNT_RESTRICTION" "an account restriction forbids the logon"
        ["an empty password", "a policy that limits the account", "delegation is restricted"] [PROXY];
    0xC08 "ClientDecompressionError" "the client could not decompress what it received" CRYPTO [PROXY];
    0xD07 "SSL_ERR_ACCOUNT_LOCKED_OUT" "the account is locked"
        ["too many wrong passwords, often from a device with an old saved one"] [PROXY];
    0xE07 "SSL_ERR_ACCOUNT_EXPIRED" "the account is past its end date" ACCOUNT [PROXY];
    0xF07 "SSL_ERR_PASSWORD_EXPIRED" "the password has expired"
        ["the password is too old, and NLA offers no way to change it"] [PROXY, AB_NLA];
    0x1207 "SSL_ERR_PASSWORD_MUST_CHANGE" "the password must be changed before the first logon"
        ["the account is new or was reset, and NLA offers no way to change the password"] [PROXY, AB_NLA];
    0x1607 "SSL_ERR_DELEGATION_POLICY" "credentials may not be delegated to this target" DELEGATION [PROXY];
    0x1707 "SSL_ERR_POLICY_NTLM_ONLY"
        "credentials may not be delegated when only NTLM authenticates the server"
        DELEGATION [PROXY];
    0x1807 "SSL_ERR_NO_AUTHENTICATING_AUTHORITY" "no domain controller could be asked"
        ["the server or the client cannot reach a domain controller", "DNS of the domain is wrong"] [PROXY];
    0x1B07 "SSL_ERR_CERT_EXPIRED" "the server's certificate has expired or is not valid" CERTIFICATE
        [PROBE, AB_CERT];
    0x1C07 "SSL_ERR_SMARTCARD_WRONG_PIN" "the smart card's PIN is wrong" CARD [PROXY];
    0x2107 "SSL_ERR_FRESH_CRED_REQUIRED_BY_SERVER" "the server refuses saved credentials"
        ["a policy of the server asks for the password each time"] [PROXY, RDP_LINT];
    0x2207 "SSL_ERR_SMARTCARD_CARD_BLOCKED" "the smart card is blocked" CARD [PROXY];

    4 "Generic4" "a general failure that clients for macOS, mobile systems and the Store show"
        ["TLS failed on the server",
         "the server has too many unfinished connections (MaxOutstandingConnections)"]
        [PROBE, PROXY] reported;
    0x107 "AuthenticationDialogFailed" "the authentication or certificate question was cut short"
        ["the user closed the question", "the first of two connections, which a healthy logon has too"]
        [PROXY] reported;
    0x10A "SmartCardService" "the smart card service is not available" CARD [PROXY] reported;
    0x20A "SmartCardReader" "the smart card reader is not available" CARD [PROXY] reported;
    0x30A "SmartCardMissing" "there is no smart card" CARD [PROXY] reported;
    0x40A "SmartCardSubsystem" "the smart card subsystem failed" CARD [PROXY] reported;
    0x509 "AuthenticationNotSupported"
        "the server does not support the authentication that the client requires"
        ["NLA is off on the server",
         "the client's policy asks for more than the server has"] [PROBE] reported;
    0x708 "ConsoleSessionExists" "there is already a console session" ["somebody works at the console"]
        [PROXY] reported;
    0x907 "UnexpectedServerCertificate" "the server presented another certificate than was expected"
        ["a broker or profile named another certificate", "a TLS inspection box is on the way",
         "the name leads to another machine"] [PROBE, AB_ADDRESS] reported;
    0xB04 "Unavailable" "the remote computer cannot be used now, for a reason that is not told" UNREACHABLE
        [PROXY, PROBE] reported;
    0xB08 "TakenByOther" "another client took the session" ["somebody connected with the same account"]
        [PROXY] reported;
    0xB09 "NlaRequired" "NLA is required, or the server could not be authenticated"
        ["the client does not offer NLA",
         "Kerberos and NTLM both failed to prove the server"] [PROBE, PROXY] reported;
    0xD06 "ProtocolError" "an RDP protocol error" CRYPTO [PROXY, INSIDE] reported;
    0xD09 "DialogRequired" "the client would have to ask its user and may not"
        ["the client was started without a user interface", "a policy forbids the question"] [PROXY] reported;
    0xE06 "FipsRequired" "FIPS encryption is required" ["only one end is set to FIPS"]
        [PROBE, AB_TLS] reported;
    0xE08 "GenericFailure" "a failure that is not described" ["nothing is known; the phase tells more"]
        [PROXY] reported;
    0xE09 "RestrictedAdminUnavailable" "the server does not offer Restricted Admin or Remote Credential Guard"
        ["the feature is off on the server, which is the default"] [PROBE] reported;
    0xF08 "CredentialsNotSent" "the client did not send the credentials" DELEGATION [PROXY] reported;
    0x1007 "LogonHours" "the account may not log on at this hour" ACCOUNT [PROXY] reported;
    0x1107 "Workstation" "the account may not log on from this computer" ACCOUNT [PROXY] reported;
    0x1307 "LogonType" "the account lacks the right to this kind of logon"
        ["the user is not in Remote Desktop Users",
         "a policy denies network or remote logon"] [PROXY] reported;
    0x1407 "UserToUser" "Kerberos user-to-user authentication is required"
        ["the target runs under a user's account"] [PROXY] reported;
    0x1D07 "ClockSkew" "the clocks of client and domain are too far apart"
        ["the clock of client or server is wrong"]
        [PROBE] reported;
    0x1F07 "NoCredentials" "no credentials were entered" ["the user closed the question"] [PROXY] reported;
    0x2000001 "Relaunch" "the client was to be started again for a RemoteApp"
        ["RemoteApp is not supported there"]
        [RDP_LINT, PROXY] reported;
    0x2000002 "RemoteAppUnsupported" "the server does not support RemoteApp"
        ["RemoteApp is not supported there"]
        [RDP_LINT, PROXY] reported;
};
