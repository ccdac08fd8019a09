//! Bytes that break TLS, captures with holes, and key logs that are none.

use super::*;
use crate::capture::tls::{Hole, RsaKeyError};
use proptest::prelude::*;
use rustls::version::{TLS12, TLS13};
use std::sync::LazyLock;

static RECORDED: LazyLock<[(Arc<Secrets>, Recorded); 2]> = LazyLock::new(|| {
    [&TLS12, &TLS13].map(|version| {
        let peers = Peers::new(&Choice::new(version));
        let mut session = peers.connect();
        session.talk();
        (peers.secrets(), session.close())
    })
});

/// The number of the first record of `from` that holds application data.
fn place_of_last_record(recorded: &Recorded, from: Side) -> usize {
    recorded.wire.iter().rposition(|(side, bytes)| *side == from && bytes.len() > 1000).unwrap()
}

#[test]
fn a_record_that_was_changed_is_named_and_ends_its_side_alone() {
    for (secrets, recorded) in &*RECORDED {
        let mut recorded = recorded.clone();
        let place = place_of_last_record(&recorded, Side::Client);
        let last = recorded.wire[place].1.len() - 1;
        recorded.wire[place].1[last] ^= 1;
        let (stream, items) = read(secrets, &recorded.wire);
        let Decryption::Broken { record, reason } = stream.status_of(Side::Client) else {
            panic!("{stream:?}");
        };
        assert!(record > 3 && reason.starts_with("does not authenticate"), "{record} {reason}");
        let why = Decryption::Broken { record, reason }.to_string();
        assert!(items.contains(&Opened::Unreadable { from: Side::Client, reason: why }));
        let [client, server] = plaintext(&items);
        assert!(client.len() < recorded.inside[0].len() && recorded.inside[0].starts_with(&client));
        assert_eq!(server, recorded.inside[1]);
    }
}

#[test]
fn a_hole_ends_its_side_alone() {
    for (secrets, recorded) in &*RECORDED {
        let (mut stream, mut items) = (TlsStream::new(Arc::clone(secrets)), Vec::new());
        for (place, (from, bytes)) in recorded.wire.iter().enumerate() {
            if place == place_of_last_record(recorded, Side::Server) {
                stream.lost(Side::Server, &mut items);
                stream.lost(Side::Server, &mut items);
            }
            stream.data(*from, bytes, &mut items);
        }
        let lost = Decryption::Incomplete { hole: Hole::Bytes };
        assert_eq!(stream.status(), lost);
        let told = items.iter().filter(|item| matches!(item, Opened::Unreadable { .. }));
        let lost = lost.to_string();
        assert_eq!(told.collect::<Vec<_>>(), [&Opened::Unreadable { from: Side::Server, reason: lost }]);
        assert_eq!(plaintext(&items)[0], recorded.inside[0]);
        assert!(recorded.inside[1].starts_with(&plaintext(&items)[1]));
    }
}

#[test]
fn a_capture_that_begins_in_the_middle_cannot_be_read() {
    for (secrets, recorded) in &*RECORDED {
        let begun = recorded.wire.iter().position(|(_, bytes)| bytes[0] == 23).unwrap();
        let (stream, items) = read(secrets, &recorded.wire[begun..]);
        assert_eq!(stream.status(), Decryption::Incomplete { hole: Hole::Handshake });
        assert_eq!(plaintext(&items), [Vec::<u8>::new(), Vec::new()]);
        assert_eq!(plaintext(&items).concat(), b"");
    }
}

#[test]
fn what_is_no_tls_is_named_at_once() {
    let (stream, _) = read(&Arc::default(), &[(Side::Client, b"GET / HTTP/1.1\r\n".to_vec())]);
    let status = stream.status();
    assert_eq!(status, Decryption::Broken { record: 1, reason: "unknown content type" });
    assert_eq!(status.to_string(), "decrypted no further: record 1 of this side: unknown content type");
}

#[test]
fn a_flood_of_empty_records_costs_nothing() {
    let flood = [22, 3, 3, 0, 0].repeat(100_000);
    let (stream, items) = read(&Arc::default(), &[(Side::Client, flood)]);
    assert_eq!((stream.status(), items), (Decryption::NotYet, Vec::new()));
}

#[test]
fn an_oversized_record_is_named() {
    let (stream, _) = read(&Arc::default(), &[(Side::Server, vec![22, 3, 3, 0x48, 1])]);
    let reason = "longer than any record may be";
    assert_eq!(stream.status(), Decryption::Broken { record: 1, reason });
}

#[test]
fn garbage_in_a_key_log_is_counted_and_passed_over() {
    let random = "11".repeat(32);
    let text = format!(
        "\u{feff}# comment\r\n\r\nCLIENT_RANDOM {random} {}\r\nCLIENT_RANDOM {random} 00\nnonsense\nRSA 00 11\n\
         EXPORTER_SECRET {random} 22\nCLIENT_TRAFFIC_SECRET_1 {random} 22\nRSA 0011223344556677 {}\nRSA Session-ID:0a Master-Key:{}\n\
         CLIENT_TRAFFIC_SECRET_0 {random} zz\nCLIENT_RANDOM {random}",
        "22".repeat(48),
        "33".repeat(48),
        "44".repeat(48),
    );
    let secrets = Secrets::new();
    assert!(secrets.is_empty());
    let outcome = secrets.add_key_log(text.as_bytes());
    assert!(!secrets.is_empty());
    assert_eq!((outcome.taken, outcome.not_needed, outcome.not_understood), (3, 2, 5));
    assert_eq!(outcome.first_not_understood, Some(4));
}

#[test]
fn a_private_key_that_cannot_help_is_refused_with_the_reason() {
    let secrets = Secrets::new();
    let refused = |bytes: &[u8]| secrets.add_rsa_key(bytes).unwrap_err();
    assert_eq!(refused(b""), RsaKeyError::NoPrivateKey);
    assert_eq!(refused(b"CLIENT_RANDOM 00 11"), RsaKeyError::NoPrivateKey);
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    assert_eq!(refused(certificate.cert.pem().as_bytes()), RsaKeyError::NoPrivateKey);
    assert_eq!(refused(certificate.signing_key.serialize_pem().as_bytes()), RsaKeyError::NotRsa);
    assert_eq!(refused(&certificate.signing_key.serialize_der()), RsaKeyError::NotRsa);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(refused(encrypted.as_bytes()), RsaKeyError::Encrypted);
    assert!(secrets.is_empty());
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![1_usize..20, 1_usize..5000], 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_panic_and_pieces_do_not_matter(
        wire in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..600)), 0..6),
        sizes in sizes(),
    ) {
        let side = |client: bool| if client { Side::Client } else { Side::Server };
        let wire: Vec<_> = wire.into_iter().map(|(client, bytes)| (side(client), bytes)).collect();
        let secrets = &RECORDED[0].0;
        prop_assert_eq!(read(secrets, &wire).1, read_in(secrets, &wire, &sizes).1);
    }

    #[test]
    fn whatever_is_changed_what_comes_out_was_said(
        which in 0_usize..2,
        piece in any::<proptest::sample::Index>(),
        place in any::<proptest::sample::Index>(),
        change in 1_u8..,
        sizes in sizes(),
    ) {
        let (secrets, recorded) = &RECORDED[which];
        let mut wire = recorded.wire.clone();
        let bytes = &mut piece.get_mut(&mut wire).1;
        *place.get_mut(bytes) ^= change;
        let (_, items) = read(secrets, &wire);
        prop_assert_eq!(&read_in(secrets, &wire, &sizes).1, &items);
        let sides = plaintext(&items);
        prop_assert!(recorded.inside[0].starts_with(&sides[0]) && recorded.inside[1].starts_with(&sides[1]));
    }

    #[test]
    fn whatever_is_missing_what_comes_out_was_said(
        which in 0_usize..2,
        piece in any::<proptest::sample::Index>(),
        from in any::<proptest::sample::Index>(),
        to in any::<proptest::sample::Index>(),
    ) {
        let (secrets, recorded) = &RECORDED[which];
        let mut wire = recorded.wire.clone();
        let bytes = &mut piece.get_mut(&mut wire).1;
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        bytes.drain(from.min(to)..from.max(to));
        let sides = plaintext(&read(secrets, &wire).1);
        prop_assert!(recorded.inside[0].starts_with(&sides[0]) && recorded.inside[1].starts_with(&sides[1]));
    }

    #[test]
    fn no_key_log_or_private_key_panics(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        let secrets = Secrets::new();
        let outcome = secrets.add_key_log(&text);
        prop_assert!(outcome.taken == 0 && secrets.add_rsa_key(&text).is_err() && secrets.is_empty());
    }
}
