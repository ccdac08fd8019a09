//! Connections of suites and versions that the TLS library of this program does not speak, recorded with another: three
//! lines of the client, each sent back in reverse.

use super::*;
use crate::capture::tls::Misfit;
use proptest::prelude::*;

const SESSIONS: &str = include_str!("recorded.txt");
/// Of the server in all of them; made for these recordings, PKCS #1 in PEM.
const PRIVATE_KEY: &str = include_str!("recorded.key.pem");

struct Session {
    name: &'static str,
    wire: Vec<(Side, Vec<u8>)>,
    key_log: String,
}

fn sessions() -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for line in SESSIONS.lines() {
        let (word, rest) = line.split_once(' ').unwrap();
        match (word, sessions.last_mut()) {
            ("session", _) => {
                sessions.push(Session { name: rest, wire: Vec::new(), key_log: String::new() });
            }
            ("client", Some(session)) => session.wire.push((Side::Client, hex::decode(rest).unwrap())),
            ("server", Some(session)) => session.wire.push((Side::Server, hex::decode(rest).unwrap())),
            ("secret", Some(session)) => session.key_log = rest.to_owned(),
            _ => {}
        }
    }
    sessions
}

/// The version and the suite by which a session is named.
fn is_named(session: &Session, status: &Decryption) -> bool {
    let words: Vec<&str> = session.name.split(' ').take(2).collect();
    status.to_string() == format!("decrypted, {}", words.join(" with "))
}

fn said() -> [Vec<u8>; 2] {
    let lines = [b"x".to_vec(), b"seventeen bytes!!".to_vec(), b"a longer message ".repeat(12)];
    let reversed = lines.clone().map(|line| line.into_iter().rev().collect::<Vec<u8>>());
    [lines.concat(), reversed.concat()]
}

fn by_key_log(session: &Session) -> Arc<Secrets> {
    let secrets = Arc::new(Secrets::new());
    assert_eq!(secrets.add_key_log(session.key_log.as_bytes()).taken, 1);
    secrets
}

fn by_private_key(key: &[u8]) -> Arc<Secrets> {
    let secrets = Arc::new(Secrets::new());
    secrets.add_rsa_key(key).unwrap();
    secrets
}

#[test]
fn each_is_read_by_its_key_log_and_by_the_private_key() {
    let mut read_sessions = 0;
    for session in sessions() {
        for secrets in [by_key_log(&session), by_private_key(PRIVATE_KEY.as_bytes())] {
            let (stream, items) = read(&secrets, &session.wire);
            assert!(is_named(&session, &stream.status()), "{}: {}", session.name, stream.status());
            assert_eq!(plaintext(&items), said(), "{}", session.name);
            for sizes in [&[1][..], &[3, 1000, 5]] {
                assert_eq!(read_in(&secrets, &session.wire, sizes).1, items, "{}", session.name);
            }
            read_sessions += 1;
        }
    }
    assert_eq!(read_sessions, 24);
}

#[test]
fn another_private_key_is_named() {
    let other = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 1024).unwrap();
    use rsa::pkcs8::EncodePrivateKey as _;
    let other = by_private_key(other.to_pkcs8_der().unwrap().as_bytes());
    for session in &sessions() {
        let status = read(&other, &session.wire).0.status();
        assert_eq!(status, Decryption::SecretsDoNotFit { reason: Misfit::OtherPrivateKey });
    }
}

#[test]
fn every_byte_of_a_record_is_authenticated() {
    for session in &sessions() {
        let secrets = by_key_log(session);
        let mut wire = session.wire.clone();
        let place =
            wire.iter().rposition(|(side, bytes)| *side == Side::Server && bytes.len() > 200).unwrap();
        let items = read(&secrets, &wire).1;
        let whole = plaintext(&items);
        for changed in (5..wire[place].1.len()).step_by(7) {
            wire[place].1[changed] ^= 0x40;
            let changed_items = read(&secrets, &wire).1;
            let [client, server] = plaintext(&changed_items);
            assert!(client == whole[0] && whole[1].starts_with(&server), "{} {changed}", session.name);
            assert!(changed_items != items, "{} {changed}", session.name);
            wire[place].1[changed] ^= 0x40;
        }
    }
}

#[test]
fn a_private_key_is_taken_in_every_form() {
    use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _};
    use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
    let key = rsa::RsaPrivateKey::from_pkcs1_pem(PRIVATE_KEY).unwrap();
    let forms = [
        key.to_pkcs1_der().unwrap().as_bytes().to_vec(),
        key.to_pkcs8_der().unwrap().as_bytes().to_vec(),
        key.to_pkcs8_pem(LineEnding::CRLF).unwrap().as_bytes().to_vec(),
        [b"a certificate may stand before it\n", PRIVATE_KEY.as_bytes()].concat(),
    ];
    for form in forms {
        let session = &sessions()[0];
        assert_eq!(plaintext(&read(&by_private_key(&form), &session.wire).1), said());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_is_changed_what_comes_out_was_said(
        session in any::<proptest::sample::Index>(),
        piece in any::<proptest::sample::Index>(),
        place in any::<proptest::sample::Index>(),
        change in 1_u8..,
        by_key in any::<bool>(),
    ) {
        let mut sessions = sessions();
        let session = session.get_mut(&mut sessions);
        let secrets =
            if by_key { by_private_key(PRIVATE_KEY.as_bytes()) } else { by_key_log(session) };
        let bytes = &mut piece.get_mut(&mut session.wire).1;
        *place.get_mut(bytes) ^= change;
        let (_, items) = read(&secrets, &session.wire);
        prop_assert_eq!(&read_in(&secrets, &session.wire, &[1, 600, 17]).1, &items);
        let (said, sides) = (said(), plaintext(&items));
        prop_assert!(said[0].starts_with(&sides[0]) && said[1].starts_with(&sides[1]));
    }
}
