//! Comments in pcapng: options of the blocks that they stand beside (draft-ietf-opsawg-pcapng section 3.5).

use super::blocks::{Blocks, ENHANCED_PACKET, INTERFACE_DESCRIPTION, PACKET, SECTION_HEADER, SIMPLE_PACKET};
use super::damage::Damages;
use super::endian::Endian;
use super::window::Window;
use std::collections::BTreeMap;
use std::io::{Read, Result};

/// opt_comment, and the end of the options.
const OPTION_COMMENT: u16 = 1;
const OPTION_END: u16 = 0;
/// Bytes of comments that are kept of one file; rdpscope writes some kilobytes.
const MOST_COMMENT_BYTES: usize = 16 * 1024 * 1024;

/// What is said in a capture beside what was captured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comments {
    /// Beside frames, by their numbers.
    pub of_frames: BTreeMap<u64, Vec<String>>,
    /// Beside the file itself, its sections and interfaces.
    pub of_file: Vec<String>,
    /// How many more there are than are kept.
    pub dropped: u64,
}

impl Comments {
    /// The comments of a pcapng file that `window` is at the beginning of. Fails where reading fails.
    pub(super) fn collect<R: Read>(window: &mut Window<R>) -> Result<Self> {
        let (mut blocks, mut comments) = (Blocks::new(), Self::default());
        let mut damages = Damages::default();
        let (mut number, mut kept) = (0, 0);
        while let Some(block) = blocks.next(window, &mut damages)? {
            let body = block.body(window.bytes());
            number += u64::from(matches!(block.kind, ENHANCED_PACKET | SIMPLE_PACKET | PACKET));
            let texts = texts(blocks.endian, options(blocks.endian, block.kind, body));
            for text in texts {
                kept += text.len();
                match block.kind {
                    _ if kept > MOST_COMMENT_BYTES => comments.dropped += 1,
                    ENHANCED_PACKET => comments.of_frames.entry(number).or_default().push(text),
                    _ => comments.of_file.push(text),
                }
            }
        }
        Ok(comments)
    }
}

/// The options of a block; nothing where it has none that are read.
fn options(endian: Endian, kind: u32, body: &[u8]) -> &[u8] {
    let before = match kind {
        SECTION_HEADER => 16,
        INTERFACE_DESCRIPTION => 8,
        ENHANCED_PACKET => {
            let captured = endian.u32(body, 12).map_or(body.len(), |length| length as usize);
            20 + captured.min(body.len()).next_multiple_of(4)
        }
        _ => return &[],
    };
    body.get(before..).unwrap_or_default()
}

/// The comments among options.
fn texts(endian: Endian, mut options: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let (Some(code), Some(length)) = (endian.u16(options, 0), endian.u16(options, 2)) {
        let value = options.get(4..4 + usize::from(length)).unwrap_or_default();
        match code {
            OPTION_END => break,
            OPTION_COMMENT => texts.push(String::from_utf8_lossy(value).into_owned()),
            _ => {}
        }
        options = options.get(4 + usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    texts
}
