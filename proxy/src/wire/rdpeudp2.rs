//! The data phase of RDP-UDP version 3 (MS-RDPEUDP2 2.2.1). All numbers little endian.
//!
//! A datagram has no mark of its own: only an earlier handshake of version 3 on the same flow tells.

use super::{Malformed, Reader};

/// Where the PacketPrefixByte stands on the wire: it changes places with the first byte (3.1.1.1.5).
const PREFIX_INDEX: usize = 7;

/// Packet_Type_Index of a packet whose data is filler.
const DUMMY: u8 = 8;

const FLAG_ACK: u16 = 0x001;
const FLAG_DATA: u16 = 0x004;
const FLAG_ACKVEC: u16 = 0x008;
const FLAG_AOA: u16 = 0x010;
const FLAG_OVERHEADSIZE: u16 = 0x040;
const FLAG_DELAYACKINFO: u16 = 0x100;

/// The flags that 2.2.1.1 defines.
const DEFINED: u16 = FLAG_ACK | FLAG_DATA | FLAG_ACKVEC | FLAG_AOA | FLAG_OVERHEADSIZE | FLAG_DELAYACKINFO;

/// One datagram of version 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// True where the data is filler, to be acknowledged and thrown away.
    pub dummy: bool,
    /// Flags, 12 bits.
    pub flags: u16,
    /// LogWindowSize: the receive window is two to this power.
    pub log_window_size: u8,
    /// DataSeqNum.
    pub data_sequence_number: Option<u16>,
    /// ChannelSeqNum: the same in every repetition of the data.
    pub channel_sequence_number: Option<u16>,
    /// The upper layer's bytes.
    pub data: Vec<u8>,
}

impl Packet {
    /// Reads a whole datagram as it was on the wire.
    pub fn decode(wire: &[u8]) -> Result<Packet, Malformed> {
        let mut bytes = wire.to_vec();
        if bytes.len() <= PREFIX_INDEX {
            return Err(Malformed::new("PacketPrefixByte", bytes.len(), "ends too early"));
        }
        bytes.swap(0, PREFIX_INDEX);
        let prefix = bytes[0];
        let packet_type = (prefix >> 1) & 0x0F;
        if prefix & 1 != 0 || (packet_type != 0 && packet_type != DUMMY) {
            return Err(Malformed::new("PacketPrefixByte", PREFIX_INDEX, "not a packet type"));
        }
        // 7 says "seven or more"; less than that is the length before the padding.
        let length = match usize::from(prefix >> 5) {
            short @ 1..=6 => short,
            _ => bytes.len() - 1,
        };
        decode_packet(&bytes[1..=length], packet_type == DUMMY)
    }
}

fn decode_packet(bytes: &[u8], dummy: bool) -> Result<Packet, Malformed> {
    let mut reader = Reader::new("RDP-UDP2 Packet", bytes);
    let header = reader.u16_le()?;
    let flags = header & 0x0FFF;
    if flags == 0 || flags & !DEFINED != 0 || flags & (FLAG_ACK | FLAG_ACKVEC) == FLAG_ACK | FLAG_ACKVEC {
        return Err(reader.malformed("not a set of flags"));
    }
    if flags & FLAG_ACK != 0 {
        skip_acknowledgement(&mut reader)?;
    }
    for (flag, size) in [(FLAG_OVERHEADSIZE, 1), (FLAG_DELAYACKINFO, 3), (FLAG_AOA, 2)] {
        if flags & flag != 0 {
            reader.take(size)?;
        }
    }
    let with_data = flags & FLAG_DATA != 0;
    let data_sequence_number = if with_data { Some(reader.u16_le()?) } else { None };
    if flags & FLAG_ACKVEC != 0 {
        skip_acknowledgement_vector(&mut reader)?;
    }
    let carries_data = with_data && !dummy;
    let channel_sequence_number = if carries_data { Some(reader.u16_le()?) } else { None };
    let data = if carries_data { reader.rest().to_vec() } else { Vec::new() };
    let log_window_size = (header >> 12) as u8;
    Ok(Packet { dummy, flags, log_window_size, data_sequence_number, channel_sequence_number, data })
}

/// Acknowledgement Payload (2.2.1.2.1): seven bytes, and one for each delayed acknowledgement.
fn skip_acknowledgement(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    reader.take(6)?;
    let delayed = reader.u8()? & 0x0F;
    reader.take(usize::from(delayed))?;
    Ok(())
}

/// Acknowledgement Vector Payload (2.2.1.2.6): base, size of seven bits, optional time stamp, vector.
fn skip_acknowledgement_vector(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    reader.take(2)?;
    let packed = reader.u8()?;
    let time_stamp = if packed & 0x80 != 0 { 4 } else { 0 };
    reader.take(time_stamp + usize::from(packed & 0x7F))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironrdp_core::{Encode, encode_vec};
    use ironrdp_rdpeudp::pdu::{
        AckPayload, AckVectorEntry, AckVectorPayload, DataBody, DataHeader, DelayAckInfoPayload, V2Flags,
        V2Header, encode_with_prefix,
    };
    use proptest::prelude::*;

    fn on_the_wire(flags: V2Flags, parts: &[&dyn Encode], dummy: bool) -> Vec<u8> {
        let mut packet = encode_vec(&V2Header { flags, log_window_size: 6 }).unwrap();
        for part in parts {
            packet.extend(encode_vec(*part).unwrap());
        }
        let mut wire = Vec::new();
        encode_with_prefix(&packet, dummy, &mut wire).unwrap();
        wire
    }

    fn acknowledgement(delayed: Vec<u8>) -> AckPayload {
        AckPayload {
            seq_num: 7,
            received_ts: 99,
            send_ack_time_gap: 1,
            delay_ack_time_scale: 5,
            delay_ack_time_additions: delayed,
        }
    }

    #[test]
    fn a_dummy_carries_no_data() {
        let header = DataHeader { data_seq_num: 3 };
        let wire = on_the_wire(V2Flags::DATA, &[&header], true);
        let packet = Packet::decode(&wire).unwrap();
        assert!(packet.dummy && packet.data.is_empty());
        assert_eq!((packet.data_sequence_number, packet.channel_sequence_number), (Some(3), None));
    }

    #[test]
    fn a_datagram_without_a_packet_type_is_refused() {
        let error = Packet::decode(&[0, 1, 2, 3, 4, 5, 6, 0x55, 8]).unwrap_err();
        assert_eq!(error.structure, "PacketPrefixByte");
        assert_eq!(Packet::decode(&[0; 7]).unwrap_err().reason, "ends too early");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1400)) {
            if let Ok(packet) = Packet::decode(&bytes) {
                prop_assert!(packet.data.len() < bytes.len());
            }
        }

        #[test]
        fn what_another_implementation_encodes_is_decoded_alike(
            sequence in any::<u16>(), channel in any::<u16>(),
            delayed in proptest::collection::vec(any::<u8>(), 0..16),
            vector in proptest::collection::vec(0u8..128, 0..128), stamped in any::<bool>(),
            data in proptest::collection::vec(any::<u8>(), 0..99),
        ) {
            let ack = acknowledgement(delayed);
            let delay = DelayAckInfoPayload { max_delayed_acks: 3, delayed_ack_timeout_ms: 50 };
            let header = DataHeader { data_seq_num: sequence };
            let body = DataBody { channel_seq_num: channel, data: data.clone() };
            let entries = vector.into_iter().map(|bitmap| AckVectorEntry::StateMap { bitmap }).collect();
            let vector = AckVectorPayload {
                base_seq_num: 1, timestamp: stamped.then_some(5), entries,
                send_ack_time_gap_ms: stamped.then_some(6),
            };
            let with_ack = on_the_wire(
                V2Flags::ACK | V2Flags::DELAYACKINFO | V2Flags::DATA, &[&ack, &delay, &header, &body], false,
            );
            let with_vector = on_the_wire(V2Flags::ACKVEC | V2Flags::DATA, &[&header, &vector, &body], false);
            for wire in [with_ack, with_vector] {
                let packet = Packet::decode(&wire).map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(packet.log_window_size, 6);
                prop_assert_eq!(packet.data_sequence_number, Some(sequence));
                prop_assert_eq!(packet.channel_sequence_number, Some(channel));
                prop_assert_eq!(&packet.data, &data);
            }
        }
    }
}
