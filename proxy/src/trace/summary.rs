//! The session in one line, the same whatever the bytes came from. What cannot be known is `null`, never a guess.

use super::{ClosedBy, How, Micros, Phase, UdpSummary};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What carried the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A direct TCP connection.
    Tcp,
    /// RDP-UDP alone.
    Udp,
    /// An RD Gateway, over WebSocket.
    GatewayWebsocket,
    /// An RD Gateway, over two HTTP connections.
    GatewayHttp,
    /// An RD Gateway, over RPC over HTTP.
    GatewayRpc,
}

/// The facts of a session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// What carried it; `None` where that cannot be known: behind a gateway that nobody sees into or that was not reached.
    pub transport: Option<Transport>,
    /// The client, `ip:port`.
    pub client: Option<String>,
    /// The server, `ip:port`.
    pub server: Option<String>,
    /// Names of RDP_NEG_REQ.requestedProtocols; `["RDP"]` where none is set.
    pub requested_protocols: Option<Vec<String>>,
    /// Name of RDP_NEG_RSP.selectedProtocol.
    pub selected_protocol: Option<String>,
    /// RDP_NEG_FAILURE.failureCode.
    pub failure_code: Option<u32>,
    /// The identity in `Cookie: mstshash=`.
    pub cookie: Option<String>,
    /// The name the client asked for in TLS.
    pub sni: Option<String>,
    /// The highest TLS version the client offers, `"TLS1.3"`.
    pub tls_client_max: Option<String>,
    /// The TLS version the server chose.
    pub tls_version: Option<String>,
    /// The cipher suite the server chose, its IANA name.
    pub cipher: Option<String>,
    /// The same as a number, `"0xc030"`.
    pub cipher_id: Option<String>,
    /// JA3 of the client's hello.
    pub ja3: Option<String>,
    /// JA4 of the client's hello.
    pub ja4: Option<String>,
    /// The server's certificate, where it was visible.
    pub certificate: Option<CertificateSummary>,
    /// CredSSP, where it was visible.
    pub credssp: Option<CredsspSummary>,
    /// The last Set Error Info that names a reason, `"0x0000000b"`.
    pub error_info: Option<String>,
    /// The gateway's tunnel.
    pub gateway: Option<GatewaySummary>,
    /// The RDP-UDP side channel.
    pub udp: Option<UdpSummary>,
    /// The last phase that came to a good end.
    pub reached: Option<Phase>,
    /// Who ended the session.
    pub closed_by: Option<ClosedBy>,
    /// In which way.
    pub how: Option<How>,
    /// Round trip time between rdpscope and the server, in a capture between both ends, µs.
    pub rtt_us: Option<Micros>,
    /// Bytes from client to server.
    pub bytes_up: u64,
    /// Bytes from server to client.
    pub bytes_down: u64,
}

/// The server's certificate in a summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateSummary {
    /// The subject's common name.
    pub subject_cn: Option<String>,
    /// The issuer's common name.
    pub issuer_cn: Option<String>,
    /// Subject alternative names: DNS names and IP addresses.
    pub sans: Vec<String>,
    /// Start of validity, RFC 3339.
    pub not_before: String,
    /// End of validity, RFC 3339.
    pub not_after: String,
    /// SHA-1 thumbprint, lower-case hex.
    pub sha1: String,
    /// SHA-256 fingerprint, lower-case hex.
    pub sha256: String,
    /// True where subject and issuer are the same.
    pub self_signed: bool,
}

/// CredSSP in a summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CredsspSummary {
    /// The version both ends came to.
    pub version: Option<u32>,
    /// `"NTLM"` or `"Kerberos"`.
    pub mechanism: Option<String>,
    /// The NTSTATUS in errorCode, `"0xc000006d"`.
    pub status: Option<String>,
}

/// A gateway's tunnel in a summary.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewaySummary {
    /// How many packets of each kind, by the MS-TSGU name in snake case.
    pub packets: BTreeMap<String, u64>,
    /// Whether HTTP_CAPABILITY_UDP_TRANSPORT was offered.
    pub udp_offered: Option<bool>,
    /// The gateway's last status code that names a reason.
    pub status: Option<String>,
}
