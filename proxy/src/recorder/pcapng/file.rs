//! A capture file in memory, block by block (draft-ietf-opsawg-pcapng).

use super::comment::ABOUT_FILE;
use super::entry::{Ends, Flags, Packet, Transport};
use super::session::CaptureStart;
use etherparse::{IpHeaders, Ipv4Header, Ipv6Header, PacketBuilder, PacketBuilderStep, TcpHeader};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::blocks::unknown::UnknownBlock;
use pcap_file::{DataLink, Endianness};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Bytes of one segment at most: an IPv4 packet has 65535, with both headers.
const LARGEST_SEGMENT: usize = 65_535 - 20 - 20;
/// Decryption Secrets Block (draft-ietf-opsawg-pcapng 4.7).
const DECRYPTION_SECRETS_BLOCK: u32 = 0x0000_000a;
/// TLS Key Log, "TLSK".
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// LINKTYPE_WIRESHARK_UPPER_PDU.
const EXPORTED_PDU: DataLink = DataLink::WIRESHARK_UPPER_PDU;
/// The third interface.
const INSIDE: u32 = 2;
/// Hops that a packet which was never on a wire may have.
const TTL: u8 = 64;
/// What a receiver takes at once, without the scale that only kernels know.
const WINDOW: u16 = u16::MAX;
/// epb_flags: inbound and outbound, as rdpscope's machine sees it.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// Blocks that are not written yet.
pub(super) struct Blocks {
    writer: PcapNgWriter<Vec<u8>>,
    /// The wall clock at the session's time 0, and that time.
    anchor: (Duration, Instant),
    frame: Vec<u8>,
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
        Ok(Blocks { writer, anchor, frame: Vec::new(), packets: 0 })
    }

    /// Packets so far.
    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    /// What is to be written.
    pub(super) fn bytes(&self) -> &[u8] {
        self.writer.get_ref()
    }

    /// It is written.
    pub(super) fn clear(&mut self, most_kept: usize) {
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

    /// A packet; several where its bytes do not fit into one.
    pub(super) fn packet(&mut self, at: Instant, packet: &Packet, payload: &[u8]) -> Result<(), String> {
        let mut comments = &packet.comments[..];
        let transport_is_tcp = matches!(packet.transport, Transport::Tcp { .. });
        let mut sent = 0_usize;
        loop {
            let most = if transport_is_tcp { LARGEST_SEGMENT } else { usize::MAX };
            let part = &payload[sent..sent.saturating_add(most).min(payload.len())];
            let is_last = sent + part.len() == payload.len();
            let transport = match packet.transport {
                Transport::Tcp { sequence, acknowledgement, flags } => {
                    Transport::Tcp { sequence: sequence.wrapping_add(sent as u32), acknowledgement, flags }
                }
                other @ (Transport::Udp | Transport::Inside) => other,
            };
            self.segment(at, packet, transport, (part, is_last), std::mem::take(&mut comments))?;
            sent += part.len();
            if is_last {
                return Ok(());
            }
        }
    }

    fn segment(
        &mut self,
        at: Instant,
        packet: &Packet,
        transport: Transport,
        (payload, is_last): (&[u8], bool),
        comments: &[String],
    ) -> Result<(), String> {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        build(&mut frame, &packet.ends, packet.from_us, transport, (payload, is_last))?;
        let direction = if packet.from_us { OUTBOUND } else { INBOUND };
        let mut options = vec![EnhancedPacketOption::Flags(direction)];
        options.extend(comments.iter().map(|comment| {
            EnhancedPacketOption::Common(CommonOption::Comment(Cow::Borrowed(comment.as_str())))
        }));
        let block = EnhancedPacketBlock {
            interface_id: match transport {
                Transport::Inside => INSIDE,
                Transport::Tcp { .. } | Transport::Udp => packet.ends.side.index() as u32,
            },
            timestamp: self.wall_clock(at),
            original_len: u32::try_from(frame.len()).map_err(words)?,
            data: Cow::Borrowed(&frame),
            options,
        };
        let written = self.writer.write_pcapng_block(block).map_err(words);
        self.frame = frame;
        self.packets += 1;
        written.map(drop)
    }

    fn wall_clock(&self, at: Instant) -> Duration {
        let (clock, began) = self.anchor;
        match at.checked_duration_since(began) {
            Some(since) => clock + since,
            None => clock.saturating_sub(began.saturating_duration_since(at)),
        }
    }
}

/// An IP packet with right checksums.
fn build(
    frame: &mut Vec<u8>,
    ends: &Ends,
    from_us: bool,
    transport: Transport,
    (payload, is_last): (&[u8], bool),
) -> Result<(), String> {
    let (source, destination) = if from_us { (ends.us, ends.peer) } else { (ends.peer, ends.us) };
    if transport == Transport::Inside {
        frame.extend_from_slice(payload);
        return Ok(());
    }
    let ip = ip(source, destination)?;
    match transport {
        Transport::Inside => Ok(()),
        Transport::Tcp { sequence, acknowledgement, flags } => {
            let header = tcp_header((source, destination), sequence, acknowledgement, flags);
            let header = TcpHeader { psh: is_last && !payload.is_empty(), ..header };
            ip.tcp_header(header).write(frame, payload).map_err(words)
        }
        Transport::Udp => ip.udp(source.port(), destination.port()).write(frame, payload).map_err(words),
    }
}

fn tcp_header(
    (source, destination): (SocketAddr, SocketAddr),
    sequence: u32,
    acknowledgement: u32,
    flags: Flags,
) -> TcpHeader {
    let header = TcpHeader::new(source.port(), destination.port(), sequence, WINDOW);
    TcpHeader {
        acknowledgment_number: acknowledgement,
        syn: flags.syn,
        ack: flags.ack,
        fin: flags.fin,
        rst: flags.rst,
        ..header
    }
}

fn ip(source: SocketAddr, destination: SocketAddr) -> Result<PacketBuilderStep<IpHeaders>, String> {
    Ok(match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header =
                Ipv4Header::new(0, TTL, etherparse::IpNumber::TCP, source.octets(), destination.octets());
            PacketBuilder::ip(IpHeaders::Ipv4(header.map_err(words)?, Default::default()))
        }
        (source, destination) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            let header = Ipv6Header {
                hop_limit: TTL,
                source: octets(source),
                destination: octets(destination),
                ..Default::default()
            };
            PacketBuilder::ip(IpHeaders::Ipv6(header, Default::default()))
        }
    })
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
fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
