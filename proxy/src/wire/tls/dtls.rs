//! The first two messages of DTLS 1.2 (RFC 6347): enough to see whether somebody speaks it.

use super::super::{Malformed, Reader};
use super::handshake::message_type;
use super::{Alert, ServerHello};

/// DTLS 1.2 as it stands on the wire.
const DTLS_1_2: u16 = 0xFEFD;
/// ContentType alert and handshake.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// HandshakeType hello_verify_request (section 4.2.1).
const HELLO_VERIFY_REQUEST: u8 = 3;
/// Bytes of a handshake message's type and length, of legacy_version and of random.
const TLS_HEADER_LENGTH: usize = 4;
const VERSION_LENGTH: usize = 2;
const RANDOM_LENGTH: usize = 32;

/// What a server says to a ClientHello.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// HelloVerifyRequest: the hello is to be repeated with a cookie.
    HelloVerifyRequest,
    /// ServerHello.
    ServerHello(Box<ServerHello>),
    /// An alert.
    Alert(Alert),
}

/// One record with the ClientHello that `message`, one of TLS with its header, has for DTLS: no cookie yet.
pub fn client_hello(message: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new("ClientHello", message);
    reader.take(TLS_HEADER_LENGTH + VERSION_LENGTH)?;
    let random = reader.take(RANDOM_LENGTH)?;
    let session_id_length = reader.u8()?;
    let session_id = reader.take(usize::from(session_id_length))?;
    let mut body = DTLS_1_2.to_be_bytes().to_vec();
    body.extend(random);
    body.push(session_id_length);
    body.extend(session_id);
    body.push(0);
    body.extend(reader.rest());
    let length = u16::try_from(body.len() + 12).map_err(|_| reader.malformed("is longer than a record"))?;
    let body_length = &(u32::from(length) - 12).to_be_bytes()[1..];

    let mut record = vec![HANDSHAKE];
    record.extend(DTLS_1_2.to_be_bytes());
    // epoch and sequence_number: the first record of the connection.
    record.extend([0; 8]);
    record.extend(length.to_be_bytes());
    record.push(message_type::CLIENT_HELLO);
    record.extend(body_length);
    // message_seq and fragment_offset: the first message, whole.
    record.extend([0; 5]);
    record.extend(body_length);
    record.extend(body);
    Ok(record)
}

/// Reads the record at the start of what came back; nothing where it is none of those.
pub fn answer(bytes: &[u8]) -> Option<Answer> {
    let mut reader = Reader::new("DTLSPlaintext", bytes);
    let content_type = reader.u8().ok()?;
    let version = reader.u16_be().ok()?;
    reader.take(8).ok()?;
    let length = reader.u16_be().ok()?;
    let fragment = reader.take(usize::from(length)).ok()?;
    match (version >> 8, content_type) {
        (0xFE, ALERT) => Alert::decode(fragment).ok().map(Answer::Alert),
        (0xFE, HANDSHAKE) => hello(fragment),
        _ => None,
    }
}

fn hello(fragment: &[u8]) -> Option<Answer> {
    let mut reader = Reader::new("Handshake", fragment);
    let kind = reader.u8().ok()?;
    // length, message_seq, fragment_offset, fragment_length.
    reader.take(11).ok()?;
    match kind {
        HELLO_VERIFY_REQUEST => Some(Answer::HelloVerifyRequest),
        message_type::SERVER_HELLO => {
            ServerHello::decode(reader.rest()).ok().map(|hello| Answer::ServerHello(Box::new(hello)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hello_keeps_its_fields_and_gets_an_empty_cookie() {
        let mut message = vec![1, 0, 0, 41, 3, 3];
        message.extend([7; 32]);
        message.extend([0, 0, 2, 0xC0, 0x2F, 1, 0]);
        let record = client_hello(&message).unwrap();
        assert_eq!(record[..3], [22, 0xFE, 0xFD]);
        assert_eq!(usize::from(u16::from_be_bytes([record[11], record[12]])), record.len() - 13);
        assert_eq!(record[13..25], [1, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 42]);
        assert_eq!(record[25..27], [0xFE, 0xFD]);
        assert_eq!(record[59..], [0, 0, 0, 2, 0xC0, 0x2F, 1, 0]);
    }

    #[test]
    fn answers_are_told_apart() {
        let record = |content_type: u8, fragment: &[u8]| {
            let mut record = vec![content_type, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, fragment.len() as u8];
            record.extend(fragment);
            record
        };
        assert_eq!(
            answer(&record(22, &[3, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0xFE, 0xFF, 0])),
            Some(Answer::HelloVerifyRequest)
        );
        assert!(
            matches!(answer(&record(21, &[2, 40])), Some(Answer::Alert(alert)) if alert.description == 40)
        );
        assert_eq!(answer(b"\x16\x03\x01\x00\x05hello"), None);
        assert_eq!(answer(&record(22, &[3])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = answer(&bytes);
            let _ = client_hello(&bytes);
        }
    }
}
