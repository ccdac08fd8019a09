//! Comments in pcapng: options of the blocks that they stand beside (draft-ietf-opsawg-pcapng section 3.5).

use super::blocks::{ENHANCED_PACKET, INTERFACE_DESCRIPTION, PACKET, SECTION_HEADER, SIMPLE_PACKET};
use super::endian::Endian;
use std::collections::BTreeMap;

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
    /// Frames so far.
    frames: u64,
    /// Bytes of the comments so far.
    length: usize,
}

impl Comments {
    /// Takes the next block of the file.
    pub(super) fn block(&mut self, endian: Endian, kind: u32, body: &[u8]) {
        self.frames += u64::from(matches!(kind, ENHANCED_PACKET | SIMPLE_PACKET | PACKET));
        for text in texts(endian, options(endian, kind, body)) {
            self.length += text.len();
            match kind {
                _ if self.length > MOST_COMMENT_BYTES => self.dropped += 1,
                ENHANCED_PACKET => self.of_frames.entry(self.frames).or_default().push(text),
                _ => self.of_file.push(text),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::file::each_block;
    use crate::capture::file::window::Window;
    use pcap_file::DataLink;
    use pcap_file::pcapng::PcapNgWriter;
    use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
    use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
    use pcap_file::pcapng::blocks::opt_common::CommonOption;
    use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
    use pcap_file::{Endianness, pcapng::PcapNgBlock};
    use proptest::prelude::*;

    fn collected(bytes: &[u8]) -> Comments {
        let mut comments = Comments::default();
        each_block(&mut Window::new(bytes), &mut |endian, kind, body| comments.block(endian, kind, body))
            .unwrap();
        comments
    }

    fn file(endianness: Endianness) -> Vec<u8> {
        let about = SectionHeaderOption::Common(CommonOption::Comment("about it".into()));
        let section =
            SectionHeaderBlock { endianness, options: vec![about], ..SectionHeaderBlock::default() };
        let mut writer = PcapNgWriter::with_section_header(Vec::new(), section).unwrap();
        writer.write_block(&InterfaceDescriptionBlock::new(DataLink::RAW, 0).into_block()).unwrap();
        for comments in [&["one", "two"][..], &[], &["three"]] {
            let comment =
                |text: &&str| EnhancedPacketOption::Common(CommonOption::Comment((*text).to_owned().into()));
            let packet = EnhancedPacketBlock {
                original_len: 5,
                data: std::borrow::Cow::Borrowed(b"bytes"),
                options: comments.iter().map(comment).collect(),
                ..EnhancedPacketBlock::default()
            };
            writer.write_block(&packet.into_block()).unwrap();
        }
        writer.into_inner()
    }

    #[test]
    fn comments_are_found_beside_the_packets_that_they_belong_to() {
        for endianness in [Endianness::Little, Endianness::Big] {
            let comments = collected(&file(endianness));
            assert_eq!(comments.of_file, ["about it"]);
            let texts = |number: u64| comments.of_frames.get(&number).cloned().unwrap_or_default();
            assert_eq!(
                (texts(1), texts(3)),
                (vec!["one".to_owned(), "two".to_owned()], vec!["three".to_owned()])
            );
            assert_eq!(comments.of_frames.len(), 2);
        }
    }

    proptest! {
        #[test]
        fn a_file_that_was_cut_or_changed_brings_nothing_down(cut in 0_usize..300, at in 0_usize..300, to: u8) {
            let mut bytes = file(Endianness::Little);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            bytes.truncate(cut);
            collected(&bytes);
        }
    }
}
