//! Conclusions: the verdict, its proof, what else it could have been, what to do.

use super::{Micros, Phase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How sure a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// A coincidence speaks for it.
    Possible,
    /// Several observations agree, none of them proves it.
    Likely,
    /// Proved on the wire, or by a finished experiment.
    Confirmed,
}

impl std::fmt::Display for Confidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.id())
    }
}

macro_rules! verdict_ids {
    ($($(#[doc = $doc:literal])* $variant:ident = $id:literal,)*) => {
        /// Why a session ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum VerdictId {
            $($(#[doc = $doc])* #[serde(rename = $id)] $variant,)*
        }

        impl VerdictId {
            /// Every id.
            pub const ALL: &'static [VerdictId] = &[$(VerdictId::$variant,)*];

            /// The id as it stands in JSON and on the page.
            pub fn as_str(self) -> &'static str {
                match self { $(VerdictId::$variant => $id,)* }
            }
        }
    };
}

verdict_ids! {
    /// It did not fail.
    Healthy = "healthy",
    /// The name does not resolve.
    DnsFailure = "dns-failure",
    /// The machine that answered is not the one named, or only some of its addresses answer.
    DnsMismatch = "dns-mismatch",
    /// RST to SYN.
    TcpRefused = "tcp-refused",
    /// No answer to SYN.
    TcpFiltered = "tcp-filtered",
    /// Cut before a byte of RDP.
    TcpReset = "tcp-reset",
    /// Something else owns the port.
    NotRdp = "not-rdp",
    /// It accepts and never answers the X.224 request.
    RdpSilent = "rdp-silent",
    /// X.224 failure 1.
    TlsRequired = "tls-required",
    /// X.224 failure 2.
    TlsRefusedByServer = "tls-refused-by-server",
    /// X.224 failure 3.
    ServerCertificateMissing = "server-certificate-missing",
    /// X.224 failure 4.
    InconsistentFlags = "inconsistent-flags",
    /// X.224 failure 5.
    NlaRequired = "nla-required",
    /// X.224 failure 6.
    ClientCertificateRequired = "client-certificate-required",
    /// The client insists on NLA, the server selected less.
    NlaNotOffered = "nla-not-offered",
    /// No common TLS version.
    TlsVersionMismatch = "tls-version-mismatch",
    /// No common cipher suite, group or signature scheme.
    TlsCipherMismatch = "tls-cipher-mismatch",
    /// The server drops the connection at every ClientHello.
    ServerKeyUnusable = "server-key-unusable",
    /// A flight vanished on the way.
    TlsStalled = "tls-stalled",
    /// The client refused the certificate: it is past its end.
    CertificateExpired = "certificate-expired",
    /// The client refused the certificate: it is not valid yet.
    CertificateNotYetValid = "certificate-not-yet-valid",
    /// The client refused the certificate: it is for another name.
    CertificateNameMismatch = "certificate-name-mismatch",
    /// The client refused the certificate: it does not trust its issuer.
    CertificateUntrusted = "certificate-untrusted",
    /// The client refused the certificate: it is not for server authentication.
    CertificateWrongUsage = "certificate-wrong-usage",
    /// The client refused the certificate: weak key or signature.
    CertificateWeak = "certificate-weak",
    /// The client refused the certificate: it was revoked.
    CertificateRevoked = "certificate-revoked",
    /// The client refused the certificate and the wire does not say why.
    CertificateRejected = "certificate-rejected",
    /// The client cut this connection to ask its user something and came back.
    ClientPrompted = "client-prompted",
    /// CredSSP: wrong user name or password.
    NlaLogonFailed = "nla-logon-failed",
    /// CredSSP: the account is locked.
    NlaAccountLocked = "nla-account-locked",
    /// CredSSP: the account is disabled.
    NlaAccountDisabled = "nla-account-disabled",
    /// CredSSP: the password expired or must be changed.
    NlaPasswordExpired = "nla-password-expired",
    /// CredSSP: an account restriction.
    NlaAccountRestricted = "nla-account-restricted",
    /// CredSSP: this kind of logon is not granted.
    NlaLogonTypeDenied = "nla-logon-type-denied",
    /// CredSSP: the clocks are apart.
    NlaClockSkew = "nla-clock-skew",
    /// CredSSP: its version was refused.
    NlaEncryptionOracle = "nla-encryption-oracle",
    /// CredSSP: another TLS key in the way.
    NlaKeyBinding = "nla-key-binding",
    /// CredSSP: NTLM is forbidden and Kerberos was not possible.
    NlaNtlmRefused = "nla-ntlm-refused",
    /// CredSSP: no domain controller could be asked.
    NlaNoAuthority = "nla-no-authority",
    /// The user may not log on through Remote Desktop.
    AuthorizationDenied = "authorization-denied",
    /// Licensing failed.
    LicensingFailed = "licensing-failed",
    /// Error info 7.
    ServerDenied = "server-denied",
    /// Refused for the number of sessions.
    SessionLimit = "session-limit",
    /// Error info 5.
    SessionTaken = "session-taken",
    /// Error info 0x19, 0x1A.
    ServerShutdown = "server-shutdown",
    /// Error info 3, 4.
    IdleLimit = "idle-limit",
    /// Error info 1, 2, 0xB, 0xC.
    AdminDisconnect = "admin-disconnect",
    /// Any other error info, or a PDU that breaks the protocol.
    ProtocolError = "protocol-error",
    /// A broker sent the client elsewhere, past the proxy.
    RedirectedAway = "redirected-away",
    /// UDP offered and unanswered.
    UdpBlocked = "udp-blocked",
    /// UDP opened, then silence.
    UdpHalfOpen = "udp-half-open",
    /// The gateway cannot be reached.
    GatewayUnreachable = "gateway-unreachable",
    /// The far side speaks HTTP but is no gateway.
    GatewayNotAGateway = "gateway-not-a-gateway",
    /// WebSocket or the RDG methods are refused on the way.
    GatewayTransportBlocked = "gateway-transport-blocked",
    /// A middlebox altered the gateway's response.
    GatewayResponseMalformed = "gateway-response-malformed",
    /// The gateway refused the credentials.
    GatewayAuthFailed = "gateway-auth-failed",
    /// The gateway refused because TLS ends in between.
    GatewayChannelBinding = "gateway-channel-binding",
    /// A gateway policy (CAP, RAP) forbids it.
    GatewayPolicyDenied = "gateway-policy-denied",
    /// The gateway cannot reach the target.
    GatewayTargetUnreachable = "gateway-target-unreachable",
    /// The gateway is full.
    GatewayLimit = "gateway-limit",
    /// The certificate or ClientHello on the path is not the endpoint's own.
    TlsInspected = "tls-inspected",
    /// Round trip time or bandwidth explain the timeout.
    LinkSlow = "link-slow",
    /// Retransmissions explain the timeout.
    LinkLossy = "link-lossy",
    /// Cut by the network after a constant silence.
    IdleTimeout = "idle-timeout",
    /// rdpscope was to terminate TLS and could not.
    NotIntercepted = "not-intercepted",
    /// Ended by the client with no reason on the wire.
    ClientClosed = "client-closed",
    /// Ended by the server with no reason on the wire.
    ServerClosed = "server-closed",
}

impl VerdictId {
    /// Whether it says that something is wrong. A client that went away for reasons of its own is no proof of that; of a
    /// whole verdict [`Verdict::is_fault`] knows more.
    pub fn is_fault(self) -> bool {
        !matches!(self, VerdictId::Healthy | VerdictId::ClientPrompted | VerdictId::ClientClosed)
    }
}

impl std::fmt::Display for VerdictId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why the session ended, with its proof and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The cause.
    pub id: VerdictId,
    /// How sure.
    pub confidence: Confidence,
    /// The phase in which it happened.
    pub phase: Phase,
    /// One sentence: the answer.
    pub summary: String,
    /// The user ended the session himself: nothing failed, whatever the id covers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_user: bool,
    /// What on the wire says so.
    pub evidence: Vec<Evidence>,
    /// Causes that this session shows not to be the case.
    pub ruled_out: Vec<VerdictId>,
    /// Other causes that fit, likeliest first.
    pub alternatives: Vec<Alternative>,
    /// Commands that would tell more.
    pub next: Vec<String>,
    /// What mends it.
    pub fix: Vec<Fix>,
}

impl Verdict {
    /// Whether it says that something is wrong.
    pub fn is_fault(&self) -> bool {
        self.id.is_fault() && !self.by_user
    }

    /// The answer alone, without its proof and what to do.
    pub fn answer(&self) -> Verdict {
        Verdict {
            id: self.id,
            confidence: self.confidence,
            phase: self.phase,
            summary: self.summary.clone(),
            by_user: self.by_user,
            evidence: Vec::new(),
            ruled_out: Vec::new(),
            alternatives: Vec::new(),
            next: Vec::new(),
            fix: Vec::new(),
        }
    }

    /// Whether the session came to the end that its user wanted.
    pub fn is_good(&self) -> bool {
        self.id == VerdictId::Healthy || self.by_user
    }
}

/// One observation behind a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// When it was seen.
    pub t_us: Micros,
    /// What was seen.
    pub text: String,
}

/// Another cause that fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alternative {
    /// The cause.
    pub id: VerdictId,
    /// How sure.
    pub confidence: Confidence,
}

/// Where a fix is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// On the server.
    Server,
    /// On the client.
    Client,
    /// In between.
    Network,
    /// On the RD Gateway.
    Gateway,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fix {
    /// Where.
    #[serde(rename = "where")]
    pub place: Where,
    /// What, in a sentence.
    pub text: String,
    /// The exact command, where one exists.
    pub command: Option<String>,
}

/// Something true and worth knowing that is not the cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// A short name, kebab-case.
    pub id: String,
    /// The phase it belongs to.
    pub phase: Phase,
    /// One sentence.
    pub text: String,
}
