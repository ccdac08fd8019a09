use super::*;
use proptest::prelude::*;

fn record(content_type: u8, fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
    [&[content_type, 3, 3], &length[..], fragment].concat()
}

fn message(message_type: u8, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[message_type, a, b, c], body].concat()
}

fn server_hello(suite: [u8; 2]) -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &[0], &suite, &[0]].concat();
    message(message_type::SERVER_HELLO, &body)
}

/// A whole flight of TLS 1.2 with ECDHE over x25519, in one record as Windows sends it.
fn flight() -> Vec<u8> {
    let share = [&[3, 0, 29, 32][..], &[9; 32], &[8, 4, 0, 2, 1, 1]].concat();
    let messages = [
        server_hello([0xc0, 0x30]),
        message(message_type::CERTIFICATE, &[0, 0, 0]),
        message(message_type::SERVER_KEY_EXCHANGE, &share),
        message(message_type::SERVER_HELLO_DONE, &[]),
    ];
    record(22, &messages.concat())
}

fn read(chunks: &[&[u8]], until: Until, how: Option<How>) -> Answered {
    let mut reader = AnswerReader::new(until);
    chunks.iter().find_map(|chunk| reader.push(chunk)).unwrap_or_else(|| reader.end(how))
}

fn suite(answered: &Answered) -> Option<u16> {
    match &answered.answer {
        HelloAnswer::Accepted(hello) => Some(hello.cipher_suite.id),
        _ => None,
    }
}

#[test]
fn a_flight_is_read_as_far_as_it_is_wanted() {
    let flight = flight();
    let answered = read(&[&flight], Until::Hello, None);
    assert_eq!((suite(&answered), &answered.key_exchange), (Some(0xc030), &None));
    let answered = read(&[&flight], Until::KeyExchange, None);
    assert_eq!(answered.key_exchange.unwrap().named_curve.unwrap().to_string(), "x25519");
    let rsa = record(22, &server_hello([0, 0x2f]));
    assert_eq!(suite(&read(&[&rsa], Until::KeyExchange, None)), Some(0x2f), "there is nothing to wait for");
    let lost = record(22, &server_hello([0xc0, 0x30]));
    let answered = read(&[&lost], Until::KeyExchange, None);
    assert_eq!((suite(&answered), answered.key_exchange), (Some(0xc030), None), "the rest was lost");
}

#[test]
fn refusals_are_told_apart() {
    let fatal = record(21, &[2, 40]);
    let name = "handshake_failure".to_owned();
    let refused = HelloAnswer::Alert { description: 40, name };
    assert_eq!(read(&[&fatal], Until::Hello, None).answer, refused);
    let closed = |how| HelloAnswer::Closed { how };
    assert_eq!(read(&[], Until::Hello, Some(How::Reset)).answer, closed(How::Reset));
    assert_eq!(read(&[], Until::Hello, None).answer, HelloAnswer::Silent);
    assert_eq!(read(&[&record(21, &[1, 0])], Until::Hello, Some(How::Fin)).answer, closed(How::Fin));
    let unrecognized = HelloAnswer::Alert { description: 112, name: "unrecognized_name".to_owned() };
    let warning = record(21, &[1, 112]);
    assert_eq!(read(&[&warning], Until::Hello, Some(How::Fin)).answer, unrecognized);
    assert_eq!(
        suite(&read(&[&warning, &flight()], Until::Hello, None)),
        Some(0xc030),
        "a warning refuses nothing"
    );
}

#[test]
fn half_a_server_hello_is_none() {
    let half = &flight()[..20];
    assert_eq!(read(&[half], Until::Hello, None).answer, HelloAnswer::Silent);
    assert_eq!(read(&[half], Until::Hello, Some(How::Fin)).answer, HelloAnswer::Closed { how: How::Fin });
    let cut_short = record(22, &message(message_type::SERVER_HELLO, &[3, 3, 7]));
    let first_bytes = hex::encode(&cut_short);
    assert_eq!(read(&[&cut_short], Until::Hello, None).answer, HelloAnswer::Other { first_bytes });
}

#[test]
fn what_is_no_tls_is_shown_by_its_first_bytes() {
    let answered = read(&[b"HT", b"TP/1.1 400 Bad Request"], Until::Hello, None);
    assert_eq!(answered.answer, HelloAnswer::Other { first_bytes: hex::encode("HT") });
    let answered = read(&[b"\x16\x03\x03\x00\x04\x0e\0\0\0 and so on and on"], Until::Hello, None);
    assert_eq!(
        answered.answer,
        HelloAnswer::Other { first_bytes: "16030300040e00000020616e6420736f".to_owned() }
    );
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_answer(
        bytes in prop_oneof![
            Just(flight()),
            Just([record(21, &[1, 112]), flight()].concat()),
            Just(record(21, &[2, 70])),
            (0usize..120).prop_map(|length| flight()[..length.min(flight().len())].to_vec()),
            proptest::collection::vec((20u8..24, proptest::collection::vec(any::<u8>(), 0..40)), 0..5)
                .prop_map(|records| records.iter().flat_map(|(kind, body)| record(*kind, body)).collect()),
        ],
        chunk in 1usize..60,
        key_exchange in any::<bool>(),
    ) {
        let until = if key_exchange { Until::KeyExchange } else { Until::Hello };
        let whole = read(&[&bytes], until, Some(How::Fin));
        let pieces = read(&bytes.chunks(chunk).collect::<Vec<_>>(), until, Some(How::Fin));
        let same = matches!((&whole.answer, &pieces.answer), (HelloAnswer::Other { .. }, HelloAnswer::Other { .. }));
        prop_assert!(same || whole == pieces, "{whole:?} {pieces:?}");
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&[&bytes], Until::KeyExchange, None);
    }
}
