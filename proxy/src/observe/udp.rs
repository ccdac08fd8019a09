//! From the datagrams of one UDP flow to what RDP-UDP did (MS-RDPEUDP 3.1.5, MS-RDPEUDP2 3.1.5).

use crate::trace::{Side, Syn, UdpMessage, UdpSummary};
use crate::wire::rdpeudp::{Datagram, Flags, RecordProtocol};
use crate::wire::rdpeudp2;

/// How long after the first SYN no answer means that none will come: Windows sends four, 800 ms apart.
pub const UNANSWERED_US: u64 = 4_000_000;

/// Silence that is worth telling: two keepalives are missing, of which four are sent in 65 s (3.1.1.9).
pub const SILENCE_US: u64 = 32_500_000;

/// SYNs, and SYN+ACKs, that are told one by one; Windows sends four. More are only counted.
const SYNS_TOLD: u32 = 16;

/// Other datagrams that are told one by one; more are only counted.
const NOT_RDPEUDP_TOLD: u64 = 3;

/// MTUs of a SYN+ACK that is believed without its SYN (2.2.2.5); it is padded to at least the least of them.
const MTU: std::ops::RangeInclusive<u16> = 1132..=1232;

/// Follows one flow: one client address and port, one server address and port.
#[derive(Debug, Clone, Default)]
pub struct UdpObserver {
    summary: UdpSummary,
    first_syn_us: Option<u64>,
    client_sequence: Option<u32>,
    record_seen: [bool; 2],
    beginning_not_seen: bool,
    unanswered_told: u32,
    silence_told: [bool; 2],
}

impl UdpObserver {
    /// Before the first datagram.
    pub fn new() -> Self {
        UdpObserver::default()
    }

    /// What is known so far.
    pub fn summary(&self) -> &UdpSummary {
        &self.summary
    }

    /// A datagram as it was on the wire; what it tells is added to `out`.
    pub fn datagram(&mut self, t_us: u64, from: Side, bytes: &[u8], out: &mut Vec<UdpMessage>) {
        self.count(t_us, from, bytes.len());
        let decoded = Datagram::decode(bytes);
        match (from, &decoded) {
            (Side::Client, Ok(datagram)) if datagram.is_syn() => self.syn(t_us, datagram, bytes.len(), out),
            (Side::Server, Ok(datagram)) if self.is_answer(datagram, bytes.len()) => {
                self.syn_ack(datagram, bytes.len(), out);
            }
            _ => self.data(t_us, from, bytes, decoded.ok(), out),
        }
    }

    /// Time passed without a datagram: tells, once, that no answer came or that a side fell silent.
    pub fn tick(&mut self, t_us: u64, out: &mut Vec<UdpMessage>) {
        if self.first_syn_us.is_some_and(|first| t_us.saturating_sub(first) >= UNANSWERED_US)
            && self.unanswered_told == 0
        {
            self.unanswered(t_us, out);
        }
        for side in [Side::Client, Side::Server] {
            if !self.silence_told[side.index()] {
                self.silence_told[side.index()] = self.silence(t_us, side, out);
            }
        }
    }

    /// The end of the flow, or of the session: tells what only its length can tell.
    pub fn finish(&mut self, t_us: u64, out: &mut Vec<UdpMessage>) {
        if self.unanswered_told < self.summary.syn_count {
            self.unanswered(t_us, out);
        }
        for side in [Side::Client, Side::Server] {
            self.silence(t_us, side, out);
        }
    }

    fn count(&mut self, t_us: u64, from: Side, length: usize) {
        let summary = &mut self.summary;
        let (datagrams, bytes, last) = match from {
            Side::Client => {
                (&mut summary.datagrams_up, &mut summary.bytes_up, &mut summary.last_from_client_us)
            }
            Side::Server => {
                (&mut summary.datagrams_down, &mut summary.bytes_down, &mut summary.last_from_server_us)
            }
        };
        *datagrams += 1;
        *bytes += length as u64;
        *last = Some(t_us);
        self.silence_told[from.index()] = false;
    }

    fn syn(&mut self, t_us: u64, datagram: &Datagram, length: usize, out: &mut Vec<UdpMessage>) {
        self.summary.syn_count += 1;
        self.summary.client_version = known_version(datagram);
        self.summary.established.get_or_insert(false);
        self.first_syn_us.get_or_insert(t_us);
        self.client_sequence = datagram.syn_data.map(|syn| syn.initial_sequence_number);
        if self.summary.syn_count <= SYNS_TOLD {
            out.push(UdpMessage::Syn {
                attempt: self.summary.syn_count,
                syn: describe(datagram, length),
                correlation_id: datagram.correlation_id.map(hex::encode),
                cookie_hash: datagram.syn_data_ex.is_some_and(|extension| extension.cookie_hash),
            });
        }
    }

    /// The data of version 3 can look like a SYN+ACK: it has to fit the SYN, or be one beyond doubt.
    fn is_answer(&self, datagram: &Datagram, length: usize) -> bool {
        let fits = match (self.client_sequence, datagram.syn_data) {
            (Some(sequence), _) => datagram.source_ack == sequence || self.summary.syn_ack_count == 0,
            (None, Some(syn)) => {
                MTU.contains(&syn.up_stream_mtu)
                    && MTU.contains(&syn.down_stream_mtu)
                    && length >= usize::from(*MTU.start())
            }
            (None, None) => false,
        };
        datagram.is_syn_ack() && fits
    }

    fn syn_ack(&mut self, datagram: &Datagram, length: usize, out: &mut Vec<UdpMessage>) {
        self.summary.syn_ack_count += 1;
        self.summary.server_version = known_version(datagram);
        self.summary.established.get_or_insert(false);
        if self.summary.syn_ack_count <= SYNS_TOLD {
            let attempt = self.summary.syn_ack_count;
            out.push(UdpMessage::SynAck { attempt, syn: describe(datagram, length) });
        }
    }

    fn data(
        &mut self,
        t_us: u64,
        from: Side,
        bytes: &[u8],
        datagram: Option<Datagram>,
        out: &mut Vec<UdpMessage>,
    ) {
        let beginning_seen = self.summary.syn_count + self.summary.syn_ack_count > 0;
        let data = match self.upper_layer_data(bytes, datagram) {
            Ok(data) => data,
            Err(reason) => return self.not_rdpeudp(bytes, reason, out),
        };
        if !beginning_seen {
            if !std::mem::replace(&mut self.beginning_not_seen, true) {
                out.push(UdpMessage::BeginningNotSeen);
            }
            return;
        }
        if from == Side::Client && self.summary.syn_ack_count > 0 && self.summary.established == Some(false) {
            self.summary.established = Some(true);
            let took_us = self.first_syn_us.map(|first| t_us.saturating_sub(first));
            out.push(UdpMessage::Established { version: self.summary.server_version, took_us });
        }
        self.record(from, &data, out);
    }

    /// The bytes a data datagram carries for TLS or DTLS, perhaps none; why it is no RDP-UDP where it is not.
    fn upper_layer_data(&self, bytes: &[u8], datagram: Option<Datagram>) -> Result<Vec<u8>, String> {
        let version = self.summary.server_version;
        let older = datagram.filter(is_plausible_data);
        if version != Some(3)
            && let Some(datagram) = &older
        {
            let payload = datagram.payload.filter(|payload| !payload.fec);
            return Ok(payload.and_then(|payload| bytes.get(payload.offset..)).unwrap_or_default().to_vec());
        }
        if version.is_some_and(|version| version < 3) {
            return Err("not a datagram of the version that the server chose".to_owned());
        }
        match rdpeudp2::Packet::decode(bytes) {
            Ok(packet) => Ok(packet.data),
            // The acknowledgement that ends the handshake may still have the older form.
            Err(_) if older.is_some() => Ok(Vec::new()),
            Err(malformed) => Err(malformed.to_string()),
        }
    }

    fn record(&mut self, from: Side, data: &[u8], out: &mut Vec<UdpMessage>) {
        if self.record_seen[from.index()] {
            return;
        }
        if let Some(protocol) = RecordProtocol::of(data) {
            self.record_seen[from.index()] = true;
            if from == Side::Client {
                self.summary.protocol = Some(protocol);
            }
            out.push(UdpMessage::HandshakeRecord { protocol });
        }
    }

    fn not_rdpeudp(&mut self, bytes: &[u8], reason: String, out: &mut Vec<UdpMessage>) {
        self.summary.not_rdpeudp += 1;
        if self.summary.not_rdpeudp <= NOT_RDPEUDP_TOLD {
            let protocol = RecordProtocol::of(bytes);
            out.push(UdpMessage::NotRdpeudp { length: bytes.len(), protocol, reason });
        }
    }

    fn unanswered(&mut self, t_us: u64, out: &mut Vec<UdpMessage>) {
        if let Some(first) = self.first_syn_us
            && self.summary.syn_ack_count == 0
        {
            self.unanswered_told = self.summary.syn_count;
            let waited_us = t_us.saturating_sub(first);
            out.push(UdpMessage::Unanswered { syn_count: self.summary.syn_count, waited_us });
        }
    }

    /// Whether there was a silence to tell.
    fn silence(&self, t_us: u64, side: Side, out: &mut Vec<UdpMessage>) -> bool {
        let (last, after_datagrams) = match side {
            Side::Client => (self.summary.last_from_client_us, self.summary.datagrams_up),
            Side::Server => (self.summary.last_from_server_us, self.summary.datagrams_down),
        };
        let for_us = last.map_or(0, |last| t_us.saturating_sub(last));
        let silent = self.summary.established == Some(true) && for_us >= SILENCE_US;
        if silent {
            out.push(UdpMessage::Silence { side, for_us, after_datagrams });
        }
        silent
    }
}

/// Whether a datagram that opens nothing can be of version 1 or 2: it acknowledges or carries something.
fn is_plausible_data(datagram: &Datagram) -> bool {
    !datagram.flags.has(Flags::UNDEFINED | Flags::SYN) && datagram.flags.has(Flags::ACK | Flags::DATA)
}

fn known_version(datagram: &Datagram) -> Option<u8> {
    Some(datagram.version()).filter(|version| *version != 0)
}

fn describe(datagram: &Datagram, length: usize) -> Syn {
    Syn {
        version: known_version(datagram),
        udp_version: datagram.syn_data_ex.map(|extension| extension.udp_version),
        flags: datagram.flags.names().into_iter().map(str::to_owned).collect(),
        lossy: datagram.flags.has(Flags::SYNLOSSY),
        up_mtu: datagram.syn_data.map_or(0, |syn| syn.up_stream_mtu),
        down_mtu: datagram.syn_data.map_or(0, |syn| syn.down_stream_mtu),
        length,
    }
}

#[cfg(test)]
#[path = "../../../tests/support/pcap.rs"]
mod pcap;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::path::Path;

    const CLIENT_SEQUENCE: u32 = 9;

    fn syn(version: u16) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xFF, 0xFF, 0xFF, 0, 64, 0x10, 0x01, 0, 0, 0, CLIENT_SEQUENCE as u8];
        bytes.extend([4, 208, 4, 208, 0, 1]);
        bytes.extend(version.to_be_bytes());
        bytes.resize(1232, 0);
        bytes
    }

    fn syn_ack(version: u16) -> Vec<u8> {
        let mut bytes = syn(version);
        bytes[..4].copy_from_slice(&CLIENT_SEQUENCE.to_be_bytes());
        bytes[7] = 0x05;
        bytes
    }

    fn data(upper: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 1, 0, 64, 0, 0x0C, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2];
        bytes.extend(upper);
        bytes
    }

    fn run(steps: &[(u64, Side, &[u8])]) -> (UdpObserver, Vec<UdpMessage>) {
        let mut observer = UdpObserver::new();
        let mut out = Vec::new();
        for (t_us, from, bytes) in steps {
            observer.datagram(*t_us, *from, bytes, &mut out);
        }
        (observer, out)
    }

    fn names(messages: &[UdpMessage]) -> Vec<String> {
        let name = |message| serde_json::to_value(message).unwrap()["event"].as_str().unwrap().to_owned();
        messages.iter().map(name).collect()
    }

    #[test]
    fn a_lossy_free_version_2_connection_is_followed_to_its_dtls_or_tls() {
        let (observer, out) = run(&[
            (0, Side::Client, &syn(2)),
            (1_000, Side::Server, &syn_ack(2)),
            (2_500, Side::Client, &data(&[0x16, 0xFE, 0xFF, 0])),
            (2_600, Side::Client, &data(&[0x16, 0xFE, 0xFF, 0])),
            (3_000, Side::Server, &data(&[0x16, 0xFE, 0xFF, 0])),
        ]);
        assert_eq!(names(&out), ["syn", "syn_ack", "established", "handshake_record", "handshake_record"]);
        assert_eq!(out[2], UdpMessage::Established { version: Some(2), took_us: Some(2_500) });
        assert_eq!(out[3], UdpMessage::HandshakeRecord { protocol: RecordProtocol::Dtls });
        let summary = observer.summary();
        assert_eq!((summary.client_version, summary.server_version), (Some(2), Some(2)));
        assert_eq!((summary.established, summary.protocol), (Some(true), Some(RecordProtocol::Dtls)));
        assert_eq!((summary.datagrams_up, summary.last_from_server_us), (3, Some(3_000)));
    }

    #[test]
    fn syns_without_an_answer_are_told_once_by_time_and_again_when_more_came() {
        let (mut observer, mut out) = run(&[(0, Side::Client, &syn(2)), (800_000, Side::Client, &syn(2))]);
        observer.tick(3_900_000, &mut out);
        assert_eq!(names(&out), ["syn", "syn"], "an answer may still come");
        observer.tick(4_000_000, &mut out);
        observer.tick(5_000_000, &mut out);
        assert_eq!(out[2..], [UdpMessage::Unanswered { syn_count: 2, waited_us: 4_000_000 }]);
        observer.datagram(5_500_000, Side::Client, &syn(2), &mut out);
        observer.finish(6_000_000, &mut out);
        assert_eq!(out.last(), Some(&UdpMessage::Unanswered { syn_count: 3, waited_us: 6_000_000 }));
        assert_eq!(observer.summary().established, Some(false));
    }

    #[test]
    fn an_open_connection_that_falls_silent_names_the_silent_side() {
        let (mut observer, mut out) = run(&[
            (0, Side::Client, &syn(2)),
            (1_000, Side::Server, &syn_ack(2)),
            (2_000, Side::Client, &data(&[])),
            (40_000_000, Side::Client, &data(&[])),
        ]);
        observer.tick(40_000_001, &mut out);
        observer.tick(41_000_000, &mut out);
        observer.finish(50_000_000, &mut out);
        let silence = |for_us| UdpMessage::Silence { side: Side::Server, for_us, after_datagrams: 1 };
        assert_eq!(out[3..], [silence(39_999_001), silence(49_999_000)]);
    }

    #[test]
    fn a_connection_that_ends_while_both_talk_has_no_silence() {
        let (mut observer, mut out) = run(&[
            (0, Side::Client, &syn(2)),
            (1_000, Side::Server, &syn_ack(2)),
            (2_000, Side::Client, &data(&[])),
        ]);
        observer.finish(3_000, &mut out);
        assert_eq!(names(&out), ["syn", "syn_ack", "established"]);
    }

    #[test]
    fn without_the_beginning_nothing_is_claimed() {
        let (mut observer, mut out) = run(&[(0, Side::Client, &data(&[1])), (9, Side::Server, &data(&[2]))]);
        observer.finish(90_000_000, &mut out);
        assert_eq!(out, [UdpMessage::BeginningNotSeen]);
        assert_eq!(observer.summary().established, None);
        assert_eq!(observer.summary().syn_count, 0);
    }

    #[test]
    fn other_datagrams_are_named_and_then_only_counted() {
        let dtls = [0x16, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1];
        let (observer, out) = run(&[(0, Side::Client, dtls.as_slice()); 5]);
        assert_eq!(names(&out), ["not_rdpeudp"; 3]);
        assert!(matches!(out[0], UdpMessage::NotRdpeudp { protocol: Some(RecordProtocol::Dtls), .. }));
        assert_eq!(observer.summary().not_rdpeudp, 5);
        let (_, out) = run(&[(0, Side::Client, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0")]);
        assert_eq!(names(&out), ["not_rdpeudp"]);
    }

    #[test]
    fn a_flood_of_syns_is_counted_and_not_told_one_by_one() {
        let mut observer = UdpObserver::new();
        let mut out = Vec::new();
        for t_us in 0..1_000 {
            observer.datagram(t_us, Side::Client, &syn(0x0101), &mut out);
        }
        assert_eq!((observer.summary().syn_count, out.len()), (1_000, 16));
    }

    #[test]
    fn a_message_survives_json() {
        let (_, out) = run(&[(0, Side::Client, &syn(0x0101))]);
        let json = serde_json::to_string(&out[0]).unwrap();
        assert!(json.starts_with(
            r#"{"event":"syn","attempt":1,"version":3,"udp_version":257,"flags":["SYN","SYNEX"]"#
        ));
        assert_eq!(serde_json::from_str::<UdpMessage>(&json).unwrap(), out[0]);
    }

    proptest! {
        #[test]
        fn any_datagrams_are_observed_without_panic(
            steps in proptest::collection::vec(
                (any::<u64>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..64)), 0..40,
            ),
            begun in 0u16..4,
        ) {
            let mut observer = UdpObserver::new();
            let mut out = Vec::new();
            if begun > 0 {
                observer.datagram(0, Side::Client, &syn(0x0101), &mut out);
                let version = [2, 3, 0x0101][usize::from(begun) - 1];
                observer.datagram(1, Side::Server, &syn_ack(version), &mut out);
            }
            for (t_us, up, bytes) in &steps {
                let from = if *up { Side::Client } else { Side::Server };
                observer.datagram(*t_us, from, bytes, &mut out);
                observer.tick(*t_us, &mut out);
            }
            observer.finish(u64::MAX, &mut out);
            let summary = observer.summary();
            let counted = summary.datagrams_up + summary.datagrams_down - if begun > 0 { 2 } else { 0 };
            prop_assert_eq!(counted, steps.len() as u64);
        }
    }

    type Flows = BTreeMap<(SocketAddr, SocketAddr), (UdpObserver, Vec<UdpMessage>)>;

    /// Every UDP flow of a capture whose server port is `port`, observed to the capture's end.
    fn flows(path: &Path, port: u16) -> Flows {
        let mut flows = Flows::new();
        let packets = pcap::packets(path);
        let datagrams = packets.iter().filter(|packet| packet.transport == pcap::Transport::Udp);
        for packet in datagrams {
            let (key, from) = if packet.destination.port() == port {
                ((packet.source, packet.destination), Side::Client)
            } else {
                ((packet.destination, packet.source), Side::Server)
            };
            let (observer, out) = flows.entry(key).or_default();
            observer.datagram(packet.t_us, from, &packet.payload, out);
        }
        for (observer, out) in flows.values_mut() {
            let summary = observer.summary();
            let end = summary.last_from_client_us.max(summary.last_from_server_us).unwrap_or_default();
            observer.finish(end, out);
        }
        flows
    }

    fn assert_syn(truth: &Value, syn: &Syn, file: &str) {
        let hex =
            |text: &Value| u16::from_str_radix(text.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        assert_eq!(syn.udp_version, Some(hex(&truth["version"])), "{file}");
        assert_eq!(syn.flags, Flags(hex(&truth["flags"])).names(), "{file}");
        assert_eq!(truth["lossy"], syn.lossy, "{file}");
        assert_eq!(truth["up_mtu"], syn.up_mtu, "{file}");
        assert_eq!(truth["down_mtu"], syn.down_mtu, "{file}");
    }

    fn assert_conversation(truth: &Value, observer: &UdpObserver, out: &[UdpMessage], file: &str) {
        let summary = observer.summary();
        assert_eq!(truth["packets_client"], summary.datagrams_up, "{file}");
        assert_eq!(truth["packets_server"], summary.datagrams_down, "{file}");
        assert_eq!(truth["bytes_client"], summary.bytes_up, "{file}");
        assert_eq!(truth["bytes_server"], summary.bytes_down, "{file}");
        assert_eq!(truth["client_syn_count"].as_u64().unwrap_or(0), u64::from(summary.syn_count), "{file}");
        assert_eq!(
            truth["server_syn_count"].as_u64().unwrap_or(0),
            u64::from(summary.syn_ack_count),
            "{file}"
        );
        assert_eq!(truth["established"], summary.established.unwrap_or(false), "{file}");
        assert_eq!(truth["client_syn"].is_object(), summary.established.is_some(), "{file}");
        assert_eq!(summary.not_rdpeudp, 0, "{file}: {out:?}");
        for message in out {
            match message {
                UdpMessage::Syn { syn, correlation_id, .. } => {
                    assert_syn(&truth["client_syn"], syn, file);
                    assert_eq!(truth["client_syn"]["correlation_id"].as_str(), correlation_id.as_deref());
                }
                UdpMessage::SynAck { syn, .. } => assert_syn(&truth["server_syn"], syn, file),
                _ => {}
            }
        }
        if truth["handshake"].is_array() {
            assert_eq!(summary.protocol, Some(RecordProtocol::Tls), "{file}");
        }
    }

    #[test]
    fn real_captures_give_what_another_analyser_says_of_them() {
        let Some(folder) = pcap::folder("real_captures_give_what_another_analyser_says_of_them") else {
            return;
        };
        for (file, conversations) in [
            ("zeek/rdpeudp-handshake-fail.pcap", 1),
            ("zeek/rdpeudp-handshake-success.pcap", 1),
            ("zeek/rdpeudp2-handshake-success.pcap", 1),
            ("ndpi/rdp2.pcap", 3),
        ] {
            let truth =
                std::fs::read(folder.join(format!("truth/{}.json", file.replace('/', "__")))).unwrap();
            let truth: Value = serde_json::from_slice(&truth).unwrap();
            let flows = flows(&folder.join(file), 3389);
            assert_eq!(flows.len(), conversations, "{file}");
            for conversation in truth["conversations"].as_array().unwrap() {
                let address = |name: &str| {
                    let (address, port) = conversation[name].as_str().unwrap().split_once(' ').unwrap();
                    SocketAddr::new(address.parse().unwrap(), port.parse().unwrap())
                };
                let (observer, out) = &flows[&(address("client"), address("server"))];
                assert_conversation(conversation, observer, out, file);
            }
        }
    }

    #[test]
    fn a_version_3_session_with_tls_inside_is_followed() {
        let Some(folder) = pcap::folder("a_version_3_session_with_tls_inside_is_followed") else { return };
        let flows = flows(&folder.join("lab/rdpeudp2-echo.pcapng"), 13416);
        let (observer, out) = flows.values().next().unwrap();
        assert_eq!(names(out), ["syn", "syn_ack", "established", "handshake_record", "handshake_record"]);
        let summary = observer.summary();
        assert_eq!((summary.client_version, summary.server_version), (Some(3), Some(3)));
        assert_eq!((summary.protocol, summary.not_rdpeudp), (Some(RecordProtocol::Tls), 0));
        assert!(summary.bytes_up > 20_000);
    }
}
