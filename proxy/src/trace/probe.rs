//! What a probe of one target found, check by check. What was not asked, or could not be had, is absent or empty.

use super::{ConnectError, GatewayCheck, How, Micros, OtherPathsCheck};
use crate::wire::credssp::ntlm::NtlmChallenge;
use crate::wire::tls::{CodePoint, ServerHello};
use rdpscope_certs::clients::PlatformVerdict;
use rdpscope_certs::inspect::Certificate;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that the checks of one target found. The conversation that a client would have, up to the NTLM challenge,
/// is a record of its own; its certificate and names are repeated here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// What the user named, `host:port`.
    pub target: String,
    /// The wall clock when the probe began, RFC 3339.
    pub started: String,
    /// How long everything took, µs.
    pub took_us: Micros,
    /// TCP connections that were opened.
    pub connections: u32,
    /// UDP conversations that were begun.
    pub conversations: u32,
    /// The name and its addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsCheck>,
    /// TCP to each address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<TcpCheck>,
    /// X.224 with each mask of protocols.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub negotiation: Vec<NegotiationCheck>,
    /// Encryption of classic RDP security; absent where the server takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classic: Option<ClassicCheck>,
    /// TLS versions, cipher suites and groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsCheck>,
    /// The certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateCheck>,
    /// CredSSP up to the NTLM challenge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credssp: Option<CredsspCheck>,
    /// The same on a connection on which the server had refused TLS, and took it all the same; absent where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credssp_after_refusal: Option<CredsspCheck>,
    /// RDP-UDP on the same port number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<UdpCheck>,
    /// Whether full-size segments come through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathCheck>,
    /// Which certificates are shown over other paths to it; absent where none was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_paths: Option<Box<OtherPathsCheck>>,
    /// An RD Gateway, where one was probed; what stands above is then about it and not about a target behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Box<GatewayCheck>>,
    /// Checks whose answer was not always the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaky: Vec<FlakyCheck>,
    /// Checks that were left out or given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

impl Probe {
    /// What the server told of itself, whether it took network level authentication or had refused it.
    pub fn challenge(&self) -> Option<&NtlmChallenge> {
        let checks = [&self.credssp, &self.credssp_after_refusal];
        let of_gateway = self.gateway.as_ref().and_then(|gateway| gateway.logon.as_ref()?.challenge.as_ref());
        checks.into_iter().flatten().find_map(|check| check.challenge.as_ref()).or(of_gateway)
    }

    /// The far side's clock minus this machine's, µs, where it told.
    pub fn clock_skew_us(&self) -> Option<i64> {
        let of_gateway = || self.gateway.as_ref()?.logon.as_ref()?.clock_skew_us;
        self.credssp.as_ref().and_then(|check| check.clock_skew_us).or_else(of_gateway)
    }
}

/// The name and its addresses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DnsCheck {
    /// The name, or the address that was typed in its place.
    pub name: String,
    /// True where an address was typed: there was nothing to look up.
    pub is_address: bool,
    /// Every address, in the order in which a client tries them (RFC 8305).
    pub addresses: Vec<String>,
    /// What the resolver said where it found none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How long the lookup took, µs.
    pub took_us: Micros,
    /// The name that each address has by reverse lookup; `null` where it has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reverse: BTreeMap<String, Option<String>>,
}

/// TCP to one address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpCheck {
    /// The address, `ip:port`.
    pub address: String,
    /// How long each connection took, µs, in the order in which they were made; `null` for one that failed.
    pub rounds: Vec<Option<Micros>>,
    /// How the failed ones failed, by count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<TcpFailure>,
    /// Round trip time by the system's own count, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u32>,
    /// Segments sent again, of all connections to this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmitted_segments: Option<u32>,
}

/// One way in which connecting failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TcpFailure {
    /// How.
    pub error: ConnectError,
    /// What the system said.
    pub reason: String,
    /// How often.
    pub count: u32,
}

/// What came of a connection request with one mask of protocols.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NegotiationCheck {
    /// Names of RDP_NEG_REQ.requestedProtocols; `["RDP"]` where none is set.
    pub requested_protocols: Vec<String>,
    /// What came back.
    pub answer: NegotiationAnswer,
    /// From the request to the answer, µs.
    pub took_us: Micros,
}

/// The answer to a connection request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum NegotiationAnswer {
    /// RDP_NEG_RSP, or a confirm without one, which means classic RDP security.
    Selected {
        /// Its name.
        protocol: String,
        /// Names of RDP_NEG_RSP.flags.
        flags: Vec<String>,
    },
    /// RDP_NEG_FAILURE.
    Refused {
        /// failureCode.
        code: u32,
        /// Its name.
        name: String,
    },
    /// X.224 Disconnect Request.
    Disconnected {
        /// X.224 reason code.
        reason: u8,
    },
    /// Something that is not RDP.
    OtherProtocol {
        /// Its name, where its first bytes tell.
        protocol: Option<String>,
        /// The first bytes, hex.
        first_bytes: String,
    },
    /// The connection was closed without an answer.
    Closed {
        /// In which way.
        how: How,
    },
    /// Nothing came for too long.
    Silent,
    /// There was no connection to ask on.
    NotConnected {
        /// How it failed.
        error: ConnectError,
    },
}

/// Encryption of classic RDP security (MS-RDPBCGR 5.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClassicCheck {
    /// The methods that the server chose where it was offered each alone, by their names in SC_SECURITY; `"NONE"` where
    /// it encrypts nothing.
    pub methods: Vec<String>,
    /// Its encryptionLevel, by name.
    pub level: Option<String>,
    /// The version of RDP in SC_CORE.
    pub rdp_version: Option<String>,
    /// The methods that it did not take, and what it did.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
}

/// What came of a ClientHello.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum HelloAnswer {
    /// A ServerHello, or a HelloRetryRequest.
    Accepted(Box<ServerHello>),
    /// A HelloVerifyRequest: a server of DTLS wants the hello repeated with a cookie, so it is there.
    CookieRequested,
    /// A fatal alert.
    Alert {
        /// Its number.
        description: u8,
        /// Its name.
        name: String,
    },
    /// The connection was closed without an answer.
    Closed {
        /// In which way.
        how: How,
    },
    /// Nothing came for too long.
    Silent,
    /// The X.224 negotiation before it, or TCP, did not come through.
    NotReached {
        /// Why.
        reason: String,
    },
    /// A ServerHello of a version that was not offered.
    OtherVersion {
        /// The version.
        version: String,
    },
    /// Something that is not TLS.
    Other {
        /// The first bytes, hex.
        first_bytes: String,
    },
}

/// TLS versions, cipher suites, groups and signature schemes that the server takes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TlsCheck {
    /// True where TLS began without X.224.
    pub direct: bool,
    /// Each version alone, `"SSL3.0"` to `"TLS1.3"`, with everything that clients of it offer.
    pub versions: BTreeMap<String, HelloAnswer>,
    /// The suites that each version takes: first those with an ephemeral exchange, then those without, then those that
    /// protect nothing; of each kind in the order in which the server chose them.
    pub suites: BTreeMap<String, Vec<CodePoint>>,
    /// Versions in which the server goes by its own order of suites.
    pub server_order: BTreeMap<String, bool>,
    /// The groups that it takes, in the order in which it chose them.
    pub groups: Vec<CodePoint>,
    /// The signature schemes that TLS 1.2 and 1.3 take: of TLS 1.2 in the order in which the server chose them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signature_schemes: BTreeMap<String, Vec<CodePoint>>,
    /// Suites and groups that clients offer and that it did not take.
    pub refused: Vec<CodePoint>,
    /// Bits of the prime of DHE, where it takes such a suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diffie_hellman_bits: Option<u32>,
}

/// The server's certificate and what follows from it without asking a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateCheck {
    /// The chain as it was shown, end entity first.
    pub chain: Vec<Arc<Certificate>>,
    /// Certificates of the chain that could not be read, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Whether the chain ends in a root that this machine trusts; the name is left out of it.
    pub trusted: bool,
    /// Why not, in the verifier's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The name it was held against.
    pub name: String,
    /// Whether it is for that name.
    pub name_matches: bool,
    /// Who says whether it is trusted: the verifier of the system, or webpki with the system's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier: Option<String>,
    /// What clients elsewhere say of it by their own rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_rules: Vec<PlatformVerdict>,
    /// Addresses of OCSP responders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ocsp: Vec<String>,
    /// Addresses of revocation lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crl: Vec<String>,
    /// Addresses of the issuer's certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<String>,
    /// The common name of each issuer that the chain lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_issuers: Vec<String>,
}

/// CredSSP up to the NTLM challenge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CredsspCheck {
    /// The version that the server answered with.
    pub version: Option<u32>,
    /// The server's challenge: its names and its version of Windows.
    pub challenge: Option<NtlmChallenge>,
    /// The server's clock minus this machine's, µs; half of the round trip is taken off.
    pub clock_skew_us: Option<i64>,
    /// What came in the challenge's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The NTSTATUS in errorCode, `"0xc000006d"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// RDP-UDP on the port of the same number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UdpCheck {
    /// The address, `ip:port`.
    pub address: String,
    /// What came of a SYN of each version, 1 to 3.
    #[serde(deserialize_with = "by_number")]
    #[schemars(with = "BTreeMap<u8, UdpAnswer>")]
    pub versions: BTreeMap<u8, UdpAnswer>,
    /// A TLS hello over the reliable transport, where a SYN was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<HelloAnswer>,
    /// A DTLS hello over the lossy transport, where a SYN was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtls: Option<HelloAnswer>,
}

/// In JSON a key is text, and in a line that is told apart by its `type` nothing makes it a number again.
fn by_number<'de, D>(deserializer: D) -> Result<BTreeMap<u8, UdpAnswer>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let by_text = BTreeMap::<String, UdpAnswer>::deserialize(deserializer)?;
    let number = |(key, answer): (String, UdpAnswer)| Ok((key.parse().map_err(D::Error::custom)?, answer));
    by_text.into_iter().map(number).collect()
}

/// What came of a SYN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum UdpAnswer {
    /// SYN+ACK.
    SynAck {
        /// The version that the server chose.
        version: u8,
        /// uUpStreamMtu, bytes.
        up_stream_mtu: u16,
        /// uDownStreamMtu, bytes.
        down_stream_mtu: u16,
        /// From the SYN to its answer, µs.
        took_us: Micros,
        /// SYNs that were sent before the one that was answered.
        lost: u32,
    },
    /// Nothing, however often it was asked.
    Silent {
        /// How often.
        sent: u32,
    },
    /// ICMP: nobody listens there.
    Unreachable,
    /// Something that is no SYN+ACK.
    Other {
        /// The first bytes, hex.
        first_bytes: String,
    },
}

/// A small hello against one that fills more than one segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PathCheck {
    /// Bytes of the small hello.
    pub small_bytes: usize,
    /// What came of it.
    pub small: HelloAnswer,
    /// Bytes of the large hello.
    pub large_bytes: usize,
    /// What came of it.
    pub large: HelloAnswer,
    /// The large hello once more, in segments of [`PathCheck::clamped_mss`] bytes; only where it was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clamped: Option<HelloAnswer>,
    /// The largest segment for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clamped_mss: Option<u32>,
    /// The large hello as it was at first, once more after it came through in small segments: what is lost twice is no
    /// accident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large_again: Option<HelloAnswer>,
    /// The largest segment that the system sends on this way, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_mss: Option<u32>,
}

/// A check whose answer was not always the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlakyCheck {
    /// What was asked, in words.
    pub check: String,
    /// The answers, in words, and how often each came.
    pub answers: BTreeMap<String, u32>,
}

/// A check that was left out or given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// What was to be asked, in words.
    pub check: String,
    /// Why it was not.
    pub reason: String,
}
