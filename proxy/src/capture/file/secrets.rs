//! Decryption Secrets Blocks (draft-ietf-opsawg-pcapng section 4.7), wherever in the file they are.

use super::blocks::DECRYPTION_SECRETS;
use super::endian::Endian;
use std::ops::Range;
use zeroize::Zeroizing;

/// "TLSK": a key log of TLS.
const TLS_KEY_LOG: u32 = 0x544c_534b;

/// Bytes of key logs that are kept of one file: a line is some 200 bytes, so this is a million of them.
const MOST_SECRET_BYTES: usize = 256 * 1024 * 1024;

/// The secrets in a capture.
#[derive(Debug, Default)]
pub struct Secrets {
    /// The text of each TLS key log, in their order; wiped when it goes.
    pub tls_key_logs: Vec<Zeroizing<Vec<u8>>>,
    /// Secrets types of the blocks that are not read: SSH, WireGuard, ZigBee and others.
    pub other_types: Vec<u32>,
    /// Bytes of the key logs.
    kept: usize,
}

impl Secrets {
    /// Takes the next block of the file.
    pub(super) fn block(&mut self, endian: Endian, kind: u32, body: &[u8]) {
        if kind != DECRYPTION_SECRETS {
            return;
        }
        match key_log(endian, body) {
            Some(Ok(place)) if self.kept + place.len() <= MOST_SECRET_BYTES => {
                self.kept += place.len();
                self.tls_key_logs.push(Zeroizing::new(body[place].to_vec()));
            }
            Some(Err(other)) if !self.other_types.contains(&other) => self.other_types.push(other),
            _ => {}
        }
    }
}

/// Where in the body the text is, or the type of other secrets; `None` where the block is too short.
pub(super) fn key_log(endian: Endian, body: &[u8]) -> Option<Result<Range<usize>, u32>> {
    const HEAD: usize = 8;
    let (kind, length) = (endian.u32(body, 0)?, endian.u32(body, 4)? as usize);
    if kind != TLS_KEY_LOG {
        return Some(Err(kind));
    }
    Some(Ok(HEAD..HEAD + length.min(body.len() - HEAD)))
}
