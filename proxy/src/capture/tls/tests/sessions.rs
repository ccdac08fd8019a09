//! Every version, suite and turn that the TLS library of this program knows.

use super::*;
use crate::capture::tls::Misfit;
use rustls::SupportedCipherSuite::{Tls12, Tls13};
use rustls::version::{TLS12, TLS13};

fn closing_alerts(items: &[Opened]) -> Vec<(Side, u8)> {
    let of_alert = |item: &Opened| match item {
        Opened::Alert { from, alert } => Some((*from, alert.description)),
        _ => None,
    };
    items.iter().filter_map(of_alert).collect()
}

#[test]
fn every_suite_of_both_versions() {
    let mut suites = 0;
    for suite in ring::ALL_CIPHER_SUITES {
        let (version, is_usable) = match suite {
            Tls13(_) => (&TLS13, true),
            // The certificate's key is ECDSA.
            Tls12(suite) => (&TLS12, format!("{:?}", suite.common.suite).contains("ECDSA")),
        };
        if !is_usable {
            continue;
        }
        let peers = Peers::new(&Choice { suites: vec![*suite], ..Choice::new(version) });
        let mut session = peers.connect();
        session.talk();
        let items = assert_read(&peers.secrets(), &session.close());
        assert_eq!(closing_alerts(&items), [(Side::Client, 0), (Side::Server, 0)]);
        suites += 1;
    }
    assert_eq!(suites, 6);
}

#[test]
fn certificates_of_both_sides_come_out_of_tls_1_3() {
    let peers = Peers::new(&Choice { client_certificate: true, ..Choice::new(&TLS13) });
    let mut session = peers.connect();
    session.talk();
    let items = assert_read(&peers.secrets(), &session.close());
    let senders: Vec<(Side, usize)> = items
        .iter()
        .filter_map(|item| match item {
            Opened::Certificate { from, chain } => Some((*from, chain.len())),
            _ => None,
        })
        .collect();
    assert_eq!(senders, [(Side::Server, 1), (Side::Client, 1)]);
    let chain = vec![peers.server_certificate.clone()];
    assert!(items.contains(&Opened::Certificate { from: Side::Server, chain }));
}

#[test]
fn clear_certificates_of_tls_1_2_are_not_told_again() {
    let peers = Peers::new(&Choice { client_certificate: true, ..Choice::new(&TLS12) });
    let mut session = peers.connect();
    session.talk();
    let items = assert_read(&peers.secrets(), &session.close());
    assert!(!items.iter().any(|item| matches!(item, Opened::Certificate { .. })));
}

#[test]
fn a_hello_retry_request_comes_before_the_keys() {
    let server_groups = vec![ring::kx_group::SECP384R1];
    let peers = Peers::new(&Choice { server_groups, ..Choice::new(&TLS13) });
    let mut session = peers.connect();
    session.talk();
    let recorded = session.close();
    let hellos = recorded.wire.iter().filter(|(from, _)| *from == Side::Client).take(2);
    assert!(hellos.map(|(_, bytes)| bytes).all(|bytes| bytes.windows(2).any(|two| two == [1, 0])));
    assert_read(&peers.secrets(), &recorded);
}

#[test]
fn keys_are_updated_by_either_side() {
    let peers = Peers::new(&Choice::new(&TLS13));
    let mut session = peers.connect();
    session.talk();
    for _ in 0..3 {
        session.client.refresh_traffic_keys().unwrap();
        session.send(Side::Client, b"under the client's next keys");
        session.server.refresh_traffic_keys().unwrap();
        session.send(Side::Server, b"under the server's next keys");
    }
    assert_read(&peers.secrets(), &session.close());
}

#[test]
fn early_data_is_read_where_the_log_has_its_secret() {
    let peers = Peers::new(&Choice { early_data: true, tickets: false, ..Choice::new(&TLS13) });
    peers.connect().talk();
    let mut first = peers.connect();
    first.talk();
    drop(first.close());

    let mut session = peers.connect();
    session.client.early_data().unwrap().write_all(b"early").unwrap();
    session.recorded.inside[Side::Client.index()].extend_from_slice(b"early");
    session.talk();
    assert!(session.client.is_early_data_accepted());
    let recorded = session.close();
    assert_read(&peers.secrets(), &recorded);

    let log = peers.log.0.lock().unwrap().clone();
    let without_early: Vec<&str> = log.lines().filter(|line| !line.contains("EARLY")).collect();
    let secrets = Arc::new(Secrets::new());
    secrets.add_key_log(without_early.join("\n").as_bytes());
    let (stream, items) = read(&secrets, &recorded.wire);
    assert_eq!(plaintext(&items)[0], recorded.inside[0][5..], "{stream:?}");
    assert_eq!(plaintext(&items)[1], recorded.inside[1]);
}

#[test]
fn early_data_that_the_server_refuses() {
    let peers = Peers::new(&Choice { early_data: true, tickets: false, ..Choice::new(&TLS13) });
    let mut first = peers.connect();
    first.talk();
    let forgetful = Peers {
        server: {
            let mut server = ServerConfig::clone(&peers.server);
            server.max_early_data_size = 0;
            Arc::new(server)
        },
        client: Arc::clone(&peers.client),
        log: Arc::clone(&peers.log),
        server_certificate: Vec::new(),
    };
    let mut session = forgetful.connect();
    session.client.early_data().unwrap().write_all(b"early").unwrap();
    session.talk();
    assert!(!session.client.is_early_data_accepted());
    let recorded = session.close();
    let (stream, items) = read(&peers.secrets(), &recorded.wire);
    assert_eq!(plaintext(&items)[0], [&b"early"[..], &recorded.inside[0]].concat(), "{stream:?}");
    assert_eq!(plaintext(&items)[1], recorded.inside[1], "{stream:?}");
}

#[test]
fn resumed_sessions_by_ticket_and_by_number() {
    for (version, tickets) in [(&TLS13, true), (&TLS12, true), (&TLS12, false)] {
        let peers = Peers::new(&Choice { tickets, ..Choice::new(version) });
        let mut first = peers.connect();
        first.talk();
        let first = first.close();
        let mut second = peers.connect();
        second.talk();
        assert_eq!(second.client.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
        let second = second.close();
        let secrets = peers.secrets();
        assert_read(&secrets, &first);
        assert_read(&secrets, &second);
    }
}

#[test]
fn a_resumed_session_of_tls_1_2_is_read_by_what_the_first_one_showed() {
    for tickets in [true, false] {
        let peers = Peers::new(&Choice { tickets, ..Choice::new(&TLS12) });
        let mut first = peers.connect();
        first.talk();
        let first = first.close();
        let secrets = peers.secrets();
        let mut second = peers.connect();
        second.talk();
        let second = second.close();
        let (stream, _) = read(&secrets, &second.wire);
        assert_eq!(stream.status(), Decryption::NoSecrets, "tickets: {tickets}");
        assert_read(&secrets, &first);
        assert_read(&secrets, &second);
    }
}

#[test]
fn the_secrets_of_application_data_suffice() {
    let peers = Peers::new(&Choice { client_certificate: true, ..Choice::new(&TLS13) });
    let mut session = peers.connect();
    session.talk();
    let recorded = session.close();
    let log = peers.log.0.lock().unwrap().clone();
    let secrets = Arc::new(Secrets::new());
    let traffic: Vec<&str> = log.lines().filter(|line| line.contains("TRAFFIC_SECRET_0")).collect();
    secrets.add_key_log(traffic.join("\r\n").as_bytes());
    let items = assert_read(&secrets, &recorded);
    assert!(!items.iter().any(|item| matches!(item, Opened::Certificate { .. })));
}

#[test]
fn one_side_is_read_where_the_log_has_no_secret_of_the_other() {
    let peers = Peers::new(&Choice::new(&TLS13));
    let mut session = peers.connect();
    session.talk();
    let recorded = session.close();
    let log = peers.log.0.lock().unwrap().clone();
    let secrets = Arc::new(Secrets::new());
    let of_server: Vec<&str> = log.lines().filter(|line| line.starts_with("SERVER")).collect();
    secrets.add_key_log(of_server.join("\n").as_bytes());
    let (stream, items) = read(&secrets, &recorded.wire);
    assert_eq!(stream.status_of(Side::Client), Decryption::NoSecrets);
    assert!(matches!(stream.status_of(Side::Server), Decryption::Decrypting { version: 0x0304, .. }));
    assert_eq!(stream.status(), Decryption::NoSecrets);
    assert_eq!(plaintext(&items), [Vec::new(), recorded.inside[1].clone()]);
}

#[test]
fn secrets_that_come_after_the_hello_are_in_time() {
    for version in [&TLS12, &TLS13] {
        let peers = Peers::new(&Choice::new(version));
        let mut session = peers.connect();
        session.talk();
        let recorded = session.close();
        let secrets = Arc::new(Secrets::new());
        let (mut stream, mut items) = (TlsStream::new(Arc::clone(&secrets)), Vec::new());
        for (number, (from, bytes)) in recorded.wire.iter().enumerate() {
            if number == 1 {
                secrets.add_key_log(peers.log.0.lock().unwrap().as_bytes());
            }
            stream.data(*from, bytes, &mut items);
        }
        assert!(plaintext(&items) == recorded.inside);
    }
}

#[test]
fn a_log_of_another_length_or_with_other_secrets_does_not_fit() {
    for version in [&TLS12, &TLS13] {
        let peers = Peers::new(&Choice::new(version));
        let mut session = peers.connect();
        session.talk();
        let recorded = session.close();
        let log = peers.log.0.lock().unwrap().clone();
        let with = |change: &dyn Fn(&str) -> String| {
            let secrets = Arc::new(Secrets::new());
            let lines: Vec<String> = log
                .lines()
                .map(|line| {
                    let (before, secret) = line.rsplit_once(' ').unwrap();
                    format!("{before} {}", change(secret))
                })
                .collect();
            secrets.add_key_log(lines.join("\n").as_bytes());
            let (stream, items) = read(&secrets, &recorded.wire);
            assert_eq!(plaintext(&items), [Vec::<u8>::new(), Vec::new()]);
            assert_eq!(plaintext(&items).concat(), b"");
            stream.status()
        };
        let other = with(&|secret| "0f".repeat(secret.len() / 2));
        assert_eq!(other, Decryption::SecretsDoNotFit { reason: Misfit::NotAuthentic });
        let short = with(&|secret| secret[..32].to_owned());
        let expected = match version.version {
            // A master secret of another length is no line of a key log.
            rustls::ProtocolVersion::TLSv1_2 => Decryption::NoSecrets,
            _ => Decryption::SecretsDoNotFit { reason: Misfit::Length },
        };
        assert_eq!(short, expected);
    }
}

#[test]
fn no_more_is_read_of_a_side_that_nobody_wants() {
    let peers = Peers::new(&Choice::new(&TLS13));
    let mut session = peers.connect();
    session.talk();
    let recorded = session.close();
    let (mut stream, mut items) = (TlsStream::new(peers.secrets()), Vec::new());
    for (from, bytes) in &recorded.wire {
        stream.data(*from, bytes, &mut items);
        if !plaintext(&items)[Side::Server.index()].is_empty() {
            stream.stop(Side::Server);
        }
    }
    assert!(stream.is_opaque(Side::Server) && !stream.is_opaque(Side::Client));
    assert_eq!(stream.status_of(Side::Server), Decryption::Stopped);
    assert!(matches!(stream.status(), Decryption::Decrypting { .. }));
    assert_eq!(plaintext(&items), [recorded.inside[0].clone(), b"s".to_vec()]);
}

#[test]
fn no_secret_is_in_what_debugging_shows() {
    let peers = Peers::new(&Choice::new(&TLS13));
    let mut session = peers.connect();
    session.talk();
    let recorded = session.close();
    let secrets = peers.secrets();
    let (stream, items) = read(&secrets, &recorded.wire);
    let shown = format!("{secrets:?} {stream:?} {items:?} {}", stream.status());
    assert!(
        shown.contains("Plaintext(Client, 100 bytes)") && !shown.contains("99, 99") && !shown.contains("cc")
    );
    let log = peers.log.0.lock().unwrap().clone();
    for secret in log.lines().filter_map(|line| line.rsplit(' ').next()) {
        let bytes = hex::decode(secret).unwrap();
        assert!(!shown.contains(secret) && !shown.contains(&format!("{:?}", &bytes[..8])));
    }
}
