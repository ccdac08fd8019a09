//! How a gateway is set up: whom it lets in, what it says, and what is wrong with it.

use crate::support::certificates::{Certificate, certificates};
use rustls::SupportedProtocolVersion;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Where RDG_OUT_DATA and RDG_IN_DATA go.
pub(crate) const GATEWAY_PATH: &str = "/remoteDesktopGateway";
/// Where RPC_OUT_DATA and RPC_IN_DATA go.
pub(crate) const RPC_PATH: &str = "/rpc/rpcproxy.dll";

/// The account of the usual set-up.
pub(crate) const USER: &str = "gwuser";
/// Its password.
pub(crate) const PASSWORD: &str = "Gateway-1234";

/// HTTP_CAPABILITY_* of a Windows gateway: all there are.
const ALL_CAPABILITIES: u32 = 0x3F;
/// HTTP_TUNNEL_REDIR_ENABLE_ALL.
const REDIRECT_ALL: u32 = 0x8000_0000;
/// Smart card, PAA and SSPI_NTLM, as Windows answers every client.
const ALL_EXTENDED_AUTH: u16 = 7;

/// What FreeRDP 2 is told of its gateway, with the account of the usual set-up: `/g:… /gu:… /gp:… /gt:…`.
pub(crate) fn way(gateway: SocketAddr, transport: &str) -> String {
    format!("/g:{gateway} /gu:{USER} /gp:{PASSWORD} /gt:{transport}")
}

/// Where FreeRDP 3 of the packages finds a gateway, which it always looks for on port 443: an address of this machine that no
/// other test has. None where the port is kept to root.
pub(crate) fn address_with_port_443() -> Option<SocketAddr> {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, high | 0x80, low, NEXT.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((ip, 443)).ok().map(|_| (ip, 443).into())
}

/// All of it. The default is a gateway as Windows is one, with one account and nothing wrong.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// Where it listens; port 0 is any that is free.
    pub(crate) address: SocketAddr,
    /// What it shows in TLS.
    pub(crate) certificate: &'a Certificate,
    /// The versions of TLS that it speaks.
    pub(crate) tls_versions: &'static [&'static SupportedProtocolVersion],
    /// Whether every client must show a certificate of the tests' authority, as one with a smart card does.
    pub(crate) wants_client_certificate: bool,
    /// A file for the secrets of TLS, in the form that Wireshark reads.
    pub(crate) key_log: Option<&'a Path>,
    pub(crate) logon: Logon,
    pub(crate) http: Http,
    pub(crate) tunnel: Tunnel,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Setup {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            certificate: &certificates().signed,
            tls_versions: rustls::ALL_VERSIONS,
            wants_client_certificate: false,
            key_log: None,
            logon: Logon::default(),
            http: Http::default(),
            tunnel: Tunnel::default(),
        }
    }
}

/// Whether NTLM must be bound to the gateway's own certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelBindings {
    /// Nobody looks.
    Ignored,
    /// A client that was shown another certificate, or says nothing, is refused.
    Required,
}

/// Whom it lets in.
#[derive(Debug, Clone)]
pub(crate) struct Logon {
    /// What it offers in WWW-Authenticate: `NTLM`, `Negotiate`, `Basic`; nobody is asked when there is none.
    pub(crate) schemes: Vec<&'static str>,
    /// Names and passwords.
    pub(crate) users: Vec<(String, String)>,
    /// The PAA cookie that TUNNEL_CREATE must bring.
    pub(crate) token: Option<String>,
    /// Offers SSPI_NTLM, which is NTLM in EXTENDED_AUTH packets.
    pub(crate) extended: bool,
    /// What a smart card must say in an EXTENDED_AUTH packet, as a blob that only the two ends understand.
    pub(crate) smart_card: Option<Vec<u8>>,
    pub(crate) channel_bindings: ChannelBindings,
}

impl Default for Logon {
    fn default() -> Self {
        Logon {
            schemes: vec!["Negotiate", "NTLM"],
            users: vec![(USER.to_owned(), PASSWORD.to_owned())],
            token: None,
            extended: false,
            smart_card: None,
            channel_bindings: ChannelBindings::Ignored,
        }
    }
}

impl Logon {
    /// Nobody is asked who he is.
    pub(crate) fn open() -> Logon {
        Logon { schemes: Vec::new(), ..Logon::default() }
    }

    /// Nobody is asked, and who brings this PAA cookie is let in.
    pub(crate) fn by_token(token: &str) -> Logon {
        Logon { token: Some(token.to_owned()), ..Logon::open() }
    }

    pub(super) fn password_of(&self, user: &str) -> Option<&str> {
        let account = self.users.iter().find(|(name, _)| name.eq_ignore_ascii_case(user));
        account.map(|(_, password)| password.as_str())
    }
}

/// What becomes of a request for a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// 101.
    Served,
    /// Taken for an OUT channel: 200.
    Ignored,
    /// This status.
    Refused(u16),
    /// Nothing is answered.
    Unanswered,
    /// 101, and nothing behind it.
    Dead,
}

/// What becomes of RDG_IN_DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InChannel {
    /// It is read.
    Served,
    /// It is not answered.
    Unanswered,
}

/// What it does with HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// The status line's version.
    pub(crate) version: &'static str,
    /// Fields of every response, as `Server` and `Via`.
    pub(crate) fields: Vec<(String, String)>,
    /// What the paths that it serves begin with; the rest is 404.
    pub(crate) paths: Vec<&'static str>,
    /// Methods that it refuses, with a status.
    pub(crate) refused_methods: Vec<(&'static str, u16)>,
    /// Closes each connection on which something is asked.
    pub(crate) silent: bool,
    pub(crate) upgrade: Upgrade,
    pub(crate) in_channel: InChannel,
    /// What stands before the first packet of an OUT channel.
    pub(crate) preamble: Vec<u8>,
    /// Frames the OUT channel in chunks.
    pub(crate) chunked: bool,
    /// Holds the bytes behind an OUT channel's head until there are so many.
    pub(crate) held_until: usize,
}

impl Default for Http {
    fn default() -> Self {
        Http {
            version: "HTTP/1.1",
            fields: vec![("Server".to_owned(), "Microsoft-HTTPAPI/2.0".to_owned())],
            paths: vec![GATEWAY_PATH, RPC_PATH],
            refused_methods: Vec::new(),
            silent: false,
            upgrade: Upgrade::Served,
            in_channel: InChannel::Served,
            preamble: [0xAB, 0xCD].repeat(5),
            chunked: false,
            held_until: 0,
        }
    }
}

/// What it does with a tunnel.
#[derive(Debug, Clone)]
pub(crate) struct Tunnel {
    /// Connects to this instead of what the client asks for.
    pub(crate) target: Option<SocketAddr>,
    /// extendedAuth of HANDSHAKE_RESPONSE.
    pub(crate) extended_auth: u16,
    pub(crate) capabilities: u32,
    /// Error codes of HANDSHAKE_RESPONSE, TUNNEL_RESPONSE, TUNNEL_AUTH_RESPONSE and CHANNEL_RESPONSE.
    pub(crate) handshake_error: u32,
    pub(crate) tunnel_error: u32,
    pub(crate) authorization_error: u32,
    pub(crate) channel_error: u32,
    /// redirFlags.
    pub(crate) redirection: u32,
    /// In minutes.
    pub(crate) idle_timeout: u32,
    /// What the user must agree to.
    pub(crate) consent: Option<String>,
    /// What the user is told once the channel is open.
    pub(crate) service_message: Option<String>,
    /// How often it sends KEEPALIVE.
    pub(crate) keepalive: Option<Duration>,
    /// Closes the channel so long after it opened, with this code.
    pub(crate) close: Option<(Duration, u32)>,
    /// The UDP port and the cookie that it announces to a client that can use them.
    pub(crate) udp: Option<(u16, Vec<u8>)>,
    /// Over RPC, how many bytes an OUT channel carries before the client is asked for another in its place.
    pub(crate) channel_lifetime: Option<u32>,
}

impl Default for Tunnel {
    fn default() -> Self {
        Tunnel {
            target: None,
            extended_auth: ALL_EXTENDED_AUTH,
            capabilities: ALL_CAPABILITIES,
            handshake_error: 0,
            tunnel_error: 0,
            authorization_error: 0,
            channel_error: 0,
            redirection: REDIRECT_ALL,
            idle_timeout: 0,
            consent: None,
            service_message: None,
            keepalive: None,
            close: None,
            udp: None,
            channel_lifetime: None,
        }
    }
}
