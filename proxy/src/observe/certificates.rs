//! The chain in a TLS Certificate message, described.

use crate::trace::Detail;
use rdpscope_certs::inspect::inspect;

/// Certificates described of one chain. Real chains have at most five; the rest is counted as unreadable.
const MOST_CERTIFICATES: usize = 10;

/// Describes a chain, end entity first; what cannot be read is said and left out.
pub(super) fn describe(chain: &[&[u8]]) -> Detail {
    let mut certificates = Vec::new();
    let mut unreadable = Vec::new();
    for (place, der) in chain.iter().take(MOST_CERTIFICATES).enumerate() {
        match inspect(der) {
            Ok(certificate) => certificates.push(certificate),
            Err(error) => unreadable.push(format!("certificate {}: {error}", place + 1)),
        }
    }
    if chain.len() > MOST_CERTIFICATES {
        unreadable.push(format!("{} more certificates", chain.len() - MOST_CERTIFICATES));
    }
    Detail::Certificate { chain: certificates, unreadable }
}
