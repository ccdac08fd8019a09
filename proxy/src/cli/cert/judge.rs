//! What the verifier of this machine says of a chain, for whatever name: the roots that the system keeps, and the rules
//! of RFC 5280. Revocation is not looked up.

use rdpscope_certs::show::PlatformVerdict;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use std::time::Duration;

/// What the library calls a CA in the place of a server.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";
const THIS_MACHINE: &str = "this machine";

/// The verdict of this machine at `now`, seconds since 1970.
pub(super) fn judge(chain: &[Vec<u8>], now: i64) -> PlatformVerdict {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    PlatformVerdict { platform: THIS_MACHINE.to_owned(), refusal: refusal(chain, &roots, now) }
}

fn refusal(chain: &[Vec<u8>], roots: &RootCertStore, now: i64) -> Option<String> {
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| der.as_slice().into()).collect();
    let (own, above) = chain.split_first()?;
    let provider = rustls::crypto::ring::default_provider();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or_default()));
    let algorithms = provider.signature_verification_algorithms.all;
    ParsedCertificate::try_from(own)
        .and_then(|own| verify_server_cert_signed_by_trust_anchor(&own, roots, above, now, algorithms))
        .err()
        .map(|error| words(&error))
}

fn words(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(error) = error else { return error.to_string() };
    match error {
        CertificateError::UnknownIssuer => "its issuer is unknown here".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "not valid yet".to_owned()
        }
        CertificateError::BadSignature => "a signature in the chain is wrong".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its usage does not allow a server".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            "a signature in the chain uses an algorithm that is not accepted".to_owned()
        }
        CertificateError::BadEncoding => "its encoding breaks the rules".to_owned(),
        CertificateError::Other(other) if other.to_string() == CA_AS_SERVER => {
            "it is the certificate of a CA, not of a server".to_owned()
        }
        other => format!("a rule for certificates is broken: {other}"),
    }
}
