//! Handshake messages of one direction, joined from the fragments of handshake records (RFC 8446 section 4).

use super::super::{Malformed, Reader};
use std::borrow::Cow;

/// HandshakeType, as numbers (RFC 8446 section 4, RFC 5246 section 7.4).
pub mod message_type {
    /// The server asks for a renegotiation (TLS 1.2 and older).
    pub const HELLO_REQUEST: u8 = 0;
    /// What the client offers.
    pub const CLIENT_HELLO: u8 = 1;
    /// What the server chose, or a HelloRetryRequest.
    pub const SERVER_HELLO: u8 = 2;
    /// A ticket for resumption.
    pub const NEW_SESSION_TICKET: u8 = 4;
    /// Encrypted, so never seen without keys (TLS 1.3).
    pub const ENCRYPTED_EXTENSIONS: u8 = 8;
    /// A certificate chain; clear in TLS 1.2 and older.
    pub const CERTIFICATE: u8 = 11;
    /// The server's share of an ephemeral key exchange (TLS 1.2 and older).
    pub const SERVER_KEY_EXCHANGE: u8 = 12;
    /// The server asks for a client certificate.
    pub const CERTIFICATE_REQUEST: u8 = 13;
    /// The end of the server's flight (TLS 1.2 and older).
    pub const SERVER_HELLO_DONE: u8 = 14;
    /// Proof of a certificate's private key.
    pub const CERTIFICATE_VERIFY: u8 = 15;
    /// The client's share of the key exchange (TLS 1.2 and older).
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
    /// The end of a handshake; encrypted.
    pub const FINISHED: u8 = 20;
    /// The revocation status of the server's certificate (OCSP).
    pub const CERTIFICATE_STATUS: u8 = 22;
}

/// The type and length before a body.
const HEADER_LENGTH: usize = 4;
/// The longest body that is joined. Certificate chains of RDP servers are below 10 KiB; anything beyond this is no
/// handshake a client would finish.
pub const MAXIMUM_BODY_LENGTH: usize = 128 * 1024;

/// One handshake message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeMessage {
    /// HandshakeType; see [`message_type`].
    pub message_type: u8,
    /// The message without its header.
    pub body: Vec<u8>,
}

impl HandshakeMessage {
    /// The name in the RFC, `"client_hello"`; an unknown type as its number.
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self.message_type {
            message_type::HELLO_REQUEST => "hello_request",
            message_type::CLIENT_HELLO => "client_hello",
            message_type::SERVER_HELLO => "server_hello",
            message_type::NEW_SESSION_TICKET => "new_session_ticket",
            message_type::ENCRYPTED_EXTENSIONS => "encrypted_extensions",
            message_type::CERTIFICATE => "certificate",
            message_type::SERVER_KEY_EXCHANGE => "server_key_exchange",
            message_type::CERTIFICATE_REQUEST => "certificate_request",
            message_type::SERVER_HELLO_DONE => "server_hello_done",
            message_type::CERTIFICATE_VERIFY => "certificate_verify",
            message_type::CLIENT_KEY_EXCHANGE => "client_key_exchange",
            message_type::FINISHED => "finished",
            message_type::CERTIFICATE_STATUS => "certificate_status",
            other => return Cow::Owned(other.to_string()),
        })
    }
}

/// Joins fragments of handshake records into messages.
#[derive(Debug, Clone, Default)]
pub struct HandshakeReader {
    /// Header and body of the message under way.
    buffer: Vec<u8>,
    broken: bool,
}

impl HandshakeReader {
    /// A reader at the start of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next message that ends within `fragment`, which advances past what was read. `None`: all of it was read.
    /// A message longer than [`MAXIMUM_BODY_LENGTH`] is an error, given once; afterwards nothing is answered.
    pub fn next(&mut self, fragment: &mut &[u8]) -> Option<Result<HandshakeMessage, Malformed>> {
        if self.broken {
            *fragment = &[];
            return None;
        }
        self.fill(HEADER_LENGTH, fragment);
        let (message_type, length) = self.header()?;
        if length > MAXIMUM_BODY_LENGTH {
            self.broken = true;
            self.buffer = Vec::new();
            return Some(Err(Malformed::new("Handshake", 1, "longer than any message this program joins")));
        }
        self.fill(HEADER_LENGTH + length, fragment);
        if self.buffer.len() < HEADER_LENGTH + length {
            return None;
        }
        // Given away, so that a session that runs for hours does not keep the room of its certificates.
        let mut body = std::mem::take(&mut self.buffer);
        body.drain(..HEADER_LENGTH);
        Some(Ok(HandshakeMessage { message_type, body }))
    }

    /// The message that has begun and not ended: type, length of its body, bytes of it so far.
    pub fn unfinished(&self) -> Option<(u8, usize, usize)> {
        let (message_type, length) = self.header()?;
        Some((message_type, length, self.buffer.len() - HEADER_LENGTH))
    }

    fn header(&self) -> Option<(u8, usize)> {
        match *self.buffer.get(..HEADER_LENGTH)? {
            [message_type, a, b, c] => Some((message_type, u32::from_be_bytes([0, a, b, c]) as usize)),
            _ => None,
        }
    }

    /// Moves bytes of `fragment` to the buffer until that holds `wanted` bytes.
    fn fill(&mut self, wanted: usize, fragment: &mut &[u8]) {
        let missing = wanted.saturating_sub(self.buffer.len());
        let (part, rest) = fragment.split_at(missing.min(fragment.len()));
        self.buffer.extend_from_slice(part);
        *fragment = rest;
    }
}

/// The DER certificates of a Certificate message of TLS 1.2 and older, the server's own first (RFC 5246 section
/// 7.4.2). What follows a broken length is left out; an error only where not even the list begins.
pub fn certificate_list(body: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = Reader::new("Certificate", body);
    let declared = reader.u24_be()? as usize;
    let mut list = Reader::new("certificate_list", reader.take(declared.min(reader.remaining()))?);
    let mut certificates = Vec::new();
    while let Ok(length) = list.u24_be() {
        match list.take(length as usize) {
            Ok(certificate) => certificates.push(certificate),
            Err(malformed) if certificates.is_empty() => return Err(malformed),
            Err(_) => break,
        }
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tls::{ContentType, RecordReader};
    use proptest::prelude::*;

    fn join(reader: &mut HandshakeReader, mut fragment: &[u8]) -> Vec<Result<HandshakeMessage, Malformed>> {
        let mut messages = Vec::new();
        while let Some(message) = reader.next(&mut fragment) {
            messages.push(message);
        }
        assert!(fragment.is_empty());
        messages
    }

    #[test]
    fn joins_messages_across_records_and_splits_a_record_with_several() {
        let mut reader = HandshakeReader::new();
        assert_eq!(join(&mut reader, &[2, 0, 0]), []);
        assert_eq!(reader.unfinished(), None);
        assert_eq!(join(&mut reader, &[3, 7]), []);
        assert_eq!(reader.unfinished(), Some((2, 3, 1)));
        let messages = join(&mut reader, &[8, 9, 14, 0, 0, 0, 20, 0, 0, 1, 5]);
        let messages: Vec<_> = messages.into_iter().map(Result::unwrap).collect();
        assert_eq!(messages[0], HandshakeMessage { message_type: 2, body: vec![7, 8, 9] });
        assert_eq!(messages[1], HandshakeMessage { message_type: 14, body: vec![] });
        assert_eq!(messages[2].name(), "finished");
        assert_eq!(reader.unfinished(), None);
    }

    #[test]
    fn a_length_beyond_reason_ends_it_without_buffering() {
        let mut reader = HandshakeReader::new();
        assert_eq!(join(&mut reader, &[11, 0xff, 0xff, 0xff, 1, 2, 3]).len(), 1);
        assert_eq!(join(&mut reader, &[2, 0, 0, 0]), []);
    }

    #[test]
    fn certificates_before_a_break_are_kept() {
        assert_eq!(certificate_list(&[0, 0, 9, 0, 0, 2, 1, 2, 0, 0, 1, 3]).unwrap(), [&[1u8, 2][..], &[3]]);
        assert_eq!(certificate_list(&[0, 0, 20, 0, 0, 2, 1, 2, 0, 0, 9, 3]).unwrap(), [&[1u8, 2]]);
        assert_eq!(certificate_list(&[0, 0, 0]).unwrap(), Vec::<&[u8]>::new());
        assert!(certificate_list(&[0, 0]).is_err());
        assert!(certificate_list(&[0, 0, 4, 0, 0, 9, 1]).is_err());
    }

    /// Handshake messages out of a stream of records that arrives in `chunks`.
    fn messages_of(chunks: &[&[u8]]) -> Vec<Result<HandshakeMessage, Malformed>> {
        let (mut records, mut handshake) = (RecordReader::new(), HandshakeReader::new());
        let mut messages = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(record) = records.next(&mut input) {
                match record {
                    Ok(record) if record.header.content_type == ContentType::Handshake => {
                        messages.extend(join(&mut handshake, &record.fragment.unwrap()));
                    }
                    Ok(_) => {}
                    Err(malformed) => messages.push(Err(malformed)),
                }
            }
        }
        messages
    }

    /// A stream of records whose handshake records hold `messages` cut in pieces of `fragment` bytes.
    fn stream(messages: &[(u8, Vec<u8>)], fragment: usize) -> Vec<u8> {
        let mut plain = Vec::new();
        for (message_type, body) in messages {
            let [_, a, b, c] = u32::try_from(body.len()).unwrap().to_be_bytes();
            plain.extend([*message_type, a, b, c]);
            plain.extend(body);
        }
        let mut stream = Vec::new();
        for piece in plain.chunks(fragment) {
            stream.extend([22, 3, 3, 0, u8::try_from(piece.len()).unwrap()]);
            stream.extend(piece);
            stream.extend([23, 3, 3, 0, 2, 0, 0]);
        }
        stream
    }

    proptest! {
        #[test]
        fn any_chunking_and_any_fragmentation_give_the_same_messages(
            messages in proptest::collection::vec(
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..90)), 0..6),
            fragment in 1usize..120,
            chunk in 1usize..50,
        ) {
            let stream = stream(&messages, fragment);
            let expected: Vec<_> = messages
                .into_iter()
                .map(|(message_type, body)| Ok(HandshakeMessage { message_type, body }))
                .collect();
            prop_assert_eq!(messages_of(&[&stream]), expected.clone());
            prop_assert_eq!(messages_of(&stream.chunks(chunk).collect::<Vec<_>>()), expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), chunk in 1usize..50) {
            let _ = certificate_list(&bytes);
            let whole = join(&mut HandshakeReader::new(), &bytes);
            let mut reader = HandshakeReader::new();
            let pieces: Vec<_> = bytes.chunks(chunk).flat_map(|piece| join(&mut reader, piece)).collect();
            prop_assert_eq!(whole, pieces);
        }
    }
}
