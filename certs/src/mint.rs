//! Making certificates.

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use time::OffsetDateTime;

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// A name or a date that a certificate cannot hold, or no randomness.
    #[error("cannot make a certificate for {name:?}: {source}")]
    Rcgen {
        /// The name it was for.
        name: String,
        /// What was wrong.
        source: rcgen::Error,
    },
    /// A date before year 1 or after year 9999.
    #[error("cannot make a certificate for {name:?}: its validity is outside the calendar")]
    Date {
        /// The name it was for.
        name: String,
    },
}

/// A certificate and its private key, both DER; the key is PKCS #8.
pub struct Minted {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// The private key.
    pub private_key: Vec<u8>,
}

/// A self-signed certificate like the one that Windows makes for Remote Desktop: subject and issuer are `CN=name`,
/// for server authentication only. Validity in seconds since 1970. The key is ECDSA P-256.
pub fn self_signed(name: &str, not_before: i64, not_after: i64) -> Result<Minted, MintError> {
    let rcgen = |source| MintError::Rcgen { name: name.to_owned(), source };
    let date = |seconds| {
        OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| MintError::Date { name: name.to_owned() })
    };
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).map_err(rcgen)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.not_before = date(not_before)?;
    parameters.not_after = date(not_after)?;
    let key = KeyPair::generate().map_err(rcgen)?;
    let certificate = parameters.self_signed(&key).map_err(rcgen)?;
    Ok(Minted { certificate: certificate.der().to_vec(), private_key: key.serialize_der() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{Validity, inspect};

    #[test]
    fn looks_like_the_certificate_of_a_windows_server() {
        let minted = self_signed("srv10.corp.example", 1_700_000_000, 1_710_000_000).unwrap();
        let certificate = inspect(&minted.certificate).unwrap();
        assert!(certificate.self_signed);
        assert_eq!(certificate.subject_cn.as_deref(), Some("srv10.corp.example"));
        assert!(certificate.matches_name("srv10.corp.example"));
        assert!(certificate.permits_server_authentication());
        assert_eq!(certificate.validity_at(1_710_000_060), Validity::Expired { since_seconds: 60 });
    }

    #[test]
    fn a_date_outside_the_calendar_is_an_error() {
        assert!(matches!(self_signed("x", 0, i64::MAX), Err(MintError::Date { .. })));
    }
}
