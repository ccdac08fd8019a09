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
    static DESCRIBED: RefCell<VecDeque<Described>> = const { RefCell::new(VecDeque::new()) };
}

/// A certificate in DER and in words.
type Described = (Arc<[u8]>, Arc<Certificate>);

/// Describes a chain, end entity first; what cannot be read is said and left out.
pub fn describe(chain: &[&[u8]]) -> Detail {
    let mut certificates = Vec::new();
    let mut unreadable = Vec::new();
    let mut kept = Vec::new();
    for (place, der) in chain.iter().take(MOST_CERTIFICATES).enumerate() {
        match describe_one(der) {
            Ok((der, certificate)) => {
                kept.push(der);
                certificates.push(certificate);
            }
            Err(reason) => {
                kept.push(Arc::from(*der));
                unreadable.push(format!("certificate {}: {reason}", place + 1));
            }
        }
    }
    if chain.len() > MOST_CERTIFICATES {
        unreadable.push(format!("{} more certificates", chain.len() - MOST_CERTIFICATES));
    }
    Detail::Certificate { chain: certificates, unreadable, der: kept }
}

fn describe_one(der: &[u8]) -> Result<Described, String> {
    DESCRIBED.with_borrow_mut(|described| {
        if let Some(known) = described.iter().find(|(known, _)| **known == *der) {
            return Ok(known.clone());
        }
        let certificate = inspect(der).map_err(|error| error.to_string())?;
        let new = (Arc::from(der), Arc::new(certificate));
        described.truncate(REMEMBERED - 1);
        described.push_front(new.clone());
        Ok(new)
    })
}
