//! Decryption Secrets Blocks (draft-ietf-opsawg-pcapng section 4.7), wherever in the file they are.

use super::blocks::{Blocks, DECRYPTION_SECRETS};
use super::damage::Damages;
use super::endian::Endian;
use super::window::Window;
use std::io::{Read, Result};
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
}

impl Secrets {
    /// The secrets of a pcapng file that `window` is at the beginning of. Fails where reading fails.
    pub(super) fn collect<R: Read>(window: &mut Window<R>) -> Result<Self> {
        let (mut blocks, mut secrets, mut kept) = (Blocks::new(), Self::default(), 0);
        let mut damages = Damages::default();
        while let Some(block) = blocks.next(window, &mut damages)? {
            if block.kind != DECRYPTION_SECRETS {
                continue;
            }
            match key_log(blocks.endian, block.body(window.bytes())) {
                Some(Ok(place)) if kept + place.len() <= MOST_SECRET_BYTES => {
                    kept += place.len();
                    let text = &block.body(window.bytes())[place];
                    secrets.tls_key_logs.push(Zeroizing::new(text.to_vec()));
                }
                Some(Err(kind)) if !secrets.other_types.contains(&kind) => secrets.other_types.push(kind),
                _ => {}
            }
        }
        Ok(secrets)
    }
}

/// Where in the body the text is, or the type of other secrets; `None` where the block is too short.
pub(super) fn key_log(endian: Endian, body: &[u8]) -> Option<std::result::Result<Range<usize>, u32>> {
    const HEAD: usize = 8;
    let (kind, length) = (endian.u32(body, 0)?, endian.u32(body, 4)? as usize);
    if kind != TLS_KEY_LOG {
        return Some(Err(kind));
    }
    Some(Ok(HEAD..HEAD + length.min(body.len() - HEAD)))
}
