//! MS-RDPEUDP versions 1 and 2, and the handshake of version 3 (MS-RDPEUDP 2.2). All numbers big endian.

use super::{Malformed, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// snSourceAck of a SYN, which acknowledges nothing (3.1.5.1.1).
const NOTHING_TO_ACKNOWLEDGE: u32 = 0xFFFF_FFFF;

/// The value of uUdpVer that announces version 3 (2.2.2.9).
const VERSION_3: u16 = 0x0101;

/// Bytes of SYNDATAEX.cookieHash, a SHA-256.
const COOKIE_HASH_SIZE: usize = 32;

/// uFlags of RDPUDP_FEC_HEADER (2.2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Flags(pub u16);

impl Flags {
    /// RDPUDP_FLAG_SYN.
    pub const SYN: u16 = 0x0001;
    /// RDPUDP_FLAG_ACK.
    pub const ACK: u16 = 0x0004;
    /// RDPUDP_FLAG_DATA.
    pub const DATA: u16 = 0x0008;
    /// RDPUDP_FLAG_FEC.
    pub const FEC: u16 = 0x0010;
    /// RDPUDP_FLAG_ACK_OF_ACKS.
    pub const ACK_OF_ACKS: u16 = 0x0100;
    /// RDPUDP_FLAG_SYNLOSSY.
    pub const SYNLOSSY: u16 = 0x0200;
    /// RDPUDP_FLAG_CORRELATION_ID.
    pub const CORRELATION_ID: u16 = 0x0800;
    /// RDPUDP_FLAG_SYNEX.
    pub const SYNEX: u16 = 0x1000;
    /// Bits that the specification does not define: a datagram that sets one is hardly RDP-UDP.
    pub const UNDEFINED: u16 = 0xE000;

    /// Each flag with its name, lowest bit first.
    const NAMES: [(u16, &'static str); 13] = [
        (Flags::SYN, "SYN"),
        (0x0002, "FIN"),
        (Flags::ACK, "ACK"),
        (Flags::DATA, "DATA"),
        (Flags::FEC, "FEC"),
        (0x0020, "CN"),
        (0x0040, "CWR"),
        (0x0080, "SACK_OPTION"),
        (Flags::ACK_OF_ACKS, "ACK_OF_ACKS"),
        (Flags::SYNLOSSY, "SYNLOSSY"),
        (0x0400, "ACKDELAYED"),
        (Flags::CORRELATION_ID, "CORRELATION_ID"),
        (Flags::SYNEX, "SYNEX"),
    ];

    /// True where any bit of `flag` is set.
    pub fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    /// The names of the flags that are set, without `RDPUDP_FLAG_`, lowest bit first.
    pub fn names(self) -> Vec<&'static str> {
        Flags::NAMES.iter().filter(|(flag, _)| self.has(*flag)).map(|(_, name)| *name).collect()
    }
}

/// RDPUDP_SYNDATA_PAYLOAD (2.2.2.5). MTUs are as sent; the specification allows 1132 to 1232.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynData {
    /// snInitialSequenceNumber.
    pub initial_sequence_number: u32,
    /// uUpStreamMtu, bytes.
    pub up_stream_mtu: u16,
    /// uDownStreamMtu, bytes.
    pub down_stream_mtu: u16,
}

/// RDPUDP_SYNDATAEX_PAYLOAD (2.2.2.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynDataEx {
    /// uSynExFlags; 1 says that the version is valid.
    pub syn_ex_flags: u16,
    /// uUdpVer.
    pub udp_version: u16,
    /// Whether a cookie hash is there (a SYN of version 3). Its value is not kept; all zeros is none.
    pub cookie_hash: bool,
}

/// What RDPUDP_FLAG_DATA announces: RDPUDP_SOURCE_PAYLOAD_HEADER or RDPUDP_FEC_PAYLOAD_HEADER (2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// True for parity data (FEC), false for the upper layer's own bytes.
    pub fec: bool,
    /// snCoded.
    pub sequence_number_coded: u32,
    /// snSourceStart.
    pub source_start: u32,
    /// Where the bytes begin in the datagram; they run to its end.
    pub offset: usize,
}

/// One datagram of versions 1 and 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// snSourceAck: the highest sequence number received; in a SYN+ACK the peer's initial one.
    pub source_ack: u32,
    /// uReceiveWindowSize, datagrams.
    pub receive_window_size: u16,
    /// uFlags.
    pub flags: Flags,
    /// uAckVectorSize, elements of one byte.
    pub ack_vector_size: Option<u16>,
    /// snResetSeqNum of RDPUDP_ACK_OF_ACKVECTOR_HEADER (2.2.2.6).
    pub ack_of_acks: Option<u32>,
    /// What opens the connection.
    pub syn_data: Option<SynData>,
    /// uCorrelationId (2.2.2.8): the same as in the X.224 request of the TCP connection.
    pub correlation_id: Option<[u8; 16]>,
    /// The version.
    pub syn_data_ex: Option<SynDataEx>,
    /// Where the data is.
    pub payload: Option<Payload>,
}

impl Datagram {
    /// Reads a whole datagram. Zeros after a SYN or SYN+ACK are its padding to the MTU.
    pub fn decode(bytes: &[u8]) -> Result<Datagram, Malformed> {
        let mut reader = Reader::new("RDPUDP_FEC_HEADER", bytes);
        let source_ack = reader.u32_be()?;
        let receive_window_size = reader.u16_be()?;
        let flags = Flags(reader.u16_be()?);
        let syn = flags.has(Flags::SYN);
        let mut datagram = Datagram {
            source_ack,
            receive_window_size,
            flags,
            ack_vector_size: None,
            ack_of_acks: None,
            syn_data: None,
            correlation_id: None,
            syn_data_ex: None,
            payload: None,
        };
        // In a SYN+ACK the flag only says that snSourceAck counts (3.1.5.1.3).
        if flags.has(Flags::ACK) && !syn {
            datagram.ack_vector_size = Some(skip_ack_vector(&mut reader)?);
        }
        if flags.has(Flags::ACK_OF_ACKS) {
            datagram.ack_of_acks = Some(reader.u32_be()?);
        }
        if syn {
            datagram.syn_data = Some(syn_data(&mut reader)?);
        }
        if flags.has(Flags::CORRELATION_ID) {
            datagram.correlation_id = Some(reader.array()?);
            reader.take(16)?;
        }
        if flags.has(Flags::SYNEX) {
            datagram.syn_data_ex = Some(syn_data_ex(&mut reader, flags)?);
        }
        if flags.has(Flags::DATA) && !syn {
            datagram.payload = Some(payload(&mut reader, flags)?);
        }
        Ok(datagram)
    }

    /// True for the first datagram of a client: SYN, nothing acknowledged, no flag that is not defined.
    pub fn is_syn(&self) -> bool {
        self.flags.0 & (Flags::SYN | Flags::ACK | Flags::DATA | Flags::UNDEFINED) == Flags::SYN
            && self.source_ack == NOTHING_TO_ACKNOWLEDGE
    }

    /// True for a server's answer to a SYN.
    pub fn is_syn_ack(&self) -> bool {
        let both = Flags::SYN | Flags::ACK;
        self.flags.0 & (both | Flags::DATA | Flags::UNDEFINED) == both
    }

    /// The version a SYN or SYN+ACK names: uUdpVer where there is one, else 1; 0 for one that is not known.
    ///
    /// 0x0003 was sent by builds of 2019 and counts as version 3.
    pub fn version(&self) -> u8 {
        match self.syn_data_ex {
            None => 1,
            Some(SynDataEx { udp_version: VERSION_3 | 3, .. }) => 3,
            Some(SynDataEx { udp_version: version @ (1 | 2), .. }) => version as u8,
            Some(_) => 0,
        }
    }
}

/// RDPUDP_ACK_VECTOR_HEADER (2.2.2.7): a size, elements, padding to four bytes.
fn skip_ack_vector(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    let size = reader.u16_be()?;
    let elements = usize::from(size);
    reader.take((2 + elements).next_multiple_of(4) - 2)?;
    Ok(size)
}

fn syn_data(reader: &mut Reader<'_>) -> Result<SynData, Malformed> {
    Ok(SynData {
        initial_sequence_number: reader.u32_be()?,
        up_stream_mtu: reader.u16_be()?,
        down_stream_mtu: reader.u16_be()?,
    })
}

fn syn_data_ex(reader: &mut Reader<'_>, flags: Flags) -> Result<SynDataEx, Malformed> {
    let syn_ex_flags = reader.u16_be()?;
    let udp_version = reader.u16_be()?;
    let may_have_hash = udp_version == VERSION_3 && flags.0 & (Flags::SYN | Flags::ACK) == Flags::SYN;
    let hash = reader.rest().get(..COOKIE_HASH_SIZE).filter(|_| may_have_hash);
    let cookie_hash = hash.is_some_and(|hash| hash.iter().any(|byte| *byte != 0));
    Ok(SynDataEx { syn_ex_flags, udp_version, cookie_hash })
}

fn payload(reader: &mut Reader<'_>, flags: Flags) -> Result<Payload, Malformed> {
    let sequence_number_coded = reader.u32_be()?;
    let source_start = reader.u32_be()?;
    let fec = flags.has(Flags::FEC);
    if fec {
        reader.take(4)?;
    }
    Ok(Payload { fec, sequence_number_coded, source_start, offset: reader.offset() })
}

/// The record layer that a secure connection over RDP-UDP begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordProtocol {
    /// TLS, over reliable transport.
    Tls,
    /// DTLS, over lossy transport.
    Dtls,
}

impl RecordProtocol {
    /// What `data` begins with, if it is a handshake record (RFC 8446 5.1, RFC 6347 4.1).
    pub fn of(data: &[u8]) -> Option<RecordProtocol> {
        match data {
            [0x16, 0x03, 0..=4, ..] => Some(RecordProtocol::Tls),
            [0x16, 0xFE, 0xFC | 0xFD | 0xFF, ..] => Some(RecordProtocol::Dtls),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironrdp_core::{decode, encode_vec};
    use ironrdp_rdpeudp::pdu::{
        CorrelationIdPayload, FecHeader, SourceData, SourcePayloadHeader, SynDataExPayload, SynDataPayload,
        SynExFlags, UdpVersion, V1AckVectorElement, V1AckVectorHeader, V1Datagram, V1Flags,
        VectorElementState,
    };
    use proptest::prelude::*;

    /// A SYN of version 3 with a correlation id and, where `hash` is not zero, a cookie hash.
    fn syn(mtu: u16, hash: u8) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xFF, 0xFF, 0xFF, 0, 64, 0x18, 0x01, 0, 0, 0, 9];
        bytes.extend(mtu.to_be_bytes());
        bytes.extend(mtu.to_be_bytes());
        bytes.extend([0xAB; 16]);
        bytes.extend([0; 16]);
        bytes.extend([0, 1, 1, 1]);
        bytes.extend([hash; 32]);
        bytes.resize(1232, 0);
        bytes
    }

    #[test]
    fn a_syn_says_its_version_mtu_and_correlation_id() {
        let syn = Datagram::decode(&syn(1232, 7)).unwrap();
        assert!(syn.is_syn() && !syn.is_syn_ack());
        assert_eq!(syn.version(), 3);
        assert_eq!(
            syn.syn_data,
            Some(SynData { initial_sequence_number: 9, up_stream_mtu: 1232, down_stream_mtu: 1232 })
        );
        assert_eq!(syn.correlation_id, Some([0xAB; 16]));
        assert!(syn.syn_data_ex.unwrap().cookie_hash);
        assert_eq!(syn.flags.names(), ["SYN", "CORRELATION_ID", "SYNEX"]);
    }

    #[test]
    fn an_mtu_outside_the_rules_is_kept_and_a_zero_hash_is_none() {
        let syn = Datagram::decode(&syn(576, 0)).unwrap();
        assert_eq!(syn.syn_data.unwrap().up_stream_mtu, 576);
        assert!(!syn.syn_data_ex.unwrap().cookie_hash);
    }

    #[test]
    fn a_syn_ack_has_no_ack_vector_and_without_an_extension_is_version_1() {
        let bytes = [0, 0, 0, 9, 0, 64, 0x00, 0x05, 0, 0, 0, 1, 4, 208, 4, 208];
        let syn_ack = Datagram::decode(&bytes).unwrap();
        assert!(syn_ack.is_syn_ack());
        assert_eq!((syn_ack.version(), syn_ack.ack_vector_size), (1, None));
    }

    #[test]
    fn data_begins_after_the_padded_ack_vector() {
        let source = [0, 0, 0, 9, 0, 64, 0, 0x0C, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0x16, 3, 1];
        let datagram = Datagram::decode(&source).unwrap();
        assert_eq!(datagram.ack_vector_size, Some(1));
        let payload = datagram.payload.unwrap();
        assert_eq!((payload.fec, payload.offset), (false, 20));
        assert_eq!(RecordProtocol::of(&source[payload.offset..]), Some(RecordProtocol::Tls));

        let parity = [0, 0, 0, 9, 0, 64, 0, 0x18, 0, 0, 0, 2, 0, 0, 0, 1, 3, 1, 0, 0, 0xAA];
        let payload = Datagram::decode(&parity).unwrap().payload.unwrap();
        assert_eq!((payload.fec, payload.offset), (true, 20));
    }

    #[test]
    fn a_claimed_ack_vector_longer_than_the_datagram_is_malformed() {
        let error = Datagram::decode(&[0, 0, 0, 9, 0, 64, 0, 4, 0xFF, 0xFF, 0]).unwrap_err();
        assert_eq!((error.structure, error.offset), ("RDPUDP_FEC_HEADER", 10));
    }

    #[test]
    fn records_of_both_kinds_are_told_apart() {
        assert_eq!(RecordProtocol::of(&[0x16, 0xFE, 0xFF, 0]), Some(RecordProtocol::Dtls));
        assert_eq!(RecordProtocol::of(&[0x17, 0x03, 0x03, 0]), None);
        assert_eq!(RecordProtocol::of(&[0x16]), None);
    }

    /// Compares every field that the other implementation reads.
    fn assert_same(bytes: &[u8], other: &V1Datagram) -> Result<(), TestCaseError> {
        let own = Datagram::decode(bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(own.source_ack, other.header.sn_source_ack);
        prop_assert_eq!(own.receive_window_size, other.header.receive_window_size);
        prop_assert_eq!(own.flags.0 & !Flags::UNDEFINED, other.header.flags.bits());
        let elements = other.ack_vector.as_ref().map(|vector| vector.elements.len() as u16);
        prop_assert_eq!(own.ack_vector_size, elements);
        prop_assert_eq!(own.ack_of_acks.is_some(), other.ack_of_acks.is_some());
        let syn_data = other.syn_data.as_ref().map(|syn| SynData {
            initial_sequence_number: syn.initial_sequence_number,
            up_stream_mtu: syn.upstream_mtu,
            down_stream_mtu: syn.downstream_mtu,
        });
        prop_assert_eq!(own.syn_data, syn_data);
        prop_assert_eq!(own.correlation_id, other.correlation_id.as_ref().map(|id| id.correlation_id));
        let hash = |hash: &Option<[u8; 32]>| hash.is_some_and(|hash| hash != [0; 32]);
        let extension = other.syn_data_ex.as_ref().map(|ex| (ex.udp_ver.0, hash(&ex.cookie_hash)));
        prop_assert_eq!(own.syn_data_ex.map(|ex| (ex.udp_version, ex.cookie_hash)), extension);
        if let (Some(payload), Some(data)) = (own.payload, &other.data) {
            prop_assert_eq!(payload.sequence_number_coded, data.header.sn_coded);
            prop_assert_eq!(payload.source_start, data.header.sn_source_start);
            prop_assert_eq!(&bytes[payload.offset..], data.payload.as_slice());
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1400)) {
            if let Ok(datagram) = Datagram::decode(&bytes) {
                prop_assert!(datagram.payload.is_none_or(|payload| payload.offset <= bytes.len()));
            }
        }

        #[test]
        fn what_another_implementation_decodes_is_decoded_alike(
            flags in any::<u16>(), mut bytes in proptest::collection::vec(any::<u8>(), 8..200),
        ) {
            bytes[6..8].copy_from_slice(&(flags & !Flags::UNDEFINED).to_be_bytes());
            // A SYN with data exists in neither specification nor reality.
            prop_assume!(flags & (Flags::SYN | Flags::DATA) != Flags::SYN | Flags::DATA);
            if let Ok(other) = decode::<V1Datagram>(&bytes) {
                assert_same(&bytes, &other)?;
            }
        }

        #[test]
        fn what_another_implementation_encodes_is_decoded_alike(
            source_ack in any::<u32>(), sequence in any::<u32>(), mtu in 1132u16..=1232, hash in any::<u8>(),
            run in 0u8..64, elements in 0usize..9, data in proptest::collection::vec(any::<u8>(), 0..99),
        ) {
            let header = |flags| FecHeader { sn_source_ack: source_ack, receive_window_size: 64, flags };
            let none = V1Datagram {
                header: header(V1Flags::empty()), ack_vector: None, ack_of_acks: None, syn_data: None,
                correlation_id: None, syn_data_ex: None, data: None,
            };
            let element = V1AckVectorElement { state: VectorElementState::DatagramReceived, length: run };
            let with_data = V1Datagram {
                header: header(V1Flags::ACK | V1Flags::DATA),
                ack_vector: Some(V1AckVectorHeader { elements: vec![element; elements] }),
                data: Some(SourceData {
                    header: SourcePayloadHeader { sn_coded: sequence, sn_source_start: sequence },
                    payload: data,
                }),
                ..none.clone()
            };
            let with_syn = V1Datagram {
                header: header(V1Flags::SYN),
                syn_data: Some(SynDataPayload {
                    initial_sequence_number: sequence, upstream_mtu: mtu, downstream_mtu: mtu,
                }),
                correlation_id: Some(CorrelationIdPayload { correlation_id: [hash; 16] }),
                syn_data_ex: Some(SynDataExPayload {
                    syn_ex_flags: SynExFlags::VERSION_INFO_VALID, udp_ver: UdpVersion::V3,
                    cookie_hash: Some([hash; 32]),
                }),
                ..none
            };
            for other in [with_data, with_syn] {
                let bytes = encode_vec(&other).unwrap();
                // Read again: the flags are set while encoding.
                assert_same(&bytes, &decode::<V1Datagram>(&bytes).unwrap())?;
            }
        }
    }
}
