//! Certificates: the names in them replaced where they stand. The bytes keep their places, so that every field is still
//! found; the signature no longer fits, and the fingerprint is another.

use super::{Kind, Names, Redactor, learn};
use rdpscope_certs::inspect::inspect;
use std::net::IpAddr;

/// Tags of a GeneralName that is an address (RFC 5280 4.2.1.6), with the length of either kind.
const IPV4_NAME: [u8; 2] = [0x87, 4];
const IPV6_NAME: [u8; 2] = [0x87, 16];

impl Names {
    /// Learns the names in a certificate (DER).
    pub fn learn_certificate(&mut self, der: &[u8]) {
        let Ok(certificate) = inspect(der) else { return };
        for name in [&certificate.subject, &certificate.issuer] {
            learn::distinguished_name(self, name);
        }
        certificate.sans.iter().for_each(|name| learn::common_name(self, name));
    }
}

impl Redactor {
    /// A certificate (DER) with pseudonyms in place of names; of the same length.
    pub fn certificate(&mut self, der: &mut [u8]) {
        let pairs: Vec<(IpAddr, IpAddr)> = match self.names().keeps(Kind::Address) {
            true => Vec::new(),
            false => self.names().addresses().collect(),
        };
        for (address, pseudonym) in pairs {
            let (name, with) = match (address, pseudonym) {
                (IpAddr::V4(address), IpAddr::V4(pseudonym)) => {
                    ([&IPV4_NAME[..], &address.octets()].concat(), pseudonym.octets().to_vec())
                }
                (IpAddr::V6(address), IpAddr::V6(pseudonym)) => {
                    ([&IPV6_NAME[..], &address.octets()].concat(), pseudonym.octets().to_vec())
                }
                _ => continue,
            };
            let places: Vec<usize> = (0..der.len().saturating_sub(name.len() - 1))
                .filter(|place| der[*place..].starts_with(&name))
                .collect();
            for place in places {
                der[place + 2..place + name.len()].copy_from_slice(&with);
            }
        }
        self.bytes(der);
    }
}
