//! TLS with the server and with the client of one session.
//!
//! Towards the server everything is accepted and remembered: a certificate that clients refuse is what this program is
//! for. Nothing is resumed on either leg, because CredSSP forbids it (MS-CSSP 3.1.5), no client certificate is asked
//! for or shown, and nothing secret is kept or logged.

mod ending;
mod error;
mod hello;
mod identity;
mod key_log;
mod machine;
mod need;
mod signing;
mod stream;
#[cfg(any(windows, target_os = "macos", test))]
mod system;
mod tee;
mod trust;
mod usual;
mod verifier;
mod version;

#[cfg(feature = "legacy-tls")]
mod legacy;
#[cfg(feature = "legacy-tls")]
mod legacy_signing;

#[cfg(test)]
mod tests;

pub use ending::{StreamEnd, ending, read_ending};
pub use error::{Fault, HandshakeError, HandshakeFailure};
pub use hello::{MAXIMUM_CLIENT_HELLO, PeekError, peek_client_hello};
pub use identity::{IdentityError, ServerIdentity};
pub use key_log::KeyLog;
pub use machine::judge;
pub use need::of_client as client_needs_legacy;
pub use stream::TlsStream;
pub use tee::{Tee, WireTap};
pub use trust::{Judgement, Roots};
pub use version::{TlsVersion, VersionRange, VersionRangeError};

#[cfg(not(feature = "legacy-tls"))]
use crate::trace::Side;
use rustls::pki_types::DnsName;
use tokio::io::{AsyncRead, AsyncWrite};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What we may say to the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// server_name; only a DNS name is sent (RFC 6066 section 3).
    pub server_name: Option<String>,
    /// The versions.
    pub versions: VersionRange,
    /// application_layer_protocol_negotiation (RFC 7301): names of protocols in the order of preference; without any
    /// the extension is left out.
    pub protocols: Vec<String>,
}

/// Who speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stack {
    /// rustls: TLS 1.2 and 1.3.
    Usual,
    /// OpenSSL: TLS 1.0 to 1.3, CBC suites, RSA key exchange. Only where the program was built with `legacy-tls`.
    Legacy {
        /// Why, as in [`HandshakeError::needs_legacy`]; for the error where it was left out.
        need: String,
    },
}

impl Stack {
    /// Whether this build has [`Stack::Legacy`].
    pub const LEGACY_IS_BUILT_IN: bool = cfg!(feature = "legacy-tls");
}

/// TLS with the server.
pub struct ServerLeg<S> {
    /// What goes through it.
    pub stream: TlsStream<S>,
    /// Its certificates in DER, its own first.
    pub chain: Vec<Vec<u8>>,
    /// The content of the SubjectPublicKey BIT STRING of its certificate, which CredSSP binds (MS-CSSP 3.1.5);
    /// `None` where the certificate cannot be read.
    pub public_key: Option<Vec<u8>>,
    /// Whether it proved that the key of its certificate is its own; `None` where the proof is of a kind that cannot be
    /// checked here.
    pub signature_ok: Option<bool>,
    /// Whether it asked for a certificate of its client, as for a smart card; none is ever shown. Not known of the second
    /// stack.
    pub asked_for_certificate: bool,
    /// The protocol that it selected of those that were offered (RFC 7301).
    pub protocol: Option<Vec<u8>>,
}

/// Performs the handshake with the server. A failed one sends its alert and FIN before it is dropped. There is no limit
/// on time.
pub async fn connect<S>(stream: Tee<S>, offer: &Offer, stack: &Stack) -> Result<ServerLeg<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match stack {
        Stack::Usual => usual::connect(stream, offer).await,
        #[cfg(feature = "legacy-tls")]
        Stack::Legacy { .. } => legacy::connect(stream, offer).await,
        #[cfg(not(feature = "legacy-tls"))]
        Stack::Legacy { need } => Err(no_legacy_stack(Side::Server, need)),
    }
}

/// Performs the handshake with the client, whose ClientHello may be the prefix of `stream`. A failed one sends its alert
/// and FIN before it is dropped. There is no limit on time.
pub async fn accept<S>(
    stream: Tee<S>,
    identity: &ServerIdentity,
    stack: &Stack,
) -> Result<TlsStream<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match stack {
        Stack::Usual => usual::accept(stream, identity).await,
        #[cfg(feature = "legacy-tls")]
        Stack::Legacy { .. } => legacy::accept(stream, identity).await,
        #[cfg(not(feature = "legacy-tls"))]
        Stack::Legacy { need } => Err(no_legacy_stack(Side::Client, need)),
    }
}

#[cfg(not(feature = "legacy-tls"))]
fn no_legacy_stack(peer: Side, need: &str) -> HandshakeError {
    HandshakeError::new(peer, HandshakeFailure::NoLegacyStack { need: need.to_owned() })
}

/// The content of the SubjectPublicKey BIT STRING of a certificate in DER, which CredSSP binds (MS-CSSP 3.1.5).
pub fn subject_public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}

/// `name` where it may stand in server_name: a DNS name, no address (RFC 6066 section 3).
fn dns_name(name: &str) -> Option<DnsName<'static>> {
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    DnsName::try_from(name.to_owned()).ok().filter(|_| !is_address)
}
