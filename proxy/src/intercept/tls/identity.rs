//! What the client is shown, ready to be served.

use super::signing::OwnKey;
use rdpscope_certs::Identity;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use std::fmt;
use std::sync::Arc;

/// An identity that no TLS stack here can serve.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nothing to show.
    #[error("there is no certificate to show the client")]
    NoCertificate,
    /// The library refuses it.
    #[error("the certificate for the client cannot be served: {reason}")]
    Unusable {
        /// In the library's words.
        reason: String,
    },
}

/// A certificate with its key, as both TLS stacks serve it. Built once for each certificate; clones are cheap.
#[derive(Clone)]
pub struct ServerIdentity {
    pub(super) usual: Arc<ServerConfig>,
    /// An error where OpenSSL cannot take the certificate: the usual stack takes any.
    #[cfg(feature = "legacy-tls")]
    pub(super) legacy: Result<openssl::ssl::SslContext, openssl::error::ErrorStack>,
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerIdentity")
    }
}

impl ServerIdentity {
    /// Whatever the certificate is like: short keys, old versions and odd extensions are what is to be shown.
    pub fn new(identity: &Identity) -> Result<ServerIdentity, IdentityError> {
        if identity.chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        Ok(ServerIdentity {
            usual: Arc::new(server_config(identity)?),
            #[cfg(feature = "legacy-tls")]
            legacy: super::legacy::server_context(identity),
        })
    }

    /// The same for a connection on which `protocol` is selected (RFC 7301), by the usual TLS stack.
    pub fn selecting(&self, protocol: &[u8]) -> ServerIdentity {
        let mut usual = ServerConfig::clone(&self.usual);
        usual.alpn_protocols = vec![protocol.to_vec()];
        let mut selecting = self.clone();
        selecting.usual = Arc::new(usual);
        selecting
    }
}

/// Without resumption, which CredSSP forbids (MS-CSSP 3.1.5), and without asking for a client certificate.
fn server_config(identity: &Identity) -> Result<ServerConfig, IdentityError> {
    let chain = identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let certified = CertifiedKey::new(chain, signing_key(identity));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| IdentityError::Unusable { reason: error.to_string() })?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The fastest that takes the key: OpenSSL for RSA where it is built in, then ring.
fn signing_key(identity: &Identity) -> Arc<dyn SigningKey> {
    #[cfg(feature = "legacy-tls")]
    if let Some(key) = super::legacy_signing::rsa(identity) {
        return key;
    }
    let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.pkcs8()));
    ring::sign::any_supported_type(&pkcs8)
        .unwrap_or_else(|_| Arc::new(OwnKey(Arc::new(identity.key.clone()))))
}
