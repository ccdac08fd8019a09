//! A ClientHello as clients of today send it, and what came of it.

use crate::trace::{HelloAnswer, How};
use crate::wire::tls::handshake::message_type;
use crate::wire::tls::names::{TLS_1_2, TLS_1_3, group};
use crate::wire::tls::{Alert, ContentType, HandshakeReader, HelloOffer, RecordReader, ServerHello, dtls};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The suites of TLS 1.3, and those of TLS 1.2 with forward secrecy and without, that servers of RDP are set to.
const SUITES: [u16; 15] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0xc013, 0xc014, 0x009c, 0x009d,
    0x002f, 0x0035,
];
/// Those of RSA and ECDSA with SHA-2, of RSA-PSS, and with SHA-1 for servers of old.
const SIGNATURE_SCHEMES: [u16; 10] =
    [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201, 0x0203];
/// Bytes at the start of a strange answer that are kept.
const TELLING_BYTES: usize = 16;
/// Bytes read of an answer. A ServerHello stands at its start.
const READ_SIZE: usize = 4096;
/// Bytes after which something that has not become a hello no longer will.
const MOST_READ: usize = 64 * 1024;

/// TLS 1.2 and 1.3 without a key share, so that a server of TLS 1.3 asks for one and its answer is small.
pub(super) fn usual(server_name: &str) -> HelloOffer {
    HelloOffer {
        versions: vec![TLS_1_3, TLS_1_2],
        groups: vec![group::X25519, group::SECP256R1, group::SECP384R1],
        ..up_to_tls_1_2(server_name)
    }
}

/// The same in one record of DTLS 1.2.
pub(super) fn usual_dtls(server_name: &str) -> Vec<u8> {
    // A message made here has all the fields that could be missing.
    dtls::client_hello(&up_to_tls_1_2(server_name).message()).unwrap_or_default()
}

fn up_to_tls_1_2(server_name: &str) -> HelloOffer {
    let is_name = server_name.parse::<IpAddr>().is_err();
    HelloOffer {
        legacy_version: TLS_1_2,
        suites: SUITES.to_vec(),
        groups: vec![group::SECP256R1, group::SECP384R1],
        signature_schemes: SIGNATURE_SCHEMES.to_vec(),
        server_name: is_name.then(|| server_name.to_owned()),
        random: rand::random(),
        ..HelloOffer::default()
    }
}

/// Sends `hello` and waits `within` for what comes of it.
pub(super) async fn ask<S>(stream: &mut S, hello: &[u8], within: Duration) -> HelloAnswer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut said = Vec::new();
    let exchanged = tokio::time::timeout(within, exchange(stream, hello, &mut said)).await;
    match (answer(&said), exchanged) {
        (Some(answer), _) => answer,
        (None, _) if !said.is_empty() => other(&said),
        (None, Ok(Err(error))) if error.kind() == io::ErrorKind::ConnectionReset => {
            HelloAnswer::Closed { how: How::Reset }
        }
        (None, Ok(_)) => HelloAnswer::Closed { how: How::Fin },
        (None, Err(_)) => HelloAnswer::Silent,
    }
}

async fn exchange<S>(stream: &mut S, hello: &[u8], said: &mut Vec<u8>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(hello).await?;
    let mut buffer = [0; READ_SIZE];
    while answer(said).is_none() && said.len() < MOST_READ {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => said.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(())
}

/// What `said`, the start of what the server sends, answers; nothing where more is needed.
pub(super) fn answer(mut said: &[u8]) -> Option<HelloAnswer> {
    let whole = said;
    let (mut records, mut messages) = (RecordReader::new(), HandshakeReader::new());
    while let Some(record) = records.next(&mut said) {
        let Ok(record) = record else { return Some(other(whole)) };
        let fragment = record.fragment.unwrap_or_default();
        match record.header.content_type {
            ContentType::Alert => match Alert::decode(&fragment) {
                Ok(alert) if !alert.is_fatal() => {}
                Ok(alert) => return Some(refusal(alert)),
                Err(_) => return Some(other(whole)),
            },
            ContentType::Handshake => match messages.next(&mut fragment.as_slice()) {
                Some(Ok(message)) if message.message_type == message_type::SERVER_HELLO => {
                    let hello = ServerHello::decode(&message.body);
                    return Some(
                        hello.map_or_else(|_| other(whole), |hello| HelloAnswer::Accepted(Box::new(hello))),
                    );
                }
                Some(_) => return Some(other(whole)),
                None => {}
            },
            _ => return Some(other(whole)),
        }
    }
    None
}

/// What a datagram's payload answers to a hello of DTLS.
pub(super) fn dtls_answer(said: &[u8]) -> Option<HelloAnswer> {
    Some(match dtls::answer(said)? {
        dtls::Answer::HelloVerifyRequest => HelloAnswer::CookieRequested,
        dtls::Answer::ServerHello(hello) => HelloAnswer::Accepted(hello),
        dtls::Answer::Alert(alert) => refusal(alert),
    })
}

/// What was said in the place of an answer.
pub(super) fn other(said: &[u8]) -> HelloAnswer {
    HelloAnswer::Other { first_bytes: hex::encode(&said[..said.len().min(TELLING_BYTES)]) }
}

fn refusal(alert: Alert) -> HelloAnswer {
    let name = alert.description_name.map_or_else(|| alert.description.to_string(), |name| name.into_owned());
    HelloAnswer::Alert { description: alert.description, name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

    #[test]
    fn an_address_is_no_server_name() {
        assert_eq!(usual("10.0.0.1").server_name, None);
        assert_eq!(usual("srv10.corp.example").server_name.as_deref(), Some("srv10.corp.example"));
        assert_eq!(usual_dtls("srv10")[..3], [22, 0xFE, 0xFD]);
    }

    #[test]
    fn answers_are_told_apart() {
        assert!(matches!(answer(&ALERT), Some(HelloAnswer::Alert { description: 40, .. })));
        assert_eq!(answer(&ALERT[..6]), None, "the rest may still come");
        let mut warned = vec![21, 3, 3, 0, 2, 1, 112];
        assert_eq!(answer(&warned), None, "a warning is no refusal");
        warned.extend(ALERT);
        assert!(matches!(answer(&warned), Some(HelloAnswer::Alert { description: 40, .. })));
        assert!(matches!(answer(b"HTTP/1.1 400"), Some(HelloAnswer::Other { .. })));
    }

    #[tokio::test]
    async fn a_silent_peer_and_one_that_closes_are_told_apart() {
        let within = Duration::from_millis(50);
        let (mut ours, theirs) = tokio::io::duplex(READ_SIZE);
        assert_eq!(ask(&mut ours, b"hello", within).await, HelloAnswer::Silent);
        drop(theirs);
        let (mut ours, mut theirs) = tokio::io::duplex(READ_SIZE);
        let server = async {
            let mut hello = [0; 5];
            theirs.read_exact(&mut hello).await.unwrap();
            drop(theirs);
        };
        let (answered, ()) = tokio::join!(ask(&mut ours, b"hello", Duration::from_secs(20)), server);
        assert_eq!(answered, HelloAnswer::Closed { how: How::Fin });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = answer(&bytes);
            let _ = dtls_answer(&bytes);
        }

        #[test]
        fn an_answer_does_not_depend_on_what_follows(rest in proptest::collection::vec(any::<u8>(), 0..50)) {
            let mut said = ALERT.to_vec();
            said.extend(rest);
            prop_assert_eq!(answer(&said), answer(&ALERT));
        }
    }
}
