//! Certificates: the names in them replaced where they stand. The bytes keep their places, so that every field is still
//! found; the signature no longer fits, and the fingerprint is another.

use super::{Names, Redactor, learn};
use rdpscope_certs::inspect::inspect;
use std::net::IpAddr;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Tag of a GeneralName that is an address (RFC 5280 section 4.2.1.6).
const ADDRESS_NAME: u8 = 0x87;

impl Names {
    /// Learns the names in a certificate (DER).
    pub fn learn_certificate(&mut self, der: &[u8]) {
        let Ok(certificate) = inspect(der) else { return };
        for name in [&certificate.subject, &certificate.issuer] {
            learn::distinguished_name(self, name);
        }
        if let Ok((_, certificate)) = X509Certificate::from_der(der) {
            let extensions = certificate.extensions().iter();
            let names = extensions.flat_map(|extension| general_names(extension.parsed_extension()));
            names.for_each(|name| learn_general_name(self, name));
        }
    }
}

/// Every name in an extension: of whom the certificate is and who issued it, where both publish, and what an authority may
/// issue.
fn general_names<'e, 'a>(extension: &'e ParsedExtension<'a>) -> Vec<&'e GeneralName<'a>> {
    match extension {
        ParsedExtension::SubjectAlternativeName(names) => names.general_names.iter().collect(),
        ParsedExtension::IssuerAlternativeName(names) => names.general_names.iter().collect(),
        ParsedExtension::AuthorityKeyIdentifier(key) => key.authority_cert_issuer.iter().flatten().collect(),
        ParsedExtension::AuthorityInfoAccess(access) => {
            access.iter().map(|description| &description.access_location).collect()
        }
        ParsedExtension::NameConstraints(constraints) => {
            let subtrees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
            subtrees.into_iter().flatten().flatten().map(|subtree| &subtree.base).collect()
        }
        ParsedExtension::CRLDistributionPoints(points) => {
            let of_point = points.iter().flat_map(|point| {
                let published = match &point.distribution_point {
                    Some(DistributionPointName::FullName(names)) => names.as_slice(),
                    _ => &[],
                };
                published.iter().chain(point.crl_issuer.iter().flatten())
            });
            of_point.collect()
        }
        _ => Vec::new(),
    }
}

fn learn_general_name(names: &mut Names, name: &GeneralName<'_>) {
    match name {
        // Constraints have a dot before a domain.
        GeneralName::DNSName(name) => learn::common_name(names, name.trim_start_matches('.')),
        GeneralName::RFC822Name(mailbox) if mailbox.contains('@') => learn::user(names, mailbox),
        GeneralName::RFC822Name(domain) => learn::common_name(names, domain.trim_start_matches('.')),
        GeneralName::URI(uri) => learn::locator(names, uri),
        GeneralName::DirectoryName(name) => learn::distinguished_name(names, &name.to_string()),
        GeneralName::OtherName(_, value) => {
            if let Some(name) = short_utf8(value) {
                learn::user(names, name);
            }
        }
        GeneralName::IPAddress(bytes) => {
            // Constraints have a mask behind the address (RFC 5280 section 4.2.1.10).
            let (four, sixteen) = (bytes.first_chunk::<4>(), bytes.first_chunk::<16>());
            let address = match bytes.len() {
                4 | 8 => four.copied().map(IpAddr::from),
                _ => sixteen.copied().map(IpAddr::from),
            };
            address.into_iter().for_each(|address| names.learn_address(address));
        }
        _ => {}
    }
}

/// The text of a name of another kind, such as the logon name that Windows writes: `[0] EXPLICIT UTF8String`, both shorter
/// than 128 bytes.
fn short_utf8(value: &[u8]) -> Option<&str> {
    let [0xa0, _, 0x0c, length, text @ ..] = value else { return None };
    std::str::from_utf8(text).ok().filter(|text| text.len() == usize::from(*length))
}

impl Redactor {
    /// A certificate (DER) with pseudonyms in place of names; of the same length.
    pub fn certificate(&mut self, der: &mut [u8]) {
        for (address, pseudonym) in self.names().addresses().collect::<Vec<_>>() {
            let (address, pseudonym) = (octets(address), octets(pseudonym));
            for place in places(der, &address) {
                let is_name = place >= 2 && is_address_name(der[place - 2], der[place - 1], address.len());
                if is_name && pseudonym.len() == address.len() {
                    der[place..place + address.len()].copy_from_slice(&pseudonym);
                }
            }
        }
        self.bytes(der);
    }

    /// Pseudonyms whose names are still found in a certificate (DER), addresses as bytes among them.
    pub fn remaining_in_certificate(&self, der: &[u8]) -> Vec<String> {
        let addresses =
            self.names().addresses().filter(|(address, _)| !places(der, &octets(*address)).is_empty());
        let texts = self.remaining(der).into_iter().map(str::to_owned);
        addresses.map(|(_, pseudonym)| pseudonym.to_string()).chain(texts).collect()
    }
}

/// Whether an address of `length` bytes, alone or with its mask, stands behind this tag and length.
fn is_address_name(tag: u8, said: u8, length: usize) -> bool {
    tag == ADDRESS_NAME && (usize::from(said) == length || usize::from(said) == 2 * length)
}

fn places(der: &[u8], searched: &[u8]) -> Vec<usize> {
    (0..der.len()).filter(|place| der[*place..].starts_with(searched)).collect()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
