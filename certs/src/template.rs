//! A certificate taken apart into the DER of its fields (RFC 5280 4.1), to be put together again under another key.
//!
//! Fields that nobody changes keep their very bytes, whatever they hold: names in odd alphabets, negative serial
//! numbers, extensions that nobody knows.

use crate::der;
use crate::key::{Hash, KeyError, KeyKind, PrivateKey};
use rcgen::PublicKeyData as _;
use x509_parser::oid_registry::asn1_rs::{ToDer as _, oid};

/// `[0] EXPLICIT Version`.
const VERSION: u8 = 0xa0;
/// `[0] EXPLICIT` v3.
const VERSION_3: [u8; 5] = [VERSION, 3, der::INTEGER, 1, 2];
/// `[3] EXPLICIT Extensions`.
const EXTENSIONS: u8 = 0xa3;
/// Tags of `issuerUniqueID` and `subjectUniqueID`, primitive.
const UNIQUE_IDENTIFIERS: [u8; 2] = [0x81, 0x82];
/// Version, serial number, signature, issuer, validity, subject, key: what stands before the optional fields.
const SEQUENCES_BEFORE_OPTIONAL: usize = 5;

/// One extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extension {
    /// Content octets of its object identifier.
    pub(crate) identifier: Vec<u8>,
    /// The whole extension in DER.
    pub(crate) whole: Vec<u8>,
}

impl Extension {
    /// An extension with this content of its OCTET STRING.
    pub(crate) fn new(identifier: &[u8], critical: bool, value: &[u8]) -> Extension {
        let critical = if critical { der::write(der::BOOLEAN, &[0xff]) } else { Vec::new() };
        let oid = der::write(der::OBJECT_IDENTIFIER, identifier);
        let value = der::write(der::OCTET_STRING, value);
        let whole = der::write_parts(der::SEQUENCE, &[&oid, &critical, &value]);
        Extension { identifier: identifier.to_vec(), whole }
    }

    /// Content of its OCTET STRING.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        let (extension, _) = der::read(&self.whole)?;
        der::read_all(extension.content)?.last().map(|value| value.content)
    }
}

/// The fields of a certificate, each a whole DER element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    /// Empty for version 1.
    pub(crate) version: Vec<u8>,
    pub(crate) serial_number: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) validity: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) subject_public_key_info: Vec<u8>,
    unique_identifiers: Vec<u8>,
    pub(crate) extensions: Vec<Extension>,
}

impl Template {
    /// Takes the certificate in `certificate` apart.
    pub(crate) fn read(certificate: &[u8]) -> Option<Template> {
        let (certificate, _) = der::read(certificate)?;
        let (to_be_signed, _) = der::read(certificate.content)?;
        let mut fields = der::read_all(to_be_signed.content)?.into_iter().peekable();
        let version = fields.next_if(|field| field.tag == VERSION).map_or(Vec::new(), |it| it.whole.to_vec());
        let serial_number = fields.next().filter(|field| field.tag == der::INTEGER)?.whole.to_vec();
        let sequences: Vec<_> = (fields.by_ref().take(SEQUENCES_BEFORE_OPTIONAL))
            .filter(|field| field.tag == der::SEQUENCE)
            .map(|field| field.whole.to_vec())
            .collect();
        let [_, issuer, validity, subject, subject_public_key_info] = sequences.try_into().ok()?;
        let mut unique_identifiers = Vec::new();
        let mut extensions = Vec::new();
        for field in fields {
            if UNIQUE_IDENTIFIERS.contains(&field.tag) {
                unique_identifiers.extend_from_slice(field.whole);
            } else if field.tag == EXTENSIONS {
                extensions = read_extensions(field.content)?;
            }
        }
        Some(Template {
            version,
            serial_number,
            issuer,
            validity,
            subject,
            subject_public_key_info,
            unique_identifiers,
            extensions,
        })
    }

    /// Puts `extension` in the place of the one with its identifier, or at the end; makes the certificate version 3.
    pub(crate) fn set_extension(&mut self, extension: Extension) {
        self.set_version_3();
        match self.extensions.iter_mut().find(|existing| existing.identifier == extension.identifier) {
            Some(existing) => *existing = extension,
            None => self.extensions.push(extension),
        }
    }

    /// The extension with this identifier.
    pub(crate) fn extension(&self, identifier: &[u8]) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.identifier == identifier)
    }

    /// Makes the certificate version 3.
    pub(crate) fn set_version_3(&mut self) {
        self.version = VERSION_3.to_vec();
    }

    /// Makes the certificate one for `key`.
    pub(crate) fn set_key(&mut self, key: &PrivateKey) {
        self.subject_public_key_info = key.subject_public_key_info();
    }

    /// The certificate in DER, signed with `key`.
    pub(crate) fn sign(&self, key: &PrivateKey, hash: Hash) -> Result<Vec<u8>, KeyError> {
        let algorithm = algorithm_identifier(key.kind(), hash)?;
        let extensions = if self.extensions.is_empty() {
            Vec::new()
        } else {
            let each: Vec<_> = self.extensions.iter().map(|extension| &extension.whole[..]).collect();
            der::write(EXTENSIONS, &der::write_parts(der::SEQUENCE, &each))
        };
        let to_be_signed = der::write_parts(
            der::SEQUENCE,
            &[
                &self.version,
                &self.serial_number,
                &algorithm,
                &self.issuer,
                &self.validity,
                &self.subject,
                &self.subject_public_key_info,
                &self.unique_identifiers,
                &extensions,
            ],
        );
        let signature = der::write_parts(der::BIT_STRING, &[&[0], &key.sign(hash, &to_be_signed)?]);
        Ok(der::write_parts(der::SEQUENCE, &[&to_be_signed, &algorithm, &signature]))
    }
}

fn read_extensions(content: &[u8]) -> Option<Vec<Extension>> {
    let (sequence, _) = der::read(content)?;
    der::read_all(sequence.content)?
        .into_iter()
        .map(|extension| {
            let (identifier, _) = der::read(extension.content)?;
            Some(Extension { identifier: identifier.content.to_vec(), whole: extension.whole.to_vec() })
        })
        .collect()
}

/// AlgorithmIdentifier of a signature (RFC 3279 2.2, RFC 4055 5, RFC 5758 3.2).
fn algorithm_identifier(kind: KeyKind, hash: Hash) -> Result<Vec<u8>, KeyError> {
    let rsa = matches!(kind, KeyKind::Rsa { .. });
    let identifier = match (rsa, hash) {
        (true, Hash::Md5) => oid!(1.2.840.113549.1.1.4),
        (true, Hash::Sha1) => oid!(1.2.840.113549.1.1.5),
        (true, Hash::Sha256) => oid!(1.2.840.113549.1.1.11),
        (true, Hash::Sha384) => oid!(1.2.840.113549.1.1.12),
        (true, Hash::Sha512) => oid!(1.2.840.113549.1.1.13),
        (false, Hash::Sha1) => oid!(1.2.840.10045.4.1),
        (false, Hash::Sha256) => oid!(1.2.840.10045.4.3.2),
        (false, Hash::Sha384) => oid!(1.2.840.10045.4.3.3),
        (false, Hash::Sha512) => oid!(1.2.840.10045.4.3.4),
        (false, Hash::Md5) => return Err(KeyError::Sign { kind, hash }),
    };
    let identifier = identifier.to_der_vec().map_err(|_| KeyError::Sign { kind, hash })?;
    let null: &[u8] = if rsa { &[5, 0] } else { &[] };
    Ok(der::write_parts(der::SEQUENCE, &[&identifier, null]))
}
