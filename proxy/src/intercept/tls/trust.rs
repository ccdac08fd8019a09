//! What this machine thinks of a server's certificate.

use rdpscope_certs::inspect::{Certificate, Validity, inspect};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

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
    /// Whether the chain ends in one of the roots, with dates, usages and signatures in order. The name plays no part.
    pub trusted: bool,
    /// Why not; begins with `cannot be judged` where the verifier cannot read the certificate.
    pub reason: Option<String>,
    /// Whether the certificate is for the name, by alternative names or, without any, by the common name.
    pub name_matches: bool,
}

impl Judgement {
    fn untrusted(reason: impl Into<String>, name_matches: bool) -> Judgement {
        Judgement { trusted: false, reason: Some(reason.into()), name_matches }
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
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Judgement::untrusted("the server showed no certificate", false);
        };
        let certificate = match inspect(leaf) {
            Ok(certificate) => certificate,
            Err(error) => return Judgement::untrusted(format!("cannot be judged: {error}"), false),
        };
        let name_matches = certificate.matches_name(name);
        let problem = if self.all.contains(leaf) {
            wrong_dates(&certificate, now)
        } else {
            self.verify(leaf, intermediates, now).err().map(|error| words(&error, &certificate, now))
        };
        Judgement { trusted: problem.is_none(), reason: problem, name_matches }
    }

    fn verify(&self, leaf: &[u8], intermediates: &[Vec<u8>], now: i64) -> Result<(), Error> {
        let leaf = CertificateDer::from(leaf);
        let intermediates: Vec<_> =
            intermediates.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(&leaf)?,
            &self.store,
            &intermediates,
            now,
            ring::default_provider().signature_verification_algorithms.all,
        )
    }
}

fn wrong_dates(certificate: &Certificate, now: i64) -> Option<String> {
    let valid = matches!(certificate.validity_at(now), Validity::Valid { .. });
    (!valid).then(|| format!("it is {}", certificate.validity_words(now)))
}

fn words(error: &Error, certificate: &Certificate, now: i64) -> String {
    let Error::InvalidCertificate(error) = error else { return format!("cannot be judged: {error}") };
    match error {
        _ if certificate.version < 3 && certificate.self_signed => {
            "it is signed by itself and not among the trusted roots of this machine".to_owned()
        }
        _ if certificate.version < 3 => {
            format!("cannot be judged: it is X.509 version {}", certificate.version)
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => wrong_dates(certificate, now)
            .unwrap_or_else(|| "a certificate of its issuers is outside its validity".to_owned()),
        _ if certificate.self_signed => {
            "it is signed by itself and not among the trusted roots of this machine".to_owned()
        }
        CertificateError::UnknownIssuer => {
            format!("its issuer {} does not lead to a root that this machine trusts", certificate.issuer)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for the authentication of servers".to_owned()
        }
        other => format!("the verifier refuses it: {other}"),
    }
}
