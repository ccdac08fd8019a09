//! The chain in a TLS Certificate message, described.

use crate::trace::Detail;
use rdpscope_certs::inspect::{Certificate, inspect};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

/// Certificates described of one chain. Real chains have at most five; the rest is counted as unreadable.
const MOST_CERTIFICATES: usize = 10;
/// Descriptions remembered by each thread. A relay sees the same chain in every session, and checking a signature
/// costs more than all the rest of a session's start.
const REMEMBERED: usize = 16;

thread_local! {
    static DESCRIBED: RefCell<VecDeque<(Vec<u8>, Arc<Certificate>)>> = const { RefCell::new(VecDeque::new()) };
}

/// Describes a chain, end entity first; what cannot be read is said and left out.
pub(super) fn describe(chain: &[&[u8]]) -> Detail {
    let mut certificates = Vec::new();
    let mut unreadable = Vec::new();
    for (place, der) in chain.iter().take(MOST_CERTIFICATES).enumerate() {
        match describe_one(der) {
            Ok(certificate) => certificates.push(certificate),
            Err(reason) => unreadable.push(format!("certificate {}: {reason}", place + 1)),
        }
    }
    if chain.len() > MOST_CERTIFICATES {
        unreadable.push(format!("{} more certificates", chain.len() - MOST_CERTIFICATES));
    }
    Detail::Certificate { chain: certificates, unreadable }
}

fn describe_one(der: &[u8]) -> Result<Arc<Certificate>, String> {
    DESCRIBED.with_borrow_mut(|described| {
        if let Some((_, certificate)) = described.iter().find(|(known, _)| known == der) {
            return Ok(certificate.clone());
        }
        let certificate = Arc::new(inspect(der).map_err(|error| error.to_string())?);
        described.truncate(REMEMBERED - 1);
        described.push_front((der.to_vec(), certificate.clone()));
        Ok(certificate)
    })
}
