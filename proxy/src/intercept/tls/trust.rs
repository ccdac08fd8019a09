//! What certain roots say of a server's certificate.

use rdpscope_certs::inspect::{Certificate, Validity, inspect};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

/// Who judges by [`Roots`].
pub(super) const VERIFIER: &str = "this machine's roots (webpki, no revocation)";
const SELF_SIGNED: &str = "it is signed by itself and not among the trusted roots of this machine";

/// Certificates that are trusted.
#[derive(Debug)]
pub struct Roots {
    /// What the verifier takes.
    store: RootCertStore,
    /// All of them in DER: a certificate that is itself among them is trusted whatever the verifier can read.
    all: HashSet<Vec<u8>>,
}

/// Whether a chain is trusted and whether the certificate is for a name are two answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Who says whether it is trusted.
    pub verifier: String,
    /// Whether the chain ends in one of the roots, with dates, usages and signatures in order. The name plays no part.
    pub trusted: bool,
    /// Why not; begins with `cannot be judged` where the verifier cannot read the certificate.
    pub reason: Option<String>,
    /// Whether the certificate is for the name, by alternative names or, without any, by the common name.
    pub name_matches: bool,
}

impl Judgement {
    /// Without a `refusal` the chain is trusted.
    pub(super) fn new(verifier: &str, refusal: Option<String>, name_matches: bool) -> Judgement {
        let verifier = verifier.to_owned();
        Judgement { verifier, trusted: refusal.is_none(), reason: refusal, name_matches }
    }
}

impl Roots {
    /// These certificates in DER.
    pub fn of(certificates: impl IntoIterator<Item = Vec<u8>>) -> Roots {
        let all: HashSet<Vec<u8>> = certificates.into_iter().collect();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(all.iter().map(|der| CertificateDer::from(der.as_slice())));
        Roots { store, all }
    }

    /// What this machine trusts. The first call reads hundreds of files and blocks; what cannot be read is left out.
    /// Windows fetches some of its roots only when it needs them, so that they are missing here until then.
    pub fn of_this_machine() -> &'static Roots {
        static ROOTS: OnceLock<Roots> = OnceLock::new();
        ROOTS.get_or_init(|| {
            Roots::of(rustls_native_certs::load_native_certs().certs.into_iter().map(|der| der.to_vec()))
        })
    }

    /// Judges a server's `chain` (DER, its own first) at `now`, seconds since 1970, for a client that was told to
    /// connect to `name`. Revocation is not looked at.
    pub fn judge(&self, chain: &[Vec<u8>], name: &str, now: i64) -> Judgement {
        let certificate = match first(chain) {
            Ok(certificate) => certificate,
            Err(refusal) => return Judgement::new(VERIFIER, Some(refusal), false),
        };
        let is_root = chain.first().is_some_and(|leaf| self.all.contains(leaf));
        let refusal = if is_root {
            wrong_dates(&certificate, now)
        } else {
            self.verify(chain, now).err().map(|error| words_of_webpki(&error, &certificate, now))
        };
        Judgement::new(VERIFIER, refusal, certificate.matches_name(name))
    }

    fn verify(&self, chain: &[Vec<u8>], now: i64) -> Result<(), Error> {
        let (leaf, intermediates) = presented(chain);
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(&leaf)?,
            &self.store,
            &intermediates,
            unix_time(now),
            ring::default_provider().signature_verification_algorithms.all,
        )
    }
}

/// The server's own certificate, or why there is nothing to judge.
pub(super) fn first(chain: &[Vec<u8>]) -> Result<Certificate, String> {
    let leaf = chain.first().ok_or("the server showed no certificate")?;
    inspect(leaf).map_err(|error| format!("cannot be judged: {error}"))
}

/// The server's own certificate and the others as a verifier takes them.
pub(super) fn presented(chain: &[Vec<u8>]) -> (CertificateDer<'_>, Vec<CertificateDer<'_>>) {
    let mut certificates = chain.iter().map(|der| CertificateDer::from(der.as_slice()));
    (certificates.next().unwrap_or_else(|| CertificateDer::from_slice(&[])), certificates.collect())
}

/// `now`, seconds since 1970.
pub(super) fn unix_time(now: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)))
}

fn wrong_dates(certificate: &Certificate, now: i64) -> Option<String> {
    let words = certificate.validity_words(now);
    match certificate.validity_at(now) {
        Validity::Valid { .. } => None,
        Validity::Expired { .. } => Some(format!("it {words}")),
        Validity::NotYetValid { .. } => Some(format!("it is {words}")),
    }
}

/// webpki reads no old certificates, and takes one that is no root and signed by itself for a bad end of a chain.
fn words_of_webpki(error: &Error, certificate: &Certificate, now: i64) -> String {
    let is_old = certificate.version < 3;
    match error {
        Error::InvalidCertificate(_) if is_old && !certificate.self_signed => {
            format!("cannot be judged: it is X.509 version {}", certificate.version)
        }
        Error::InvalidCertificate(error) if certificate.self_signed && (is_old || !is_about_dates(error)) => {
            SELF_SIGNED.to_owned()
        }
        error => words(error, certificate, now),
    }
}

fn is_about_dates(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

/// Why a verifier refuses a certificate.
pub(super) fn words(error: &Error, certificate: &Certificate, now: i64) -> String {
    let Error::InvalidCertificate(error) = error else { return format!("cannot be judged: {error}") };
    match error {
        error if is_about_dates(error) => wrong_dates(certificate, now)
            .unwrap_or_else(|| "a certificate of its issuers is outside its validity".to_owned()),
        CertificateError::UnknownIssuer if certificate.self_signed => SELF_SIGNED.to_owned(),
        CertificateError::UnknownIssuer => {
            format!("its issuer {} does not lead to a root that this machine trusts", certificate.issuer)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for the authentication of servers".to_owned()
        }
        CertificateError::Revoked => "its issuer has revoked it".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "cannot be judged: no name in it is one that this verifier goes by".to_owned()
        }
        CertificateError::Other(other) => format!("the verifier refuses it: {}", other.0),
        other => format!("the verifier refuses it: {other}"),
    }
}
