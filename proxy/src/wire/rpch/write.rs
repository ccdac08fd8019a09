//! PDUs of RPC over HTTP that are written, for a tunnel in which the RDP is another than what came (MS-RPCE 2.2.2, MS-RPCH
//! 2.2.3, MS-TSGU 2.2.9.3).

use super::rpc::{FIRST_FRAGMENT, LAST_FRAGMENT};
use super::rts::PDU_TYPE;
use super::tsproxy::CONTEXT_HANDLE;

/// Bytes of the token of NTLM behind a trailer (NTLMSSP_MESSAGE_SIGNATURE, MS-NLMP 2.2.2.9).
pub const TOKEN_LENGTH: usize = 16;
/// Bytes of the trailer before the token (MS-RPCE 2.2.2.11).
const TRAILER_LENGTH: usize = 8;
/// Where a body ends before the trailer (MS-RPCE 2.2.2.12).
const ALIGNMENT: usize = 4;
/// Bytes of the common header, and of what a request and a response have between it and the stub.
const BEFORE_STUB: usize = 24;
/// rpc_vers 5.0, and integers in little endian, ASCII and IEEE in packed_drep.
const VERSION: [u8; 2] = [5, 0];
const REPRESENTATION: [u8; 4] = [0x10, 0, 0, 0];

/// OTHER_CMD, the commands of flow control, and their lengths (MS-RPCH 2.2.3.5, 2.2.3.6.1).
const OTHER_CMD: u16 = 2;
const FLOW_CONTROL_ACK: u32 = 1;
const DESTINATION: u32 = 13;

/// Whom a PDU of RTS is for (MS-RPCH 2.2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// FDClient.
    Client = 0,
    /// FDOutProxy: the gateway, about what it sends.
    OutProxy = 3,
}

/// What authenticates the PDUs of one security context, but for the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// auth_type.
    pub authentication: u8,
    /// auth_level.
    pub level: u8,
    /// auth_context_id.
    pub context_id: u32,
}

/// A PDU of DCE/RPC; a token of zeros stands at the end of one with a trailer.
pub fn pdu(kind: u8, flags: u8, call_id: u32, body: &[u8], trailer: Option<Trailer>) -> Vec<u8> {
    let mut rest = body.to_vec();
    let mut token = 0;
    if let Some(Trailer { authentication, level, context_id }) = trailer {
        let padding = rest.len().next_multiple_of(ALIGNMENT) - rest.len();
        rest.resize(rest.len() + padding, 0);
        rest.extend([authentication, level, padding as u8, 0]);
        rest.extend(context_id.to_le_bytes());
        rest.extend([0; TOKEN_LENGTH]);
        token = TOKEN_LENGTH;
    }
    let length = super::rpc::HEADER_LENGTH + rest.len();
    let lengths = [length as u16, token as u16].map(u16::to_le_bytes).concat();
    [&VERSION[..], &[kind, flags], &REPRESENTATION, &lengths, &call_id.to_le_bytes(), &rest].concat()
}

/// The body of a request: for the method `opnum` of the interface that was bound as `context`.
pub fn request(context: u16, opnum: u16, stub: &[u8]) -> Vec<u8> {
    let hint = (stub.len() as u32).to_le_bytes();
    [&hint[..], &context.to_le_bytes(), &opnum.to_le_bytes(), stub].concat()
}

/// The body of a response.
pub fn response(context: u16, stub: &[u8]) -> Vec<u8> {
    let hint = (stub.len() as u32).to_le_bytes();
    [&hint[..], &context.to_le_bytes(), &[0; 2], stub].concat()
}

/// The stub of TsProxySendToServer with one buffer. Its numbers alone are big endian.
pub fn send_to_server(channel: &[u8; CONTEXT_HANDLE], data: &[u8]) -> Vec<u8> {
    let length = data.len() as u32;
    let numbers = [length + 4, 1, length].map(u32::to_be_bytes).concat();
    [&channel[..], &numbers, data].concat()
}

/// Bytes of data that a request with such a stub has room for in a PDU of `most` bytes.
pub fn room_in_request(most: usize, trailer: Option<Trailer>) -> usize {
    room_in_response(most, trailer).saturating_sub(CONTEXT_HANDLE + 12)
}

/// Bytes of a stub that a response has room for in a PDU of `most` bytes.
pub fn room_in_response(most: usize, trailer: Option<Trailer>) -> usize {
    let behind = if trailer.is_some() { ALIGNMENT - 1 + TRAILER_LENGTH + TOKEN_LENGTH } else { 0 };
    most.saturating_sub(BEFORE_STUB + behind)
}

/// FlowControlAckWithDestination (MS-RPCH 2.2.4.50) about the channel with this cookie.
pub fn flow_control_ack(
    destination: Destination,
    bytes_received: u32,
    available_window: u32,
    channel: &[u8; 16],
) -> Vec<u8> {
    let commands = [DESTINATION, destination as u32, FLOW_CONTROL_ACK, bytes_received, available_window];
    let numbers = commands.map(u32::to_le_bytes).concat();
    let head = [OTHER_CMD, 2].map(u16::to_le_bytes).concat();
    pdu(PDU_TYPE, FIRST_FRAGMENT | LAST_FRAGMENT, 0, &[&head, &numbers, &channel[..]].concat(), None)
}

#[cfg(test)]
mod tests {
    use super::super::rpc::{Body, Header, Pdu, REQUEST};
    use super::super::rts::Rts;
    use super::super::tsproxy;
    use super::*;

    const TRAILER: Trailer = Trailer { authentication: 10, level: 5, context_id: 7 };

    fn read(bytes: &[u8]) -> Pdu<'_> {
        let (header, _) = Header::decode(bytes).unwrap().expect("a whole header");
        assert_eq!(header.length(), bytes.len());
        Pdu::decode(header, bytes).unwrap()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let channel = [9; CONTEXT_HANDLE];
        for trailer in [None, Some(TRAILER)] {
            for data in [&b"a"[..], &[7; 300]] {
                let body = request(1, tsproxy::SEND_TO_SERVER, &send_to_server(&channel, data));
                let bytes = pdu(REQUEST, FIRST_FRAGMENT | LAST_FRAGMENT, 5, &body, trailer);
                let pdu = read(&bytes);
                let Body::Request { opnum: tsproxy::SEND_TO_SERVER, stub } = pdu.body else {
                    panic!("{pdu:?}")
                };
                assert_eq!(tsproxy::sent_to_server(stub).unwrap(), [data]);
                assert_eq!((pdu.header.call_id, pdu.security.is_some()), (5, trailer.is_some()));
            }
        }
    }

    #[test]
    fn what_fits_is_all_that_fits() {
        for trailer in [None, Some(TRAILER)] {
            let data = vec![0; room_in_request(4088, trailer)];
            let body = request(0, 9, &send_to_server(&[0; CONTEXT_HANDLE], &data));
            let length = pdu(REQUEST, 3, 1, &body, trailer).len();
            assert!((4084..=4088).contains(&length), "{length}");
        }
    }

    #[test]
    fn word_of_what_arrived_is_read_as_such() {
        let ack = flow_control_ack(Destination::OutProxy, 40_000, 0x1_0000, &[3; 16]);
        let rts = Rts::decode(&ack).unwrap();
        assert_eq!(rts.name_from_client(), Some("FlowControlAckWithDestination"));
        assert_eq!(rts.sends_up_to(), Some(([3; 16], 40_000 + 0x1_0000)));
    }
}
