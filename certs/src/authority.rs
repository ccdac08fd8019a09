//! The session CA: may sign only for the names in use, and only for a short time.

mod keep;
#[cfg(test)]
mod tests;

pub use keep::{Kept, KeptBecause, permitted};

use crate::key::{Hash, KeyError, KeyKind, PrivateKey};
use crate::name::Name;
use crate::template::Template;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree, IsCa, Issuer,
    KeyUsagePurpose, NameConstraints, SerialNumber,
};
use sha1::Digest as _;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use time::OffsetDateTime;

/// How long the CA of one run is good for, in seconds: a day of looking for a fault.
pub const SESSION_VALIDITY: i64 = 24 * 3600;
/// How long a CA that is kept across runs is good for, in seconds: trusted once for the time of an escalation.
pub const KEPT_VALIDITY: i64 = 90 * 24 * 3600;
/// Certificates begin this many seconds before now, as clocks of client and proxy differ.
pub const CLOCK_TOLERANCE: i64 = 3600;
/// The name in certificates that are for the wrong name; every CA here may sign for it, as otherwise the certificate
/// would have two faults. Names below `invalid` exist nowhere (RFC 6761 6.4).
pub const WRONG_NAME: &str = "wrong-name.rdpscope.invalid";

/// Bytes of a serial number: as many as RFC 5280 4.1.2.2 allows at most, less those that nobody needs.
const SERIAL_LENGTH: usize = 16;
/// Length of an `iPAddress` in name constraints: address and mask.
const IPV4_SUBTREE: usize = 8;
const IPV6_SUBTREE: usize = 32;

/// Why there is no CA, or why it cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate that cannot be written.
    #[error("cannot make a certificate: {0}")]
    Rcgen(#[from] rcgen::Error),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A date that no certificate can hold.
    #[error("cannot make a certificate: its validity is outside the calendar")]
    Date,
    /// A folder or a file.
    #[error("cannot {operation} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The key file may be read by others.
    #[error("{path} may be read by others, so that its CA is not used: delete it, and a new one is made", path = path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
    },
    /// The key file is damaged, or not one of these.
    #[error("{path} does not hold a CA of rdpscope: {reason}", path = path.display())]
    Foreign {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A CA with its key.
#[derive(Debug)]
pub struct Authority {
    certificate: Vec<u8>,
    key: PrivateKey,
    names: BTreeSet<Name>,
}

impl Authority {
    /// A CA for one run, in memory. It may sign for `names` and what is below them: those that the client dials, that
    /// of the target, and those in the server's certificate where that is known and to be mirrored. `now` in seconds
    /// since 1970.
    pub fn new(names: &[Name], key: PrivateKey, now: i64) -> Result<Authority, AuthorityError> {
        Authority::valid_for(names.iter().cloned().collect(), key, now, SESSION_VALIDITY)
    }

    fn valid_for(
        mut names: BTreeSet<Name>,
        key: PrivateKey,
        now: i64,
        seconds: i64,
    ) -> Result<Authority, AuthorityError> {
        names.insert(Name::Dns(WRONG_NAME.to_owned()));
        let mut parameters = CertificateParams::default();
        // The number keeps clients from mixing up the CAs of two runs.
        let number = hex::encode(rand::random::<[u8; 4]>());
        parameters.distinguished_name = common_name(&format!("rdpscope session CA {number}"));
        parameters.serial_number = Some(random_serial());
        parameters.not_before = date(now.saturating_sub(CLOCK_TOLERANCE))?;
        parameters.not_after = date(now.saturating_add(seconds))?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.name_constraints = Some(constraints(&names));
        let certificate = parameters.self_signed(&key)?.der().to_vec();
        Ok(Authority { certificate, key, names })
    }

    /// The CA's certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The CA's certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        crate::load::pem("CERTIFICATE", &self.certificate)
    }

    /// SHA-1 thumbprint of the certificate, lower-case hexadecimal.
    pub fn thumbprint(&self) -> String {
        hex::encode(sha1::Sha1::digest(&self.certificate))
    }

    /// The names that it may sign for, together with what is below them.
    pub fn names(&self) -> &BTreeSet<Name> {
        &self.names
    }

    /// Whether it may sign for `name`.
    pub fn permits(&self, name: &Name) -> bool {
        self.names.iter().any(|permitted| permitted.permits(name))
    }

    /// What sort of key it signs with.
    pub fn key_kind(&self) -> KeyKind {
        self.key.kind()
    }

    /// A certificate for `key` as described by `parameters`.
    pub(crate) fn issue(
        &self,
        parameters: &CertificateParams,
        key: &PrivateKey,
    ) -> Result<Vec<u8>, AuthorityError> {
        let issuer = Issuer::from_ca_cert_der(&self.certificate.as_slice().into(), &self.key)?;
        Ok(parameters.signed_by(key, &issuer)?.der().to_vec())
    }

    /// A certificate with the fields of `template`, except for its issuer, signed with `hash`.
    pub(crate) fn issue_template(
        &self,
        mut template: Template,
        hash: Hash,
    ) -> Result<Vec<u8>, AuthorityError> {
        if let Some(own) = Template::read(&self.certificate) {
            template.issuer = own.subject;
        }
        Ok(template.sign(&self.key, hash)?)
    }
}

/// `CN=name`.
pub(crate) fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// A serial number that no other certificate has; positive and not zero.
pub(crate) fn random_serial() -> SerialNumber {
    let mut serial: [u8; SERIAL_LENGTH] = rand::random();
    serial[0] = serial[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&serial)
}

/// A moment in seconds since 1970.
pub(crate) fn date(unix_seconds: i64) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(unix_seconds).map_err(|_| AuthorityError::Date)
}

/// Permits `names`. Constraints say nothing about the sorts of names that they do not mention (RFC 5280 4.2.1.10), so
/// that addresses are excluded as a whole where none is permitted.
fn constraints(names: &BTreeSet<Name>) -> NameConstraints {
    let mut permitted_subtrees: Vec<_> = names
        .iter()
        .map(|name| match name {
            Name::Dns(_) => GeneralSubtree::DnsName(name.base().to_owned()),
            Name::Ip(IpAddr::V4(address)) => subtree((*address).into(), 32),
            Name::Ip(IpAddr::V6(address)) => subtree((*address).into(), 128),
        })
        .collect();
    permitted_subtrees.dedup();
    let mut excluded_subtrees = Vec::new();
    for everything in [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
        let permitted =
            names.iter().any(|name| matches!(name, Name::Ip(it) if it.is_ipv4() == everything.is_ipv4()));
        if !permitted {
            excluded_subtrees.push(subtree(everything, 0));
        }
    }
    NameConstraints { permitted_subtrees, excluded_subtrees }
}

fn subtree(address: IpAddr, prefix: u8) -> GeneralSubtree {
    GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, prefix))
}
