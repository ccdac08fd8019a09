//! Captures written anew: addresses and names replaced, what no TLS protects blanked, and nothing in them but the packets
//! of the connections in question. Of comments those stay that rdpscope wrote; link-layer headers and names of interfaces
//! stay behind.

use super::clear_text::ClearText;
use super::{Kind, Redactor, learn, packet};
use crate::capture::{Frame, whole};
use crate::trace::Side;
use crate::wire::proxy_talk;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::blocks::unknown::UnknownBlock;
use pcap_file::pcapng::{PcapNgBlock, PcapNgError};
use pcap_file::{DataLink, Endianness};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Bytes of packets that are held: they are searched as whole streams, and a file for an escalation is no longer.
pub const MOST_BYTES: usize = 512 * 1024 * 1024;

/// Decryption Secrets Block (draft-ietf-opsawg-pcapng section 4.7) and its type for a key log of TLS, "TLSK".
const DECRYPTION_SECRETS: u32 = 10;
const TLS_KEY_LOG: u32 = 0x544c_534b;

/// What the file says about itself.
const ABOUT_FILE: &str = "A redacted copy of a capture, by rdpscope. Names and addresses are pseudonyms, checksums are \
    computed anew, and of what no TLS protects logons, input and screen are zero. Wireshark takes port 3389 for TPKT alone. To \
    see TLS there: tshark -d tcp.port==3389,tls, or Decode As in the menu Analyze.";

/// LINKTYPE_WIRESHARK_UPPER_PDU: what was inside TLS, message by message.
const EXPORTED_PDU: u16 = 252;

/// Nanoseconds: ten to the power of minus nine.
const NANOSECONDS: u8 = 9;

/// Why a capture cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RedactCaptureError {
    /// It is longer than [`MOST_BYTES`].
    #[error(
        "its packets have more than {MOST_BYTES} bytes; cut it to the time of the failure, for instance with editcap -A -B"
    )]
    TooLong,
    /// The file could not be put together.
    #[error("it cannot be written: {0}")]
    Write(String),
}

/// A capture as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedCapture {
    /// The file, pcapng.
    pub bytes: Vec<u8>,
    /// Packets in it.
    pub packets: u64,
    /// Packets that are not in it.
    pub left_out: u64,
    /// Messages from inside TLS that are not in it.
    pub opened: u64,
    /// Bytes that no TLS protected and that were blanked.
    pub blanked: u64,
}

/// One packet, from its transport header on.
pub(super) struct Packet {
    pub(super) at: u64,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) time_to_live: u8,
    pub(super) transport: packet::Transport,
    /// Bytes of the transport header at the front of `bytes`.
    pub(super) header: usize,
    pub(super) bytes: Vec<u8>,
    /// Bytes from the transport header on that were on the wire.
    pub(super) length: usize,
    /// What rdpscope says beside it.
    pub(super) comments: Vec<String>,
}

/// Gathers the packets of a capture.
pub struct CaptureRedaction {
    /// Sockets of clients whose packets are wanted; all where absent.
    only: Option<BTreeSet<SocketAddr>>,
    /// What is said beside frames, by their numbers.
    comments: BTreeMap<u64, Vec<String>>,
    packets: Vec<Packet>,
    held: usize,
    left_out: u64,
    opened: u64,
}

impl CaptureRedaction {
    /// A redaction that keeps the packets to and from `only`, or everything that is TCP or UDP.
    pub fn new(only: Option<BTreeSet<SocketAddr>>) -> CaptureRedaction {
        CaptureRedaction {
            only,
            comments: BTreeMap::new(),
            packets: Vec::new(),
            held: 0,
            left_out: 0,
            opened: 0,
        }
    }

    /// With what is said beside frames, by their numbers.
    pub fn commented(self, comments: BTreeMap<u64, Vec<String>>) -> CaptureRedaction {
        CaptureRedaction { comments, ..self }
    }

    /// The next frame.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        let comments = self.comments.remove(&frame.number).unwrap_or_default();
        let packet = whole(frame).and_then(|whole| packet::packet(frame.at, &whole));
        match packet.filter(|packet| self.is_wanted(packet)) {
            Some(packet) => {
                self.held += packet.bytes.len();
                // Beyond the limit nothing comes of it: there is no use in keeping them.
                if self.held <= MOST_BYTES {
                    self.packets.push(packet);
                }
            }
            None if frame.link == EXPORTED_PDU => self.opened += 1,
            None => self.left_out += 1,
        }
        // What was said beside a packet that is left out is of the time before it, too.
        if let Some(packet) = self.packets.last_mut() {
            packet.comments.extend(comments);
        }
    }

    fn is_wanted(&self, packet: &Packet) -> bool {
        let is_wanted =
            |only: &BTreeSet<SocketAddr>| only.contains(&packet.source) || only.contains(&packet.destination);
        self.only.as_ref().is_none_or(is_wanted)
    }

    /// The addresses in the packets, and where their senders ask proxies to take them.
    pub fn learn(&self, names: &mut super::Names) {
        for packet in &self.packets {
            names.learn_address(packet.source.ip());
            names.learn_address(packet.destination.ip());
            if let Some(destination) = proxy_talk::destination_in(&packet.bytes[packet.header..]) {
                learn::target(names, &destination);
            }
        }
    }

    /// The finished file, with the texts of TLS key logs in it.
    pub fn finish(
        mut self,
        redactor: &mut Redactor,
        key_logs: &[impl AsRef<[u8]>],
    ) -> Result<RedactedCapture, RedactCaptureError> {
        if self.held > MOST_BYTES {
            return Err(RedactCaptureError::TooLong);
        }
        let blanked = self.redact_streams(redactor);
        for packet in &mut self.packets {
            if packet.transport == packet::Transport::Udp {
                redactor.bytes(&mut packet.bytes[packet.header..]);
            }
        }
        if !redactor.names().keeps(Kind::Address) {
            for packet in &mut self.packets {
                packet.source.set_ip(redactor.address(packet.source.ip()));
                packet.destination.set_ip(redactor.address(packet.destination.ip()));
            }
        }
        for comment in self.packets.iter_mut().flat_map(|packet| &mut packet.comments) {
            *comment = redactor.text(comment);
        }
        let write_error = |error: PcapNgError| RedactCaptureError::Write(error.to_string());
        let bytes = self.write(key_logs).map_err(write_error)?;
        let packets = self.packets.len() as u64;
        Ok(RedactedCapture { bytes, packets, left_out: self.left_out, opened: self.opened, blanked })
    }

    /// Searches each direction of a connection as one stream, because a name may stand in two segments.
    fn redact_streams(&mut self, redactor: &mut Redactor) -> u64 {
        let mut connections: BTreeMap<(SocketAddr, SocketAddr), [Vec<usize>; 2]> = BTreeMap::new();
        for (index, packet) in self.packets.iter().enumerate() {
            if packet.transport == packet::Transport::Tcp && packet.bytes.len() > packet.header {
                let ends = (packet.source, packet.destination);
                let is_turned = ends.0 > ends.1;
                let ends = if is_turned { (ends.1, ends.0) } else { ends };
                connections.entry(ends).or_default()[usize::from(is_turned)].push(index);
            }
        }
        let mut blanked = 0;
        for mut directions in connections.into_values() {
            // In RDP, and with a proxy, the client speaks first.
            directions.sort_by_key(|indices| indices.first().copied().unwrap_or(usize::MAX));
            let mut clear_text = ClearText::default();
            for (indices, side) in directions.into_iter().zip([Side::Client, Side::Server]) {
                blanked += self.redact_direction(&indices, side, &mut clear_text, redactor);
            }
        }
        blanked
    }

    fn redact_direction(
        &mut self,
        indices: &[usize],
        side: Side,
        clear_text: &mut ClearText,
        redactor: &mut Redactor,
    ) -> u64 {
        let segments = indices.iter().map(|index| {
            let packet = &self.packets[*index];
            (packet::sequence(packet), packet.bytes[packet.header..].to_vec(), *index)
        });
        let mut stream = packet::Stream::from_segments(segments.collect());
        let mut blanked = 0;
        for run in stream.runs_mut() {
            let before = clear_text.said_to_proxy(side);
            blanked += clear_text.blank(side, run) as u64;
            let (talk, through) = run.split_at_mut(clear_text.said_to_proxy(side) - before);
            redactor.bytes(talk);
            for range in packet::searchable(through) {
                redactor.bytes(&mut through[range]);
            }
            // What follows comes after a hole.
            clear_text.lost(side);
        }
        for (index, bytes) in stream.into_segments() {
            let header = self.packets[index].header;
            self.packets[index].bytes[header..].copy_from_slice(&bytes);
        }
        blanked
    }

    fn write(&self, key_logs: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, PcapNgError> {
        let comment = CommonOption::Comment(ABOUT_FILE.into());
        let section = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: vec![SectionHeaderOption::Common(comment)],
            ..SectionHeaderBlock::default()
        };
        let mut writer = PcapNgWriter::with_section_header(Vec::new(), section)?;
        for key_log in key_logs {
            let body = secrets_body(key_log.as_ref());
            let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX);
            writer.write_block(&UnknownBlock::new(DECRYPTION_SECRETS, length, &body).into_block())?;
        }
        let mut interface = InterfaceDescriptionBlock::new(DataLink::RAW, 0);
        let resolution = InterfaceTsResolution::new(false, NANOSECONDS)?;
        interface.options.push(InterfaceDescriptionOption::IfTsResol(resolution));
        writer.write_block(&interface.into_block())?;
        for packet in &self.packets {
            let data = packet::rebuilt(packet);
            let missing = packet.length.saturating_sub(packet.bytes.len());
            let original_len = u32::try_from(data.len() + missing).unwrap_or(u32::MAX);
            let timestamp = Duration::from_nanos(packet.at);
            let comments = packet.comments.iter().map(|comment| CommonOption::Comment(comment.into()));
            let block = EnhancedPacketBlock {
                interface_id: 0,
                timestamp,
                original_len,
                data: data.into(),
                options: comments.map(EnhancedPacketOption::Common).collect(),
            };
            writer.write_block(&block.into_block())?;
        }
        Ok(writer.into_inner())
    }
}

/// The body of a Decryption Secrets Block, in this machine's byte order as the writer has it.
fn secrets_body(key_log: &[u8]) -> Vec<u8> {
    let length = u32::try_from(key_log.len()).unwrap_or(u32::MAX);
    let padding = vec![0; key_log.len().next_multiple_of(4) - key_log.len()];
    [&TLS_KEY_LOG.to_ne_bytes()[..], &length.to_ne_bytes(), key_log, &padding].concat()
}
