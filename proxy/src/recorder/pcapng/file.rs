//! A capture file block by block (draft-ietf-opsawg-pcapng). What is short is made in memory; long payloads are written from
//! where they lie.

use super::comment::ABOUT_FILE;
use super::entry::{Packet, Transport};
use super::head::{self, Fields, LARGEST_SEGMENT};
use super::session::CaptureStart;
use etherparse::checksum::Sum16BitWords;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::blocks::unknown::UnknownBlock;
use pcap_file::{DataLink, Endianness};
use std::borrow::Cow;
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Decryption Secrets Block (draft-ietf-opsawg-pcapng 4.7).
const DECRYPTION_SECRETS_BLOCK: u32 = 0x0000_000a;
/// TLS Key Log, "TLSK".
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// LINKTYPE_WIRESHARK_UPPER_PDU.
const EXPORTED_PDU: DataLink = DataLink::WIRESHARK_UPPER_PDU;
/// The third interface.
const INSIDE: u32 = 2;
/// Enhanced Packet Block (4.3), and its bytes that are not the packet's own: 28 before it and the length behind.
const ENHANCED_PACKET_BLOCK: u32 = 6;
const AROUND_PACKET: usize = 32;
/// Options of blocks (3.5, 4.3).
const OPT_COMMENT: u16 = 1;
const EPB_FLAGS: u16 = 2;
const OPT_ENDOFOPT: u16 = 0;
/// epb_flags: inbound and outbound, as rdpscope's machine sees it.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
/// Shorter payloads are cheaper copied than written by themselves.
const LONG_PAYLOAD: usize = 4096;

/// Blocks that are not written yet.
pub(super) struct Blocks {
    writer: PcapNgWriter<Vec<u8>>,
    /// Payloads that lie elsewhere, with the place before which each belongs.
    elsewhere: Vec<(usize, Range<usize>)>,
    elsewhere_length: usize,
    /// The wall clock at the session's time 0, and that time.
    anchor: (Duration, Instant),
    frame: Vec<u8>,
    /// Sums of the last long payload: what passes through is the same on both legs.
    sums: Vec<(Range<usize>, Sum16BitWords)>,
    packets: u64,
}

impl Blocks {
    /// The beginning of a file; `has_inside`: what is inside TLS has an interface of its own.
    pub(super) fn begin(start: &CaptureStart, has_inside: bool) -> Result<Blocks, String> {
        let text = |text: String| Cow::Owned(text);
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            major_version: 1,
            minor_version: 0,
            section_length: -1,
            options: vec![
                SectionHeaderOption::OS(text(std::env::consts::OS.to_owned())),
                SectionHeaderOption::UserApplication(text(format!("rdpscope {}", env!("CARGO_PKG_VERSION")))),
                SectionHeaderOption::Common(CommonOption::Comment(text(section_comment(start, has_inside)))),
            ],
        };
        let mut writer = PcapNgWriter::with_section_header(Vec::new(), section).map_err(words)?;
        for (name, description, linktype) in [
            ("client leg", "between the client and rdpscope", DataLink::RAW),
            ("server leg", "between rdpscope and the server, or the gateway", DataLink::RAW),
            ("inside TLS", "what each side said inside TLS, message by message", EXPORTED_PDU),
        ]
        .into_iter()
        .take(if has_inside { 3 } else { 2 })
        {
            let interface = InterfaceDescriptionBlock {
                linktype,
                snaplen: 0,
                options: vec![
                    InterfaceDescriptionOption::IfName(name.into()),
                    InterfaceDescriptionOption::IfDescription(description.into()),
                    InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
                ],
            };
            writer.write_pcapng_block(interface).map_err(words)?;
        }
        let since_1970 = u64::try_from(start.started.as_nanosecond()).map_err(words)?;
        let anchor = (Duration::from_nanos(since_1970), start.began);
        Ok(Blocks {
            writer,
            elsewhere: Vec::new(),
            elsewhere_length: 0,
            anchor,
            frame: Vec::new(),
            sums: Vec::new(),
            packets: 0,
        })
    }

    /// Packets so far.
    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes that are to be written.
    pub(super) fn length(&self) -> usize {
        self.writer.get_ref().len() + self.elsewhere_length
    }

    /// Writes all of it; `bytes` are those in which the payloads of the packets lie.
    pub(super) fn write(&self, file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        let made = self.writer.get_ref();
        let mut slices = Vec::with_capacity(2 * self.elsewhere.len() + 1);
        let mut from = 0;
        for (place, payload) in &self.elsewhere {
            slices.push(IoSlice::new(&made[from..*place]));
            slices.push(IoSlice::new(&bytes[payload.clone()]));
            from = *place;
        }
        slices.push(IoSlice::new(&made[from..]));
        write_all(file, &mut slices)
    }

    /// It is written.
    pub(super) fn clear(&mut self, most_kept: usize) {
        self.elsewhere.clear();
        self.elsewhere_length = 0;
        self.sums.clear();
        let bytes = self.writer.get_mut();
        bytes.clear();
        bytes.shrink_to(most_kept);
    }

    /// Lines of NSS key log format.
    pub(super) fn secrets(&mut self, lines: &str) -> Result<(), String> {
        let length = u32::try_from(lines.len()).map_err(words)?;
        let padding = lines.len().next_multiple_of(4) - lines.len();
        let body =
            [&TLS_KEY_LOG.to_le_bytes()[..], &length.to_le_bytes(), lines.as_bytes(), &[0; 3][..padding]]
                .concat();
        let length = u32::try_from(body.len()).map_err(words)?;
        let block = UnknownBlock::new(DECRYPTION_SECRETS_BLOCK, length, &body);
        self.writer.write_pcapng_block(block).map_err(words)?;
        Ok(())
    }

    /// A packet whose payload lies in `bytes`; several where it does not fit into one.
    pub(super) fn packet(&mut self, at: Instant, packet: &Packet, bytes: &[u8]) -> Result<(), String> {
        let mut comments = &packet.comments[..];
        let Range { mut start, end } = packet.payload.clone();
        loop {
            let most = match packet.transport {
                Transport::Tcp { .. } => LARGEST_SEGMENT,
                Transport::Udp | Transport::Inside => usize::MAX,
            };
            let part = start..end.min(start.saturating_add(most));
            start = part.end;
            self.part(at, packet, part, bytes, std::mem::take(&mut comments))?;
            if start == end {
                return Ok(());
            }
        }
    }

    fn part(
        &mut self,
        at: Instant,
        packet: &Packet,
        part: Range<usize>,
        bytes: &[u8],
        comments: &[String],
    ) -> Result<(), String> {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        let ends = &packet.ends;
        let ends = if packet.from_us { (ends.us, ends.peer) } else { (ends.peer, ends.us) };
        let payload = bytes.get(part.clone()).unwrap_or_default();
        let mut rest = Rest::Nothing;
        let mut interface = packet.ends.side.index() as u32;
        match packet.transport {
            Transport::Tcp { sequence, acknowledgement, flags } => {
                let sequence = sequence.wrapping_add((part.start - packet.payload.start) as u32);
                let psh = part.end == packet.payload.end && !part.is_empty();
                let fields = Fields { sequence, acknowledgement, flags, psh };
                head::of_segment(&mut frame, ends, fields, (payload.len(), self.sum(&part, payload)))?;
                rest = Rest::of(part, payload);
            }
            Transport::Udp => head::datagram(&mut frame, ends, payload)?,
            Transport::Inside => {
                interface = INSIDE;
                rest = Rest::of(part, payload);
            }
        }
        let options = options(if packet.from_us { OUTBOUND } else { INBOUND }, comments)?;
        let written = self.block(interface, at, (&frame, rest), &options);
        self.frame = frame;
        written
    }

    /// The sum of a payload's words, which for a long one is known of the other leg.
    fn sum(&mut self, part: &Range<usize>, payload: &[u8]) -> Sum16BitWords {
        if payload.len() < LONG_PAYLOAD {
            return Sum16BitWords::new().add_slice(payload);
        }
        if let Some((_, sum)) = self.sums.iter().find(|(known, _)| known == part) {
            return sum.clone();
        }
        let sum = Sum16BitWords::new().add_slice(payload);
        self.sums.retain(|(known, _)| known.end == part.start);
        self.sums.push((part.clone(), sum.clone()));
        sum
    }

    /// An Enhanced Packet Block; the packet is what is in `frame` and the `rest` behind it.
    fn block(
        &mut self,
        interface: u32,
        at: Instant,
        (frame, rest): (&[u8], Rest<'_>),
        options: &[u8],
    ) -> Result<(), String> {
        let captured = frame.len() + rest.len();
        let padding = captured.next_multiple_of(4) - captured;
        let total = AROUND_PACKET + captured + padding + options.len();
        let [total, captured] =
            [u32::try_from(total).map_err(words)?, u32::try_from(captured).map_err(words)?];
        let nanoseconds = u64::try_from(self.wall_clock(at).as_nanos()).map_err(words)?;
        let block = self.writer.get_mut();
        let head = [
            ENHANCED_PACKET_BLOCK,
            total,
            interface,
            (nanoseconds >> 32) as u32,
            nanoseconds as u32,
            captured,
            captured,
        ];
        head.iter().for_each(|word| block.extend_from_slice(&word.to_le_bytes()));
        block.extend_from_slice(frame);
        match rest {
            Rest::Nothing => {}
            Rest::Short(payload) => block.extend_from_slice(payload),
            Rest::Long(range) => {
                self.elsewhere_length += range.len();
                self.elsewhere.push((block.len(), range));
            }
        }
        block.extend_from_slice(&[0; 3][..padding]);
        block.extend_from_slice(options);
        block.extend_from_slice(&total.to_le_bytes());
        self.packets += 1;
        Ok(())
    }

    fn wall_clock(&self, at: Instant) -> Duration {
        let (clock, began) = self.anchor;
        match at.checked_duration_since(began) {
            Some(since) => clock + since,
            None => clock.saturating_sub(began.saturating_duration_since(at)),
        }
    }
}

/// What of a packet comes behind its headers.
enum Rest<'a> {
    Nothing,
    Short(&'a [u8]),
    /// The place of a long payload.
    Long(Range<usize>),
}

impl<'a> Rest<'a> {
    fn of(place: Range<usize>, payload: &'a [u8]) -> Rest<'a> {
        if payload.len() < LONG_PAYLOAD { Rest::Short(payload) } else { Rest::Long(place) }
    }

    fn len(&self) -> usize {
        match self {
            Rest::Nothing => 0,
            Rest::Short(payload) => payload.len(),
            Rest::Long(place) => place.len(),
        }
    }
}

/// The options of a packet.
fn options(flags: u32, comments: &[String]) -> Result<Vec<u8>, String> {
    let mut options = Vec::new();
    let flags = flags.to_le_bytes();
    let comments = comments.iter().map(|comment| (OPT_COMMENT, comment.as_bytes()));
    for (code, value) in std::iter::once((EPB_FLAGS, &flags[..])).chain(comments) {
        let length = u16::try_from(value.len()).map_err(words)?;
        options.extend_from_slice(&code.to_le_bytes());
        options.extend_from_slice(&length.to_le_bytes());
        options.extend_from_slice(value);
        options.resize(options.len().next_multiple_of(4), 0);
    }
    options.extend_from_slice(&[OPT_ENDOFOPT.to_le_bytes(), [0; 2]].concat());
    Ok(options)
}

/// Writes all of `slices`, as many at once as the system takes.
fn write_all(file: &mut impl Write, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut slices, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Where there is such an interface.
const INSIDE_COMMENT: &str =
    "The interface \"inside TLS\" shows what each side said inside TLS once, as it said it. ";

fn section_comment(start: &CaptureStart, has_inside: bool) -> String {
    let CaptureStart { id, target, settings, .. } = start;
    format!(
        "{ABOUT_FILE}{} session {id}, target {target}, settings {settings}.\n\
         Both legs: the interface names them. Segments are made from the bytes that rdpscope read from and wrote to its \
         sockets, at the times when it did: addresses, ports, order, FIN and RST are those of the connections; sequence \
         numbers count the bytes from 0, because the system does not show its own; pure acknowledgements and \
         retransmissions are not seen.\n\
         {}Wireshark takes port 3389 for TPKT alone. To see TLS there: tshark -d tcp.port==3389,tls, or Decode As in the \
         menu Analyze; to see RDP inside TLS on another port: -d tls.port==PORT,tpkt.",
        env!("CARGO_PKG_VERSION"),
        if has_inside { INSIDE_COMMENT } else { "" }
    )
}

/// An error of a library as text. None of them can come about with what is written here, but a panic would end the
/// thread.
pub(super) fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
