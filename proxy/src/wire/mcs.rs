//! MCS (T.125) as RDP uses it: the BER-encoded connect PDUs and the PER-encoded domain PDUs (MS-RDPBCGR
//! 2.2.1.3 to 2.2.1.9). Decoders take what follows the X.224 data header `02 F0 80`.

use std::ops::Range;

use super::{Malformed, Reader};

/// Channels and users are written on the wire as their distance from this number.
pub const USER_CHANNEL_BASE: u16 = 1001;
/// Elements of a connect PDU that are kept; a well-formed one has eight.
const ELEMENT_LIMIT: usize = 16;

const TAG_OCTET_STRING: u8 = 0x04;
const TAG_ENUMERATED: u8 = 0x0A;

/// Names of the T.125 `Result` values.
pub const RESULTS: &[(u32, &str)] = &[
    (0, "rt-successful"),
    (1, "rt-domain-merging"),
    (2, "rt-domain-not-hierarchical"),
    (3, "rt-no-such-channel"),
    (4, "rt-no-such-domain"),
    (5, "rt-no-such-user"),
    (6, "rt-not-admitted"),
    (7, "rt-other-user-id"),
    (8, "rt-parameters-unacceptable"),
    (9, "rt-token-not-available"),
    (10, "rt-token-not-possessed"),
    (11, "rt-too-many-channels"),
    (12, "rt-too-many-tokens"),
    (13, "rt-too-many-users"),
    (14, "rt-unspecified-failure"),
    (15, "rt-user-rejected"),
];

/// Names of the T.125 `Reason` values of a Disconnect Provider Ultimatum.
pub const REASONS: &[(u32, &str)] = &[
    (0, "rn-domain-disconnected"),
    (1, "rn-provider-initiated"),
    (2, "rn-token-purged"),
    (3, "rn-user-requested"),
    (4, "rn-channel-purged"),
];

/// One MCS PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum McsPdu {
    /// Connect-Initial, client to server.
    ConnectInitial(Connect),
    /// Connect-Response, server to client.
    ConnectResponse(Connect),
    /// Erect Domain Request.
    ErectDomainRequest,
    /// Attach User Request.
    AttachUserRequest,
    /// Attach User Confirm.
    AttachUserConfirm {
        /// T.125 `Result`.
        result: u8,
        /// The user channel, absent when the server refused.
        initiator: Option<u16>,
    },
    /// Channel Join Request.
    ChannelJoinRequest {
        /// The user channel.
        initiator: u16,
        /// The channel asked for.
        channel_id: u16,
    },
    /// Channel Join Confirm.
    ChannelJoinConfirm {
        /// T.125 `Result`.
        result: u8,
        /// The user channel.
        initiator: u16,
        /// The channel that was asked for.
        requested: u16,
        /// The channel joined, absent when the server refused.
        channel_id: Option<u16>,
    },
    /// Send Data Request, client to server.
    SendDataRequest(SendData),
    /// Send Data Indication, server to client.
    SendDataIndication(SendData),
    /// Disconnect Provider Ultimatum with its T.125 `Reason`.
    DisconnectProviderUltimatum {
        /// T.125 `Reason`.
        reason: u8,
    },
    /// Any other domain PDU, by its number in the T.125 `DomainMCSPDU` choice.
    Other {
        /// Index in the choice.
        choice: u8,
    },
}

/// A connect PDU taken apart without changing it: every range counts from the first byte of the PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// T.125 `Result`, in a Connect-Response.
    pub result: Option<u32>,
    /// Content of the user data, which holds the GCC PDU; empty when there is none.
    pub user_data: Range<usize>,
    /// The elements in their order.
    pub elements: Vec<Element>,
}

/// One BER element of a connect PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The tag byte.
    pub tag: u8,
    /// Where its tag stands.
    pub offset: usize,
    /// Its content.
    pub content: Range<usize>,
}

/// User data on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendData {
    /// The sender's user channel.
    pub initiator: u16,
    /// The channel it is sent on.
    pub channel_id: u16,
    /// `dataPriority` and `segmentation`, 0x70 for a complete message of high priority.
    pub priority_and_segmentation: u8,
    /// The data inside the PDU.
    pub payload: Range<usize>,
}

/// Decodes one MCS PDU.
pub fn decode(pdu: &[u8]) -> Result<McsPdu, Malformed> {
    match pdu {
        [0x7F, 0x65, ..] => Ok(McsPdu::ConnectInitial(connect("mcsCi", pdu)?)),
        [0x7F, 0x66, ..] => Ok(McsPdu::ConnectResponse(connect("mcsCrsp", pdu)?)),
        [0x7F, ..] => Err(Malformed::new("connectMCSPDU", 1, "neither Connect-Initial nor Connect-Response")),
        _ => domain_pdu(pdu),
    }
}

fn connect(structure: &'static str, pdu: &[u8]) -> Result<Connect, Malformed> {
    let mut reader = Reader::new(structure, pdu);
    reader.take(2)?;
    let length = ber_length(&mut reader)?;
    let end = reader.offset() + length;
    if length > reader.remaining() {
        return Err(reader.malformed("length goes past the end"));
    }
    let mut connect = Connect { result: None, user_data: end..end, elements: Vec::new() };
    while reader.offset() < end && connect.elements.len() < ELEMENT_LIMIT {
        let element = ber_element(&mut reader)?;
        if element.content.end > end {
            return Err(Malformed::new(structure, element.offset, "element goes past the end of the PDU"));
        }
        if element.tag == TAG_ENUMERATED && connect.result.is_none() {
            connect.result = pdu.get(element.content.clone()).and_then(unsigned);
        }
        connect.elements.push(element);
    }
    // userData is the last element of both PDUs; the domain selectors of a Connect-Initial have its tag, too.
    if let Some(last) = connect.elements.last().filter(|last| last.tag == TAG_OCTET_STRING) {
        connect.user_data = last.content.clone();
    }
    Ok(connect)
}

fn ber_element(reader: &mut Reader<'_>) -> Result<Element, Malformed> {
    let offset = reader.offset();
    let tag = reader.u8()?;
    let length = ber_length(reader)?;
    let start = reader.offset();
    reader.take(length)?;
    Ok(Element { tag, offset, content: start..start + length })
}

fn ber_length(reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    let first = reader.u8()?;
    if first < 0x80 {
        return Ok(usize::from(first));
    }
    let count = usize::from(first & 0x7F);
    if count == 0 || count > 4 {
        return Err(reader.malformed("BER length is indefinite or has more than four bytes"));
    }
    let bytes = reader.take(count)?;
    // A PDU is shorter than 64 KiB, so a value that does not fit cannot be true.
    unsigned(bytes)
        .and_then(|value| usize::try_from(value).ok())
        .filter(|value| *value <= usize::from(u16::MAX))
        .ok_or_else(|| reader.malformed("BER length is longer than any PDU"))
}

fn unsigned(bytes: &[u8]) -> Option<u32> {
    let value = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
    (!bytes.is_empty() && bytes.len() <= 4).then(|| bytes.iter().fold(0, value))
}

fn domain_pdu(pdu: &[u8]) -> Result<McsPdu, Malformed> {
    let mut reader = Reader::new("domainMCSPDU", pdu);
    let first = reader.u8()?;
    let optional_present = first & 2 != 0;
    match first >> 2 {
        1 => Ok(McsPdu::ErectDomainRequest),
        8 => Ok(McsPdu::DisconnectProviderUltimatum { reason: (first & 3) << 1 | reader.u8()? >> 7 }),
        10 => Ok(McsPdu::AttachUserRequest),
        11 => {
            let result = per_result(first, reader.u8()?);
            let initiator = if optional_present { Some(user(&mut reader)?) } else { None };
            Ok(McsPdu::AttachUserConfirm { result, initiator })
        }
        14 => {
            let initiator = user(&mut reader)?;
            Ok(McsPdu::ChannelJoinRequest { initiator, channel_id: reader.u16_be()? })
        }
        15 => {
            let result = per_result(first, reader.u8()?);
            let (initiator, requested) = (user(&mut reader)?, reader.u16_be()?);
            let channel_id = if optional_present { Some(reader.u16_be()?) } else { None };
            Ok(McsPdu::ChannelJoinConfirm { result, initiator, requested, channel_id })
        }
        25 => Ok(McsPdu::SendDataRequest(send_data(&mut reader)?)),
        26 => Ok(McsPdu::SendDataIndication(send_data(&mut reader)?)),
        choice => Ok(McsPdu::Other { choice }),
    }
}

/// PER packs the four bits of `Result` across two bytes; servers that write it as a byte of its own are
/// recognised by the padding bits, which PER leaves at zero.
fn per_result(first: u8, second: u8) -> u8 {
    if second & 0x1F != 0 { second } else { (first & 1) << 3 | second >> 5 }
}

fn user(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    let distance = reader.u16_be()?;
    distance.checked_add(USER_CHANNEL_BASE).ok_or_else(|| reader.malformed("user channel is above 65535"))
}

fn send_data(reader: &mut Reader<'_>) -> Result<SendData, Malformed> {
    let (initiator, channel_id) = (user(reader)?, reader.u16_be()?);
    let priority_and_segmentation = reader.u8()?;
    let length = per_length(reader)?;
    let start = reader.offset();
    reader.take(length)?;
    Ok(SendData { initiator, channel_id, priority_and_segmentation, payload: start..start + length })
}

/// A PER length: one byte, or two with the top bit set, of which RDP uses 15 bits.
pub(super) fn per_length(reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    let first = reader.u8()?;
    if first & 0x80 == 0 {
        return Ok(usize::from(first));
    }
    Ok(usize::from(u16::from_be_bytes([first & 0x7F, reader.u8()?])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_the_domain_pdus_of_a_connection() {
        let pdus: [(&[u8], McsPdu); 9] = [
            (&[0x04, 1, 0, 1, 0], McsPdu::ErectDomainRequest),
            (&[0x28], McsPdu::AttachUserRequest),
            (&[0x2E, 0, 0, 6], McsPdu::AttachUserConfirm { result: 0, initiator: Some(1007) }),
            (&[0x2D, 0xA0], McsPdu::AttachUserConfirm { result: 13, initiator: None }),
            (&[0x38, 0, 6, 3, 0xEB], McsPdu::ChannelJoinRequest { initiator: 1007, channel_id: 1003 }),
            (
                &[0x3E, 0, 0, 6, 3, 0xEB, 3, 0xEB],
                McsPdu::ChannelJoinConfirm {
                    result: 0,
                    initiator: 1007,
                    requested: 1003,
                    channel_id: Some(1003),
                },
            ),
            (
                &[0x3C, 0x0E, 0, 6, 3, 0xEB],
                McsPdu::ChannelJoinConfirm { result: 14, initiator: 1007, requested: 1003, channel_id: None },
            ),
            (&[0x21, 0x80], McsPdu::DisconnectProviderUltimatum { reason: 3 }),
            (&[0x24, 0], McsPdu::Other { choice: 9 }),
        ];
        for (bytes, expected) in pdus {
            assert_eq!(decode(bytes), Ok(expected), "{bytes:02x?}");
        }
        assert_eq!(decode(&[0x20, 0x80]), Ok(McsPdu::DisconnectProviderUltimatum { reason: 1 }));
    }

    #[test]
    fn send_data_with_both_lengths() {
        let short = decode(&[0x64, 0, 6, 3, 0xEB, 0x70, 2, 9, 9]).unwrap();
        assert!(matches!(short, McsPdu::SendDataRequest(d) if d.payload == (7..9) && d.channel_id == 1003));
        let long = decode(&[0x68, 0, 6, 3, 0xEB, 0x70, 0x80, 1, 9]).unwrap();
        assert!(matches!(long, McsPdu::SendDataIndication(d) if d.payload == (8..9) && d.initiator == 1007));
        let cut = decode(&[0x68, 0, 6, 3, 0xEB, 0x70, 3, 9]).unwrap_err();
        assert_eq!((cut.structure, cut.reason), ("domainMCSPDU", "ends too early"));
    }

    #[test]
    fn connect_response_keeps_its_refusal_and_the_place_of_its_user_data() {
        let pdu = [0x7F, 0x66, 0x0C, 0x0A, 1, 14, 2, 1, 0, 0x04, 0x82, 0, 2, 7, 8];
        let McsPdu::ConnectResponse(connect) = decode(&pdu[..]).unwrap() else { panic!("not a response") };
        assert_eq!(connect.result, Some(14));
        assert_eq!(connect.user_data, 13..15);
        assert_eq!(connect.elements[2], Element { tag: 4, offset: 9, content: 13..15 });
        let refused = decode(&[0x7F, 0x66, 3, 0x0A, 1, 14]).unwrap();
        assert!(matches!(refused, McsPdu::ConnectResponse(connect) if connect.user_data.is_empty()));
    }

    #[test]
    fn connect_pdus_that_lie_about_their_lengths_are_named() {
        assert_eq!(decode(&[0x7F, 0x65, 9, 4, 0]).unwrap_err().structure, "mcsCi");
        assert_eq!(decode(&[0x7F, 0x65, 0x80]).unwrap_err().offset, 3);
        assert_eq!(decode(&[0x7F, 0x65, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]).unwrap_err().offset, 7);
        let overlong = decode(&[0x7F, 0x65, 2, 4, 1, 9]).unwrap_err();
        assert_eq!((overlong.offset, overlong.reason), (3, "element goes past the end of the PDU"));
        assert!(decode(&[0x7F, 0x67, 0]).is_err() && decode(&[]).is_err());
    }
}
