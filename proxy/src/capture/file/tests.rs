//! Tests of reading capture files.

use super::*;
use crate::capture::PassedOver;
use crate::capture::scripted::{RAW, Told, udp_packet};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;

/// Writes files by hand, so that they can be wrong.
#[derive(Debug, Clone, Copy)]
struct Writer {
    is_big: bool,
}

const LITTLE: Writer = Writer { is_big: false };
const BIG: Writer = Writer { is_big: true };

impl Writer {
    fn u16(self, number: u16) -> [u8; 2] {
        if self.is_big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        if self.is_big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = self.u32(padded as u32 + 12);
        let padding = vec![0; padded - body.len()];
        [&self.u32(kind), length.as_slice(), body, &padding, &length].concat()
    }

    fn section(self) -> Vec<u8> {
        self.block(
            0x0a0d_0d0a,
            &[self.u32(0x1a2b_3c4d).as_slice(), &self.u16(1), &[0; 2], &[0xff; 8]].concat(),
        )
    }

    fn interface(self, link: u16, snapshot_length: u32, options: &[u8]) -> Vec<u8> {
        let head = [self.u16(link).as_slice(), &[0; 2], &self.u32(snapshot_length)].concat();
        self.block(1, &[head.as_slice(), options].concat())
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [&self.u16(code), self.u16(value.len() as u16).as_slice(), value, &padding].concat()
    }

    fn enhanced(self, interface: u32, units: u64, data: &[u8]) -> Vec<u8> {
        let length = self.u32(data.len() as u32);
        let numbers =
            [self.u32(interface), self.u32((units >> 32) as u32), self.u32(units as u32), length, length];
        self.block(6, &[numbers.concat().as_slice(), data].concat())
    }

    fn secrets(self, kind: u32, text: &[u8]) -> Vec<u8> {
        self.block(10, &[&self.u32(kind), self.u32(text.len() as u32).as_slice(), text].concat())
    }

    fn pcap(self, magic: u32, link: u32) -> Vec<u8> {
        let rest = [self.u16(2), self.u16(4)].concat();
        [&self.u32(magic), rest.as_slice(), &[0; 8], &self.u32(65535), &self.u32(link)].concat()
    }

    fn record(self, seconds: u32, fraction: u32, data: &[u8]) -> Vec<u8> {
        let length = self.u32(data.len() as u32);
        [&[self.u32(seconds), self.u32(fraction), length, length].concat(), data].concat()
    }
}

fn packet(number: u32) -> Vec<u8> {
    udp_packet(format!("packet {number}").as_bytes())
}

fn read(bytes: &[u8]) -> (Vec<String>, ReadOutcome) {
    let mut told = Told::default();
    let outcome = read_bytes(Path::new("test.pcap"), bytes, &mut told).unwrap();
    let texts = told.lines.iter().filter_map(|line| line.split_once("datagram "));
    (texts.map(|(_, text)| text.split(" of").next().unwrap().to_owned()).collect(), outcome)
}

fn packets(count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("packet {number}")).collect()
}

fn pcapng(writer: Writer, count: u32) -> Vec<u8> {
    let mut file = [writer.section(), writer.interface(RAW, 0, &[])].concat();
    (1..=count).for_each(|number| file.extend(writer.enhanced(0, number.into(), &packet(number))));
    file
}

fn pcap(writer: Writer, count: u32) -> Vec<u8> {
    let mut file = writer.pcap(0xa1b2_c3d4, 101);
    (1..=count).for_each(|number| file.extend(writer.record(1000 + number, 5, &packet(number))));
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn both_formats_are_read_in_both_byte_orders_and_compressed() {
    for (bytes, format, span) in [
        (pcap(LITTLE, 3), FileFormat::Pcap, (1_001_000_005_000, 1_003_000_005_000)),
        (pcap(BIG, 3), FileFormat::Pcap, (1_001_000_005_000, 1_003_000_005_000)),
        (pcapng(LITTLE, 3), FileFormat::PcapNg, (1000, 3000)),
        (pcapng(BIG, 3), FileFormat::PcapNg, (1000, 3000)),
    ] {
        for (bytes, is_gzip) in [(bytes.clone(), false), (gzip(&bytes), true)] {
            let (texts, outcome) = read(&bytes);
            assert_eq!((texts, outcome.format, outcome.is_gzip), (packets(3), format, is_gzip));
            assert_eq!((outcome.contents.span, outcome.damage), (Some(span), vec![]));
        }
    }
}

#[test]
fn nanoseconds_are_nanoseconds() {
    let file = [LITTLE.pcap(0xa1b2_3c4d, 101), LITTLE.record(7, 123, &packet(1))].concat();
    assert_eq!(read(&file).1.contents.span, Some((7_000_000_123, 7_000_000_123)));
}

#[test]
fn the_upper_bits_of_the_link_type_are_no_part_of_it() {
    let file = [LITTLE.pcap(0xa1b2_c3d4, 0x9000_0000 | 101), LITTLE.record(7, 123, &packet(1))].concat();
    assert_eq!(read(&file).0, packets(1));
}

#[test]
fn every_interface_has_its_own_clock() {
    let offset = LITTLE.option(14, &10_i64.to_le_bytes());
    let file = [
        LITTLE.section(),
        LITTLE.interface(RAW, 0, &LITTLE.option(9, &[9])),
        LITTLE.interface(RAW, 0, &[LITTLE.option(2, b"eth"), LITTLE.option(9, &[0x8a]), offset].concat()),
        LITTLE.interface(RAW, 0, &LITTLE.option(9, &[12])),
        LITTLE.enhanced(0, 11_000_000_001, &packet(1)),
        LITTLE.enhanced(1, 2 * 1024 + 512, &packet(2)),
        LITTLE.enhanced(2, 13_000_000_000_000, &packet(3)),
    ];
    let (texts, outcome) = read(&file.concat());
    assert_eq!((texts, outcome.contents.span), (packets(3), Some((11_000_000_001, 13_000_000_000))));
    let (_, outcome) = read(&file[..5].concat());
    assert_eq!(outcome.contents.span, Some((11_000_000_001, 11_000_000_001)));
    let (_, outcome) = read(&[&file[..4], &file[5..6]].concat().concat());
    assert_eq!(outcome.contents.span, Some((12_500_000_000, 12_500_000_000)));
}

#[test]
fn sections_simple_and_obsolete_packets_are_read_and_unknown_blocks_passed() {
    let two = packet(2);
    let simple = BIG.block(3, &[&BIG.u32(two.len() as u32), two.as_slice()].concat());
    let three = packet(3);
    let length = BIG.u32(three.len() as u32);
    let numbers = [[0, 1, 0, 0], BIG.u32(0), BIG.u32(77), length, length].concat();
    let file = [
        LITTLE.section(),
        LITTLE.interface(127, 0, &[]),
        LITTLE.interface(RAW, 0, &[]),
        LITTLE.enhanced(1, 1, &packet(1)),
        LITTLE.block(0x8000_0001, b"of somebody"),
        BIG.section(),
        BIG.interface(RAW, 0, &[]),
        BIG.interface(RAW, 0, &[]),
        simple,
        BIG.block(5, &[0; 12]),
        BIG.block(2, &[numbers.as_slice(), &three].concat()),
    ];
    let (texts, outcome) = read(&file.concat());
    assert_eq!((texts, outcome.damage), (packets(3), vec![]));
}

#[test]
fn a_simple_packet_is_cut_as_its_interface_says() {
    let whole = packet(1);
    let body = [&LITTLE.u32(whole.len() as u32), &whole[..30]].concat();
    let file = [LITTLE.section(), LITTLE.interface(RAW, 30, &[]), LITTLE.block(3, &body)].concat();
    let (texts, outcome) = read(&file);
    assert_eq!((texts, outcome.contents.cut_frames), (vec!["pa".to_owned()], 1));
}

#[test]
fn a_file_cut_anywhere_gives_what_was_before() {
    for file in [pcapng(LITTLE, 4), pcap(BIG, 4)] {
        let starts: Vec<usize> =
            (0..file.len()).filter(|place| file[*place..].starts_with(b"packet ")).collect();
        for cut in 28..file.len() {
            let (texts, outcome) = read(&file[..cut]);
            let least = starts.iter().filter(|start| **start + 8 + 16 <= cut).count();
            assert!(texts.len() >= least && texts.len() <= 4, "cut at {cut}: {texts:?}");
            assert_eq!(texts, packets(texts.len() as u32), "cut at {cut}");
            let kinds: Vec<&DamageKind> = outcome.damage.iter().map(|damage| &damage.kind).collect();
            assert!(matches!(kinds[..], [] | [DamageKind::Truncated]), "cut at {cut}: {kinds:?}");
        }
        let (_, outcome) = read(&file[..file.len() - 1]);
        assert_eq!(outcome.damage.len(), 1);
        let text = outcome.damage[0].to_string();
        assert!(text.ends_with("the file ends in the middle of a packet or block"), "{text}");
    }
}

#[test]
fn a_wrong_length_costs_one_packet_and_is_named() {
    for (place_in_block, value) in [(4, 7_u32), (4, 0x7fff_fff0), (4, 0), (4, 400), (4, u32::MAX)] {
        let mut file = pcapng(LITTLE, 5);
        let block = LITTLE.enhanced(0, 1, &packet(1)).len();
        let third = file.len() - 3 * block;
        file[third + place_in_block..third + place_in_block + 4].copy_from_slice(&value.to_le_bytes());
        let (texts, outcome) = read(&file);
        assert_eq!(texts, ["packet 1", "packet 2", "packet 4", "packet 5"], "length {value}");
        let expected = Damage { offset: third as u64, kind: DamageKind::BlockLength { length: value } };
        assert_eq!((outcome.damage, outcome.further_damage), (vec![expected], 0));
    }
}

#[test]
fn a_wrong_second_length_costs_nothing() {
    let mut file = pcapng(BIG, 5);
    let block = BIG.enhanced(0, 1, &packet(1)).len();
    let end = file.len() - 2 * block;
    file[end - 1] ^= 0xff;
    let (texts, outcome) = read(&file);
    assert_eq!(texts, packets(5));
    assert_eq!(outcome.damage.len(), 1);
    assert_eq!(outcome.damage[0].offset, (end - block) as u64);
}

#[test]
fn a_wrong_record_costs_one_packet_and_is_named() {
    let mut file = pcap(LITTLE, 5);
    let record = LITTLE.record(0, 0, &packet(1)).len();
    let third = file.len() - 3 * record;
    file[third + 8..third + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let (texts, outcome) = read(&file);
    assert_eq!(texts, ["packet 1", "packet 2", "packet 4", "packet 5"]);
    let expected = Damage { offset: third as u64, kind: DamageKind::Record { captured: u32::MAX } };
    assert_eq!(outcome.damage, [expected]);
}

#[test]
fn packets_that_cannot_be_are_named() {
    let mut beyond = LITTLE.enhanced(0, 1, &packet(1));
    beyond[20..24].copy_from_slice(&5000_u32.to_le_bytes());
    let mut long = LITTLE.enhanced(0, 1, &packet(9));
    long[20..24].copy_from_slice(&5_000_000_u32.to_le_bytes());
    let file = [
        LITTLE.section(),
        LITTLE.interface(RAW, 0, &[]),
        beyond,
        long,
        LITTLE.enhanced(7, 1, &packet(9)),
        LITTLE.enhanced(0, 1, &packet(2)),
    ];
    let mut told = Told::default();
    let outcome = read_bytes(Path::new("x"), &file.concat(), &mut told).unwrap();
    let kinds: Vec<DamageKind> = outcome.damage.into_iter().map(|damage| damage.kind).collect();
    let expected = [
        DamageKind::PacketBeyondBlock { captured: 5000 },
        DamageKind::PacketTooLong { captured: 5_000_000 },
        DamageKind::UnknownInterface { interface: 7 },
    ];
    assert_eq!((kinds.as_slice(), outcome.contents.frames), (expected.as_slice(), 2));
}

#[test]
fn a_broken_archive_gives_what_was_before() {
    let count = 4000;
    let whole = gzip(&pcapng(LITTLE, count));
    let (texts, outcome) = read(&whole[..whole.len() / 2]);
    assert!(!texts.is_empty() && texts.len() < count as usize);
    assert_eq!(texts, packets(texts.len() as u32));
    let compression =
        outcome.damage.iter().any(|damage| matches!(damage.kind, DamageKind::Compression { .. }));
    assert!(compression, "{:?}", outcome.damage);
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 0x55;
    assert!(!read(&changed).1.damage.is_empty());
}

#[test]
fn packets_of_other_links_are_counted() {
    let file =
        [LITTLE.section(), LITTLE.interface(127, 0, &[]), LITTLE.enhanced(0, 1, &packet(1)).repeat(12)];
    let passed_over = read(&file.concat()).1.contents.passed_over;
    assert_eq!(passed_over.of(PassedOver::LinkType(127)), 12);
}

#[test]
fn what_is_no_capture_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let said = |name: &str, bytes: Option<&[u8]>| {
        let path = folder.path().join(name);
        bytes.into_iter().for_each(|bytes| std::fs::write(&path, bytes).unwrap());
        let error = super::read(&path, &mut Told::default()).unwrap_err().to_string();
        assert_eq!(secrets(&path).unwrap_err().to_string(), error);
        error.replace(&folder.path().display().to_string(), "F").replace('\\', "/")
    };
    assert_eq!(said("empty", Some(b"")), "F/empty is empty: the capture was not written, or not yet flushed");
    let text = "F/text is no capture: pcap and pcapng are read, also with gzip";
    assert_eq!(said("text", Some(b"Dear sir or madam")), text);
    assert_eq!(said("text", Some(&gzip(b"Dear sir or madam"))), text);
    assert_eq!(
        said("text", Some(&[0x1f, 0x8b])),
        "F/text is empty: the capture was not written, or not yet flushed"
    );
    assert!(said("absent", None).starts_with("cannot read F/absent: "));
    assert_eq!(said("", None), "F/ is a folder: name the capture files in it");
}

#[test]
fn secrets_are_found_wherever_they_are() {
    let long = "CLIENT_RANDOM 00 11\n".repeat(100_000);
    let bytes = [
        BIG.section(),
        BIG.secrets(0x544c_534b, b"first"),
        BIG.interface(RAW, 0, &[]),
        BIG.enhanced(0, 1, &packet(1)),
        BIG.secrets(0x5353_484b, b"of ssh"),
        BIG.secrets(0x5353_484b, b"of ssh"),
        BIG.secrets(0x544c_534b, long.as_bytes()),
        BIG.enhanced(0, 1, &packet(2)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture");
    for bytes in [bytes.concat(), gzip(&bytes.concat())] {
        std::fs::write(&path, bytes).unwrap();
        let secrets = secrets(&path).unwrap();
        let logs: Vec<&[u8]> = secrets.tls_key_logs.iter().map(|log| log.as_slice()).collect();
        assert_eq!(logs, [b"first".as_slice(), long.as_bytes()]);
        assert_eq!(secrets.other_types, [0x5353_484b]);
        let mut told = Told::default();
        let outcome = super::read(&path, &mut told).unwrap();
        assert_eq!((outcome.contents.frames, outcome.has_late_secrets), (2, true));
        assert_eq!((told.lines[0].as_str(), told.lines[3].as_str()), ("secrets 5", "secrets 2000000"));
    }
    assert!(!read(&bytes[..4].concat()).1.has_late_secrets);
    std::fs::write(&path, pcap(LITTLE, 1)).unwrap();
    assert!(secrets(&path).unwrap().tls_key_logs.is_empty());
}

proptest! {
    /// Any bytes are read to their end, or are no capture.
    #[test]
    fn any_bytes_are_survived(
        kind in 0..5,
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let head = match kind {
            0 => pcap(LITTLE, 1),
            1 => pcapng(BIG, 1),
            2 => gzip(&pcapng(LITTLE, 1)),
            3 => vec![0x1f, 0x8b, 8],
            _ => Vec::new(),
        };
        let file = [head, bytes].concat();
        let _ = read_bytes(Path::new("any"), &file, &mut Told::default());
    }

    /// A good file with some bytes changed is read on behind them.
    #[test]
    fn changed_bytes_are_survived(
        is_pcap in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = if is_pcap { pcap(LITTLE, 20) } else { pcapng(BIG, 20) };
        let head = 60;
        for (place, byte) in &changes {
            let place = head + place.index(file.len() - head);
            file[place] = *byte;
        }
        let (texts, _) = read(&file);
        prop_assert!(texts.len() + 4 * changes.len() >= 20, "{texts:?}");
    }
}
