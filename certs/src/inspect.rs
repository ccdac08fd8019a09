//! Looking at a certificate (RFC 5280): what it says, and what follows from it for a client of Remote Desktop.
//!
//! Odd certificates are described, not refused: a server with a strange certificate is what this program is for.

mod addresses;
mod distinguished_name;
mod judgement;
#[cfg(test)]
mod tests;

pub use addresses::missing_issuers;
pub use judgement::{Validity, Weakness};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha1::Digest as _;
use std::net::IpAddr;
use x509_parser::error::X509Error;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

/// RSA keys below this many bits cannot be verified by the library in use, except with SHA-1.
const MINIMUM_VERIFIABLE_RSA_BITS: u32 = 2048;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// The subject in RFC 4514 form, most specific part first: `CN=host,O=Example`.
    pub subject: String,
    /// The subject's common name, the last of several.
    pub subject_cn: Option<String>,
    /// The issuer in RFC 4514 form.
    pub issuer: String,
    /// The issuer's common name.
    pub issuer_cn: Option<String>,
    /// Subject alternative names: DNS names and IP addresses as text.
    pub sans: Vec<String>,
    /// The serial number in lower-case hexadecimal, without leading zero bytes; `-` before a negative one.
    pub serial: String,
    /// Start of validity, RFC 3339.
    pub not_before: String,
    /// End of validity, RFC 3339.
    pub not_after: String,
    /// Start of validity, seconds since 1970.
    pub not_before_unix: i64,
    /// End of validity, seconds since 1970.
    pub not_after_unix: i64,
    /// `"RSA"`, `"ECDSA P-256"`, `"Ed25519"`…; the object identifier where it is none of the known.
    pub key_algorithm: String,
    /// Bits of the key, where they can be told.
    pub key_bits: Option<u32>,
    /// The signature's algorithm, `"sha256WithRSAEncryption"`; the object identifier where it is unknown.
    pub signature_algorithm: String,
    /// Names of the extended key usages, `"serverAuth"`; `null` where the extension is absent: any use is allowed.
    pub extended_key_usage: Option<Vec<String>>,
    /// Names of the key usages, `"digitalSignature"`; `null` where the extension is absent.
    pub key_usage: Option<Vec<String>>,
    /// Whether basicConstraints says that it is a CA.
    pub is_ca: bool,
    /// Whether subject and issuer are the same name.
    pub self_issued: bool,
    /// Whether it is self-issued and its signature verifies with its own key. A signature whose algorithm cannot be
    /// checked counts as good.
    pub self_signed: bool,
    /// X.509 version: 1, 2 or 3.
    pub version: u32,
    /// Object identifiers of extensions that could not be read.
    pub unreadable_extensions: Vec<String>,
    /// Addresses of OCSP responders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ocsp: Vec<String>,
    /// Addresses of revocation lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crl: Vec<String>,
    /// Addresses of the issuer's certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<String>,
    /// SHA-1 thumbprint, lower-case hexadecimal, as Windows names certificates.
    pub sha1: String,
    /// SHA-256 fingerprint, lower-case hexadecimal.
    pub sha256: String,
}

/// Bytes that are no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an X.509 certificate: {reason}")]
pub struct InspectError {
    /// What the parser met.
    pub reason: String,
}

/// Describes the DER certificate in `der`.
pub fn inspect(der: &[u8]) -> Result<Certificate, InspectError> {
    let (_, x509) =
        X509Certificate::from_der(der).map_err(|error| InspectError { reason: error.to_string() })?;
    let (key_algorithm, key_bits) = key(x509.public_key());
    let extensions = Extensions::read(&x509);
    let self_issued = x509.subject().as_raw() == x509.issuer().as_raw();
    let validity = x509.validity();
    let (not_before_unix, not_after_unix) = (validity.not_before.timestamp(), validity.not_after.timestamp());

    Ok(Certificate {
        subject: distinguished_name::rfc4514(x509.subject()),
        subject_cn: distinguished_name::common_name(x509.subject()),
        issuer: distinguished_name::rfc4514(x509.issuer()),
        issuer_cn: distinguished_name::common_name(x509.issuer()),
        sans: extensions.sans,
        serial: serial(x509.raw_serial()),
        not_before: rfc3339(not_before_unix),
        not_after: rfc3339(not_after_unix),
        not_before_unix,
        not_after_unix,
        key_algorithm,
        key_bits,
        signature_algorithm: signature_algorithm(&x509.signature_algorithm.algorithm),
        extended_key_usage: extensions.extended_key_usage,
        key_usage: extensions.key_usage,
        is_ca: extensions.is_ca,
        self_issued,
        self_signed: self_issued && !self_signature_is_wrong(&x509, key_bits),
        version: x509.version().0.saturating_add(1),
        unreadable_extensions: extensions.unreadable,
        ocsp: extensions.ocsp,
        crl: extensions.crl,
        issuers: extensions.issuers,
        sha1: hex::encode(sha1::Sha1::digest(der)),
        sha256: hex::encode(sha2::Sha256::digest(der)),
    })
}

/// True only where the signature was checked and found wrong.
fn self_signature_is_wrong(x509: &X509Certificate<'_>, key_bits: Option<u32>) -> bool {
    let short_rsa = matches!(x509.public_key().parsed(), Ok(PublicKey::RSA(_)))
        && key_bits.is_some_and(|bits| bits < MINIMUM_VERIFIABLE_RSA_BITS);
    !short_rsa && x509.verify_signature(None) == Err(X509Error::SignatureVerificationError)
}

/// RFC 3339 in UTC, without fractions.
fn rfc3339(unix_seconds: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(unix_seconds) {
        Ok(at) => format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ),
        Err(_) => format!("{unix_seconds} s since 1970"),
    }
}

fn serial(raw: &[u8]) -> String {
    let negative = raw.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude = raw.to_vec();
    if negative {
        negate(&mut magnitude);
    }
    let significant =
        magnitude.iter().position(|&byte| byte != 0).map_or(&[0][..], |start| &magnitude[start..]);
    format!("{}{}", if negative { "-" } else { "" }, hex::encode(significant))
}

/// Two's complement in place.
fn negate(number: &mut [u8]) {
    let mut carry = true;
    for byte in number.iter_mut().rev() {
        (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
    }
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> (String, Option<u32>) {
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => ("RSA".to_owned(), Some(rsa_bits(&key))),
        Ok(PublicKey::EC(_)) => elliptic_curve(info),
        Ok(PublicKey::DSA(_)) => ("DSA".to_owned(), None),
        _ => match info.algorithm.algorithm.to_id_string().as_str() {
            "1.3.101.112" => ("Ed25519".to_owned(), Some(256)),
            "1.3.101.113" => ("Ed448".to_owned(), Some(456)),
            identifier => (identifier.to_owned(), None),
        },
    }
}

fn rsa_bits(key: &RSAPublicKey<'_>) -> u32 {
    let Some(start) = key.modulus.iter().position(|&byte| byte != 0) else { return 0 };
    let bytes = u32::try_from(key.modulus.len() - start).unwrap_or(u32::MAX / 8);
    bytes.saturating_mul(8) - key.modulus[start].leading_zeros()
}

fn elliptic_curve(info: &SubjectPublicKeyInfo<'_>) -> (String, Option<u32>) {
    let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match curve.map(|curve| curve.to_id_string()).as_deref() {
        Some("1.2.840.10045.3.1.7") => ("ECDSA P-256".to_owned(), Some(256)),
        Some("1.3.132.0.34") => ("ECDSA P-384".to_owned(), Some(384)),
        Some("1.3.132.0.35") => ("ECDSA P-521".to_owned(), Some(521)),
        Some(identifier) => (format!("ECDSA {identifier}"), None),
        None => ("ECDSA".to_owned(), None),
    }
}

fn signature_algorithm(identifier: &Oid<'_>) -> String {
    let identifier = identifier.to_id_string();
    match identifier.as_str() {
        "1.2.840.113549.1.1.2" => "md2WithRSAEncryption",
        "1.2.840.113549.1.1.3" => "md4WithRSAEncryption",
        "1.2.840.113549.1.1.4" | "1.3.14.3.2.3" | "1.3.14.3.2.25" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.113549.1.1.14" => "sha224WithRSAEncryption",
        "1.2.840.10040.4.3" | "1.3.14.3.2.27" => "dsa-with-SHA1",
        "2.16.840.1.101.3.4.3.2" => "dsa-with-SHA256",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.1" => "ecdsa-with-SHA224",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        _ => return identifier,
    }
    .to_owned()
}

#[derive(Default)]
struct Extensions {
    sans: Vec<String>,
    extended_key_usage: Option<Vec<String>>,
    key_usage: Option<Vec<String>>,
    is_ca: bool,
    unreadable: Vec<String>,
    ocsp: Vec<String>,
    crl: Vec<String>,
    issuers: Vec<String>,
}

impl Extensions {
    fn read(x509: &X509Certificate<'_>) -> Extensions {
        let mut read = Extensions::default();
        for extension in x509.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    read.sans.extend(names.general_names.iter().filter_map(alternative_name));
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    read.extended_key_usage = Some(extended_key_usage(usage));
                }
                ParsedExtension::KeyUsage(usage) => read.key_usage = Some(key_usage(usage)),
                ParsedExtension::BasicConstraints(constraints) => read.is_ca = constraints.ca,
                ParsedExtension::AuthorityInfoAccess(information) => {
                    read.ocsp = addresses::access(information, addresses::OCSP);
                    read.issuers = addresses::access(information, addresses::CA_ISSUERS);
                }
                ParsedExtension::CRLDistributionPoints(points) => {
                    read.crl = addresses::distribution_points(points);
                }
                ParsedExtension::ParseError { .. } => read.unreadable.push(extension.oid.to_id_string()),
                _ => {}
            }
        }
        read
    }
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(address) => {
            let address: IpAddr = match address.len() {
                4 => <[u8; 4]>::try_from(*address).ok()?.into(),
                _ => <[u8; 16]>::try_from(*address).ok()?.into(),
            };
            Some(address.to_string())
        }
        _ => None,
    }
}

fn extended_key_usage(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let known = [
        (usage.any, "anyExtendedKeyUsage"),
        (usage.server_auth, judgement::SERVER_AUTHENTICATION),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ];
    let others = usage.other.iter().map(|identifier| match identifier.to_id_string().as_str() {
        "1.3.6.1.4.1.311.54.1.2" => judgement::REMOTE_DESKTOP_AUTHENTICATION.to_owned(),
        "1.3.6.1.4.1.311.20.2.2" => "smartcardLogon".to_owned(),
        "1.3.6.1.5.2.3.5" => "kerberosAuthentication".to_owned(),
        identifier => identifier.to_owned(),
    });
    names_of(known).into_iter().chain(others).collect()
}

fn key_usage(usage: &KeyUsage) -> Vec<String> {
    names_of([
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "nonRepudiation"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ])
}

fn names_of<const N: usize>(flags: [(bool, &str); N]) -> Vec<String> {
    flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned()).collect()
}
